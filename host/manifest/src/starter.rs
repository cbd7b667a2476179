//! The first pipeline file for a table, as `stagewright init` writes it.
//!
//! Owns the text, which is commented and loads without a change. The caller infers the columns.

use std::fmt::Write as _;

use stagewright_data::{ExtraColumns, SplitMethod, TaskKind};
use stagewright_store::{Field, Role};

use crate::document::{comment_text, key_text, string_text};
use crate::gates::GatesSection;
use crate::names::Identifier;
use crate::split::SplitSection;
use crate::task::TaskSection;

/// The contents of a first pipeline file.
#[derive(Clone, Debug)]
pub struct Starter<'a> {
    /// The name of the pipeline, the experiment and the model.
    pub pipeline: &'a Identifier,
    /// The URI of the source, with a path relative to the new file.
    pub uri: &'a str,
    /// The delimiter of a CSV source, if it is not a comma.
    pub delimiter: Option<char>,
    /// The learning task.
    pub task: &'a TaskSection,
    /// Texts that mean null.
    pub null_values: &'a [String],
    /// How columns that are not among the fields are treated.
    pub extra_columns: ExtraColumns,
    /// The columns, in order.
    pub fields: &'a [StarterField],
    /// How rows are split. The seed is random, so that nobody who controls the data can choose the
    /// test rows.
    pub split: &'a SplitSection,
    /// The servers of PostgreSQL that the source needs, as `postgres` grants them.
    pub postgres: &'a [String],
    /// Sentences for the head of the file, as comments.
    pub notes: &'a [String],
    /// The checks of `validate-table` beyond the defaults: tables of its parameters, the outermost
    /// first.
    pub contract: &'a [ContractTable],
}

/// A table of a component's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct ContractTable {
    /// Its dotted name below `parameters`, of bare keys; empty for `parameters` itself.
    pub name: String,
    /// Its keys.
    pub entries: Vec<ContractEntry>,
}

/// A key of a component's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct ContractEntry {
    /// The key; any text.
    pub key: String,
    /// The value. TOML has no null, which is left out.
    pub value: serde_json::Value,
    /// The reason for it, as a comment.
    pub note: String,
}

/// A column of a first pipeline file.
#[derive(Clone, Debug)]
pub struct StarterField {
    /// Name, type, nullability and role. The role of the task's target is implied.
    pub field: Field,
    /// The share of nulls that validation allows, if it is not the default.
    pub max_null_ratio: Option<f64>,
    /// Whether the transformation drops the column.
    pub is_dropped: bool,
    /// Sentences about the column, as comments.
    pub notes: Vec<String>,
}

impl From<Field> for StarterField {
    /// Returns a column without notes.
    fn from(field: Field) -> Self {
        Self { field, max_null_ratio: None, is_dropped: false, notes: Vec::new() }
    }
}

/// Returns a commented pipeline file that runs as it is.
pub fn write_manifest(starter: &Starter<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_head(&mut text, starter);
    let _ = write_signature(&mut text, starter);
    let _ = write_split(&mut text, starter);
    let _ = write_stages(&mut text, starter);
    let _ = write_gates(&mut text, starter);
    text
}

/// Writes a comment on one line, whatever its text contains.
fn write_note(out: &mut String, note: &str) -> std::fmt::Result {
    writeln!(out, "# {}", comment_text(note))
}

fn write_head(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    let Starter { pipeline, uri, task, .. } = starter;
    writeln!(out, "# A Stagewright pipeline. Every key is explained in docs/manifest.md.")?;
    writeln!(out, "# Run it: stagewright run THIS_FILE")?;
    starter.notes.iter().try_for_each(|note| write_note(out, note))?;
    writeln!(out)?;
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
    writeln!(
        out,
        "uri = {} # csv:FILE, jsonl:FILE, parquet:FILE, arrow:FILE or sqlite:FILE#TABLE, relative to this file",
        string_text(uri)
    )?;
    if let Some(delimiter) = starter.delimiter {
        writeln!(out, "delimiter = {}", string_text(&delimiter.to_string()))?;
    }
    writeln!(out)
}

