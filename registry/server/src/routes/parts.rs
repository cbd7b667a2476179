//! Files that come in parts, as clients of MLflow send large ones if they are told to
//! (`MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD`), and URLs that are signed for a place of files.
//!
//! A client begins an upload, sends each part to the URL that it got for it, and completes the
//! upload. It sends parts without saying who it is, with what the answer told it to send. So that
//! is a token, of this upload alone. To begin, to complete and to abort need the permission that an
//! upload in one piece needs.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ETAG, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use serde::Serialize;
use stagewright_store::{Assembled, Permission, StoreError, TrackingError, proxied_path};

use super::run_files;
use super::runs::found;
use crate::access::{self, Needs, Of};
use crate::app::App;
use crate::artifact_path::checked;
use crate::context::Context;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::operation::{Answering, Reply, Route, reply};
use crate::request::Fields;
use crate::wire::Empty;
use crate::{json_body, stream};

/// The header that a part is sent with.
const TOKEN: HeaderName = HeaderName::from_static("x-stagewright-upload-token");

/// The most bytes of the body of a request that completes an upload: it names each part by its URL.
const MOST_BODY: usize = 8 << 20;

/// The most bytes of a part: S3's limit.
const MOST_PART: u64 = 5 << 30;

pub(super) fn routes() -> Vec<Route> {
    let folder = || Needs::edit(Of::File("folder"));
    let of_run_or_model = Needs::edit(Of::RunIfNamed("run_id")).and(Permission::Edit, Of::ModelsOfMetrics);
    vec![
        Route::streaming(Method::POST, "/mlflow-artifacts/mpu/create/{*folder}", folder(), create),
        Route::streaming(Method::POST, "/mlflow-artifacts/mpu/complete/{*folder}", folder(), complete),
        Route::streaming(Method::POST, "/mlflow-artifacts/mpu/abort/{*folder}", folder(), abort),
        // The token is checked by the operation: it is more than any permission says.
        Route::streaming(Method::PUT, "/mlflow-artifacts/mpu/parts/{upload_id}/{part_number}", Needs::Nobody, part),
        Route::get("/mlflow-artifacts/presigned/{*path}", Needs::read(Of::File("path")), not_presigned),
        Route::post("/mlflow/artifacts/presigned-download-url", Needs::read(Of::Run), no_url_of_run),
        Route::post("/mlflow/artifacts/presigned-upload-url", of_run_or_model, no_url_of_run),
    ]
}

/// An upload that was begun.
#[derive(Serialize)]
struct Begun {
    upload_id: String,
    credentials: Vec<Credential>,
}

/// Where a part is sent, and with which headers.
#[derive(Serialize)]
struct Credential {
    url: String,
    part_number: i64,
    headers: Token,
}

#[derive(Serialize)]
struct Token {
    #[serde(rename = "X-Stagewright-Upload-Token")]
    token: String,
}

fn create(context: Context, fields: Fields, request: Request) -> Answering {
    let base = base_of(context.app(), request.headers());
    Box::pin(answered(context, fields, request, move |context, fields, body| {
        let path = path_of(context, fields, body)?;
        if context.artifacts.shared_uri().is_some() {
            // Another server would get some of the parts.
            return Err(not_supported("Multipart upload"));
        }
        run_files::check_free(context, &path)?;
        let count = body.integer("num_parts")?.unwrap_or(1);
        let upload = match context.artifacts.begin_parts(context.name(), &path, count) {
            // The client sends the file in one piece.
            Err(StoreError::Tracking(TrackingError::TooManyUploads { .. })) => {
                return Err(not_supported("Multipart upload"));
            }
            begun => begun?,
        };
        let credential = |number: i64| Credential {
            url: format!("{base}/api/2.0/mlflow-artifacts/mpu/parts/{}/{number}", upload.id),
            part_number: number,
            headers: Token { token: upload.token.clone() },
        };
        reply(&Begun { credentials: (1..=count).map(credential).collect(), upload_id: upload.id.clone() })
    }))
}

fn complete(context: Context, fields: Fields, request: Request) -> Answering {
    Box::pin(answered(context, fields, request, |context, fields, body| {
        let path = path_of(context, fields, body)?;
        run_files::check_free(context, &path)?;
        let named = body.objects("parts")?;
        let mut parts = Vec::with_capacity(named.len());
        for one in &named {
            parts.push((one.integer("part_number")?.unwrap_or_default(), one.text("etag")?.unwrap_or_default()));
        }
        let most = context.limits.artifact_bytes;
        let upload_id = body.required("upload_id")?;
        context.pool.at_length(|| {
            match context.artifacts.assemble_parts(upload_id, &path, &parts, most)? {
                Assembled::Before(_) => {}
                Assembled::Now(upload, open) => {
                    let file = upload.finish(&context.registry, &path)?;
                    open.close(file.digest)?;
                }
            }
            Ok(())
        })?;
        reply(&Empty {})
    }))
}

fn abort(context: Context, fields: Fields, request: Request) -> Answering {
    Box::pin(answered(context, fields, request, |context, fields, body| {
        let path = path_of(context, fields, body)?;
        context.artifacts.abort_parts(body.required("upload_id")?, &path)?;
        reply(&Empty {})
    }))
}

/// Answers a request by its JSON body, on a thread that may block.
async fn answered(
    context: Context,
    fields: Fields,
    request: Request,
    work: impl FnOnce(&Context, &Fields, &Fields) -> Result<Reply, MlflowError> + Send + 'static,
) -> Response<Body> {
    let app = context.app().clone();
    let (head, mut body) = request.into_parts();
    let read = json_body::read(&app, &head.headers, &mut body, MOST_BODY).await;
    let done = match read {
        Err(error) => Err(error),
        Ok((bytes, memory)) => {
            let work = move || {
                let _memory = memory;
                work(&context, &fields, &Fields::of_body(&bytes)?)
            };
            app.pool.run(work).await
        }
    };
    match done {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    }
}

