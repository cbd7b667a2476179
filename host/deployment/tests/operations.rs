//! Operations of people, on a real registry.

mod support;

use std::cell::RefCell;

use serde_json::{Value, json};
use stagewright_deployment::{Candidate, OperationError, Plan, abort, advance, parse_file, start, status};
use stagewright_store::{
    ArmCounts, ArtifactKind, CHAMPION, DeploymentError, DeploymentStatus, Home, JudgedAgainst, NewDeployment,
    NewOutcome, NewVerdict, NewVersion, PromotionRequest, Reference, StoreError, Verdict,
};
use tempfile::TempDir;

const MODEL: &str = "churn";

struct World {
    home: Home,
    _folder: TempDir,
}

impl World {
    /// Returns a model with the champion 1.2.3 and the approved version 2.0.0.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self { home: Home::open(folder.path().join("home")).unwrap(), _folder: folder };
        world.registered("1.2.3");
        world.approve(1);
        world.promote(1).unwrap();
        world.registered("2.0.0");
        world.approve(2);
        world
    }

    fn registered(&self, semantic: &str) -> u32 {
        let staging = self.home.artifacts.stage();
        let mut writer = staging.create_blob().unwrap();
        writer.write(semantic.as_bytes()).unwrap();
        let digest = writer.finish().unwrap().digest();
        staging.publish().unwrap();
        let reference = Reference { role: "model".into(), kind: ArtifactKind::Blob, digest, needed: true };
        let task = json!({"kind": "binary", "negative": "No", "positive": "Yes"});
        let new = NewVersion { contents: json!({"task": task}), references: vec![reference], ..NewVersion::default() };
        let numbering = |_: Option<(&Value, &str)>| Some(semantic.to_owned());
        self.home.registry.register_candidate(&self.home.artifacts, MODEL, &new, &numbering).unwrap().version
    }

    fn approve(&self, version: u32) {
        let against = JudgedAgainst::from(self.home.registry.alias(MODEL, CHAMPION).unwrap());
        let verdict = NewVerdict::by_person(Verdict::Approved, against, "good");
        self.home.registry.record_verdict(&self.home.artifacts, MODEL, version, &verdict).unwrap();
    }

    /// Makes a version champion, without a destination.
    fn promote(&self, version: u32) -> Result<(), StoreError> {
        let request = PromotionRequest { destination: "nowhere".into(), ..PromotionRequest::default() };
        let promotion = self.home.registry.begin_promotion(MODEL, version, &request)?;
        self.home.registry.complete_promotion(&promotion.id)?;
        self.home.registry.finish_promotion(&promotion.id)
    }

    fn start(&self, request: &Value) -> Result<stagewright_store::Deployment, OperationError> {
        start(&self.home.registry, MODEL, request, "a test")
    }

    fn champion(&self) -> Option<u32> {
        self.home.registry.alias(MODEL, CHAMPION).unwrap()
    }
}

fn canary() -> Value {
    json!({"strategy": "canary", "version": 2, "shares": [5, 100]})
}

/// No promotion is due.
fn none(_: &Candidate) -> Result<(), OperationError> {
    panic!("a promotion before the last step")
}

#[test]
fn a_canary_is_advanced_to_its_promotion() {
    let world = World::new();
    let registry = &world.home.registry;
    let started = world.start(&canary()).unwrap();
    assert_eq!((started.number, started.arms[1].share), (1, 0.05));
    let second = advance(registry, MODEL, "", support::START_MS, none).unwrap();
    assert_eq!((second.step, second.arms[1].share), (1, 1.0));
    let asked = RefCell::new(None);
    let promote = |candidate: &Candidate| {
        asked.replace(Some(candidate.clone()));
        Ok::<_, OperationError>(world.promote(candidate.version)?)
    };
    let ended = advance(registry, MODEL, "enough", support::START_MS, promote).unwrap();
    assert_eq!((ended.status, ended.end_reason.as_deref()), (DeploymentStatus::Finished, Some("enough")));
    let expected = Candidate { model: MODEL.into(), version: 2, champion: 1, number: 1, reason: "enough".into() };
    assert_eq!(asked.into_inner(), Some(expected));
    assert_eq!(world.champion(), Some(2));
}

#[test]
fn a_promotion_that_fails_leaves_the_deployment_active_and_one_that_was_made_finishes_it() {
    let world = World::new();
    let registry = &world.home.registry;
    world.start(&canary()).unwrap();
    advance(registry, MODEL, "", 0, none).unwrap();
    let fails = |_: &Candidate| Err(StoreError::NoModel { model: "none".into() }.into());
    let failed: Result<_, OperationError> = advance(registry, MODEL, "", 0, fails);
    assert!(failed.is_err());
    assert_eq!(registry.active_deployment(MODEL).unwrap().unwrap().step, 1);
    // A process that died between the promotion and the end.
    world.promote(2).unwrap();
    let ended = advance(registry, MODEL, "", 0, none).unwrap();
    assert_eq!(
        (ended.status, ended.end_reason.as_deref()),
        (DeploymentStatus::Finished, Some("version 2 is champion"))
    );
}

