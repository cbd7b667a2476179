//! Artifacts of clients: the proxy that streams them, and lists of them.
//!
//! A path of the proxy is the same as the path of the file in the registry. Each handler checks it
//! first.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Response};
use serde::Serialize;
use stagewright_store::{FileEntry, proxied_path};
use stagewright_text::Untrusted;

use super::run_files::{self, Opened};
use super::runs::found;
use super::sources;
use crate::app::App;
use crate::artifact_path::checked;
use crate::media_type::{attachment, media_type};
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::request::Fields;
use crate::stream;
use crate::wire::{Empty, FileInfo};

/// The most files and folders of a list.
const MOST: usize = 100_000;
/// How many are read at once.
const PAGE: usize = 5_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/mlflow/artifacts/list", list_of_run),
        Route::get("/mlflow-artifacts/artifacts", list),
        Route::get("/mlflow/logged-models/{model_id}/artifacts/directories", list_of_logged_model),
    ]
}

#[derive(Serialize)]
struct Files {
    #[serde(skip_serializing_if = "Option::is_none")]
    root_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileInfo>,
}

/// Returns what is directly in a folder.
fn entries(app: &App, folder: &str) -> Result<Vec<FileEntry>, MlflowError> {
    let mut found: Vec<FileEntry> = Vec::new();
    loop {
        let after = found.last().map(FileEntry::place);
        let page = app.registry.client_files(folder, after.as_deref(), PAGE)?;
        let is_last = page.len() < PAGE;
        found.extend(page);
        if is_last {
            // A client may add files to the run of a pipeline. Of one name, what a stage made is
            // the one that is there.
            let mut all = run_files::entries(app, folder)?;
            all.append(&mut found);
            all.sort_by(|one, other| one.name.cmp(&other.name));
            all.dedup_by(|later, first| later.name == first.name);
            return Ok(all);
        }
        if found.len() >= MOST {
            return Err(MlflowError::invalid(format!("More than {MOST} files are in one folder; list its subfolders")));
        }
    }
}

fn list(app: &App, fields: &Fields) -> Result<Reply, MlflowError> {
    let folder = checked(fields.text("path")?.unwrap_or_default())?;
    let files = entries(app, folder)?.iter().map(|entry| FileInfo::beneath("", entry)).collect();
    reply(&Files { root_uri: None, files })
}

fn list_of_run(app: &App, fields: &Fields) -> Result<Reply, MlflowError> {
    let run = found(app, fields)?;
    list_below(app, &run.artifact_uri, checked(fields.text("path")?.unwrap_or_default())?)
}

fn list_of_logged_model(app: &App, fields: &Fields) -> Result<Reply, MlflowError> {
    let model = app.registry.logged_model(fields.required("model_id")?)?;
    list_below(app, &model.artifact_uri, checked(fields.text("artifact_directory_path")?.unwrap_or_default())?)
}

fn list_below(app: &App, root_uri: &str, path: &str) -> Result<Reply, MlflowError> {
    let folder = below(root_uri, path)?;
    let files = entries(app, &folder)?.iter().map(|entry| FileInfo::beneath(path, entry)).collect();
    reply(&Files { root_uri: Some(root_uri.to_owned()), files })
}

/// Returns the path in the registry of what is below a root.
///
/// # Errors
/// The root is elsewhere. The server follows no location that a client chose.
fn below(root_uri: &str, path: &str) -> Result<String, MlflowError> {
    let Some(root) = proxied_path(root_uri) else {
        let shown = Untrusted::new(root_uri).cut(200);
        return Err(MlflowError::invalid(format!("The artifacts are at '{shown}', which this server does not read")));
    };
    Ok(match (root.as_str(), path) {
        ("", path) => path.to_owned(),
        (_, "") => root,
        (root, path) => format!("{root}/{path}"),
    })
}

/// Sends a file.
pub(crate) async fn download(State(app): State<Arc<App>>, Path(path): Path<String>) -> Response<Body> {
    match checked(&path).map(ToOwned::to_owned) {
        Ok(path) => send(app, move |_| Ok(path)).await,
        Err(error) => error.into_response(),
    }
}

/// Sends a file of a run, to pages.
pub(crate) async fn download_of_run(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let fields = Fields::of_query(request.uri().query().unwrap_or_default());
    send(app, move |app| {
        let path = checked(fields.required("path")?)?;
        below(&found(app, &fields)?.artifact_uri, path)
    })
    .await
}

