//! `[sources.NAME]`: the sources of data.
//!
//! Owns the keys that a manifest adds to an address, and files on servers. `stagewright-data`
//! parses addresses of files, as for all commands. This module opens nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;
use stagewright_data::{Compression, DataError, Dialect, Literal, SourceUri, is_postgres};
use stagewright_store::DataReference;

use crate::body_format::{HttpFormat, MAX_BYTES, sha256_of};
use crate::database_source::{DatabaseKeys, DatabaseSource, SqliteRows};
use crate::document::{Table, Value};
use crate::json_source::{self, JsonSource};
use crate::names::Identifier;
use crate::nearest::nearest;
use crate::object_source::{self, ObjectSource};
use crate::reader::{Item, Section};

/// The schemes of a URI, each with its form.
const FORMS: [(&str, &str); 11] = [
    ("csv", "csv:FILE"),
    ("jsonl", "jsonl:FILE"),
    ("sqlite", "sqlite:FILE#TABLE"),
    ("parquet", "parquet:FILE"),
    ("arrow", "arrow:FILE"),
    ("postgresql", "postgresql://USER@HOST/DATABASE#TABLE"),
    ("postgres", "postgres://USER@HOST/DATABASE#TABLE"),
    ("https", "https://HOST/PATH"),
    ("http", "http://HOST/PATH"),
    ("s3", "s3://BUCKET/KEY"),
    ("data", "data:NAME@VERSION"),
];

/// The formats of bodies, each with the endings of paths that tell it.
const FORMATS: [(&str, &[&str]); 4] = [
    ("csv", &[".csv", ".tsv"]),
    ("jsonl", &[".jsonl", ".ndjson"]),
    ("parquet", &[".parquet"]),
    ("arrow", &[".arrow", ".feather"]),
];

/// The prefix of environment variables that any manifest may send to a server as a token.
pub const TOKEN_PREFIX: &str = "STAGEWRIGHT_TOKEN_";

/// A source of data.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SourceSection {
    /// The URI as written. Its record lacks the query of a URL, which may hold a key.
    #[serde(serialize_with = "recorded")]
    pub uri: String,
    /// The parsed URI and options.
    #[serde(flatten)]
    pub location: SourceLocation,
}

/// The location and format of a source. Paths are absolute, or relative to the current directory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SourceLocation {
    /// Delimited text.
    Csv {
        /// The file.
        #[serde(skip)]
        path: PathBuf,
        /// The separator: one ASCII character.
        delimiter: char,
        /// Whether the first line names the columns. If not, the signature does.
        header: bool,
        /// How it is compressed; `None` for what the name of the file tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        compression: Option<Compression>,
        /// The deviations from plain CSV.
        #[serde(flatten)]
        dialect: Dialect,
    },
    /// An object on each line.
    Jsonl {
        /// The file.
        #[serde(skip)]
        path: PathBuf,
        /// How it is compressed; `None` for what the name of the file tells.
        #[serde(skip_serializing_if = "Option::is_none")]
        compression: Option<Compression>,
    },
    /// A SQLite database.
    Sqlite {
        /// The file.
        #[serde(skip)]
        path: PathBuf,
        /// The rows that are read.
        #[serde(flatten)]
        rows: SqliteRows,
    },
    /// A Parquet file.
    Parquet {
        /// The file.
        #[serde(skip)]
        path: PathBuf,
    },
    /// An Arrow IPC file or stream.
    Arrow {
        /// The file.
        #[serde(skip)]
        path: PathBuf,
    },
    /// A file that the host downloads from a server, which `http` of the reading stage must grant.
    Http {
        /// The URL.
        #[serde(skip)]
        url: String,
        /// The format of the body.
        #[serde(flatten)]
        format: HttpFormat,
        /// The SHA-256 of the body, in hexadecimal. A body that is already stored is not downloaded
        /// again.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// The environment variable with a bearer token. Its value is neither recorded nor shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        token_env: Option<String>,
        /// Further headers, each with the environment variable that has its value. The values are
        /// neither recorded nor shown.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        headers: BTreeMap<String, String>,
        /// The longest body, in bytes; of an API, the longest sum of all pages.
        max_bytes: u64,
    },
    /// A version of data in the registry.
    Data {
        /// The version. Before a run, the exact one takes the place of the latest.
        #[serde(skip)]
        reference: DataReference,
    },
    /// Objects that the host reads from a bucket, which `s3` of the reading stage must grant.
    Objects(ObjectSource),
    /// Rows that the host reads from a PostgreSQL server, which `postgres` of the reading stage
    /// must grant.
    Postgres(DatabaseSource),
}

