//! The menus that can be configured, field by field.

use super::fields::{
    Config, Field,
    Given::{self, Default, Optional, Required, Shown},
    Kind::{self, Address, Flag, Interface, Mac, Number, Of, Prefix, Text},
};

const fn field(name: &'static str, kind: Kind, given: Given) -> Field {
    Field { name, kind, given }
}

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

pub(crate) static SERVICE: Config = Config {
    noun: "ip service",
    adds: false,
    fields: &[
        field("port", Number(1, 65_535), Optional),
        field("address", Text, Optional),
        field("certificate", Text, Optional),
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
