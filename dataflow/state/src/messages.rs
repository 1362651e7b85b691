//! What the keyed steps say to each other. Each message carries a [`Stamp`]: its place in the order of `docs/semantics.md`,
//! so that a receiver handles what came from many senders as one sequential program would.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertId, AlertStatus, AlertView, Resolution, RuleKind, Severity,
    Subject, SubjectId, alert_event_id, alert_id,
};
use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::control::{Role, Rule, Window};
use mast_schemas::records::{Outcome, PollId, Source, Tables};
use mast_schemas::views::{
    AddressSource, DeviceEvent, DeviceGauge, DeviceState, DeviceView, InterfaceRates, LinkEvent,
    LinkGauge, LinkReason, LinkState,
};

use mast_schemas::{
    DeviceId, GroupId, LinkId, Mac, RuleId, SectorId, SiteId, TagId, TenantId, Timestamp, WindowId,
};

use crate::compact::give_back;
use crate::limits::ApLimits;
use crate::signals::Measure;

/// A place in the order of effects: time, device and poll of the cause, step within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// `observed_at` of the poll, or the instant of the timer.
    pub at: Timestamp,
    /// The device whose poll or timer it is.
    pub device: DeviceId,
    /// The poll; a timer has the poll before it.
    pub poll: PollId,
    /// Step within the poll: see [`Stamp::STATUS`], [`Stamp::association`], [`Stamp::table`].
    pub step: u8,
}

impl Stamp {
    /// The device's own status comes first.
    pub const STATUS: u8 = 0;

    /// Associations (and verdicts on them) of all sources come before all tables.
    pub const fn association(source: Source) -> u8 {
        1 + source as u8
    }

    /// Radio tables of a source.
    pub const fn table(source: Source) -> u8 {
        6 + 2 * source as u8
    }

    /// Station rows of a source, after its radio tables.
    pub const fn station(source: Source) -> u8 {
        7 + 2 * source as u8
    }

    /// What control does at a slot's begin: before all polls, also those that were observed before the slot. It fires
    /// no timers and lends no time.
    pub const fn begin(device: DeviceId) -> Self {
        Self {
            at: Timestamp(i64::MIN),
            device,
            poll: PollId {
                lease_epoch: 0,
                sequence: 0,
            },
            step: Self::STATUS,
        }
    }

    /// What happens at a slot's end, after all polls and timers; the time is the slot's end.
    pub const fn end(device: DeviceId) -> Self {
        Self {
            at: Timestamp(i64::MAX),
            device,
            poll: PollId {
                lease_epoch: u64::MAX,
                sequence: u64::MAX,
            },
            step: u8::MAX,
        }
    }

    /// Whether this is [`Stamp::end`].
    pub const fn is_end(&self) -> bool {
        self.at.0 == i64::MAX
    }

    /// The same place, another step.
    #[must_use]
    pub const fn step(mut self, step: u8) -> Self {
        self.step = step;
        self
    }
}

/// What control says of a device; applies at the begin of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceControl {
    /// The device.
    pub device: DeviceId,
    /// `None` = deleted.
    pub info: Option<DeviceInfo>,
}

/// What the steps need to know of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Owner.
    pub tenant: TenantId,
    /// Its site.
    pub site: Option<SiteId>,
    /// Its sector.
    pub sector: Option<SectorId>,
    /// Whether it is polled.
    pub enabled: bool,
    /// What counts as bad where it stands.
    pub limits: ApLimits,
    /// What it is for.
    pub role: Role,
    /// Interval of its polls.
    pub interval_ms: u32,
    /// The device that it hangs on, as people say.
    pub parent: Option<DeviceId>,
    /// Groups that it is in, rising.
    pub groups: Arc<[GroupId]>,
    /// Tags that it has, rising.
    pub tags: Arc<[TagId]>,
}

impl DeviceInfo {
    /// What control says, with what counts as bad there.
    pub fn of(record: &StandingRecord, limits: ApLimits) -> Self {
        Self {
            tenant: record.tenant_id,
            site: record.site_id,
            sector: record.sector_id,
            enabled: record.enabled,
            limits,
            role: record.role,
            interval_ms: record.interval_ms,
            parent: record.parent_id,
            groups: record.group_ids.as_slice().into(),
            tags: record.tag_ids.as_slice().into(),
        }
    }
}

