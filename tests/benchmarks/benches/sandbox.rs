//! Measures each protection of the sandbox as the ratio to a run without it, in CPU time of one
//! thread. Run by `cargo xtask bench sandbox [--rows N] [--repeat N]`.
//!
//! Interruption by epochs, the memory limiter and the compiler's NaN canonicalisation are switched
//! off and on. The checks of batches cannot be switched off, since Arrow arrays would then hold
//! unchecked bytes. They are timed separately on the tables of the stages, and multiplied by the
//! bytes that each stage passes.

use std::hint::black_box;
use std::time::Duration;

use serde_json::json;
use stagewright_benchmarks::tables::batches;
use stagewright_benchmarks::work::{COMPONENTS, Inputs, Work};
use stagewright_benchmarks::{Result, SetUp, Used, cpu, interleaved, median, ratio, setting, write_json};
use stagewright_lifecycle::sandbox::View;
use stagewright_runtime::EngineOptions;
use stagewright_store::{DataType, Field, Schema, packed};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The number of passes over the checks.
const CHECK_PASSES: usize = 9;

fn main() -> Result<()> {
    let rows = setting("STAGEWRIGHT_BENCH_ROWS", 20_000)?;
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 5)? as usize;
    let set_up = SetUp::new()?;
    let rig = |options| set_up.rig(options, &COMPONENTS);
    let plain = EngineOptions::default();
    let protected = rig(plain)?;
    let no_epochs = rig(EngineOptions { without_interruption: true, ..plain })?;
    let no_limiter = rig(EngineOptions { without_limiter: true, ..plain })?;
    let neither = rig(EngineOptions { without_interruption: true, without_limiter: true, ..plain })?;
    let canonical = rig(EngineOptions { canonicalize_nans: true, ..plain })?;
    let inputs = Inputs::new(&set_up, &protected, rows)?;
    let prices = Prices::of(&inputs)?;

    println!("{rows} customers, one thread, CPU time; medians of {rounds} ratios to the run without the protection:");
    println!(
        "{:<28} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "seconds", "epochs", "limiter", "both", "checks", "NaNs"
    );
    let mut stages = Vec::new();
    let mut totals = [0.0; 5];
    for work in Work::chosen() {
        let last = std::cell::Cell::new(None::<Used>);
        let measure = |rig| -> Result<Duration> {
            let used = work.sandboxed(&inputs, rig)?;
            last.set(Some(used));
            Ok(used.cpu)
        };
        let seconds = interleaved(
            &mut [
                &mut || measure(&protected),
                &mut || measure(&no_epochs),
                &mut || measure(&no_limiter),
                &mut || measure(&neither),
                &mut || measure(&canonical),
            ],
            rounds,
        )?;
        let with = median(seconds[0].clone());
        let checks = last.get().map_or(0.0, |used| prices.of_checks(used));
        let ratios = [1, 2, 3].map(|other| ratio(&seconds[0], &seconds[other]));
        let nans = ratio(&seconds[4], &seconds[0]);
        // The ratio of a run with the checks to a run without them.
        let checked = with / (with - checks);
        println!(
            "{:<28} {with:>9.4} {:>8.3} {:>8.3} {:>8.3} {checked:>8.3} {nans:>8.3}",
            work.name(),
            ratios[0],
            ratios[1],
            ratios[2]
        );
        for (total, seconds) in totals.iter_mut().zip(&seconds) {
            *total += median(seconds.clone());
        }
        stages.push(json!({
            "stage": work.name(), "seconds": with, "epochs": ratios[0], "limiter": ratios[1],
            "epochs_and_limiter": ratios[2], "checks": checked, "compiler_nans": nans,
        }));
    }
    let total = totals[0] / totals[3];
    println!("all stages together, with epochs and limiter over without: {total:.3}");
    println!("the compiler's NaN canonicalisation on top: {:.3}", totals[4] / totals[0]);
    println!(
        "checks of float64 columns from guests: {:.2} GB/s, of which NaNs take {:.0} %",
        1e-9 / prices.incoming,
        100.0 * prices.nans / prices.incoming
    );
    write_json(&json!({
        "rows": rows, "rounds": rounds, "stages": stages, "total": total, "compiler_nans_total": totals[4] / totals[0],
        "checks_gb_s": 1e-9 / prices.incoming
    }))
}

/// Seconds per byte.
struct Prices {
    /// All checks of a batch from a guest.
    incoming: f64,
    /// The search for NaNs alone. The host also does it in batches that it hands to a guest.
    nans: f64,
}

impl Prices {
    fn of(inputs: &Inputs) -> Result<Self> {
        let view = inputs.features();
        let whole_numbers =
            |field: &Field| Field::new(field.name.clone(), DataType::Int64).with_nullable(field.nullable);
        let whole_numbers = Schema::new(view.schema.fields().iter().map(whole_numbers).collect())?;
        let all = seconds_a_byte(&view, &view.schema)?;
        // The same bytes as integers: every check except the one for NaNs.
        let without_nans = seconds_a_byte(&view, &whole_numbers)?;
        let nans = (all - without_nans).max(0.0);
        Ok(Self { incoming: all, nans })
    }

    fn of_checks(&self, used: Used) -> f64 {
        self.incoming * used.bytes_out as f64 + self.nans * used.bytes_in as f64
    }
}

/// Measures the check of the view's batches, read as batches of these columns.
fn seconds_a_byte(view: &View, schema: &Schema) -> Result<f64> {
    let passes = (0..CHECK_PASSES).map(|_| {
        let mut bytes = 0;
        let mut took = Duration::ZERO;
        for batch in batches(view) {
            let batch = batch?;
            let packed = packed::write(&batch, &view.schema)?;
            bytes += packed.len();
            let start = cpu();
            black_box(packed::parse(batch.num_rows(), packed, schema)?);
            took += cpu() - start;
        }
        Ok(took.as_secs_f64() / bytes as f64)
    });
    passes.collect::<Result<Vec<_>>>().map(median)
}
