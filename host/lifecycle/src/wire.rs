//! Steps as values: from the manifest, the registry and what was made so far to an [`Invocation`].
//!
//! This is the only place in which a step's work meets the manifest and the registry. Everything
//! that a step may look at becomes part of its invocation here; what the invocation does not
//! declare the step cannot read.

mod champion;
mod source;

use stagewright_data::{Signature, SplitPlan};
use stagewright_manifest::{ChampionOverlap, Input, Limits, Manifest, Over, SEGMENTS, Step, World};
use stagewright_store::ArtifactKind;

use crate::artifact::{
    EVALUATION, FEATURES_TRAIN, FEATURES_VALIDATION, IMPORTANCE, MODEL, SIGNATURE, STATE, TABLE, TASK, TEST,
};
use crate::artifact_names::ArtifactName;
use crate::bench::Bench;
use crate::candidate::{Candidate, Rows};
use crate::fault::StageFault;
use crate::invocation::{
    CONTRACT, EvaluationWork, FORMAT, GuestSpec, HOST_SEMANTICS, InputRef, Invocation, ModelGuests, NAMED_INPUT,
    Origin, PreparationWork, SPLIT_FILE, SegmentsWork, TransformationWork, Work,
};
use crate::judgement::Overlap;
use crate::made::Made;
use crate::model::{ModelComponent, RegisteredModel};
use crate::run::{Run, RunError, with_defaults};
use crate::sandbox::{Component, stage_seed, step_seed};
use crate::settings;
use crate::stages::ingestion;

pub(crate) use champion::is_within_reach as champion_is_within_reach;

/// The invocation of a step. What the host has to fetch or to hash for it is the step's work, on
/// its bench.
pub(crate) fn invocation(
    run: &Run,
    step: &Step,
    made: &Made,
    candidate: Option<&Candidate>,
    bench: &mut Bench,
) -> Result<Invocation, RunError> {
    let manifest = &run.request.manifest;
    let made = &made.along(&step.line);
    let of = |wanted: &[ArtifactName]| wanted.iter().map(|&place| input(made, place)).collect::<Result<Vec<_>, _>>();
    let if_there = |place| input(made, place).ok();
    let (work, mut inputs) = match step.world {
        _ if step.id.as_str() == SEGMENTS => (Work::Segments(segments(manifest)?), of(&[TABLE.name])?),
        World::Ingestion => {
            let (work, input) = source::work(run, step, bench)?;
            (Work::Ingestion(work), input.into_iter().collect())
        }
        World::Preparation => {
            let inputs = step.inputs.iter().map(|wanted| named_input(made, wanted)).collect::<Result<_, _>>()?;
            (Work::Preparation(preparation(run, step)?), inputs)
        }
        World::Validation => (Work::Validation, of(&[TABLE.name, SIGNATURE.name])?),
        World::Transformation => {
            let mut inputs = of(&[TABLE.name, SIGNATURE.name])?;
            inputs.extend(split_file(run, bench)?);
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
            let work = evaluation(run, made, candidate, &mut inputs, bench)?;
            (Work::Evaluation(Box::new(work)), inputs)
        }
        World::Promotion => (Work::Promotion { gates: settings::gates(&manifest.gates) }, of(&[EVALUATION.name])?),
    };
    inputs.sort_by(|a, b| a.role.cmp(&b.role));
    let guest = guest(run, step);
    Ok(Invocation { format: FORMAT, host: HOST_SEMANTICS, step: step.id.clone(), guest, work, inputs })
}

/// An artifact of the run as an input.
fn input(made: &Made, place: ArtifactName) -> Result<InputRef, RunError> {
    let record = made.find(place)?;
    let from = Origin::Step { step: made.maker_of(place) };
    Ok(InputRef { role: place.role(), kind: record.kind, digest: record.digest, from })
}

/// An artifact that the manifest hands over under a name. Where its step stands in the pipeline is
/// for people: a preparation made again of the same tables is the same.
fn named_input(made: &Made, wanted: &Input) -> Result<InputRef, RunError> {
    let record = made
        .named(&wanted.step, wanted.artifact)
        .ok_or_else(|| RunError::MissingArtifact { stage: wanted.step.clone(), name: wanted.artifact.to_owned() })?;
    let from = Origin::Step { step: wanted.step.clone() };
    Ok(InputRef { role: format!("{NAMED_INPUT}{}", wanted.name), kind: record.kind, digest: record.digest, from })
}

/// Whether models learn from the table that a step makes.
fn is_learnt_from(run: &Run, step: &Step) -> bool {
    let mut learning = run.request.manifest.graph.of(World::Transformation);
    learning.any(|learns| learns.line.get(&World::Ingestion) == Some(&step.id))
}

/// The signature that the manifest declares and the target, of the table that models learn from:
/// it says what the columns are that they read. What else a table has is known from the table.
fn declared(run: &Run, step: &Step) -> Result<(Option<Signature>, Option<String>), StageFault> {
    if !is_learnt_from(run, step) {
        return Ok((None, None));
    }
    let manifest = &run.request.manifest;
    let signature = settings::signature(manifest).map_err(|error| ingestion::fault(&error))?;
    Ok((signature, Some(manifest.task.target.clone())))
}

