//! One stage of a run: its inputs, its outputs, its account.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arrow_array::RecordBatch;
use serde::Serialize;
use stagewright_data::Interrupt;
use stagewright_evaluation::figure::Figure;
use stagewright_evaluation::report;
use stagewright_manifest::World;
use stagewright_store::{
    ArtifactKind, ArtifactRecord, Blob, BlobWriter, InputRecord, LogLine, MetricRecord, Role, Schema, StageRecord,
    Staging, Table, TableWriter, packed,
};

use crate::artifact::{self, Artifact, Json, Readable};
use crate::fault::StageFault;
use crate::model::RegisteredModel;
use crate::observer::Observer;
use crate::run::{Run, RunError, with_defaults};
use crate::sandbox::{Component, Level, Meter, StageContext, Tracker, stage_seed};
use crate::summary::{ArtifactSummary, StageSummary};
use crate::watch::Watch;

/// A stage at work.
pub(crate) struct Stage<'r> {
    pub(crate) run: &'r mut Run,
    pub(crate) world: World,
    pub(crate) component: Arc<Component>,
    staging: Staging,
    meter: Arc<Meter>,
    watch: Watch,
    /// Meters of other stages' components that worked for this one (predictions during evaluation).
    nested: Vec<Arc<Meter>>,
    notes: Arc<Notes>,
    inputs: Vec<InputRecord>,
    outputs: Vec<ArtifactRecord>,
    /// What the host found, which becomes the run's metrics.
    results: Vec<(String, f64)>,
    began: Instant,
    began_ms: i64,
}

/// What a stage said.
struct Notes {
    world: World,
    observer: Arc<dyn Observer>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    logs: Vec<LogLine>,
    metrics: Vec<MetricRecord>,
    figures: Vec<Figure>,
}

impl Notes {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Every change under this lock is a single push.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracker for Notes {
    fn log(&self, level: Level, message: &str) {
        self.observer.log(self.world, level, message);
        let level = format!("{level:?}").to_lowercase();
        self.kept().logs.push(LogLine { level, message: message.to_owned() });
    }

    fn progress(&self, done: u64, total: u64) {
        self.observer.progress(self.world, done, total);
    }

    fn metric(&self, name: &str, value: f64, step: u64) {
        self.kept().metrics.push(MetricRecord { name: name.to_owned(), value, step });
    }

