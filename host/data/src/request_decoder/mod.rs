//! Decodes the requests of a server: prepared once for a signature, cheap for each request.
//!
//! Rows mean the same as in training, because their cells pass through the same decoder. All
//! faults are collected, so that a client sees them at once.
//! Every size is limited: nothing is allocated by what a request claims.

mod arrow_stream;
mod fault;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use stagewright_store::Schema;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::json::{self, Unread};
use crate::rows::{Excess, JsonColumn, RowLimits, RowPlan, RowsBuilder};
use crate::signature::Signature;
use crate::source::{CsvText, STANDARD_INPUT};
pub use fault::{RequestFault, RowError};

/// The most bytes of a key.
const MAX_KEY_BYTES: usize = 1 << 10;

/// The most bytes of another kept text.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// How fields of a request are treated that the signature does not have.
///
/// Columns of the signature that are no features, such as an identifier or the target, are known.
/// They may come, and are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownFields {
    /// They are not read, as in the input of `predict`.
    #[default]
    Ignore,
    /// Each is a fault of its row.
    Refuse,
}

/// The options of a [`RequestDecoder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// How unknown fields are treated; ignored by default.
    pub unknown_fields: UnknownFields,
    /// The most rows of a request; 10,000 by default.
    pub max_rows: usize,
    /// The most faults that are reported, at least 1; 100 by default.
    pub max_errors: usize,
    /// The most bytes of text in a request when it is decoded, where each value counts; 64 MiB by
    /// default. A small Arrow stream may repeat a long text in each row.
    pub max_bytes: usize,
    /// A field whose value is kept as text for each row ([`DecodedRequest::key`]): a feature,
    /// another column of the signature, or a field that only requests have. It need not come. A key
    /// has at most 1 KiB, and counts toward `max_bytes`.
    pub key: Option<String>,
    /// More fields whose values are kept as text for each row ([`DecodedRequest::kept`]). They need
    /// not come. A text has at most 64 KiB, and counts toward `max_bytes`.
    pub kept: Vec<String>,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            unknown_fields: UnknownFields::default(),
            max_rows: 10_000,
            max_errors: 100,
            max_bytes: 64 << 20,
            key: None,
            kept: Vec::new(),
        }
    }
}

/// A decoded request.
#[derive(Clone, Debug)]
pub struct DecodedRequest {
    /// The features, in the signature's order. There may be no rows.
    pub batch: RecordBatch,
    /// The key of each row; none at all if the field did not come.
    keys: Vec<Option<Box<str>>>,
    /// The values of each field of [`RequestOptions::kept`], for each row; none at all if the field
    /// did not come. A text is as for [`DecodedRequest::key`].
    pub kept: Vec<Vec<Option<Box<str>>>>,
}

impl DecodedRequest {
    /// Returns how many rows there are.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Returns the text of [`RequestOptions::key`] in a row: a number as it is written, a nested
    /// value as JSON without spaces. `None` if it is absent, null or empty, or if no key was asked
    /// for.
    pub fn key(&self, row: usize) -> Option<&str> {
        self.keys.get(row)?.as_deref()
    }
}

/// Decodes the requests for one signature. Cheap to clone, and used by many threads at once.
///
/// ```
/// use stagewright_data::{RequestDecoder, RequestFault, RequestOptions, Signature};
/// use stagewright_store::{DataType, Field, Role};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let signature = Signature::new(vec![
///     Field::new("id", DataType::Utf8).with_role(Role::Identifier),
///     Field::new("tenure", DataType::Int64),
///     Field::new("charges", DataType::Float64).with_nullable(true),
/// ])?;
/// let options = RequestOptions { key: Some("id".to_owned()), ..RequestOptions::default() };
/// let decoder = RequestDecoder::new(&signature, options);
///
/// let decoded = decoder.json(br#"{"id": "C-1", "tenure": 12, "charges": null}"#)?;
/// assert_eq!((decoded.rows(), decoded.batch.num_columns(), decoded.key(0)), (1, 2, Some("C-1")));
///
/// // These are the same rows.
/// let forms = [
///     decoder.json(br#"[{"tenure": 12, "charges": 9.5}, {"charges": null, "tenure": 1}]"#)?,
///     decoder.json(br#"{"rows": [{"tenure": 12, "charges": 9.5}, {"tenure": 1, "charges": null}]}"#)?,
///     decoder.csv(b"tenure,charges\n12,9.5\n1,\n")?,
///     decoder.json_split(r#"["tenure", "charges"]"#, "[[12, 9.5], [1, null]]")?,
/// ];
/// assert!(forms.iter().all(|decoded| decoded.batch == forms[0].batch));
///
/// // All faults are reported.
/// let fault = decoder.json(br#"[{"tenure": 1.5, "charges": "many"}, {"charges": 1}]"#).unwrap_err();
/// let RequestFault::Rows { errors, .. } = fault else { panic!("{fault}") };
/// let told: Vec<_> = errors.iter().map(|it| (it.row, it.field.as_deref(), &*it.message)).collect();
/// assert_eq!(told, [
///     (0, Some("tenure"), "`1.5` is not an int64: it has a fraction"),
///     (0, Some("charges"), "`many` is not a float64"),
///     (1, Some("tenure"), "the field is absent, and an int64 is needed"),
/// ]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RequestDecoder {
    plan: Arc<RowPlan>,
    limits: RowLimits,
    /// The place of the key among the values that the plan keeps.
    key: Option<usize>,
    /// The places of the other kept fields among them.
    kept: Arc<[usize]>,
}