#[test]
fn only_a_version_that_could_be_promoted_is_deployed() {
    let world = World::new();
    let refused = |request: &Value| world.start(request).unwrap_err();
    world.registered("2.1.0");
    let unjudged = refused(&json!({"strategy": "canary", "version": 3}));
    assert!(matches!(unjudged, OperationError::Store(StoreError::NotApproved { version: 3, .. })), "{unjudged}");
    let champion = refused(&json!({"strategy": "shadow", "version": 1}));
    assert!(matches!(champion, OperationError::CandidateIsChampion { version: 1, .. }), "{champion}");
    world.approve(3);
    world.promote(3).unwrap();
    let stale = refused(&canary());
    assert!(matches!(stale, OperationError::Store(StoreError::StaleVerdict { version: 2, .. })), "{stale}");
    let unknown = start(&world.home.registry, "other", &canary(), "").unwrap_err();
    assert!(matches!(unknown, OperationError::Store(StoreError::NoModel { .. })), "{unknown}");
    assert_eq!(world.home.registry.deployments(MODEL, None).unwrap(), []);
}

#[test]
fn a_model_without_a_champion_has_nothing_to_compare_with() {
    let folder = tempfile::tempdir().unwrap();
    let world = World { home: Home::open(folder.path().join("home")).unwrap(), _folder: folder };
    world.registered("1.0.0");
    world.approve(1);
    let refused = world.start(&json!({"strategy": "canary", "version": 1})).unwrap_err();
    assert!(matches!(refused, OperationError::NoChampion { candidate: 1, .. }), "{refused}");
}

/// The A/B test to the letter, as JSON.
const AB: &str = r#"{
    "experiment_name": "churn_model_v2",
    "variants": {
        "control": {"model_version": "v1.2.3", "traffic_percentage": 50},
        "treatment": {"model_version": "v2.0.0", "traffic_percentage": 50}
    },
    "metrics": {"primary": "conversion_rate", "secondary": ["latency_p99", "error_rate"]},
    "duration_days": 14,
    "min_sample_size": 10000
}"#;

/// The same as TOML.
const AB_TOML: &str = r#"
[deployment]
strategy = "ab"
experiment-name = "churn_model_v2"
duration-days = 14
min-sample-size = 10_000

[deployment.variants]
control = { model-version = "v1.2.3", traffic-percentage = 50 }
treatment = { model-version = "v2.0.0", traffic-percentage = 50 }

[deployment.metrics]
primary = "conversion_rate"
secondary = ["latency_p99", "error_rate"]
"#;

#[test]
fn a_test_names_its_versions_by_semantic_version_in_json_and_toml() {
    let world = World::new();
    let json = world.start(&parse_file(AB, true).unwrap()).unwrap();
    assert_eq!(json.arms.iter().map(|arm| (arm.version, arm.share)).collect::<Vec<_>>(), [(1, 0.5), (2, 0.5)]);
    abort(&world.home.registry, MODEL, "again").unwrap();
    let toml = world.start(&parse_file(AB_TOML, false).unwrap()).unwrap();
    assert_eq!(Plan::of(&toml).unwrap(), Plan::of(&json).unwrap());
}

#[test]
fn versions_are_found_by_number_semantic_version_and_alias_or_refused() {
    let world = World::new();
    world.home.registry.set_alias(MODEL, "challenger", None, Some(2)).unwrap();
    for version in [json!(2), json!("2"), json!("v2"), json!("2.0.0"), json!("v2.0.0"), json!("challenger")] {
        let started = world.start(&json!({"strategy": "shadow", "version": version})).unwrap();
        assert_eq!(started.arms[1].version, 2, "{version}");
        abort(&world.home.registry, MODEL, "next").unwrap();
    }
    for (version, part) in [("v9.9.9", "semantic version 9.9.9"), ("x\ny", "neither a version")] {
        let refused = world.start(&json!({"strategy": "shadow", "version": version})).unwrap_err().to_string();
        assert!(refused.starts_with("`version` of the deployment: ") && refused.contains(part), "{refused}");
    }
    for version in [json!(7), json!("7"), json!("v7")] {
        let refused = world.start(&json!({"strategy": "shadow", "version": version})).unwrap_err();
        assert!(matches!(refused, OperationError::Store(StoreError::NoVersion { version: 7, .. })), "{refused}");
    }
    let other = AB.replace("v1.2.3", "v2.0.0").replacen("v2.0.0", "2", 1).replacen("\"v2.0.0\"", "1", 1);
    let refused = world.start(&parse_file(&other, true).unwrap()).unwrap_err();
    assert!(matches!(refused, OperationError::CandidateIsChampion { .. }), "{refused}");
}