    fn figure(&self, figure: Figure) {
        self.kept().figures.push(figure);
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl<'r> Stage<'r> {
    pub(crate) fn begin(run: &'r mut Run, world: World) -> Self {
        let component = run.request.components[&world].clone();
        run.request.observer.stage_started(world, &component.name);
        let notes = Notes { world, observer: run.request.observer.clone(), kept: Mutex::default() };
        let staging = run.request.home.artifacts.stage();
        let meter = Arc::<Meter>::default();
        let limits = run.manifest.stage(world).limits;
        let watch = Watch::begin(world, limits, meter.clone(), run.request.cancel.clone());
        Self {
            staging,
            meter,
            watch,
            nested: Vec::new(),
            notes: Arc::new(notes),
            inputs: Vec::new(),
            outputs: Vec::new(),
            results: Vec::new(),
            began: Instant::now(),
            began_ms: now_ms(),
            run,
            world,
            component,
        }
    }

    /// Does the work; publishes and records what came of it.
    pub(crate) fn execute(mut self, work: fn(&mut Self) -> Result<(), RunError>) -> Result<(), RunError> {
        let result = match work(&mut self) {
            Ok(()) if self.run.request.cancel.is_cancelled() => Err(self.interrupted().into()),
            Err(RunError::Stage(StageFault::Cancelled { .. })) => Err(self.interrupted().into()),
            result => result,
        };
        self.finish(result)
    }

    fn finish(self, result: Result<(), RunError>) -> Result<(), RunError> {
        let kept: Vec<_> = self.outputs.iter().map(|output| output.digest).collect();
        let published = result.and_then(|()| self.staging.clone().publish_only(&kept).map_err(RunError::from));
        self.watch.charge();
        let summary = self.summary();
        let record = self.record(&summary, published.as_ref().err());
        let recorded = self.run.request.home.registry.record_stage(&self.run.id, &record, &self.results);
        // A disk that is full may refuse the record too: what stopped the stage is what is told.
        published?;
        recorded?;
        self.run.request.observer.stage_finished(self.world, &summary);
        for output in self.outputs {
            self.run.artifacts.insert((self.world, output.name.clone()), output);
        }
        self.run.summary.stages.push(summary);
        Ok(())
    }

    fn total(&self, counter: impl Fn(&Meter) -> &std::sync::atomic::AtomicU64) -> u64 {
        std::iter::once(&self.meter).chain(&self.nested).map(|meter| Meter::get(counter(meter))).sum()
    }

    fn summary(&self) -> StageSummary {
        let meters = || std::iter::once(&self.meter).chain(&self.nested);
        StageSummary {
            name: self.world.as_str().to_owned(),
            component: self.component.name.clone(),
            digest: self.component.digest.to_string(),
            wall_ms: self.began.elapsed().as_secs_f64() * 1e3,
            cpu_ms: self.total(|meter| &meter.cpu_ns) as f64 / 1e6,
            peak_memory_bytes: meters().map(|meter| Meter::get(&meter.peak_memory)).max().unwrap_or(0),
            rows_in: self.total(|meter| &meter.rows_in),
            rows_out: self.total(|meter| &meter.rows_out),
            bytes_in: self.total(|meter| &meter.bytes_in),
            bytes_out: self.total(|meter| &meter.bytes_out),
            bytes_copied: self.total(|meter| &meter.copied),
            output_bytes: self.total(|meter| &meter.output),
            log_bytes: self.total(|meter| &meter.log),
            log_lines_dropped: self.total(|meter| &meter.log_dropped),
            artifacts: self
                .outputs
                .iter()
                .map(|output| ArtifactSummary {
                    name: output.name.clone(),
                    kind: output.kind.to_string(),
                    digest: output.digest.to_string(),
                })
                .collect(),
        }
    }

    fn record(&self, summary: &StageSummary, error: Option<&RunError>) -> StageRecord {
        let kept = std::mem::take(&mut *self.notes.kept());
        let mut metrics = kept.metrics;
        // Instances work at once: the order in which they reported is no part of the record.
        metrics.sort_by(|a, b| (&a.name, a.step).cmp(&(&b.name, b.step)));
        StageRecord {
            name: summary.name.clone(),
            component: summary.component.clone(),
            digest: self.component.digest,
            status: if error.is_some() { "failed" } else { "finished" }.to_owned(),
            started_ms: self.began_ms,
            ended_ms: now_ms(),
            wall_ms: summary.wall_ms,
            cpu_ms: summary.cpu_ms,
            peak_memory_bytes: summary.peak_memory_bytes,
            rows_in: summary.rows_in,
            rows_out: summary.rows_out,
            bytes_in: summary.bytes_in,
            bytes_out: summary.bytes_out,
            copies_bytes: summary.bytes_copied,
            error: error.map(|error| serde_json::json!({ "message": error.to_string() })),
            inputs: self.inputs.clone(),
            outputs: if error.is_some() { Vec::new() } else { self.outputs.clone() },
            metrics,
            logs: kept.logs,
        }
    }

    /// What the stage's instances get. `schema` names the roles of columns that the stage may write.
    pub(crate) fn context(&self, schema: Option<&Schema>) -> Arc<StageContext> {
        let staging = Some(self.staging.clone());
        Arc::new(self.context_of(self.world, self.component.clone(), self.meter.clone(), staging, schema))
    }

    /// A context for a component of another stage that works for this one. Its time counts against
    /// its own stage's limits, and only while it is called.
    pub(crate) fn nested_context(&mut self, world: World, component: Arc<Component>) -> Arc<StageContext> {
        let meter = Arc::new(Meter::while_called());
        self.nested.push(meter.clone());
        Arc::new(self.context_of(world, component, meter, None, None))
    }

    /// The same for a component of a registered model: what it predicts is what `predict` serves,
    /// with the parameters, seed and clocks of the run that made it.
    pub(crate) fn registered_context(
        &mut self,
        world: World,
        component: Arc<Component>,
        model: &RegisteredModel,
    ) -> Arc<StageContext> {
        let own = if world == World::Transformation { &model.transformation } else { &model.training };
        let meter = Arc::new(Meter::while_called());
        self.nested.push(meter.clone());
        Arc::new(StageContext {
            parameters: own.parameters.to_string(),
            seed: stage_seed(model.seed, world),
            as_of: model.as_of,
            ..self.context_of(world, component, meter, None, None)
        })
    }

    fn context_of(
        &self,
        world: World,
        component: Arc<Component>,
        meter: Arc<Meter>,
        staging: Option<Staging>,
        schema: Option<&Schema>,
    ) -> StageContext {
        let manifest = &self.run.manifest;
        let mut roles = Run::roles(schema);
        if world == World::Ingestion {
            // A table that a stage makes up may come without a signature; its target is known all the same.
            roles.entry(manifest.task.target.clone()).or_insert(Role::Target);
        }
        let parameters = manifest.component(world).parameters.clone();
        let parameters = with_defaults(&component.description.parameters, parameters);
        StageContext {
            world,
            component,
            parameters: serde_json::Value::Object(parameters).to_string(),
            seed: stage_seed(manifest.seed, world),
            roles,
            as_of: manifest.as_of.as_microsecond(),
            limits: manifest.stage(world).limits,
            staging,
            meter,
            tracker: self.notes.clone(),
            workers: self.run.request.workers,
            cancel: self.run.request.cancel.clone(),
        }
    }

    /// Does what this stage waits for: components of other stages at work. It is no part of its
    /// time on the wall.
    pub(crate) fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        self.meter.waiting(work)
    }

    /// Ends long work of the host: at a wish to stop, and at a limit of the stage.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.watch.interrupt()
    }

