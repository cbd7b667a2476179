//! `[sources.NAME]` of a PostgreSQL server: the address, the rows, and where the password is.
//!
//! The address in the file has no password, since the file is kept with every run. One that is
//! typed for a run (`--source`) may have one, which is neither recorded nor shown.

use serde::Serialize;
use stagewright_data::{DataError, Literal, PostgresAddress, TableName};

use crate::body_format::{MAX_BYTES, sha256_of};
use crate::document::Origin;
use crate::reader::Item;

/// The rows of a PostgreSQL server, which `postgres` of the reading stage must grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatabaseSource {
    /// The database.
    #[serde(skip)]
    pub address: PostgresAddress,
    /// The rows that are read. A query has `$1`, `$2`, ... for its parameters.
    #[serde(flatten)]
    pub rows: SqliteRows,
    /// The SHA-256 of the rows as they are kept, in hexadecimal. Rows that are already stored are
    /// not asked for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The environment variable with the password. Its value is neither recorded nor shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// The most bytes of all rows.
    pub max_bytes: u64,
}

/// The rows of a database that a source reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SqliteRows {
    /// All rows of a table or view.
    Table {
        /// The name.
        table: String,
    },
    /// The rows that a query returns.
    Query {
        /// The SQL, with a `?` for each parameter.
        query: String,
        /// The values that are bound to the parameters, in order. They never become part of the
        /// SQL.
        parameters: Vec<Literal>,
    },
}

/// The keys beside the URI.
pub(crate) struct DatabaseKeys<'k, 'a> {
    pub(crate) table: &'k Option<Item<'a>>,
    pub(crate) query: &'k Option<Item<'a>>,
    pub(crate) parameters: &'k Option<Item<'a>>,
    /// The value of `parameters`; `None` if it could not be read.
    pub(crate) bound: Option<Vec<Literal>>,
    pub(crate) sha256: &'k Option<Item<'a>>,
    pub(crate) password_env: &'k Option<Item<'a>>,
    pub(crate) max_bytes: &'k Option<Item<'a>>,
}

impl DatabaseSource {
    pub(crate) fn read(uri: &Item<'_>, keys: DatabaseKeys<'_, '_>) -> Option<Self> {
        let sha256 = keys.sha256.as_ref().map(sha256_of);
        let password_env = keys.password_env.as_ref().map(|item| item.text().map(str::to_owned));
        let max_bytes = keys.max_bytes.as_ref().map_or(Some(MAX_BYTES), Item::bytes);
        let address = address(uri)?;
        let rows = rows(uri, &address, &keys)?;
        Some(Self {
            address,
            rows,
            sha256: sha256.map_or(Some(None), |it| it.map(Some))?,
            password_env: password_env.map_or(Some(None), |it| it.map(Some))?,
            max_bytes: max_bytes?,
        })
    }
}

fn address(uri: &Item<'_>) -> Option<PostgresAddress> {
    let address = match PostgresAddress::parse(uri.text()?) {
        Ok(address) => address,
        Err(DataError::Uri { message, hint, .. }) => {
            uri.report_value(format!("`{}`: {message}", uri.key), Some(hint));
            return None;
        }
        Err(error) => {
            uri.report_value(format!("`{}`: {error}", uri.key), None);
            return None;
        }
    };
    if address.password.is_some() && !matches!(uri.node.origin, Origin::Argument(_)) {
        let hint = "put it into the variable PGPASSWORD, or into one whose name is in `password-env`".to_owned();
        let message = format!("`{}` carries a password, which would be recorded with every run", uri.key);
        uri.report_value(message, Some(hint));
        return None;
    }
    Some(address)
}

fn rows(uri: &Item<'_>, address: &PostgresAddress, keys: &DatabaseKeys<'_, '_>) -> Option<SqliteRows> {
    let within = address.table.as_ref().map(ToString::to_string);
    let of_key = keys.table.as_ref().map(|item| {
        let text = item.text()?;
        let table = TableName::parse(text);
        if table.is_err() {
            let hint = "write `TABLE` or `SCHEMA.TABLE`".to_owned();
            item.report_value(format!("`{}` names no table", item.key), Some(hint));
        }
        table.ok().map(|table| table.to_string())
    });
    let table = match (of_key, within) {
        (Some(None), _) => return None,
        (Some(Some(key)), Some(within)) if key != within => {
            let hint = "remove `table`, or what follows `#`".to_owned();
            uri.report_value(format!("`{}` and `table` name different tables", uri.key), Some(hint));
            return None;
        }
        (Some(key), _) => key,
        (None, within) => within,
    };
    let query = keys.query.as_ref().map(|item| item.text().map(str::to_owned));
    if let (Some(parameters), None) = (keys.parameters, &query) {
        let hint = "add `query = \"SELECT ... WHERE x > $1\"`".to_owned();
        parameters.report(format!("`{}` needs a query", parameters.key), Some(hint));
    }
    match (table, query) {
        (Some(table), None) => Some(SqliteRows::Table { table }),
        (None, Some(query)) => Some(SqliteRows::Query { query: query?, parameters: keys.bound.clone()? }),
        (Some(_), Some(_)) => {
            let hint = "remove the table, or the query".to_owned();
            uri.report_value(format!("`{}` names a table, but there is a query too", uri.key), Some(hint));
            None
        }
        (None, None) => {
            let hint = "write `postgresql://USER@HOST/DATABASE#TABLE`, or add a `query`".to_owned();
            uri.report_value(format!("`{}` names no table", uri.key), Some(hint));
            None
        }
    }
}
