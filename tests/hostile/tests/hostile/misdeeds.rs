//! Misdeeds, each in every export where it applies.

use misbehave::{Export, Forgery, Misdeed};
use stagewright_hostile::{Attempt, Ended, Place, Workshop};
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_store::RunStatus;

use crate::plans::{Expect, clean, is_sharded, place, plan};
use crate::{impurities, specials};

/// Makes all attempts of a row and returns how many there were.
pub(crate) fn row(workshop: &Workshop, row: u8) -> usize {
    let mut attempts = 0;
    for misdeed in Misdeed::ALL.iter().copied() {
        let plan = plan(misdeed);
        if plan.row != row {
            continue;
        }
        for export in plan.exports.iter().copied() {
            attempts += match misdeed {
                Misdeed::ForgedBatch => forgeries(workshop, export),
                Misdeed::ForgedImportance => specials::importance(workshop),
                Misdeed::ForgedOutputs => specials::outputs(workshop),
                Misdeed::Impure => impurities::impure(workshop, export),
                Misdeed::ForgedFiles => specials::forged_files(workshop, export),
                Misdeed::ScriptFigure => specials::script_figure(workshop, export),
                Misdeed::LongFindings => specials::long_findings(workshop, export),
                _ => {
                    let ended = attempt(workshop, misdeed, export, plan.limits, &[]);
                    judge(workshop, misdeed, export, plan.expect, &ended);
                    1
                }
            };
        }
    }
    attempts
}

/// Tries a misdeed in an export.
pub(crate) fn attempt(
    workshop: &Workshop,
    misdeed: Misdeed,
    export: Export,
    limits: &[&str],
    parameters: &[String],
) -> Ended {
    let (world, stages) = place(export);
    // An attempt that evades every other limit must not run for ever. A plan's own limit follows
    // and takes precedence.
    let limits = ["limits.cpu=20 s"].iter().chain(limits);
    let mut set: Vec<String> = limits.map(|limit| format!("{world}.{limit}")).collect();
    if is_sharded(export) {
        set.push("training.component=misbehave-sharded-training".into());
    }
    set.push(format!("{world}.misdeed={}", misdeed.name()));
    set.push(format!("{world}.export={}", export.name()));
    set.extend(parameters.iter().map(|parameter| format!("{world}.{parameter}")));
    workshop.attempt(&Attempt {
        stages,
        set,
        component: is_sharded(export).then(|| workshop.sharded()),
        cancel_at: (misdeed == Misdeed::Linger).then_some("lingering"),
    })
}

/// Checks that the expected result came, that nothing of a failed stage is visible, and that the
/// next run succeeds.
pub(crate) fn judge(workshop: &Workshop, misdeed: Misdeed, export: Export, expect: Expect, ended: &Ended) {
    let expect = match (misdeed, workshop.place()) {
        // So many long names exceed one message between processes.
        (Misdeed::LongNames, Place::Processes) => Expect::Limit("bytes of one call"),
        _ => expect,
    };
    judge_as(workshop, &format!("`{}` in `{}`", misdeed.name(), export.name()), export, expect, ended);
}

/// Judges an attempt under another name.
pub(crate) fn judge_as(workshop: &Workshop, what: &str, export: Export, expect: Expect, ended: &Ended) {
    match expect {
        Expect::Limit(key) => limit(what, key, ended),
        Expect::Fault(kind, parts) => fault(what, kind, parts, ended),
        Expect::Harmless(check) => {
            assert!(ended.result.is_ok(), "{what} is harmless, and failed: {}", ended.error());
            check(ended);
        }
        Expect::Cancelled => {
            let fault = stage_fault(what, ended);
            assert!(matches!(fault, StageFault::Cancelled { .. }), "{what} was cancelled, and not: {fault}");
            let run = workshop.home().registry.run(&ended.summary.run_id).expect("a record of the run");
            assert_eq!(run.status, RunStatus::Killed, "{what}");
        }
        Expect::Special => unreachable!("{what} is tried elsewhere"),
    }
    nothing_is_visible(what, ended);
    workshop.next_run_is_well(place(export).1);
}

fn stage_fault<'e>(what: &str, ended: &'e Ended) -> &'e StageFault {
    match &ended.result {
        Err(RunError::Stage(fault)) => fault,
        Err(error) => panic!("{what} ended in another error: {error}"),
        Ok(()) => panic!("{what} went through"),
    }
}

