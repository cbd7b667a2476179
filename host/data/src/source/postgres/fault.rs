//! Errors of a PostgreSQL source: what was asked, what went wrong, and who can mend it.

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use super::guard::Refusal;
use super::rows::MAX_ROW;
use super::{PostgresRequest, PostgresRows};
use crate::error::{DataError, shown};

const ONE_SELECT: &str = "a query is one SELECT statement; it cannot write or set anything";
const AGAIN: &str = "nothing of it was kept: run it again";

/// Returns an error with what caused it, which the client does not say by itself.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A request as errors name it.
pub(super) struct Asked {
    /// The address, without its password.
    place: String,
    user: String,
    /// The table as SQL writes it.
    table: Option<String>,
    query: Option<String>,
    /// The parameters that are given.
    parameters: usize,
    has_password: bool,
}

impl Asked {
    pub(super) fn of(request: &PostgresRequest) -> Self {
        let (table, query) = match &request.rows {
            PostgresRows::Table(table) => (Some(table.quoted()), None),
            PostgresRows::Query { query, .. } => (None, Some(query.clone())),
        };
        Self {
            place: request.address.to_string(),
            user: request.address.user.clone(),
            table,
            query,
            parameters: request.rows.parameters().len(),
            has_password: request.password.is_some(),
        }
    }

    /// Returns the error for a server or a network that fails; trying again may help.
    pub(super) fn unreachable(&self, message: impl Into<String>, hint: &str) -> DataError {
        DataError::Unreachable { url: self.place.clone(), message: message.into(), hint: hint.to_owned() }
    }

    /// Returns the error for what trying again does not mend.
    pub(super) fn unreadable(&self, message: impl Into<String>, hint: &str) -> DataError {
        DataError::Unreadable { path: self.place.clone(), message: message.into(), hint: hint.to_owned() }
    }

    fn query(&self, message: String, hint: &str) -> DataError {
        match &self.query {
            Some(query) => DataError::Query { query: shown(query), message, hint: hint.to_owned() },
            None => self.unreadable(message, hint),
        }
    }

    /// Returns the error for a statement that returns no rows, or a table without columns.
    pub(super) fn no_rows(&self) -> DataError {
        match self.query {
            Some(_) => self.query(ONE_SELECT.to_owned(), ""),
            None => self.unreadable("the table has no columns", "name another table"),
        }
    }

    /// Refuses another number of parameters than the query has.
    pub(super) fn check_parameters(&self, wanted: usize) -> Result<(), DataError> {
        if wanted == self.parameters {
            return Ok(());
        }
        let message = format!("it has {wanted} parameters, and {} are given", self.parameters);
        Err(self.query(message, "give one value in `parameters` for each of $1, $2, ... in the query"))
    }

    /// Returns the error for a row that is too long.
    pub(super) fn long_row(&self) -> DataError {
        self.unreadable(
            format!("a row has more than the {MAX_ROW} bytes that one may have"),
            "leave its longest column out, or shorten it, in a `query`",
        )
    }

    /// Returns the certificate authorities that are trusted.
    pub(super) fn trusting(&self) -> Result<rustls::ClientConfig, DataError> {
        stagewright_store::postgres_tls().map_err(|error| {
            let error = error.to_string();
            let (message, hint) = error.split_once("\nhint: ").unwrap_or((&error, ""));
            self.unreadable(message, hint)
        })
    }

    /// Returns the error for a connection that could not be encrypted.
    pub(super) fn broken_handshake(&self, error: &std::io::Error) -> DataError {
        let wrong = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match wrong {
            Some(rustls::Error::InvalidCertificate(wrong)) => {
                let hint = match wrong {
                    rustls::CertificateError::UnknownIssuer => {
                        "name a PEM file with its authority in the variable PGSSLROOTCERT"
                    }
                    rustls::CertificateError::NotValidForNameContext { .. } => {
                        "use the name that the certificate is for"
                    }
                    _ => "is this machine's clock right?",
                };
                self.unreadable(format!("its certificate is not trusted: {}", shown(&wrong.to_string())), hint)
            }
            _ => self.unreachable(
                format!("it ended the connection before it was encrypted: {}", shown(&error.to_string())),
                "is it a PostgreSQL server?",
            ),
        }
    }

    /// Returns the error for a server that is not listened to.
    pub(super) fn refused(&self, refusal: &Refusal) -> DataError {
        let hostile = |message: &str| self.unreachable(message, "is it a PostgreSQL server?");
        match refusal {
            Refusal::Long(_) => self.long_row(),
            Refusal::Malformed => hostile("it answers in another protocol"),
            Refusal::Settings => hostile("it sends settings without end"),
            Refusal::Flood => hostile("it sends messages without end"),
            Refusal::Password => self.unreadable(
                "it asks for the password itself, which is not sent to it",
                "let the server ask for SCRAM (`scram-sha-256` in its pg_hba.conf); or have the password in a variable of its own, named by `password-env`, and use TLS",
            ),
            Refusal::Rounds(rounds) => self.unreadable(
                format!("it asks for {rounds} rounds of SCRAM"),
                "set `scram_iterations` there to 4096 or more, at most 600000, and the password again",
            ),
        }
    }

    /// Returns whether the server says that there is no such table or schema.
    pub(super) fn is_no_table(&self, error: &Error) -> bool {
        error.code().is_some_and(|code| matches!(code.code(), "42P01" | "3F000"))
    }

    /// Returns the error for a failure of the client.
    pub(super) fn failed(&self, error: &Error) -> DataError {
        if let Some(said) = error.as_db_error() {
            return self.said(said);
        }
        if error.is_closed() {
            return self.unreachable("the connection ended before the last row", AGAIN);
        }
        let text = with_causes(error);
        if !self.has_password && text.contains("password missing") {
            return self.unreadable("it asks for a password", &self.password_hint());
        }
        self.unreachable(shown(&text), "is the server up? If so, run it again")
    }

    fn password_hint(&self) -> String {
        format!(
            "put the password of `{}` into the variable PGPASSWORD, or into one that `password-env` of the source names",
            shown(&self.user)
        )
    }

    /// Returns the error for what the server said.
    fn said(&self, said: &DbError) -> DataError {
        let message = shown(said.message());
        let code = said.code().code();
        match code {
            "28P01" | "28000" => self.unreadable(format!("it refuses: {message}"), &self.password_hint()),
            "3D000" => self.unreadable(format!("it refuses: {message}"), "check the name of the database"),
            "42501" => {
                let what = self.table.as_deref().unwrap_or("TABLE");
                let hint = format!("have its owner say: GRANT SELECT ON {} TO {}", shown(what), shown(&self.user));
                self.query(message, &hint)
            }
            "57014" => self.unreachable(format!("it gave up: {message}"), AGAIN),
            _ if matches!(code.get(..2), Some("08" | "53" | "57" | "40" | "58" | "XX")) => {
                self.unreachable(format!("it ended the connection: {message}"), AGAIN)
            }
            "25006" => self.query(ONE_SELECT.to_owned(), ""),
            _ => {
                let hint = said.hint().map(shown).unwrap_or_default();
                let hint = match (code, &self.query) {
                    ("42601", Some(query)) if query.contains('?') && self.parameters > 0 => {
                        "PostgreSQL's parameters are $1, $2, ..., not ?".to_owned()
                    }
                    _ => hint,
                };
                self.query(message, &hint)
            }
        }
    }
}
