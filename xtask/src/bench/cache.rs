//! Runs of which nothing has to be executed: what is left of their cost.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::bench::process::{Medians, measure, number_after};
use crate::bench::{Options, clear, folder, inside, write};
use crate::build;
use crate::steps::Result;

/// Repeats, if nobody says: a run takes some ten milliseconds.
const REPEAT: usize = 21;
/// Bytes of the file whose content counts.
const BYTES: u64 = 1 << 30;
/// For so long a file that was written is read again: longer than the host waits.
const SETTLED: Duration = Duration::from_millis(2500);

pub(super) fn cache(options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::With)?;
    let work = folder()?.join("cache");
    clear(&work)?;
    let repeat = options.repeat.unwrap_or(REPEAT);
    let unchanged = unchanged(&built.binary, &work, repeat)?;
    let content = content(&built.binary, &work)?;
    fs::remove_dir_all(&work).map_err(|error| error.to_string())?;
    write("cache.json", &format!("{{\"repeat\":{repeat},{unchanged},{content}}}\n"))?;
    inside("steps", options)
}

/// The Telco pipeline, once and then unchanged.
fn unchanged(binary: &Path, work: &Path, repeat: usize) -> Result<String> {
    let data = std::env::var_os("STAGEWRIGHT_TEST_DATA")
        .ok_or("set STAGEWRIGHT_TEST_DATA to the folder of telco_churn.csv")?;
    let csv = Path::new(&data).join("telco_churn.csv");
    let manifest = build::root().join("config/churn.toml");
    let command = || {
        let mut command = Command::new(binary);
        command.arg("--home").arg(work.join("telco")).arg("run").arg(&manifest);
        command.arg("--source").arg(format!("customers=csv:{}", csv.display())).arg("--json");
        command
    };
    let first = measure(&mut command())?;
    let costs = (0..repeat).map(|_| measure(&mut command())).collect::<Result<Vec<_>>>()?;
    let executed = costs.last().and_then(|cost| number_after(&cost.stdout, "executed")).unwrap_or(f64::NAN);
    let Medians { wall_s, cpu_s, peak_mib } = Medians::of(&costs);
    let (wall, cpu) = (wall_s * 1e3, cpu_s * 1e3);
    println!("the Telco pipeline, whole process, median of {repeat}:");
    println!(
        "  first {:.0} ms; unchanged {wall:.1} ms, cpu {cpu:.1} ms, {executed:.0} stages executed",
        first.wall_s * 1e3
    );
    Ok(format!(
        "\"telco\":{{\"wall_ms\":{wall:.2},\"cpu_ms\":{cpu:.2},\"executed\":{executed},\"peak_mib\":{peak_mib:.1}}}"
    ))
}

/// A plan over a CSV file of a gibibyte: read once, and not again.
fn content(binary: &Path, work: &Path) -> Result<String> {
    let csv = work.join("large.csv");
    let failed = |error: std::io::Error| error.to_string();
    let mut file = File::create(&csv).map_err(failed)?;
    file.write_all(b"x,y\n").map_err(failed)?;
    let row = "0.123456789,1\n".repeat(1 << 16);
    let mut written = 0;
    while written < BYTES {
        file.write_all(row.as_bytes()).map_err(failed)?;
        written += row.len() as u64;
    }
    drop(file);
    std::thread::sleep(SETTLED);
    let begin = Instant::now();
    measure(Command::new("sha256sum").arg(&csv))?;
    let peer = begin.elapsed().as_secs_f64();
    let manifest = work.join("large.toml");
    let init = ["--source", &format!("csv:{}", csv.display()), "--target", "y", "--output"];
    let mut command = Command::new(binary);
    command.arg("--home").arg(work.join("large")).arg("init").args(init).arg(&manifest);
    measure(&mut command)?;
    let plan = || {
        let mut command = Command::new(binary);
        command.arg("--home").arg(work.join("large")).arg("plan").arg(&manifest).arg("--json");
        measure(&mut command).map(|cost| cost.wall_s)
    };
    let (once, again) = (plan()?, plan()?);
    println!("a plan over a CSV file of 1 GiB: {once:.2} s, then {again:.3} s; sha256sum takes {peer:.2} s");
    Ok(format!("\"content\":{{\"once_s\":{once:.3},\"again_s\":{again:.4},\"sha256sum_s\":{peer:.3}}}"))
}
