//! Measures `prepare-table`: a join of purchases with five times as many events, and sums over 30
//! days. On request, native polars does the same for comparison.

use std::fs;
use std::process::Command;

use crate::bench::options::Options;
use crate::bench::process::{measure, median, number_after};
use crate::bench::results::{clear, folder, write};
use crate::build;
use crate::steps::Result;
use crate::workspace;

/// The default number of purchases.
const ROWS: u64 = 1_000_000;

/// The events for each purchase.
const EVENTS: u64 = 5;

/// The default number of repeats.
const REPEAT: usize = 3;

/// The preparations, with the figure of the peer that is compared.
const STEPS: [(&str, &str); 2] = [("joined", "join_s"), ("rolled", "rolling_s")];

pub(super) fn preparation(options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::Without)?;
    build::prepare_table()?;
    let rows = options.rows.unwrap_or(ROWS);
    let work = folder()?.join("preparation");
    clear(&work)?;
    let manifest = work.join("retail.toml");
    fs::write(&manifest, pipeline(rows)).map_err(|error| error.to_string())?;
    let ours = || {
        let mut command = Command::new(&built.binary);
        command.current_dir(workspace::root()).arg("--home").arg(work.join("home")).arg("run").arg(&manifest);
        measure(command.args(["--json", "--no-cache", "--until", "preparation"]))
    };
    // Compiles the components, and writes the tables that the peer reads. This one is not counted.
    ours()?;
    let (mut found, mut theirs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut peak = 0.0_f64;
    for _ in 0..options.repeat.unwrap_or(REPEAT) {
        let ran = ours()?.stdout;
        for ((step, _), seconds) in STEPS.iter().zip(&mut found) {
            seconds.push(of_step(&ran, step, "wall_ms")? / 1e3);
            peak = peak.max(of_step(&ran, step, "peak_memory_bytes")? / f64::from(1 << 20));
        }
        if let Some(python) = &options.peer {
            let mut command = Command::new(python);
            command.current_dir(workspace::root()).arg("tests/benchmarks/prepare_peer.py").arg(work.join("tables"));
            let told = measure(&mut command)?.stdout;
            for ((_, figure), seconds) in STEPS.iter().zip(&mut theirs) {
                seconds.push(number_after(&told, figure).ok_or_else(|| format!("the peer told no {figure}: {told}"))?);
            }
        }
    }
    let mut figures = Vec::new();
    for (((step, _), ours), theirs) in STEPS.iter().zip(found).zip(theirs) {
        let ours = median(ours);
        print!("{step}: {rows} purchases, {} events: {ours:.2} s behind both walls", rows * EVENTS);
        let mut figure = format!("\"{step}\":{{\"wall_s\":{ours:.3}");
        if !theirs.is_empty() {
            let theirs = median(theirs);
            print!("; native polars {theirs:.2} s, {:.2} times", ours / theirs);
            figure.push_str(&format!(",\"peer_s\":{theirs:.3}"));
        }
        println!();
        figures.push(figure + "}");
    }
    println!("peak memory of a preparation: {peak:.0} MiB");
    let figures = figures.join(",");
    write(&format!("data-preparation-{rows}.json"), &format!("{{\"rows\":{rows},\"peak_mib\":{peak:.1},{figures}}}\n"))
}

/// Returns a figure of a step in the summary of a run.
fn of_step(summary: &str, step: &str, figure: &str) -> Result<f64> {
    let stages = summary.split_once("\"stages\":").map_or("", |(_, stages)| stages);
    let names = [format!("\"name\": \"{step}\""), format!("\"name\":\"{step}\"")];
    let own = names.iter().find_map(|name| stages.split_once(name.as_str())).map(|(_, own)| own);
    own.and_then(|own| number_after(own, figure)).ok_or_else(|| format!("the run told no {figure} of {step}"))
}

/// Returns a pipeline with the two preparations.
fn pipeline(rows: u64) -> String {
    let events = rows * EVENTS;
    format!(
        r#"pipeline = "preparation"
experiment = "bench"
model = "preparation"
seed = 1
[task]
kind = "binary"
target = "churn"
positive = "Yes"
[stages.transactions]
world = "ingestion"
component = "ingest-synthetic"
parameters = {{ table = "transactions", rows = {rows} }}
[stages.events]
world = "ingestion"
component = "ingest-synthetic"
parameters = {{ table = "user_events", rows = {events} }}
[stages.joined]
world = "preparation"
component = "prepare-table"
inputs = {{ transactions = "transactions", events = "events" }}
limits = {{ memory = "4 GiB" }}
[[stages.joined.parameters.steps]]
table = "transactions"
as_of = {{ with = "events", by = ["user_id"], time = "at", columns = ["device"] }}
[stages.rolled]
world = "preparation"
component = "prepare-table"
inputs = {{ transactions = "transactions" }}
limits = {{ memory = "4 GiB" }}
[[stages.rolled.parameters.steps]]
window = {{ by = ["user_id"], time = "at", length = "30d", columns = {{ total_30d = {{ of = "amount", aggregate = "sum" }} }} }}
[stages.check-joined]
world = "validation"
component = "validate-table"
inputs = {{ table = "joined" }}
[stages.validation]
component = "validate-table"
inputs = {{ table = "rolled" }}
[stages.transformation]
component = "transform-table"
inputs = {{ table = "rolled" }}
[stages.training]
component = "train-logistic"
[stages.evaluation]
component = "evaluate-classifier"
[stages.promotion]
component = "promote-gated"
[components.prepare-table]
stubs = ["filesystem"]
[gates]
primary = "roc_auc"
[outputs]
"tables/transactions.arrow" = "transactions.table"
"tables/events.arrow" = "events.table"
"#
    )
}
