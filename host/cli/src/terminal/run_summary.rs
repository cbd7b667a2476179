//! The tables at the end of a run.

use stagewright_evaluation::report::Verdict;
use stagewright_lifecycle::summary::Summary;
use stagewright_manifest::World;
use stagewright_store::CHAMPION;
use stagewright_text::Untrusted;

use super::tables::{Cell, right, table};
use super::units::{bytes, milliseconds};

/// Shows what a run did: stages, metrics, the decision.
pub(crate) fn show_summary(summary: &Summary) {
    println!("\nrun {}", summary.run_id);
    let mut stages = table(&[
        "stage",
        "component",
        "wall",
        "cpu",
        "peak memory",
        "rows in",
        "rows out",
        "bytes in",
        "bytes out",
        "copied",
    ]);
    for stage in &summary.stages {
        // The resources that are on record are those of the run that executed the stage.
        let time = |used| right(if stage.cached { "cached".to_owned() } else { milliseconds(used) });
        stages.add_row(vec![
            Cell::new(&stage.name),
            Cell::new(&stage.component),
            time(stage.usage.wall_ms),
            time(stage.usage.cpu_ms),
            right(bytes(stage.usage.peak_memory_bytes)),
            right(stage.usage.rows_in),
            right(stage.usage.rows_out),
            right(bytes(stage.usage.bytes_in)),
            right(bytes(stage.usage.bytes_out)),
            right(bytes(stage.usage.bytes_copied)),
        ]);
    }
    println!("{stages}");
    if summary.cached > 0 {
        println!(
            "{} of {} stages were not executed, because an earlier run did the same (`stagewright plan --explain`)",
            summary.cached,
            summary.stages.len()
        );
    }
    if let Some(walls) = missing_walls(summary) {
        println!("walls: not around every stage stood {walls} (`stagewright doctor` says why)");
    }
    show_limits(summary);
    show_warnings(summary);
    show_metrics(summary);
    show_rows(summary);
    show_decision(summary);
}

/// Shows what preparations used of their limits, because they hold their tables in memory.
fn show_limits(summary: &Summary) {
    for stage in summary.stages.iter().filter(|stage| stage.world == World::Preparation) {
        let Some(limits) = stage.invocation.as_ref().map(|invocation| &invocation.guest.limits) else { continue };
        println!(
            "{}: used {} of {} memory and {} of {} CPU time",
            stage.name,
            bytes(stage.usage.peak_memory_bytes),
            bytes(limits.memory),
            milliseconds(stage.usage.cpu_ms),
            milliseconds(limits.cpu.as_secs_f64() * 1e3)
        );
    }
}

/// The most warnings of a stage that are shown; `runs show` has all.
const WARNINGS: usize = 5;

/// Shows what the components of cached stages warned of. The others have said it already.
fn show_warnings(summary: &Summary) {
    for stage in summary.stages.iter().filter(|stage| stage.cached) {
        for warning in stage.warnings.iter().take(WARNINGS) {
            println!("{}: {}", stage.name, Untrusted::new(warning));
        }
        if stage.warnings.len() > WARNINGS {
            let more = stage.warnings.len() - WARNINGS;
            println!("{}: {more} more warnings (`stagewright runs show {}`)", stage.name, summary.run_id);
        }
    }
}

/// Returns the names of the walls that were missing around a stage, if any were.
fn missing_walls(summary: &Summary) -> Option<String> {
    let missing = |wall: &&str| summary.stages.iter().any(|stage| !stage.walls.iter().any(|stood| stood == wall));
    let missing: Vec<&str> = ["wasm", "seccomp", "landlock", "rlimits"].into_iter().filter(missing).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn show_metrics(summary: &Summary) {
    let Some(metrics) = &summary.metrics else { return };
    let mut shown = table(&["metric", "candidate", "champion"]);
    for (name, value) in metrics.candidate.iter() {
        let champion =
            metrics.champion.as_ref().map_or_else(|| "none".to_owned(), |champion| figure(champion.get(name)));
        shown.add_row(vec![Cell::new(name), right(figure(value)), right(champion)]);
    }
    println!("{shown}");
}

/// Shows how many rows were compared, if the champion learnt from some of the test rows.
fn show_rows(summary: &Summary) {
    let Some(rows) = &summary.evaluation else { return };
    let known = |rows: Option<u64>| rows.map_or_else(|| "unknown".to_owned(), |rows| rows.to_string());
    if summary.metrics.as_ref().is_some_and(|metrics| metrics.champion.is_some()) {
        let compared = known(rows.compared_rows);
        match rows.champion_overlap_rows {
            Some(0) => println!("compared on {compared} test rows; the champion learnt from none of them"),
            Some(learnt) => println!(
                "compared on {compared} of {} test rows: the champion learnt from {learnt} of the others",
                rows.test_rows
            ),
            None => println!(
                "compared on {compared} test rows; which of them the champion learnt from is not known, so it may look better than it is"
            ),
        }
    }
}

fn show_decision(summary: &Summary) {
    if summary.is_champion_already
        && let Some(model) = &summary.model
    {
        println!(
            "nothing to judge: the candidate is `{}` version {}, which is the champion already",
            model.name, model.version
        );
    }
    let Some(decision) = &summary.decision else { return };
    let mut shown = table(&["gate", "", "reason"]);
    for reason in &decision.reasons {
        let word = if reason.passed { "passed" } else { "FAILED" };
        shown.add_row(vec![reason.gate.as_str(), word, reason.message.as_str()]);
    }
    println!("{shown}");
    let stays = match decision.judged_against {
        Some(champion) => format!("version {champion} stays the champion"),
        None => "there is no champion".to_owned(),
    };
    let word = match decision.verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
        Verdict::Undecided => "undecided",
    };
    match (&summary.model, decision.verdict) {
        (Some(model), Verdict::Approved) if model.aliases.iter().any(|alias| alias == CHAMPION) => {
            println!("{word}: `{}` version {} is the champion", model.name, model.version);
        }
        (Some(model), _) => println!("{word}: `{}` version {} is registered; {stays}", model.name, model.version),
        (None, _) => println!("{word}: nothing is registered; {stays}"),
    }
}