    /// When the stage must be over.
    pub(crate) fn deadline(&self) -> Instant {
        self.began + self.run.manifest.stage(self.world).limits.wall
    }

    /// Why long work of the host ended early.
    pub(crate) fn interrupted(&self) -> StageFault {
        self.watch.interrupted()
    }

    /// A blob that the store has already, verified.
    pub(crate) fn kept_blob(&self, digest: &str) -> Option<Blob> {
        self.run.request.home.artifacts.open_blob(&digest.parse().ok()?).ok()
    }

    /// Looks after the host's own work for the stage.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Begins a blob that the host makes for the stage.
    pub(crate) fn create_blob(&self) -> Result<BlobWriter, StageFault> {
        self.staging.create_blob().map_err(StageFault::host)
    }

    /// A fault of the stage's component against the contract.
    pub(crate) fn contract(&self, export: &str, message: impl std::fmt::Display) -> StageFault {
        StageFault::Contract {
            stage: self.world.into(),
            component: self.component.name.clone(),
            export: export.into(),
            message: message.to_string(),
        }
    }

    /// Begins a table that the host makes for the stage.
    pub(crate) fn create_table(&self, schema: &Schema) -> Result<MadeTable, StageFault> {
        self.watch.hold(TableWriter::empty_bytes(schema))?;
        let writer = self.staging.create_table(schema).map_err(StageFault::host)?;
        Ok(MadeTable { writer, meter: self.meter.clone(), watch: self.watch.clone() })
    }

    /// An artifact that an earlier stage made.
    pub(crate) fn open<T: Readable>(&mut self, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        let digest = self.run.artifact(artifact)?.digest;
        self.inputs.push(InputRecord { name: artifact.role(), digest });
        T::open(&self.run.request.home.artifacts, &digest, artifact.place)
    }

    /// The same, where it need not be there.
    pub(crate) fn open_if_there<T: Readable>(&mut self, artifact: &Artifact<T>) -> Result<Option<T::Opened>, RunError> {
        self.run.artifact(artifact).is_ok().then(|| self.open(artifact)).transpose()
    }

