//! The server follows the champion: in a registry and at a production location.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use stagewright_end_to_end::Place;
use stagewright_end_to_end::serving::{Serving, read_reply, send};
use stagewright_services::postgres::Cluster;

use crate::{MODEL, trained};

/// The longest time until another champion answers. The promise is a second; the machine may be
/// busy with other tests.
const SOON: Duration = Duration::from_secs(30);

/// Runs the pipeline again with other settings, which makes version 2 the champion.
fn promote_second(place: &Place) {
    let gates = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    let other = ["--set", "training.component=train-boosted", "--set", "training.n_estimators=20"];
    let policy = ["--set", "gates.policy=no-worse", "--set", "gates.margin=0.5"];
    place.churn(1500, &[&gates[..], &other[..], &policy[..]].concat()).expect(0);
}

/// The body of a request with the first customer.
fn customer(place: &Place) -> Vec<u8> {
    let text = std::fs::read_to_string(place.path().join("customers.csv")).expect("customers");
    text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

/// Waits until the server answers with a version.
fn until_version(server: &Serving, version: u32) {
    let began = Instant::now();
    while server.get("/").json()["version"] != version {
        assert!(began.elapsed() < SOON, "{}", server.get("/").text());
        std::thread::sleep(Duration::from_millis(20));
    }
}

// invariant: A promotion or a rollback reaches a server by itself, and no request fails meanwhile.
#[test]
fn promotions_and_rollbacks_are_followed_without_a_failed_request() {
    let place = trained();
    let server = Serving::start(&place, &[MODEL]);
    let (stop, body) = (Arc::new(AtomicBool::new(false)), customer(&place));
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (stop, body) = (stop.clone(), body.clone());
            let mut stream = server.connect();
            std::thread::spawn(move || {
                let mut versions = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    send(&mut stream, "POST", "/predict", &["content-type: text/csv"], &body).expect("a request");
                    let reply = read_reply(&mut stream).expect("an answer");
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    let version = reply.json()["version"].as_u64().expect("a version");
                    if versions.last() != Some(&version) {
                        versions.push(version);
                    }
                }
                versions
            })
        })
        .collect();
    promote_second(&place);
    until_version(&server, 2);
    place.run(&["models", "rollback", MODEL, "--reason", "a test"]).expect(0);
    until_version(&server, 1);
    // Each client sees the version that it was promised last.
    std::thread::sleep(Duration::from_millis(50));
    stop.store(true, Ordering::Relaxed);
    for client in asking {
        assert_eq!(client.join().expect("every request is answered"), [1, 2, 1]);
    }
    let metrics = server.get("/metrics").text().to_owned();
    assert!(metrics.contains("stagewright_swaps_total"), "{metrics}");
    assert_eq!(server.stop().code, Some(0));
}