/// What control says, for the begin of a slot, in the order of its records.
#[derive(Clone, Debug)]
pub enum Control {
    /// Of a device.
    Device(DeviceControl),
    /// Of rules.
    Rule(RuleControl),
}

/// What control says of rules.
#[derive(Clone, Debug)]
pub enum RuleControl {
    /// A rule was made or edited.
    Put(Arc<Rule>),
    /// A rule is no more.
    Deleted(RuleId),
    /// A person resolved an alert of this tenant.
    Resolved(TenantId, AlertId),
    /// The devices of a sector stand at this site.
    Sector {
        /// Owner.
        tenant: TenantId,
        /// The sector.
        sector: SectorId,
        /// Its site.
        site: SiteId,
    },
}

/// What control says that the health of places depends on.
#[derive(Clone, Debug)]
pub enum PlaceControl {
    /// A maintenance window, made or changed.
    Window(Window),
    /// A maintenance window is gone.
    WindowGone(TenantId, WindowId),
    /// The devices of a sector stand at this site.
    Sector(TenantId, SectorId, SiteId),
}

/// A poll as the device step takes it. Rows are borrowed from decoded columns.
#[derive(Clone, Debug)]
pub struct PollInput<'a> {
    /// Owner, as the row says.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// When.
    pub at: Timestamp,
    /// Which poll.
    pub poll: PollId,
    /// How it ended.
    pub outcome: Outcome,
    /// When the next one is due.
    pub next_due_at: Timestamp,
    /// Interval.
    pub interval_ms: u32,
    /// What was read whole.
    pub tables: Tables,
    /// Identity, version, board, architecture, serial, firmware; `None` = not told by this poll.
    pub attributes: [Option<&'a str>; 6],
    /// Round trip.
    pub round_trip_ms: Option<u32>,
    /// CPU load.
    pub cpu_load_percent: Option<u8>,
    /// Free memory.
    pub memory_free_bytes: Option<u64>,
    /// Memory in all.
    pub memory_total_bytes: Option<u64>,
    /// Free disk.
    pub disk_free_bytes: Option<u64>,
    /// Disk in all.
    pub disk_total_bytes: Option<u64>,
    /// Temperatures of CPU and board.
    pub temperatures_c: [Option<f32>; 2],
    /// Uptime of the device.
    pub uptime_s: Option<u64>,
    /// Addresses of the interfaces that have one and are not remote.
    pub interfaces: &'a [Mac],
    /// Interfaces, in the order of the message.
    pub interface_rows: &'a [InterfaceInput<'a>],
    /// Radios that tell their noise, in the order of the message.
    pub noise: &'a [RadioInput<'a>],
    /// Entries of the ARP table that say where a client is, in the order of the message.
    pub arp: &'a [AddressInput<'a>],
    /// DHCP leases that do, likewise.
    pub leases: &'a [AddressInput<'a>],
    /// Registration rows, in the order of the message.
    pub registrations: &'a [RegistrationInput<'a>],
}

/// A row of an ARP or DHCP table as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct AddressInput<'a> {
    /// The client.
    pub mac: Mac,
    /// Its IP address.
    pub address: &'a str,
    /// Its name.
    pub host_name: Option<&'a str>,
}

/// What a device says of a client. The least is the one that holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Statement {
    /// A lease counts before an ARP entry.
    pub source: Reverse<AddressSource>,
    /// What began last counts first.
    pub since: Reverse<Timestamp>,
    /// Who says so.
    pub device: DeviceId,
    /// IP address.
    pub address: Box<str>,
    /// Name that the client told.
    pub host_name: Option<Box<str>>,
}

/// A device says something of a client, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressChange {
    /// Owner.
    pub tenant: TenantId,
    /// The client.
    pub mac: Mac,
    /// What it says.
    pub statement: Statement,
    /// +1 or −1.
    pub diff: i8,
}

/// A radio row as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct RadioInput<'a> {
    /// Interface name.
    pub interface: &'a str,
    /// Noise floor.
    pub noise_floor_dbm: i16,
}

