//! The figures of a server under the same load, several times.

use std::path::Path;

use super::load::{Figures, Wrk};
use super::server::Server;
use crate::bench::process::median;
use crate::steps::Result;

/// The loads of one server.
#[derive(Default)]
pub(super) struct Series {
    figures: Vec<Figures>,
    /// Microseconds of CPU time for a request: of the process that speaks HTTP.
    front_us: Vec<f64>,
    /// The same of its children.
    children_us: Vec<f64>,
}

impl Series {
    /// Puts the server under load once more.
    pub(super) fn add(
        &mut self,
        wrk: &Wrk,
        server: &Server,
        body: &Path,
        connections: u32,
        seconds: u64,
    ) -> Result<()> {
        let before = server.cpu()?;
        let figures = wrk.post(&server.url, body, connections, seconds)?;
        let after = server.cpu()?;
        if figures.failed > 0.0 {
            return Err(format!("{} of {} requests to {} failed", figures.failed, figures.requests, server.url));
        }
        self.front_us.push((after.front - before.front).as_secs_f64() * 1e6 / figures.requests);
        self.children_us.push(after.children.saturating_sub(before.children).as_secs_f64() * 1e6 / figures.requests);
        self.figures.push(figures);
        Ok(())
    }

    fn of(&self, figure: fn(&Figures) -> f64) -> f64 {
        median(self.figures.iter().map(figure).collect())
    }

    /// Returns the median of requests per second.
    pub(super) fn per_second(&self) -> f64 {
        self.of(|it| it.per_second)
    }

    /// Returns a line of a table. `most` is the rate of the ceiling.
    pub(super) fn line(&self, name: &str, most: Option<f64>) -> String {
        let share = most.map_or(String::new(), |most| format!("{:>6.2} of the ceiling", self.per_second() / most));
        format!(
            "  {name:<22} {:>9.0} req/s  p50 {:>8.3} ms  p99 {:>8.3} ms  CPU {:>6.1} us ({:.1} + {:.1}){share}",
            self.per_second(),
            self.of(|it| it.p50_us) / 1e3,
            self.of(|it| it.p99_us) / 1e3,
            median(self.front_us.clone()) + median(self.children_us.clone()),
            median(self.front_us.clone()),
            median(self.children_us.clone()),
        )
    }

    /// Returns the medians as an object of JSON.
    pub(super) fn json(&self) -> String {
        format!(
            "{{\"requests_per_second\":{:.1},\"p50_us\":{:.1},\"p99_us\":{:.1},\"cpu_us\":{:.2},\"children_cpu_us\":{:.2}}}",
            self.per_second(),
            self.of(|it| it.p50_us),
            self.of(|it| it.p99_us),
            median(self.front_us.clone()),
            median(self.children_us.clone()),
        )
    }
}