#[test]
fn a_control_that_is_not_the_champion_is_refused() {
    let world = World::new();
    world.registered("3.0.0");
    world.approve(3);
    let refused = world.start(&parse_file(&AB.replace("v1.2.3", "3"), true).unwrap()).unwrap_err();
    assert!(matches!(refused, OperationError::ControlIsNotChampion { control: 3, champion: 1, .. }), "{refused}");
}

#[test]
fn nothing_is_advanced_or_aborted_where_nothing_is_active() {
    let world = World::new();
    let registry = &world.home.registry;
    let refused = advance(registry, MODEL, "", 0, none).unwrap_err();
    let is_none = |error: &StoreError| matches!(error, StoreError::Deployment(DeploymentError::NoneActive { .. }));
    assert!(matches!(&refused, OperationError::Store(error) if is_none(error)), "{refused}");
    assert!(is_none(&abort(registry, MODEL, "why").unwrap_err()));
    world.start(&canary()).unwrap();
    let second = world.start(&canary()).unwrap_err();
    let OperationError::Store(StoreError::Deployment(DeploymentError::Active { number: 1, .. })) = second else {
        panic!("{second}")
    };
}

#[test]
fn the_status_has_the_figures_of_each_arm_and_what_is_next() {
    let world = World::new();
    let registry = &world.home.registry;
    let deployment = world.start(&parse_file(AB, true).unwrap()).unwrap();
    let counts = |arm: &str, requests, errors, latencies: &[(u64, u64)]| ArmCounts {
        arm: arm.into(),
        step: 0,
        requests,
        errors,
        rows: 2 * requests,
        latencies: latencies.to_vec(),
    };
    let both = [counts("control", 100, 1, &[(1_000, 100)]), counts("treatment", 200, 0, &[(1_000, 100), (9_000, 100)])];
    registry.add_arm_counts(MODEL, 1, &both).unwrap();
    let outcome = |number: u32, label: &str| NewOutcome {
        request_id: format!("request-{number}"),
        version: 2,
        arm: Some("treatment".into()),
        label: Some(label.into()),
        value: None,
        at_ms: deployment.started_ms + 1,
    };
    registry
        .post_outcomes(MODEL, &[outcome(1, "Yes"), outcome(2, "No"), outcome(3, "No"), outcome(4, "Yes")], 100)
        .unwrap();
    let view = status(registry, &deployment, deployment.started_ms).unwrap();
    let json = serde_json::to_value(&view).unwrap();
    let treatment = &json["arms"][1];
    assert_eq!(
        (&treatment["requests"], &treatment["rows"], &treatment["errors"]),
        (&json!(200), &json!(400), &json!(0))
    );
    assert_eq!((&treatment["latency_p50_ms"], &treatment["latency_p99_ms"]), (&json!(1.0), &json!(9.0)));
    assert_eq!((&treatment["outcomes"], &treatment["positive_rate"]), (&json!(4), &json!(0.5)));
    assert_eq!(treatment["this_step"]["requests"], 200);
    assert_eq!(json["arms"][0]["error_rate"], 0.01);
    assert_eq!((&json["next"]["action"], &json["report"]["verdict"]), (&json!("stay"), &json!("not_yet")));
    let ended = abort(registry, MODEL, "enough").unwrap();
    let view = status(registry, &ended, ended.started_ms).unwrap();
    assert_eq!((view.next, view.end_reason.as_deref()), (None, Some("enough")));
}

#[test]
fn the_positive_outcome_is_the_positive_class_of_the_model_unless_the_plan_names_another() {
    let world = World::new();
    let label = |request: &Value| {
        let started = world.start(request);
        let label = started.map(|started| Plan::of(&started).unwrap().positive_label().to_owned());
        if label.is_ok() {
            abort(&world.home.registry, MODEL, "next").unwrap();
        }
        label.map_err(|error| error.to_string())
    };
    let ab = parse_file(AB, true).unwrap();
    let guarded = support::with(canary(), "/guard", json!({"outcome": {"at_least": 0.1}}));
    assert_eq!((label(&ab), label(&guarded)), (Ok("Yes".into()), Ok("Yes".into())));
    assert_eq!(label(&support::with(ab.clone(), "/positive_label", json!("No"))), Ok("No".into()));
    let wrong = label(&support::with(ab, "/positive_label", json!("yes"))).unwrap_err();
    assert!(wrong.contains("`yes` is no class of version 2\nhint: its classes are `No`, `Yes`"), "{wrong}");
    let wrong = label(&support::with(guarded, "/guard/outcome/positive_label", json!("1"))).unwrap_err();
    assert!(wrong.starts_with("`guard.outcome.positive_label`"), "{wrong}");
}

