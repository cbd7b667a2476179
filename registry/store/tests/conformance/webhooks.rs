//! Webhooks: what they are to be told, by whom, and what became of it.

use serde_json::json;
use stagewright_store::{
    HeldWebhook, NewForeignVersion, NewModel, NewRun, NewWebhook, RunStatus, StoreError, TrackingError, Webhook,
    WebhookAttempt, WebhookChange, WebhookEvent, WebhookOutcome, WebhookSecret,
};

use crate::world::World;

/// A time far in the future.
const LATE: i64 = i64::MAX / 2;

fn create(world: &World, events: &[WebhookEvent]) -> Webhook {
    let new = NewWebhook {
        name: "ci".into(),
        description: "tells the builds".into(),
        url: "https://ci.example.org/hook".into(),
        events: events.to_vec(),
        secret: Some(WebhookSecret::new("0123456789abcdef").unwrap()),
        is_active: true,
    };
    world.registry.create_webhook(&new).unwrap()
}

fn hold(world: &World) -> HeldWebhook {
    let due = world.registry.due_webhooks().unwrap();
    world.registry.hold_webhook(due[0], LATE).unwrap().expect("nobody holds it")
}

/// Returns the names and the members of the events that a webhook is still to be told of.
fn queued(world: &World, held: &HeldWebhook) -> Vec<(String, serde_json::Value)> {
    let events = world.registry.events_of_webhook(held, 100).unwrap();
    events.into_iter().map(|event| (event.event_name, event.data)).collect()
}

fn attempt(outcome: WebhookOutcome, next_ms: i64) -> WebhookAttempt<'static> {
    WebhookAttempt { outcome, took_ms: 3, status: Some(500), reason: Some("broken"), next_ms, until_ms: LATE }
}

pub(crate) fn a_webhook_is_read_back_changed_and_deleted(world: &World) {
    let registry = &world.registry;
    let made = create(world, &[WebhookEvent::RUN_FAILED, WebhookEvent::MODEL_CREATED]);
    assert_eq!(made.events, [WebhookEvent::MODEL_CREATED, WebhookEvent::RUN_FAILED]);
    assert!(made.is_signed && made.is_active && made.queued == 0 && made.description == "tells the builds");
    assert_eq!(registry.webhook(&made.webhook_id).unwrap(), made);
    let other = create(world, &[WebhookEvent::TAG_SET]);
    assert_eq!(registry.webhooks().unwrap(), [made.clone(), other.clone()]);
    let none = registry.update_webhook(&made.webhook_id, &WebhookChange::default()).unwrap();
    assert_eq!(Webhook { updated_ms: 0, ..none }, Webhook { updated_ms: 0, ..made.clone() });
    let change = WebhookChange {
        name: Some("cd".into()),
        description: Some(String::new()),
        url: Some("https://cd.example.org".into()),
        events: Some(vec![WebhookEvent::RUN_FINISHED]),
        secret: Some(None),
        is_active: Some(false),
    };
    let changed = registry.update_webhook(&made.webhook_id, &change).unwrap();
    assert_eq!((changed.name.as_str(), changed.description.as_str()), ("cd", ""));
    assert_eq!(
        (changed.url.as_str(), &changed.events[..]),
        ("https://cd.example.org", &[WebhookEvent::RUN_FINISHED][..])
    );
    assert!(!changed.is_signed && !changed.is_active && registry.webhook_secret(&made.webhook_id).unwrap().is_none());
    registry.delete_webhook(&made.webhook_id).unwrap();
    let missing = |error: StoreError| matches!(error, StoreError::Tracking(TrackingError::NoWebhook { .. }));
    assert!(missing(registry.webhook(&made.webhook_id).unwrap_err()));
    assert!(missing(registry.delete_webhook(&made.webhook_id).unwrap_err()));
    assert!(missing(registry.webhook_deliveries("none", 1).unwrap_err()));
    assert_eq!(registry.webhooks().unwrap(), [other]);
    for name in ["", "-a", "a-", "a b", "a/b", &"a".repeat(64)] {
        let change = WebhookChange { name: Some(name.into()), ..WebhookChange::default() };
        assert!(registry.update_webhook("none", &change).is_err_and(|error| !missing(error)), "{name}");
    }
}

