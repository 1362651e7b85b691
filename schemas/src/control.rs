//! The records of `mast.control.v1`: what people decided, in the order in which Postgres committed it.
//!
//! The body of a log record is one [`ControlRecord`] as JSON; its header is a [`Header`](crate::message::Header) without
//! sections. Unknown fields are ignored and missing ones have defaults, so old readers read new records and new readers
//! old ones. Credentials never travel here: a device's `credentials_version` tells ingest when to read them anew.

use serde::{Deserialize, Serialize};

use crate::alerts::{AlertId, Operator, RuleKind, RuleSubject, Scope, Severity};
use crate::records::Source;
use crate::{
    DeviceId, GroupId, Mac, RuleId, SchemaError, SectorId, SiteId, TagId, TenantId, ThresholdsId,
    Timestamp, WindowId,
};

/// One committed change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// Position in the outbox; rises, may skip.
    pub outbox_id: i64,
    /// When the relay put it in the log.
    pub at: Timestamp,
    /// What changed.
    pub change: Change,
}

/// What changed. An upsert carries the whole entity, a deletion its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entity", content = "row", rename_all = "snake_case")]
pub enum Change {
    /// A tenant was made or changed.
    Tenant(Tenant),
    /// A tenant is gone, with all that it owned.
    TenantDeleted {
        /// Which.
        id: TenantId,
    },
    /// A site was made or changed.
    Site(Site),
    /// A site is gone; its devices keep living without one.
    SiteDeleted {
        /// Which.
        id: SiteId,
    },
    /// A sector was made or changed.
    Sector(Sector),
    /// A sector is gone; its devices stay on the site.
    SectorDeleted {
        /// Which.
        id: SectorId,
    },
    /// A device was made or changed.
    Device(Device),
    /// A device is gone, with its links.
    DeviceDeleted {
        /// Which.
        id: DeviceId,
    },
    /// A group of devices was made or changed.
    Group(Group),
    /// A group is gone; its devices are told of apart.
    GroupDeleted {
        /// Which.
        id: GroupId,
    },
    /// A tag was made or changed.
    Tag(Tag),
    /// A tag is gone; its devices are told of apart.
    TagDeleted {
        /// Which.
        id: TagId,
    },
    /// Thresholds of a place were made or changed.
    Thresholds(Thresholds),
    /// Thresholds are gone: those further up hold.
    ThresholdsDeleted {
        /// Which.
        id: ThresholdsId,
    },
    /// An alert rule, made or changed.
    Rule(Rule),
    /// An alert rule, deleted.
    RuleDeleted {
        /// Id.
        id: RuleId,
    },
    /// A maintenance window, made or changed.
    Window(Window),
    /// A maintenance window, deleted.
    WindowDeleted {
        /// Id.
        id: WindowId,
    },
    /// A person resolved an alert.
    AlertResolved {
        /// Its owner.
        tenant_id: TenantId,
        /// Its id.
        id: AlertId,
    },
    /// A person says that a client's signal is as it is to be.
    TrendNormal {
        /// Owner of the access points.
        tenant_id: TenantId,
        /// The client.
        mac: Mac,
    },
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Id.
    pub id: TenantId,
    /// Unique name.
    pub name: String,
    /// Rises with each change.
    pub version: i64,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Id.
    pub id: SiteId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Degrees north.
    #[serde(default)]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(default)]
    pub longitude: Option<f64>,
    /// Height above the sea.
    #[serde(default)]
    pub elevation_m: Option<f64>,
    /// Whether it is of the core of the network, towards which point-to-point links point.
    #[serde(default)]
    pub core: bool,
    /// Rises with each change.
    pub version: i64,
}

/// A sector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sector {
    /// Id.
    pub id: SectorId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Its site.
    pub site_id: SiteId,
    /// Name, unique in the site.
    pub name: String,
    /// Where it looks, degrees from north.
    #[serde(default)]
    pub azimuth_deg: Option<f64>,
    /// How wide it looks.
    #[serde(default)]
    pub beamwidth_deg: Option<f64>,
    /// How far it reaches.
    #[serde(default)]
    pub range_m: Option<f64>,
    /// Rises with each change.
    pub version: i64,
}

/// A device, without its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Id.
    pub id: DeviceId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Where to connect to: an IP address or a host name.
    pub address: String,
    /// Port of the plain API.
    pub api_port: u16,
    /// Port of the API over TLS.
    pub api_ssl_port: u16,
    /// How to trust it.
    pub tls: TlsPolicy,
    /// Its site.
    #[serde(default)]
    pub site_id: Option<SiteId>,
    /// Its sector, which is one of its site.
    #[serde(default)]
    pub sector_id: Option<SectorId>,
    /// The device that it hangs on, as people say.
    #[serde(default)]
    pub parent_id: Option<DeviceId>,
    /// Groups that it is in.
    #[serde(default)]
    pub group_ids: Vec<GroupId>,
    /// Tags that it has.
    #[serde(default)]
    pub tag_ids: Vec<TagId>,
    /// What it is for.
    pub role: Role,
    /// Interval of its polls.
    pub interval_ms: u32,
    /// Whether it is polled.
    pub enabled: bool,
    /// Rises when its credentials change.
    #[serde(default)]
    pub credentials_version: i64,
    /// Rises with each change.
    pub version: i64,
}

