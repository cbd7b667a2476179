//! Memory, time and descriptors of the process, as `/proc` has them.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Ticks of the kernel's clock in a second, as `/proc` counts them: the same on every machine that
/// Rust supports.
const TICKS: f64 = 100.0;

/// Reads `/proc` when it is asked. What cannot be read is left out.
#[derive(Debug)]
pub(crate) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(encoder)
        };
        gauge("process_resident_memory_bytes", "Resident memory of the server, without its models", resident())?;
        gauge("process_open_fds", "Open file descriptors", open_descriptors())?;
        let times = Times::read();
        let start = times.as_ref().and_then(|times| Some(times.start + boot_time()?));
        gauge("process_start_time_seconds", "Start of the process, in seconds since 1970", start)?;
        if let Some(times) = times {
            let help = "CPU time of the server, without its models";
            let encoder = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(times.cpu).encode(encoder)?;
        }
        Ok(())
    }
}

/// Times of the process in seconds.
struct Times {
    cpu: f64,
    /// Since the machine started.
    start: f64,
}

impl Times {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program is in parentheses and may contain anything.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
        Some(Self { cpu: (ticks(11)? + ticks(12)?) / TICKS, start: ticks(19)? / TICKS })
    }
}

/// Returns the time at which the machine started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Returns the resident memory in bytes.
fn resident() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_descriptors() -> Option<f64> {
    // The one that reads the folder is not counted.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_process_has_started_uses_memory_and_has_files_open() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let started = Times::read().expect("times").start + boot_time().expect("a time");
        assert!(started <= now + 2.0 && started > now - 3600.0, "started at {started}, and now is {now}");
        assert!(resident().expect("memory") > 1e6);
        let before = open_descriptors().expect("a number");
        let file = fs::File::open("/proc/self/stat").expect("a file");
        assert!(open_descriptors().expect("a number") >= before + 1.0);
        drop(file);
    }
}
