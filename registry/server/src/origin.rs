//! Requests that pages of other sites make a browser send: they are refused.
//!
//! A server on a loopback address trusts whoever reaches it. A page of another site reaches it too,
//! through the browser of a user of this machine. The browser says so in `Origin`; and where the
//! other site's name was made to lead here, in `Host`.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

use crate::mlflow_error::{ErrorCode, MlflowError};

/// Whose requests are answered.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    /// Whether the server listens on a loopback address.
    pub(crate) is_loopback: bool,
    /// Further names of this server, such as that of a proxy in front of it.
    pub(crate) hosts: Vec<String>,
}

impl Origins {
    /// # Errors
    /// The request comes from elsewhere.
    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), MlflowError> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = text(HOST);
        if self.is_loopback && host.is_some_and(|host| !self.is_ours(host)) {
            let message = "Invalid Host header - possible DNS rebinding attack detected";
            return Err(MlflowError::new(ErrorCode::PermissionDenied, message));
        }
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let Some(origin) = text(ORIGIN).filter(|_| changes) else { return Ok(()) };
        let of_origin = origin.split_once("://").map(|(_, authority)| authority);
        if of_origin.is_some_and(|authority| self.is_ours(authority) || Some(authority) == host) {
            return Ok(());
        }
        Err(MlflowError::new(ErrorCode::PermissionDenied, "Cross-origin request blocked"))
    }

    fn is_ours(&self, authority: &str) -> bool {
        let host = without_port(authority).to_ascii_lowercase();
        let is_loopback = host == "localhost"
            || host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.is_loopback()))
            || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
        is_loopback || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(&host))
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn allowed(origins: &Origins, method: Method, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).expect("a host"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).expect("an origin"));
        }
        origins.check(&method, &headers).is_ok()
    }

    // invariant: A page of another site cannot change anything through a user's browser.
    #[test]
    fn changes_from_pages_of_other_sites_are_refused() {
        let local = Origins { is_loopback: true, hosts: vec!["tracking.example".into()] };
        let post = |host, origin| allowed(&local, Method::POST, host, origin);
        assert!(post("127.0.0.1:5000", None));
        assert!(post("[::1]:5000", Some("http://localhost:3000")));
        assert!(post("tracking.example", Some("https://tracking.example")));
        for foreign in
            ["http://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.evil.example:80"]
        {
            assert!(!post("127.0.0.1:5000", Some(foreign)), "{foreign}");
            assert!(allowed(&local, Method::GET, "127.0.0.1:5000", Some(foreign)), "{foreign}");
        }
        // A name of the other site leads to this machine.
        assert!(!post("evil.example:5000", Some("http://evil.example:5000")));
        assert!(!allowed(&local, Method::GET, "evil.example:5000", None));

        let open = Origins { is_loopback: false, hosts: Vec::new() };
        assert!(allowed(&open, Method::POST, "10.0.0.5:5000", Some("http://10.0.0.5:5000")));
        assert!(!allowed(&open, Method::POST, "10.0.0.5:5000", Some("http://evil.example")));
    }
}
