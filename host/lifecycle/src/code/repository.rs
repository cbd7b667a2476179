//! Reads the commit that is checked out from a repository's files: `HEAD`, loose references,
//! `packed-refs`, and the links of worktrees and submodules
//! (<https://git-scm.com/docs/gitrepository-layout>).
//!
//! It reads only text of bounded size from regular files, and no settings. References in the newer
//! `reftable` format are not read; their commit is unknown.

use std::path::{Path, PathBuf};

use stagewright_store::{read_regular, read_regular_text};

/// The longest one-line file, in bytes: a path, a reference or a digest.
const MAX_LINE: u64 = 8 << 10;

/// The longest `packed-refs`, in bytes: about a million references.
const MAX_PACKED: u64 = 128 << 20;

/// The longest chain of references that name one another. Git follows five.
const MAX_LINKS: usize = 5;

/// The folders of a repository.
pub(super) struct Repository {
    /// The folder of the checked-out files.
    pub(super) worktree: PathBuf,
    /// The folder of this worktree's own data: `HEAD` and the index.
    pub(super) own: PathBuf,
    /// The folder that all worktrees share: objects and references.
    pub(super) common: PathBuf,
}

/// The commit that is checked out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The commit, as 40 or 64 hex digits.
    pub(super) commit: String,
    /// The branch, without `refs/heads/`.
    pub(super) branch: Option<String>,
}

impl Repository {
    /// Finds the repository that contains a folder.
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
            // The entry is a file in an added worktree and in a submodule.
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

    /// Returns the commit that is checked out; `None` if there is none yet, or if it is unknown.
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

    /// Returns the content of a reference: another reference, or a commit.
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

/// Reads a small file of one line.
fn line(file: &Path) -> Option<String> {
    let text = read_regular_text(file, MAX_LINE).ok()?;
    let line = text.trim_end_matches(['\n', '\r']);
    (!line.is_empty() && !line.contains(['\n', '\0'])).then(|| line.to_owned())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether git would accept this name (git-check-ref-format), and it is a path that stays inside.
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
