//! Routes: what they do, and the way of a request to that.

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, Response};
use serde::Serialize;
use subtle::ConstantTimeEq as _;

use crate::access::{self, Needs};
use crate::app::App;
use crate::caller::Caller;
use crate::context::Context;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::page::{self, Page, PageOperation};
use crate::quota::{Taken, Taker};
use crate::request::Fields;
use crate::{json_body, site, stream};

/// The most bytes of the body of an operation that names no other number.
const MOST_BODY: usize = 2 << 20;
/// The most bytes of a form.
const MOST_FORM: usize = 256 << 10;

/// The JSON of an answer.
pub(crate) struct Reply(Vec<u8>);

impl Reply {
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.0));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Returns a record as an answer.
pub(crate) fn reply(record: &impl Serialize) -> Result<Reply, MlflowError> {
    let written = serde_json::to_vec(record);
    written.map(Reply).map_err(|error| MlflowError::new(ErrorCode::InternalError, error.to_string()))
}

/// Something that a request asks for. It may block.
pub(crate) type Operation = fn(&Context, &Fields) -> Result<Reply, MlflowError>;

/// Something that sends or takes a stream. Its members are those of the query and of the path.
pub(crate) type Streaming = fn(Context, Fields, Request) -> Answering;

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The header that carries the text of the session where no form does.
pub(crate) const FORM_TOKEN_HEADER: &str = "x-stagewright-form-token";

/// An answer that is being made.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Where a path is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below `/api/2.0` and `/ajax-api/2.0`.
    Interface,
    /// Below `/api/3.0` and `/ajax-api/3.0`.
    Interface3,
    /// As it is.
    Root,
}

/// The work of a route.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Answers JSON to members of a query or of a JSON body of at most so many bytes.
    Operation(Operation, usize),
    /// Streams.
    Streaming(Streaming),
    /// Answers shortly.
    Page(PageOperation),
    /// Does what a short form posts.
    Action(PageOperation),
    /// Shows a page of `stagewright_pages`, or does what a form of one posts.
    Site(stagewright_pages::Route),
}

/// A path, what it needs of its caller, and what it does.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) place: Place,
    /// The path below its place, such as `/mlflow/runs/create`.
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    pub(crate) work: Work,
}

impl Route {
    /// An operation of the JSON interface.
    pub(crate) fn new(method: Method, path: &'static str, needs: Needs, operation: Operation) -> Self {
        Self { method, place: Place::Interface, path, needs, work: Work::Operation(operation, MOST_BODY) }
    }

    pub(crate) fn get(path: &'static str, needs: Needs, operation: Operation) -> Self {
        Self::new(Method::GET, path, needs, operation)
    }

    pub(crate) fn post(path: &'static str, needs: Needs, operation: Operation) -> Self {
        Self::new(Method::POST, path, needs, operation)
    }

    /// A stream of files, of events or of another kind.
    pub(crate) fn streaming(method: Method, path: &'static str, needs: Needs, streaming: Streaming) -> Self {
        Self { method, place: Place::Interface, path, needs, work: Work::Streaming(streaming) }
    }

    /// A short answer, of the root.
    pub(crate) fn page(path: &'static str, needs: Needs, page: PageOperation) -> Self {
        Self { method: Method::GET, place: Place::Root, path, needs, work: Work::Page(page) }
    }

    /// An action of the root, whose form has no members.
    pub(crate) fn action(path: &'static str, needs: Needs, action: PageOperation) -> Self {
        Self { method: Method::POST, place: Place::Root, path, needs, work: Work::Action(action) }
    }

    /// Returns the same route at another place.
    pub(crate) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Returns the same operation with a body of at most so many bytes, within those of the server.
    pub(crate) fn with_most(self, most: usize) -> Self {
        let work = match self.work {
            Work::Operation(operation, _) => Work::Operation(operation, most),
            other => other,
        };
        Self { work, ..self }
    }

