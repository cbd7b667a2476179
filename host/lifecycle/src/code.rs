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
    let filters = git(folder, &[], &["config", "--name-only", "--get-regexp", FILTERS]).unwrap_or_default();
    // Empty, they do nothing. A name with `=` in it could not be emptied: then nothing is asked.
    if filters.contains('=') {
        return None;
    }
    let emptied: Vec<String> = filters.lines().map(|filter| format!("{filter}=")).collect();
    let status = ["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=all"];
    parse(&git(folder, &emptied, &status)?)
}

/// Settings by which a repository names programs that turn files into what is committed.
const FILTERS: &str = r"^filter\..*\.(clean|process|smudge)$";

/// What `git` says, with the programs that a repository's own settings could name left out.
fn git(folder: &Path, emptied: &[String], arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]);
    for setting in emptied {
        command.args(["-c", setting]);
    }
    command.args(arguments).env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
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
    fn nothing_that_a_repository_names_is_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.current_dir(folder.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]);
            assert!(command.args(arguments).output().expect("git").status.success(), "{arguments:?}");
        };
        let ran = folder.path().join("ran");
        run(&["init", "--quiet"]);
        std::fs::write(folder.path().join(".gitattributes"), "* filter=evil\n").expect("a file");
        std::fs::write(folder.path().join("file"), "one").expect("a file");
        run(&["add", "."]);
        run(&["commit", "--quiet", "-m", "one"]);
        run(&["config", "filter.evil.clean", &format!("touch {}; cat", ran.display())]);
        run(&["config", "filter.evil.process", &format!("touch {}", ran.display())]);
        // Changed without a change of size: git must read it to know.
        std::fs::write(folder.path().join("file"), "two").expect("a file");
        let code = of(folder.path()).expect("a repository");
        assert!(code.dirty && !ran.exists(), "{code:?}");
        // The filter is one: without care it runs.
        run(&["config", "--unset", "filter.evil.process"]);
        run(&["status"]);
        assert!(ran.exists());
    }

    #[test]
    fn a_repository_without_a_commit_has_no_code() {
        assert_eq!(parse("# branch.oid (initial)\n# branch.head main\n"), None);
        assert_eq!(of(Path::new("/")), None);
    }
}
