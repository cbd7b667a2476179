//! Builds the binary for hosts without a compiler and tries it.
//!
//! `cargo xtask test` leaves this out: without cranelift, basic crates (hashbrown, memchr) have
//! other features, and most of the host is compiled again.

use std::fs;

use crate::build::{self, Guests};
use crate::provenance::{PROGRAMS, program};
use crate::steps::{Result, run};
use crate::workspace::{self, cargo};

/// The packages to build. Packages that need the compiler are left out; `--workspace` keeps the
/// features of the others.
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

/// The test that runs the binary (tests/end-to-end/tests/edge.rs).
pub(crate) const TEST: &str = "a_host_without_a_compiler_runs_and_predicts_what_another_one_compiled_for_it";

/// The features of the binary, for its list of packages.
const FEATURES: [&str; 1] = ["--no-default-features"];

/// Builds both programs to `target/run-only/` and runs a pipeline of precompiled stages with them.
pub(crate) fn edge() -> Result<()> {
    let built = build::stages(Guests::Without)?;
    run(cargo().arg("build").args(RUN_ONLY))?;
    build::stage_program()?;
    // cargo puts the programs where the full ones belong.
    let folder = workspace::target().join("run-only");
    let binary = folder.join("stagewright");
    for (name, features) in PROGRAMS {
        let (from, to) = (built.binary.with_file_name(name), folder.join(name));
        let bytes = program(&from, if name == workspace::STAGE { features } else { &FEATURES })?;
        // A copy keeps the permission to execute.
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
