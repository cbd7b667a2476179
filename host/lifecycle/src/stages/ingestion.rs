//! Ingestion: data from outside becomes a table, under the manifest's signature.
//!
//! What comes from a server is fetched once, by the host, and kept as an artifact: the signature is inferred from the same bytes that are then read,
//! and a run can be repeated without the server.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_data::{Cursor, DataError, HttpRequest, Interrupt, Signature, Source, Strictness};
use stagewright_manifest::{SourceLocation, SourceSection, World};
use stagewright_promotion::unfit_setting;
use stagewright_store::{Blob, BlobWriter, Schema};

use crate::artifact::{RESPONSE, SIGNATURE, TABLE};
use crate::fault::{LimitKind, StageFault};
use crate::run::RunError;
use crate::sandbox::{SourceCursor, Sources};
use crate::settings;
use crate::stage::Stage;

/// Ingests, and records the signature that was used.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let manifest = stage.run.manifest.clone();
    let interrupt = stage.interrupt();
    let response = match manifest.ingestion_source() {
        Some((name, section)) => fetch(stage, name.as_str(), section, &interrupt)?,
        None => None,
    };
    let source = manifest.ingestion_source().and_then(|(name, section)| {
        Some((name.to_string(), settings::source(section, response.as_ref().map(Blob::path))?))
    });
    let signature = stage.run.signature(source.as_ref().map(|(_, source)| source), &interrupt)?;
    let name = source.as_ref().map(|(name, _)| name.clone());
    let component = stage.component.name.clone();
    let granted = Granted { component, source, signature: signature.clone(), interrupt };
    let context = stage.context(signature.as_ref().map(|signature| &signature.fields));
    let table = stage.run.sandbox.ingest(context, name.as_deref(), Arc::new(granted))?;
    if table.rows() == 0 {
        let message = "the table is empty: it has columns, but no rows".into();
        return Err(
            StageFault::Data { stage: World::Ingestion.into(), message, column: None, row: None, value: None }.into()
        );
    }
    let signature = match signature {
        Some(signature) => signature,
        // A stage that makes its data up, and a manifest that names no columns: the table says what they are.
        None => stage.run.signature_of(table.schema())?,
    };
    stage.put_json(&SIGNATURE, &signature)?;
    stage.put_table(&TABLE, &table);
    if let Some(response) = &response {
        stage.put_blob(&RESPONSE, response);
    }
    Ok(())
}

/// Fetches the source if it is on a server; takes it from the store if its digest is given and there.
fn fetch(
    stage: &Stage<'_>,
    name: &str,
    section: &SourceSection,
    interrupt: &Interrupt,
) -> Result<Option<Blob>, RunError> {
    let SourceLocation::Http { url, sha256, token_env, max_bytes, .. } = &section.location else { return Ok(None) };
    let expected = sha256.as_ref().map(|digits| format!("sha256:{digits}"));
    if let Some(kept) = expected.as_ref().and_then(|digest| stage.kept_blob(digest)) {
        return Ok(Some(kept));
    }
    let parameter = |parameter: &str, message: String| StageFault::Parameter {
        stage: World::Ingestion.into(),
        parameter: format!("sources.{name}.{parameter}"),
        message,
        key: Some(format!("sources.{name}.{parameter}")),
    };
    let token = |variable: &String| {
        let token = stage.run.request.tokens.get(variable).cloned();
        let token = token
            .ok_or_else(|| parameter("token-env", format!("the variable `{variable}` is not set, or is not UTF-8")))?;
        match unfit_setting(&token) {
            Some(problem) => Err(parameter("token-env", format!("the variable `{variable}` {problem}"))),
            None => Ok(token),
        }
    };
    let request = HttpRequest {
        url: url.clone(),
        grants: settings::host_grants(&stage.run.manifest.stage(World::Ingestion).http),
        bearer_token: token_env.as_ref().map(token).transpose()?,
        max_bytes: *max_bytes,
        deadline: stage.deadline(),
    };
    let mut writer = stage.create_blob()?;
    stagewright_data::fetch(&request, interrupt, &mut Kept(&mut writer)).map_err(|error| match error {
        DataError::TooLarge { used, allowed } => {
            StageFault::Limit { stage: World::Ingestion.into(), kind: LimitKind::Response, used, allowed }
        }
        DataError::Denied { what, grant } => StageFault::Denied {
            stage: World::Ingestion.into(),
            component: stage.component.name.clone(),
            what,
            grant: format!("to grant it, write `http = [\"{grant}\"]` under [stages.ingestion]"),
        },
        DataError::Interrupted => stage.interrupted(),
        error => fault(&error),
    })?;
    let response = writer.finish()?;
    match expected {
        Some(expected) if expected != response.digest().to_string() => {
            let url = stagewright_manifest::without_query(url);
            let message = format!("`{url}` gives {}, not {expected}: the file has changed", response.digest());
            Err(parameter("sha256", message).into())
        }
        _ => Ok(Some(response)),
    }
}

/// A blob as a writer.
struct Kept<'a>(&'a mut BlobWriter);

impl std::io::Write for Kept<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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
                stage: World::Ingestion.into(),
                component: self.component.clone(),
                what: format!("the source `{}`", crate::fault::guest_name(name)),
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
    let stage = World::Ingestion.into();
    if matches!(error, DataError::Interrupted) {
        // The stage that reads knows whether it was the deadline.
        return StageFault::Cancelled { stage };
    }
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
