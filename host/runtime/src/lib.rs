//! The sandbox: the only crate that names wasmtime.
