//! The texts of refusals by destinations, word by word, without secrets.

#![cfg(feature = "s3")]

mod support;

use stagewright_promotion::{Destination, PromotionError, Settings};
use stagewright_services::s3::{ConditionalWrites, Fault, Options, Plan, SECRET_KEY, Server};
use support::{BUCKET, LIMITS, client, pointer, promote, server, settings, upload};

/// Returns the text of an error without what differs between runs, after checking that it contains
/// no secret.
fn text(error: &PromotionError, server: Option<&Server>) -> String {
    let (plain, debug) = (error.to_string(), format!("{error:?}"));
    for secret in [SECRET_KEY, "hush"] {
        assert!(!plain.contains(secret) && !debug.contains(secret), "{debug}");
    }
    server.map_or(plain.clone(), |server| plain.replace(&server.endpoint(), "http://server"))
}

fn check(uri: &str, settings: &Settings) -> PromotionError {
    Destination::open(uri, settings).and_then(|destination| destination.check()).expect_err("it will not do")
}

fn with(server: &Server, name: &str, value: &str) -> Settings {
    let mut settings = settings(server.variables());
    settings.variables.insert(name.to_owned(), value.to_owned());
    settings
}

fn without(server: &Server, names: &[&str]) -> Settings {
    let mut settings = settings(server.variables());
    settings.variables.retain(|name, _| !names.contains(&name.as_str()));
    settings
}