pub(crate) fn every_change_is_queued_for_the_webhooks_that_want_it(world: &World) {
    let registry = &world.registry;
    create(world, &WebhookEvent::ALL);
    registry
        .create_foreign_model("churn", &NewModel { tags: vec![("a".into(), "b".into())], ..NewModel::default() })
        .unwrap();
    let version = NewForeignVersion { source: "s3://bucket/model".into(), ..NewForeignVersion::default() };
    registry.create_foreign_version("churn", &version).unwrap();
    registry.tag_version("churn", 1, "k = v", Some("w")).unwrap();
    registry.tag_version("churn", 1, "k = v", None).unwrap();
    registry.force_alias("churn", "best", Some(1)).unwrap();
    registry.force_alias("churn", "best", None).unwrap();
    let run = registry.begin_run(&NewRun { name: "owl".into(), experiment: "tests".into(), ..NewRun::default() }).unwrap();
    registry.finish_run(&run, RunStatus::Failed, None).unwrap();
    assert!(registry.finish_run(&run, RunStatus::Finished, None).is_err());
    let approved = world.approved("owned");
    world.promote("owned", approved);
    let held = hold(world);
    let all = queued(world, &held);
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let of_pipelines = names.iter().position(|name| *name == "run.failed").expect("a run failed") + 1;
    assert_eq!(
        names[..of_pipelines],
        [
            "registered_model.created",
            "model_version.created",
            "model_version_tag.set",
            "model_version_tag.deleted",
            "model_version_alias.created",
            "model_version_alias.deleted",
            "run.failed"
        ]
    );
    assert_eq!(all[0].1, json!({ "name": "churn", "tags": { "a": "b" }, "description": "" }));
    assert_eq!(all[1].1["source"], "s3://bucket/model");
    assert_eq!(all[2].1, json!({ "name": "churn", "version": "1", "key": "k = v", "value": "w" }));
    assert_eq!(all[3].1, json!({ "name": "churn", "version": "1", "key": "k = v" }));
    assert_eq!(all[4].1, json!({ "name": "churn", "alias": "best", "version": "1" }));
    assert_eq!(all[6].1["run_name"], "owl");
    let promoted = all.iter().find(|(name, _)| name == "model_version.promoted").expect("a promotion");
    assert_eq!((&promoted.1["name"], &promoted.1["to"]), (&json!("owned"), &json!("production")));
    let created = all.iter().find(|(_, data)| data["source"] == "mlflow-artifacts:/stagewright/models/owned/1");
    assert_eq!(created.map(|(name, _)| name.as_str()), Some("model_version.created"));
}

pub(crate) fn one_process_tells_a_webhook_and_what_it_took_is_told_no_more(world: &World) {
    let registry = &world.registry;
    let webhook = create(world, &[WebhookEvent::MODEL_CREATED]);
    assert_eq!(registry.due_webhooks().unwrap(), [] as [i64; 0]);
    for name in ["a", "b", "c"] {
        registry.create_foreign_model(name, &NewModel::default()).unwrap();
    }
    let due = registry.due_webhooks().unwrap();
    let held = hold(world);
    assert_eq!(held.secret, Some(WebhookSecret::new("0123456789abcdef").unwrap()));
    assert!(registry.hold_webhook(due[0], LATE).unwrap().is_none());
    assert_eq!(registry.due_webhooks().unwrap(), [] as [i64; 0]);
    let events = registry.events_of_webhook(&held, 2).unwrap();
    let record = |held: &HeldWebhook, event, attempt| registry.record_webhook_attempt(held, event, &attempt).unwrap();
    assert!(record(&held, &events[0], attempt(WebhookOutcome::Delivered, 0)));
    assert!(record(&held, &events[1], attempt(WebhookOutcome::Failed, 1)));
    assert_eq!(registry.webhook(&webhook.webhook_id).unwrap().failures, 1);
    registry.release_webhook(held).unwrap();

    let held = hold(world);
    assert_eq!(held.webhook.failures, 1);
    let events = registry.events_of_webhook(&held, 2).unwrap();
    assert!(record(&held, &events[0], attempt(WebhookOutcome::Dropped, 0)));
    let change = WebhookChange { is_active: Some(false), ..WebhookChange::default() };
    std::thread::sleep(std::time::Duration::from_millis(2));
    registry.update_webhook(&webhook.webhook_id, &change).unwrap();
    assert!(!record(&held, &events[1], attempt(WebhookOutcome::Delivered, 0)), "it was changed");
    let after = registry.webhook(&webhook.webhook_id).unwrap();
    assert_eq!((after.queued, after.dropped, after.failures), (0, 1, 0));
    let log = registry.webhook_deliveries(&webhook.webhook_id, 10).unwrap();
    let outcomes: Vec<(WebhookOutcome, u32)> = log.iter().map(|it| (it.outcome, it.attempt)).collect();
    use WebhookOutcome::{Delivered, Dropped, Failed};
    assert_eq!(outcomes, [(Delivered, 1), (Dropped, 2), (Failed, 1), (Delivered, 1)]);
    assert_eq!((log[0].status, log[0].reason.as_deref(), log[0].took_ms), (Some(500), Some("broken"), 3));
    registry.collect_webhook_events().unwrap();
}
