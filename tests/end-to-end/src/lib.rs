//! Runs the built binary in a home of its own. `cargo xtask test` names binary, guests and real tables in the environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A home, a working folder, and the binary.
pub struct Place {
    folder: TempDir,
}

/// What a command ended with.
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}):\n{}\n{}", self.stdout, self.stderr))
    }

    /// Asserts the exit code.
    ///
    /// # Panics
    /// If it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// An empty place.
    ///
    /// # Panics
    /// If no temporary folder can be made.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its home.
    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file in a temporary folder");
        path
    }

    /// A command of the binary in this place. The compile cache is shared between tests: compiling is not what they test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("STAGEWRIGHT_CACHE", binary().with_file_name("test-cache"));
        command.arg("--home").arg(self.home()).args(arguments);
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started or was killed.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("the binary starts");
        let code = status.code().expect("an exit code");
        Ended {
            code,
            stdout: String::from_utf8(stdout).expect("UTF-8"),
            stderr: String::from_utf8(stderr).expect("UTF-8"),
        }
    }

    /// Runs the churn pipeline on generated customers.
    pub fn churn(&self, rows: u32, more: &[&str]) -> Ended {
        let manifest = config("churn.toml");
        let rows = format!("ingestion.rows={rows}");
        let mut arguments =
            vec!["run", &manifest, "--json", "--set", "ingestion.component=ingest-synthetic", "--set", &rows];
        arguments.extend(more);
        self.run(&arguments)
    }

    /// Everything that lasts in the home but the clock: names and contents of artifacts, and the aliases of models.
    ///
    /// # Panics
    /// If the home cannot be read.
    pub fn artifacts(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.home().join("artifacts"))
            .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        // What is being made lies here; the next start clears what a killed process left.
        names.retain(|name| name != "staging");
        names.sort();
        names
    }
}

/// The binary under test.
///
/// # Panics
/// If it was not built.
pub fn binary() -> PathBuf {
    let path =
        std::env::var_os("STAGEWRIGHT_BIN").map_or_else(|| root().join("target/release/stagewright"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, which builds it", path.display());
    path
}

/// The folder of the stages that only tests run.
pub fn guests() -> PathBuf {
    std::env::var_os("STAGEWRIGHT_GUESTS").map_or_else(|| root().join("target/release/guests"), PathBuf::from)
}

/// The folder of the real tables.
///
/// # Panics
/// If `STAGEWRIGHT_TEST_DATA` does not name it.
pub fn data() -> PathBuf {
    std::env::var_os("STAGEWRIGHT_TEST_DATA")
        .map(PathBuf::from)
        .expect("STAGEWRIGHT_TEST_DATA names the folder of real tables")
}

/// A file of `config/`.
pub fn config(name: &str) -> String {
    root().join("config").join(name).display().to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// All `(stage.artifact, digest)` of a run's JSON but those of the named stages.
pub fn digests(run: &Value) -> Vec<(String, String)> {
    let stages = run["stages"].as_array().expect("stages");
    let of_stage = |stage: &Value| {
        let name = stage["name"].as_str().expect("a name").to_owned();
        let artifacts = stage["artifacts"].as_array().expect("artifacts").clone();
        artifacts.into_iter().map(move |artifact| {
            (
                format!("{name}.{}", artifact["name"].as_str().expect("a name")),
                artifact["digest"].as_str().expect("a digest").to_owned(),
            )
        })
    };
    stages.iter().flat_map(of_stage).collect()
}
