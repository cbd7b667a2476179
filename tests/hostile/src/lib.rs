//! The workshop of the hostile suite: one process with one engine and one home, in which hostile
//! and well-behaved runs follow each other.
//!
//! It drives the lifecycle as the binary does, but in this process, because the suite must show
//! that this process survives.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::sandbox::{Cancel, Component, Level};
use stagewright_lifecycle::summary::{StageSummary, Summary};
use stagewright_lifecycle::{Request, Reuse, Run, RunError};
use stagewright_manifest::{Ceilings, Manifest, Overrides, StepId, World};
use stagewright_runtime::{
    Bounds, Compiler, EngineOptions, Installation, Origin, Runtime, RuntimeError, StageProcess, StubGrants, Walls,
};
use stagewright_store::{Home, RunId, StageRecord};
use tempfile::TempDir;

/// The rows of the suite's table.
pub const ROWS: usize = 90;

/// The operator sets the limits of `describe`. The default of ten seconds would be long for a
/// suite.
const DESCRIBE_CPU: std::time::Duration = std::time::Duration::from_millis(150);

/// One engine, one home, and a successful run in it.
pub struct Workshop {
    place: Place,
    folder: TempDir,
    home: Home,
    runtime: Runtime,
    components: BTreeMap<World, Arc<Component>>,
    sharded: Arc<Component>,
    base: Option<RunId>,
    expected: BTreeMap<String, String>,
}

/// An attempt: the stages, and what is changed in them.
#[derive(Clone)]
pub struct Attempt {
    /// The stages that run, on the artifacts of the successful run.
    pub stages: RangeInclusive<World>,
    /// Changes of the manifest, as in `--set`.
    pub set: Vec<String>,
    /// Another component for a stage.
    pub component: Option<Arc<Component>>,
    /// Cancels the run when a stage logs this text.
    pub cancel_at: Option<&'static str>,
}

/// The result of an attempt.
pub struct Ended {
    /// The run's summary.
    pub summary: Summary,
    /// The run's error, if it failed.
    pub result: Result<(), RunError>,
    /// The recorded stages.
    pub record: Vec<StageRecord>,
    /// The lines that the stages logged.
    pub lines: Vec<String>,
    /// Artifacts that did not exist before.
    pub visible: BTreeSet<String>,
    /// Unfinished files after the end of the run.
    pub left_over: Vec<PathBuf>,
}

impl Ended {
    /// Returns the error's text, or an empty one.
    pub fn error(&self) -> String {
        self.result.as_ref().err().map(ToString::to_string).unwrap_or_default()
    }

    /// Returns the digests of the stages' artifacts by stage and name.
    pub fn digests(&self) -> BTreeMap<String, String> {
        let of_stage = |stage: &StageSummary| {
            let name = stage.name.clone();
            let artifacts = stage.artifacts.clone();
            artifacts.into_iter().map(move |artifact| (format!("{name}.{}", artifact.name), artifact.digest))
        };
        self.summary.stages.iter().flat_map(of_stage).collect()
    }
}

/// Collects log lines, and cancels at a text.
struct Listener {
    lines: Mutex<Vec<String>>,
    cancel: Cancel,
    cancel_at: Option<&'static str>,
}

impl Observer for Listener {
    fn stage_started(&self, _: &StepId, _: &str) {}
    fn progress(&self, _: &StepId, done: u64, total: u64) {
        assert!(done <= total, "{done} of {total}");
    }
    fn log(&self, step: &StepId, _: Level, message: &str) {
        if self.cancel_at.is_some_and(|word| message.contains(word)) {
            self.cancel.cancel();
        }
        self.lines.lock().expect("no panic holds this lock").push(format!("{step}: {message}"));
    }
    fn stage_finished(&self, _: &StepId, _: &StageSummary) {}
}

const MANIFEST: &str = r#"
pipeline = "hostile"
experiment = "hostile"
model = "hostile"
seed = 7
workers = 2