    /// Returns the full paths.
    pub(crate) fn paths(&self) -> Vec<String> {
        let below = |version: &str| ["/api", "/ajax-api"].map(|prefix| format!("{prefix}{version}{}", self.path));
        match self.place {
            Place::Interface => below("/2.0").to_vec(),
            Place::Interface3 => below("/3.0").to_vec(),
            Place::Root => vec![self.path.to_owned()],
        }
    }
}

/// A request whose caller is known, and what its route needs.
struct Asked {
    context: Context,
    needs: Arc<Needs>,
    /// The members in the path, which are stronger than those of query and body.
    in_path: Vec<(String, String)>,
}

/// Answers a request by its route.
pub(crate) async fn answer(
    app: Arc<App>,
    path: RawPathParams,
    request: Request,
    (needs, work): (Arc<Needs>, Work),
) -> Response<Body> {
    let is_page = matches!(work, Work::Page(_) | Work::Action(_) | Work::Site(_));
    let wants_json = !is_page || page::wants_json(&request);
    let in_path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (head, body) = request.into_parts();
    let (caller, taken) = match admitted(&app, &needs, &work, &head).await {
        Ok(admitted) => admitted,
        Err(error) => return page::error(error, &head.uri, wants_json),
    };
    let request = Request::from_parts(head, body);
    let asked = Asked { context: Context::new(app.clone(), caller), needs, in_path };
    match work {
        Work::Operation(operation, most) => match perform(asked, request, operation, most).await {
            Ok(reply) => reply.into_response(),
            Err(error) => error.into_response(),
        },
        Work::Streaming(streaming) => {
            let response = stream_to(asked, request, streaming).await;
            // The share of the caller is taken until the stream has ended.
            response.map(|body| stream::holding(body, taken))
        }
        Work::Site(route) => {
            let at = request.uri().clone();
            match show_site(asked, request, route).await {
                // The share of the caller is taken until the stream has ended.
                Ok(answer) => site::send(&app, answer).await.map(|body| stream::holding(body, taken)),
                Err(error) => page::error(error, &at, wants_json),
            }
        }
        Work::Page(page) | Work::Action(page) => {
            let at = request.uri().clone();
            match show(asked, request, page).await {
                Ok(page) => page.into_response(),
                Err(error) => page::error(error, &at, wants_json),
            }
        }
    }
}

/// Says who asks, before a byte of the body is read, and takes the request from the caller's share.
///
/// # Errors
/// The caller has to sign in, or asks for too much.
async fn admitted(
    app: &Arc<App>,
    needs: &Needs,
    work: &Work,
    head: &Parts,
) -> Result<(Caller, Option<Taken>), MlflowError> {
    let address = peer(&head.extensions);
    let caller = match needs {
        // Probes and the login page answer even if the registry does not.
        Needs::Nobody if app.authentication.is_required() => Caller::Nobody,
        Needs::Nobody => Caller::Everyone,
        _ => match app.authentication.caller(&head.headers, address).await? {
            Caller::Nobody => return Err(MlflowError::unauthenticated()),
            caller => caller,
        },
    };
    let taker = Taker::of(&caller, address);
    app.quotas.request(taker.as_ref())?;
    let most = (app.limits.transfers / 4).max(1);
    let is_stream = match work {
        Work::Site(route) => route.is_stream,
        work => matches!(work, Work::Streaming(_)),
    };
    let taken = is_stream.then(|| app.quotas.transfer(taker.as_ref(), most)).transpose()?;
    // A page of another site can make a browser send its cookie, but cannot set a header. A form
    // carries the text in a member, which is checked when the form is read.
    let is_form = match work {
        Work::Site(route) => route.method == stagewright_pages::Method::Post,
        work => matches!(work, Work::Action(_)),
    };
    if !is_form && changes(&head.method) {
        let sent = head.headers.get(FORM_TOKEN_HEADER).and_then(|value| value.to_str().ok());
        check_form_token(&caller, sent)?;
    }
    Ok((caller, taken))
}

