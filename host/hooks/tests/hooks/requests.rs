//! Telling servers.

use std::time::{SystemTime, UNIX_EPOCH};

use stagewright_hooks::Problem;

use crate::place::{Place, SECRET, reason};
use crate::receiver::{Answer, BUSY, Receiver, TAKEN};

/// The patience of a test that expects an end, in seconds.
const ENOUGH: u64 = 60;

// invariant: Each change of a champion reaches every hook at least once, in order, signed and with
// an id that stays.
#[test]
fn a_server_that_is_busy_twice_takes_the_event_at_the_third_attempt() {
    let place = Place::new();
    let receiver = Receiver::start(|before| if before < 2 { BUSY } else { TAKEN });
    let hooks = place.hooks(&receiver.hook("ci", ""));
    place.promote("churn");
    let report = place.deliver(&hooks, ENOUGH).remove(0);
    assert!(report.problem.is_none(), "{report:?}");
    assert_eq!(report.delivered, ["promoted churn/1"]);
    let received = receiver.received();
    assert_eq!(received.len(), 3);
    let entry = place.registry.champion_changes(0, 9).expect("changes").remove(0).entry;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    for request in &received {
        assert_eq!(request.head[0], "POST /events?secret=path HTTP/1.1");
        assert_eq!(request.header("X-Stagewright-Event-Id"), entry.hash);
        assert_eq!(request.header("X-Stagewright-Event"), "promoted");
        assert_eq!(request.header("Content-Type"), "application/json");
        assert!(request.is_signed(), "{request:?}");
        let sent: u64 = request.header("X-Stagewright-Timestamp").parse().expect("seconds");
        assert!(now - sent < 600, "{sent}");
    }
    let event = received[2].event();
    assert_eq!(event["time"].as_str().map(str::len), Some("2026-11-29T11:00:00.123Z".len()), "{event}");
    for (field, expected) in [
        ("format", serde_json::json!(1)),
        ("id", entry.hash.clone().into()),
        ("event", "promoted".into()),
        ("model", "churn".into()),
        ("version", 1.into()),
        ("semantic_version", "1.2.3".into()),
        ("previous_version", serde_json::Value::Null),
        ("actor", "ada".into()),
        ("reason", "better".into()),
        ("destinations", serde_json::json!([])),
        ("registry", serde_json::json!({"id": place.registry.first_hash().expect("a hash"), "entry": entry.seq})),
    ] {
        assert_eq!(event[field], expected, "{event}");
    }
    assert_eq!(place.progress("ci").place, entry.seq);
    assert!(place.deliver(&hooks, 0)[0].delivered.is_empty(), "it was told");
    assert_eq!(receiver.received().len(), 3);
}

#[test]
fn a_later_event_waits_until_an_earlier_one_is_taken() {
    let place = Place::new();
    let receiver = Receiver::start(|before| if before < 2 { BUSY } else { TAKEN });
    let hooks = place.hooks(&receiver.hook("ci", ""));
    for _ in 0..3 {
        place.promote("churn");
    }
    let report = place.deliver(&hooks, 0).remove(0);
    assert_eq!(reason(&report), "the server answers with 503: come\\u{1b}[2Jing");
    let progress = place.progress("ci");
    assert_eq!((progress.place, progress.failures), (0, 1));
    assert!(progress.next_ms > 0 && progress.error.is_some_and(|error| error.contains("503")));
    assert_eq!(place.deliver(&hooks, ENOUGH)[0].delivered.len(), 3);
    assert_eq!(receiver.versions(), [1, 1, 1, 2, 3]);
}

