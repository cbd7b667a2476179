//! The cost of a process: elapsed time, CPU time, peak memory.

use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4 as _;

use crate::steps::Result;

/// The cost of one process.
pub(super) struct Cost {
    pub(super) wall_s: f64,
    pub(super) cpu_s: f64,
    pub(super) peak_mib: f64,
    pub(super) stdout: String,
}

impl Cost {
    pub(super) fn wall_ms(&self) -> f64 {
        self.wall_s * 1e3
    }

    pub(super) fn cpu_ms(&self) -> f64 {
        self.cpu_s * 1e3
    }
}

/// The exit code of a run whose candidate was rejected. Such a run costs as much.
const REJECTED: i32 = 4;

/// Runs a process to its end and measures it.
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

/// Returns the median of values, of which there must be at least one.
pub(super) fn median(values: Vec<f64>) -> f64 {
    Spread::of_values(values).median
}

/// The median of several figures, with the quartiles around it.
#[derive(Clone, Copy)]
pub(super) struct Spread {
    median: f64,
    lower_quartile: f64,
    upper_quartile: f64,
}

impl Spread {
    /// Summarises one figure of several runs of a command.
    pub(super) fn of(costs: &[Cost], figure: fn(&Cost) -> f64) -> Self {
        Self::of_values(costs.iter().map(figure).collect())
    }

    /// Summarises values, of which there must be at least one.
    pub(super) fn of_values(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarters: usize| values[(values.len() * quarters / 4).min(values.len() - 1)];
        Self { median: at(2), lower_quartile: at(1), upper_quartile: at(3) }
    }

    pub(super) fn json(self) -> String {
        let Self { median, lower_quartile, upper_quartile } = self;
        format!(
            "{{\"median\":{median:.4},\"lower_quartile\":{lower_quartile:.4},\"upper_quartile\":{upper_quartile:.4}}}"
        )
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, lower_quartile, upper_quartile } = self;
        write!(f, "{median:.2} ({lower_quartile:.2} to {upper_quartile:.2})")
    }
}

/// Returns the number after the first `"key":` of a JSON text.
pub(super) fn number_after(text: &str, key: &str) -> Option<f64> {
    let rest = text.split_once(&format!("\"{key}\":"))?.1.trim_start();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".-e+".contains(c)))?;
    rest[..end].parse().ok()
}

/// Returns the text after the first `"key":` of a JSON text. It must have no escapes.
pub(super) fn text_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = text.split_once(&format!("\"{key}\":"))?.1.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(found, _)| found)
}
