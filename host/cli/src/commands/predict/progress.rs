//! The progress of a long prediction, on a terminal.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Shorter predictions show nothing.
const LONG: Duration = Duration::from_secs(1);

/// Shows how many rows were predicted, once it takes long.
pub(super) struct Progress {
    began: Instant,
    is_wanted: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins. Nothing is shown unless it is wanted and standard error is a terminal.
    pub(super) fn new(is_wanted: bool) -> Self {
        Self { began: Instant::now(), is_wanted: is_wanted && std::io::stderr().is_terminal(), bar: None }
    }

    /// Shows the number of rows so far.
    pub(super) fn show(&mut self, rows: u64) {
        if self.is_wanted && self.bar.is_none() && self.began.elapsed() >= LONG {
            let style = ProgressStyle::with_template("{spinner} {human_pos} rows predicted {per_sec} {elapsed}")
                .expect("the template is valid");
            let bar = ProgressBar::new_spinner().with_style(style).with_elapsed(self.began.elapsed());
            bar.enable_steady_tick(Duration::from_millis(100));
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(rows);
        }
    }

    /// Removes what is shown.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
