//! Measures: whole processes here, the boundary in `host/runtime/benches`.
//!
//! Every figure is a median over repeats in one invocation; JSON goes to `target/bench/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use wait4::Wait4 as _;

use crate::build::{self, Built, cargo};
use crate::steps::{Result, output, run};

/// Runs one benchmark.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments.get(1..).unwrap_or_default())?;
    match arguments.first().map(String::as_str) {
        Some("overhead") => overhead(&options),
        Some("lifecycle") => lifecycle(&options),
        Some("boundary") => {
            let built = build::everything()?;
            let mut command = cargo();
            command.args(["bench", "--quiet", "--workspace", "--bench", "boundary"]);
            command
                .env("STAGEWRIGHT_GUESTS", &built.guests)
                .env("STAGEWRIGHT_BENCH_OUTPUT", folder()?.join("boundary.json"));
            run(&mut command)
        }
        _ => Err("usage: cargo xtask bench overhead|boundary|lifecycle [options]".into()),
    }
}

struct Options {
    rows: u64,
    model: String,
    smote: bool,
    repeat: usize,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { rows: 7043, model: "boosted".into(), smote: false, repeat: 5 };
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let mut value = || rest.next().ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "--rows" => options.rows = value()?.parse().map_err(|_| "--rows takes a number")?,
                "--model" => options.model = value()?.clone(),
                "--repeat" => options.repeat = value()?.parse().map_err(|_| "--repeat takes a number")?,
                "--smote" => options.smote = true,
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if !["logistic", "forest", "boosted"].contains(&options.model.as_str()) {
            return Err(format!("unknown model {}: logistic, forest or boosted", options.model));
        }
        options.repeat = options.repeat.max(1);
        Ok(options)
    }
}

fn folder() -> Result<PathBuf> {
    let folder = build::target().join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    fs::canonicalize(&folder).map_err(|error| error.to_string())
}

/// What one process cost.
struct Cost {
    wall_s: f64,
    cpu_s: f64,
    peak_mib: f64,
    stdout: String,
}

fn measure(command: &mut Command) -> Result<Cost> {
    let shown = format!("{command:?}");
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot start {shown}: {error}"))?;
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        std::io::Read::read_to_string(&mut pipe, &mut stdout).map_err(|error| error.to_string())?;
    }
    let used = child.wait4().map_err(|error| error.to_string())?;
    let wall_s = start.elapsed().as_secs_f64();
    // 4: the candidate was rejected, which costs as much.
    if !used.status.success() && used.status.code() != Some(4) {
        return Err(format!("{shown} ended with {}\n{stdout}", used.status));
    }
    Ok(Cost {
        wall_s,
        cpu_s: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_mib: used.rusage.maxrss as f64 / f64::from(1 << 20),
        stdout,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number_after(text: &str, key: &str) -> Option<f64> {
    let rest = text.split_once(&format!("\"{key}\":"))?.1.trim_start();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || ".-e+".contains(c)))?;
    rest[..end].parse().ok()
}

