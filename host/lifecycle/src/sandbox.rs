//! What the lifecycle asks of a sandbox, in the lifecycle's own words.
//!
//! `host/runtime` implements [`Sandbox`] with Wasm components. Everything here is plain data or a trait, so that the
//! flow of a run can be read, and tested, without a Wasm engine in mind. A sandbox never decides anything: it
//! calls one export under limits and checks what comes back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_evaluation::difference::Difference;
use stagewright_evaluation::figure::Figure;
use stagewright_evaluation::gates::{GateResult, Verdict};
use stagewright_manifest::{Limits, World};
use stagewright_store::{ArtifactStore, Blob, Digest, Field, Role, Schema, Staging, Table};

use crate::cpu_clock::CpuMark;
use crate::fault::StageFault;
use crate::model::ModelComponent;
use crate::wall_clock::WallClock;

/// What a component says of itself (WIT `metadata.describe`).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Description {
    /// The component's name.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its parameters.
    pub parameters: serde_json::Value,
    /// The kinds of tasks that it can work on, in the manifest's words (`binary`, `multi-class`,
    /// `regression`); all of them if the task makes no difference.
    pub tasks: Vec<String>,
}

/// A component that was found, compiled, admitted and described.
#[derive(Debug, Clone)]
pub struct Component {
    /// The name the manifest calls it by.
    pub name: String,
    /// The world it was admitted to.
    pub world: World,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// What it says of itself.
    pub description: Description,
    /// Whether it exports WIT `shards`.
    pub sharded: bool,
    /// Whether it exports WIT `rebalance`.
    pub rebalances: bool,
    /// What it imports, for `plan`.
    pub imports: Vec<String>,
    /// The always-failing parts of WASI that it was admitted with.
    pub stubs: Vec<String>,
}

/// Stops everything that runs under it, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks everything to stop at the next safe point.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one stage run has used so far, over all its instances. Counters only grow.
#[derive(Debug, Default)]
pub struct Meter {
    /// Thread CPU time of all instances, nanoseconds.
    pub cpu_ns: AtomicU64,
    /// Largest memory of one instance, bytes: all of its linear memories, and what the host kept for it.
    pub peak_memory: AtomicU64,
    /// Rows that went into guests.
    pub rows_in: AtomicU64,
    /// Rows that came out of guests.
    pub rows_out: AtomicU64,
    /// Bytes of batches and blobs that went into guests.
    pub bytes_in: AtomicU64,
    /// Bytes of batches and blobs that came out of guests.
    pub bytes_out: AtomicU64,
    /// Bytes copied at the boundary, both ways, host side and guest side.
    pub copied: AtomicU64,
    /// Bytes written to artifacts; what the output limit counts.
    pub output: AtomicU64,
    /// Bytes of log lines; what the log limit counts.
    pub log: AtomicU64,
    /// Tables and blobs that its instances began.
    pub artifacts: AtomicU64,
    /// Log lines recorded.
    pub lines: AtomicU64,
    /// Log lines, points and figures dropped: past the limit, or not as the contract wants them.
    pub log_dropped: AtomicU64,
    /// Points of curves recorded.
    pub points: AtomicU64,
    /// Cells that a transformation treated, by treatment and the column's place among the features.
    treated: Mutex<BTreeMap<String, BTreeMap<usize, u64>>>,
    /// Names of the figures added so far.
    figures: Mutex<BTreeSet<String>>,
    /// Time that the stage spent waiting for sandboxes of other stages, nanoseconds; taken off its wall time.
    pub waited_ns: AtomicU64,
    /// The stage's time on the wall.
    pub wall: WallClock,
    /// The walls that stood around every call so far; none before the first.
    walls: Mutex<Option<BTreeSet<&'static str>>>,
}

/// Treatments of cells that one stage may count, as the contract says.
const MAX_TREATMENTS: usize = 16;

/// The treatment of a category that training never saw.
const UNSEEN: &str = "unseen";

