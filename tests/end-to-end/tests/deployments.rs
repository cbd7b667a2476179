//! Deployments by the command line: from their start over every step to the promotion, and all that
//! is refused.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place};
use stagewright_services::postgres::Cluster;
use stagewright_store::{ArmCounts, Home, NewOutcome, Registry};

const MODEL: &str = "churn-classifier";

/// Returns a home with the champion, version 1, an approved version 2, and version 3, which was
/// rejected. It is made once and copied.
fn approved() -> Place {
    static HOME: OnceLock<Place> = OnceLock::new();
    let first = HOME.get_or_init(|| {
        let place = Place::new();
        trained(&place, &[]);
        place
    });
    let place = Place::new();
    copy(&first.home(), &place.home());
    place
}

fn trained(place: &Place, more: &[&str]) {
    let low = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    let churn = |set: &[&str], code| place.churn(1500, &[set, more].concat()).expect(code);
    churn(&[&low[..], &["--set", "training.component=train-logistic"]].concat(), 0);
    churn(&["--set", "gates.minimum.roc_auc=0.999", "--set", "training.n_estimators=20"], 4);
    churn(&["--set", "gates.minimum.roc_auc=0.999", "--set", "training.n_estimators=30"], 4);
    let approve = ["models", "approve", &format!("{MODEL}/2"), "--reason", "to be tried"];
    place.run(&[&approve[..], more].concat()).expect(0);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn deploy(place: &Place, arguments: &[&str]) -> Ended {
    place.run(&[&["deploy"], arguments].concat())
}

fn view(place: &Place, arguments: &[&str]) -> Value {
    deploy(place, &[arguments, &["--json"]].concat()).expect(0).json()
}

fn champion(place: &Place) -> Value {
    place.run(&["models", "list", "--json"]).expect(0).json()[0]["champion"].clone()
}

fn registry(place: &Place) -> Registry {
    Home::open(place.home()).expect("a home").registry
}

/// Returns the steps of deployments in the audit: action, actor, reason, new state.
fn steps(place: &Place) -> Vec<[String; 4]> {
    let history = place.run(&["models", "history", MODEL, "--json"]).expect(0).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = history.as_array().expect("entries").iter();
    let steps = entries.filter(|entry| text(&entry["action"]).starts_with("deployment."));
    steps.map(|entry| ["action", "actor", "reason", "new_state"].map(|key| text(&entry[key]))).collect()
}

fn shares(view: &Value) -> Vec<f64> {
    view["arms"].as_array().expect("arms").iter().map(|arm| arm["share"].as_f64().expect("a share")).collect()
}

fn canary<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["start", MODEL, "--strategy", "canary", "--version", "2"], more].concat()
}

