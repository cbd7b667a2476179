//! Counters of the arms of a deployment: requests, errors, rows, latencies.
//!
//! Every server adds what it counted since it last did so. An addition is one statement of SQL per
//! counter, so that servers need not know of each other, and a step of the deployment conflicts
//! with none. Counters are kept by step, because each step is judged by its own.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::database::{Scope, values};
use crate::error::StoreError;
use crate::registry::deployments::error::DeploymentError;
use crate::registry::deployments::record::invalid;
use crate::registry::deployments::steps::numbered;
use crate::registry::handle::Registry;
use crate::registry::ids;

/// The most buckets of latencies of an arm in one addition.
const MAX_BUCKETS: usize = 64;
/// The most additions at once.
const MAX_DELTAS: usize = 1_000;
/// The most that one addition adds to a counter. So no counter overflows in the lifetime of a
/// registry.
const MAX_DELTA: u64 = 1 << 40;

/// Counters of an arm in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArmCounts {
    /// The arm's name.
    pub arm: String,
    /// The step in which the requests were answered.
    pub step: u32,
    /// The number of requests, with those that failed.
    pub requests: u64,
    /// The number of requests that failed through no fault of the client.
    pub errors: u64,
    /// The number of rows in the requests.
    pub rows: u64,
    /// The numbers of answers by their latency, not cumulative: the upper bound of a bucket in
    /// microseconds, and how many answers took no longer than it, and longer than the bound before.
    /// The bound `u64::MAX` stands for none.
    pub latencies: Vec<(u64, u64)>,
}

impl ArmCounts {
    /// Adds the counters of another step, or of another server. Arm and step stay as they are.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.rows += other.rows;
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for (bound, answers) in self.latencies.iter().chain(&other.latencies) {
            *buckets.entry(*bound).or_default() += answers;
        }
        self.latencies = buckets.into_iter().collect();
    }

    /// Returns the share of the requests that failed; `None` if there was no request.
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }

    /// Returns the upper bound, in microseconds, of the bucket that holds a quantile (0.99) of the
    /// latencies: `u64::MAX` if it is longer than the last bound. `None` if there was no answer.
    pub fn latency_quantile_us(&self, quantile: f64) -> Option<u64> {
        let mut buckets = self.latencies.clone();
        buckets.sort_unstable();
        let answers: u64 = buckets.iter().map(|(_, answers)| answers).sum();
        let rank = ((answers as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (bound, answers) in buckets {
            seen += answers;
            if seen >= rank {
                return Some(bound);
            }
        }
        None
    }
}

impl Registry {
    /// Adds to the counters of a deployment's arms, all or nothing. One that has ended takes them
    /// too, since servers add what they counted a while ago.
    ///
    /// # Errors
    /// [`DeploymentError::Invalid`] for an arm that the deployment does not have, a step above the
    /// one that it is at, or too many counters; [`DeploymentError::NotFound`],
    /// [`StoreError::NoModel`] or [`StoreError::ReadOnly`]: nothing was added.
    /// [`StoreError::Database`]: if the connection was lost while the database committed, all was
    /// added, and adding it again counts it twice. A server that must not count a request twice
    /// drops these counters; one that must not miss a request adds them again.
    pub fn add_arm_counts(&self, model: &str, number: u32, deltas: &[ArmCounts]) -> Result<(), StoreError> {
        check(deltas)?;
        if deltas.is_empty() {
            return Ok(());
        }
        // In one order everywhere, so that no two servers wait for each other.
        let mut sorted: Vec<&ArmCounts> = deltas.iter().collect();
        sorted.sort_by(|one, other| (one.step, &one.arm).cmp(&(other.step, &other.arm)));
        self.write("add counters", Scope::Runs, |connection| {
            ids::kept_model(connection, model)?;
            let (id, deployment) = numbered(connection, model, number)?;
            for ArmCounts { arm, step, requests, errors, rows, latencies } in sorted {
                if !deployment.arms.iter().any(|own| own.name == *arm) {
                    let arm = crate::registry::names::shortened(arm);
                    return Err(StoreError::from(invalid(format!("it has no arm `{arm}` to count for"))).into());
                }
                if *step > deployment.step {
                    let at = deployment.step;
                    let problem = format!("it is at step {at}, so that nothing of step {step} can be counted yet");
                    return Err(StoreError::from(invalid(problem)).into());
                }
                let upsert = "INSERT INTO deployment_counters (deployment, step, arm, requests, errors, rows)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (deployment, step, arm) DO UPDATE SET
                    requests = deployment_counters.requests + excluded.requests,
                    errors = deployment_counters.errors + excluded.errors,
                    rows = deployment_counters.rows + excluded.rows";
                connection.execute(upsert, values![id, *step, arm, *requests, *errors, *rows])?;
                let mut buckets = latencies.clone();
                buckets.sort_unstable();
                for (bound, answers) in buckets.into_iter().filter(|(_, answers)| *answers > 0) {
                    let upsert = "INSERT INTO deployment_latencies (deployment, step, arm, bound_us, answers)
                        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (deployment, step, arm, bound_us)
                        DO UPDATE SET answers = deployment_latencies.answers + excluded.answers";
                    connection.execute(upsert, values![id, *step, arm, bound, answers])?;
                }
            }
            Ok(())
        })
    }

    /// Returns the counters of a deployment's arms, by step and arm.
    ///
    /// # Errors
    /// [`DeploymentError::NotFound`], [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn arm_counts(&self, model: &str, number: u32) -> Result<Vec<ArmCounts>, StoreError> {
        self.read("read counters", |connection| {
            let (id, _) = numbered(connection, model, number)?;
            let query = "SELECT step, arm, requests, errors, rows FROM deployment_counters WHERE deployment = ?1";
            let mut counts: BTreeMap<(u32, String), ArmCounts> = BTreeMap::new();
            for row in connection.query(query, values![id])? {
                let (step, arm): (u32, String) = (row.get(0)?, row.get(1)?);
                let (requests, errors, rows) = (row.get(2)?, row.get(3)?, row.get(4)?);
                let own = ArmCounts { arm: arm.clone(), step, requests, errors, rows, latencies: Vec::new() };
                counts.insert((step, arm), own);
            }
            let query = "SELECT step, arm, bound_us, answers FROM deployment_latencies WHERE deployment = ?1
                ORDER BY step, arm, bound_us";
            for row in connection.query(query, values![id])? {
                if let Some(own) = counts.get_mut(&(row.get(0)?, row.get(1)?)) {
                    own.latencies.push((bound(row.get(2)?), row.get(3)?));
                }
            }
            Ok(counts.into_values().collect())
        })
    }
}

