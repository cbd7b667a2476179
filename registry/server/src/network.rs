//! Which addresses count as one, where something is counted by address.

use std::net::{IpAddr, Ipv6Addr};

/// Returns the address that stands for this one and those of the same client: an IPv6 network of 64
/// bits counts as one address, since whoever has one address there has all. An IPv4 address that is
/// written as one of IPv6 is itself.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_address_is_its_own() {
        let of = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!([of("2001:db8::1"), of("2001:db8::ffff:0:0:2")], ["2001:db8::", "2001:db8::"]);
        assert_eq!(of("2001:db8:0:1::1"), "2001:db8:0:1::");
        assert_eq!([of("::ffff:10.0.0.1"), of("10.0.0.2")], ["10.0.0.1", "10.0.0.2"]);
        assert_eq!([of("::1"), of("::ffff:127.0.0.1")], ["::1", "127.0.0.1"]);
    }
}
