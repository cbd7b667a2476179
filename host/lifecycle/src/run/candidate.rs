//! The candidate of a run: the model version that is registered when training ends.
//!
//! A candidate is complete from then on: it has everything that predictions need, and the hashes of
//! the rows that it was trained on. Verdicts follow. A run that ends before its verdict thus leaves
//! a version that can be judged.

use std::cmp::Ordering;
use std::sync::{Arc, PoisonError};

use stagewright_data::row_key_columns;
use stagewright_manifest::{RegisterPolicy, Step, StepId, World};
use stagewright_store::{self as store, ArtifactKind, CHAMPION, NewVersion, Reference, RowMemory};

use crate::artifact::{
    EVALUATION, FEATURES_TRAIN, IMPORTANCE, MODEL, SIGNATURE, SPLIT, STATE, TABLE, TASK, TEST, TEST_ROWS,
};
use crate::artifact_names::ArtifactName;
use crate::artifact_names::version_part;
use crate::fault::StageFault;
use crate::limits::Watch;
use crate::model::{Format, ModelComponent, RegisteredModel, StageLimits};
use crate::run::artifacts::RunArtifacts;
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::semantic_version;
use crate::summary::ModelSummary;
use crate::table_reading::{hashes_of, source_rows};
use crate::test_rows::{RowHashes, TestHashes};

/// The host's memory for each row while it hashes the rows of a training, in bytes: two hashes,
/// unsorted and sorted, and the numbering of equal rows.
const ROW_MEMORY: u64 = 64;

/// The model that a run trained.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The step that trained it.
    pub(crate) training: Step,
    /// The model as the registry stores it.
    pub(crate) model: RegisteredModel,
    /// The rows that it was trained on, and the test rows.
    pub(crate) rows: Arc<RowHashes>,
    /// Its version; `None` until it is registered.
    pub(crate) version: Option<u32>,
    /// The version in the run's summary.
    pub(crate) summary: Option<ModelSummary>,
    /// Whether it was found to be the champion already.
    pub(crate) is_champion_already: bool,
}

impl Candidate {
    /// Whether it is the champion.
    pub(crate) fn is_champion(&self, run: &Run) -> Result<bool, RunError> {
        let Some(version) = self.version else { return Ok(false) };
        let champion = run.request.home.registry.alias(run.request.manifest.model.as_str(), CHAMPION)?;
        Ok(champion == Some(version))
    }

    /// Updates the summary with the version's current aliases.
    pub(crate) fn refresh_summary(&mut self, run: &Run) -> Result<(), RunError> {
        let (Some(summary), Some(version)) = (&mut self.summary, self.version) else { return Ok(()) };
        let registered = run.request.home.registry.version(&summary.name, version)?;
        (summary.semantic_version, summary.aliases) = (registered.semantic_version, registered.aliases);
        Ok(())
    }
}

/// Creates the candidate of a training. It is registered if it is `the_only` one, unless the
/// manifest registers approved models only.
pub(crate) fn prepare(
    run: &Run,
    artifacts: &RunArtifacts,
    training: &Step,
    the_only: bool,
) -> Result<Candidate, RunError> {
    let mut candidate = unregistered(run, artifacts, training)?;
    let artifacts = &artifacts.after(training);
    let is_known = candidate.version.take().is_some();
    if is_known || the_only && run.request.manifest.gates.register == RegisterPolicy::Always {
        register(run, artifacts, &mut candidate)?;
    }
    Ok(candidate)
}

/// Creates the candidate of a training without registering it. A model that has a version already
/// is that version.
pub(crate) fn unregistered(run: &Run, artifacts: &RunArtifacts, training: &Step) -> Result<Candidate, RunError> {
    let manifest = &run.request.manifest;
    let artifacts = &artifacts.after(training);
    let limits = manifest.stage_of(training).limits;
    let watch = Watch::begin(training.stage.clone(), limits, Arc::default(), run.request.cancel.clone());
    let model = model(run, artifacts)?;
    let rows = rows(run, artifacts, &watch)?;
    let version = run.request.home.registry.version_of_parts(manifest.model.as_str(), model.parts())?;
    let training = training.clone();
    Ok(Candidate { training, model, rows, version, summary: None, is_champion_already: false })
}

