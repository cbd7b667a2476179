//! `data add`: records a version of a table or of a folder of files.

use std::path::Path;

use anyhow::Context as _;
use stagewright_data::{
    Decode, DecodeLimits, Inference, InferenceOptions, Interrupt, Signature, Source, SourceUri, Strictness, shown,
};
use stagewright_data_versions::add::{self, Added, NewData};
use stagewright_data_versions::export::VERSION_COLUMN;
use stagewright_data_versions::files;
use stagewright_data_versions::pointer::Pointer;
use stagewright_lifecycle::settings;
use stagewright_manifest::{Manifest, Overrides, World};
use stagewright_store::{DataKind, DataType, Field, Home, Table, check_data_name, write_whole};

use super::size::size;
use crate::arguments::DataAddArguments;
use crate::error_code::ErrorCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::usage_error::UsageError;

/// Rows that are taken from the decoder at once.
const ROWS: usize = 8192;

pub(super) fn add(location: &HomeLocation, arguments: &DataAddArguments) -> anyhow::Result<()> {
    check_data_name(&arguments.name).map_err(stagewright_store::StoreError::from)?;
    let folder = arguments.source.strip_prefix("files:").unwrap_or(&arguments.source);
    let added = match Path::new(folder).is_dir() {
        true => add_files(location, arguments, Path::new(folder))?,
        false => add_table(location, arguments)?,
    };
    if let Some(path) = &arguments.pointer {
        let pointer = Pointer::of(&added.record).to_bytes()?;
        write_whole(path, &pointer).with_context(|| format!("cannot write {}", path.display()))?;
    }
    show(&added, arguments)
}

fn add_files(location: &HomeLocation, arguments: &DataAddArguments, folder: &Path) -> anyhow::Result<Added> {
    if arguments.key.is_some() || arguments.signature.is_some() {
        return Err(UsageError::error(
            ErrorCode::Argument,
            "files have neither a key nor a signature".to_owned(),
            "leave --key and --signature out, or name a source of rows such as `parquet:FILE`",
        ));
    }
    let home = location.open()?;
    let latest = home.registry.data_versions_of(&arguments.name)?.pop();
    let before = latest.map(|latest| latest.artifacts).unwrap_or_default();
    let packed = files::pack(&home, folder, &before)?;
    Ok(add::files(&home, &packed, &new_data(arguments, format!("files:{}", folder.display())))?)
}

fn add_table(location: &HomeLocation, arguments: &DataAddArguments) -> anyhow::Result<Added> {
    let uri: SourceUri = arguments.source.parse()?;
    let operator = installation::operator()?;
    let decoder = stagewright_runtime::decoder(installation::stage_program(&operator)?.as_ref());
    let memory = World::Ingestion.default_limits().memory;
    let limits = DecodeLimits { memory, ..DecodeLimits::until(Interrupt::never()) };
    let source = Source::new(uri.clone());
    let declared = arguments.signature.as_deref().map(declared).transpose()?;
    let signature = match declared {
        Some(declared) => declared,
        None => inferred(&source, &*decoder, &limits)?,
    };
    let home = location.open()?;
    let signature = match arguments.signature {
        Some(_) => signature,
        None => as_before(signature, &home, &arguments.name)?,
    };
    let table = read(&home, &source, &signature, &*decoder, &limits)?;
    Ok(add::table(&home, &table, &new_data(arguments, uri.to_string()))?)
}

fn new_data(arguments: &DataAddArguments, source: String) -> NewData {
    // `--key ""` names no column.
    let key = arguments.key.as_ref().map(|key| key.iter().filter(|name| !name.is_empty()).cloned().collect());
    NewData { name: arguments.name.clone(), key, source, version: arguments.version }
}

/// Returns the signature of a manifest.
fn declared(file: &Path) -> anyhow::Result<Signature> {
    let manifest = Manifest::load(file, &Overrides::default())?;
    settings::signature(&manifest)?.ok_or_else(|| {
        UsageError::error(
            ErrorCode::Argument,
            format!("{} declares no signature", file.display()),
            "leave --signature out, so that types are inferred",
        )
    })
}

/// Infers types from all rows. The column of an exported version with its number is left out, so
/// that an export can be added.
fn inferred(source: &Source, decoder: &dyn Decode, limits: &DecodeLimits) -> anyhow::Result<Signature> {
    let Inference { signature, left_out, .. } = decoder.infer(source, &InferenceOptions::default(), true, limits)?;
    for column in left_out {
        eprintln!("note: column `{}` is left out: it {}", shown(&column.name), column.reason);
    }
    if signature.fields.field(VERSION_COLUMN).is_none() {
        return Ok(signature);
    }
    let fields: Vec<Field> =
        signature.fields.fields().iter().filter(|field| field.name != VERSION_COLUMN).cloned().collect();
    let extra_columns = stagewright_data::ExtraColumns::Ignore;
    Ok(Signature::new(fields)?.with_null_values(signature.null_values).with_extra_columns(extra_columns))
}

/// Gives columns the types of the latest version where their values fit, so that a column whose
/// numbers happen to be whole this time is not another one.
fn as_before(signature: Signature, home: &Home, name: &str) -> anyhow::Result<Signature> {
    let latest = home.registry.data_versions_of(name)?.pop().filter(|latest| latest.kind == DataKind::Table);
    // The table may be on another machine that shares the registry: the addition tells that.
    let before = latest.and_then(|latest| home.artifacts.open_table(&latest.digest).ok());
    let Some(before) = before else { return Ok(signature) };
    let field = |field: &Field| {
        use DataType::{Categorical, Float64, Int64, Utf8};
        let known = before.schema().field(&field.name).map(|known| known.data_type);
        match (known, field.data_type) {
            (Some(known @ Float64), Int64) | (Some(known @ Categorical), Utf8) | (Some(known @ Utf8), Categorical) => {
                Field { data_type: known, ..field.clone() }
            }
            _ => field.clone(),
        }
    };
    let fields = signature.fields.fields().iter().map(field).collect();
    let with_types = Signature::new(fields)?;
    Ok(Signature { fields: with_types.fields, ..signature })
}

/// Reads a source into a table, and publishes it.
fn read(
    home: &Home,
    source: &Source,
    signature: &Signature,
    decoder: &dyn Decode,
    limits: &DecodeLimits,
) -> anyhow::Result<Table> {
    let mut rows = decoder.open(source, signature, Strictness::Ingest, limits)?;
    let staging = home.artifacts.stage();
    let mut writer = staging.create_table(rows.schema())?;
    while let Some(batch) = rows.next(ROWS)? {
        writer.write(&batch)?;
    }
    let digest = writer.finish()?.digest();
    staging.publish()?;
    Ok(home.artifacts.open_table(&digest)?)
}

fn show(added: &Added, arguments: &DataAddArguments) -> anyhow::Result<()> {
    let Added { record, is_new } = added;
    if arguments.json.json {
        let mut shown = serde_json::to_value(record)?;
        shown["is_new"] = (*is_new).into();
        return print_json(&shown);
    }
    if *is_new {
        println!("added {}: {}, {}", record.reference(), size(record), record.digest);
        record.reasons.iter().for_each(|reason| println!("  {reason}"));
    } else {
        println!("{} is the same data; nothing was added", record.reference());
    }
    if let Some(path) = &arguments.pointer {
        println!("wrote {}", path.display());
    }
    Ok(())
}
