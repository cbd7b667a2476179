//! Ingestion: data from outside becomes a table with the manifest's signature.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_data::{Decode, DecodeLimits, InferenceOptions, Signature, Source, SourceRows, Strictness};
use stagewright_manifest::World;
use stagewright_store::{Role, Schema};
use tracing::Span;

use crate::artifact::{OBJECTS, RESPONSE, SIGNATURE, TABLE};
use crate::execution::{Execution, roles};
use crate::fault::StageFault;
use crate::invocation::{IngestionWork, SOURCE_OBJECTS, SourceFormat};
use crate::run_error::RunError;
use crate::sandbox::{SourceCursor, Sources};
use crate::spans;
use crate::stages::requirements;

/// Ingests the table, and records the signature that was used.
pub(crate) fn run(work: &IngestionWork, execution: &mut Execution) -> Result<(), RunError> {
    let mut response = None;
    let source = work.source.as_ref().map(|declared| {
        let source = execution.source().map(|(path, blob)| {
            response = blob;
            declared.reading.at(path)
        });
        (declared.name.clone(), source)
    });
    let limits = execution.decode_limits();
    let decoder = execution.session.decoder.clone();
    let signature = signature(work, source.as_ref().map(|(_, source)| source), &*decoder, &limits)?;
    let mut roles: HashMap<String, Role> = signature.iter().flat_map(|signature| roles(&signature.fields)).collect();
    // A component that generates its rows may do without a signature. The name of the target is
    // known all the same.
    if let Some(target) = &work.target {
        roles.entry(target.clone()).or_insert(Role::Target);
    }
    let context = execution.context(roles)?;
    let name = work.source.as_ref().map(|source| source.name.as_str());
    let component = execution.component.name.clone();
    let granted = Granted { component, source, signature: signature.clone(), decoder, limits };
    let table = execution.session.sandbox.ingest(context, name, Arc::new(granted))?;
    match &work.source {
        Some(source) if execution.source_has_changed() => match source.reading {
            // A database reads from a snapshot, whatever is written meanwhile.
            SourceFormat::Table { .. } | SourceFormat::Query { .. } => execution.forget_source(),
            SourceFormat::Csv { .. }
            | SourceFormat::Jsonl { .. }
            | SourceFormat::Parquet
            | SourceFormat::Arrow
            | SourceFormat::PostgresRows { .. }
            | SourceFormat::Pack { .. } => {
                let message = format!("somebody wrote to the source `{}` while it was read", source.name);
                return Err(data(message));
            }
        },
        _ => {}
    }
    if table.rows() == 0 {
        return Err(data("the table is empty: it has columns, but no rows".to_owned()));
    }
    let signature = match signature {
        Some(signature) => signature,
        // Without a source and a declared signature, the table shows its columns.
        None => signature_of(table.schema(), work.target.as_deref())?,
    };
    if let Some(requirements) = &work.requirements {
        requirements::check(requirements, &table, &signature, execution)?;
    }
    execution.put_json(&SIGNATURE, &signature)?;
    execution.put_table(&TABLE, &table);
    if let Some(response) = &response {
        execution.put_blob(&RESPONSE, response);
    }
    if execution.is_declared(SOURCE_OBJECTS) {
        let objects = execution.blob(SOURCE_OBJECTS)?;
        execution.put_blob(&OBJECTS, &objects);
    }
    Ok(())
}

fn data(message: String) -> RunError {
    StageFault::Data { stage: World::Ingestion.into(), message, column: None, row: None, value: None }.into()
}

/// Returns the declared signature, or the one inferred from the source; `None` if there is neither.
fn signature(
    work: &IngestionWork,
    source: Option<&Result<Source, StageFault>>,
    decoder: &dyn Decode,
    limits: &DecodeLimits,
) -> Result<Option<Signature>, StageFault> {
    let (None, Some(source)) = (&work.signature, source) else { return Ok(work.signature.clone()) };
    let source = source.as_ref().map_err(Clone::clone)?;
    let (null_values, target) = (work.null_values.clone(), work.target.clone());
    let options = InferenceOptions { null_values, sample_rows: None, target, find_dialect: false };
    let inferred = spans::part("infer").in_scope(|| decoder.infer(source, &options, false, limits));
    let inferred = inferred.map_err(|error| StageFault::of_data(&error))?;
    Ok(Some(inferred.signature))
}

/// Returns the signature of a table that a component made, where none is declared.
pub(crate) fn signature_of(schema: &Schema, target: Option<&str>) -> Result<Signature, StageFault> {
    let fields = schema
        .fields()
        .iter()
        .cloned()
        .map(|field| if Some(field.name.as_str()) == target { field.with_role(Role::Target) } else { field });
    Signature::new(fields.collect()).map_err(|error| StageFault::of_data(&error))
}

/// The one source that ingestion may open.
struct Granted {
    component: String,
    /// The name of the source, and the source or the reason why it cannot be read.
    source: Option<(String, Result<Source, StageFault>)>,
    signature: Option<Signature>,
    decoder: Arc<dyn Decode>,
    limits: DecodeLimits,
}

impl Sources for Granted {
    fn open(&self, name: &str) -> Result<Box<dyn SourceCursor>, StageFault> {
        match (&self.source, &self.signature) {
            (Some((granted, source)), Some(signature)) if granted == name => {
                let source = source.as_ref().map_err(Clone::clone)?;
                let span = spans::part("decode");
                let cursor = span.in_scope(|| self.decoder.open(source, signature, Strictness::Ingest, &self.limits));
                Ok(Box::new(Opened { rows: cursor.map_err(|error| StageFault::of_data(&error))?, _span: span }))
            }
            _ => Err(StageFault::Denied {
                stage: World::Ingestion.into(),
                component: self.component.clone(),
                what: format!("the source `{}`", crate::fault::guest_name(name)),
                grant: "to grant it, write `source = \"...\"` under [stages.ingestion]".into(),
            }),
        }
    }
}

struct Opened {
    rows: Box<dyn SourceRows>,
    /// Ends when the rows are dropped.
    _span: Span,
}

impl SourceCursor for Opened {
    fn schema(&self) -> &Schema {
        self.rows.schema()
    }

    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, StageFault> {
        self.rows.next(rows).map_err(|error| StageFault::of_data(&error))
    }
}
