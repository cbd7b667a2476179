//! The limits of a stage: defaults, bounds and reading.
//!
//! Every limit is always on and finite. The bounds here hold for all manifests; `operator` applies
//! the ceilings of a machine. docs/manifest.md lists these values, and a test compares the two.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::reader::{Item, Section};
use crate::step_id::StepId;
use crate::units::{bytes_text, duration_text};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Below a few Wasm pages nothing starts. Above 64 GiB there is no use: one memory has at most 4
/// GiB.
const MEMORY: RangeInclusive<u64> = MIB..=64 * GIB;
/// Below 1 KiB not even a document fits. Above 1 TiB it is no limit.
const OUTPUT: RangeInclusive<u64> = KIB..=1024 * GIB;
/// Above 1 GiB nobody reads it.
const LOG: RangeInclusive<u64> = KIB..=GIB;
/// Below 10 ms a cold start may exceed it. Above a week it is no limit.
const TIME: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(7 * 24 * 3600);

/// The resources that one stage may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of memory of one instance, summed over its memories.
    #[serde(serialize_with = "size")]
    pub memory: u64,
    /// CPU time of the stage, summed over its instances.
    #[serde(serialize_with = "duration")]
    pub cpu: Duration,
    /// Wall-clock time from start to end.
    #[serde(serialize_with = "duration")]
    pub wall: Duration,
    /// Bytes of all artifacts that the stage writes.
    #[serde(serialize_with = "size")]
    pub output: u64,
    /// Bytes of log lines. Further lines are counted and dropped.
    #[serde(serialize_with = "size")]
    pub log: u64,
}

fn size<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&bytes_text(*bytes))
}

fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(*duration))
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

impl Limits {
    /// Returns the defaults of stages that read a table and write one.
    pub(crate) fn of_tables() -> Self {
        // A million rows of twenty columns take 160 MB and pass in batches of 8 MiB. 1 GiB has room
        // for a stage that keeps them all.
        Self { memory: GIB, cpu: minutes(10), wall: minutes(15), output: 4 * GIB, log: MIB }
    }

    /// Returns the defaults of training, where most of the work is. A trainer may keep the whole
    /// binned table in memory. Models are smaller than tables.
    pub(crate) fn of_learning() -> Self {
        Self { memory: 2 * GIB, cpu: minutes(60), wall: minutes(90), output: GIB, ..Self::of_tables() }
    }

    /// Returns the defaults of validation, which writes findings and figures but no tables.
    pub(crate) fn of_findings() -> Self {
        Self { output: 64 * MIB, ..Self::of_tables() }
    }

    /// Returns the defaults of evaluation, which writes predictions of the test rows, for all
    /// models that are compared.
    pub(crate) fn of_judging() -> Self {
        Self { output: GIB, ..Self::of_tables() }
    }

    /// Returns the defaults of promotion, which compares a few numbers.
    pub(crate) fn of_deciding() -> Self {
        Self { memory: 64 * MIB, cpu: Duration::from_secs(10), wall: minutes(1), output: MIB, ..Self::of_tables() }
    }

    /// Returns the most that a manifest may ask for.
    pub fn greatest() -> Self {
        Self { memory: *MEMORY.end(), cpu: *TIME.end(), wall: *TIME.end(), output: *OUTPUT.end(), log: *LOG.end() }
    }

    /// Returns the smaller value of each limit.
    #[must_use]
    pub fn at_most(&self, ceiling: &Self) -> Self {
        Self {
            memory: self.memory.min(ceiling.memory),
            cpu: self.cpu.min(ceiling.cpu),
            wall: self.wall.min(ceiling.wall),
            output: self.output.min(ceiling.output),
            log: self.log.min(ceiling.log),
        }
    }

    /// Reads a stage's `limits`. A limit that is absent or wrong keeps its value.
    pub(crate) fn read(self, section: Section<'_>) -> Self {
        let limits = self.read_keys(&section);
        section.finish();
        limits
    }