/// An interface row as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceInput<'a> {
    /// Interface name.
    pub name: &'a str,
    /// Received bytes.
    pub rx_bytes: Option<u64>,
    /// Sent bytes.
    pub tx_bytes: Option<u64>,
    /// Link up.
    pub running: Option<bool>,
    /// Switched off by configuration.
    pub disabled: bool,
    /// Negotiated rate of the link.
    pub link_rate_bps: Option<u64>,
}

/// A registration row as the device step takes it.
#[derive(Clone, Copy, Debug)]
pub struct RegistrationInput<'a> {
    /// The table.
    pub source: Source,
    /// Interface name.
    pub interface: &'a str,
    /// BSSID or own address.
    pub radio_mac: Option<Mac>,
    /// Another device's radio.
    pub remote: bool,
    /// The other side.
    pub mac: Mac,
    /// The other side is an access point.
    pub far_end_is_ap: bool,
    /// Time since association.
    pub uptime_s: Option<u64>,
    /// Measurements.
    pub sample: Sample,
}

/// Measurements of one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Signal as received here.
    pub signal_dbm: Option<i16>,
    /// Signal at the other side.
    pub tx_signal_dbm: Option<i16>,
    /// Signal to noise.
    pub snr_db: Option<i16>,
    /// Transmit CCQ.
    pub tx_ccq_percent: Option<u16>,
    /// Transmit rate, kbit/s.
    pub tx_rate_kbps: Option<u32>,
    /// Receive rate, kbit/s.
    pub rx_rate_kbps: Option<u32>,
}

/// What the device step did with a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// Seen before: dropped.
    Replay,
    /// Of an older lease epoch: history only.
    Late,
    /// Control does not know the device.
    UnknownDevice,
    /// The row's tenant is not the device's.
    WrongTenant,
    /// Control has disabled the device.
    Disabled,
}

/// Where a client is associated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// When it began.
    pub began: Timestamp,
}

impl RoamEvent {
    /// Order in which a roam step takes events.
    pub fn order(&self) -> (Stamp, Mac) {
        (self.stamp, self.association.radio)
    }
}

/// A change of associations, to the roam step of (tenant, MAC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoamEvent {
    /// Place.
    pub stamp: Stamp,
    /// Owner of the devices.
    pub tenant: TenantId,
    /// The client.
    pub mac: Mac,
    /// The table that shows it; its reporter is the stamp's device.
    pub source: Source,
    /// What happened; of [`RoamChange::Departed`] `began` means nothing.
    pub association: Association,
    /// Which change.
    pub change: RoamChange,
}

/// What happened to an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoamChange {
    /// New, or back after an absence.
    Appeared,
    /// Present → absent.
    Departed,
}

/// A verdict of the roam step, to the link (access point, radio, MAC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoamVerdict {
    /// Place.
    pub stamp: Stamp,
    /// Since when; before the stamp's time if a poll made a timer due that lies in the past.
    pub at: Timestamp,
    /// Owner of the devices.
    pub tenant: TenantId,
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// Client.
    pub mac: Mac,
    /// Its live association is elsewhere.
    pub roamed: bool,
    /// Its address is ambiguous.
    pub ambiguous: bool,
    /// Its association was dropped after a long absence: a link that is not down yet is stale.
    pub expired: bool,
}

/// A radio's part of a whole registration table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RadioTable {
    /// Place.
    pub stamp: Stamp,
    /// Owner.
    pub tenant: TenantId,
    /// Access point; of a remote radio the reporter, until the BSSID step has found the owner.
    pub ap: DeviceId,
    /// BSSID.
    pub radio: Mac,
    /// Who reports.
    pub reporter: DeviceId,
    /// In which table.
    pub source: Source,
    /// Interface name.
    pub interface: Arc<str>,
    /// Time that a row stands for: the interval of the poll.
    pub interval_ms: u32,
    /// Clients, by rising MAC, each once.
    pub rows: Vec<ClientRow>,
}

/// A client in a [`RadioTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRow {
    /// The client.
    pub mac: Mac,
    /// Begin of its association.
    pub began: Timestamp,
    /// Measurements.
    pub sample: Sample,
}