/// All walls, in the order in which they are told.
const WALLS: [&str; 4] = ["wasm", "seccomp", "landlock", "rlimits"];

/// Whether a figure may be added under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It may; the name is taken from now on.
    Granted,
    /// Another figure of this stage run has the name.
    Taken,
    /// The stage has as many as it may.
    Full,
}

/// A moment, by default now.
#[derive(Debug, Clone, Copy)]
pub struct Started(pub std::time::Instant);

impl Default for Started {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Meter {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) -> u64 {
        counter.fetch_add(amount, Ordering::Relaxed) + amount
    }

    /// The meter of a component that works for another stage: its time on the wall counts while it
    /// is called.
    pub fn while_called() -> Self {
        Self { wall: WallClock::while_called(), ..Self::default() }
    }

    /// Returns a meter that continues this one's time and counts everything else anew. It is for
    /// work that falls under the same limits on time and is no part of the stage's own work.
    /// [`Meter::settle`] takes over what it counted.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self {
            cpu_ns: Self::get(&self.cpu_ns).into(),
            waited_ns: Self::get(&self.waited_ns).into(),
            wall: self.wall.clone(),
            ..Self::default()
        }
    }

    /// Takes over the time and the greatest memory of a meter that was set [aside](Meter::aside)
    /// when this one showed `cpu_ns`.
    pub fn settle(&self, aside: &Self, cpu_ns: u64) {
        Self::add(&self.cpu_ns, Self::get(&aside.cpu_ns).saturating_sub(cpu_ns));
        self.peak_memory.fetch_max(Self::get(&aside.peak_memory), Ordering::Relaxed);
        let stood = aside.walls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stood.into_iter().for_each(|stood| self.stood(stood));
    }

    /// Time on the wall, less what the stage spent waiting for other stages' sandboxes;
    /// nanoseconds.
    pub fn wall_ns(&self) -> u64 {
        (self.wall.elapsed().as_nanos() as u64).saturating_sub(Self::get(&self.waited_ns))
    }

    /// Does what the stage waits for: other stages' sandboxes have time limits of their own.
    pub fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        let begin = std::time::Instant::now();
        let result = work();
        Self::add(&self.waited_ns, begin.elapsed().as_nanos() as u64);
        result
    }

    /// Adds to the count of cells of a column that were treated in some way; 0 says that the column
    /// is watched. Returns `false` if the treatment is one too many.
    pub fn count_cells(&self, treatment: &str, column: usize, rows: u64) -> bool {
        // Every change under this lock is a single addition.
        let mut treated = self.treated.lock().unwrap_or_else(PoisonError::into_inner);
        if !treated.contains_key(treatment) {
            if treated.len() >= MAX_TREATMENTS {
                return false;
            }
            treated.insert(treatment.to_owned(), BTreeMap::new());
        }
        if let Some(columns) = treated.get_mut(treatment) {
            let count = columns.entry(column).or_default();
            *count = count.saturating_add(rows);
        }
        true
    }

    /// Returns the counts of rows with a category that training never saw, by the column's place
    /// among the features.
    pub fn unseen(&self) -> BTreeMap<usize, u64> {
        let treated = self.treated.lock().unwrap_or_else(PoisonError::into_inner);
        treated.get(UNSEEN).cloned().unwrap_or_default()
    }

    /// Records the walls that stood around a call: `wasm`, and those of a process.
    pub fn stood(&self, walls: impl IntoIterator<Item = &'static str>) {
        let walls: BTreeSet<_> = walls.into_iter().collect();
        // Every change under this lock is a single assignment.
        let mut stood = self.walls.lock().unwrap_or_else(PoisonError::into_inner);
        *stood = Some(stood.take().map_or_else(|| walls.clone(), |stood| &stood & &walls));
    }

    /// The walls that stood around every call that these meters saw, in one order.
    pub fn walls<'a>(meters: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let all = Self::default();
        for meter in meters {
            let stood = meter.walls.lock().unwrap_or_else(PoisonError::into_inner).clone();
            stood.into_iter().for_each(|stood| all.stood(stood));
        }
        let stood = all.walls.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_default();
        WALLS.into_iter().filter(|wall| stood.contains(wall)).map(str::to_owned).collect()
    }

    /// Takes a figure's name, of which a stage run may have `most`.
    pub fn claim_figure(&self, name: &str, most: u64) -> Claim {
        // Every change under this lock is a single insertion.
        let mut names = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) {
            Claim::Taken
        } else if names.len() as u64 >= most {
            Claim::Full
        } else {
            names.insert(name.to_owned());
            Claim::Granted
        }
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the stage's author.
    Debug,
    /// Worth a line.
    Info,
    /// Something to look at.
    Warn,
    /// Something went wrong.
    Error,
}

