//! Lineage as OpenLineage run events, one for each step that ended.

use jiff::Timestamp;
use serde_json::{Value, json};
use stagewright_store::{Digest, FAILED, Run, StageRecord};

use crate::artifact_names::version_part;

use super::{Id, Lineage, commit};

/// The schema of an event.
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
/// The schema of a run's parent.
const PARENT: &str = "https://openlineage.io/spec/facets/1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet";
/// The schema of a dataset's version.
const VERSION: &str =
    "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet";
/// The schema of a job's type.
const JOB_TYPE: &str = "https://openlineage.io/spec/facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet";
/// The schema of facets that OpenLineage does not define.
const OWN: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet";

/// The namespace of jobs and datasets.
const NAMESPACE: &str = "stagewright";

/// Returns the producer of the events.
fn producer() -> String {
    format!("urn:stagewright:{}", env!("CARGO_PKG_VERSION"))
}

/// Returns an event for each step of a lineage, in the order of their ends. A step is an
/// OpenLineage run whose parent is the run. An artifact is a dataset with its digest as version. A
/// registered version is an output of the step that made its model.
pub fn events(lineage: &Lineage) -> Vec<Value> {
    let mut steps: Vec<_> = lineage.steps.iter().collect();
    steps.sort_by_key(|(id, (_, stage))| (stage.ended_ms, *id));
    steps.into_iter().map(|(id, (run, stage))| event(lineage, id, run, stage)).collect()
}

fn event(lineage: &Lineage, id: &Id, run: &Run, stage: &StageRecord) -> Value {
    let dataset = |name: String, version: String| {
        let facet = json!({ "_producer": producer(), "_schemaURL": VERSION, "datasetVersion": version });
        json!({ "namespace": NAMESPACE, "name": name, "facets": { "version": facet } })
    };
    let named = |name: &str| format!("{}/{name}", run.pipeline);
    let inputs = stage.inputs.iter().map(|input| dataset(named(&input.name), input.digest.to_string()));
    let outputs = stage
        .outputs
        .iter()
        .map(|output| dataset(named(&format!("{}.{}", stage.name, output.name)), output.digest.to_string()));
    let made: Vec<Digest> = stage.outputs.iter().map(|output| output.digest).collect();
    let is_made = |id: &Id| matches!(id, Id::Artifact(digest) if made.contains(digest));
    let mut versions: Vec<&Id> = lineage
        .edges
        .iter()
        .filter(|edge| edge.role == version_part::MODEL && is_made(&edge.from))
        .map(|edge| &edge.to)
        .filter(|to| lineage.nodes.get(to).is_some_and(|node| node.about["run_id"] == run.run_id.as_str()))
        .collect();
    versions.dedup();
    let models = versions.into_iter().filter_map(|id| match id {
        Id::Version(model, version) => Some(dataset(format!("models/{model}"), version.to_string())),
        _ => None,
    });
    let parent = json!({
        "_producer": producer(), "_schemaURL": PARENT,
        "run": { "runId": uuid(run.run_id.as_str()) },
        "job": { "namespace": NAMESPACE, "name": run.pipeline },
    });
    let code = json!({
        "_producer": producer(), "_schemaURL": OWN,
        "component": stage.component, "digest": stage.digest, "commit": commit(run),
    });
    let kind = json!({
        "_producer": producer(), "_schemaURL": JOB_TYPE,
        "processingType": "BATCH", "integration": "STAGEWRIGHT", "jobType": "STAGE",
    });
    json!({
        "eventType": if stage.status == FAILED { "FAIL" } else { "COMPLETE" },
        "eventTime": moment(stage.ended_ms),
        "producer": producer(),
        "schemaURL": EVENT,
        "run": { "runId": step_uuid(id), "facets": { "parent": parent, "stagewright_component": code } },
        "job": { "namespace": NAMESPACE, "name": named(&stage.name), "facets": { "jobType": kind } },
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.chain(models).collect::<Vec<_>>(),
    })
}

fn moment(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// Formats 32 hex digits as a UUID.
fn uuid(digits: &str) -> String {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

/// Returns a UUID for a step, which is always the same: version 8 of RFC 9562, from a hash.
fn step_uuid(id: &Id) -> String {
    let mut digits: Vec<char> = Digest::of(format!("openlineage {id}").as_bytes()).to_hex().chars().take(32).collect();
    (digits[12], digits[16]) = ('8', 'a');
    uuid(&digits.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_their_form() {
        assert_eq!(uuid("0123456789abcdef0123456789abcdef"), "01234567-89ab-cdef-0123-456789abcdef");
        let step = step_uuid(&Id::Step("0123456789abcdef0123456789abcdef".parse().expect("an identifier"), 7));
        assert_eq!(step, step_uuid(&Id::Step("0123456789abcdef0123456789abcdef".parse().expect("an identifier"), 7)));
        let parts: Vec<_> = step.split('-').map(str::len).collect();
        assert_eq!((parts, &step[14..15], &step[19..20]), (vec![8, 4, 4, 4, 12], "8", "a"));
        assert_eq!(moment(1_764_350_000_123), "2025-11-28T17:13:20.123Z");
    }
}
