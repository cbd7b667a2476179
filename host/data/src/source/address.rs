//! The address of a source, as in a manifest, `--source`, `init` and `predict`.
//!
//! This is the only parser of addresses of files. A manifest adds files on servers. The host alone
//! knows addresses; a stage knows the name of its source. Addresses of unsupported kinds are
//! recognised, so that their errors say so.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, shown};
use crate::source::compression::{Compression, inner_ending};
use crate::source::csv_options::{CsvOptions, compression_of};

const KINDS: &str = "write csv:FILE, jsonl:FILE, parquet:FILE, arrow:FILE or sqlite:FILE#TABLE";
const OPTIONS: &str = "options are ?delimiter=X (one character, or tab, comma, semicolon, pipe, space), ?header=false and ?compression=gzip, joined by &";
const JSONL_OPTIONS: &str = "the option is ?compression=gzip (or zstd, none)";
/// The kinds of files.
const FILE_KINDS: [&str; 5] = ["csv", "jsonl", "parquet", "arrow", "sqlite"];

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SourceUri {
    /// `csv:PATH`, or `csv:PATH?delimiter=;&header=false`.
    Csv {
        /// The file, or a folder of files if it ends with `/`.
        path: PathBuf,
        /// How the text is written.
        options: CsvOptions,
    },
    /// `jsonl:PATH`, or `jsonl:PATH?compression=gzip`: an object on each line.
    Jsonl {
        /// The file, or a folder of files if it ends with `/`.
        path: PathBuf,
        /// `None` for [`Compression::by_ending`].
        compression: Option<Compression>,
    },
    /// `sqlite:PATH#TABLE`, or `sqlite:PATH` with a query.
    Sqlite {
        /// The database, opened read-only.
        path: PathBuf,
        /// A table or view.
        table: Option<String>,
    },
    /// Rows that the host kept of a PostgreSQL server. No address names them.
    PostgresRows {
        /// The file.
        path: PathBuf,
    },
    /// `parquet:PATH`.
    Parquet {
        /// The file, or a folder of files if it ends with `/`.
        path: PathBuf,
    },
    /// `arrow:PATH`: an Arrow IPC file or stream.
    Arrow {
        /// The file, or a folder of files if it ends with `/`.
        path: PathBuf,
    },
}

impl SourceUri {
    /// Returns the file of the address.
    pub fn path(&self) -> &Path {
        match self {
            Self::Csv { path, .. }
            | Self::Jsonl { path, .. }
            | Self::Sqlite { path, .. }
            | Self::PostgresRows { path }
            | Self::Parquet { path }
            | Self::Arrow { path } => path,
        }
    }

    /// Returns whether the address names a folder, whose files are read in the order of their
    /// names.
    pub fn is_folder(&self) -> bool {
        !matches!(self, Self::Sqlite { .. } | Self::PostgresRows { .. }) && names_folder(self.path())
    }

    /// Returns the default delimiter of a text file: a tab for `.tsv` and `.tab`, else a comma. The
    /// ending of a compression (`.gz`, `.zst`) does not count.
    pub fn delimiter_by_ending(path: &Path) -> u8 {
        let is_tab = |ending: &str| ending.eq_ignore_ascii_case("tsv") || ending.eq_ignore_ascii_case("tab");
        if inner_ending(path).is_some_and(is_tab) { b'\t' } else { b',' }
    }

    /// Returns the address with a relative path resolved against `folder`.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        let path = folder.join(self.path());
        self.at(path)
    }

    /// Returns the address with another path.
    #[must_use]
    pub(crate) fn at(mut self, other: PathBuf) -> Self {
        let (Self::Csv { path, .. }
        | Self::Jsonl { path, .. }
        | Self::Sqlite { path, .. }
        | Self::PostgresRows { path }
        | Self::Parquet { path }
        | Self::Arrow { path }) = &mut self;
        *path = other;
        self
    }
}