/// A remote radio's table with its association changes, to the BSSID step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteTable {
    /// The table; `ap` = reporter.
    pub table: RadioTable,
    /// Association changes found in it (client, begin, change).
    pub changes: Vec<(Mac, Timestamp, RoamChange)>,
}

/// What a station says of its access point, to the BSSID step and on to the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationFact {
    /// Place.
    pub stamp: Stamp,
    /// Owner.
    pub tenant: TenantId,
    /// BSSID of the access point.
    pub radio: Mac,
    /// The station's own address.
    pub mac: Mac,
    /// The station.
    pub device: DeviceId,
    /// `None` = its table no longer has the access point.
    pub signal: Option<StationSignal>,
}

/// Signal that a station hears; the value may be unknown although the row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationSignal(pub Option<i16>);

/// An access point shows a radio of its own (or no longer exists), to the BSSID step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioKnown {
    /// Place.
    pub stamp: Stamp,
    /// Owner.
    pub tenant: TenantId,
    /// BSSID.
    pub radio: Mac,
    /// The access point, or the reporter of a remote radio.
    pub device: DeviceId,
    /// Controlled by `device`, not part of it.
    pub remote: bool,
    /// False: the device was deleted.
    pub known: bool,
}

/// A device's status, to its own links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApStatus {
    /// Place.
    pub stamp: Stamp,
    /// The device.
    pub device: DeviceId,
    /// Its state from now on.
    pub state: DeviceState,
}

/// A claim on an address appeared (+1) or went (−1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClaimChange {
    /// Owner of the device.
    pub tenant: TenantId,
    /// The address.
    pub mac: Mac,
    /// Since when.
    pub first_seen: Timestamp,
    /// Who.
    pub device: DeviceId,
    /// +1 or −1.
    pub diff: i8,
}

/// Everything the device step emits in one slot.
#[derive(Debug, Default)]
pub struct DeviceOut {
    /// Statuses to the devices' own links.
    pub statuses: Vec<ApStatus>,
    /// Claims.
    pub claims: Vec<ClaimChange>,
    /// Association changes at own radios.
    pub roam: Vec<RoamEvent>,
    /// Tables of own radios.
    pub tables: Vec<RadioTable>,
    /// Tables of remote radios.
    pub remote: Vec<RemoteTable>,
    /// Radios that appeared or went.
    pub radios: Vec<RadioKnown>,
    /// Station rows.
    pub stations: Vec<StationFact>,
    /// States that changed: old and new one, once a device.
    pub states: Vec<(DeviceId, Option<DeviceState>, Option<DeviceState>)>,
    /// Views of devices that changed in the slot: old and new row, once a device, by rising id.
    pub views: Vec<(DeviceId, Option<DeviceView>, Option<DeviceView>)>,
    /// Transitions.
    pub events: Vec<DeviceEvent>,
    /// Gauges of each accepted poll that reached the device.
    pub gauges: Vec<DeviceGauge>,
    /// Rates of interfaces, of each such poll that read them.
    pub rates: Vec<InterfaceRates>,
    /// Changes of what devices say of clients.
    pub addresses: Vec<AddressChange>,
    /// What devices add to their places, as changes.
    pub air: Vec<(DeviceId, Measure, i64)>,
    /// Changes of alerts of devices and interfaces.
    pub rules: Vec<RuleChange>,
    /// Devices that began or ceased to be offline or failing, at the slot's end; of one that left a tenant, before what is
    /// said of it in another.
    pub conditions: Vec<Condition>,
}

impl DeviceOut {
    /// Gives back what emptied buffers once took.
    pub fn give_back(&mut self) {
        give_back(&mut self.statuses);
        give_back(&mut self.claims);
        give_back(&mut self.tables);
        give_back(&mut self.radios);
        give_back(&mut self.states);
        give_back(&mut self.views);
        give_back(&mut self.air);
        give_back(&mut self.conditions);
    }
}

