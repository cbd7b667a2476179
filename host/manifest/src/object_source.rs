//! Sources in buckets of S3: one object, or all objects below a prefix.
//!
//! A key may be a template: `events/{date}/`. It is filled in when the file is read, so that what
//! follows (grants, records, errors) knows one place alone.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use stagewright_data::{Compression, Dialect, SourceUri};

use crate::body_format::HttpFormat;
use crate::bucket_grant::is_bucket;
use crate::document::Value;
use crate::reader::{Item, Section};

/// The longest key of S3, in bytes.
const MAX_KEY: usize = 1024;

/// The names of a template that the manifest's `as-of` fills in, as `strftime` writes them.
const OF_TIME: [(&str, &str); 5] =
    [("date", "%Y-%m-%d"), ("year", "%Y"), ("month", "%m"), ("day", "%d"), ("hour", "%H")];

/// One object, or all objects below a prefix.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ObjectSource {
    /// The bucket.
    pub bucket: String,
    /// The key of the object, or the prefix: empty or with `/` at its end. Templates are filled in.
    pub key: String,
    /// The format of every object.
    #[serde(flatten)]
    pub format: Format,
    /// The longest sum of all objects, in bytes.
    pub max_bytes: u64,
    /// The endpoint of a store other than AWS. `http` of the stage must grant its server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket is in the path of URLs, not in the host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
}

impl ObjectSource {
    /// Returns whether it is all objects below a prefix.
    pub fn is_prefix(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }
}

/// The format of objects, as far as the manifest says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Format {
    /// `csv`, `jsonl`, `parquet` or `arrow`; `None` if the endings of the keys below the prefix
    /// tell it.
    #[serde(rename = "format", skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'static str>,
    /// The separator of CSV; `None` if the ending tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<char>,
    /// Whether the first line of CSV names the columns.
    #[serde(skip_serializing_if = "is_true")]
    pub(crate) header: bool,
    /// How each object is compressed; `None` for what its key tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) compression: Option<Compression>,
}

// serde prescribes the signature.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_true(flag: &bool) -> bool {
    *flag
}

impl Format {
    /// Returns the format of objects with these keys, all in one.
    ///
    /// # Errors
    /// The key of which it is not known, or that has another format than the first one.
    pub fn of<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Result<HttpFormat, &'k str> {
        let mut keys = keys.into_iter();
        let first = keys.next().unwrap_or_default();
        let delimiter = |key: &str| SourceUri::delimiter_by_ending(Path::new(key));
        let name = match self.name {
            Some(name) => name,
            None => format_by_ending(first).ok_or(first)?,
        };
        let is_alike = |key: &str| {
            format_by_ending(key) == Some(name) && (self.delimiter.is_some() || delimiter(key) == delimiter(first))
        };
        if let (None, Some(other)) = (self.name, keys.find(|key| !is_alike(key))) {
            return Err(other);
        }
        let compression = self.compression;
        Ok(match name {
            "parquet" => HttpFormat::Parquet,
            "arrow" => HttpFormat::Arrow,
            "jsonl" => HttpFormat::Jsonl { compression },
            _ => HttpFormat::Csv {
                delimiter: self.delimiter.unwrap_or_else(|| delimiter(first).into()),
                header: self.header,
                compression,
                dialect: Dialect::default(),
            },
        })
    }
}

/// Returns the format that the ending of a key tells.
pub(crate) fn format_by_ending(key: &str) -> Option<&'static str> {
    match stagewright_data::inner_ending(Path::new(key))?.to_ascii_lowercase().as_str() {
        "csv" | "tsv" | "tab" | "txt" => Some("csv"),
        "jsonl" | "ndjson" | "json" => Some("jsonl"),
        "parquet" | "pq" => Some("parquet"),
        "arrow" | "arrows" | "feather" | "ipc" => Some("arrow"),
        _ => None,
    }
}

