//! The counts of the server, for Prometheus.
//!
//! A request takes no lock but that of a histogram and hashes no label: each version has its
//! counters at hand. Sizes that somebody else keeps, such as queues, are read when they are asked
//! for ([`state`]).
//!
//! - `versions`: the metrics of versions, which go some time after their version
//! - `observed`: the prediction log and outcomes
//! - `state`: queues, sessions and origins as they are now
//! - `process`: memory, time and descriptors

pub(crate) mod observed;
pub(crate) mod process;
pub(crate) mod state;
mod versions;

use std::array;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::arm::Arm;
use crate::prediction_log::LogCounts;
use crate::protocol::Protocol;

use observed::Observed;
use versions::{VersionFamilies, VersionLabels};

/// The statuses whose counters are at hand.
const CODES: [u16; 16] = [200, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431, 500, 501, 503, 504];

/// The counters of a version in an arm. Its metrics go some time after this is dropped.
pub struct VersionMetrics {
    labels: VersionLabels,
    versions: Arc<VersionFamilies>,
    requests: [[OnceLock<Counter>; CODES.len()]; Protocol::ALL.len()],
    seconds: Histogram,
    rows: Counter,
}

impl fmt::Debug for VersionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VersionMetrics").field(&self.labels).finish()
    }
}

impl VersionMetrics {
    fn new(versions: &Arc<VersionFamilies>, labels: VersionLabels) -> Self {
        let (seconds, rows) = versions.begin(&labels);
        let requests = array::from_fn(|_| array::from_fn(|_| OnceLock::new()));
        Self { labels, versions: versions.clone(), requests, seconds, rows }
    }

    /// Counts a request that was answered.
    pub(crate) fn observe(&self, protocol: Protocol, code: u16, latency: Duration, rows: u64) {
        let counter = || self.versions.requests(&self.labels, protocol, code);
        match CODES.iter().position(|known| *known == code) {
            Some(place) => self.requests[protocol as usize][place].get_or_init(counter).inc(),
            None => counter().inc(),
        };
        self.seconds.observe(latency.as_secs_f64());
        self.rows.inc_by(rows);
    }
}

impl Drop for VersionMetrics {
    fn drop(&mut self) {
        self.versions.end(&self.labels);
    }
}

/// The counters of a version in each arm, made when they are needed.
#[derive(Debug, Default)]
pub struct ArmMetrics([OnceLock<VersionMetrics>; Arm::ALL.len()]);

impl ArmMetrics {
    /// Returns the counters of an arm.
    pub(crate) fn of(&self, metrics: &Metrics, model: &str, version: u32, arm: Arm) -> &VersionMetrics {
        self.0[arm as usize].get_or_init(|| metrics.version(model, version, arm))
    }
}

/// The counts of a server.
pub struct Metrics {
    registry: Registry,
    versions: Arc<VersionFamilies>,
    in_flight: Gauge,
    unlogged: Counter,
    evicted: Counter,
    /// The counters of requests that no version answered.
    unserved: VersionMetrics,
    observed: Observed,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.registry).finish()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("stagewright");
        let versions = Arc::<VersionFamilies>::default();
        let unserved = VersionMetrics::new(&versions, VersionLabels::default());
        let (in_flight, unlogged, evicted) = (Gauge::default(), Counter::default(), Counter::default());
        registry.register("requests", "Requests that were answered", versions.requests.clone());
        let help = "From the head of a request to its answer, in seconds";
        registry.register("request_seconds", help, versions.seconds.clone());
        registry.register("rows", "Rows that were predicted", versions.rows.clone());
        registry.register("requests_in_flight", "Requests without an answer yet", in_flight.clone());
        let help = "Lines of the access log that were dropped because standard output does not keep up";
        registry.register("access_log_dropped", help, unlogged.clone());
        let help = "Idle connections that were closed to make room for others";
        registry.register("connections_evicted", help, evicted.clone());
        let observed = Observed::default();
        observed.register(&mut registry);
        Self { registry, versions, in_flight, unlogged, evicted, unserved, observed }
    }
}

impl Metrics {
    /// Returns the counters of a version in an arm.
    fn version(&self, model: &str, version: u32, arm: Arm) -> VersionMetrics {
        let arm = arm.name().unwrap_or_default().to_owned();
        let labels = VersionLabels { model: model.to_owned(), version: version.to_string(), arm };
        VersionMetrics::new(&self.versions, labels)
    }

    /// Returns the counters of requests that no version answered.
    pub(crate) fn unserved(&self) -> &VersionMetrics {
        &self.unserved
    }

    /// Counts a request as in flight until the result is dropped.
    pub(crate) fn begin_request(&self) -> InFlight<'_> {
        self.in_flight.inc();
        InFlight(&self.in_flight)
    }

    /// Returns the number of requests that have no answer yet.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Returns the counts of the prediction log and of outcomes.
    pub(crate) fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Returns the counts of a model's prediction log.
    pub fn of_prediction_log(&self, model: &str) -> LogCounts {
        let (rows, dropped) = self.observed.of_log(model);
        LogCounts { rows, dropped }
    }

    /// Returns the counter of lines that the access log dropped.
    pub(crate) fn unlogged(&self) -> &Counter {
        &self.unlogged
    }

    /// Counts idle connections that were closed to make room for others.
    pub(crate) fn count_evicted(&self, connections: u64) {
        self.evicted.inc_by(connections);
    }

    /// Writes everything in the text format of Prometheus.
    pub(crate) fn write(&self, text: &mut String) -> fmt::Result {
        self.versions.forget(Instant::now());
        prometheus_text::encode(text, &self.registry)
    }
}

/// A request that is in flight.
pub(crate) struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_version_protocol_and_status() {
        let metrics = Metrics::default();
        let arms = ArmMetrics::default();
        let observe = |code, rows| {
            let version = arms.of(&metrics, "churn", 3, Arm::Canary);
            version.observe(Protocol::Native, code, Duration::from_micros(300), rows);
        };
        observe(200, 2);
        observe(200, 5);
        observe(418, 0);
        metrics.unserved().observe(Protocol::Other, 404, Duration::from_secs(9), 0);
        let mut text = String::new();
        metrics.write(&mut text).expect("text");
        let labels = "model=\"churn\",version=\"3\",arm=\"canary\"";
        for line in [
            format!("stagewright_requests_total{{{labels},protocol=\"native\",code=\"200\"}} 2"),
            format!("stagewright_requests_total{{{labels},protocol=\"native\",code=\"418\"}} 1"),
            "stagewright_requests_total{model=\"\",version=\"\",arm=\"\",protocol=\"other\",code=\"404\"} 1".to_owned(),
            format!("stagewright_rows_total{{{labels}}} 7"),
            format!("stagewright_request_seconds_count{{{labels}}} 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
    }

    #[test]
    fn a_request_is_in_flight_until_its_guard_is_dropped() {
        let metrics = Metrics::default();
        let request = metrics.begin_request();
        assert_eq!(metrics.in_flight(), 1);
        drop(request);
        assert_eq!(metrics.in_flight(), 0);
    }
}
