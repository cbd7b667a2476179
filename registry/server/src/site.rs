//! The pages: from a request to `stagewright_pages` and back.
//!
//! That crate knows no HTTP server. Its routes are mounted in the one table as all others, so that
//! what each needs is checked in the one place; this module reads the request, says who looks, and
//! sends the answer.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use stagewright_pages::{
    Answer, Content, Events, Everything, Fault, FaultKind, Form, Level, May, Query, Request as PageRequest, Resource,
    Session, Site, Viewer,
};
use stagewright_store::{Permission, Resource as Stored};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::app::App;
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::stream;

/// How long a stream of events waits before it looks again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a stream says nothing before it says that it is there. A client that has gone is
/// noticed by that.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a stream of events lasts. A browser asks again by itself.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// A request of a browser.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) in_path: Vec<(String, String)>,
    /// The form that was posted.
    pub(crate) form: String,
    pub(crate) accept: Option<String>,
}

impl Asked {
    /// Returns the value of the header `Accept`.
    pub(crate) fn accept(headers: &HeaderMap) -> Option<String> {
        headers.get(ACCEPT).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

/// Calls the function of a route; shows the fault that it ends with. It may block.
pub(crate) fn answer(context: &Context, route: stagewright_pages::Route, asked: &Asked) -> Answer {
    with_request(context, asked, |request| {
        let site = Site {
            registry: &context.registry,
            artifacts: &context.artifacts,
            pipelines: context.pipelines.as_deref(),
        };
        (route.handler)(&site, request).unwrap_or_else(|fault| fault.answer(request))
    })
}

/// Shows an error that a request ended with before its function was called.
pub(crate) fn refused(context: &Context, error: &MlflowError, asked: &Asked) -> Answer {
    let kind = match error.code.status() {
        StatusCode::UNAUTHORIZED => FaultKind::SignedOut,
        StatusCode::FORBIDDEN => FaultKind::Forbidden,
        StatusCode::NOT_FOUND => FaultKind::Missing,
        StatusCode::CONFLICT => FaultKind::Refused,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => FaultKind::Unavailable,
        status if status.is_client_error() => FaultKind::BadRequest,
        _ => FaultKind::Failed,
    };
    with_request(context, asked, |request| Fault::new(kind, error.message.clone()).answer(request))
}

fn with_request(context: &Context, asked: &Asked, show: impl FnOnce(&PageRequest<'_>) -> Answer) -> Answer {
    let query = Query::parse(&asked.query);
    let mut parts = Query::default();
    asked.in_path.iter().for_each(|(name, value)| parts.add(name, value));
    let viewer = viewer(context);
    let form = Form::wanted(&query, asked.accept.as_deref());
    show(&PageRequest { path: &asked.path, parts, query, fields: Query::parse(&asked.form), form, viewer: &viewer })
}

fn viewer(context: &Context) -> Viewer {
    let session = context.caller.form_token().map(|token| Session { form_token: token.to_owned() });
    let may: Box<dyn May> = match context.is_admin() {
        true => Box::new(Everything),
        false => Box::new(Rights(context.clone())),
    };
    Viewer { name: context.name().map(str::to_owned), session, may }
}

/// The rights of a caller who may not do everything. A registry that fails gives none.
struct Rights(Context);

impl May for Rights {
    fn level(&self, of: Resource<'_>) -> Option<Level> {
        let resource = match of {
            Resource::Experiment(number) => Stored::Experiment(number),
            Resource::Model(name) => Stored::Model(name.to_owned()),
        };
        let user = self.0.caller.user()?;
        match self.0.registry.permission(user, &resource).ok()? {
            Permission::NoPermissions => None,
            Permission::Read => Some(Level::Read),
            Permission::Edit => Some(Level::Edit),
            Permission::Manage => Some(Level::Manage),
        }
    }

    fn is_admin(&self) -> bool {
        false
    }

    fn experiments(&self) -> Option<BTreeSet<i64>> {
        let Ok(Some(visible)) = self.0.visible_experiments() else { return Some(BTreeSet::new()) };
        match visible {
            stagewright_store::Visible::Only(these) => Some(these.into_iter().collect()),
            stagewright_store::Visible::AllBut(others) if others.is_empty() => None,
            stagewright_store::Visible::AllBut(others) => {
                let all = self.0.registry.experiment_numbers().unwrap_or_default();
                Some(all.into_iter().filter(|number| others.binary_search(number).is_err()).collect())
            }
        }
    }
}

/// Sends an answer.
pub(crate) async fn send(app: &Arc<App>, answer: Answer) -> Response<Body> {
    let Answer { status, content, policy, is_lasting } = answer;
    let (media_type, body, location) = match content {
        Content::Bytes { media_type, bytes } => (media_type, Body::from(bytes), None),
        Content::File { media_type, bytes, reader } => match app.transfer().await {
            Ok(transfer) => (media_type, stream::send(app.clone(), transfer, bytes, reader), None),
            Err(error) => return error.into_response(),
        },
        Content::Redirect { to } => ("text/plain; charset=utf-8", Body::empty(), HeaderValue::from_str(&to).ok()),
        Content::Events(events) => ("text/event-stream", events_body(app.clone(), events), None),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    let kept = if is_lasting { "public, max-age=31536000, immutable" } else { "no-store" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Some(location) = location {
        headers.insert(LOCATION, location);
    }
    response
}

/// Returns events as the body of an answer, until they end, the client goes or does not read, or
/// the server stops.
/// No thread is held while there are none.
fn events_body(app: Arc<App>, mut events: Box<dyn Events>) -> Body {
    let (sender, receiver) = mpsc::channel::<Bytes>(4);
    tokio::spawn(async move {
        let begun = Instant::now();
        let mut spoke = begun;
        let mut stopping = app.stopping.subscribe();
        while begun.elapsed() < LONGEST && !*stopping.borrow() {
            let asked = app.pool.run(move || {
                let said = events.next();
                Ok((events, said))
            });
            let said;
            (events, said) = match asked.await {
                Ok(asked) => asked,
                Err(_) => return,
            };
            let text = match said {
                Ok(Some(text)) => text,
                // The registry may be back when the browser asks again.
                Ok(None) | Err(_) => return,
            };
            let is_silent = text.is_empty();
            if !is_silent || spoke.elapsed() > SILENCE {
                let text = if is_silent { ": still here\n\n".to_owned() } else { text };
                // A client that does not read, or has gone, ends it.
                match timeout(app.limits.body_time, sender.send(Bytes::from(text))).await {
                    Ok(Ok(())) => {}
                    _ => return,
                }
                spoke = Instant::now();
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stopping.changed() => {}
                () = sender.closed() => return,
            }
        }
    });
    Body::new(EventBody(receiver))
}

/// A body of events. It ends when they do.
struct EventBody(mpsc::Receiver<Bytes>);

impl HttpBody for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}
