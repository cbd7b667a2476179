//! Builds the binaries for hosts without a compiler and tries them.
//!
//! `cargo xtask test` checks their code alone: without cranelift, basic crates (hashbrown, memchr)
//! have other features, and most of the host is compiled again. The two binaries differ in the last
//! crate only, so that the second one costs little.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::{self, Guests};
use crate::provenance::{PROGRAMS, program};
use crate::steps::{Result, output, run};
use crate::workspace::{self, cargo};

/// A binary for hosts without a compiler.
pub(crate) struct Build {
    /// The folder in `target/`.
    folder: &'static str,
    /// The feature of the binary.
    feature: &'static str,
    /// The variable by which tests know the binary.
    variable: &'static str,
}

/// The binary that runs pipelines of precompiled stages, and the one that serves and predicts only.
pub(crate) const BUILDS: [Build; 2] = [
    Build { folder: "run-only", feature: "pipelines", variable: "STAGEWRIGHT_RUN_ONLY" },
    Build { folder: "serving-only", feature: "serving", variable: "STAGEWRIGHT_SERVING_ONLY" },
];

/// The tests that run the binaries (tests/end-to-end/tests/edge.rs).
pub(crate) const TESTS: [&str; 2] = [
    "a_host_without_a_compiler_runs_and_predicts_what_another_one_compiled_for_it",
    "a_host_that_only_serves_answers_with_what_another_one_trained_and_compiled",
];

impl Build {
    /// Returns the arguments of cargo. `--workspace` keeps the features of crates of others as they
    /// are in other builds. Packages that need the compiler are left out, and those that would
    /// bring S3 and PostgreSQL.
    fn arguments(&self) -> Vec<String> {
        let features = ["--no-default-features", "--features", &format!("stagewright/{}", self.feature)];
        let packages = ["--release", "--bin", "stagewright", "--workspace"];
        let excluded = ["hostile", "benchmarks", "end-to-end", "services"];
        let excluded = excluded.map(|name| format!("--exclude=stagewright-{name}"));
        let texts = features.into_iter().chain(packages).chain(excluded.iter().map(String::as_str));
        texts.map(str::to_owned).collect()
    }

    /// Returns the features of the binary, for its list of packages.
    fn features(&self) -> [&str; 3] {
        ["--no-default-features", "--features", self.feature]
    }

    /// Checks that the code is valid without the compiler, and that the compiler is not linked.
    pub(crate) fn check(&self) -> Result<()> {
        run(cargo().arg("check").args(self.arguments()))?;
        let tree = ["tree", "--package", "stagewright", "--edges", "normal,build", "--prefix", "none"];
        without_compiler("stagewright", &output(cargo().args(tree).args(self.features()))?)
    }

    /// Builds the binary, and puts both programs of an installation into the folder.
    fn make(&self, full: &Path) -> Result<PathBuf> {
        run(cargo().arg("build").args(self.arguments()))?;
        let folder = workspace::target().join(self.folder);
        for (name, features) in PROGRAMS {
            // cargo puts the programs where the full ones belong.
            let (from, to) = (full.with_file_name(name), folder.join(name));
            let own = self.features();
            let bytes = program(&from, if name == workspace::STAGE { features } else { &own })?;
            // A copy keeps the permission to execute.
            let copied = fs::create_dir_all(&folder).and_then(|()| fs::copy(&from, &to));
            let written = copied.and_then(|_| fs::write(&to, bytes));
            written.map_err(|error| format!("cannot write {}: {error}", to.display()))?;
        }
        Ok(folder.join("stagewright"))
    }
}

/// Fails if the packages that a package is built of contain the compiler.
pub(crate) fn without_compiler(package: &str, tree: &str) -> Result<()> {
    match tree.lines().find(|line| line.starts_with("cranelift-codegen ")) {
        Some(line) => Err(format!("`{line}` is in the build of `{package}` without the compiler")),
        None => Ok(()),
    }
}

/// Builds both binaries to their folders in `target/`, and tries them with what the full one
/// compiled.
pub(crate) fn edge() -> Result<()> {
    let built = build::stages(Guests::Without)?;
    build::stage_program()?;
    let mut variables = Vec::new();
    for build in BUILDS {
        variables.push((build.variable, build.make(&built.binary)?));
    }
    build::host()?;
    for test in TESTS {
        run(cargo()
            .args(["test", "--release", "--workspace", "--test", "edge", "--", "--ignored", test])
            .env("STAGEWRIGHT_BIN", &built.binary)
            .envs(variables.iter().map(|(name, binary)| (name, binary))))?;
    }
    variables.iter().for_each(|(_, binary)| println!("built {}", binary.display()));
    Ok(())
}
