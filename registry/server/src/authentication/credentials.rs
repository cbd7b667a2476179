//! The words of a request about whom it is from.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE as COOKIE_HEADER};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mlflow_error::MlflowError;

/// The name of the cookie of a session.
pub(crate) const COOKIE: &str = "stagewright_session";

/// The most bytes of a header that says who it is.
const MOST: usize = 4096;

/// A password or a token. Nothing shows it by accident.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The words of a request about whom it is from.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// As a client with `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD` sends.
    Password { name: String, password: Secret },
    /// As a client with `MLFLOW_TRACKING_TOKEN` sends.
    Token(Secret),
    /// As a browser sends after a login.
    Session(Secret),
}

impl Credentials {
    /// Reads them; `None` if there are none. A header counts more than a cookie.
    ///
    /// # Errors
    /// The header is of another scheme, or malformed.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, MlflowError> {
        if let Some(header) = headers.get(AUTHORIZATION) {
            let text = header.to_str().ok().filter(|text| text.len() <= MOST);
            return text.and_then(of_header).map(Some).ok_or_else(MlflowError::unauthenticated);
        }
        let cookies = headers.get_all(COOKIE_HEADER).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let session = pairs.find(|(name, value)| *name == COOKIE && value.len() <= MOST);
        Ok(session.map(|(_, value)| Self::Session(Secret::new(value))))
    }
}

fn of_header(text: &str) -> Option<Credentials> {
    let (scheme, value) = text.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Token(Secret::new(value)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some(Credentials::Password { name: name.to_owned(), password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(pairs: &[(axum::http::HeaderName, &str)]) -> Result<Option<Credentials>, MlflowError> {
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        Credentials::of(&pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect())
    }

    #[test]
    fn a_header_is_a_password_or_a_token_and_a_cookie_is_a_session() {
        let read = |pairs: &[(axum::http::HeaderName, &str)]| read(pairs).expect("credentials");
        let Some(Credentials::Password { name, password }) = read(&[(AUTHORIZATION, "Basic YWRhOnBhOnNz")]) else {
            panic!("a password")
        };
        assert_eq!((name.as_str(), password.reveal()), ("ada", "pa:ss"));
        let Some(Credentials::Token(token)) = read(&[(AUTHORIZATION, "bearer swt_1")]) else { panic!("a token") };
        assert_eq!(token.reveal(), "swt_1");
        let cookies = "a=b; stagewright_session=swt_2; c=d";
        let Some(Credentials::Session(session)) = read(&[(COOKIE_HEADER, cookies)]) else { panic!("a session") };
        assert_eq!(session.reveal(), "swt_2");
        assert!(matches!(read(&[(COOKIE_HEADER, cookies), (AUTHORIZATION, "Bearer x")]), Some(Credentials::Token(_))));
        assert!(read(&[(COOKIE_HEADER, "a=b")]).is_none() && read(&[]).is_none());
    }

    #[test]
    fn a_header_that_is_neither_admits_nobody() {
        let long = format!("Bearer {}", "x".repeat(MOST));
        for wrong in ["", "Basic", "Basic ???", "Basic YWRh", "Digest a", "Basic /////w==", &long] {
            assert!(read(&[(AUTHORIZATION, wrong)]).is_err(), "{wrong}");
        }
    }

    // invariant: Neither `Debug` nor a message shows a password or a token.
    #[test]
    fn nothing_shows_a_secret_by_accident() {
        let shown = format!("{:?}", read(&[(AUTHORIZATION, "Basic YWRhOnNlc2FtZQ==")]).expect("a password"));
        assert!(shown.contains("ada") && !shown.contains("sesame"), "{shown}");
    }
}
