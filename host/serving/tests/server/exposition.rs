//! `/metrics` by a strict reading of the text format of Prometheus, version 0.0.4.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_serving::RequestId;

use crate::bed::Running;

/// A sample: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// A family of metrics: its type and its samples.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: Vec<Sample>,
}

/// Parses an exposition. Each family has help, a type and samples, in this order and in one piece;
/// no sample occurs twice; histograms are complete and cumulative.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'));
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current: Option<(String, bool)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(is_name(name) && !help.is_empty(), "{line}");
            assert!(!families.contains_key(name), "a family in two pieces: {line}");
            current = Some((name.to_owned(), false));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            let (of_help, has_type) = current.as_mut().expect(line);
            assert!(of_help == name && !*has_type, "a type without its help: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            *has_type = true;
            families.insert(name.to_owned(), Family { kind: kind.to_owned(), samples: Vec::new() });
        } else {
            let (name, _) = current.as_ref().filter(|(_, has_type)| *has_type).expect(line);
            let family = families.get_mut(name).expect(line);
            let sample = parse_sample(line);
            let suffix = sample.0.strip_prefix(name.as_str()).unwrap_or_else(|| panic!("a stray sample: {line}"));
            match family.kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                "counter" => assert!(suffix.is_empty() && name.ends_with("_total") && sample.2 >= 0.0, "{line}"),
                _ => assert!(suffix.is_empty(), "{line}"),
            }
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        let keys: BTreeSet<String> =
            family.samples.iter().map(|(name, labels, _)| format!("{name}{labels:?}")).collect();
        assert_eq!(keys.len(), family.samples.len(), "{name} has a sample twice");
        if family.kind == "histogram" {
            check_histogram(name, &family.samples);
        }
    }
    families
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn parse_sample(line: &str) -> Sample {
    let (name, rest) = match line.split_once('{') {
        Some((name, rest)) => (name, rest),
        None => {
            let (name, value) = line.split_once(' ').expect(line);
            assert!(is_name(name), "{line}");
            return (name.to_owned(), BTreeMap::new(), value.parse().expect(line));
        }
    };
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    while !rest.starts_with('}') {
        let (label, after) = rest.split_once("=\"").expect(line);
        assert!(is_name(label), "{line}");
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().expect(line) {
                (end, '"') => break end,
                (_, '\\') => match letters.next().expect(line).1 {
                    'n' => value.push('\n'),
                    letter @ ('\\' | '"') => value.push(letter),
                    _ => panic!("an escape that is none: {line}"),
                },
                (_, letter) => value.push(letter),
            }
        };
        assert!(labels.insert(label.to_owned(), value).is_none(), "a label twice: {line}");
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    let value = rest.strip_prefix("} ").expect(line);
    (name.to_owned(), labels, value.parse().expect(line))
}

/// A histogram with one set of labels.
#[derive(Default)]
struct Histogram {
    /// Bounds, and the values up to each.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    has_sum: bool,
}

fn check_histogram(name: &str, samples: &[Sample]) {
    let mut by_labels: BTreeMap<String, Histogram> = BTreeMap::new();
    for (sample, labels, value) in samples {
        let mut labels = labels.clone();
        let bound = labels.remove("le");
        let entry = by_labels.entry(format!("{labels:?}")).or_default();
        match (sample.strip_prefix(name), bound) {
            (Some("_bucket"), Some(bound)) => entry.buckets.push((bound.parse().expect("a bound"), *value)),
            (Some("_count"), None) => entry.count = Some(*value),
            (Some("_sum"), None) => entry.has_sum = true,
            _ => panic!("{sample} is no part of a histogram"),
        }
    }
    for (labels, Histogram { buckets, count, has_sum }) in by_labels {
        assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{name}{labels}: {buckets:?}");
        let last = buckets.last().expect("buckets");
        assert_eq!((last.0, Some(last.1)), (f64::INFINITY, count), "{name}{labels}");
        assert!(has_sum, "{name}{labels}");
    }
}

/// The sum of a family's samples that have these labels.
fn sum(families: &BTreeMap<String, Family>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let family = families.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    let has = |sample: &Sample| labels.iter().all(|(key, value)| sample.1.get(*key).is_some_and(|own| own == value));
    family.samples.iter().filter(|sample| has(sample)).map(|sample| sample.2).sum()
}

