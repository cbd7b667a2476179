//! The commit that a manifest comes from: its id, its branch, and whether files were changed since.
//!
//! A repository may come from anybody, and its settings can name programs: hooks, filters,
//! monitors, transports and helpers. The commit and the branch are therefore read from its files
//! ([`repository`]). `git` is asked one question, whether files differ, in a separate folder with
//! settings of our own ([`changes`]). If something cannot be found out this way, it is unknown; it
//! is never an error (docs/decisions/git-by-the-program.md).

use std::path::Path;

use crate::model::Code;

mod changes;
mod repository;

/// Returns the state of the repository that contains `folder`, if there is one.
pub fn of(folder: &Path) -> Option<Code> {
    let repository = repository::Repository::around(folder)?;
    let head = repository.head()?;
    let dirty = changes::are_there(&repository, &head.commit);
    Some(Code { commit: head.commit, branch: head.branch, dirty })
}

#[cfg(test)]
mod tests;
