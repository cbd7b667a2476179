//! The address of a PostgreSQL source: `postgresql://USER@HOST:PORT/DATABASE#SCHEMA.TABLE`.
//!
//! An address that is shown or recorded has no password: [`without_password`] removes it from any
//! text, and [`PostgresAddress`] keeps it apart.

use std::fmt;

use crate::error::{DataError, shown};

/// The port of an address that names none.
pub(super) const DEFAULT_PORT: u16 = 5432;

const FORM: &str = "write postgresql://USER@HOST/DATABASE#TABLE, or without #TABLE and with a query";

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"...\"")
    }
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// It is not.
    Disable,
    /// It is if the server can.
    Prefer,
    /// It is, or there is none.
    Require,
}

/// A table or view, with its schema if that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// The schema; `None` for the first of the search path that has the table.
    pub schema: Option<String>,
    /// The name, exactly as the server has it.
    pub name: String,
}

/// The parsed address of a PostgreSQL source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAddress {
    /// The user.
    pub user: String,
    /// The password, if the address has one.
    pub password: Option<Secret>,
    /// The name or the address of the server, in lower case; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// `sslmode`; `None` for `prefer` on this machine and `require` elsewhere.
    pub sslmode: Option<SslMode>,
    /// The table.
    pub table: Option<TableName>,
}

/// Returns whether a text is the address of a PostgreSQL source, right or wrong.
pub fn is_postgres(uri: &str) -> bool {
    ["postgresql:", "postgres:"].iter().any(|scheme| uri.starts_with(scheme))
}

/// Returns the address without its password, wherever that is in it.
pub fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    // Up to the last `@`: an unescaped password may contain any character.
    let shown = match rest.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
        None => rest.to_owned(),
    };
    let Some((place, tail)) = shown.split_once('?') else { return format!("{scheme}://{shown}") };
    let (options, table) = tail.split_once('#').map_or((tail, None), |(options, table)| (options, Some(table)));
    let is_open = |option: &&str| option.starts_with("sslmode=");
    let options: Vec<&str> = options.split('&').filter(is_open).collect();
    let mark = if options.is_empty() { "" } else { "?" };
    let table = table.map(|table| format!("#{table}")).unwrap_or_default();
    format!("{scheme}://{place}{mark}{}{table}", options.join("&"))
}

impl PostgresAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// [`DataError::Uri`], which repeats no password.
    pub fn parse(uri: &str) -> Result<Self, DataError> {
        Self::read(uri).map_err(|(message, hint)| DataError::Uri {
            uri: shown(&without_password(uri)),
            message,
            hint: hint.to_owned(),
        })
    }

    fn read(uri: &str) -> Result<Self, (String, &'static str)> {
        let wrong = |message: &str, hint| (message.to_owned(), hint);
        let rest = ["postgresql://", "postgres://"].iter().find_map(|scheme| uri.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| wrong("it is not the address of a PostgreSQL database", FORM))?;
        let (user, rest) = rest.rsplit_once('@').ok_or_else(|| wrong("it names no user", FORM))?;
        let (user, password) = user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
        let (rest, table) = rest.split_once('#').map_or((rest, None), |(rest, table)| (rest, Some(table)));
        let (place, options) = rest.split_once('?').map_or((rest, ""), |(place, options)| (place, options));
        let (server, database) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = server_of(server)?;
        let decoded = |text: &str| {
            let bytes = unescaped(text);
            let bytes = bytes.filter(|bytes| !bytes.is_empty() && !bytes.contains(&0));
            bytes.and_then(|bytes| String::from_utf8(bytes).ok())
        };
        let user = decoded(user).ok_or_else(|| wrong("it names no user", FORM))?;
        let database = decoded(database).ok_or_else(|| wrong("it names no database", FORM))?;
        let password = match password {
            None | Some("") => None,
            Some(password) => {
                let password = decoded(password);
                let hint = "write a `%` of it as %25, or leave it out and set PGPASSWORD";
                Some(Secret(password.ok_or_else(|| wrong("its password is wrongly escaped", hint))?))
            }
        };
        let table = match table {
            None => None,
            Some(table) => {
                let table = decoded(table).ok_or_else(|| wrong("it names no table", FORM))?;
                Some(TableName::parse(&table).map_err(|message| wrong(message, FORM))?)
            }
        };
        Ok(Self { user, password, host, port, database, sslmode: sslmode_of(options)?, table })
    }

    /// Returns the server as a grant names it: the host, with its port unless that is 5432.
    pub fn server(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == DEFAULT_PORT { host } else { format!("{host}:{}", self.port) }
    }
}

/// The place of the database, for errors.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgresql://{}@{}/{}", shown(&self.user), self.server(), shown(&self.database))
    }
}

