//! Alerts and trends: the words, the rows of their views and their events. Meaning: `docs/semantics.md` §17 and §18.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::views::{EventId, stored_as_id};
use crate::{DeviceId, GroupId, Mac, RuleId, SectorId, SiteId, TagId, TenantId, Timestamp};

crate::words! {
    /// What a rule looks at.
    RuleKind, "rule kind" {
        /// CPU load of a device, percent.
        Cpu = "cpu",
        /// Memory in use, percent.
        Memory = "memory",
        /// Disk in use, percent.
        Disk = "disk",
        /// The higher temperature of a device, °C.
        Temperature = "temperature",
        /// Mean signal of a device's clients, dBm.
        Signal = "signal",
        /// Lowest CCQ of a device's clients, percent.
        Ccq = "ccq",
        /// Clients of a device.
        Clients = "clients",
        /// A device does not answer.
        Offline = "offline",
        /// A device answers and can't be read.
        Unmanageable = "unmanageable",
        /// An interface does not run.
        InterfaceDown = "interface_down",
        /// How full an interface is, percent of its rate.
        InterfaceUtilization = "interface_utilization",
        /// Devices of a place that are offline, percent.
        DeviceOfflinePercent = "device_offline_percent",
        /// Devices of a place that are offline.
        DeviceOfflineCount = "device_offline_count",
        /// Mean signal of a sector's clients, dBm.
        SectorSignalAvg = "sector_signal_avg",
        /// Clients that a sector lost within an hour, percent.
        SectorClientDrop = "sector_client_drop",
        /// Clients of a place whose signal degrades over days.
        SignalDegradation = "signal_degradation",
        /// Links of a place that are down.
        LinkDownCount = "link_down_count",
        /// Nothing at a site answers.
        SiteDown = "site_down",
        /// Mean noise of a place's radios, dBm.
        NoiseFloor = "noise_floor",
        /// Traffic that a place lost within an hour, percent.
        ThroughputDrop = "throughput_drop",
    }
}

crate::words! {
    /// What an alert is of.
    RuleSubject, "rule subject" {
        /// A device.
        Device = "device",
        /// An interface of a device.
        Interface = "interface",
        /// A site.
        Site = "site",
        /// A sector.
        Sector = "sector",
    }
}

crate::words! {
    /// How a value is compared with a threshold.
    Operator, "operator" {
        /// Greater.
        Gt = "gt",
        /// Less.
        Lt = "lt",
        /// Greater or equal.
        Gte = "gte",
        /// Less or equal.
        Lte = "lte",
    }
}

crate::words! {
    /// How much an alert matters.
    Severity, "severity" {
        /// To be known.
        Info = "info",
        /// To be looked at.
        Warning = "warning",
        /// To be looked at now.
        Critical = "critical",
    }
}

crate::words! {
    /// What became of an alert.
    AlertChange, "alert change" {
        /// It opened.
        Opened = "opened",
        /// It resolved.
        Resolved = "resolved",
    }
}

crate::words! {
    /// Why an alert resolved.
    Resolution, "resolution" {
        /// The values were good again.
        Cleared = "cleared",
        /// A person said so.
        Manual = "manual",
        /// Its rule was disabled.
        RuleDisabled = "rule_disabled",
        /// Its rule was deleted.
        RuleDeleted = "rule_deleted",
        /// What it is of left the scope of its rule.
        OutOfScope = "out_of_scope",
        /// What it is of is no more.
        SubjectGone = "subject_gone",
    }
}

crate::words! {
    /// Which comparison says that a client's signal degrades.
    TrendTest, "trend test" {
        /// The last day with the week before.
        Day = "day",
        /// The last week with the three weeks before.
        Week = "week",
    }
}

crate::words! {
    /// What became of a trend.
    TrendChange, "trend change" {
        /// The signal degrades.
        Opened = "opened",
        /// It came back near its baseline.
        Recovered = "recovered",
        /// A person says that this is normal now.
        Accepted = "accepted",
        /// The client was not seen for 28 days.
        Gone = "gone",
    }
}

