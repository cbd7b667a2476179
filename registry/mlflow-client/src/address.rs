//! The address of a server, without its credentials.

use std::fmt;

use percent_encoding::percent_decode_str;
use stagewright_text::Untrusted;
use ureq::http::Uri;

/// The most bytes of an address.
const MOST: usize = 2_048;

/// The reason why a text is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is none of HTTP: `sqlite:`, `file:`, a folder, `databricks`.
    #[error(
        "`{shown}` is not the address of a server\nhint: name one that answers over HTTP, such as http://127.0.0.1:5000; `mlflow server --backend-store-uri URI` makes one of a database or a folder"
    )]
    NotHttp {
        /// The text, cut and without credentials.
        shown: String,
    },
    /// It is a URL that cannot be used.
    #[error(
        "the address of the MLflow server cannot be used: {problem}\nhint: write it as http://HOST:PORT or https://HOST/PATH"
    )]
    Unusable {
        /// The problem.
        problem: &'static str,
    },
}

/// The address of a server: scheme, host, port and path.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `https://host:port/path`, without a slash at its end.
    base: String,
    /// User and password that the address had.
    credentials: Option<(String, String)>,
}

impl Address {
    /// Reads a tracking URI.
    ///
    /// # Errors
    /// It is not one of a server that answers over HTTP.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let is = |scheme: &str| text.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
        if !is("http://") && !is("https://") {
            return Err(AddressError::NotHttp { shown: without_credentials(text) });
        }
        let unusable = |problem| AddressError::Unusable { problem };
        if text.len() > MOST {
            return Err(unusable("it has more than 2048 bytes"));
        }
        let uri: Uri = text.parse().map_err(|_| unusable("it is no URL"))?;
        if uri.query().is_some() || text.contains('#') {
            return Err(unusable("it has a query or a fragment"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| unusable("it has no host"))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let credentials = authority.rsplit_once('@').map(|(user_info, _)| {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (decoded(user), decoded(password))
        });
        let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = if is("https://") { "https" } else { "http" };
        let path = uri.path().trim_end_matches('/');
        Ok(Self { base: format!("{scheme}://{}{port}{path}", host.to_ascii_lowercase()), credentials })
    }

    /// Returns the address as messages and records have it: without user and password.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// Returns user and password, if the address has them.
    pub(crate) fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Returns whether a URI of artifacts, such as `mlflow-artifacts://HOST:PORT/PATH`, names this
    /// server: it has no host, or this one.
    pub(crate) fn is_of(&self, host_and_port: &str) -> bool {
        let own = self.base.split_once("://").map_or("", |(_, rest)| rest);
        let own = own.split('/').next().unwrap_or_default();
        host_and_port.is_empty() || host_and_port.eq_ignore_ascii_case(own)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.base).finish()
    }
}

/// Returns a text that is shown: without what stands before the last `@`.
fn without_credentials(text: &str) -> String {
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://...@{rest}"),
        (None, Some((_, rest))) => format!("...@{rest}"),
        (_, None) => text.to_owned(),
    };
    Untrusted::new(&shown).cut(200).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: No message names user or password of an MLflow server.
    #[test]
    fn an_address_is_kept_and_shown_without_user_and_password() {
        let address = Address::parse("https://me:p%40ss@MLflow.example:8443/at/").expect("an address");
        assert_eq!(address.to_string(), "https://mlflow.example:8443/at");
        assert_eq!(address.credentials(), Some(("me", "p@ss")));
        assert!(!format!("{address:?}").contains("p@ss"), "{address:?}");
        let error = Address::parse("postgresql://me:secret@host/db").expect_err("no server").to_string();
        assert!(error.contains("...@host/db") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_server_over_http_is_refused() {
        for text in ["", "databricks", "./mlruns", "file:///tmp/x", "sqlite:///a.db", "httpx://a", "ht"] {
            assert!(matches!(Address::parse(text), Err(AddressError::NotHttp { .. })), "{text}");
        }
        for text in ["http://", "http:///a", "http://a/?b=c", "http://a/#b", "https://a b/"] {
            assert!(matches!(Address::parse(text), Err(AddressError::Unusable { .. })), "{text}");
        }
    }

    #[test]
    fn a_uri_of_artifacts_is_of_the_server_if_it_has_no_host_or_this_one() {
        let address = Address::parse("http://localhost:5000/at").expect("an address");
        assert!(address.is_of("") && address.is_of("localhost:5000") && !address.is_of("localhost:5001"));
    }
}
