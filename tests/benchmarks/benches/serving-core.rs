//! Measures what some raw rows cost through both sandboxes of a kept model, in this process with
//! epochs, and what loading a model costs: CPU time of one thread. Run by `cargo xtask bench
//! serving-core [--repeat N] [--only MODEL]`.
//!
//! Each step is also measured apart: packing the rows, `transform` with its check, `predict` with
//! its check. The peer is the same code of the stages, native, on the same bytes.

use std::hint::black_box;

use serde_json::{Value, json};
use stagewright_benchmarks::work::{COMPONENTS, Inputs, NativeModel, Trainer};
use stagewright_benchmarks::{Result, Rig, SetUp, cpu, median, setting, write_json};
use stagewright_lifecycle::sandbox::{CallLimits, Isolation, ModelParts, ModelSessions as _};
use stagewright_runtime::{EngineOptions, KeptModel};
use stagewright_store::packed;

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rows of a call.
const ROWS: [usize; 4] = [1, 8, 64, 1000];

/// The rows that one measurement predicts, roughly, and the calls that count as much as a row.
const ROWS_A_ROUND: usize = 20_000;
const CALL: usize = 9;

/// The steps of a call, in the order of the result.
const STEPS: [&str; 6] = ["whole", "pack", "transform", "predict", "native transform", "native predict"];

fn main() -> Result<()> {
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 15)? as usize;
    let customers = setting("STAGEWRIGHT_BENCH_ROWS", 7_043)?;
    let only = std::env::var("STAGEWRIGHT_BENCH_ONLY").unwrap_or_default();
    let set_up = SetUp::new()?;
    let rig = set_up.rig(EngineOptions::default(), &COMPONENTS)?;
    let inputs = Inputs::served(&set_up, &rig, customers)?;
    println!("models of {customers} customers, one thread, us of CPU time; medians of {rounds}:");
    println!("{:<10}{:>6}{:>10}{:>8}{:>11}{:>9}{:>9}", "", "rows", "whole", "pack", "transform", "predict", "native");
    let mut models = Vec::new();
    for trainer in Trainer::ALL {
        if format!("{trainer:?}").to_lowercase().contains(&only) {
            models.push(measured(&rig, &inputs, trainer, rounds)?);
        }
    }
    write_json(&json!({ "customers": customers, "rounds": rounds, "models": models }))
}

/// Measures a model: all numbers of rows, and loading.
fn measured(rig: &Rig, inputs: &Inputs, trainer: Trainer, rounds: usize) -> Result<Value> {
    let parts = inputs.parts(rig, trainer);
    let native = NativeModel::new(inputs, trainer)?;
    let mut kept = KeptModel::load(&rig.runtime, &parts)?;
    let mut session = rig.runtime.open(&parts, CallLimits::default(), Isolation::Pooled)?;
    let all = inputs.first_raw(ROWS[ROWS.len() - 1])?;
    let mut calls = Vec::new();
    for rows in ROWS {
        let part = [all.slice(0, rows)];
        let features = kept.features(&part)?;
        let mut bytes = Vec::new();
        packed::write_into(&part, &parts.features, &mut bytes)?;
        let (raw, made) = (native.batch(rows, bytes.clone()), native.batch(rows, features.clone()));
        check(&session.predict(&part)?, &native.predict(&native.transform(&raw)?)?.bytes, trainer)?;
        let count = ROWS_A_ROUND / (rows + CALL);
        let found = steps(
            rounds,
            count,
            &mut [
                &mut |_| seen(session.predict(black_box(&part))?),
                &mut |_| {
                    black_box(packed::write_into(black_box(&part), &parts.features, &mut bytes)?);
                    Ok(())
                },
                &mut |kept| seen(kept.features(black_box(&part))?),
                &mut |kept| seen(kept.predictions(rows as u32, black_box(&features))?),
                &mut |_| seen(native.transform(black_box(&raw))?),
                &mut |_| seen(native.predict(black_box(&made))?),
            ],
            &mut kept,
        )?;
        let [whole, pack, features_of, predict, native_transform, native_predict] = found;
        let transform = features_of - pack;
        let ratio = whole / (native_transform + native_predict);
        println!(
            "{:<10}{rows:>6}{whole:>10.1}{pack:>8.1}{transform:>11.1}{predict:>9.1}{:>9.1}{ratio:>7.2}x",
            format!("{trainer:?}").to_lowercase(),
            native_transform + native_predict
        );
        let found = [whole, pack, transform, predict, native_transform, native_predict];
        let mut call: serde_json::Map<String, Value> =
            STEPS.iter().zip(found).map(|(step, micros)| ((*step).to_owned(), json!(micros))).collect();
        call.insert("rows".to_owned(), json!(rows));
        calls.push(call);
    }
    let load = loads(rig, &parts, rounds)?;
    println!("{:<10}{:>6}{load:>10.0}", "", "load");
    Ok(json!({ "model": format!("{trainer:?}").to_lowercase(), "calls": calls, "load": load }))
}

/// Fails unless the sandboxes predict what native code does: trees bit for bit, and a logistic
/// model up to the last digits, since its exponential function is the platform's.
fn check(sandboxed: &[f64], native: &[u8], trainer: Trainer) -> Result<()> {
    let native = native.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word));
    let most = if trainer == Trainer::Logistic { 1e-14 } else { 0.0 };
    let is_same =
        native.len() == sandboxed.len() && native.zip(sandboxed).all(|(one, other)| (one - other).abs() <= most);
    if is_same { Ok(()) } else { Err(format!("{trainer:?}: native code predicts otherwise").into()) }
}

/// A step that is measured.
type Step<'a> = &'a mut dyn FnMut(&mut KeptModel) -> Result<()>;

/// Returns the microseconds of a call of each step: medians of rounds, in which the steps take
/// turns.
fn steps<const N: usize>(
    rounds: usize,
    calls: usize,
    steps: &mut [Step<'_>; N],
    kept: &mut KeptModel,
) -> Result<[f64; N]> {
    let mut micros = [(); N].map(|()| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (step, micros) in steps.iter_mut().zip(&mut micros) {
            let start = cpu();
            for _ in 0..calls {
                step(kept)?;
            }
            micros.push((cpu() - start).as_secs_f64() * 1e6 / calls as f64);
        }
    }
    Ok(micros.map(median))
}

/// Returns the microseconds of starting and loading both instances and dropping them again.
fn loads(rig: &Rig, parts: &ModelParts, rounds: usize) -> Result<f64> {
    let mut micros = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = cpu();
        drop(black_box(KeptModel::load(&rig.runtime, parts)?));
        micros.push((cpu() - start).as_secs_f64() * 1e6);
    }
    Ok(median(micros))
}

/// Keeps the compiler from leaving out the work that made a value.
fn seen<T>(value: T) -> Result<()> {
    black_box(value);
    Ok(())
}