/// Returns the URI without the password that one of PostgreSQL may have.
fn without_password(uri: &str) -> String {
    if is_postgres(uri) { stagewright_data::without_password(uri) } else { uri.to_owned() }
}

fn recorded<S: serde::Serializer>(uri: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&without_query(uri))
}

/// Returns the URI of a source for records: in a URL, `?…` replaces query and fragment.
pub fn without_query(uri: &str) -> std::borrow::Cow<'_, str> {
    let is_url = uri.split_once(':').is_some_and(|(scheme, _)| matches!(scheme, "http" | "https"));
    match uri.split_once(['?', '#']).filter(|_| is_url) {
        Some((place, _)) => format!("{place}?…").into(),
        None => uri.into(),
    }
}

impl SourceSection {
    pub(crate) fn read(section: Section<'_>, as_of: Option<Timestamp>) -> Option<Self> {
        let uri = section.require("uri", "uri = \"csv:FILE\"");
        let options = Options {
            table: section.get("table"),
            query: section.get("query"),
            parameters: section.get("parameters"),
            delimiter: section.get("delimiter"),
            header: section.get("header"),
            compression: section.get("compression"),
            dialect: Dialect::OPTIONS.map(|option| section.get(option)),
            format: section.get("format"),
            sha256: section.get("sha256"),
            token_env: section.get("token-env"),
            password_env: section.get("password-env"),
            max_bytes: section.get("max-bytes"),
            records: section.get("records"),
            pages: section.get("pages"),
            headers: section.get("headers"),
            values: section.get("values"),
            endpoint: section.get("endpoint"),
            region: section.get("region"),
            path_style: section.get("path-style"),
            as_of,
        };
        let location = uri.and_then(|item| Some((item.text()?, options.location(&item)?)));
        section.finish();
        location.map(|(uri, location)| Self { uri: without_password(uri), location })
    }
}

/// The options of a source beside its URI.
struct Options<'a> {
    table: Option<Item<'a>>,
    query: Option<Item<'a>>,
    parameters: Option<Item<'a>>,
    delimiter: Option<Item<'a>>,
    header: Option<Item<'a>>,
    compression: Option<Item<'a>>,
    /// Those of [`Dialect::OPTIONS`].
    dialect: [Option<Item<'a>>; Dialect::OPTIONS.len()],
    format: Option<Item<'a>>,
    sha256: Option<Item<'a>>,
    token_env: Option<Item<'a>>,
    password_env: Option<Item<'a>>,
    max_bytes: Option<Item<'a>>,
    records: Option<Item<'a>>,
    pages: Option<Item<'a>>,
    headers: Option<Item<'a>>,
    values: Option<Item<'a>>,
    endpoint: Option<Item<'a>>,
    region: Option<Item<'a>>,
    path_style: Option<Item<'a>>,
    as_of: Option<Timestamp>,
}

