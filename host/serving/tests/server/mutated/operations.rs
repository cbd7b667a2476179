//! Bodies that reach the registry: outcomes, and deployments.

use std::sync::Arc;

use fastrand::Rng;
use serde_json::{Value, json};
use stagewright_deployment::Candidate;
use stagewright_serving::{Operations, OutcomeRecorder, PoolOptions, Production, PromotionFault, ServedVersion};
use stagewright_store::{
    ArtifactKind, CHAMPION, Home, JudgedAgainst, NewVerdict, NewVersion, Page, PromotionRequest, Reference, Verdict,
};
use tempfile::TempDir;

use super::request::Request;
use super::{
    First, OF_OTHER_LENGTH, PATIENCE, REQUESTS, answers, count_panics, endure, expect_health, mutation, valid,
};
use crate::bed::{Running, version_with};
use crate::deployments::Fast;

/// A registry whose model `numbers` has the champion 1 and the approved version 2, and a server
/// that follows it.
struct World {
    server: Running,
    home: Arc<Home>,
    _folder: TempDir,
}

/// Promotes nothing.
struct Nowhere;

impl Production for Nowhere {
    fn admit(&self, _: &str, _: u32) -> Result<(), PromotionFault> {
        Ok(())
    }

    fn promote(&self, _: &Candidate) -> Result<(), PromotionFault> {
        Err(PromotionFault { reason: "there is no production here".to_owned(), is_final: true })
    }
}

impl World {
    fn new() -> Self {
        count_panics();
        let folder = tempfile::tempdir().expect("a folder");
        let home = Arc::new(Home::open(folder.path().join("home")).expect("a home"));
        let served = version_with(3, valid::mixed(), PoolOptions::default(), PATIENCE, || Box::new(First));
        register(&home, &served, "1.0.0");
        let request = PromotionRequest { destination: "nowhere".into(), ..PromotionRequest::default() };
        let promotion = home.registry.begin_promotion("numbers", 1, &request).expect("a promotion");
        home.registry.complete_promotion(&promotion.id).expect("a promotion");
        home.registry.finish_promotion(&promotion.id).expect("a promotion");
        register(&home, &served, "2.0.0");
        let (of_outcomes, of_operations) = (home.registry.clone(), home.registry.clone());
        let outcomes = OutcomeRecorder::start(Box::new(move || Ok(of_outcomes.clone()))).expect("a thread");
        let operations = Operations::new(Box::new(move || Ok(of_operations.clone())), Box::new(Nowhere));
        let complete = |service: stagewright_serving::Service| {
            service.with_outcomes(outcomes).with_operations(Arc::new(operations))
        };
        Self { server: Running::with_service(served, |_| {}, complete), home, _folder: folder }
    }
}

/// Registers a version with these contents, and approves it.
fn register(home: &Home, version: &ServedVersion, semantic: &str) {
    let staging = home.artifacts.stage();
    let mut writer = staging.create_blob().expect("a blob");
    writer.write(semantic.as_bytes()).expect("a blob");
    let digest = writer.finish().expect("a blob").digest();
    staging.publish().expect("a blob");
    let reference = Reference { role: "model".into(), kind: ArtifactKind::Blob, digest, needed: true };
    let contents = serde_json::to_value(&version.contents).expect("JSON");
    let new = NewVersion { contents, references: vec![reference], ..NewVersion::default() };
    let numbering = |_: Option<(&Value, &str)>| Some(semantic.to_owned());
    let registry = &home.registry;
    let made = registry.register_candidate(&home.artifacts, "numbers", &new, &numbering).expect("a version");
    let against = JudgedAgainst::from(registry.alias("numbers", CHAMPION).expect("an alias"));
    let verdict = NewVerdict::by_person(Verdict::Approved, against, "good");
    registry.record_verdict(&home.artifacts, "numbers", made.version, &verdict).expect("a verdict");
}

