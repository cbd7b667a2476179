//! Decisions: every breach, every reason to wait, and what comes after the last step.

mod support;

use serde_json::{Value, json};
use stagewright_deployment::{Decision, Move, Observed, OperationError, Plan, decide, next_move};
use stagewright_store::{ArmCounts, Deployment, OutcomeTally};
use support::{DAY_MS, MINUTE_MS, ab, after, counts, started, tally, values, with};

/// A canary by schedule, with a bound on everything.
fn guarded() -> Value {
    json!({
        "strategy": "canary", "version": 2, "shares": [5, 25, 100], "interval": "10 min",
        "guard": {
            "min_requests": 100, "max_error_rate": "1 %", "max_p99": "50 ms",
            "outcome": {"min_outcomes": 20, "at_least": 0.1, "at_most": 0.6, "worse_by_at_most": 0.05},
        },
    })
}

/// Outcomes that break no bound of [`guarded`].
fn calm() -> Vec<OutcomeTally> {
    vec![tally("control", 1, 1_000, 300), tally("canary", 2, 100, 29)]
}

fn decided(plan: &Value, passed_ms: i64, counts: &[ArmCounts], outcomes: &[OutcomeTally]) -> Decision {
    let (deployment, plan) = started(plan);
    decide(&deployment, &plan, &after(passed_ms, counts, outcomes))
}

fn abort_reason(decision: Decision) -> String {
    let Decision::Abort { reason } = decision else { panic!("no abort: {decision:?}") };
    reason
}

fn stay_reason(decision: Decision) -> String {
    let Decision::Stay { reason } = decision else { panic!("no stay: {decision:?}") };
    reason
}

fn at_step(mut deployment: Deployment, step: u32) -> Deployment {
    deployment.step = step;
    deployment
}

// invariant: A canary advances by its schedule only after the step's time, requests and outcomes,
// and is aborted as soon as a bound is broken.
#[test]
fn a_step_that_went_well_is_followed_by_the_next_share() {
    let decision = decided(&guarded(), 10 * MINUTE_MS, &[counts("canary", 0, 1_000, 10, 50_000)], &calm());
    let Decision::Advance { step } = decision else { panic!("{decision:?}") };
    assert_eq!((step.step, step.shares), (1, vec![0.75, 0.25]));
    assert_eq!(step.reason, "step 1 of 3 (5 %) went well: 1000 requests, error rate 1 %, p99 50 ms");
}

#[test]
fn every_bound_that_is_broken_aborts_with_its_figures() {
    let one = |counts: ArmCounts, outcomes: &[OutcomeTally]| abort_reason(decided(&guarded(), 0, &[counts], outcomes));
    let fine = || counts("canary", 0, 1_000, 0, 1_000);
    assert_eq!(one(counts("canary", 0, 200, 3, 1_000), &calm()), "the error rate is 1.5 % of 200 requests, above 1 %");
    assert_eq!(one(counts("canary", 0, 100, 0, 51_000), &calm()), "the p99 of 100 requests is 51 ms, above 50 ms");
    let endless = one(counts("canary", 0, 100, 0, u64::MAX), &calm());
    assert_eq!(endless, "the p99 of 100 requests is above all buckets, above 50 ms");
    let outcomes = |positives| [tally("control", 1, 1_000, 300), tally("canary", 2, 100, positives)];
    assert_eq!(one(fine(), &outcomes(9)), "`positive_rate` of 100 outcomes is 0.09, below 0.1");
    assert_eq!(one(fine(), &outcomes(61)), "`positive_rate` of 100 outcomes is 0.61, above 0.6");
    let worse = "`positive_rate` of 100 outcomes is 0.24, worse by more than 0.05 than the control's 0.3";
    assert_eq!(one(fine(), &outcomes(24)), worse);
    let lower = with(guarded(), "/guard/outcome/better", json!("lower"));
    let decision = decided(&lower, 0, &[fine()], &outcomes(36));
    assert!(abort_reason(decision).contains("worse by more than 0.05"));
    let mean = json!({"figure": "mean_value", "min_outcomes": 2, "at_least": 10});
    let decision = decided(&with(guarded(), "/guard/outcome", mean), 0, &[fine()], &[values("canary", 2, &[8.0, 9.0])]);
    assert_eq!(abort_reason(decision), "`mean_value` of 2 outcomes is 8.5, below 10");
}

