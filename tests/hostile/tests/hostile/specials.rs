//! Misdeeds that show only in comparison with another run or in the artifacts of a run.

use std::sync::Arc;

use misbehave::{Export, Misdeed};
use stagewright_evaluation::report::Verdict;
use stagewright_hostile::{Attempt, Ended, Workshop, guests};
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::Component;
use stagewright_manifest::World;
use stagewright_runtime::{RuntimeError, StubGrants};
use stagewright_store::CHAMPION;

use crate::misdeeds::{attempt, fault, judge, nothing_is_visible};
use crate::plans::{Expect, clean, place};

/// Returns the log lines in an order that does not depend on workers.
fn lines(ended: &Ended) -> Vec<String> {
    let mut lines = ended.lines.clone();
    lines.sort();
    lines
}

/// Returns the bytes of an artifact of the last stage that ran.
fn artifact(workshop: &Workshop, ended: &Ended, name: &str) -> String {
    let outputs = ended.record.iter().flat_map(|stage| &stage.outputs);
    let record = outputs.into_iter().find(|output| output.name == name).expect("an artifact of this name");
    let document = workshop.home().artifacts.open_document(&record.digest, &record.media_type).expect("a document");
    String::from_utf8(document.bytes().to_vec()).expect("UTF-8")
}

pub(crate) fn well(what: &str, ended: &Ended) {
    assert!(ended.result.is_ok(), "{what}: {}", ended.error());
    nothing_is_visible(what, ended);
}

/// Row 2: the wall limit ends a stage whatever it does. The limit is small, so that the suite is
/// quick.
pub(crate) fn wall(workshop: &Workshop) -> usize {
    for export in Export::ALL.iter().copied() {
        let ended = attempt(workshop, Misdeed::Loop, export, &["limits.wall=100 ms"], &[]);
        judge(workshop, Misdeed::Loop, export, Expect::Limit("wall"), &ended);
    }
    Export::ALL.len()
}

/// Row 3: no single call uses much CPU time, but all of them together use too much.
pub(crate) fn dawdle(workshop: &Workshop) -> usize {
    let freely = attempt(workshop, Misdeed::Dawdle, Export::Fit, &[], &[]);
    well("`dawdle` with time enough", &freely);
    let spent = freely.summary.stages[0].usage.cpu_ms;
    // Its six calls use about the same. Half of their sum is more than any of them and less than
    // all.
    let limit = format!("limits.cpu={} ms", (spent / 2.0).ceil().max(10.0));
    let stopped = attempt(workshop, Misdeed::Dawdle, Export::Fit, &[&limit], &[]);
    match &stopped.result {
        Err(RunError::Stage(StageFault::Limit { kind, used, allowed, .. })) => {
            assert!(kind.key() == "cpu" && used > allowed, "{}", stopped.error());
        }
        _ => panic!("`dawdle` with {limit} of {spent} ms went on: {}", stopped.error()),
    }
    nothing_is_visible("`dawdle`", &stopped);
    workshop.next_run_is_well(place(Export::Fit).1);
    2
}

/// Row 11: a stage may write bytes that look like the store's own files. They are never read as
/// such.
pub(crate) fn forged_files(workshop: &Workshop, export: Export) -> usize {
    let ended = attempt(workshop, Misdeed::ForgedFiles, export, &[], &[]);
    well("`forged-files`", &ended);
    let name = if export == Export::Fit { "state" } else { "model" };
    let outputs = ended.record.iter().flat_map(|stage| &stage.outputs);
    let record = outputs.into_iter().find(|output| output.name == name).expect("a blob of this name");
    let blob = workshop.home().artifacts.open_blob(&record.digest).expect("it is opened as bytes");
    // The parts of a training are merged, so their own bytes are gone.
    assert!(export == Export::TrainShard || blob.size() > 1 << 20, "{} bytes", blob.size());
    // Nothing opens it as what it pretends to be.
    assert!(workshop.home().artifacts.open_table(&record.digest).is_err());
    workshop.next_run_is_well(place(export).1);
    1
}

