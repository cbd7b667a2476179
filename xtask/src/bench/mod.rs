//! Measures: whole processes here, what happens inside one in `tests/benchmarks`.
//!
//! Every figure is a median over repeats in one invocation; JSON goes to `target/bench/`. What each benchmark found, and how it was
//! called, stands in docs/benchmarks.md.

mod cache;
mod graphs;
mod lifecycle;
mod overhead;
mod process;

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::{self, cargo};
use crate::steps::{Result, run};

/// What may be measured.
const USAGE: &str = "usage: cargo xtask bench overhead|cache|boundary|decode|native|sandbox|registry|lifecycle
  [--rows N] [--repeat N]
  native, sandbox, cache: [--only TEXT]    registry: --rows counts runs
  lifecycle: [--model logistic|forest|boosted] [--smote] [--workers N] [--peer [PYTHON]]";

/// Runs one benchmark.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments.get(1..).unwrap_or_default())?;
    match arguments.first().map(String::as_str) {
        Some("overhead") => overhead::overhead(&options),
        Some("cache") => cache::cache(&options),
        Some("lifecycle") => lifecycle::lifecycle(&options),
        Some("registry") => ["registry", "promotion"].iter().try_for_each(|name| inside(name, &options)),
        Some(name @ ("boundary" | "decode" | "native" | "sandbox")) => inside(name, &options),
        _ => Err(USAGE.into()),
    }
}

/// What the arguments say.
struct Options {
    /// Rows of the table; each benchmark has its own default.
    rows: Option<u64>,
    model: String,
    smote: bool,
    /// Stages, or parts of a benchmark, whose name has this in it.
    only: Option<String>,
    workers: Option<u32>,
    repeat: Option<usize>,
    /// The Python that runs the peer.
    peer: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            rows: None,
            model: "boosted".into(),
            smote: false,
            only: None,
            workers: None,
            repeat: None,
            peer: None,
        };
        let mut rest = arguments.iter().peekable();
        while let Some(option) = rest.next() {
            let mut value = || rest.next_if(|next| !next.starts_with("--"));
            let missing = || format!("{option} needs a value");
            let number = |text: Option<&String>| -> Result<u64> {
                text.ok_or_else(missing)?.parse().map_err(|_| format!("{option} takes a number"))
            };
            match option.as_str() {
                "--rows" => options.rows = Some(number(value())?),
                "--model" => options.model = value().ok_or_else(missing)?.clone(),
                "--repeat" => options.repeat = Some(number(value())?.max(1) as usize),
                "--workers" => options.workers = Some(number(value())?.max(1) as u32),
                "--only" => options.only = Some(value().ok_or_else(missing)?.clone()),
                "--smote" => options.smote = true,
                "--peer" => options.peer = Some(python(value())),
                _ => return Err(format!("unknown option {option}\n{USAGE}")),
            }
        }
        if !["logistic", "forest", "boosted"].contains(&options.model.as_str()) {
            return Err(format!("unknown model {}: logistic, forest or boosted", options.model));
        }
        Ok(options)
    }
}

/// The interpreter that was named, or `STAGEWRIGHT_BENCH_PYTHON`, or the system's.
fn python(named: Option<&String>) -> PathBuf {
    let given = named.map(PathBuf::from).or_else(|| std::env::var_os("STAGEWRIGHT_BENCH_PYTHON").map(PathBuf::from));
    given.unwrap_or_else(|| "python3".into())
}

/// A benchmark that runs the sandbox in its own process.
fn inside(name: &str, options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::With)?;
    let mut command = cargo();
    command.args(["bench", "--quiet", "--workspace", "--bench", name]);
    command
        .env("STAGEWRIGHT_STAGES", &built.stages)
        .env("STAGEWRIGHT_GUESTS", &built.guests)
        .env("STAGEWRIGHT_BENCH_OUTPUT", folder()?.join(format!("{name}.json")));
    if let Some(rows) = options.rows {
        command.env("STAGEWRIGHT_BENCH_ROWS", rows.to_string());
    }
    if let Some(repeat) = options.repeat {
        command.env("STAGEWRIGHT_BENCH_REPEAT", repeat.to_string());
    }
    if let Some(only) = &options.only {
        command.env("STAGEWRIGHT_BENCH_ONLY", only);
    }
    run(&mut command)
}

/// Where results go.
fn folder() -> Result<PathBuf> {
    let folder = build::target().join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    fs::canonicalize(&folder).map_err(|error| error.to_string())
}

/// Empties a folder, or makes it.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("cannot clear {}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))
}

/// Writes a result.
fn write(name: &str, json: &str) -> Result<()> {
    let path = folder()?.join(name);
    fs::write(&path, json).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
