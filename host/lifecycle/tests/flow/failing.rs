//! Failures of a step, at every possible call.

use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_manifest::World;
use stagewright_store::RunStatus;

use crate::fake::{Call, Failure, Script};
use crate::test_bed::{EndedRun, RunSpec, TestBed};

/// Returns a home with a champion, and a run that makes all kinds of calls.
fn bed() -> (TestBed, RunSpec, Vec<Call>) {
    let calls = {
        let bed = TestBed::new();
        bed.run_ok(RunSpec::whole().column("y"));
        let ended = bed.run_ok(RunSpec::whole().fresh());
        assert_eq!(ended.verdict(), Some("approved"), "the run whose calls are counted goes all the way");
        ended.calls
    };
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole().column("y"));
    (bed, RunSpec::whole(), calls)
}

/// Checks what is left of a run that failed in `step`.
fn leaves_its_record_and_nothing_else(bed: &TestBed, ended: &EndedRun, step: World, published: &[String], what: &str) {
    let before = World::required().filter(|world| *world < step).map(|world| (world.as_str(), "finished"));
    let steps: Vec<_> = before.chain([(step.as_str(), "failed")]).collect();
    assert_eq!(ended.steps(), steps, "{what}");
    let last = ended.stages.last().expect("a step that failed");
    assert_eq!(last.outputs, [], "{what}");
    assert_eq!(last.error.as_ref().and_then(|error| error["message"].as_str()), Some(&*ended.error()), "{what}");
    assert_eq!(ended.record.error, last.error, "{what}");
    assert_eq!(ended.summary.stages.len(), steps.len() - 1, "{what}");
    // Complete steps are published, and nothing of the failed one is.
    let named = bed.named(ended);
    let strangers: Vec<_> =
        bed.published().into_iter().filter(|name| !named.contains(name) && !published.contains(name)).collect();
    assert_eq!(strangers, Vec::<String>::new(), "{what}");
    assert_eq!(bed.staged(), Vec::<std::path::PathBuf>::new(), "{what}");
    assert_eq!(bed.champion(), Some(1), "{what}");
}

/// Fails at each call in turn, the first ones first, so that remains of a failed step would show.
fn at_every_call(how: Failure, check: impl Fn(&EndedRun, &Call, &str)) {
    let (bed, asked, calls) = bed();
    let published: Vec<String> = bed.published().into_iter().collect();
    for (number, call) in calls.iter().enumerate() {
        let what = format!("{how:?} at call {number}, {call:?}");
        let ended = bed.run(asked.clone().script(Script { fails: Some((number, how)), ..Script::default() }));
        let step = call.step.expect("a call of a run");
        check(&ended, call, &what);
        leaves_its_record_and_nothing_else(&bed, &ended, step, &published, &what);
    }
    // The failure does not block the next run.
    let next = bed.run_ok(asked);
    assert_eq!((next.verdict(), bed.champion()), (Some("approved"), Some(2)));
}

/// Fails at each call, and expects an error that says so.
fn fails_at_every_call(how: Failure) {
    at_every_call(how, |ended, call, what| {
        assert_eq!(ended.calls.last(), Some(call), "{what}: nothing is called after it");
        assert_eq!(ended.record.status, RunStatus::Failed, "{what}");
        let Err(RunError::Stage(fault)) = &ended.result else { panic!("{what}: {}", ended.error()) };
        let found = match fault {
            StageFault::Data { .. } => Failure::Data,
            StageFault::Trap { .. } => Failure::Trap,
            StageFault::Contract { .. } => Failure::Contract,
            StageFault::Limit { .. } => Failure::Limit,
            StageFault::Host { .. } => Failure::Host,
            _ => panic!("{what}: {fault}"),
        };
        assert_eq!(found, how, "{what}");
    });
}

/// Cancels at each call, and expects a run that was killed.
fn is_killed_at_every_call(how: Failure) {
    at_every_call(how, |ended, _, what| {
        assert_eq!(ended.record.status, RunStatus::Killed, "{what}");
        assert!(
            matches!(ended.result, Err(RunError::Stage(StageFault::Cancelled { .. }))),
            "{what}: {}",
            ended.error()
        );
    });
}

#[test]
fn a_step_that_says_that_the_data_is_wrong_leaves_its_record_no_artifact_and_no_later_step() {
    fails_at_every_call(Failure::Data);
}

// invariant: A step that fails at any call leaves its record, no artifact and no later step. A step
// that is stopped is recorded as killed.
#[test]
fn a_step_that_traps_at_any_call_leaves_its_record_no_artifact_and_no_later_step() {
    fails_at_every_call(Failure::Trap);
}

#[test]
fn a_step_that_breaks_the_contract_at_any_call_leaves_its_record_no_artifact_and_no_later_step() {
    fails_at_every_call(Failure::Contract);
}

#[test]
fn a_step_that_runs_past_a_limit_at_any_call_leaves_its_record_no_artifact_and_no_later_step() {
    fails_at_every_call(Failure::Limit);
}

#[test]
fn a_host_that_fails_at_any_call_leaves_a_record_no_artifact_and_no_later_step() {
    fails_at_every_call(Failure::Host);
}

#[test]
fn a_run_that_is_cancelled_at_any_call_is_killed_and_says_so() {
    is_killed_at_every_call(Failure::Cancelled);
}

#[test]
fn a_cancellation_that_no_call_notices_ends_the_step() {
    is_killed_at_every_call(Failure::CancelledUnnoticed);
}
