//! Compares each stage in the sandbox with the same Rust code compiled natively: one thread, CPU
//! time, with the compiler's NaN canonicalisation off and on. Run by `cargo xtask bench native
//! [--rows N] [--repeat N]`.
//!
//! The sandbox runs the code of stages in child processes. That code has no epoch checks, because a
//! process is killed instead.

use std::fmt::Write as _;

use serde_json::json;
use stagewright_benchmarks::work::{COMPONENTS, Inputs, Work};
use stagewright_benchmarks::{Result, SetUp, interleaved, median, ratio, setting, write_json};
use stagewright_runtime::EngineOptions;

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let rows = setting("STAGEWRIGHT_BENCH_ROWS", 20_000)?;
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 5)? as usize;
    let set_up = SetUp::new()?;
    let as_in_a_process = EngineOptions { without_interruption: true, ..EngineOptions::default() };
    let plain = set_up.rig(as_in_a_process, &COMPONENTS)?;
    let canonical = set_up.rig(EngineOptions { canonicalize_nans: true, ..as_in_a_process }, &COMPONENTS)?;
    let inputs = Inputs::new(&set_up, &plain, rows)?;
    // Printed at the end, because native stages log to standard error meanwhile.
    let mut told = format!(
        "{rows} customers, one thread, CPU seconds, median of {rounds}; ratios are medians of ratios by round:\n"
    );
    writeln!(
        told,
        "{:<28} {:>8} {:>8} {:>7} {:>10} {:>14}",
        "", "native", "sandbox", "ratio", "canonical", "over sandbox"
    )?;
    let mut stages = Vec::new();
    for work in Work::chosen() {
        let seconds = interleaved(
            &mut [&mut || work.native(&inputs), &mut || Ok(work.sandboxed(&inputs, &plain)?.cpu), &mut || {
                Ok(work.sandboxed(&inputs, &canonical)?.cpu)
            }],
            rounds,
        )?;
        let [native, sandboxed, canonicalised] = &seconds[..] else { unreachable!("three variants") };
        let (over_native, over_plain) = (ratio(sandboxed, native), ratio(canonicalised, sandboxed));
        let medians = [native, sandboxed, canonicalised].map(|seconds| median(seconds.clone()));
        let target = if work.grows_trees() { 1.2 } else { 1.5 };
        let mark = if over_native > target { format!("  above {target}") } else { String::new() };
        writeln!(
            told,
            "{:<28} {:>8.4} {:>8.4} {over_native:>7.2} {:>10.4} {over_plain:>14.3}{mark}",
            work.name(),
            medians[0],
            medians[1],
            medians[2]
        )?;
        stages.push(json!({
            "stage": work.name(), "native_s": medians[0], "sandbox_s": medians[1], "canonical_s": medians[2],
            "sandbox_over_native": over_native, "canonical_over_sandbox": over_plain,
        }));
    }
    print!("{told}");
    write_json(&json!({ "rows": rows, "rounds": rounds, "stages": stages }))
}
