//! A source: an address and, for databases, a query.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::source::address::SourceUri;

/// A value that is bound to a `?` of a query. It never becomes part of the query's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// Bound as 0 or 1.
    Boolean(bool),
    /// Bound as an integer.
    Integer(i64),
    /// Bound as a real.
    Float(f64),
    /// Bound as text.
    Text(String),
}

/// A source: an address and, for databases, a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Source {
    /// The address.
    pub uri: SourceUri,
    /// For SQLite, instead of a table: one `SELECT`, with a `?` for each parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The values for the query's `?`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Literal>,
    /// Whether the file is a pack: an archive of parts, each of the address's format, which are
    /// read as one table. [`PackWriter`](crate::PackWriter) writes packs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_pack: bool,
}

impl Source {
    /// Returns a whole file or table.
    pub fn new(uri: SourceUri) -> Self {
        Self { uri, query: None, parameters: Vec::new(), is_pack: false }
    }

    /// Sets the query and its parameters.
    #[must_use]
    pub fn with_query(mut self, query: impl Into<String>, parameters: Vec<Literal>) -> Self {
        self.query = Some(query.into());
        self.parameters = parameters;
        self
    }

    /// Says that the file is a pack.
    #[must_use]
    pub fn packed(mut self) -> Self {
        self.is_pack = true;
        self
    }

    /// Refuses a query for a source that is not a database.
    pub(super) fn check_query(&self) -> Result<(), DataError> {
        let has_query = self.query.is_some() || !self.parameters.is_empty();
        if has_query && !matches!(self.uri, SourceUri::Sqlite { .. }) {
            return Err(DataError::plan(
                format!("source `{}` has a query, which only databases answer", self.uri),
                "remove `query` and `parameters`",
            ));
        }
        Ok(())
    }
}
