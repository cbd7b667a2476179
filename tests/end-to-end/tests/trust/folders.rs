//! A stranger's folder decides nothing by the files that come with it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use stagewright_end_to_end::{Ended, Place, binary};

use crate::{pipeline, says};

// invariant: as `a_home_that_was_made_elsewhere_brings_no_code_with_it`
#[test]
fn a_file_that_comes_with_a_folder_does_not_decide_which_code_is_run() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    place.write("operator.toml", "[compilation]\nsize = \"64 KiB\"\n");
    let ignored =
        ["CACHE", "HOST_KEY", "STAGES", "OPERATOR", "REGISTRY", "ACTOR"].map(|name| format!("STAGEWRIGHT_{name}"));
    let folder = place.path().display();
    let file = format!(
        "STAGEWRIGHT_HOME=mine\nSTAGEWRIGHT_CACHE=theirs\nSTAGEWRIGHT_HOST_KEY={folder}/theirs\n\
         STAGEWRIGHT_STAGES=theirs\nSTAGEWRIGHT_OPERATOR=operator.toml\nSTAGEWRIGHT_REGISTRY=postgresql://theirs.invalid/x\n\
         STAGEWRIGHT_ACTOR=theirs\nHOME={folder}/theirs\nXDG_STATE_HOME={folder}/theirs\n"
    );
    place.write(".env", file);
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(binary());
        command.current_dir(place.path()).env_clear().envs(variables.iter().copied()).args(["plan", &manifest]);
        Ended::of(command).expect(0).stderr
    };
    let warned = run(&[]);
    for name in ignored.iter().map(String::as_str).chain(["HOME", "XDG_STATE_HOME"]) {
        says(&warned, &[&format!("`{name}` in .env is ignored")]);
    }
    assert_eq!(warned.lines().count(), 8, "{warned}");
    assert!(!place.path().join("theirs").exists());
    assert!(place.path().join("mine/cache/host.key").exists(), "a home may be named");
    // The process's own environment counts, and its variables cause no warning.
    let warned = run(&[("STAGEWRIGHT_CACHE", "cache"), ("HOME", "/nowhere"), ("STAGEWRIGHT_HOST_KEY", "cache/key")]);
    assert!(place.path().join("cache/key").exists());
    assert_eq!(warned.lines().count(), 5, "{warned}");
}

/// Runs a command in a folder with a plain environment. Only the folder names a home.
fn plainly(folder: &Path, arguments: &[&str]) -> Ended {
    let path = std::env::var_os("PATH").expect("a PATH");
    let mut command = Command::new(binary());
    command.current_dir(folder).env_clear().env("PATH", path).env("STAGEWRIGHT_CACHE", folder.join("cache"));
    command.args(arguments);
    Ended::of(command)
}

// invariant: as `a_home_that_was_made_elsewhere_brings_no_code_with_it`
#[test]
fn no_variable_of_a_folder_reaches_another_program_or_a_library() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(place.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(arguments);
        assert!(git.output().expect("git").status.success(), "{arguments:?}");
    };
    git(&["init", "--quiet"]);
    git(&["add", "empty.toml"]);
    git(&["commit", "--quiet", "-m", "one"]);
    let folder = place.path().display();
    place.write(
        ".env",
        format!(
            "LD_PRELOAD={folder}/theirs.so\nLD_AUDIT={folder}/theirs.so\nGIT_TRACE={folder}/traced\nGIT_TRACE_SETUP={folder}/traced\n\
             GIT_CONFIG_GLOBAL={folder}/config\nPATH={folder}\nMIMALLOC_VERBOSE=1\nRUST_LOG=trace\nTMPDIR={folder}/nowhere\n"
        ),
    );
    place.write("git", "#!/bin/sh\ntouch traced\n");
    fs::set_permissions(place.path().join("git"), fs::Permissions::from_mode(0o755)).expect("owned");
    let ended = plainly(place.path(), &["run", &manifest, "--home", "home", "--json"]).expect(0);
    assert!(!place.path().join("traced").exists());
    assert!(!ended.stderr.contains("theirs.so") && !ended.stderr.contains("mimalloc"), "{}", ended.stderr);
    let run = plainly(place.path(), &["runs", "show", "--home", "home"]).expect(0).stdout;
    says(&run, &["mlflow.source.git.dirty false"]);
}

// invariant: as `a_home_that_was_made_elsewhere_brings_no_code_with_it`
#[test]
fn a_file_env_that_somebody_else_could_have_written_is_refused() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let file = place.write(".env", "STAGEWRIGHT_HOME=mine\n");
    let inner = place.path().join("inner");
    fs::create_dir(&inner).expect("a folder");
    // No parent folder is searched.
    plainly(&inner, &["plan", &manifest]).expect(0);
    assert!(inner.join(".stagewright").exists() && !inner.join("mine").exists());
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("owned");
        let refused = plainly(place.path(), &["plan", &manifest]).expect(2).stderr;
        says(&refused, &["the file .env of this folder is refused", "others can write it", "chmod go-w .env"]);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("owned");
    plainly(place.path(), &["plan", &manifest]).expect(0);
    assert!(place.path().join("mine").exists());
    // Only root can change a file's owner.
    if std::os::unix::fs::chown(&file, Some(65_534), None).is_ok() {
        let refused = plainly(place.path(), &["plan", &manifest]).expect(2).stderr;
        says(&refused, &["it belongs to another user (uid 65534)"]);
    }
    fs::remove_file(&file).expect("the file");
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a pipe");
    says(&plainly(place.path(), &["plan", &manifest]).expect(2).stderr, &["it is not a regular file"]);
}

// invariant: as `a_lock_file_of_a_folder_leads_nowhere_else`
#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let fifo = place.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a pipe");
    let fifo = fifo.display().to_string();
    let text = fs::read_to_string(&manifest).expect("the manifest");
    for path in [fifo.as_str(), "/dev/zero"] {
        let refused = "it is not a regular file";
        let component =
            place.write("other.toml", text.replace("path = \"empty-training.wasm\"", &format!("path = \"{path}\"")));
        let component = component.display().to_string();
        for command in [["plan", path], ["plan", &component], ["run", &component], ["lock", &component], ["lock", path]]
        {
            says(&place.run(&command).expect(2).stderr, &[refused]);
        }
        let link = place.path().join("link.wasm");
        std::os::unix::fs::symlink(path, &link).expect("a link");
        let link_path = link.display().to_string();
        says(&place.run(&["stage", "inspect", &link_path]).expect(2).stderr, &[refused]);
        fs::remove_file(&link).expect("the link");
        let lock = place.path().join("stagewright.lock");
        drop(fs::remove_file(&lock));
        std::os::unix::fs::symlink(path, &lock).expect("a link");
        says(&place.run(&["plan", &manifest]).expect(2).stderr, &[refused]);
        fs::remove_file(&lock).expect("the link");
        let mut operator = place.command(&["plan", &manifest]);
        operator.env("STAGEWRIGHT_OPERATOR", path);
        says(&Ended::of(operator).expect(2).stderr, &[refused]);
    }
}
