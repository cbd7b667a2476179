//! Measures how long a plan of a thousand executed steps takes: for each step an invocation, its
//! key, its record and its artifacts. Run by `cargo xtask bench cache`.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::json;
use stagewright_benchmarks::{Result, median, setting, write_json};
use stagewright_lifecycle::invocation::{
    CONTRACT, FORMAT, GuestSpec, HOST_SEMANTICS, InputRef, Invocation, Origin, Work,
};
use stagewright_lifecycle::run::cache;
use stagewright_manifest::World;
use stagewright_store::{ArtifactKind, ArtifactRecord, Digest, FINISHED, Home, InputRecord, NewRun, StageRecord};

/// The number of steps in the graph.
const STEPS: u64 = 1000;
/// The number of plans.
const REPEAT: u64 = 21;

fn main() -> Result<()> {
    let (steps, repeat) = (setting("STAGEWRIGHT_BENCH_ROWS", STEPS)?, setting("STAGEWRIGHT_BENCH_REPEAT", REPEAT)?);
    let folder = tempfile::tempdir()?;
    let home = Home::open(folder.path().join("home"))?;
    let run = home.registry.begin_run(&NewRun {
        pipeline: "steps".into(),
        experiment: "bench".into(),
        ..NewRun::default()
    })?;
    // Each step reads the output of the one before it.
    let mut input = Digest::of(b"begin");
    for step in 0..steps {
        let invocation = invocation(step, input);
        let staging = home.artifacts.stage();
        let digest = staging.put_document("application/json", step.to_string())?.digest();
        staging.publish()?;
        home.registry.record_stage(&run, &record(&invocation, digest, step)?, &[])?;
        input = digest;
    }
    let planned = || -> Result<f64> {
        let begin = Instant::now();
        let mut input = Digest::of(b"begin");
        for step in 0..steps {
            let found = cache::find(&home, &invocation(step, input).key(), &BTreeSet::new())?
                .ok_or("a step is not on record")?;
            input = found.stage.outputs[0].digest;
        }
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    };
    let times = (0..repeat).map(|_| planned()).collect::<Result<Vec<_>>>()?;
    let wall_ms = median(times);
    println!("{steps} steps on record, planned in {wall_ms:.1} ms (median of {repeat})");
    write_json(&json!({ "steps": steps, "repeat": repeat, "wall_ms": wall_ms }))
}

fn invocation(step: u64, input: Digest) -> Invocation {
    let guest = GuestSpec {
        world: World::Training,
        contract: CONTRACT.to_owned(),
        name: "train".to_owned(),
        component: Digest::of(b"code"),
        stubs: BTreeSet::new(),
        grants: BTreeSet::new(),
        canonicalize_nans: true,
        parameters: (0..12).map(|name| (format!("parameter_{name}"), json!(step + name))).collect(),
        seed: 7,
        as_of: 0,
        limits: World::Training.default_limits(),
    };
    let (role, from) = ("transformation.task".to_owned(), Origin::Step { step: World::Transformation.into() });
    let inputs = vec![InputRef { role, kind: ArtifactKind::Document, digest: input, from }];
    Invocation {
        format: FORMAT,
        host: HOST_SEMANTICS,
        step: World::Training.into(),
        guest,
        work: Work::Training,
        inputs,
    }
}

fn record(invocation: &Invocation, output: Digest, step: u64) -> Result<StageRecord> {
    let inputs = invocation.inputs.iter().map(|input| InputRecord { name: input.role.clone(), digest: input.digest });
    let output = ArtifactRecord {
        name: "importance".to_owned(),
        kind: ArtifactKind::Document,
        digest: output,
        media_type: "application/json".to_owned(),
        rows: None,
        bytes: step.to_string().len() as u64,
    };
    Ok(StageRecord {
        name: World::Training.as_str().to_owned(),
        component: invocation.guest.name.clone(),
        digest: invocation.guest.component,
        status: FINISHED.to_owned(),
        started_ms: 0,
        ended_ms: 1,
        wall_ms: 1.0,
        cpu_ms: 1.0,
        peak_memory_bytes: 0,
        rows_in: 0,
        rows_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        copies_bytes: 0,
        error: None,
        inputs: inputs.collect(),
        outputs: vec![output],
        metrics: Vec::new(),
        logs: Vec::new(),
        invocation: Some(serde_json::to_value(invocation)?),
        walls: Some(vec!["wasm".to_owned()]),
        key: Some(invocation.key()),
        cached_from: None,
        dropped: 0,
    })
}
