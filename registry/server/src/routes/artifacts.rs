//! Artifacts of clients: the proxy that streams them, and lists of them.
//!
//! A path of the proxy is the same as the path of the file in the registry. Each handler checks it
//! first.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, Response};
use serde::Serialize;
use stagewright_store::{FileEntry, Permission, proxied_path};
use stagewright_text::Untrusted;

use super::opened::Opened;
use super::runs::found;
use super::{run_files, sources, version_files};
use crate::access::{self, Needs, Of};
use crate::artifact_path::checked;
use crate::context::Context;
use crate::media_type::{attachment, media_type};
use crate::mlflow_error::MlflowError;
use crate::operation::{Answering, Place, Reply, Route, reply};
use crate::request::Fields;
use crate::stream;
use crate::wire::{Empty, FileInfo};

/// The most files and folders of a list.
const MOST: usize = 100_000;
/// How many are read at once.
const PAGE: usize = 5_000;

/// The path of a file at the proxy.
const PROXY: &str = "/mlflow-artifacts/artifacts/{*path}";
const FILES_OF_LOGGED_MODEL: &str = "/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files";

pub(super) fn routes() -> Vec<Route> {
    let root = |method, path, needs, streaming| Route::streaming(method, path, needs, streaming).at(Place::Root);
    vec![
        Route::get("/mlflow/artifacts/list", Needs::read(Of::Run), list_of_run),
        Route::get("/mlflow-artifacts/artifacts", Needs::read(Of::File("path")), list),
        Route::get(
            "/mlflow/logged-models/{model_id}/artifacts/directories",
            Needs::read(Of::LoggedModel("model_id")),
            list_of_logged_model,
        ),
        Route::streaming(Method::GET, PROXY, Needs::read(Of::File("path")), download),
        Route::streaming(Method::PUT, PROXY, Needs::edit(Of::File("path")), upload),
        Route::streaming(Method::DELETE, PROXY, Needs::manage(Of::File("path")), delete),
        // Of pages alone.
        root(Method::GET, "/get-artifact", Needs::read(Of::Run), download_of_run),
        root(Method::GET, "/model-versions/get-artifact", Needs::read(Of::Model("name")), download_of_version),
        root(Method::POST, "/ajax-api/2.0/mlflow/upload-artifact", Needs::edit(Of::Run), upload_of_run),
        root(Method::GET, FILES_OF_LOGGED_MODEL, Needs::read(Of::LoggedModel("model_id")), download_of_logged_model),
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
fn entries(app: &Context, folder: &str) -> Result<Vec<FileEntry>, MlflowError> {
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
            all.extend(version_files::entries(app, folder)?);
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

fn list(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let folder = checked(fields.text("path")?.unwrap_or_default())?;
    let files = entries(app, folder)?.iter().map(|entry| FileInfo::beneath("", entry)).collect();
    reply(&Files { root_uri: None, files })
}

fn list_of_run(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let run = found(app, fields)?;
    list_below(app, &run.artifact_uri, checked(fields.text("path")?.unwrap_or_default())?)
}

fn list_of_logged_model(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let model = app.registry.logged_model(fields.required("model_id")?)?;
    list_below(app, &model.artifact_uri, checked(fields.text("artifact_directory_path")?.unwrap_or_default())?)
}

fn list_below(app: &Context, root_uri: &str, path: &str) -> Result<Reply, MlflowError> {
    let folder = below(root_uri, path)?;
    access::check_file(app, Permission::Read, &folder)?;
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
fn download(context: Context, fields: Fields, _: Request) -> Answering {
    Box::pin(send(context, move |_| Ok(checked(fields.required("path")?)?.to_owned())))
}

/// Sends a file of a run, to pages.
fn download_of_run(context: Context, fields: Fields, _: Request) -> Answering {
    Box::pin(send(context, move |context| {
        let path = checked(fields.required("path")?)?;
        below(&found(context, &fields)?.artifact_uri, path)
    }))
}

/// Sends a file of a logged model, to pages.
fn download_of_logged_model(context: Context, fields: Fields, _: Request) -> Answering {
    Box::pin(send(context, move |context| {
        let path = checked(fields.required("artifact_file_path")?)?;
        below(&context.registry.logged_model(fields.required("model_id")?)?.artifact_uri, path)
    }))
}

/// Sends a file of a model version, to pages.
fn download_of_version(context: Context, fields: Fields, _: Request) -> Answering {
    Box::pin(send(context, move |context| {
        let path = checked(fields.required("path")?)?;
        below(&sources::of_version(context, &fields)?, path)
    }))
}

/// Sends the file that `find` names.
async fn send(
    context: Context,
    find: impl FnOnce(&Context) -> Result<String, MlflowError> + Send + 'static,
) -> Response<Body> {
    let app = context.app().clone();
    let opened = app.pool.run(move || {
        let path = find(&context)?;
        access::check_file(&context, Permission::Read, &path)?;
        let file = opened(&context, &path)?;
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

/// Opens the file of a pipeline's run or version, or else of a client: what a client uploaded never
/// passes for what a stage made.
fn opened(app: &Context, path: &str) -> Result<Opened, MlflowError> {
    if let Some(made) = run_files::open(app, path)? {
        return Ok(made);
    }
    if let Some(of_version) = version_files::open(app, path)? {
        return Ok(of_version);
    }
    let file = app.registry.open_client_file(&app.artifacts, path)?;
    Ok(Opened { bytes: file.size(), reader: Box::new(file) })
}

/// Stores a file.
fn upload(context: Context, fields: Fields, request: Request) -> Answering {
    let path = move |_: &Context| match checked(fields.required("path")?)? {
        "" => Err(MlflowError::invalid("Invalid path")),
        path => Ok(path.to_owned()),
    };
    Box::pin(store(context, path, request.into_body()))
}

/// Stores a file of a run, for pages.
fn upload_of_run(context: Context, fields: Fields, request: Request) -> Answering {
    let path = move |context: &Context| {
        let path = checked(fields.required("path")?)?;
        below(&found(context, &fields)?.artifact_uri, path)
    };
    Box::pin(store(context, path, request.into_body()))
}

/// Stores a body at the path that `find` names, or tells why there is none.
async fn store(
    context: Context,
    find: impl FnOnce(&Context) -> Result<String, MlflowError> + Send + 'static,
    mut body: Body,
) -> Response<Body> {
    let app = context.app().clone();
    let path = app.pool.run(move || {
        let path = find(&context)?;
        access::check_file(&context, Permission::Edit, &path)?;
        run_files::check_free(&context, &path)?;
        Ok(path)
    });
    let stored = match path.await {
        Ok(path) => stream::receive(&app, path, &mut body).await,
        Err(error) => Err(error),
    };
    done(stored)
}

/// Deletes a file, or a folder with all that is in it.
fn delete(context: Context, fields: Fields, _: Request) -> Answering {
    let app = context.app().clone();
    let delete = move || {
        let path = match checked(fields.required("path")?)? {
            "" => return Err(MlflowError::invalid("Invalid path")),
            path => path,
        };
        context.registry.delete_client_files(path)?;
        Ok(())
    };
    Box::pin(async move { done(app.pool.run(delete).await) })
}

fn done(done: Result<(), MlflowError>) -> Response<Body> {
    match done.and_then(|()| reply(&Empty {})) {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    }
}