fn write(name: &str, json: &str) -> Result<()> {
    let path = folder()?.join(name);
    fs::write(&path, json).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Six stages that do the least they may: what the host itself costs.
fn overhead(options: &Options) -> Result<()> {
    let built = build::everything()?;
    let work = folder()?.join("overhead");
    clear(&work)?;
    let manifest = work.join("empty.toml");
    fs::write(&manifest, empty_pipeline(&built.guests)).map_err(|error| error.to_string())?;
    let command = || {
        let mut command = Command::new(&built.binary);
        command.arg("--home").arg(work.join("home")).arg("run").arg(&manifest).args(["--json", "--workers", "1"]);
        command
    };
    // Fills the compile cache; its version of the model becomes champion, so that later runs compare with one.
    measure(&mut command())?;
    let repeat = options.repeat.max(11);
    let costs = (0..repeat).map(|_| measure(&mut command())).collect::<Result<Vec<_>>>()?;
    let wall = median(costs.iter().map(|cost| cost.wall_s * 1e3).collect());
    let cpu = median(costs.iter().map(|cost| cost.cpu_s * 1e3).collect());
    let peak = median(costs.iter().map(|cost| cost.peak_mib).collect());
    let fsyncs = costs.last().and_then(|cost| number_after(&cost.stdout, "fsyncs")).unwrap_or(f64::NAN);
    println!("six empty stages, whole process, warm compile cache, median of {repeat}:");
    println!("  wall {wall:.1} ms, cpu {cpu:.1} ms, {fsyncs:.0} fsyncs, peak {peak:.0} MiB");
    write(
        "overhead.json",
        &format!(
            "{{\"repeat\":{repeat},\"wall_ms\":{wall:.2},\"cpu_ms\":{cpu:.2},\"fsyncs\":{fsyncs},\"peak_mib\":{peak:.1}}}\n"
        ),
    )
}

fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("cannot clear {}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))
}

fn empty_pipeline(guests: &Path) -> String {
    let mut text = "pipeline = \"empty\"\nexperiment = \"bench\"\nmodel = \"empty\"\nseed = 1\n\
        [task]\nkind = \"binary\"\ntarget = \"y\"\npositive = \"1\"\n\
        [split]\nmethod = \"stratified\"\ntest = 0.5\nvalidation = 0.0\n"
        .to_owned();
    let worlds = ["ingestion", "validation", "transformation", "training", "evaluation", "promotion"];
    for world in worlds {
        text.push_str(&format!("[stages.{world}]\ncomponent = \"empty-{world}\"\n"));
    }
    for world in worlds {
        let path = guests.join(format!("empty-{world}.wasm"));
        text.push_str(&format!("[components.empty-{world}]\npath = {:?}\n", path.display().to_string()));
    }
    text
}

/// The whole churn lifecycle as a process, from a SQLite table of generated customers.
fn lifecycle(options: &Options) -> Result<()> {
    let built = build::everything()?;
    let work = folder()?.join(format!("lifecycle-{}", options.rows));
    fs::create_dir_all(&work).map_err(|error| format!("cannot create {}: {error}", work.display()))?;
    let table = customers(&built, &work, options.rows)?;
    let config = if options.smote { "config/churn-smote.toml" } else { "config/churn.toml" };
    let component = format!("training.component=train-{}", options.model);
    let run = || {
        clear(&work.join("home"))?;
        // A cache of compiled components is warm in daily use: the first repeat fills it, and is left out.
        let mut command = Command::new(&built.binary);
        command
            .current_dir(build::root())
            .env("STAGEWRIGHT_CACHE", work.join("cache"))
            .arg("--home")
            .arg(work.join("home"));
        command.args(["run", config, "--json", "--set", &component]).args(peer_parameters(&options.model));
        command.arg("--source").arg(format!("customers=sqlite:{}#customers", table.display()));
        measure(&mut command)
    };
    run()?;
    let repeat = if options.rows >= 1_000_000 { 1 } else { options.repeat };
    let costs = (0..repeat).map(|_| run()).collect::<Result<Vec<_>>>()?;
    let wall = median(costs.iter().map(|cost| cost.wall_s).collect());
    let cpu = median(costs.iter().map(|cost| cost.cpu_s).collect());
    let peak = median(costs.iter().map(|cost| cost.peak_mib).collect());
    let auc = costs.last().and_then(|cost| number_after(&cost.stdout, "roc_auc")).unwrap_or(f64::NAN);
    let smote = if options.smote { " with SMOTE" } else { "" };
    println!(
        "{} rows{smote}, {}: wall {wall:.2} s, cpu {cpu:.2} s, peak {peak:.0} MiB, roc_auc {auc:.4} (median of {repeat})",
        options.rows, options.model
    );
    if let Some(cost) = costs.last() {
        stages(&cost.stdout);
    }
    write(
        &format!("lifecycle-{}-{}{}.json", options.rows, options.model, if options.smote { "-smote" } else { "" }),
        &format!(
            "{{\"rows\":{},\"model\":\"{}\",\"smote\":{},\"repeat\":{repeat},\"wall_s\":{wall:.3},\"cpu_s\":{cpu:.3},\"peak_mib\":{peak:.1},\"roc_auc\":{auc}}}\n",
            options.rows, options.model, options.smote
        ),
    )
}

/// The hyperparameters of the peers' measurements.
fn peer_parameters(model: &str) -> Vec<String> {
    let parameters: &[&str] = match model {
        "forest" => &["training.n_estimators=200", "training.max_depth=12"],
        "boosted" => &["training.n_estimators=300", "training.max_depth=6", "training.early_stopping_rounds=0"],
        _ => &[],
    };
    parameters.iter().flat_map(|parameter| ["--set".to_owned(), (*parameter).to_owned()]).collect()
}

/// Wall time by stage, from the run's JSON.
fn stages(json: &str) {
    for part in json.split("\"name\": \"").skip(1) {
        let name = part.split('"').next().unwrap_or_default();
        let head = part.split("\"artifacts\"").next().unwrap_or_default();
        if let (Some(wall), Some(cpu)) = (number_after(head, "wall_ms"), number_after(head, "cpu_ms")) {
            println!("    {name:<16} wall {wall:>9.1} ms   cpu {cpu:>9.1} ms");
        }
    }
}

/// Generated customers in a SQLite table; kept between benchmarks.
fn customers(built: &Built, work: &Path, rows: u64) -> Result<PathBuf> {
    let database = work.join("customers.db");
    if database.exists() {
        return Ok(database);
    }
    let (home, csv) = (work.join("generate"), work.join("customers.csv"));
    let mut generate = Command::new(&built.binary);
    generate.current_dir(build::root()).arg("--home").arg(&home);
    generate.args([
        "run",
        "config/churn.toml",
        "--json",
        "--until",
        "ingestion",
        "--set",
        "ingestion.component=ingest-synthetic",
    ]);
    generate.args(["--set", &format!("ingestion.rows={rows}")]);
    output(&mut generate)?;
    output(
        Command::new(&built.binary)
            .arg("--home")
            .arg(&home)
            .args(["artifacts", "export", "ingestion.table", "--output"])
            .arg(&csv),
    )?;
    run(Command::new("sqlite3").arg(&database).arg(".mode csv").arg(format!(".import {} customers", csv.display())))?;
    Ok(database)
}
