//! The operation by which clients learn what this server offers beyond the least.

use axum::http::Method;
use serde::Serialize;

use crate::app::App;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::request::Fields;

/// The operation; it is mounted below `/api/3.0`.
pub(crate) const SERVER_INFO: Route = Route::new(Method::GET, "/mlflow/server-info", server_info);

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

fn server_info(_: &App, _: &Fields) -> Result<Reply, MlflowError> {
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
