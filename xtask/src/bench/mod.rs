//! Runs benchmarks: of whole processes here, of parts of one process in `tests/benchmarks`.
//!
//! Every figure is a median over repeats in one invocation. JSON goes to `target/bench/`.
//! docs/benchmarks.md has the results with their commands.

mod cache;
mod data;
mod graphs;
mod in_process;
mod lifecycle;
mod options;
mod overhead;
mod predict;
mod preparation;
mod process;
mod results;
mod serving;

use crate::bench::in_process::in_process;
use crate::bench::options::{Options, USAGE};
use crate::steps::Result;

/// Runs one benchmark.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments.get(1..).unwrap_or_default())?;
    match arguments.first().map(String::as_str) {
        Some("overhead") => overhead::overhead(&options),
        Some("cache") => cache::cache(&options),
        Some("data") => data::data(&options),
        Some("lifecycle") => lifecycle::lifecycle(&options),
        Some("predict") => predict::predict(&options),
        Some("serving") => serving::serving(&options),
        Some("registry") => ["registry", "promotion"].iter().try_for_each(|name| in_process(name, &options)),
        Some("server") => in_process("server", &options),
        Some(name @ ("boundary" | "decode" | "isolation" | "native" | "request" | "sandbox" | "serving-core")) => {
            in_process(name, &options)
        }
        _ => Err(USAGE.into()),
    }
}