#[test]
fn nothing_is_judged_by_too_little_by_another_step_or_by_another_arm() {
    let waits = |counts: &[ArmCounts], outcomes: &[OutcomeTally]| {
        stay_reason(decided(&guarded(), 10 * MINUTE_MS, counts, outcomes))
    };
    let few = "step 1 of 3 (5 %): 99 of 100 requests were answered in this step";
    assert_eq!(waits(&[counts("canary", 0, 99, 0, 90_000)], &calm()), few);
    let none = "step 1 of 3 (5 %): 0 of 100 requests were answered in this step";
    assert_eq!(waits(&[counts("canary", 1, 500, 500, 90_000), counts("control", 0, 500, 500, 90_000)], &calm()), none);
    let fine = [counts("canary", 0, 500, 0, 1_000)];
    let few = "step 1 of 3 (5 %): 19 of 20 outcomes of the candidate were posted";
    assert_eq!(waits(&fine, &[tally("canary", 2, 19, 0), tally("control", 1, 20, 20)]), few);
    let few = "step 1 of 3 (5 %): 3 of 20 outcomes of the control were posted";
    assert_eq!(waits(&fine, &[tally("canary", 2, 20, 5), tally("control", 1, 3, 3)]), few);
    // Outcomes of an earlier canary of another version, and of requests without a deployment.
    let others = [tally("canary", 7, 500, 0), OutcomeTally { arm: None, ..tally("", 2, 500, 0) }];
    assert!(waits(&fine, &others).contains("0 of 20 outcomes of the candidate"));
}

// invariant: A schedule leads no version into production by requests that failed.
#[test]
fn a_schedule_without_bounds_does_not_advance_by_requests_that_failed() {
    let plan = json!({"strategy": "canary", "version": 2, "shares": [5, 100], "interval": "10 min"});
    let decision = |errors| decided(&plan, DAY_MS, &[counts("canary", 0, 1_000, errors, 1_000)], &[]);
    let few = "step 1 of 2 (5 %): 99 of 100 requests were answered in this step";
    assert_eq!(stay_reason(decision(901)), few);
    assert!(matches!(decision(900), Decision::Advance { .. }));
}

// A client that hangs up leaves the time that it had waited, and no request. One that is refused
// leaves a request, and no time.
#[test]
fn a_percentile_is_judged_by_as_many_latencies() {
    let with_latencies = |requests, latencies: u64| {
        let counts = ArmCounts { latencies: vec![(51_000, latencies)], ..counts("canary", 0, requests, 0, 1_000) };
        decided(&guarded(), 0, &[counts], &calm())
    };
    assert_eq!(abort_reason(with_latencies(0, 100)), "the p99 of 100 requests is 51 ms, above 50 ms");
    assert!(matches!(with_latencies(500, 99), Decision::Stay { .. }));
}

#[test]
fn a_schedule_waits_for_the_time_of_the_step_even_if_clocks_disagree() {
    let waits = |passed_ms| stay_reason(decided(&guarded(), passed_ms, &[counts("canary", 0, 500, 0, 1_000)], &calm()));
    assert_eq!(waits(10 * MINUTE_MS - 1), "step 1 of 3 (5 %): 1 s of 10 min are left");
    assert_eq!(waits(0), "step 1 of 3 (5 %): 600 s of 10 min are left");
    assert_eq!(waits(-MINUTE_MS), "step 1 of 3 (5 %): 660 s of 10 min are left");
    let all = stay_reason(decided(&guarded(), 0, &[], &[]));
    assert_eq!(
        all,
        "step 1 of 3 (5 %): 600 s of 10 min are left; 0 of 100 requests were answered in this step; \
         0 of 20 outcomes of the candidate were posted; 0 of 20 outcomes of the control were posted"
    );
}

#[test]
fn after_the_last_share_the_candidate_is_promoted() {
    let (deployment, plan) = started(&guarded());
    let deployment = at_step(deployment, 2);
    let observed_counts = [counts("canary", 2, 500, 0, 1_000)];
    let outcomes = calm();
    let early = decide(&deployment, &plan, &after(MINUTE_MS, &observed_counts, &outcomes));
    assert!(stay_reason(early).starts_with("step 3 of 3 (100 %): 540 s"));
    let decision = decide(&deployment, &plan, &after(10 * MINUTE_MS, &observed_counts, &outcomes));
    let Decision::Promote { reason } = decision else { panic!("{decision:?}") };
    assert_eq!(reason, "step 3 of 3 (100 %) went well: 500 requests, error rate 0 %, p99 1 ms");
}

#[test]
fn without_a_schedule_a_canary_waits_for_its_operator_but_not_with_a_broken_bound() {
    let mut plan = guarded();
    plan.as_object_mut().unwrap().remove("interval");
    let fine = [counts("canary", 0, 500, 0, 1_000)];
    let waits = stay_reason(decided(&plan, DAY_MS, &fine, &calm()));
    assert_eq!(waits, "step 1 of 3 (5 %): `stagewright deploy advance churn` makes the next step");
    abort_reason(decided(&plan, DAY_MS, &[counts("canary", 0, 500, 500, 1_000)], &calm()));
}

#[test]
fn a_champion_that_moved_ends_the_deployment() {
    let (deployment, plan) = started(&guarded());
    let with_champion = |champion| Observed { champion, ..after(0, &[], &[]) };
    let decision = decide(&deployment, &plan, &with_champion(Some(2)));
    assert_eq!(decision, Decision::Finish { reason: "version 2 is champion".to_owned() });
    let decision = decide(&deployment, &plan, &with_champion(Some(9)));
    assert_eq!(abort_reason(decision), "version 9 became champion during the deployment");
    let decision = decide(&deployment, &plan, &with_champion(None));
    assert_eq!(abort_reason(decision), "the model was taken out of production");

    let by_command = |champion| next_move(&deployment, &plan, &with_champion(champion), "");
    assert!(matches!(by_command(Some(2)), Ok(Move::Finish { .. })));
    for champion in [Some(9), None] {
        assert!(matches!(by_command(champion), Err(OperationError::ChampionMoved { control: 1, .. })));
    }
}