// invariant: A server needs nothing but a production location, and starts without it from the last
// version that it verified.
#[test]
fn a_location_is_enough_and_its_last_version_serves_while_it_is_away() {
    let place = trained();
    let production = place.home().join("production");
    let alone = Place::new();
    let from = production.display().to_string();
    let body = customer(&place);
    let predicted = |server: &Serving| -> Value {
        let reply = server.ask("POST", "/predict", &["content-type: text/csv"], &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["predictions"].clone()
    };
    let server = Serving::start(&alone, &[MODEL, "--from", &from]);
    let health = server.get("/").json();
    assert_eq!((&health["version"], &health["source"]), (&1.into(), &"fresh".into()));
    let first = predicted(&server);
    assert_eq!(server.stop().code, Some(0));

    let away = production.with_file_name("away");
    std::fs::rename(&production, &away).expect("the location moves");
    let server = Serving::start(&alone, &[MODEL, "--from", &from]);
    let health = server.get("/").json();
    assert_eq!((&health["version"], &health["source"]), (&1.into(), &"last-verified".into()));
    assert!(health["source_error"]["reason"].is_string(), "{health}");
    assert_eq!(predicted(&server), first, "the same model answers");
    // It comes back.
    std::fs::rename(&away, &production).expect("the location is back");
    let began = Instant::now();
    while server.get("/").json()["source"] != "fresh" {
        assert!(began.elapsed() < SOON, "{}", server.get("/").text());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.stop().code, Some(0));

    // A version of one place is not served for another, nor one that was withdrawn.
    let elsewhere = production.with_file_name("elsewhere").display().to_string();
    let refused = alone.run(&["serve", MODEL, "--port", "0", "--from", &elsewhere]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    let pointer = production.join("models").join(MODEL).join("champion.json");
    std::fs::remove_file(pointer).expect("the pointer");
    let refused = alone.run(&["serve", MODEL, "--port", "0", "--from", &from]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);

    // Somebody who never verified a version has nothing to serve.
    let stranger = Place::new();
    let refused = stranger.run(&["serve", MODEL, "--port", "0", "--from", &away.display().to_string()]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
}

// invariant: A version that does not load answers nobody; the one before it goes on.
#[test]
fn a_version_that_does_not_load_is_refused_and_named() {
    let place = trained();
    place.run(&["models", "alias", &format!("{MODEL}/1"), "next"]).expect(0);
    let server = Serving::start(&place, &[&format!("{MODEL}@next")]);
    let before: Vec<_> = blobs(&place);
    promote_second(&place);
    for blob in blobs(&place).into_iter().filter(|blob| !before.contains(blob)) {
        let mut bytes = std::fs::read(&blob).expect("a blob");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        // Another file, since that of an artifact cannot be written to.
        let damaged = blob.with_extension("damaged");
        std::fs::write(&damaged, bytes).expect("a damaged blob");
        std::fs::rename(&damaged, &blob).expect("it takes the place of the blob");
    }
    place.run(&["models", "alias", &format!("{MODEL}/2"), "next", "--expected", "1"]).expect(0);
    let began = Instant::now();
    while server.get("/").json()["refused"]["version"] != 2 {
        assert!(began.elapsed() < SOON, "{}", server.get("/").text());
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = server.get("/").json();
    assert_eq!(health["version"], 1, "{health}");
    let reply = server.ask("POST", "/predict", &["content-type: text/csv"], &customer(&place));
    assert_eq!((reply.status, &reply.json()["version"]), (200, &1.into()));
    let history = place.run(&["models", "history", MODEL]).expect(0).stdout;
    assert!(history.contains("refused-by-serving"), "{history}");
    assert_eq!(server.stop().code, Some(0));
    // A restart is no outage either.
    let server = Serving::start(&place, &[&format!("{MODEL}@next")]);
    let health = server.get("/").json();
    assert_eq!((&health["version"], &health["refused"]["version"]), (&1.into(), &2.into()), "{health}");
    assert_eq!(server.stop().code, Some(0));
}

// invariant: as `a_location_is_enough_and_its_last_version_serves_while_it_is_away`
#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_starts_while_its_postgresql_registry_is_away() {
    let place = Place::new();
    let cluster = Cluster::start();
    let registry = cluster.create_database();
    let gates = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    let trainer = ["--set", "training.component=train-logistic"];
    place.churn(1500, &[&["--registry", &registry][..], &gates[..], &trainer[..]].concat()).expect(0);
    let asked = [MODEL, "--registry", &registry];
    let server = Serving::start(&place, &asked);
    assert_eq!(server.get("/").json()["source"], "fresh");
    assert_eq!(server.stop().code, Some(0));
    drop(cluster);
    let server = Serving::start(&place, &asked);
    let health = server.get("/").json();
    assert_eq!((&health["version"], &health["source"]), (&1.into(), &"last-verified".into()), "{health}");
    assert_eq!(server.get("/health/ready").status, 200);
    assert_eq!(server.stop().code, Some(0));
    assert!(!place.home().join("stagewright.db").exists(), "no registry is made in its place");
}

/// Returns the files of blobs in the store of artifacts.
pub(crate) fn blobs(place: &Place) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(place.home().join("artifacts")).expect("a store");
    let is_blob = |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "blob");
    entries.flatten().map(|entry| entry.path()).filter(is_blob).collect()
}
