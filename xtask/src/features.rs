//! The program of stages shares compiled crates with the host.
//!
//! Cargo builds that program by itself, so it chooses the features of each dependency by itself
//! too. A crate with other features is compiled again, with every crate above it.
//! `host/stage/Cargo.toml` names the features that the host has, and this check compares them.

use std::collections::BTreeSet;

use crate::steps::{Result, output};
use crate::workspace::{STAGE, cargo};

/// The crates that differ on purpose: those that bring the compiler, and ours without PostgreSQL
/// and S3.
const DIFFERENT: [&str; 7] =
    ["gimli", "object", "pulley-interpreter", "stagewright-", "wasmtime", "wasmtime-environ", "wasmtime-internal-"];

/// Checks that the program of stages has each third-party crate with the host's features.
///
/// # Errors
///
/// Names the crates whose features differ, and where to add them.
pub(crate) fn shared() -> Result<()> {
    let host = tree(&["--workspace"])?;
    let stage = tree(&["--package", STAGE, "--features", "alone"])?;
    let other: Vec<String> = different(&host, &stage);
    if other.is_empty() {
        return Ok(());
    }
    Err(format!(
        "the program of stages compiles these again, because the host has them with other features: {}\n\
         hint: name the host's features in host/stage/Cargo.toml",
        other.join("; ")
    ))
}

/// The crates of a build with their features: `NAME vVERSION FEATURE,FEATURE`.
fn tree(packages: &[&str]) -> Result<BTreeSet<String>> {
    let text = output(
        cargo().arg("tree").args(packages).args(["--edges", "normal", "--prefix", "none", "--format", "{p} {f}"]),
    )?;
    Ok(text.lines().map(|line| line.trim_end_matches(" (*)").trim_end().to_owned()).collect())
}

/// The lines of `stage` that `host` does not have, without the crates that differ on purpose.
fn different(host: &BTreeSet<String>, stage: &BTreeSet<String>) -> Vec<String> {
    let on_purpose = |line: &str| {
        let name = line.split(' ').next().unwrap_or_default();
        DIFFERENT.iter().any(|it| if it.ends_with('-') { name.starts_with(it) } else { name == *it })
    };
    stage.difference(host).filter(|line| !line.is_empty() && !on_purpose(line)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::different;

    #[test]
    fn a_crate_with_other_features_is_named_and_one_that_differs_on_purpose_is_not() {
        let set = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let host = set(&["memchr v2.8.3 alloc,default,std", "wasmtime v48.0.8 cranelift,std", "libc v0.2.191"]);
        let stage =
            set(&["memchr v2.8.3 alloc,std", "wasmtime v48.0.8 std", "libc v0.2.191", "stagewright-store v0.1.0"]);
        assert_eq!(different(&host, &stage), ["memchr v2.8.3 alloc,std"]);
    }
}
