//! The addresses that connections may go to, checked when a connection is made.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::addresses::{Network, is_public};

/// The addresses that requests of users may go to: public ones by `https`, and those that the
/// operator allows by `http` too.
#[derive(Clone, Debug, Default)]
pub struct AllowedAddresses {
    networks: Vec<Network>,
}

impl AllowedAddresses {
    /// Allows the addresses of these networks beside public ones.
    pub fn and(networks: Vec<Network>) -> Self {
        Self { networks }
    }

    /// Returns whether the operator allows anything that is not public.
    pub fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Returns whether a connection to an address may be made, by `https` or not.
    pub fn allows(&self, address: IpAddr, is_https: bool) -> bool {
        (is_https && is_public(address)) || self.networks.iter().any(|network| network.contains(address))
    }
}

/// Resolves names, and refuses those that lead to an address that is not allowed. The connection
/// goes to the addresses that were checked, so that a name cannot be pointed elsewhere in between
/// (DNS rebinding). An address in a URL, however it is written, is checked as a name is.
pub(crate) struct Checked {
    pub(crate) allowed: AllowedAddresses,
    /// The address that was refused, for the message. The errors of ureq cannot carry it.
    pub(crate) refused: Arc<Mutex<Option<IpAddr>>>,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Resolver for Checked {
    fn resolve(&self, url: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(url, config, timeout)?;
        let is_https = url.scheme_str() == Some("https");
        // A name with one address that is not allowed is refused as a whole: it is no public name.
        match found.iter().find(|address| !self.allowed.allows(address.ip(), is_https)) {
            None => Ok(found),
            Some(address) => {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.ip());
                Err(ureq::Error::HostNotFound)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: No webhook reaches an address of the operator's network that the operator did not
    // allow.
    #[test]
    fn only_public_addresses_are_reached_and_those_that_the_operator_allows() {
        let allows = |networks: &[&str], address: &str, is_https: bool| {
            let networks = networks.iter().map(|text| text.parse().expect("a network")).collect();
            AllowedAddresses::and(networks).allows(address.parse().expect("an address"), is_https)
        };
        assert!(allows(&[], "1.1.1.1", true));
        assert!(!allows(&[], "1.1.1.1", false), "http reaches what the operator names alone");
        for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1", "0.0.0.0"] {
            assert!(!allows(&[], inside, true) && !allows(&[], inside, false), "{inside}");
        }
        assert!(allows(&["127.0.0.1"], "127.0.0.1", false) && allows(&["127.0.0.0/8"], "::ffff:127.0.0.1", true));
        assert!(!allows(&["127.0.0.1"], "127.0.0.2", true) && !allows(&["127.0.0.1"], "169.254.169.254", true));
    }
}