// invariant: A deployment goes from its start to its promotion by commands alone, and the audit has
// every step with its reason.
#[test]
fn a_canary_is_started_advanced_and_promoted_and_the_audit_has_every_step() {
    let place = approved();
    let started = view(&place, &canary(&["--shares", "10,100", "--reason", "version 2  is\nnew"]));
    assert_eq!((&started["number"], &started["status"], &started["step"]), (&json!(1), &json!("active"), &json!(0)));
    assert_eq!(shares(&started), [0.9, 0.1]);
    assert_eq!(started["configuration"]["shares"], json!([10.0, 100.0]));
    let shown = deploy(&place, &["status"]).expect(0).stdout;
    for part in ["deployment 1 of `churn-classifier`: canary, active", ": version 2 is new", "canary", "10 %"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    assert!(shown.contains("now: step 1 of 2 (10 %): `stagewright deploy advance churn-classifier`"), "{shown}");
    let second = view(&place, &["advance", MODEL, "--reason", "calm"]);
    assert_eq!((&second["step"], shares(&second)), (&json!(1), vec![0.0, 1.0]));
    assert_eq!(champion(&place), 1);
    let ended = view(&place, &["advance", MODEL]);
    assert_eq!((&ended["status"], &ended["next"]), (&json!("finished"), &Value::Null));
    assert_eq!(champion(&place), 2);
    // The ordinary promotion: the production location has the version too.
    let verified = place.run(&["models", "promote", &format!("{MODEL}@champion"), "--json"]).expect(0).json();
    assert_eq!((&verified["version"], &verified["uploaded_bytes"]), (&json!(2), &json!(0)));

    let states = [
        "canary 1, step 0: control = version 1 (90 %), canary = version 2 (10 %)",
        "canary 1, step 1: control = version 1 (0 %), canary = version 2 (100 %)",
        "canary 1, finished",
    ];
    let steps = steps(&place);
    let told: Vec<[&str; 3]> = steps.iter().map(|[action, _, reason, state]| [&action[..], reason, state]).collect();
    let expected = [
        ["deployment.started", "version 2 is new", states[0]],
        ["deployment.advanced", "calm", states[1]],
        ["deployment.finished", "step 2 of 2 (100 %), by command", states[2]],
    ];
    assert_eq!(told, expected);
    place.run(&["audit", "verify"]).expect(0);
    assert_eq!(view(&place, &["status", MODEL])["number"], 1, "the last one, ended");
    assert_eq!(view(&place, &["status"]), json!([]));
    let nothing = deploy(&place, &["advance", MODEL]).expect(2);
    assert!(nothing.stderr.contains("error[SW0732]"), "{}", nothing.stderr);
}

#[test]
fn an_aborted_deployment_leaves_the_champion_and_makes_room_for_another() {
    let place = approved();
    view(&place, &canary(&[]));
    let second = deploy(&place, &canary(&[])).expect(2);
    assert!(second.stderr.contains("error[SW0731]: deployment 1"), "{}", second.stderr);
    let without = deploy(&place, &["abort", MODEL]).expect(2);
    assert!(without.stderr.contains("--reason"), "{}", without.stderr);
    let empty = deploy(&place, &["abort", MODEL, "--reason", " "]).expect(2);
    assert!(empty.stderr.contains("error[SW0101]"), "{}", empty.stderr);
    let aborted = view(&place, &["abort", MODEL, "--reason", "too slow"]);
    assert_eq!((&aborted["status"], &aborted["end_reason"]), (&json!("aborted"), &json!("too slow")));
    assert_eq!(champion(&place), 1);
    let shadow = ["start", MODEL, "--strategy", "shadow", "--version", "v2", "--fraction", "10%"];
    let shadow = view(&place, &shadow);
    assert_eq!((&shadow["number"], shares(&shadow)), (&json!(2), vec![1.0, 0.0]));
    let ended = view(&place, &["advance", MODEL]);
    assert_eq!((&ended["status"], champion(&place)), (&json!("finished"), json!(1)), "a shadow promotes nothing");
    let told: Vec<String> = steps(&place).into_iter().map(|[action, ..]| action).collect();
    let expected = ["deployment.started", "deployment.aborted", "deployment.started", "deployment.finished"];
    assert_eq!(told, expected);
}

#[test]
fn blue_green_switches_and_is_promoted_by_command() {
    let place = approved();
    let prepared = view(&place, &["start", MODEL, "--strategy", "blue-green", "--version", "2"]);
    assert_eq!((&prepared["strategy"], shares(&prepared)), (&json!("blue_green"), vec![1.0, 0.0]));
    let switched = view(&place, &["advance", MODEL]);
    assert_eq!((shares(&switched), champion(&place)), (vec![0.0, 1.0], json!(1)));
    view(&place, &["advance", MODEL, "--reason", "all is well"]);
    assert_eq!(champion(&place), 2);
}

#[test]
fn what_could_not_be_promoted_is_not_deployed() {
    let place = approved();
    let refused = |arguments: &[&str], code, error: &str| {
        let ended = deploy(&place, arguments).expect(code);
        assert!(ended.stderr.contains(error) && ended.stderr.contains("hint: "), "{error}: {}", ended.stderr);
    };
    let start = |version: &'static str| ["start", MODEL, "--strategy", "canary", "--version", version];
    refused(&start("3"), 4, "error[SW0710]: version 3");
    refused(&start("1"), 2, "error[SW0736]: version 1 of model `churn-classifier` is the champion");
    refused(&start("9.9.9"), 2, "error[SW0735]: `version` of the deployment");
    let unknown = deploy(&place, &start("9")).expect(2);
    assert!(unknown.stderr.contains("error[SW0703]"), "{}", unknown.stderr);
    refused(&start("candidate"), 2, "`candidate` is neither a version nor an alias");
    refused(&["start", "other", "--strategy", "canary", "--version", "2"], 2, "error[SW0702]");
    refused(&canary(&["--interval", "soon"]), 2, "`interval` of the deployment: `soon` is no duration");
    refused(&canary(&["--max-error-rate", "150%"]), 2, "`guard.max_error_rate`");
    refused(&canary(&["--key", "customer"]), 2, "error[SW0101]: `customer` is no part of a request");
    refused(&canary(&["--fraction", "10%"]), 2, "unknown field `fraction`");
    refused(&["start", MODEL, "--config", "missing.toml"], 2, "error[SW0110]");
    place.write("broken.toml", "strategy = ");
    refused(&["start", MODEL, "--config", "broken.toml"], 2, "error[SW0735]: `file` of the deployment: line 1");
    let ended = deploy(&place, &["start", MODEL, "--version", "2"]).expect(2);
    assert!(ended.stderr.contains("--config"), "{}", ended.stderr);
    assert_eq!(view(&place, &["status", MODEL]), Value::Null);
    assert!(deploy(&place, &["status", MODEL]).expect(0).stdout.contains("no deployment of `churn-classifier`"));
    refused(&["status", "other"], 2, "error[SW0702]");
}

#[test]
fn a_deployment_whose_champion_moved_is_not_advanced() {
    let place = approved();
    view(&place, &canary(&[]));
    place.run(&["models", "promote", &format!("{MODEL}/2")]).expect(0);
    // Its own candidate became champion: there is nothing left to do.
    let finished = view(&place, &["advance", MODEL]);
    assert_eq!((&finished["status"], &finished["end_reason"]), (&json!("finished"), &json!("version 2 is champion")));

    place.run(&["models", "approve", &format!("{MODEL}/3"), "--reason", "to be tried"]).expect(0);
    view(&place, &["start", MODEL, "--strategy", "canary", "--version", "3"]);
    place.run(&["models", "rollback", MODEL]).expect(0);
    let moved = deploy(&place, &["advance", MODEL]).expect(2);
    assert!(moved.stderr.contains("error[SW0736]: deployment 2"), "{}", moved.stderr);
    assert!(moved.stderr.contains("hint: stagewright deploy abort churn-classifier"), "{}", moved.stderr);
    assert_eq!(view(&place, &["status", MODEL])["next"]["action"], "abort");
    view(&place, &["abort", MODEL, "--reason", "the champion moved"]);
}

/// Returns the A/B test of docs/deployments.md over versions of a place, with other bounds.
fn test(control: &str, treatment: &str, days: &str, samples: u32) -> String {
    format!(
        r#"{{
        "experiment_name": "churn_model_v2",
        "variants": {{
            "control": {{"model_version": "v{control}", "traffic_percentage": 50}},
            "treatment": {{"model_version": "v{treatment}", "traffic_percentage": 50}}
        }},
        "metrics": {{"primary": "conversion_rate", "secondary": ["latency_p99", "error_rate"]}},
        "duration_days": {days},
        "min_sample_size": {samples}
    }}"#
    )
}