crate::words! {
    /// Whether people are told of an open alert.
    AlertStatus, "alert status" {
        /// Not yet: what is above it may be the cause.
        Waiting = "waiting",
        /// Yes, with its incident.
        Open = "open",
        /// No, for the reason that [`Suppressor`] says.
        Suppressed = "suppressed",
    }
}

crate::words! {
    /// Why people are not told of an open alert.
    Suppressor, "suppressor" {
        /// A maintenance window is open.
        Maintenance = "maintenance",
        /// It comes and goes.
        Flapping = "flapping",
        /// Something above it is offline.
        Dependency = "dependency",
    }
}

crate::words! {
    /// What became of an incident.
    IncidentChange, "incident change" {
        /// It opened.
        Opened = "opened",
        /// Its root is an offline ancestor of what it was, or it matters more.
        Escalated = "escalated",
        /// All of its alerts resolved.
        Resolved = "resolved",
        /// Another incident took its alerts.
        Merged = "merged",
    }
}

/// Which things a rule judges. In control records `"tenant"`, else `{"site": "<id>"}` and the like: checkpoints hold it too, and
/// can't have enums with a tag of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of the tenant's.
    Tenant,
    /// A site and what stands there.
    Site(SiteId),
    /// A sector and what stands there.
    Sector(SectorId),
    /// The devices of a group.
    Group(GroupId),
    /// The devices with a tag.
    Tag(TagId),
    /// A device.
    Device(DeviceId),
}

/// So many ancestors of a device are looked at: a way up that has no end must not cost more with each device on it.
pub const ANCESTORS_MOST: usize = 64;

/// What an alert is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A device.
    Device(DeviceId),
    /// An interface of a device, by name.
    Interface(DeviceId, std::sync::Arc<str>),
    /// A site.
    Site(SiteId),
    /// A sector.
    Sector(SectorId),
}

/// Id of the device, site or sector that an alert is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectId(pub Uuid);

/// Id of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub Uuid);

/// Id of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub Uuid);

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertView {
    /// Id.
    pub alert_id: AlertId,
    /// Owner.
    pub tenant_id: TenantId,
    /// The rule.
    pub rule_id: RuleId,
    /// Its kind.
    pub kind: RuleKind,
    /// Its severity, as it is now.
    pub severity: Severity,
    /// What it is of.
    pub subject: Subject,
    /// When it opened.
    pub opened_at: Timestamp,
    /// The value that opened it, thousandths.
    pub value_milli: i64,
    /// Whether people are told.
    pub status: AlertStatus,
    /// Why not.
    pub suppressor: Option<Suppressor>,
    /// The farthest ancestor that is offline.
    pub cause_device_id: Option<DeviceId>,
    /// The incident that it is in.
    pub incident_id: Option<IncidentId>,
}

/// What an incident comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Root {
    /// A device.
    Device(DeviceId),
    /// A site.
    Site(SiteId),
    /// A sector.
    Sector(SectorId),
}

/// An open incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentView {
    /// Id.
    pub incident_id: IncidentId,
    /// Owner.
    pub tenant_id: TenantId,
    /// What it comes from.
    pub root: Root,
    /// Kind of the rule of its first alert, of those of its root if there are any.
    pub kind: RuleKind,
    /// Greatest severity of its alerts.
    pub severity: Severity,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Alerts in it now.
    pub alerts: u32,
    /// Devices that its alerts are of.
    pub devices: u32,
    /// Links of those devices that are down.
    pub clients: u32,
}

/// A client whose signal degrades. Levels are in hundredths of dBm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendView {
    /// Owner of the access points.
    pub tenant_id: TenantId,
    /// The client.
    pub mac: Mac,
    /// Access point of its newest piece.
    pub ap_device_id: DeviceId,
    /// Radio of it.
    pub radio_mac: Mac,
    /// Which comparison says so.
    pub test: TrendTest,
    /// Since when.
    pub since: Timestamp,
    /// What is normal, frozen.
    pub baseline_cdbm: i32,
    /// What it was when the trend opened.
    pub opened_cdbm: i32,
}

