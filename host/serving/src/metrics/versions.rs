//! The metrics of versions by their labels, which are forgotten some time after their version.
//!
//! A server runs for years and sees a new version with every promotion. Whoever collects metrics
//! has to see the last counts of a version, so these stay for a while, and then go.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::protocol::Protocol;

/// The upper bounds of the histogram of latencies, in seconds.
const SECONDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// How long the metrics of a version stay that answers no more: many times the interval at which
/// they are collected, as a rule.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);

/// The most versions that answer no more whose metrics stay. The first to end go first.
const MOST_KEPT: usize = 100;

/// The labels of a version's metrics. Requests that no version answered have empty ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VersionLabels {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) arm: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    model: String,
    version: String,
    arm: String,
    protocol: &'static str,
    code: u32,
}

impl RequestLabels {
    fn of(labels: &VersionLabels, (protocol, code): Answered) -> Self {
        let VersionLabels { model, version, arm } = labels.clone();
        Self { model, version, arm, protocol, code: code.into() }
    }
}

/// A protocol and a status that requests were answered with.
type Answered = (&'static str, u16);

/// The metrics of all versions.
pub(super) struct VersionFamilies {
    pub(super) requests: Requests,
    pub(super) seconds: Seconds,
    pub(super) rows: Rows,
    known: Mutex<HashMap<VersionLabels, Known>>,
}

type Requests = Family<RequestLabels, Counter>;
type Seconds = Family<VersionLabels, Histogram, fn() -> Histogram>;
type Rows = Family<VersionLabels, Counter>;

/// The use of labels.
#[derive(Default)]
struct Known {
    /// How many use them. A version that is loaded again has the labels that it had before.
    users: usize,
    /// When the last user ended.
    ended: Option<Instant>,
    /// The counters of requests under these labels.
    answered: HashSet<Answered>,
}

impl Default for VersionFamilies {
    fn default() -> Self {
        let seconds = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        Self { requests: Family::default(), seconds, rows: Family::default(), known: Mutex::default() }
    }
}

impl VersionFamilies {
    /// Returns the latencies and the rows of a version, and keeps its metrics until
    /// [`VersionFamilies::end`].
    pub(super) fn begin(&self, labels: &VersionLabels) -> (Histogram, Counter) {
        let mut all = self.known();
        let known = all.entry(labels.clone()).or_default();
        known.users += 1;
        known.ended = None;
        // Made before another thread can forget the labels.
        (self.seconds.get_or_create_owned(labels), self.rows.get_or_create_owned(labels))
    }

    /// Returns the counter of requests that a version answered over a protocol with a status.
    pub(super) fn requests(&self, labels: &VersionLabels, protocol: Protocol, code: u16) -> Counter {
        let answered = (protocol.name(), code);
        if let Some(known) = self.known().get_mut(labels) {
            known.answered.insert(answered);
        }
        self.requests.get_or_create_owned(&RequestLabels::of(labels, answered))
    }

    /// Lets the metrics of a version go, later.
    pub(super) fn end(&self, labels: &VersionLabels) {
        let now = Instant::now();
        if let Some(known) = self.known().get_mut(labels) {
            known.users = known.users.saturating_sub(1);
            known.ended = (known.users == 0).then_some(now);
        }
        self.forget(now);
    }

    /// Forgets metrics whose versions have ended long ago, or long before others.
    pub(super) fn forget(&self, now: Instant) {
        let mut all = self.known();
        let mut ended: Vec<(Instant, VersionLabels)> =
            all.iter().filter_map(|(labels, known)| Some((known.ended?, labels.clone()))).collect();
        ended.sort_unstable_by_key(|(ended, _)| *ended);
        let surplus = ended.len().saturating_sub(MOST_KEPT);
        let is_over = |ended: Instant| now.saturating_duration_since(ended) > KEPT_FOR;
        for (place, (ended, labels)) in ended.into_iter().enumerate() {
            if place >= surplus && !is_over(ended) {
                return;
            }
            let known = all.remove(&labels).unwrap_or_default();
            for answered in known.answered {
                self.requests.remove(&RequestLabels::of(&labels, answered));
            }
            self.seconds.remove(&labels);
            self.rows.remove(&labels);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<VersionLabels, Known>> {
        // Each critical section leaves the map consistent.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::Arm;
    use crate::metrics::{ArmMetrics, Metrics};

    /// A version that answers as long as this is not dropped.
    fn serve(metrics: &Metrics, version: u32, codes: &[u16]) -> ArmMetrics {
        let arms = ArmMetrics::default();
        for code in codes {
            arms.of(metrics, "churn", version, Arm::Only).observe(Protocol::Native, *code, Duration::ZERO, 1);
        }
        arms
    }

    fn text(metrics: &Metrics) -> String {
        let mut text = String::new();
        metrics.write(&mut text).expect("text");
        text
    }

    fn has(metrics: &Metrics, version: u32) -> bool {
        text(metrics).contains(&format!("version=\"{version}\""))
    }

    // invariant: The metrics of a server do not grow with the promotions that it has seen.
    #[test]
    fn thousands_of_versions_leave_no_more_than_a_number_of_metrics() {
        let metrics = Metrics::default();
        let first = serve(&metrics, 0, &[200]);
        let versions = |metrics: &Metrics| {
            let text = text(metrics);
            text.lines().filter(|line| line.starts_with("stagewright_rows_total{model=\"churn\"")).count()
        };
        let mut lines = 0;
        for version in 1..=2000 {
            drop(serve(&metrics, version, &[200, 418, 500]));
            if version as usize == MOST_KEPT {
                lines = text(&metrics).lines().count();
            }
        }
        assert_eq!((versions(&metrics), text(&metrics).lines().count()), (MOST_KEPT + 1, lines));
        assert!(has(&metrics, 0), "it answers still");
        assert!(has(&metrics, 2000) && !has(&metrics, 1900), "the first to end went first");
        drop(first);
    }

    #[test]
    fn metrics_of_a_version_go_some_time_after_it() {
        let metrics = Metrics::default();
        let (one, two) = (serve(&metrics, 1, &[200, 418]), serve(&metrics, 2, &[200]));
        drop(one);
        let now = Instant::now();
        let after = |time| metrics.versions.forget(now + time);
        after(KEPT_FOR - Duration::from_secs(60));
        assert!(has(&metrics, 1) && has(&metrics, 2), "whoever collects metrics has not seen them yet");
        // It answers again, and goes on counting.
        let again = serve(&metrics, 1, &[200]);
        after(2 * KEPT_FOR);
        let counted = |version, code, number| {
            let labels = format!("model=\"churn\",version=\"{version}\",arm=\"\",protocol=\"native\",code=\"{code}\"");
            let line = format!("stagewright_requests_total{{{labels}}} {number}");
            text(&metrics).lines().any(|found| found == line)
        };
        assert!(counted(1, 200, 2) && counted(1, 418, 1) && counted(2, 200, 1));
        // Two of one version, as while it is loaded anew: the last of them counts.
        let twice = serve(&metrics, 1, &[200]);
        drop(again);
        after(2 * KEPT_FOR);
        assert!(counted(1, 200, 3));
        drop(twice);
        after(2 * KEPT_FOR);
        assert!(!has(&metrics, 1) && has(&metrics, 2));
        drop(two);
        after(2 * KEPT_FOR);
        assert!(!text(&metrics).contains("churn"));
        // A version that comes back later begins at 0.
        let _back = serve(&metrics, 1, &[418]);
        assert!(counted(1, 418, 1) && !text(&metrics).contains("code=\"200\""));
    }
}
