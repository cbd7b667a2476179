//! Load, by the generator wrk.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::bench::process::number_after;
use crate::steps::{Result, run};
use crate::workspace;

/// The content type of all bodies.
const JSON: &str = "application/json";

/// Longer than any measurement: such a load is ended by a signal.
const UNTIL_ENDED: u64 = 24 * 3600;

/// The generator of load.
pub(super) struct Wrk {
    script: PathBuf,
}

/// The figures of a load.
#[derive(Clone, Copy)]
pub(super) struct Figures {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// Requests that got no answer, or another one than 2xx.
    pub(super) failed: f64,
}

/// A load that goes on until it is ended.
pub(super) struct Running(Child);

impl Wrk {
    /// Finds the generator.
    pub(super) fn find() -> Result<Self> {
        // It prints its usage and fails without a URL; what matters is that it starts.
        let found = Command::new("wrk").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.map_err(|error| {
            format!(
                "the load generator wrk does not start ({error})\nhint: `apt-get install wrk` or `brew install wrk`"
            )
        })?;
        Ok(Self { script: workspace::root().join("tests/benchmarks/load.lua") })
    }

    /// Posts a body over so many connections for a time. Each connection sends its next request
    /// when the answer to the one before has come.
    pub(super) fn post(&self, url: &str, body: &Path, connections: u32, seconds: u64) -> Result<Figures> {
        self.start(url, body, connections, seconds)?.finish()
    }

    /// Starts a load that goes on until it is ended.
    pub(super) fn begin(&self, url: &str, body: &Path, connections: u32) -> Result<Running> {
        self.start(url, body, connections, UNTIL_ENDED)
    }

    fn start(&self, url: &str, body: &Path, connections: u32, seconds: u64) -> Result<Running> {
        let mut command = Command::new("wrk");
        // One thread is enough for what a server on the same processors can answer.
        command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "30s"]);
        command.arg("-s").arg(&self.script).arg(format!("{url}/predict")).arg("--").arg(body).arg(JSON);
        let child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start wrk: {error}"))?;
        Ok(Running(child))
    }
}

impl Running {
    /// Ends the load, and returns its figures.
    pub(super) fn end(self) -> Result<Figures> {
        run(Command::new("kill").args(["-INT", &self.0.id().to_string()]))?;
        self.finish()
    }

    fn finish(self) -> Result<Figures> {
        let output = self.0.wait_with_output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("figures "));
        let line = line.ok_or_else(|| format!("wrk ended with {} and printed no figures:\n{text}", output.status))?;
        let number = |key| number_after(line, key).ok_or_else(|| format!("wrk printed no `{key}`: {line}"));
        let (requests, failed) = (number("requests")?, number("failed")?);
        if requests == 0.0 {
            return Err(format!("no request was answered: {line}"));
        }
        Ok(Figures {
            requests,
            per_second: requests / number("seconds")?,
            p50_us: number("p50_us")?,
            p99_us: number("p99_us")?,
            failed,
        })
    }
}