/// Row 13: file system and sockets are refused by name without a grant, and refuse every call with
/// it.
pub(crate) fn wasi(workshop: &Workshop) -> usize {
    let bytes = std::fs::read(guests().join("misbehave-wasi.wasm")).expect("a guest: run `cargo xtask stages`");
    let halves = [(false, false), (true, false), (false, true)];
    for (filesystem, sockets) in halves {
        let stubs = StubGrants { filesystem, sockets };
        let refused = workshop.resolve(World::Ingestion, "misbehave-wasi", &bytes, stubs).expect_err("it is refused");
        let RuntimeError::Import { import, grant, .. } = &refused else { panic!("{refused}") };
        let missing = if filesystem { "sockets" } else { "filesystem" };
        assert!(
            import.starts_with("wasi:filesystem/") || import.starts_with("wasi:sockets/"),
            "{refused} does not name the import"
        );
        assert!(halves[0] == (filesystem, sockets) || import.contains(missing), "{refused}");
        assert!(grant.as_ref().is_some_and(|grant| grant.contains("stubs = [")), "{refused} names no grant");
        workshop.next_run_is_well(World::Ingestion..=World::Ingestion);
    }
    let stubs = StubGrants { filesystem: true, sockets: true };
    let component = workshop.resolve(World::Ingestion, "misbehave-wasi", &bytes, stubs).expect("with stubs it links");
    // Without stubs, no prepared code of the same bytes exists.
    let bare = Component { stubs: Vec::new(), ..Component::clone(&component) };
    let refused = workshop.attempt(&Attempt {
        component: Some(Arc::new(bare)),
        set: vec!["ingestion.component=misbehave-wasi".into()],
        ..Attempt::of(World::Ingestion..=World::Ingestion)
    });
    assert!(refused.error().contains("was not resolved"), "{}", refused.error());
    let ended = workshop.attempt(&Attempt {
        component: Some(component),
        set: vec!["ingestion.component=misbehave-wasi".into()],
        ..Attempt::of(World::Ingestion..=World::Ingestion)
    });
    // The component fails if any attempt succeeds.
    well("`misbehave-wasi`", &ended);
    assert!(ended.lines.len() > 20, "it tried {} things", ended.lines.len());
    assert!(!std::path::Path::new("/tmp/owned.txt").exists());
    workshop.next_run_is_well(World::Ingestion..=World::Ingestion);
    halves.len() + ended.lines.len()
}

/// Row 19: an instance knows nothing of another one, of this run or an earlier one.
pub(crate) fn remember(workshop: &Workshop) -> usize {
    let mut attempts = 0;
    for export in [
        Export::Ingest,
        Export::Prepare,
        Export::Validate,
        Export::Fit,
        Export::Train,
        Export::Merge,
        Export::Evaluate,
        Export::Decide,
    ] {
        let runs = [(); 2].map(|()| attempt(workshop, Misdeed::Remember, export, &[], &[]));
        runs.iter().for_each(|run| well("`remember`", run));
        assert!(
            !runs[0].lines.is_empty() && lines(&runs[0]) == lines(&runs[1]),
            "{:?} and {:?}",
            runs[0].lines,
            runs[1].lines
        );
        assert_eq!(runs[0].digests(), runs[1].digests());
        // Each of these is the first call of an instance; `fields` and `transform` follow `load` in
        // the same one.
        let own = format!(": {}: seen 0", export.name());
        assert!(runs[1].lines.iter().any(|line| line.ends_with(&own)), "{export:?} logged {:?}", runs[1].lines);
        for first in [
            "ingest",
            "prepare",
            "validate",
            "fit",
            "load",
            "rebalance",
            "train",
            "load-predictor",
            "plan-shards",
            "train-shard",
            "merge",
        ] {
            let ends = format!(": {first}: seen ");
            let mut seen = runs[1].lines.iter().filter_map(|line| line.split_once(&ends)).map(|(_, seen)| seen);
            assert!(seen.all(|seen| seen == "0"), "`{first}` remembers: {:?}", runs[1].lines);
        }
        workshop.next_run_is_well(place(export).1);
        attempts += runs.len();
    }
    attempts
}