impl ApInput {
    /// The access point it goes to.
    pub const fn ap(&self) -> DeviceId {
        match self {
            Self::Status(status) => status.device,
            Self::Verdict(verdict) => verdict.ap,
            Self::Table(table) => table.ap,
            Self::Station { ap, .. } | Self::RadioMoved { ap, .. } | Self::Reporter { ap, .. } => {
                *ap
            }
        }
    }

    /// Its place: an access point's inputs of a slot are applied in this order, ties in the order of their making.
    pub const fn stamp(&self) -> Stamp {
        match self {
            Self::Status(status) => status.stamp,
            Self::Verdict(verdict) => verdict.stamp,
            Self::Table(table) => table.stamp,
            Self::Station { fact, .. } => fact.stamp,
            Self::RadioMoved { ap, .. } | Self::Reporter { ap, .. } => Stamp::end(*ap),
        }
    }
}

/// A message to an access point's links.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ApInput {
    /// The access point's own status.
    Status(ApStatus),
    /// A roaming verdict.
    Verdict(RoamVerdict),
    /// A radio's table.
    Table(RadioTable),
    /// A station's word, or its end.
    Station {
        /// The access point that has the radio.
        ap: DeviceId,
        /// The word.
        fact: StationFact,
    },
    /// Slot end: the radio belongs to another access point now; forget its links.
    RadioMoved {
        /// The former access point.
        ap: DeviceId,
        /// The radio.
        radio: Mac,
    },
    /// Slot end: whether a remote radio's reporter is observed.
    Reporter {
        /// The access point.
        ap: DeviceId,
        /// The radio.
        radio: Mac,
        /// The reporting device.
        reporter: DeviceId,
        /// Offline, unobserved or unmanageable.
        unobserved: bool,
    },
}

/// A link as the link step knows it: without the device at its far end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkCore {
    /// Interface name.
    pub interface: Arc<str>,
    /// The table that shows it.
    pub source: Source,
    /// State.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: LinkReason,
    /// First seen.
    pub discovered_at: Timestamp,
    /// Last known only.
    pub unobserved: bool,
    /// Cloned address.
    pub ambiguous: bool,
}

/// Everything the link step emits in one slot.
#[derive(Debug, Default)]
pub struct ApOut {
    /// Links that changed in the slot: old and new row, once a link, by rising id.
    pub links: Vec<(LinkId, Option<LinkCore>, Option<LinkCore>)>,
    /// Transitions.
    pub events: Vec<LinkEvent>,
    /// Measurements of rows seen.
    pub gauges: Vec<LinkGauge>,
    /// Changes of the signal histograms of live links, by access point's device, consolidated: (device, dBm, ±count).
    pub signals: Vec<(DeviceId, i16, i32)>,
    /// What access points whose hour ended say of their clients.
    pub pieces: Vec<Piece>,
}

/// What an access point says of a client at the end of its hour, to the trend step of (tenant, MAC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Piece {
    /// The end of the hour.
    pub at: Timestamp,
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// Owner.
    pub tenant: TenantId,
    /// The client.
    pub mac: Mac,
    /// Mean of the signals, hundredths of dBm.
    pub mean_cdbm: i16,
    /// Minutes covered, 1 to 60.
    pub minutes: u8,
}

/// What control says of trends; applies at the begin of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrendControl {
    /// A person says that a client's signal is as it is to be.
    Normal(TenantId, Mac),
    /// A tenant was deleted.
    TenantGone(TenantId),
}

/// A raw change of an alert (§18), before it is known whether people are told of it. Those of one rule and subject come from
/// one worker, in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    /// Owner.
    pub tenant: TenantId,
    /// The rule.
    pub rule: RuleId,
    /// Its kind.
    pub kind: RuleKind,
    /// Its severity: the new one of [`RuleTurn::Severity`].
    pub severity: Severity,
    /// What the alert is of.
    pub subject: Subject,
    /// When the alert opened.
    pub opened_at: Timestamp,
    /// The value that opened it, thousandths.
    pub opened_milli: i64,
    /// When this happened.
    pub at: Timestamp,
    /// What happened.
    pub turn: RuleTurn,
    /// The threshold that a value was compared with, thousandths; `None` where no value did it, or the kind has none.
    pub threshold_milli: Option<i64>,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleTurn {
    /// It opened.
    Opened,
    /// It is open, and its rule has another severity now. No event.
    Severity,
    /// It resolved.
    Resolved {
        /// Why.
        resolution: Resolution,
        /// The value that did it, thousandths.
        value_milli: Option<i64>,
    },
}

