//! Plans: what they mean without a word, and what is refused.

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use stagewright_deployment::{Key, Metric, Plan, parse_file};
use stagewright_store::DeploymentStrategy;
use support::{ab, refused, with};

fn canary() -> Value {
    json!({"strategy": "canary", "version": 3})
}

#[test]
fn a_plan_without_further_words_has_the_documented_defaults() {
    let Plan::Canary(plan) = Plan::parse(&canary()).unwrap() else { panic!("no canary") };
    assert_eq!(plan.shares, [5.0, 25.0, 50.0, 100.0]);
    assert_eq!((plan.interval, plan.guard.min_requests), (None, 100));
    assert_eq!(plan.key, Key::Header("x-routing-key".to_owned()));
    let Plan::Shadow(shadow) = Plan::parse(&json!({"strategy": "shadow", "version": 3})).unwrap() else { panic!() };
    assert_eq!(shadow.fraction.get(), 1.0);
    let Plan::Ab(test) = Plan::parse(&ab()).unwrap() else { panic!("no test") };
    assert_eq!((test.confidence, test.positive_label.as_deref(), test.duration_ms()), (0.95, None, 14 * 86_400_000));
    assert_eq!(test.metrics.secondary, [Metric::LatencyP99, Metric::ErrorRate]);
}

#[test]
fn a_plan_comes_back_from_the_registry_as_it_went() {
    let guard = json!({"min_requests": 10, "max_error_rate": "1 %", "max_p99": "50ms",
        "outcome": {"figure": "mean_value", "at_least": 0.5, "worse_by_at_most": 0.1, "better": "lower"}});
    let plans = [
        canary(),
        json!({"strategy": "canary", "version": 3, "shares": [1, 100], "interval": "10m", "guard": guard,
            "key": {"field": "customerID"}}),
        json!({"strategy": "blue_green", "version": 3, "guard": guard}),
        json!({"strategy": "shadow", "version": 3, "fraction": "10 %"}),
        with(with(ab(), "/guard", guard.clone()), "/better", json!("lower")),
    ];
    for json in plans {
        let plan = Plan::parse(&json).unwrap();
        assert_eq!(Plan::parse(&plan.to_json()), Ok(plan), "{json}");
    }
}

#[test]
fn the_first_step_has_the_champion_as_default_arm_and_the_candidate_last() {
    let arms = |json: Value| {
        let new = Plan::parse(&json).unwrap().new_deployment(1, "why").unwrap();
        assert_eq!((new.step, new.reason.as_str()), (0, "why"));
        let arms = new.arms.into_iter().map(|arm| (arm.name, arm.version, arm.share));
        (new.strategy, arms.collect::<Vec<_>>())
    };
    let expected = |name: &str, version: u32, share: f64| {
        vec![("control".to_owned(), 1, 1.0 - share), (name.to_owned(), version, share)]
    };
    assert_eq!(arms(canary()), (DeploymentStrategy::Canary, expected("canary", 3, 0.05)));
    let blue = json!({"strategy": "blue_green", "version": 3});
    assert_eq!(arms(blue), (DeploymentStrategy::BlueGreen, expected("green", 3, 0.0)));
    let shadow = json!({"strategy": "shadow", "version": 3});
    assert_eq!(arms(shadow), (DeploymentStrategy::Shadow, expected("shadow", 3, 0.0)));
    let uneven = with(ab(), "/variants/control/traffic_percentage", json!(90));
    let uneven = with(uneven, "/variants/treatment/traffic_percentage", json!(10));
    assert_eq!(arms(uneven), (DeploymentStrategy::Ab, expected("treatment", 2, 0.1)));
}

#[test]
fn the_champion_is_the_control_and_no_candidate() {
    let error = Plan::parse(&canary()).unwrap().new_deployment(3, "").unwrap_err();
    assert_eq!((error.field.as_str(), error.problem.contains("is the champion")), ("version", true), "{error}");
    let error = Plan::parse(&ab()).unwrap().new_deployment(7, "").unwrap_err();
    assert_eq!(error.field, "variants.control.model_version");
    assert!(error.hint.contains("version 7"), "{error}");
    let error = Plan::parse(&ab()).unwrap().new_deployment(2, "").unwrap_err();
    assert_eq!(error.field, "variants.treatment.model_version");
}

