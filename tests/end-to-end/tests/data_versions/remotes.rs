//! Pushing to and pulling from a folder and S3.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};
use stagewright_services::s3::{self, Fault, Plan};

use crate::{CUSTOMERS, MORE_CUSTOMERS, OTHER_CUSTOMERS, add, artifacts, text};

const REMOTE: &str = "s3://team/data";

/// Returns a command that reaches the server.
fn command(place: &Place, server: &s3::Server, arguments: &[&str]) -> Command {
    let mut command = place.command(arguments);
    command.envs(server.variables());
    command
}

fn to_s3(place: &Place, server: &s3::Server, arguments: &[&str]) -> Ended {
    Ended::of(command(place, server, &[arguments, &["--remote", REMOTE, "--json"]].concat()))
}

// invariant: A pull restores the bytes that were pushed; pushing them again is one request.
#[test]
fn an_empty_machine_gets_the_bytes_and_pushing_again_is_one_request() {
    let (place, other) = (Place::new(), Place::new());
    let server = s3::Server::start("team", s3::Options::default());
    add(&place, "customers", CUSTOMERS, &[]).expect(0);
    add(&place, "customers", MORE_CUSTOMERS, &[]).expect(0);
    let pushed = to_s3(&place, &server, &["data", "push", "customers"]).expect(0).json();
    assert_eq!(pushed[0]["versions"], json!(["1.0.0", "1.0.1"]));
    server.plan(Plan::Faultless);
    let again = to_s3(&place, &server, &["data", "push", "customers"]).expect(0).json();
    assert_eq!((&again[0]["versions"], &again[0]["objects"]), (&json!([]), &json!(0)));
    assert_eq!(server.log().len(), 1, "{:?}", server.log());

    to_s3(&other, &server, &["data", "pull", "customers", "--all"]).expect(0);
    assert_eq!(artifacts(&other), artifacts(&place));
    server.plan(Plan::Faultless);
    let here = to_s3(&other, &server, &["data", "pull", "customers"]).expect(0).json();
    assert_eq!((&here[0]["is_new"], &here[0]["bytes"]), (&json!(false), &json!(0)));
    assert_eq!(server.log().len(), 1, "{:?}", server.log());
    // What was pulled can be continued, and pushed by whoever pulled it.
    assert_eq!(add(&other, "customers", OTHER_CUSTOMERS, &["--key", "id"]).expect(0).json()["version"], "1.1.0");
    to_s3(&other, &server, &["data", "push", "customers"]).expect(0);
    to_s3(&place, &server, &["data", "pull"]).expect(0);
    place.run(&["data", "show", "customers@1.1.0"]).expect(0);
}

#[test]
fn what_s3_fails_at_is_tried_again_and_a_cut_push_can_be_repeated() {
    let place = Place::new();
    let server = s3::Server::start("team", s3::Options::default());
    add(&place, "customers", CUSTOMERS, &[]).expect(0);
    to_s3(&place, &server, &["data", "push"]).expect(0);
    let requests = server.log().len() as u64;
    for fault in [Fault::SlowDown, Fault::Cut, Fault::CutAfter] {
        for request in 1..=requests {
            server.keys().iter().for_each(|key| server.remove(key));
            server.plan(Plan::At(request, fault));
            to_s3(&place, &server, &["data", "push"]).expect(0);
            let other = Place::new();
            server.plan(Plan::At(request, fault));
            to_s3(&other, &server, &["data", "pull"]).expect(0);
            assert_eq!(artifacts(&other), artifacts(&place), "{fault:?} at {request}");
        }
    }
}

// invariant: Pushes at once to one remote lose no version.
#[test]
fn pushes_at_once_lose_nothing() {
    const MACHINES: usize = 6;
    let (remote, first) = (Place::new(), Place::new());
    let at = text(remote.path());
    add(&first, "customers", CUSTOMERS, &[]).expect(0);
    first.run(&["data", "push", "--remote", &at]).expect(0);
    let machines: Vec<Place> = (0..MACHINES)
        .map(|number| {
            let machine = Place::new();
            machine.run(&["data", "pull", "--remote", &at]).expect(0);
            let version = format!("{}.0.0", number + 2);
            add(&machine, "customers", MORE_CUSTOMERS, &["--version", &version]).expect(0);
            machine
        })
        .collect();
    let pushes: Vec<_> = machines
        .iter()
        .map(|machine| machine.command(&["data", "push", "--remote", &at]).spawn().expect("it starts"))
        .collect();
    for mut push in pushes {
        assert!(push.wait().expect("it ends").success());
    }
    let reader = Place::new();
    let pulled = reader.run(&["data", "pull", "customers", "--all", "--remote", &at, "--json"]).expect(0).json();
    assert_eq!(pulled.as_array().map(Vec::len), Some(MACHINES + 1));
}

