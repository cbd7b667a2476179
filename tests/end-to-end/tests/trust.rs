//! Whose components run: pinned, signed, cached code that nobody changed, and nothing that was not looked at first.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use stagewright_end_to_end::{Ended, Place, binary, guests};

const WORLDS: [&str; 6] = ["ingestion", "validation", "transformation", "training", "evaluation", "promotion"];

/// A pipeline of six empty stages, all of them files beside the manifest.
fn pipeline(place: &Place, more: &str) -> String {
    let mut text = "pipeline = \"empty\"\nexperiment = \"trust\"\nmodel = \"empty\"\nseed = 1\n\
        [task]\nkind = \"binary\"\ntarget = \"y\"\npositive = \"1\"\n\
        [split]\nmethod = \"stratified\"\ntest = 0.5\nvalidation = 0.0\n"
        .to_owned();
    for world in WORLDS {
        text.push_str(&format!("[stages.{world}]\ncomponent = \"empty-{world}\"\n"));
    }
    for world in WORLDS {
        fs::copy(guests().join(format!("empty-{world}.wasm")), stage(place, world)).expect("a guest");
        text.push_str(&format!("[components.empty-{world}]\npath = \"empty-{world}.wasm\"\n"));
    }
    place.write("empty.toml", text + more).display().to_string()
}

fn stage(place: &Place, world: &str) -> PathBuf {
    place.path().join(format!("empty-{world}.wasm"))
}

/// The same component to a compiler, other bytes to everybody else: an empty custom section named `x`.
fn change(file: &Path) {
    let mut bytes = fs::read(file).expect("a component");
    bytes.extend([0, 2, 1, b'x']);
    fs::write(file, bytes).expect("written");
}

/// Runs a command with a cache of its own.
fn alone(place: &Place, arguments: &[&str]) -> Ended {
    let output = place.command(arguments).env("STAGEWRIGHT_CACHE", cache(place)).output().expect("the binary starts");
    Ended {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn cache(place: &Place) -> PathBuf {
    place.path().join("cache")
}

fn compiled(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache(place).join("components")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "cwasm")).collect()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn the_first_run_pins_files_and_a_changed_one_is_refused_until_it_is_accepted() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let lock = place.path().join("stagewright.lock");
    place.run(&["plan", &manifest]).expect(0);
    assert!(!lock.exists(), "a plan changes nothing");
    place.run(&["run", &manifest, "--json"]).expect(0);
    let pinned = fs::read_to_string(&lock).expect("the lock");
    WORLDS.iter().for_each(|world| says(&pinned, &[&format!("\"empty-{world}.wasm\" = \"sha256:")]));
    place.run(&["plan", &manifest, "--locked"]).expect(0);

    change(&stage(&place, "training"));
    let line = |text: &str| text.lines().find(|line| line.contains("empty-training")).expect("a line").to_owned();
    let old = line(&pinned).split('"').nth(3).expect("a digest").to_owned();
    for command in ["run", "plan"] {
        let refused = place.run(&[command, &manifest]).expect(2);
        says(&refused.stderr, &["component `empty-training` changed", &old, "empty-training.wasm is now sha256:"]);
        says(&refused.stderr, &[&format!("stagewright lock {manifest} --update empty-training")]);
    }
    says(&place.run(&["lock", &manifest]).expect(2).stderr, &["component `empty-training` changed"]);
    says(&place.run(&["lock", &manifest, "--update", "empty-promotion"]).expect(2).stderr, &["empty-training"]);
    let updated = place.run(&["lock", &manifest, "--update", "empty-training"]).expect(0);
    says(&updated.stdout, &[&old, "updated `empty-training`"]);
    let now = fs::read_to_string(&lock).expect("the lock");
    assert_ne!(line(&now), line(&pinned));
    assert_eq!(now.lines().count(), pinned.lines().count());
    place.run(&["plan", &manifest, "--locked"]).expect(0);
    says(&place.run(&["lock", &manifest, "--update", "mine"]).expect(2).stderr, &["no component `mine`"]);
}

