//! Text whose bytes cannot be read on: compressed data or an encoding that is broken.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use crate::error::{DataError, shown};

/// The reason for which a text ends before its end.
#[derive(Debug)]
pub(super) enum BrokenText {
    Interrupted,
    /// Its compressed data, of this kind, is not whole.
    Truncated(&'static str),
    /// Its compressed data, of this kind, is damaged.
    Damaged(&'static str, String),
    /// It is not in this encoding, from this byte on.
    NotEncoded(&'static str, u64),
}

impl fmt::Display for BrokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("reading was interrupted"),
            Self::Truncated(kind) => write!(f, "it ends in the middle of its {kind} data"),
            Self::Damaged(kind, reason) => {
                write!(f, "its {kind} data is damaged, or something else follows it: {}", shown(reason))
            }
            Self::NotEncoded(encoding, 0) => write!(f, "it is not text in {encoding}"),
            Self::NotEncoded(encoding, at) => write!(f, "it is not text in {encoding}, from about byte {at} on"),
        }
    }
}

impl Error for BrokenText {}

/// Returns the error of a text that is not in an encoding.
pub(super) fn not_encoded(encoding: &'static str, at: u64) -> io::Error {
    io::Error::other(BrokenText::NotEncoded(encoding, at))
}

/// Returns the error for a text of this name that cannot be read on.
pub(crate) fn unreadable_text(name: &str, error: io::Error) -> DataError {
    let path = Path::new(name);
    let Some(broken) = error.get_ref().and_then(|inner| inner.downcast_ref::<BrokenText>()) else {
        return DataError::unreadable(path, error, "");
    };
    let hint = match broken {
        BrokenText::Interrupted => return DataError::Interrupted,
        BrokenText::Truncated(_) => "copy the file again, or have it written again".to_owned(),
        BrokenText::Damaged(kind, _) => format!("`{kind} -t FILE` tests it; have it written again if that fails"),
        BrokenText::NotEncoded(..) => {
            "name its encoding in the address, e.g. `csv:FILE?encoding=windows-1252`, utf-16le or utf-8".to_owned()
        }
    };
    DataError::unreadable(path, broken, &hint)
}