[task]
kind = "binary"
target = "churn"
positive = "yes"

[sources.customers]
uri = "csv:customers.csv"

[signature.fields]
id = { type = "utf8", role = "identifier" }
x = "float64"
y = "float64"
plan = "categorical"
note = "utf8"
flag = "boolean"
churn = "utf8"

[split]
test = 0.4
validation = 0.2

[stages.ingestion]
component = "misbehave-ingestion"
source = "customers"

[stages.validation]
component = "misbehave-validation"

[stages.transformation]
component = "misbehave-transformation"

[stages.training]
component = "misbehave-training"

[stages.evaluation]
component = "misbehave-evaluation"

[stages.promotion]
component = "misbehave-promotion"

# No model is as good as that: a candidate that becomes champion got around its gate.
[gates]
primary = "roc_auc"
minimum = { roc_auc = 0.99999 }
"#;

/// Returns the manifest with a preparation of the ingested table, for attempts that start there.
fn preparing() -> String {
    let stage = r#"[stages.preparation]
component = "misbehave-preparation"
inputs = { table = "ingestion", again = "ingestion.table" }

[stages.validation]"#;
    MANIFEST.replacen("[stages.validation]", stage, 1)
}

/// Returns customers whose `x` mostly tells the target.
fn customers() -> String {
    let mut text = String::from("id,x,y,plan,note,flag,churn\n");
    for row in 0..ROWS {
        let churn = row % 3 == 0;
        let x = if churn ^ (row % 11 == 0) { 0.8 } else { 0.2 } + (row % 10) as f64 / 100.0;
        let plan = ["basic", "plus", "pro"][row % 3];
        let answer = if churn { "yes" } else { "no" };
        text.push_str(&format!("c{row},{x},{},{plan},note {row},{},{answer}\n", row as f64 / 7.0, row % 2 == 0));
    }
    text
}

/// Returns the folder of components that only tests run.
pub fn guests() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
    std::env::var_os("STAGEWRIGHT_GUESTS").map_or_else(|| root.join("target/release/guests"), PathBuf::from)
}

/// Where stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In processes of their own, behind all walls.
    Processes,
    /// In this process, behind the engine's wall alone.
    Here,
}

/// Returns the processes of stages, with the program that was built with this suite.
///
/// # Panics
///
/// The program was not built.
pub fn process() -> StageProcess {
    let program = guests().with_file_name("stagewright-stage");
    assert!(program.is_file(), "{} is missing: run `cargo build --release --workspace`", program.display());
    StageProcess { program, required: Walls::ALL }
}

fn runtime(place: Place, ceilings: Ceilings) -> Runtime {
    runtime_in((place == Place::Processes).then(process), ceilings)
}

fn runtime_in(process: Option<StageProcess>, ceilings: Ceilings) -> Runtime {
    // Compiled code is kept between runs, because this does not test compilation.
    let cache = guests().with_file_name("test-cache").join("components");
    let bounds = Bounds { describe_cpu: DESCRIBE_CPU, ..Bounds::default() };
    let options = EngineOptions { bounds, ..EngineOptions::default() };
    // These components act when they run, not when they are compiled, and are this repository's
    // own.
    let installation = Installation { ceilings, process, ..Installation::new(cache, Vec::new(), Compiler::InProcess) };
    Runtime::open(installation, options).expect("an engine")
}