#[test]
fn every_mistake_is_refused_by_its_field_with_a_remedy() {
    let cases = [
        (json!([]), "`strategy`"),
        (json!({"version": 3}), "`strategy`"),
        (json!({"strategy": "rolling", "version": 3}), "`strategy` of the deployment: `rolling` is not a strategy"),
        (json!({"strategy": "canary"}), "missing field `version`"),
        (with(canary(), "/version", json!("three")), "`version`"),
        (with(canary(), "/version", json!(-1)), "`version`"),
        (with(canary(), "/share", json!(5)), "unknown field `share`"),
        (with(canary(), "/shares", json!([])), "`shares`"),
        (with(canary(), "/shares", json!([5, 25])), "`shares` of the deployment: [5, 25] is no schedule"),
        (with(canary(), "/shares", json!([25, 5, 100])), "`shares`"),
        (with(canary(), "/shares", json!([0, 100])), "`shares`"),
        (with(canary(), "/shares", json!([5, 5, 100])), "`shares`"),
        (with(canary(), "/shares", json!([5, 101])), "`shares`"),
        (with(canary(), "/shares", json!(vec![100; 101])), "more than 100 steps"),
        (with(canary(), "/interval", json!("10")), "`interval`"),
        (with(canary(), "/interval", json!("1 ms")), "a step takes from 1 s"),
        (with(canary(), "/interval", json!("400 d")), "a step takes from 1 s"),
        (with(canary(), "/guard", json!({"max_p99": 50})), "`guard.max_p99`"),
        (with(canary(), "/guard", json!({"max_p99": "0 ms"})), "from 1 ms to 1 h"),
        (with(canary(), "/guard", json!({"max_p99": "2 h"})), "from 1 ms to 1 h"),
        (with(canary(), "/guard", json!({"max_error": 0.1})), "unknown field `max_error`"),
        (with(canary(), "/guard", json!({"max_error_rate": 5})), "5 is not from 0 to 1"),
        (with(canary(), "/guard", json!({"min_requests": 0})), "`guard.min_requests`"),
        (with(canary(), "/guard", json!({"outcome": {}})), "it has no bound"),
        (with(canary(), "/guard", json!({"outcome": {"figure": "roc_auc", "at_least": 1}})), "`guard.outcome.figure`"),
        (with(canary(), "/guard", json!({"outcome": {"at_least": 2, "at_most": 1}})), "2 is above `at_most`"),
        (with(canary(), "/guard", json!({"outcome": {"worse_by_at_most": -1}})), "`guard.outcome.worse_by_at_most`"),
        (with(canary(), "/guard", json!({"outcome": {"at_least": 0, "min_outcomes": 0}})), "min_outcomes"),
        (with(canary(), "/guard", json!({"outcome": {"at_least": 0, "positive_label": ""}})), "positive_label"),
        (with(canary(), "/key", json!({"cookie": "id"})), "`key`"),
        (with(canary(), "/key", json!({"header": "a b"})), "`key.header`"),
        (with(canary(), "/key", json!({"header": "Authorization"})), "secrets"),
        (with(canary(), "/key", json!({"field": ""})), "`key.field`"),
        (json!({"strategy": "shadow", "version": 3, "fraction": 0}), "`fraction`"),
        (json!({"strategy": "blue_green", "version": 3, "shares": [100]}), "unknown field `shares`"),
        (with(ab(), "/experiment_name", json!(" ")), "`experiment_name`"),
        (with(ab(), "/experiment_name", json!("a\nb")), "`experiment_name`"),
        (with(ab(), "/variants/treatment/model_version", json!(1)), "both arms are version 1"),
        (with(ab(), "/variants/treatment/traffic_percentage", json!(40)), "the arms have 50 % and 40 %"),
        (with(ab(), "/variants/blue", json!({})), "unknown field `blue`"),
        (with(ab(), "/metrics/primary", json!("revenue")), "`metrics.primary`"),
        (with(ab(), "/metrics/primary", json!("latency_p99")), "cannot decide a test"),
        (with(ab(), "/duration_days", json!(0)), "`duration_days`"),
        (with(ab(), "/duration_days", json!(4000)), "`duration_days`"),
        (with(ab(), "/min_sample_size", json!(0)), "`min_sample_size`"),
        (with(ab(), "/confidence", json!(1)), "`confidence`"),
        (with(ab(), "/confidence", json!(0.1)), "`confidence`"),
        (with(ab(), "/positive_label", json!("")), "`positive_label`"),
        (with(ab(), "/version", json!(2)), "unknown field `version`"),
        (
            with(ab(), "/guard", json!({"outcome": {"at_least": 0.1, "positive_label": "Yes"}})),
            "`guard.outcome.positive_label` of the deployment: the test has another label",
        ),
    ];
    for (plan, part) in cases {
        let error = refused(plan.clone());
        assert!(error.contains(part) && error.contains("\nhint: "), "{plan}\n{error}");
        // Text of a plan cannot end the line that it is cited in.
        assert_eq!(error.lines().count(), 2, "{error}");
    }
}

