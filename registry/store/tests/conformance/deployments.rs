//! Deployments: one at a time, from step to step by compare-and-set, with an audit of every step
//! and counters that add up.

use std::thread;

use serde_json::json;
use stagewright_store::{
    ArmCounts, Deployment, DeploymentArm, DeploymentError, DeploymentRevision, DeploymentStatus, DeploymentStep,
    DeploymentStrategy, NewDeployment, PromotionRequest, StoreError,
};

use crate::world::World;

pub(crate) fn arm(name: &str, version: u32, share: f64) -> DeploymentArm {
    DeploymentArm { name: name.into(), version, share }
}

/// Returns a canary of version 2 beside version 1, with a twentieth of the requests.
pub(crate) fn canary() -> NewDeployment {
    NewDeployment {
        strategy: DeploymentStrategy::Canary,
        configuration: json!({"steps": [5, 25, 50, 100]}),
        step: 0,
        arms: vec![arm("control", 1, 0.95), arm("canary", 2, 0.05)],
        state: json!({}),
        reason: "version 2 is new".into(),
    }
}

pub(crate) fn step(step: u32, canary: f64) -> DeploymentStep {
    DeploymentStep {
        step,
        shares: vec![1.0 - canary, canary],
        state: json!({"calm": true}),
        reason: "no errors".into(),
    }
}

/// Returns the refusal of a change.
fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> DeploymentError {
    match result.unwrap_err() {
        StoreError::Deployment(error) => error,
        other => panic!("{other}"),
    }
}

/// Registers two versions and starts a canary.
pub(crate) fn started(world: &World) -> Deployment {
    for _ in 0..2 {
        world.unjudged("churn");
    }
    world.registry.acting_as("ada").start_deployment("churn", &canary()).unwrap()
}

// invariant: A model has one active deployment at most. Each of its steps is made once, from the
// revision that was looked at, with an entry in the audit.
pub(crate) fn a_deployment_goes_from_step_to_step_and_ends(world: &World) {
    let started = started(world);
    assert_eq!((started.number, started.revision, started.step), (1, 1, 0));
    assert_eq!((started.strategy, started.status), (DeploymentStrategy::Canary, DeploymentStatus::Active));
    assert_eq!((&started.arms, &started.configuration), (&canary().arms, &canary().configuration));
    assert_eq!((started.started_by.as_str(), started.reason.as_str()), ("ada", "version 2 is new"));
    assert_eq!((started.started_ms, started.ended_ms), (started.since_ms, None));
    // Whoever opens the registry next goes on where it was.
    let registry = world.reopened().acting_as("server");
    assert_eq!(registry.active_deployment("churn").unwrap().as_ref(), Some(&started));
    assert_eq!(registry.active_deployments().unwrap(), std::slice::from_ref(&started));
    let second = registry.advance_deployment("churn", started.at(), &step(1, 0.25)).unwrap();
    assert_eq!((second.revision, second.step, second.changed_by.as_str()), (2, 1, "server"));
    assert_eq!(second.arms, [arm("control", 1, 0.75), arm("canary", 2, 0.25)]);
    assert_eq!((&second.state, second.started_by.as_str()), (&json!({"calm": true}), "ada"));
    let saved = registry.save_deployment("churn", second.at(), &json!({"seen": 7})).unwrap();
    assert_eq!((saved.revision, saved.step, &saved.arms), (3, 1, &second.arms));
    assert_eq!((saved.since_ms, &saved.state), (second.since_ms, &json!({"seen": 7})));
    let ended = registry.finish_deployment("churn", Some(saved.at()), "it is champion").unwrap();
    assert_eq!((ended.status, ended.revision), (DeploymentStatus::Finished, 4));
    assert_eq!((ended.end_reason.as_deref(), ended.ended_by.as_deref()), (Some("it is champion"), Some("server")));
    assert!(ended.ended_ms.is_some());
    assert_eq!(registry.active_deployment("churn").unwrap(), None);
    assert_eq!(registry.active_deployments().unwrap(), []);
    assert_eq!(world.registry.deployment("churn", 1).unwrap(), ended);

    let entries = world.registry.audit_of("churn", Some(2)).unwrap();
    let told: Vec<_> = entries.iter().filter(|it| it.action.starts_with("deployment.")).collect();
    let steps: Vec<_> = told.iter().map(|it| (it.action.as_str(), it.actor.as_str(), it.reason.as_str())).collect();
    assert_eq!(
        steps,
        [
            ("deployment.started", "ada", "version 2 is new"),
            ("deployment.advanced", "server", "no errors"),
            ("deployment.finished", "server", "it is champion"),
        ]
    );
    let first = "canary 1, step 0: control = version 1 (95 %), canary = version 2 (5 %)";
    let next = "canary 1, step 1: control = version 1 (75 %), canary = version 2 (25 %)";
    let states: Vec<_> = told.iter().map(|it| (it.old_state.as_deref(), it.new_state.as_deref())).collect();
    assert_eq!(states, [(None, Some(first)), (Some(first), Some(next)), (Some(next), Some("canary 1, finished"))]);
}