impl Options<'_> {
    /// Returns the meaning of the URI and the options together.
    fn location(&self, uri: &Item<'_>) -> Option<SourceLocation> {
        // Options are read before the URI, so that their problems are reported too.
        let delimiter = self.delimiter.as_ref().map(separator);
        let header = self.header.as_ref().map(Item::boolean);
        let compression = self.compression.as_ref().map(|item| item.choice(&Compression::NAMES));
        let dialect = self.dialect();
        let query = self.query.as_ref().map(|item| item.text().map(str::to_owned));
        let parameters = self.parameters.as_ref().map_or_else(|| Some(Vec::new()), bound);
        let scheme = scheme_of(uri)?;
        let is_http = matches!(scheme, "http" | "https");
        let is_s3 = scheme == "s3";
        let is_postgres = matches!(scheme, "postgresql" | "postgres");
        if scheme != "csv" && !is_http && !is_s3 {
            foreign(scheme, "csv", &[&self.delimiter, &self.header]);
        }
        if scheme != "csv" && !is_http {
            foreign(scheme, "csv", &self.dialect.each_ref());
        }
        if !matches!(scheme, "csv" | "jsonl") && !is_http && !is_s3 {
            foreign(scheme, "csv", &[&self.compression]);
        }
        if scheme != "sqlite" && !is_postgres {
            foreign(scheme, "sqlite", &[&self.query, &self.parameters]);
        }
        if !is_http && !is_s3 {
            foreign(scheme, "https", &[&self.format]);
        }
        if !is_http && !is_s3 && !is_postgres {
            foreign(scheme, "https", &[&self.max_bytes]);
        }
        if !is_http {
            foreign(scheme, "https", &[&self.token_env, &self.records, &self.pages, &self.headers]);
        }
        if !is_http && !is_postgres {
            foreign(scheme, "https", &[&self.sha256]);
        }
        if !is_postgres {
            foreign(scheme, "postgresql", &[&self.table, &self.password_env]);
        }
        if !is_s3 {
            foreign(scheme, "s3", &[&self.values, &self.endpoint, &self.region, &self.path_style]);
        }
        if is_http {
            let (delimiter, header) = (delimiter.unwrap_or(Some(','))?, header.unwrap_or(Some(true))?);
            let dialect = self.one_dialect(uri, dialect?, Dialect::default(), delimiter)?;
            let compression = compression.map_or(Some(None), |it| it.map(Some))?;
            return self.http(uri, (delimiter, header), compression, dialect);
        }
        if is_postgres {
            let keys = DatabaseKeys {
                table: &self.table,
                query: &self.query,
                parameters: &self.parameters,
                bound: parameters,
                sha256: &self.sha256,
                password_env: &self.password_env,
                max_bytes: &self.max_bytes,
            };
            return DatabaseSource::read(uri, keys).map(SourceLocation::Postgres);
        }
        if is_s3 {
            return self.objects(uri, delimiter, header, compression);
        }
        if scheme == "data" {
            return data_version(uri);
        }
        match address(uri)? {
            SourceUri::Csv { path, options: within } => {
                let (has_header, packing, told) = (within.header, within.compression, within.dialect);
                let within = within.delimiter.map(char::from);
                let delimiter = once(self.delimiter.as_ref(), delimiter, "delimiter", within)?;
                let header = once(self.header.as_ref(), header, "header", has_header)?;
                let delimiter = delimiter.unwrap_or_else(|| SourceUri::delimiter_by_ending(&path).into());
                let compression = once(self.compression.as_ref(), compression, "compression", packing)?;
                let (path, header) = (resolved(uri, &path), header.unwrap_or(true));
                let dialect = self.one_dialect(uri, dialect?, told, delimiter)?;
                Some(SourceLocation::Csv { compression: packed(compression, &path), path, delimiter, header, dialect })
            }
            SourceUri::Jsonl { path, compression: within } => {
                let compression = once(self.compression.as_ref(), compression, "compression", within)?;
                let path = resolved(uri, &path);
                Some(SourceLocation::Jsonl { compression: packed(compression, &path), path })
            }
            SourceUri::Arrow { path } => Some(SourceLocation::Arrow { path: resolved(uri, &path) }),
            SourceUri::Parquet { path } => Some(SourceLocation::Parquet { path: resolved(uri, &path) }),
            // No address is written so: the host names rows that it fetched.
            SourceUri::PostgresRows { .. } => None,
            SourceUri::Sqlite { path, table } => {
                if let (Some(parameters), None) = (&self.parameters, &query) {
                    let hint = "add `query = \"SELECT ... WHERE x > ?\"`".to_owned();
                    parameters.report(format!("`{}` needs a query", parameters.key), Some(hint));
                }
                let query = query.map(|query| Some(SqliteRows::Query { query: query?, parameters: parameters? }));
                let rows = sqlite_rows(uri, &path, table, query)?;
                Some(SourceLocation::Sqlite { path: resolved(uri, &path), rows })
            }
        }
    }
}

