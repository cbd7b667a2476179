//! Fuzzes on the pinned stable toolchain. `fuzz/` holds targets and corpora as `cargo fuzz` expects
//! them.
//!
//! libFuzzer needs code that counts its edges and comparisons, and those compiler flags are stable.
//! Sanitizers are not, but the code under test has almost no `unsafe`: the targets look for panics,
//! overflows, broken promises, endless loops and unbounded memory. So neither nightly nor `cargo
//! fuzz` is needed. With both, `cargo +nightly fuzz run TARGET` runs the same targets under the
//! address sanitizer.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::steps::{Result, output, run};
use crate::workspace::{cargo, root, target};

/// The flags that `cargo fuzz run --sanitizer none` passes to rustc. `fuzz/instrument` says for
/// which crates.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// The seconds that each target runs in CI: its corpus, and a little more.
const SMOKE: &str = "5";

/// The most seconds for one input. It is far above the usual time, so that a busy machine causes no
/// finding.
const SLOWEST: u32 = 60;

/// The most memory in MiB. An input of a few KiB that takes more is a finding.
const MEMORY: u32 = 1024;

// invariant: Malformed bytes are refused or harmless wherever host or stages read input.
/// Runs each target for a few seconds.
pub(crate) fn smoke() -> Result<()> {
    fuzz(&["--seconds".to_owned(), SMOKE.to_owned()])
}

/// Builds the targets and runs one or all of them: `[TARGET] [--seconds N]`.
pub(crate) fn fuzz(arguments: &[String]) -> Result<()> {
    let (mut chosen, mut seconds) = (None, "60".to_owned());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => seconds = arguments.next().ok_or("--seconds needs a number")?.clone(),
            name => chosen = Some(name.to_owned()),
        }
    }
    let targets = targets()?;
    if let Some(name) = chosen.as_ref().filter(|name| !targets.contains(name)) {
        return Err(format!("there is no target `{name}`; there are {}", targets.join(", ")));
    }
    let host = host()?;
    let folder = target().join("fuzz");
    run(cargo()
        .args(["build", "--bins", "--manifest-path", "fuzz/Cargo.toml", "--target", &host])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTC_WRAPPER", root().join("fuzz/instrument"))
        .env("STAGEWRIGHT_FUZZ_FLAGS", FLAGS.join(" ")))?;
    for name in targets.iter().filter(|name| chosen.as_ref().is_none_or(|chosen| chosen == *name)) {
        eprintln!("fuzzing {name} for {seconds} s");
        one(name, &folder, &host, &seconds)?;
    }
    Ok(())
}

/// Runs one target. Its output goes to a file beside its findings, because stages and libFuzzer
/// print much.
fn one(name: &str, folder: &Path, host: &str, seconds: &str) -> Result<()> {
    // New inputs go to the first folder. The committed corpus is only read.
    let (found, findings) = (folder.join("corpus").join(name), folder.join("findings").join(name));
    for folder in [&found, &findings] {
        fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    }
    let log = findings.with_extension("log");
    let said = fs::File::create(&log).map_err(|error| format!("cannot create {}: {error}", log.display()))?;
    let ended = run(Command::new(folder.join(host).join("debug").join(name))
        .args([&found, &root().join("fuzz/corpus").join(name)])
        .args([format!("-max_total_time={seconds}"), format!("-timeout={SLOWEST}")])
        .args([format!("-rss_limit_mb={MEMORY}"), format!("-artifact_prefix={}/", findings.display())])
        .args(["-verbosity=0", "-print_funcs=0", "-print_final_stats=1"])
        .stderr(said));
    let said = fs::read(&log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    match ended {
        Ok(()) => {
            let executed = said.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
            eprintln!("  {} executions", executed.unwrap_or("?").trim());
            Ok(())
        }
        Err(message) => {
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            Err(message)
        }
    }
}

/// Returns the targets by name.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let name = |entry: fs::DirEntry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Returns the machine's own target. If it is named, the flags do not apply to build scripts and
/// macros.
fn host() -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say its host".to_owned())
}
