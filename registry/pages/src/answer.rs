//! The answers to requests.

use std::fmt;
use std::io::Read;

use serde::Serialize;

use crate::fault::Fault;
use crate::layout;

pub(crate) use crate::request::{Form, Request};
pub(crate) use crate::view::View;

/// The policy of every page: its scripts, styles and data are this server's, and nothing is inline.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// Its content.
    pub content: Content,
    /// The policy for the browser that shows it (`Content-Security-Policy`).
    pub policy: &'static str,
    /// Whether it stays the same as long as its path does.
    pub is_lasting: bool,
}

/// The content of an answer.
pub enum Content {
    /// All bytes.
    Bytes {
        /// The media type.
        media_type: &'static str,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The bytes of a file, of which there may be many.
    File {
        /// The media type.
        media_type: &'static str,
        /// Their number.
        bytes: u64,
        /// The bytes.
        reader: Box<dyn Read + Send>,
    },
    /// The way to another page, after a form was taken (303).
    Redirect {
        /// A path of this server, with its query.
        to: String,
    },
    /// Events, as they happen (`text/event-stream`).
    Events(Box<dyn Events>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { media_type, bytes } => write!(f, "{} bytes of {media_type}", bytes.len()),
            Self::File { media_type, bytes, .. } => write!(f, "a file of {bytes} bytes of {media_type}"),
            Self::Redirect { to } => write!(f, "redirect to {to}"),
            Self::Events(_) => f.write_str("events"),
        }
    }
}

/// Events that are asked for again and again.
pub trait Events: Send {
    /// Returns the text of the events since the last call, as `text/event-stream` has them; empty
    /// if there are none. `None` after the last one. It may block as long as a query takes.
    ///
    /// # Errors
    /// The registry fails. The caller ends the stream; a browser asks again.
    fn next(&mut self) -> Result<Option<String>, Fault>;
}

impl Answer {
    /// Returns a page, in the form that was asked for.
    pub fn page(view: &impl View, request: &Request<'_>) -> Self {
        let content = match request.form {
            Form::Html => {
                let bytes = layout::document(view, request).into_string().into_bytes();
                Content::Bytes { media_type: "text/html; charset=utf-8", bytes }
            }
            Form::Json => return Self::json(view),
        };
        Self { status: 200, content, policy: PAGE_POLICY, is_lasting: false }
    }

    /// Returns a record as JSON alone.
    pub fn json(record: &impl Serialize) -> Self {
        let (status, bytes) = match serde_json::to_vec(record) {
            Ok(bytes) => (200, bytes),
            // Unreachable: views have texts as keys.
            Err(error) => {
                tracing::error!("a page is no JSON: {error}");
                (500, b"{\"error\":\"failed\"}".to_vec())
            }
        };
        let content = Content::Bytes { media_type: "application/json", bytes };
        Self { status, content, policy: PAGE_POLICY, is_lasting: false }
    }

    /// Returns the way to another page of this server, after a form was taken.
    pub fn redirect(to: impl Into<String>) -> Self {
        Self { status: 303, content: Content::Redirect { to: to.into() }, policy: PAGE_POLICY, is_lasting: false }
    }
}
