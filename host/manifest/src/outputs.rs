//! `[outputs]`: artifacts that a run writes to files at its end.
//!
//! Owns what the section says. Which stage makes what is the table of worlds' to say.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::graph::Names;
use crate::reader::Section;
use crate::step_id::StepId;
use crate::world::World;

/// An artifact that is written to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputSection {
    /// The file.
    pub path: PathBuf,
    /// The stage that makes the artifact; of an evaluation of several models, the candidate's
    /// counts.
    pub stage: StepId,
    /// The world of the stage.
    pub world: World,
    /// The artifact's name there.
    pub artifact: String,
}

/// Reads all outputs; `None` if one of them is wrong.
pub(crate) fn read_all(section: &Section<'_>, names: &Names<'_>) -> Option<Vec<OutputSection>> {
    let mut outputs = Vec::new();
    let mut paths: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut is_fine = true;
    for (name, item) in section.items() {
        let mut report = |message: String, hint: String| {
            item.report_value(message, Some(hint));
            is_fine = false;
        };
        let Some(reference) = item.text() else {
            is_fine = false;
            continue;
        };
        if name.is_empty() || Path::new(name).file_name().is_none() || name.ends_with('/') {
            report(
                format!("`{name}` is not the path of a file"),
                "write a path such as `reports/model.html`".to_owned(),
            );
            continue;
        }
        let path = plain(&item.resolve(name));
        if let Some(first) = paths.insert(path.clone(), name) {
            report(format!("`{name}` and `{first}` are one file"), "give each output a file of its own".to_owned());
            continue;
        }
        match names.artifact(reference) {
            Ok((stage, world, artifact)) => {
                let Ok(stage) = StepId::new(stage) else { continue };
                outputs.push(OutputSection { path, stage, world, artifact: artifact.to_owned() });
            }
            Err((message, hint)) => report(message, hint),
        }
    }
    is_fine.then_some(outputs)
}

/// The same path without steps that lead nowhere. Links are not looked at.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
