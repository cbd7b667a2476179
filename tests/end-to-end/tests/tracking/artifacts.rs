//! Files of clients: they come back as they were, and nothing else does.

use std::fs;

use serde_json::json;
use stagewright_end_to_end::Place;

use super::server::Server;

const ROOT: &str = "/api/2.0/mlflow-artifacts/artifacts";

#[test]
fn files_come_back_as_they_were_and_are_listed_by_folder() {
    let place = Place::new();
    let server = Server::start(&place);
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    for (path, content) in
        [("1/a/x.bin", &bytes[..]), ("1/a/b/empty", b""), ("1/a/c%20%C3%BC.txt", b"text"), ("1/z", b"z")]
    {
        assert_eq!(server.ask("PUT", &format!("{ROOT}/{path}"), &[], content).done(), json!({}));
        let answer = server.get(&format!("{ROOT}/{path}"));
        assert!(answer.status == 200 && answer.body == content, "{path}: {}", answer.status);
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
        assert_eq!(header("cross-origin-resource-policy"), "same-site");
        assert!(header("content-disposition").starts_with("attachment; filename="), "{answer:?}");
        assert_eq!(header("content-length"), content.len().to_string());
    }
    let listed = |path: &str| server.get(&format!("{ROOT}?path={path}")).done();
    assert_eq!(
        listed("1/a"),
        json!({ "files": [
            { "path": "b", "is_dir": true },
            { "path": "c ü.txt", "is_dir": false, "file_size": 4 },
            { "path": "x.bin", "is_dir": false, "file_size": 12_000_000 },
        ] })
    );
    assert_eq!(listed("1/a/b"), json!({ "files": [{ "path": "empty", "is_dir": false }] }));
    assert_eq!(listed("1/nothing"), json!({}));

    // The paths of pages.
    let run = server.post("runs/create", &json!({ "experiment_id": "0" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    let upload = |path: &str| format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}");
    server.ask("POST", &upload("p/a.svg"), &[("content-type", "image/svg+xml")], b"<svg/>").done();
    server.ask("POST", &upload("../a.svg"), &[], b"<svg/>").refused(400, "INVALID_PARAMETER_VALUE");
    let page = server.get(&format!("/get-artifact?run_uuid={run}&path=p/a.svg"));
    assert_eq!((page.status, page.body.as_slice()), (200, &b"<svg/>"[..]));
    let model = server.post("logged-models", &json!({ "experiment_id": "0", "name": "m" })).done();
    let model = model["model"]["info"]["model_id"].as_str().expect("a model").to_owned();
    server.ask("PUT", &format!("{ROOT}/0/models/{model}/artifacts/MLmodel"), &[], b"flavors: {}").done();
    let files = format!("/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files?artifact_file_path=MLmodel");
    assert_eq!(server.get(&files).body, b"flavors: {}");

    // A second upload replaces the first, and a deletion leaves the others.
    server.ask("PUT", &format!("{ROOT}/1/z"), &[], b"other").done();
    assert_eq!(server.get(&format!("{ROOT}/1/z")).body, b"other");
    server.ask("DELETE", &format!("{ROOT}/1/a/b/empty"), &[], &[]).done();
    server.get(&format!("{ROOT}/1/a/b/empty")).refused(404, "RESOURCE_DOES_NOT_EXIST");
    assert_eq!(server.get(&format!("{ROOT}/1/a/x.bin")).body, bytes);
}

// invariant: as `paths_that_lead_elsewhere_are_refused_however_they_are_encoded`
#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let place = Place::new();
    let server = Server::start(&place);
    place.write("secret.txt", "secret");
    for path in [
        "%2e%2e/secret.txt",
        "a/%2e%2e/%2e%2e/secret.txt",
        "%252e%252e/secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a%5c..%5cb",
        "C:/a",
        "a%00b",
        "a//b",
        "a%23b",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            server.ask(method, &format!("{ROOT}/{path}"), &[], &[]).refused(400, "INVALID_PARAMETER_VALUE");
        }
        server.get(&format!("{ROOT}?path={path}")).refused(400, "INVALID_PARAMETER_VALUE");
    }
    // Nor to what is the server's own, by which a file would pass for one of a pipeline's model.
    for path in ["stagewright", "stagewright/models/churn/1/MLmodel"] {
        server.ask("PUT", &format!("{ROOT}/{path}"), &[], b"flavors: {}").refused(400, "INVALID_PARAMETER_VALUE");
    }
    for name in ["mlflow-artifacts", "file:///etc", "/etc"] {
        let body = json!({ "name": format!("at {name}"), "artifact_location": name });
        let experiment = server.post("experiments/create", &body).done();
        let run = server.post("runs/create", &experiment).done()["run"]["info"]["run_id"].clone();
        let run = run.as_str().expect("a run");
        server.get(&format!("/api/2.0/mlflow/artifacts/list?run_id={run}")).refused(400, "INVALID_PARAMETER_VALUE");
        server.get(&format!("/get-artifact?run_id={run}&path=passwd")).refused(400, "INVALID_PARAMETER_VALUE");
    }
}

// invariant: An artifact passes the tracking server in pieces, and is never whole in its memory.
#[test]
fn a_large_file_passes_without_being_held() {
    const BYTES: usize = 400 << 20;
    let place = Place::new();
    let server = Server::start(&place);
    let path = format!("{ROOT}/1/large.bin");
    let bytes: Vec<u8> =
        (0..BYTES / 8).flat_map(|at| (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
    server.ask("PUT", &path, &[], &bytes).done();
    assert!(server.get(&path).body == bytes, "the file differs");
    let status = fs::read_to_string(format!("/proc/{}/status", server.process())).expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak << 10 < BYTES / 2, "the server held {peak} KiB");
}

// invariant: A file of a client appears whole or not at all.
#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    use std::io::Write as _;

    let place = Place::new();
    let server = Server::start(&place);
    let address = server.address.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    let head = format!("PUT {ROOT}/1/half.bin HTTP/1.1\r\nhost: {address}\r\ncontent-length: 9000000\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the head is sent");
    stream.write_all(&vec![1; 4_000_000]).expect("a part is sent");
    drop(stream);
    // The same connection is not there any more; whatever it left would be seen.
    server.ask("PUT", &format!("{ROOT}/1/whole.bin"), &[], b"whole").done();
    server.get(&format!("{ROOT}/1/half.bin")).refused(404, "RESOURCE_DOES_NOT_EXIST");
    let listed = server.get(&format!("{ROOT}?path=1")).done();
    assert_eq!(listed, json!({ "files": [{ "path": "whole.bin", "is_dir": false, "file_size": 5 }] }));
}
