//! Requests, errors and latencies of an arm, until the registry has them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stagewright_store::ArmCounts;

/// The first digits of the bounds of latencies in each decade: the series R10 of ISO 3.
const DIGITS: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];

/// The shortest and the longest bound of latencies, in microseconds.
const RANGE: std::ops::RangeInclusive<u64> = 50..=10_000_000;

/// The counts of an arm in a step.
#[derive(Debug)]
pub(crate) struct Counter {
    deployment: u32,
    step: u32,
    arm: String,
    requests: AtomicU64,
    errors: AtomicU64,
    rows: AtomicU64,
    /// The upper bound of each bucket in microseconds, and its answers. The last has no bound.
    latencies: Box<[(u64, AtomicU64)]>,
}

impl Counter {
    /// Counts a request that an arm answered or failed.
    pub(crate) fn observe(&self, latency: Duration, rows: u64, is_error: bool) {
        self.observe_latency(latency);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if is_error {
            // After the request, so that there are never more errors than requests.
            self.errors.fetch_add(1, Ordering::Release);
        }
    }

    /// Counts the time that a client waited before it hung up. That is no failure, since clients
    /// hang up for reasons of their own; but a version that answers too late to be waited for must
    /// not look like one that nobody asks.
    pub(crate) fn observe_given_up(&self, waited: Duration) {
        self.observe_latency(waited);
    }

    fn observe_latency(&self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.latencies.partition_point(|(bound, _)| *bound < microseconds);
        self.latencies[bucket].1.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused for its values. It took no time of the model.
    pub(crate) fn observe_refused(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what was counted since this was called last.
    fn take(&self) -> ArmCounts {
        let errors = self.errors.swap(0, Ordering::Acquire);
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let latencies = self.latencies.iter().map(|(bound, answers)| (*bound, take(answers)));
        ArmCounts {
            arm: self.arm.clone(),
            step: self.step,
            requests: take(&self.requests),
            errors,
            rows: take(&self.rows),
            latencies: latencies.filter(|(_, answers)| *answers > 0).collect(),
        }
    }
}

/// The counters of a model: of the present step of its deployment, and of steps before, as long as
/// requests of them are under way.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Arc<Counter>>>);

impl Ledger {
    /// Returns the counter of an arm in a step. `exact` is a latency that bounds a bucket of its
    /// own, so that it is known how many answers took longer.
    pub(crate) fn counter(&self, deployment: u32, step: u32, arm: &str, exact: Option<Duration>) -> Arc<Counter> {
        let mut counters = self.counters();
        let is_asked = |it: &&Arc<Counter>| it.deployment == deployment && it.step == step && it.arm == arm;
        if let Some(known) = counters.iter().find(is_asked) {
            return known.clone();
        }
        let latencies = bounds(exact).into_iter().map(|bound| (bound, AtomicU64::new(0)));
        let (requests, errors, rows) = Default::default();
        let arm = arm.to_owned();
        let counter = Counter { deployment, step, arm, requests, errors, rows, latencies: latencies.collect() };
        let counter = Arc::new(counter);
        counters.push(counter.clone());
        counter
    }

    /// Takes what was counted since this was called last, by the number of the deployment.
    /// Counters that nobody uses are forgotten.
    pub(crate) fn take(&self) -> BTreeMap<u32, Vec<ArmCounts>> {
        let mut taken: BTreeMap<u32, Vec<ArmCounts>> = BTreeMap::new();
        self.counters().retain(|counter| {
            // Looked at first: whoever drops it later has counted by then, or is seen next time.
            let is_used = Arc::strong_count(counter) > 1;
            let counts = counter.take();
            if counts.requests > 0 || !counts.latencies.is_empty() {
                taken.entry(counter.deployment).or_default().push(counts);
            }
            is_used
        });
        taken
    }

    fn counters(&self) -> MutexGuard<'_, Vec<Arc<Counter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the upper bounds of the buckets, in microseconds.
fn bounds(exact: Option<Duration>) -> Vec<u64> {
    let decades = (0..6).map(|power| 10_u64.pow(power));
    let ladder = decades.flat_map(|decade| DIGITS.map(|digits| digits * decade / 10)).filter(|it| RANGE.contains(it));
    let exact = exact.map(|it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX));
    let mut bounds: Vec<u64> = ladder.chain([*RANGE.end(), u64::MAX]).chain(exact).collect();
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_few_and_rise_and_have_the_exact_one() {
        let all = bounds(Some(Duration::from_millis(45)));
        assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");
        assert!(all.len() <= 64 && all.contains(&45_000), "{all:?}");
        assert_eq!((all[0], all[1], all[all.len() - 2], all[all.len() - 1]), (50, 63, 10_000_000, u64::MAX));
        let steps = bounds(None);
        assert!(steps.windows(2).rev().skip(1).all(|pair| pair[1] * 10 <= pair[0] * 13), "{steps:?}");
        assert_eq!(bounds(Some(Duration::from_millis(50))).len(), steps.len(), "50 ms is one of them already");
    }

    #[test]
    fn everything_that_was_counted_is_taken_once() {
        let ledger = Ledger::default();
        let exact = Some(Duration::from_millis(45));
        let first = ledger.counter(3, 0, "canary", exact);
        first.observe(Duration::from_micros(45_000), 2, false);
        first.observe(Duration::from_micros(45_001), 1, true);
        first.observe_refused();
        assert!(Arc::ptr_eq(&first, &ledger.counter(3, 0, "canary", exact)), "one counter for a step");
        let second = ledger.counter(3, 1, "canary", exact);
        second.observe(Duration::from_secs(60), 1, false);
        let taken = ledger.take();
        let [one, two] = &taken[&3][..] else { panic!("{taken:?}") };
        assert_eq!((taken.len(), one.step, one.requests, one.errors, one.rows), (1, 0, 3, 1, 3));
        assert_eq!(one.latencies, [(45_000, 1), (50_000, 1)]);
        assert_eq!((two.step, &two.latencies[..]), (1, &[(u64::MAX, 1)][..]));
        assert!(ledger.take().is_empty());
        // A request of the step before ends late.
        first.observe(Duration::from_micros(1), 1, false);
        drop(first);
        assert_eq!(ledger.take()[&3][0].latencies, [(50, 1)]);
        assert_eq!(ledger.counters().len(), 1, "the step before is forgotten");
    }
}
