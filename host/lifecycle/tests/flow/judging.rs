//! The judgement of a candidate.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow_array::cast::AsArray as _;
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::StageDecision;
use stagewright_manifest::World;
use stagewright_store::{JudgedAgainst, RunStatus, Verdict};

use crate::fake::{Decides, Script};
use crate::test_bed::{EndedRun, MODEL, RunSpec, TestBed, make_champion};

/// A gate of the component's own.
const OWN: &str = "budget";
/// The manifest's gate against a champion or, without one, the absolute one.
const HOSTS: [&str; 2] = ["minimum roc_auc", "margin roc_auc"];

fn says(approved: bool, reasons: &'static [(&str, bool)]) -> Script {
    let decides: Decides = Arc::new(move |_| StageDecision {
        approved,
        reasons: reasons.iter().map(|(gate, passed)| ((*gate).to_owned(), *passed, "it says so".to_owned())).collect(),
    });
    Script { decides: Some(decides), ..Script::default() }
}

/// The answer of a component: whether it approves, and its reasons.
type Said = (bool, &'static [(&'static str, bool)]);

const SAID: [Said; 9] = [
    (true, &[]),
    (true, &[(OWN, true)]),
    (true, &[(HOSTS[0], true), (HOSTS[1], true)]),
    (true, &[(OWN, false)]),
    (true, &[(HOSTS[0], false)]),
    (false, &[]),
    (false, &[(OWN, true)]),
    (false, &[(OWN, false)]),
    (false, &[(HOSTS[0], false)]),
];

/// Judges the candidate that `base` trained, and checks the record.
fn judged(bed: &TestBed, base: &EndedRun, asked: RunSpec, said: Said) -> &'static str {
    let before = bed.champion();
    let ended = bed.run_ok(asked.based_on(base).script(says(said.0, said.1)));
    let verdict = ended.verdict().expect("a decision");
    let version = ended.summary.model.as_ref().expect("a version").version;
    let recorded = bed.home.registry.version(MODEL, version).expect("the version").verdict;
    let named = match recorded.expect("a verdict") {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
        Verdict::Undecided => "undecided",
    };
    assert_eq!(named, verdict, "{said:?}: what is on record is what was told");
    assert_eq!(bed.champion(), if verdict == "approved" { Some(version) } else { before }, "{said:?}");
    let reasons = &ended.summary.decision.as_ref().expect("a decision").reasons;
    assert_eq!(reasons.iter().all(|reason| reason.passed), verdict == "approved", "{said:?}: {reasons:?}");
    verdict
}

// invariant: A promotion component may be stricter than the gates, but never looser.
#[test]
fn a_component_may_be_stricter_than_the_gates_and_never_looser() {
    let promotion = || RunSpec::of(World::Promotion..=World::Promotion);
    // Every gate passed. The component's decision counts only if it approves without contradicting
    // itself.
    for (number, said) in SAID.into_iter().enumerate() {
        let bed = TestBed::new();
        let base = bed.run_ok(RunSpec::of(World::Ingestion..=World::Evaluation));
        let expected = if number < 3 { "approved" } else { "rejected" };
        assert_eq!(judged(&bed, &base, promotion(), said), expected, "{said:?}");
    }
    // A gate failed, whatever the component says.
    let bed = TestBed::new();
    let base = bed.run_ok(RunSpec::of(World::Ingestion..=World::Evaluation).column("z"));
    for said in SAID {
        assert_eq!(judged(&bed, &base, promotion().column("z"), said), "rejected", "{said:?}");
    }
}

// invariant: as `a_component_may_be_stricter_than_the_gates_and_never_looser`
#[test]
fn an_undecided_gate_is_not_approved_whatever_the_component_says() {
    let bed = TestBed::new();
    // The champion was trained on rows that the candidate is measured on, and too few others
    // remain.
    bed.run_ok(RunSpec::whole().column("y").set("split.seed=2"));
    let few = |asked: RunSpec| asked.set("gates.overlap-rows-per-class=1000");
    let base = bed.run_ok(few(RunSpec::of(World::Ingestion..=World::Evaluation)));
    let promotion = || few(RunSpec::of(World::Promotion..=World::Promotion));
    for (approved, reasons, expected) in [
        (true, &[] as &[(&str, bool)], "undecided"),
        (true, &[(OWN, true)], "undecided"),
        (true, &[(HOSTS[1], true)], "undecided"),
        (true, &[(OWN, false)], "undecided"),
        (false, &[], "undecided"),
        (false, &[(HOSTS[1], false)], "undecided"),
        (false, &[(OWN, false)], "rejected"),
        (false, &[(HOSTS[0], false)], "rejected"),
    ] {
        assert_eq!(judged(&bed, &base, promotion(), (approved, reasons)), expected, "{approved} {reasons:?}");
    }
    assert_eq!(bed.champion(), Some(1));
}

