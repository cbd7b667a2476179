//! Interpreting a failed attempt: whether another may succeed, and what to report.

use std::error::Error;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    /// Codes and messages of the service or the network; never a part of the request.
    pub(super) problem: String,
}

/// The cause of a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Another attempt may succeed. It is unknown whether this one did.
    Passing,
    /// There was no connection. Another attempt may succeed.
    NotConnected,
    /// The key does not exist.
    Missing,
    /// The condition does not hold.
    Condition,
    NoBucket,
    Denied,
    Credentials,
    /// The bucket's own region, if the store names it.
    Region(Option<String>),
    NotImplemented,
    /// Refused for another reason.
    Other,
}

impl Fault {
    /// Returns whether another attempt may succeed.
    pub(super) fn passes(&self) -> bool {
        matches!(self.kind, Kind::Passing | Kind::NotConnected)
    }

    pub(super) fn timed_out(limit: Duration) -> Self {
        Self { kind: Kind::Passing, problem: format!("no reply within {limit:?}") }
    }

    /// The body of a reply broke off.
    pub(super) fn cut(error: impl Error + 'static) -> Self {
        Self { kind: Kind::Passing, problem: innermost(&error) }
    }

    /// The body of a reply is longer than the limit.
    pub(super) fn too_long(most: u64) -> Self {
        Self { kind: Kind::Other, problem: format!("it is longer than {most} bytes") }
    }

    /// The body of a reply is shorter than requested.
    pub(super) fn ended(at: u64) -> Self {
        Self { kind: Kind::Passing, problem: format!("it ended after {at} bytes") }
    }
}

impl<E: Error + ProvideErrorMetadata + 'static> From<SdkError<E, HttpResponse>> for Fault {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let passing = |problem: String| Self { kind: Kind::Passing, problem };
        match &error {
            SdkError::ServiceError(service) => of_reply(service.err().meta(), service.raw()),
            SdkError::TimeoutError(_) => passing("no reply in time".to_owned()),
            SdkError::ResponseError(_) => passing(format!("the reply broke off: {}", innermost(&error))),
            SdkError::DispatchFailure(failure) => {
                let kind = match () {
                    () if failure.is_user() => Kind::Other,
                    () if says_connect(&error) => Kind::NotConnected,
                    () => Kind::Passing,
                };
                Self { kind, problem: innermost(&error) }
            }
            _ => Self { kind: Kind::Other, problem: innermost(&error) },
        }
    }
}

/// Interprets an error reply.
fn of_reply(metadata: &aws_sdk_s3::error::ErrorMetadata, reply: &HttpResponse) -> Fault {
    let status = reply.status().as_u16();
    let code = metadata.code().unwrap_or_default();
    let region = || region(reply);
    let kind = match (code, status) {
        ("NoSuchBucket", _) => Kind::NoBucket,
        ("PermanentRedirect" | "TemporaryRedirect", _) | (_, 301 | 307) => Kind::Region(region()),
        ("AuthorizationHeaderMalformed", _) if region().is_some() => Kind::Region(region()),
        (
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken"
            | "InvalidSecurity"
            | "TokenRefreshRequired"
            | "RequestTimeTooSkewed"
            | "AuthorizationHeaderMalformed"
            | "NotSignedUp",
            _,
        ) => Kind::Credentials,
        ("NoSuchKey" | "NoSuchUpload" | "NotFound", _) => Kind::Missing,
        ("PreconditionFailed", _) | (_, 412) => Kind::Condition,
        ("NotImplemented", _) | (_, 501) => Kind::NotImplemented,
        ("AccessDenied", _) | (_, 401 | 403) => Kind::Denied,
        // Two conditional writes at once; damage in transit; a stalled connection.
        ("ConditionalRequestConflict" | "OperationAborted" | "BadDigest" | "IncompleteBody" | "RequestTimeout", _)
        | (_, 408 | 409 | 429 | 500 | 502 | 503 | 504) => Kind::Passing,
        (_, 404) => Kind::Missing,
        _ => Kind::Other,
    };
    let problem = match (&kind, metadata.message()) {
        (Kind::Credentials | Kind::Denied, _) | (_, None) if !code.is_empty() => code.to_owned(),
        (_, Some(message)) if !code.is_empty() => format!("{code}, \"{}\"", cut(message)),
        _ => format!("status {status}"),
    };
    Fault { kind, problem }
}

/// Returns the region that a reply names, in its headers or its body.
fn region(reply: &HttpResponse) -> Option<String> {
    let body = || {
        let text = std::str::from_utf8(reply.body().bytes()?).ok()?;
        text.split_once("<Region>")?.1.split_once("</Region>").map(|(region, _)| region)
    };
    let region = reply.headers().get("x-amz-bucket-region").or_else(body)?;
    Some(region.chars().filter(|it| it.is_ascii_alphanumeric() || *it == '-').take(40).collect())
}

/// Returns at most a line of a message of the store.
fn cut(message: &str) -> String {
    message.chars().filter(|it| !it.is_control()).take(200).collect()
}

/// Returns the innermost error's text: `Connection refused (os error 111)`.
fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(|error| cut(&error.to_string())).unwrap_or_default()
}

/// Returns whether there was no connection. The HTTP client hides the type that would say so.
fn says_connect(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        let text = error.to_string();
        ["(Connect)", "dns error", "connect timeout", "tcp connect error"].iter().any(|it| text.contains(it))
    })
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
