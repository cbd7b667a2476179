//! The execution of one step: it opens the declared inputs, collects outputs, and accounts for
//! resources.

mod host_table;
mod notes;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use stagewright_data::{Content, Decode, DecodeLimits, Interrupt};
use stagewright_evaluation::figure::Figure;
use stagewright_evaluation::report;
use stagewright_manifest::{Limits, StepId, World};
use stagewright_store::{
    ArtifactKind, ArtifactRecord, ArtifactStore, Blob, BlobWriter, Digest, Role, Schema, Staging, Table, TableWriter,
};

use crate::artifact::{Artifact, Document, Json, Readable};
use crate::fault::StageFault;
use crate::invocation::{GuestSpec, InputRef, Invocation, NAMED_INPUT, Outcome, SOURCE, Usage};
use crate::limits::{Cancel, Meter, WALLS, Watch};
use crate::observer::Observer;
use crate::run_error::RunError;
use crate::sandbox::{Component, Level, Sandbox, Shelf, StageContext, Tracker as _};

use notes::Notes;

pub(crate) use host_table::HostTable;

/// The live objects that a step is executed with. None of them changes a result.
#[derive(Clone)]
pub struct Session {
    /// The store of its inputs and outputs.
    pub artifacts: ArtifactStore,
    /// The sandbox that runs components.
    pub sandbox: Arc<dyn Sandbox>,
    /// The decoder of files.
    pub decoder: Arc<dyn Decode>,
    /// The admitted components that it may call.
    pub components: Vec<Arc<Component>>,
    /// The file of the input `source` with its content, where that is not an artifact; or the
    /// reason why it cannot be read.
    pub source: Option<Result<(PathBuf, Content), StageFault>>,
    /// The observer.
    pub observer: Arc<dyn Observer>,
    /// The number of instances that may run at once.
    pub workers: usize,
    /// The token that cancels it.
    pub cancel: Cancel,
}

/// A step while it is executed.
///
/// It opens the inputs that its invocation [declares](Execution::declare), and nothing else.
pub(crate) struct Execution {
    /// The step.
    pub(crate) step: StepId,
    pub(crate) world: World,
    /// The component that is called.
    pub(crate) component: Arc<Component>,
    pub(crate) session: Session,
    guest: Option<GuestSpec>,
    limits: Limits,
    inputs: BTreeMap<String, InputRef>,
    /// Blobs among the inputs that are not published yet.
    unpublished: Vec<Blob>,
    staging: Staging,
    meter: Arc<Meter>,
    watch: Watch,
    /// The meters of components of other stages that worked for this one, such as the predictions
    /// of an evaluation.
    nested: Vec<Arc<Meter>>,
    notes: Arc<Notes>,
    outputs: Vec<ArtifactRecord>,
    /// Metrics of the run that the host computed.
    results: Vec<(String, Option<f64>)>,
    began: Instant,
    pub(crate) began_ms: i64,
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

impl Execution {
    /// Starts the execution of a step. Its time counts from now on.
    pub(crate) fn begin(step: StepId, component: Arc<Component>, limits: Limits, session: Session) -> Self {
        let world = component.world;
        session.observer.stage_started(&step, &component.name);
        let notes = Notes::new(step.clone(), session.observer.clone());
        let meter = Arc::<Meter>::default();
        let watch = Watch::begin(world, limits, meter.clone(), session.cancel.clone());
        Self {
            step,
            world,
            component,
            guest: None,
            limits,
            inputs: BTreeMap::new(),
            unpublished: Vec::new(),
            staging: session.artifacts.stage(),
            meter,
            watch,
            nested: Vec::new(),
            notes: Arc::new(notes),
            outputs: Vec::new(),
            results: Vec::new(),
            began: Instant::now(),
            began_ms: now_ms(),
            session,
        }
    }

    /// Allows the inputs that an invocation declares.
    pub(crate) fn declare(&mut self, invocation: &Invocation) {
        self.guest = Some(invocation.guest.clone());
        self.inputs = invocation.inputs.iter().map(|input| (input.role.clone(), input.clone())).collect();
    }