#[test]
fn a_champion_that_learnt_from_every_test_row_is_judged_against_and_decides_nothing() {
    // Each split has a home of its own: a model that is made twice was trained on the rows of both
    // splits.
    let judged = (2..40).find_map(|seed| {
        let bed = TestBed::new();
        bed.run_ok(RunSpec::whole().column("y").set("split.test=0.1").set("split.validation=0"));
        let ended = bed.run_ok(RunSpec::whole().set("split.test=0.1").set(&format!("split.seed={seed}")));
        let rows = ended.summary.evaluation.expect("an evaluation");
        (rows.compared_rows == Some(0)).then_some((bed, ended))
    });
    let (bed, ended) = judged.expect("a split whose test rows the champion knows");
    assert_eq!(ended.verdict(), Some("undecided"));
    let version = ended.summary.model.as_ref().expect("a version").version;
    let verdicts = bed.home.registry.verdicts(MODEL, version).expect("verdicts");
    assert_eq!(verdicts.len(), 1, "it is judged once");
    assert_eq!(verdicts[0].judged_against, JudgedAgainst::Champion(1));
    assert_eq!(bed.champion(), Some(1));
}

/// Approves, and makes other versions the champion in turn, one at each call.
fn overtaken_by(bed: &TestBed, versions: &'static [u32]) -> Script {
    let (home, asked) = (bed.home.clone(), AtomicU32::new(0));
    let decides: Decides = Arc::new(move |_| {
        let time = asked.fetch_add(1, Ordering::Relaxed) as usize;
        if let Some(version) = versions.get(time) {
            make_champion(&home, *version);
        }
        StageDecision { approved: true, reasons: Vec::new() }
    });
    Script { decides: Some(decides), ..Script::default() }
}

/// Returns a home with the champion 1 and the version 2, neither of which predicts the outcome as
/// well as `x`.
fn two_versions() -> TestBed {
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole().column("y"));
    bed.run_ok(RunSpec::whole().column("z"));
    assert_eq!((bed.champion(), bed.versions()), (Some(1), 2));
    bed
}

// invariant: as `an_evaluation_of_before_promotes_nothing_past_the_champion_that_came_since`
#[test]
fn a_champion_that_changes_while_it_is_judged_is_judged_again() {
    let bed = two_versions();
    let ended = bed.run_ok(RunSpec::whole().script(overtaken_by(&bed, &[2, 1])));
    assert_eq!((ended.count("evaluate.evaluate"), ended.count("decide.decide")), (3, 3));
    assert_eq!(ended.count("train.train"), 1);
    assert_eq!(ended.summary.decision.as_ref().expect("a decision").judged_against, Some(1));
    let verdicts = bed.home.registry.verdicts(MODEL, 3).expect("verdicts");
    assert_eq!(verdicts.len(), 1, "a verdict against a champion that is none any more is not recorded");
    assert_eq!(bed.champion(), Some(3));
}

// invariant: as `an_evaluation_of_before_promotes_nothing_past_the_champion_that_came_since`
#[test]
fn a_candidate_is_judged_three_times_at_most() {
    let bed = two_versions();
    let ended = bed.run(RunSpec::whole().script(overtaken_by(&bed, &[2, 1, 2, 1, 2])));
    assert!(matches!(ended.result, Err(RunError::Overtaken { tries: 3, .. })), "{}", ended.error());
    assert_eq!((ended.count("evaluate.evaluate"), ended.count("decide.decide")), (3, 3));
    assert_eq!(ended.record.status, RunStatus::Failed);
    assert_eq!(bed.champion(), Some(2), "whom somebody else made champion stays it");
    assert_eq!(bed.home.registry.version(MODEL, 3).expect("the candidate").verdict, None);
    // The candidate is complete, and can be judged when nothing interferes.
    let later = bed.run_ok(RunSpec::of(World::Promotion..=World::Promotion).based_on(&ended));
    assert_eq!((later.verdict(), bed.champion()), (Some("approved"), Some(3)));
}

#[test]
fn a_promotion_alone_makes_an_evaluation_again_that_is_out_of_date() {
    let promotion = || RunSpec::of(World::Promotion..=World::Promotion);
    let bed = two_versions();
    let base = bed.run_ok(RunSpec::of(World::Ingestion..=World::Evaluation));
    let again = |asked: RunSpec| {
        let rejects = says(false, &[(OWN, false)]);
        bed.run_ok(asked.based_on(&base).script(rejects)).count("evaluate.evaluate")
    };
    assert_eq!(again(promotion()), 0, "it is still true");
    assert_eq!(again(promotion().set("gates.margin=0.02")), 1, "other gates");
    make_champion(&bed.home, 2);
    assert_eq!(again(promotion()), 1, "another champion");
    make_champion(&bed.home, 1);
    assert_eq!(again(promotion()), 0, "the champion of before");
}