/// Returns the best of several candidates in the primary metric on the test rows. It is registered,
/// unless the manifest registers approved models only. Of equal ones, it is the one whose training
/// has the first name.
pub(crate) fn best(run: &Run, artifacts: &RunArtifacts, candidates: Vec<Candidate>) -> Result<Candidate, RunError> {
    let manifest = &run.request.manifest;
    let mut best: Option<(f64, Candidate)> = None;
    let mut rows = None;
    for candidate in candidates {
        let evaluated = artifacts.along(&run.evaluation_line(&candidate.training)?).open(&EVALUATION)?;
        let test = rows.get_or_insert_with(|| evaluated.test.digest.clone());
        if *test != evaluated.test.digest {
            let message = "models of one run were judged on different rows";
            return Err(StageFault::host(message).into());
        }
        let figure = evaluated.candidate.metrics.get(&manifest.gates.primary).unwrap_or(f64::NEG_INFINITY);
        let is_better = best.as_ref().is_none_or(|(known, other)| match figure.total_cmp(known) {
            Ordering::Greater => true,
            Ordering::Equal => candidate.training.id < other.training.id,
            Ordering::Less => false,
        });
        if is_better {
            best = Some((figure, candidate));
        }
    }
    let (_, mut candidate) = best.ok_or_else(|| StageFault::host("no model was trained"))?;
    if manifest.gates.register == RegisterPolicy::Always {
        register(run, &artifacts.after(&candidate.training), &mut candidate)?;
    }
    Ok(candidate)
}

/// Registers the candidate: as a new version, or as the version that has the same parts.
pub(crate) fn register(run: &Run, artifacts: &RunArtifacts, candidate: &mut Candidate) -> Result<u32, RunError> {
    if let Some(version) = candidate.version {
        return Ok(version);
    }
    let name = run.request.manifest.model.to_string();
    let new = new_version(run, artifacts, candidate)?;
    let numbering =
        |previous: Option<(&serde_json::Value, &str)>| Some(semantic_version::numbered(previous, &candidate.model));
    let home = &run.request.home;
    let store::Registration { version, is_new } =
        home.registry.register_candidate(&home.artifacts, &name, &new, &numbering)?;
    // An older version may have been trained on more rows than this run's.
    if let Some(memory) = home.registry.row_memory(&name, version)? {
        candidate.rows = Arc::new(RowHashes { learnt: memory, test: candidate.rows.test.clone() });
    }
    candidate.version = Some(version);
    let (semantic_version, aliases) = (None, Vec::new());
    candidate.summary = Some(ModelSummary { name, version, semantic_version, aliases, is_new });
    candidate.refresh_summary(run)?;
    Ok(version)
}

/// Returns the model that the artifacts make up.
fn model(run: &Run, artifacts: &RunArtifacts) -> Result<RegisteredModel, RunError> {
    let signature = artifacts.open(&SIGNATURE)?;
    let task = artifacts.open(&TASK)?;
    let importance = artifacts.open(&IMPORTANCE)?;
    let manifest = &run.request.manifest;
    let component = |world| {
        let step = run.step_named(&artifacts.step_of(world))?;
        let (component, stage) = (run.component(step), manifest.stage_of(step));
        let stubs = &manifest.component_of(stage).stubs;
        Ok::<_, StageFault>(ModelComponent {
            name: component.name.clone(),
            digest: component.digest,
            stubs: stubs.iter().map(|stub| stub.as_str().to_owned()).collect(),
            parameters: serde_json::Value::Object(manifest.parameters_of(stage)),
        })
    };
    let ingestion = manifest.graph.step(&artifacts.step_of(World::Ingestion)).map(|step| manifest.stage_of(step));
    Ok(RegisteredModel {
        format: Format,
        transformation: component(World::Transformation)?,
        state: artifacts.find(STATE.name)?.digest,
        training: component(World::Training)?,
        model: artifacts.find(MODEL.name)?.digest,
        task,
        signature,
        target: manifest.task.target.clone(),
        importance,
        metrics: None,
        test_digest: artifacts.find(TEST.name)?.digest,
        data_digest: artifacts.find(TABLE.name)?.digest,
        features_digest: Some(artifacts.find(FEATURES_TRAIN.name)?.digest),
        source: ingestion.and_then(|stage| manifest.source_of(stage)).map(|(name, _)| name.to_string()),
        code: run.request.code.clone(),
        limits: limits(run, artifacts),
        run_id: run.id.to_string(),
        seed: manifest.seed,
        as_of: manifest.as_of.as_microsecond(),
    })
}

