//! Intervals equal MLstatkit's DeLong test to 1e-12, and scipy's bootstrap as closely as other
//! draws allow, on the vectors of `tests/parity/difference_vectors.py`.

use serde::Deserialize;
use stagewright_evaluation::difference::{Labels, Method, difference};

#[derive(Deserialize)]
struct Vectors {
    delong: Vec<Delong>,
    bootstrap: Vec<Bootstrap>,
}

#[derive(Deserialize)]
struct Delong {
    name: String,
    labels: Vec<u8>,
    candidate: Vec<f64>,
    champion: Vec<f64>,
    value: f64,
    low: f64,
    high: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Bootstrap {
    name: String,
    metric: String,
    confidence: f64,
    labels: Vec<u8>,
    candidate: Vec<f64>,
    champion: Vec<f64>,
    value: f64,
    low: f64,
    high: f64,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("difference_vectors.json")).expect("the vectors are valid")
}

#[test]
fn delongs_interval_and_p_equal_an_implementation_in_python() {
    for case in vectors().delong {
        let found =
            difference(Labels::Binary(&case.labels), &case.candidate, &case.champion, "roc_auc", 0.95, &|| false);
        let found = found.expect("good rows").expect("two classes");
        assert_eq!(found.method, Method::Delong);
        let ours = [found.value, found.low, found.high, found.p_value.expect("DeLong has one")];
        for (ours, theirs) in ours.into_iter().zip([case.value, case.low, case.high, case.p]) {
            assert!((ours - theirs).abs() < 1e-12, "{}: {ours} {theirs}", case.name);
        }
    }
}

#[test]
fn the_bootstraps_interval_is_near_scipys() {
    for case in vectors().bootstrap {
        let labels = Labels::Binary(&case.labels);
        let found = difference(labels, &case.candidate, &case.champion, &case.metric, case.confidence, &|| false);
        let found = found.expect("good rows").expect("a metric of the host");
        assert_eq!(found.method, Method::Bootstrap);
        assert!((found.value - case.value).abs() < 1e-12, "{} {}", case.name, case.metric);
        // The ends from 2,000 draws scatter by about 2.5 % of the width, those from 10,000 by half
        // as much.
        let width = case.high - case.low;
        for (ours, theirs) in [(found.low, case.low), (found.high, case.high)] {
            assert!((ours - theirs).abs() < 0.08 * width, "{} {}: {ours} {theirs}", case.name, case.metric);
        }
    }
}