/// Returns the semantic version of a version.
fn semantic(place: &Place, version: u32) -> String {
    let shown = place.run(&["models", "show", &format!("{MODEL}/{version}"), "--json"]).expect(0).json();
    shown["semantic_version"].as_str().expect("a semantic version").to_owned()
}

fn outcomes(registry: &Registry, arm: &str, version: u32, positives: usize, count: usize) {
    let at_ms = registry.active_deployment(MODEL).expect("a registry").expect("a deployment").started_ms;
    let outcome = |number: usize| NewOutcome {
        request_id: format!("{arm}-{number}"),
        version,
        arm: Some(arm.to_owned()),
        label: Some(if number < positives { "Yes" } else { "No" }.to_owned()),
        value: None,
        at_ms,
    };
    let all: Vec<_> = (0..count).map(outcome).collect();
    registry.post_outcomes(MODEL, &all, 100_000).expect("posted");
}

// invariant: as `a_report_has_effect_interval_and_p_value_and_a_verdict_only_at_its_time`
#[test]
fn a_test_is_read_from_its_file_reported_and_ended_by_its_verdict() {
    let place = approved();
    let (control, treatment) = (semantic(&place, 1), semantic(&place, 2));
    place.write("long.json", test(&control, &treatment, "14", 10_000));
    let started = view(&place, &["start", MODEL, "--config", "long.json"]);
    assert_eq!((&started["strategy"], shares(&started)), (&json!("ab"), vec![0.5, 0.5]));
    assert_eq!(started["configuration"]["min_sample_size"], 10_000);
    let early = deploy(&place, &["advance", MODEL]).expect(4);
    assert!(early.stderr.contains("error[SW0737]: A/B test `churn_model_v2`"), "{}", early.stderr);
    assert!(early.stderr.contains("0 of 14 days have passed"), "{}", early.stderr);
    view(&place, &["abort", MODEL, "--reason", "a shorter one"]);

    // A millisecond; 1,000 samples.
    let short = test(&control, &treatment, "0.00000001", 1_000);
    place.write("short.json", &short);
    view(&place, &["start", MODEL, "--config", "short.json"]);
    let registry = registry(&place);
    let counts = |arm: &str, errors| ArmCounts {
        arm: arm.to_owned(),
        requests: 2_000,
        errors,
        rows: 2_000,
        latencies: vec![(1_000, 1_900), (9_000, 100)],
        ..ArmCounts::default()
    };
    registry.add_arm_counts(MODEL, 2, &[counts("control", 2), counts("treatment", 3)]).expect("counted");
    outcomes(&registry, "control", 1, 100, 1_000);
    outcomes(&registry, "treatment", 2, 160, 999);
    let few = deploy(&place, &["advance", MODEL]).expect(4);
    assert!(few.stderr.contains("the treatment has 999 of 1000 samples"), "{}", few.stderr);
    outcomes(&registry, "treatment", 2, 160, 1_000);
    let reported = view(&place, &["status", MODEL]);
    let report = &reported["report"];
    assert_eq!(
        (&report["verdict"], &report["experiment_name"]),
        (&json!("treatment_better"), &json!("churn_model_v2"))
    );
    let primary = &report["primary"];
    // `confint_proportions_2indep(160, 1000, 100, 1000, method="newcomb")` and `proportions_ztest`
    // of statsmodels.
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().expect("a number");
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    };
    near(&primary["effect"], 0.06);
    near(&primary["p_value"], PRIMARY[0]);
    near(&primary["confidence_interval"][0], PRIMARY[1]);
    near(&primary["confidence_interval"][1], PRIMARY[2]);
    let p99 = &report["secondary"][0];
    assert_eq!((&p99["metric"], &p99["control"]), (&json!("latency_p99"), &json!(9.0)));
    let shown = deploy(&place, &["status", MODEL]).expect(0).stdout;
    for part in ["churn_model_v2: ", "conversion_rate: control 10 %, treatment 16 %, effect +6 points (+60 %)", "p = "]
    {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    let ended = view(&place, &["advance", MODEL]);
    assert_eq!((&ended["status"], champion(&place)), (&json!("finished"), json!(2)));
    assert!(ended["end_reason"].as_str().expect("a reason").starts_with("treatment is better"), "{ended}");
}

