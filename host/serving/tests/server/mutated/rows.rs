//! Counts the rows of a body with other readers than the server has.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_ipc::reader::StreamReader;
use arrow_ipc::root_as_message;
use arrow_schema::ArrowError;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Value};

use super::mutation::messages;
use super::request::Request;

/// A value of JSON as far as it tells how many rows there are.
#[derive(Debug, PartialEq)]
enum Outline {
    List(Vec<Outline>),
    Object(BTreeMap<String, Outline>),
    Number(u64),
    /// Any other value, or one that lies too deep to count.
    Other,
}

/// Reads an [`Outline`] of so many levels. Only members of these names are looked into: a value
/// that the server passes over may be one that this reader refuses.
#[derive(Clone, Copy)]
struct Levels(usize, &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Outline;

    fn deserialize<D: serde::Deserializer<'de>>(self, value: D) -> Result<Outline, D::Error> {
        match self.0 {
            0 => value.deserialize_ignored_any(IgnoredAny).map(|_| Outline::Other),
            _ => value.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Outline;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Outline, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element_seed(Self(self.0 - 1, self.1))? {
            list.push(value);
        }
        Ok(Outline::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Outline, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let levels = if self.1.contains(&&*name) { self.0 - 1 } else { 0 };
            let value = members.next_value_seed(Self(levels, self.1))?;
            object.insert(name, value);
        }
        Ok(Outline::Object(object))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Outline, E> {
        Ok(Outline::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Outline, E> {
        Ok(Outline::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Outline, E> {
        Ok(Outline::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Outline, E> {
        Ok(Outline::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Outline, E> {
        Ok(Outline::Other)
    }

    fn visit_unit<E>(self) -> Result<Outline, E> {
        Ok(Outline::Other)
    }
}

impl Outline {
    /// Reads a text that is one value.
    fn read(text: &[u8], levels: Levels) -> Result<Self, String> {
        let mut values = Self::read_all(text, levels)?;
        if values.len() == 1 { Ok(values.remove(0)) } else { Err(format!("{} values", values.len())) }
    }

    /// Reads the values of a text, one after another.
    fn read_all(text: &[u8], levels: Levels) -> Result<Vec<Self>, String> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut json = Deserializer::from_slice(text);
        let mut values = Vec::new();
        while json.end().is_err() {
            values.push(levels.deserialize(&mut json).map_err(|error| error.to_string())?);
        }
        Ok(values)
    }

    fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    fn len(&self) -> Option<usize> {
        match self {
            Self::List(values) => Some(values.len()),
            _ => None,
        }
    }
}

/// Returns how many rows the body of a request has that was answered.
///
/// # Errors
/// This reader cannot read what the server has read.
pub(super) fn count(request: &Request) -> Result<usize, String> {
    match (request.path, request.kind().as_deref()) {
        ("/predict", Some("application/json") | None) => native(&request.body),
        ("/predict", Some("application/vnd.apache.arrow.stream")) => arrow(&request.body),
        ("/predict" | "/invocations", Some("text/csv")) => csv(&request.body),
        ("/invocations", Some("application/json")) => mlflow(&request.body),
        ("/v2/models/numbers/infer", _) => tensors(request),
        ("/outcomes", Some("application/json")) => outcomes(&request.body),
        (path, kind) => Err(format!("{path} takes no {kind:?}")),
    }
}

/// One object, an array of objects, `{"rows": [...]}`, or objects one after another.
fn native(body: &[u8]) -> Result<usize, String> {
    let rows = |value: &Outline| match (value, value.get("rows").and_then(Outline::len)) {
        (Outline::List(rows), _) => Ok(rows.len()),
        (Outline::Object(members), Some(rows)) if !members.contains_key("x") => Ok(rows),
        (Outline::Object(_), _) => Ok(1),
        _ => Err(format!("{value:?} is no row")),
    };
    Outline::read_all(body, Levels(2, &["rows"]))?.iter().map(rows).sum()
}

fn csv(body: &[u8]) -> Result<usize, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(body);
    Ok(reader
        .byte_records()
        .map(|record| record.map_err(|error| error.to_string()))
        .collect::<Result<Vec<_>, _>>()?
        .len())
}

fn outcomes(body: &[u8]) -> Result<usize, String> {
    // An element of a list may be no JSON for this reader; its result says so.
    match Outline::read(body, Levels(1, &[]))? {
        Outline::List(outcomes) => Ok(outcomes.len()),
        _ => Ok(Outline::read(body, Levels(2, &["outcomes"]))?.get("outcomes").and_then(Outline::len).unwrap_or(1)),
    }
}

fn mlflow(body: &[u8]) -> Result<usize, String> {
    const NAMES: [&str; 6] = ["dataframe_split", "dataframe_records", "instances", "inputs", "data", "x"];
    let body = Outline::read(body, Levels(3, &NAMES))?;
    let found: Vec<_> = NAMES[..4].iter().filter_map(|form| Some((*form, body.get(form)?))).collect();
    let [(form, value)] = found[..] else { return Err(format!("{} forms", found.len())) };
    let list = |value: &Outline| value.len().ok_or_else(|| format!("{form} is no list: {value:?}"));
    match (form, value) {
        ("dataframe_split", _) => list(value.get("data").ok_or("no data")?),
        ("instances" | "inputs", Outline::Object(columns)) => Ok(columns.get("x").ok_or("no x")?.len().unwrap_or(1)),
        _ => list(value),
    }
}

/// The rows of the shapes of tensors, which must be those of their values.
fn tensors(request: &Request) -> Result<usize, String> {
    let json = match &request.json_length {
        None => &request.body[..],
        Some(length) => &request.body[..length.trim().parse::<usize>().map_err(|error| error.to_string())?],
    };
    let body = Outline::read(json, Levels(5, &["inputs", "shape"]))?;
    let Some(Outline::List(inputs)) = body.get("inputs") else { return Err("no inputs".to_owned()) };
    let mut rows = None;
    for (place, input) in inputs.iter().enumerate() {
        let Some(Outline::List(shape)) = input.get("shape") else { return Err("no shape".to_owned()) };
        let numbers =
            |length: &Outline| if let Outline::Number(number) = length { Some(*number as usize) } else { None };
        let shape: Vec<usize> = shape.iter().map(numbers).collect::<Option<_>>().ok_or("no number")?;
        if *rows.get_or_insert(shape[0]) != shape[0] {
            return Err(format!("{} rows after {rows:?}", shape[0]));
        }
        // The values themselves; none that lie too deep for this reader.
        let value = serde_json::from_slice::<Value>(json).ok();
        if let Some(input) = value.as_ref().map(|value| &value["inputs"][place])
            && let Some(data) = input.get("data")
            && ["x", "n", "plan", "active", "matrix"].contains(&input["name"].as_str().unwrap_or_default())
        {
            let wanted: usize = shape.iter().product();
            if leaves(data) != wanted {
                return Err(format!("{} values for {wanted}", leaves(data)));
            }
        }
    }
    rows.ok_or_else(|| "no tensor".to_owned())
}

/// Returns how many values a tensor has.
fn leaves(value: &Value) -> usize {
    value.as_array().map_or(1, |values| values.iter().map(leaves).sum())
}

thread_local! {
    /// Whether this thread runs Arrow's reader, which panics on some streams.
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether a panic of this thread is one of Arrow's reader.
pub(super) fn is_reading() -> bool {
    IS_READING.get()
}

/// The rows that the record batches claim. Arrow's reader must find as many, if it can read them:
/// it reads columns as well that the server passes over.
fn arrow(body: &[u8]) -> Result<usize, String> {
    let lengths = messages(body).into_iter().filter_map(|range| {
        let message = root_as_message(&body[range.start + 8..]).ok()?;
        Some(message.header_as_record_batch()?.length())
    });
    let claimed = usize::try_from(lengths.sum::<i64>()).map_err(|error| error.to_string())?;
    IS_READING.set(true);
    let read = catch_unwind(AssertUnwindSafe(|| {
        let batches = StreamReader::try_new(Cursor::new(body), None)?.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, ArrowError>(batches.iter().map(|batch| batch.num_rows()).sum::<usize>())
    }));
    IS_READING.set(false);
    match read {
        Ok(Ok(rows)) if rows != claimed => Err(format!("Arrow reads {rows} rows of {claimed}")),
        _ => Ok(claimed),
    }
}
