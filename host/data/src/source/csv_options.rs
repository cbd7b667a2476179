//! How delimited text is written: the options of an address of CSV.

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::error::shown;
use crate::source::compression::Compression;

/// Delimiters by name, since most of them have a meaning in a shell.
const DELIMITERS: [(&str, u8); 5] =
    [("tab", b'\t'), ("comma", b','), ("semicolon", b';'), ("pipe", b'|'), ("space", b' ')];

/// How delimited text is written, as far as its address says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct CsvOptions {
    /// One ASCII character; `None` for
    /// [`SourceUri::delimiter_by_ending`](super::SourceUri::delimiter_by_ending).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<u8>,
    /// Whether the first line names the columns; `None` for yes. Without a header, columns are
    /// named `column_0`, `column_1`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// `None` for [`Compression::by_ending`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// The deviations from plain CSV.
    #[serde(skip_serializing_if = "Dialect::is_plain")]
    pub dialect: Dialect,
}

impl CsvOptions {
    /// Returns the options of text with commas and a header, without compression.
    pub fn plain() -> Self {
        Self {
            delimiter: Some(b','),
            header: Some(true),
            compression: Some(Compression::None),
            dialect: Dialect::default(),
        }
    }

    /// Parses `key=value&key=value`.
    pub(super) fn parse(mut text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        while !text.is_empty() {
            if let Some(rest) = text.strip_prefix("delimiter=&") {
                options.delimiter = Some(b'&');
                text = rest.strip_prefix('&').unwrap_or(rest);
                continue;
            }
            let (option, rest) = text.split_once('&').unwrap_or((text, ""));
            match option.split_once('=') {
                Some(("delimiter", text)) => options.delimiter = Some(delimiter_of(text)?),
                Some(("header", "true")) => options.header = Some(true),
                Some(("header", "false")) => options.header = Some(false),
                Some(("compression", text)) => options.compression = Some(compression_of(text)?),
                Some((option, text)) if Dialect::OPTIONS.contains(&option) => options.dialect.set(option, text)?,
                _ => return Err(format!("`{}` is not an option", shown(option))),
            }
            text = rest;
        }
        options.dialect.check(options.delimiter.unwrap_or(b','))?;
        Ok(options)
    }

    /// Returns the options as an address has them.
    pub(super) fn written(&self) -> Vec<String> {
        let delimiter = self.delimiter.map(|byte| match byte {
            b'\t' => "delimiter=tab".to_owned(),
            _ => format!("delimiter={}", char::from(byte)),
        });
        let header = self.header.map(|header| format!("header={header}"));
        let compression = self.compression.map(|kind| format!("compression={}", kind.name()));
        delimiter.into_iter().chain(header).chain(compression).chain(self.dialect.written()).collect()
    }
}

/// Parses the name of a compression.
pub(super) fn compression_of(text: &str) -> Result<Compression, String> {
    Compression::named(text).ok_or_else(|| format!("`{}` is not a compression: it is gzip, zstd or none", shown(text)))
}

fn delimiter_of(text: &str) -> Result<u8, String> {
    if let Some((_, byte)) = DELIMITERS.iter().find(|(name, _)| *name == text) {
        return Ok(*byte);
    }
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | b'\0') => Ok(*byte),
        _ => Err(format!("`{}` is not a delimiter: it takes one ASCII character", shown(text))),
    }
}
