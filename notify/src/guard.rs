//! Which addresses may be spoken to: a channel is set by a tenant, and must not reach what this machine's network hides.
//!
//! The check is of addresses, never of names: the trap is a name that is checked, resolved again to connect, and leads
//! elsewhere the second time. So who connects does so to the very address that was checked here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Self {
        Self {
            first: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Self {
        Self {
            first: IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)),
            prefix,
        }
    }

    /// Whether the address is one of it. An address of the other family never is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differs = first.to_bits() ^ address.to_bits();
                differs
                    .checked_shr(32 - u32::from(self.prefix))
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differs = first.to_bits() ^ address.to_bits();
                differs
                    .checked_shr(128 - u32::from(self.prefix))
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// A text that is no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no network; write it as 10.0.0.0/8 or fd00::/8, with no bit set behind the prefix"
)]
pub struct NoNetwork(String);

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let bad = || NoNetwork(text.chars().take(100).collect());
        let (first, prefix) = text.split_once('/').ok_or_else(bad)?;
        let first: IpAddr = first.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let behind = match first {
            IpAddr::V4(first) if prefix <= 32 => {
                let behind = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                u128::from(first.to_bits() & behind)
            }
            IpAddr::V6(first) if prefix <= 128 => {
                first.to_bits() & u128::MAX.checked_shr(prefix.into()).unwrap_or(0)
            }
            _ => return Err(bad()),
        };
        match behind {
            0 => Ok(Self { first, prefix }),
            _ => Err(bad()),
        }
    }
}

/// What is closed to channels, and why.
const CLOSED: &[(Network, &str)] = &[
    (Network::v4(0, 0, 0, 0, 8), "it is unspecified"),
    (Network::v4(10, 0, 0, 0, 8), "it is private"),
    (Network::v4(100, 64, 0, 0, 10), "it is a carrier's own"),
    (Network::v4(127, 0, 0, 0, 8), "it is this machine"),
    (Network::v4(169, 254, 0, 0, 16), "it is link-local"),
    (Network::v4(172, 16, 0, 0, 12), "it is private"),
    (Network::v4(192, 0, 0, 0, 24), "it is reserved"),
    (Network::v4(192, 0, 2, 0, 24), "it is for documents"),
    (Network::v4(192, 88, 99, 0, 24), "it is a relay to IPv6"),
    (Network::v4(192, 168, 0, 0, 16), "it is private"),
    (Network::v4(198, 18, 0, 0, 15), "it is for measurements"),
    (Network::v4(198, 51, 100, 0, 24), "it is for documents"),
    (Network::v4(203, 0, 113, 0, 24), "it is for documents"),
    (Network::v4(224, 0, 0, 0, 4), "it is multicast"),
    (Network::v4(240, 0, 0, 0, 4), "it is reserved"),
    // Parts of 2000::/3 that lead to IPv4 addresses, or nowhere.
    (
        Network::v6(0x2001, 0, 0, 23),
        "it is reserved, or leads to IPv4",
    ),
    (Network::v6(0x2001, 0xdb8, 0, 32), "it is for documents"),
    (Network::v6(0x2002, 0, 0, 16), "it leads to IPv4"),
    (Network::v6(0x3fff, 0, 0, 20), "it is for documents"),
];

/// Where all public addresses of IPv6 are. What is outside (`::1`, `::ffff:0:0/96`, `64:ff9b::/96`, `fc00::/7`, `fe80::/10`,
/// `ff00::/8` and all that is not given out) needs no list.
const GLOBAL: Network = Network::v6(0x2000, 0, 0, 3);

/// An address that channels may not reach.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} may not be reached: {why}; notify.allow_networks can open a network")]
pub struct Closed {
    address: IpAddr,
    why: &'static str,
}

/// Which addresses channels may reach.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allowed: Vec<Network>,
}

impl Guard {
    /// Public addresses, and those of the networks that the operator opens.
    pub const fn new(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Whether the address may be reached.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, address: IpAddr) -> Result<(), Closed> {
        if self.allowed.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        let closed = |why| Err(Closed { address, why });
        if let Some((_, why)) = CLOSED.iter().find(|(network, _)| network.contains(address)) {
            return closed(why);
        }
        match address {
            IpAddr::V6(_) if !GLOBAL.contains(address) => closed("it is not public"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_open(guard: &Guard, address: &str) -> bool {
        guard.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn what_is_not_public_is_closed() {
        let guard = Guard::default();
        for closed in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!is_open(&guard, closed), "{closed}");
        }
        for open in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_open(&guard, open), "{open}");
        }
    }

    #[test]
    fn an_operator_opens_networks_and_no_more() {
        let guard = Guard::new(vec![
            "10.1.0.0/16".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ]);
        for (address, open) in [
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("fd12::1", true),
            ("fc00::1", false),
            ("127.0.0.1", false),
            ("::ffff:10.1.2.3", false),
        ] {
            assert_eq!(is_open(&guard, address), open, "{address}");
        }
        let why = guard
            .check("169.254.169.254".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("link-local") && why.contains("allow_networks"),
            "{why}"
        );
    }

    #[test]
    fn networks_are_read_as_they_are_written() {
        for good in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "127.0.0.1/32",
            "::/0",
            "fd00::/8",
            "::1/128",
        ] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "fd01::/8",
            "x/8",
            "10.0.0.0/-1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(
            all.contains(IpAddr::from([255, 255, 255, 255]))
                && !all.contains("::1".parse().unwrap())
        );
    }

    proptest! {
        #[test]
        fn a_network_holds_what_begins_alike(bits: u32, prefix in 0u8..=32, other: u32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let network = Network { first: IpAddr::V4(Ipv4Addr::from_bits(bits & mask)), prefix };
            let held = network.contains(IpAddr::V4(Ipv4Addr::from_bits(other)));
            prop_assert_eq!(held, bits & mask == other & mask);
        }
    }
}
