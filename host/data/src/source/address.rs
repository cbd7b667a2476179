//! The address of a source, as in a manifest, `--source`, `init` and `predict`.
//!
//! This is the only parser of addresses of files. A manifest adds files on servers. The host alone
//! knows addresses; a stage knows the name of its source. Addresses of unsupported kinds are
//! recognised, so that their errors say so.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, shown};

const KINDS: &str = "write csv:FILE, sqlite:FILE#TABLE or parquet:FILE";
const OPTIONS: &str =
    "options are ?delimiter=X (one character, or tab, comma, semicolon, pipe, space) and ?header=false, joined by &";
/// Delimiters by name, since most of them have a meaning in a shell.
const DELIMITERS: [(&str, u8); 5] =
    [("tab", b'\t'), ("comma", b','), ("semicolon", b';'), ("pipe", b'|'), ("space", b' ')];

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SourceUri {
    /// `csv:PATH`, or `csv:PATH?delimiter=;&header=false`.
    Csv {
        /// The file.
        path: PathBuf,
        /// One ASCII character; `None` for [`SourceUri::delimiter_by_ending`].
        delimiter: Option<u8>,
        /// Whether the first line names the columns; `None` for yes. Without a header, columns are
        /// named `column_0`, `column_1`, ...
        header: Option<bool>,
    },
    /// `sqlite:PATH#TABLE`, or `sqlite:PATH` with a query.
    Sqlite {
        /// The database, opened read-only.
        path: PathBuf,
        /// A table or view.
        table: Option<String>,
    },
    /// `parquet:PATH`.
    Parquet {
        /// The file.
        path: PathBuf,
    },
}

impl SourceUri {
    /// Returns the file of the address.
    pub fn path(&self) -> &Path {
        match self {
            Self::Csv { path, .. } | Self::Sqlite { path, .. } | Self::Parquet { path } => path,
        }
    }

    /// Returns the default delimiter of a text file: a tab for `.tsv` and `.tab`, else a comma.
    pub fn delimiter_by_ending(path: &Path) -> u8 {
        let is_tab =
            |ending: &std::ffi::OsStr| ending.eq_ignore_ascii_case("tsv") || ending.eq_ignore_ascii_case("tab");
        if path.extension().is_some_and(is_tab) { b'\t' } else { b',' }
    }

    /// Returns the address with a relative path resolved against `folder`.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        let (Self::Csv { path, .. } | Self::Sqlite { path, .. } | Self::Parquet { path }) = &mut self;
        *path = folder.join(&*path);
        self
    }
}

impl FromStr for SourceUri {
    type Err = DataError;

    fn from_str(uri: &str) -> Result<Self, DataError> {
        let wrong = |message: &str, hint: &str| DataError::Uri {
            uri: shown(&without_secret(uri)),
            message: message.to_owned(),
            hint: hint.to_owned(),
        };
        let Some((kind, rest)) = uri.split_once(':') else {
            let guess = match uri.split('?').next().and_then(|path| path.rsplit_once('.')).map(|(_, ending)| ending) {
                Some("csv" | "tsv" | "tab" | "txt") => format!("did you mean csv:{uri}?"),
                Some("parquet" | "pq") => format!("did you mean parquet:{uri}?"),
                Some("db" | "sqlite" | "sqlite3") => format!("did you mean sqlite:{uri}#TABLE?"),
                _ => KINDS.to_owned(),
            };
            return Err(wrong("it does not say what kind of source it is", &guess));
        };
        if (rest.is_empty() || rest.contains('\0')) && matches!(kind, "csv" | "sqlite" | "parquet") {
            return Err(wrong("it names no file", KINDS));
        }
        match kind {
            "csv" => csv_address(rest).map_err(|message| wrong(&message, OPTIONS)),
            "sqlite" => match rest.rsplit_once('#') {
                Some((_, "")) => Err(wrong("it names no table", "write sqlite:FILE#TABLE")),
                Some(("", _)) => Err(wrong("it names no file", KINDS)),
                Some((path, table)) => Ok(Self::Sqlite { path: path.into(), table: Some(table.to_owned()) }),
                None => Ok(Self::Sqlite { path: rest.into(), table: None }),
            },
            "parquet" => Ok(Self::Parquet { path: rest.into() }),
            "http" | "https" => Err(wrong(
                "a manifest fetches it, under a grant",
                "write it as the `uri` of a source in a pipeline file",
            )),
            "postgres" | "postgresql" | "s3" => {
                let message = format!("`{kind}` sources are not available in this version");
                Err(wrong(&message, "copy the data to a CSV, SQLite or Parquet file"))
            }
            _ => Err(wrong("it is of no known kind", KINDS)),
        }
    }
}

/// Removes user and password, which addresses of other kinds may contain.
fn without_secret(uri: &str) -> String {
    match (uri.split_once("://"), uri.rsplit_once('@')) {
        (Some((kind, _)), Some((_, host))) => format!("{kind}://...@{host}"),
        _ => uri.to_owned(),
    }
}