impl RequestDecoder {
    /// Prepares a decoder.
    pub fn new(signature: &Signature, options: RequestOptions) -> Self {
        let RequestOptions { unknown_fields, max_rows, max_errors, max_bytes, key, kept } = options;
        let mut names: Vec<&str> = Vec::new();
        let mut place = |name| {
            let known = names.iter().position(|known| *known == name);
            known.unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        };
        let key = key.as_deref().map(&mut place);
        let kept = kept.iter().map(|name| place(name)).collect();
        let most = |place| if key == Some(place) { MAX_KEY_BYTES } else { MAX_KEPT_BYTES };
        let names: Vec<(&str, usize)> = names.iter().enumerate().map(|(place, name)| (*name, most(place))).collect();
        let plan = RowPlan::of_requests(signature, &names, unknown_fields == UnknownFields::Refuse);
        let limits = RowLimits { faults: max_errors.max(1), rows: max_rows, text: max_bytes };
        Self { plan: Arc::new(plan), limits, key, kept }
    }

    /// Returns the columns of every batch: the features, in the signature's order.
    pub fn features(&self) -> &Schema {
        self.plan.schema()
    }

    /// Decodes JSON: one object, an array of objects, objects one after another (JSON Lines), or
    /// `{"rows": [...]}`.
    ///
    /// An object with a member `rows` is a row, and not a list of rows, if the signature has a
    /// column of that name or the object has a feature too. Of several members with the same name,
    /// the last counts. Numbers are read from their digits.
    ///
    /// # Errors
    /// [`RequestFault`]. A feature that does not come is a fault of the row: an unknown value is
    /// `null`.
    pub fn json(&self, body: &[u8]) -> Result<DecodedRequest, RequestFault> {
        let mut rows = self.rows(self.expected_rows(body));
        let read = rows.append_json(body);
        if rows.count() == 0 && body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii().is_empty() {
            return Err(RequestFault::unreadable("the body is empty: send a row as a JSON object"));
        }
        self.end_json(rows, read)
    }

    /// Decodes CSV whose first line names the columns.
    ///
    /// # Errors
    /// [`RequestFault`].
    pub fn csv(&self, body: &[u8]) -> Result<DecodedRequest, RequestFault> {
        let mut rows = self.rows(self.rows_of_bytes(body.len()));
        // A body is read like a pipe: there is no file to convert.
        CsvText::of_request(body, STANDARD_INPUT.to_owned())?.visit(&Interrupt::never(), &mut rows)?;
        self.end(rows)
    }

    /// Decodes a stream of Arrow's IPC format, uncompressed.
    ///
    /// Columns that are read hold single values: numbers, booleans, times, decimals, texts, bytes
    /// that are text, and dictionaries of them. `docs/types.md` says what becomes of each.
    ///
    /// # Errors
    /// [`RequestFault`].
    pub fn arrow_stream(&self, body: &[u8]) -> Result<DecodedRequest, RequestFault> {
        let mut rows = self.rows(0);
        arrow_stream::append(&mut rows, body).map_err(|problem| {
            RequestFault::unreadable(format!("the body is not an Arrow stream that can be read: {problem}"))
        })?;
        self.end(rows)
    }

    /// Decodes rows whose values are apart from their names: `columns` is the JSON text of an array
    /// of names, and `rows` that of an array with an array of values for each row.
    ///
    /// # Errors
    /// [`RequestFault`].
    pub fn json_split(&self, columns: &str, rows: &str) -> Result<DecodedRequest, RequestFault> {
        let mut builder = self.rows(self.rows_of_bytes(rows.len()));
        let read = builder.append_split(columns, rows);
        self.end_json(builder, read)
    }

