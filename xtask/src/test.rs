//! Runs everything that CI checks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::build::{self, Built};
use crate::edge;
use crate::python::{client_tests, mlflow, python};
use crate::steps::{Result, Steps, run};
use crate::workspace::{self, cargo};

/// The version of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "^0.20";

/// The stage in Python.
const PYTHON_STAGE: &str = "stages/transform-python";

/// The packages that build it.
const PYTHON_STAGE_REQUIREMENTS: &str = "stages/transform-python/requirements.txt";

/// The world that it implements.
const PYTHON_WORLD: &str = "stagewright:stage/transformation@0.2.0";

/// Builds, tests, checks. Prints the slowest parts even after a failure.
pub(crate) fn test() -> Result<()> {
    let mut steps = Steps::default();
    let result = all(&mut steps);
    steps.report();
    result
}

fn all(steps: &mut Steps) -> Result<()> {
    steps.step("rustfmt", || run(cargo().args(["fmt", "--all", "--check"])))?;
    steps.step("crates depend on those below them", crate::layers::crate_order)?;
    steps.step("modules import without a circle", crate::layers::module_order)?;
    steps.step("form of comments and documents", crate::prose::form)?;
    steps.step("links of documents", crate::prose::links)?;
    steps.step("invariants are those of the tests", crate::invariants::check)?;
    steps.step("the program of stages shares the host's crates", crate::features::shared)?;
    // One call for all targets of all crates: cargo chooses one set of features and builds each
    // dependency once.
    steps.step("build host and tests", || run(cargo().args(["build", "--release", "--workspace", "--all-targets"])))?;
    steps.step("build the program of stages", build::stage_program)?;
    let built = steps.step("build the stages", || build::stages(build::Guests::With))?;
    // Beside the guests: demo and documents show the stages of `cargo xtask stages`.
    steps.step("build prepare-table", || build::prepare_table_to(&built.guests))?;
    steps.step("tests of prepare-table", build::prepare_table_tests)?;
    steps.step("build the Python stage", || python_stage(&built))?;
    steps.step("tests of the Python stage", python_tests)?;
    steps.step("types and tests of the package for MLflow's clients", || client_tests(&built.guests))?;
    steps.step("deploy/ by its tools", crate::deploy::deploy)?;
    steps.step("tests", || tests(&built))?;
    steps.step("README leads to a served prediction", crate::readme::served_prediction)?;
    steps.step("fuzz smoke", crate::fuzz::smoke)?;
    steps.step("clippy", || {
        run(cargo().args(["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    steps.step("rustfmt and clippy of prepare-table", build::prepare_table_lints)?;
    steps.step("docs", || {
        run(cargo()
            .args(["doc", "--release", "--workspace", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.step("builds for small hosts carry no compiler", without_compiler)?;
    steps.step("cargo-deny", deny)
}

/// Runs unit, property and end-to-end tests. Tests on real tables need `STAGEWRIGHT_TEST_DATA`,
/// tests with PostgreSQL need a server's programs, and the test of the page `/docs` needs Chromium.
/// Without these they are skipped, and a line says so.
fn tests(built: &Built) -> Result<()> {
    let mut command = cargo();
    // All tests run after a failure, because a whole run takes long.
    command.args(["test", "--release", "--workspace", "--no-fail-fast"]);
    command.env("STAGEWRIGHT_BIN", &built.binary).env("STAGEWRIGHT_GUESTS", &built.guests);
    command.env("STAGEWRIGHT_PYTHON", python_of_tests()?);
    // Its thread changes variables while others of MLflow's client read them, which fails some day.
    command.env("MLFLOW_DISABLE_TELEMETRY", "true");
    command.envs(mlflow()?);
    let mut left_out = vec![edge::TESTS[0], edge::TESTS[1], crate::soak::TEST];
    match std::env::var_os("STAGEWRIGHT_TEST_DATA").map(PathBuf::from) {
        Some(folder) => {
            let folder = fs::canonicalize(workspace::root().join(&folder))
                .map_err(|error| format!("STAGEWRIGHT_TEST_DATA names {}: {error}", folder.display()))?;
            command.env("STAGEWRIGHT_TEST_DATA", folder);
        }
        None => {
            eprintln!("STAGEWRIGHT_TEST_DATA is not set: tests on real tables are left out");
            left_out.push("real_tables::");
        }
    }
    if !has_postgresql() {
        eprintln!("there is no PostgreSQL (or set STAGEWRIGHT_POSTGRES_BIN): tests that need it are left out");
        left_out.extend(["postgres::", "server::", "postgresql"]);
    }
    if !crate::deploy::is_there("promtool", "--version") {
        left_out.push("promtool");
    }
    if !has_browser() {
        eprintln!("there is no chromium with its chromedriver: the test of /docs is left out");
        left_out.push("in_a_browser");
    }
    // A count of an earlier run must not be mistaken for this one's.
    let count = workspace::target().join("tmp/hostile.txt");
    if count.exists() {
        fs::remove_file(&count).map_err(|error| format!("cannot remove {}: {error}", count.display()))?;
    }
    command.args(["--", "--include-ignored"]);
    for name in left_out {
        command.args(["--skip", name]);
    }
    run(&mut command)?;
    // Repeated here, because it is hard to find in a long log.
    let counts = fs::read_to_string(&count)
        .map_err(|error| format!("the hostile suite left no count of its attempts: {error}"))?;
    eprint!("{counts}");
    // A suite that is filtered to nothing passes too.
    if counts.contains(" 0 attempts") {
        return Err("the hostile suite tried nothing".into());
    }
    Ok(())
}

/// Returns whether the tests would find PostgreSQL's programs. They look where
/// tests/services/src/postgres.rs says.
fn has_postgresql() -> bool {
    let named = std::env::var_os("STAGEWRIGHT_POSTGRES_BIN").map(|folder| PathBuf::from(folder).join("initdb"));
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut programs = named.into_iter().chain(installed.map(|version| version.path().join("bin/initdb")));
    programs.any(|program| program.is_file())
}

/// Returns whether tests would find a browser and the program that drives it, as
/// tests/end-to-end/tests/fixtures/serving/try_docs.py looks for them.
fn has_browser() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    (is_there("chromium") || is_there("google-chrome")) && is_there("chromedriver")
}

/// Returns a Python that writes Parquet, verifies statements and reads lineage. Tests compare with
/// it.
fn python_of_tests() -> Result<PathBuf> {
    python("tests/end-to-end/requirements.txt")?;
    Ok(python("host/data/tests/requirements.txt")?.join("python"))
}

/// Builds the stage in Python by componentize-py in a virtual environment of its own.
fn python_stage(built: &Built) -> Result<()> {
    let programs = python(PYTHON_STAGE_REQUIREMENTS)?;
    let component = built.guests.join("transform-python.wasm");
    run(Command::new(programs.join("componentize-py"))
        .current_dir(workspace::root().join(PYTHON_STAGE))
        .args(["-d", "../../wit", "-w", PYTHON_WORLD, "componentize", "app", "-o"])
        .arg(&component))
}

/// Tests the stage in Python by this machine's Python, on bindings that are generated first.
fn python_tests() -> Result<()> {
    let programs = python(PYTHON_STAGE_REQUIREMENTS)?;
    let bindings = workspace::target().join("python-bindings");
    if bindings.exists() {
        fs::remove_dir_all(&bindings).map_err(|error| format!("cannot remove {}: {error}", bindings.display()))?;
    }
    run(Command::new(programs.join("componentize-py"))
        .current_dir(workspace::root())
        .args(["-d", "wit", "-w", PYTHON_WORLD, "bindings"])
        .arg(&bindings))?;
    run(Command::new(programs.join("python"))
        .current_dir(workspace::root().join(PYTHON_STAGE))
        .args(["-m", "unittest"])
        .env("PYTHONPATH", &bindings)
        .env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// Checks that the binaries for hosts without a compiler are valid and do not contain cranelift.
/// `cargo xtask edge` builds and runs them, which takes minutes.
fn without_compiler() -> Result<()> {
    edge::BUILDS.iter().try_for_each(edge::Build::check)?;
    let package = workspace::STAGE;
    let tree = ["tree", "--package", package, "--no-default-features", "--edges", "normal,build", "--prefix", "none"];
    edge::without_compiler(package, &crate::steps::output(cargo().args(tree))?)
}

/// Checks licences, advisories and bans. Installs cargo-deny if it is missing.
fn deny() -> Result<()> {
    let there = Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        run(cargo()
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version", CARGO_DENY])
            // It runs for a second, so a quick build matters more than its speed.
            .envs([("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"), ("CARGO_PROFILE_RELEASE_LTO", "off")])
            .env_remove("CARGO_TARGET_DIR"))?;
    }
    // The stage with polars is a workspace of its own.
    for manifest in [workspace::root().join("Cargo.toml"), build::prepare_table_manifest()] {
        let check = |what: &[&str]| {
            let mut command = cargo();
            command.args(["deny", "--log-level", "error", "--manifest-path"]).arg(&manifest);
            run(command.arg("check").args(what))
        };
        // The advisory database comes from GitHub, which not every machine reaches. Without it the
        // other checks still apply.
        if let Err(message) = check(&["advisories"]) {
            if std::env::var_os("STAGEWRIGHT_REQUIRE_ADVISORIES").is_some() {
                return Err(message);
            }
            eprintln!("advisories were not checked: {message}");
        }
        check(&["bans", "licenses", "sources"])?;
    }
    Ok(())
}
