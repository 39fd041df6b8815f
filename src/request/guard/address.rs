//! What kind of address an address is: one table for IPv4, one for IPv6.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its
//! successors), RFC 4291 (IPv6 forms), RFC 6052 and 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo),
//! RFC 5214 (ISATAP), RFC 9602 (segment routing), RFC 9637 (documentation), and the documentation of the clouds
//! for their metadata addresses. Ranges that the registries call globally reachable are not listed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// The kinds of address that the guard tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// Reachable over the public internet; the only class that is sent to by default.
    Global,
    /// This machine.
    Loopback,
    /// A private IPv4 network.
    Private,
    /// Shared by a provider's customers (CGNAT).
    Shared,
    /// A private IPv6 network.
    UniqueLocal,
    /// This network segment only.
    LinkLocal,
    /// A metadata service of a cloud, which hands out credentials.
    Metadata,
    /// No address, or "this network".
    Unspecified,
    /// Many receivers at once.
    Multicast,
    /// All of a network.
    Broadcast,
    /// For examples in text.
    Documentation,
    /// For measurements between devices.
    Benchmarking,
    /// Set aside, given back, or not yet given out.
    Reserved,
    /// An IPv4 address inside an IPv6 address.
    Embedded,
}

impl AddressClass {
    /// Whether the setting `allow_private` lifts the refusal: networks that an operator can own.
    #[must_use]
    pub const fn is_private_network(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::Shared | Self::UniqueLocal | Self::LinkLocal)
    }

    /// The class in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "a public address",
            Self::Loopback => "this machine itself",
            Self::Private | Self::UniqueLocal => "a private network",
            Self::Shared => "a provider's shared network",
            Self::LinkLocal => "a local network segment",
            Self::Metadata => "a cloud metadata service",
            Self::Unspecified => "no address of a host",
            Self::Multicast => "a multicast group",
            Self::Broadcast => "a broadcast address",
            Self::Documentation => "an address for examples",
            Self::Benchmarking => "an address for measurements",
            Self::Reserved => "a reserved address",
            Self::Embedded => "an IPv4 address written as IPv6",
        }
    }
}

use AddressClass::{
    Benchmarking, Broadcast, Documentation, Embedded, Global, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Shared,
    UniqueLocal, Unspecified,
};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// The first two and the last two groups; what lies between is zero.
const fn v6(first: u16, second: u16, third: u16, fourth: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, fourth, 0, 0, 0, 0), prefix)
}

/// First match wins; what matches nothing is global.
const IPV4: [(Ipv4Net, AddressClass); 26] = [
    (v4(169, 254, 169, 254, 32), Metadata), // AWS, Azure, Google, Oracle, DigitalOcean and others
    (v4(169, 254, 170, 2, 32), Metadata),   // AWS container tasks
    (v4(169, 254, 170, 23, 32), Metadata),  // AWS container pods
    (v4(100, 100, 100, 200, 32), Metadata), // Alibaba
    (v4(168, 63, 129, 16, 32), Metadata),   // Azure; looks public
    (v4(192, 0, 0, 192, 32), Metadata),     // Oracle, older
    (v4(0, 0, 0, 0, 8), Unspecified),
    (v4(10, 0, 0, 0, 8), Private),
    (v4(100, 64, 0, 0, 10), Shared),
    (v4(127, 0, 0, 0, 8), Loopback),
    (v4(169, 254, 0, 0, 16), LinkLocal),
    (v4(172, 16, 0, 0, 12), Private),
    (v4(192, 0, 0, 0, 24), Reserved), // protocol assignments, NAT64 discovery
    (v4(192, 0, 2, 0, 24), Documentation),
    (v4(192, 31, 196, 0, 24), Reserved), // AS112: answers for private names
    (v4(192, 52, 193, 0, 24), Reserved), // multicast tunnels
    (v4(192, 88, 99, 0, 24), Reserved),  // 6to4 relays, given up
    (v4(192, 168, 0, 0, 16), Private),
    (v4(192, 175, 48, 0, 24), Reserved), // AS112
    (v4(198, 18, 0, 0, 15), Benchmarking),
    (v4(198, 51, 100, 0, 24), Documentation),
    (v4(203, 0, 113, 0, 24), Documentation),
    (v4(233, 252, 0, 0, 24), Documentation), // multicast for examples
    (v4(224, 0, 0, 0, 4), Multicast),
    (v4(255, 255, 255, 255, 32), Broadcast),
    (v4(240, 0, 0, 0, 4), Reserved),
];