    /// Makes a table one of the stage's outputs.
    pub(crate) fn put_table(&mut self, artifact: &Artifact<Table>, table: &Table) {
        self.outputs.push(ArtifactRecord {
            name: artifact.place.name.to_owned(),
            kind: ArtifactKind::Table,
            digest: table.digest(),
            media_type: "application/vnd.apache.arrow.file".to_owned(),
            rows: Some(table.rows()),
            bytes: table.bytes(),
        });
    }

    /// Makes a blob one of the stage's outputs.
    pub(crate) fn put_blob(&mut self, artifact: &Artifact<Blob>, blob: &Blob) {
        self.outputs.push(ArtifactRecord {
            name: artifact.place.name.to_owned(),
            kind: ArtifactKind::Blob,
            digest: blob.digest(),
            media_type: "application/octet-stream".to_owned(),
            rows: None,
            bytes: blob.size(),
        });
    }

    /// Makes figures that the host computed metrics of the run.
    pub(crate) fn put_results(&mut self, results: impl IntoIterator<Item = (String, f64)>) {
        self.results.extend(results);
    }

    /// Writes a blob from bytes of the host's.
    pub(crate) fn put_bytes(&mut self, artifact: &Artifact<Blob>, bytes: &[u8]) -> Result<(), RunError> {
        let mut writer = self.staging.create_blob()?;
        writer.write(bytes)?;
        let blob = writer.finish()?;
        self.put_blob(artifact, &blob);
        Ok(())
    }

    /// Writes a document.
    pub(crate) fn put_text<T: artifact::Document>(
        &mut self,
        artifact: &Artifact<T>,
        text: String,
    ) -> Result<(), RunError> {
        let bytes = text.into_bytes();
        let size = bytes.len() as u64;
        self.watch.charge_output(size)?;
        self.watch.look()?;
        let document = self.staging.put_document(T::MEDIA_TYPE, bytes)?;
        self.outputs.push(ArtifactRecord {
            name: artifact.place.name.to_owned(),
            kind: ArtifactKind::Document,
            digest: document.digest(),
            media_type: T::MEDIA_TYPE.to_owned(),
            rows: None,
            bytes: size,
        });
        Ok(())
    }

    /// Writes a value as a JSON document.
    pub(crate) fn put_json<T: Serialize>(&mut self, artifact: &Artifact<Json<T>>, value: &T) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(value).map_err(StageFault::host)?;
        self.put_text(artifact, text)
    }

    /// The figures that the stage sent so far.
    pub(crate) fn take_figures(&self) -> Vec<Figure> {
        let mut figures = std::mem::take(&mut self.notes.kept().figures);
        figures.sort_by(|a, b| a.name.cmp(&b.name));
        figures
    }

    /// The component, as reports name it.
    pub(crate) fn report_component(&self) -> report::Component {
        let description = &self.component.description;
        report::Component {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: self.component.digest.to_string(),
        }
    }
}

/// A table that the host makes for a stage, in the stage's account.
pub(crate) struct MadeTable {
    writer: TableWriter,
    meter: Arc<Meter>,
    watch: Watch,
}

impl MadeTable {
    /// Appends rows that count against the stage's output limit.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.watch.charge_output(packed::batch_bytes(rows, self.writer.schema()).map_err(StageFault::host)? as u64)?;
        self.write_charged(rows)
    }

    /// Appends rows of which the output was charged when they came from the guest.
    pub(crate) fn write_charged(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.writer.write(rows).map_err(StageFault::host)?;
        Meter::add(&self.meter.cpu_ns, self.writer.take_other_threads_cpu_ns());
        self.watch.hold(self.writer.held_bytes())?;
        self.watch.look()
    }

    /// Ends the table.
    pub(crate) fn finish(self) -> Result<Table, StageFault> {
        self.watch.hold(self.writer.held_bytes() + self.writer.finishing_bytes())?;
        let (table, other_cpu_ns) = self.writer.finish_counted().map_err(StageFault::host)?;
        Meter::add(&self.meter.cpu_ns, other_cpu_ns);
        self.watch.look()?;
        Ok(table)
    }
}
