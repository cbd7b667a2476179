//! The binary for hosts without a compiler: built, and tried out.
//!
//! Not a part of `cargo xtask test`: without cranelift, features of crates at the bottom
//! (hashbrown, memchr) are others, and most of the host is built once more.

use std::fs;

use crate::build::{self, Guests};
use crate::provenance::{PROGRAMS, program};
use crate::steps::{Result, run};
use crate::workspace::{self, cargo};

/// What to build. Those who ask for the compiler are left out; `--workspace` keeps the others'
/// features as they are.
pub(crate) const RUN_ONLY: [&str; 9] = [
    "--no-default-features",
    "--release",
    "--bin",
    "stagewright",
    "--workspace",
    "--exclude",
    "stagewright-hostile",
    "--exclude",
    "stagewright-benchmarks",
];

/// The test that runs it (tests/end-to-end/tests/edge.rs).
pub(crate) const TEST: &str = "a_host_without_a_compiler_runs_and_predicts_what_another_one_compiled_for_it";

/// The features of the binary, for the list of its packages.
const FEATURES: [&str; 1] = ["--no-default-features"];

/// Builds the binary and the program in which stages run to `target/run-only/`, and lets it run a
/// pipeline of precompiled stages.
pub(crate) fn edge() -> Result<()> {
    let built = build::stages(Guests::Without)?;
    run(cargo().arg("build").args(RUN_ONLY))?;
    build::stage_program()?;
    // cargo puts it where the full one belongs.
    let folder = workspace::target().join("run-only");
    let binary = folder.join("stagewright");
    for (name, features) in PROGRAMS {
        let (from, to) = (built.binary.with_file_name(name), folder.join(name));
        let bytes = program(&from, if name == workspace::STAGE { features } else { &FEATURES })?;
        // A copy keeps that it may be run.
        let copied = fs::create_dir_all(&folder).and_then(|()| fs::copy(&from, &to));
        let written = copied.and_then(|_| fs::write(&to, bytes));
        written.map_err(|error| format!("cannot write {}: {error}", to.display()))?;
    }
    build::host()?;
    run(cargo()
        .args(["test", "--release", "--workspace", "--test", "edge", "--", "--ignored", TEST])
        .envs([("STAGEWRIGHT_BIN", &built.binary), ("STAGEWRIGHT_RUN_ONLY", &binary)]))?;
    println!("built {}", binary.display());
    Ok(())
}