/// Returns the limits of the steps up to training, and their use.
fn limits(run: &Run, artifacts: &RunArtifacts) -> Vec<StageLimits> {
    let manifest = &run.request.manifest;
    let limits = |step: &Step| {
        let (allowed, stage) = (manifest.stage_of(step).limits, artifacts.record(&step.id)?);
        Some(StageLimits {
            stage: step.world.to_string(),
            memory: allowed.memory,
            memory_used: stage.peak_memory_bytes,
            cpu_ms: allowed.cpu.as_millis() as u64,
            cpu_used_ms: stage.cpu_ms.ceil() as u64,
            wall_ms: allowed.wall.as_millis() as u64,
            wall_used_ms: stage.wall_ms.ceil() as u64,
        })
    };
    let own: Vec<StepId> =
        World::all().filter(|world| *world <= World::Training).map(|it| artifacts.step_of(it)).collect();
    let is_of_it =
        |step: &&Step| step.world <= World::Training && (step.world == World::Validation || own.contains(&step.id));
    manifest.graph.steps().iter().filter(is_of_it).filter_map(limits).collect()
}

/// Returns the hashes of the rows that the model was trained on, which are all but the test rows,
/// and of the test rows. The table is read and hashed once for both, and once for all models of a
/// run.
fn rows(run: &Run, artifacts: &RunArtifacts, watch: &Watch) -> Result<Arc<RowHashes>, RunError> {
    let of = (artifacts.find(TABLE.name)?.digest, artifacts.find(TEST_ROWS.name)?.digest);
    // A thread that panicked left the value unchanged.
    let mut hashed = run.hashed.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, rows)) = &*hashed
        && *known == of
    {
        return Ok(rows.clone());
    }
    let rows = Arc::new(hash(run, artifacts, watch)?);
    *hashed = Some((of, rows.clone()));
    Ok(rows)
}

fn hash(run: &Run, artifacts: &RunArtifacts, watch: &Watch) -> Result<RowHashes, RunError> {
    let table = artifacts.open(&TABLE)?;
    let index = source_rows(&artifacts.open(&TEST_ROWS)?, watch)?;
    let key = run.request.home.registry.row_hash_key()?;
    watch.hold_rows(table.rows(), ROW_MEMORY)?;
    let hashes = hashes_of(&table, &key, watch)?;
    let test = TestHashes::among(table.schema(), &hashes, &index)?;
    let mut is_test = vec![false; hashes.len()];
    // The index is in range: the row's hash was found above.
    index.iter().for_each(|&row| is_test[row as usize] = true);
    let all = || hashes.iter().zip(&is_test).filter(|(_, is_test)| !**is_test).map(|(hash, _)| hash);
    let learnt = RowMemory {
        columns: row_key_columns(table.schema()),
        keys: distinct(all().map(|hash| hash.key)),
        contents: distinct(all().map(|hash| hash.content)),
    };
    Ok(RowHashes { learnt, test })
}

fn distinct(hashes: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut hashes: Vec<u64> = hashes.collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// The artifacts that explain a version.
const EXPLAINS: [ArtifactName; 7] =
    [TABLE.name, SIGNATURE.name, FEATURES_TRAIN.name, TEST.name, TEST_ROWS.name, SPLIT.name, IMPORTANCE.name];

/// Returns the candidate as a new version, with its references.
fn new_version(run: &Run, artifacts: &RunArtifacts, candidate: &Candidate) -> Result<NewVersion, StageFault> {
    let model = &candidate.model;
    let blob = |role: &str, digest| Reference { role: role.to_owned(), kind: ArtifactKind::Blob, digest, needed: true };
    let mut references = vec![
        blob(version_part::TRANSFORMATION_COMPONENT, model.transformation.digest),
        blob(version_part::TRANSFORMATION_STATE, model.state),
        blob(version_part::TRAINING_COMPONENT, model.training.digest),
        blob(version_part::MODEL, model.model),
    ];
    references.extend(artifacts.references(&EXPLAINS));
    let worlds = [(World::Transformation, &model.transformation), (World::Training, &model.training)];
    let mut parts = Vec::with_capacity(worlds.len());
    for (world, part) in worlds {
        parts.push((world, part, run.component(run.step_named(&artifacts.step_of(world))?)));
    }
    let parameters = parts.into_iter().flat_map(|(world, component, admitted)| {
        let own = admitted.description.with_defaults(component.parameters.as_object().cloned().unwrap_or_default());
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let named = own.into_iter().map(move |(name, value)| (format!("{world}.{name}"), text(&value)));
        named.chain([(format!("{world}.component"), component.name.clone())])
    });
    let code = model.code.iter().map(|code| ("mlflow.source.git.commit".to_owned(), code.commit.clone()));
    Ok(NewVersion {
        run_id: Some(run.id.clone()),
        contents: serde_json::to_value(model).map_err(StageFault::host)?,
        references,
        metrics: Vec::new(),
        parameters: parameters.collect(),
        tags: code.collect(),
        parts: Some(model.parts()),
        rows: Some(candidate.rows.learnt.clone()),
    })
}
