//! Encodes each world of `wit/` as a custom section, from which the component encoder makes a
//! component of a Wasm module. `wit_bindgen::generate!` does this for one world only.

use std::path::PathBuf;

use wit_component::StringEncoding;
use wit_parser::Resolve;

const WIT: &str = "../../wit";

const WORLDS: [&str; 10] = [
    "ingestion",
    "preparation",
    "validation",
    "assessing-validation",
    "transformation",
    "rebalancing-transformation",
    "training",
    "sharded-training",
    "evaluation",
    "promotion",
];

fn main() {
    println!("cargo::rerun-if-changed={WIT}");
    let output = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(WIT).unwrap_or_else(|error| panic!("{WIT}: {error:#}"));
    for world in WORLDS {
        let id = resolve.select_world(&[package], Some(world)).unwrap_or_else(|error| panic!("{world}: {error:#}"));
        let section = wit_component::metadata::encode(&resolve, id, StringEncoding::UTF8, None, false)
            .unwrap_or_else(|error| panic!("{world}: {error:#}"));
        let file = output.join(format!("{world}.bin"));
        std::fs::write(&file, section).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
