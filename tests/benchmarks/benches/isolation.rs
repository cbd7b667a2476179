//! Measures what it costs that no request meets what an earlier one left in a model. Run by `cargo
//! xtask bench isolation [--only TEXT] [--repeat N]`.
//!
//! A request of one raw row goes through sessions of the same models: pooled instances in a
//! process, fresh ones in a process, and, in this process, fresh ones that are loaded for each
//! request. Each figure is the time of a request in microseconds: elapsed, with the CPU time of
//! this thread and of the model's process. `apart` leaves a pause between requests, in which a
//! process restores its memory; `at once` hands over 64 requests at a time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_benchmarks::work::{COMPONENTS, Inputs, Trainer};
use stagewright_benchmarks::{Result, Rig, SetUp, children_cpu, cpu, median, setting, write_json};
use stagewright_lifecycle::sandbox::{CallLimits, Isolation, ModelSession, ModelSessions as _};
use stagewright_runtime::EngineOptions;

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests in a round.
const REQUESTS: usize = 1024;

/// Requests that are handed over at once.
const TOGETHER: usize = 64;

/// The pause between requests that come apart.
const PAUSE: Duration = Duration::from_micros(300);

fn main() -> Result<()> {
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 7)? as usize;
    let only = std::env::var("STAGEWRIGHT_BENCH_ONLY").unwrap_or_default().to_lowercase();
    let set_up = SetUp::new()?;
    let here = set_up.rig(EngineOptions::default(), &COMPONENTS)?;
    let processes = set_up.rig_in_processes(EngineOptions::default(), &COMPONENTS)?;
    let inputs = Inputs::new(&set_up, &here, 7043)?;
    let rows = inputs.first_raw(REQUESTS)?;
    let requests: Vec<_> = (0..rows.num_rows()).map(|row| rows.slice(row, 1)).collect();
    let limits = CallLimits { cpu: Duration::from_secs(60), wall: Duration::from_secs(60) };
    println!("microseconds for a request of one row: elapsed (CPU here + in the process); medians of {rounds} rounds");
    let mut results = Vec::new();
    for trainer in [Trainer::Logistic, Trainer::Boosted, Trainer::Forest] {
        let kinds = [
            ("pooled", &processes, Isolation::Pooled),
            ("fresh", &processes, Isolation::Fresh),
            ("loaded for each", &here, Isolation::Fresh),
        ];
        let open = |(name, rig, isolation): (&'static str, &Rig, Isolation)| -> Result<_> {
            let session = rig.runtime.open(&inputs.parts(rig, trainer), limits, isolation)?;
            Ok((name, session, Figures::default()))
        };
        let is_wanted = |name: &str| format!("{trainer:?} {name}").to_lowercase().contains(&only);
        let wanted = kinds.into_iter().filter(|(name, ..)| is_wanted(name));
        let mut sessions = wanted.map(open).collect::<Result<Vec<_>>>()?;
        let Some((_, first, _)) = sessions.first_mut() else { continue };
        let expected = first.predict(&requests)?;
        // In turn, so that other work on the machine affects all of them.
        for round in 0..=rounds {
            for (_, session, figures) in &mut sessions {
                let mut ask = |requests_at_once, pause| {
                    measure(&mut **session, requests.chunks(requests_at_once), pause, &expected)
                };
                let (at_once, in_turn) = (ask(TOGETHER, Duration::ZERO)?, ask(1, Duration::ZERO)?);
                let apart = ask(1, PAUSE)?;
                // The first round fills caches.
                if round > 0 {
                    figures.at_once.push(at_once);
                    figures.in_turn.push(in_turn);
                    figures.apart.push(apart);
                }
            }
        }
        for (name, _, figures) in &sessions {
            println!("{:<9} {name:<15} {figures}", format!("{trainer:?}"));
            results.push(json!({ "model": format!("{trainer:?}"), "instances": name, "figures": figures.json() }));
        }
    }
    write_json(&json!({ "rounds": rounds, "requests": REQUESTS, "results": results }))
}

/// The times of one request in microseconds.
struct Measured {
    elapsed: f64,
    here: f64,
    process: f64,
}

/// Asks all requests, some at once, and compares the answers.
fn measure<'a>(
    session: &mut dyn ModelSession,
    requests: impl Iterator<Item = &'a [arrow_array::RecordBatch]>,
    pause: Duration,
    expected: &[f64],
) -> Result<Measured> {
    let (mut times, mut answers) = (Vec::new(), Vec::new());
    let (own, theirs) = (cpu(), children_cpu()?);
    for some in requests {
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
        let begin = Instant::now();
        let answer = session.predict(black_box(some))?;
        times.push(begin.elapsed().as_secs_f64() / some.len() as f64);
        answers.extend(answer);
    }
    if answers != expected {
        return Err("the same requests got other answers".into());
    }
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / REQUESTS as f64;
    Ok(Measured { elapsed: median(times) * 1e6, here: each(cpu() - own), process: each(children_cpu()? - theirs) })
}

/// The figures of all rounds, by how requests come.
#[derive(Default)]
struct Figures {
    in_turn: Vec<Measured>,
    apart: Vec<Measured>,
    at_once: Vec<Measured>,
}

impl Figures {
    fn named(&self) -> [(&'static str, &[Measured]); 3] {
        [("in turn", &self.in_turn), ("apart", &self.apart), ("at once", &self.at_once)]
    }

    fn json(&self) -> serde_json::Value {
        let one = |(name, measured): (&str, &[Measured])| {
            let [elapsed, here, process] = medians(measured);
            (name.replace(' ', "_"), json!({ "elapsed_us": elapsed, "cpu_us": here, "process_cpu_us": process }))
        };
        serde_json::Value::Object(self.named().into_iter().map(one).collect())
    }
}

fn medians(measured: &[Measured]) -> [f64; 3] {
    let of = |figure: fn(&Measured) -> f64| median(measured.iter().map(figure).collect());
    [of(|it| it.elapsed), of(|it| it.here), of(|it| it.process)]
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, measured) in self.named() {
            let [elapsed, here, process] = medians(measured);
            write!(f, "  {name}: {elapsed:>7.1} ({here:.1} + {process:.1})")?;
        }
        Ok(())
    }
}