proptest! {
    /// Whatever stands in a field: it is refused, or makes a plan whose arms share all requests and
    /// which the registry returns as it was.
    #[test]
    fn whatever_is_written_is_a_plan_or_refused(place in 0..PLACES.len(), value in value()) {
        let (pointer, base) = (PLACES[place], [canary(), full(), ab()]);
        for plan in base.into_iter().filter(|plan| parent_exists(plan, pointer)) {
            if let Ok(plan) = Plan::parse(&with(plan, pointer, value.clone())) {
                let stored = plan.to_json();
                prop_assert_eq!(Plan::parse(&stored), Ok(plan.clone()));
                if let Ok(new) = plan.new_deployment(1, "") {
                    let sum: f64 = new.arms.iter().map(|arm| arm.share).sum();
                    prop_assert!((sum - 1.0).abs() < 1e-6, "{:?}", new.arms);
                }
            }
        }
    }
}

proptest! {
    /// A file is read, and its plan judged, or it is refused in one sentence with a hint.
    #[test]
    fn whatever_a_file_holds_is_read_or_refused(text in file(), is_json in any::<bool>()) {
        match parse_file(&text, is_json) {
            Ok(plan) => drop(Plan::parse(&plan)),
            Err(error) => prop_assert_eq!(error.to_string().lines().count(), 2, "{}", error),
        }
    }
}

/// Returns texts that are nearly TOML or JSON.
fn file() -> impl Strategy<Value = String> {
    let words =
        ["[deployment]\n", "[a.b]\n", "key", " = ", "\"x\"", "\n", "{", "}", "[", "]", ",", ":", "1e400", "0xff", "-"];
    prop_oneof![
        "\\PC{0,60}",
        proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..12).prop_map(|words| words.concat())
    ]
}

const PLACES: [&str; 13] = [
    "/version",
    "/shares",
    "/interval",
    "/guard",
    "/guard/max_error_rate",
    "/guard/max_p99",
    "/guard/outcome",
    "/key",
    "/variants/control/traffic_percentage",
    "/variants/treatment/model_version",
    "/metrics/primary",
    "/duration_days",
    "/min_sample_size",
];

fn full() -> Value {
    with(canary(), "/guard", json!({"min_requests": 10}))
}

fn parent_exists(plan: &Value, pointer: &str) -> bool {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    plan.pointer(parent).is_some_and(Value::is_object)
}

/// Returns values of every kind that a plan may hold, or not.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_i64..200).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9]{1,20} ?(ms|s|min|h|d|%)".prop_map(Value::from),
        proptest::collection::vec(0.0..120.0_f64, 0..5).prop_map(Value::from),
        Just(json!({"header": "x"})),
        Just(json!({"at_least": 0.5})),
    ]
}

#[test]
fn a_header_has_one_name_however_it_is_written() {
    let plan = Plan::parse(&with(canary(), "/key", json!({"header": "X-Customer-ID"}))).unwrap();
    assert_eq!(plan.key(), Some(&Key::Header("x-customer-id".to_owned())));
}
