//! Where a manifest comes from: the commit, the branch, and whether anything was changed since.
//!
//! A repository may come from anybody, and its settings name programs: hooks, filters, monitors,
//! transports, helpers. So commit and branch are read from its files ([`repository`]), and `git` is
//! asked one question, whether files differ, in a folder of its own with settings of ours
//! ([`changes`]). What cannot be told so is unknown; nothing fails for it
//! (docs/decisions/git-by-the-program.md).

use std::path::Path;

use crate::model::Code;

mod changes;
mod repository;

/// The state of the repository that holds `folder`, if there is one.
pub fn of(folder: &Path) -> Option<Code> {
    let repository = repository::Repository::around(folder)?;
    let head = repository.head()?;
    let dirty = changes::are_there(&repository, &head.commit);
    Some(Code { commit: head.commit, branch: head.branch, dirty })
}

#[cfg(test)]
mod tests;