#[test]
fn without_credentials_a_destination_is_refused() {
    let server = server();
    let home = tempfile::tempdir().expect("a folder");
    let mut settings = without(&server, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    settings.variables.insert("HOME".to_owned(), home.path().to_string_lossy().into_owned());
    insta::assert_snapshot!(text(&check(BUCKET, &settings), None));

    settings.variables.insert("AWS_PROFILE".to_owned(), "production".to_owned());
    insta::assert_snapshot!("a_profile_that_does_not_exist", text(&check(BUCKET, &settings), None));

    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    let file = home.path().join(".aws/config");
    std::fs::write(file, "[profile production]\nsso_session = work\n").expect("a file");
    insta::assert_snapshot!("a_profile_with_single_sign_on", text(&check(BUCKET, &settings), None));

    let settings = without(&server, &["AWS_SECRET_ACCESS_KEY"]);
    insta::assert_snapshot!("half_of_the_credentials", text(&check(BUCKET, &settings), None));
}

#[test]
fn what_no_header_holds_is_refused_with_the_name_of_its_variable_and_without_its_value() {
    let server = server();
    for (name, value, problem) in [
        ("AWS_ACCESS_KEY_ID", "hush\nx", "holds a line break"),
        ("AWS_SECRET_ACCESS_KEY", "hush\r", "holds a line break"),
        ("AWS_SESSION_TOKEN", "hush\u{1b}", "holds a control character"),
        ("AWS_REGION", "us-east-1\nhush", "holds a line break"),
        ("AWS_REGION", " us-east-1", "holds a space"),
        ("AWS_REGION", "hush/us", "is not the name of a region"),
        ("AWS_PROFILE", "hush\n", "holds a line break"),
        ("AWS_ACCESS_KEY_ID", "hush\u{e9}", "holds a letter that is not ASCII"),
        ("AWS_ENDPOINT_URL_S3", "http://localhost:9000\n", "holds a line break"),
        ("AWS_ENDPOINT_URL_S3", "localhost:9000", "does not begin with `https://` or `http://`"),
        ("AWS_ENDPOINT_URL_S3", "http:///hush", "names no host"),
    ] {
        let error = check(BUCKET, &with(&server, name, value));
        assert!(matches!(error, PromotionError::BadSetting { .. }), "{error:?}");
        let told = text(&error, None);
        assert!(told.starts_with(&format!("{name} {problem}\nhint: ")), "{told}");
    }
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    let file = "[default]\naws_access_key_id = hush hush\naws_secret_access_key = x\n";
    std::fs::write(home.path().join(".aws/credentials"), file).expect("a file");
    let mut settings = without(&server, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    settings.variables.insert("HOME".to_owned(), home.path().to_string_lossy().into_owned());
    let told = text(&check(BUCKET, &settings), None);
    assert!(told.starts_with("`aws_access_key_id` of profile `default` holds a space\nhint: "), "{told}");
}

#[test]
fn credentials_of_a_profile_are_found() {
    let server = server();
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    let variables: std::collections::BTreeMap<_, _> = server.variables().into_iter().collect();
    let credentials = format!(
        "[production]\naws_access_key_id = {}\naws_secret_access_key = {SECRET_KEY}\n",
        variables["AWS_ACCESS_KEY_ID"]
    );
    std::fs::write(home.path().join(".aws/credentials"), credentials).expect("a file");
    let config =
        format!("[profile production]\nregion = {}\nendpoint_url = {}\n", variables["AWS_REGION"], server.endpoint());
    std::fs::write(home.path().join(".aws/config"), config).expect("a file");
    let home = home.path().to_string_lossy().into_owned();
    let settings = settings(vec![("HOME".to_owned(), home), ("AWS_PROFILE".to_owned(), "production".to_owned())]);
    Destination::open(BUCKET, &settings).expect("credentials").check().expect("a destination that will do");
}

#[test]
fn the_endpoint_is_found_under_each_of_its_names() {
    let server = server();
    for name in ["AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"] {
        let mut settings = without(&server, &["AWS_ENDPOINT_URL_S3"]);
        settings.variables.insert(name.to_owned(), server.endpoint());
        Destination::open(BUCKET, &settings).expect(name).check().expect(name);
    }
    let mut settings = with(&server, "AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1");
    settings.endpoint = Some(server.endpoint());
    Destination::open(BUCKET, &settings).expect("the explicit one wins").check().expect("it does");
}

#[test]
fn credentials_that_the_store_does_not_know_are_refused() {
    let server = server();
    let settings = with(&server, "AWS_ACCESS_KEY_ID", "AKIANOBODY");
    insta::assert_snapshot!("an_unknown_key", text(&check(BUCKET, &settings), None));
    let settings = with(&server, "AWS_SECRET_ACCESS_KEY", "hush");
    insta::assert_snapshot!("a_wrong_secret", text(&check(BUCKET, &settings), None));
}

#[test]
fn a_bucket_that_does_not_exist_is_refused() {
    let server = server();
    insta::assert_snapshot!(text(&check("s3://elsewhere/team", &settings(server.variables())), Some(&server)));
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_refused() {
    let server = server();
    let settings = with(&server, "AWS_ENDPOINT_URL_S3", "http://user:hush@127.0.0.1:1");
    insta::assert_snapshot!(text(&check(BUCKET, &settings), None));
}

#[test]
fn another_region_is_refused() {
    let server = server();
    insta::assert_snapshot!(text(&check(BUCKET, &with(&server, "AWS_REGION", "us-west-2")), None));
}

// invariant: as `a_store_without_conditional_writes_is_refused`
#[test]
fn a_bucket_that_may_only_be_read_is_refused() {
    let server = Server::start("models", Options { read_only: true, ..Options::default() });
    let error = check(BUCKET, &settings(server.variables()));
    let text = text(&error, None);
    let probe = text.split('`').nth(1).expect("a key").to_owned();
    insta::assert_snapshot!(text.replace(&probe, "probes/1"));
}

// invariant: A store that cannot guarantee safe promotion is refused before training.
#[test]
fn a_store_without_conditional_writes_is_refused() {
    let start = |conditional_writes| Server::start("models", Options { conditional_writes, ..Options::default() });
    let server = start(ConditionalWrites::Ignored);
    insta::assert_snapshot!("ignored", text(&check(BUCKET, &settings(server.variables())), None));
    assert_eq!(server.keys(), Vec::<String>::new());
    let server = start(ConditionalWrites::NotImplemented);
    insta::assert_snapshot!("not_implemented", text(&check(BUCKET, &settings(server.variables())), None));
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), b"").expect("a file");
    let uri = folder.path().join("file/production").to_string_lossy().into_owned();
    let text = text(&check(&uri, &settings(Vec::new())), None);
    insta::assert_snapshot!(text.replace(&*folder.path().to_string_lossy(), "/srv"));
}

#[test]
fn a_store_that_does_not_answer_is_given_up_in_time() {
    let server = server();
    server.plan(Plan::From(1, Fault::TimeOut));
    let begun = std::time::Instant::now();
    let error = check(BUCKET, &settings(server.variables()));
    assert!(begun.elapsed() < LIMITS.attempt * (LIMITS.attempts * 3), "{:?}", begun.elapsed());
    insta::assert_snapshot!(text(&error, None));
}

#[test]
fn a_part_that_is_stored_wrongly_is_reported() {
    let (server, folder) = (server(), tempfile::tempdir().expect("a folder"));
    let destination = client(&server);
    let mut upload = upload(folder.path(), 1);
    upload.objects.truncate(1);
    let digest = upload.objects[0].digest;
    upload.manifest = format!(r#"{{"objects":[{{"digest":"{digest}","size":3000,"role":"model"}}]}}"#).into_bytes();
    server.plan(Plan::At(2, Fault::LyingChecksum));
    let error = destination.upload(&upload, &|_, _| ()).expect_err("other bytes");
    insta::assert_snapshot!(text(&error, None).replace(&digest.to_hex(), "<hex>"));
    assert_eq!(server.keys(), Vec::<String>::new());
}

#[test]
fn a_lost_race_and_a_taken_version_are_reported() {
    let (server, folder) = (server(), tempfile::tempdir().expect("a folder"));
    let destination = client(&server);
    let (one, mut two) = (upload(folder.path(), 1), upload(folder.path(), 2));
    promote(&destination, &one).expect("promoted");
    let error = destination.point("churn", None, &pointer(&two)).expect_err("there is one");
    insta::assert_snapshot!("a_lost_race", text(&error, None));
    two.version = 1;
    let error = destination.upload(&two, &|_, _| ()).expect_err("taken");
    insta::assert_snapshot!("a_taken_version", text(&error, None));
    let error = destination.load("churn", Some(7)).expect_err("none");
    insta::assert_snapshot!("no_version", text(&error, None));
    let error = destination.load("fraud", None).expect_err("none");
    insta::assert_snapshot!("no_champion", text(&error, None));
}

#[test]
fn what_is_no_destination_is_refused() {
    let open = |uri: &str| Destination::open(uri, &settings(Vec::new())).expect_err(uri);
    insta::assert_snapshot!("another_scheme", text(&open("gs://models"), None));
    insta::assert_snapshot!("credentials_within", text(&open("s3://key:hush@models/team"), None));
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let server = server();
    let settings = with(&server, "AWS_SESSION_TOKEN", "hush");
    let destination = Destination::open(BUCKET, &settings).expect("a destination");
    for text in [format!("{settings:?}"), format!("{destination:?}"), destination.uri().to_owned()] {
        assert!(!text.contains(SECRET_KEY) && !text.contains("hush"), "{text}");
    }
}