/// First match wins; what matches nothing is global if it is in 2000::/3, else reserved.
const IPV6: [(Ipv6Net, AddressClass); 32] = [
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128), Metadata), // AWS
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23), 128), Metadata),  // AWS container pods
    (Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), Metadata),  // Google
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), Unspecified),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), Loopback),
    (v6(0, 0, 0, 0, 96), Embedded),                                                  // IPv4-compatible
    (Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96), Embedded), // IPv4-mapped
    (Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96), Embedded), // IPv4-translated
    (v6(0x64, 0xff9b, 0, 0, 96), Embedded),                                          // NAT64
    (v6(0x64, 0xff9b, 1, 0, 48), Embedded),                                          // NAT64, local use
    (v6(0x100, 0, 0, 0, 64), Reserved),                                              // discard
    (v6(0x100, 0, 0, 1, 64), Reserved),                                              // dummy
    (v6(0x2001, 0, 0, 0, 32), Embedded),                                             // Teredo
    (v6(0x2001, 2, 0, 0, 48), Benchmarking),
    (v6(0x2001, 0x10, 0, 0, 28), Reserved), // ORCHID, given back
    (v6(0x2001, 0x20, 0, 0, 28), Reserved), // ORCHID: no addresses of hosts
    (v6(0x2001, 0x30, 0, 0, 28), Reserved), // identities of drones
    (v6(0x2001, 0, 0, 0, 23), Reserved),    // the rest of the protocol assignments
    (v6(0x2001, 0xdb8, 0, 0, 32), Documentation),
    (v6(0x2002, 0, 0, 0, 16), Embedded),         // 6to4
    (v6(0x2620, 0x4f, 0x8000, 0, 48), Reserved), // AS112
    (v6(0x3ffe, 0, 0, 0, 16), Reserved),         // an early test network, given back
    (v6(0x3fff, 0, 0, 0, 20), Documentation),
    (v6(0x5f00, 0, 0, 0, 16), Reserved), // segment routing
    (v6(0xfc00, 0, 0, 0, 7), UniqueLocal),
    (v6(0xfe80, 0, 0, 0, 10), LinkLocal),
    (v6(0xfec0, 0, 0, 0, 10), UniqueLocal), // site-local, replaced by unique local
    (v6(0xff00, 0, 0, 0, 8), Multicast),
    (v6(0, 0, 0, 0, 3), Reserved),
    (v6(0x4000, 0, 0, 0, 2), Reserved),
    (v6(0x8000, 0, 0, 0, 1), Reserved),
    (v6(0x2000, 0, 0, 0, 3), Global),
];

/// The class of `address`, by its own form; what is embedded in it is a question of its own.
#[must_use]
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => IPV4.iter().find(|(range, _)| range.contains(&address)).map_or(Global, |(_, class)| *class),
        IpAddr::V6(address) if is_isatap(address) && !address.is_multicast() => Embedded,
        IpAddr::V6(address) => IPV6.iter().find(|(range, _)| range.contains(&address)).map_or(Reserved, |(_, class)| *class),
    }
}

/// The IPv4 addresses that `address` carries in itself: none, one, or for Teredo server and client.
pub(super) fn embedded(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let (first, second) = match address {
        IpAddr::V6(address) => embedded_in_v6(address),
        IpAddr::V4(_) => (None, None),
    };
    first.into_iter().chain(second)
}

fn embedded_in_v6(address: Ipv6Addr) -> (Option<Ipv4Addr>, Option<Ipv4Addr>) {
    let bits = address.to_bits();
    let part = |shift: u32| Ipv4Addr::from_bits((bits >> shift) as u32);
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => (None, None),
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, ..] => (Some(part(0)), None),
        [0x2002, ..] => (Some(part(80)), None),
        // The client's address is stored with all bits turned.
        [0x2001, 0, ..] => (Some(part(64)), Some(Ipv4Addr::from_bits(!part(0).to_bits()))),
        _ if is_isatap(address) => (Some(part(0)), None),
        _ => (None, None),
    }
}

