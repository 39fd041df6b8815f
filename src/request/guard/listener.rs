//! Ourselves as a target: a request to our own API would let a subscription's owner speak from inside.
//!
//! The address of a listener may be a wildcard, and a machine has many addresses, public ones among
//! them. The system is asked by connecting a datagram socket, which sends nothing: the source that it
//! picks for an address of this machine is that address itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether a connection to `target` would reach `listener`.
pub(super) fn reaches(target: SocketAddr, listener: SocketAddr) -> bool {
    if target.port() != listener.port() {
        return false;
    }
    let (target, listener) = (target.ip().to_canonical(), listener.ip().to_canonical());
    // The wildcard as a target means this machine, so it reaches whatever listens.
    target == listener || target.is_unspecified() || (listener.is_unspecified() && is_of_this_machine(target))
}

fn is_of_this_machine(address: IpAddr) -> bool {
    // All of 127.0.0.0/8 leads here, but the source that is picked for it is 127.0.0.1.
    address.is_loopback() || source_for(address) == Some(address)
}

/// The address that a connection to `address` would come from; none if there is no way there.
fn source_for(address: IpAddr) -> Option<IpAddr> {
    let wildcard: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((wildcard, 0)).ok()?;
    // The port does not matter, but zero cannot be connected to.
    socket.connect((address, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(target: &str, listener: &str) -> bool {
        reaches(target.parse().unwrap(), listener.parse().unwrap())
    }

    #[test]
    fn d7_a_listener_is_reached_by_its_port_and_an_address_of_this_machine() {
        let table = [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8081", "127.0.0.1:8080", false),
            ("127.0.0.2:8080", "127.0.0.1:8080", false),
            ("127.0.0.2:8080", "0.0.0.0:8080", true),
            ("0.0.0.0:8080", "127.0.0.1:8080", true),
            ("[::]:8080", "127.0.0.1:8080", true),
            ("[::1]:8080", "[::]:8080", true),
            ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "[::]:8080", true),
            ("203.0.113.1:8080", "0.0.0.0:8080", false),
            ("8.8.8.8:8080", "0.0.0.0:8080", false),
        ];
        for (target, listener, expected) in table {
            assert_eq!(reached(target, listener), expected, "{target} and {listener}");
        }
    }

    #[test]
    fn d7_every_address_of_this_machine_is_its_own() {
        // The source towards an address elsewhere is an address of this machine; without a network there is none.
        if let Some(own) = source_for([203, 0, 113, 1].into()) {
            assert!(reaches(SocketAddr::new(own, 8080), "0.0.0.0:8080".parse().unwrap()), "{own}");
            assert!(!reaches(SocketAddr::new(own, 8080), "127.0.0.1:8080".parse().unwrap()), "{own}");
        }
    }
}
