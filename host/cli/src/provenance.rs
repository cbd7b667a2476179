//! The provenance of a version as an in-toto statement (SLSA provenance 1), which others can read
//! and countersign (docs/formats/provenance.md).
//!
//! A statement is made of the run's records alone, so that two machines with the same run write the
//! same statement. The version of this program may differ between them; it is in a field that is
//! not compared.

use serde_json::{Value, json};
use stagewright_lifecycle::artifact_names::{self, ArtifactName, version_part};
use stagewright_lifecycle::invocation::{CONTRACT, HOST_SEMANTICS, Invocation, Origin};
use stagewright_manifest::World;
use stagewright_store::{ArtifactKind, ArtifactRecord, Digest, FAILED, ModelVersion, Run, StageRecord};

/// The build type of the statement.
const BUILD: &str = "urn:stagewright:run:1";

/// The parts of a version: their names, and the artifacts that stages make of them.
const PARTS: [(&str, ArtifactName); 4] = [
    (version_part::MODEL, artifact_names::MODEL),
    (version_part::TRAINING_COMPONENT, artifact_names::TRAINING_COMPONENT),
    (version_part::TRANSFORMATION_COMPONENT, artifact_names::TRANSFORMATION_COMPONENT),
    (version_part::TRANSFORMATION_STATE, artifact_names::STATE),
];

/// Returns a digest as in-toto writes it. A table's digest is of its content and not of a file's
/// bytes, so it has an algorithm of its own.
fn digest(kind: ArtifactKind, digest: &Digest) -> Value {
    let algorithm = if kind == ArtifactKind::Table { "stagewrightTable" } else { "sha256" };
    json!({ algorithm: digest.to_hex() })
}

/// Returns the statement about a version that this run made.
pub(crate) fn of(version: &ModelVersion, run: &Run, stages: &[StageRecord]) -> Value {
    let needed = version.references.iter().filter(|reference| reference.needed);
    let mut parts: Vec<_> = needed.map(|part| (part.role.as_str(), part.kind, part.digest)).collect();
    parts.sort();
    with(&parts, run, stages)
}

/// Returns the statement that this run made the subjects of `claimed`; `None` if it did not make
/// all of them.
pub(crate) fn of_reproduction(claimed: &Value, run: &Run, stages: &[StageRecord]) -> Option<Value> {
    let parts = claimed["subject"].as_array()?.iter().map(|subject| {
        let (role, artifact) = PARTS.iter().find(|(role, ..)| subject["name"] == *role)?;
        // A reproduction does not repeat a stage that failed.
        let finished = stages.iter().filter(|record| record.status != FAILED);
        let records = finished.filter(|record| world_of(record) == Some(artifact.world));
        let mut made = records.flat_map(|record| &record.outputs).filter(|output| output.name == artifact.name);
        let made = made.find(|output| digest(output.kind, &output.digest) == subject["digest"])?;
        Some((*role, made.kind, made.digest))
    });
    Some(with(&parts.collect::<Option<Vec<_>>>()?, run, stages))
}

/// Returns the world of a recorded stage's component.
fn world_of(record: &StageRecord) -> Option<World> {
    serde_json::from_value(record.invocation.as_ref()?["guest"]["world"].clone()).ok()
}

/// Returns whether a signed statement equals `own` byte for byte, apart from the version of the
/// program that wrote it. A countersignature covers all bytes.
pub(crate) fn matches(own: &Value, statement: &[u8]) -> bool {
    const VERSION: &str = "/predicate/runDetails/builder/version/stagewright";
    let mut own = own.clone();
    let claimed = serde_json::from_slice::<Value>(statement).ok();
    let version = claimed.as_ref().and_then(|claimed| claimed.pointer(VERSION)?.as_str());
    if let (Some(said), Some(version)) = (own.pointer_mut(VERSION), version) {
        *said = json!(version);
    }
    text(&own).is_ok_and(|text| text.as_bytes() == statement)
}

/// Returns the text of a statement, as it is signed.
pub(crate) fn text(statement: &Value) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(statement)? + "\n")
}

fn with(parts: &[(&str, ArtifactKind, Digest)], run: &Run, stages: &[StageRecord]) -> Value {
    let subject = parts.iter().map(|(role, kind, found)| json!({ "name": role, "digest": digest(*kind, found) }));
    let finished: Vec<&StageRecord> = stages.iter().filter(|stage| stage.status != FAILED).collect();
    let made = finished.iter().flat_map(|stage| {
        stage.outputs.iter().map(|output| {
            let media_type = (!output.media_type.is_empty()).then(|| output.media_type.clone());
            let name = format!("{}.{}", stage.name, output.name);
            json!({ "name": name, "digest": digest(output.kind, &output.digest), "mediaType": media_type })
        })
    });
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject.collect::<Vec<_>>(),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {
                    "manifest": { "sha256": Digest::of(run.manifest.as_bytes()).to_hex() },
                    "pipeline": run.pipeline,
                    "seed": run.seed.to_string(),
                    "parameters": run.parameters.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
                },
                "internalParameters": { "host": HOST_SEMANTICS, "contract": CONTRACT },
                "resolvedDependencies": dependencies(&run.tags, &finished),
            },
            "runDetails": {
                "builder": { "id": "urn:stagewright", "version": { "stagewright": env!("CARGO_PKG_VERSION") } },
                "metadata": {
                    "invocationId": run.run_id,
                    "startedOn": timestamp(run.started_ms),
                    "finishedOn": run.ended_ms.map(timestamp),
                },
                "byproducts": made.collect::<Vec<_>>(),
            },
        },
    })
}

