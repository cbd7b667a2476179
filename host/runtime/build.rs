//! Tells the crate which wasmtime it is built with: compiled code of another is not to be used, and
//! a build without the compiler cannot ask wasmtime.

use std::path::Path;

fn main() {
    // Asked when it runs: a target folder may have been moved since this was compiled.
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let lock = Path::new(&folder).ancestors().map(|folder| folder.join("Cargo.lock")).find(|lock| lock.is_file());
    let text = lock
        .iter()
        .inspect(|lock| println!("cargo::rerun-if-changed={}", lock.display()))
        .find_map(|lock| std::fs::read_to_string(lock).ok());
    let text = text.expect("the workspace has a Cargo.lock");
    let mut lines = text.lines().skip_while(|line| *line != "name = \"wasmtime\"").skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    println!("cargo::rustc-env=STAGEWRIGHT_WASMTIME={}", version.expect("Cargo.lock has wasmtime"));
}