pub(crate) fn a_model_has_one_active_deployment(world: &World) {
    started(world);
    world.unjudged("other");
    let shadow = NewDeployment { strategy: DeploymentStrategy::Shadow, ..canary() };
    let refused = world.registry.start_deployment("churn", &shadow).unwrap_err();
    let text = "deployment 1 of model `churn` (canary) is active already\n\
        hint: `stagewright deploy status churn` shows it; end it with `deploy advance` or `deploy abort`";
    assert_eq!(refused.to_string(), text);
    // Another model's deployment is none of this one's.
    let alone = NewDeployment { arms: vec![arm("control", 1, 1.0)], ..canary() };
    assert_eq!(world.registry.start_deployment("other", &alone).unwrap().number, 1);
    let models: Vec<_> = world.registry.active_deployments().unwrap().into_iter().map(|it| it.model).collect();
    assert_eq!(models, ["churn", "other"]);
    world.registry.abort_deployment("churn", None, "too many errors").unwrap();
    assert_eq!(world.registry.start_deployment("churn", &shadow).unwrap().number, 2);
    // Those that ended stay readable, newest first.
    let all = world.registry.deployments("churn", None).unwrap();
    let seen: Vec<_> = all.iter().map(|it| (it.number, it.strategy.name(), it.status.name())).collect();
    assert_eq!(seen, [(2, "shadow", "active"), (1, "canary", "aborted")]);
    assert_eq!(all[1].end_reason.as_deref(), Some("too many errors"));
    assert_eq!(world.registry.deployments("churn", Some(1)).unwrap(), all[..1]);
    assert_eq!(world.registry.deployments("other", Some(5)).unwrap().len(), 1);
    // Not even a program that forgets to look starts a second one.
    let second = "UPDATE deployments SET status = 'active'";
    assert!(world.sql(second).is_err());
}

// invariant: as `a_deployment_goes_from_step_to_step_and_ends`
pub(crate) fn a_step_is_made_only_from_the_revision_that_was_looked_at(world: &World) {
    let started = started(world);
    let registry = &world.registry;
    let second = registry.advance_deployment("churn", started.at(), &step(1, 0.25)).unwrap();
    let entries = registry.audit_head().unwrap();
    let changed = DeploymentError::Changed { model: "churn".into(), number: 1, expected: 1, actual: 2 };
    let text = "deployment 1 of model `churn` has changed since: it has revision 2, not 1\nhint: a server or another \
                person was faster: read it again, and decide anew";
    assert_eq!(changed.to_string(), text);
    let old = started.at();
    assert_eq!(refusal(registry.advance_deployment("churn", old, &step(2, 0.5))), changed);
    assert_eq!(refusal(registry.save_deployment("churn", old, &json!({}))), changed);
    assert_eq!(refusal(registry.finish_deployment("churn", Some(old), "")), changed);
    assert_eq!(refusal(registry.abort_deployment("churn", Some(old), "")), changed);
    assert_eq!(registry.active_deployment("churn").unwrap(), Some(second.clone()));
    assert_eq!(registry.audit_head().unwrap(), entries, "a refused step is none");
    let ended = registry.abort_deployment("churn", Some(second.at()), "").unwrap();
    let over = DeploymentError::Ended { model: "churn".into(), number: 1, status: "aborted" };
    assert_eq!(refusal(registry.advance_deployment("churn", ended.at(), &step(2, 0.5))), over);
    assert_eq!(refusal(registry.finish_deployment("churn", Some(ended.at()), "")), over);
    let missing = DeploymentRevision { number: 7, revision: 1 };
    let unknown = DeploymentError::NotFound { model: "churn".into(), number: 7 };
    assert_eq!(refusal(registry.advance_deployment("churn", missing, &step(2, 0.5))), unknown);
    let nobody = registry.advance_deployment("nobody", missing, &step(2, 0.5));
    assert!(matches!(nobody, Err(StoreError::NoModel { .. })));
}

