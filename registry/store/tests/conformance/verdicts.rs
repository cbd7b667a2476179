//! Verdicts are complete records that never change; the last one counts.

// invariant: A verdict names the champion that it was reached against. A later verdict supersedes
// it and erases nothing.

use serde_json::json;
use stagewright_store::{
    Digest, JudgedAgainst, NewVerdict, NewVersion, PERSON, Reference, StoreError, Verdict, VerdictReason,
    VersionVerdict,
};

use crate::world::{World, judged, new_run, reference, unnumbered, version};

/// Returns a verdict with every field set.
fn rich(world: &World) -> NewVerdict {
    NewVerdict {
        verdict: Verdict::Rejected,
        policy: "no-worse".into(),
        judged_against: JudgedAgainst::NoChampion,
        reason: "roc_auc 0.7 < 0.8".into(),
        reasons: vec![VerdictReason { gate: "minimum roc_auc".into(), passed: false, message: "ä \"0.7\"".into() }],
        evaluation: json!({"rows": 1.5, "difference": null}),
        metrics: vec![("brier".into(), f64::NAN), ("roc_auc".into(), 0.7)],
        references: vec![explains("evaluation.report", world.blob(b"report"))],
        run_id: Some(world.registry.begin_run(&new_run("churn")).unwrap()),
        is_override: false,
    }
}

fn explains(role: &str, digest: Digest) -> Reference {
    Reference { needed: false, ..reference(role, digest) }
}

fn record(world: &World, version: u32, verdict: &NewVerdict) -> Result<(), StoreError> {
    world.registry.record_verdict(&world.artifacts, "churn", version, verdict)
}

pub(crate) fn a_verdict_is_read_back_as_it_was_recorded(world: &World) {
    let registry = world.registry.acting_as("ada");
    let new = rich(world);
    assert!(matches!(record(world, 1, &new), Err(StoreError::NoModel { .. })));
    world.unjudged("churn");
    assert!(matches!(record(world, 2, &new), Err(StoreError::NoVersion { .. })));
    assert_eq!(registry.verdicts("churn", 1).unwrap(), []);
    registry.record_verdict(&world.artifacts, "churn", 1, &new).unwrap();
    let VersionVerdict { metrics, at_ms, by, .. } = registry.verdicts("churn", 1).unwrap().remove(0);
    assert_eq!((by.as_str(), metrics[0].0.as_str(), metrics[1].clone()), ("ada", "brier", ("roc_auc".to_owned(), 0.7)));
    assert!(metrics[0].1.is_nan());
    let found = registry.version("churn", 1).unwrap();
    assert!(at_ms >= found.created_ms && found.judged_ms == Some(at_ms) && found.updated_ms == at_ms);
    let shown = serde_json::to_value(registry.verdicts("churn", 1).unwrap().remove(0)).unwrap();
    let expected = json!({
        "verdict": "rejected", "policy": "no-worse", "judged_against": null, "reason": new.reason,
        "reasons": [{"gate": "minimum roc_auc", "passed": false, "message": "ä \"0.7\""}],
        "evaluation": {"rows": 1.5, "difference": null}, "metrics": [["brier", null], ["roc_auc", 0.7]],
        "references": [{"role": "evaluation.report", "kind": "blob", "digest": Digest::of(b"report"), "needed": false}],
        "run_id": new.run_id, "override": false, "by": "ada", "at_ms": at_ms,
    });
    assert_eq!(shown, expected);
    // An artifact that explains a verdict is kept as long as the verdict.
    assert!(registry.reachable().unwrap().contains(&Digest::of(b"report")));
    registry.delete_version("churn", 1, "").unwrap();
    assert!(!registry.reachable().unwrap().contains(&Digest::of(b"report")));
    assert_eq!(world.rows("SELECT count(*) FROM verdicts"), ["0"]);
}