impl Workshop {
    /// Opens a workshop and runs the whole lifecycle successfully.
    ///
    /// # Panics
    ///
    /// The run fails.
    pub fn open(place: Place) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("hostile.toml"), MANIFEST).expect("a manifest");
        std::fs::write(folder.path().join("preparing.toml"), preparing()).expect("a manifest");
        std::fs::write(folder.path().join("customers.csv"), customers()).expect("a table");
        let home = Home::open(folder.path().join("home")).expect("a home");
        let runtime = runtime(place, Ceilings::default());
        let resolve = |world: World, name: &str| {
            let origin = Origin::File(guests().join(format!("{name}.wasm")));
            let component = runtime.resolve(world, name, &origin, StubGrants::default());
            Arc::new(component.unwrap_or_else(|error| panic!("{name}: {error}; run `cargo xtask stages`")))
        };
        let components = World::all().map(|world| (world, resolve(world, &format!("misbehave-{world}"))));
        let sharded = resolve(World::Training, "misbehave-sharded-training");
        let components = components.collect();
        let mut workshop =
            Self { place, folder, home, runtime, components, sharded, base: None, expected: BTreeMap::new() };
        let whole = workshop.attempt(&Attempt::of(World::Ingestion..=World::Promotion));
        assert!(whole.result.is_ok(), "{}", whole.error());
        workshop.base = Some(whole.summary.run_id.parse().expect("a run's identifier"));
        workshop.expected = whole.digests();
        let prepared = workshop.attempt(&Attempt::of(World::Preparation..=World::Preparation));
        assert!(prepared.result.is_ok(), "{}", prepared.error());
        workshop.expected.extend(prepared.digests());
        workshop
    }

    /// Returns another runtime for an operator with these ceilings.
    pub fn runtime_within(&self, ceilings: Ceilings) -> Runtime {
        runtime(self.place, ceilings)
    }

    /// Returns where stages run.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Returns the runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Returns the home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Returns the misbehaving component of a world.
    ///
    /// # Panics
    ///
    /// Never, since each world has one.
    pub fn component(&self, world: World) -> Arc<Component> {
        self.components[&world].clone()
    }

    /// Returns the training component with shards.
    pub fn sharded(&self) -> Arc<Component> {
        self.sharded.clone()
    }

    /// Writes a component and resolves it.
    ///
    /// # Errors
    ///
    /// The runtime refuses it.
    ///
    /// # Panics
    ///
    /// The file cannot be written.
    pub fn resolve(
        &self,
        world: World,
        name: &str,
        bytes: &[u8],
        stubs: StubGrants,
    ) -> Result<Arc<Component>, RuntimeError> {
        let path = self.folder.path().join(format!("{name}.wasm"));
        std::fs::write(&path, bytes).expect("a file in a temporary folder");
        self.runtime.resolve(world, name, &Origin::File(path), stubs).map(Arc::new)
    }

    /// Returns the manifest with changes.
    ///
    /// # Panics
    ///
    /// The manifest is wrong.
    pub fn manifest(&self, set: &[String]) -> Manifest {
        self.manifest_in("hostile.toml", set)
    }

    fn manifest_in(&self, file: &str, set: &[String]) -> Manifest {
        let overrides = Overrides { set: set.to_vec(), ..Overrides::default() };
        Manifest::load(&self.folder.path().join(file), &overrides).unwrap_or_else(|error| panic!("{}", error.render()))
    }

    /// Runs stages.
    ///
    /// # Panics
    ///
    /// The manifest is wrong.
    pub fn attempt(&self, attempt: &Attempt) -> Ended {
        self.run(&self.runtime, self.components.clone(), attempt)
    }

    /// Runs stages in processes of another program.
    ///
    /// # Panics
    ///
    /// The manifest is wrong, or a component is not resolved.
    pub fn attempt_in(&self, program: &Path, attempt: &Attempt) -> Ended {
        let (runtime, components) = self.with_program(program);
        self.run(&runtime, components, attempt)
    }

    /// Returns a runtime whose stages run in processes of another program, with the components in
    /// it.
    ///
    /// # Panics
    ///
    /// A component is not resolved.
    pub fn with_program(&self, program: &Path) -> (Runtime, BTreeMap<World, Arc<Component>>) {
        let process = StageProcess { program: program.to_owned(), required: Walls::ALL };
        let runtime = runtime_in(Some(process), Ceilings::default());
        // Their descriptions are known already.
        let again = |(world, component): (&World, &Arc<Component>)| {
            let origin = Origin::File(guests().join(format!("{}.wasm", component.name)));
            let component = runtime.resolve(*world, &component.name, &origin, StubGrants::default());
            (*world, Arc::new(component.unwrap_or_else(|error| panic!("{error}"))))
        };
        let components = self.components.iter().map(again).collect();
        again((&World::Training, &self.sharded));
        (runtime, components)
    }

    /// Returns the program of stages' processes.
    pub fn program() -> PathBuf {
        process().program
    }

    fn run(&self, runtime: &Runtime, mut components: BTreeMap<World, Arc<Component>>, attempt: &Attempt) -> Ended {
        let before = self.artifacts();
        let prepares = *attempt.stages.start() == World::Preparation;
        let file = if prepares { "preparing.toml" } else { "hostile.toml" };
        let manifest = Arc::new(self.manifest_in(file, &attempt.set));
        if let Some(component) = &attempt.component {
            components.insert(component.world, component.clone());
        }
        for (world, component) in components.iter().filter(|(world, _)| manifest.graph.of(**world).next().is_some()) {
            let problems = manifest.check_parameters(manifest.stage(*world), &component.description.parameters);
            assert!(problems.is_empty(), "{}", manifest.error(problems).render());
        }
        let cancel = Cancel::default();
        let listener =
            Arc::new(Listener { lines: Mutex::default(), cancel: cancel.clone(), cancel_at: attempt.cancel_at });
        let first = *attempt.stages.start();
        let request = Request {
            manifest,
            manifest_text: if prepares { preparing() } else { MANIFEST.to_owned() },
            home: self.home.clone(),
            sandbox: Arc::new(runtime.clone()),
            decoder: runtime.decoder(),
            components: components.into_iter().map(|(world, component)| (world.into(), component)).collect(),
            observer: listener.clone(),
            workers: 2,
            cancel,
            stages: attempt.stages.clone(),
            only: None,
            child: None,
            code: None,
            destination: None,
            tokens: BTreeMap::new(),
            s3: Default::default(),
            changes: serde_json::Value::Null,
            base_run: self.base.clone().filter(|_| first > World::Ingestion),
            // A cached stage does nothing hostile.
            reuse: Reuse { nothing: true, ..Reuse::default() },
        };
        let (summary, result) = Run::execute(request);
        let id: RunId = summary.run_id.parse().expect("a run's identifier");
        let record = self.home.registry.stages(&id).expect("a record");
        let lines = std::mem::take(&mut *listener.lines.lock().expect("no panic holds this lock"));
        let visible = self.artifacts().difference(&before).cloned().collect();
        Ended { summary, result, record, lines, visible, left_over: self.staged() }
    }

    /// Runs the same stages without misdeeds in this process, and asserts that they make the
    /// artifacts of the first run.
    ///
    /// # Panics
    ///
    /// An artifact differs.
    pub fn next_run_is_well(&self, stages: RangeInclusive<World>) {
        let next = self.attempt(&Attempt::of(stages));
        assert!(next.result.is_ok(), "the next run failed: {}", next.error());
        for (name, digest) in next.digests() {
            assert_eq!(self.expected.get(&name), Some(&digest), "{name} differs from the first run's");
        }
        assert!(next.left_over.is_empty(), "the next run left {:?}", next.left_over);
    }

    /// Returns the digest that the first run made under the name `stage.artifact`.
    pub fn expected(&self, name: &str) -> Option<&String> {
        self.expected.get(name)
    }

    /// Returns the names of published artifacts.
    fn artifacts(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.home.artifacts.directory()).expect("the artifacts' folder");
        entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Returns the unfinished files without the process's own lock.
    fn staged(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.home.artifacts.directory().join("staging")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => files.push(entry.path()),
                }
            }
        }
        files.retain(|file| !file.to_string_lossy().ends_with("lock"));
        files
    }
}

impl Attempt {
    /// Returns an attempt that changes nothing.
    pub fn of(stages: RangeInclusive<World>) -> Self {
        Self { stages, set: Vec::new(), component: None, cancel_at: None }
    }
}
