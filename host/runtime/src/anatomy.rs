//! What the bytes of a component say without being compiled: imports and exports, and who made it of what.
//!
//! Reads, never validates: the compiler does. Texts of the component are cut and escaped here; they are claims of whoever made the file.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stagewright_lifecycle::fault::{guest_name, guest_text};
use wasmparser::{CustomSectionReader, Encoding, KnownCustom, Parser, Payload};

use crate::admission::Interfaces;

/// Custom sections that hold one text each: what the component-model tools write (`wasm-tools metadata add`).
const NOTES: [&str; 7] = ["authors", "description", "homepage", "licenses", "revision", "source", "version"];

/// The section of cargo-auditable: the packages that went into the component, as compressed JSON.
const PACKAGES: &str = ".dep-v0";

/// The largest list of packages, unpacked: 10,000 packages take one megabyte.
const MAX_PACKAGES_BYTES: usize = 8 << 20;

/// The most that is kept of lists which a component makes as long as it likes.
const MAX_ENTRIES: usize = 10_000;

/// What a component says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// Languages, tools and kits, each with its versions, by `language`, `processed-by` and `sdk`.
    pub producers: BTreeMap<String, BTreeSet<String>>,
    /// Texts by name: version, licenses, authors and the like.
    pub notes: BTreeMap<String, String>,
    /// The packages that it was built from (its software bill of materials), if it lists them.
    pub packages: Option<Vec<Package>>,
}

/// One package of a bill of materials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it comes from: `crates.io`, `git`, `local` or `registry`.
    #[serde(default)]
    pub source: String,
}

/// What was read of a component.
#[derive(Debug, Clone, Default)]
pub(crate) struct Anatomy {
    pub(crate) interfaces: Interfaces,
    pub(crate) provenance: Provenance,
}

/// Reads a component.
///
/// # Errors
/// The bytes are no component: what is wrong with them.
pub(crate) fn read(bytes: &[u8]) -> Result<Anatomy, String> {
    let mut anatomy = Anatomy::default();
    // How deep the current section lies in modules and components within the component.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let broken = |error: wasmparser::BinaryReaderError| guest_text(&error.to_string());
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err("it is a core module; a stage is a component".into());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section.into_iter().take(MAX_ENTRIES) {
                    anatomy.interfaces.imports.push(guest_name(import.map_err(broken)?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section.into_iter().take(MAX_ENTRIES) {
                    anatomy.interfaces.exports.push(guest_name(export.map_err(broken)?.name.name));
                }
            }
            Payload::CustomSection(section) => anatomy.provenance.take(&section, depth),
            _ => {}
        }
    }
    Ok(anatomy)
}

impl Provenance {
    /// A custom section that cannot be read says nothing: it is of no consequence for what runs.
    fn take(&mut self, section: &CustomSectionReader<'_>, depth: usize) {
        match section.as_known() {
            KnownCustom::Producers(fields) => {
                for field in fields.into_iter().flatten() {
                    let kept = self.producers.entry(guest_name(field.name)).or_default();
                    for value in field.values.into_iter().flatten() {
                        if kept.len() < MAX_ENTRIES {
                            kept.insert(guest_name(format!("{} {}", value.name, value.version).trim()));
                        }
                    }
                }
            }
            // Those of modules within speak of themselves.
            _ if depth == 0 && NOTES.contains(&section.name()) => {
                let text = guest_name(&String::from_utf8_lossy(section.data()));
                self.notes.insert(section.name().to_owned(), text);
            }
            _ if section.name() == PACKAGES => {
                if let Some(packages) = packages(section.data()) {
                    let all = self.packages.get_or_insert_default();
                    all.extend(packages);
                    all.sort();
                    all.dedup();
                    all.truncate(MAX_ENTRIES);
                }
            }
            _ => {}
        }
    }
}

fn packages(data: &[u8]) -> Option<Vec<Package>> {
    #[derive(Deserialize)]
    struct List {
        packages: Vec<Package>,
    }
    let json = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(data, MAX_PACKAGES_BYTES).ok()?;
    let list: List = serde_json::from_slice(&json).ok()?;
    let shown = |text: String| guest_name(&text);
    let package = |Package { name, version, source }| Package {
        name: shown(name),
        version: shown(version),
        source: shown(source),
    };
    Some(list.packages.into_iter().take(MAX_ENTRIES).map(package).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    /// A section; lengths below 128 take one byte.
    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id, u8::try_from(content.len()).expect("short")][..], content].concat()
    }

    fn custom(name: &str, data: &[u8]) -> Vec<u8> {
        section(0, &[&[name.len() as u8][..], name.as_bytes(), data].concat())
    }

    #[test]
    fn notes_producers_and_packages_are_read() {
        let json = br#"{"packages":[{"name":"a","version":"1.0.0","source":"crates.io","root":true}]}"#;
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(json, 6);
        let producers = b"\x01\x08language\x01\x04Rust\x041.95";
        let bytes = [
            COMPONENT,
            &custom("version", b"1.2.3\x1b[31m"),
            &custom("producers", producers),
            &custom(".dep-v0", &packed),
            &custom("mine", b"x"),
        ]
        .concat();
        let Provenance { producers, notes, packages } = read(&bytes).expect("a component").provenance;
        assert_eq!(notes, BTreeMap::from([("version".to_owned(), "1.2.3\\u{1b}[31m".to_owned())]));
        assert_eq!(producers["language"], BTreeSet::from(["Rust 1.95".to_owned()]));
        let package = Package { name: "a".into(), version: "1.0.0".into(), source: "crates.io".into() };
        assert_eq!(packages, Some(vec![package]));
    }

    #[test]
    fn imports_and_exports_of_components_within_are_not_the_components() {
        let import = section(10, b"\x01\x00\x03a:b\x01\x00");
        let inner = [COMPONENT, &section(10, b"\x01\x00\x03x:y\x01\x00")].concat();
        let bytes = [COMPONENT, &section(4, &inner), &import].concat();
        assert_eq!(read(&bytes).expect("a component").interfaces.imports, ["a:b"]);
    }

    #[test]
    fn what_is_no_component_is_refused_and_a_bomb_of_packages_is_ignored() {
        assert!(read(b"\0asm\x01\0\0\0").is_err_and(|reason| reason.contains("core module")));
        assert!(read(b"not wasm").is_err());
        assert!(read(&COMPONENT[..6]).is_err());
        let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; MAX_PACKAGES_BYTES + 1], 9);
        assert_eq!(packages(&bomb), None);
        assert_eq!(packages(b"no zlib"), None);
    }
}
