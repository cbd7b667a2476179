//! `[outputs]`: artifacts that a run writes to files at its end.
//!
//! Owns the section; [`crate::WORLDS`] lists the artifacts of each world.
//!
//! A component decides what such a file contains, and a pipeline may come from anybody. So files
//! are written below the pipeline's folder only, and no part of a path begins with a dot: other
//! programs look for hidden files and trust them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::graph::References;
use crate::reader::{Item, Section};
use crate::step_id::StepId;
use crate::world::World;

/// An artifact that is written to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputSection {
    /// The file.
    pub path: PathBuf,
    /// The manifest's folder. The file lies below it.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The path of the file relative to the folder, of plain names only.
    #[serde(skip)]
    pub below: PathBuf,
    /// The stage that makes the artifact. If it evaluates several models, the candidate's artifact
    /// is written.
    pub stage: StepId,
    /// The world of the stage.
    pub world: World,
    /// The name of the artifact there.
    pub artifact: String,
}

/// The most files: as many as stages.
const MOST: usize = 1000;

/// The longest path and the longest name in a path, in bytes, as file systems allow.
const LONGEST: (usize, usize) = (1024, 255);

/// Reads all outputs; `None` if one of them is wrong.
pub(crate) fn read_all<'a>(section: &Section<'a>, references: &References<'a>) -> Option<Vec<OutputSection>> {
    let mut outputs = Vec::new();
    let mut paths: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut is_fine = true;
    if section.items().count() > MOST {
        section.report(format!("a run writes at most {MOST} files"), None);
        return None;
    }
    for (name, item) in section.items() {
        let output = item.text().and_then(|reference| {
            read(name, reference, &item, references, &mut paths)
                .map_err(|(message, hint)| item.report_value(message, Some(hint)))
                .ok()
        });
        is_fine &= output.is_some();
        outputs.extend(output);
    }
    is_fine.then_some(outputs)
}

/// Reads one output; an error is a message and a hint.
fn read<'a>(
    name: &'a str,
    reference: &'a str,
    item: &Item<'a>,
    references: &References<'a>,
    paths: &mut BTreeMap<PathBuf, &'a str>,
) -> Result<OutputSection, (String, String)> {
    if Path::new(name).file_name().is_none() || name.ends_with('/') {
        let hint = "write a path such as `reports/model.html`".to_owned();
        return Err((format!("`{name}` is not the path of a file"), hint));
    }
    let below = below(name)?;
    let folder = item.resolve("");
    let path = folder.join(&below);
    own_file(name, &path, paths)?;
    let (stage, world, artifact) = references.artifact(reference)?;
    let stage = StepId::new(stage).map_err(|error| (error.to_string(), "give the stage another name".to_owned()))?;
    Ok(OutputSection { path, folder, below, stage, world, artifact: artifact.to_owned() })
}

/// Returns a path below the manifest's folder, without `.` and `..`; an error is a message and a
/// hint.
fn below(name: &str) -> Result<PathBuf, (String, String)> {
    let (longest, longest_name) = LONGEST;
    if name.len() > longest {
        let message = format!("the path of an output has {} bytes", name.len());
        return Err((message, format!("write one of at most {longest} bytes")));
    }
    let outside = || {
        let hint = "outputs lie in the folder of this file or below: `reports/model.html`; `stagewright artifacts export` writes anywhere";
        (format!("`{name}` is outside of the pipeline's folder"), hint.to_owned())
    };
    let mut below = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => below.push(part),
            Component::ParentDir if below.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    for part in below.iter().filter_map(|part| part.to_str()) {
        let (problem, hint) = if part.starts_with('.') {
            ("hidden", "give the file and its folders names that do not begin with a dot")
        } else if part.chars().any(char::is_control) {
            ("no name: it has a control character", "write letters, digits, `-`, `_` and dots")
        } else if part.len() > longest_name {
            ("too long", "write a name of at most 255 bytes")
        } else {
            continue;
        };
        return Err((format!("`{part}` in the path of an output is {problem}"), hint.to_owned()));
    }
    if below.as_os_str().is_empty() { Err(outside()) } else { Ok(below) }
}

/// Assigns a file to an output, unless another output has the same file, or one of the two would be
/// a folder of the other. Case is ignored, as some file systems do.
fn own_file<'a>(name: &'a str, path: &Path, paths: &mut BTreeMap<PathBuf, &'a str>) -> Result<(), (String, String)> {
    let lower = PathBuf::from(path.to_string_lossy().to_lowercase());
    let above = lower.ancestors().skip(1).find_map(|above| paths.get(above));
    let inside = paths.range::<Path, _>((Bound::Excluded(lower.as_path()), Bound::Unbounded)).next();
    let inside = inside.filter(|(path, _)| path.starts_with(&lower)).map(|(_, first)| first);
    let (first, clash) = match (paths.get(&lower), above.or(inside)) {
        (Some(first), _) => (first, "are one file"),
        (None, Some(first)) => (first, "cannot both be: a file is no folder"),
        (None, None) => {
            paths.insert(lower, name);
            return Ok(());
        }
    };
    let hint = "give each output a file of its own".to_owned();
    Err((format!("`{name}` and `{first}` {clash}"), hint))
}
