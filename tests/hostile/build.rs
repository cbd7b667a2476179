//! Encodes the shapes: components that no Rust author could write. Most are core modules in text
//! form, which `wit-component` turns into components; some are whole components.
//!
//! `tests/hostile/shapes.rs` has what must become of each, under the same name. It also encodes the
//! models that keep state.

use std::collections::BTreeSet;
use std::path::PathBuf;

#[path = "build/keepers.rs"]
mod keepers;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldItem};

const WIT: &str = "../../wit";

fn main() {
    println!("cargo::rerun-if-changed={WIT}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("imports.txt"), imports()).expect("a file in OUT_DIR");
    let folder = out.join("shapes");
    // Files of removed shapes must not stay.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder in OUT_DIR");
    for (name, shape) in shapes() {
        std::fs::write(folder.join(format!("{name}.wasm")), build(&shape)).expect("a file in OUT_DIR");
    }
    for (name, bytes) in keepers::components(WIT) {
        std::fs::write(folder.join(format!("keeps-{name}.wasm")), bytes).expect("a file in OUT_DIR");
    }
}

/// Returns the functions that the worlds import, a line each: interface and name.
fn imports() -> String {
    let mut resolve = Resolve::default();
    let (stage, _) = resolve.push_path(WIT).unwrap_or_else(|error| panic!("{WIT}: {error:#}"));
    let mut lines = BTreeSet::new();
    for world in resolve.packages[stage].worlds.values() {
        for item in resolve.worlds[*world].imports.values() {
            match item {
                WorldItem::Interface { id, .. } => {
                    let interface = &resolve.interfaces[*id];
                    let name = interface.name.as_deref().unwrap_or_default();
                    lines.extend(interface.functions.keys().map(|function| format!("{name}#{function}\n")));
                }
                WorldItem::Function(function) => {
                    lines.insert(format!("#{}\n", function.name));
                }
                WorldItem::Type { .. } => {}
            }
        }
    }
    lines.into_iter().collect()
}

/// An endless loop.
const LOOP: &str = "(loop (br 0))";
/// The schema of a component that accepts every parameter.
const SCHEMA: &str = r#"{"type":"object"}"#;

/// Returns all shapes by name.
fn shapes() -> Vec<(&'static str, Shape)> {
    let plain = |items: &str, describe| Shape::Core { items: items.into(), describe, schema: SCHEMA.into() };
    let schema = |schema: String| Shape::Core { items: String::new(), describe: "", schema };
    let text = |text: &str| Shape::Component(text.into());
    let recursion = "(func $deep (call $deep) (call $deep))";
    // That many core instances of one module.
    let instances = |count: usize, module: &str| -> Shape {
        let instances = "(core instance (instantiate $m))".repeat(count);
        Shape::Component(exporting(&format!("(core module $m {module}) {instances}")))
    };
    vec![
        ("start-loop", plain(&format!("(func $start {LOOP}) (start $start)"), "")),
        ("describe-loop", plain("", LOOP)),
        (
            "post-return-loop",
            plain(
                &format!(r#"(func (export "cabi_post_stagewright:stage/metadata@0.2.0#describe") (param i32) {LOOP})"#),
                "",
            ),
        ),
        (
            "realloc-loop",
            plain(
                &format!(r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {LOOP} unreachable)"#),
                "",
            ),
        ),
        ("many-memories", instances(5, "(memory 256)")),
        (
            "growing-memories",
            instances(5, "(memory 0) (func $grow (drop (memory.grow (i32.const 256)))) (start $grow)"),
        ),
        ("too-many-memories", instances(1, &"(memory 0)".repeat(9))),
        ("shared-memory", text(&exporting("(core module $m (memory 1 2 shared))"))),
        (
            "table-bomb",
            plain("(table $t 0 funcref)", "(loop (drop (table.grow $t (ref.null func) (i32.const 1000))) (br 0))"),
        ),
        ("tables-bomb", instances(2, "(table 60000 funcref)")),
        ("huge-table", plain("(table $t 1000000 funcref)", "")),
        ("instance-bomb", instances(150, "")),
        ("nested-components", Shape::Binary(nested(1000))),
        ("start-recursion", plain(&format!("{recursion} (start $deep)"), "")),
        ("describe-recursion", plain(recursion, "(call $deep)")),
        (
            "giant-description",
            plain("", "(drop (memory.grow (i32.const 800))) (i32.store (i32.const 92) (i32.const 40000000))"),
        ),
        (
            "long-description",
            plain(
                "",
                "(drop (memory.grow (i32.const 100))) (memory.fill (i32.const 65536) (i32.const 32) (i32.const 2000000)) (i32.store (i32.const 88) (i32.const 65536)) (i32.store (i32.const 92) (i32.const 2000000))",
            ),
        ),
        ("description-outside", plain("", "(i32.store (i32.const 88) (i32.const 0x7fffffff))")),
        ("deep-schema", schema("[".repeat(4000))),
        ("schema-of-itself", schema(r##"{"properties":{"a":{"$ref":"#"}}}"##.into())),
        ("schema-with-names-that-decode", schema(doubling())),
        ("schema-with-a-large-pattern", schema(r#"{"properties":{"a":{"pattern":"((\\pL{50}){50}){50}"}}}"#.into())),
        ("schema-with-many-patterns", schema(format!(r#"{{"patternProperties":{{{}}}}}"#, many_patterns()))),
        ("sockets", import("wasi:sockets/tcp@0.2.6")),
        ("filesystem", import("wasi:filesystem/types@0.2.6")),
        ("http", import("wasi:http/outgoing-handler@0.2.6")),
        ("key-value", import("wasi:keyvalue/store@0.2.0-draft")),
        ("exotic", import("evil:corp/backdoor@1.0.0")),
        ("unknown-wasi", import("wasi:cli/shell@0.2.6")),
        ("other-worlds-sources", ours("sources")),
        ("other-worlds-models", ours("models")),
        ("other-worlds-tables", ours("tables")),
        ("wasi-0.3", import("wasi:io/poll@0.3.0")),
        ("wasi-0.2.99", random()),
        ("contract-0.1.0", text(&exporting("").replace("@0.2.0", "@0.1.0"))),
        ("contract-0.3.0", text(&exporting("").replace("@0.2.0", "@0.3.0"))),
        ("contract-mixed", text(&exporting(r#"(import "stagewright:stage/tables@0.3.0" (instance))"#))),
        ("exports-of-no-type", text(&exporting(""))),
        ("not-a-component", text("(component)")),
        (
            "escapes-for-a-name",
            plain(r#"(data (i32.const 300) "\1b[2Jx")"#, "(i32.store (i32.const 64) (i32.const 300))"),
        ),
        (
            "name-not-utf8",
            plain(r#"(data (i32.const 300) "\ff\fe\fd\fc\fb")"#, "(i32.store (i32.const 64) (i32.const 300))"),
        ),
    ]
}

/// Returns a component with the names of a promotion's exports and no content, around other items.
fn exporting(items: &str) -> String {
    format!(
        r#"(component {items} (instance $none)
            (export "stagewright:stage/metadata@0.2.0" (instance $none))
            (export "stagewright:stage/decide@0.2.0" (instance $none)))"#
    )
}

/// Returns components nested in each other, in binary, because the parser of the text form refuses
/// such depth.
fn nested(depth: usize) -> Vec<u8> {
    const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";
    const COMPONENT_SECTION: u8 = 4;
    (0..depth).fold(PREAMBLE.to_vec(), |inner, _| {
        let mut outer = PREAMBLE.to_vec();
        outer.push(COMPONENT_SECTION);
        let mut length = inner.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(inner);
        outer
    })
}

/// Returns sixty definitions, each of which refers twice to the one before. Their names differ once
/// they are decoded; under the names as written, the definitions are harmless.
fn doubling() -> String {
    let encoded = |level: u32| format!("l%{:x}", u32::from(b'0') + level % 10) + &"x".repeat(level as usize / 10);
    let decoded = |level: u32| format!("l{}", level % 10) + &"x".repeat(level as usize / 10);
    let twice = |level: u32| {
        let before = format!(r##"{{"$ref":"#/$defs/{}"}}"##, encoded(level - 1));
        format!(r#""{}":{{}},"{}":{{"allOf":[{before},{before}]}}"#, encoded(level), decoded(level))
    };
    let levels: Vec<String> = (1..60).map(twice).collect();
    let first = format!(r#""{}":{{}},"{}":{{"type":"object"}}"#, encoded(0), decoded(0));
    format!(r##"{{"$ref":"#/$defs/{}","$defs":{{{first},{}}}}}"##, encoded(59), levels.join(","))
}

fn many_patterns() -> String {
    (0..200).map(|number| format!(r#""^a{number}$":{{}}"#)).collect::<Vec<_>>().join(",")
}

/// Returns a shape that imports an invented interface.
fn import(interface: &'static str) -> Shape {
    Shape::Import { wit: "", module: interface, function: "open", parameters: "" }
}

/// Returns a shape that imports WASI's random numbers in a future version.
fn random() -> Shape {
    let wit = "package wasi:random@0.2.99;\ninterface random { get-random-u64: func() -> u64; }";
    Shape::Import { wit, module: "wasi:random/random@0.2.99", function: "get-random-u64", parameters: "(result i64)" }
}

/// Returns a shape that imports an interface of ours that the world `promotion` lacks.
fn ours(interface: &'static str) -> Shape {
    let (module, function, parameters) = match interface {
        "sources" => ("stagewright:stage/sources@0.2.0", "open", "(param i32 i32 i32)"),
        "models" => ("stagewright:stage/models@0.2.0", "[method]model.importance", "(param i32 i32)"),
        _ => ("stagewright:stage/tables@0.2.0", "[method]table.rows", "(param i32) (result i64)"),
    };
    Shape::Import { wit: "ours", module, function, parameters }
}

/// Returns the WIT of a package with one interface of one function.
fn package_of(interface: &str) -> String {
    let (path, version) = interface.split_once('@').expect("a version");
    let (package, name) = path.split_once('/').expect("an interface");
    format!("package {package}@{version};\ninterface {name} {{ open: func(); }}")
}

fn build(shape: &Shape) -> Vec<u8> {
    match shape {
        Shape::Core { items, describe, schema } => component(&core(items, describe, schema), None),
        Shape::Import { wit, module, function, parameters } => {
            let items = format!(r#"(import "{module}" "{function}" (func {parameters}))"#);
            let package = match *wit {
                "" => package_of(module),
                "ours" => String::new(),
                wit => wit.to_owned(),
            };
            component(&core(&items, "", SCHEMA), Some((&package, module)))
        }
        Shape::Binary(bytes) => bytes.clone(),
        Shape::Component(text) => wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}")),
    }
}

/// A component.
enum Shape {
    /// A core module for the world `promotion`: its items before `describe`, the body of
    /// `describe`, and the schema that it returns.
    Core { items: String, describe: &'static str, schema: String },
    /// A core module with an import of an interface from a package of this WIT.
    Import { wit: &'static str, module: &'static str, function: &'static str, parameters: &'static str },
    /// A component in text form.
    Component(String),
    /// A component's bytes.
    Binary(Vec<u8>),
}

/// Returns a core module with a valid description: strings in its memory at 256, the record of
/// their positions at 64.
fn core(items: &str, describe: &str, schema: &str) -> String {
    let escaped: String = schema.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let places = [(256, 5), (264, 5), (272, 0), (512, schema.len() as u32), (0, 0)];
    let record: String = places
        .iter()
        .flat_map(|(start, length)| [*start as u32, *length])
        .flat_map(u32::to_le_bytes)
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    format!(
        r#"(module
            {items}
            (memory (export "memory") 2)
            (data (i32.const 64) "{record}")
            (data (i32.const 256) "shape")
            (data (i32.const 264) "0.1.0")
            (data (i32.const 512) "{escaped}")
            (func (export "stagewright:stage/metadata@0.2.0#describe") (result i32) {describe} (i32.const 64))
            (func (export "stagewright:stage/decide@0.2.0#decide")
                (param i32) (result i32) unreachable)
            {realloc}
        )"#,
        realloc = if items.contains("cabi_realloc") {
            ""
        } else {
            r#"(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))"#
        },
    )
}

/// Makes a component for the world `promotion`, with further imports, from a core module.
fn component(module: &str, imports: Option<(&str, &str)>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (stage, _) = resolve.push_path(WIT).unwrap_or_else(|error| panic!("{WIT}: {error:#}"));
    let world = match imports {
        None => resolve.select_world(&[stage], Some("promotion")).expect("a world"),
        Some((text, interface)) => {
            if !text.is_empty() {
                resolve.push_str("odd.wit", text).unwrap_or_else(|error| panic!("{error:#}"));
            }
            let odd = format!(
                "package hostile:odd;\nworld odd {{ include stagewright:stage/promotion@0.2.0; import {interface}; }}"
            );
            let package = resolve.push_str("world.wit", &odd).unwrap_or_else(|error| panic!("{error:#}"));
            resolve.select_world(&[package], Some("odd")).expect("a world")
        }
    };
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("metadata");
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).unwrap_or_else(|error| panic!("{error:#}"));
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
}