#[test]
fn locked_refuses_what_is_not_pinned_and_writes_nothing() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let refused = place.run(&["run", &manifest, "--locked"]).expect(2);
    says(&refused.stderr, &["is not pinned in", "stagewright.lock", &format!("stagewright lock {manifest}")]);
    assert!(!place.path().join("stagewright.lock").exists());
    place.run(&["lock", &manifest]).expect(0);
    place.run(&["run", &manifest, "--locked", "--json"]).expect(0);
    // A path that is typed is for one run: not compared, not pinned, and refused where only what is pinned may run.
    let before = fs::read(place.path().join("stagewright.lock")).expect("the lock");
    change(&stage(&place, "training"));
    let typed = ["--set", "components.empty-training.path=empty-training.wasm"];
    place.run(&[&["plan", &manifest][..], &typed[..]].concat()).expect(0);
    let refused = place.run(&[&["plan", &manifest, "--locked"][..], &typed[..]].concat()).expect(2);
    says(&refused.stderr, &["`empty-training`", "is not pinned"]);
    assert_eq!(fs::read(place.path().join("stagewright.lock")).expect("the lock"), before);
}

#[test]
fn built_in_stages_are_pinned_only_on_request() {
    let place = Place::new();
    let shipped = fs::read_to_string(stagewright_end_to_end::config("churn.toml")).expect("the shipped pipeline");
    let manifest = place.write("churn.toml", shipped).display().to_string();
    place.run(&["lock", &manifest]).expect(0);
    let lock = place.path().join("stagewright.lock");
    assert!(!fs::read_to_string(&lock).expect("the lock").contains("sha256:"));
    place.run(&["lock", &manifest, "--built-in"]).expect(0);
    let text = fs::read_to_string(&lock).expect("the lock");
    says(&text, &["[built-in]\n", "\"train-boosted\" = \"sha256:"]);
    assert!(!text.contains("train-forest"), "it is configured, but no stage uses it");
    place.run(&["plan", &manifest, "--locked"]).expect(0);
    let other = format!("\"train-boosted\" = \"sha256:{}\"", "0".repeat(64));
    let edited: Vec<&str> =
        text.lines().map(|line| if line.starts_with("\"train-boosted\"") { other.as_str() } else { line }).collect();
    fs::write(&lock, edited.join("\n")).expect("written");
    says(&place.run(&["plan", &manifest]).expect(2).stderr, &["`train-boosted` changed", "the built-in stage is now"]);
    place.run(&["lock", &manifest, "--update"]).expect(0);
    assert_eq!(fs::read_to_string(&lock).expect("the lock"), text);
}

#[test]
fn a_damaged_lock_is_an_error_with_its_line() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    place.write("stagewright.lock", "version = 1\n[files]\n\"empty-training.wasm\" = \"sha256:no\"\n");
    says(&place.run(&["plan", &manifest]).expect(2).stderr, &["stagewright.lock:3: `sha256:no` is not a digest"]);
}

