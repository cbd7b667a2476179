//! `[outputs]`: artifacts that a run writes to files at its end.
//!
//! Owns what the section says. Which stage makes what is the table of worlds' to say.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::graph::Names;
use crate::reader::{Item, Section};
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
pub(crate) fn read_all<'a>(section: &Section<'a>, names: &Names<'a>) -> Option<Vec<OutputSection>> {
    let mut outputs = Vec::new();
    let mut paths: BTreeMap<PathBuf, &str> = BTreeMap::new();
    let mut is_fine = true;
    for (name, item) in section.items() {
        let output = item.text().and_then(|reference| {
            read(name, reference, &item, names, &mut paths)
                .map_err(|(message, hint)| item.report_value(message, Some(hint)))
                .ok()
        });
        is_fine &= output.is_some();
        outputs.extend(output);
    }
    is_fine.then_some(outputs)
}

/// One output; else what is wrong with it, and a hint.
fn read<'a>(
    name: &'a str,
    reference: &'a str,
    item: &Item<'a>,
    names: &Names<'a>,
    paths: &mut BTreeMap<PathBuf, &'a str>,
) -> Result<OutputSection, (String, String)> {
    if Path::new(name).file_name().is_none() || name.ends_with('/') {
        let hint = "write a path such as `reports/model.html`".to_owned();
        return Err((format!("`{name}` is not the path of a file"), hint));
    }
    let path = plain(&item.resolve(name));
    if let Some(first) = paths.insert(path.clone(), name) {
        let hint = "give each output a file of its own".to_owned();
        return Err((format!("`{name}` and `{first}` are one file"), hint));
    }
    let (stage, world, artifact) = names.artifact(reference)?;
    let stage = StepId::new(stage).map_err(|error| (error.to_string(), "give the stage another name".to_owned()))?;
    Ok(OutputSection { path, stage, world, artifact: artifact.to_owned() })
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
