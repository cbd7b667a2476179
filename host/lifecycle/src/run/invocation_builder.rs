//! The invocation of a step, built from the manifest, the registry and the artifacts so far.
//!
//! Only this module connects a step with the manifest and the registry. Everything that a step may
//! read becomes part of its invocation here; the step cannot read what its invocation does not
//! declare.

mod champion;
mod declared;
mod guests;
mod source;

use stagewright_data::SplitPlan;
use stagewright_manifest::{ChampionOverlap, Input, Manifest, Over, SEGMENTS, Step, World};
use stagewright_store::ArtifactKind;

use crate::artifact::{
    EVALUATION, FEATURES_TRAIN, FEATURES_VALIDATION, IMPORTANCE, MODEL, SIGNATURE, STATE, TABLE, TASK, TEST,
};
use crate::artifact_names::ArtifactName;
use crate::execution::Execution;
use crate::fault::StageFault;
use crate::invocation::NAMED_INPUT;
use crate::invocation::{
    EvaluationWork, FORMAT, HOST_SEMANTICS, InputRef, Invocation, ModelGuests, Origin, PreparationWork, SPLIT_FILE,
    SegmentsWork, TransformationWork, Work,
};
use crate::overlap::Overlap;
use crate::run::artifacts::RunArtifacts;
use crate::run::candidate::Candidate;
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::settings;
use crate::test_rows::RowHashes;

pub(crate) use champion::is_within_reach as champion_is_within_reach;

/// Returns the invocation of a step. The host fetches and hashes the inputs as part of the step's
/// execution.
pub(crate) fn invocation(
    run: &Run,
    step: &Step,
    artifacts: &RunArtifacts,
    candidate: Option<&Candidate>,
    execution: &mut Execution,
) -> Result<Invocation, RunError> {
    let manifest = &run.request.manifest;
    let artifacts = &artifacts.along(&step.line);
    let of =
        |wanted: &[ArtifactName]| wanted.iter().map(|&place| input(artifacts, place)).collect::<Result<Vec<_>, _>>();
    let if_there = |place| input(artifacts, place).ok();
    let (work, mut inputs) = match step.world {
        _ if step.id.as_str() == SEGMENTS => (Work::Segments(segments(manifest)?), of(&[TABLE.name])?),
        World::Ingestion => {
            let (work, inputs) = source::work(run, step, execution)?;
            (Work::Ingestion(Box::new(work)), inputs)
        }
        World::Preparation => {
            let inputs = step.inputs.iter().map(|wanted| named_input(artifacts, wanted)).collect::<Result<_, _>>()?;
            (Work::Preparation(preparation(run, step)?), inputs)
        }
        World::Validation => {
            let mut inputs = of(&[TABLE.name, SIGNATURE.name])?;
            let references = step.inputs.iter().filter(|wanted| wanted.name != "table");
            for wanted in references {
                inputs.push(named_input(artifacts, wanted)?);
            }
            (Work::Validation, inputs)
        }
        World::Transformation => {
            let mut inputs = of(&[TABLE.name, SIGNATURE.name])?;
            inputs.extend(split_file(run, execution)?);
            (Work::Transformation(transformation(run)), inputs)
        }
        World::Training => {
            let mut inputs = of(&[FEATURES_TRAIN.name, TASK.name])?;
            inputs.extend(if_there(FEATURES_VALIDATION.name));
            (Work::Training, inputs)
        }
        World::Evaluation => {
            let mut inputs = of(&[TEST.name, TASK.name, STATE.name, MODEL.name, IMPORTANCE.name])?;
            let candidate = candidate.ok_or_else(|| MODEL.missing())?;
            let work = evaluation(run, artifacts, candidate, &mut inputs, execution)?;
            (Work::Evaluation(Box::new(work)), inputs)
        }
        World::Promotion => (Work::Promotion { gates: settings::gates(&manifest.gates) }, of(&[EVALUATION.name])?),
    };
    inputs.sort_by(|a, b| a.role.cmp(&b.role));
    let guest = guests::of_step(run, step);
    Ok(Invocation { format: FORMAT, host: HOST_SEMANTICS, step: step.id.clone(), guest, work, inputs })
}

/// Returns an artifact of the run as an input.
fn input(artifacts: &RunArtifacts, place: ArtifactName) -> Result<InputRef, RunError> {
    let record = artifacts.find(place)?;
    let from = Origin::Step { step: artifacts.maker_of(place) };
    Ok(InputRef { role: place.role(), kind: record.kind, digest: record.digest, from })
}