#[test]
fn a_pipeline_that_requires_signatures_runs_only_what_a_trusted_key_signed() {
    let place = Place::new();
    let own = place.path().join("own.key").display().to_string();
    let strange = place.path().join("strange.key").display().to_string();
    let public = place.run(&["stage", "keygen", "--output", &own]).expect(0).stdout.trim().to_owned();
    place.run(&["stage", "keygen", "--output", &strange]).expect(0);
    let mode = fs::metadata(&own).expect("the key").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    place.run(&["stage", "keygen", "--output", &own]).expect(2);
    let manifest = pipeline(&place, "[trust]\nrequire-signature = true\ntrusted-keys = [\"own.key.pub\"]\n");

    let unsigned = alone(&place, &["plan", &manifest]).expect(2);
    says(&unsigned.stderr, &["is refused: it is not signed", ".wasm.sig", "stagewright stage sign"]);
    assert_eq!(compiled(&place), Vec::<PathBuf>::new(), "nothing was compiled");

    let files: Vec<String> = WORLDS.iter().map(|world| stage(&place, world).display().to_string()).collect();
    let sign = |key: &str| {
        let files = files.iter().map(String::as_str);
        place.run(&["stage", "sign", "--key", key].into_iter().chain(files).collect::<Vec<_>>()).expect(0)
    };
    sign(&strange);
    let untrusted = alone(&place, &["plan", &manifest]).expect(2);
    says(&untrusted.stderr, &["none of them is trusted", "ed25519:", "`trusted-keys` under [trust]"]);
    sign(&own);
    place.run(&["plan", &manifest]).expect(0);
    for key in [public.as_str(), &format!("{own}.pub")] {
        says(&place.run(&["stage", "verify", &files[0], "--key", key]).expect(0).stdout, &["signed by", &public]);
    }

    change(&stage(&place, "training"));
    let other = place.run(&["plan", &manifest]).expect(2);
    says(&other.stderr, &["`empty-training`", "the signature is for other bytes"]);
    says(
        &place.run(&["stage", "inspect", &files[3]]).expect(0).stdout,
        &["signature  BAD: the signature is for other bytes"],
    );
    place.run(&["stage", "verify", &files[3], "--key", &public]).expect(2);
    sign(&own);
    place.run(&["plan", &manifest]).expect(0);
    says(&place.run(&["stage", "inspect", &files[3]]).expect(0).stdout, &[&format!("signature  sound, by {public}")]);
}

#[test]
fn what_the_operator_wants_signed_no_manifest_and_no_environment_loosens() {
    let place = Place::new();
    let key = |name: &str| {
        let file = place.path().join(name).display().to_string();
        let public = place.run(&["stage", "keygen", "--output", &file]).expect(0).stdout.trim().to_owned();
        (file, public)
    };
    let ((operators, _), (own, own_public)) = (key("operators.key"), key("own.key"));
    let operator =
        place.write("operator.toml", "[trust]\nrequire-signature = true\ntrusted-keys = [\"operators.key.pub\"]\n");
    let under = |arguments: &[&str], more: &[(&str, &Path)]| {
        let mut command = place.command(arguments);
        command.env("STAGEWRIGHT_OPERATOR", &operator).env("STAGEWRIGHT_CACHE", cache(&place));
        command.envs(more.iter().copied());
        Ended::of(command)
    };
    // The manifest trusts a key of its own, or asks for nothing at all: neither is enough.
    let manifest = pipeline(&place, &format!("[trust]\ntrusted-keys = [\"{own_public}\"]\n"));
    let files: Vec<String> = WORLDS.iter().map(|world| stage(&place, world).display().to_string()).collect();
    let sign = |key: &str, files: &[String]| {
        let files = files.iter().map(String::as_str);
        place.run(&["stage", "sign", "--key", key].into_iter().chain(files).collect::<Vec<_>>()).expect(0);
    };
    says(&under(&["plan", &manifest], &[]).expect(2).stderr, &["is refused: it is not signed"]);
    sign(&own, &files);
    let refused = under(&["plan", &manifest], &[]).expect(2).stderr;
    says(&refused, &["none of them is trusted", &format!("[trust] in {}", operator.display())]);
    says(&under(&["stage", "inspect", &files[0]], &[]).expect(0).stdout, &["not run: component `empty-ingestion`"]);
    let precompile = ["stage", "precompile", &files[0], "--output", "compiled"];
    says(&under(&precompile, &[]).expect(2).stderr, &["none of them is trusted"]);
    assert_eq!(compiled(&place), Vec::<PathBuf>::new(), "nothing was compiled");
    sign(&operators, &files);
    under(&["run", &manifest, "--json"], &[]).expect(0);

    // A manifest may want more.
    let stricter = place.write(
        "stricter.toml",
        fs::read_to_string(&manifest).expect("the manifest").replace("[trust]", "[trust]\nrequire-signature = true"),
    );
    let stricter = stricter.display().to_string();
    under(&["plan", &stricter], &[]).expect(0);
    fs::remove_file(format!("{}.sig", files[0])).expect("the signatures");
    sign(&operators, &files[..1]);
    under(&["plan", &manifest], &[]).expect(0);
    says(
        &under(&["plan", &stricter], &[]).expect(2).stderr,
        &["none of them is trusted", "[trust] in", "stricter.toml"],
    );

    // Stages of the installation need no signature; what the environment puts in their place does.
    let elsewhere = binary().with_file_name("stages");
    under(&["stage", "inspect", "promote-gated"], &[]).expect(0);
    let shown = under(&["stage", "inspect", "promote-gated"], &[("STAGEWRIGHT_STAGES", &elsewhere)]).expect(0).stdout;
    says(&shown, &["not run: component `promote-gated`", "is refused: it is not signed"]);
}

