//! `init`: writes a manifest for a table.
//!
//! It asks nothing. The manifest runs as it is, or `init` refuses with the reason and the commands
//! to choose from. Columns that it leaves out and guesses that it makes are comments in the
//! manifest and lines on the terminal, with text of the table escaped.

mod choices;
mod contract;
mod evidence;
mod proposal;
mod server;
mod shell;
mod table;
mod target;
mod task;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use stagewright_data::{
    CsvOptions, DecodeLimits, FoundDialect, Inference, InferenceOptions, Interrupt, Source, SourceUri, shown,
    without_password,
};
use stagewright_manifest::{Identifier, TaskKind, World};

use crate::arguments::InitArguments;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::model_source;
use crate::usage_error::UsageError;
use choices::Choices;
use proposal::Proposal;
use server::ServerTable;
use target::Candidate;

/// The longest name of a pipeline, as in [`Identifier`].
const MAX_NAME: usize = 64;
/// The number of lines about columns on the terminal. The file has all of them.
const MAX_LINES: usize = 40;

pub(crate) fn init(location: &HomeLocation, arguments: &InitArguments) -> anyhow::Result<ExitCode> {
    let output = &arguments.output;
    refuse_existing(output)?;
    let operator = installation::operator()?;
    let decoder = stagewright_runtime::decoder(installation::stage_program(&operator)?.as_ref());
    let memory = World::Ingestion.default_limits().memory;
    let leave = DecodeLimits { memory, ..DecodeLimits::until(Interrupt::never()) };
    let table = table::find(arguments.table.as_deref(), arguments.source.as_deref(), &*decoder, &leave)?;
    let server = ServerTable::read(&table.address)?;
    let uri = match &server {
        Some(server) => SourceUri::PostgresRows { path: server.path().to_owned() },
        None => table.address.parse()?,
    };
    let source = Source::new(uri.clone());
    let infer = |target| {
        let options = InferenceOptions { target, find_dialect: true, ..InferenceOptions::default() };
        decoder.infer(&source, &options, true, &leave)
    };
    let proposed = match arguments.target {
        Some(_) => None,
        None => Some(target::propose(&infer(None)?, &table.argument, arguments.identifier.as_deref())?),
    };
    let target = arguments.target.clone().or_else(|| Some(proposed.as_ref()?.name.clone())).unwrap_or_default();
    let inference = infer(Some(target.clone()))?;
    let found = inference.dialect.clone().unwrap_or_default();
    let (uri, address) = in_dialect(uri, &table.address, &found);
    let source = Source::new(uri.clone());
    let choices = Choices { target, positive: arguments.positive.clone(), identifier: arguments.identifier.clone() };
    let mut proposal = Proposal::of(&choices, &inference, split_seed()?)?;
    proposal.notes.splice(0..0, dialect_notes(&found));
    if arguments.strict {
        let evidence = evidence::read(&source, &inference, &proposal.fields, &*decoder, &leave)?;
        let contract = contract::contract(&proposal.fields, &proposal.task.kind, &inference, &evidence);
        proposal.require(contract, &inference);
    }
    let named = server.as_ref().map_or(uri.path(), |server| Path::new(&server.name));
    let name = pipeline_name(arguments, named)?;
    let written = match &server {
        Some(_) => without_password(&table.address),
        None => relative(&address, &uri, output)?,
    };
    proposal.postgres = server.as_ref().map(|server| server.grants.clone()).unwrap_or_default();
    write_new(output, &proposal.manifest(&name, &written))?;
    println!(
        "wrote {}: {} columns, {} rows seen, target `{}` ({})",
        output.display(),
        proposal.fields.len(),
        inference.rows,
        shown(&proposal.task.target),
        proposal.task.kind.as_str()
    );
    if let Some(form) = form(uri.path()) {
        println!("  {} is {form}", shown(&uri.path().display().to_string()));
    }
    if let Some(proposed) = &proposed {
        show_proposed(proposed, &proposal, &inference, &table.argument);
    }
    let lines = proposal.lines(&inference);
    lines.iter().take(MAX_LINES).for_each(|line| println!("  {line}"));
    if lines.len() > MAX_LINES {
        println!("  and {} more lines: they are comments in {}", lines.len() - MAX_LINES, output.display());
    }
    warn_of_namesake(location, &name, uri.path());
    match proposal.task.kind {
        TaskKind::Binary { .. } => println!("next: stagewright run {}", output.display()),
        _ => println!(
            "note: it does not run as it is: the built-in trainers and the built-in evaluation learn targets of two classes. Name components of your own in it"
        ),
    }
    Ok(ExitCode::Done)
}