pub(crate) fn an_end_that_names_no_revision_ends_the_active_deployment(world: &World) {
    let started = started(world);
    world.registry.advance_deployment("churn", started.at(), &step(1, 0.25)).unwrap();
    let ended = world.registry.abort_deployment("churn", None, "a person says so").unwrap();
    assert_eq!((ended.status, ended.step, ended.revision), (DeploymentStatus::Aborted, 1, 3));
    let none = DeploymentError::NoneActive { model: "churn".into() };
    assert_eq!(refusal(world.registry.abort_deployment("churn", None, "")), none);
    assert_eq!(refusal(world.registry.finish_deployment("churn", None, "")), none);
    assert!(matches!(world.registry.abort_deployment("nobody", None, ""), Err(StoreError::NoModel { .. })));
    assert_eq!(world.registry.active_deployment("nobody").unwrap(), None);
    assert!(matches!(world.registry.deployments("nobody", None), Err(StoreError::NoModel { .. })));
}

// invariant: A candidate whose deployment is aborted does not become champion by a promotion that
// was under way.
pub(crate) fn an_abort_undoes_the_promotion_of_the_candidate_that_is_under_way(world: &World) {
    let registry = &world.registry;
    world.approved("churn");
    world.promote("churn", 1);
    for _ in 0..2 {
        world.approved("churn");
    }
    let begin = |version| {
        let (destination, reason) = ("file:///production".to_owned(), "every step went well".to_owned());
        let request = PromotionRequest { destination, expected: Some(Some(1)), reason };
        registry.begin_promotion("churn", version, &request).unwrap()
    };
    registry.start_deployment("churn", &canary()).unwrap();
    let (other, under_way) = (begin(3), begin(2));
    registry.abort_deployment("churn", None, "too slow").unwrap();
    let refused = registry.complete_promotion(&under_way.id).unwrap_err();
    assert!(matches!(refused, StoreError::PromotionEnded { state: "undone", .. }), "{refused}");
    assert_eq!(world.champion("churn"), Some(1));
    let entries = registry.audit_of("churn", Some(2)).unwrap();
    let undone: Vec<_> = entries.iter().filter(|it| it.action == "promotion.undone").collect();
    assert_eq!(undone.iter().map(|it| it.reason.as_str()).collect::<Vec<_>>(), ["its deployment was aborted"]);
    // That of another version goes on, and so does one at whose completion the deployment ends.
    registry.start_deployment("churn", &canary()).unwrap();
    let completed = begin(2);
    registry.complete_promotion(&completed.id).unwrap();
    registry.abort_deployment("churn", None, "too late").unwrap();
    registry.finish_promotion(&completed.id).unwrap();
    assert_eq!(world.champion("churn"), Some(2));
    assert!(matches!(registry.complete_promotion(&other.id), Err(StoreError::AliasMoved { .. })));
}

