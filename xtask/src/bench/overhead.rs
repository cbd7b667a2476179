//! Measures six minimal stages: the cost of the host itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::bench::options::Options;
use crate::bench::process::{Medians, measure, number_after};
use crate::bench::results::{clear, folder, write};
use crate::build;
use crate::steps::Result;

/// The default number of repeats. A run takes about ten milliseconds.
const REPEAT: usize = 21;

pub(super) fn overhead(options: &Options) -> Result<()> {
    let built = build::everything(build::Guests::With)?;
    let work = folder()?.join("overhead");
    clear(&work)?;
    let manifest = work.join("empty.toml");
    fs::write(&manifest, pipeline(&built.guests)).map_err(|error| error.to_string())?;
    let sandbox_only = work.join("sandbox-only.toml");
    fs::write(&sandbox_only, "walls = \"sandbox-only\"\n").map_err(|error| error.to_string())?;
    let all_walls = work.join("required.toml");
    fs::write(&all_walls, "walls = \"required\"\n").map_err(|error| error.to_string())?;
    let places = [("both walls", "walled", all_walls), ("in process", "in_process", sandbox_only)];
    let command = |name: &str, operator: &Path| {
        let mut command = Command::new(&built.binary);
        command.env("STAGEWRIGHT_OPERATOR", operator);
        command.arg("--home").arg(work.join(name)).arg("run").arg(&manifest).args([
            "--json",
            "--no-cache",
            "--workers",
            "1",
        ]);
        command
    };
    // Fills the compile cache. The version becomes champion, so that later runs compare with one.
    for (_, name, operator) in &places {
        measure(&mut command(name, operator))?;
    }
    let repeat = options.repeat.unwrap_or(REPEAT);
    let mut costs = [const { Vec::new() }; 2];
    // Alternately, so that other programs disturb both alike.
    for _ in 0..repeat {
        for ((_, name, operator), costs) in places.iter().zip(&mut costs) {
            costs.push(measure(&mut command(name, operator))?);
        }
    }
    println!("six empty stages, whole process, warm compile cache, median of {repeat}:");
    let mut figures = Vec::new();
    for ((shown, name, _), costs) in places.iter().zip(&costs) {
        let Medians { wall_s, cpu_s, peak_mib } = Medians::of(costs);
        let (wall, cpu) = (wall_s * 1e3, cpu_s * 1e3);
        let fsyncs = costs.last().and_then(|cost| number_after(&cost.stdout, "fsyncs")).unwrap_or(f64::NAN);
        println!("  {shown}: wall {wall:.1} ms, cpu {cpu:.1} ms, {fsyncs:.0} fsyncs, peak {peak_mib:.0} MiB");
        figures.push(format!(
            "\"{name}\":{{\"wall_ms\":{wall:.2},\"cpu_ms\":{cpu:.2},\"fsyncs\":{fsyncs},\"peak_mib\":{peak_mib:.1}}}"
        ));
    }
    write("overhead.json", &format!("{{\"repeat\":{repeat},{}}}\n", figures.join(",")))
}

pub(super) fn pipeline(guests: &Path) -> String {
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
