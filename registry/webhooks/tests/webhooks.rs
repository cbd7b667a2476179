//! Webhooks of a registry, told by followers, with real receivers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use stagewright_outgoing::AllowedAddresses;
use stagewright_services::receiver::{Answer, Received, Receiver};
use stagewright_store::{
    Home, NewForeignVersion, NewModel, NewWebhook, Registry, Webhook, WebhookChange, WebhookEvent, WebhookOutcome,
    WebhookSecret,
};
use stagewright_webhooks::{WebhookFollower, WebhookPolicy, signature};

const SECRET: &str = "0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    _folder: tempfile::TempDir,
    registry: Registry,
}

impl World {
    /// A registry with a model of clients that has one version.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let world = Self { _folder: folder, registry: home.registry };
        world.registry.create_foreign_model("churn", &NewModel::default()).expect("a model");
        world.version();
        world
    }

    fn version(&self) {
        let new = NewForeignVersion { source: "s3://bucket/model".into(), ..NewForeignVersion::default() };
        self.registry.create_foreign_version("churn", &new).expect("a version");
    }

    fn tag(&self, value: usize) {
        self.registry.tag_version("churn", 1, "at", Some(&value.to_string())).expect("a tag");
    }

    fn webhook(&self, url: String) -> Webhook {
        let new = NewWebhook {
            name: "ci".into(),
            description: String::new(),
            url,
            events: vec![WebhookEvent::TAG_SET, WebhookEvent::VERSION_CREATED],
            secret: Some(WebhookSecret::new(SECRET).expect("a secret")),
            is_active: true,
        };
        self.registry.create_webhook(&new).expect("a webhook")
    }

    fn follow(&self) -> WebhookFollower {
        self.follow_within(2 * PATIENCE)
    }

    /// Starts a follower whose attempts may take this long.
    fn follow_within(&self, timeout: Duration) -> WebhookFollower {
        WebhookFollower::start(self.registry.clone(), policy(timeout)).expect("a thread")
    }

    #[track_caller]
    fn until(&self, webhook: &Webhook, what: &str, is_reached: impl Fn(&Webhook) -> bool) -> Webhook {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.registry.webhook(&webhook.webhook_id).expect("a webhook");
            if is_reached(&found) {
                return found;
            }
            assert!(Instant::now() < end, "not within a minute: {what}: {found:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn policy(timeout: Duration) -> WebhookPolicy {
    let addresses = AllowedAddresses::and(vec!["127.0.0.1".parse().expect("a network")]);
    WebhookPolicy { addresses, timeout, ..WebhookPolicy::default() }
}

fn values(received: &[Received]) -> Vec<usize> {
    let value = |request: &Received| -> usize {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        body["data"]["value"].as_str().expect("a value").parse().expect("a number")
    };
    received.iter().map(value).collect()
}

// invariant: A webhook is told of every event that it asks for, in order, and of no other.
#[test]
fn events_come_signed_in_order_and_are_in_the_log() {
    let world = World::new();
    let receiver = Receiver::start(|_| Answer::taken());
    let webhook = world.webhook(receiver.url("/hook"));
    let _follower = world.follow();
    for value in 0..200 {
        world.tag(value);
    }
    world.registry.tag_version("churn", 1, "at", None).expect("a tag is removed");
    let received = receiver.wait_for(200);
    assert_eq!(values(&received), (0..200).collect::<Vec<_>>());
    for request in &received {
        let header = |name: &str| request.header(name).unwrap_or_else(|| panic!("no {name}"));
        let seconds = header("X-MLflow-Timestamp").parse().expect("seconds");
        let expected = signature(SECRET.as_bytes(), header("X-MLflow-Delivery-Id"), seconds, &request.body);
        assert_eq!(header("X-MLflow-Signature"), expected);
    }
    let ids: BTreeSet<_> = received.iter().map(|request| request.header("X-MLflow-Delivery-Id")).collect();
    assert_eq!(ids.len(), 200);
    world.until(&webhook, "the queue is empty", |webhook| webhook.queued == 0);
    let log = world.registry.webhook_deliveries(&webhook.webhook_id, 1000).expect("a log");
    assert_eq!(log.len(), 200);
    assert!(log.iter().all(|it| it.outcome == WebhookOutcome::Delivered && it.status == Some(204) && it.attempt == 1));
    assert_eq!(receiver.received().len(), 200, "it did not ask for the removal of tags");
    assert!(!format!("{webhook:?}{log:?}").contains(SECRET));
}

// invariant: An event that a webhook does not take comes again, and holds up those after it.
#[test]
fn what_is_not_taken_comes_again_with_the_same_id_before_what_follows() {
    let world = World::new();
    let receiver = Receiver::start(|before| match before {
        0 => Answer::busy(),
        1 => Answer::Cut,
        2 => Answer::Endless("500 Broken"),
        _ => Answer::taken(),
    });
    let webhook = world.webhook(receiver.url("/hook"));
    let _follower = world.follow();
    (0..3).for_each(|value| world.tag(value));
    let received = receiver.wait_for(6);
    assert_eq!(values(&received), [0, 0, 0, 0, 1, 2]);
    let id = |at: usize| received[at].header("X-MLflow-Delivery-Id");
    assert!((1..4).all(|at| id(at) == id(0)) && id(4) != id(0));
    world.until(&webhook, "all is taken", |webhook| webhook.queued == 0 && webhook.failures == 0);
    let mut log = world.registry.webhook_deliveries(&webhook.webhook_id, 10).expect("a log");
    log.reverse();
    let outcomes: Vec<(u32, Option<u32>)> = log.iter().map(|it| (it.attempt, it.status)).collect();
    let taken = Some(204);
    let expected = [(1, Some(503)), (2, None), (3, Some(500)), (4, taken), (1, taken), (1, taken)];
    assert_eq!(outcomes, expected);
    assert_eq!(log[0].reason.as_deref(), Some("the server answers with 503: busy"));
}

// invariant: as `what_is_not_taken_comes_again_with_the_same_id_before_what_follows`
#[test]
fn an_event_that_is_not_answered_in_time_comes_again() {
    let world = World::new();
    let receiver = Receiver::start(|before| if before == 0 { Answer::Silence } else { Answer::taken() });
    let webhook = world.webhook(receiver.url("/hook"));
    let _follower = world.follow_within(Duration::from_secs(1));
    world.tag(0);
    world.until(&webhook, "all is taken", |webhook| webhook.queued == 0 && webhook.failures == 0);
    // A slow machine may need more attempts than two.
    let log = world.registry.webhook_deliveries(&webhook.webhook_id, 100).expect("a log");
    let (last, before) = log.split_first().expect("a taken one");
    assert_eq!(last.outcome, WebhookOutcome::Delivered);
    assert!(!before.is_empty() && before.iter().all(|it| it.status.is_none() && it.reason.is_some()), "{log:?}");
    let ids: BTreeSet<_> =
        receiver.received().iter().map(|it| it.header("X-MLflow-Delivery-Id").map(str::to_owned)).collect();
    assert_eq!(ids.len(), 1);
}

// invariant: Servers that share a registry tell a webhook of an event once.
#[test]
fn two_followers_tell_each_event_once_and_in_order() {
    let world = World::new();
    let receiver = Receiver::start(|_| Answer::taken());
    let webhook = world.webhook(receiver.url("/hook"));
    let _followers = [world.follow(), world.follow(), world.follow()];
    for value in 0..300 {
        world.tag(value);
    }
    world.until(&webhook, "the queue is empty", |webhook| webhook.queued == 0);
    assert_eq!(values(&receiver.received()), (0..300).collect::<Vec<_>>());
}

#[test]
fn a_receiver_that_never_answers_holds_up_no_other() {
    let world = World::new();
    let silent: Vec<Receiver> = (0..20).map(|_| Receiver::start(|_| Answer::Silence)).collect();
    silent.iter().for_each(|receiver| drop(world.webhook(receiver.url("/hook"))));
    let receiver = Receiver::start(|_| Answer::taken());
    world.webhook(receiver.url("/hook"));
    world.tag(0);
    // They are more than are told at once: some wait until others are given up.
    let _follower = world.follow_within(Duration::from_secs(1));
    assert_eq!(values(&receiver.wait_for(1))[0], 0);
}

#[test]
fn a_webhook_that_is_disabled_is_told_nothing_and_one_of_another_url_is_tried_at_once() {
    let world = World::new();
    let receiver = Receiver::start(|_| Answer::taken());
    let broken = Receiver::start(|_| Answer::busy());
    let webhook = world.webhook(broken.url("/hook"));
    let change =
        |change: WebhookChange| world.registry.update_webhook(&webhook.webhook_id, &change).expect("a webhook");
    change(WebhookChange { is_active: Some(false), ..WebhookChange::default() });
    world.tag(0);
    assert_eq!(world.registry.webhook(&webhook.webhook_id).expect("a webhook").queued, 0);
    change(WebhookChange { is_active: Some(true), ..WebhookChange::default() });
    world.tag(1);
    let follower = world.follow();
    world.until(&webhook, "it fails", |webhook| webhook.failures >= 2);
    change(WebhookChange { url: Some(receiver.url("/hook")), ..WebhookChange::default() });
    assert_eq!(values(&receiver.wait_for(1)), [1]);
    drop(follower);
    world.registry.delete_webhook(&webhook.webhook_id).expect("it is deleted");
    assert!(world.registry.webhook(&webhook.webhook_id).is_err());
    world.tag(2);
}

// invariant: as `only_public_addresses_are_reached_and_those_that_the_operator_allows`
#[test]
fn an_address_that_is_not_allowed_is_not_reached_whatever_the_url_is() {
    let world = World::new();
    let receiver = Receiver::start(|_| Answer::taken());
    let webhook = world.webhook(format!("https://localhost:{}/hook", receiver.port()));
    world.tag(0);
    let _follower = WebhookFollower::start(world.registry.clone(), WebhookPolicy::default()).expect("a thread");
    world.until(&webhook, "it fails", |webhook| webhook.failures > 0);
    let log = world.registry.webhook_deliveries(&webhook.webhook_id, 1).expect("a log");
    assert!(log[0].reason.as_deref().is_some_and(|reason| reason.contains("not allowed")), "{log:?}");
    assert!(receiver.received().is_empty());
}