#[test]
fn what_the_operator_wants_signed_holds_for_registered_models_too() {
    let place = Place::new();
    let key = place.path().join("operators.key").display().to_string();
    place.run(&["stage", "keygen", "--output", &key]).expect(0);
    let operator =
        place.write("operator.toml", "[trust]\nrequire-signature = true\ntrusted-keys = [\"operators.key.pub\"]\n");
    let under = |home: &Path, arguments: &[&str]| {
        let mut command = place.command_in(home, arguments);
        command.env("STAGEWRIGHT_OPERATOR", &operator);
        Ended::of(command)
    };
    // Where nothing is asked, a model is made of components that nobody signed.
    let manifest = pipeline(&place, "");
    place.run(&["run", &manifest, "--json"]).expect(0);
    place.run(&["artifacts", "export", "ingestion.table", "--output", "rows.csv"]).expect(0);
    place.run(&["predict", "empty/1", "--input", "rows.csv"]).expect(0);
    let exported = place.path().join("exported").display().to_string();
    place.run(&["models", "export", "empty/1", "--destination", &exported]).expect(0);
    let (home, other) = (place.home(), place.path().join("other"));
    let (predict, promote) = (["predict", "empty/1", "--input", "rows.csv"], ["models", "promote", "empty/1"]);
    let import = ["models", "import", "empty/1", "--destination", &exported];
    for (home, command) in [(&home, &predict[..]), (&home, &promote), (&other, &import)] {
        let refused = under(home, command).expect(2).stderr;
        says(
            &refused,
            &["component `empty-t", "of the model (sha256:", "no signature of it is kept", "hint: have it signed"],
        );
    }
    assert_eq!(
        under(&other, &["models", "list", "--json"]).expect(0).json(),
        serde_json::json!([]),
        "nothing was registered"
    );

    // Signed by a key that the operator does not trust, and then by one that they do: kept when a pipeline admits them.
    let strange = place.path().join("strange.key").display().to_string();
    place.run(&["stage", "keygen", "--output", &strange]).expect(0);
    let files: Vec<String> = WORLDS.iter().map(|world| stage(&place, world).display().to_string()).collect();
    let sign = |key: &str| {
        let files = files.iter().map(String::as_str);
        place.run(&["stage", "sign", "--key", key].into_iter().chain(files).collect::<Vec<_>>()).expect(0);
    };
    sign(&strange);
    place.run(&["plan", &manifest]).expect(0);
    says(&under(&home, &predict).expect(2).stderr, &["none of them is trusted", "`trusted-keys` under [trust]"]);
    sign(&key);
    under(&home, &["plan", &manifest]).expect(0);
    under(&home, &predict).expect(0);
    under(&home, &promote).expect(0);

    // Brought with a model from elsewhere.
    let signature = |world: usize| format!("{}.sig", files[world]);
    let with = |first: &str, second: &str| {
        under(&other, &[&import[..], &["--signatures", first, "--signatures", second]].concat())
    };
    says(&with(&signature(0), &signature(3)).expect(2).stderr, &["which the model does not have"]);
    with(&signature(2), &signature(3)).expect(0);
    under(&other, &predict).expect(0);
    // What is kept is worth what its signature is.
    for entry in fs::read_dir(other.join("signatures")).expect("the signatures").flatten() {
        let text = fs::read_to_string(entry.path()).expect("signatures");
        fs::write(entry.path(), text.replace("ed25519:", "ed25519:0")).expect("written");
    }
    says(&under(&other, &predict).expect(2).stderr, &["is refused"]);
}

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

    // Another key: everything is foreign. Then a folder that anybody could have written: nothing starts.
    fs::remove_file(cache(&place).join("host.key")).expect("the key");
    let warned = alone(&place, &["plan", &manifest]).expect(0).stderr;
    assert_eq!(warned.matches("the compiled code of").count(), 6, "{warned}");
    fs::set_permissions(cache(&place).join("components"), fs::Permissions::from_mode(0o777)).expect("owned");
    let refused = alone(&place, &["plan", &manifest]).expect(7);
    says(&refused.stderr, &["cannot trust", "others can write it (mode 777)", "chmod 700"]);
}

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
    // What an archive could bring: the code, and the key that it was written under, where one without a HOME would lie.
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
    // The process's own environment is heard, and nothing is said of what it has.
    let warned = run(&[("STAGEWRIGHT_CACHE", "cache"), ("HOME", "/nowhere"), ("STAGEWRIGHT_HOST_KEY", "cache/key")]);
    assert!(place.path().join("cache/key").exists());
    assert_eq!(warned.lines().count(), 5, "{warned}");
}

