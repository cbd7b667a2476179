//! The pages of models: as a browser sees them over a home that pipelines made, and as programs ask
//! for them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};

use super::server::{Answer, Server};

/// The model of the pipeline.
const MODEL: &str = "churn-classifier";

/// Returns a home with a champion, version 1, and version 2, which its gates rejected.
fn two_versions() -> Place {
    let place = Place::new();
    let set = |pairs: &[&'static str]| pairs.iter().flat_map(|pair| ["--set", *pair]).collect::<Vec<_>>();
    let first = ["training.component=train-logistic", "gates.minimum.roc_auc=0.5", "gates.minimum.accuracy=0.5"];
    place.churn(1500, &set(&first));
    place.churn(1500, &set(&["training.component=train-boosted", "gates.minimum.roc_auc=0.999"]));
    place
}

fn page(server: &Server, path: &str) -> Value {
    server.ask("GET", path, &[("accept", "application/json")], &[]).done()
}

fn post(server: &Server, path: &str, form: &str) -> Answer {
    let headers = [("accept", "application/json"), ("content-type", "application/x-www-form-urlencoded")];
    server.ask("POST", path, &headers, form.as_bytes())
}

// invariant: A page brings no version into production that `models promote` would refuse, and does
// nothing from another state than it showed.
#[test]
fn a_page_promotes_and_rolls_back_as_the_commands_do() {
    let place = two_versions();
    let server = Server::start(&place);
    let overview = page(&server, "/");
    let [champion] = overview["in_production"].as_array().expect("models").as_slice() else { panic!("{overview}") };
    assert_eq!((&champion["model"], &champion["version"]), (&json!(MODEL), &json!(1)));
    let measured = &champion["measured"];
    let [interval, ..] = measured["intervals"].as_array().expect("intervals").as_slice() else { panic!("{champion}") };
    assert_eq!(interval["metric"], measured["primary"]);
    let figure = |name: &str| interval[name].as_f64().expect("a number");
    assert!(figure("low") < figure("value") && figure("value") < figure("high"), "{interval}");
    assert!(measured["rows"].as_u64().is_some_and(|rows| rows > 100), "{measured}");
    let shown = place.run(&["models", "show", &format!("{MODEL}/1"), "--json"]).expect(0).json();
    let recorded = shown["metrics"].as_array().expect("metrics").iter().find(|it| it[0] == interval["metric"]);
    let recorded = recorded.and_then(|it| it[1].as_f64()).expect("the metric");
    assert!((recorded - figure("value")).abs() < 1e-9, "{recorded}");

    // Rejected: the reason is told, and nothing changes.
    let decide = format!("/models/{MODEL}/decide");
    let asked = page(&server, &format!("{decide}?action=promote&version=2"));
    assert!(asked["refusal"].as_str().is_some_and(|reason| reason.contains("rejected") && reason.contains("roc_auc")));
    let before = place.run(&["audit", "list", "--json"]).expect(0).stdout;
    let refused = post(&server, &decide, "action=promote&version=2&state=1");
    assert_eq!((refused.status, &refused.json()["refusal"]), (409, &asked["refusal"]));
    assert_eq!(post(&server, &decide, "action=approve&version=2&state=1&reason=").status, 400);
    assert_eq!(post(&server, &decide, "action=rollback&state=1").status, 409);
    assert_eq!(place.run(&["audit", "list", "--json"]).expect(0).stdout, before);

    // A person approves it; then it can be promoted, from the state that the page showed alone.
    let reason = "action=approve&version=2&state=1&reason=the+segment+leaves+in+March";
    assert_eq!(post(&server, &decide, reason).done()["done"], "approve");
    assert_eq!(post(&server, &decide, "action=promote&version=2&state=none").status, 409);
    assert_eq!(post(&server, &decide, "action=promote&version=2&state=1&reason=try+it").done()["done"], "promote");
    let model = page(&server, &format!("/models/{MODEL}?on=2999-01-01"));
    assert_eq!((&model["in_production"]["version"], &model["on"]["version"]), (&json!(2), &json!(2)));
    assert_eq!(
        (&model["promotions"][0]["reason"], &model["promotions"][0]["state"]),
        (&json!("try it"), &json!("finished"))
    );
    let pointed = place.run(&["models", "show", &format!("{MODEL}@champion"), "--json"]).expect(0).json();
    assert_eq!(pointed["version"], 2);
    assert_eq!(post(&server, &decide, "action=rollback&state=1").done()["done"], "rollback");
    assert_eq!(page(&server, "/")["in_production"][0]["version"], 1);
    place.run(&["audit", "verify"]).expect(0);
    let verified = post(&server, "/audit/verification", "").done();
    assert_eq!((&verified["is_whole"], &verified["different"]), (&json!(true), &json!(0)));
    what_explains_a_version_is_that_of_the_commands(&place, &server);
}

fn what_explains_a_version_is_that_of_the_commands(place: &Place, server: &Server) {
    let named = format!("{MODEL}/1");
    let card = place.run(&["models", "card", &named, "--json"]).expect(0).json();
    assert_eq!(page(server, &format!("/models/{named}/card")), card);
    let html = server.get(&format!("/models/{named}/card"));
    let policy = html.headers.get("content-security-policy").and_then(|it| it.to_str().ok()).unwrap_or_default();
    assert!(html.status == 200 && policy.contains("sandbox") && !policy.contains("allow-scripts"), "{policy}");
    let statement = place.run(&["models", "attest", &named]).expect(0).json();
    assert_eq!(page(server, &format!("/models/{named}/provenance")), statement);
    let lineage = place.run(&["lineage", &named, "--json"]).expect(0).json();
    assert_eq!(page(server, &format!("/models/{named}/lineage")), lineage);
    let compared = page(server, &format!("/models/{MODEL}/compare?version=1&version=2"));
    let of_command = place.run(&["models", "compare", &named, &format!("{MODEL}/2"), "--json"]).expect(0).json();
    assert_eq!(compared["rows"].as_array().map(Vec::len), of_command["rows"].as_array().map(Vec::len));
    assert_eq!(server.get(&format!("/models/{MODEL}/compare?version=1")).status, 400);
    assert_eq!(server.get("/models/none").status, 404);
    assert_eq!(server.get(&format!("/models/{MODEL}/7")).status, 404);
}

#[test]
fn a_model_of_a_client_is_flagged_and_offers_neither_verdict_nor_promotion() {
    let place = Place::new();
    let server = Server::start(&place);
    server.post("registered-models/create", &json!({ "name": "<b>mine & co" })).done();
    let source = json!({ "name": "<b>mine & co", "source": "s3://bucket/model" });
    server.post("model-versions/create", &source).done();
    let path = "/models/%3Cb%3Emine%20%26%20co";
    let listed = page(&server, "/models?search=mine");
    assert_eq!(listed["models"][0]["is_foreign"], true, "{listed}");
    assert_eq!(page(&server, &format!("{path}/1"))["files"]["state"], "unverified");
    let html = String::from_utf8(server.get(&format!("{path}/1")).body).expect("text");
    assert!(html.contains("unverified") && !html.contains("<b>mine") && !html.contains("/decide?"), "{html}");
    for action in ["promote", "approve", "reject"] {
        let refused = post(&server, &format!("{path}/decide"), &format!("action={action}&version=1&reason=x"));
        assert_eq!(refused.status, 409, "{action}");
    }
    let moved = post(&server, &format!("{path}/edit"), "action=stage&version=1&value=production&state=none");
    assert_eq!(moved.status, 200, "{}", String::from_utf8_lossy(&moved.body));
    assert_eq!(page(&server, "/")["in_production"][0]["is_unverified"], true);
}

/// Creates a user and a token. Returns the token.
fn user(place: &Place, name: &str, more: &[&str]) -> String {
    let mut command = place.command(&[&["users", "create", name], more].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(b"a long enough password\n").expect("it is read");
    assert!(child.wait().expect("it ends").success(), "user {name}");
    let token = place.run(&["tokens", "create", name, "--label", "test", "--json"]).expect(0).json();
    token["token"].as_str().expect("a token").to_owned()
}

// invariant: Who may read a model sees its pages and changes nothing; who may edit it changes tags,
// and no verdict and no champion. Whose name the audit has is not theirs to say.
#[test]
fn a_reader_of_a_model_looks_and_an_editor_decides_nothing() {
    let place = two_versions();
    let root = user(&place, "root", &["--admin"]);
    let (reader, editor, nobody) = (user(&place, "rita", &[]), user(&place, "ed", &[]), user(&place, "noa", &[]));
    place.run(&["users", "default-permission", "NO_PERMISSIONS"]).expect(0);
    place.run(&["users", "grant", "rita", "READ", "--model", MODEL]).expect(0);
    place.run(&["users", "grant", "ed", "EDIT", "--model", MODEL]).expect(0);
    let server = Server::start(&place);
    let ask = |token: &str, method: &str, path: &str, form: &str| {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("accept", "application/json"), ("authorization", bearer.as_str())];
        if method == "POST" {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        server.ask(method, path, &headers, form.as_bytes())
    };
    let model = format!("/models/{MODEL}");
    assert_eq!(ask(&reader, "GET", &model, "").done()["model"]["name"], MODEL);
    assert_eq!(ask(&nobody, "GET", "/models", "").done()["models"], json!([]));
    assert!(matches!(ask(&nobody, "GET", &model, "").status, 403 | 404));
    assert_eq!(ask(&nobody, "GET", "/audit", "").done()["entries"], json!([]));
    let before = place.run(&["audit", "list", "--json"]).expect(0).stdout;
    let (decide, edit) = (format!("{model}/decide"), format!("{model}/edit"));
    let approve = "action=approve&version=2&state=1&reason=please";
    let tag = "action=tag&version=2&key=seen&value=yes";
    for (token, path, form) in [
        (&reader, &decide, approve),
        (&reader, &edit, tag),
        (&editor, &decide, approve),
        (&editor, &decide, "action=promote&version=2"),
        (&nobody, &edit, tag),
    ] {
        assert_eq!(ask(token, "POST", path, form).status, 403, "{path} {form}");
    }
    assert_eq!(post(&server, &decide, approve).status, 401, "nobody");
    assert_eq!(ask(&editor, "POST", "/audit/verification", "").status, 403);
    assert_eq!(place.run(&["audit", "list", "--json"]).expect(0).stdout, before);
    assert_eq!(ask(&editor, "POST", &edit, tag).done()["done"], "tag");
    assert_eq!(ask(&root, "POST", &decide, approve).done()["done"], "approve");
    let entries = ask(&root, "GET", "/audit", "").done();
    let who: Vec<_> =
        [0, 1].map(|place| (&entries["entries"][place]["action"], &entries["entries"][place]["actor"])).into();
    assert_eq!(who, [(&json!("version.judged-by-person"), &json!("root")), (&json!("version.tagged"), &json!("ed"))]);
    assert_eq!(ask(&root, "POST", "/audit/verification", "").done()["is_whole"], true);
}

#[test]
#[ignore = "needs Chromium and selenium: STAGEWRIGHT_PYTHON names a Python that has it"]
fn a_version_is_promoted_and_rolled_back_in_a_browser() {
    let place = two_versions();
    let server = Server::start(&place);
    let python = std::env::var_os("STAGEWRIGHT_PYTHON").expect("STAGEWRIGHT_PYTHON is set");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pages/try_models.py");
    let mut command = Command::new(python);
    command.arg(script).arg(&server.address).env("PYTHONDONTWRITEBYTECODE", "1");
    // For people who want to look: a folder for screenshots.
    command.args(std::env::var_os("STAGEWRIGHT_SCREENSHOTS"));
    Ended::of(command).expect(0);
    place.run(&["audit", "verify"]).expect(0);
}
