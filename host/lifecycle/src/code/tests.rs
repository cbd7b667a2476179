//! Repositories of every kind. Reading them runs nothing that they name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A repository with one commit of two files.
struct TestRepository {
    folder: tempfile::TempDir,
}

impl TestRepository {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(place.work()).expect("a folder");
        place.git(&["init", "--quiet", "--initial-branch=main"]);
        fs::create_dir(place.work().join("config")).expect("a folder");
        fs::write(place.work().join("config/churn.toml"), "one").expect("a file");
        fs::write(place.work().join("file"), "one").expect("a file");
        place.git(&["add", "."]);
        place.git(&["commit", "--quiet", "-m", "one"]);
        place
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = command(&self.work()).args(arguments).output().expect("git");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn code(&self) -> Code {
        of(&self.work()).expect("a repository")
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.args(["-c", "user.name=t", "-c", "user.email=t@example.org"]);
    command
}

#[test]
fn the_code_is_commit_branch_and_changes() {
    let place = TestRepository::new();
    let commit = place.git(&["rev-parse", "HEAD"]);
    let clean = Code { commit: commit.clone(), branch: Some("main".into()), dirty: Some(false) };
    assert_eq!(place.code(), clean);
    assert_eq!(of(&place.work().join("config")), Some(clean.clone()), "from a folder inside");
    fs::write(place.work().join("new"), "one").expect("a file");
    assert_eq!(place.code(), clean, "git does not know it");
    // The length is the same, so the content must be read.
    fs::write(place.work().join("file"), "two").expect("a file");
    assert_eq!(place.code().dirty, Some(true));
    place.git(&["add", "file"]);
    assert_eq!(place.code().dirty, Some(true), "staged is not committed");
    place.git(&["commit", "--quiet", "-m", "two"]);
    assert_eq!(place.code().dirty, Some(false));
    fs::remove_file(place.work().join("file")).expect("a file");
    assert_eq!(place.code().dirty, Some(true));
}

#[test]
fn a_commit_is_found_wherever_git_keeps_it() {
    let place = TestRepository::new();
    let commit = place.git(&["rev-parse", "HEAD"]);
    place.git(&["tag", "-a", "-m", "one", "v1"]);
    place.git(&["pack-refs", "--all"]);
    place.git(&["gc", "--quiet"]);
    assert!(!place.work().join(".git/refs/heads/main").exists(), "it is packed");
    assert_eq!(place.code().commit, commit);
    place.git(&["switch", "--quiet", "-c", "topic/deep"]);
    assert_eq!(place.code().branch.as_deref(), Some("topic/deep"));
    place.git(&["switch", "--quiet", "--detach"]);
    assert_eq!(place.code(), Code { commit: commit.clone(), branch: None, dirty: Some(false) });

    // A worktree beside it, and one with the objects of another repository.
    place.git(&["worktree", "add", "--quiet", "../beside", "-b", "beside"]);
    let beside = of(&place.folder.path().join("beside")).expect("a repository");
    assert_eq!(beside, Code { commit: commit.clone(), branch: Some("beside".into()), dirty: Some(false) });
    place.git(&["clone", "--quiet", "--shared", "--branch", "main", ".", "../shared"]);
    assert!(place.folder.path().join("shared/.git/objects/info/alternates").exists());
    let shared = of(&place.folder.path().join("shared")).expect("a repository");
    assert_eq!(shared, Code { commit, branch: Some("main".into()), dirty: Some(false) });
}

#[test]
fn a_repository_of_sha256_has_a_commit_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        assert!(command(folder.path()).args(arguments).output().expect("git").status.success(), "{arguments:?}");
    };
    run(&["init", "--quiet", "--object-format=sha256"]);
    fs::write(folder.path().join("file"), "one").expect("a file");
    run(&["add", "."]);
    run(&["commit", "--quiet", "-m", "one"]);
    let code = of(folder.path()).expect("a repository");
    assert_eq!((code.commit.len(), code.dirty), (64, Some(false)));
}

/// Adds settings that name a program. Each of them leaves a file behind if it is run.
fn arm(place: &TestRepository) -> PathBuf {
    let ran = place.folder.path().join("ran");
    let evil = place.folder.path().join("evil");
    fs::write(&evil, format!("#!/bin/sh\necho \"$0 $*\" >> {}\nexit 1\n", ran.display())).expect("a file");
    fs::set_permissions(&evil, fs::Permissions::from_mode(0o755)).expect("owned");
    let evil = evil.display().to_string();
    for setting in [
        "core.fsmonitor",
        "core.sshCommand",
        "core.gitProxy",
        "core.pager",
        "core.editor",
        "core.askPass",
        "core.alternateRefsCommand",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.external",
        "diff.evil.textconv",
        "diff.evil.command",
        "merge.evil.driver",
        "credential.helper",
        "remote.origin.uploadpack",
        "remote.origin.vcs",
        "pager.status",
        "alias.status",
        "gpg.program",
        "submodule.sub.update",
        "uploadpack.packObjectsHook",
        "trace2.eventTarget",
    ] {
        place.git(&["config", setting, &evil]);
    }
    for (setting, value) in [
        ("remote.origin.url", format!("ext::{evil}")),
        ("remote.origin.promisor", "true".into()),
        ("remote.origin.partialclonefilter", "tree:0".into()),
        ("protocol.ext.allow", "always".into()),
        ("core.hooksPath", place.folder.path().join("hooks").display().to_string()),
        ("core.attributesFile", place.folder.path().join("attributes").display().to_string()),
        ("extensions.partialClone", "origin".into()),
        ("core.repositoryFormatVersion", "1".into()),
        ("include.path", "../../more".into()),
        ("status.showUntrackedFiles", "all".into()),
    ] {
        place.git(&["config", setting, &value]);
    }
    let hooks = place.folder.path().join("hooks");
    fs::create_dir(&hooks).expect("a folder");
    for hook in ["post-index-change", "pre-auto-gc", "post-checkout", "reference-transaction", "fsmonitor-watchman"] {
        for folder in [&hooks, &place.work().join(".git/hooks")] {
            fs::create_dir_all(folder).expect("a folder");
            fs::copy(place.folder.path().join("evil"), folder.join(hook)).expect("a hook");
        }
    }
    let attributes = "* filter=evil diff=evil merge=evil\n";
    fs::write(place.folder.path().join("attributes"), attributes).expect("a file");
    fs::write(place.work().join(".git/info/attributes"), attributes).expect("a file");
    fs::write(place.work().join(".gitattributes"), attributes).expect("a file");
    ran
}

