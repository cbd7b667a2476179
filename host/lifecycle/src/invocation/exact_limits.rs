//! Limits as integers, so that they are compared exactly. The text form of a manifest rounds.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stagewright_manifest::Limits;

#[derive(Serialize, Deserialize)]
struct Exact {
    memory: u64,
    cpu_ns: u64,
    wall_ns: u64,
    output: u64,
    log: u64,
}

pub(super) fn serialize<S: Serializer>(limits: &Limits, serializer: S) -> Result<S::Ok, S::Error> {
    let Limits { memory, cpu, wall, output, log } = *limits;
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Exact { memory, cpu_ns: nanoseconds(cpu), wall_ns: nanoseconds(wall), output, log }.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
    let Exact { memory, cpu_ns, wall_ns, output, log } = Exact::deserialize(deserializer)?;
    Ok(Limits { memory, cpu: Duration::from_nanos(cpu_ns), wall: Duration::from_nanos(wall_ns), output, log })
}
