//! The candidate of a run: the version that is registered when training ends.
//!
//! A candidate is whole from then on: it holds all that predictions need, and the rows that it
//! learnt from. Verdicts come later. So a run that ends before its verdict leaves something to
//! judge.

use std::sync::Arc;

use stagewright_data::{RowHash, hash_rows, row_key_columns};
use stagewright_manifest::{Register, World};
use stagewright_store::{ArtifactKind, ArtifactRecord, CHAMPION, NewVersion, Reference, RowMemory, Table};

use crate::artifact::{
    FEATURES_TRAIN, IMPORTANCE, MODEL, Place, SIGNATURE, SPLIT, STATE, TABLE, TASK, TEST, TEST_ROWS,
};
use crate::fault::StageFault;
use crate::model::{Format, ModelComponent, RegisteredModel, StageLimits};
use crate::run::{Run, RunError, with_defaults};
use crate::semantic_version;
use crate::stages::transformation::{ReadError, all, source_rows};
use crate::summary::ModelSummary;
use crate::watch::Watch;

/// Bytes that the host keeps of each row while it works out which rows a model learnt from: two
/// hashes, as they are and sorted, and what numbering equal rows takes.
const ROW_MEMORY: u64 = 64;

/// The model that a run trained.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// The model as the registry holds it.
    pub(crate) model: RegisteredModel,
    /// The rows that it learnt from.
    pub(crate) memory: RowMemory,
    /// Its version; `None` until it is registered.
    pub(crate) version: Option<u32>,
}

/// Puts the run's candidate together; registers it unless only what passes gets a number.
pub(crate) fn prepare(run: &mut Run) -> Result<(), RunError> {
    let limits = run.manifest.stage(World::Training).limits;
    let watch = Watch::begin(World::Training, limits, Arc::default(), run.request.cancel.clone());
    let (model, memory) = (model(run)?, memory(run, &watch)?);
    // A model that has a number already is that version, whatever is numbered from now on.
    let known = run.request.home.registry.version_of_parts(run.manifest.model.as_str(), model.parts())?;
    run.candidate = Some(Candidate { model, memory, version: None });
    if run.manifest.gates.register == Register::Always || known.is_some() {
        register(run)?;
    }
    Ok(())
}

/// Gives the candidate a version: a new one, or the one whose parts it shares.
pub(crate) fn register(run: &mut Run) -> Result<u32, RunError> {
    let Some(candidate) = &run.candidate else {
        return Err(MODEL.place.missing());
    };
    if let Some(version) = candidate.version {
        return Ok(version);
    }
    let name = run.manifest.model.to_string();
    let new = new_version(run, candidate)?;
    let numbering =
        |previous: Option<(&serde_json::Value, &str)>| Some(semantic_version::numbered(previous, &candidate.model));
    let home = &run.request.home;
    let registered = home.registry.register_candidate(&home.artifacts, &name, &new, &numbering)?;
    // A version of before may have learnt from more rows than this run's.
    let memory = home.registry.row_memory(&name, registered.version)?;
    if let Some(candidate) = &mut run.candidate {
        candidate.version = Some(registered.version);
        candidate.memory = memory.unwrap_or_else(|| candidate.memory.clone());
    }
    run.summary.model = Some(summary(run, &name, registered.version, registered.is_new)?);
    Ok(registered.version)
}

/// The version as it stands now.
pub(crate) fn summary(run: &Run, name: &str, version: u32, is_new: bool) -> Result<ModelSummary, RunError> {
    let registered = run.request.home.registry.version(name, version)?;
    let (semantic_version, aliases) = (registered.semantic_version, registered.aliases);
    Ok(ModelSummary { name: name.to_owned(), version, semantic_version, aliases, is_new })
}

/// Whether the candidate is the version in production.
pub(crate) fn is_champion(run: &Run) -> Result<bool, RunError> {
    let Some(version) = run.candidate.as_ref().and_then(|candidate| candidate.version) else { return Ok(false) };
    let champion = run.request.home.registry.alias(run.manifest.model.as_str(), CHAMPION)?;
    Ok(champion == Some(version))
}

/// The model of the run's artifacts.
fn model(run: &Run) -> Result<RegisteredModel, RunError> {
    let signature = run.open(&SIGNATURE)?;
    let task = run.open(&TASK)?;
    let importance = run.open(&IMPORTANCE)?;
    let component = |world| {
        let component = &run.request.components[&world];
        let section = run.manifest.component(world);
        ModelComponent {
            name: component.name.clone(),
            digest: component.digest,
            stubs: section.stubs.iter().map(|stub| stub.as_str().to_owned()).collect(),
            parameters: serde_json::Value::Object(section.parameters.clone()),
        }
    };
    Ok(RegisteredModel {
        format: Format,
        transformation: component(World::Transformation),
        state: run.artifact(&STATE)?.digest,
        training: component(World::Training),
        model: run.artifact(&MODEL)?.digest,
        task,
        signature,
        target: run.manifest.task.target.clone(),
        importance,
        metrics: None,
        test_digest: run.artifact(&TEST)?.digest,
        data_digest: run.artifact(&TABLE)?.digest,
        features_digest: Some(run.artifact(&FEATURES_TRAIN)?.digest),
        source: run.manifest.ingestion_source().map(|(name, _)| name.to_string()),
        code: run.request.code.clone(),
        limits: limits(run),
        run_id: run.id.to_string(),
        seed: run.manifest.seed,
        as_of: run.manifest.as_of.as_microsecond(),
    })
}

