//! PostgreSQL as a source: the host reads the rows once into a file, and a decoder reads the file.
//!
//! `address` parses addresses. `fetch` asks a server, through `guard`, which bounds what comes;
//! `fault` words the errors. `rows` is the format of the file, and `held_type` makes cells of it.

mod address;
#[cfg(feature = "postgres")]
mod fault;
#[cfg(feature = "postgres")]
mod fetch;
#[cfg(feature = "postgres")]
mod guard;
mod held_type;
mod rows;

use std::time::Instant;

pub use address::{PostgresAddress, Secret, SslMode, TableName, is_postgres, without_password};
#[cfg(feature = "postgres")]
pub use fetch::fetch_postgres;
pub(crate) use rows::visit;

use std::net::IpAddr;

use stagewright_outgoing::{canonical, is_public};

use crate::source::host_grant::HostGrant;
use crate::source::query::Literal;

/// The rows of a database that a source reads.
#[derive(Clone, Debug, PartialEq)]
pub enum PostgresRows {
    /// All rows of a table or view.
    Table(TableName),
    /// The rows of a statement.
    Query {
        /// One `SELECT`, with `$1`, `$2`, ... for the parameters.
        query: String,
        /// The values of the parameters, in order.
        parameters: Vec<Literal>,
    },
}

impl PostgresRows {
    /// Returns the values of the parameters.
    pub fn parameters(&self) -> &[Literal] {
        match self {
            Self::Table(_) => &[],
            Self::Query { parameters, .. } => parameters,
        }
    }
}

/// A password, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// That of this server. It may be sent, over TLS or to this machine.
    Given(Secret),
    /// One that may be meant for another server: `PGPASSWORD`. It is proven by SCRAM and never
    /// sent.
    Shared(Secret),
}

impl Password {
    #[cfg(feature = "postgres")]
    fn text(&self) -> &str {
        let (Self::Given(Secret(text)) | Self::Shared(Secret(text))) = self;
        text
    }
}

/// Rows to read from a server, and their limits.
#[derive(Clone, Debug)]
pub struct PostgresRequest {
    /// The database.
    pub address: PostgresAddress,
    /// The rows.
    pub rows: PostgresRows,
    /// The password.
    pub password: Option<Password>,
    /// The servers that may be contacted.
    pub grants: Vec<HostGrant>,
    /// The most bytes of all rows.
    pub max_bytes: u64,
    /// The time by which the last row must have come.
    pub deadline: Instant,
}

/// Returns the grants that a server needs: its name, and those of its addresses that are not
/// public.
pub fn needed_grants(address: &PostgresAddress, resolved: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
    let is_address = address.host.parse::<IpAddr>().is_ok();
    let own = resolved.into_iter().map(canonical).filter(|ip| !is_address && !is_public(*ip));
    let mut own: Vec<String> = own.map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 })).collect();
    own.sort();
    own.dedup();
    [address.server()].into_iter().chain(own).collect()
}

/// Returns the error of a build that has no client of PostgreSQL.
///
/// # Errors
/// Always.
#[cfg(not(feature = "postgres"))]
pub fn fetch_postgres(
    request: &PostgresRequest,
    _: &crate::interrupt::Interrupt,
    _: &mut dyn std::io::Write,
) -> Result<u64, crate::error::DataError> {
    Err(crate::error::DataError::Unreadable {
        path: request.address.to_string(),
        message: "this build reads no PostgreSQL".to_owned(),
        hint: "build it with the feature `postgres`".to_owned(),
    })
}