/// p-value and interval of 160 of 1,000 beside 100 of 1,000.
const PRIMARY: [f64; 3] = [6.624739218326124e-05, 0.030594343730168443, 0.08947711352911472];

#[test]
fn a_test_without_a_difference_keeps_the_control() {
    let place = approved();
    place.write("test.json", test(&semantic(&place, 1), &semantic(&place, 2), "0.00000001", 100));
    view(&place, &["start", MODEL, "--config", "test.json"]);
    let registry = registry(&place);
    outcomes(&registry, "control", 1, 10, 100);
    outcomes(&registry, "treatment", 2, 11, 100);
    let ended = view(&place, &["advance", MODEL]);
    assert!(ended["end_reason"].as_str().expect("a reason").starts_with("no difference was found"), "{ended}");
    assert_eq!(champion(&place), 1);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn deployments_are_the_same_in_postgresql() {
    let place = Place::new();
    let url = Cluster::shared().create_database();
    let place_of = ["--registry", &url];
    trained(&place, &place_of);
    let run = |arguments: &[&str], code| place.run(&[arguments, &place_of].concat()).expect(code);
    let start = canary(&["--shares", "50,100", "--interval", "1 h", "--max-p99", "50 ms", "--json"]);
    let started = run(&[&["deploy"], &start[..]].concat(), 0).json();
    assert_eq!((&started["step"], shares(&started)), (&json!(0), vec![0.5, 0.5]));
    let next = started["next"]["reason"].as_str().expect("a reason");
    assert!(next.contains("of 1 h are left; 0 of 100 requests"), "{next}");
    run(&["deploy", "start", MODEL, "--strategy", "shadow", "--version", "2"], 2);
    run(&["deploy", "advance", MODEL], 0);
    let ended = run(&["deploy", "advance", MODEL, "--json"], 0).json();
    assert_eq!(ended["status"], "finished");
    assert_eq!(run(&["models", "list", "--json"], 0).json()[0]["champion"], 2);
    run(&["audit", "verify"], 0);
}