/// Runs a command in a folder, with a plain environment and no home but the one that the folder names.
fn plainly(folder: &Path, arguments: &[&str]) -> Ended {
    let path = std::env::var_os("PATH").expect("a PATH");
    let mut command = Command::new(binary());
    command.current_dir(folder).env_clear().env("PATH", path).env("STAGEWRIGHT_CACHE", folder.join("cache"));
    command.args(arguments);
    Ended::of(command)
}

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

#[test]
fn a_file_env_that_somebody_else_could_have_written_is_refused() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let file = place.write(".env", "STAGEWRIGHT_HOME=mine\n");
    let inner = place.path().join("inner");
    fs::create_dir(&inner).expect("a folder");
    // No folder above is searched.
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
    // Only root can give a file away.
    if std::os::unix::fs::chown(&file, Some(65_534), None).is_ok() {
        let refused = plainly(place.path(), &["plan", &manifest]).expect(2).stderr;
        says(&refused, &["it belongs to another user (uid 65534)"]);
    }
    fs::remove_file(&file).expect("the file");
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("a pipe");
    says(&plainly(place.path(), &["plan", &manifest]).expect(2).stderr, &["it is not a regular file"]);
}

#[test]
fn a_lock_file_of_a_folder_leads_nowhere_else() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let outside = place.write("outside", "precious");
    std::os::unix::fs::symlink(&outside, place.path().join("stagewright.lock")).expect("a link");
    says(&place.run(&["run", &manifest, "--json"]).expect(2).stderr, &["stagewright.lock"]);
    fs::write(&outside, "version = 1\n").expect("a file");
    place.run(&["run", &manifest, "--json"]).expect(0);
    assert_eq!(fs::read_to_string(&outside).expect("the file"), "version = 1\n");
    // Signatures are written beside a component.
    let key = place.path().join("own.key").display().to_string();
    place.run(&["stage", "keygen", "--output", &key]).expect(0);
    let signature = place.path().join("empty-training.wasm.sig");
    std::os::unix::fs::symlink(&outside, &signature).expect("a link");
    place.run(&["stage", "sign", "--key", &key, &stage(&place, "training").display().to_string()]).expect(0);
    assert_eq!(fs::read_to_string(&outside).expect("the file"), "version = 1\n");
    assert!(!signature.is_symlink());
}

