//! Folders of files as data.

use std::fs;
use std::path::Path;

use serde_json::json;
use stagewright_end_to_end::Place;

use crate::{text, version};

/// The small files of a folder: enough that an object for each would be noticed.
const FILES: usize = 2_000;

fn many(folder: &Path) {
    for number in 0..FILES {
        let folder = folder.join(format!("{}", number % 10));
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{number}.txt")), format!("file {number}")).expect("a file");
    }
}

// invariant: Many small files are one pack, and come back byte for byte.
#[test]
fn many_small_files_are_one_pack_and_come_back() {
    let (place, other, remote) = (Place::new(), Place::new(), Place::new());
    let folder = place.path().join("images");
    many(&folder);
    let added = place.run(&["data", "add", "images", "images", "--json"]).expect(0).json();
    assert_eq!((version(&added), &added["kind"], &added["count"]), ("1.0.0", &json!("files"), &json!(FILES)));
    let packs = added["artifacts"].as_array().expect("artifacts").iter().filter(|it| it["role"] == "pack").count();
    assert_eq!(packs, 1);
    let again = place.run(&["data", "add", "images", "images", "--json"]).expect(0).json();
    assert_eq!(again["is_new"], false);

    // New bytes make a small pack; the others stay where they are.
    fs::write(folder.join("0/0.txt"), "another").expect("a file");
    fs::remove_file(folder.join("1/1.txt")).expect("a file");
    fs::write(folder.join("new.txt"), "new").expect("a file");
    fs::write(folder.join("copy.txt"), "file 7").expect("a file");
    let changed = place.run(&["data", "add", "images", "images", "--json"]).expect(0).json();
    assert_eq!(version(&changed), "1.1.0");
    let diff = place.run(&["data", "diff", "images@1.0.0", "images", "--json"]).expect(0).json();
    assert_eq!([&diff["added"], &diff["removed"], &diff["changed"]], [2, 1, 1]);
    assert_eq!(diff["added_files"], json!(["copy.txt", "new.txt"]));
    assert_eq!(diff["changed_files"][0]["path"], "0/0.txt");

    let at = text(remote.path());
    let pushed = place.run(&["data", "push", "images", "--remote", &at, "--json"]).expect(0).json();
    // A list, a table of places and a pack for each version.
    assert_eq!(pushed[0]["objects"], 6);
    other.run(&["data", "pull", "images", "--remote", &at]).expect(0);
    other.run(&["data", "export", "images", "--output", "out"]).expect(0);
    let same = |path: &str| {
        let here = fs::read(folder.join(path)).expect("a file");
        assert_eq!(fs::read(other.path().join("out/data_v1.1.0").join(path)).expect("a file"), here, "{path}");
    };
    ["0/0.txt", "new.txt", "copy.txt", "7/7.txt", "9/1999.txt"].into_iter().for_each(same);
    assert!(!other.path().join("out/data_v1.1.0/1/1.txt").exists());
    // A folder that exists is not mixed with another.
    other.run(&["data", "export", "images", "--output", "out"]).expect(7);
}

#[test]
fn what_is_no_file_is_refused_and_named() {
    let place = Place::new();
    let folder = place.path().join("images");
    fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink("/etc/passwd", folder.join("latest")).expect("a link");
    let refused = place.run(&["data", "add", "images", "images"]).expect(3);
    assert!(refused.stderr.contains("SW1205") && refused.stderr.contains("`latest`"), "{}", refused.stderr);
    assert!(place.artifacts().is_empty());
}