impl TableName {
    /// Parses `TABLE` or `SCHEMA.TABLE`. Names are not folded to lower case.
    ///
    /// # Errors
    /// The text is no name of a table.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (schema, name) = text.split_once('.').map_or((None, text), |(schema, name)| (Some(schema), name));
        if name.is_empty() || schema.is_some_and(str::is_empty) || text.contains('\0') {
            return Err("it names no table");
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned() })
    }

    /// Returns the name as SQL writes it.
    pub fn quoted(&self) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Parses `HOST` or `HOST:PORT`.
fn server_of(server: &str) -> Result<(String, u16), (String, &'static str)> {
    let wrong = |message: &str| (message.to_owned(), FORM);
    let (host, port) = match server.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong("its port is no number below 65536"))?),
        None => (server, DEFAULT_PORT),
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.len() <= 253 && host.bytes().all(fits),
    };
    if !is_host {
        return Err(wrong("it names no server"));
    }
    Ok((bracketed.unwrap_or(host).to_ascii_lowercase(), port))
}

fn sslmode_of(options: &str) -> Result<Option<SslMode>, (String, &'static str)> {
    let mut mode = None;
    for option in options.split('&').filter(|option| !option.is_empty()) {
        mode = Some(match option {
            "sslmode=disable" => SslMode::Disable,
            "sslmode=prefer" => SslMode::Prefer,
            "sslmode=require" => SslMode::Require,
            _ => {
                // The value may be a password.
                let message = format!("`{}` is not an option", shown(option.split('=').next().unwrap_or_default()));
                return Err((message, "the option is ?sslmode=require (or prefer, disable)"));
            }
        });
    }
    Ok(mode)
}

/// Replaces `%XX` by the byte; `None` for a `%` without two hexadecimal digits.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
        rest = tail;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(uri: &str) -> PostgresAddress {
        PostgresAddress::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"))
    }

    #[test]
    fn an_address_names_server_database_and_table() {
        let address = parsed("postgresql://ada@DB.example.org/shop#sales.orders");
        assert_eq!(
            (address.host.as_str(), address.port, address.server().as_str()),
            ("db.example.org", 5432, "db.example.org")
        );
        assert_eq!(address.table.map(|table| table.quoted()), Some("\"sales\".\"orders\"".to_owned()));
        assert_eq!(address.sslmode, None);
        let address = parsed("postgres://ada:s%40crét@[::1]:6000/my%20shop?sslmode=require#a\"b");
        assert_eq!((address.host.as_str(), address.server().as_str()), ("::1", "[::1]:6000"));
        assert_eq!((address.database.as_str(), address.sslmode), ("my shop", Some(SslMode::Require)));
        assert_eq!(address.password, Some(Secret("s@crét".to_owned())));
        assert_eq!(address.table.map(|table| table.quoted()), Some("\"a\"\"b\"".to_owned()));
        assert_eq!(parsed("postgres://ada:@h/d").password, None);
    }

    #[test]
    fn a_wrong_address_gets_a_hint() {
        for (uri, part) in [
            ("postgresql://h/d", "names no user"),
            ("postgresql://@h/d", "names no user"),
            ("postgresql://a@/d", "names no server"),
            ("postgresql://a@h1,h2/d", "names no server"),
            ("postgresql://a@%2Frun/d", "names no server"),
            ("postgresql://a@h:70000/d", "no number below 65536"),
            ("postgresql://a@h", "names no database"),
            ("postgresql://a@h/%00", "names no database"),
            ("postgresql://a@h/d#", "names no table"),
            ("postgresql://a@h/d#.t", "names no table"),
            ("postgresql://a@h/d?host=/run", "`host` is not an option"),
            ("postgresql:ada", "not the address of a PostgreSQL database"),
        ] {
            let error = PostgresAddress::parse(uri).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("\nhint: "), "{uri}: {error}");
        }
    }

    // invariant: An error never repeats a password from an address.
    #[test]
    fn no_password_is_shown() {
        for (uri, shown) in [
            (
                "postgresql://ada:secret@host:5432/db?sslmode=require#t",
                "postgresql://ada@host:5432/db?sslmode=require#t",
            ),
            ("postgresql://ada:se/cr?et@host/db", "postgresql://ada@host/db"),
            ("postgresql://ada:s@cr#et@host/db#t", "postgresql://ada@host/db#t"),
            ("postgresql://host/db?password=secret", "postgresql://host/db"),
            ("postgresql://ada@host/db?password=secret&sslmode=prefer#t", "postgresql://ada@host/db?sslmode=prefer#t"),
            ("csv:a.csv", "csv:a.csv"),
        ] {
            assert_eq!(without_password(uri), shown);
        }
        for uri in ["postgresql://ada:secret@/db", "postgresql://a@h/d?password=secret", "postgresql://a:secret%@h/d"] {
            let error = PostgresAddress::parse(uri).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", parsed("postgresql://ada:secret@h/d")).contains("secret"));
    }
}
