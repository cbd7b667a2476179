//! Reads rows from a server into a file.
//!
//! A connection is one read-only transaction that sees one snapshot, and runs one statement. Rows
//! are written as they come, so that memory does not grow with them; when the disk is slow, the
//! server waits. The statement's parameters are bound, never pasted.

use std::future::Future;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type};
use tokio_postgres::{Client, NoTls, Statement};

use super::address::{DEFAULT_PORT, SslMode, TableName};
use super::fault::Asked;
use super::guard::{Allowed, Duplex, Guard, RefusalCell};
use super::held_type::HeldType;
use super::rows::{Column, Header, RowBytes, write_end, write_header};
use super::{Password, PostgresRequest, PostgresRows};
use crate::error::{DataError, listed, shown};
use crate::interrupt::Interrupt;
use crate::source::catch_panic::catch_panic;
use crate::source::host_grant::{HostGrant, address_of};
use crate::source::query::Literal;

/// The longest time until a connection is made, with all that belongs to it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest time for asking the server to give up a statement.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two looks at the interrupt, while the server is silent.
const LOOK: Duration = Duration::from_millis(20);
/// Rows that are taken between two looks at the interrupt.
const ROWS_PER_LOOK: u64 = 1024;
/// Bytes of rows that are written at once.
const BUFFER: usize = 256 << 10;
/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;
/// Bytes that a server may send beside the rows: descriptions of types, notices.
const BESIDE_ROWS: u64 = 64 << 20;
/// The request for TLS, and the answer that grants it.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const TLS_GRANTED: u8 = b'S';
/// How much longer the server tries than we wait: our own limit is told first.
const GRACE: Duration = Duration::from_secs(2);
/// The tables that an error names.
const TABLES: &str = "SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname::text \
    ELSE n.nspname || '.' || c.relname END FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
    AND n.nspname NOT LIKE 'pg\\_toast%' ORDER BY 1 LIMIT 100";

/// Reads the rows of a server into a writer, as the file of a
/// [`SourceUri::PostgresRows`](crate::SourceUri::PostgresRows). Returns its length in bytes.
///
/// # Errors
/// [`DataError::Denied`] for a server that is not granted; [`DataError::Unreachable`] if the
/// network or the server fails; [`DataError::Unreadable`] or [`DataError::Query`] if the server
/// refuses; [`DataError::TooLarge`]; [`DataError::Interrupted`] if interrupted or past the
/// deadline.
pub fn fetch_postgres(
    request: &PostgresRequest,
    interrupt: &Interrupt,
    into: &mut dyn Write,
) -> Result<u64, DataError> {
    let interrupt = interrupt.or(&Interrupt::at(request.deadline));
    let asked = Asked::of(request);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| DataError::Host(format!("cannot start a connection: {error}")))?;
    // What a hostile server sends may make the client panic.
    let fetched = catch_panic(|| runtime.block_on(Fetch { request, asked: &asked, interrupt: &interrupt }.run(into)));
    // A thread that resolves a name may hang for longer than anybody waits.
    runtime.shutdown_background();
    fetched.unwrap_or_else(|panic| Err(asked.unreachable(format!("its answer contradicts itself ({panic})"), "")))
}

/// A request on its way.
struct Fetch<'a> {
    request: &'a PostgresRequest,
    asked: &'a Asked,
    interrupt: &'a Interrupt,
}

/// A connection, and how to ask the server to give up.
struct Connected {
    client: Client,
    refusal: RefusalCell,
    address: SocketAddr,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Fetch<'_> {
    async fn run(&self, into: &mut dyn Write) -> Result<u64, DataError> {
        let connected = self.until(tokio::time::timeout(PATIENCE, self.connect())).await?;
        let connected = connected.map_err(|_| {
            self.asked.unreachable("it does not answer within 30 s", "is the server up, and its port right?")
        })??;
        let rows = self.rows(&connected, into).await;
        if matches!(rows, Err(DataError::Interrupted)) {
            // The server would go on with a statement that nobody waits for.
            let _ = tokio::time::timeout(CANCEL_PATIENCE, self.cancel(&connected)).await;
        }
        rows
    }