/// Checks the text that a browser with a session has to send with whatever changes something.
///
/// # Errors
/// It is not that of the session.
fn check_form_token(caller: &Caller, sent: Option<&str>) -> Result<(), MlflowError> {
    match caller.form_token() {
        Some(token) if sent.is_none_or(|sent| !bool::from(sent.as_bytes().ct_eq(token.as_bytes()))) => {
            let message = "The form is not one of this session. Load the page again.";
            Err(MlflowError::new(ErrorCode::PermissionDenied, message))
        }
        _ => Ok(()),
    }
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Returns the address that a request came from. Without one, as in tests of routes alone, it is
/// this machine's.
pub(crate) fn peer(extensions: &Extensions) -> IpAddr {
    extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0)
}

impl Asked {
    /// Returns the members of the query and of the path.
    fn fields_of_query(&self, query: Option<&str>) -> Fields {
        self.with_path(Fields::of_query(query.unwrap_or_default()))
    }

    fn with_path(&self, mut fields: Fields) -> Fields {
        self.in_path.iter().for_each(|(name, value)| fields.set(name, value));
        fields
    }

    /// The one place where permissions are checked, on a thread that may wait for the registry.
    fn check(&self, fields: &Fields) -> Result<(), MlflowError> {
        access::check(&self.context, &self.needs, fields)
    }
}

async fn perform(asked: Asked, request: Request, operation: Operation, most: usize) -> Result<Reply, MlflowError> {
    let app = asked.context.app().clone();
    let (head, mut body) = request.into_parts();
    if matches!(head.method, Method::GET | Method::HEAD) {
        let fields = asked.fields_of_query(head.uri.query());
        let work = move || {
            asked.check(&fields)?;
            operation(&asked.context, &fields)
        };
        return app.pool.run(work).await;
    }
    let (bytes, memory) = json_body::read(&app, &head.headers, &mut body, most).await?;
    // A form of another site may post other types without asking first.
    if !bytes.is_empty() && !is_of_type(&head.headers, "application/json") {
        return Err(MlflowError::invalid("Bad Request. Content-Type must be one of ['application/json']."));
    }
    let work = move || {
        // Given back when the work ends, even if the client has gone by then.
        let _memory = memory;
        let fields = asked.with_path(Fields::of_body(&bytes)?);
        drop(bytes);
        asked.check(&fields)?;
        operation(&asked.context, &fields)
    };
    app.pool.run(work).await
}

async fn stream_to(asked: Asked, request: Request, streaming: Streaming) -> Response<Body> {
    let app = asked.context.app().clone();
    let fields = asked.fields_of_query(request.uri().query());
    let check = move || {
        asked.check(&fields)?;
        Ok((asked.context, fields))
    };
    match app.pool.run(check).await {
        Ok((context, fields)) => streaming(context, fields, request).await,
        Err(error) => error.into_response(),
    }
}

/// Answers shortly. A form that is posted has no members but the text of its session.
async fn show(asked: Asked, request: Request, page: PageOperation) -> Result<Page, MlflowError> {
    let app = asked.context.app().clone();
    let (head, mut body) = request.into_parts();
    let mut form = None;
    if changes(&head.method) {
        form = Some(json_body::read(&app, &head.headers, &mut body, MOST_FORM).await?);
    }
    let work = move || {
        if let Some((bytes, _memory)) = form {
            let form = String::from_utf8(bytes).map_err(|_| MlflowError::invalid("The form is not UTF-8."))?;
            check_form_token(&asked.context.caller, form_token(&form).as_deref())?;
        }
        asked.check(&asked.fields_of_query(head.uri.query()))?;
        page(&asked.context, &head.headers)
    };
    app.pool.run(work).await
}

