//! Which components run: pinned and signed ones, from unchanged cached code, after inspection.

mod admission;
mod cached;
mod folders;
mod locks;
mod signatures;

use std::fs;
use std::path::{Path, PathBuf};

use stagewright_end_to_end::{Ended, Place, guests};

const WORLDS: [&str; 6] = ["ingestion", "validation", "transformation", "training", "evaluation", "promotion"];

/// Returns a pipeline of six empty stages, all of them files beside the manifest.
fn pipeline(place: &Place, more: &str) -> String {
    let mut text = "pipeline = \"empty\"\nexperiment = \"trust\"\nmodel = \"empty\"\nseed = 1\n\
        [task]\nkind = \"binary\"\ntarget = \"y\"\npositive = \"1\"\n\
        [split]\nmethod = \"stratified\"\ntest = 0.5\nvalidation = 0.0\n"
        .to_owned();
    for world in WORLDS {
        text.push_str(&format!("[stages.{world}]\ncomponent = \"empty-{world}\"\n"));
    }
    for world in WORLDS {
        fs::copy(guests().join(format!("empty-{world}.wasm")), stage(place, world)).expect("a guest");
        text.push_str(&format!("[components.empty-{world}]\npath = \"empty-{world}.wasm\"\n"));
    }
    place.write("empty.toml", text + more).display().to_string()
}

fn stage(place: &Place, world: &str) -> PathBuf {
    place.path().join(format!("empty-{world}.wasm"))
}

/// Appends an empty custom section named `x`: other bytes, the same code.
fn change(file: &Path) {
    let mut bytes = fs::read(file).expect("a component");
    bytes.extend([0, 2, 1, b'x']);
    fs::write(file, bytes).expect("written");
}

/// Runs a command with a cache of its own.
fn alone(place: &Place, arguments: &[&str]) -> Ended {
    let output = place.command(arguments).env("STAGEWRIGHT_CACHE", cache(place)).output().expect("the binary starts");
    Ended {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn cache(place: &Place) -> PathBuf {
    place.path().join("cache")
}

fn compiled(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache(place).join("components")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "cwasm")).collect()
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