    /// Waits for a future, but not past the interrupt.
    async fn until<F: Future>(&self, future: F) -> Result<F::Output, DataError> {
        let mut future = pin!(future);
        loop {
            if self.interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
            if let Ok(output) = tokio::time::timeout(LOOK, &mut future).await {
                return Ok(output);
            }
        }
    }

    async fn connect(&self) -> Result<Connected, DataError> {
        let address = &self.request.address;
        let (stream, to) = self.reach().await?;
        let here = to.ip().to_canonical().is_loopback();
        let mode = address.sslmode.unwrap_or(if here { SslMode::Prefer } else { SslMode::Require });
        let tls = match mode {
            SslMode::Disable => None,
            SslMode::Prefer | SslMode::Require => Some(Arc::new(self.asked.trusting()?)),
        };
        let (stream, is_encrypted) = self.encrypted(stream, tls.as_ref(), mode).await?;
        // A password that is meant for this server may be sent where nobody else hears it.
        let given = matches!(self.request.password, Some(Password::Given(_)));
        let bytes = self.request.max_bytes.saturating_mul(4).saturating_add(BESIDE_ROWS);
        let (guard, refusal) = Guard::new(stream, Allowed { password: given && (is_encrypted || here), bytes });
        let mut config = tokio_postgres::Config::new();
        config.user(&address.user).dbname(&address.database).application_name("stagewright");
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        if let Some(password) = &self.request.password {
            config.password(password.text());
        }
        let connected = config.connect_raw(guard, NoTls).await;
        let (client, connection) = connected.map_err(|error| self.failed(error, &refusal))?;
        tokio::spawn(connection);
        Ok(Connected { client, refusal, address: to, tls: tls.filter(|_| is_encrypted) })
    }

