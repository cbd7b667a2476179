//! Where a manifest comes from: the commit, the branch, and whether anything was changed since.
//!
//! Asks the program `git`, which knows every way in which a repository can be laid out; without it, or outside of a
//! repository, the lineage says that the code is unknown. Nothing that the repository configures is run for it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::model::Code;

/// The state of the repository that holds `folder`, if there is one.
pub fn of(folder: &Path) -> Option<Code> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        // A repository's own settings could name programs to run.
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
        .args(["status", "--porcelain=v2", "--branch", "--untracked-files=no"])
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `git status --porcelain=v2 --branch`.
fn parse(status: &str) -> Option<Code> {
    let header = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let commit = header("# branch.oid ").filter(|oid| oid.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let branch = header("# branch.head ").filter(|branch| *branch != "(detached)");
    let dirty = status.lines().any(|line| !line.starts_with('#'));
    Some(Code { commit: commit.to_owned(), branch: branch.map(str::to_owned), dirty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_commit_branch_and_changes() {
        let clean = "# branch.oid 576b5c1\n# branch.head main\n";
        let expected = Code { commit: "576b5c1".into(), branch: Some("main".into()), dirty: false };
        assert_eq!(parse(clean), Some(expected.clone()));
        let dirty = format!("{clean}1 .M N... 100644 100644 100644 aa bb config/churn.toml\n");
        assert_eq!(parse(&dirty), Some(Code { dirty: true, ..expected.clone() }));
        let detached = "# branch.oid 576b5c1\n# branch.head (detached)\n";
        assert_eq!(parse(detached), Some(Code { branch: None, ..expected }));
    }

    #[test]
    fn a_repository_without_a_commit_has_no_code() {
        assert_eq!(parse("# branch.oid (initial)\n# branch.head main\n"), None);
        assert_eq!(of(Path::new("/")), None);
    }
}
