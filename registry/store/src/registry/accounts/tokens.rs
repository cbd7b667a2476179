//! Tokens: what programs send in place of a password, and what a browser keeps of a login.
//!
//! A token is shown once, when it is created. The database has its SHA-256, from which nobody can
//! guess a token of 256 random bits.

use std::fmt;

use serde::Serialize;

use super::{AccountError, User, users};
use crate::database::{Outcome, Row, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::random::random;
use crate::registry::handle::{Registry, now_ms};

/// The beginning of a token, by which people and scanners of secrets know it.
const PREFIX: &str = "swt_";

/// The most tokens and the most sessions of a user. A further session ends the oldest one.
const MOST_TOKENS: usize = 100;
const MOST_SESSIONS: usize = 20;

/// How often the use of a token is noted, in milliseconds.
const NOTED_MS: i64 = 60_000;

/// A token, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// The name of its user.
    pub user: String,
    /// Its purpose.
    pub label: String,
    /// Whether it is what a browser keeps of a login.
    pub is_session: bool,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it expires, in milliseconds since the epoch; `None`: never.
    pub expires_ms: Option<i64>,
    /// When it was used last, to a minute, in milliseconds since the epoch.
    pub used_ms: Option<i64>,
}

/// A token as its user has it. Neither [`fmt::Debug`] nor an error shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(String);

impl TokenSecret {
    /// Returns the text, which must reach its user and nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

const COLUMNS: &str = "tokens.id, users.name, label, is_session, tokens.created_ms, expires_ms, used_ms \
                       FROM tokens JOIN users ON users.id = tokens.user_id";

impl Registry {
    /// Creates a token of a user. The secret cannot be had again.
    ///
    /// # Errors
    /// [`AccountError::NoUser`], [`AccountError::BadLabel`], [`AccountError::TooManyTokens`],
    /// [`StoreError::Random`] or [`StoreError::Database`].
    pub fn create_token(
        &self,
        user: &str,
        label: &str,
        expires_ms: Option<i64>,
    ) -> Result<(Token, TokenSecret), StoreError> {
        self.new_token(user, label, expires_ms, false)
    }

    /// Creates what a browser keeps of a login until `expires_ms`.
    ///
    /// # Errors
    /// As [`Registry::create_token`], without the number of tokens.
    pub fn create_session(&self, user: &str, expires_ms: i64) -> Result<TokenSecret, StoreError> {
        self.new_token(user, "login", Some(expires_ms), true).map(|(_, secret)| secret)
    }

    fn new_token(
        &self,
        user: &str,
        label: &str,
        expires_ms: Option<i64>,
        is_session: bool,
    ) -> Result<(Token, TokenSecret), StoreError> {
        if !(1..=100).contains(&label.chars().count()) || label.chars().any(char::is_control) {
            return Err(AccountError::BadLabel.into());
        }
        let bytes: [u8; 32] = random()?;
        let secret = TokenSecret(bytes.iter().fold(String::from(PREFIX), |text, byte| format!("{text}{byte:02x}")));
        let token = self.write("create a token", Scope::Runs, |connection| {
            // Keeps others from adding tokens of this user meanwhile.
            let lock = "UPDATE users SET name = name WHERE name = ?1";
            connection.execute(lock, values![user])?;
            let user = users::named(connection, user)?;
            let now = now_ms();
            connection.execute("DELETE FROM tokens WHERE user_id = ?1 AND expires_ms <= ?2", values![user.id, now])?;
            let of_kind = "SELECT id FROM tokens WHERE user_id = ?1 AND is_session = ?2 ORDER BY id";
            let there = connection.query(of_kind, values![user.id, i64::from(is_session)])?;
            if is_session && there.len() >= MOST_SESSIONS {
                connection.execute("DELETE FROM tokens WHERE id = ?1", values![there[0].get::<i64>(0)?])?;
            } else if there.len() >= MOST_TOKENS {
                let error = AccountError::TooManyTokens { name: user.name, most: MOST_TOKENS };
                return Err(StoreError::from(error).into());
            }
            let insert = "INSERT INTO tokens (user_id, label, digest, is_session, created_ms, expires_ms)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id";
            let digest = digest(secret.reveal());
            let values = values![user.id, label, digest, i64::from(is_session), now, expires_ms];
            let id = connection.one(insert, values)?.get(0)?;
            let label = label.to_owned();
            Ok(Token { id, user: user.name, label, is_session, created_ms: now, expires_ms, used_ms: None })
        })?;
        Ok((token, secret))
    }

