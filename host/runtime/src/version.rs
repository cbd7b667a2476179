//! The versions in interface names: which of them this host answers, and how the author of a
//! component with another version can rebuild it.
//!
//! Names are compared without the patch number, as wasmtime's linker does: within a minor version,
//! the contract only gains interfaces.

use std::collections::BTreeSet;

use semver::Version;
use stagewright_lifecycle::fault::guest_name;

use crate::component_sections::{Interfaces, Provenance};
use crate::error::RuntimeError;

/// The version of the contract in `wit/`.
pub(crate) const CONTRACT: Version = Version::new(0, 2, 0);

/// The package of the contract.
const OURS: &str = "stagewright:stage";

/// The version of WASI. Any patch version of it is accepted.
const WASI: Version = Version::new(0, 2, 0);

/// The most versions that an error lists.
const MAX_NAMED: usize = 3;

/// A parsed name of the form `package/interface@version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) package: &'a str,
    pub(crate) interface: &'a str,
    version: Version,
}

impl<'a> Name<'a> {
    /// Parses a name. Returns `None` for another form, of which the host has no interfaces.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (path, version) = name.split_once('@')?;
        let (package, interface) = path.split_once('/')?;
        Some(Self { package, interface, version: Version::parse(version).ok()? })
    }

    /// Parses the name of an interface of the contract, of any version.
    fn of_contract(name: &'a str) -> Option<Self> {
        Self::parse(name).filter(|name| name.package == OURS)
    }

    /// Returns whether this is the given interface of the contract, in a version that this host
    /// answers.
    pub(crate) fn is_ours(&self, interface: &str) -> bool {
        self.package == OURS && self.interface == interface && answers(&CONTRACT, &self.version)
    }

    /// Returns whether its version is one of WASI that this host answers. The package is not
    /// checked.
    pub(crate) fn is_of_our_wasi(&self) -> bool {
        answers(&WASI, &self.version)
    }
}

/// Returns the full name of an interface of the contract.
pub(crate) fn interface(name: &str) -> String {
    format!("{OURS}/{name}@{CONTRACT}")
}

/// Returns whether an import of version `asked` links to an interface of version `own`. As in
/// wasmtime's linker, the two must be compatible by semantic versioning, and `asked` must not be a
/// pre-release.
pub(crate) fn answers(own: &Version, asked: &Version) -> bool {
    asked.pre.is_empty() && own.major == asked.major && (own.major > 0 || own.minor == asked.minor)
}

/// Returns the hint for a component that imports from a newer patch version of the contract.
pub(crate) fn newer_patch(import: &str) -> Option<String> {
    let asked = Name::of_contract(import)?.version;
    (asked > CONTRACT)
        .then(|| format!("it was made for contract {asked}, and this version has {CONTRACT}: use a newer stagewright"))
}

/// Checks that all of a component's names have a version of the contract that this host answers.
///
/// # Errors
/// [`RuntimeError::Contract`].
pub(crate) fn same_contract(
    interfaces: &Interfaces,
    name: &str,
    tool: impl FnOnce() -> Tool,
) -> Result<(), RuntimeError> {
    let spoken = || interfaces.imports.iter().chain(&interfaces.exports).filter_map(|name| Name::of_contract(name));
    if spoken().all(|name| answers(&CONTRACT, &name.version)) {
        return Ok(());
    }
    let versions: BTreeSet<Version> = spoken().map(|name| name.version).collect();
    let named: Vec<String> = versions.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let rest = if versions.len() > MAX_NAMED { " and others" } else { "" };
    let found = guest_name(&named.join(", ")) + rest;
    let newer = versions.iter().all(|version| *version > CONTRACT);
    let upgrade = if newer { "use a newer stagewright; or " } else { "" };
    let hint = format!("{upgrade}rebuild it {}", tool().instructions());
    Err(RuntimeError::Contract { name: name.into(), found, wanted: CONTRACT.to_string(), hint })
}

/// The tool that made a component, according to its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Rust with wit-bindgen, which the kit has inside.
    Rust,
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
    /// Another tool, or unknown.
    Other,
}

impl Tool {
    /// Determines the tool from the languages and tools that the metadata lists. Language runtimes
    /// are themselves built with other tools, which are listed too, so languages with a runtime are
    /// checked first.
    pub(crate) fn of(provenance: &Provenance) -> Self {
        let named = |field, beginnings: &[&str]| {
            let values = provenance.producers.get(field).into_iter().flatten();
            values.map(|value| value.to_lowercase()).any(|value| beginnings.iter().any(|name| value.starts_with(name)))
        };
        // componentize-py records its transformation only.
        if named("language", &["python"]) || named("processed-by", &["componentize-py", "component-init-transform"]) {
            Self::Python
        } else if named("language", &["javascript"]) || named("processed-by", &["componentize"]) {
            Self::JavaScript
        } else if named("language", &["go "]) || named("processed-by", &["tinygo", "go "]) {
            Self::Other
        } else if named("language", &["rust"]) || named("processed-by", &["wit-bindgen-rust"]) {
            Self::Rust
        } else {
            Self::Other
        }
    }

