//! Ingestion: data from outside becomes a table, under the manifest's signature.

use std::sync::Arc;

use arrow::array::RecordBatch;
use stagewright_data::{Cursor, DataError, Interrupt, Signature, Source, Strictness};
use stagewright_manifest::World;
use stagewright_store::Schema;

use crate::fault::StageFault;
use crate::run::RunError;
use crate::sandbox::{SourceCursor, Sources};
use crate::stage::Stage;

/// Ingests, and records the signature that was used.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let source = stage.run.source();
    let interrupt = stage.interrupt();
    let signature = stage.run.signature(source.as_ref().map(|(_, source)| source), &interrupt)?;
    let name = source.as_ref().map(|(name, _)| name.clone());
    let component = stage.component.name.clone();
    let granted = Granted { component, source, signature: signature.clone(), interrupt };
    let context = stage.context(signature.as_ref().map(|signature| &signature.fields));
    let table = stage.run.sandbox.ingest(context, name.as_deref(), Arc::new(granted))?;
    if table.rows() == 0 {
        let message = "the table is empty: it has columns, but no rows".into();
        return Err(StageFault::Data {
            stage: World::Ingestion.as_str(),
            message,
            column: None,
            row: None,
            value: None,
        }
        .into());
    }
    let signature = match signature {
        Some(signature) => signature,
        // A stage that makes its data up, and a manifest that names no columns: the table says what they are.
        None => stage.run.signature_of(table.schema())?,
    };
    stage.put_json("signature", &signature)?;
    stage.put_table("table", &table);
    Ok(())
}

/// The one source that ingestion may open.
struct Granted {
    component: String,
    source: Option<(String, Source)>,
    signature: Option<Signature>,
    interrupt: Interrupt,
}

impl Sources for Granted {
    fn open(&self, name: &str) -> Result<Box<dyn SourceCursor>, StageFault> {
        match (&self.source, &self.signature) {
            (Some((granted, source)), Some(signature)) if granted == name => {
                let cursor = stagewright_data::open(source, signature, Strictness::Ingest, &self.interrupt)
                    .map_err(|error| fault(&error))?;
                Ok(Box::new(Opened(cursor)))
            }
            _ => Err(StageFault::Denied {
                stage: World::Ingestion.as_str(),
                component: self.component.clone(),
                what: format!("the source `{}`", crate::fault::guest_text(name)),
                grant: "to grant it, write `source = \"...\"` under [stages.ingestion]".into(),
            }),
        }
    }
}

struct Opened(Cursor);

impl SourceCursor for Opened {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }

    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, StageFault> {
        self.0.next(rows).map_err(|error| fault(&error))
    }
}

/// What went wrong with the data, in a stage's words.
pub(crate) fn fault(error: &DataError) -> StageFault {
    let stage = World::Ingestion.as_str();
    match error.as_fault() {
        Some(fault) => {
            let message = match fault.line {
                Some(line) => format!("line {line}: {}", fault.message),
                None => fault.message.clone(),
            };
            StageFault::Data {
                stage,
                message,
                column: fault.column.clone(),
                row: fault.row,
                value: fault.value.clone(),
            }
        }
        None => StageFault::Data { stage, message: error.to_string(), column: None, row: None, value: None },
    }
}