/// Receives what a stage tells people. Called from the stage's thread, often; must not block.
/// Text is cut and its control characters are escaped before it gets here.
pub trait Tracker: Send + Sync {
    /// A line for the run's log.
    fn log(&self, level: Level, message: &str);
    /// `done` of `total` units of the current call are done.
    fn progress(&self, done: u64, total: u64);
    /// A point of a curve.
    fn metric(&self, name: &str, value: f64, step: u64);
    /// A figure, already checked.
    fn figure(&self, figure: Figure);
}

/// A reading of one source, already decoded.
pub trait SourceCursor: Send {
    /// The columns.
    fn schema(&self) -> &Schema;
    /// The next rows, at most `rows`; `None` at the end.
    ///
    /// # Errors
    /// A value that does not fit its type, or a source that cannot be read.
    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, StageFault>;
}

/// The sources that one stage was granted.
pub trait Sources: Send + Sync {
    /// Opens a source by name.
    ///
    /// # Errors
    /// [`StageFault::Denied`] for a name that was not granted.
    fn open(&self, name: &str) -> Result<Box<dyn SourceCursor>, StageFault>;
}

/// Separates this use of SHA-256 from every other.
const SEED_DOMAIN: &[u8] = b"stagewright.stage-seed.v1\0";

/// The seed of one stage, from the seed of its run. Each stage has another, and none knows the
/// run's: what one stage draws, no other stage can draw again.
pub fn stage_seed(run: u64, world: World) -> u64 {
    let message = [SEED_DOMAIN, &run.to_le_bytes(), world.as_str().as_bytes()].concat();
    let mut head = [0; 8];
    head.copy_from_slice(&Digest::of(&message).as_bytes()[..8]);
    u64::from_le_bytes(head)
}

/// Everything that one stage run hands to its instances.
pub struct StageContext {
    /// The stage, as it is called in errors and tables.
    pub world: World,
    /// The component.
    pub component: Arc<Component>,
    /// Its parameters, one JSON object.
    pub parameters: String,
    /// Seeds its random choices: [`stage_seed`].
    pub seed: u64,
    /// The manifest's roles by column name, for the tables that it makes; other columns are features.
    pub roles: HashMap<String, Role>,
    /// Where its clocks start, microseconds since the epoch.
    pub as_of: i64,
    /// What it may use.
    pub limits: Limits,
    /// Where its artifacts are made. `None` where it may make none (prediction).
    pub staging: Option<Staging>,
    /// What it has used.
    pub meter: Arc<Meter>,
    /// Whom it tells.
    pub tracker: Arc<dyn Tracker>,
    /// How many instances may run at once.
    pub workers: usize,
    /// Stops it.
    pub cancel: Cancel,
}

impl StageContext {
    /// Says whether a limit on time or a wish to stop ends the stage.
    ///
    /// # Errors
    /// [`StageFault::Limit`] or [`StageFault::Cancelled`].
    pub fn check_time(&self) -> Result<(), StageFault> {
        self.meter.check_time(self.world, &self.limits, &self.cancel)
    }

