//! PostgreSQL: the same tables for many hosts.
//!
//! A transaction that changes models first takes one advisory lock, so that such changes happen one
//! after another, as they do in SQLite. Transactions of runs do not. Each transaction sets its
//! isolation level: a server may have another default, under which the first statement after the
//! lock would not see the changes of the lock's previous holder.
//!
//! TLS is rustls. `sslmode=require` and `prefer` verify the server's certificate, by Mozilla's
//! roots or, if `PGSSLROOTCERT` names a PEM file, by those in it.

mod listener;
mod session_lock;

use std::collections::HashMap;
use std::time::Duration;

use ::postgres::types::private::BytesMut;
use ::postgres::types::{FromSql, IsNull, ToSql, Type};
use ::postgres::{Client, Config, NoTls, Statement};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::DatabaseError;
use super::url::without_password;
use super::value::{Row, Value};

pub(super) use listener::Listener;
pub(crate) use session_lock::SessionLock;
pub(super) use session_lock::dead_owners;

/// The first key of all advisory locks of Stagewright: "stag".
const LOCKS: i32 = 0x7374_6167;
/// The second key of the lock for changes of models. Those of owners are random.
const MODELS: i32 = 0;
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the system of a server may leave what was sent unconfirmed.
const UNANSWERED: Duration = Duration::from_secs(60);
/// The settings of each connection. A statement that waits longer than this for others indicates a
/// fault.
const SESSION_SETTINGS: &str =
    "SET lock_timeout = '60s'; SET client_min_messages = warning; SET application_name = 'stagewright'";

/// The settings of a connection that waits for a long time. A server that hears nothing from a host
/// for a minute closes its session. It closes no session for being idle.
const KEEPALIVE_SETTINGS: &str =
    "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

const BEGIN_WRITING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// A database on a server.
#[derive(Clone)]
pub(crate) struct Server {
    config: Config,
    place: String,
}

