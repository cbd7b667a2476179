//! The counts and remarks of an import.

use serde::Serialize;
use stagewright_text::Untrusted;

/// The most remarks that are kept of a kind; more are counted.
const MOST_REMARKS: usize = 1_000;

/// The records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Those that this import added.
    pub added: u64,
    /// Those that were here and got something new.
    pub updated: u64,
    /// Those that were here, unchanged.
    pub unchanged: u64,
}

impl Count {
    /// Counts a record. Whether a new one is changed makes no difference.
    pub(super) fn count(&mut self, is_new: bool, is_changed: bool) {
        let of_kind = match (is_new, is_changed) {
            (true, _) => &mut self.added,
            (false, true) => &mut self.updated,
            (false, false) => &mut self.unchanged,
        };
        *of_kind += 1;
    }
}

/// Something that is not here as it is on the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// The record: `model churn`.
    pub about: String,
    /// The thing that happened.
    pub what: String,
    /// A way on.
    pub hint: String,
}

/// The counts and remarks of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The server.
    pub source: String,
    /// Experiments.
    pub experiments: Count,
    /// Runs.
    pub runs: Count,
    /// Runs that this registry sent to the server, and that are here already.
    pub own_runs: u64,
    /// Values of metrics that were read.
    pub values: u64,
    /// Logged models.
    pub logged_models: Count,
    /// Registered models.
    pub models: Count,
    /// Versions of registered models.
    pub versions: Count,
    /// Versions whose files are not here, so that they are not verified.
    pub unverified: u64,
    /// Aliases that were set.
    pub aliases: u64,
    /// Files that came.
    pub files: u64,
    /// The number of their bytes.
    pub bytes: u64,
    /// Records that were not imported, each with what to do.
    pub conflicts: Vec<Remark>,
    /// The conflicts in all, also those that are not listed.
    pub conflict_count: u64,
    /// Records that are here otherwise than there.
    pub notes: Vec<Remark>,
    /// The notes in all, also those that are not listed.
    pub note_count: u64,
}

impl Outcome {
    /// Records something that was not imported.
    pub(super) fn conflict(&mut self, about: &str, what: &str, hint: &str) {
        self.conflict_count += 1;
        if self.conflicts.len() < MOST_REMARKS {
            self.conflicts.push(remark(about, what, hint));
        }
    }

    /// Records something that is here otherwise than there.
    pub(super) fn note(&mut self, about: &str, what: &str, hint: &str) {
        self.note_count += 1;
        if self.notes.len() < MOST_REMARKS {
            self.notes.push(remark(about, what, hint));
        }
    }
}

fn remark(about: &str, what: &str, hint: &str) -> Remark {
    let shown = |text: &str| Untrusted::new(text).cut(1_000).to_string();
    Remark { about: shown(about), what: shown(what), hint: shown(hint) }
}