    /// Returns the final result of the work. A cancellation that no call noticed fails it, and so
    /// does a limit that the step is past; the limit takes precedence.
    pub(crate) fn final_result(&self, result: Result<(), RunError>) -> Result<(), RunError> {
        match result {
            Ok(()) if self.session.cancel.is_cancelled() => Err(self.interrupted().into()),
            Err(RunError::Stage(StageFault::Cancelled { .. })) => Err(self.interrupted().into()),
            result => result,
        }
    }

    /// Publishes the outputs, and the inputs that the host brought.
    pub(crate) fn publish(&self) -> Result<(), RunError> {
        let outputs = self.outputs.iter().map(|output| output.digest);
        let kept: Vec<_> = outputs.chain(self.unpublished.iter().map(Blob::digest)).collect();
        Ok(self.staging.clone().publish_only(&kept)?)
    }

    /// Returns the staging area with the unpublished artifacts.
    pub(crate) fn staging(&self) -> Staging {
        self.staging.clone()
    }

    /// Ends the step, and returns its outcome.
    pub(crate) fn outcome(&mut self, fault: Option<&RunError>) -> Outcome {
        self.watch.charge();
        let recorded = self.notes.take();
        let mut metrics = recorded.metrics;
        // Instances report at the same time. Their order is not part of the record.
        metrics.sort_by(|a, b| (&a.name, a.step).cmp(&(&b.name, b.step)));
        let outputs = std::mem::take(&mut self.outputs);
        Outcome {
            outputs: if fault.is_some() { Vec::new() } else { outputs },
            usage: self.usage(),
            results: std::mem::take(&mut self.results),
            metrics,
            logs: recorded.logs,
            walls: Meter::walls(std::iter::once(&*self.meter).chain(self.nested.iter().map(Arc::as_ref))),
            fault: fault.map(RunError::fault),
        }
    }

    fn usage(&self) -> Usage {
        let meters = || std::iter::once(&self.meter).chain(&self.nested);
        let total = |counter: fn(&Meter) -> &std::sync::atomic::AtomicU64| -> u64 {
            meters().map(|meter| Meter::get(counter(meter))).sum()
        };
        Usage {
            wall_ms: self.began.elapsed().as_secs_f64() * 1e3,
            cpu_ms: total(|meter| &meter.cpu_ns) as f64 / 1e6,
            peak_memory_bytes: meters().map(|meter| Meter::get(&meter.peak_memory)).max().unwrap_or(0),
            rows_in: total(|meter| &meter.rows_in),
            rows_out: total(|meter| &meter.rows_out),
            bytes_in: total(|meter| &meter.bytes_in),
            bytes_out: total(|meter| &meter.bytes_out),
            bytes_copied: total(|meter| &meter.copied),
            output_bytes: total(|meter| &meter.output),
            log_bytes: total(|meter| &meter.log),
            log_lines_dropped: total(|meter| &meter.log_dropped),
        }
    }

    /// Returns the context for the step's component. `roles` are the roles of columns that it may
    /// write; other columns are features.
    pub(crate) fn context(&self, roles: HashMap<String, Role>) -> Result<Arc<StageContext>, StageFault> {
        let guest = self.guest.as_ref().ok_or_else(|| StageFault::host("a step begins with an invocation"))?;
        self.context_of(guest, self.meter.clone(), Some(self.staging.clone()), roles)
    }

    /// Returns the context for a component of a model that works for this step. Its time counts
    /// against its own limits, and only while it is called.
    pub(crate) fn nested(&mut self, guest: &GuestSpec) -> Result<Arc<StageContext>, StageFault> {
        let meter = Arc::new(Meter::while_called());
        self.nested.push(meter.clone());
        self.context_of(guest, meter, None, HashMap::new())
    }