fn limit(what: &str, key: &str, ended: &Ended) {
    let fault = stage_fault(what, ended);
    let StageFault::Limit { kind, used, allowed, .. } = fault else { panic!("{what} met no limit: {fault}") };
    assert_eq!(kind.key(), key, "{what}: {fault}");
    assert!(used > allowed && *allowed > 0, "{what}: {used} of {allowed}");
    let text = fault.to_string();
    assert!(text.contains(&format!("limit of {}", kind.show(*allowed))), "{what}: {text}");
    assert!(text.contains(&format!("it used {}", kind.show(*used))), "{what}: {text}");
    let hint = fault.hint("hostile.toml").unwrap_or_default();
    let names =
        matches!(kind, LimitKind::Operator(_)) && hint.contains("operator") || hint.contains(&format!("limits.{key}"));
    assert!(names, "{what}: the hint does not say who raises it: {hint}");
}

/// Asserts that the error is of a kind (any, if empty), contains all parts, and is safe to show.
pub(crate) fn fault(what: &str, kind: &str, parts: &[&str], ended: &Ended) {
    let fault = stage_fault(what, ended);
    let found = match fault {
        StageFault::Data { .. } => "data",
        StageFault::Parameter { .. } => "parameter",
        StageFault::Internal { .. } => "internal",
        StageFault::Trap { .. } => "trap",
        StageFault::Contract { .. } => "contract",
        StageFault::Limit { .. } => "limit",
        StageFault::Denied { .. } => "denied",
        StageFault::Cancelled { .. } => "cancelled",
        StageFault::Untrusted { .. } => "untrusted",
        StageFault::Outdated { .. } => "outdated",
        StageFault::Killed { .. } => "killed",
        StageFault::Host { .. } => "host",
    };
    let text = fault.to_string();
    assert!(kind.is_empty() && found != "host" || found == kind, "{what} is a fault of kind `{found}`: {text}");
    for part in parts {
        assert!(text.contains(part), "{what}: no `{part}` in: {text}");
    }
    clean(&text);
    let recorded = ended.record.last().and_then(|stage| stage.error.as_ref()).map(ToString::to_string);
    clean(&recorded.expect("the record has the error"));
}

/// Asserts that new artifacts belong to successful stages only.
pub(crate) fn nothing_is_visible(what: &str, ended: &Ended) {
    // The component of a successful stage is kept, so that the stage can be executed again.
    let kept = ended.record.iter().filter(|stage| stage.status == "finished").map(|stage| stage.digest.to_string());
    let made: Vec<String> = ended.digests().into_values().chain(kept).collect();
    let made: Vec<&str> = made.iter().map(|digest| digest.trim_start_matches("sha256:")).collect();
    for artifact in &ended.visible {
        assert!(made.iter().any(|digest| artifact.contains(digest)), "{what} left {artifact}");
    }
    for stage in ended.record.iter().filter(|stage| stage.status != "finished") {
        assert!(stage.outputs.is_empty(), "{what}: the failed stage has outputs on record");
    }
    assert_eq!(ended.result.is_err(), ended.record.iter().any(|stage| stage.status != "finished"), "{what}");
    assert!(ended.left_over.is_empty(), "{what} left files: {:?}", ended.left_over);
}

/// Tries forgeries whose errors name a column or a row.
fn forgeries(workshop: &Workshop, export: Export) -> usize {
    for forgery in Forgery::ALL.iter().copied() {
        let parts: &[&str] = match forgery {
            Forgery::OneRowMore | Forgery::ColumnMissing | Forgery::CutShort | Forgery::Padding => &["column `"],
            Forgery::BillionsOfRows => &["4294967295 rows"],
            Forgery::Trailing => &["8 bytes"],
            Forgery::OffsetsStart => &["column `", "offsets"],
            Forgery::OffsetsEnd => &["column `"],
            Forgery::OffsetsFall => &["column `", "row 1"],
            Forgery::OffsetNegative | Forgery::TextNotUtf8 => &["column `", "row 0"],
            Forgery::CodeTooLarge => &["column `plan`", "row 3", "2147483647"],
            Forgery::CodeNegative => &["column `plan`", "row 3", "-1"],
            Forgery::CategoryTwice | Forgery::CategoryNotUtf8 => &["column `plan`", "categor"],
            Forgery::CategoriesNegative => &["column `plan`", "-1"],
            Forgery::CategoriesMore | Forgery::CategoriesBillions | Forgery::CategoriesEndless => &["column `plan`"],
            Forgery::TrailingBits => &["column `flag`", "bitmap"],
            Forgery::TooLarge => &["bytes, more than the 8"],
        };
        let ended = attempt(workshop, Misdeed::ForgedBatch, export, &[], &[format!("forgery={}", forgery.name())]);
        let what = format!("`{}` in `{}`", forgery.name(), export.name());
        let kind = match (export, forgery) {
            // The output of a row is too large, so the hint is a shorter text.
            (Export::Transform, Forgery::TooLarge) => "data",
            (Export::Transform, _) => "contract",
            _ => "internal",
        };
        fault(&what, kind, parts, &ended);
        nothing_is_visible(&what, &ended);
    }
    workshop.next_run_is_well(place(export).1);
    Forgery::ALL.len()
}
