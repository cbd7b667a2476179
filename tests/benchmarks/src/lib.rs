//! Shared parts of the benchmarks: a home and a runtime ([`Rig`]), tables of generated customers
//! ([`tables`]), the host's tables as native code reads them ([`native`]), the work of stages
//! natively and in the sandbox ([`work`]), and timing.
//!
//! The product does not contain this crate. `cargo xtask bench NAME` builds what is needed and runs
//! `benches/NAME.rs`. docs/benchmarks.md has commands and figures.

pub mod native;
mod rig;
pub mod tables;
mod timing;
pub mod work;

pub use rig::{Rig, SetUp, Used};
pub use timing::{children_cpu, cpu, interleaved, median, process_cpu, ratio, setting, write_json};

/// The result of a benchmark. Every error ends it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
