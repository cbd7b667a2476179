//! Pages of runs that take a bounded amount of memory, however much was logged to each run.

use crate::database::{Connection, Outcome};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::runs::Run;
use crate::registry::search::{self, ViewType};
use crate::registry::search_query::Page;
use crate::search::{Filter, OrderBy};

/// The runs that are read first. Their size says how many are read next.
const FIRST: usize = 16;
/// The most runs that are read at once.
const MOST_AT_ONCE: usize = 500;
/// The bytes of a row beside its texts.
const ROW_BYTES: usize = 64;

/// Runs of a page: all of it, or those that fit.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPage {
    /// The runs, in order.
    pub runs: Vec<Run>,
    /// Whether runs are left out for their size. The next page begins with them.
    pub is_cut: bool,
}

impl Registry {
    /// As [`Registry::search_runs_in`], but no run is added once those before it take more than
    /// `most_bytes`. There is at least one, if any is found.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn search_runs_within(
        &self,
        most_bytes: usize,
        experiments: &[i64],
        (filter, order, view): (&Filter, &OrderBy, ViewType),
        page: Page,
    ) -> Result<RunPage, StoreError> {
        if experiments.is_empty() {
            return Ok(RunPage { runs: Vec::new(), is_cut: false });
        }
        self.read("search runs", |connection| {
            let numbers = search::run_numbers(connection, Some(experiments), filter, order, view, page)?;
            within(connection, &numbers, most_bytes)
        })
    }
}

/// Returns the first of the runs with these row ids, as many as fit.
fn within(connection: &mut Connection, numbers: &[i64], most_bytes: usize) -> Outcome<RunPage> {
    let (mut runs, mut bytes, mut at_once) = (Vec::with_capacity(numbers.len().min(MOST_AT_ONCE)), 0, FIRST);
    let mut left = numbers;
    while !left.is_empty() && (runs.is_empty() || bytes <= most_bytes) {
        let (piece, rest) = left.split_at(at_once.min(left.len()));
        for run in Registry::runs_numbered(connection, piece)? {
            // The first one beyond the bound is the last, as the first of all is in any case.
            if runs.is_empty() || bytes <= most_bytes {
                bytes += size(&run);
                runs.push(run);
            }
        }
        left = rest;
        // As many as would fit into what is left, if the others are as large as these.
        let each = (bytes / runs.len()).max(1);
        at_once = (most_bytes.saturating_sub(bytes) / each).clamp(1, MOST_AT_ONCE);
    }
    let is_cut = runs.len() < numbers.len();
    Ok(RunPage { runs, is_cut })
}

/// Returns about how many bytes a run takes.
fn size(run: &Run) -> usize {
    let pairs = run.parameters.iter().chain(&run.tags);
    let texts: usize = pairs.map(|(name, value)| name.len() + value.len() + ROW_BYTES).sum();
    let metrics: usize = run.metrics.iter().map(|metric| metric.name.len() + ROW_BYTES).sum();
    let configuration = if run.config.is_null() { 0 } else { run.config.to_string().len() };
    texts + metrics + run.manifest.len() + configuration + ROW_BYTES
}
