//! The plan of each misdeed: where it is tried, and the expected result.

use std::ops::RangeInclusive;

use misbehave::{Export, Misdeed};
use stagewright_hostile::Ended;
use stagewright_manifest::World;

use Export::{
    Decide, Evaluate, Fields, Fit, Importance, Ingest, Load, LoadPredictor, Merge, Outputs, PlanShards, Predict,
    Prepare, Rebalance, Train, TrainShard, Transform, TransformServed, Validate,
};

/// The expected result of an attempt.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    /// The stage ends at this limit. The error has used and allowed amounts.
    Limit(&'static str),
    /// The stage fails with an error of this kind that contains these words.
    Fault(&'static str, &'static [&'static str]),
    /// The run succeeds, and this check passes.
    Harmless(fn(&Ended)),
    /// The run is cancelled.
    Cancelled,
    /// Another function tries it, because it compares several runs.
    Special,
}

/// How a misdeed is tried.
pub(crate) struct Plan {
    /// Its row in docs/hostile.md.
    pub(crate) row: u8,
    /// The exports in which it is tried.
    pub(crate) exports: &'static [Export],
    /// The stage's limits, without the stage's name.
    pub(crate) limits: &'static [&'static str],
    /// The expected result.
    pub(crate) expect: Expect,
}

/// Returns the stage whose component has an export, and the stages that run until it is called.
pub(crate) fn place(export: Export) -> (World, RangeInclusive<World>) {
    match export {
        Ingest => (World::Ingestion, World::Ingestion..=World::Ingestion),
        Prepare => (World::Preparation, World::Preparation..=World::Preparation),
        Validate => (World::Validation, World::Validation..=World::Validation),
        Fit | Load | Fields | Transform | Rebalance => {
            (World::Transformation, World::Transformation..=World::Transformation)
        }
        TransformServed => (World::Transformation, World::Transformation..=World::Evaluation),
        Train | Importance | PlanShards | TrainShard | Merge => (World::Training, World::Training..=World::Training),
        LoadPredictor | Outputs | Predict => (World::Training, World::Training..=World::Evaluation),
        Evaluate => (World::Evaluation, World::Evaluation..=World::Evaluation),
        Decide => (World::Promotion, World::Promotion..=World::Promotion),
    }
}

/// Returns whether an export needs the training component with shards.
pub(crate) fn is_sharded(export: Export) -> bool {
    matches!(export, PlanShards | TrainShard | Merge)
}

const EVERYWHERE: &[Export] = Export::ALL;

/// Exports that can return a failure.
const FAILING: &[Export] = &[
    Ingest,
    Prepare,
    Validate,
    Fit,
    Load,
    Transform,
    TransformServed,
    Rebalance,
    Train,
    PlanShards,
    TrainShard,
    Merge,
    LoadPredictor,
    Predict,
    Evaluate,
    Decide,
];

/// Exports of worlds that have tables.
const WITH_TABLES: &[Export] = &[
    Ingest,
    Prepare,
    Validate,
    Fit,
    Load,
    Fields,
    Transform,
    TransformServed,
    Rebalance,
    Train,
    Importance,
    PlanShards,
    TrainShard,
    Merge,
    LoadPredictor,
    Outputs,
    Predict,
    Evaluate,
];

/// Exports with tables that work for a stage with artifacts, not for a prediction.
const MAKING_TABLES: &[Export] = &[
    Ingest, Prepare, Validate, Fit, Load, Fields, Transform, Rebalance, Train, Importance, PlanShards, TrainShard,
    Merge, Evaluate,
];

/// Exports with blobs that work for a stage with artifacts.
const MAKING_BLOBS: &[Export] =
    &[Fit, Load, Fields, Transform, Rebalance, Train, Importance, PlanShards, TrainShard, Merge];

/// Exports that are called once in a stage.
const ONCE: &[Export] =
    &[Ingest, Prepare, Validate, Fit, Rebalance, Train, Importance, PlanShards, Merge, Evaluate, Decide];

/// Exports that are given a table.
const READING: &[Export] = &[Prepare, Validate, Fit, Rebalance, Train, PlanShards, TrainShard, Evaluate];

/// Exports that take or return batches.
const WITH_BATCHES: &[Export] =
    &[Ingest, Prepare, Validate, Fit, Rebalance, Train, PlanShards, TrainShard, Transform, Evaluate];

/// Exports that are given a table or a blob.
const GIVEN: &[Export] =
    &[Prepare, Validate, Fit, Load, Rebalance, Train, PlanShards, TrainShard, LoadPredictor, Evaluate];

/// Little time keeps the suite quick. Work before the misdeed takes a few milliseconds.
const LITTLE_TIME: &[&str] = &["limits.cpu=100 ms"];

fn nothing(_: &Ended) {}

/// Asserts that lines were dropped, and that the kept ones are within the limit.
fn lines_were_dropped(ended: &Ended) {
    let dropped: u64 = ended.summary.stages.iter().map(|stage| stage.usage.log_lines_dropped).sum();
    assert!(dropped > 0, "no line was counted as dropped");
    let kept: usize = ended.lines.iter().map(String::len).sum();
    assert!(kept < 4 << 20, "{kept} bytes of lines were kept");
}

/// Asserts that of a hundred thousand empty lines only as many are kept as the limit allows.
fn empty_lines_were_dropped(ended: &Ended) {
    lines_were_dropped(ended);
    // Two stages: the one that misbehaves and one that works for it, with a mebibyte of log each.
    let most = 2 * (1 << 20) / 256;
    assert!(ended.lines.len() <= most, "{} lines were kept", ended.lines.len());
}

/// Asserts that no line contains terminal escapes or imitates the host's, neither in the record nor
/// on the way there.
fn lines_are_clean(ended: &Ended) {
    // In the record, a line has its stage beside it, which is printed before it.
    let recorded =
        ended.record.iter().flat_map(|stage| stage.logs.iter().map(|line| format!("{}: {}", stage.name, line.message)));
    let lines: Vec<String> = ended.lines.iter().cloned().chain(recorded).collect();
    assert!(lines.iter().any(|line| line.contains("<script>")), "nothing was logged");
    for line in &lines {
        clean(line);
    }
}

/// Asserts that a guest's text is safe to show.
pub(crate) fn clean(text: &str) {
    let bad = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
    assert!(!text.contains(bad), "{text:?} has what a terminal obeys");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("hint:")), "{text:?} looks like the host's");
    assert!(text.len() < 32 << 10, "{} bytes are shown", text.len());
}