pub(crate) fn what_is_no_deployment_is_refused(world: &World) {
    for _ in 0..2 {
        world.unjudged("churn");
    }
    let head = world.registry.audit_head().unwrap();
    let of = |arms: Vec<DeploymentArm>| NewDeployment { arms, ..canary() };
    for (new, problem) in [
        (of(vec![]), "it has 0 arms; give it 1 to 16"),
        (of((0..17).map(|place| arm(&format!("a{place}"), 1, 1.0 / 17.0)).collect()), "it has 17 arms"),
        (of(vec![arm("a", 1, 0.5), arm("a", 2, 0.5)]), "two arms are called `a`"),
        (of(vec![arm("a b", 1, 1.0)]), "`a b` is not a valid arm name"),
        (of(vec![arm("a", 1, 0.5), arm("b", 2, 0.4)]), "its arms have the shares 0.5, 0.4; give each from 0 to 1"),
        (of(vec![arm("a", 1, 1.5), arm("b", 2, -0.5)]), "the shares 1.5, -0.5"),
        (of(vec![arm("a", 1, f64::NAN)]), "the shares NaN"),
        (NewDeployment { configuration: json!([1]), ..canary() }, "its configuration is not a JSON object"),
        (NewDeployment { state: json!({"a": "x".repeat(70_000)}), ..canary() }, "its state has 70008 bytes as JSON"),
    ] {
        let refused = refusal(world.registry.start_deployment("churn", &new));
        assert!(matches!(&refused, DeploymentError::Invalid { problem: told } if told.contains(problem)), "{refused}");
    }
    let unknown = world.registry.start_deployment("churn", &of(vec![arm("a", 9, 1.0)]));
    assert!(matches!(unknown, Err(StoreError::NoVersion { version: 9, .. })));
    assert!(matches!(world.registry.start_deployment("nobody", &canary()), Err(StoreError::NoModel { .. })));
    assert_eq!(world.registry.audit_head().unwrap(), head);
    // Shares of decimals need not add up to the last bit.
    let tenths = (0..10).map(|place| arm(&format!("a{place}"), 1 + place % 2, 0.1)).collect();
    let started = world.registry.start_deployment("churn", &of(tenths)).unwrap();
    for shares in [vec![1.0], vec![0.2; 10]] {
        let wrong = DeploymentStep { shares, ..step(1, 0.0) };
        let refused = refusal(world.registry.advance_deployment("churn", started.at(), &wrong));
        assert!(matches!(refused, DeploymentError::Invalid { .. }), "{refused}");
    }
}

// invariant: A version that takes part in an active deployment cannot be deleted.
pub(crate) fn a_version_of_an_active_deployment_is_not_deleted(world: &World) {
    started(world);
    world.unjudged("churn");
    for version in [1, 2] {
        let refused = refusal(world.registry.delete_version("churn", version, ""));
        assert_eq!(refused, DeploymentError::VersionDeployed { model: "churn".into(), version, number: 1 });
    }
    assert!(matches!(refusal(world.registry.delete_model("churn", "")), DeploymentError::VersionDeployed { .. }));
    world.registry.delete_version("churn", 3, "").unwrap();
    world.registry.abort_deployment("churn", None, "").unwrap();
    world.registry.delete_version("churn", 2, "").unwrap();
    // The history names it all the same.
    assert_eq!(world.registry.deployment("churn", 1).unwrap().arms[1].version, 2);
}

pub(crate) fn a_deployment_follows_its_model_to_its_new_name_and_goes_with_it(world: &World) {
    let started = started(world);
    world.registry.add_arm_counts("churn", 1, &[ArmCounts { arm: "canary".into(), ..ArmCounts::default() }]).unwrap();
    world.registry.rename_model("churn", "leavers").unwrap();
    world.registry.verify_audit().unwrap();
    assert_eq!(world.registry.active_deployment("churn").unwrap(), None);
    let renamed = world.registry.active_deployment("leavers").unwrap().unwrap();
    assert_eq!(renamed, Deployment { model: "leavers".into(), ..started });
    world.registry.advance_deployment("leavers", renamed.at(), &step(1, 0.5)).unwrap();
    world.registry.abort_deployment("leavers", None, "").unwrap();
    world.registry.delete_model("leavers", "").unwrap();
    for table in ["deployments", "deployment_counters", "deployment_latencies"] {
        assert_eq!(world.rows(&format!("SELECT count(*) FROM {table}")), ["0"], "{table}");
    }
    world.registry.verify_audit().unwrap();
}

fn counted(arm: &str, step: u32, latencies: &[(u64, u64)]) -> ArmCounts {
    let requests = latencies.iter().map(|(_, answers)| answers).sum();
    ArmCounts { arm: arm.into(), step, requests, errors: 1, rows: 2 * requests, latencies: latencies.to_vec() }
}

