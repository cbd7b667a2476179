//! Asks `git` whether files differ from a commit, without using any setting of the repository.
//!
//! `git` is started in a folder of our own. This folder is a repository that borrows three things:
//! the objects, the index and the files. The only settings that `git` reads are the few lines
//! written here. The repository's own settings, hooks, attributes in its `.git` folder and replaced
//! objects are not in that folder, and the user's and the machine's settings are switched off. An
//! attribute file among the sources may name a filter or a text conversion, but none of that name
//! is defined. Objects that a partial clone left on a server are not fetched: no server is known,
//! and every protocol is disabled.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::repository::Repository;

/// The longest wait for the answer. A large repository takes about a second, and a longer wait is
/// not worth it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a tracked file differs from a commit; `None` if that is unknown.
pub(super) fn are_there(repository: &Repository, commit: &str) -> Option<bool> {
    let program = program(std::env::var_os("PATH")?)?;
    let folder = tempfile::Builder::new().prefix("stagewright-git-").tempdir().ok()?;
    prepare(folder.path(), commit).ok()?;
    let mut command = Command::new(program);
    command
        .args(["status", "--porcelain=v2", "--untracked-files=no", "--ignore-submodules=all", "--no-renames"])
        .current_dir(&repository.worktree)
        .env_clear()
        .env("GIT_DIR", folder.path())
        .env("GIT_WORK_TREE", &repository.worktree)
        .env("GIT_INDEX_FILE", repository.own.join("index"))
        .env("GIT_OBJECT_DIRECTORY", repository.common.join("objects"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        // An empty list allows no protocol.
        .env("GIT_ALLOW_PROTOCOL", "")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_PAGER", "cat");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let answer = answer(&mut child);
    if answer.is_none() {
        drop(child.kill());
    }
    let status = child.wait().ok()?;
    match answer? {
        true => Some(true),
        false => status.success().then_some(false),
    }
}

/// Returns whether a child writes anything before it ends; `None` if it does neither in time. A
/// child that writes is killed.
fn answer(child: &mut Child) -> Option<bool> {
    let mut output = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(output.read(&mut [0]).map(|read| read > 0)));
    let wrote = receiver.recv_timeout(PATIENCE).ok()?.ok()?;
    if wrote {
        drop(child.kill());
    }
    Some(wrote)
}

/// Makes the folder a repository with this commit checked out.
fn prepare(folder: &Path, commit: &str) -> io::Result<()> {
    let hash = if commit.len() == 64 { "\n[extensions]\nobjectFormat = sha256" } else { "" };
    let settings = format!(
        "[core]\nrepositoryFormatVersion = 1\nbare = false\nfsmonitor = false\nhooksPath = /dev/null\nattributesFile = /dev/null\n\
         untrackedCache = false{hash}\n[protocol]\nallow = never\n"
    );
    fs::create_dir(folder.join("refs"))?;
    fs::create_dir(folder.join("objects"))?;
    fs::write(folder.join("config"), settings)?;
    fs::write(folder.join("HEAD"), format!("{commit}\n"))
}

/// Returns the path of `git`. Only absolute folders of `PATH` are searched: an empty or relative
/// one would be a folder of the repository.
fn program(path: OsString) -> Option<PathBuf> {
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let is_program = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    folders.map(|folder| folder.join("git")).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_the_current_folder_is_not_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("git");
        fs::write(&file, "").expect("a file");
        assert_eq!(program(folder.path().into()), None, "it cannot be started");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("owned");
        assert_eq!(program(folder.path().into()), Some(file));
        for path in ["", ".", ":", "bin:."] {
            assert_eq!(program(path.into()), None, "{path}");
        }
    }
}
