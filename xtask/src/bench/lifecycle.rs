//! Measures the whole churn lifecycle as a process, from a SQLite table of generated customers. On
//! request, a Python program does the same job for comparison.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::options::Options;
use crate::bench::process::{Cost, Medians, measure, number_after};
use crate::bench::results::{clear, folder, write};
use crate::build::{self, Built};
use crate::steps::{Result, run};
use crate::workspace::{self, cargo};

/// The number of rows of the public churn table.
const ROWS: u64 = 7043;

/// The default number of repeats. From a million rows on it is one.
const REPEAT: usize = 5;

pub(super) fn lifecycle(options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::Without)?;
    let rows = options.rows.unwrap_or(ROWS);
    let work = folder()?.join(format!("lifecycle-{rows}"));
    fs::create_dir_all(&work).map_err(|error| format!("cannot create {}: {error}", work.display()))?;
    let table = customers(&work, rows)?;
    let peers = match &options.peer {
        Some(python) => Peer::all(python, options, &table)?,
        None => Vec::new(),
    };
    let repeat = options.repeat.unwrap_or(if rows >= 1_000_000 { 1 } else { REPEAT });
    let ours = || {
        clear(&work.join("home"))?;
        measure(&mut run_of(&built, options, &work, &table))
    };
    // Fills the cache of compiled components, which is warm in daily use. This run is not counted.
    ours()?;
    let mut costs = Vec::with_capacity(repeat);
    let mut peer_costs: Vec<Vec<Cost>> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..repeat {
        costs.push(ours()?);
        for (peer, costs) in peers.iter().zip(&mut peer_costs) {
            costs.push(measure(&mut peer.command())?);
        }
    }
    let found = Medians::of(&costs);
    let mut json = told(&format!("{rows} rows{}, {}", with(options), options.model), &costs, &found);
    if let Some(cost) = costs.last() {
        stages(&cost.stdout);
    }
    for (peer, costs) in peers.iter().zip(&peer_costs) {
        let theirs = Medians::of(costs);
        json.push_str(&format!(",\"{}\":{{{}}}", peer.model, told(&format!("  {}", peer.model), costs, &theirs)));
        println!(
            "    we take {:.2} of its wall time, {:.2} of its CPU time, {:.2} of its memory",
            found.wall_s / theirs.wall_s,
            found.cpu_s / theirs.cpu_s,
            found.peak_mib / theirs.peak_mib
        );
    }
    write(
        &format!("lifecycle-{rows}-{}{}.json", options.model, if options.smote { "-smote" } else { "" }),
        &format!(
            "{{\"rows\":{rows},\"model\":\"{}\",\"smote\":{},\"repeat\":{repeat},{json}}}\n",
            options.model, options.smote
        ),
    )
}

fn with(options: &Options) -> &'static str {
    if options.smote { " with SMOTE" } else { "" }
}

/// Prints the cost of a program's runs, and returns it as members of a JSON object.
fn told(who: &str, costs: &[Cost], found: &Medians) -> String {
    let Medians { wall_s, cpu_s, peak_mib } = found;
    let auc = costs.last().and_then(|cost| number_after(&cost.stdout, "roc_auc")).unwrap_or(f64::NAN);
    println!(
        "{who}: wall {wall_s:.2} s, cpu {cpu_s:.2} s, peak {peak_mib:.0} MiB, roc_auc {auc:.4} (median of {})",
        costs.len()
    );
    format!("\"wall_s\":{wall_s:.3},\"cpu_s\":{cpu_s:.3},\"peak_mib\":{peak_mib:.1},\"roc_auc\":{auc}")
}

fn run_of(built: &Built, options: &Options, work: &Path, table: &Path) -> Command {
    let config = if options.smote { "config/churn-smote.toml" } else { "config/churn.toml" };
    let mut command = Command::new(&built.binary);
    command
        .current_dir(workspace::root())
        .env("STAGEWRIGHT_CACHE", work.join("cache"))
        .arg("--home")
        .arg(work.join("home"))
        .args(["run", config, "--json", "--no-cache", "--set", &format!("training.component=train-{}", options.model)])
        .args(peer_parameters(&options.model))
        .arg("--source")
        .arg(format!("customers=sqlite:{}#customers", table.display()));
    if let Some(workers) = options.workers {
        command.args(["--workers", &workers.to_string()]);
    }
    command
}

/// Returns the hyperparameters of the peers.
pub(super) fn peer_parameters(model: &str) -> Vec<String> {
    let parameters: &[&str] = match model {
        "forest" => &["training.n_estimators=200", "training.max_depth=12", "training.min_samples_leaf=5"],
        "boosted" => &[
            "training.n_estimators=300",
            "training.max_depth=6",
            "training.learning_rate=0.05",
            "training.min_child_weight=5",
            "training.lambda=5",
            "training.subsample=0.8",
            "training.colsample=0.8",
            "training.early_stopping_rounds=0",
        ],
        _ => &[],
    };
    parameters.iter().flat_map(|parameter| ["--set".to_owned(), (*parameter).to_owned()]).collect()
}

/// Prints elapsed and CPU time by stage from a run's JSON.
fn stages(json: &str) {
    for part in json.split("\"name\": \"").skip(1) {
        let name = part.split('"').next().unwrap_or_default();
        let head = part.split("\"artifacts\"").next().unwrap_or_default();
        if let (Some(wall), Some(cpu)) = (number_after(head, "wall_ms"), number_after(head, "cpu_ms")) {
            println!("    {name:<16} wall {wall:>9.1} ms   cpu {cpu:>9.1} ms");
        }
    }
}

/// Returns a SQLite table of generated customers. It is kept between benchmarks.
fn customers(work: &Path, rows: u64) -> Result<PathBuf> {
    let database = work.join("generated.db");
    if !database.exists() {
        run(cargo()
            .args(["bench", "--quiet", "--workspace", "--bench", "customers", "--"])
            .arg(&database)
            .arg(rows.to_string()))?;
    }
    Ok(database)
}

/// A Python program that does the same job.
struct Peer {
    python: PathBuf,
    model: &'static str,
    smote: bool,
    table: PathBuf,
}

impl Peer {
    /// Returns the peers of our model: for boosting the two libraries that it is compared with.
    fn all(python: &Path, options: &Options, table: &Path) -> Result<Vec<Self>> {
        let models: &[&'static str] = match options.model.as_str() {
            "forest" => &["forest"],
            "boosted" => &["xgboost", "lightgbm"],
            _ => &["logistic"],
        };
        let peer = |&model| Self { python: python.into(), model, smote: options.smote, table: table.into() };
        let peers: Vec<Self> = models.iter().map(peer).collect();
        peers.iter().try_for_each(Self::check)?;
        Ok(peers)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(workspace::root().join("tests/benchmarks/peer.py")).arg("--database").arg(&self.table);
        command.args(["--model", self.model]);
        if self.smote {
            command.arg("--smote");
        }
        for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(threads, "1");
        }
        command
    }

    /// Checks that the packages are there, and names those that are missing.
    fn check(&self) -> Result<()> {
        let shown = self.python.display();
        let output =
            self.command().arg("--check").output().map_err(|error| format!("cannot start {shown}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{shown} cannot run the peer: {}{}\nhint: `{shown} -m pip install -r tests/parity/requirements.txt`, or name another with --peer PYTHON",
            String::from_utf8_lossy(&output.stdout).trim(),
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}
