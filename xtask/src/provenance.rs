//! The provenance in stages and programs: the packages that they consist of, and for stages version
//! and licence.
//!
//! The formats are established ones, so that other tools read them: notes as `wasm-tools metadata`
//! writes them, and packages as cargo-auditable does (a JSON list in zlib format, in a custom
//! section of a component or a section of an ELF file). The same `Cargo.lock` gives the same bytes.
//! Nothing is compressed, because xtask has no dependencies and zlib permits stored blocks.

use std::fs;
use std::path::Path;

use crate::elf;
use crate::steps::{Result, output};
use crate::workspace::{STAGE, cargo};

/// The licence of the workspace. Packages of others name their own.
const LICENCE: &str = "Apache-2.0";

/// The section with the packages.
const PACKAGES: &str = ".dep-v0";

/// The programs of an installation, each with the features that it is built with.
pub(crate) const PROGRAMS: [(&str, &[&str]); 2] = [("stagewright", &[]), (STAGE, &["--features", "alone"])];

/// Returns the sections to append to a stage's component. `manifest` is that of its workspace.
pub(crate) fn sections(stage: &str, target: &str, manifest: &Path) -> Result<Vec<u8>> {
    let manifest = manifest.to_str().ok_or("the path of the workspace is not Unicode")?;
    let Packages { version, json } = packages(stage, &["--target", target, "--manifest-path", manifest])?;
    let notes = [("version", version.as_bytes()), ("licenses", LICENCE.as_bytes())];
    let mut bytes: Vec<u8> = notes.into_iter().flat_map(|(name, text)| custom(name, text)).collect();
    bytes.extend(custom(PACKAGES, &zlib(json.as_bytes())));
    Ok(bytes)
}

/// Returns a program of an installation with the list of its packages. On systems without ELF files
/// the program is unchanged.
///
/// # Errors
///
/// The file is no program of an installation, or its packages cannot be listed.
pub(crate) fn program(built: &Path, features: &[&str]) -> Result<Vec<u8>> {
    let name = built.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !PROGRAMS.iter().any(|(program, _)| *program == name) {
        return Err(format!("{} is no program of an installation", built.display()));
    }
    let bytes = fs::read(built).map_err(|error| format!("cannot read {}: {error}", built.display()))?;
    if !elf::is_one(&bytes) {
        return Ok(bytes);
    }
    let Packages { json, .. } = packages(name, features)?;
    elf::with_section(&bytes, PACKAGES, &zlib(json.as_bytes()))
        .ok_or_else(|| format!("{} has no sections to which one could be added", built.display()))
}

struct Packages {
    /// The version of the first package.
    version: String,
    json: String,
}

/// Lists the packages that a package of the workspace is built of, without procedural macros and
/// their dependencies.
fn packages(package: &str, more: &[&str]) -> Result<Packages> {
    let mut command = cargo();
    command.args(["tree", "--package", package]).args(more);
    command.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--no-dedupe", "--format", "{p}"]);
    let tree = output(&mut command)?;
    // A line is `name v1.2.3`, followed by a path in parentheses for a local package.
    let mut packages: Vec<(&str, &str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            let is_local = words.next().is_some_and(|place| place.starts_with("(/"));
            Some((name, version, if is_local { "local" } else { "crates.io" }))
        })
        .collect();
    let (_, version, _) = packages.first().ok_or(format!("cargo tree knows nothing of {package}"))?;
    let version = (*version).to_owned();
    packages.sort_unstable();
    packages.dedup();
    let listed: Vec<String> = packages
        .iter()
        .map(|(name, version, source)| {
            let root = if *name == package { ",\"root\":true" } else { "" };
            format!("{{\"name\":\"{name}\",\"version\":\"{version}\",\"source\":\"{source}\"{root}}}")
        })
        .collect();
    Ok(Packages { version, json: format!("{{\"packages\":[{}]}}", listed.join(",")) })
}

/// Returns a custom section of a Wasm file.
fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let content = [&leb(name.len())[..], name.as_bytes(), data].concat();
    [&[0][..], &leb(content.len()), &content].concat()
}

/// Encodes an unsigned number as LEB128.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Wraps data in zlib format (RFC 1950, RFC 1951) with stored blocks only.
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x78, 0x01];
    let mut blocks = data.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        bytes.push(u8::from(blocks.peek().is_none()));
        bytes.extend(length.to_le_bytes());
        bytes.extend((!length).to_le_bytes());
        bytes.extend(block);
    }
    let (low, high) = data.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    bytes.extend((high << 16 | low).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_of_an_installation_lists_its_own_packages() {
        let listed = PROGRAMS.map(|(name, features)| packages(name, features).expect("a list").json);
        let has = |list: &str, package: &str| list.contains(&format!("{{\"name\":\"{package}\","));
        for ((name, _), list) in PROGRAMS.iter().zip(&listed) {
            let root = list.split("},").filter(|package| package.contains("\"root\":true"));
            assert!(root.clone().all(|package| package.contains(&format!("\"name\":\"{name}\""))), "{list}");
            assert_eq!(root.count(), 1, "{list}");
            assert!(has(list, "wasmtime") && has(list, "stagewright-jail"), "{list}");
        }
        // Each program lists only its own packages.
        assert!(has(&listed[0], "cranelift-codegen") && !has(&listed[1], "cranelift-codegen"), "{}", listed[1]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_with_its_list_runs_and_the_list_is_read_again() {
        let own = std::env::current_exe().expect("this program");
        let folder = own.with_file_name(format!("provenance-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let (name, features) = PROGRAMS[1];
        let built = folder.join(name);
        fs::copy(&own, &built).expect("a program");
        let with = program(&built, features).expect("a list");
        let Packages { json, .. } = packages(name, features).expect("a list");
        assert_eq!(elf::section(&with, PACKAGES), Some(zlib(json.as_bytes()).as_slice()));
        // A copy keeps the permission to execute; its bytes are replaced.
        fs::write(&built, &with).expect("written");
        let ended = std::process::Command::new(&built).arg("--list").output().expect("it starts");
        fs::remove_dir_all(&folder).expect("removed");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert!(program(&own, &[]).is_err(), "what is no program of an installation");
    }
}