#[test]
fn a_number_that_two_machines_gave_is_told_and_can_be_given_up() {
    let (place, other, remote) = (Place::new(), Place::new(), Place::new());
    let at = text(remote.path());
    add(&place, "customers", CUSTOMERS, &[]).expect(0);
    add(&other, "customers", MORE_CUSTOMERS, &[]).expect(0);
    place.run(&["data", "push", "--remote", &at]).expect(0);
    let taken = other.run(&["data", "push", "--remote", &at]).expect(2);
    assert!(
        taken.stderr.contains("SW1202") && taken.stderr.contains("data remove customers@1.0.0"),
        "{}",
        taken.stderr
    );
    let taken = other.run(&["data", "pull", "--remote", &at]).expect(2);
    assert!(taken.stderr.contains("SW1202"), "{}", taken.stderr);
    // The hint leads on.
    other.run(&["data", "remove", "customers@1.0.0"]).expect(0);
    other.run(&["data", "pull", "customers", "--remote", &at]).expect(0);
    assert_eq!(add(&other, "customers", MORE_CUSTOMERS, &[]).expect(0).json()["version"], "1.0.1");
    other.run(&["data", "push", "--remote", &at]).expect(0);
}

// invariant: Bytes of a remote that are not what its index says become no version.
#[test]
fn damaged_bytes_of_a_remote_become_no_version_and_can_be_sent_again() {
    let (place, other, remote) = (Place::new(), Place::new(), Place::new());
    let at = text(remote.path());
    add(&place, "customers", CUSTOMERS, &[]).expect(0);
    place.run(&["data", "push", "--remote", &at]).expect(0);
    let objects = remote.path().join("data/objects/sha256");
    let object = fs::read_dir(&objects).expect("objects").flatten().next().expect("an object").path();
    let whole = fs::read(&object).expect("an object");
    let nothing_came = || {
        let refused = other.run(&["data", "pull", "customers", "--remote", &at]).expect(7);
        assert!(refused.stderr.contains("is damaged") && refused.stderr.contains("hint: "), "{}", refused.stderr);
        assert_eq!(other.run(&["data", "list", "--json"]).expect(0).json(), json!([]));
        assert!(other.artifacts().is_empty(), "{:?}", other.artifacts());
    };
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&object, &flipped).expect("written");
    nothing_came();
    place.run(&["data", "push", "--remote", &at]).expect(0);
    nothing_came();
    let sent = place.run(&["data", "push", "--verify", "--remote", &at, "--json"]).expect(0).json();
    assert_eq!(sent[0]["objects"], 1);
    other.run(&["data", "pull", "customers", "--remote", &at]).expect(0);

    // An index that names other bytes under their right digest brings no table of another digest.
    let index = remote.path().join("data/names/customers/index.json");
    let text = fs::read_to_string(&index).expect("an index");
    let mut listed: Value = serde_json::from_str(&text).expect("JSON");
    let other = Place::new();
    for digest in ["/versions/0/record/digest", "/versions/0/record/artifacts/0/digest"] {
        *listed.pointer_mut(digest).expect("a digest") = json!(format!("sha256:{}", "1".repeat(64)));
    }
    fs::write(&index, listed.to_string()).expect("written");
    let refused = other.run(&["data", "pull", "customers", "--remote", &at]).expect(7);
    assert!(refused.stderr.contains("it is not the table"), "{}", refused.stderr);
    fs::write(&index, "{").expect("written");
    other.run(&["data", "pull", "customers", "--remote", &at]).expect(7);
    // A size that nobody has room for is refused before anything is fetched.
    fs::write(&index, text).expect("written");
    let large = other.run(&["data", "pull", "customers", "--remote", &at, "--max-bytes", "10 B"]).expect(2);
    assert!(large.stderr.contains("--max-bytes"), "{}", large.stderr);
}