/// Shows a page of `stagewright_pages`, or why it is not shown.
async fn show_site(
    asked: Asked,
    request: Request,
    route: stagewright_pages::Route,
) -> Result<stagewright_pages::Answer, MlflowError> {
    let app = asked.context.app().clone();
    let (head, mut body) = request.into_parts();
    let mut memory = None;
    let mut form = String::new();
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let (bytes, held) = json_body::read(&app, &head.headers, &mut body, MOST_FORM).await?;
        if !bytes.is_empty() && !is_of_type(&head.headers, "application/x-www-form-urlencoded") {
            return Err(MlflowError::invalid("The body of this request is a form."));
        }
        form = String::from_utf8(bytes).map_err(|_| MlflowError::invalid("The form is not UTF-8."))?;
        memory = Some(held);
    }
    let sent = site::Asked {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        in_path: asked.in_path.clone(),
        accept: site::Asked::accept(&head.headers),
        form,
    };
    let work = move || {
        let _memory = memory;
        let fields = asked.with_path(Fields::of_query(&sent.form));
        let checked = match route.method {
            stagewright_pages::Method::Get => Ok(()),
            stagewright_pages::Method::Post => {
                check_form_token(&asked.context.caller, form_token(&sent.form).as_deref())
            }
        };
        match checked.and_then(|()| asked.check(&fields)) {
            Ok(()) if route.is_long => asked.context.pool.at_length(|| Ok(site::answer(&asked.context, route, &sent))),
            Ok(()) => Ok(site::answer(&asked.context, route, &sent)),
            Err(error) => Ok(site::refused(&asked.context, &error, &sent)),
        }
    };
    app.pool.run(work).await
}

/// Returns the text of a form by which it is known to be one of the caller's session.
fn form_token(form: &str) -> Option<String> {
    let fields = stagewright_pages::Query::parse(form);
    fields.get(stagewright_pages::Session::FIELD).map(str::to_owned)
}

fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|text| text.trim_start().starts_with(media_type))
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::app::HttpLimits;

    /// How far the operation of the test has come: 1: it has begun, 2: it may end.
    static STEP: (Mutex<u8>, Condvar) = (Mutex::new(0), Condvar::new());

    fn set_step(step: u8) {
        *STEP.0.lock().expect("a step") = step;
        STEP.1.notify_all();
    }

    fn wait_for_step(step: u8) {
        let now = STEP.0.lock().expect("a step");
        let patience = Duration::from_secs(60);
        let (_now, waited) = STEP.1.wait_timeout_while(now, patience, |now| *now < step).expect("a step");
        assert!(!waited.timed_out(), "step {step} does not come");
    }

    fn waits(_: &Context, _: &Fields) -> Result<Reply, MlflowError> {
        set_step(1);
        wait_for_step(2);
        reply(&())
    }

    // invariant: as `bodies_beyond_the_limits_are_refused`
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_keeps_its_memory_after_its_client_has_gone() {
        let (_folder, app) = App::in_new_home(HttpLimits::default(), None);
        let all = app.memory.available_permits();
        let body = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
        let request = Request::builder().method(Method::POST).uri("/").header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body)).expect("a request");
        let context = Context::new(app.clone(), Caller::Everyone);
        let asked = Asked { context, needs: Arc::new(Needs::Anybody), in_path: Vec::new() };
        let client = tokio::spawn(perform(asked, request, waits, usize::MAX));
        tokio::task::spawn_blocking(|| wait_for_step(1)).await.expect("it has begun");
        client.abort();
        assert!(client.await.is_err_and(|ended| ended.is_cancelled()));
        assert!(app.memory.available_permits() + (1 << 10) <= all, "the memory was given back too early");
        set_step(2);
        let given_back = app.memory.acquire_many(u32::try_from(all).expect("a number"));
        let given_back = tokio::time::timeout(Duration::from_secs(60), given_back).await;
        drop(given_back.expect("the memory is given back").expect("permits"));
    }
}