#[test]
fn blue_green_switches_at_once_and_goes_back_at_once() {
    let plan = json!({"strategy": "blue_green", "version": 2, "guard": {"min_requests": 10, "max_error_rate": 0.1}});
    let (deployment, parsed) = started(&plan);
    let waits = stay_reason(decide(&deployment, &parsed, &after(DAY_MS, &[], &[])));
    assert!(waits.contains("answers nothing: `stagewright deploy advance churn` switches"), "{waits}");
    let next = next_move(&deployment, &parsed, &after(0, &[], &[]), "").unwrap();
    let Move::Step(step) = next else { panic!("{next:?}") };
    assert_eq!((step.step, &step.shares[..]), (1, &[0.0, 1.0][..]));
    assert_eq!(step.reason, "all requests switch to version 2, by command");
    let switched = at_step(deployment, 1);
    assert!(stay_reason(decide(&switched, &parsed, &after(DAY_MS, &[], &[]))).contains("promotes it"));
    let broken = [counts("green", 1, 10, 2, 1_000)];
    assert!(abort_reason(decide(&switched, &parsed, &after(0, &broken, &[]))).contains("20 % of 10 requests"));
    let end = next_move(&switched, &parsed, &after(0, &[], &[]), "all is well").unwrap();
    assert_eq!(end, Move::Promote { reason: "all is well".to_owned() });
}

#[test]
fn a_shadow_decides_nothing_and_ends_without_a_promotion() {
    let (deployment, plan) = started(&json!({"strategy": "shadow", "version": 2}));
    let failing = [counts("shadow", 0, 1_000, 1_000, u64::MAX)];
    assert!(stay_reason(decide(&deployment, &plan, &after(DAY_MS, &failing, &[]))).contains("gets copies"));
    let end = next_move(&deployment, &plan, &after(0, &failing, &[]), "").unwrap();
    assert!(matches!(end, Move::Finish { .. }), "{end:?}");
}

#[test]
fn an_operator_makes_every_step_of_a_canary_and_then_promotes() {
    let (deployment, plan) = started(&guarded());
    let observed = after(0, &[], &[]);
    let Move::Step(step) = next_move(&deployment, &plan, &observed, "").unwrap() else { panic!("no step") };
    assert_eq!((step.step, step.reason.as_str()), (1, "step 1 of 3 (5 %) was ended by command"));
    let Move::Step(step) = next_move(&at_step(deployment.clone(), 1), &plan, &observed, "calm").unwrap() else {
        panic!("no step")
    };
    assert_eq!((step.step, step.shares, step.reason.as_str()), (2, vec![0.0, 1.0], "calm"));
    let end = next_move(&at_step(deployment, 2), &plan, &observed, "").unwrap();
    assert_eq!(end, Move::Promote { reason: "step 3 of 3 (100 %), by command".to_owned() });
}

#[test]
fn a_test_ends_by_its_verdict_and_not_before() {
    let (deployment, plan) = started(&ab());
    let outcomes = |treatment| [tally("control", 1, 10_000, 1_000), tally("treatment", 2, 10_000, treatment)];
    let ended = |passed_ms, treatment| next_move(&deployment, &plan, &after(passed_ms, &[], &outcomes(treatment)), "");
    let early = ended(14 * DAY_MS - 1, 1_500).unwrap_err();
    assert!(early.to_string().contains("13.99 of 14 days have passed"), "{early}");
    let Ok(Move::Promote { reason }) = ended(14 * DAY_MS, 1_500) else { panic!("no promotion") };
    assert_eq!(reason, "treatment is better: `conversion_rate` differs by +5 points, p = less than 0.0001");
    for (treatment, verdict) in [(500, "control is better"), (1_010, "no difference was found")] {
        let Ok(Move::Finish { reason }) = ended(14 * DAY_MS, treatment) else { panic!("no end") };
        assert!(reason.starts_with(verdict), "{reason}");
    }
    // A server ends no test by itself.
    let waits = stay_reason(decide(&deployment, &plan, &after(15 * DAY_MS, &[], &outcomes(1_500))));
    assert!(waits.contains("`stagewright deploy advance churn` promotes it"), "{waits}");
}

#[test]
fn a_test_may_have_a_guard_too() {
    let plan = with(ab(), "/guard", json!({"min_requests": 10, "max_error_rate": 0.1}));
    let decision = decided(&plan, 0, &[counts("treatment", 0, 10, 5, 1_000)], &[]);
    assert!(abort_reason(decision).contains("the error rate is 50 %"));
    assert!(matches!(Plan::parse(&plan), Ok(Plan::Ab(_))));
}