// invariant: as `a_candidate_is_registered_when_trained_or_when_passed`
#[test]
fn a_candidate_that_is_the_champion_is_not_judged() {
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole());
    let again = bed.run_ok(RunSpec::whole());
    assert!(again.summary.is_champion_already && again.summary.decision.is_none());
    assert_eq!(again.count("decide.decide"), 0);
    assert_eq!(again.count("evaluate.evaluate"), 0);
    assert_eq!(again.steps().last(), Some(&("training", "cached")));
    // An evaluation that is requested alone compares the champion with itself.
    let evaluated = bed.run_ok(RunSpec::of(World::Ingestion..=World::Evaluation));
    assert_eq!(evaluated.steps().last(), Some(&("evaluation", "finished")));
    let model = again.summary.model.as_ref().expect("the version that it is");
    assert_eq!((model.version, model.is_new), (1, false));
    assert_eq!(bed.home.registry.verdicts(MODEL, 1).expect("verdicts").len(), 1);
    assert_eq!((bed.versions(), bed.champion()), (1, Some(1)));
}

#[test]
fn a_champion_that_cannot_read_the_table_is_an_error_or_leaves_the_absolute_gates() {
    let bed = TestBed::new();
    let wide = "signature.fields.w={type=\"float64\"}";
    bed.run_ok(RunSpec::whole().set(wide).set("ingestion.columns=[\"id\", \"x\", \"y\", \"z\", \"outcome\", \"w\"]"));
    // A model of the same outcome with fewer columns cannot be compared.
    let ended = bed.run(RunSpec::whole().column("y"));
    assert!(matches!(ended.result, Err(RunError::Stage(StageFault::Data { .. }))), "{}", ended.error());
    assert!(ended.error().contains("`w` is missing"), "{}", ended.error());
    assert_eq!(bed.champion(), Some(1));
    let absolute = |column| RunSpec::whole().column(column).set("gates.champion-unreadable=absolute-gates");
    let weak = bed.run_ok(absolute("z"));
    assert_eq!((weak.verdict(), bed.champion()), (Some("rejected"), Some(1)));
    let fit = bed.run_ok(absolute("y"));
    assert_eq!((fit.verdict(), bed.champion()), (Some("approved"), Some(2)));
    assert_eq!(fit.count("resolve.restore"), 0, "a champion that cannot read is not asked");
}

/// Returns the identifiers of a table's rows.
fn names(bed: &TestBed, ended: &EndedRun, artifact: &str) -> BTreeSet<String> {
    let table = bed.home.artifacts.open_table(&ended.made()[artifact]).expect("a table");
    let column = [table.schema().index_of("id").expect("names")];
    let batches = table.batches(Some(&column)).map(|batch| batch.expect("rows"));
    let names = batches.flat_map(|batch| {
        let column = batch.column(0).as_string::<i32>();
        column.iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    });
    names.collect()
}

// invariant: as `a_champion_that_learnt_from_the_test_rows_is_compared_on_the_others`
#[test]
fn rows_that_the_champion_learnt_from_do_not_count() {
    let bed = TestBed::new();
    let champion = bed.run_ok(RunSpec::whole().column("y").set("split.seed=2"));
    let refused = bed.run(RunSpec::whole().set("gates.champion-overlap=error"));
    assert!(refused.error().contains("the champion learnt from"), "{}", refused.error());
    let ended = bed.run_ok(RunSpec::whole());
    let test = names(&bed, &ended, "transformation.test");
    let fresh = names(&bed, &champion, "transformation.test");
    let left: BTreeSet<_> = test.intersection(&fresh).cloned().collect();
    assert!(!left.is_empty() && left.len() < test.len(), "{} of {}", left.len(), test.len());
    let rows = ended.summary.evaluation.expect("an evaluation");
    assert_eq!(rows.champion_overlap_rows, Some((test.len() - left.len()) as u64));
    assert_eq!(rows.compared_rows, Some(left.len() as u64));
    assert_eq!(names(&bed, &ended, "evaluation.compared"), left, "the component sees no other");
}

// invariant: as `a_candidate_is_registered_when_trained_or_when_passed`
#[test]
fn register_passed_gives_a_number_to_what_was_approved_alone() {
    let bed = TestBed::new();
    let passed = |asked: RunSpec| asked.set("gates.register=passed");
    let weak = bed.run_ok(passed(RunSpec::whole().column("z")));
    assert_eq!((weak.verdict(), bed.versions()), (Some("rejected"), 0));
    assert_eq!(weak.summary.model, None);
    let refused = bed.run_ok(passed(RunSpec::whole().script(says(false, &[(OWN, false)]))));
    assert_eq!((refused.verdict(), bed.versions()), (Some("rejected"), 0));
    // Neither does a run that ends before the judgement.
    bed.run_ok(passed(RunSpec::of(World::Ingestion..=World::Evaluation)));
    assert_eq!(bed.versions(), 0);
    // A component that decides otherwise is another component, so its decision is not taken from
    // the record.
    let fit = bed.run_ok(passed(RunSpec::whole().fresh()));
    assert_eq!((fit.verdict(), bed.versions(), bed.champion()), (Some("approved"), 1, Some(1)));
    // A registered version keeps its verdicts, good or bad.
    bed.run_ok(RunSpec::whole().column("y"));
    let again = bed.run_ok(passed(RunSpec::whole().column("y")));
    assert_eq!((again.verdict(), bed.versions()), (Some("rejected"), 2));
    assert_eq!(bed.home.registry.verdicts(MODEL, 2).expect("verdicts").len(), 2);
}