/// Limits of the stages so far, and what they used of them.
fn limits(run: &Run) -> Vec<StageLimits> {
    let limits = |stage: &crate::summary::StageSummary| {
        let allowed = run.manifest.stage(World::from_name(&stage.name)?).limits;
        Some(StageLimits {
            stage: stage.name.clone(),
            memory: allowed.memory,
            memory_used: stage.peak_memory_bytes,
            cpu_ms: allowed.cpu.as_millis() as u64,
            cpu_used_ms: stage.cpu_ms.ceil() as u64,
            wall_ms: allowed.wall.as_millis() as u64,
            wall_used_ms: stage.wall_ms.ceil() as u64,
        })
    };
    let taken_over = run.taken_over.iter().map(|(world, stage)| {
        let allowed = run.manifest.stage(*world).limits;
        StageLimits {
            stage: stage.name.clone(),
            memory: allowed.memory,
            memory_used: stage.peak_memory_bytes,
            cpu_ms: allowed.cpu.as_millis() as u64,
            cpu_used_ms: stage.cpu_ms.ceil() as u64,
            wall_ms: allowed.wall.as_millis() as u64,
            wall_used_ms: stage.wall_ms.ceil() as u64,
        }
    });
    taken_over.chain(run.summary.stages.iter().filter_map(limits)).collect()
}

/// The rows that the run's model learnt from: all but the test rows.
fn memory(run: &Run, watch: &Watch) -> Result<RowMemory, RunError> {
    let table = run.open(&TABLE)?;
    let index = run.open(&TEST_ROWS)?;
    let key = run.request.home.registry.row_hash_key()?;
    watch.hold_rows(table.rows(), ROW_MEMORY)?;
    let hashes = hashes_of(&table, &key, watch)?;
    let mut is_test = vec![false; hashes.len()];
    for row in source_rows(&index, watch)? {
        let place = usize::try_from(row).ok().and_then(|row| is_test.get_mut(row));
        *place.ok_or_else(|| StageFault::host(format!("`test-rows` names row {row} of {}", table.rows())))? = true;
    }
    let learnt = || hashes.iter().zip(&is_test).filter(|(_, is_test)| !**is_test).map(|(hash, _)| hash);
    Ok(RowMemory {
        columns: row_key_columns(table.schema()),
        keys: distinct(learnt().map(|hash| hash.key)),
        contents: distinct(learnt().map(|hash| hash.content)),
    })
}

fn distinct(hashes: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut hashes: Vec<u64> = hashes.collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// The hashes of all rows of an ingested table, in order.
pub(crate) fn hashes_of(table: &Table, key: &[u8; 32], watch: &Watch) -> Result<Vec<RowHash>, StageFault> {
    hash_rows(table.schema(), all(table, watch), key).map_err(|ReadError(fault)| fault)
}

/// Artifacts that explain a version, by the stages that make them.
const EXPLAINS: [Place; 7] =
    [TABLE.place, SIGNATURE.place, FEATURES_TRAIN.place, TEST.place, TEST_ROWS.place, SPLIT.place, IMPORTANCE.place];

/// The candidate with everything that it refers to.
fn new_version(run: &Run, candidate: &Candidate) -> Result<NewVersion, StageFault> {
    let model = &candidate.model;
    let blob = |role: &str, digest| Reference { role: role.to_owned(), kind: ArtifactKind::Blob, digest, needed: true };
    let mut references = vec![
        blob("transformation-component", model.transformation.digest),
        blob("transformation-state", model.state),
        blob("training-component", model.training.digest),
        blob("model", model.model),
    ];
    references.extend(explaining(run, &EXPLAINS));
    let worlds = [(World::Transformation, &model.transformation), (World::Training, &model.training)];
    let parameters = worlds.into_iter().flat_map(|(world, component)| {
        let schema = &run.request.components[&world].description.parameters;
        let own = with_defaults(schema, component.parameters.as_object().cloned().unwrap_or_default());
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
        rows: Some(candidate.memory.clone()),
    })
}

/// References to artifacts that nothing but an explanation needs.
pub(crate) fn explaining(run: &Run, wanted: &[Place]) -> Vec<Reference> {
    let reference = |&Place { world, name }: &Place| {
        let ArtifactRecord { kind, digest, .. } = *run.artifacts.get(&(world, name.to_owned()))?;
        Some(Reference { role: format!("{world}.{name}"), kind, digest, needed: false })
    };
    wanted.iter().filter_map(reference).collect()
}
