//! Addresses: which are public, and networks of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network of addresses: `10.1.0.0/16`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// The number of leading bits that all of its addresses share.
    prefix: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither an address nor a network\nhint: write `10.1.2.3`, `10.1.0.0/16`, `::1` or `fd00::/8`")]
pub struct NetworkParseError;

impl Network {
    /// Creates the network of the addresses that share `prefix` leading bits with `address`. A
    /// prefix that is longer than the address means the address.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        Self { address: canonical(address), prefix }
    }

    /// Returns whether an address belongs to the network. An IPv4 address in IPv6 notation is the
    /// same as in its own.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u32| bits - u32::from(self.prefix).min(bits);
        match (canonical(address), self.address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u64::from(a.to_bits() ^ b.to_bits()) >> shift(32) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0,
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkParseError;

    fn from_str(text: &str) -> Result<Self, NetworkParseError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkParseError)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // `+8` and `08` are numbers to Rust.
            Some(prefix) if prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(NetworkParseError);
            }
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or(NetworkParseError)?,
            None => bits,
        };
        // `::ffff:10.0.0.0/104` would share no bits with the address that it means.
        if canonical(address) != address && prefix < 128 {
            return Err(NetworkParseError);
        }
        Ok(Self::new(address, prefix))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Turns an IPv4 address in IPv6 notation into an IPv4 address.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => address.to_canonical(),
        address => address,
    }
}

/// Returns whether an address is public: in none of IANA's special-purpose ranges
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, and the same for IPv6).
/// Addresses of metadata services of clouds are link-local or private, and so they are not public.
pub fn is_public(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // carriers' own
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)) // benchmarks
        || [a, b, c, d] == [168, 63, 129, 16]) // the platform's own address in Azure
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Global unicast is 2000::/3. Ranges within it that embed other addresses are refused.
    segments[0] & 0xe000 == 0x2000
        && segments[0] != 0x2002 // 6to4
        && !(segments[0] == 0x2001 && segments[1] < 0x0200) // Teredo, benchmarks, ORCHID
        && !(segments[0] == 0x2001 && segments[1] == 0x0db8) // documentation
        && !(segments[0] == 0x3fff && segments[1] < 0x1000) // documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_special_purposes_are_not_public_in_any_notation() {
        for inside in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a00:1",
        ] {
            assert!(!is_public(inside.parse().expect(inside)), "{inside}");
        }
        for outside in ["1.1.1.1", "93.184.216.34", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1"] {
            assert!(is_public(outside.parse().expect(outside)), "{outside}");
        }
    }

    #[test]
    fn a_network_has_the_addresses_of_its_prefix() {
        let contains = |network: &str, address: &str| {
            let network: Network = network.parse().expect(network);
            network.contains(address.parse().expect(address))
        };
        assert!(contains("10.1.0.0/16", "10.1.255.255") && !contains("10.1.0.0/16", "10.2.0.0"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("127.0.0.0/8", "::ffff:127.3.2.1") && contains("::ffff:127.0.0.1", "127.0.0.1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("::/0", "fe80::1") && contains("::1/128", "::1") && !contains("::1", "::2"));
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0", "::/129"] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkParseError), "{wrong}");
        }
        assert_eq!("::ffff:10.0.0.0/104".parse::<Network>(), Err(NetworkParseError));
    }
}
