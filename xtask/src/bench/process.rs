//! What a process costs: wall time, CPU time, peak memory.

use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4 as _;

use crate::steps::Result;

/// What one process cost.
pub(super) struct Cost {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) peak_mib: f64,
    pub(super) stdout: String,
}

/// The exit code of a run whose candidate was rejected, which costs as much.
const REJECTED: i32 = 4;

/// Runs a process to its end.
pub(super) fn measure(command: &mut Command) -> Result<Cost> {
    let shown = format!("{command:?}");
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start {shown}: {error}"))?;
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        std::io::Read::read_to_string(&mut pipe, &mut stdout).map_err(|error| error.to_string())?;
    }
    let used = child.wait4().map_err(|error| error.to_string())?;
    let wall_s = start.elapsed().as_secs_f64();
    if !used.status.success() && used.status.code() != Some(REJECTED) {
        return Err(format!("{shown} ended with {}\n{stdout}", used.status));
    }
    Ok(Cost {
        wall_s,
        cpu_s: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_mib: used.rusage.maxrss as f64 / f64::from(1 << 20),
        stdout,
    })
}

/// Medians of several runs of the same command.
pub(super) struct Medians {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) peak_mib: f64,
}

impl Medians {
    pub(super) fn of(costs: &[Cost]) -> Self {
        let of = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure).collect());
        Self { wall_s: of(|cost| cost.wall_s), cpu_s: of(|cost| cost.cpu_s), peak_mib: of(|cost| cost.peak_mib) }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The number behind the first `"key":` of a JSON text.
pub(super) fn number_after(text: &str, key: &str) -> Option<f64> {
    let rest = text.split_once(&format!("\"{key}\":"))?.1.trim_start();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".-e+".contains(c)))?;
    rest[..end].parse().ok()
}
