//! Measures `predict` as a process: many generated customers from Parquet, to CSV. On request, a
//! Python program does the same for comparison.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::lifecycle::peer_parameters;
use crate::bench::options::Options;
use crate::bench::process::{Cost, Medians, measure};
use crate::bench::results::{clear, folder, write};
use crate::build::{self, Built};
use crate::steps::{Result, run};
use crate::workspace;

/// The default number of rows to predict.
const ROWS: u64 = 1_000_000;

/// The default number of repeats.
const REPEAT: usize = 5;

/// The default number of instances at once.
const WORKERS: u32 = 2;

/// The rows that the model is trained on: those of the public churn table.
const TRAINED_ON: u64 = 7043;

pub(super) fn predict(options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::Without)?;
    let rows = options.rows.unwrap_or(ROWS);
    let work = folder()?.join("predict");
    fs::create_dir_all(&work).map_err(|error| format!("cannot create {}: {error}", work.display()))?;
    let table = customers(&built, &work, rows)?;
    train(&built, &work, options)?;
    let peer = match &options.peer {
        Some(python) => Some(Peer::trained(python, &built, &work, options, &table)?),
        None => None,
    };
    let workers = options.workers.unwrap_or(WORKERS);
    let ours = || {
        let mut command = stagewright(&built, &work, "home");
        command.args(["predict", "churn-classifier", "--keep", "customerID", "--workers", &workers.to_string()]);
        command.arg("--input").arg(&table).arg("--output").arg(work.join("predictions.csv"));
        measure(&mut command)
    };
    // Fills the caches of compiled components and of the file. This one is not counted.
    ours()?;
    let (mut costs, mut peer_costs) = (Vec::new(), Vec::new());
    for _ in 0..options.repeat.unwrap_or(REPEAT) {
        costs.push(ours()?);
        if let Some(peer) = &peer {
            peer_costs.push(measure(&mut peer.command(true))?);
        }
    }
    let found = Medians::of(&costs);
    let mut json = told(&format!("{rows} rows, {}, {workers} workers", options.model), rows, &costs, &found);
    if peer.is_some() {
        let theirs = Medians::of(&peer_costs);
        json.push_str(&format!(",\"peer\":{{{}}}", told("  peer", rows, &peer_costs, &theirs)));
        println!(
            "    we take {:.2} of its wall time, {:.2} of its CPU time, {:.2} of its memory",
            found.wall_s / theirs.wall_s,
            found.cpu_s / theirs.cpu_s,
            found.peak_mib / theirs.peak_mib
        );
    }
    write(
        &format!("predict-{rows}-{}.json", options.model),
        &format!("{{\"rows\":{rows},\"model\":\"{}\",\"workers\":{workers},{json}}}\n", options.model),
    )
}

/// Prints the cost of a program's runs, and returns it as members of a JSON object.
fn told(who: &str, rows: u64, costs: &[Cost], found: &Medians) -> String {
    let Medians { wall_s, cpu_s, peak_mib } = found;
    let rate = rows as f64 / wall_s / 1e6;
    println!(
        "{who}: wall {wall_s:.2} s, cpu {cpu_s:.2} s, peak {peak_mib:.0} MiB, {rate:.2} million rows/s (median of {})",
        costs.len()
    );
    format!("\"wall_s\":{wall_s:.3},\"cpu_s\":{cpu_s:.3},\"peak_mib\":{peak_mib:.1}")
}

fn stagewright(built: &Built, work: &Path, home: &str) -> Command {
    let mut command = Command::new(&built.binary);
    command.current_dir(workspace::root()).env("STAGEWRIGHT_CACHE", work.join("cache"));
    command.arg("--home").arg(work.join(home));
    command
}

/// Returns generated customers as Parquet. The file is kept between benchmarks.
fn customers(built: &Built, work: &Path, rows: u64) -> Result<PathBuf> {
    let table = work.join(format!("customers-{rows}.parquet"));
    if !table.exists() {
        clear(&work.join("generated"))?;
        run(generating(built, work, "generated", rows).args(["--until", "ingestion"]))?;
        let mut export = stagewright(built, work, "generated");
        run(export.args(["artifacts", "export", "ingestion.table", "--output"]).arg(&table))?;
        clear(&work.join("generated"))?;
    }
    Ok(table)
}

/// Returns the run of the churn pipeline on so many generated customers.
fn generating(built: &Built, work: &Path, home: &str, rows: u64) -> Command {
    let mut command = stagewright(built, work, home);
    command.args(["run", "config/churn.toml", "--json", "--set", "ingestion.component=ingest-synthetic"]);
    command.args(["--set", &format!("ingestion.rows={rows}")]);
    command
}

/// Trains the model. With a peer, it has the peer's hyperparameters, else those of the manifest.
fn train(built: &Built, work: &Path, options: &Options) -> Result<()> {
    clear(&work.join("home"))?;
    let mut command = generating(built, work, "home", TRAINED_ON);
    command.args(["--set", &format!("training.component=train-{}", options.model)]);
    // Whether it would pass the gates does not matter.
    command.args(["--set", "gates.minimum.accuracy=0.5", "--set", "gates.minimum.roc_auc=0.5"]);
    if options.peer.is_some() {
        command.args(peer_parameters(&options.model));
    }
    measure(&mut command).map(|_| ())
}

/// A Python program that does the same.
struct Peer {
    python: PathBuf,
    model: String,
    work: PathBuf,
    table: PathBuf,
}

impl Peer {
    /// Trains the peer's model on as many customers.
    fn trained(python: &Path, built: &Built, work: &Path, options: &Options, table: &Path) -> Result<Self> {
        let mut export = stagewright(built, work, "home");
        run(export.args(["artifacts", "export", "ingestion.table", "--output"]).arg(work.join("training.parquet")))?;
        let (python, model) = (python.to_owned(), options.model.clone());
        let peer = Self { python, model, work: work.to_owned(), table: table.to_owned() };
        run(&mut peer.command(false))?;
        Ok(peer)
    }

    fn command(&self, predicts: bool) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(workspace::root().join("tests/benchmarks/predict_peer.py")).args(["--model", &self.model]);
        command.arg("--pickle").arg(self.work.join("peer.pickle"));
        if predicts {
            command.arg("--predict").arg(&self.table).arg("--output").arg(self.work.join("peer.csv"));
        } else {
            command.arg("--train").arg(self.work.join("training.parquet"));
        }
        for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(threads, WORKERS.to_string());
        }
        command
    }
}