/// Returns a named input of the manifest. Its role has the name and not the step, so that a
/// preparation of the same tables has the same key wherever they come from.
fn named_input(artifacts: &RunArtifacts, wanted: &Input) -> Result<InputRef, RunError> {
    let record = artifacts
        .of_name(&wanted.step, wanted.artifact)
        .ok_or_else(|| RunError::MissingArtifact { stage: wanted.step.clone(), name: wanted.artifact.to_owned() })?;
    let from = Origin::Step { step: wanted.step.clone() };
    Ok(InputRef { role: format!("{NAMED_INPUT}{}", wanted.name), kind: record.kind, digest: record.digest, from })
}

fn preparation(run: &Run, step: &Step) -> Result<PreparationWork, StageFault> {
    let (signature, target) = declared::declared(run, step)?;
    Ok(PreparationWork { signature, target, roles: declared::roles(run)? })
}

/// Returns the division of the table into segments.
fn segments(manifest: &Manifest) -> Result<SegmentsWork, RunError> {
    match manifest.foreach.as_ref().map(|foreach| &foreach.over) {
        Some(Over::Column { column, nulls, max_children, .. }) => {
            Ok(SegmentsWork { column: column.clone(), nulls: *nulls, most: *max_children })
        }
        _ => Err(StageFault::host("the pipeline has no segments").into()),
    }
}

fn transformation(run: &Run) -> TransformationWork {
    let manifest = &run.request.manifest;
    let section = &manifest.split;
    let plan =
        || SplitPlan { method: section.method, test: section.test, validation: section.validation, seed: section.seed };
    TransformationWork {
        task: manifest.task.kind.clone(),
        target: manifest.task.target.clone(),
        split: section.file.is_none().then(plan),
    }
}

/// Stores the file of an imported split as a blob, and returns it as an input.
fn split_file(run: &Run, execution: &mut Execution) -> Result<Option<InputRef>, RunError> {
    let Some(path) = &run.request.manifest.split.file else { return Ok(None) };
    let cannot =
        |reason: std::io::Error| StageFault::host(format!("cannot read the split {}: {reason}", path.display()));
    let mut file = stagewright_store::open_regular(path).map_err(cannot)?;
    let mut writer = execution.create_blob()?;
    let mut part = std::io::Read::take(&mut file, 0);
    loop {
        part.set_limit(1 << 20);
        if std::io::copy(&mut part, &mut writer).map_err(cannot)? == 0 {
            break;
        }
        execution.watch().check()?;
    }
    let blob = writer.finish()?;
    execution.add_input_blob(&blob);
    let (role, kind) = (SPLIT_FILE.to_owned(), ArtifactKind::Blob);
    Ok(Some(InputRef { role, kind, digest: blob.digest(), from: Origin::File }))
}

fn evaluation(
    run: &Run,
    artifacts: &RunArtifacts,
    candidate: &Candidate,
    inputs: &mut Vec<InputRef>,
    execution: &mut Execution,
) -> Result<EvaluationWork, RunError> {
    let section = &run.request.manifest.gates;
    let (test, task) = (artifacts.open(&TEST)?, artifacts.open(&TASK)?);
    let RowHashes { learnt, test: hashes } = &*candidate.rows;
    hashes.check(&test)?;
    let guests = |world: World| {
        let step = run.step_named(&artifacts.step_of(world))?;
        let limits = run.request.manifest.stage_of(step).limits;
        Ok::<_, StageFault>(guests::of_model(run, &candidate.model, run.component(step), limits))
    };
    // With several models, only the best one is registered, after all were evaluated. A version
    // that an earlier run registered is left out, so that the evaluation is the same as the first.
    let is_the_only = run.request.manifest.graph.of(World::Training).nth(1).is_none();
    Ok(EvaluationWork {
        model: run.request.manifest.model.to_string(),
        gates: settings::gates(section),
        refuse_overlap: section.champion_overlap == ChampionOverlap::Error,
        rows_per_class: section.overlap_rows_per_class,
        candidate: ModelGuests { transformation: guests(World::Transformation)?, training: guests(World::Training)? },
        candidate_version: candidate.version.filter(|_| is_the_only),
        candidate_overlap: Overlap::of(Some(hashes), Some(learnt)),
        champion: champion::status(run, candidate, (test.schema(), &task), hashes, inputs, execution)?,
        ancestors: artifacts.ancestors(),
    })
}