/// Returns what a file that was read is, if its first bytes say more than its kind.
fn form(path: &Path) -> Option<&'static str> {
    let mut head = [0; 4];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    match head {
        [0xff, 0xfe, ..] => Some("UTF-16 text, the low byte first"),
        [0xfe, 0xff, ..] => Some("UTF-16 text, the high byte first"),
        [0x1f, 0x8b, ..] => Some("compressed with gzip"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("compressed with zstd"),
        _ => None,
    }
}

/// Returns the address with the dialect that was found, and its text.
fn in_dialect(mut uri: SourceUri, address: &str, found: &FoundDialect) -> (SourceUri, String) {
    if found.options == CsvOptions::default() {
        return (uri, address.to_owned());
    }
    if let SourceUri::Csv { options, .. } = &mut uri {
        *options = CsvOptions { compression: options.compression, ..found.options.clone() };
    }
    let address = uri.to_string();
    (uri, address)
}

/// Returns what there is to say about the dialect.
fn dialect_notes(found: &FoundDialect) -> Vec<String> {
    let mut options = SourceUri::Csv { path: "-".into(), options: found.options.clone() }.to_string();
    options.replace_range(..options.len().min("csv:-?".len()), "");
    let told = (!options.is_empty()).then(|| format!("its first rows show this dialect: `{}`", shown(&options)));
    told.into_iter().chain(found.doubts.iter().cloned()).collect()
}

/// Refuses to overwrite a file before the table is read. [`write_new`] refuses it without a race.
fn refuse_existing(output: &Path) -> anyhow::Result<()> {
    if output.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(UsageError::error(
        ErrorCode::FileUnwritable,
        format!("{} exists already, and is not overwritten", output.display()),
        "name another file with --output FILE, or remove that one",
    ))
}

fn write_new(output: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(output)
        .with_context(|| format!("cannot write {}", output.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", output.display()))
}

/// Shows the reasons for the target, the share of the positive class, and the command for another
/// target.
fn show_proposed(target: &Candidate, proposal: &Proposal, inference: &Inference, argument: &str) {
    println!("  `{}` is taken for the target: {}", shown(&target.name), target.because());
    if let TaskKind::Binary { positive } = &proposal.task.kind {
        let classes = inference.target.iter().flat_map(|report| &report.classes);
        let rows: u64 = classes.filter(|(class, _)| class == positive).map(|(_, rows)| *rows).sum();
        println!("  `{}` is the positive class: {}", shown(positive), target::share(rows, inference.rows));
    }
    println!("  to predict another column: stagewright init {} --target COLUMN --output FILE", shell::word(argument));
}

/// Returns a random seed for the split. 32 bits are short enough to read and copy.
fn split_seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
    Ok(u32::from_le_bytes(bytes).into())
}

/// Warns if the registry has a model of the same name that learnt from another source: a run would
/// add a version to it, and could replace its champion.
fn warn_of_namesake(location: &HomeLocation, name: &Identifier, path: &Path) {
    let model = format!("{name}-model");
    let Some(other) = model_source::of_model(location, &model).filter(|other| !other.is_file(path)) else { return };
    let folder = std::path::absolute(path).ok().and_then(|path| Some(path.parent()?.file_name()?.to_owned()));
    let folder = folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
    let own = [word(&format!("{folder}-{name}")), word(&format!("{name}-2"))];
    let free = own
        .iter()
        .find(|own| **own != name.as_str() && model_source::of_model(location, &format!("{own}-model")).is_none());
    println!(
        "note: the registry has a model `{model}` already, which learnt from {other}: what this file makes would be its next version, and could replace it in production"
    );
    if let Some(free) = free {
        println!("hint: give it a name of its own: `--name {free}`, or `--register-name {free}-model` with each run");
    }
}

fn pipeline_name(arguments: &InitArguments, path: &Path) -> anyhow::Result<Identifier> {
    let name = arguments
        .name
        .clone()
        .unwrap_or_else(|| word(&path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()));
    Identifier::new(&name).map_err(|reason| {
        UsageError::error(
            ErrorCode::Argument,
            format!("`{}` cannot name a pipeline: {reason}", shown(&name)),
            "choose one with --name",
        )
    })
}

/// Converts a text to a name of a pipeline.
fn word(text: &str) -> String {
    let name: String =
        text.to_lowercase().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let name = name.trim_matches('-');
    let name = match name.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
        true => name.to_owned(),
        false => format!("table-{name}"),
    };
    name[..name.len().min(MAX_NAME)].trim_end_matches('-').to_owned()
}

/// Returns the URI with its path relative to the manifest's folder; absolute paths stay.
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
    let (before, mut seen) = (path.display().to_string(), seen.display().to_string());
    // The slash says that it is a folder.
    if uri.is_folder() && !seen.ends_with('/') {
        seen.push('/');
    }
    Ok(text.replacen(&before, &seen, 1))
}
