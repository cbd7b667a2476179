//! Checks that dependencies point in one direction: between crates as ARCHITECTURE.md orders them,
//! and between the modules of a crate without a circle.
//!
//! The check reads the text of the sources, takes well under a second, and compiles nothing. It
//! sees paths; a method call on a value is not an import.

mod crates;
mod graph;
mod modules;
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::steps::Result;
use crate::workspace;

/// Checks both.
pub(crate) fn layers() -> Result<()> {
    crate_order()?;
    module_order()
}

// invariant: Only `host/runtime` depends on wasmtime.
/// Checks that every package depends on packages below it alone.
pub(crate) fn crate_order() -> Result<()> {
    let mut wrong = Vec::new();
    for folder in packages(&workspace::files()?) {
        let manifest = folder.join("Cargo.toml");
        let text = fs::read_to_string(workspace::root().join(&manifest))
            .map_err(|error| format!("cannot read {}: {error}", manifest.display()))?;
        wrong.extend(crates::wrong(folder, &crates::package(&text)));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Checks that no modules of a crate import each other in a circle.
pub(crate) fn module_order() -> Result<()> {
    let mut found = Vec::new();
    let files = workspace::files()?;
    for folder in packages(&files) {
        for root in roots(&files, folder) {
            found.extend(circles(root, &|file| fs::read_to_string(workspace::root().join(file)).ok()));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

/// Describes each circle of modules in a crate, with the lines that import.
fn circles(root: &Path, read: modules::ReadFile) -> Vec<String> {
    let imports = modules::imports(root, read);
    let edges: BTreeMap<_, _> =
        imports.iter().map(|(module, targets)| (module.clone(), targets.keys().cloned().collect())).collect();
    let describe = |circle: Vec<modules::ModulePath>| {
        let mut way: Vec<String> = circle.iter().map(shown).collect();
        way.extend(way.first().cloned());
        let mut text = format!("a circle of modules in {}: {}", root.display(), way.join(" -> "));
        for (from, to) in circle.iter().zip(circle.iter().cycle().skip(1)) {
            let place = &imports[from][to];
            text.push_str(&format!("\n  {}:{} imports {}", place.file.display(), place.line, shown(to)));
        }
        text
    };
    graph::circles(&edges).into_iter().map(describe).collect()
}

fn shown(module: &modules::ModulePath) -> String {
    if module.is_empty() { "(root)".to_owned() } else { module.join("::") }
}

/// The folder of every package, relative to the workspace.
fn packages(files: &[PathBuf]) -> impl Iterator<Item = &Path> {
    let manifests = files.iter().filter(|file| file.ends_with("Cargo.toml"));
    manifests.filter_map(|file| file.parent()).filter(|folder| *folder != Path::new(""))
}

/// Returns the root files of a package's library and programs.
fn roots<'a>(files: &'a [PathBuf], package: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
    files.iter().filter(move |file| {
        let Ok(file) = file.strip_prefix(package) else { return false };
        let is_program = ["src/bin", "fuzz_targets"].iter().any(|folder| file.parent() == Some(Path::new(folder)));
        is_program || file == Path::new("src/lib.rs") || file == Path::new("src/main.rs")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::circles;

    /// The circles of a crate whose files are given by name and text.
    fn of(files: &[(&str, &str)]) -> Vec<String> {
        circles(Path::new("lib.rs"), &|asked| {
            files.iter().find(|(name, _)| Path::new(name) == asked).map(|(_, text)| (*text).to_owned())
        })
    }

    /// The one circle of a crate.
    fn only(files: &[(&str, &str)]) -> String {
        let circles = of(files);
        assert_eq!(circles.len(), 1, "{circles:?}");
        circles[0].clone()
    }

    #[test]
    fn modules_in_an_order_are_no_circle() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "use std::fmt; pub struct B;"),
        ];
        assert_eq!(of(&files), Vec::<String>::new());
    }

    #[test]
    fn a_circle_is_shown_with_the_lines_that_import() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "//! Doc.\nuse crate::b::B;\npub struct A;"),
            ("b.rs", "use super::a::A;\npub struct B;"),
        ];
        let expected = "a circle of modules in lib.rs: a -> b -> a\n  a.rs:2 imports b\n  b.rs:1 imports a";
        assert_eq!(only(&files), expected);
    }

    #[test]
    fn a_re_export_counts_as_the_module_that_it_re_exports() {
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
            ("a.rs", "use crate::B; pub struct A;"),
            ("b.rs", "use crate::A; pub struct B;"),
        ];
        assert!(only(&files).contains(": a -> b -> a\n"));
    }

    #[test]
    fn a_parent_that_only_re_exports_is_fine_and_one_that_uses_is_not() {
        let child = ("a/b.rs", "use super::C; pub struct B;");
        let other = ("a/c.rs", "pub struct C;");
        let map = [("lib.rs", "mod a;"), ("a/mod.rs", "mod b; mod c; pub use b::B; pub use c::C;"), child, other];
        assert_eq!(of(&map), Vec::<String>::new());
        let map = "pub use b::B; macro_rules! m { () => { B::new() } } mod b; mod c;";
        assert_eq!(of(&[("lib.rs", "mod a;"), ("a.rs", map), child, other]), Vec::<String>::new());
        let child = ("a/b.rs", "use super::Context; pub struct B;");
        for using in ["pub use b::B; fn f(b: B) {}", "use b::B;", "fn f() { b::run() }", "fn f(b: self::b::B) {}"] {
            let parent = format!("mod b; pub struct Context; {using}");
            let circle = only(&[("lib.rs", "mod a;"), ("a.rs", &parent), child]);
            assert!(circle.contains(": a -> a::b -> a\n"), "{circle}");
        }
    }

    #[test]
    fn a_name_that_a_parent_imports_is_not_the_parents() {
        let files = [
            ("lib.rs", "mod a; mod c;"),
            ("a.rs", "mod b; use crate::c::C; fn f() { b::run() }"),
            ("a/b.rs", "use super::C;"),
            ("c.rs", "pub struct C;"),
        ];
        assert_eq!(of(&files), Vec::<String>::new());
    }

    #[test]
    fn nested_trees_and_other_names_are_followed() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod c; mod d;"),
            ("a/c.rs", "use crate::{b as other, a::{d::{self, D}, c::C}};"),
            ("a/d.rs", "use crate::b; fn f() { b::g() }"),
            ("b.rs", "pub(crate) use crate::a::c as mine; fn g() { mine::h() }"),
        ];
        let circles = of(&files);
        assert!(circles[0].contains(": a::c -> b -> a::c\n"), "{circles:?}");
        assert!(circles[1].contains(": a::d -> b -> a::c -> a::d\n"), "{circles:?}");
    }

    #[test]
    fn paths_in_expressions_types_attributes_and_macros_are_imports() {
        for text in [
            "fn f() { crate::b::g() }",
            "fn f() -> Option<super::b::B> { None }",
            "struct S { #[serde(with = \"crate::b\")] field: u8 }",
            "macro_rules! m { () => { $crate::b::g() } }",
            "mod inner { fn f() { super::super::b::g() } }",
        ] {
            let circle = only(&[("lib.rs", "mod a; mod b;"), ("a.rs", text), ("b.rs", "use crate::a;")]);
            assert!(circle.contains(": a -> b -> a\n"), "{text}: {circle}");
        }
    }

    #[test]
    fn comments_strings_and_tests_import_nothing() {
        for text in [
            "/// See [`crate::b::B`].\nstruct A;",
            "const A: &str = \"crate::b::B\";",
            "#[cfg(test)]\nmod tests { use crate::b::B; }",
            "#[cfg(test)]\nuse crate::b::{B, C};\nstruct A;",
            "struct A { #[cfg(test)] field: crate::b::B, other: u8 }",
            "#![cfg(test)]\nuse crate::b::B;",
            "#[cfg(test)]\nmod tests;",
        ] {
            let files = [
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", text),
                ("a/tests.rs", "use crate::b::B;"),
                ("b.rs", "use crate::a;"),
            ];
            assert_eq!(of(&files), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn code_after_a_test_is_read() {
        let text = "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::b::B;";
        let circle = only(&[("lib.rs", "mod a; mod b;"), ("a.rs", text), ("b.rs", "use crate::a;")]);
        assert!(circle.contains("a.rs:3 imports b"), "{circle}");
    }
}
