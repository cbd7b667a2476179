//! Reads a component's sections without compiling it: imports, exports, and metadata about its
//! origin.
//!
//! This does not validate the component; the compiler does. Texts of the component are unverified
//! claims of its author, and are cut and escaped here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stagewright_lifecycle::fault::{guest_name, guest_text};
use wasmparser::{BinaryReader, CustomSectionReader, Encoding, Parser, Payload, ProducersSectionReader};

/// Custom sections that hold one text each, as `wasm-tools metadata add` writes them.
const NOTES: [&str; 7] = ["authors", "description", "homepage", "licenses", "revision", "source", "version"];

/// The section in which tools record languages, compilers and kits.
const PRODUCERS: &str = "producers";

/// The section of cargo-auditable: the packages that the component was built from, as compressed
/// JSON.
const PACKAGES: &str = ".dep-v0";

/// The most bytes of all lists of packages together, unpacked. 10,000 packages take one megabyte.
const MAX_PACKAGES_BYTES: usize = 4 << 20;

/// The most lists of packages that are read. Each module in a component has one.
const MAX_LISTS: usize = 64;

/// The most entries of each list whose length the component decides: imports, exports, tools,
/// packages.
const MAX_ENTRIES: usize = 10_000;

/// The most bytes of a text that are read.
const MAX_NOTE_BYTES: usize = 16 << 10;

/// The deepest nesting of modules and components. Linked components nest once, composed ones a few
/// times. The parser uses memory for each level.
const MAX_DEPTH: usize = 100;

/// A component's claims about its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// Languages, tools and kits with their versions, by `language`, `processed-by` and `sdk`.
    pub producers: BTreeMap<String, BTreeSet<String>>,
    /// Texts by name: version, licenses, authors and others.
    pub notes: BTreeMap<String, String>,
    /// The packages that it was built from (its software bill of materials), if it lists any.
    pub packages: Option<Vec<Package>>,
}

/// A package of a software bill of materials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its origin: `crates.io`, `git`, `local` or `registry`.
    #[serde(default)]
    pub source: String,
}

/// The names of the interfaces that a component imports and exports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// The imports, exports and metadata of a component.
#[derive(Debug, Clone, Default)]
pub(crate) struct ComponentSections {
    pub(crate) interfaces: Interfaces,
    pub(crate) provenance: Provenance,
}

/// Reads a component.
///
/// # Errors
/// Returns why the bytes are not a component.
pub(crate) fn read(bytes: &[u8]) -> Result<ComponentSections, String> {
    let mut sections = ComponentSections::default();
    let mut left = Remaining { lists: MAX_LISTS, bytes: MAX_PACKAGES_BYTES, values: MAX_ENTRIES };
    // The nesting depth of the current section.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let broken = |error: wasmparser::BinaryReaderError| guest_text(&error.to_string());
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err("it is a core module; a stage is a component".into());
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("modules and components lie in one another more than {MAX_DEPTH} deep"));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = guest_name(import.map_err(broken)?.name.name);
                    push(&mut sections.interfaces.imports, name, "imports")?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let name = guest_name(export.map_err(broken)?.name.name);
                    push(&mut sections.interfaces.exports, name, "exports")?;
                }
            }
            Payload::CustomSection(section) => sections.provenance.take(&section, depth, &mut left),
            _ => {}
        }
    }
    Ok(sections)
}

/// Adds a name to a list, which has at most [`MAX_ENTRIES`].
fn push(names: &mut Vec<String>, name: String, what: &str) -> Result<(), String> {
    if names.len() == MAX_ENTRIES {
        return Err(format!("it has more than {MAX_ENTRIES} {what}"));
    }
    names.push(name);
    Ok(())
}

/// The amounts that may still be read, over all sections of a component.
struct Remaining {
    /// Lists of packages.
    lists: usize,
    /// Bytes of these lists, unpacked.
    bytes: usize,
    /// Names and versions of tools.
    values: usize,
}

impl Provenance {
    /// Reads a custom section. One that cannot be read is ignored, since it does not affect what
    /// runs.
    fn take(&mut self, section: &CustomSectionReader<'_>, depth: usize, left: &mut Remaining) {
        match section.name() {
            PRODUCERS => self.take_producers(section, left),
            // The texts of nested modules describe these modules only.
            name if depth == 0 && NOTES.contains(&name) => {
                let data = &section.data()[..section.data().len().min(MAX_NOTE_BYTES)];
                let text = guest_name(&String::from_utf8_lossy(data));
                self.notes.insert(section.name().to_owned(), text);
            }
            PACKAGES => {
                let Some(lists) = left.lists.checked_sub(1) else { return };
                left.lists = lists;
                if let Some(packages) = packages(section.data(), &mut left.bytes) {
                    let all = self.packages.get_or_insert_default();
                    all.extend(packages);
                    all.sort();
                    all.dedup();
                    all.truncate(MAX_ENTRIES);
                }
            }
            // Other sections are not decoded.
            _ => {}
        }
    }

