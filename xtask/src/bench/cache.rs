//! Measures runs of which nothing needs to be executed, and reproductions. Graphs of many steps are
//! in [`super::graphs`].

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bench::graphs;
use crate::bench::in_process::in_process;
use crate::bench::options::Options;
use crate::bench::process::{Cost, Spread, measure, number_after, text_after};
use crate::bench::results::{clear, folder, write};
use crate::build::{self, Built};
use crate::steps::Result;
use crate::workspace;

/// The default number of repeats. A run takes about ten milliseconds.
const REPEAT: usize = 21;
/// The default number of repeats of measurements that take seconds.
const REPEAT_LONG: usize = 5;
/// The size of the source file in bytes.
const BYTES: u64 = 1 << 30;
/// A file that changed within this time is read again. It is longer than the host's own limit.
const SETTLED: Duration = Duration::from_millis(2500);

pub(super) fn cache(options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::With)?;
    let work = folder()?.join("cache");
    clear(&work)?;
    let repeat = options.repeat.unwrap_or(REPEAT);
    let repeat_long = options.repeat.unwrap_or(REPEAT_LONG);
    // Each part has a name, so that it can be measured alone.
    let parts: [(&str, &dyn Fn() -> Result<String>); 5] = [
        ("unchanged", &|| unchanged(&built, &work, repeat)),
        ("content", &|| content(&built.binary, &work, repeat_long)),
        ("plan", &|| graphs::planned(&built, &work, repeat)),
        ("graph", &|| graphs::overhead(&built, &work, repeat_long)),
        ("reproduce", &|| reproduced(&built, &work, repeat)),
    ];
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut found = Vec::new();
    for (name, measured) in parts.iter().filter(|(name, _)| is_wanted(name)) {
        found.push(format!("\"{name}\":{}", measured()?));
    }
    fs::remove_dir_all(&work).map_err(|error| error.to_string())?;
    write("cache.json", &format!("{{\"repeat\":{repeat},{}}}\n", found.join(",")))?;
    if is_wanted("steps") { in_process("steps", options) } else { Ok(()) }
}

/// Returns the file of the Telco customers.
fn telco() -> Result<PathBuf> {
    let data = std::env::var_os("STAGEWRIGHT_TEST_DATA")
        .ok_or("set STAGEWRIGHT_TEST_DATA to the folder of telco_churn.csv")?;
    Ok(Path::new(&data).join("telco_churn.csv"))
}

/// Returns a run of the shipped pipeline over the Telco customers, in a home under `work`.
fn churn(built: &Built, home: &Path, csv: &Path) -> Command {
    let mut command = Command::new(&built.binary);
    command.arg("--home").arg(home).arg("run").arg(workspace::root().join("config/churn.toml"));
    command.arg("--source").arg(format!("customers=csv:{}", csv.display())).arg("--json");
    command
}

/// Measures the Telco pipeline, once and then unchanged.
fn unchanged(built: &Built, work: &Path, repeat: usize) -> Result<String> {
    let (home, csv) = (work.join("telco"), telco()?);
    let first = measure(&mut churn(built, &home, &csv))?;
    let costs = (0..repeat).map(|_| measure(&mut churn(built, &home, &csv))).collect::<Result<Vec<_>>>()?;
    let executed = costs.last().and_then(|cost| number_after(&cost.stdout, "executed"));
    if executed != Some(0.0) {
        return Err(format!("an unchanged run executed {executed:?} stages"));
    }
    let (wall, cpu) = (Spread::of(&costs, Cost::wall_ms), Spread::of(&costs, Cost::cpu_ms));
    println!("the Telco pipeline, whole process, {repeat} times unchanged, 0 stages executed:");
    println!("  first {:.0} ms; unchanged wall {wall} ms, cpu {cpu} ms", first.wall_ms());
    Ok(format!("{{\"first_ms\":{:.2},\"wall_ms\":{},\"cpu_ms\":{}}}", first.wall_ms(), wall.json(), cpu.json()))
}