#[test]
fn a_command_that_a_server_overtakes_ends_the_deployment_too() {
    let world = World::new();
    world.start(&canary()).unwrap();
    let registry = &world.home.registry;
    advance(registry, MODEL, "", support::START_MS, none).unwrap();
    let overtaken = |_: &Candidate| {
        world.promote(2)?;
        let (model, alias) = (MODEL.to_owned(), CHAMPION.to_owned());
        Err(OperationError::from(StoreError::AliasMoved { model, alias, expected: Some(1), actual: Some(2) }))
    };
    let ended = advance(registry, MODEL, "enough", support::START_MS, overtaken).unwrap();
    assert_eq!((ended.status, ended.end_reason.as_deref()), (DeploymentStatus::Finished, Some("enough")));
}

#[test]
fn a_candidate_that_is_champion_already_cannot_be_given_up() {
    let world = World::new();
    world.start(&canary()).unwrap();
    // Promoted, and the process that would have ended the deployment is not that far.
    world.promote(2).unwrap();
    let ended = abort(&world.home.registry, MODEL, "too slow").unwrap();
    assert_eq!(
        (ended.status, ended.end_reason.as_deref()),
        (DeploymentStatus::Finished, Some("version 2 is champion"))
    );
}

/// A plan of a newer release is shown and can be aborted, but not advanced.
#[test]
fn a_plan_that_is_not_understood_can_be_aborted() {
    let world = World::new();
    let registry = &world.home.registry;
    let newer = json!({"strategy": "canary", "version": 2, "ramp": "smooth"});
    let plan = Plan::parse(&canary()).unwrap().new_deployment(1, "a test").unwrap();
    let started = registry.start_deployment(MODEL, &NewDeployment { configuration: newer, ..plan }).unwrap();
    let next = status(registry, &started, 0).unwrap().next.unwrap();
    assert!(next.action == "stay" && next.reason.contains("unknown field `ramp`"), "{next:?}");
    let refused = advance(registry, MODEL, "", 0, none).unwrap_err();
    assert!(matches!(refused, OperationError::Plan(_)), "{refused}");
    let ended = abort(registry, MODEL, "not understood").unwrap();
    assert_eq!(status(registry, &ended, 0).unwrap().next, None);
}

/// The plans of the documentation, in the order of the page: TOML and JSON.
#[test]
fn the_plans_of_the_documentation_can_be_started() {
    let world = World::new();
    world.registered("3.0.0");
    world.approve(3);
    let page = include_str!("../../../docs/deployments.md");
    let blocks: Vec<(&str, bool)> = page
        .split("\n```")
        .filter_map(|block| {
            let (language, text) = block.split_once('\n')?;
            let is_plan = text.contains("strategy = ") || text.contains("min_sample_size");
            (is_plan && ["toml", "json"].contains(&language)).then_some((text, language == "json"))
        })
        .collect();
    assert_eq!(blocks.len(), 3, "a canary, and one test twice");
    let mut strategies = Vec::new();
    for (text, is_json) in blocks {
        let started = world.start(&parse_file(text, is_json).unwrap()).unwrap();
        strategies.push((started.strategy.name(), started.arms[1].version));
        abort(&world.home.registry, MODEL, "the next one").unwrap();
    }
    assert_eq!(strategies, [("canary", 3), ("ab", 2), ("ab", 2)]);
}

#[test]
fn files_with_mistakes_are_refused_by_their_place() {
    let error = |text: &str, is_json| parse_file(text, is_json).unwrap_err().to_string();
    assert!(error("a = 1\nb = ", false).contains("line 2: "));
    assert!(error("{", true).contains("line 1"));
    assert!(error("[]", true).contains("holds no object"));
    assert!(error("[deployment]\nstrategy = \"ab\"\n[other]\n", false).contains("`other` stands beside"));
    assert!(error("a = nan", false).contains("no number"));
    let deep = format!("a = {}1{}", "[".repeat(40), "]".repeat(40));
    assert!(error(&deep, false).contains("nested too deeply"), "{}", error(&deep, false));
    let huge = parse_file("a = 0x10\nb = 1_000\nc = 1.5\nd = true\ne = 2026-11-29\n", false).unwrap();
    assert_eq!(huge, json!({"a": 16, "b": 1000, "c": 1.5, "d": true, "e": "2026-11-29"}));
}
