//! What can be configured: menus, their fields, and which values a field takes.
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

const fn field(name: &'static str, kind: Kind, given: Given) -> Field {
    Field { name, kind, given }
}

use Given::{Default, Optional, Required, Shown};
use Kind::{Address, Flag, Interface, Mac, Number, Of, Prefix, Text};

const LIST: Config = Config {
    noun: "item",
    adds: true,
    single: false,
    ordered: false,
    unique: None,
    fields: &[],
};

pub(crate) static IDENTITY: Config = Config {
    noun: "system identity",
    adds: false,
    single: true,
    fields: &[field("name", Text, Required)],
    ..LIST
};

pub(crate) static NOTE: Config = Config {
    noun: "system note",
    adds: false,
    single: true,
    fields: &[
        field("show-at-login", Flag, Required),
        field("note", Text, Required),
    ],
    ..LIST
};

pub(crate) static INTERFACE: Config = Config {
    noun: "device",
    adds: false,
    unique: Some(("name", "failure: already have interface with such name")),
    fields: &[
        field("name", Text, Required),
        field("mtu", Number(68, 65_535), Optional),
        field("l2mtu", Number(64, 65_535), Optional),
    ],
    ..LIST
};

pub(crate) static VLAN: Config = Config {
    noun: "device",
    unique: Some(("name", "failure: already have interface with such name")),
    fields: &[
        field("name", Text, Required),
        field("mtu", Number(68, 65_535), Default("1500")),
        field(
            "arp",
            Of(&["enabled", "disabled", "proxy-arp", "reply-only"]),
            Default("enabled"),
        ),
        field("vlan-id", Number(1, 4_095), Required),
        field("interface", Interface, Required),
        field("use-service-tag", Flag, Default("false")),
        field("running", Flag, Shown("true")),
    ],
    ..LIST
};

pub(crate) static ADDRESS: Config = Config {
    noun: "address",
    unique: Some(("address", "failure: already have such address")),
    fields: &[
        field("address", Prefix, Required),
        field("network", Address, Optional),
        field("interface", Interface, Required),
        field("invalid", Flag, Shown("false")),
        field("dynamic", Flag, Shown("false")),
    ],
    ..LIST
};

pub(crate) static ARP: Config = Config {
    noun: "arp entry",
    unique: Some(("address", "failure: already have such address")),
    fields: &[
        field("address", Address, Required),
        field("mac-address", Mac, Optional),
        field("interface", Interface, Required),
        field("published", Flag, Default("false")),
        field("invalid", Flag, Shown("false")),
        field("DHCP", Flag, Shown("false")),
        field("dynamic", Flag, Shown("false")),
        field("complete", Flag, Shown("true")),
    ],
    ..LIST
};

pub(crate) static ROUTE: Config = Config {
    noun: "route",
    fields: &[
        field("dst-address", Prefix, Default("0.0.0.0/0")),
        field("gateway", Text, Required),
        field("distance", Number(1, 255), Default("1")),
        field("scope", Number(0, 255), Default("30")),
        field("target-scope", Number(0, 255), Default("10")),
        field("routing-table", Text, Optional),
        field("routing-mark", Text, Optional),
        field("pref-src", Address, Optional),
        field(
            "check-gateway",
            Of(&["arp", "bfd", "none", "ping"]),
            Optional,
        ),
        field("active", Flag, Shown("true")),
        field("static", Flag, Shown("true")),
        field("dynamic", Flag, Shown("false")),
    ],
    ..LIST
};

pub(crate) static LEASE: Config = Config {
    noun: "dhcp lease",
    unique: Some((
        "address",
        "failure: already have static lease with this IP address",
    )),
    fields: &[
        field("address", Address, Required),
        field("mac-address", Mac, Optional),
        field("client-id", Text, Optional),
        field("address-lists", Text, Default("")),
        field("server", Text, Default("all")),
        field("dhcp-option", Text, Default("")),
        field("lease-time", Text, Optional),
        field("status", Text, Shown("waiting")),
        field("last-seen", Text, Shown("never")),
        field("radius", Flag, Shown("false")),
        field("dynamic", Flag, Shown("false")),
        field("blocked", Flag, Shown("false")),
    ],
    ..LIST
};

pub(crate) static FILTER: Config = Config {
    noun: "filter rule",
    ordered: true,
    fields: &[
        field("chain", Text, Required),
        field(
            "action",
            Of(&[
                "accept",
                "drop",
                "reject",
                "log",
                "passthrough",
                "return",
                "jump",
                "tarpit",
            ]),
            Default("accept"),
        ),
        field("protocol", Text, Optional),
        field("src-address", Text, Optional),
        field("dst-address", Text, Optional),
        field("src-port", Text, Optional),
        field("dst-port", Text, Optional),
        field("in-interface", Interface, Optional),
        field("out-interface", Interface, Optional),
        field("src-address-list", Text, Optional),
        field("dst-address-list", Text, Optional),
        field("connection-state", Text, Optional),
        field("jump-target", Text, Optional),
        field("log", Flag, Default("false")),
        field("log-prefix", Text, Default("")),
        field("bytes", Text, Shown("0")),
        field("packets", Text, Shown("0")),
        field("invalid", Flag, Shown("false")),
        field("dynamic", Flag, Shown("false")),
    ],
    ..LIST
};

pub(crate) static ADDRESS_LIST: Config = Config {
    noun: "address list entry",
    fields: &[
        field("list", Text, Required),
        field("address", Text, Required),
        field("timeout", Text, Optional),
        field("dynamic", Flag, Shown("false")),
    ],
    ..LIST
};

pub(crate) static DNS_STATIC: Config = Config {
    noun: "static dns entry",
    unique: Some(("name", "failure: entry already exists")),
    fields: &[
        field("name", Text, Required),
        field("address", Address, Required),
        field("ttl", Text, Default("1d")),
        field("dynamic", Flag, Shown("false")),
    ],
    ..LIST
};

pub(crate) static QUEUE: Config = Config {
    noun: "simple queue",
    ordered: true,
    unique: Some(("name", "failure: already have such name")),
    fields: &[
        field("name", Text, Required),
        field("target", Text, Required),
        field("parent", Text, Default("none")),
        field("priority", Text, Default("8/8")),
        field("limit-at", Text, Default("0/0")),
        field("max-limit", Text, Default("0/0")),
        field("bytes", Text, Shown("0/0")),
        field("packets", Text, Shown("0/0")),
        field("dynamic", Flag, Shown("false")),
        field("invalid", Flag, Shown("false")),
    ],
    ..LIST
};

pub(crate) static SCRIPT: Config = Config {
    noun: "script",
    unique: Some(("name", "failure: item with this name already exists")),
    fields: &[
        field("name", Text, Required),
        field("source", Text, Default("")),
        field("owner", Text, Shown("mast")),
        field("policy", Text, Default("read,write,policy,test")),
        field("dont-require-permissions", Flag, Default("false")),
        field("run-count", Text, Shown("0")),
        field("invalid", Flag, Shown("false")),
    ],
    ..LIST
};