crate::record! {
    /// An alert opened or resolved.
    AlertEvent / AlertEventColumns, "alert_events" {
        /// UUIDv5 of the change.
        event_id: EventId,
        /// Owner.
        tenant_id: TenantId,
        /// The alert.
        alert_id: AlertId,
        /// Its rule.
        rule_id: RuleId,
        /// Kind of the rule.
        kind: RuleKind,
        /// Severity of the rule at this time.
        severity: Severity,
        /// What it is of.
        subject_kind: RuleSubject,
        /// Id of the device, site or sector.
        subject_id: SubjectId,
        /// Name of the interface, where it is of one.
        interface: Option<String>,
        /// When.
        at: Timestamp,
        /// What became of it.
        change: AlertChange,
        /// Why it resolved; null when it opened.
        resolution: Option<Resolution>,
        /// The value that did it, thousandths; null when none did.
        value_milli: Option<i64>,
        /// The threshold of the rule that it is compared with: to enter when it opened, to clear when it resolved; thousandths.
        threshold_milli: Option<i64>,
    }
}

crate::record! {
    /// An incident opened, escalated or closed.
    IncidentEvent / IncidentEventColumns, "incident_events" {
        /// UUIDv5 of the change.
        event_id: EventId,
        /// Owner.
        tenant_id: TenantId,
        /// The incident.
        incident_id: IncidentId,
        /// When.
        at: Timestamp,
        /// What became of it.
        change: IncidentChange,
        /// Of a merged one, the incident that took its alerts.
        merged_into: Option<IncidentId>,
        /// What it comes from: `device`, `site` or `sector`.
        root_kind: RuleSubject,
        /// Id of that.
        root_id: SubjectId,
        /// Kind of the rule of its first alert, of those of its root if there are any.
        kind: RuleKind,
        /// Greatest severity of its alerts.
        severity: Severity,
        /// When it opened.
        opened_at: Timestamp,
        /// Alerts in it.
        alerts: u32,
        /// Devices that its alerts are of.
        devices: u32,
        /// Links of those devices that are down.
        clients: u32,
    }
}

crate::record! {
    /// A client's signal began or ceased to degrade.
    TrendEvent / TrendEventColumns, "trend_events" {
        /// UUIDv5 of the change.
        event_id: EventId,
        /// Owner of the access points.
        tenant_id: TenantId,
        /// The client.
        mac: Mac,
        /// Access point of its newest piece.
        ap_device_id: DeviceId,
        /// Radio of it.
        radio_mac: Mac,
        /// When.
        at: Timestamp,
        /// What became of it.
        change: TrendChange,
        /// Which comparison.
        test: TrendTest,
        /// The frozen baseline, hundredths of dBm.
        baseline_cdbm: i32,
        /// Mean of the recent window, hundredths of dBm; null if none was asked.
        recent_cdbm: Option<i32>,
    }
}

stored_as_id!(AlertId, IncidentId, SubjectId);

impl Subject {
    /// Its kind.
    pub const fn kind(&self) -> RuleSubject {
        match self {
            Self::Device(_) => RuleSubject::Device,
            Self::Interface(..) => RuleSubject::Interface,
            Self::Site(_) => RuleSubject::Site,
            Self::Sector(_) => RuleSubject::Sector,
        }
    }

    /// Id of the device, site or sector.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Device(id) | Self::Interface(id, _) => id.0,
            Self::Site(id) => id.0,
            Self::Sector(id) => id.0,
        }
    }

    /// Name of the interface, where it is one.
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Interface(_, name) => Some(name),
            _ => None,
        }
    }

    /// The bytes that tell it from all others.
    fn name(&self) -> Vec<u8> {
        let mut name = Vec::with_capacity(64);
        name.extend_from_slice(self.kind().as_str().as_bytes());
        name.extend_from_slice(self.id().as_bytes());
        name.extend_from_slice(self.interface().unwrap_or_default().as_bytes());
        name
    }
}

impl Root {
    /// Its kind.
    pub const fn kind(&self) -> RuleSubject {
        match self {
            Self::Device(_) => RuleSubject::Device,
            Self::Site(_) => RuleSubject::Site,
            Self::Sector(_) => RuleSubject::Sector,
        }
    }

