//! Runs the built binary in a home of its own. `cargo xtask test` sets variables that name binary,
//! guests and real tables.

#[cfg(target_os = "linux")]
pub mod faults;
pub mod serving;
pub mod whole;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The operator's wall policies under which stages run: each in a process of its own, and all in
/// this process.
pub const WALLS: [&str; 2] = ["required", "sandbox-only"];

/// A home, a working folder, and the binary.
pub struct Place {
    folder: TempDir,
    home: PathBuf,
    operator: Option<PathBuf>,
}

/// The result of a command.
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Runs a command to its end. A stream that the command redirected is empty.
    ///
    /// # Panics
    ///
    /// The command cannot be started, or a signal ended it.
    pub fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("the binary starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: status.code().expect("an exit code"), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Parses standard output as JSON.
    ///
    /// # Panics
    ///
    /// It is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}):\n{}\n{}", self.stdout, self.stderr))
    }

    /// Asserts the exit code.
    ///
    /// # Panics
    ///
    /// The exit code differs.
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
    /// Creates an empty place.
    ///
    /// # Panics
    ///
    /// No temporary folder can be created.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().join("home");
        Self { folder, home, operator: None }
    }

    /// Moves the home of this place.
    #[must_use]
    pub fn with_home(self, home: &Path) -> Self {
        Self { home: home.to_owned(), ..self }
    }

    /// Returns the working folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the home.
    pub fn home(&self) -> PathBuf {
        self.home.clone()
    }

    /// Writes a file into the working folder.
    ///
    /// # Panics
    ///
    /// The file cannot be written.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a file in a temporary folder");
        path
    }

    /// Sets the operator's policy for the walls around stages.
    ///
    /// # Panics
    ///
    /// The operator's file cannot be written.
    #[must_use]
    pub fn with_walls(self, policy: &str) -> Self {
        let operator = Some(self.write("operator.toml", format!("walls = \"{policy}\"\n")));
        Self { operator, ..self }
    }

    /// Returns a command of the binary in this place. All tests share one compile cache, because
    /// they do not test compilation.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_in(&self.home, arguments)
    }

    /// Returns a command in another home.
    pub fn command_in(&self, home: &Path, arguments: &[&str]) -> Command {
        self.command_of(&binary(), home, arguments)
    }

    /// Returns a command of another binary in another home.
    pub fn command_of(&self, binary: &Path, home: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command.current_dir(self.path()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("STAGEWRIGHT_CACHE", self::binary().with_file_name("test-cache"));
        command.envs(self.operator.iter().map(|file| ("STAGEWRIGHT_OPERATOR", file)));
        command.arg("--home").arg(home).args(arguments);
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    ///
    /// The command cannot be started, or a signal ended it.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments))
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

    /// Returns the names of the home's artifacts. A name contains the artifact's digest.
    ///
    /// # Panics
    ///
    /// The home cannot be read.
    pub fn artifacts(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.home().join("artifacts"))
            .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        // Unfinished artifacts lie in `staging`. The next start removes those of a killed process.
        names.retain(|name| name != "staging");
        names.sort();
        names
    }
}

/// Returns a manifest of the minimal stages (tests/guests) with a training component: eight rows,
/// no gates.
pub fn least_pipeline(training: &str) -> String {
    let head = "pipeline = \"least\"\nexperiment = \"tests\"\nmodel = \"least\"\nseed = 1\n\
        [task]\nkind = \"binary\"\ntarget = \"y\"\npositive = \"1\"\n\
        [split]\nmethod = \"stratified\"\ntest = 0.5\nvalidation = 0.0\n";
    let mut text = head.to_owned();
    for world in ["ingestion", "validation", "transformation", "training", "evaluation", "promotion"] {
        let component = if world == "training" { training.to_owned() } else { format!("empty-{world}") };
        text.push_str(&format!("[stages.{world}]\ncomponent = \"{component}\"\n"));
        let path = guests().join(format!("{component}.wasm"));
        if path.exists() {
            text.push_str(&format!("[components.{component}]\npath = {:?}\n", path.display().to_string()));
        }
    }
    text
}

/// Returns the churn pipeline with a second model and a second table.
///
/// # Panics
///
/// `config/churn.toml` has another structure.
pub fn graph() -> String {
    let file = std::fs::read_to_string(config("churn.toml")).expect("the shipped pipeline");
    let (start, end) = (file.find("[stages.ingestion]"), file.find("[components.validate-table.parameters]"));
    let (start, end) = (start.expect("stages"), file[..end.expect("components")].rfind("\n#").expect("a comment"));
    let stages = r#"
[stages.customers]
world = "ingestion"
component = "ingest-synthetic"
parameters = { rows = 800 }

[stages.others]
world = "ingestion"
component = "ingest-synthetic"
parameters = { rows = 200 }

[stages.validation]
component = "validate-table"
inputs = { table = "ingestion.customers" }

[stages.check-others]
world = "validation"
component = "validate-table"
inputs = { table = "ingestion.others" }

[stages.transformation]
component = "transform-table"
inputs = { table = "customers" }

[stages.boosted]
world = "training"
component = "train-boosted"
parameters = { n_estimators = 20 }

[stages.logistic]
world = "training"
component = "train-logistic"

[stages.evaluation]
component = "evaluate-classifier"

[stages.promotion]
component = "promote-gated"
"#;
    let gates = file.find("[gates]").expect("gates");
    format!("{}{stages}{}[gates]\nprimary = \"roc_auc\"\n", &file[..start], &file[end..gates])
}

/// Returns the binary under test.
///
/// # Panics
///
/// It was not built.
pub fn binary() -> PathBuf {
    let path =
        std::env::var_os("STAGEWRIGHT_BIN").map_or_else(|| root().join("target/release/stagewright"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, which builds it", path.display());
    path
}

/// Returns the binary without a compiler.
///
/// # Panics
///
/// It was not built.
pub fn run_only() -> PathBuf {
    let path = std::env::var_os("STAGEWRIGHT_RUN_ONLY")
        .map_or_else(|| root().join("target/run-only/stagewright"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask edge`, which builds it", path.display());
    path
}

/// Returns the binary that serves and predicts only.
///
/// # Panics
///
/// It was not built.
pub fn serving_only() -> PathBuf {
    let path = std::env::var_os("STAGEWRIGHT_SERVING_ONLY")
        .map_or_else(|| root().join("target/serving-only/stagewright"), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask edge`, which builds it", path.display());
    path
}

/// Returns the folder of components that only tests run.
pub fn guests() -> PathBuf {
    std::env::var_os("STAGEWRIGHT_GUESTS").map_or_else(|| root().join("target/release/guests"), PathBuf::from)
}

/// Returns the folder of real tables.
///
/// # Panics
///
/// `STAGEWRIGHT_TEST_DATA` does not name it.
pub fn data() -> PathBuf {
    std::env::var_os("STAGEWRIGHT_TEST_DATA")
        .map(PathBuf::from)
        .expect("STAGEWRIGHT_TEST_DATA names the folder of real tables")
}

/// Returns the path of a file in `config/`.
pub fn config(name: &str) -> String {
    root().join("config").join(name).display().to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// Returns all pairs `(stage.artifact, digest)` of a run's JSON, without those of the named stages.
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
