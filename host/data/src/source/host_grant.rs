//! The servers that the host may contact for a stage.
//!
//! Access is denied by default, by name and by address: the name must be granted, and each address
//! that it resolves to must be public or granted itself.

use std::net::{IpAddr, SocketAddr};

use stagewright_outgoing::{Network, canonical, is_public};

/// A grant: a host by name, with its default port or one port, or a network of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostGrant {
    /// A host as in URLs. A name grants public addresses only.
    Host {
        /// The name or the address, in lower case.
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

impl HostGrant {
    /// Returns whether this grants a host by name. `default` is the port that a grant without a
    /// port stands for.
    pub(super) fn names(&self, host: &str, port: u16, default: u16) -> bool {
        match self {
            Self::Host { host: name, port: wanted } => {
                name.eq_ignore_ascii_case(host) && wanted.unwrap_or(default) == port
            }
            Self::Network { .. } => false,
        }
    }

    /// Returns whether a granted host may be contacted at an address: it is public, or granted
    /// itself.
    pub(super) fn reach(grants: &[Self], to: SocketAddr, default: u16) -> bool {
        let address = canonical(to.ip());
        let granted = |grant: &Self| match grant {
            Self::Network { address: network, prefix } => Network::new(*network, *prefix).contains(address),
            Self::Host { host, port } => {
                address_of(host).is_some_and(|host| canonical(host) == address) && port.unwrap_or(default) == to.port()
            }
        };
        is_public(address) || grants.iter().any(granted)
    }
}

/// Returns the address, if a host is one.
pub(super) fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}
