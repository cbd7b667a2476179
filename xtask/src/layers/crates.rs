//! Which crate may depend on which: the table behind "Dependencies point down" in ARCHITECTURE.md.

use std::path::Path;

/// The crates of `host/` and `registry/` from the bottom to the top, each with those of ours that
/// it may depend on, which stand above it in this list.
const ORDER: &[(&str, &[&str])] = &[
    ("stagewright-text", &[]),
    ("stagewright-metric-names", &[]),
    ("stagewright-outgoing", &["stagewright-text"]),
    ("stagewright-store", &["stagewright-text"]),
    ("stagewright-mlflow-client", &["stagewright-text"]),
    ("stagewright-mlmodel", &["stagewright-store"]),
    (
        "stagewright-exchange",
        &["stagewright-text", "stagewright-store", "stagewright-mlflow-client", "stagewright-mlmodel"],
    ),
    ("stagewright-http", &["stagewright-store"]),
    ("stagewright-promotion", &["stagewright-store"]),
    ("stagewright-data-versions", &["stagewright-text", "stagewright-store", "stagewright-promotion"]),
    ("stagewright-webhooks", &["stagewright-outgoing", "stagewright-store"]),
    ("stagewright-deployment", &["stagewright-text", "stagewright-store"]),
    ("stagewright-pages", &["stagewright-text", "stagewright-store", "stagewright-deployment"]),
    (
        "stagewright-server",
        &[
            "stagewright-text",
            "stagewright-outgoing",
            "stagewright-store",
            "stagewright-http",
            "stagewright-mlmodel",
            "stagewright-webhooks",
            "stagewright-pages",
        ],
    ),
    ("stagewright-data", &["stagewright-text", "stagewright-outgoing", "stagewright-store"]),
    (
        "stagewright-manifest",
        &["stagewright-text", "stagewright-metric-names", "stagewright-store", "stagewright-data"],
    ),
    ("stagewright-evaluation", &["stagewright-text", "stagewright-metric-names"]),
    (
        "stagewright-lifecycle",
        &[
            "stagewright-text",
            "stagewright-store",
            "stagewright-promotion",
            "stagewright-data",
            "stagewright-manifest",
            "stagewright-evaluation",
        ],
    ),
    (
        "stagewright-serving",
        &[
            "stagewright-text",
            "stagewright-store",
            "stagewright-http",
            "stagewright-promotion",
            "stagewright-data",
            "stagewright-manifest",
            "stagewright-evaluation",
            "stagewright-deployment",
            "stagewright-lifecycle",
        ],
    ),
    (
        "stagewright-hooks",
        &[
            "stagewright-text",
            "stagewright-outgoing",
            "stagewright-store",
            "stagewright-manifest",
            "stagewright-lifecycle",
        ],
    ),
    ("stagewright-jail", &["stagewright-text"]),
    (
        "stagewright-runtime",
        &[
            "stagewright-text",
            "stagewright-store",
            "stagewright-data",
            "stagewright-manifest",
            "stagewright-evaluation",
            "stagewright-lifecycle",
            "stagewright-jail",
        ],
    ),
    ("stagewright-stage", &["stagewright-runtime"]),
    (
        "stagewright",
        &[
            "stagewright-text",
            "stagewright-store",
            "stagewright-promotion",
            "stagewright-data-versions",
            "stagewright-data",
            "stagewright-manifest",
            "stagewright-evaluation",
            "stagewright-deployment",
            "stagewright-lifecycle",
            "stagewright-exchange",
            "stagewright-mlflow-client",
            "stagewright-hooks",
            "stagewright-outgoing",
            "stagewright-webhooks",
            "stagewright-serving",
            "stagewright-pages",
            "stagewright-server",
            "stagewright-runtime",
        ],
    ),
];

/// The libraries of stages. A stage may depend on these and on no other crate of ours.
const STAGE_LIBRARIES: &[&str] = &["stagewright-kit", "stagewright-trees", "stagewright-tree-training"];

/// The one crate that may name wasmtime. `wrappers` in deny.toml says the same of crates of others.
const SANDBOX: &str = "stagewright-runtime";

/// A package as its `Cargo.toml` declares it.
pub(super) struct Package {
    pub(super) name: String,
    /// Of the package and its build script; not those of its tests.
    pub(super) dependencies: Vec<String>,
}