    /// Does work of the host on the stage's behalf, and charges it to the stage.
    ///
    /// # Errors
    /// The work's own, or a limit that the stage is past.
    pub fn on_behalf<T>(&self, work: impl FnOnce() -> Result<T, StageFault>) -> Result<T, StageFault> {
        let mut mark = CpuMark::now();
        self.meter.wall.enter();
        let result = work();
        self.meter.wall.leave();
        Meter::add(&self.meter.cpu_ns, mark.take());
        let value = result?;
        self.check_time()?;
        Ok(value)
    }
}

/// Rows and columns of a table, chosen by the host: a stage that gets a view sees nothing else.
#[derive(Debug, Clone)]
pub struct View {
    /// The table.
    pub table: Table,
    /// The columns, as indices into the table's schema.
    pub columns: Vec<usize>,
    /// The columns' fields.
    pub schema: Schema,
}

impl View {
    /// All of a table.
    pub fn whole(table: Table) -> Self {
        let schema = table.schema().clone();
        let columns = (0..schema.fields().len()).collect();
        Self { table, columns, schema }
    }

    /// The columns whose fields `keep` wants.
    pub fn of(table: Table, keep: impl Fn(&Field) -> bool) -> Self {
        let (columns, fields): (Vec<_>, Vec<_>) = table
            .schema()
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| keep(field))
            .map(|(index, field)| (index, field.clone()))
            .unzip();
        let schema = Schema::new(fields).expect("a subset of a valid schema is valid");
        Self { table, columns, schema }
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.table.rows()
    }
}

/// A transformation and a predictor, ready to be instantiated.
#[derive(Clone)]
pub struct ModelParts {
    /// Runs the transformation component.
    pub transformation: Arc<StageContext>,
    /// Its fitted state.
    pub state: Blob,
    /// Runs the training component.
    pub training: Arc<StageContext>,
    /// Its model.
    pub model: Blob,
    /// The raw features that the transformation reads, in order.
    pub features: Schema,
    /// What is predicted.
    pub task: Task,
    /// The transformed features' importance; sums to 1 or is empty.
    pub importance: Vec<(String, f64)>,
}

impl ModelParts {
    /// Numbers per row: 1, or one per class.
    pub fn width(&self) -> usize {
        crate::model::width(&self.task)
    }
}

/// One check of a validation stage (WIT `validate.check`).
pub use stagewright_evaluation::report::{Check, ColumnSummary};

/// What a promotion stage decided.
#[derive(Debug, Clone)]
pub struct StageDecision {
    /// Whether it approves.
    pub approved: bool,
    /// Gate, passed, message.
    pub reasons: Vec<(String, bool, String)>,
}

/// What a promotion stage is told.
#[derive(Debug, Clone)]
pub struct DecisionInput {
    /// The candidate's metrics, computed by the host.
    pub candidate: Vec<(String, f64)>,
    /// The champion's.
    pub champion: Option<Vec<(String, f64)>>,
    /// What the evaluation stage reported.
    pub reported: Vec<(String, f64)>,
    /// How many test rows the candidate's metrics were computed on.
    pub rows: u64,
    /// The difference between the two in the metric that decides.
    pub difference: Option<Difference>,
    /// The manifest's gates, as the host found them.
    pub gates: Vec<GateResult>,
    /// The host's verdict by these gates.
    pub verdict: Verdict,
}