pub(crate) fn a_later_verdict_supersedes_an_earlier_one_and_erases_nothing(world: &World) {
    let registry = &world.registry;
    world.unjudged("churn");
    record(world, 1, &rich(world)).unwrap();
    let later = NewVerdict {
        verdict: Verdict::Approved,
        policy: "absolute".into(),
        reason: "every gate passed".into(),
        metrics: vec![("roc_auc".into(), 0.9)],
        references: vec![explains("evaluation.report", world.blob(b"another"))],
        ..rich(world)
    };
    record(world, 1, &later).unwrap();
    let decided = NewVerdict::by_person(Verdict::Rejected, JudgedAgainst::NoChampion, "it is unfair");
    record(world, 1, &decided).unwrap();
    let verdicts = registry.verdicts("churn", 1).unwrap();
    let told: Vec<_> = verdicts.iter().map(|it| (it.verdict, it.policy.as_str(), it.is_override)).collect();
    let expected = [
        (Verdict::Rejected, "no-worse", false),
        (Verdict::Approved, "absolute", false),
        (Verdict::Rejected, PERSON, true),
    ];
    assert_eq!(told, expected);
    assert_eq!(verdicts[0].references[0].digest, Digest::of(b"report"));
    assert!(verdicts[2].metrics.is_empty() && verdicts[2].references.is_empty());
    let person = VerdictReason { gate: PERSON.into(), passed: false, message: "it is unfair".into() };
    assert_eq!(verdicts[2].reasons, [person]);
    // The version has the last verdict and the last metrics.
    let found = registry.version("churn", 1).unwrap();
    assert_eq!((found.verdict, found.reason.as_deref()), (Some(Verdict::Rejected), Some("it is unfair")));
    assert_eq!(found.judged_against, Some(JudgedAgainst::NoChampion));
    assert_eq!(found.metrics, [("roc_auc".to_owned(), 0.9)]);
    assert_eq!(found.references, [explains("evaluation.report", Digest::of(b"another"))]);
    let audit = registry.audit_of("churn", Some(1)).unwrap();
    let told: Vec<_> = audit[1..].iter().map(|it| (it.action.as_str(), it.new_state.as_deref().unwrap())).collect();
    let expected = [
        ("version.judged", "rejected against no champion"),
        ("version.judged", "approved against no champion"),
        ("version.judged-by-person", "rejected against no champion"),
    ];
    assert_eq!(told, expected);
    assert_eq!(audit[3].old_state.as_deref(), Some("approved against no champion"));
    registry.verify_audit().unwrap();
}

pub(crate) fn a_verdict_against_another_champion_is_not_recorded(world: &World) {
    let champion = world.approved("churn");
    world.promote("churn", champion);
    let candidate = world.unjudged("churn");
    let head = world.registry.audit_head().unwrap();
    for against in [JudgedAgainst::NoChampion, JudgedAgainst::Champion(candidate), JudgedAgainst::Unknown] {
        let refused = record(world, candidate, &judged(Verdict::Approved, against, "good")).unwrap_err();
        let text = format!(
            "a verdict on model `churn` was reached against {against}, and version 1 is champion now; it was not recorded\n\
             hint: judge again"
        );
        assert_eq!(refused.to_string(), text);
        assert!(matches!(refused, StoreError::ChampionChanged { champion: Some(1), .. }));
    }
    // The champion cannot be judged.
    let itself = record(world, champion, &judged(Verdict::Rejected, JudgedAgainst::Champion(champion), "bad")).unwrap_err();
    assert!(matches!(itself, StoreError::IsChampion { action: "judged", .. }), "{itself}");
    assert_eq!(world.registry.verdicts("churn", candidate).unwrap(), []);
    assert_eq!(world.registry.audit_head().unwrap(), head);
    record(world, candidate, &judged(Verdict::Approved, JudgedAgainst::Champion(1), "good")).unwrap();
    assert_eq!(
        world.registry.version("churn", candidate).unwrap().judged_against,
        Some(JudgedAgainst::Champion(1))
    );
}

pub(crate) fn a_verdict_without_an_artifact_that_explains_it_is_not_recorded(world: &World) {
    world.unjudged("churn");
    let missing = vec![explains("evaluation.report", Digest::of(b"nobody stored this"))];
    let refused = record(world, 1, &NewVerdict { references: missing, ..rich(world) }).unwrap_err();
    assert!(matches!(&refused, StoreError::Incomplete { role, .. } if role == "evaluation.report"), "{refused}");
    let unnamed = NewVerdict { metrics: vec![(String::new(), 1.0)], ..rich(world) };
    assert!(matches!(record(world, 1, &unnamed), Err(StoreError::BadKey { what: "metric", .. })));
    assert_eq!(world.registry.verdicts("churn", 1).unwrap(), []);
    assert_eq!(world.registry.version("churn", 1).unwrap().verdict, None);
}

pub(crate) fn metrics_of_a_manifest_are_those_of_the_first_verdict(world: &World) {
    let published = |version| world.registry.version("churn", version).unwrap().published_metrics;
    let measured = |value| NewVerdict {
        metrics: vec![("roc_auc".into(), value)],
        ..judged(Verdict::Approved, JudgedAgainst::NoChampion, "good")
    };
    let auc = |value| Some(vec![("roc_auc".to_owned(), value)]);
    // A version that was trained here has none until it is judged.
    let candidate = world.registry.register_candidate(&world.artifacts, "churn", &version(), &unnumbered).unwrap();
    assert_eq!((candidate.version, published(1)), (1, None));
    record(world, 1, &measured(0.7)).unwrap();
    record(world, 1, &measured(0.9)).unwrap();
    assert_eq!((published(1), world.registry.version("churn", 1).unwrap().metrics), (auc(0.7), auc(0.9).unwrap()));
    // A version from elsewhere has those that it came with, even if that is none.
    for (number, metrics) in (2..).zip([auc(0.5).unwrap(), vec![]]) {
        let new = NewVersion { metrics: metrics.clone(), ..version() };
        world.registry.create_version(&world.artifacts, "churn", &new, &unnumbered).unwrap();
        record(world, number, &measured(0.8)).unwrap();
        assert_eq!(published(number), Some(metrics));
    }
}