/// Returns bucket and key of `s3://BUCKET/KEY`, with the template of the key filled in. `values` are
/// those of the manifest, and win over the date of `as-of`.
pub(crate) fn place(
    uri: &Item<'_>,
    values: Option<&Section<'_>>,
    as_of: Option<Timestamp>,
) -> Option<(String, String)> {
    let text = uri.text()?;
    let rest = text.strip_prefix("s3://").unwrap_or_default();
    let (bucket, template) = rest.split_once('/').unwrap_or((rest, ""));
    let report = |message: String, hint: &str| uri.report_value(format!("`{}` {message}", uri.key), Some(hint.into()));
    if !is_bucket(bucket) {
        report(
            "names no bucket".to_owned(),
            "write `s3://BUCKET/KEY`, or `s3://BUCKET/PREFIX/` for all objects below a prefix",
        );
        return None;
    }
    let mut used = Vec::new();
    let filled = filled(template, &mut |name| {
        used.push(name.to_owned());
        match values.and_then(|values| value_of(values, name)) {
            Some(item) => value(&item),
            None => of_time(name, as_of?),
        }
    });
    let key = match filled {
        Ok(key) => key,
        Err(Unfilled::Brace) => {
            report("has a `{` or `}` alone".to_owned(), "write `{NAME}` for a value, and `{{` or `}}` for a brace");
            return None;
        }
        Err(Unfilled::Name(name)) => {
            // A value that is wrong has been reported.
            if values.is_none_or(|values| value_of(values, &name).is_none()) && as_of.is_some() {
                let times = OF_TIME.map(|(name, _)| format!("`{{{name}}}`")).join(", ");
                let hint = format!("add `values = {{ {name} = \"...\" }}` to the source; {times} come from `as-of`");
                report(format!("asks for `{{{name}}}`, which has no value"), &hint);
            }
            return None;
        }
    };
    if let Some(values) = values {
        for (name, item) in values.items().filter(|(name, _)| !used.iter().any(|used| used == name)) {
            item.report(format!("`{}` has no `{{{name}}}`", uri.key), Some("remove the value".to_owned()));
        }
    }
    if key.len() > MAX_KEY || key.chars().any(char::is_control) {
        report(format!("gives a key that no object has: at most {MAX_KEY} bytes, no control characters"), "shorten it");
        return None;
    }
    Some((bucket.to_owned(), key))
}

fn value_of<'a>(values: &Section<'a>, name: &str) -> Option<Item<'a>> {
    values.items().find(|(known, _)| *known == name).map(|(_, item)| item)
}

enum Unfilled {
    Brace,
    Name(String),
}

/// Fills in a template.
fn filled(template: &str, value: &mut impl FnMut(&str) -> Option<String>) -> Result<String, Unfilled> {
    let (mut text, mut rest) = (String::new(), template);
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let (brace, after) = (&rest[at..=at], &rest[at + 1..]);
        if let Some(more) = after.strip_prefix(brace) {
            text.push_str(brace);
            rest = more;
            continue;
        }
        let (name, more) = after.split_once('}').filter(|_| brace == "{").ok_or(Unfilled::Brace)?;
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !is_name {
            return Err(Unfilled::Brace);
        }
        text.push_str(&value(name).ok_or_else(|| Unfilled::Name(name.to_owned()))?);
        rest = more;
    }
    Ok(text + rest)
}

fn of_time(name: &str, as_of: Timestamp) -> Option<String> {
    let (_, form) = OF_TIME.iter().find(|(known, _)| *known == name)?;
    Some(as_of.to_zoned(TimeZone::UTC).strftime(form).to_string())
}

/// Returns a value of the manifest as a part of a key.
fn value(item: &Item<'_>) -> Option<String> {
    match &item.node.value {
        Value::String(text) | Value::Datetime(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        other => {
            let message = format!("`{}` must be a text, a whole number or a boolean, not {}", item.key, other.kind());
            item.report_value(message, None);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str) -> Result<String, String> {
        let as_of = "2026-11-29T21:05:00Z".parse().unwrap();
        let value = |name: &str| if name == "region" { Some("eu".to_owned()) } else { of_time(name, as_of) };
        filled(template, &mut { value }).map_err(|unfilled| match unfilled {
            Unfilled::Brace => "brace".to_owned(),
            Unfilled::Name(name) => name,
        })
    }

    #[test]
    fn a_template_is_filled_in_from_values_and_the_time() {
        for (template, key) in [
            ("events/{date}/", "events/2026-11-29/"),
            ("y={year}/m={month}/d={day}/h={hour}/{region}.csv", "y=2026/m=11/d=29/h=21/eu.csv"),
            ("{{date}}/}}{{", "{date}/}{"),
            ("", ""),
        ] {
            assert_eq!(fill(template).as_deref(), Ok(key), "{template}");
        }
        for (template, wrong) in [("a{", "brace"), ("a}", "brace"), ("{}", "brace"), ("{a b}", "brace"), ("{x}", "x")] {
            assert_eq!(fill(template).unwrap_err(), wrong, "{template}");
        }
    }
}
