//! Errors of versions of data: SW12.

use std::os::unix::fs::symlink;

use stagewright_end_to_end::{Ended, Place};

use crate::{Case, provoke};

pub(crate) const CASES: &[Case] = &[
    ("SW1201", version_that_nobody_added),
    ("SW1202", number_of_other_data),
    ("SW1203", key_on_two_rows),
    ("SW1204", remote_without_data),
    ("SW1205", link_in_a_folder),
];

#[test]
fn errors_of_versions_of_data() {
    provoke(CASES);
}

/// A place with data of this text.
fn with_data(text: &str) -> Place {
    let place = Place::new();
    place.write("customers.csv", text);
    place.run(&["data", "add", "customers", "csv:customers.csv"]).expect(0);
    place
}

fn version_that_nobody_added() -> Ended {
    let place = with_data("id,city\n1,Bern\n");
    place.run(&["data", "remove", "customers@1.0.0"]).expect(0);
    place.run(&["data", "show", "customers@1.2"])
}

fn number_of_other_data() -> Ended {
    let (place, other) = (with_data("id,city\n1,Bern\n"), with_data("id,city\n2,Chur\n"));
    let remote = place.path().join("remote").display().to_string();
    place.run(&["data", "push", "--remote", &remote]).expect(0);
    other.run(&["data", "push", "customers", "--remote", &remote])
}

fn key_on_two_rows() -> Ended {
    let place = Place::new();
    place.write("customers.csv", "id,city\n1,Bern\n2,Bern\n");
    place.run(&["data", "add", "customers", "csv:customers.csv", "--key", "city"])
}

fn remote_without_data() -> Ended {
    let place = Place::new();
    let remote = place.path().join("remote").display().to_string();
    place.run(&["data", "pull", "customers", "--remote", &remote])
}

fn link_in_a_folder() -> Ended {
    let place = Place::new();
    std::fs::create_dir(place.path().join("images")).expect("a folder");
    symlink("/etc/passwd", place.path().join("images/latest")).expect("a link");
    place.run(&["data", "add", "images", "images"])
}
