//! The lock file pins components. A changed one is refused until somebody accepts it.

use std::fs;

use stagewright_end_to_end::Place;

use crate::{WORLDS, change, pipeline, says, stage};

// invariant: A changed component is refused until it is accepted, and an unsigned one is refused
// where signatures are required.
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
    // A path on the command line is for one run: it is neither compared nor pinned, and it is
    // refused where only pinned components may run.
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

// invariant: No link in a folder leads a write outside of it. A file that is not regular is
// refused, and opening it never blocks.
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
