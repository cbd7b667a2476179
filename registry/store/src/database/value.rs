//! The values of parameters and rows: five types that both databases have.

use crate::artifact::ArtifactKind;
use crate::digest::Digest;

/// A value in a row or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row of a query.
#[derive(Debug)]
pub(crate) struct Row(pub(super) Vec<Value>);

/// A value of another type than the reader expected.
#[derive(Debug)]
pub(crate) struct Mismatch(pub(super) String);

/// A type that can be read from a [`Value`].
pub(crate) trait FromValue: Sized {
    fn from_value(value: &Value) -> Result<Self, Mismatch>;
}

impl Row {
    /// Returns the values of all columns.
    pub(crate) fn values(&self) -> &[Value] {
        &self.0
    }

    /// Returns the value of column `index`, from 0.
    ///
    /// # Panics
    /// If the query has no such column.
    pub(crate) fn get<T: FromValue>(&self, index: usize) -> Result<T, Mismatch> {
        T::from_value(&self.0[index])
    }

    /// Returns the JSON in a column.
    pub(crate) fn json(&self, index: usize) -> Result<serde_json::Value, Mismatch> {
        serde_json::from_str(&self.get::<String>(index)?).map_err(|error| Mismatch(error.to_string()))
    }

    /// Returns the JSON in a column that may be null.
    pub(crate) fn optional_json(&self, index: usize) -> Result<Option<serde_json::Value>, Mismatch> {
        if self.0[index] == Value::Null { Ok(None) } else { self.json(index).map(Some) }
    }

    /// Parses the text of a column.
    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self, index: usize) -> Result<T, Mismatch> {
        self.get::<String>(index)?.parse().map_err(|error: T::Err| Mismatch(error.to_string()))
    }

    /// Parses the text of a column that may be null.
    pub(crate) fn optional_parsed<T>(&self, index: usize) -> Result<Option<T>, Mismatch>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        if self.0[index] == Value::Null { Ok(None) } else { self.parsed(index).map(Some) }
    }
}

fn mismatch<T>(expected: &str, found: &Value) -> Result<T, Mismatch> {
    Err(Mismatch(format!("expected {expected}, found {found:?}")))
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        match value {
            Value::Integer(integer) => Ok(*integer),
            other => mismatch("an integer", other),
        }
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        let integer = i64::from_value(value)?;
        Self::try_from(integer).or_else(|_| mismatch("a small count", value))
    }
}

/// The inverse of [`From<u64>`]: this program stores no negative count.
impl FromValue for u64 {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        Ok(i64::from_value(value)?.max(0).cast_unsigned())
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        Ok(i64::from_value(value)? != 0)
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        match value {
            Value::Real(real) => Ok(*real),
            Value::Integer(integer) => Ok(*integer as Self),
            other => mismatch("a number", other),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        match value {
            Value::Text(text) => Ok(text.clone()),
            other => mismatch("text", other),
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        match value {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            other => mismatch("bytes", other),
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, Mismatch> {
        if *value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

/// Counts saturate at the databases' largest integer.
impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::from(count as u64)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Integer(flag.into())
    }
}

/// SQLite has no NaN, so that null represents it, and no sign of zero.
impl From<f64> for Value {
    fn from(real: f64) -> Self {
        if real.is_nan() { Self::Null } else { Self::Real(real + 0.0) }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Digest> for Value {
    fn from(digest: Digest) -> Self {
        Self::Text(digest.to_string())
    }
}

impl From<ArtifactKind> for Value {
    fn from(kind: ArtifactKind) -> Self {
        kind.name().into()
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Builds the parameters of a statement from anything that converts to a [`Value`].
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::database::Value::from($value)),*] };
}
pub(crate) use values;