// invariant: as `a_home_that_was_made_elsewhere_brings_no_code_with_it`
#[test]
fn nothing_that_a_repository_names_is_run() {
    let place = TestRepository::new();
    let ran = arm(&place);
    let commit = fs::read_to_string(place.work().join(".git/refs/heads/main")).expect("a commit");
    drop(fs::remove_file(&ran));
    // Changed without a change of size, so the content must be read.
    fs::write(place.work().join("file"), "two").expect("a file");
    let expected = Code { commit: commit.trim().into(), branch: Some("main".into()), dirty: Some(true) };
    assert_eq!(place.code(), expected);
    assert!(!ran.exists(), "{}", fs::read_to_string(&ran).unwrap_or_default());
    // Without precautions, the programs run.
    drop(command(&place.work()).args(["status"]).output());
    assert!(ran.exists());
}

#[test]
fn what_a_partial_clone_lacks_is_not_fetched() {
    let place = TestRepository::new();
    let tree = place.git(&["rev-parse", "HEAD^{tree}"]);
    let ran = arm(&place);
    for setting in [
        "remote.origin.vcs",
        "core.fsmonitor",
        "filter.evil.clean",
        "filter.evil.process",
        "core.hooksPath",
        "diff.external",
        "alias.status",
    ] {
        place.git(&["config", "--unset", setting]);
    }
    fs::remove_dir_all(place.work().join(".git/hooks")).expect("a folder");
    fs::remove_file(place.work().join(".git").join("objects").join(&tree[..2]).join(&tree[2..])).expect("an object");
    for url in [
        format!("ext::{}", place.folder.path().join("evil").display()),
        "ssh://theirs.invalid/x".into(),
        "git://theirs.invalid/x".into(),
    ] {
        place.git(&["config", "remote.origin.url", &url]);
        drop(fs::remove_file(&ran));
        let code = place.code();
        assert_eq!((code.branch.as_deref(), code.dirty), (Some("main"), None), "whether it changed is unknown");
        assert!(!ran.exists(), "{url}: {}", fs::read_to_string(&ran).unwrap_or_default());
        // Without precautions, the programs run.
        drop(command(&place.work()).args(["status", "--porcelain"]).output());
        assert!(ran.exists(), "{url}");
    }
}

#[test]
fn links_lead_to_text_and_never_to_a_program() {
    let place = TestRepository::new();
    let ran = arm(&place);
    let folder = place.folder.path().join("linked");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join(".git"), format!("gitdir: {}\n", place.work().join(".git").display())).expect("a file");
    drop(fs::remove_file(&ran));
    assert_eq!(of(&folder).expect("a repository").branch.as_deref(), Some("main"));
    assert!(!ran.exists());
    for text in ["gitdir: /dev/zero\n", "gitdir: ../fifo\n", "gitdir: \n", "x", ""] {
        fs::write(folder.join(".git"), text).expect("a file");
        assert_eq!(of(&folder), None, "{text}");
    }
}

#[test]
fn what_is_no_commit_is_unknown() {
    let place = TestRepository::new();
    let head = place.work().join(".git/HEAD");
    let secret = place.folder.path().join("secret");
    fs::write(&secret, "0123456789012345678901234567890123456789\n").expect("a file");
    for text in [
        "ref: refs/heads/none",
        "ref: ../../secret",
        "ref: refs/../../../secret",
        "ref: refs/heads/../../../../secret",
        "ref: /etc/passwd",
        "ref: refs/heads/a\u{1b}[2J",
        "ref: refs/heads/.invalid",
        "0123",
        "x",
        "",
        "\0",
    ] {
        fs::write(&head, text).expect("a file");
        assert_eq!(of(&place.work()), None, "{text:?}");
    }
    // References that name each other.
    fs::write(&head, "ref: refs/heads/a").expect("a file");
    fs::write(place.work().join(".git/refs/heads/a"), "ref: refs/heads/a").expect("a file");
    assert_eq!(of(&place.work()), None);
    fs::remove_file(&head).expect("a file");
    rustix::fs::mknodat(rustix::fs::CWD, &head, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a pipe");
    assert_eq!(of(&place.work()), None, "and nothing waits");
    assert_eq!(of(Path::new("/")), None);
}