fn write_signature(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    let nulls = starter.null_values.iter().map(|text| string_text(text)).collect::<Vec<_>>().join(", ");
    writeln!(out, "[signature]")?;
    writeln!(out, "null-values = [{nulls}] # texts that mean null")?;
    let (policy, other) = match starter.extra_columns {
        ExtraColumns::Error => ("error", "ignore"),
        ExtraColumns::Ignore => ("ignore", "error"),
    };
    writeln!(out, "extra-columns = \"{policy}\" # or {other}\n")?;
    writeln!(out, "# Types: boolean, int64, float64, utf8, categorical, timestamp.")?;
    writeln!(out, "# Roles: feature (if none is given), target, weight, identifier, time, group.")?;
    writeln!(out, "[signature.fields]")?;
    for StarterField { field, notes, .. } in starter.fields {
        notes.iter().try_for_each(|note| write_note(out, note))?;
        let Field { name, data_type, nullable, .. } = field;
        let target = *name == starter.task.target;
        let role = if target { Role::Target } else { field.role };
        let mut settings = format!("type = \"{data_type}\"");
        // The host encodes the target, so it is never null.
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

fn write_split(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    let SplitSection { method, test, validation, seed, .. } = starter.split;
    let (method, other) = match method {
        SplitMethod::Hash if starter.task.kind == TaskKind::Regression => {
            ("hash", "rows stay where they are when data grow")
        }
        SplitMethod::Hash => {
            ("hash", "or stratified: exact shares of each class, but rows change sides when data grow")
        }
        SplitMethod::Stratified => {
            ("stratified", "so that each class is on both sides; hash keeps rows where they are when data grow")
        }
    };
    writeln!(out, "[split]\nmethod = \"{method}\" # {other}")?;
    writeln!(out, "test = {test:?} # share of the rows that training never sees")?;
    writeln!(out, "validation = {validation:?} # share of the training rows that decides when to stop")?;
    writeln!(out, "seed = {seed} # drawn for this file; another one deals all rows out anew\n")
}

fn write_stages(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    writeln!(out, "[stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"data\"")?;
    if !starter.postgres.is_empty() {
        let grants: Vec<String> = starter.postgres.iter().map(|grant| string_text(grant)).collect();
        writeln!(out, "postgres = [{}] # the servers that the host may ask for it", grants.join(", "))?;
    }
    writeln!(out)?;
    writeln!(out, "[stages.validation]\ncomponent = \"validate-table\"\n")?;
    write_contract(out, starter.contract)?;
    for StarterField { field, max_null_ratio, .. } in starter.fields {
        if let Some(ratio) = max_null_ratio {
            writeln!(out, "[components.validate-table.parameters.columns.{}]", key_text(&field.name))?;
            writeln!(out, "max_null_ratio = {ratio:?} # 0.1 for the others\n")?;
        }
    }
    writeln!(out, "[stages.transformation]\ncomponent = \"transform-table\"\n")?;
    for StarterField { field, .. } in starter.fields.iter().filter(|it| it.is_dropped) {
        writeln!(out, "[components.transform-table.parameters.columns.{}]", key_text(&field.name))?;
        writeln!(out, "drop = true # no feature is made of it\n")?;
    }
    writeln!(out, "[stages.training]")?;
    writeln!(out, "component = \"train-boosted\" # or train-forest, train-logistic")?;
    writeln!(out, "# Limits are always on; raise one when a run says so:")?;
    writeln!(out, "# limits = {{ memory = \"4 GiB\", cpu = \"2 h\" }}\n")?;
    writeln!(out, "[stages.evaluation]\ncomponent = \"evaluate-classifier\"\n")?;
    writeln!(out, "[stages.promotion]\ncomponent = \"promote-gated\"\n")?;
    writeln!(
        out,
        "# Parameters belong to a component: `[components.train-boosted.parameters]`, then `n_estimators = 300`.\n"
    )
}

fn write_contract(out: &mut String, contract: &[ContractTable]) -> std::fmt::Result {
    if !contract.is_empty() {
        writeln!(
            out,
            "# A contract for the data, made of the rows that were seen. docs/checks.md explains the checks."
        )?;
        writeln!(out, "# What stands under `warn` does not end a run.")?;
    }
    for ContractTable { name, entries } in contract {
        let dot = if name.is_empty() { "" } else { "." };
        writeln!(out, "[components.validate-table.parameters{dot}{name}]")?;
        for ContractEntry { key, value, note } in entries {
            write_note(out, note)?;
            writeln!(out, "{} = {}", key_text(key), inline(value))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Keys of inline tables that come first, in this order.
const FIRST: [&str; 4] = ["min", "max", "edges", "values"];

/// Returns a value as TOML writes it on one line.
fn inline(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => string_text(text),
        serde_json::Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        serde_json::Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
            let entries: Vec<String> =
                entries.into_iter().map(|(key, value)| format!("{} = {}", key_text(key), inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn write_gates(out: &mut String, starter: &Starter<'_>) -> std::fmt::Result {
    let kind = &starter.task.kind;
    let primary = GatesSection::defaults(Some(kind)).primary;
    writeln!(out, "[gates]")?;
    writeln!(out, "primary = {} # in this metric a candidate must beat the champion", string_text(&primary))?;
    writeln!(out, "margin = 0.0 # by more than this")?;
    if *kind != TaskKind::Regression {
        writeln!(out, "# minimum = {{ accuracy = 0.75 }} # what a candidate must reach in any case")?;
    }
    Ok(())
}