/// Returns whether a path is written as that of a folder: with `/` at its end.
pub(super) fn names_folder(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
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
            let guess = match inner_ending(Path::new(uri.split('?').next().unwrap_or(uri))) {
                Some("csv" | "tsv" | "tab" | "txt") => format!("did you mean csv:{uri}?"),
                Some("jsonl" | "ndjson") => format!("did you mean jsonl:{uri}?"),
                Some("parquet" | "pq") => format!("did you mean parquet:{uri}?"),
                Some("arrow" | "feather") => format!("did you mean arrow:{uri}?"),
                Some("db" | "sqlite" | "sqlite3") => format!("did you mean sqlite:{uri}#TABLE?"),
                _ => KINDS.to_owned(),
            };
            return Err(wrong("it does not say what kind of source it is", &guess));
        };
        if (rest.is_empty() || rest.contains('\0')) && FILE_KINDS.contains(&kind) {
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
            "jsonl" => jsonl_address(rest).map_err(|message| wrong(&message, JSONL_OPTIONS)),
            "parquet" => Ok(Self::Parquet { path: rest.into() }),
            "arrow" => Ok(Self::Arrow { path: rest.into() }),
            "http" | "https" | "s3" => Err(wrong(
                "a manifest fetches it, under a grant",
                "write it as the `uri` of a source in a pipeline file",
            )),
            "postgres" | "postgresql" => Err(wrong(
                "a manifest reads it, under a grant",
                "write it as the `uri` of a source in a pipeline file, or let `stagewright init` write one",
            )),
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
    let (path, options) = path_and_options(rest)?;
    Ok(SourceUri::Csv { path, options: CsvOptions::parse(options)? })
}

/// Parses `PATH?compression=KIND`.
fn jsonl_address(rest: &str) -> Result<SourceUri, String> {
    let (path, options) = path_and_options(rest)?;
    let compression = match options.split_once('=') {
        None => None,
        Some(("compression", text)) => Some(compression_of(text)?),
        Some(_) => return Err(format!("`{}` is not an option", shown(options))),
    };
    Ok(SourceUri::Jsonl { path, compression })
}

fn path_and_options(rest: &str) -> Result<(PathBuf, &str), String> {
    let (path, options) = split_options(rest);
    if path.is_empty() { Err("it names no file".to_owned()) } else { Ok((path.into(), options)) }
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

impl fmt::Display for SourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csv { path, options } => {
                write!(f, "csv:{}", path.display())?;
                let options = options.written();
                if options.is_empty() { Ok(()) } else { write!(f, "?{}", options.join("&")) }
            }
            Self::Jsonl { path, compression: None } => write!(f, "jsonl:{}", path.display()),
            Self::Jsonl { path, compression: Some(kind) } => {
                write!(f, "jsonl:{}?compression={}", path.display(), kind.name())
            }
            Self::Sqlite { path, table: Some(table) } => write!(f, "sqlite:{}#{table}", path.display()),
            Self::Sqlite { path, table: None } => write!(f, "sqlite:{}", path.display()),
            Self::PostgresRows { path } => write!(f, "postgresql-rows:{}", path.display()),
            Self::Parquet { path } => write!(f, "parquet:{}", path.display()),
            Self::Arrow { path } => write!(f, "arrow:{}", path.display()),
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
            "csv:a.csv.gz?compression=none",
            "jsonl:rows.jsonl",
            "jsonl:rows?compression=zstd",
            "arrow:rows.arrow",
            "parquet:lake/customers/",
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
            let SourceUri::Csv { path, options } = text.parse().unwrap() else { panic!("not CSV") };
            assert_eq!((path.as_path(), options.delimiter), (Path::new("x"), Some(byte)), "{text}");
        }
        assert_eq!(SourceUri::delimiter_by_ending(Path::new("a.TSV")), b'\t');
        assert_eq!(SourceUri::delimiter_by_ending(Path::new("tsv")), b',');
        assert_eq!(SourceUri::delimiter_by_ending(Path::new("a.tsv.gz")), b'\t');
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
            ("postgres://u:p@host/db", "a manifest reads it, under a grant"),
            ("csv:a.csv?delimiter=;;", "not a delimiter"),
            ("csv:a.csv?qoute='", "not an option"),
            ("csv:a.csv?compression=rar", "not a compression"),
            ("jsonl:?compression=gzip", "names no file"),
            ("jsonl:a.jsonl?delimiter=;", "not an option"),
            ("rows.jsonl.gz", "did you mean jsonl:rows.jsonl.gz?"),
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