/// Measures a plan over a CSV file of a gibibyte, whose content is hashed once and then remembered.
fn content(binary: &Path, work: &Path, repeat: usize) -> Result<String> {
    let csv = work.join("large.csv");
    let failed = |error: std::io::Error| error.to_string();
    let mut file = File::create(&csv).map_err(failed)?;
    file.write_all(b"x,y\n").map_err(failed)?;
    let rows = "0.123456789,1\n0.987654321,0\n".repeat(1 << 15);
    let mut written = 0;
    while written < BYTES {
        file.write_all(rows.as_bytes()).map_err(failed)?;
        written += rows.len() as u64;
    }
    file.sync_all().map_err(failed)?;
    let manifest = work.join("large.toml");
    let init = ["--source", &format!("csv:{}", csv.display()), "--target", "y", "--output"];
    let mut command = Command::new(binary);
    command.arg("--home").arg(work.join("large")).arg("init").args(init).arg(&manifest);
    measure(&mut command)?;
    let plan = || {
        let mut command = Command::new(binary);
        command.arg("--home").arg(work.join("large")).arg("plan").arg(&manifest).arg("--json");
        measure(&mut command).map(|cost| cost.wall_ms())
    };
    // Fills the compile cache.
    plan()?;
    let (mut peers, mut once, mut again, mut shares) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeat {
        // Another modification time: the remembered hash does not apply any more.
        file.set_modified(std::time::SystemTime::now()).map_err(failed)?;
        std::thread::sleep(SETTLED);
        // The fastest widely available hash: openssl uses the processor's instructions, as the host
        // does.
        let peer = measure(Command::new("openssl").args(["dgst", "-sha256"]).arg(&csv))?.wall_ms();
        let (hashed, remembered) = (plan()?, plan()?);
        shares.push(peer / (hashed - remembered));
        peers.push(peer);
        once.push(hashed);
        again.push(remembered);
    }
    let (peer, once) = (Spread::of_values(peers), Spread::of_values(once));
    let (again, share) = (Spread::of_values(again), Spread::of_values(shares));
    println!("a plan over a CSV file of 1 GiB, {repeat} times:");
    println!("  hashed {once} ms, remembered {again} ms; `openssl dgst -sha256` {peer} ms: {share} of its speed");
    Ok(format!(
        "{{\"once_ms\":{},\"again_ms\":{},\"openssl_ms\":{},\"share\":{}}}",
        once.json(),
        again.json(),
        peer.json(),
        share.json()
    ))
}

/// Measures a run of the Telco pipeline and its reproduction, alternately.
fn reproduced(built: &Built, work: &Path, repeat: usize) -> Result<String> {
    let (home, csv) = (work.join("reproduced"), telco()?);
    // Fills the compile cache.
    measure(&mut churn(built, &home, &csv))?;
    let (mut runs, mut again) = (Vec::new(), Vec::new());
    for round in 0..repeat {
        // A model name of its own has no champion, so that all six stages are executed.
        let mut command = churn(built, &home, &csv);
        command.args(["--no-cache", "--register-name", &format!("round-{round}")]);
        let run = measure(&mut command)?;
        let id = text_after(&run.stdout, "run_id").ok_or("a run has no identifier")?;
        let mut command = Command::new(&built.binary);
        command.arg("--home").arg(&home).args(["reproduce", id, "--json"]);
        let reproduced = measure(&mut command)?;
        if !reproduced.stdout.contains("\"identical\": true") && !reproduced.stdout.contains("\"identical\":true") {
            return Err(format!("the run {id} was not reproduced\n{}", reproduced.stdout));
        }
        runs.push(run);
        again.push(reproduced);
    }
    let ratio = |of: fn(&Cost) -> f64| {
        Spread::of_values(runs.iter().zip(&again).map(|(run, again)| of(again) / of(run)).collect())
    };
    let (wall, cpu) = (ratio(Cost::wall_ms), ratio(Cost::cpu_ms));
    let (run, reproduced) = (Spread::of(&runs, Cost::cpu_ms), Spread::of(&again, Cost::cpu_ms));
    println!("the Telco pipeline executed, and reproduced from its record, {repeat} times in turn:");
    println!("  cpu {run} ms and {reproduced} ms; reproduced over executed: wall {wall}, cpu {cpu}");
    Ok(format!(
        "{{\"run_cpu_ms\":{},\"reproduce_cpu_ms\":{},\"wall_ratio\":{},\"cpu_ratio\":{}}}",
        run.json(),
        reproduced.json(),
        wall.json(),
        cpu.json()
    ))
}