impl RuleChange {
    /// Id of the alert.
    pub fn alert_id(&self) -> AlertId {
        alert_id(self.rule, &self.subject, self.opened_at)
    }

    /// The alert from now on, as if nothing held it back and it were in no incident; `None` when it resolved.
    pub fn view(&self) -> Option<AlertView> {
        (!matches!(self.turn, RuleTurn::Resolved { .. })).then(|| AlertView {
            alert_id: self.alert_id(),
            tenant_id: self.tenant,
            rule_id: self.rule,
            kind: self.kind,
            severity: self.severity,
            subject: self.subject.clone(),
            opened_at: self.opened_at,
            value_milli: self.opened_milli,
            status: AlertStatus::Open,
            suppressor: None,
            cause_device_id: None,
            incident_id: None,
        })
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<AlertEvent> {
        let (change, resolution, value_milli) = match self.turn {
            RuleTurn::Opened => (AlertChange::Opened, None, Some(self.opened_milli)),
            RuleTurn::Severity => return None,
            RuleTurn::Resolved {
                resolution,
                value_milli,
            } => (AlertChange::Resolved, Some(resolution), value_milli),
        };
        let alert_id = self.alert_id();
        Some(AlertEvent {
            event_id: alert_event_id(alert_id, self.at, change),
            tenant_id: self.tenant,
            alert_id,
            rule_id: self.rule,
            kind: self.kind,
            severity: self.severity,
            subject_kind: self.subject.kind(),
            subject_id: SubjectId(self.subject.id()),
            interface: self.subject.interface().map(str::to_owned),
            at: self.at,
            change,
            resolution,
            value_milli,
            threshold_milli: self.threshold_milli,
        })
    }
}

/// How a device is, as far as alerts of what hangs on it depend on it (§19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Owner.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// It is offline.
    pub offline: bool,
    /// Its run of failures is not 0, and it is neither offline nor unmanageable.
    pub failing: bool,
}

/// A link of the view that has a device at its far end, as far as parents depend on it (§19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joint {
    /// Owner.
    pub tenant: TenantId,
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// The device at the far end.
    pub far_end: DeviceId,
    /// First seen.
    pub discovered_at: Timestamp,
    /// It is stale.
    pub stale: bool,
    /// It is stale by roaming.
    pub roamed: bool,
}

/// What the incident step takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncidentInput {
    /// Control says something of a device.
    Device {
        /// Its owner.
        tenant: TenantId,
        /// Which.
        device: DeviceId,
        /// `None` = it is no longer the tenant's.
        info: Option<DeviceInfo>,
    },
    /// A device is offline or failing, or no longer.
    Condition(Condition),
    /// A link with a device at its far end is in the view, or no longer.
    Link {
        /// Which.
        joint: Joint,
        /// Whether it came.
        came: bool,
    },
    /// Other links of an access point are down than before.
    Down {
        /// Its owner.
        tenant: TenantId,
        /// The access point.
        ap: DeviceId,
        /// How many more.
        more: i32,
    },
    /// Whether a site is of the core.
    Core {
        /// Its owner.
        tenant: TenantId,
        /// The site.
        site: SiteId,
        /// Whether it is.
        core: bool,
    },
    /// A maintenance window, made or changed.
    Window(Window),
    /// A maintenance window is gone.
    WindowGone {
        /// Its owner.
        tenant: TenantId,
        /// Which.
        id: WindowId,
    },
    /// A raw change of an alert.
    Rule(RuleChange),
}

impl IncidentInput {
    /// The key.
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::Device { tenant, .. }
            | Self::Down { tenant, .. }
            | Self::Core { tenant, .. }
            | Self::WindowGone { tenant, .. } => *tenant,
            Self::Condition(condition) => condition.tenant,
            Self::Link { joint, .. } => joint.tenant,
            Self::Window(window) => window.tenant_id,
            Self::Rule(change) => change.tenant,
        }
    }
}