/// A group of devices, by what people do with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Id.
    pub id: GroupId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Rises with each change.
    pub version: i64,
}

/// A tag of devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Id.
    pub id: TagId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name, unique in the tenant.
    pub name: String,
    /// Rises with each change.
    pub version: i64,
}

/// What counts as bad in a place. The closest place that says something holds: sector, site, tenant, and then the default
/// of [`crate::thresholds`]; at one place, thresholds of the link's technology come before those of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Id.
    pub id: ThresholdsId,
    /// Owner.
    pub tenant_id: TenantId,
    /// The site; null = the whole tenant.
    #[serde(default)]
    pub site_id: Option<SiteId>,
    /// The sector of that site; null = the whole site.
    #[serde(default)]
    pub sector_id: Option<SectorId>,
    /// Of which technology; null = all.
    #[serde(default)]
    pub technology: Option<Source>,
    /// A signal below this is bad.
    #[serde(default)]
    pub degraded_signal_dbm: Option<i16>,
    /// A signal at or above this is good.
    #[serde(default)]
    pub active_signal_dbm: Option<i16>,
    /// A CCQ below this is bad.
    #[serde(default)]
    pub degraded_ccq_percent: Option<u16>,
    /// A CCQ at or above this is good.
    #[serde(default)]
    pub active_ccq_percent: Option<u16>,
    /// Rises with each change.
    pub version: i64,
}

/// A maintenance window: whose alerts nobody is told of. Without a site and devices it is the whole tenant's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Id.
    pub id: WindowId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name.
    pub name: String,
    /// The site.
    #[serde(default)]
    pub site_id: Option<SiteId>,
    /// The devices.
    #[serde(default)]
    pub device_ids: Vec<DeviceId>,
    /// Begin of the first one.
    pub starts_at: Timestamp,
    /// End of the first one; not part of it.
    pub ends_at: Timestamp,
    /// How it recurs, RFC 5545, such as `FREQ=WEEKLY;BYDAY=SU`, without DTSTART; null: it does not.
    #[serde(default)]
    pub recurrence: Option<String>,
    /// Time zone in which it recurs, such as `Europe/Ljubljana`.
    pub time_zone: String,
    /// Version.
    pub version: i64,
}

/// An alert rule. What the kinds mean is in `docs/semantics.md` §18. Numbers are in thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Id.
    pub id: RuleId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Name.
    pub name: String,
    /// What is looked at.
    pub kind: RuleKind,
    /// Which things are judged.
    pub scope: Scope,
    /// What a place rule judges within its scope; of device rules as the kind says.
    pub subject: RuleSubject,
    /// Which interfaces, with `*` for any run of characters; of interface kinds alone.
    #[serde(default)]
    pub interface: Option<String>,
    /// How a value is compared; null of kinds whose values are 0 and 1.
    #[serde(default)]
    pub operator: Option<Operator>,
    /// A value beyond this is bad.
    #[serde(default)]
    pub enter_milli: i64,
    /// A value not beyond this is good.
    #[serde(default)]
    pub clear_milli: i64,
    /// Bad values in a row that fire, at least 1.
    pub hits: u16,
    /// Good values in a row that clear, at least 1.
    pub clears: u16,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it judges.
    pub enabled: bool,
    /// Version.
    pub version: i64,
    /// When it judges; null: always.
    #[serde(default)]
    pub schedule: Option<Schedule>,
}

/// Hours of the week. [`Hours`](crate::hours::Hours) are what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Days of the week, Monday 1; none: all. Hours over midnight are of the day on which they begin.
    #[serde(default)]
    pub days: Vec<u8>,
    /// From this minute of the day on; null: all day.
    #[serde(default)]
    pub from_minute: Option<u16>,
    /// To before this one; up to `from_minute`: over midnight. Null with that one.
    #[serde(default)]
    pub to_minute: Option<u16>,
    /// Whose clock, such as `Europe/Ljubljana`.
    pub time_zone: String,
}

crate::words! {
    /// What a device is for.
    Role, "role" {
        /// Routes a site.
        Router = "router",
        /// Serves clients of a sector.
        Ap = "ap",
        /// Stands at a customer.
        Cpe = "cpe",
        /// Joins two sites.
        Backhaul = "backhaul",
        /// Controls the access points of others (CAPsMAN).
        Controller = "controller",
        /// Switches.
        Switch = "switch",
        /// Anything else.
        Other = "other",
    }
}

crate::words! {
    /// How the identity of a device is checked.
    TlsPolicy, "TLS policy" {
        /// Verified where a CA is known, else pinned at first use.
        Auto = "auto",
        /// The certificate must come from our CA or a given one.
        Verified = "verified",
        /// The certificate of the first connection, for ever.
        Pinned = "pinned",
        /// TLS without a check, because a person said so.
        Insecure = "insecure",
        /// As insecure, and the router need not have a certificate, because a person said so.
        Anonymous = "anonymous",
        /// No TLS, because a person said so.
        Plain = "plain",
    }
}

impl ControlRecord {
    /// The record as stored.
    pub fn encode(&self) -> Vec<u8> {
        // A struct of numbers, strings and lists always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// [`SchemaError::Record`] when the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, SchemaError> {
        serde_json::from_slice(bytes).map_err(|e| SchemaError::Record {
            what: "control",
            reason: e.to_string(),
        })
    }
}
