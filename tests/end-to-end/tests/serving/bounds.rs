//! Canaries that break a bound, by the built program.

use std::time::Instant;

use serde_json::json;

use crate::deployments::{Bed, SOON, arm, predict};

// invariant: A canary that breaks a bound is aborted by the server, with the reason in the audit,
// and the champion answers everything again.
#[test]
fn a_canary_that_fails_is_given_up_by_the_server() {
    let bed = Bed::new();
    let plan = json!({
        "strategy": "canary", "version": 3, "shares": [50, 100], "reason": "a test",
        "guard": { "min_requests": 20, "max_error_rate": "10 %" },
    });
    let started = bed.operate("", &plan);
    assert_eq!((started.status, &started.json()["status"]), (201, &json!("active")), "{}", started.text());
    bed.until_share(0.5);
    let (began, mut key, mut failed) = (Instant::now(), 0, 0);
    while bed.status()["status"] == "active" {
        assert!(began.elapsed() < SOON, "{}", bed.status());
        for _ in 0..10 {
            key += 1;
            let reply = predict(&bed.server, &key.to_string(), &bed.outlier);
            match (reply.status, arm(&reply).as_str()) {
                (200, "v1.control" | "v1") => {}
                (500, "v3.canary") => failed += 1,
                other => panic!("{other:?}: {}", reply.text()),
            }
        }
    }
    assert!(failed >= 10, "{failed}");
    let ended = bed.until_ended("aborted");
    for key in 0..40 {
        let reply = predict(&bed.server, &key.to_string(), &bed.outlier);
        assert_eq!((reply.status, arm(&reply).as_str()), (200, "v1"), "{}", reply.text());
    }
    let reasons = bed.audit("deployment.aborted");
    assert_eq!(reasons.len(), 1);
    assert_eq!(ended["end_reason"], reasons[0].as_str());
    assert!(reasons[0].contains("10 %"), "{reasons:?}");
    assert_eq!(bed.server.stop().code, Some(0));
}

// invariant: as `a_canary_that_fails_is_given_up_by_the_server`
#[test]
fn a_canary_that_is_slow_is_given_up_by_the_server() {
    let bed = Bed::new();
    // So many rows take longer than the shortest bound on every machine.
    let text = std::fs::read_to_string(bed.place.path().join("customers.csv")).expect("customers");
    let (head, rows) = text.split_once('\n').expect("a header");
    let rows: Vec<&str> = rows.lines().cycle().take(4000).collect();
    let body = format!("{head}\n{}\n", rows.join("\n")).into_bytes();
    let plan = json!({
        "strategy": "canary", "version": 2, "shares": [50, 100], "reason": "a test",
        "guard": { "min_requests": 10, "max_p99": "1 ms" },
    });
    assert_eq!(bed.operate("", &plan).status, 201);
    bed.until_share(0.5);
    let (began, mut tried) = (Instant::now(), 0);
    for key in 0.. {
        if bed.status()["status"] != "active" {
            break;
        }
        assert!(began.elapsed() < SOON, "{}", bed.status());
        let reply = predict(&bed.server, &key.to_string(), &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        tried += usize::from(arm(&reply) == "v2.canary");
    }
    assert!(tried >= 10, "it was judged by {tried} requests");
    let ended = bed.until_ended("aborted");
    let reason = ended["end_reason"].as_str().expect("a reason");
    assert!(reason.contains("p99") && reason.contains("1 ms"), "{reason}");
    assert_eq!(bed.audit("deployment.aborted"), [reason]);
    let after = predict(&bed.server, "1", &bed.ordinary);
    assert_eq!((after.status, arm(&after).as_str()), (200, "v1"), "{}", after.text());
    assert_eq!(bed.server.stop().code, Some(0));
}
