//! Requests that pages of other sites make a browser send: they are refused.
//!
//! The server trusts whoever reaches it. A page of another site reaches it too, through the browser
//! of a user. The browser says so in `Origin`; and where the other site's name was made to lead
//! here, in `Host`. No other site can be reached by a literal address, or as `localhost`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method};

use crate::mlflow_error::{ErrorCode, MlflowError};

/// Whose requests are answered.
#[derive(Debug, Clone)]
pub(crate) struct Origins {
    /// Further names of this server, such as that of a proxy in front of it, without ports.
    hosts: Vec<String>,
}

impl Origins {
    /// Returns the rule of a server that has these names, with or without ports, beside its
    /// addresses and `localhost`.
    pub(crate) fn new(hosts: &[String]) -> Self {
        Self { hosts: hosts.iter().map(|host| without_port(host).to_ascii_lowercase()).collect() }
    }

    /// # Errors
    /// The request comes from elsewhere.
    pub(crate) fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), MlflowError> {
        // Probes may call the server by any name, and these say nothing of what it holds.
        if matches!(path, "/health" | "/version") {
            return Ok(());
        }
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = text(HOST);
        if host.is_some_and(|host| !self.is_name_of_server(host)) {
            let message = "Invalid Host header - possible DNS rebinding attack detected. If it is a name of this \
                           server, start the server with `--allowed-host` and that name.";
            return Err(MlflowError::new(ErrorCode::PermissionDenied, message));
        }
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let Some(origin) = text(ORIGIN).filter(|_| changes) else { return Ok(()) };
        let of_origin = origin.split_once("://").map(|(_, authority)| authority);
        if of_origin.is_some_and(|authority| self.is_own_origin(authority) || Some(authority) == host) {
            return Ok(());
        }
        Err(MlflowError::new(ErrorCode::PermissionDenied, "Cross-origin request blocked"))
    }

    /// Returns whether a request may be for this host.
    fn is_name_of_server(&self, authority: &str) -> bool {
        let host = without_port(authority).to_ascii_lowercase();
        address(&host).is_some() || self.is_known(&host)
    }

    /// Returns whether pages of this origin are those of the server or of its machine.
    fn is_own_origin(&self, authority: &str) -> bool {
        let host = without_port(authority).to_ascii_lowercase();
        address(&host).is_some_and(|address| address.is_loopback()) || self.is_known(&host)
    }

    fn is_known(&self, host: &str) -> bool {
        host == "localhost" || self.hosts.iter().any(|known| known == host)
    }
}

/// Returns the address that a host is, if it is no name.
fn address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
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
        origins.check(&method, "/api/2.0/mlflow/runs/get", &headers).is_ok()
    }

    // invariant: A page of another site cannot change anything through a user's browser.
    #[test]
    fn changes_from_pages_of_other_sites_are_refused() {
        let local = Origins::new(&["Tracking.example:5000".into()]);
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
        for foreign in ["evil.example:5000", "localhost.evil.example", "127.0.0.1.evil.example", "0x7f000001", ""] {
            assert!(!allowed(&local, Method::GET, foreign, None), "{foreign}");
        }
        assert!(allowed(&local, Method::GET, "[fe80::1]:5000", None));

        // A server that other machines reach, too.
        let open = Origins::new(&[]);
        assert!(allowed(&open, Method::POST, "10.0.0.5:5000", Some("http://10.0.0.5:5000")));
        assert!(!allowed(&open, Method::POST, "10.0.0.5:5000", Some("http://10.0.0.6:5000")));
        assert!(!allowed(&open, Method::POST, "10.0.0.5:5000", Some("http://evil.example")));
        assert!(!allowed(&open, Method::POST, "evil.example:5000", Some("http://evil.example:5000")));
        assert!(!allowed(&open, Method::GET, "tracking.example", None));
    }

    #[test]
    fn probes_may_call_the_server_by_any_name() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("pod-1.internal"));
        let origins = Origins::new(&[]);
        for path in ["/health", "/version"] {
            assert!(origins.check(&Method::GET, path, &headers).is_ok(), "{path}");
        }
        assert!(origins.check(&Method::GET, "/health/more", &headers).is_err());
    }
}
