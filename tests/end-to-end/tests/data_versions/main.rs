//! Versions of data, as people use them: `stagewright data`.
//!
//! - [`versions`]: adding, showing, comparing, exporting; [`files`]: folders of files
//! - [`remotes`]: pushing and pulling, to and from a folder and S3; [`killed`]: what is killed
//!   meanwhile; [`shared`]: a registry in PostgreSQL
//! - [`sources`]: runs that read a version

mod files;
mod killed;
mod remotes;
mod shared;
mod sources;
mod versions;

use std::path::Path;

use serde_json::Value;
use stagewright_end_to_end::{Ended, Place};

const CUSTOMERS: &str = "id,city,amount\n1,Bern,10.5\n2,Chur,20\n3,Bern,\n";
const MORE_CUSTOMERS: &str = "id,city,amount\n1,Bern,10.5\n2,Chur,20\n3,Bern,\n4,Basel,1\n";
const OTHER_CUSTOMERS: &str = "id,city,amount\n1,Bern,11\n2,Chur,20\n4,Basel,1\n";

/// Adds a table of this text, and returns what the command says.
fn add(place: &Place, name: &str, text: &str, more: &[&str]) -> Ended {
    place.write("customers.csv", text);
    place.run(&[&["data", "add", name, "csv:customers.csv", "--json"], more].concat())
}

/// Returns the version that an addition made.
fn version(added: &Value) -> &str {
    added["version"].as_str().expect("a version")
}

/// Returns the files of a home's artifacts with their bytes.
fn artifacts(place: &Place) -> Vec<(String, Vec<u8>)> {
    let bytes = |name: String| {
        let bytes = std::fs::read(place.home().join("artifacts").join(&name)).expect("an artifact");
        (name, bytes)
    };
    place.artifacts().into_iter().map(bytes).collect()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
