//! The state of served versions at the moment: their queues and sessions.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::arm::Arm;
use crate::pool::GATHERED_ROWS;
use crate::served_model::ServedModel;
use crate::served_version::ServedVersion;
use crate::traffic::TallyCounts;

/// The models, and what became of the versions that they should serve.
#[derive(Debug)]
pub(crate) struct ModelStates(pub(crate) Vec<Arc<ServedModel>>);

impl Collector for ModelStates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let statuses: Vec<_> = self.0.iter().map(|model| (model.name.clone(), model.status())).collect();
        let help = "Attempts to serve another version";
        let mut swaps = encoder.encode_descriptor("stagewright_swaps", help, None, MetricType::Counter)?;
        for (model, status) in &statuses {
            for (result, number) in [("swapped", status.swaps), ("refused", status.refusals)] {
                let labels = [("model", model.as_str()), ("result", result)];
                ConstCounter::new(number).encode(swaps.encode_family(&labels)?)?;
            }
        }
        let help = "1 if the source of versions was reached at the last attempt, else 0";
        let mut fresh = encoder.encode_descriptor("stagewright_source_fresh", help, None, MetricType::Gauge)?;
        for (model, status) in &statuses {
            let is_fresh = i64::from(status.origin_failed.is_none());
            ConstGauge::new(is_fresh).encode(fresh.encode_family(&[("model", model.as_str())])?)?;
        }
        Ok(())
    }
}

/// The fate of copies of requests, for the models that have a shadow at the moment.
#[derive(Debug)]
pub(crate) struct ShadowStates(pub(crate) Vec<Arc<ServedModel>>);

impl Collector for ShadowStates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tallies = self.0.iter().filter_map(|model| {
            let live = model.live()?;
            let version = live.arms.last()?.version.clone();
            Some((version, live.tally()?))
        });
        let tallies: Vec<(Arc<ServedVersion>, TallyCounts)> = tallies.collect();
        if tallies.is_empty() {
            return Ok(());
        }
        let mut counter = |name: &str, help: &str, count: fn(&TallyCounts) -> u64| {
            let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (version, tally) in &tallies {
                ConstCounter::new(count(tally)).encode(encoder.encode_family(&labels_of(version))?)?;
            }
            Ok(())
        };
        counter("stagewright_shadow_compared_rows", "Rows that a shadow answered too", |tally| tally.compared)?;
        let help = "Rows to which a shadow gave another label, or another value of a regression";
        counter("stagewright_shadow_different_rows", help, |tally| tally.different)?;
        let help = "Copies of requests that were dropped because the shadow does not keep up";
        counter("stagewright_shadow_dropped", help, |tally| tally.dropped)
    }
}

/// The versions that are served at the moment, each with its arm.
#[derive(Debug)]
pub(crate) struct VersionStates(pub(crate) Vec<(Arc<ServedVersion>, Arm)>);

impl VersionStates {
    /// Encodes a gauge with a value for each version and each state.
    fn gauge<const N: usize>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        values: impl Fn(&ServedVersion, Arm) -> [(Vec<(&'static str, String)>, u64); N],
    ) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (version, arm) in &self.0 {
            for (labels, value) in values(version, *arm) {
                let labels = [labels_of(version), labels].concat();
                ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Collector for VersionStates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        self.gauge(&mut encoder, "stagewright_model_info", "A version that is served", |version, arm| {
            let arm = arm.name().unwrap_or_default().to_owned();
            [(vec![("digest", version.digest.to_string()), ("arm", arm)], 1)]
        })?;
        self.gauge(&mut encoder, "stagewright_queue_rows", "Rows that wait", |version, _| {
            [(Vec::new(), version.pool.waiting_rows() as u64)]
        })?;
        self.gauge(&mut encoder, "stagewright_sessions", "Sessions of a version", |version, _| {
            let ready = version.pool.ready_sessions();
            let missing = version.pool.sessions().saturating_sub(ready);
            [("ready", ready), ("replacing", missing)]
                .map(|(state, sessions)| (vec![("state", state.to_owned())], sessions as u64))
        })?;
        let help = "Sessions that were replaced";
        let mut replaced =
            encoder.encode_descriptor("stagewright_session_replacements", help, None, MetricType::Counter)?;
        for (version, _) in &self.0 {
            let counts = version.pool.counts();
            for (reason, count) in [("fault", &counts.faulted), ("age", &counts.renewed)] {
                let labels = [labels_of(version), vec![("reason", reason.to_owned())]].concat();
                let counter = ConstCounter::new(count.load(Ordering::Relaxed));
                counter.encode(replaced.encode_family(&labels)?)?;
            }
        }
        let help = "Rows that were predicted in one call";
        let mut gathered = encoder.encode_descriptor("stagewright_gathered_rows", help, None, MetricType::Histogram)?;
        for (version, _) in &self.0 {
            let counts = version.pool.counts();
            let of_bucket = counts.gathered.iter().map(|count| count.load(Ordering::Relaxed));
            let bounds = GATHERED_ROWS.iter().map(|bound| *bound as f64).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(of_bucket).collect();
            let calls = buckets.iter().map(|(_, count)| count).sum();
            let rows = counts.asked.load(Ordering::Relaxed) as f64;
            let labels = labels_of(version);
            gathered.encode_family(&labels)?.encode_histogram::<NoLabelSet>(rows, calls, &buckets, None)?;
        }
        Ok(())
    }
}

fn labels_of(version: &ServedVersion) -> Vec<(&'static str, String)> {
    vec![("model", version.model.clone()), ("version", version.version.to_string())]
}