// invariant: Counters of a deployment's arms survive restarts. Those of several servers add up.
pub(crate) fn counters_of_several_servers_add_up(world: &World) {
    const SERVERS: u64 = 8;
    const TIMES: u64 = 5;
    let started = started(world);
    assert_eq!(world.registry.arm_counts("churn", 1).unwrap(), []);
    let deltas = [
        counted("canary", 0, &[(1_000, 3), (u64::MAX, 1)]),
        counted("control", 0, &[(1_000, 10), (5_000, 0)]),
        counted("control", 1, &[(5_000, 2)]),
    ];
    // Of a step that was not made nothing is counted.
    let mut at = world.registry.advance_deployment("churn", started.at(), &step(1, 0.5)).unwrap().at();
    thread::scope(|scope| {
        for server in 0..SERVERS {
            let deltas = &deltas;
            scope.spawn(move || {
                // Each has a registry of its own, as a server has, and its own order.
                let registry = world.reopened();
                let mut deltas = deltas.to_vec();
                deltas.rotate_left(server as usize % 3);
                for _ in 0..TIMES {
                    registry.add_arm_counts("churn", 1, &deltas).unwrap();
                }
            });
        }
        // Steps conflict with none of it.
        for number in 2..=10 {
            at = world.registry.advance_deployment("churn", at, &step(number, 0.5)).unwrap().at();
        }
    });
    let times = SERVERS * TIMES;
    let expected = deltas.map(|mut it| {
        it.latencies.retain(|(_, answers)| *answers > 0);
        it.latencies.iter_mut().for_each(|(_, answers)| *answers *= times);
        ArmCounts { requests: it.requests * times, errors: times, rows: it.rows * times, ..it }
    });
    assert_eq!(world.reopened().arm_counts("churn", 1).unwrap(), expected);
    assert_eq!(expected[0].latency_quantile_us(0.99), Some(u64::MAX));
    assert_eq!(expected[0].error_rate(), Some(0.25));
    // Counts from before the end arrive after it.
    world.registry.abort_deployment("churn", None, "").unwrap();
    world.registry.add_arm_counts("churn", 1, &[counted("canary", 10, &[(1_000, 1)])]).unwrap();
    assert_eq!(world.registry.arm_counts("churn", 1).unwrap().len(), 4);
}

pub(crate) fn what_cannot_be_counted_is_refused(world: &World) {
    started(world);
    let none = counted("canary", 0, &[]);
    let many: Vec<(u64, u64)> = (0..65).map(|bound| (bound, 1)).collect();
    for (delta, problem) in [
        (counted("shadow", 0, &[]), "it has no arm `shadow`"),
        (counted("canary", 0, &many), "an arm has 65 buckets"),
        (ArmCounts { rows: 1 << 41, ..none.clone() }, "2199023255552 cannot be added at once"),
    ] {
        // With one that could be counted, which is not either.
        let refused = refusal(world.registry.add_arm_counts("churn", 1, &[none.clone(), delta]));
        assert!(refused.to_string().contains(problem), "{refused}");
    }
    let unknown = refusal(world.registry.add_arm_counts("churn", 2, &[none]));
    assert_eq!(unknown, DeploymentError::NotFound { model: "churn".into(), number: 2 });
    assert_eq!(world.registry.arm_counts("churn", 1).unwrap(), []);
    assert!(matches!(world.registry.arm_counts("nobody", 1), Err(StoreError::NoModel { .. })));
}

pub(crate) fn a_refusal_of_a_version_is_on_record_once(world: &World) {
    for _ in 0..2 {
        world.unjudged("churn");
    }
    let (first, second) = (world.registry.acting_as("first"), world.registry.acting_as("second"));
    assert!(first.record_refusal("churn", 2, "it does not load").unwrap());
    assert!(!first.record_refusal("churn", 2, "it does not load").unwrap());
    // Two servers that try again and again do not fill the audit.
    assert!(second.record_refusal("churn", 2, "it does not load").unwrap());
    assert!(!first.record_refusal("churn", 2, "it does not load").unwrap());
    assert!(first.record_refusal("churn", 2, "it traps").unwrap());
    assert!(first.record_refusal("churn", 1, "it does not load").unwrap());
    // Something else happened to the version, so that it is told again.
    world.approve("churn", 2);
    assert!(first.record_refusal("churn", 2, "it does not load").unwrap());
    let entries = world.registry.audit_of("churn", Some(2)).unwrap();
    let refusals = entries.iter().filter(|it| it.action == "version.refused-by-serving");
    let told: Vec<_> = refusals.map(|it| (it.actor.as_str(), it.reason.as_str())).collect();
    let expected = [("first", "it does not load"), ("second", "it does not load"), ("first", "it traps")];
    assert_eq!(told, [&expected[..], &expected[..1]].concat());
    assert!(matches!(first.record_refusal("churn", 9, ""), Err(StoreError::NoVersion { .. })));
}