    fn take_producers(&mut self, section: &CustomSectionReader<'_>, left: &mut Remaining) {
        let reader = BinaryReader::new(section.data(), section.data_offset());
        for field in ProducersSectionReader::new(reader).into_iter().flatten().flatten() {
            for value in field.values.into_iter().flatten() {
                let Some(values) = left.values.checked_sub(1) else { return };
                left.values = values;
                let kept = self.producers.entry(guest_name(beginning(field.name))).or_default();
                let (name, version) = (beginning(value.name), beginning(value.version));
                kept.insert(guest_name(format!("{name} {version}").trim()));
            }
        }
    }
}

/// Returns the beginning of a text, up to [`MAX_NOTE_BYTES`].
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_NOTE_BYTES)]
}

/// Unpacks a list of packages of at most `left` bytes, and subtracts its size from `left`. A longer
/// list is ignored and sets `left` to 0.
fn packages(data: &[u8], left: &mut usize) -> Option<Vec<Package>> {
    #[derive(Deserialize)]
    struct List {
        packages: Vec<Package>,
    }
    let most = std::mem::take(left);
    let json = match miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(data, most) {
        Ok(json) => json,
        Err(failed) => {
            // The bytes that were unpacked before the failure count too.
            *left = most - failed.output.len().min(most);
            return None;
        }
    };
    *left = most - json.len();
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

    /// Encodes a section; lengths below 128 take one byte.
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
    fn imports_of_nested_components_are_not_the_components() {
        let import = section(10, b"\x01\x00\x03a:b\x01\x00");
        let inner = [COMPONENT, &section(10, b"\x01\x00\x03x:y\x01\x00")].concat();
        let bytes = [COMPONENT, &section(4, &inner), &import].concat();
        assert_eq!(read(&bytes).expect("a component").interfaces.imports, ["a:b"]);
    }

    #[test]
    fn bytes_that_are_no_component_are_refused_and_a_compression_bomb_is_ignored() {
        assert!(read(b"\0asm\x01\0\0\0").is_err_and(|reason| reason.contains("core module")));
        assert!(read(b"not wasm").is_err());
        assert!(read(&COMPONENT[..6]).is_err());
        let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; MAX_PACKAGES_BYTES + 1], 9);
        let mut left = MAX_PACKAGES_BYTES;
        assert_eq!(packages(&bomb, &mut left), None);
        assert_eq!(left, 0, "what was unpacked counts");
        left = 100;
        assert_eq!(packages(b"no zlib", &mut left), None);
        assert!((1..=100).contains(&left), "{left}");
    }

    /// Encodes a section of any length.
    fn long_section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id][..], &leb(content.len()), content].concat()
    }

    fn long_custom(name: &str, data: &[u8]) -> Vec<u8> {
        long_section(0, &[&[name.len() as u8][..], name.as_bytes(), data].concat())
    }

    #[test]
    fn lists_of_packages_are_unpacked_up_to_a_total() {
        let list = |number: usize, bytes: usize| {
            let json = format!(r#"{{"packages":[{{"name":"p{number}","version":"1"}}]{}}}"#, " ".repeat(bytes));
            long_custom(PACKAGES, &miniz_oxide::deflate::compress_to_vec_zlib(json.as_bytes(), 9))
        };
        let named = |lists: Vec<Vec<u8>>| {
            let packages =
                read(&[COMPONENT.to_vec(), lists.concat()].concat()).expect("a component").provenance.packages;
            packages.expect("a list").into_iter().map(|package| package.name).collect::<Vec<_>>()
        };
        // Four lists of a megabyte exceed the total; a thousand take no longer to read.
        assert_eq!(named((0..1000).map(|number| list(number, 1 << 20)).collect()), ["p0", "p1", "p2"]);
        assert_eq!(named((0..1000).map(|number| list(number, 0)).collect()).len(), MAX_LISTS);
    }

    #[test]
    fn lists_of_a_component_are_bounded() {
        // A field with MAX_ENTRIES values, each with a version.
        let field = |name: &str| {
            let mut field = [&[name.len() as u8][..], name.as_bytes(), &leb(MAX_ENTRIES)].concat();
            (0..MAX_ENTRIES).for_each(|number| field.extend_from_slice(format!("\x05{number:05}\x01a").as_bytes()));
            field
        };
        let section = |name: &str| long_custom(PRODUCERS, &[&[1][..], &field(name)].concat());
        let bytes = [COMPONENT, &section("sdk"), &section("language"), &section("processed-by")].concat();
        let producers = read(&bytes).expect("a component").provenance.producers;
        assert_eq!(producers.values().map(BTreeSet::len).sum::<usize>(), MAX_ENTRIES);

        let imports = long_section(10, b"\x02\x00\x03a:b\x01\x00\x00\x03c:d\x01\x00");
        let bytes = [COMPONENT.to_vec(), imports.repeat(MAX_ENTRIES / 2)].concat();
        assert_eq!(read(&bytes).expect("a component").interfaces.imports.len(), MAX_ENTRIES);
        let bytes = [bytes, imports].concat();
        assert!(read(&bytes).is_err_and(|reason| reason.contains("more than 10000 imports")));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested =
            |depth| (0..depth).fold(COMPONENT.to_vec(), |inner, _| [COMPONENT, &long_section(4, &inner)].concat());
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        assert!(read(&nested(MAX_DEPTH + 1)).is_err_and(|reason| reason.contains("more than 100 deep")));
    }

    fn leb(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }
}