/// Row 20: perfect metrics of an evaluation and an approval by a promotion change no verdict and
/// move no alias.
pub(crate) fn promotion(workshop: &Workshop) -> usize {
    let forged = |misdeed: Misdeed, export: Export, world: World| {
        let ended = workshop.attempt(&Attempt {
            set: vec![format!("{world}.misdeed={}", misdeed.name()), format!("{world}.export={}", export.name())],
            ..Attempt::of(World::Evaluation..=World::Promotion)
        });
        well(misdeed.name(), &ended);
        let metrics = ended.summary.metrics.as_ref().expect("metrics");
        let auc = metrics.candidate.iter().find(|(name, _)| *name == "roc_auc").and_then(|(_, value)| value);
        assert!(auc.is_some_and(|auc| auc > 0.5 && auc < 0.999), "the host's figure is {auc:?}");
        let decision = ended.summary.decision.as_ref().expect("a decision");
        assert_eq!(decision.verdict, Verdict::Rejected, "{decision:?}");
        let gate = decision.reasons.iter().find(|reason| reason.gate == "minimum roc_auc").expect("the gate");
        assert!(!gate.passed && !gate.message.contains("all is well"), "{gate:?}");
        let champion = workshop.home().registry.alias("hostile", CHAMPION).expect("the registry");
        assert_eq!(champion, None, "`{}` moved the champion", misdeed.name());
        workshop.next_run_is_well(World::Evaluation..=World::Promotion);
    };
    forged(Misdeed::ForgedMetrics, Export::Evaluate, World::Evaluation);
    forged(Misdeed::ApproveAnyway, Export::Decide, World::Promotion);
    2
}

/// Row 20: a model's outputs must be possible, and must be what the task asks for.
pub(crate) fn outputs(workshop: &Workshop) -> usize {
    let parts: [&[&str]; 8] = [
        &["1000000 outputs; at most 1024"],
        &["the task wants `probability(1)` first"],
        &["it predicts `value`"],
        &["other(size) is there twice"],
        &["quantile(0.1)", "increase"],
        &["quantile(NaN)", "between 0 and 1"],
        &["probability(7)", "2 classes"],
        &["a name has lower case"],
    ];
    for (variant, parts) in parts.iter().enumerate() {
        let parameters = [format!("variant={variant}")];
        let ended = attempt(workshop, Misdeed::ForgedOutputs, Export::Outputs, &[], &parameters);
        fault("`forged-outputs`", "contract", parts, &ended);
        nothing_is_visible("`forged-outputs`", &ended);
    }
    workshop.next_run_is_well(place(Export::Outputs).1);
    parts.len()
}

/// Row 20: importance must belong to existing features and be valid numbers.
pub(crate) fn importance(workshop: &Workshop) -> usize {
    let parts: [&[&str]; 5] = [
        &["importance of `x` is NaN"],
        &["importance of `x` is -1"],
        &["no finite sum"],
        &["4 numbers came back for 5 inputs"],
        &["1000000 numbers came back for 5 inputs"],
    ];
    for (variant, parts) in parts.iter().enumerate() {
        let parameters = [format!("variant={variant}")];
        let ended = attempt(workshop, Misdeed::ForgedImportance, Export::Importance, &[], &parameters);
        fault("`forged-importance`", "contract", parts, &ended);
        nothing_is_visible("`forged-importance`", &ended);
        workshop.next_run_is_well(place(Export::Importance).1);
    }
    parts.len()
}

/// Row 20: a figure's texts are only text on the page.
pub(crate) fn script_figure(workshop: &Workshop, export: Export) -> usize {
    let ended = attempt(workshop, Misdeed::ScriptFigure, export, &[], &[]);
    well("`script-figure`", &ended);
    let page = artifact(workshop, &ended, "report");
    assert!(page.contains("DROP TABLE"), "the figure is not on the page");
    page_is_clean(&page);
    workshop.next_run_is_well(place(export).1);
    1
}

/// Row 30: the host's work with a stage's features counts as the stage's own time. The stage does
/// little with them, but each column costs the host a check, a digest and a position in a file.
pub(crate) fn host_work(workshop: &Workshop) -> usize {
    let before = process_cpu();
    let ended = attempt(workshop, Misdeed::WideFeatures, Export::Transform, &["limits.cpu=10 min"], &[]);
    let spent = process_cpu() - before;
    well("`wide-features`", &ended);
    let charged: f64 = ended.summary.stages.iter().map(|stage| stage.usage.cpu_ms / 1e3).sum();
    assert!(charged > spent / 2.0, "{charged} s were charged of the {spent} s that this process worked");
    let ended = attempt(workshop, Misdeed::WideFeatures, Export::Transform, &["limits.cpu=50 ms"], &[]);
    judge(workshop, Misdeed::WideFeatures, Export::Transform, Expect::Limit("cpu"), &ended);
    2
}