/// Parses `PATH?key=value&key=value`. A `?` without a `key=` behind it belongs to the path.
fn csv_address(rest: &str) -> Result<SourceUri, String> {
    let (path, mut options) = split_options(rest);
    let (mut delimiter, mut header) = (None, None);
    while !options.is_empty() {
        if let Some(rest) = options.strip_prefix("delimiter=&") {
            delimiter = Some(b'&');
            options = rest.strip_prefix('&').unwrap_or(rest);
            continue;
        }
        let (option, rest) = options.split_once('&').unwrap_or((options, ""));
        match option.split_once('=') {
            Some(("delimiter", text)) => delimiter = Some(delimiter_of(text)?),
            Some(("header", "true")) => header = Some(true),
            Some(("header", "false")) => header = Some(false),
            _ => return Err(format!("`{}` is not an option", shown(option))),
        }
        options = rest;
    }
    if path.is_empty() {
        return Err("it names no file".to_owned());
    }
    Ok(SourceUri::Csv { path: path.into(), delimiter, header })
}

/// Splits a text at the first `?` that begins options.
fn split_options(rest: &str) -> (&str, &str) {
    let begins_options = |tail: &str| {
        let key = tail.bytes().take_while(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')).count();
        key > 0 && tail.as_bytes().get(key) == Some(&b'=')
    };
    let mut marks = rest.match_indices('?').map(|(at, _)| (&rest[..at], &rest[at + 1..]));
    marks.find(|(_, tail)| begins_options(tail)).unwrap_or((rest, ""))
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

impl fmt::Display for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csv { path, delimiter, header } => {
                write!(f, "csv:{}", path.display())?;
                let delimiter = delimiter.map(|byte| match byte {
                    b'\t' => "delimiter=tab".to_owned(),
                    _ => format!("delimiter={}", char::from(byte)),
                });
                let header = header.map(|header| format!("header={header}"));
                let options: Vec<String> = delimiter.into_iter().chain(header).collect();
                if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
            }
            Self::Sqlite { path, table: Some(table) } => write!(f, "sqlite:{}#{table}", path.display()),
            Self::Sqlite { path, table: None } => write!(f, "sqlite:{}", path.display()),
            Self::Parquet { path } => write!(f, "parquet:{}", path.display()),
        }
    }
}

impl TryFrom<String> for SourceUri {
    type Error = DataError;

    fn try_from(text: String) -> Result<Self, DataError> {
        text.parse()
    }
}

impl From<SourceUri> for String {
    fn from(uri: SourceUri) -> Self {
        uri.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_were_read() {
        for text in [
            "csv:data/telco.csv",
            "csv:/tmp/a:b.csv?delimiter=;&header=false",
            "csv:x.txt?delimiter=tab",
            "csv:x.txt?delimiter=&&header=true",
            "csv:x.txt?delimiter=?",
            "csv:what?.csv",
            "sqlite:telco.db#customers",
            "sqlite:dir#1/telco.db#my table",
            "sqlite:telco.db",
            "parquet:telco.parquet",
        ] {
            assert_eq!(text.parse::<SourceUri>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_delimiter_may_be_named() {
        for (text, byte) in [
            ("csv:x?delimiter=semicolon", b';'),
            ("csv:x?delimiter=pipe&header=false", b'|'),
            ("csv:x?delimiter=\t", b'\t'),
            ("csv:x?header=true&delimiter==", b'='),
            ("csv:x?delimiter=&", b'&'),
        ] {
            let SourceUri::Csv { path, delimiter, .. } = text.parse().unwrap() else { panic!("not CSV") };
            assert_eq!((path.as_path(), delimiter), (Path::new("x"), Some(byte)), "{text}");
        }
        assert_eq!(SourceUri::delimiter_by_ending(Path::new("a.TSV")), b'\t');
        assert_eq!(SourceUri::delimiter_by_ending(Path::new("tsv")), b',');
    }

    #[test]
    fn a_wrong_address_gets_a_hint() {
        for (text, part) in [
            ("telco.csv", "does not say what kind of source it is\nhint: did you mean csv:telco.csv?"),
            ("csv:", "names no file"),
            ("csv:?delimiter=;", "names no file"),
            ("sqlite:#t", "names no file"),
            ("excel:a.xlsx", "no known kind"),
            ("sqlite:a.db#", "names no table"),
            ("postgres://u:p@host/db", "not available in this version"),
            ("csv:a.csv?delimiter=;;", "not a delimiter"),
            ("csv:a.csv?quote='", "not an option"),
        ] {
            let error = text.parse::<SourceUri>().unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("\nhint: "), "{error}");
        }
    }

    // invariant: An error never repeats a password from an address.
    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let error = "postgres://user:secret@host/db".parse::<SourceUri>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