    fn context_of(
        &self,
        guest: &GuestSpec,
        meter: Arc<Meter>,
        staging: Option<Staging>,
        roles: HashMap<String, Role>,
    ) -> Result<Arc<StageContext>, StageFault> {
        let is_wanted = |component: &&Arc<Component>| {
            (component.world, &component.name, component.digest) == (guest.world, &guest.name, guest.component)
                && guest.stubs.iter().eq(component.stubs.iter().collect::<std::collections::BTreeSet<_>>())
        };
        let component = self.session.components.iter().find(is_wanted);
        let component = component
            .ok_or_else(|| StageFault::host(format!("the component `{}` is not available", guest.component)))?;
        Ok(Arc::new(StageContext {
            world: guest.world,
            component: component.clone(),
            parameters: serde_json::Value::Object(guest.parameters.clone()).to_string(),
            seed: guest.seed,
            roles,
            as_of: guest.as_of,
            limits: guest.limits,
            staging,
            meter,
            tracker: self.notes.clone(),
            workers: self.session.workers,
            cancel: self.session.cancel.clone(),
            shelf: Shelf::default(),
        }))
    }

    /// Returns the time that stands for "now", in microseconds since the epoch.
    pub(crate) fn as_of(&self) -> i64 {
        self.guest.as_ref().map_or(0, |guest| guest.as_of)
    }

    /// Runs `work`, in which components of other stages work for this one. Its time is not part of
    /// this stage's wall time.
    pub(crate) fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        self.meter.waiting(work)
    }

