//! The figures of a shadow in the registry.

use std::time::{Duration, Instant};

use crate::MODEL;
use crate::deployments::{Bed, SOON, predict};

// What became of copies is noted now and then. A server that ends notes the rest.
#[test]
fn a_server_that_ends_loses_no_figure_of_a_shadow() {
    let bed = Bed::new();
    bed.deploy(&["start", MODEL, "--strategy", "shadow", "--version", "2"]);
    bed.until_share(0.0);
    let copies = |number: usize| {
        let began = Instant::now();
        let line = format!("stagewright_shadow_compared_rows_total{{model=\"{MODEL}\",version=\"2\"}} {number}");
        while !bed.server.get("/metrics").text().lines().any(|found| found == line) {
            assert!(began.elapsed() < SOON, "{line}: {}", bed.server.get("/metrics").text());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for number in 1..=20 {
        assert_eq!(predict(&bed.server, "a", &bed.ordinary).status, 200);
        copies(number);
    }
    assert_eq!(bed.server.stop().code, Some(0));
    let status = bed.place.run(&["deploy", "status", MODEL, "--json"]).expect(0).json();
    assert_eq!(status["state"]["compared_rows"], 20, "{status}");
}