/// Returns the compression that is recorded with a file: that which was told, or that which its
/// name tells. A record may be read from a file of another name.
fn packed(told: Option<Compression>, path: &std::path::Path) -> Option<Compression> {
    told.or(Some(Compression::by_ending(path)).filter(|kind| *kind != Compression::None))
}

/// Parses the name of a version of data: `data:customers@1.2`.
fn data_version(uri: &Item<'_>) -> Option<SourceLocation> {
    let text = uri.text()?;
    match text.strip_prefix("data:").unwrap_or(text).parse::<DataReference>() {
        Ok(reference) => Some(SourceLocation::Data { reference }),
        Err(error) => {
            let (message, hint) =
                (error.to_string(), "write `data:NAME`, `data:NAME@1`, or `data:NAME@1.2.0`".to_owned());
            let message = message.lines().next().unwrap_or_default().to_owned();
            uri.report_value(format!("`{}`: {message}", uri.key), Some(hint));
            None
        }
    }
}

/// Parses the address of a file, as all commands do.
fn address(uri: &Item<'_>) -> Option<SourceUri> {
    match uri.text()?.parse() {
        Ok(address) => Some(address),
        Err(DataError::Uri { message, hint, .. }) => {
            uri.report_value(format!("`{}`: {message}", uri.key), Some(hint));
            None
        }
        Err(error) => {
            uri.report_value(format!("`{}`: {error}", uri.key), None);
            None
        }
    }
}

fn resolved(uri: &Item<'_>, path: &std::path::Path) -> PathBuf {
    uri.resolve(&path.to_string_lossy())
}

/// Reads an option that the URI and a key may both set, but not differently. `Some(None)` if
/// neither does; `None` if the key cannot be read.
pub(crate) fn once<T: PartialEq>(
    key: Option<&Item<'_>>,
    of_key: Option<Option<T>>,
    name: &str,
    within_uri: Option<T>,
) -> Option<Option<T>> {
    match (key, of_key, within_uri) {
        (_, Some(None), _) => None,
        (Some(key), Some(Some(of_key)), Some(within)) if of_key != within => {
            let hint = format!("remove the key, or `{name}=` from the URI");
            key.report(format!("`{}` and the URI name different ones", key.key), Some(hint));
            None
        }
        (_, Some(of_key), within) => Some(of_key.or(within)),
        (_, None, within) => Some(within),
    }
}

