//! Where data is: the address of a source as the manifest and `--source name=...` write it.
//!
//! An address is host-held; a stage knows the source's name only. Addresses of kinds that a later version will read are
//! recognised, so that the error says so instead of calling them nonsense.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, shown};

const KINDS: &str = "write csv:PATH, sqlite:PATH#TABLE or parquet:PATH";

/// An address, parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SourceUri {
    /// `csv:PATH`, or `csv:PATH?delimiter=;&header=false`.
    Csv {
        /// The file.
        path: PathBuf,
        /// One ASCII character (`tab` for the tab); `None`: a tab for `.tsv` and `.tab` files, else a comma.
        delimiter: Option<u8>,
        /// Whether the first line names the columns. Without a header they are called `column_0`, `column_1`, ...
        header: bool,
    },
    /// `sqlite:PATH#TABLE`, or `sqlite:PATH` together with a query.
    Sqlite {
        /// The database file; opened read-only.
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
    /// The file that the address names.
    pub fn path(&self) -> &Path {
        match self {
            Self::Csv { path, .. } | Self::Sqlite { path, .. } | Self::Parquet { path } => path,
        }
    }

    /// The same address, a relative path taken from `folder`.
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
        let (kind, rest) =
            uri.split_once(':').ok_or_else(|| wrong("it does not say what kind of source it is", KINDS))?;
        if rest.is_empty() && matches!(kind, "csv" | "sqlite" | "parquet") {
            return Err(wrong("it names no file", KINDS));
        }
        match kind {
            "csv" => csv_address(rest).map_err(|message| wrong(&message, "options are ?delimiter=; and ?header=false")),
            "sqlite" => match rest.rsplit_once('#') {
                Some((_, "")) => Err(wrong("it names no table", "write sqlite:PATH#TABLE")),
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

/// The address without the user and password that an address of another kind may carry.
fn without_secret(uri: &str) -> String {
    match (uri.split_once("://"), uri.rsplit_once('@')) {
        (Some((kind, _)), Some((_, host))) => format!("{kind}://...@{host}"),
        _ => uri.to_owned(),
    }
}

/// Splits `PATH?key=value&key=value`. A `?` that no `=` follows belongs to the path.
fn csv_address(rest: &str) -> Result<SourceUri, String> {
    let (path, options) = match rest.rsplit_once('?') {
        Some((path, options)) if options.contains('=') => (path, options),
        _ => (rest, ""),
    };
    let (mut delimiter, mut header) = (None, true);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("delimiter", "tab" | "\t")) => delimiter = Some(b'\t'),
            Some(("delimiter", text)) => delimiter = Some(delimiter_of(text)?),
            Some(("header", "true")) => header = true,
            Some(("header", "false")) => header = false,
            _ => return Err(format!("`{}` is not an option", shown(option))),
        }
    }
    Ok(SourceUri::Csv { path: path.into(), delimiter, header })
}

fn delimiter_of(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => Ok(*byte),
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
                let header = (!header).then(|| "header=false".to_owned());
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
            "sqlite:telco.db#customers",
            "sqlite:dir#1/telco.db#my table",
            "sqlite:telco.db",
            "parquet:telco.parquet",
        ] {
            assert_eq!(text.parse::<SourceUri>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_wrong_address_gets_a_hint() {
        for (text, part) in [
            ("telco.csv", "does not say what kind"),
            ("csv:", "names no file"),
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

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let error = "postgres://user:secret@host/db".parse::<SourceUri>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