    /// Replaces the limits that a section sets.
    pub(crate) fn read_keys(mut self, section: &Section<'_>) -> Self {
        for (name, bounds, slot) in
            [("memory", MEMORY, &mut self.memory), ("output", OUTPUT, &mut self.output), ("log", LOG, &mut self.log)]
        {
            let within = |item: Item<'_>| within(&item, item.bytes()?, &bounds, bytes_text);
            if let Some(bytes) = section.get(name).and_then(within) {
                *slot = bytes;
            }
        }
        for (name, slot) in [("cpu", &mut self.cpu), ("wall", &mut self.wall)] {
            let within = |item: Item<'_>| within(&item, item.duration()?, &TIME, duration_text);
            if let Some(duration) = section.get(name).and_then(within) {
                *slot = duration;
            }
        }
        self
    }
}

/// The resources that a stage used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceUsage {
    /// The largest memory of one instance, in bytes.
    pub memory: u64,
    /// CPU time of all instances.
    pub cpu: Duration,
    /// Wall-clock time.
    pub wall: Duration,
    /// Bytes of artifacts.
    pub output: u64,
    /// Bytes of log lines.
    pub log: u64,
}

impl Limits {
    /// Returns limits with room above what was used: twice the bytes, since tables grow, and three
    /// times the time, since machines differ and are shared. They are rounded up to plain figures,
    /// and are never so small that a cold start exceeds them.
    pub fn suggested(usage: &ResourceUsage) -> Self {
        let bytes = |used: u64, least: u64, most: u64| (2 * used.min(most)).max(least).next_power_of_two().min(most);
        let time = |used: Duration, least: u64| {
            let seconds = (3 * used.min(*TIME.end()).as_millis()).div_ceil(1000) as u64;
            let step = if seconds < 60 { 1 } else { 60 };
            Duration::from_secs(seconds.max(least).div_ceil(step) * step).min(*TIME.end())
        };
        Self {
            memory: bytes(usage.memory, 16 * MIB, *MEMORY.end()),
            cpu: time(usage.cpu, 5),
            wall: time(usage.wall, 15),
            output: bytes(usage.output, MIB, *OUTPUT.end()),
            log: bytes(usage.log, 64 * KIB, *LOG.end()),
        }
    }

    /// Returns the section of a pipeline file that sets these limits for a stage.
    pub fn to_toml(&self, stage: &StepId) -> String {
        let Self { memory, cpu, wall, output, log } = self;
        format!(
            "[stages.{stage}.limits]\nmemory = \"{}\"\ncpu = \"{}\"\nwall = \"{}\"\noutput = \"{}\"\nlog = \"{}\"\n",
            bytes_text(*memory),
            duration_text(*cpu),
            duration_text(*wall),
            bytes_text(*output),
            bytes_text(*log)
        )
    }
}

fn within<T: Copy + PartialOrd>(
    item: &Item<'_>,
    amount: T,
    bounds: &RangeInclusive<T>,
    text: impl Fn(T) -> String,
) -> Option<T> {
    if bounds.contains(&amount) {
        return Some(amount);
    }
    let hint = format!("choose from `{}` to `{}`", text(*bounds.start()), text(*bounds.end()));
    item.report_value(format!("`{}` is out of range: `{}`", item.key, text(amount)), Some(hint));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn suggestions_leave_room_and_are_round() {
        let used = ResourceUsage {
            memory: 90 * MIB,
            cpu: Duration::from_millis(2345),
            wall: Duration::from_secs(40),
            output: 3 * MIB,
            log: 10,
        };
        let limits = Limits::suggested(&used);
        let text = limits.to_toml(&World::Training.into());
        for line in
            ["memory = \"256 MiB\"", "cpu = \"8 s\"", "wall = \"2 min\"", "output = \"8 MiB\"", "log = \"64 KiB\""]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn suggestions_are_limits_that_a_manifest_takes() {
        let most = ResourceUsage {
            memory: u64::MAX / 4,
            cpu: Duration::MAX / 4,
            wall: Duration::MAX / 4,
            output: u64::MAX / 4,
            log: u64::MAX / 4,
        };
        assert_eq!(Limits::suggested(&most), Limits::greatest());
    }
}