impl Options<'_> {
    /// Reads the keys of a dialect; `None` if one cannot be read.
    fn dialect(&self) -> Option<Dialect> {
        let (mut dialect, mut is_whole) = (Dialect::default(), true);
        for (option, item) in Dialect::OPTIONS.into_iter().zip(&self.dialect) {
            let Some(item) = item else { continue };
            let is_list = option.ends_with("-words") || option.ends_with("-formats");
            let items = if is_list { item.array() } else { None };
            let texts = if is_list { items.as_deref() } else { Some(std::slice::from_ref(item)) };
            for text in texts.unwrap_or_default() {
                let set = text.string().map(|value| dialect.set(option, value));
                if let Some(Err(problem)) = &set {
                    text.report_value(format!("`{}`: {problem}", item.key), None);
                }
                is_whole &= matches!(set, Some(Ok(())));
            }
            is_whole &= texts.is_some();
        }
        is_whole.then_some(dialect)
    }

    /// Returns the dialect of the keys or of the URI. Both together are an error.
    fn one_dialect(&self, uri: &Item<'_>, of_keys: Dialect, told: Dialect, delimiter: char) -> Option<Dialect> {
        let key = self.dialect.iter().flatten().next();
        let dialect = match key {
            Some(key) if !told.is_plain() && told != of_keys => {
                let hint = "write the dialect in the URI or in keys".to_owned();
                key.report(format!("`{}` and the URI both tell a dialect", key.key), Some(hint));
                return None;
            }
            Some(_) => of_keys,
            None => told,
        };
        let checked = u8::try_from(delimiter).map_or(Ok(()), |delimiter| dialect.check(delimiter));
        if let Err(problem) = checked {
            key.unwrap_or(uri).report(format!("{problem} in the source"), None);
            return None;
        }
        Some(dialect)
    }

    /// Reads a file on a server.
    fn http(
        &self,
        uri: &Item<'_>,
        (delimiter, header): (char, bool),
        compression: Option<Compression>,
        dialect: Dialect,
    ) -> Option<SourceLocation> {
        let url = uri.text()?;
        let authority = url.split("//").nth(1).unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
        if authority.is_empty() || authority.contains('@') {
            let (message, hint) = if authority.is_empty() {
                (format!("`{}` names no server", uri.key), "write `https://HOST/PATH`")
            } else {
                (
                    format!("`{}` carries a user or a password, which would be recorded with every run", uri.key),
                    "put a token into a variable of the environment, and its name into `token-env`",
                )
            };
            uri.report_value(message, Some(hint.to_owned()));
            return None;
        }
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let compression = packed(compression, std::path::Path::new(path)).filter(|kind| *kind != Compression::None);
        let inner = path.strip_suffix(".gz").or_else(|| path.strip_suffix(".zst")).unwrap_or(path);
        let guess = FORMATS.iter().find(|(_, endings)| endings.iter().any(|ending| inner.ends_with(ending)));
        let is_json = self.records.is_some() || self.pages.is_some() || inner.ends_with(".json");
        let guess = guess.map_or(if is_json { "json" } else { "csv" }, |(format, _)| format);
        let formats = [&FORMATS.map(|(format, _)| (format, format))[..], &[("json", "json")]].concat();
        let format = self.format.as_ref().map_or(Some(guess), |item| item.choice(&formats))?;
        if format != "json" {
            foreign(&format!("https: {format}"), "https", &[&self.records, &self.pages]);
        }
        if format != "csv" {
            foreign(&format!("https: {format}"), "csv", &[&self.delimiter, &self.header]);
        }
        if !matches!(format, "csv" | "jsonl") {
            foreign(&format!("https: {format}"), "csv", &[&self.compression]);
        }
        if format != "csv" {
            foreign(&format!("https: {format}"), "csv", &self.dialect.each_ref());
        }
        let sha256 = self.sha256.as_ref().map(sha256_of);
        let token_env = self.token_env.as_ref().map(|item| item.text().map(str::to_owned));
        let max_bytes = self.max_bytes.as_ref().map_or(Some(MAX_BYTES), Item::bytes);
        Some(SourceLocation::Http {
            url: url.to_owned(),
            format: match format {
                "csv" => HttpFormat::Csv { delimiter, header, compression, dialect },
                "jsonl" => HttpFormat::Jsonl { compression },
                "arrow" => HttpFormat::Arrow,
                "json" => HttpFormat::Json(JsonSource::read(self.records.as_ref(), self.pages.as_ref())?),
                _ => HttpFormat::Parquet,
            },
            headers: self.headers.as_ref().map_or_else(|| Some(BTreeMap::new()), json_source::headers)?,
            sha256: sha256.map_or(Some(None), |it| it.map(Some))?,
            token_env: token_env.map_or(Some(None), |it| it.map(Some))?,
            max_bytes: max_bytes?,
        })
    }
}

impl Options<'_> {
    /// Reads a place in a bucket.
    fn objects(
        &self,
        uri: &Item<'_>,
        delimiter: Option<Option<char>>,
        header: Option<Option<bool>>,
        compression: Option<Option<Compression>>,
    ) -> Option<SourceLocation> {
        let values = self.values.as_ref().map(|item| item.section());
        let max_bytes = self.max_bytes.as_ref().map_or(Some(MAX_BYTES), Item::bytes);
        let endpoint = self.endpoint.as_ref().map(server_address);
        let region = self.region.as_ref().map(|item| item.text().map(str::to_owned));
        let path_style = self.path_style.as_ref().map(Item::boolean);
        let values = values.map_or(Some(None), |it| it.map(Some))?;
        let (bucket, key) = object_source::place(uri, values.as_ref(), self.as_of)?;
        let is_prefix = key.is_empty() || key.ends_with('/');
        let named = self.format.as_ref().map(|item| item.choice(&FORMATS.map(|(format, _)| (format, format))));
        let format = match named {
            Some(named) => Some(named?),
            None if is_prefix => None,
            None => Some(object_source::format_by_ending(&key).unwrap_or("csv")),
        };
        if let Some(format) = format.filter(|format| *format != "csv") {
            foreign(&format!("s3: {format}"), "csv", &[&self.delimiter, &self.header]);
        }
        if let Some(format) = format.filter(|format| !matches!(*format, "csv" | "jsonl")) {
            foreign(&format!("s3: {format}"), "csv", &[&self.compression]);
        }
        let (delimiter, header) = (delimiter.map_or(Some(None), |it| it.map(Some))?, header.unwrap_or(Some(true))?);
        let compression = compression.map_or(Some(None), |it| it.map(Some))?;
        // Below a prefix, each key tells how its object is compressed.
        let compression = if is_prefix { compression } else { packed(compression, std::path::Path::new(&key)) };
        Some(SourceLocation::Objects(ObjectSource {
            bucket,
            format: object_source::Format { name: format, delimiter, header, compression },
            key,
            max_bytes: max_bytes?,
            endpoint: endpoint.map_or(Some(None), |it| it.map(Some))?,
            region: region.map_or(Some(None), |it| it.map(Some))?,
            path_style: path_style.map_or(Some(None), |it| it.map(Some))?,
        }))
    }
}