/// Runs components. Each call instantiates afresh, enforces the context's limits, checks every byte that comes back, and leaves
/// nothing behind when it fails.
pub trait Sandbox: Send + Sync {
    /// WIT `ingest.ingest`.
    ///
    /// # Errors
    /// Every method fails with a [`StageFault`] that says whose fault it is.
    fn ingest(
        &self,
        context: Arc<StageContext>,
        source: Option<&str>,
        sources: Arc<dyn Sources>,
    ) -> Result<Table, StageFault>;
    /// WIT `validate.validate`.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn validate(
        &self,
        context: Arc<StageContext>,
        table: &Table,
        expected: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault>;
    /// WIT `transform.fit`.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault>;
    /// WIT `transformer.transform` over all rows, in several instances. `sink` receives the transformed batches in order of rows, each with
    /// the row it starts at.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn transform(
        &self,
        context: Arc<StageContext>,
        state: &Blob,
        rows: &View,
        sink: TransformSink<'_>,
    ) -> Result<(), StageFault>;
    /// WIT `rebalance.rebalance`.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn rebalance(&self, context: Arc<StageContext>, train: &Table, task: &Task) -> Result<Option<Table>, StageFault>;
    /// WIT `train.train`, or `shards` in several instances where the component has them.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn train(
        &self,
        context: Arc<StageContext>,
        train: &Table,
        validation: Option<&Table>,
        task: &Task,
    ) -> Result<Blob, StageFault>;
    /// WIT `predictor.importance` of a model that reads `inputs`, by their names; sums to 1, or is
    /// empty.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn importance(
        &self,
        context: Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault>;
    /// Transformation and prediction of raw rows, in several instances; `width` numbers per row.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn predict(&self, model: &ModelParts, rows: &View) -> Result<Vec<f64>, StageFault>;
    /// The same for rows of raw features in memory, as serving does.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn predict_batch(&self, model: &ModelParts, rows: &RecordBatch) -> Result<Vec<f64>, StageFault>;
    /// WIT `transformer.transform` of these batches of raw features, one after the other, by one
    /// fresh instance; as many rows in the same order, in batches of any size. With nothing to make
    /// artifacts with, whatever the context has: as it is called for a prediction. `inputs` are the
    /// batches' columns; the features' columns come back too.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn transform_again(
        &self,
        context: &Arc<StageContext>,
        state: &Blob,
        inputs: &Schema,
        batches: &[RecordBatch],
    ) -> Result<(Schema, Vec<RecordBatch>), StageFault>;
    /// WIT `predictor.predict` of these batches of transformed features, one after the other, by
    /// one fresh instance; numbers as [`Sandbox::predict`] gives them.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn predict_again(
        &self,
        context: &Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
        batches: &[RecordBatch],
    ) -> Result<Vec<f64>, StageFault>;
    /// WIT `evaluate.evaluate`.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn evaluate(
        &self,
        context: Arc<StageContext>,
        test: &View,
        candidate: ModelParts,
        champion: Option<ModelParts>,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault>;
    /// The bytes of a component that was resolved, for keeping with a model.
    ///
    /// # Errors
    /// Its file is gone or has changed.
    fn component_bytes(&self, component: &Component) -> Result<Vec<u8>, StageFault>;
    /// Readies a registered model's component, whose bytes the artifact store holds as a blob.
    ///
    /// # Errors
    /// The blob is missing or corrupt, or today's host refuses the component.
    fn restore(
        &self,
        world: World,
        component: &ModelComponent,
        artifacts: &ArtifactStore,
    ) -> Result<Component, StageFault>;
    /// WIT `decide.decide`.
    ///
    /// # Errors
    /// See [`Sandbox::ingest`].
    fn decide(&self, context: Arc<StageContext>, input: &DecisionInput) -> Result<StageDecision, StageFault>;
}

/// Receives transformed batches: the schema that the transformer declared, the first row's number, the batch.
pub type TransformSink<'a> = &'a mut dyn FnMut(&Schema, u64, RecordBatch) -> Result<(), StageFault>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_not_for_stages_to_compute() {
        let run = 80_424;
        let seeds: BTreeSet<u64> = World::all().map(|world| stage_seed(run, world)).collect();
        assert_eq!(seeds.len(), World::all().len(), "each stage has a seed of its own");
        // Neither the run's seed nor the split's, which may be the same number, is any stage's.
        assert!(!seeds.contains(&run));
        assert!(World::all().all(|world| !seeds.contains(&stage_seed(run + 1, world))));
        // Fixed for good: a recorded run is made again from its seed.
        assert_eq!(stage_seed(42, World::Training), SEED_OF_TRAINING_42);
    }

    const SEED_OF_TRAINING_42: u64 = 11_603_330_710_632_408_016;
}
