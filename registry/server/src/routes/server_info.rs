//! The facts that clients and probes learn of this server before they sign in.

use serde::Serialize;

use crate::access::Needs;
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::mlflow_version::MLFLOW_VERSION;
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
}

fn server_info(_: &Context, _: &Fields) -> Result<Reply, MlflowError> {
    reply(&ServerInfo {
        store_type: "SqlStore",
        workspaces_enabled: false,
        trace_archival_enabled: false,
        multipart_uploads_enabled: false,
        multipart_downloads_enabled: false,
        presigned_upload_run_id_supported: false,
        presigned_upload_model_id_supported: false,
    })
}