#[test]
fn components_are_compiled_under_limits_that_cannot_be_raised() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let plan = place.command(&["plan", &manifest]);
    let mut limited = Command::new("sh");
    limited.current_dir(place.path()).args(["-c", "ulimit -t 250; ulimit -d 3000000; exec \"$0\" \"$@\""]);
    limited.arg(plan.get_program()).args(plan.get_args());
    for (name, value) in plan.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.env("STAGEWRIGHT_CACHE", cache(&place));
    Ended::of(limited).expect(0);
    assert_eq!(compiled(&place).len(), 6);
}

#[test]
fn two_ways_to_write_a_path_are_one_entry_of_the_lock() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    place.run(&["lock", &manifest]).expect(0);
    let text = fs::read_to_string(&manifest).expect("the manifest");
    fs::write(&manifest, text.replace("path = \"empty-training.wasm\"", "path = \"./empty-training.wasm\""))
        .expect("written");
    place.run(&["plan", &manifest, "--locked"]).expect(0);
    change(&stage(&place, "training"));
    says(&place.run(&["plan", &manifest]).expect(2).stderr, &["`empty-training` changed"]);
}

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

#[test]
fn an_import_that_is_not_granted_is_shown_and_refused_before_anything_is_compiled() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let file = stage(&place, "promotion");
    // One more import section: the function `wasi:http/handler`.
    let name = b"wasi:http/handler@0.2.0";
    let mut bytes = fs::read(&file).expect("a component");
    bytes.extend([&[10, name.len() as u8 + 5, 1, 0, name.len() as u8][..], name, &[1, 0]].concat());
    fs::write(&file, bytes).expect("written");
    let refused = alone(&place, &["run", &manifest]).expect(2);
    says(
        &refused.stderr,
        &["`empty-promotion` imports `wasi:http/handler@0.2.0`, which a promotion stage is not given"],
    );
    let shown = alone(&place, &["stage", "inspect", &file.display().to_string()]).expect(0).stdout;
    says(
        &shown,
        &["not run: component", "refused      wasi:http/handler@0.2.0", "world        stagewright:stage/types@0.2.0"],
    );
    let json = alone(&place, &["stage", "inspect", &file.display().to_string(), "--json"]).expect(0).json();
    assert_eq!(json["grants"]["wasi:http/handler@0.2.0"], "refused");
    assert_eq!(
        compiled(&place)
            .iter()
            .filter(|path| path.to_string_lossy().contains(&json["digest"].as_str().expect("a digest")[7..]))
            .count(),
        0
    );
}

#[test]
fn a_plan_shows_imports_against_grants_and_inspection_shows_where_a_stage_comes_from() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let shown = place.run(&["plan", &manifest]).expect(0).stdout;
    says(&shown, &["training        virtual WASI: cli", "world: blobs, tables, types"]);
    let plan = place.run(&["plan", &manifest, "--json"]).expect(0).json();
    assert_eq!(plan["stages"][3]["grants"]["stagewright:stage/blobs@0.2.0"], "world");
    let json = place.run(&["stage", "inspect", "train-logistic", "--json"]).expect(0).json();
    assert_eq!((json["signature"]["state"].as_str(), json["world"].as_str()), (Some("built-in"), Some("training")));
    let provenance = &json["provenance"];
    assert_eq!(provenance["notes"]["licenses"], "Apache-2.0");
    assert_eq!(provenance["notes"]["version"], json["version"]);
    let packages = provenance["packages"].as_array().expect("packages");
    assert!(packages.iter().any(|package| package["name"] == "stagewright-kit"), "{provenance}");
    assert!(packages.iter().any(|package| package["name"] == "serde_json" && package["source"] == "crates.io"));
    let tools = provenance["producers"]["processed-by"].to_string();
    assert!(tools.contains("wit-component"), "{provenance}");
}