/// Reads the name and the dependencies of a package.
pub(super) fn package(manifest: &str) -> Package {
    let mut package = Package { name: String::new(), dependencies: Vec::new() };
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.split(']').next().unwrap_or_default();
            if let Some((before, name)) = section.rsplit_once('.')
                && is_dependencies(before)
            {
                package.dependencies.push(name.to_owned());
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else { continue };
        let key = key.split('.').next().unwrap_or_default().trim().to_owned();
        if section == "package" && key == "name" {
            package.name = value.trim().trim_matches('"').to_owned();
        } else if is_dependencies(section) {
            package.dependencies.push(key);
        }
    }
    package
}

/// Whether a section lists dependencies of a package itself, on whatever system.
fn is_dependencies(section: &str) -> bool {
    section == "dependencies"
        || section == "build-dependencies"
        || (section.starts_with("target.") && section.ends_with(".dependencies"))
}

/// Says what is wrong with a package's dependencies. `folder` is relative to the workspace.
pub(super) fn wrong(folder: &Path, package: &Package) -> Vec<String> {
    let name = &package.name;
    let is_ours = |dependency: &&String| *dependency == "stagewright" || dependency.starts_with("stagewright-");
    let ours: Vec<&String> = package.dependencies.iter().filter(is_ours).collect();
    let mut wrong = Vec::new();
    let in_order = ORDER.iter().find(|(crate_name, _)| crate_name == name);
    if folder.starts_with("host") || folder.starts_with("registry") {
        match in_order {
            Some((_, may)) => {
                let refused = ours.iter().filter(|dependency| !may.contains(&dependency.as_str()));
                wrong.extend(refused.map(|dependency| format!("`{name}` may not depend on `{dependency}`")));
            }
            None => wrong.push(format!("`{name}` has no row in the order of crates")),
        }
    } else if folder.starts_with("stages") {
        let refused = ours.iter().filter(|dependency| !STAGE_LIBRARIES.contains(&dependency.as_str()));
        wrong.extend(refused.map(|dependency| format!("the stage `{name}` may not depend on `{dependency}`")));
    }
    // `tests/` and `fuzz/` may look at every crate, and start components of their own.
    let product = !folder.starts_with("tests") && !folder.starts_with("fuzz");
    if product && name != SANDBOX && package.dependencies.iter().any(|dependency| dependency.starts_with("wasmtime")) {
        wrong.push(format!("`{name}` depends on wasmtime; only `{SANDBOX}` may"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{ORDER, package, wrong};

    #[test]
    fn every_crate_depends_on_crates_above_its_row() {
        for (at, (name, may)) in ORDER.iter().enumerate() {
            for dependency in *may {
                assert!(ORDER[..at].iter().any(|(above, _)| above == dependency), "{name} on {dependency}");
            }
        }
    }

    #[test]
    fn dependencies_are_found_in_every_form_and_those_of_tests_are_left_out() {
        let manifest = "[package]\nname = \"stagewright-data\"\n[dependencies] # ours\nstagewright-store.workspace = true\n\
            # a = \"1\"\nstagewright-lifecycle = { path = \"x\" }\n[dependencies.wasmtime]\nversion = \"48\"\n\
            [target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n[dev-dependencies]\nstagewright-runtime = \"1\"\n";
        let package = package(manifest);
        assert_eq!(package.name, "stagewright-data");
        assert_eq!(package.dependencies, ["stagewright-store", "stagewright-lifecycle", "wasmtime", "libc"]);
        let wrong = wrong(Path::new("host/data"), &package);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("may not depend on `stagewright-lifecycle`"), "{wrong:?}");
        assert!(wrong[1].contains("depends on wasmtime"), "{wrong:?}");
    }

    #[test]
    fn a_stage_depends_on_the_libraries_of_stages_alone() {
        let package =
            package("[package]\nname = \"a\"\n[dependencies]\nstagewright-kit = \"1\"\nstagewright-text = \"1\"\n");
        assert_eq!(wrong(Path::new("stages/a"), &package), ["the stage `a` may not depend on `stagewright-text`"]);
        assert!(wrong(Path::new("tests/a"), &package).is_empty());
    }
}