#[test]
fn metrics_are_what_was_asked_in_the_format_of_prometheus() {
    let server = Running::start();
    for _ in 0..5 {
        assert_eq!(server.ask("POST", "/predict", &[], b"[{\"x\": 0.5}, {\"x\": 0.6}]").status, 200);
    }
    server.predict(2.0).expect_error(500, "model_failed");
    assert_eq!(server.ask("POST", "/predict", &[], b"{\"x\": \"a\"}").status, 422);
    let tensor = |value: &str| {
        format!(r#"{{"inputs": [{{"name": "x", "shape": [1], "datatype": "FP64", "data": [{value}]}}]}}"#)
    };
    let infer =
        |headers: &[&str], body: &str| server.ask("POST", "/v2/models/numbers/infer", headers, body.as_bytes()).status;
    assert_eq!(infer(&[], &tensor("0.5")), 200);
    assert_eq!(infer(&[], &tensor("\"a\"")), 400);
    assert_eq!(infer(&[], "{}"), 400);
    assert_eq!(infer(&["Content-Type: text/html"], &tensor("0.5")), 415);
    let invoke = |body: &str| server.ask("POST", "/invocations", &["Content-Type: application/json"], body.as_bytes());
    assert_eq!(invoke(r#"{"instances": [[0.5]]}"#).status, 200);
    assert_eq!(invoke(r#"{"instances": [["a"]]}"#).status, 400);
    let failed = invoke("{}");
    let id = failed.header("x-request-id").expect("an identifier");
    assert_eq!((failed.status, RequestId::parse(id)), (400, Some((3, None))));
    server.ask("GET", "/nowhere", &[], b"").expect_error(404, "not_found");
    let reply = server.ask("GET", "/metrics", &[], b"");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let families = parse(reply.text());
    let version = [("model", "numbers"), ("version", "3")];
    let with = |more: &[(&'static str, &'static str)]| [&version[..], more].concat();
    let sum = |name, labels: &[(&str, &str)]| sum(&families, name, labels);
    assert_eq!(sum("stagewright_requests_total", &with(&[("code", "200"), ("protocol", "native")])), 5.0);
    assert_eq!(sum("stagewright_requests_total", &with(&[("code", "500")])), 1.0);
    assert_eq!(sum("stagewright_requests_total", &with(&[("code", "422")])), 1.0);
    // A request that fails counts for the version that should have answered, in each protocol.
    for (protocol, code, number) in
        [("v2", "200", 1.0), ("v2", "400", 2.0), ("v2", "415", 1.0), ("mlflow", "200", 1.0), ("mlflow", "400", 2.0)]
    {
        let labels = with(&[("protocol", protocol), ("code", code)]);
        assert_eq!(sum("stagewright_requests_total", &labels), number, "{protocol} {code}");
    }
    assert_eq!(sum("stagewright_requests_total", &[("code", "404"), ("model", ""), ("protocol", "other")]), 1.0);
    assert_eq!(sum("stagewright_rows_total", &version), 12.0);
    assert_eq!(sum("stagewright_requests_in_flight", &[]), 1.0);
    assert_eq!(sum("stagewright_model_info", &version), 1.0);
    assert_eq!(sum("stagewright_queue_rows", &version), 0.0);
    assert_eq!(sum("stagewright_session_replacements_total", &with(&[("reason", "fault")])), 1.0);
    assert_eq!(sum("stagewright_sessions", &version), 2.0);
    let of_histogram = |name: &str, part: &str| {
        let samples = families[name].samples.iter().filter(|sample| sample.0 == format!("{name}{part}"));
        samples.filter(|sample| sample.1["model"] == "numbers").map(|sample| sample.2).sum::<f64>()
    };
    assert_eq!(of_histogram("stagewright_request_seconds", "_count"), 14.0);
    assert_eq!(of_histogram("stagewright_gathered_rows", "_sum"), 13.0);
    assert_eq!(of_histogram("stagewright_gathered_rows", "_count"), 8.0);
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(sum(name, &[]) > 0.0, "{name}");
    }
    assert!(families.contains_key("process_cpu_seconds_total"));
}