/// Returns a bound from the database, whose largest integer stands for none.
fn bound(stored: i64) -> u64 {
    if stored == i64::MAX { u64::MAX } else { stored.max(0).cast_unsigned() }
}

fn check(deltas: &[ArmCounts]) -> Result<(), DeploymentError> {
    if deltas.len() > MAX_DELTAS {
        return Err(invalid(format!("{} additions came at once; send {MAX_DELTAS} at most", deltas.len())));
    }
    for ArmCounts { requests, errors, rows, latencies, .. } in deltas {
        if latencies.len() > MAX_BUCKETS {
            let buckets = latencies.len();
            return Err(invalid(format!("an arm has {buckets} buckets of latencies; use {MAX_BUCKETS} at most")));
        }
        let counted = latencies.iter().map(|(_, answers)| answers).chain([requests, errors, rows]);
        if let Some(large) = counted.into_iter().find(|it| **it > MAX_DELTA) {
            return Err(invalid(format!("{large} cannot be added at once; add at most {MAX_DELTA}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(latencies: &[(u64, u64)]) -> ArmCounts {
        ArmCounts { arm: "canary".into(), latencies: latencies.to_vec(), ..ArmCounts::default() }
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let hundred = counts(&[(1_000, 98), (5_000, 1), (u64::MAX, 1)]);
        assert_eq!(hundred.latency_quantile_us(0.5), Some(1_000));
        assert_eq!(hundred.latency_quantile_us(0.98), Some(1_000));
        assert_eq!(hundred.latency_quantile_us(0.99), Some(5_000));
        assert_eq!(hundred.latency_quantile_us(1.0), Some(u64::MAX));
        assert_eq!(hundred.latency_quantile_us(0.0), Some(1_000));
        assert_eq!(counts(&[]).latency_quantile_us(0.99), None);
        assert_eq!(counts(&[(5_000, 1), (1_000, 1)]).latency_quantile_us(0.5), Some(1_000), "in any order");
    }

    #[test]
    fn counts_of_servers_add_up() {
        let mut sum = ArmCounts { requests: 10, errors: 1, rows: 20, ..counts(&[(1, 9), (2, 1)]) };
        assert_eq!(sum.error_rate(), Some(0.1));
        sum.add(&ArmCounts { requests: 10, errors: 4, rows: 10, ..counts(&[(2, 3), (1, 1), (3, 6)]) });
        let expected = ArmCounts { requests: 20, errors: 5, rows: 30, ..counts(&[(1, 10), (2, 4), (3, 6)]) };
        assert_eq!(sum, expected);
        assert_eq!(sum.error_rate(), Some(0.25));
        assert_eq!(counts(&[]).error_rate(), None);
    }
}
