//! Imports from servers that misbehave.

use serde_json::json;
use stagewright_end_to_end::Place;

use super::faulty::{Fault, Faulty};
use super::imports::{create_experiment, import, log_run};
use super::server::Server;

#[test]
fn a_server_that_misbehaves_ends_an_import_with_an_error_of_its_own() {
    let place = Place::new();
    let refused = |judge: fn(usize, &str) -> Fault, code: &str, exit: i32| {
        let server = Faulty::before(None, judge);
        let ended = import(&place, &server.address, &[]).expect(exit);
        assert!(ended.stderr.contains(&format!("error[{code}]")), "{code}: {}", ended.stderr);
    };
    refused(|_, _| Fault::Answer(200, b"<html>".to_vec()), "SW1104", 7);
    refused(|_, _| Fault::Answer(200, b"{\"experiments\": 5}".to_vec()), "SW1104", 7);
    refused(|_, _| Fault::Redirect("http://127.0.0.1:1/".to_owned()), "SW1104", 7);
    refused(|_, _| Fault::Endless, "SW1104", 7);
    refused(|_, _| Fault::Answer(401, b"{}".to_vec()), "SW1103", 2);
    refused(|_, _| Fault::Answer(404, b"{}".to_vec()), "SW1103", 2);
    refused(|_, _| Fault::Cut, "SW1102", 7);
    refused(|_, _| Fault::Answer(503, b"{}".to_vec()), "SW1102", 7);
    // A listing without an end.
    let page = |next: &str| json!({ "experiments": [{ "experiment_id": "1", "name": "a" }], "next_page_token": next });
    let page = page("again").to_string().into_bytes();
    let server = Faulty::before(None, move |_, _| Fault::Answer(200, page.clone()));
    let ended = import(&place, &server.address, &[]).expect(7);
    assert!(ended.stderr.contains("error[SW1104]") && ended.stderr.contains("page"), "{}", ended.stderr);
}

#[test]
fn a_server_that_fails_now_and_then_is_asked_again() {
    let there = Place::new();
    let server = Server::start(&there);
    let run = log_run(&server, &create_experiment(&server, "first"), "one");
    let flaky = Faulty::before(Some(&server.address), |number, _| match number % 4 {
        0 => Fault::Answer(500, b"{}".to_vec()),
        2 => Fault::Cut,
        _ => Fault::Pass,
    });
    let place = Place::new();
    let outcome = import(&place, &flaky.address, &[]).expect(0).json();
    assert_eq!((&outcome["runs"]["added"], &outcome["files"], &outcome["values"]), (&json!(1), &json!(1), &json!(40)));
    place.run(&["runs", "show", &run]).expect(0);
}

#[test]
fn names_that_lead_elsewhere_and_records_that_cannot_be_held_are_told() {
    let run = |id: &str, tag: String| {
        let info = json!({
            "run_id": id, "experiment_id": "1", "run_name": "odd", "status": "FINISHED", "start_time": 5,
            "end_time": 6, "artifact_uri": "mlflow-artifacts:/1/odd/artifacts",
        });
        json!({ "info": info, "data": { "tags": [{ "key": tag, "value": "v" }] } })
    };
    let runs = [run("../../etc", "k".repeat(300)), run(&"a".repeat(32), "k".to_owned())];
    let answer = move |_: usize, line: &str| {
        let body = if line.contains("experiments/search") {
            json!({ "experiments": [{ "experiment_id": "1", "name": "odd" }] })
        } else if line.contains("runs/search") {
            json!({ "runs": runs })
        } else if line.contains("mlflow-artifacts/artifacts?") {
            json!({ "files": [{ "path": "..", "is_dir": true }] })
        } else {
            json!({})
        };
        Fault::Answer(200, body.to_string().into_bytes())
    };
    let server = Faulty::before(None, answer);
    let place = Place::new();
    let ended = import(&place, &server.address, &[]).expect(3);
    let outcome = ended.json();
    // Both runs have files of such a name.
    assert_eq!((&outcome["conflict_count"], &outcome["runs"]["added"]), (&json!(3), &json!(2)), "{outcome}");
    let conflicts = outcome["conflicts"].to_string();
    assert!(conflicts.contains("1 to 250 bytes") && conflicts.contains("a name that leads elsewhere"), "{outcome}");
    assert_eq!(outcome["note_count"], 1, "{outcome}");
}
