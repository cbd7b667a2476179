//! The server's file: what loads, and the messages for what does not.

use std::time::Duration;

use stagewright_manifest::{IsolationPolicy, LoggedFeatures, ServingFile};

use crate::repository;

fn problems(text: &str) -> String {
    ServingFile::parse("serving.toml", text.to_owned()).expect_err("a fault").render()
}

#[test]
fn the_example_loads_and_so_does_every_key_that_it_shows() {
    let path = repository().join("config/serving.toml");
    let text = std::fs::read_to_string(&path).expect("the example");
    let example = ServingFile::load(&path).expect("the example");
    assert_eq!(example.models[0].name, "churn-classifier");
    // Keys that are commented out are lines such as `# key = value`.
    let is_key = |line: &str| line.split_once('=').is_some_and(|(key, _)| !key.trim().contains(' '));
    let shown: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_key(rest)).unwrap_or(line).to_owned() + "\n")
        .collect();
    let whole = ServingFile::parse("serving.toml", shown).unwrap_or_else(|error| panic!("{}", error.render()));
    let model = &whole.models[0];
    assert_eq!(whole.server.max_body, Some(16 << 20));
    assert_eq!(whole.server.idle_timeout, Some(Duration::from_secs(60)));
    assert_eq!(whole.server.insecure, Some(false));
    assert_eq!(model.isolation, Some(IsolationPolicy::Auto));
    assert_eq!(model.refuses_unknown_fields, Some(false));
}

#[test]
fn every_problem_is_told_with_its_place() {
    let told = problems(
        "[server]\nprot = 80\nport = 70000\nhost = \"nowhere\"\ndrain = 30\ntls-key = \"k\"\nmax-header = \"1 KiB\"\n\
         [models.m]\nisolation = \"shared\"\nworkers = 0\nlimits = { cpu = \"0 s\" }\n[model]\n",
    );
    for part in [
        "serving.toml:2: unknown key `prot`",
        "did you mean `port`?",
        "`server.port` is out of range",
        "`server.host` is no IP address",
        "`server.drain` must be a duration",
        "`tls-key` needs `tls-certificate`",
        "`server.max-header` is out of range",
        "`shared` is not a value of `models.m.isolation`",
        "`models.m.workers` is out of range",
        "`models.m.limits.cpu` is out of range",
        "unknown key `model`",
    ] {
        assert!(told.contains(part), "{part} is missing:\n{told}");
    }
    assert!(problems("[server\n").contains("serving.toml:1"));
}

#[test]
fn paths_start_at_the_folder_of_the_file() {
    let text = "[server]\ntokens-file = \"tokens\"\ntls-certificate = \"/a/c.pem\"\ntls-key = \"k.pem\"\n".to_owned();
    let server = ServingFile::parse("etc/serving.toml", text).expect("a file").server;
    assert_eq!(server.tokens_file.as_deref(), Some("etc/tokens".as_ref()));
    assert_eq!(server.tls_certificate.as_deref(), Some("/a/c.pem".as_ref()));
    assert_eq!(server.tls_key.as_deref(), Some("etc/k.pem".as_ref()));
}

#[test]
fn a_prediction_log_has_a_rate_columns_and_bounds() {
    let of = |log: &str| ServingFile::parse("serving.toml", format!("[models.m]\nlog = {log}\n"));
    let log = |text: &str| of(text).unwrap_or_else(|error| panic!("{}", error.render())).models[0].log.clone();
    assert_eq!(ServingFile::parse("serving.toml", "[models.m]\n".to_owned()).expect("a file").models[0].log, None);
    let whole = log(
        "{ rate = 0.1, features = [\"a\"], identifiers = [\"id\"], mask = [\"id\"], max-size = \"2 GiB\", keep = \"48 h\" }",
    );
    let whole = whole.expect("a log");
    assert_eq!((whole.rate, whole.max_size), (Some(0.1), Some(2 << 30)));
    assert_eq!(whole.features, LoggedFeatures::Named(vec!["a".to_owned()]));
    assert_eq!(whole.keep, Some(Duration::from_secs(48 * 3600)));
    assert_eq!(log("{ features = \"none\" }").expect("a log").features, LoggedFeatures::None);
    assert_eq!(log("{}").expect("a log").features, LoggedFeatures::All);
    let wrong = of("{ rate = 1.5, features = \"some\", keep = \"1 min\", max-size = \"1 B\", masks = [] }");
    let told = wrong.expect_err("faults").render();
    for part in [
        "`models.m.log.rate` is out of range",
        "`some` is not a value of `models.m.log.features`",
        "`models.m.log.keep` is out of range",
        "`models.m.log.max-size` is out of range",
        "did you mean `mask`?",
    ] {
        assert!(told.contains(part), "{part} is missing:\n{told}");
    }
}
