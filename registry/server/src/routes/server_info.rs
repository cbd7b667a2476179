//! The facts that clients and probes learn of this server before they sign in.

use serde::Serialize;
use stagewright_mlmodel::MLFLOW_VERSION;
use stagewright_store::{RunId, StoreError};

use crate::access::Needs;
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Place, Reply, Route, reply};
use crate::page::Page;
use crate::request::Fields;

pub(super) fn routes() -> Vec<Route> {
    let info = Route::get("/mlflow/server-info", Needs::Nobody, server_info).at(Place::Interface3);
    vec![
        info,
        Route::page("/health", Needs::Nobody, |_, _| Ok(Page::text("OK"))),
        Route::page("/version", Needs::Nobody, |_, _| Ok(Page::text(MLFLOW_VERSION))),
    ]
}

#[derive(Serialize)]
struct ServerInfo {
    store_type: &'static str,
    workspaces_enabled: bool,
    trace_archival_enabled: bool,
    multipart_uploads_enabled: bool,
    multipart_downloads_enabled: bool,
    presigned_upload_run_id_supported: bool,
    presigned_upload_model_id_supported: bool,
    /// The answer to who names a run and when it began: whether the server has it. A program that
    /// made the run learns by that, without an account, that this is the server of its registry.
    /// Nobody else knows the identifier, which is random.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_run: Option<bool>,
}

fn server_info(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let named = fields.filled("run_id")?.and_then(|id| id.parse::<RunId>().ok()).zip(fields.integer("start_time")?);
    let has_run = |(id, started_ms): (RunId, i64)| match context.registry.run(id.as_str()) {
        Ok(run) => Ok(run.started_ms == started_ms),
        Err(StoreError::NoRun { .. }) => Ok(false),
        Err(error) => Err(error),
    };
    reply(&ServerInfo {
        has_run: named.map(has_run).transpose()?,
        store_type: "SqlStore",
        workspaces_enabled: false,
        trace_archival_enabled: false,
        multipart_uploads_enabled: false,
        multipart_downloads_enabled: false,
        presigned_upload_run_id_supported: false,
        presigned_upload_model_id_supported: false,
    })
}
