//! The crate as the author of a pipeline file sees it: what loads, and the messages for what does
//! not.

mod databases;
mod faults;
mod foreach;
mod gates;
mod graphs;
mod loading;
mod operator;
mod overrides;
mod parameters;
mod preparations;
mod remote_sources;
mod requirements;
mod serving;
mod starter;
mod trust;

use std::path::PathBuf;

use stagewright_manifest::{Manifest, ManifestError, Overrides};

const WHOLE: &str = include_str!("../fixtures/whole.toml");

/// Parses a text as if it were `config/pipeline.toml`.
fn parse(text: &str, overrides: &Overrides) -> Result<Manifest, ManifestError> {
    Manifest::parse("config/pipeline.toml", text.to_owned(), PathBuf::from("config"), overrides)
}

/// Parses the whole example with one change.
fn changed(from: &str, to: &str) -> Result<Manifest, ManifestError> {
    assert!(WHOLE.contains(from), "the example no longer contains {from:?}");
    parse(&WHOLE.replacen(from, to, 1), &Overrides::default())
}

/// Returns the problems of the example with one change.
fn said(from: &str, to: &str) -> String {
    changed(from, to).expect_err("the change is a fault").render()
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