fn outcomes() -> Vec<Request> {
    let id = |number: usize| format!("01KB6TZ7M0V3W6QK5S0J3Z6T{number:02}.v1");
    let label = format!(r#"{{"request_id": "{}", "label": "yes", "time": "2026-11-29T11:00:00Z"}}"#, id(10));
    let value = format!(r#"{{"request_id": "{}.control", "value": 1.5}}"#, id(11));
    let unknown = format!(r#"{{"request_id": "{}", "label": "maybe"}}"#, id(12));
    let bodies =
        [label.clone(), format!("[{label}, {value}, {unknown}]"), format!(r#"{{"outcomes": [{value}, {label}]}}"#)];
    bodies.iter().map(|body| Request::json("/outcomes", body)).collect()
}

// invariant: No body of outcomes is the server's fault, or gets another number of results than it
// has outcomes.
#[test]
fn changed_outcomes_get_a_result_each_or_are_refused() {
    let world = World::new();
    // Recorded once, they are duplicates from now on.
    outcomes().iter().for_each(|request| assert_eq!(request.ask(&mut Fast::to(&world.server)).status, 200));
    assert!(endure(&world.server, 10, &outcomes()) > OF_OTHER_LENGTH);
    let page = Page { limit: 10, offset: 0 };
    assert!(world.home.registry.outcomes("numbers", 0, page).expect("outcomes").len() >= 2);
}

fn plans() -> Vec<Request> {
    let bounds = json!({ "max_error_rate": 0.02, "max_p99": "50 ms", "min_requests": 200 });
    let canary = json!({
        "strategy": "canary", "version": 2, "shares": [5, 25, 50, 100], "interval": "10 min", "reason": "better",
    });
    let ab = json!({
        "strategy": "ab", "experiment_name": "numbers_v2", "duration_days": 14, "min_sample_size": 10_000,
        "variants": {
            "control": { "model_version": 1, "traffic_percentage": 50 },
            "treatment": { "model_version": 2, "traffic_percentage": 50 },
        },
        "metrics": { "primary": "conversion_rate", "secondary": ["latency_p99", "error_rate"] },
    });
    let plans = [
        canary,
        ab,
        json!({ "strategy": "canary", "version": 2, "guard": bounds, "key": { "field": "customer" } }),
        json!({ "strategy": "blue_green", "version": 2 }),
        json!({ "strategy": "shadow", "version": 2, "reason": "a look" }),
    ];
    plans.iter().map(|plan| Request::json("/models/numbers/deployment", &plan.to_string())).collect()
}

// invariant: No plan of a deployment is the server's fault; each is started as it is, or refused.
#[test]
fn changed_plans_are_started_or_refused() {
    let world = World::new();
    let mut stream = Fast::to(&world.server);
    let (mut rng, mut started) = (Rng::with_seed(11), 0);
    let valid: Vec<Request> = plans().into_iter().filter(|plan| start(&world, &mut stream, plan)).collect();
    assert_eq!(valid.len(), plans().len());
    for number in 0..REQUESTS {
        let request = mutation::mutated(&mut rng, &valid[number % valid.len()]);
        started += usize::from(start(&world, &mut stream, &request));
    }
    assert!(started > REQUESTS / 50 && started < REQUESTS * 9 / 10, "{started}");
    let recorded = world.home.registry.deployments("numbers", None).expect("deployments");
    assert_eq!(recorded.len(), started + valid.len());
    assert!(valid.iter().all(|plan| start(&world, &mut stream, plan)));
    expect_health(&world.server);
}

/// Sends a plan. Returns whether it was started; it is ended again.
fn start(world: &World, stream: &mut Fast, request: &Request) -> bool {
    let reply = request.ask(stream);
    let told = || format!("{}\nis answered {}: {}", request.body.escape_ascii(), reply.status, reply.text());
    if reply.status != 201 {
        assert!(reply.status != 200, "{}", told());
        answers::check(request, &reply).unwrap_or_else(|problem| panic!("{problem}\n{}", told()));
        return false;
    }
    assert_eq!(reply.json()["model"], "numbers", "{}", told());
    let abort = Request::json("/models/numbers/deployment/abort", r#"{"reason": "it was a test"}"#);
    assert_eq!(abort.ask(&mut Fast::to(&world.server)).status, 200, "{}", told());
    true
}
