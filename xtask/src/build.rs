//! Builds the host and the stages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::provenance;
use crate::steps::{Result, output, run};
use crate::workspace::{STAGE, cargo, root, target};

/// The target of every Rust stage.
const TARGET: &str = "wasm32-wasip2";

/// The results of a build.
pub(crate) struct Built {
    /// The binary. The program of stages, [`STAGE`], lies beside it.
    pub(crate) binary: PathBuf,
    /// The folder of built-in stages.
    pub(crate) stages: PathBuf,
    /// The folder of components that only tests and benchmarks run.
    pub(crate) guests: PathBuf,
}

/// Whether to build the components that only tests and benchmarks run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guests {
    With,
    Without,
}

/// Builds host and stages concurrently, because each ends with crates that use one core only. Puts
/// the stages beside the binary.
pub(crate) fn everything(guests: Guests) -> Result<Built> {
    // `stages` would also do this, but adding a target changes the toolchain while the host is
    // compiled with it.
    add_target()?;
    std::thread::scope(|scope| {
        let host = scope.spawn(host);
        let built = stages(guests);
        host.join().map_err(|_| "building the host panicked".to_owned())??;
        built
    })
}

/// Builds the binary and the program in which stages run. `--workspace` makes cargo choose features
/// over all members, as `cargo xtask test` does, so that neither command rebuilds the other's
/// dependencies.
pub(crate) fn host() -> Result<()> {
    run(cargo().args(["build", "--release", "--workspace", "--bin", "stagewright"]))?;
    stage_program()
}

/// Builds the program in which stages run by a call of its own; host/stage/Cargo.toml says why.
pub(crate) fn stage_program() -> Result<()> {
    let mut command = cargo();
    command.args(["rustc", "--release", "--package", STAGE, "--features", "alone", "--bin", STAGE]);
    if has_static_c_library() {
        // A flag for this crate alone, since all linked code is the same. A static program has no
        // library to find, map and bind at each start.
        command.args(["--", "-C", "target-feature=+crt-static"]);
    }
    run(&mut command)
}

/// Returns whether programs can be linked statically with the C library.
fn has_static_c_library() -> bool {
    let found = output(Command::new("cc").arg("-print-file-name=libc.a"));
    // Without a static library the compiler prints the name as it is.
    cfg!(target_os = "linux") && found.is_ok_and(|path| Path::new(path.trim()).is_absolute())
}

/// Adds the Wasm target to the toolchain if it is missing.
fn add_target() -> Result<()> {
    let Ok(installed) = output(Command::new("rustup").args(["target", "list", "--installed"]).current_dir(root()))
    else {
        return Err(format!("rustup is needed to add the target {TARGET}; or install that target another way"));
    };
    if installed.lines().any(|line| line.trim() == TARGET) {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()))
}

/// The stage that is a workspace of its own, since its library takes minutes to compile.
const PREPARE_TABLE: &str = "prepare-table";

/// Returns the manifest of that stage.
pub(crate) fn prepare_table_manifest() -> PathBuf {
    root().join("stages").join(PREPARE_TABLE).join("Cargo.toml")
}

/// Builds the stage `prepare-table` and puts it where the binary finds it.
pub(crate) fn prepare_table() -> Result<()> {
    prepare_table_to(&target().join("release/stages"))
}

/// Builds the stage `prepare-table` and puts it into a folder.
pub(crate) fn prepare_table_to(folder: &Path) -> Result<()> {
    add_target()?;
    let (manifest, nested) = (prepare_table_manifest(), target().join(PREPARE_TABLE));
    let mut command = cargo();
    command.args(["build", "--locked", "--profile", "stage", "--target", TARGET, "--manifest-path"]).arg(&manifest);
    run(without_flags(command.arg("--target-dir").arg(&nested)))?;
    let built = nested.join(TARGET).join("stage");
    place(&[PREPARE_TABLE.to_owned()], &built, folder, |name| provenance::sections(name, TARGET, &manifest))
}

/// Checks the form of the stage `prepare-table`, and what clippy says of it.
pub(crate) fn prepare_table_lints() -> Result<()> {
    let manifest = prepare_table_manifest();
    run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(&manifest))?;
    let mut command = cargo();
    command.args(["clippy", "--locked", "--all-targets", "--manifest-path"]).arg(&manifest);
    command.arg("--target-dir").arg(target().join(PREPARE_TABLE));
    run(command.args(["--", "-D", "warnings"]))
}

/// Tests the stage `prepare-table` natively.
pub(crate) fn prepare_table_tests() -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--locked", "--manifest-path"]).arg(prepare_table_manifest());
    run(command.arg("--target-dir").arg(target().join(PREPARE_TABLE)))
}

/// Removes the outer cargo's flags, which are for the host's crates.
fn without_flags(command: &mut Command) -> &mut Command {
    for variable in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR"]
    {
        command.env_remove(variable);
    }
    command
}

/// Returns the crates of a folder that become components, without that which is a workspace of its
/// own.
fn components(folder: &str) -> Result<Vec<String>> {
    let entries = fs::read_dir(root().join(folder)).map_err(|error| format!("cannot read {folder}: {error}"))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| {
            let manifest = fs::read_to_string(entry.path().join("Cargo.toml"));
            manifest.is_ok_and(|manifest| manifest.contains("cdylib") && !manifest.contains("[workspace]"))
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the stages, and on request the guests, by one nested cargo call into its own target
/// folder.
pub(crate) fn stages(guests: Guests) -> Result<Built> {
    add_target()?;
    let stages = components("stages")?;
    let guests = if guests == Guests::With { components("tests/guests")? } else { Vec::new() };
    let nested = target().join("stages");
    let mut command = cargo();
    command.args(["build", "--profile", "stage", "--target", TARGET, "--target-dir"]).arg(&nested);
    for name in stages.iter().chain(&guests) {
        command.args(["--package", name]);
    }
    run(without_flags(&mut command))?;
    let built = nested.join(TARGET).join("stage");
    let release = target().join("release");
    let result =
        Built { binary: release.join("stagewright"), stages: release.join("stages"), guests: release.join("guests") };
    place(&stages, &built, &result.stages, |name| provenance::sections(name, TARGET, &root().join("Cargo.toml")))?;
    place(&guests, &built, &result.guests, |_| Ok(Vec::new()))?;
    Ok(result)
}

/// Copies components to the names that manifests use, with further sections appended. Leaves
/// unchanged files alone.
fn place(names: &[String], from: &Path, to: &Path, sections: impl Fn(&str) -> Result<Vec<u8>>) -> Result<()> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", to.display());
    fs::create_dir_all(to).map_err(failed)?;
    for name in names {
        let file = from.join(format!("{}.wasm", name.replace('-', "_")));
        let mut bytes = fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        bytes.extend(sections(name)?);
        let place = to.join(format!("{name}.wasm"));
        if fs::read(&place).is_ok_and(|there| there == bytes) {
            continue;
        }
        let aside = to.join(format!(".{name}.wasm"));
        fs::write(&aside, bytes).map_err(failed)?;
        fs::rename(&aside, &place).map_err(failed)?;
    }
    Ok(())
}