    /// Decodes `rows` rows that are given by column.
    ///
    /// # Errors
    /// [`RequestFault`]. A column with more or fewer values than rows is a fault of the column.
    pub fn json_columns(&self, rows: usize, columns: &[JsonColumn<'_>]) -> Result<DecodedRequest, RequestFault> {
        let mut builder = self.rows(rows.min(columns.iter().map(|column| column.values.len()).max().unwrap_or(0)));
        let read = builder.append_columns(rows, columns);
        self.end_json(builder, read)
    }

    /// Decodes `rows` rows whose values follow each other, row by row: `values` is the JSON text of
    /// an array with a value for each feature of each row, in the signature's order. An array among
    /// them is a dimension.
    ///
    /// # Errors
    /// [`RequestFault`].
    pub fn json_matrix(&self, rows: usize, values: &str) -> Result<DecodedRequest, RequestFault> {
        let mut builder = self.rows(rows.min(values.len()));
        let read = builder.append_matrix(rows, values);
        self.end_json(builder, read)
    }

    /// Returns the elements of a JSON array of rows, as they are written, in order.
    ///
    /// # Errors
    /// [`RequestFault::Unreadable`] if the text is not JSON, or not an array;
    /// [`RequestFault::TooManyRows`].
    pub fn json_rows<'t>(&self, text: &'t [u8]) -> Result<Vec<&'t str>, RequestFault> {
        let (rows, count) = json::first_elements(text, self.limits.rows).map_err(|it| it.named(STANDARD_INPUT))?;
        if count > rows.len() { Err(RequestFault::TooManyRows { max: self.limits.rows }) } else { Ok(rows) }
    }

    fn rows(&self, rows: usize) -> RowsBuilder<'_> {
        RowsBuilder::of_request(&self.plan, self.limits, rows)
    }

    /// Estimates the rows of a JSON text.
    fn expected_rows(&self, body: &[u8]) -> usize {
        match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => 1,
            _ => self.rows_of_bytes(body.len()),
        }
    }

    /// Estimates the rows of a text of this length.
    fn rows_of_bytes(&self, bytes: usize) -> usize {
        /// The bytes of a value, with its name or without.
        const VALUE: usize = 16;
        bytes / (VALUE * self.plan.schema().len().max(1)) + 1
    }

    fn end_json(&self, rows: RowsBuilder<'_>, read: Result<(), Unread>) -> Result<DecodedRequest, RequestFault> {
        read.map_err(|unread| unread.named(STANDARD_INPUT))?;
        self.end(rows)
    }

    fn end(&self, mut rows: RowsBuilder<'_>) -> Result<DecodedRequest, RequestFault> {
        match rows.excess() {
            Some(Excess::Rows) => return Err(RequestFault::TooManyRows { max: self.limits.rows }),
            Some(Excess::Text) => return Err(RequestFault::TooLarge { max: self.limits.text }),
            None => {}
        }
        let faults = rows.take_faults();
        if !faults.found.is_empty() {
            let errors = faults.found.into_iter().map(Into::into).collect();
            return Err(RequestFault::Rows { errors, is_cut: faults.is_cut });
        }
        let decoded = rows.finish().map_err(|error: DataError| RequestFault::Host(error.to_string()))?;
        let mut columns = decoded.kept;
        let kept = self.kept.iter().map(|place| columns.get(*place).cloned().unwrap_or_default()).collect();
        let keys = self.key.and_then(|place| columns.get_mut(place).map(std::mem::take)).unwrap_or_default();
        Ok(DecodedRequest { batch: decoded.batch, keys, kept })
    }
}

/// Returns the members of a JSON object as they are written, in order. Of several members with the
/// same name, the last counts. For envelopes around rows: the values can be decoded by
/// [`RequestDecoder`] as they are, and numbers keep their digits.
///
/// ```
/// # fn main() -> Result<(), stagewright_data::RequestFault> {
/// let members = stagewright_data::json_members(br#"{"dataframe_records": [{"a": 1.50}], "params": {}}"#)?;
/// assert_eq!(members[0], ("dataframe_records".to_owned(), r#"[{"a": 1.50}]"#));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`RequestFault::Unreadable`] if the text is not JSON, not an object, or has more than 69,632
/// members.
pub fn json_members(text: &[u8]) -> Result<Vec<(String, &str)>, RequestFault> {
    json::members(text).map_err(|unread| unread.named(STANDARD_INPUT).into())
}

/// Returns the elements of a JSON array as they are written, in order.
///
/// ```
/// # fn main() -> Result<(), stagewright_data::RequestFault> {
/// assert_eq!(stagewright_data::json_elements(b"[1.50, [2], {}]")?, ["1.50", "[2]", "{}"]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`RequestFault::Unreadable`] if the text is not JSON, not an array, or has more than 69,632
/// elements. [`RequestDecoder::json_rows`] returns as many as a request may have rows.
pub fn json_elements(text: &[u8]) -> Result<Vec<&str>, RequestFault> {
    json::elements(text).map_err(|unread| unread.named(STANDARD_INPUT).into())
}
