//! The development commands: `cargo xtask demo`, `test`, `stages`, `edge`, `bench`, `soak`, `fuzz`,
//! `install`, `deploy` and the checks.
//!
//! This crate has almost no dependencies, so that a fresh machine compiles it in seconds. It builds
//! the host, and by a nested cargo call into another target folder the stages. The host itself
//! never builds a stage and never reads the source tree.

mod bench;
mod build;
mod compatibility;
mod demo;
mod deploy;
mod edge;
mod elf;
mod features;
mod fuzz;
mod install;
mod invariants;
mod layers;
mod prose;
mod provenance;
mod python;
mod readme;
mod soak;
mod steps;
mod test;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo              builds everything, runs the lifecycle twice on generated data, predicts; says what to type next
  test              everything that CI runs: build, tests, fmt, clippy, docs, cargo-deny, the Python stage
                    (real tables are used if STAGEWRIGHT_TEST_DATA names their folder)
  stages [--guests] builds the host and the stages, and puts the stages where the binary finds them;
                    with --guests also the components that only tests run
  prepare-table     builds the stage of that name, whose library takes minutes to compile, and puts it beside the others
  edge              builds the binaries without a compiler (target/run-only, target/serving-only) and tries them
  install [--prefix FOLDER]
                    installs the binary and the built-in stages (default prefix: ~/.local)
  fuzz [TARGET] [--seconds N]
                    fuzzes the readers of untrusted bytes, 60 s each; findings go to target/fuzz/findings/
  invariants        writes the table of invariants in ARCHITECTURE.md from the annotations at the tests
  compatibility     writes docs/tracking-compatibility.md from sessions of MLflow's clients and a stock server
  layers            checks that crates and modules depend on each other in one direction
  deploy            has the files of deploy/ read by the tools that they are written for
  prose             checks the form of comments and documents, and that links lead somewhere
  readme            runs the commands of README.md from a clean clone to a served prediction
  bench overhead|cache|boundary|decode|request|isolation|native|sandbox|serving|serving-core|server|registry|lifecycle|predict
        [--rows N] [--repeat N]; isolation, native, sandbox, serving, serving-core, server, cache: [--only TEXT];
        server: [--seconds N] [--peer [PYTHON]];
        lifecycle, predict, serving: [--model logistic|forest|boosted] [--peer [PYTHON]]; lifecycle: [--smote];
        lifecycle, predict: [--workers N]; serving: [--seconds N] [--swaps N] [--json]
                    measures; prints a table and writes JSON to target/bench/
  soak [--minutes N]
                    has a server answer for minutes while versions change, a shadow traps and the registry goes away
";

/// Builds the host and the stages, and on request the guests of the tests.
fn stages(arguments: &[String]) -> steps::Result<()> {
    let guests = match arguments {
        [] => build::Guests::Without,
        [guests] if guests == "--guests" => build::Guests::With,
        _ => return Err(USAGE.to_owned()),
    };
    build::everything(guests).map(drop)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let result = match arguments.first().map(String::as_str) {
        Some("demo") => demo::demo(),
        Some("test") => test::test(),
        Some("stages") => stages(rest),
        Some("prepare-table") => build::prepare_table(),
        Some("edge") => edge::edge(),
        Some("install") => install::install(rest),
        Some("deploy") => deploy::deploy(),
        Some("prose") => prose::prose(),
        Some("readme") => readme::served_prediction(),
        Some("invariants") => invariants::write(),
        Some("compatibility") => compatibility::write(),
        Some("layers") => layers::layers(),
        Some("fuzz") => fuzz::fuzz(rest),
        Some("bench") => bench::bench(rest),
        Some("soak") => soak::soak(rest),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