/// Returns the path that the file will have: in the folder of the URL, with the last name of the
/// path that it has at the client.
fn path_of(context: &Context, fields: &Fields, body: &Fields) -> Result<String, MlflowError> {
    let local = body.required("path")?;
    let name = local.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.is_empty() {
        return Err(MlflowError::invalid("Invalid path"));
    }
    let folder = checked(fields.required("folder")?)?;
    let path = format!("{folder}/{name}");
    let path = checked(&path)?;
    if path.split('/').next() == Some("stagewright") {
        return Err(StoreError::from(TrackingError::ReservedPath { path: path.to_owned() }).into());
    }
    access::check_file(context, Permission::Edit, path)?;
    Ok(path.to_owned())
}

/// Stores a part.
fn part(context: Context, fields: Fields, request: Request) -> Answering {
    Box::pin(async move {
        let app = context.app().clone();
        let (head, mut body) = request.into_parts();
        let stored = store_part(&app, &fields, &head.headers, &mut body).await;
        match stored {
            Ok(tag) => {
                let mut response = Response::new(Body::empty());
                if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
                    response.headers_mut().insert(ETAG, tag);
                }
                response
            }
            Err(error) => error.into_response(),
        }
    })
}

async fn store_part(
    app: &Arc<App>,
    fields: &Fields,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<String, MlflowError> {
    let _transfer = app.transfer().await?;
    let id = fields.required("upload_id")?.to_owned();
    let number: i64 =
        fields.required("part_number")?.parse().map_err(|_| MlflowError::invalid("Invalid part number"))?;
    let token = headers.get(TOKEN).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let artifacts = app.artifacts.clone();
    let most_of_file = app.limits.artifact_bytes;
    let mut part = app.pool.run(move || Ok(artifacts.part(&id, &token, number, most_of_file)?)).await?;
    let most = MOST_PART.min(most_of_file);
    loop {
        let piece = stream::next_piece(body, app).await?;
        if part.bytes() + piece.bytes > most {
            let message = format!("a part of an artifact has at most {most} bytes");
            return Err(MlflowError::new(ErrorCode::MaxBlockSizeExceeded, message));
        }
        let is_last = piece.is_last;
        let write = move || {
            piece.write(|bytes| part.write(bytes))?;
            Ok(part)
        };
        part = app.pool.run(write).await?;
        if is_last {
            return app.pool.run(move || Ok(part.finish()?)).await;
        }
    }
}

/// Returns the URL by which the client reaches this server: what it asked for, and what a proxy in
/// front says that it asked for. It comes back to this client alone.
fn base_of(app: &App, headers: &HeaderMap) -> String {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let forwarded = text(HeaderName::from_static("x-forwarded-proto"));
    let scheme = if app.speaks_tls || forwarded == "https" { "https" } else { "http" };
    let is_of_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~');
    let prefix = text(HeaderName::from_static("x-forwarded-prefix")).trim_end_matches('/');
    let prefix = if prefix.starts_with('/') && prefix.bytes().all(is_of_path) { prefix } else { "" };
    format!("{scheme}://{}{prefix}", text(HOST))
}

fn not_supported(what: &str) -> MlflowError {
    // The beginning is MLflow's: its client then sends the file in one piece.
    let message = format!("{what} is not supported for the current artifact repository");
    MlflowError::new(ErrorCode::NotImplemented, message)
}

/// Answers that files are downloaded from this server alone. It compares their bytes with their
/// digests before it sends them, which nobody would do with those of another place.
fn not_presigned(_: &Context, _: &Fields) -> Result<Reply, MlflowError> {
    Err(not_supported("Multipart download"))
}

/// Answers that there is no signed URL for the files of a run: this server has them, or it does not
/// sign for places that clients name.
fn no_url_of_run(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let place = match fields.filled("run_id")? {
        Some(_) => found(context, fields)?.artifact_uri,
        None => context.registry.logged_model(fields.required("model_id")?)?.artifact_uri,
    };
    Err(MlflowError::invalid(match proxied_path(&place) {
        Some(_) => {
            "Presigned URLs are not supported for proxied artifact storage (artifact URI scheme: mlflow-artifacts). \
             This endpoint requires a direct cloud storage artifact URI."
        }
        None => "This server signs no URLs for a place that a client named: it has no credentials for it.",
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::app::HttpLimits;
    use crate::stream::tests::Trickle;

    // invariant: as `bodies_beyond_the_limits_are_refused`
    #[tokio::test]
    async fn a_part_that_trickles_is_given_up() {
        let limits = HttpLimits { body_time: Duration::from_millis(100), ..HttpLimits::default() };
        let (_folder, app) = App::in_new_home(limits, None);
        let upload = app.artifacts.begin_parts(None, "0/a.bin", 1).expect("an upload");
        let mut headers = HeaderMap::new();
        headers.insert(TOKEN, upload.token.parse().expect("a header"));
        let fields = Fields::of_query(&format!("upload_id={}&part_number=1", upload.id));
        let mut body = Trickle::body();
        let stored = timeout(Duration::from_secs(60), store_part(&app, &fields, &headers, &mut body)).await;
        assert_eq!(stored.expect("an end").expect_err("too slow").code, ErrorCode::RequestTimeout);
    }
}
