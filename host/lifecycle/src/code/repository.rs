//! Reads which commit is checked out, from a repository's files: `HEAD`, loose references,
//! `packed-refs`, and the links of worktrees and submodules
//! (<https://git-scm.com/docs/gitrepository-layout>).
//!
//! Everything read is text of at most some megabytes from regular files; no setting is looked at.
//! References in the newer `reftable` format are not read: their commit is unknown.

use std::path::{Path, PathBuf};

use stagewright_store::{read_regular, read_regular_text};

/// The longest file of one line: a path, a reference or a digest.
const MAX_LINE: u64 = 8 << 10;

/// The largest `packed-refs`: a million references.
const MAX_PACKED: u64 = 128 << 20;

/// How many references may name one another; git follows five.
const MAX_LINKS: usize = 5;

/// A repository, as it lies on the disk.
pub(super) struct Repository {
    /// The folder of its files.
    pub(super) worktree: PathBuf,
    /// The folder of this worktree's own files: `HEAD`, the index.
    pub(super) own: PathBuf,
    /// The folder that all of its worktrees share: objects, references.
    pub(super) common: PathBuf,
}

/// The commit that is checked out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// 40 or 64 hex digits.
    pub(super) commit: String,
    /// Without `refs/heads/`.
    pub(super) branch: Option<String>,
}

impl Repository {
    /// The repository that holds a folder.
    pub(super) fn around(folder: &Path) -> Option<Self> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = folder.canonicalize().ok()?;
        folder.ancestors().find_map(Self::at)
    }

    fn at(worktree: &Path) -> Option<Self> {
        let entry = worktree.join(".git");
        let own = if entry.is_dir() {
            entry
        } else {
            // A worktree that was added, or a submodule.
            worktree.join(line(&entry)?.strip_prefix("gitdir: ")?)
        };
        let common = match line(&own.join("commondir")) {
            Some(common) => own.join(common),
            None => own.clone(),
        };
        (own.join("HEAD").is_file() && common.join("objects").is_dir()).then(|| Self {
            worktree: worktree.to_owned(),
            own,
            common,
        })
    }

    /// Returns the commit that is checked out; `None` where there is no commit yet, or where it
    /// cannot be told.
    pub(super) fn head(&self) -> Option<Head> {
        let mut said = line(&self.own.join("HEAD"))?;
        let mut branch = None;
        for _ in 0..=MAX_LINKS {
            let Some(name) = said.strip_prefix("ref: ").map(str::trim) else {
                return is_commit(&said).then_some(Head { commit: said, branch });
            };
            if !is_reference(name) {
                return None;
            }
            branch = branch.or_else(|| name.strip_prefix("refs/heads/").map(str::to_owned));
            said = self.reference(name)?;
        }
        None
    }

    /// Returns the content of a reference: another one, or a commit.
    fn reference(&self, name: &str) -> Option<String> {
        let loose = [&self.own, &self.common].into_iter().find_map(|folder| line(&folder.join(name)));
        loose.or_else(|| self.packed(name))
    }

    fn packed(&self, name: &str) -> Option<String> {
        let bytes = read_regular(&self.common.join("packed-refs"), MAX_PACKED).ok()?;
        let mut lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        lines.find_map(|line| match line.split_once(' ') {
            Some((commit, found)) if found.trim_end() == name => Some(commit.to_owned()),
            _ => None,
        })
    }
}

/// The one line of a small file.
fn line(file: &Path) -> Option<String> {
    let text = read_regular_text(file, MAX_LINE).ok()?;
    let line = text.trim_end_matches(['\n', '\r']);
    (!line.is_empty() && !line.contains(['\n', '\0'])).then(|| line.to_owned())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a name is one that git would accept (git-check-ref-format), and a path that stays
/// inside.
fn is_reference(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let is_letter =
        |letter: char| !letter.is_control() && !matches!(letter, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    name.starts_with("refs/")
        && name.split('/').all(is_part)
        && name.chars().all(is_letter)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
}
