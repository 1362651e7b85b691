//! What a configurable menu is made of: fields, and which values they take.
//!
//! A refused value is worded as routers word it, and names the field.

use std::net::Ipv4Addr;

use crate::world::addressing::network;

/// How the items of a menu can be changed.
pub(crate) struct Config {
    /// What the log calls an item.
    pub(crate) noun: &'static str,
    /// Items can be added and removed; else only what is there can be set.
    pub(crate) adds: bool,
    /// There is one row, without an id.
    pub(crate) single: bool,
    /// Items have an order.
    pub(crate) ordered: bool,
    /// No two items share this, and what is said where they would.
    pub(crate) unique: Option<(&'static str, &'static str)>,
    pub(crate) fields: &'static [Field],
}

/// A property of an item.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) given: Given,
}

/// Where a property's value comes from when an item is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// It must be given.
    Required,
    /// It is not there unless given.
    Optional,
    /// It is this unless given.
    Default(&'static str),
    /// It is always this at first, and can't be given.
    Shown(&'static str),
}

/// Which values a property takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// `yes` or `no`, shown as `true` or `false`.
    Flag,
    Address,
    /// An address with the length of its network, 32 if none is given.
    Prefix,
    Mac,
    /// The name of an interface that is there.
    Interface,
    Number(u64, u64),
    Of(&'static [&'static str]),
}

impl Config {
    pub(crate) fn field(&self, name: &[u8]) -> Option<&'static Field> {
        const EVERYWHERE: [Field; 2] = [
            Field {
                name: "comment",
                kind: Kind::Text,
                given: Given::Optional,
            },
            Field {
                name: "disabled",
                kind: Kind::Flag,
                given: Given::Default("false"),
            },
        ];
        static COMMON: [Field; 2] = EVERYWHERE;
        let own = self
            .fields
            .iter()
            .find(|field| field.name.as_bytes() == name);
        let common = || {
            let common = COMMON.iter().filter(|_| !self.single);
            common
                .into_iter()
                .find(|field| field.name.as_bytes() == name)
        };
        let settable = |field: &&Field| !matches!(field.given, Given::Shown(_));
        own.or_else(common).filter(settable)
    }
}

impl Kind {
    /// The value as it is shown, or what is wrong with it.
    pub(crate) fn read(
        self,
        name: &str,
        value: &[u8],
        interfaces: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, String> {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let unlisted = || format!("input does not match any value of {name}");
        let invalid = || format!("invalid value for argument {name}");
        let read = match self {
            Self::Text => value.to_vec(),
            Self::Flag => match text {
                "yes" | "true" => b"true".to_vec(),
                "no" | "false" => b"false".to_vec(),
                _ => return Err(unlisted()),
            },
            Self::Address => {
                text.parse::<Ipv4Addr>().map_err(|_| invalid())?;
                value.to_vec()
            }
            Self::Prefix => {
                let (address, length) = prefix(text).ok_or_else(invalid)?;
                format!("{address}/{length}").into_bytes()
            }
            Self::Mac => mac(text).ok_or_else(invalid)?,
            Self::Interface => match interfaces(value) {
                true => value.to_vec(),
                false => return Err(unlisted()),
            },
            Self::Number(least, most) => match text.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => value.to_vec(),
                Ok(_) => return Err(format!("value of {name} is out of range ({least}..{most})")),
                Err(_) => return Err(invalid()),
            },
            Self::Of(known) => match known.contains(&text) {
                true => value.to_vec(),
                false => return Err(unlisted()),
            },
        };
        Ok(read)
    }
}

/// Properties that follow from another one.
pub(crate) fn derived(menu: &str, name: &str, value: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    match (menu, name) {
        ("/ip/address", "address") => {
            let (address, length) = prefix(std::str::from_utf8(value).ok()?)?;
            let network = network(address, length);
            Some(("network", network.to_string().into_bytes()))
        }
        ("/ip/address", "interface") => Some(("actual-interface", value.to_vec())),
        _ => None,
    }
}

fn prefix(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let length = length.parse().ok().filter(|length| *length <= 32)?;
    Some((address.parse().ok()?, length))
}

fn mac(text: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let octet = |part: &&str| part.len() == 2 && u8::from_str_radix(part, 16).is_ok();
    let whole = parts.len() == 6 && parts.iter().all(octet);
    whole.then(|| parts.join(":").to_uppercase().into_bytes())
}
