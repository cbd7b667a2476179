//! Errors of the host: disk, database, store: SW09.

use std::fs;
use std::process::Command;

use stagewright_end_to_end::{Ended, Place, config};

use crate::{Case, MODEL, files, flip, provoke, trained};

pub(crate) const CASES: &[Case] = &[
    ("SW0901", no_room),
    ("SW0902", || trained().run(&["models", "card", MODEL, "--output", "missing/card.html"])),
    ("SW0903", text_as_a_database),
    ("SW0904", database_of_tomorrow),
    ("SW0907", database_of_tomorrow_that_may_be_read),
    ("SW0905", damaged_artifacts),
    ("SW0999", version_that_holds_nothing),
];

#[test]
fn errors_of_the_host() {
    provoke(CASES);
}

/// A run where no file may grow past 8 MiB: writing fails half way, as on a full disk.
fn no_room() -> Ended {
    let place = Place::new();
    let manifest = config("churn.toml");
    let set = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=200000"];
    let inner = place.command(&[&["run", &manifest, "--until", "ingestion"][..], &set].concat());
    let mut command = Command::new("sh");
    // The signal would end the process where a full disk gives an error.
    command.args(["-c", "trap '' XFSZ; ulimit -f 16384; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(place.path()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::of(command)
}

fn text_as_a_database() -> Ended {
    let place = Place::new();
    fs::create_dir(place.home()).expect("a folder");
    fs::write(place.home().join("stagewright.db"), "this is text. ".repeat(1000)).expect("a file");
    place.run(&["runs"])
}

fn database(place: &Place) -> rusqlite::Connection {
    rusqlite::Connection::open(place.home().join("stagewright.db")).expect("a database")
}

fn database_of_tomorrow() -> Ended {
    let place = trained();
    let closed = "PRAGMA user_version = 999; UPDATE usable_by SET read_from = 999, write_from = 999";
    database(&place).execute_batch(closed).expect("a format");
    place.run(&["runs"])
}

fn database_of_tomorrow_that_may_be_read() -> Ended {
    let place = trained();
    let readable = "PRAGMA user_version = 11; UPDATE usable_by SET write_from = 11, program = '0.9.0'";
    database(&place).execute_batch(readable).expect("a format");
    place.run(&["runs"]).expect(0);
    place.run(&["models", "show", MODEL]).expect(0);
    place.run(&["audit", "verify"]).expect(0);
    place.run(&["models", "alias", &format!("{MODEL}/1"), "shadow"])
}

fn damaged_artifacts() -> Ended {
    let place = trained();
    place.run(&["artifacts", "export", "ingestion.table", "--output", "rows.csv"]).expect(0);
    files(place.home().join("artifacts"), ".blob").iter().for_each(|artifact| flip(artifact));
    place.run(&["predict", MODEL, "--input", "rows.csv"])
}

fn version_that_holds_nothing() -> Ended {
    let place = trained();
    let edited = database(&place).execute("UPDATE versions SET contents = '{}'", []).expect("an edit");
    assert!(edited > 0, "no version was there");
    let rows = place.write("rows.csv", "a\n1\n");
    place.run(&["predict", MODEL, "--input", &rows.display().to_string()])
}