/// The interface part is `0000:5efe` or `0200:5efe` and an IPv4 address, behind any prefix.
fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> AddressClass {
        classify(text.parse().unwrap())
    }

    /// First and last address of a range, its class, and the neighbours just outside with theirs.
    type Row = (&'static str, &'static str, AddressClass, Option<(&'static str, AddressClass)>, Option<(&'static str, AddressClass)>);

    #[test]
    fn every_range_ends_where_it_should() {
        let global = |text| Some((text, Global));
        let table: &[Row] = &[
            ("0.0.0.0", "0.255.255.255", Unspecified, None, global("1.0.0.0")),
            ("10.0.0.0", "10.255.255.255", Private, global("9.255.255.255"), global("11.0.0.0")),
            ("100.64.0.0", "100.127.255.255", Shared, global("100.63.255.255"), global("100.128.0.0")),
            ("100.100.100.200", "100.100.100.200", Metadata, Some(("100.100.100.199", Shared)), Some(("100.100.100.201", Shared))),
            ("127.0.0.0", "127.255.255.255", Loopback, global("126.255.255.255"), global("128.0.0.0")),
            ("168.63.129.16", "168.63.129.16", Metadata, global("168.63.129.15"), global("168.63.129.17")),
            ("169.254.0.0", "169.254.255.255", LinkLocal, global("169.253.255.255"), global("169.255.0.0")),
            ("169.254.169.254", "169.254.169.254", Metadata, Some(("169.254.169.253", LinkLocal)), Some(("169.254.169.255", LinkLocal))),
            ("169.254.170.2", "169.254.170.2", Metadata, Some(("169.254.170.1", LinkLocal)), Some(("169.254.170.3", LinkLocal))),
            ("169.254.170.23", "169.254.170.23", Metadata, Some(("169.254.170.22", LinkLocal)), Some(("169.254.170.24", LinkLocal))),
            ("172.16.0.0", "172.31.255.255", Private, global("172.15.255.255"), global("172.32.0.0")),
            ("192.0.0.0", "192.0.0.191", Reserved, global("191.255.255.255"), Some(("192.0.0.192", Metadata))),
            ("192.0.0.193", "192.0.0.255", Reserved, Some(("192.0.0.192", Metadata)), global("192.0.1.0")),
            ("192.0.2.0", "192.0.2.255", Documentation, global("192.0.1.255"), global("192.0.3.0")),
            ("192.31.196.0", "192.31.196.255", Reserved, global("192.31.195.255"), global("192.31.197.0")),
            ("192.52.193.0", "192.52.193.255", Reserved, global("192.52.192.255"), global("192.52.194.0")),
            ("192.88.99.0", "192.88.99.255", Reserved, global("192.88.98.255"), global("192.88.100.0")),
            ("192.168.0.0", "192.168.255.255", Private, global("192.167.255.255"), global("192.169.0.0")),
            ("192.175.48.0", "192.175.48.255", Reserved, global("192.175.47.255"), global("192.175.49.0")),
            ("198.18.0.0", "198.19.255.255", Benchmarking, global("198.17.255.255"), global("198.20.0.0")),
            ("198.51.100.0", "198.51.100.255", Documentation, global("198.51.99.255"), global("198.51.101.0")),
            ("203.0.113.0", "203.0.113.255", Documentation, global("203.0.112.255"), global("203.0.114.0")),
            ("224.0.0.0", "239.255.255.255", Multicast, global("223.255.255.255"), Some(("240.0.0.0", Reserved))),
            ("233.252.0.0", "233.252.0.255", Documentation, Some(("233.251.255.255", Multicast)), Some(("233.252.1.0", Multicast))),
            ("240.0.0.0", "255.255.255.254", Reserved, Some(("239.255.255.255", Multicast)), Some(("255.255.255.255", Broadcast))),
            ("::", "::", Unspecified, None, Some(("::1", Loopback))),
            ("::1", "::1", Loopback, None, Some(("::2", Embedded))),
            ("::2", "::ffff:ffff", Embedded, None, Some(("::1:0:0", Reserved))),
            ("::ffff:0.0.0.0", "::ffff:255.255.255.255", Embedded, Some(("::fffe:ffff:ffff", Reserved)), Some(("::1:0:0:0", Reserved))),
            ("::ffff:0:0:0", "::ffff:0:ffff:ffff", Embedded, Some(("::fffe:ffff:ffff:ffff", Reserved)), Some(("::ffff:1:0:0", Reserved))),
            (
                "64:ff9b::",
                "64:ff9b::ffff:ffff",
                Embedded,
                Some(("64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", Reserved)),
                Some(("64:ff9b::1:0:0", Reserved)),
            ),
            (
                "64:ff9b:1::",
                "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                Embedded,
                Some(("64:ff9b:0:ffff:ffff:ffff:ffff:ffff", Reserved)),
                Some(("64:ff9b:2::", Reserved)),
            ),
            ("100::", "100::ffff:ffff:ffff:ffff", Reserved, None, None),
            ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, None, global("2000::")),
            (
                "2001::",
                "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
                Embedded,
                global("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                Some(("2001:1::", Reserved)),
            ),
            (
                "2001:2::",
                "2001:2:0:ffff:ffff:ffff:ffff:ffff",
                Benchmarking,
                Some(("2001:1:ffff::", Reserved)),
                Some(("2001:2:1::", Reserved)),
            ),
            ("2001:10::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, None, global("2001:200::")),
            (
                "2001:db8::",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                Documentation,
                global("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"),
                global("2001:db9::"),
            ),
            (
                "2002::",
                "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                Embedded,
                global("2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                global("2003::"),
            ),
            (
                "2620:4f:8000::",
                "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
                Reserved,
                global("2620:4f:7fff:ffff:ffff:ffff:ffff:ffff"),
                global("2620:4f:8001::"),
            ),
            (
                "3ffe::",
                "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                Reserved,
                global("3ffd:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                Some(("3fff::", Documentation)),
            ),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Documentation, None, global("3fff:1000::")),
            (
                "4000::",
                "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                Reserved,
                global("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                Some(("fc00::", UniqueLocal)),
            ),
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, None, None),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UniqueLocal, None, Some(("fe00::", Reserved))),
            ("fd00:ec2::254", "fd00:ec2::254", Metadata, Some(("fd00:ec2::253", UniqueLocal)), Some(("fd00:ec2::255", UniqueLocal))),
            ("fd00:ec2::23", "fd00:ec2::23", Metadata, None, None),
            ("fd20:ce::254", "fd20:ce::254", Metadata, None, None),
            (
                "fe80::",
                "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                LinkLocal,
                Some(("fe7f:ffff::", Reserved)),
                Some(("fec0::", UniqueLocal)),
            ),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UniqueLocal, None, Some(("ff00::", Multicast))),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Multicast, Some(("feff:ffff::", UniqueLocal)), None),
            (
                "2606:4700::5efe:7f00:1",
                "2606:4700::200:5efe:7f00:1",
                Embedded,
                global("2606:4700::5efd:7f00:1"),
                global("2606:4700::201:5efe:7f00:1"),
            ),
        ];
        for (first, last, expected, before, after) in table {
            assert_eq!(class(first), *expected, "{first}");
            assert_eq!(class(last), *expected, "{last}");
            for (outside, expected) in before.iter().chain(after) {
                assert_eq!(class(outside), *expected, "{outside}, next to {first} to {last}");
            }
        }
    }

    #[test]
    fn well_known_public_addresses_are_global() {
        for text in [
            "8.8.8.8",
            "1.1.1.1",
            "93.184.215.14",
            "198.41.0.4",
            "2606:4700:4700::1111",
            "2a00:1450:4001:82a::200e",
            "2001:4860:4860::8888",
        ] {
            assert_eq!(class(text), Global, "{text}");
        }
    }

    #[test]
    fn embedded_addresses_are_found() {
        let table: &[(&str, &[&str])] = &[
            ("::ffff:127.0.0.1", &["127.0.0.1"]),
            ("::127.0.0.1", &["127.0.0.1"]),
            ("::ffff:0:10.0.0.1", &["10.0.0.1"]),
            ("64:ff9b::169.254.169.254", &["169.254.169.254"]),
            ("64:ff9b:1::10.1.2.3", &["10.1.2.3"]),
            ("2002:7f00:1::", &["127.0.0.1"]),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", &["65.54.227.120", "192.0.2.45"]),
            ("fe80::5efe:192.168.0.1", &["192.168.0.1"]),
            ("2606:4700::200:5efe:192.168.0.1", &["192.168.0.1"]),
            ("::1", &[]),
            ("::", &[]),
            ("2606:4700::1", &[]),
            ("127.0.0.1", &[]),
        ];
        for (text, expected) in table {
            let found: Vec<_> = embedded(text.parse().unwrap()).map(|address| address.to_string()).collect();
            assert_eq!(found, *expected, "{text}");
        }
    }
}
