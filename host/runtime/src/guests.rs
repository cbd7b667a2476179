//! Components that only tests run. `cargo xtask stages` builds them.

use std::path::PathBuf;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiles one of them.
pub(crate) fn component(engine: &Engine, name: &str) -> Component {
    let built = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/release/guests");
    let folder = std::env::var_os("STAGEWRIGHT_GUESTS").map_or_else(built, PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; run `cargo xtask test`, which builds it", path.display());
    });
    Component::from_binary(engine, &bytes).unwrap_or_else(|error| panic!("{name}: {error:#}"))
}