fn preparation(run: &Run, step: &Step) -> Result<PreparationWork, StageFault> {
    let (signature, target) = declared(run, step)?;
    Ok(PreparationWork { signature, target })
}

/// The component of a stage, as the manifest wants it.
fn guest(run: &Run, step: &Step) -> GuestSpec {
    let manifest = &run.request.manifest;
    let stage = manifest.stage_of(step);
    let sources = stage.source.iter().map(|name| format!("source:{name}"));
    GuestSpec {
        grants: sources.chain(stage.http.iter().map(|grant| format!("http:{grant}"))).collect(),
        seed: seed(manifest.seed, step),
        as_of: manifest.as_of.as_microsecond(),
        ..called(run, run.component(step), manifest.parameters_of(stage), stage.limits)
    }
}

/// The seed of a step. Parts of a model have that of their world, whatever their stages are called:
/// a model is asked without its pipeline, and models differ in what they are and not in their
/// names.
fn seed(run: u64, step: &Step) -> u64 {
    if step.world.contract().is_learnt { stage_seed(run, step.world) } else { step_seed(run, &step.stage) }
}

/// A component of a model, with the parameters, seed and clocks of the run that made it: what it
/// predicts is what `predict` serves. It works under the limits of today's manifest.
fn of_model(run: &Run, model: &RegisteredModel, component: &Component, limits: Limits) -> GuestSpec {
    let ModelComponent { parameters, .. } =
        if component.world == World::Transformation { &model.transformation } else { &model.training };
    let parameters = parameters.as_object().cloned().unwrap_or_default();
    GuestSpec {
        seed: stage_seed(model.seed, component.world),
        as_of: model.as_of,
        ..called(run, component, parameters, limits)
    }
}

/// A component as it was admitted.
fn called(
    run: &Run,
    component: &Component,
    parameters: serde_json::Map<String, serde_json::Value>,
    limits: Limits,
) -> GuestSpec {
    let manifest = &run.request.manifest;
    GuestSpec {
        world: component.world,
        contract: CONTRACT.to_owned(),
        name: component.name.clone(),
        component: component.digest,
        stubs: component.stubs.iter().cloned().collect(),
        grants: std::collections::BTreeSet::new(),
        canonicalize_nans: manifest.canonicalize_nans,
        parameters: with_defaults(&component.description.parameters, parameters),
        seed: 0,
        as_of: 0,
        limits,
    }
}

/// How the rows of the table are dealt out.
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

/// The file of a split that was made elsewhere, kept as a blob.
fn split_file(run: &Run, bench: &mut Bench) -> Result<Option<InputRef>, RunError> {
    let Some(path) = &run.request.manifest.split.file else { return Ok(None) };
    let cannot =
        |reason: std::io::Error| StageFault::host(format!("cannot read the split {}: {reason}", path.display()));
    let mut file = stagewright_store::open_regular(path).map_err(cannot)?;
    let mut writer = bench.create_blob()?;
    let mut part = std::io::Read::take(&mut file, 0);
    loop {
        part.set_limit(1 << 20);
        if std::io::copy(&mut part, &mut writer).map_err(cannot)? == 0 {
            break;
        }
        bench.watch().look()?;
    }
    let blob = writer.finish()?;
    bench.bring(&blob);
    let (role, kind) = (SPLIT_FILE.to_owned(), ArtifactKind::Blob);
    Ok(Some(InputRef { role, kind, digest: blob.digest(), from: Origin::File }))
}

fn evaluation(
    run: &Run,
    made: &Made,
    candidate: &Candidate,
    inputs: &mut Vec<InputRef>,
    bench: &mut Bench,
) -> Result<EvaluationWork, RunError> {
    let section = &run.request.manifest.gates;
    let (test, task) = (made.open(&TEST)?, made.open(&TASK)?);
    let Rows { learnt, test: hashes } = &*candidate.rows;
    hashes.check(&test)?;
    let guests = |world: World| {
        let step = run.step_named(&made.step_of(world))?;
        let limits = run.request.manifest.stage_of(step).limits;
        Ok::<_, StageFault>(of_model(run, &candidate.model, run.component(step), limits))
    };
    // Of several models the best gets a number when all are evaluated. Those of a later run, which
    // have one before, are evaluated as those of the first.
    let is_the_only = run.request.manifest.graph.of(World::Training).nth(1).is_none();
    Ok(EvaluationWork {
        model: run.request.manifest.model.to_string(),
        gates: settings::gates(section),
        refuse_overlap: section.champion_overlap == ChampionOverlap::Error,
        rows_per_class: section.overlap_rows_per_class,
        candidate: ModelGuests { transformation: guests(World::Transformation)?, training: guests(World::Training)? },
        candidate_version: candidate.version.filter(|_| is_the_only),
        candidate_overlap: Overlap::of(Some(hashes), Some(learnt)),
        champion: champion::standing(run, candidate, (test.schema(), &task), hashes, inputs, bench)?,
        ancestors: made.ancestors(),
    })
}