#[test]
fn what_compiling_may_take_is_the_operators() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let operator = place.write("operator.toml", "[compilation]\nsize = \"64 KiB\"\n");
    let mut command = place.command(&["plan", &manifest]);
    let output = command
        .env("STAGEWRIGHT_OPERATOR", operator)
        .env("STAGEWRIGHT_CACHE", cache(&place))
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(6));
    says(&String::from_utf8_lossy(&output.stderr), &["ran past its limit of 0.1 MiB size: it used", "[compilation]"]);
}

#[test]
fn the_program_in_which_stages_run_is_the_installations_and_no_variable_names_another() {
    let place = Place::new();
    // Without an operator's word, it is needed where all walls can be built.
    let walls = place.run(&["doctor", "--json"]).expect(0).json();
    let found = walls.as_array().expect("findings").iter().find(|finding| finding["check"] == "walls");
    let is_needed = found.expect("the walls are told")["policy"] == "required";
    let (bin, elsewhere) = (place.path().join("bin"), place.path().join("elsewhere"));
    [&bin, &elsewhere].into_iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
    fs::copy(binary(), bin.join("stagewright")).expect("the program");
    fs::copy(binary().with_file_name("stagewright-stage"), elsewhere.join("stagewright-stage")).expect("the other");
    let open = |program: &Path, walls: Option<&str>| {
        let mut command = Command::new(bin.join("stagewright"));
        command.current_dir(&elsewhere).env("HOME", place.path()).env("STAGEWRIGHT_HOME", place.home()).args([
            "stage",
            "inspect",
            "promote-gated",
        ]);
        command.env("STAGEWRIGHT_STAGES", binary().with_file_name("stages")).env("PATH", &elsewhere);
        command.env("STAGEWRIGHT_STAGE", program).env("STAGEWRIGHT_STAGE_PROGRAM", program);
        if let Some(walls) = walls {
            command.env("STAGEWRIGHT_OPERATOR", place.write("operator.toml", format!("walls = \"{walls}\"\n")));
        }
        Ended::of(command)
    };
    let program = elsewhere.join("stagewright-stage");
    open(&program, Some("sandbox-only")).expect(0);
    if is_needed {
        let error = open(&program, None).expect(2).stderr;
        says(&error, &["the program `stagewright-stage` is missing", "cargo xtask install", "sandbox-only"]);
        fs::copy(&program, bin.join("stagewright-stage")).expect("beside the program");
        open(Path::new("/no/such/program"), None).expect(0);
        fs::remove_file(bin.join("stagewright-stage")).expect("it is there");
        fs::create_dir_all(place.path().join("lib/stagewright")).expect("a folder");
        fs::copy(&program, place.path().join("lib/stagewright/stagewright-stage")).expect("where it is installed");
    }
    open(&program, None).expect(0);
}

#[test]
fn stages_are_precompiled_for_another_host() {
    let place = Place::new();
    let key = place.write("edge.key", format!("{}\n", "5a".repeat(32)));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("owned");
    let (folder, key) = (place.path().join("compiled").display().to_string(), key.display().to_string());
    let arguments = ["stage", "precompile", "promote-gated", "--output", &folder, "--key", &key, "--baseline"];
    let made = place.run(&arguments).expect(0);
    // One for hosts whose stages run in processes of their own, one for others.
    let files: Vec<&str> = made.stdout.lines().filter_map(|line| line.strip_prefix("promote-gated: ")).collect();
    assert!(files.len() == 2 && files[0] != files[1], "{}", made.stdout);
    for file in files {
        assert!(fs::metadata(file).is_ok_and(|found| found.len() > 100_000), "{file}");
    }
    fs::set_permissions(Path::new(&key), fs::Permissions::from_mode(0o644)).expect("owned");
    says(&place.run(&arguments).expect(7).stderr, &["cannot trust", "others can read or write it"]);
}