/// Reads the address of a store, as `endpoint` of `[production]`.
fn server_address(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match authority.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default()) {
        Some(authority) if !authority.is_empty() && !authority.contains('@') => Some(text.to_owned()),
        _ => {
            let hint = "write an address such as `https://minio.example:9000`, without user and password".to_owned();
            item.report_value(format!("`{}` is not an address", item.key), Some(hint));
            None
        }
    }
}

/// Reports options that do not apply to this kind of source.
fn foreign(scheme: &str, owner: &str, options: &[&Option<Item<'_>>]) {
    for option in options.iter().copied().flatten() {
        let hint = format!("remove it, or use a `{owner}:` URI");
        option.report(format!("`{}` has no meaning for a `{scheme}:` source", option.key), Some(hint));
    }
}

/// Returns the scheme of a URI; reports an unknown one.
fn scheme_of<'a>(item: &Item<'a>) -> Option<&'a str> {
    let uri = item.text()?;
    let forms = || format!("use {}", FORMS.map(|(_, form)| format!("`{form}`")).join(", "));
    let Some((scheme, rest)) = uri.split_once(':') else {
        let guess = match uri.split('?').next().and_then(|path| path.rsplit_once('.')).map(|(_, ending)| ending) {
            Some("csv" | "tsv" | "tab" | "txt") => Some(format!("did you mean `csv:{uri}`?")),
            Some("jsonl" | "ndjson") => Some(format!("did you mean `jsonl:{uri}`?")),
            Some("arrow" | "feather") => Some(format!("did you mean `arrow:{uri}`?")),
            Some("parquet" | "pq") => Some(format!("did you mean `parquet:{uri}`?")),
            Some("db" | "sqlite" | "sqlite3") => Some(format!("did you mean `sqlite:{uri}#TABLE`?")),
            _ => None,
        };
        item.report_value(format!("`{uri}` names no kind of source"), Some(guess.unwrap_or_else(forms)));
        return None;
    };
    if !FORMS.iter().any(|(name, _)| *name == scheme) {
        let hint = nearest(scheme, FORMS.map(|(name, _)| name)).map(|meant| format!("did you mean `{meant}:{rest}`?"));
        item.report_value(format!("`{scheme}:` is not a kind of source"), Some(hint.unwrap_or_else(forms)));
        return None;
    }
    Some(scheme)
}

/// Returns the rows of a SQLite source. `query` is `Some(None)` if it could not be read.
fn sqlite_rows(
    item: &Item<'_>,
    path: &std::path::Path,
    table: Option<String>,
    query: Option<Option<SqliteRows>>,
) -> Option<SqliteRows> {
    match (table, query) {
        (Some(table), None) => Some(SqliteRows::Table { table }),
        (None, Some(query)) => query,
        (Some(_), Some(_)) => {
            let hint = format!("write `sqlite:{}`, or remove the query", path.display());
            item.report_value(format!("`{}` names a table, but there is a query too", item.key), Some(hint));
            None
        }
        (None, None) => {
            let hint = "write `sqlite:FILE#TABLE`, or add a `query`".to_owned();
            item.report_value(format!("`{}` names no table", item.key), Some(hint));
            None
        }
    }
}

