//! Clocks, medians and results.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// Returns the CPU time of this thread, which other programs hardly influence.
pub fn cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Returns the CPU time of all threads of this process.
pub fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Returns the CPU time of all living children of this process.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn children_cpu() -> Result<Duration> {
    let mut nanoseconds = 0;
    for own in std::fs::read_dir("/proc/self/task")? {
        let children = std::fs::read_to_string(own?.path().join("children"))?;
        for child in children.split_whitespace() {
            for thread in std::fs::read_dir(format!("/proc/{child}/task"))? {
                let figures = std::fs::read_to_string(thread?.path().join("schedstat"))?;
                nanoseconds +=
                    figures.split(' ').next().and_then(|spent| spent.parse::<u64>().ok()).unwrap_or_default();
            }
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Returns the middle value.
///
/// # Panics
///
/// There are no values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Returns the median of the ratio of `one` to `other` in the same round.
pub fn ratio(one: &[f64], other: &[f64]) -> f64 {
    median(one.iter().zip(other).map(|(one, other)| one / other).collect())
}

/// Measures each variant once per round, so that all variants meet the same disturbances. Returns
/// seconds by variant and round. The first round fills caches and is not counted.
///
/// # Errors
///
/// A variant fails.
pub fn interleaved(variants: &mut [&mut dyn FnMut() -> Result<Duration>], rounds: usize) -> Result<Vec<Vec<f64>>> {
    let mut seconds = vec![Vec::with_capacity(rounds); variants.len()];
    for round in 0..=rounds {
        for (variant, seconds) in variants.iter_mut().zip(&mut seconds) {
            let took = variant()?.as_secs_f64();
            if round > 0 {
                seconds.push(took);
            }
        }
    }
    Ok(seconds)
}

/// Writes a result to the file that `STAGEWRIGHT_BENCH_OUTPUT` names, if the variable is set.
///
/// # Errors
///
/// The file cannot be written.
pub fn write_json(result: &serde_json::Value) -> Result<()> {
    if let Some(path) = std::env::var_os("STAGEWRIGHT_BENCH_OUTPUT") {
        std::fs::write(path, format!("{result:#}\n"))?;
    }
    Ok(())
}

/// Reads a number that `cargo xtask bench` passes on.
///
/// # Errors
///
/// The variable is set, but not to a number.
pub fn setting(variable: &str, default: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => Ok(text.parse().map_err(|_| format!("{variable} is no number: {text}"))?),
        Err(_) => Ok(default),
    }
}
