//! The arguments of `cargo xtask bench`.

use std::path::PathBuf;

use crate::steps::Result;

/// The benchmarks and their options.
pub(super) const USAGE: &str =
    "usage: cargo xtask bench overhead|cache|data|boundary|decode|request|isolation|native|sandbox|serving|serving-core|server|registry|lifecycle|predict
  [--rows N] [--repeat N]
  isolation, native, sandbox, serving, serving-core, server, cache, data: [--only TEXT]    data: [--peer [PYTHON]]
  registry, server: --rows counts runs    server: [--seconds N] [--peer [PYTHON]]
  lifecycle, predict, serving: [--model logistic|forest|boosted] [--peer [PYTHON]]    lifecycle: [--smote]
  lifecycle, predict: [--workers N]    serving: [--seconds N] [--swaps N] [--json]";

/// The options of a benchmark.
pub(super) struct Options {
    /// The rows of the table. Each benchmark has its own default.
    pub(super) rows: Option<u64>,
    pub(super) model: String,
    pub(super) smote: bool,
    /// Selects stages or parts of a benchmark whose name contains this.
    pub(super) only: Option<String>,
    pub(super) workers: Option<u32>,
    pub(super) repeat: Option<usize>,
    /// The length of each load.
    pub(super) seconds: Option<u64>,
    /// The promotions under load.
    pub(super) swaps: Option<u64>,
    /// Prints the results as JSON on standard output, and all else on standard error.
    pub(super) json: bool,
    /// The Python that runs the peer.
    pub(super) peer: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments that follow the name of a benchmark.
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            rows: None,
            model: "boosted".into(),
            smote: false,
            only: None,
            workers: None,
            repeat: None,
            seconds: None,
            swaps: None,
            json: false,
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
                "--seconds" => options.seconds = Some(number(value())?.max(1)),
                "--swaps" => options.swaps = Some(number(value())?.max(1)),
                "--json" => options.json = true,
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

/// Returns the named interpreter, that of `STAGEWRIGHT_BENCH_PYTHON`, or the system's.
fn python(named: Option<&String>) -> PathBuf {
    let given = named.map(PathBuf::from).or_else(|| std::env::var_os("STAGEWRIGHT_BENCH_PYTHON").map(PathBuf::from));
    given.unwrap_or_else(|| "python3".into())
}