    /// Returns how to rebuild a component for this version.
    fn instructions(self) -> String {
        match self {
            Self::Rust => {
                format!("with stagewright-kit {CONTRACT}: `cargo build --release --target wasm32-wasip2`")
            }
            Self::Python => "with componentize-py and the folder wit/ of this version (docs/stages.md)".into(),
            Self::JavaScript => "with componentize-qjs (--sync) and the folder wit/ of this version".into(),
            Self::Other => "with bindings that are generated again from the folder wit/ of this version".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exports(versions: &[&str]) -> Interfaces {
        let exports = versions.iter().map(|version| format!("{OURS}/metadata@{version}")).collect();
        Interfaces { imports: vec!["wasi:io/poll@0.3.0".into(), "plain".into()], exports }
    }

    #[test]
    fn the_constant_is_the_version_of_the_folder_wit() {
        let wit = include_str!("../../../wit/types.wit");
        assert!(wit.contains(&format!("package {OURS}@{CONTRACT};")), "{CONTRACT}");
    }

    #[test]
    fn the_kit_that_a_hint_names_has_the_version_of_the_contract() {
        let kit = include_str!("../../../stages/kit/Cargo.toml");
        let version = kit.lines().find_map(|line| line.strip_prefix("version = "));
        assert_eq!(version, Some(&*format!("\"{CONTRACT}\"")));
    }

    #[test]
    fn names_are_compared_without_patch() {
        let version = |major, minor, patch| Version::new(major, minor, patch);
        assert!(answers(&version(0, 2, 0), &version(0, 2, 99)));
        assert!(answers(&version(1, 2, 0), &version(1, 3, 0)));
        for other in [version(0, 1, 9), version(0, 3, 0), version(1, 2, 0), "0.2.0-rc.1".parse().expect("a version")] {
            assert!(!answers(&version(0, 2, 0), &other), "{other}");
        }
        let own = interface("tables");
        assert!(Name::parse(&own).is_some_and(|name| name.is_ours("tables") && !name.is_ours("blobs")));
        for odd in ["stagewright:stage/tables", "stagewright:stage@0.1.0", "tables", "a:b/c@1", "a:b/c@x.y.z"] {
            assert_eq!(Name::parse(odd), None, "{odd}");
        }
        assert!(Name::parse("stagewright:stage/deep/tables@0.1.0").is_some_and(|name| !name.is_ours("tables")));
    }

    #[test]
    fn another_minor_version_of_the_contract_is_named_with_a_hint() {
        let refused = |versions: &[&str], tool| {
            let error = same_contract(&exports(versions), "x", || tool).expect_err("another version");
            (error.to_string(), error.hint().expect("a hint"))
        };
        let (older, hint) = refused(&["0.0.9"], Tool::Rust);
        assert_eq!(older, format!("component `x` speaks contract 0.0.9, and this version runs {CONTRACT}"));
        let kit = format!("rebuild it with stagewright-kit {CONTRACT}: `cargo build --release --target wasm32-wasip2`");
        assert_eq!(hint, kit);
        let (newer, hint) = refused(&["99.0.0"], Tool::Python);
        assert!(newer.contains("speaks contract 99.0.0,"), "{newer}");
        assert!(hint.starts_with("use a newer stagewright; or rebuild it with componentize-py"), "{hint}");
        let own = CONTRACT.to_string();
        let (mixed, hint) = refused(&[&own, "99.0.0"], Tool::Other);
        assert!(mixed.contains(&format!("speaks contract {own}, 99.0.0,")), "{mixed}");
        assert!(hint.starts_with("rebuild it with bindings"), "{hint}");
        let (many, _) = refused(&["5.0.0", "6.0.0", "7.0.0", "8.0.0"], Tool::Other);
        assert!(many.contains("speaks contract 5.0.0, 6.0.0, 7.0.0 and others,"), "{many}");
        let (early, _) = refused(&[&format!("{own}-rc.1")], Tool::Other);
        assert!(early.contains("-rc.1"), "{early}");
    }

    #[test]
    fn the_tool_is_not_determined_for_a_component_of_this_contract() {
        let patch = Version { patch: CONTRACT.patch + 7, ..CONTRACT };
        let same = exports(&[&CONTRACT.to_string(), &patch.to_string()]);
        same_contract(&same, "x", || panic!("the tool is determined")).expect("the same contract");
    }

    #[test]
    fn a_tool_is_determined_from_the_metadata() {
        let of = |claims: &[(&str, &str)]| {
            let mut provenance = Provenance::default();
            for (field, value) in claims {
                provenance.producers.entry((*field).to_owned()).or_default().insert((*value).to_owned());
            }
            Tool::of(&provenance)
        };
        let rust = ("processed-by", "wit-bindgen-rust 0.45.0");
        assert_eq!(of(&[("processed-by", "wit-bindgen-c 0.51.0"), rust]), Tool::Rust);
        assert_eq!(of(&[("language", "Rust 1.95")]), Tool::Rust);
        assert_eq!(of(&[("processed-by", "component-init-transform 0.2.0"), rust]), Tool::Python);
        assert_eq!(of(&[("language", "JavaScript"), rust]), Tool::JavaScript);
        assert_eq!(of(&[("language", "Go go1.25"), rust]), Tool::Other);
        assert_eq!(of(&[]), Tool::Other);
    }
}
