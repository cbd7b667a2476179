//! `http` of a stage: the servers that the host may contact on its behalf.
//!
//! Owns the syntax of grants; `stagewright-data` enforces them. A granted name may resolve to
//! public addresses only. A private address must be granted itself.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::reader::Item;

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpGrant {
    /// A host: `data.example.org`, `data.example.org:8443`, `10.1.2.3:8080`, `[::1]:8080`.
    Host {
        /// The name or the address as in URLs, in lower case.
        host: String,
        /// The port; `None` for the default port of the URL's scheme.
        port: Option<u16>,
    },
    /// A network: `10.1.0.0/16`. Granted names may resolve to its addresses although they are not
    /// public.
    Network {
        /// An address of the network.
        address: IpAddr,
        /// The number of leading bits that all of its addresses share.
        prefix: u8,
    },
}

impl HttpGrant {
    /// Reads a list of grants.
    pub(crate) fn read_all(item: &Item<'_>) -> Option<Vec<Self>> {
        let read = |item: &Item<'_>| {
            let text = item.text()?;
            text.parse()
                .map_err(|hint: &str| {
                    item.report_value(format!("`{text}` is not a server or a network"), Some(hint.to_owned()));
                })
                .ok()
        };
        item.array()?.iter().map(read).collect::<Vec<_>>().into_iter().collect()
    }
}

impl FromStr for HttpGrant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOST: &str = "write a host such as `data.example.org`, `10.1.2.3:8080` or `[::1]:8080`, not a URL";
        if text.contains("//") {
            return Err(HOST);
        }
        if let Some((address, prefix)) = text.split_once('/') {
            let (Ok(address), Ok(prefix)) = (address.parse::<IpAddr>(), prefix.parse::<u8>()) else {
                return Err("write a network as `10.1.0.0/16`");
            };
            let most = if address.is_ipv4() { 32 } else { 128 };
            return if prefix <= most {
                Ok(Self::Network { address, prefix })
            } else {
                Err("an IPv4 network has a prefix of at most 32, an IPv6 network of at most 128")
            };
        }
        let is_port = |rest: &str| !rest.contains(']');
        let (host, port) = match text.rsplit_once(':').filter(|(_, rest)| is_port(rest)) {
            Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| HOST)?)),
            None => (text, None),
        };
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
                !host.is_empty() && host.len() <= 253 && host.bytes().all(fits)
            }
        };
        if is_host { Ok(Self::Host { host: host.to_ascii_lowercase(), port }) } else { Err(HOST) }
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { host, port: Some(port) } => write!(f, "{host}:{port}"),
            Self::Host { host, port: None } => f.write_str(host),
            Self::Network { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

impl Serialize for HttpGrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_host_or_a_network() {
        for text in
            ["data.example.org", "data.example.org:8443", "10.0.0.1", "[::1]:80", "[fd00::1]", "10.0.0.0/8", "fd00::/8"]
        {
            assert_eq!(text.parse::<HttpGrant>().unwrap().to_string(), text);
        }
        for text in
            ["https://example.org", "*.example.org", "me@example.org", "10.0.0.0/33", "", "a b", "a:b", "[x]:1", ":80"]
        {
            assert!(text.parse::<HttpGrant>().is_err(), "{text}");
        }
    }
}