/// Asserts that dropped points were counted and that the kept ones have valid names.
fn points_were_dropped(ended: &Ended) {
    lines_were_dropped(ended);
    let metrics: Vec<_> = ended.record.iter().flat_map(|stage| &stage.metrics).collect();
    assert!(!metrics.is_empty() && metrics.len() <= 100_000, "{} points", metrics.len());
    assert!(metrics.iter().all(|metric| metric.name == "loss"), "a badly named metric was kept");
}

/// Returns a misdeed's plan. There is no wildcard, so a misdeed without a test does not compile.
pub(crate) fn plan(misdeed: Misdeed) -> Plan {
    use Expect::{Cancelled, Fault, Harmless, Limit, Special};
    let (row, exports, limits, expect): (u8, &[Export], &[&str], Expect) = match misdeed {
        Misdeed::Loop => (1, EVERYWHERE, LITTLE_TIME, Limit("cpu")),
        Misdeed::Sleep => (2, EVERYWHERE, &["limits.wall=5 min"], Harmless(nothing)),
        Misdeed::Yield => (3, EVERYWHERE, LITTLE_TIME, Limit("cpu")),
        Misdeed::Dawdle => (3, &[], &[], Special),
        Misdeed::MemoryBomb => (4, EVERYWHERE, &["limits.memory=32 MiB"], Limit("memory")),
        Misdeed::Recursion => (6, EVERYWHERE, &[], Limit("bytes of stack")),
        Misdeed::FloodHandles => (7, EVERYWHERE, &[], Limit("handles")),
        Misdeed::FloodTables => (7, WITH_TABLES, &[], Limit("artifacts")),
        Misdeed::FloodBlobs => (7, MAKING_BLOBS, &[], Limit("artifacts")),
        Misdeed::FloodShards => (7, &[TrainShard], &[], Limit("artifacts of all instances")),
        Misdeed::FloodCursors => (7, &[Ingest], &[], Limit("cursors")),
        Misdeed::GiantLogLine => (8, EVERYWHERE, &["limits.memory=512 MiB"], Limit("bytes of one call")),
        Misdeed::GiantFailure => (8, FAILING, &["limits.memory=512 MiB"], Limit("bytes of one call")),
        Misdeed::GiantColumnList => (8, READING, &[], Fault("internal", &["column 0 is wanted twice"])),
        Misdeed::FloodSelections => (7, READING, &[], Limit("handles")),
        Misdeed::DeepSelections => (7, READING, &[], Harmless(nothing)),
        Misdeed::KeepHandles => (7, GIVEN, &[], Harmless(nothing)),
        Misdeed::ReturnGiven => (24, &[Prepare, Rebalance, TrainShard, Merge], &[], Harmless(nothing)),
        Misdeed::ReturnSelection => {
            (24, &[Ingest, Prepare, Rebalance], &[], Fault("contract", &["a selection", "a table of its own"]))
        }
        Misdeed::TooManyColumns => (8, MAKING_TABLES, &[], Fault("", &["200000 columns", "at most 65536"])),
        Misdeed::EndlessTable => (9, MAKING_TABLES, &["limits.output=1 MiB"], Limit("output")),
        Misdeed::EmptyTables => {
            (9, &[Ingest, Prepare, Evaluate], &["limits.output=64 MiB", "limits.cpu=5 min"], Limit("output"))
        }
        Misdeed::EndlessBlob => (9, MAKING_BLOBS, &["limits.output=1 MiB"], Limit("output")),
        Misdeed::HoardRows => (9, MAKING_TABLES, &["limits.memory=32 MiB", "limits.output=1 GiB"], Limit("memory")),
        Misdeed::HoardCategories => {
            (9, MAKING_TABLES, &["limits.memory=16 MiB", "limits.output=1 GiB"], Limit("memory"))
        }
        Misdeed::RowsWithoutColumns => (9, MAKING_TABLES, &[], Fault("", &["at least one column"])),
        Misdeed::FloodLog => (10, EVERYWHERE, &[], Harmless(lines_were_dropped)),
        Misdeed::FloodStdout => (10, EVERYWHERE, &[], Harmless(lines_were_dropped)),
        Misdeed::TerminalEscapes => (10, EVERYWHERE, &[], Harmless(lines_are_clean)),
        Misdeed::FloodProgress => (10, EVERYWHERE, &[], Harmless(nothing)),
        Misdeed::FloodMetrics => (10, EVERYWHERE, &[], Harmless(points_were_dropped)),
        Misdeed::FloodTreatments => (10, EVERYWHERE, &[], Harmless(lines_were_dropped)),
        Misdeed::EmptyLines => (10, &[Ingest, Transform, Predict, Decide], &[], Harmless(empty_lines_were_dropped)),
        Misdeed::FloodFigures => (10, ONCE, &[], Harmless(lines_were_dropped)),
        Misdeed::ForgedFiles => (11, &[Fit, Train, TrainShard, Merge], &[], Special),
        Misdeed::PathFigures => (12, EVERYWHERE, &[], Harmless(nothing)),
        Misdeed::PathSource => (12, &[Ingest], &[], Fault("denied", &["../../../etc/passwd", "was not granted"])),
        Misdeed::Remember => (19, &[], &[], Special),
        Misdeed::DuplicateFigure => (20, FAILING, &[], Fault("internal", &["figure `twice` is there already"])),
        Misdeed::ScriptFigure => (20, &[Validate, Evaluate], &[], Special),
        Misdeed::FewerRows => (24, &[Transform], &[], Fault("contract", &["0 rows came back for"])),
        Misdeed::OtherColumns => (24, &[Rebalance], &[], Fault("contract", &["has other columns"])),
        Misdeed::PredictNan => (20, &[Predict], &[], Fault("contract", &["row 1", "NaN is no probability(1)"])),
        Misdeed::PredictTwo => (20, &[Predict], &[], Fault("contract", &["row 1", "2 is no probability(1)"])),
        Misdeed::PredictFew => (20, &[Predict], &[], Fault("contract", &["rows came back for"])),
        Misdeed::ForgedOutputs => (20, &[Outputs], &[], Special),
        Misdeed::Impure => (26, &[Transform, TransformServed, Predict], &[], Special),
        Misdeed::ForgedImportance => (20, &[Importance], &[], Special),
        Misdeed::ManyShards => (20, &[PlanShards], &[], Fault("contract", &["4294967295 shards; at most 1024"])),
        Misdeed::ForgedMetrics => (20, &[], &[], Special),
        Misdeed::DuplicateMetrics => (20, &[Evaluate], &[], Fault("contract", &["metric `roc_auc` is there twice"])),
        Misdeed::ApproveAnyway => (20, &[], &[], Special),
        Misdeed::Linger => (21, EVERYWHERE, &[], Cancelled),
        Misdeed::ReadClocks => (22, &[], &[], Special),
        Misdeed::NanPayloads => (23, &[], &[], Special),
        Misdeed::CategoryOrder => (23, &[], &[], Special),
        Misdeed::ForgedBatch => (24, WITH_BATCHES, &[], Special),
        Misdeed::CallForEver => (28, &[], &[], Special),
        Misdeed::WideTables | Misdeed::LongNames => {
            (29, &[Ingest, Prepare, Train], &["limits.memory=512 MiB", "limits.cpu=5 min"], Limit("memory"))
        }
        // The host keeps no dictionary of a batch, so only writers accumulate.
        Misdeed::HoardDictionaries => {
            (29, &[Ingest, Fit], &["limits.memory=96 MiB", "limits.cpu=5 min"], Limit("artifacts"))
        }
        Misdeed::HoardTables => {
            (29, &[Ingest, Prepare, Rebalance], &["limits.memory=160 MiB", "limits.cpu=5 min"], Limit("memory"))
        }
        Misdeed::HoardFeatures => (29, &[Transform], &["limits.memory=96 MiB"], Limit("memory")),
        Misdeed::WideFeatures => (30, &[], &[], Special),
        Misdeed::OverlongFeature => {
            (24, &[Transform], &["limits.memory=512 MiB"], Fault("data", &["the features of one row take", "`text`"]))
        }
        Misdeed::LongDataFault => (25, FAILING, &[], Fault("data", &["the data is wrong", "(cut)"])),
        Misdeed::LongParameterFault => (25, FAILING, &[], Fault("parameter", &["(cut)"])),
        Misdeed::LongInternalFault => (25, FAILING, &[], Fault("internal", &["(cut)"])),
        Misdeed::LongFindings => (25, &[Validate, Decide], &[], Special),
        Misdeed::Panic => (25, EVERYWHERE, &[], Fault("trap", &["DROP TABLE", "crashed in"])),
        Misdeed::Exit => (25, EVERYWHERE, &[], Fault("trap", &["crashed in"])),
    };
    Plan { row, exports, limits, expect }
}
