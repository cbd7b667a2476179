//! What built-in stages say of where they come from: version, licence, and the packages in them, as custom sections of the component.
//!
//! Formats are those of others, so that their tools read them: notes as `wasm-tools metadata` writes them, packages as cargo-auditable does (a list in JSON, zlib). The same
//! `Cargo.lock` makes the same bytes. Nothing is compressed: an xtask has no dependencies, and zlib allows blocks as they are.

use crate::build::cargo;
use crate::steps::{Result, output};

/// The licence of the workspace; its packages name their own.
const LICENCE: &str = "Apache-2.0";

/// The sections of a stage, to be put at the end of its component.
pub(crate) fn sections(stage: &str, target: &str) -> Result<Vec<u8>> {
    let tree = output(cargo().args(["tree", "--package", stage, "--target", target]).args([
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}",
    ]))?;
    // `name v1.2.3`, and in parentheses a path. Procedural macros and what they need are no part of what is built.
    let mut packages: Vec<(&str, &str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
            Some((
                name,
                version,
                if words.next().is_some_and(|place| place.starts_with("(/")) { "local" } else { "crates.io" },
            ))
        })
        .collect();
    let version =
        packages.first().map(|(_, version, _)| *version).ok_or(format!("cargo tree knows nothing of {stage}"))?;
    packages.sort_unstable();
    packages.dedup();
    let listed: Vec<String> = packages
        .iter()
        .map(|(name, version, source)| {
            let root = if *name == stage { ",\"root\":true" } else { "" };
            format!("{{\"name\":\"{name}\",\"version\":\"{version}\",\"source\":\"{source}\"{root}}}")
        })
        .collect();
    let json = format!("{{\"packages\":[{}]}}", listed.join(","));
    let notes = [("version", version.as_bytes()), ("licenses", LICENCE.as_bytes())];
    let mut bytes: Vec<u8> = notes.into_iter().flat_map(|(name, text)| custom(name, text)).collect();
    bytes.extend(custom(".dep-v0", &zlib(json.as_bytes())));
    Ok(bytes)
}

/// A custom section of a Wasm file.
fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    let content = [&leb(name.len())[..], name.as_bytes(), data].concat();
    [&[0][..], &leb(content.len()), &content].concat()
}

/// An unsigned number in LEB128.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// RFC 1950 and 1951, with stored blocks alone.
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