fn timestamp(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Returns the inputs that the run did not make itself: sources, components, the champion, code.
fn dependencies(tags: &[(String, String)], stages: &[&StageRecord]) -> Vec<Value> {
    let mut dependencies: Vec<(String, Value)> = Vec::new();
    for (place, stage) in stages.iter().enumerate() {
        let invocation = stage.invocation.clone().map(serde_json::from_value::<Invocation>);
        let Some(Ok(invocation)) = invocation else { continue };
        for guest in invocation.guests() {
            let found = digest(ArtifactKind::Blob, &guest.component);
            dependencies.push((format!("component {}", guest.name), found));
        }
        for input in &invocation.inputs {
            let name = match &input.from {
                // The recorded origin of an input proves nothing: the input counts as the run's own
                // only if an earlier step made exactly that artifact. Otherwise two steps could
                // each name the other.
                Origin::Step { step }
                    if stages[..place].iter().any(|stage| {
                        let made = |it: &ArtifactRecord| (it.kind, it.digest) == (input.kind, input.digest);
                        stage.name == step.to_string() && stage.outputs.iter().any(made)
                    }) =>
                {
                    continue;
                }
                Origin::Source { name } => format!("source {name}"),
                Origin::Version { model, version } => format!("{} of {model}/{version}", input.role),
                Origin::Step { .. } | Origin::File => input.role.clone(),
            };
            dependencies.push((name, digest(input.kind, &input.digest)));
        }
    }
    let commit = tags.iter().find(|(name, _)| name == "mlflow.source.git.commit");
    dependencies.extend(commit.map(|(_, commit)| ("code".to_owned(), json!({ "gitCommit": commit }))));
    dependencies.sort_by_key(|(name, digest)| (name.clone(), digest.to_string()));
    dependencies.dedup();
    dependencies.into_iter().map(|(name, digest)| json!({ "name": name, "digest": digest })).collect()
}

#[cfg(test)]
mod tests {
    use stagewright_lifecycle::invocation::{FORMAT, GuestSpec, InputRef, Work};
    use stagewright_manifest::StepId;

    use super::*;

    /// Returns a step with one input and one output. `from` is the recorded origin of the input.
    fn step(name: &str, reads: &[u8], from: &str, makes: &[u8]) -> StageRecord {
        let (world, component) = (World::Training, Digest::of(b"code"));
        let guest = GuestSpec {
            world,
            contract: CONTRACT.to_owned(),
            name: "code".to_owned(),
            component,
            stubs: std::collections::BTreeSet::new(),
            grants: std::collections::BTreeSet::new(),
            canonicalize_nans: false,
            parameters: serde_json::Map::new(),
            seed: 0,
            as_of: 0,
            limits: world.default_limits(),
        };
        let id = |name: &str| StepId::new(name).expect("a name");
        let from = Origin::Step { step: id(from) };
        let (role, kind) = (format!("{name}.rows"), ArtifactKind::Blob);
        let inputs = vec![InputRef { role, kind, digest: Digest::of(reads), from }];
        let invocation =
            Invocation { format: FORMAT, host: HOST_SEMANTICS, step: id(name), guest, work: Work::Training, inputs };
        serde_json::from_value(json!({
            "name": name, "component": "code", "digest": component, "status": "finished", "started_ms": 0,
            "ended_ms": 0, "wall_ms": 0.0, "cpu_ms": 0.0, "peak_memory_bytes": 0, "rows_in": 0, "rows_out": 0,
            "bytes_in": 0, "bytes_out": 0, "copies_bytes": 0, "inputs": [], "metrics": [], "logs": [], "dropped": 0,
            "outputs": [{ "name": "model", "kind": kind, "digest": Digest::of(makes), "media_type": "", "rows": null,
                "bytes": 1 }],
            "invocation": invocation,
        }))
        .expect("a record")
    }

    fn sources(steps: &[StageRecord]) -> Vec<String> {
        let found = dependencies(&[], &steps.iter().collect::<Vec<_>>());
        let names = found.iter().map(|found| found["name"].as_str().expect("a name").to_owned());
        names.filter(|name| !name.starts_with("component ")).collect()
    }

    // invariant: as `a_record_that_nobody_would_write_is_refused_or_harmless`
    #[test]
    fn a_thing_that_no_earlier_step_made_is_a_dependency_wherever_it_is_said_to_come_from() {
        let chain = [step("first", b"rows", "before", b"one"), step("second", b"one", "first", b"two")];
        assert_eq!(sources(&chain), ["first.rows"]);
        let other = [step("first", b"rows", "before", b"one"), step("second", b"other", "first", b"two")];
        assert_eq!(sources(&other), ["first.rows", "second.rows"]);
        // A step that copies its input could name itself, and two steps each other.
        assert_eq!(sources(&[step("first", b"one", "first", b"one")]), ["first.rows"]);
        let circle = [step("first", b"two", "second", b"one"), step("second", b"one", "first", b"two")];
        assert_eq!(sources(&circle), ["first.rows"]);
    }
}
