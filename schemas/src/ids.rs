//! Identifiers as types. Each id is a UUIDv7 except [`Mac`], so that none can stand where another is meant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::SchemaError;

macro_rules! uuid_id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, ordered by the time of its making.
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id held in 16 big-endian bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The id as 16 big-endian bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// A customer of the installation; every row belongs to one.
    TenantId,
    /// A managed RouterOS device.
    DeviceId,
    /// A site: a tower or another place with devices.
    SiteId,
    /// A sector of a site.
    SectorId,
    /// A group of devices.
    GroupId,
    /// A tag of devices.
    TagId,
    /// Thresholds of a place.
    ThresholdsId,
    /// An alert rule.
    RuleId,
    /// A maintenance window.
    WindowId,
}

/// A 48-bit MAC address in the low bits of a `u64`, first octet highest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub u64);

impl Mac {
    /// The address made of six octets.
    pub const fn from_octets(o: [u8; 6]) -> Self {
        Self(u64::from_be_bytes([
            0, 0, o[0], o[1], o[2], o[3], o[4], o[5],
        ]))
    }

    /// A stand-in for a radio whose address the router did not tell: a locally administered address made from the
    /// interface name by FNV-1a, so that a link has the same identity at each poll.
    pub fn from_interface_name(name: &str) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Self((hash & 0xfcff_ffff_ffff) | 0x0200_0000_0000)
    }
}

impl FromStr for Mac {
    type Err = SchemaError;

    /// Accepts any case and `:`, `-`, `.` or nothing between the digits; exactly twelve digits.
    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let bad = || SchemaError::Mac(text.chars().take(64).collect());
        let (mut value, mut digits) = (0u64, 0);
        for c in text.chars() {
            match c.to_digit(16) {
                Some(d) if digits < 12 => {
                    value = value << 4 | u64::from(d);
                    digits += 1;
                }
                None if matches!(c, ':' | '-' | '.') => {}
                _ => return Err(bad()),
            }
        }
        if digits == 12 {
            Ok(Self(value))
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = self.0.to_be_bytes();
        write!(
            f,
            "{:02X}:{:02X}:{:02X}:{:02X}:{:02X}:{:02X}",
            o[2], o[3], o[4], o[5], o[6], o[7]
        )
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    /// As `4C:5E:0C:A2:54:51` in text formats, as a `u64` in binary ones.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.collect_str(self)
        } else {
            s.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(d).map(Self)
        }
    }
}

/// What a link is: a client at one radio of one access point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId {
    /// Owner of the access point.
    pub tenant_id: TenantId,
    /// The access point.
    pub ap_device_id: DeviceId,
    /// The BSSID, or [`Mac::from_interface_name`] where the router does not tell it.
    pub radio_mac: Mac,
    /// The client's address.
    pub mac: Mac,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_case_and_separator_is_one_address() {
        let mac = Mac(0x4C5E_0CA2_5451);
        for text in [
            "4C:5E:0C:A2:54:51",
            "4c:5e:0c:a2:54:51",
            "4c-5E-0c-a2-54-51",
            "4c5e0ca25451",
        ] {
            assert_eq!(text.parse::<Mac>().unwrap(), mac);
        }
        assert_eq!(mac.to_string(), "4C:5E:0C:A2:54:51");
    }

    #[test]
    fn text_that_is_no_address_is_named() {
        for text in [
            "",
            "4C:5E:0C:A2:54",
            "4C:5E:0C:A2:54:51:00",
            "not-a-mac",
            "4C:5E:0C:A2:54:5G",
        ] {
            assert!(
                matches!(text.parse::<Mac>(), Err(SchemaError::Mac(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_named_radio_is_locally_administered_and_unicast() {
        let first_octet = Mac::from_interface_name("wlan1").0 >> 40;
        assert_eq!(first_octet & 0b11, 0b10);
    }
}