    /// Connects to an address of the server that may be contacted.
    async fn reach(&self) -> Result<(TcpStream, SocketAddr), DataError> {
        let address = &self.request.address;
        let (host, port) = (address.host.as_str(), address.port);
        if !self.request.grants.iter().any(|grant| grant.names(&bracketed(host), port, DEFAULT_PORT)) {
            let server = address.server();
            return Err(DataError::Denied { what: format!("the server `{}`", shown(&server)), grant: server });
        }
        let found: Vec<SocketAddr> = match address_of(host) {
            Some(ip) => vec![SocketAddr::new(ip, port)],
            None => match tokio::net::lookup_host((host, port)).await {
                Ok(found) => found.take(MAX_ADDRESSES).collect(),
                Err(_) => return Err(self.asked.unreachable("its name is not known", "check the host's name")),
            },
        };
        // A name with one private address is refused as a whole: it is not a public name.
        for to in &found {
            if !HostGrant::reach(&self.request.grants, *to, DEFAULT_PORT) {
                let ip = to.ip();
                let what =
                    format!("the address `{ip}`, which the host `{}` resolves to and which is not public", shown(host));
                return Err(DataError::Denied { what, grant: format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }) });
            }
        }
        let mut last = None;
        for to in found {
            match TcpStream::connect(to).await {
                Ok(stream) => return Ok((stream, to)),
                Err(error) => last = Some(error),
            }
        }
        let message = last.map_or_else(|| "its name has no address".to_owned(), |error| error.to_string());
        Err(self.asked.unreachable(shown(&message), "is the server up, and its port right?"))
    }

    /// Encrypts a connection as far as `mode` wants. Returns whether it is.
    async fn encrypted(
        &self,
        mut stream: TcpStream,
        tls: Option<&Arc<rustls::ClientConfig>>,
        mode: SslMode,
    ) -> Result<(Box<dyn Duplex>, bool), DataError> {
        let Some(tls) = tls else { return Ok((Box::new(stream), false)) };
        let broken = |error: std::io::Error| self.asked.broken_handshake(&error);
        stream.write_all(&TLS_REQUEST).await.map_err(broken)?;
        // Not a byte more than the answer: what follows is encrypted, or nothing does.
        let answer = stream.read_u8().await.map_err(broken)?;
        if answer != TLS_GRANTED {
            if mode == SslMode::Prefer {
                return Ok((Box::new(stream), false));
            }
            let hint =
                "switch TLS on there; or say ?sslmode=disable in the address, and everybody between can read the rows";
            return Err(self.asked.unreachable("it does not encrypt connections", hint));
        }
        let name = ServerName::try_from(self.request.address.host.clone())
            .map_err(|_| self.asked.unreachable("its name cannot be that of a certificate", "check the host's name"))?;
        let stream = tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(broken)?;
        Ok((Box::new(stream), true))
    }

    async fn cancel(&self, connected: &Connected) {
        let Ok(stream) = TcpStream::connect(connected.address).await else { return };
        let mode = if connected.tls.is_some() { SslMode::Require } else { SslMode::Disable };
        if let Ok((stream, _)) = self.encrypted(stream, connected.tls.as_ref(), mode).await {
            let _ = connected.client.cancel_token().cancel_query_raw(stream, NoTls).await;
        }
    }

    async fn rows(&self, connected: &Connected, into: &mut dyn Write) -> Result<u64, DataError> {
        let Connected { client, refusal, .. } = connected;
        self.until(self.begin(client)).await?.map_err(|error| self.failed(error, refusal))?;
        let (statement, header) = match &self.request.rows {
            PostgresRows::Table(table) => self.until(self.table(client, refusal, table)).await??,
            PostgresRows::Query { query, .. } => {
                let prepared = self.until(client.prepare(query)).await?;
                let statement = prepared.map_err(|error| self.failed(error, refusal))?;
                let header = Header { columns: statement.columns().iter().map(column).collect() };
                (statement, header)
            }
        };
        if header.columns.is_empty() {
            return Err(self.asked.no_rows());
        }
        self.asked.check_parameters(statement.params().len())?;
        let kept = |error: std::io::Error| self.asked.unreachable(format!("its rows cannot be kept: {error}"), "");
        let into = &mut BufWriter::with_capacity(BUFFER, into);
        let mut length = write_header(into, &header).map_err(kept)?;
        let literals: Vec<Bound<'_>> = self.request.rows.parameters().iter().map(Bound).collect();
        let rows =
            self.until(client.query_raw(&statement, literals.iter().map(|it| it as &(dyn ToSql + Sync)))).await?;
        let mut rows = pin!(rows.map_err(|error| self.failed(error, refusal))?);
        let (mut bytes, mut number) = (RowBytes::default(), 0_u64);
        loop {
            if number.is_multiple_of(ROWS_PER_LOOK) && self.interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
            let next = tokio::select! {
                biased;
                next = rows.try_next() => next,
                waited = self.until(std::future::pending::<()>()) => return Err(waited.err().unwrap_or(DataError::Interrupted)),
            };
            let Some(row) = next.map_err(|error| self.failed(error, refusal))? else { break };
            bytes.clear();
            for place in 0..header.columns.len() {
                let value: Option<Raw<'_>> = row.try_get(place).map_err(|error| self.failed(error, refusal))?;
                bytes.push(value.map(|Raw(bytes)| bytes)).map_err(|_| self.asked.long_row())?;
            }
            let row = bytes.finished().ok_or_else(|| self.asked.long_row())?;
            length += row.len() as u64;
            if length > self.request.max_bytes {
                return Err(DataError::TooLarge { used: length, allowed: self.request.max_bytes });
            }
            into.write_all(row).map_err(kept)?;
            number += 1;
        }
        write_end(into).and_then(|()| into.flush()).map_err(kept)?;
        Ok(length + 4)
    }

    /// Begins a transaction that sees one snapshot and writes nothing. The settings are those that
    /// change what a statement returns, or how long it takes.
    async fn begin(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let left = self.request.deadline.saturating_duration_since(Instant::now()) + GRACE;
        let most = u128::from(i32::MAX.unsigned_abs());
        let settings = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {}; \
             SET LOCAL TimeZone = 'UTC'; SET LOCAL synchronize_seqscans = off",
            left.as_millis().min(most)
        );
        client.batch_execute(&settings).await
    }

    /// Prepares the statement that reads a table. Columns whose values are no cells are not sent.
    async fn table(
        &self,
        client: &Client,
        refusal: &RefusalCell,
        table: &TableName,
    ) -> Result<(Statement, Header), DataError> {
        let failed = |error| self.failed(error, refusal);
        let from = table.quoted();
        let whole = match client.prepare(&format!("SELECT * FROM {from}")).await {
            Ok(statement) => statement,
            Err(error) if self.asked.is_no_table(&error) => return Err(self.no_table(client, refusal, table).await),
            Err(error) => return Err(failed(error)),
        };
        let header = Header { columns: whole.columns().iter().map(column).collect() };
        if header.columns.iter().all(|column| column.held.is_some()) {
            return Ok((whole, header));
        }
        let named = |column: &Column| match column.held {
            Some(_) => format!("\"{}\"", column.name.replace('"', "\"\"")),
            None => "NULL::text".to_owned(),
        };
        let columns: Vec<String> = header.columns.iter().map(named).collect();
        let statement = client.prepare(&format!("SELECT {} FROM {from}", columns.join(", "))).await.map_err(failed)?;
        Ok((statement, header))
    }

    /// Returns the error for a table that is not there, with those that are.
    async fn no_table(&self, client: &Client, refusal: &RefusalCell, table: &TableName) -> DataError {
        // The failed statement ended the transaction.
        let listed_tables = async {
            client.batch_execute("ROLLBACK").await?;
            self.begin(client).await?;
            let rows = client.query(TABLES, &[]).await?;
            rows.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<String>, _>>()
        };
        match listed_tables.await {
            Err(error) => self.failed(error, refusal),
            Ok(tables) => {
                let has = if tables.is_empty() { "no tables".to_owned() } else { listed(&tables) };
                let message = format!("it has no table `{}`; it has {has}", shown(&table.to_string()));
                self.asked.unreadable(message, "write #TABLE, or #SCHEMA.TABLE; names are case-sensitive here")
            }
        }
    }

    /// Returns the error for a failure of the client.
    fn failed(&self, error: tokio_postgres::Error, refusal: &RefusalCell) -> DataError {
        if self.interrupt.is_set() {
            return DataError::Interrupted;
        }
        match refusal.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(refusal) => self.asked.refused(&refusal),
            None => self.asked.failed(&error),
        }
    }
}

/// Returns a host as a grant writes it.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Returns what is kept of a column's description. A domain is what it is made of.
fn column(column: &tokio_postgres::Column) -> Column {
    let mut held = column.type_();
    while let Kind::Domain(base) = held.kind() {
        held = base;
    }
    let is_known = held.schema() == "pg_catalog" || held.name() == "citext";
    let held = match held.kind() {
        Kind::Enum(_) => Some(HeldType::Text),
        Kind::Simple if is_known => HeldType::of_name(held.name()),
        _ => None,
    };
    let type_name = match column.type_().kind() {
        Kind::Array(element) => format!("{}[]", element.name()),
        _ => column.type_().name().to_owned(),
    };
    Column { name: column.name().to_owned(), type_name, held }
}

/// A value as the server sent it.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter, which is sent as text: the server reads it as the type that the statement wants.
#[derive(Debug)]
struct Bound<'a>(&'a Literal);

impl ToSql for Bound<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let text = match self.0 {
            Literal::Boolean(value) => value.to_string(),
            Literal::Integer(value) => value.to_string(),
            Literal::Float(value) => format!("{value:?}"),
            Literal::Text(value) => value.clone(),
        };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}