/// Reads a value for the parameter of a query; `None` if it could not be read.
fn bound(item: &Item<'_>) -> Option<Vec<Literal>> {
    let read = |item: &Item<'_>| match &item.node.value {
        Value::Boolean(claim) => Some(Literal::Boolean(*claim)),
        Value::Integer(number) => i64::try_from(*number).ok().map(Literal::Integer),
        Value::Float(_) => item.float().map(Literal::Float),
        Value::String(text) | Value::Datetime(text) => Some(Literal::Text(text.clone())),
        Value::Array(_) | Value::Table(_) => {
            let message = format!("`{}` must be a single value, not {}", item.key, item.node.value.kind());
            item.report_value(message, None);
            None
        }
    };
    let items = item.array()?;
    items.iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

fn separator(item: &Item<'_>) -> Option<char> {
    let text = item.string()?;
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if letter.is_ascii() && !matches!(letter, '"' | '\n' | '\r' | '\0') => Some(letter),
        _ => {
            let hint = "use one ASCII character such as `,`, `;` or `\\t`, and no quote or line break".to_owned();
            item.report_value(format!("`{}` is not a delimiter: `{}`", item.key, text.escape_debug()), Some(hint));
            None
        }
    }
}

/// Removes the keys that do not apply to the URI of an argument: options of other kinds of source,
/// and the query if the URI names a table.
pub(crate) fn drop_foreign_options(source: &mut Table, uri: &str) {
    let scheme = uri.split(':').next().unwrap_or_default();
    // It is of the file that the argument replaces.
    source.remove("compression");
    if scheme != "s3" {
        ["values", "endpoint", "region", "path-style"].into_iter().for_each(|option| source.remove(option));
    }
    if !matches!(scheme, "http" | "https") {
        ["token-env", "records", "pages", "headers"].into_iter().for_each(|option| source.remove(option));
    }
    if !matches!(scheme, "http" | "https" | "postgresql" | "postgres") {
        source.remove("sha256");
    }
    if !matches!(scheme, "http" | "https" | "s3" | "postgresql" | "postgres") {
        source.remove("max-bytes");
    }
    if !matches!(scheme, "http" | "https" | "s3") {
        ["format"].into_iter().for_each(|option| source.remove(option));
        if scheme != "csv" {
            source.remove("delimiter");
            source.remove("header");
            Dialect::OPTIONS.into_iter().for_each(|option| source.remove(option));
        }
    }
    // An option in the URI of an argument wins over the keys of the file.
    if let Ok(SourceUri::Csv { options, .. }) = uri.parse() {
        if !options.dialect.is_plain() {
            Dialect::OPTIONS.into_iter().for_each(|option| source.remove(option));
        }
        let said = [("delimiter", options.delimiter.is_some()), ("header", options.header.is_some())];
        said.into_iter().filter(|(_, is_said)| *is_said).for_each(|(option, _)| source.remove(option));
    }
    let is_postgres = is_postgres(uri);
    if !is_postgres {
        ["table", "password-env"].into_iter().for_each(|option| source.remove(option));
    }
    if (scheme != "sqlite" && !is_postgres) || uri.contains('#') {
        ["table", "query", "parameters"].into_iter().for_each(|option| source.remove(option));
    }
}

/// Reads all sources.
pub(crate) fn read_all(section: Section<'_>, as_of: Option<Timestamp>) -> Vec<(Identifier, Option<SourceSection>)> {
    let read = |(name, item): (&str, Item<'_>)| {
        let identifier = identifier(&item, name, "source");
        let source = item.section().and_then(|section| SourceSection::read(section, as_of));
        Some((identifier?, source))
    };
    section.items().filter_map(read).collect()
}

/// Checks a key that the user chooses as a name.
pub(crate) fn identifier(item: &Item<'_>, name: &str, what: &str) -> Option<Identifier> {
    Identifier::new(name)
        .map_err(|rule| item.report(format!("`{name}` is not a name for a {what}"), Some(rule.to_owned())))
        .ok()
}
