//! Users, tokens and permissions, by the commands and over HTTP.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};
use stagewright_services::postgres::Cluster;

use super::server::{Answer, Server};
use super::session::{NEW, last_line};

/// How long something may take that takes two seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

const PASSWORD: &str = "correct horse battery";
const EXPERIMENT: &str = "/api/2.0/mlflow/experiments/get?experiment_id=0";

/// Runs a command that reads a password.
fn with_password(place: &Place, arguments: &[&str], password: &str) -> Ended {
    let mut command = place.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(format!("{password}\n").as_bytes()).expect("a password");
    let output = child.wait_with_output().expect("an end");
    Ended {
        code: output.status.code().expect("a code"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn create(place: &Place, more: &[&str], name: &str, is_admin: bool) {
    let admin: &[&str] = if is_admin { &["--admin"] } else { &[] };
    with_password(place, &[more, &["users", "create", name], admin].concat(), PASSWORD).expect(0);
}

fn token(place: &Place, more: &[&str], user: &str) -> String {
    let ended = place.run(&[more, &["tokens", "create", user, "--label", "test"]].concat()).expect(0);
    let token = ended.stdout.trim().to_owned();
    assert!(token.starts_with("swt_") && token.len() == 68 && !ended.stderr.contains(&token), "{}", ended.stderr);
    token
}

fn as_bearer(server: &Server, token: &str, path: &str) -> Answer {
    server.ask("GET", path, &[("authorization", &format!("Bearer {token}"))], &[])
}

fn as_user(server: &Server, header: &str, path: &str) -> Answer {
    server.ask("GET", path, &[("authorization", header)], &[])
}

/// `Basic` of `name:correct horse battery`.
fn basic(name: &str, password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for chunk in format!("{name}:{password}").as_bytes().chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4_u32 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize] as char;
            text.push(if at as usize <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

/// Waits until something is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

// invariant: As soon as the registry has a user, the tracking server asks everybody who they are,
// whatever it was started with.
#[test]
fn a_server_asks_as_soon_as_there_is_a_user_and_knows_passwords_and_tokens() {
    let place = Place::new();
    let server = Server::start(&place);
    server.get(EXPERIMENT).done();
    let refused = with_password(&place, &["users", "create", "ada"], PASSWORD);
    assert!(refused.code == 2 && refused.stderr.contains("SW1006"), "{}", refused.stderr);
    let refused = with_password(&place, &["users", "create", "ada", "--admin"], "short");
    assert!(refused.code == 2 && refused.stderr.contains("8 to 1024 bytes"), "{}", refused.stderr);
    create(&place, &[], "ada", true);
    // The server that runs learns of it.
    wait_until("the question", || server.get(EXPERIMENT).status == 401);
    let unknown = server.get(EXPERIMENT);
    unknown.refused(401, "UNAUTHENTICATED");
    assert_eq!(unknown.headers["www-authenticate"], "Basic realm=\"stagewright\"");
    for open in ["/health", "/version", "/api/3.0/mlflow/server-info"] {
        assert_eq!(server.get(open).status, 200, "{open}");
    }
    as_user(&server, &basic("ada", PASSWORD), EXPERIMENT).done();
    as_user(&server, &basic("ada", "wrong"), EXPERIMENT).refused(401, "UNAUTHENTICATED");
    as_user(&server, &basic("nobody", PASSWORD), EXPERIMENT).refused(401, "UNAUTHENTICATED");
    let token = token(&place, &[], "ada");
    as_bearer(&server, &token, EXPERIMENT).done();
    // A browser is led to the page to sign in.
    let page = server.ask("GET", "/login", &[("accept", "text/html")], &[]);
    assert_eq!(page.status, 200);
    // What was taken back is refused, by a server that had admitted it.
    let listed: Value = serde_json::from_str(&place.run(&["tokens", "list", "--json"]).expect(0).stdout).expect("JSON");
    let id = listed[0]["id"].to_string();
    assert!(listed[0]["used_ms"].is_i64() && !listed.to_string().contains(&token[4..]), "{listed}");
    place.run(&["tokens", "revoke", &id]).expect(0);
    wait_until("the revocation", || as_bearer(&server, &token, EXPERIMENT).status == 401);
    with_password(&place, &["users", "password", "ada"], "another password").expect(0);
    wait_until("the new password", || as_user(&server, &basic("ada", PASSWORD), EXPERIMENT).status == 401);
    as_user(&server, &basic("ada", "another password"), EXPERIMENT).done();
}

// invariant: Accounts are not lost by accident: a server goes on asking when the users are gone.
#[test]
fn accounts_are_switched_off_on_purpose_alone() {
    let place = Place::new();
    create(&place, &[], "ada", true);
    let server = Server::start(&place);
    let token = token(&place, &[], "ada");
    as_bearer(&server, &token, EXPERIMENT).done();
    let refused = place.run(&["users", "delete", "ada"]);
    assert!(refused.code == 2 && refused.stderr.contains("SW1006"), "{}", refused.stderr);
    place.run(&["users", "delete", "ada", "--switch-off"]).expect(0);
    // The one that runs was asked for accounts, and goes on when it has learnt of the deletion.
    wait_until("the deletion", || as_bearer(&server, &token, EXPERIMENT).status == 401);
    server.get(EXPERIMENT).refused(401, "UNAUTHENTICATED");
    drop(server);
    Server::start(&place).get(EXPERIMENT).done();
}

#[test]
fn permissions_hold_and_the_audit_names_who_changed_a_model() {
    let place = Place::new();
    create(&place, &[], "ada", true);
    create(&place, &[], "bob", false);
    place.run(&["users", "default-permission", "NO_PERMISSIONS"]).expect(0);
    let server = Server::start(&place);
    let (ada, bob) = (token(&place, &[], "ada"), token(&place, &[], "bob"));
    let post = |token: &str, path: &str, body: &Value| {
        let headers = [("content-type", "application/json"), ("authorization", &*format!("Bearer {token}"))];
        server.ask("POST", &format!("/api/2.0/mlflow/{path}"), &headers, body.to_string().as_bytes())
    };
    let made = post(&ada, "experiments/create", &json!({ "name": "secret" })).done();
    let secret = made["experiment_id"].as_str().expect("an id").to_owned();
    post(&ada, "registered-models/create", &json!({ "name": "churn" })).done();
    let get = format!("/api/2.0/mlflow/experiments/get?experiment_id={secret}");
    as_bearer(&server, &bob, &get).refused(403, "PERMISSION_DENIED");
    place.run(&["users", "grant", "bob", "read", "--experiment", "secret"]).expect(0);
    as_bearer(&server, &bob, &get).done();
    let run = json!({ "experiment_id": secret });
    post(&bob, "runs/create", &run).refused(403, "PERMISSION_DENIED");
    place.run(&["users", "grant", "bob", "EDIT", "--experiment", "secret"]).expect(0);
    post(&bob, "runs/create", &run).done();
    post(&bob, "experiments/delete", &run).refused(403, "PERMISSION_DENIED");
    place.run(&["users", "revoke", "bob", "--experiment", "secret"]).expect(0);
    as_bearer(&server, &bob, &get).refused(403, "PERMISSION_DENIED");
    // Whoever creates something manages it.
    let own = post(&bob, "experiments/create", &json!({ "name": "own" })).done();
    post(&bob, "experiments/delete", &json!({ "experiment_id": own["experiment_id"] })).done();
    // Nobody reads the files of another experiment through one of their own.
    for location in
        [format!("mlflow-artifacts:/{secret}"), "mlflow-artifacts:/".into(), "mlflow-artifacts:/99/a".into()]
    {
        let body = json!({ "name": location, "artifact_location": location });
        post(&bob, "experiments/create", &body).refused(403, "PERMISSION_DENIED");
    }
    let audit = place.run(&["audit", "list", "--json"]).expect(0).stdout;
    let audit: Vec<Value> = serde_json::from_str(&audit).expect("JSON");
    assert!(audit.iter().any(|entry| entry["model"] == "churn" && entry["actor"] == "ada"), "{audit:?}");
    let grants = place.run(&["users", "permissions", "--json"]).expect(0).json();
    let mut has: Vec<_> =
        grants.as_array().expect("grants").iter().map(|it| [&it["user"], &it["name"], &it["permission"]]).collect();
    has.sort_by_key(|it| it.map(Value::to_string));
    assert_eq!(json!(has), json!([["ada", "churn", "MANAGE"], ["ada", "secret", "MANAGE"], ["bob", "own", "MANAGE"]]));
}

// invariant: as `wrong_attempts_are_bounded_by_name_and_by_address`
#[test]
fn wrong_passwords_are_bounded_and_a_token_still_works() {
    let place = Place::new();
    create(&place, &[], "ada", true);
    let server = Server::start(&place);
    let token = token(&place, &[], "ada");
    let wrong = |at: usize| as_user(&server, &basic("ada", &format!("wrong {at}")), EXPERIMENT).status;
    let statuses: Vec<u16> = (0..15).map(wrong).collect();
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 5]);
    as_user(&server, &basic("ada", PASSWORD), EXPERIMENT).refused(429, "REQUEST_LIMIT_EXCEEDED");
    as_bearer(&server, &token, EXPERIMENT).done();
}

// invariant: as `the_cookie_is_for_this_site_and_no_script`
#[test]
fn a_browser_signs_in_and_out_and_its_changes_need_the_text_of_its_session() {
    let place = Place::new();
    create(&place, &[], "ada", true);
    let server = Server::start(&place);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let asked = server.ask("GET", "/runs?filter=a", &[("accept", "text/html")], &[]);
    // The agent followed the way to the page to sign in.
    assert_eq!(asked.status, 200);
    let login = |password: &str| {
        let body = format!("username=ada&password={}&next=%2Fruns", password.replace(' ', "+"));
        server.ask_once("POST", "/login", &[form], body.as_bytes())
    };
    let wrong = login("wrong");
    assert!(wrong.headers.get("set-cookie").is_none(), "{wrong:?}");
    let right = login(PASSWORD);
    assert_eq!((right.status, right.headers["location"].to_str().ok()), (303, Some("/runs")));
    let cookie = right.headers["set-cookie"].to_str().expect("a cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = ("cookie", cookie.split(';').next().expect("a pair"));
    server.ask("GET", EXPERIMENT, &[cookie], &[]).done();
    let json = ("content-type", "application/json");
    let create = "/api/2.0/mlflow/experiments/create";
    server.ask("POST", create, &[cookie, json], br#"{"name": "forged"}"#).refused(403, "PERMISSION_DENIED");
    let page = String::from_utf8(server.ask("GET", "/runs", &[cookie], &[]).body).expect("text");
    let token = page.split("name=\"form_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let token = token.unwrap_or_else(|| panic!("no text of the session: {page}"));
    let header = ("x-stagewright-form-token", token);
    server.ask("POST", create, &[cookie, json, header], br#"{"name": "own"}"#).done();
    // Signing out by a page of another site does nothing.
    let forged = server.ask_once("POST", "/logout", &[cookie, form], b"form_token=x");
    assert_eq!(forged.status, 403);
    server.ask("GET", EXPERIMENT, &[cookie], &[]).done();
    let out = server.ask_once("POST", "/logout", &[cookie, form], format!("form_token={token}").as_bytes());
    assert_eq!(out.status, 303);
    server.ask("GET", EXPERIMENT, &[cookie], &[]).refused(401, "UNAUTHENTICATED");
    // A session is no token.
    let secret = cookie.1.split('=').nth(1).expect("a secret");
    as_bearer(&server, secret, EXPERIMENT).refused(401, "UNAUTHENTICATED");
}

// invariant: No log and no list of accounts has a password or a token.
#[test]
fn secrets_are_in_no_log_and_no_list() {
    let place = Place::new();
    create(&place, &[], "ada", true);
    let (server, log) = Server::start_logged(&place, &["-vv"]);
    let token = token(&place, &[], "ada");
    as_bearer(&server, &token, EXPERIMENT).done();
    as_user(&server, &basic("ada", PASSWORD), EXPERIMENT).done();
    as_user(&server, &basic("ada", "guessed password"), EXPERIMENT).refused(401, "UNAUTHENTICATED");
    as_user(&server, "Bearer swt_guessed", EXPERIMENT).refused(401, "UNAUTHENTICATED");
    drop(server);
    let mut texts = vec![std::fs::read_to_string(log).expect("a log")];
    for list in [&["users", "list", "--json"][..], &["tokens", "list", "--json"], &["users", "permissions", "--json"]] {
        texts.push(place.run(list).expect(0).stdout);
    }
    let encoded = basic("ada", PASSWORD);
    for text in texts {
        for secret in [PASSWORD, "guessed password", "swt_guessed", &token, &token[4..], &encoded[6..], "argon2"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_server_with_a_certificate_speaks_tls_and_reads_it_again() {
    let place = Place::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/serving/tests/server/fixtures");
    let put = |name: &str| {
        for (from, to) in [("crt.pem", "server.crt"), ("key.pem", "server.key")] {
            place.write(to, std::fs::read(fixtures.join(format!("{name}.{from}"))).expect("a fixture"));
        }
    };
    put("first");
    create(&place, &[], "ada", true);
    let server = Server::start_secure(&place, &["--tls-certificate", "server.crt", "--tls-key", "server.key"]);
    let first = std::fs::read(fixtures.join("first.crt.pem")).expect("a fixture");
    let second = std::fs::read(fixtures.join("second.crt.pem")).expect("a fixture");
    assert_eq!(server.ask_trusting(&first, "/health").ok(), Some(200));
    assert_eq!(server.ask_trusting(&first, EXPERIMENT).ok(), Some(401));
    assert!(server.ask_trusting(&second, "/health").is_err());
    put("second");
    server.hang_up();
    wait_until("the other certificate", || server.ask_trusting(&second, "/health").ok() == Some(200));
    place.write("server.key", "no key");
    let refused = place.run(&["server", "--port", "0", "--tls-certificate", "server.crt", "--tls-key", "server.key"]);
    assert!(refused.code == 2 && refused.stderr.contains("SW1003"), "{}", refused.stderr);
}

// invariant: What one server is told of accounts holds for all that share the database.
#[test]
#[ignore = "needs PostgreSQL"]
fn two_servers_over_postgresql_see_a_revocation() {
    let url = Cluster::shared().create_database();
    let places = [Place::new(), Place::new()];
    let registry = ["--registry", &url];
    create(&places[0], &registry, "ada", true);
    let servers = places.each_ref().map(|place| Server::start_with(place, &registry));
    let token = token(&places[0], &registry, "ada");
    for server in &servers {
        as_bearer(server, &token, EXPERIMENT).done();
        server.get(EXPERIMENT).refused(401, "UNAUTHENTICATED");
    }
    let id = 1;
    let listed = places[1].run(&[&registry[..], &["tokens", "list", "--json"]].concat()).expect(0).stdout;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["id"], id);
    places[1].run(&[&registry[..], &["tokens", "revoke", "1"]].concat()).expect(0);
    for server in &servers {
        wait_until("the revocation", || as_bearer(server, &token, EXPERIMENT).status == 401);
    }
}

// invariant: MLflow's own client signs in with a name and a password, and with a token.
#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON names a Python that has it"]
fn the_client_of_mlflow_signs_in() {
    let place = Place::new();
    create(&place, &[], "ada", true);
    create(&place, &[], "bob", false);
    let server = Server::start(&place);
    let token = token(&place, &[], "ada");
    let by_password = [("MLFLOW_TRACKING_USERNAME", "bob"), ("MLFLOW_TRACKING_PASSWORD", PASSWORD)];
    let by_token = [("MLFLOW_TRACKING_TOKEN", token.as_str())];
    for (variables, user) in [(&by_password[..], "bob"), (&by_token[..], "ada")] {
        let mut command = NEW.python("accounts.py", &server.address);
        command.arg(user).envs(variables.iter().copied());
        let ended = Ended::of(command).expect(0);
        assert_eq!(last_line(&ended)["signed_in"], user, "{}", ended.stdout);
    }
    let ended = Ended::of({
        let mut command = NEW.python("accounts.py", &server.address);
        command.arg("nobody").env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0");
        command
    });
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("not authenticated"), "{}", ended.stderr);
}
