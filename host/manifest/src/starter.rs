//! A first pipeline file for a table that somebody has: what `stagewright init` writes.
//!
//! Owns the text, which explains itself and loads without a change. What the columns are is found
//! out by the caller.

use std::fmt::Write as _;

use stagewright_store::{Field, Role};

use crate::document::{key_text, string_text};
use crate::gates::GatesSection;
use crate::names::Identifier;
use crate::task::{TaskKind, TaskSection};

/// What a first pipeline file is written from.
#[derive(Clone, Debug)]
pub struct Starter<'a> {
    /// The pipeline's name; the experiment and the model are named after it.
    pub pipeline: &'a Identifier,
    /// The source's URI, with a path relative to where the file will be.
    pub uri: &'a str,
    /// The separator of a CSV source, if it is not a comma.
    pub delimiter: Option<char>,
    /// What is to be learnt.
    pub task: &'a TaskSection,
    /// Texts that mean null.
    pub null_values: &'a [String],
    /// The columns, in order. The role of the task's target is implied.
    pub fields: &'a [Field],
    /// The seed of the split. A random one, so that nobody who owns the data can choose which rows are test rows.
    pub split_seed: u64,
}

/// Writes a commented pipeline file that runs as it is.
pub fn write_manifest(starter: &Starter<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_head(&mut text, starter);
    let _ = write_signature(&mut text, starter);
    let _ = write_rest(&mut text, starter);
    text
}

fn write_head(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    let Starter { pipeline, uri, task, .. } = starter;
    writeln!(out, "# A Stagewright pipeline. Every key is explained in docs/manifest.md.")?;
    writeln!(out, "# Run it: stagewright run THIS_FILE\n")?;
    writeln!(out, "pipeline = {}", string_text(pipeline.as_str()))?;
    writeln!(out, "experiment = {}", string_text(pipeline.as_str()))?;
    writeln!(
        out,
        "model = {} # the name under which models are registered",
        string_text(&format!("{pipeline}-model"))
    )?;
    writeln!(out, "seed = 42 # the same seed, data and components give the same model, bit for bit\n")?;
    writeln!(out, "[task]")?;
    writeln!(out, "kind = {} # binary, multi-class or regression", string_text(task.kind.as_str()))?;
    writeln!(out, "target = {}", string_text(&task.target))?;
    if let TaskKind::Binary { positive } = &task.kind {
        writeln!(out, "positive = {} # the class whose probability is predicted", string_text(positive))?;
    }
    writeln!(out, "\n[sources.data]")?;
    writeln!(out, "uri = {} # csv:FILE, sqlite:FILE#TABLE or parquet:FILE, relative to this file", string_text(uri))?;
    if let Some(delimiter) = starter.delimiter {
        writeln!(out, "delimiter = {}", string_text(&delimiter.to_string()))?;
    }
    writeln!(out)
}

fn write_signature(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    let nulls = starter.null_values.iter().map(|text| string_text(text)).collect::<Vec<_>>().join(", ");
    writeln!(out, "[signature]")?;
    writeln!(out, "null-values = [{nulls}] # texts that mean null")?;
    writeln!(out, "extra-columns = \"error\" # or ignore\n")?;
    writeln!(out, "# Types: boolean, int64, float64, utf8, categorical, timestamp.")?;
    writeln!(out, "# Roles: feature (if none is given), target, weight, identifier, time, group.")?;
    writeln!(out, "[signature.fields]")?;
    for field in starter.fields {
        let Field { name, data_type, nullable, .. } = field;
        let target = *name == starter.task.target;
        let role = if target { Role::Target } else { field.role };
        let mut settings = format!("type = \"{data_type}\"");
        // The host encodes the target: it is never null.
        if *nullable && !target {
            settings.push_str(", nullable = true");
        }
        if role != Role::Feature {
            write!(settings, ", role = \"{role}\"")?;
        }
        let plain = settings.len() == format!("type = \"{data_type}\"").len();
        let value = if plain { format!("\"{data_type}\"") } else { format!("{{ {settings} }}") };
        writeln!(out, "{} = {value}", key_text(name))?;
    }
    writeln!(out)
}

fn write_rest(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    let regression = starter.task.kind == TaskKind::Regression;
    writeln!(out, "[split]")?;
    writeln!(
        out,
        "method = \"hash\" # {}",
        if regression {
            "rows stay where they are when data grow"
        } else {
            "or stratified: exact shares of each class, but rows change sides when data grow"
        }
    )?;
    writeln!(out, "test = 0.2 # share of the rows that training never sees")?;
    writeln!(out, "validation = 0.1 # share of the training rows that decides when to stop")?;
    writeln!(out, "seed = {} # drawn for this file; another one deals all rows out anew\n", starter.split_seed)?;
    writeln!(out, "[stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"data\"\n")?;
    writeln!(out, "[stages.validation]\ncomponent = \"validate-table\"\n")?;
    writeln!(out, "[stages.transformation]\ncomponent = \"transform-table\"\n")?;
    writeln!(out, "[stages.training]")?;
    writeln!(out, "component = \"train-boosted\" # or train-forest, train-logistic")?;
    writeln!(out, "# Limits are always on; raise one when a run says so:")?;
    writeln!(out, "# limits = {{ memory = \"4 GiB\", cpu = \"2 h\" }}\n")?;
    writeln!(out, "[stages.evaluation]\ncomponent = \"evaluate-classifier\"\n")?;
    writeln!(out, "[stages.promotion]\ncomponent = \"promote-gated\"\n")?;
    writeln!(
        out,
        "# Parameters belong to a component: `[components.train-boosted.parameters]`, then `n_estimators = 300`.\n"
    )?;
    let primary = GatesSection::defaults(Some(&starter.task.kind)).primary;
    writeln!(out, "[gates]")?;
    writeln!(out, "primary = {} # in this metric a candidate must beat the champion", string_text(&primary))?;
    writeln!(out, "margin = 0.0 # by more than this")?;
    if !regression {
        writeln!(out, "# minimum = {{ accuracy = 0.75 }} # what a candidate must reach in any case")?;
    }
    Ok(())
}