    /// Id of the device, site or sector.
    pub const fn id(&self) -> Uuid {
        match self {
            Self::Device(id) => id.0,
            Self::Site(id) => id.0,
            Self::Sector(id) => id.0,
        }
    }
}

impl Operator {
    /// Whether `value` stands so to `threshold`.
    pub const fn holds(self, value: i64, threshold: i64) -> bool {
        match self {
            Self::Gt => value > threshold,
            Self::Lt => value < threshold,
            Self::Gte => value >= threshold,
            Self::Lte => value <= threshold,
        }
    }
}

impl RuleKind {
    /// What its alerts are of, where the kind alone says so; else a site or a sector, as the rule says.
    pub const fn subject(self) -> Option<RuleSubject> {
        match self {
            Self::Cpu
            | Self::Memory
            | Self::Disk
            | Self::Temperature
            | Self::Signal
            | Self::Ccq
            | Self::Clients
            | Self::Offline
            | Self::Unmanageable => Some(RuleSubject::Device),
            Self::InterfaceDown | Self::InterfaceUtilization => Some(RuleSubject::Interface),
            Self::SectorSignalAvg | Self::SectorClientDrop => Some(RuleSubject::Sector),
            Self::SiteDown => Some(RuleSubject::Site),
            Self::DeviceOfflinePercent
            | Self::DeviceOfflineCount
            | Self::SignalDegradation
            | Self::LinkDownCount
            | Self::NoiseFloor
            | Self::ThroughputDrop => None,
        }
    }

    /// Whether its values are 0 and 1, so that there is nothing to compare with.
    pub const fn is_state(self) -> bool {
        matches!(
            self,
            Self::Offline | Self::Unmanageable | Self::InterfaceDown | Self::SiteDown
        )
    }

    /// Whether it is judged by polls; else by ticks.
    pub const fn by_polls(self) -> bool {
        matches!(
            self.subject(),
            Some(RuleSubject::Device | RuleSubject::Interface)
        )
    }
}

/// Namespace of the ids of alerts.
const ALERTS: Uuid = Uuid::from_u128(0x6d61_7374_2e61_6c65_7274_732e_7631_0000);

/// Id of the alert of `rule` on `subject` that opened at `at`.
pub fn alert_id(rule: RuleId, subject: &Subject, at: Timestamp) -> AlertId {
    let mut name = rule.as_bytes().to_vec();
    name.extend_from_slice(&at.0.to_be_bytes());
    name.extend_from_slice(&subject.name());
    AlertId(Uuid::new_v5(&ALERTS, &name))
}

/// Id of a change of an alert.
pub fn alert_event_id(alert: AlertId, at: Timestamp, change: AlertChange) -> EventId {
    let mut name = alert.0.as_bytes().to_vec();
    name.extend_from_slice(&at.0.to_be_bytes());
    name.extend_from_slice(change.as_str().as_bytes());
    EventId(Uuid::new_v5(&ALERTS, &name))
}

/// Id of the incident that `alert` opens.
pub fn incident_id(tenant: TenantId, alert: AlertId) -> IncidentId {
    let mut name = tenant.as_bytes().to_vec();
    name.extend_from_slice(alert.0.as_bytes());
    IncidentId(Uuid::new_v5(&ALERTS, &name))
}

/// Id of a change of an incident.
pub fn incident_event_id(incident: IncidentId, at: Timestamp, change: IncidentChange) -> EventId {
    let mut name = incident.0.as_bytes().to_vec();
    name.extend_from_slice(&at.0.to_be_bytes());
    name.extend_from_slice(change.as_str().as_bytes());
    EventId(Uuid::new_v5(&ALERTS, &name))
}

/// Id of a change of a client's trend.
pub fn trend_event_id(tenant: TenantId, mac: Mac, at: Timestamp, change: TrendChange) -> EventId {
    let mut name = tenant.as_bytes().to_vec();
    name.extend_from_slice(&mac.0.to_be_bytes());
    name.extend_from_slice(&at.0.to_be_bytes());
    name.extend_from_slice(change.as_str().as_bytes());
    EventId(Uuid::new_v5(&ALERTS, &name))
}