#[test]
fn an_event_whose_answer_is_lost_is_told_again_with_the_same_id() {
    let place = Place::new();
    let receiver = Receiver::start(|before| if before == 0 { Answer::Cut } else { TAKEN });
    let hooks = place.hooks(&receiver.hook("ci", ""));
    place.promote("churn");
    assert_eq!(place.deliver(&hooks, ENOUGH)[0].delivered.len(), 1);
    let ids: Vec<String> =
        receiver.received().iter().map(|it| it.header("X-Stagewright-Event-Id").to_owned()).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_server_that_hangs_or_never_ends_costs_its_timeout_and_holds_up_no_other_hook() {
    let place = Place::new();
    let silent = Receiver::start(|_| Answer::Silence);
    let endless = Receiver::start(|_| Answer::Endless);
    let good = Receiver::start(|_| TAKEN);
    let timeout = "timeout = \"500 ms\"";
    let file = [silent.hook("silent", timeout), endless.hook("endless", timeout), good.hook("good", "")].concat();
    let hooks = place.hooks(&file);
    place.promote("churn");
    let reports = place.deliver(&hooks, 0);
    let of = |name: &str| reports.iter().find(|report| report.name == name).expect("a report");
    assert!(reason(of("silent")).contains("timeout"), "{:?}", of("silent"));
    assert!(reason(of("endless")).starts_with("the server answers with 500"), "{:?}", of("endless"));
    assert!(reason(of("endless")).len() < 400, "the answer is cut");
    assert_eq!(of("good").delivered, ["promoted churn/1"]);
}

// invariant: An event goes to the server that the operator wrote, and to no other.
#[test]
fn a_redirect_is_not_followed() {
    let place = Place::new();
    let other = Receiver::start(|_| TAKEN);
    let location: &'static str =
        Box::leak(format!("HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\nLocation: {}\r\n\r\n", other.url).into());
    let receiver = Receiver::start(move |_| Answer::Text(location));
    let hooks = place.hooks(&receiver.hook("ci", ""));
    place.promote("churn");
    let report = place.deliver(&hooks, 0).remove(0);
    assert_eq!(reason(&report), "the server answers with 307, and redirects are not followed");
    assert!(other.received().is_empty());
}

#[test]
fn a_hook_is_told_of_the_events_and_models_that_it_asks_for() {
    let place = Place::new();
    let (retired, churn) = (Receiver::start(|_| TAKEN), Receiver::start(|_| TAKEN));
    let file =
        [retired.hook("retired", "events = [\"retired\"]"), churn.hook("churn", "models = [\"churn\"]")].concat();
    let hooks = place.hooks(&file);
    place.promote("churn");
    place.promote("loyalty");
    place.registry.retire_model("loyalty", "nobody asks it").expect("a retirement");
    place.promote("churn");
    let last = place.registry.audit_entries(1).expect("entries")[0].seq;
    for report in place.deliver(&hooks, ENOUGH) {
        assert!(report.problem.is_none(), "{report:?}");
    }
    let told: Vec<_> =
        retired.received().iter().map(|it| (it.event()["event"].clone(), it.event()["model"].clone())).collect();
    assert_eq!(told, [("retired".into(), "loyalty".into())]);
    assert_eq!(churn.versions(), [1, 2]);
    assert_eq!((place.progress("retired").place, place.progress("churn").place), (last, last), "all is passed over");
}

#[test]
fn an_event_that_is_passed_over_is_one_that_the_hook_asks_for() {
    let place = Place::new();
    let receiver = Receiver::start(|_| TAKEN);
    let hooks = place.hooks(&receiver.hook("ci", "models = [\"churn\"]"));
    place.promote("loyalty");
    place.promote("churn");
    place.promote("churn");
    let skip = || hooks.skip(&place.registry).expect("a registry").remove(0).1;
    let skipped = skip().map(|change| (change.entry.model, change.entry.version));
    assert_eq!(skipped, Some(("churn".to_owned(), Some(1))));
    assert_eq!(place.deliver(&hooks, ENOUGH)[0].delivered, ["promoted churn/2"]);
    assert_eq!((skip(), receiver.versions()), (None, vec![2]));
}

#[test]
fn an_event_waits_until_the_production_location_follows() {
    let place = Place::new();
    let receiver = Receiver::start(|_| TAKEN);
    let hooks = place.hooks(&receiver.hook("ci", ""));
    let promotion = place.promote_to("churn", "s3://production/models");
    let report = place.deliver(&hooks, 0).remove(0);
    assert!(matches!(report.problem, Some(Problem::Settling { .. })), "{report:?}");
    assert!(receiver.received().is_empty());
    place.registry.finish_promotion(&promotion).expect("an end");
    assert_eq!(place.deliver(&hooks, ENOUGH)[0].delivered.len(), 1);
    let destinations = receiver.received()[0].event()["destinations"].clone();
    assert_eq!(destinations, serde_json::json!([{"uri": "s3://production/models", "done": true}]));
}

#[test]
fn a_hook_that_begins_today_is_not_told_of_yesterday() {
    let place = Place::new();
    place.promote("churn");
    let receiver = Receiver::start(|_| TAKEN);
    let hooks = crate::place::hooks(&receiver.hook("ci", ""));
    hooks.begin(&place.registry, None).expect("hooks");
    place.promote("churn");
    place.deliver(&hooks, ENOUGH);
    assert_eq!(receiver.versions(), [2]);
}

// invariant: No message, log line or record has the secret of a hook.
#[test]
fn without_its_secret_a_hook_waits_for_a_process_that_has_it() {
    let place = Place::new();
    let receiver = Receiver::start(|_| TAKEN);
    let hooks = place.hooks(&receiver.hook("ci", "").replace("\"SECRET\"", "\"NOT_SET\""));
    place.promote("churn");
    let report = place.deliver(&hooks, ENOUGH).remove(0);
    let Some(Problem::NotHere { reason }) = report.problem else { panic!("{report:?}") };
    assert_eq!(reason, "the variable NOT_SET is not set, which holds its secret");
    let progress = place.progress("ci");
    assert_eq!((progress.failures, progress.held_until_ms), (0, None));
    let hooks = place.hooks(&receiver.hook("ci", "token-env = \"SECRET\""));
    assert_eq!(place.deliver(&hooks, ENOUGH)[0].delivered.len(), 1);
    let received = receiver.received().remove(0);
    assert_eq!(received.header("Authorization"), format!("Bearer {SECRET}"));
    let shown = format!("{hooks:?} {:?}", place.progress("ci"));
    assert!(!shown.contains(SECRET) && !String::from_utf8_lossy(&received.body).contains(SECRET));
}