/// Sends a file of a logged model, to pages.
pub(crate) async fn download_of_logged_model(
    State(app): State<Arc<App>>,
    Path(model_id): Path<String>,
    request: Request,
) -> Response<Body> {
    let fields = Fields::of_query(request.uri().query().unwrap_or_default());
    send(app, move |app| {
        let path = checked(fields.required("artifact_file_path")?)?;
        below(&app.registry.logged_model(&model_id)?.artifact_uri, path)
    })
    .await
}

/// Sends a file of a model version, to pages.
pub(crate) async fn download_of_version(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let fields = Fields::of_query(request.uri().query().unwrap_or_default());
    send(app, move |app| {
        let path = checked(fields.required("path")?)?;
        below(&sources::of_version(app, &fields)?, path)
    })
    .await
}

/// Sends the file that `find` names.
async fn send(
    app: Arc<App>,
    find: impl FnOnce(&App) -> Result<String, MlflowError> + Send + 'static,
) -> Response<Body> {
    let on = app.clone();
    let opened = app.pool.run(move || {
        let path = find(&on)?;
        let file = opened(&on, &path)?;
        Ok((path, file))
    });
    let transfer = match app.transfer().await {
        Ok(transfer) => transfer,
        Err(error) => return error.into_response(),
    };
    let (path, file) = match opened.await {
        Ok(opened) => opened,
        Err(error) => return error.into_response(),
    };
    let mut response = Response::new(stream::send(app, transfer, file.bytes, file.reader));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(&path)));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A page that a client uploaded runs nothing, even where a browser shows it.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    if let Ok(attachment) = HeaderValue::from_str(&attachment(&path)) {
        headers.insert(CONTENT_DISPOSITION, attachment);
    }
    response
}

/// Opens the file of a pipeline's run, or else of a client: what a client uploaded never passes for
/// what a stage made.
fn opened(app: &App, path: &str) -> Result<Opened, MlflowError> {
    if let Some(made) = run_files::open(app, path)? {
        return Ok(made);
    }
    let file = app.registry.open_client_file(&app.artifacts, path)?;
    Ok(Opened { bytes: file.size(), reader: Box::new(file) })
}

/// Stores a file.
pub(crate) async fn upload(State(app): State<Arc<App>>, Path(path): Path<String>, request: Request) -> Response<Body> {
    let path = match checked(&path) {
        Ok("") => Err(MlflowError::invalid("Invalid path")),
        Ok(path) => Ok(path.to_owned()),
        Err(error) => Err(error),
    };
    store(&app, path, request.into_body()).await
}

/// Stores a file of a run, for pages.
pub(crate) async fn upload_of_run(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let fields = Fields::of_query(request.uri().query().unwrap_or_default());
    let on = app.clone();
    let path = app.pool.run(move || {
        let path = checked(fields.required("path")?)?;
        below(&found(&on, &fields)?.artifact_uri, path)
    });
    store(&app, path.await, request.into_body()).await
}

/// Stores a body at a path, or tells why there is none.
async fn store(app: &Arc<App>, path: Result<String, MlflowError>, mut body: Body) -> Response<Body> {
    let stored = match path {
        Ok(path) => store_at(app, path, &mut body).await,
        Err(error) => Err(error),
    };
    if stored.is_err() {
        stream::discard(&mut body, app).await;
    }
    done(stored)
}

async fn store_at(app: &Arc<App>, path: String, body: &mut Body) -> Result<(), MlflowError> {
    let on = app.clone();
    let check = move || {
        run_files::check_free(&on, &path)?;
        Ok(path)
    };
    let path = app.pool.run(check).await?;
    stream::receive(app, path, body).await
}

/// Deletes a file, or a folder with all that is in it.
pub(crate) async fn delete(State(app): State<Arc<App>>, Path(path): Path<String>) -> Response<Body> {
    let path = match checked(&path) {
        Ok("") => return MlflowError::invalid("Invalid path").into_response(),
        Ok(path) => path.to_owned(),
        Err(error) => return error.into_response(),
    };
    let registry = app.registry.clone();
    let delete = move || {
        registry.delete_client_files(&path)?;
        Ok(())
    };
    done(app.pool.run(delete).await)
}

fn done(done: Result<(), MlflowError>) -> Response<Body> {
    match done.and_then(|()| reply(&Empty {})) {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    }
}
