//! Graphs of many minimal steps: the host's cost of a step.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::overhead;
use crate::bench::process::{Cost, Spread, measure, number_after};
use crate::build::Built;
use crate::steps::Result;

/// The number of steps of the graph that is planned.
const PLANNED: usize = 1000;
/// The number of steps of the graph that is executed.
const EXECUTED: usize = 200;
/// The number of steps of a pipeline of one model.
const ROW: usize = 6;
/// The most runs until nothing is left to execute. The second judges the models again, against the
/// champion of the first.
const SETTLES: usize = 4;

/// Returns a graph of so many steps. All but four are trainings and their evaluations, and no two
/// trainings have the same key.
fn manifest(built: &Built, steps: usize) -> String {
    let one = overhead::pipeline(&built.guests);
    let trainings: String = (0..(steps - 4) / 2).fold(String::new(), |mut text, at| {
        let memory = (64 << 20) + at * 1024;
        let _ = write!(
            text,
            "[stages.t{at}]\nworld = \"training\"\ncomponent = \"empty-training\"\nlimits = {{ memory = \"{memory} B\" }}\n"
        );
        text
    });
    one.replace("[stages.training]\ncomponent = \"empty-training\"\n", &trainings)
}

/// Writes a graph and returns the file.
fn written(built: &Built, work: &Path, steps: usize) -> Result<PathBuf> {
    let file = work.join(format!("graph-{steps}.toml"));
    fs::write(&file, manifest(built, steps)).map_err(|error| error.to_string())?;
    Ok(file)
}

/// Measures the plan of a graph of which every step is on record.
pub(super) fn planned(built: &Built, work: &Path, repeat: usize) -> Result<String> {
    let (file, home) = (written(built, work, PLANNED)?, work.join("planned"));
    let run = || {
        let mut command = Command::new(&built.binary);
        command.arg("--home").arg(&home).arg("run").arg(&file).arg("--json");
        measure(&mut command).map(|cost| number_after(&cost.stdout, "executed"))
    };
    let mut executed = None;
    for _ in 0..SETTLES {
        executed = run()?;
        if executed == Some(0.0) {
            break;
        }
    }
    if executed != Some(0.0) {
        return Err(format!("an unchanged run of {PLANNED} steps executed {executed:?}"));
    }
    let command = |arguments: &[&str], file: &Path| {
        let mut command = Command::new(&built.binary);
        command.arg("--home").arg(&home).arg("plan").arg(file).args(arguments);
        command
    };
    // The time that starting, the manifest and the components take is measured separately.
    let costs = |arguments: &[&str]| -> Result<Vec<Cost>> {
        (0..repeat).map(|_| measure(&mut command(arguments, &file))).collect()
    };
    let (plain, explained) = (costs(&[])?, costs(&["--explain"])?);
    let (wall, cpu) = (Spread::of(&explained, Cost::wall_ms), Spread::of(&explained, Cost::cpu_ms));
    let without = Spread::of(&plain, Cost::wall_ms);
    println!("`plan --explain` of {PLANNED} steps on record, whole process, {repeat} times:");
    println!("  wall {wall} ms, cpu {cpu} ms; `plan` alone {without} ms");
    Ok(format!(
        "{{\"steps\":{PLANNED},\"wall_ms\":{},\"cpu_ms\":{},\"plan_alone_ms\":{}}}",
        wall.json(),
        cpu.json(),
        without.json()
    ))
}

/// Measures a graph's execution minus that of a pipeline of six steps, divided by the difference in
/// steps.
pub(super) fn overhead(built: &Built, work: &Path, repeat: usize) -> Result<String> {
    let files = [written(built, work, EXECUTED)?, written(built, work, ROW)?];
    let mut figures = Vec::new();
    println!("a graph of {EXECUTED} empty steps, whole process, {repeat} times, per step beyond six:");
    for (name, shown, policy) in
        [("walled", "behind both walls", "required"), ("in_process", "in process", "sandbox-only")]
    {
        let operator = work.join(format!("{name}.toml"));
        fs::write(&operator, format!("walls = \"{policy}\"\n")).map_err(|error| error.to_string())?;
        let run = |file: &Path, round: usize| {
            let mut command = Command::new(&built.binary);
            command.env("STAGEWRIGHT_OPERATOR", &operator).arg("--home").arg(work.join(format!("graph-{name}")));
            command.arg("run").arg(file).args(["--json", "--no-cache", "--workers", "1"]);
            // Without a champion every step is executed.
            command.args(["--register-name", &format!("round-{round}")]);
            measure(&mut command)
        };
        // Fills the compile cache.
        run(&files[1], repeat)?;
        let (mut walls, mut cpus) = (Vec::new(), Vec::new());
        for round in 0..repeat {
            let (many, few) = (run(&files[0], round)?, run(&files[1], repeat + 1 + round)?);
            let executed = number_after(&many.stdout, "executed");
            if executed != Some(EXECUTED as f64) {
                return Err(format!("a graph of {EXECUTED} steps executed {executed:?}"));
            }
            let steps = (EXECUTED - ROW) as f64;
            walls.push((many.wall_ms() - few.wall_ms()) / steps);
            cpus.push((many.cpu_ms() - few.cpu_ms()) / steps);
        }
        let (wall, cpu) = (Spread::of_values(walls), Spread::of_values(cpus));
        println!("  {shown}: wall {wall} ms, cpu {cpu} ms");
        figures.push(format!("\"{name}\":{{\"wall_ms\":{},\"cpu_ms\":{}}}", wall.json(), cpu.json()));
    }
    Ok(format!("{{\"steps\":{EXECUTED},{}}}", figures.join(",")))
}