    /// Returns the interrupt for long work of the host. It stops the work at a limit of the stage
    /// or a cancellation.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.watch.interrupt()
    }

    /// Returns the limits for decoding a file for the stage: the remainder of the stage's own
    /// limits.
    pub(crate) fn decode_limits(&self) -> DecodeLimits {
        let meter = self.meter.clone();
        // A decoder is host code, not a component, so the `wasm` wall is not missing around it.
        let stood = move |walls: &[&'static str]| meter.stood(std::iter::once("wasm").chain(walls.iter().copied()));
        DecodeLimits { interrupt: self.interrupt(), memory: self.limits.memory, on_walls: Some(Arc::new(stood)) }
    }

    /// Returns the time at which the stage's wall time limit ends.
    pub(crate) fn deadline(&self) -> Instant {
        self.began + self.limits.wall
    }

    /// Returns the reason why long work of the host ended early.
    pub(crate) fn interrupted(&self) -> StageFault {
        self.watch.interrupted()
    }

    /// Returns the watch over the host's work for the stage.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Creates a blob that the host writes for the stage.
    pub(crate) fn create_blob(&self) -> Result<BlobWriter, StageFault> {
        self.staging.create_blob().map_err(StageFault::host)
    }

    /// Returns a fault for a breach of the contract by the stage's component.
    pub(crate) fn contract(&self, export: &str, message: impl std::fmt::Display) -> StageFault {
        StageFault::Contract {
            stage: self.world.into(),
            component: self.component.name.clone(),
            export: export.into(),
            message: message.to_string(),
        }
    }

    /// Creates a table that the host writes for the stage.
    pub(crate) fn create_table(&self, schema: &Schema) -> Result<HostTable, StageFault> {
        self.watch.hold(TableWriter::empty_bytes(schema))?;
        let writer = self.staging.create_table(schema).map_err(StageFault::host)?;
        Ok(HostTable::new(writer, self.meter.clone(), self.watch.clone()))
    }

    fn input(&self, role: &str) -> Result<&InputRef, StageFault> {
        let undeclared = || StageFault::host(format!("stage `{}` declares no input `{role}`", self.world));
        self.inputs.get(role).ok_or_else(undeclared)
    }

    /// Opens an artifact of an earlier stage.
    pub(crate) fn open<T: Readable>(&self, artifact: &Artifact<T>) -> Result<T::Opened, RunError> {
        let digest = self.input(&artifact.name.role())?.digest;
        T::open(&self.session.artifacts, &digest, artifact.name)
    }

    /// Opens an artifact of an earlier stage, if it is declared.
    pub(crate) fn open_if_there<T: Readable>(&self, artifact: &Artifact<T>) -> Result<Option<T::Opened>, RunError> {
        self.is_declared(&artifact.name.role()).then(|| self.open(artifact)).transpose()
    }

    /// Opens the named tables of a preparation, each with its name.
    pub(crate) fn named_tables(&self) -> Result<Vec<(String, Table)>, RunError> {
        let named = self.inputs.iter().filter_map(|(role, input)| Some((role.strip_prefix(NAMED_INPUT)?, input)));
        let open =
            |(name, input): (&str, &InputRef)| Ok((name.to_owned(), self.session.artifacts.open_table(&input.digest)?));
        named.map(open).collect()
    }

    /// Opens and verifies an input that no stage of the pipeline made.
    pub(crate) fn blob(&self, role: &str) -> Result<Blob, RunError> {
        let digest = self.input(role)?.digest;
        match self.unpublished.iter().find(|blob| blob.digest() == digest) {
            Some(blob) => Ok(blob.clone()),
            None => Ok(self.session.artifacts.open_blob(&digest)?),
        }
    }

    /// Adds a blob that the host brought as an input of the step. It is published with the outputs.
    pub(crate) fn add_input_blob(&mut self, blob: &Blob) {
        self.unpublished.push(blob.clone());
    }

    /// Returns the file with the source's content, and the blob that it is, if it is one.
    pub(crate) fn source(&self) -> Result<(PathBuf, Option<Blob>), StageFault> {
        match (&self.session.source, self.input(SOURCE)) {
            // Content that could not be read is not declared.
            (Some(Err(fault)), Err(_)) => Err(fault.clone()),
            (_, Err(undeclared)) => Err(undeclared),
            (Some(Ok((path, content))), Ok(declared)) if content.digest == declared.digest => Ok((path.clone(), None)),
            (_, Ok(_)) => {
                let blob = self.blob(SOURCE).map_err(StageFault::host)?;
                Ok((blob.path().to_owned(), Some(blob)))
            }
        }
    }

    /// Whether the source's file was written to since its content was read.
    pub(crate) fn source_has_changed(&self) -> bool {
        matches!(&self.session.source, Some(Ok((_, content))) if content.has_changed())
    }

    /// Withdraws the declaration of the source's content, because it is not known what was read.
    pub(crate) fn forget_source(&mut self) {
        self.inputs.remove(SOURCE);
        let message = "somebody wrote to the database while it was read: its content is not on record";
        self.notes.log(Level::Warn, message);
    }

    /// Logs a warning of the host's.
    pub(crate) fn warn(&self, message: &str) {
        self.notes.log(Level::Warn, message);
    }

    /// Whether the invocation declares this input and it was not withdrawn.
    pub(crate) fn is_declared(&self, role: &str) -> bool {
        self.inputs.contains_key(role)
    }

    /// Returns the outputs so far.
    pub(crate) fn outputs(&self) -> &[ArtifactRecord] {
        &self.outputs
    }

    /// Adds a table to the outputs.
    pub(crate) fn put_table(&mut self, artifact: &Artifact<Table>, table: &Table) {
        self.outputs.push(table_record(artifact.name.name.to_owned(), table));
    }

    /// Adds a table to the outputs, under a name that comes from the data.
    pub(crate) fn put_named_table(&mut self, name: String, table: &Table) {
        self.outputs.push(table_record(name, table));
    }

    /// Records that the host works without a component, so that no wall is missing.
    pub(crate) fn record_host_only(&self) {
        self.meter.stood(WALLS);
    }

    /// Adds a blob to the outputs.
    pub(crate) fn put_blob(&mut self, artifact: &Artifact<Blob>, blob: &Blob) {
        self.add_blob(artifact, blob.digest(), blob.size());
    }

    fn add_blob(&mut self, artifact: &Artifact<Blob>, digest: Digest, bytes: u64) {
        self.outputs.push(ArtifactRecord {
            name: artifact.name.name.to_owned(),
            kind: ArtifactKind::Blob,
            digest,
            media_type: "application/octet-stream".to_owned(),
            rows: None,
            bytes,
        });
    }

    /// Adds metrics of the run that the host computed.
    pub(crate) fn put_results(&mut self, results: impl IntoIterator<Item = (String, Option<f64>)>) {
        self.results.extend(results);
    }

    /// Adds the bytes of a component to the outputs. Stored bytes are verified, and written again
    /// only if they are damaged.
    pub(crate) fn put_component(&mut self, artifact: &Artifact<Blob>, component: &Component) -> Result<(), RunError> {
        let (store, stored) = (&self.session.artifacts, (ArtifactKind::Blob, component.digest));
        if store.renew(&[stored])?
            && let Ok(bytes) = store.verify(stored.0, &stored.1)
        {
            self.add_blob(artifact, component.digest, bytes);
            return Ok(());
        }
        let bytes = self.session.sandbox.component_bytes(component)?;
        let mut writer = self.staging.create_blob()?;
        writer.write(&bytes)?;
        let blob = writer.finish()?;
        self.put_blob(artifact, &blob);
        Ok(())
    }

    /// Keeps the bytes of the step's component, so that the step can be executed again. They are
    /// not an output of the step.
    pub(crate) fn keep_component(&mut self) -> Result<(), RunError> {
        if self.session.artifacts.renew(&[(ArtifactKind::Blob, self.component.digest)])? {
            return Ok(());
        }
        let bytes = self.session.sandbox.component_bytes(&self.component)?;
        let mut writer = self.staging.create_blob()?;
        writer.write(&bytes)?;
        let kept = writer.finish()?;
        self.add_input_blob(&kept);
        Ok(())
    }

    /// Writes a document and adds it to the outputs.
    pub(crate) fn put_text<T: Document>(&mut self, artifact: &Artifact<T>, text: String) -> Result<(), RunError> {
        let bytes = text.into_bytes();
        let size = bytes.len() as u64;
        self.watch.charge_output(size)?;
        self.watch.check()?;
        let document = self.staging.put_document(T::MEDIA_TYPE, bytes)?;
        self.outputs.push(ArtifactRecord {
            name: artifact.name.name.to_owned(),
            kind: ArtifactKind::Document,
            digest: document.digest(),
            media_type: T::MEDIA_TYPE.to_owned(),
            rows: None,
            bytes: size,
        });
        Ok(())
    }

    /// Writes a value as a JSON document and adds it to the outputs.
    pub(crate) fn put_json<T: Serialize>(&mut self, artifact: &Artifact<Json<T>>, value: &T) -> Result<(), RunError> {
        let text = serde_json::to_string_pretty(value).map_err(StageFault::host)?;
        self.put_text(artifact, text)
    }

    /// Takes the figures that the stage sent so far, in the order of their names.
    pub(crate) fn take_figures(&self) -> Vec<Figure> {
        let mut figures = self.notes.take_figures();
        figures.sort_by(|a, b| a.name.cmp(&b.name));
        figures
    }

    /// Returns the component as reports name it.
    pub(crate) fn report_component(&self) -> report::ReportComponent {
        let description = &self.component.description;
        report::ReportComponent {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: self.component.digest.to_string(),
        }
    }
}

/// Returns the roles of columns by name, for the tables that a component makes. Features are left
/// out.
pub(crate) fn roles(schema: &Schema) -> HashMap<String, Role> {
    let fields = schema.fields().iter().filter(|field| field.role != Role::Feature);
    fields.map(|field| (field.name.clone(), field.role)).collect()
}

fn table_record(name: String, table: &Table) -> ArtifactRecord {
    ArtifactRecord {
        name,
        kind: ArtifactKind::Table,
        digest: table.digest(),
        media_type: "application/vnd.apache.arrow.file".to_owned(),
        rows: Some(table.rows()),
        bytes: table.bytes(),
    }
}
