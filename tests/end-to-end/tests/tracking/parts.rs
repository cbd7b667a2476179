//! Files that come in parts.

use std::fs;

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};
use stagewright_services::s3;

use super::server::{Answer, Server};
use super::session::{NEW, last_line};

const ROOT: &str = "/api/2.0/mlflow-artifacts";

struct Upload {
    id: String,
    parts: Vec<Part>,
}

struct Part {
    path: String,
    token: String,
}

fn post(server: &Server, what: &str, folder: &str, body: &Value) -> Answer {
    let path = format!("{ROOT}/mpu/{what}/{folder}");
    server.ask("POST", &path, &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn begin(server: &Server, folder: &str, parts: usize) -> Upload {
    let begun = post(server, "create", folder, &json!({ "path": "/home/me/x.bin", "num_parts": parts })).done();
    let part = |credential: &Value| {
        let url = credential["url"].as_str().expect("a URL");
        let path = url.strip_prefix(&server.address).expect("a URL of this server").to_owned();
        let token = credential["headers"]["X-Stagewright-Upload-Token"].as_str().expect("a token").to_owned();
        Part { path, token }
    };
    let parts = begun["credentials"].as_array().expect("credentials").iter().map(part).collect();
    Upload { id: begun["upload_id"].as_str().expect("an identifier").to_owned(), parts }
}

fn send(server: &Server, part: &Part, bytes: &[u8]) -> Answer {
    server.ask("PUT", &part.path, &[("x-stagewright-upload-token", &part.token)], bytes)
}

fn tag(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.headers.get("etag").and_then(|value| value.to_str().ok()).expect("a tag").to_owned()
}

fn completion(upload: &Upload, tags: &[(i64, &str)]) -> Value {
    let parts: Vec<Value> = tags.iter().map(|(number, tag)| json!({ "part_number": number, "etag": tag })).collect();
    json!({ "path": "x.bin", "upload_id": upload.id, "parts": parts })
}

// invariant: as `parts_in_any_order_become_the_file_and_a_repeated_request_gets_the_same_answer`
#[test]
fn a_file_in_parts_appears_whole_when_it_is_completed_and_outlives_restarts() {
    let place = Place::new();
    let mut server = Server::start(&place);
    let upload = begin(&server, "0/a", 3);
    let pieces = [vec![1; 6 << 20], vec![2; 6 << 20], vec![3; 17]];
    let last = tag(&send(&server, &upload.parts[2], &pieces[2]));
    drop(server);
    server = Server::start(&place);
    // The address is another one; the paths are the same.
    let tags = [0, 1].map(|at| tag(&send(&server, &upload.parts[at], &pieces[at])));
    server.get(&format!("{ROOT}/artifacts/0/a/x.bin")).refused(404, "RESOURCE_DOES_NOT_EXIST");
    let whole = completion(&upload, &[(1, &tags[0]), (2, &tags[1]), (3, &last)]);
    for _ in 0..2 {
        assert_eq!(post(&server, "complete", "0/a", &whole).done(), json!({}));
    }
    let answer = server.get(&format!("{ROOT}/artifacts/0/a/x.bin"));
    assert!(answer.status == 200 && answer.body == pieces.concat(), "{}", answer.status);
    let left = fs::read_dir(place.home().join("artifacts/uploads")).expect("a folder");
    assert_eq!(left.count(), 0, "the parts are gone");
}

#[test]
fn parts_and_paths_that_are_not_those_of_the_upload_are_refused() {
    let place = Place::new();
    let server = Server::start(&place);
    for parts in [json!(0), json!(-1), json!(10_001), json!(i64::MAX), json!("many")] {
        let body = json!({ "path": "x.bin", "num_parts": parts });
        post(&server, "create", "0/a", &body).refused(400, "INVALID_PARAMETER_VALUE");
    }
    for (folder, name) in
        [("..", "x"), ("0/%2e%2e/1", "x"), ("0", ".."), ("0", "/"), ("0", "a#b"), ("stagewright/models/a/1", "MLmodel")]
    {
        let body = json!({ "path": name, "num_parts": 1 });
        post(&server, "create", folder, &body).refused(400, "INVALID_PARAMETER_VALUE");
    }
    let upload = begin(&server, "0/a", 2);
    let (one, two) = (tag(&send(&server, &upload.parts[0], b"one")), tag(&send(&server, &upload.parts[1], b"two")));
    for number in ["0", "3", "-1", "9223372036854775807", "99999999999999999999", "x"] {
        let path = format!("{ROOT}/mpu/parts/{}/{number}", upload.id);
        send(&server, &Part { path, token: upload.parts[0].token.clone() }, b"x")
            .refused(400, "INVALID_PARAMETER_VALUE");
    }
    let stranger = Part { token: "0".repeat(32), path: upload.parts[0].path.clone() };
    send(&server, &stranger, b"x").refused(404, "RESOURCE_DOES_NOT_EXIST");
    let whole = completion(&upload, &[(1, &one), (2, &two)]);
    // The upload is of this path and of no other experiment's.
    post(&server, "complete", "1/a", &whole).refused(404, "RESOURCE_DOES_NOT_EXIST");
    post(&server, "abort", "1/a", &whole).refused(404, "RESOURCE_DOES_NOT_EXIST");
    for tags in [vec![], vec![(1, &one)], vec![(2, &two), (1, &one)], vec![(1, &two), (2, &one)]] {
        let tags: Vec<(i64, &str)> = tags.into_iter().map(|(number, tag)| (number, tag.as_str())).collect();
        post(&server, "complete", "0/a", &completion(&upload, &tags)).refused(400, "INVALID_PARAMETER_VALUE");
    }
    assert_eq!(post(&server, "abort", "0/a", &whole).done(), json!({}));
    assert!(!place.home().join("artifacts/uploads").join(&upload.id).exists());
    post(&server, "complete", "0/a", &whole).refused(404, "RESOURCE_DOES_NOT_EXIST");
    send(&server, &upload.parts[0], b"x").refused(404, "RESOURCE_DOES_NOT_EXIST");
}

#[test]
fn no_url_is_signed_for_another_place() {
    let place = Place::new();
    let server = Server::start(&place);
    server.get(&format!("{ROOT}/presigned/0/a")).refused(501, "NOT_IMPLEMENTED");
    for location in ["", "s3://bucket/elsewhere"] {
        let body = json!({ "name": format!("at {location}"), "artifact_location": location });
        let experiment = server.post("experiments/create", &body).done();
        let run = server.post("runs/create", &experiment).done()["run"]["info"]["run_id"].clone();
        let asked = json!({ "run_id": run, "path": "a", "expiration": 900 });
        for what in ["presigned-upload-url", "presigned-download-url"] {
            server.post(&format!("artifacts/{what}"), &asked).refused(400, "INVALID_PARAMETER_VALUE");
        }
    }
}

// invariant: as `clients_and_requests_get_what_a_stock_server_gives`
#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON"]
fn the_client_of_mlflow_uploads_in_parts() {
    let place = Place::new();
    let server = Server::start(&place);
    let result = last_line(&Ended::of(NEW.python("parts.py", &server.address)).expect(0));
    assert_eq!(result["up"], result["down"]);
    assert_eq!(result["parts"], json!([1, 2, 3, 4, 5]));
    assert_eq!(result["listed"], json!([["models/a/large file.bin", result["size"]]]));
}

// invariant: as `clients_and_requests_get_what_a_stock_server_gives`
#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON"]
fn where_machines_share_artifacts_the_client_of_mlflow_sends_files_in_one_piece() {
    let place = Place::new();
    let shared = s3::Server::start("mlflow", s3::Options::default());
    let uri = format!("s3://mlflow/team?endpoint={}&path-style=true", shared.endpoint());
    let server = Server::start_sharing(&place, &uri, shared.variables());
    let result = last_line(&Ended::of(NEW.python("parts.py", &server.address)).expect(0));
    assert_eq!((&result["up"], &result["parts"]), (&result["down"], &json!([])));
}