/// Returns the CPU time of this process in seconds.
fn process_cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn page_is_clean(page: &str) {
    assert!(!page.contains("<script>alert"), "the page has a stage's script");
    assert!(!page.contains('\u{1b}') && !page.contains('\u{202e}'), "the page has what turns or hides text");
}

/// Row 22: clocks start where the manifest says, and move with calls instead of time.
pub(crate) fn clocks(workshop: &Workshop) -> usize {
    for export in Export::ALL.iter().copied() {
        let runs = [(); 2].map(|()| attempt(workshop, Misdeed::ReadClocks, export, &[], &[]));
        runs.iter().for_each(|run| well("`read-clocks`", run));
        assert_eq!(lines(&runs[0]), lines(&runs[1]), "in `{}`", export.name());
        let elapsed: Vec<u64> =
            runs[0].lines.iter().filter_map(|line| line.split_once("elapsed ")?.1.parse().ok()).collect();
        // Twenty million rounds take milliseconds, and the clock moves by a microsecond per
        // reading.
        assert!(!elapsed.is_empty() && elapsed.iter().all(|elapsed| *elapsed < 100_000), "{elapsed:?} ns");
        assert!(runs[0].lines.iter().any(|line| line.contains("environment []")), "{:?}", runs[0].lines);
        workshop.next_run_is_well(place(export).1);
    }
    2 * Export::ALL.len()
}

/// Row 23: two encodings of the same values give the same artifacts.
pub(crate) fn canonical(workshop: &Workshop) -> usize {
    let mut attempts = 0;
    for (misdeed, export) in [
        (Misdeed::NanPayloads, Export::Ingest),
        (Misdeed::NanPayloads, Export::Prepare),
        (Misdeed::NanPayloads, Export::Transform),
        (Misdeed::NanPayloads, Export::Rebalance),
        (Misdeed::CategoryOrder, Export::Ingest),
        (Misdeed::CategoryOrder, Export::Prepare),
    ] {
        let variants = ["variant=0", "variant=1"];
        let runs = variants.map(|variant| attempt(workshop, misdeed, export, &[], &[variant.to_owned()]));
        runs.iter().for_each(|run| well(misdeed.name(), run));
        // The fitted state holds the orders, which include the variant.
        let made = runs.each_ref().map(|run| {
            let mut digests = run.digests();
            digests.remove("transformation.state");
            digests
        });
        assert_eq!(made[0], made[1], "`{}` in `{}`", misdeed.name(), export.name());
        let name = match export {
            Export::Ingest => "ingestion.table",
            Export::Prepare => "preparation.table",
            _ => "transformation.features-train",
        };
        let same_as_always = runs[0].digests().get(name) == workshop.expected(name);
        assert_eq!(same_as_always, misdeed == Misdeed::CategoryOrder, "`{}` did nothing", misdeed.name());
        workshop.next_run_is_well(place(export).1);
        attempts += runs.len();
    }
    attempts
}

/// Row 25: findings and reasons as long and as hostile as failures.
pub(crate) fn long_findings(workshop: &Workshop, export: Export) -> usize {
    let (world, stages) = place(export);
    let stages = if world == World::Validation { World::Validation..=World::Transformation } else { stages };
    let ended = workshop.attempt(&Attempt {
        set: vec![
            format!("{world}.misdeed={}", Misdeed::LongFindings.name()),
            format!("{world}.export={}", export.name()),
        ],
        ..Attempt::of(stages.clone())
    });
    match &ended.result {
        Err(RunError::Unfit { checks, .. }) => {
            assert_eq!((world, checks.len()), (World::Validation, 6));
            clean(&ended.error());
            page_is_clean(&artifact(workshop, &ended, "report"));
        }
        Ok(()) => {
            let decision = ended.summary.decision.as_ref().expect("a decision");
            let own = decision.reasons.iter().find(|reason| reason.message.contains("DROP TABLE")).expect("its reason");
            clean(&own.gate);
            clean(&own.message);
            assert!(!artifact(workshop, &ended, "decision").contains('\u{1b}'));
        }
        Err(error) => panic!("{error}"),
    }
    assert!(ended.left_over.is_empty());
    workshop.next_run_is_well(stages);
    1
}