    /// Returns the tokens of a user, or of all users, oldest first, without sessions of browsers.
    ///
    /// # Errors
    /// [`AccountError::NoUser`] or [`StoreError::Database`].
    pub fn tokens(&self, user: Option<&str>) -> Result<Vec<Token>, StoreError> {
        self.read("list tokens", |connection| {
            let id = user.map(|user| users::named(connection, user)).transpose()?.map(|user| user.id);
            let query = format!(
                "SELECT {COLUMNS} WHERE is_session = 0 AND (CAST(?1 AS BIGINT) IS NULL OR user_id = ?1) ORDER BY tokens.id"
            );
            connection.query(&query, values![id])?.iter().map(token).collect()
        })
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`AccountError::NoToken`] or [`StoreError::Database`].
    pub fn revoke_token(&self, id: i64) -> Result<(), StoreError> {
        self.write("revoke a token", Scope::Runs, |connection| {
            users::changed(connection)?;
            match connection.execute("DELETE FROM tokens WHERE id = ?1", values![id])? {
                0 => Err(StoreError::from(AccountError::NoToken { id }).into()),
                _ => Ok(()),
            }
        })
    }

    /// Ends the session of a browser. One that is not there counts as ended.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn end_session(&self, secret: &str) -> Result<(), StoreError> {
        self.write("end a session", Scope::Runs, |connection| {
            users::changed(connection)?;
            let delete = "DELETE FROM tokens WHERE digest = ?1 AND is_session = 1";
            connection.execute(delete, values![digest(secret)])?;
            Ok(())
        })
    }

    /// Returns the user with this token and when the token expires, if it is one that is neither
    /// revoked nor expired. A session of a browser is no token for programs, and the other way
    /// round.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn user_with_token(&self, secret: &str, is_session: bool) -> Result<Option<(User, Option<i64>)>, StoreError> {
        if !secret.starts_with(PREFIX) {
            return Ok(None);
        }
        let now = now_ms();
        let found = self.read("look for a token", |connection| {
            let query = "SELECT users.id, users.name, is_admin, users.created_ms, tokens.id, expires_ms, used_ms
                FROM tokens JOIN users ON users.id = tokens.user_id
                WHERE digest = ?1 AND is_session = ?2 AND (expires_ms IS NULL OR expires_ms > ?3)";
            let row = connection.first(query, values![digest(secret), i64::from(is_session), now])?;
            row.map(|row| Ok((users::user(&row)?, row.get(4)?, row.get(5)?, row.get(6)?))).transpose()
        })?;
        let Some((user, id, expires_ms, used_ms)): Option<(User, i64, Option<i64>, Option<i64>)> = found else {
            return Ok(None);
        };
        if used_ms.is_none_or(|used| used + NOTED_MS <= now) && !self.is_read_only() {
            self.write("note the use of a token", Scope::Runs, |connection| {
                connection.execute("UPDATE tokens SET used_ms = ?2 WHERE id = ?1", values![id, now])?;
                Ok(())
            })?;
        }
        Ok(Some((user, expires_ms)))
    }
}

fn digest(secret: &str) -> String {
    Digest::of(secret.as_bytes()).to_hex()
}

fn token(row: &Row) -> Outcome<Token> {
    Ok(Token {
        id: row.get(0)?,
        user: row.get(1)?,
        label: row.get(2)?,
        is_session: row.get(3)?,
        created_ms: row.get(4)?,
        expires_ms: row.get(5)?,
        used_ms: row.get(6)?,
    })
}
