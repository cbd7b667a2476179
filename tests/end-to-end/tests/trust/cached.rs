//! Compiled code: only code that this host wrote runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use stagewright_end_to_end::{Ended, Place};

use crate::{alone, cache, compiled, pipeline, says};

// invariant: as `every_changed_byte_and_every_cut_is_seen`
#[test]
fn cached_code_that_was_changed_is_reported_and_made_again() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    says(&alone(&place, &["plan", &manifest]).expect(0).stderr, &[]);
    let files = compiled(&place);
    assert_eq!(files.len(), 6);
    let good: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).expect("code")).collect();
    let mut edited = good[0].clone();
    edited[100] ^= 1;
    fs::write(&files[0], edited).expect("written");
    fs::write(&files[1], &good[1][..5000]).expect("written");
    fs::write(&files[2], &good[3]).expect("written");
    let warned = alone(&place, &["plan", &manifest]).expect(0).stderr;
    for file in &files[..3] {
        says(&warned, &["is not used: it was changed, cut, renamed", &file.display().to_string()]);
    }
    assert_eq!(warned.matches("is not used").count(), 3, "{warned}");
    assert_eq!(alone(&place, &["plan", &manifest]).expect(0).stderr, "");

    // Under another key, all code is foreign. In a folder that everybody may write, nothing starts.
    fs::remove_file(cache(&place).join("host.key")).expect("the key");
    let warned = alone(&place, &["plan", &manifest]).expect(0).stderr;
    assert_eq!(warned.matches("the compiled code of").count(), 6, "{warned}");
    fs::set_permissions(cache(&place).join("components"), fs::Permissions::from_mode(0o777)).expect("owned");
    let refused = alone(&place, &["plan", &manifest]).expect(7);
    says(&refused.stderr, &["cannot trust", "others can write it (mode 777)", "chmod 700"]);
}

// invariant: A folder brings no native code with it: not through a copied home and its key, a
// `.env` file, or git settings.
#[test]
fn a_home_that_was_made_elsewhere_brings_no_code_with_it() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let plan = |user: &str| {
        let mut command = place.command(&["plan", &manifest]);
        command.env_remove("STAGEWRIGHT_CACHE").env("HOME", place.path().join(user));
        Ended::of(command).expect(0).stderr
    };
    assert_eq!(plan("theirs"), "");
    // An archive could bring code with its key, placed where a process without HOME looks.
    let key = place.path().join("theirs/.local/state/stagewright/host.key");
    fs::copy(key, place.home().join("cache/host.key")).expect("the key that was made");
    let warned = plan("ours");
    assert_eq!(warned.matches("the compiled code of").count(), 6, "{warned}");
    says(&warned, &["is not used: it was changed, cut, renamed or written under another host key"]);
    assert_eq!(plan("ours"), "", "it was made again");
}

#[test]
fn the_host_key_is_kept_with_the_users_state_and_not_with_the_home() {
    let place = Place::new();
    let key = |variables: &[(&str, &Path)]| {
        let mut command = place.command(&["doctor", "--json"]);
        command.env_remove("STAGEWRIGHT_CACHE").envs(variables.iter().copied());
        let findings = Ended::of(command).expect(0).json();
        let found = findings.as_array().expect("findings").iter().find(|finding| finding["check"] == "key");
        let path = PathBuf::from(found.expect("the key is told")["detail"].as_str().expect("a path"));
        assert_eq!(fs::metadata(&path).expect("the key").permissions().mode() & 0o777, 0o600);
        path
    };
    let (user, state) = (place.path().join("user"), place.path().join("state"));
    let in_home_folder = user.join(".local/state/stagewright/host.key");
    assert_eq!(key(&[("HOME", &user)]), in_home_folder);
    assert_eq!(key(&[("HOME", &user), ("XDG_STATE_HOME", &state)]), state.join("stagewright/host.key"));
    assert_eq!(key(&[("HOME", &user), ("XDG_STATE_HOME", Path::new("state"))]), in_home_folder);
    assert_eq!(key(&[("HOME", &user), ("STAGEWRIGHT_HOST_KEY", &place.path().join("own"))]), place.path().join("own"));
    assert_eq!(key(&[]), place.home().join("cache/host.key"));
}

#[test]
fn stages_are_precompiled_for_another_host() {
    let place = Place::new();
    let key = place.write("edge.key", format!("{}\n", "5a".repeat(32)));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("owned");
    let (folder, key) = (place.path().join("compiled").display().to_string(), key.display().to_string());
    let arguments = ["stage", "precompile", "promote-gated", "--output", &folder, "--key", &key, "--baseline"];
    let made = place.run(&arguments).expect(0);
    // One file for hosts whose stages run in their own processes, and one for others.
    let files: Vec<&str> = made.stdout.lines().filter_map(|line| line.strip_prefix("promote-gated: ")).collect();
    assert!(files.len() == 2 && files[0] != files[1], "{}", made.stdout);
    for file in files {
        assert!(fs::metadata(file).is_ok_and(|found| found.len() > 100_000), "{file}");
    }
    fs::set_permissions(Path::new(&key), fs::Permissions::from_mode(0o644)).expect("owned");
    says(&place.run(&arguments).expect(7).stderr, &["cannot trust", "others can read or write it"]);
}