/// A connection with its prepared statements.
pub(super) struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl Server {
    pub(super) fn parse(url: &str, password: Option<&str>) -> Result<Self, DatabaseError> {
        let mut config: Config = url.parse()?;
        if !url.contains("keepalives") {
            // A host that vanished is noticed within a minute.
            config
                .keepalives_idle(Duration::from_secs(30))
                .keepalives_interval(Duration::from_secs(10))
                .keepalives_retries(3);
        }
        if config.get_tcp_user_timeout().is_none() {
            // Keepalives do not help while a statement is on its way: the system would send it
            // again and again for a quarter of an hour.
            config.tcp_user_timeout(UNANSWERED);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_password().is_none()
            && let Some(password) = password.map(str::to_owned).or_else(|| std::env::var("PGPASSWORD").ok())
        {
            config.password(password);
        }
        Ok(Self { config, place: without_password(url) })
    }

    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    pub(super) fn connect(&self) -> Result<Connection, DatabaseError> {
        let mut client = match self.config.get_ssl_mode() {
            ::postgres::config::SslMode::Disable => self.config.connect(NoTls)?,
            _ => self.config.connect(tokio_postgres_rustls::MakeRustlsConnect::new(postgres_tls()?))?,
        };
        client.batch_execute(SESSION_SETTINGS)?;
        Ok(Connection { client, statements: HashMap::new() })
    }

    /// Connects for a session that is idle most of the time.
    fn connect_idle(&self) -> Result<Client, DatabaseError> {
        let mut client = self.connect()?.client;
        client.batch_execute(KEEPALIVE_SETTINGS)?;
        // Servers before 14 do not have this setting and close no session for being idle.
        let _ = client.batch_execute("SET idle_session_timeout = 0");
        Ok(client)
    }
}

/// Returns how servers of PostgreSQL are trusted: by Mozilla's authorities, or by those in the PEM
/// file that `PGSSLROOTCERT` names.
///
/// # Errors
/// [`DatabaseError::Url`] if that file cannot be read.
pub fn postgres_tls() -> Result<rustls::ClientConfig, DatabaseError> {
    let mut roots = rustls::RootCertStore::empty();
    match std::env::var_os("PGSSLROOTCERT") {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let problem = |reason: String| DatabaseError::Url {
                problem: format!(
                    "cannot read `{}`, which PGSSLROOTCERT names: {reason}\nhint: name a PEM file of certificates",
                    path.display()
                ),
            };
            let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| problem(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| problem(error.to_string()))?;
                roots.add(certificate).map_err(|error| problem(error.to_string()))?;
            }
        }
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| DatabaseError::Url { problem: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Connection {
    pub(super) fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, DatabaseError> {
        let statement = self.statement(sql)?;
        Ok(self.client.execute(&statement, &borrowed(parameters))?)
    }

    pub(super) fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let statement = self.statement(sql)?;
        rows(self.client.query(&statement, &borrowed(parameters))?)
    }

    pub(super) fn execute_lists(
        &mut self,
        sql: &str,
        shared: &[Value],
        lists: &[Vec<Value>],
    ) -> Result<u64, DatabaseError> {
        let statement = self.statement(sql)?;
        Ok(self.client.execute(&statement, &with_lists(shared, lists))?)
    }

    pub(super) fn query_lists(
        &mut self,
        sql: &str,
        shared: &[Value],
        lists: &[Vec<Value>],
    ) -> Result<Vec<Row>, DatabaseError> {
        let statement = self.statement(sql)?;
        rows(self.client.query(&statement, &with_lists(shared, lists))?)
    }

    pub(super) fn query_once(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        if parameters.is_empty() {
            // One round trip; preparing would take another.
            return rows(self.client.query_typed(sql, &[])?);
        }
        rows(self.client.query(&sql.replace('?', "$"), &borrowed(parameters))?)
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        Ok(self.client.batch_execute(sql)?)
    }

    /// Begins a transaction that changes runs.
    pub(super) fn begin_writing(&mut self) -> Result<(), DatabaseError> {
        self.batch(BEGIN_WRITING)
    }

    /// Begins a transaction that changes models, after waiting for the one before it.
    pub(super) fn begin_writing_models(&mut self) -> Result<(), DatabaseError> {
        self.batch(&format!("{BEGIN_WRITING}; SELECT pg_advisory_xact_lock({LOCKS}, {MODELS})"))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, DatabaseError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        // SQLite's `?1` is PostgreSQL's `$1`; no statement of this crate has another question mark.
        let statement = self.client.prepare(&sql.replace('?', "$"))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn rows(rows: Vec<::postgres::Row>) -> Result<Vec<Row>, DatabaseError> {
    let row = |row: ::postgres::Row| {
        let values = (0..row.len()).map(|index| row.try_get::<_, Option<Value>>(index));
        let values = values.map(|value| Ok(value?.unwrap_or(Value::Null)));
        values.collect::<Result<_, DatabaseError>>().map(Row)
    };
    rows.into_iter().map(row).collect()
}

fn borrowed(parameters: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    parameters.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn with_lists<'a>(shared: &'a [Value], lists: &'a [Vec<Value>]) -> Vec<&'a (dyn ToSql + Sync)> {
    borrowed(shared).into_iter().chain(lists.iter().map(|list| list as &(dyn ToSql + Sync))).collect()
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Integer(integer), &Type::INT4) => i32::try_from(*integer)?.to_sql(ty, out),
            (Self::Integer(integer), &Type::FLOAT8) => (*integer as f64).to_sql(ty, out),
            (Self::Integer(integer), _) => integer.to_sql(&Type::INT8, out),
            (Self::Real(real), _) => real.to_sql(&Type::FLOAT8, out),
            // PostgreSQL's texts cannot hold NUL; a guest's may.
            (Self::Text(text), _) if text.contains('\0') => text.replace('\0', "\u{fffd}").to_sql(&Type::TEXT, out),
            (Self::Text(text), _) => text.to_sql(&Type::TEXT, out),
            (Self::Bytes(bytes), _) => bytes.to_sql(&Type::BYTEA, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT4 | Type::INT8 | Type::FLOAT8 | Type::TEXT | Type::VARCHAR | Type::NAME | Type::BYTEA)
    }

    ::postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match *ty {
            Type::BOOL => Self::Integer(bool::from_sql(ty, raw)?.into()),
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::BYTEA => Self::Bytes(Vec::from_sql(ty, raw)?),
            _ => Self::Text(String::from_sql(ty, raw)?),
        })
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::BOOL || <Self as ToSql>::accepts(ty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: A statement to a PostgreSQL server that has vanished fails within minutes.
    #[test]
    fn what_is_sent_is_confirmed_within_a_time_that_the_url_may_choose() {
        let timeout = |url: &str| Server::parse(url, None).expect("a URL").config.get_tcp_user_timeout().copied();
        assert_eq!(timeout("postgres://ada@db.example.org/registry"), Some(UNANSWERED));
        let own = timeout("postgres://ada@db.example.org/registry?tcp_user_timeout=5");
        assert_eq!(own, Some(Duration::from_secs(5)));
    }
}
