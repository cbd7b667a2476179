//! `init`: a manifest for a table that nobody described yet.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use stagewright_data::{Inference, InferenceOptions, Interrupt, Source, SourceUri, infer};
use stagewright_manifest::{Identifier, Starter, TaskKind, TaskSection, write_manifest};
use stagewright_store::{DataType, Field, Role};

use crate::arguments::InitArguments;
use crate::ending::{Ending, UsageError};

/// Values that usually mean "yes", for guessing the positive class.
const POSITIVE: [&str; 8] = ["yes", "true", "1", "y", "churned", "positive", "1.0", "t"];

/// More distinct whole numbers than these are a quantity, not classes.
const MAX_CLASSES: u64 = 20;

/// Looks at the table and writes a manifest.
pub(crate) fn init(arguments: &InitArguments) -> anyhow::Result<Ending> {
    let uri: SourceUri = arguments.source.parse()?;
    let source = Source::new(uri.clone());
    let options = InferenceOptions { target: Some(arguments.target.clone()), ..InferenceOptions::default() };
    let inference = infer(&source, &options, &Interrupt::never())?;
    let task = task(arguments, &inference)?;
    let mut fields: Vec<Field> = inference.signature.fields.fields().to_vec();
    if let Some(identifier) = &arguments.identifier {
        let field = fields.iter_mut().find(|field| &field.name == identifier);
        let field = field.ok_or_else(|| {
            UsageError::error(
                format!("the table has no column `{identifier}`"),
                "name one of its columns with --identifier",
            )
        })?;
        field.role = Role::Identifier;
    }
    let name = pipeline_name(arguments, uri.path())?;
    let written = write_manifest(&Starter {
        pipeline: &name,
        uri: &relative(&arguments.source, &uri, &arguments.output)?,
        delimiter: None,
        task: &task,
        null_values: &inference.signature.null_values,
        fields: &fields,
        split_seed: split_seed()?,
    });
    let output = &arguments.output;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(output)
        .with_context(|| format!("cannot write {}", output.display()))?;
    file.write_all(written.as_bytes()).with_context(|| format!("cannot write {}", output.display()))?;
    println!(
        "wrote {}: {} columns, {} rows seen, target `{}` ({})",
        output.display(),
        fields.len(),
        inference.rows,
        task.target,
        task.kind.as_str()
    );
    for column in inference.columns.iter().filter(|column| column.field.role == Role::Identifier || column.nulls > 0) {
        println!("  `{}`: {}, {} missing", column.field.name, column.reason, column.nulls);
    }
    if !matches!(task.kind, TaskKind::Binary { .. }) {
        println!(
            "note: the built-in trainers and the built-in evaluation learn targets of two classes; this task needs components of your own"
        );
    }
    println!("next: stagewright run {}", output.display());
    Ok(Ending::Done)
}

/// A seed for the split of a new pipeline. 32 bits are short enough to be read and copied.
fn split_seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(u32::from_le_bytes(bytes).into())
}

/// What kind of task a target asks for.
fn task(arguments: &InitArguments, inference: &Inference) -> anyhow::Result<TaskSection> {
    let target = inference.columns.iter().find(|column| column.field.name == arguments.target);
    let target = target.ok_or_else(|| {
        UsageError::error(
            format!("the table has no column `{}`", arguments.target),
            "name one of its columns with --target",
        )
    })?;
    let kind = match (target.field.data_type, target.distinct) {
        (_, 0 | 1) => {
            return Err(UsageError::error(
                format!("`{}` has {} distinct values: nothing can be learnt", arguments.target, target.distinct),
                "name another --target",
            ));
        }
        (_, 2) => TaskKind::Binary { positive: positive(arguments, &target.examples)? },
        (DataType::Float64 | DataType::Timestamp, _) => TaskKind::Regression,
        (DataType::Int64, distinct) if distinct > MAX_CLASSES => TaskKind::Regression,
        _ => TaskKind::MultiClass,
    };
    Ok(TaskSection { kind, target: arguments.target.clone() })
}

fn positive(arguments: &InitArguments, seen: &[String]) -> anyhow::Result<String> {
    match &arguments.positive {
        Some(positive) if seen.contains(positive) => Ok(positive.clone()),
        Some(positive) => Err(UsageError::error(
            format!("the target has no value `{positive}`"),
            format!("it has {}", seen.join(" and ")),
        )),
        None => {
            let usual = seen.iter().find(|value| POSITIVE.contains(&value.to_lowercase().as_str()));
            Ok(usual.or(seen.last()).cloned().unwrap_or_default())
        }
    }
}

fn pipeline_name(arguments: &InitArguments, path: &Path) -> anyhow::Result<Identifier> {
    let name = arguments.name.clone().unwrap_or_else(|| {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
        let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let name = name.trim_matches('-').to_owned();
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            name
        } else {
            format!("table-{name}").trim_end_matches('-').to_owned()
        }
    });
    Identifier::new(&name).map_err(|reason| {
        UsageError::error(format!("`{name}` cannot name a pipeline: {reason}"), "choose one with --name")
    })
}

/// The URI with its path as seen from the manifest's folder; absolute paths stay.
fn relative(text: &str, uri: &SourceUri, output: &Path) -> anyhow::Result<String> {
    let path = uri.path();
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let (Some(folder), false) = (folder, path.is_absolute()) else { return Ok(text.to_owned()) };
    let absolute = std::path::absolute(path)?;
    let folder = std::path::absolute(folder)?;
    let seen: PathBuf = match absolute.strip_prefix(&folder) {
        Ok(below) => below.to_owned(),
        Err(_) => absolute,
    };
    Ok(text.replacen(&path.display().to_string(), &seen.display().to_string(), 1))
}
