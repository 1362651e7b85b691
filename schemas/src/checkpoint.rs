//! The records of a checkpoint: plain facts, from which the dataflow and the oracle each rebuild their own state.
//!
//! A checkpoint file holds one key group of one part: a [`FileHeader`] and then, for each record, its length (u32, little
//! endian) and its [postcard](https://postcard.jamesmunns.com/wire-format) bytes; CRC-32 of all before at the end, little
//! endian. The manifest names the files. A new version of a record is a new [`VERSION`].

use serde::{Deserialize, Serialize};

use crate::alerts::{IncidentId, Root, RuleKind, Severity, Subject, TrendTest};
use crate::control::{Device, Role, Thresholds};
use crate::records::{Outcome, PollId, Source};
use crate::views::{AddressSource, DeviceState, Health, LinkReason, LinkState, Place};
use crate::{
    DeviceId, GroupId, Mac, RuleId, SectorId, SiteId, TagId, TenantId, ThresholdsId, Timestamp,
};

/// Version of the records in this module.
pub const VERSION: u32 = 7;

/// The parts of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Part {
    /// [`StandingRecord`]s of the control tables; one file, key group 0.
    Control,
    /// [`DeviceRecord`]s by device.
    Devices,
    /// [`RoamRecord`]s by tenant and MAC.
    Roam,
    /// [`ApRecord`]s by access point.
    Aps,
    /// [`CapRecord`]s by tenant and radio.
    Caps,
    /// [`BssidRecord`]s by tenant and radio.
    Bssids,
    /// [`ApFlagsRecord`]s by access point.
    ApFlags,
    /// [`ShownRecord`]s by tenant and MAC.
    Shown,
    /// [`HealthRecord`]s by place.
    Health,
    /// [`LimitsRecord`]s of the control tables; one file, key group 0.
    Limits,
    /// [`Rule`](crate::control::Rule)s of the control tables; one file, key group 0.
    Rules,
    /// [`JudgedRecord`]s by device, site or sector.
    Judged,
    /// [`ThroughputRecord`]s by place.
    Throughput,
    /// [`TrendRecord`]s by tenant and MAC.
    Trends,
    /// [`Window`](crate::control::Window)s of the control tables; one file, key group 0.
    Windows,
    /// [`AlertRecord`]s by tenant.
    Alerts,
    /// [`IncidentRecord`]s by tenant.
    Incidents,
    /// [`CoreRecord`]s of the control tables; one file, key group 0.
    Cores,
}

/// First bytes of a file, postcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHeader {
    /// [`VERSION`].
    pub version: u32,
    /// Which part.
    pub part: Part,
    /// Which key group.
    pub key_group: u8,
    /// Number of records.
    pub records: u64,
}

/// What control last said of a device, as far as views depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingRecord {
    /// The device.
    pub device_id: DeviceId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// Its site.
    pub site_id: Option<SiteId>,
    /// Its sector.
    pub sector_id: Option<SectorId>,
    /// Whether it is polled.
    pub enabled: bool,
    /// What it is for.
    pub role: Role,
    /// Interval of its polls.
    pub interval_ms: u32,
    /// The device that it hangs on, as people say.
    pub parent_id: Option<DeviceId>,
    /// Groups that it is in, rising.
    pub group_ids: Vec<GroupId>,
    /// Tags that it has, rising.
    pub tag_ids: Vec<TagId>,
}

impl From<&Device> for StandingRecord {
    fn from(row: &Device) -> Self {
        fn set<T: Copy + Ord>(ids: &[T]) -> Vec<T> {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids.dedup();
            ids
        }
        Self {
            device_id: row.id,
            tenant_id: row.tenant_id,
            site_id: row.site_id,
            sector_id: row.sector_id,
            enabled: row.enabled,
            role: row.role,
            interval_ms: row.interval_ms,
            parent_id: row.parent_id,
            group_ids: set(&row.group_ids),
            tag_ids: set(&row.tag_ids),
        }
    }
}

/// A site that control says is of the core of its tenant's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CoreRecord {
    /// Owner.
    pub tenant_id: TenantId,
    /// The site.
    pub site_id: SiteId,
}

/// What control last said of what counts as bad in a place, see [`Thresholds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsRecord {
    /// Id.
    pub id: ThresholdsId,
    /// Owner.
    pub tenant_id: TenantId,
    /// The site; null = the whole tenant.
    pub site_id: Option<SiteId>,
    /// The sector of that site; null = the whole site.
    pub sector_id: Option<SectorId>,
    /// Of which technology; null = all.
    pub technology: Option<Source>,
    /// A signal below this is bad.
    pub degraded_signal_dbm: Option<i16>,
    /// A signal at or above this is good.
    pub active_signal_dbm: Option<i16>,
    /// A CCQ below this is bad.
    pub degraded_ccq_percent: Option<u16>,
    /// A CCQ at or above this is good.
    pub active_ccq_percent: Option<u16>,
}

impl From<&Thresholds> for LimitsRecord {
    fn from(row: &Thresholds) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            site_id: row.site_id,
            sector_id: row.sector_id,
            technology: row.technology,
            degraded_signal_dbm: row.degraded_signal_dbm,
            active_signal_dbm: row.active_signal_dbm,
            degraded_ccq_percent: row.degraded_ccq_percent,
            active_ccq_percent: row.active_ccq_percent,
        }
    }
}

/// What is known of a device and of the tables it reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The device.
    pub device_id: DeviceId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// State.
    pub state: DeviceState,
    /// Since when.
    pub since: Timestamp,
    /// Outcome that set it.
    pub outcome: Option<Outcome>,
    /// Failures of one kind in a row.
    pub fail_run: u8,
    /// Whether those failures are of the unmanageable kind.
    pub fail_unmanageable: bool,
    /// Newest poll.
    pub last_poll: Option<PollId>,
    /// When the device becomes unobserved if nothing comes.
    pub overdue_at: Option<Timestamp>,
    /// Identity, version, board, architecture, serial, firmware, last known.
    pub attributes: [Option<String>; 6],
    /// Addresses of its interfaces by the last whole table.
    pub claims: Vec<ClaimRecord>,
    /// Registration tables.
    pub tables: Vec<TableRecord>,
    /// What its ARP and DHCP tables say.
    pub said: Vec<SaidRecord>,
    /// What its interface and radio tables say of traffic and noise, once it has shown one.
    pub air: Option<AirRecord>,
}

/// Counters of a device's newest interface table, and what it adds to its places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AirRecord {
    /// When the newest interface table was read.
    pub at: Timestamp,
    /// Uptime of the device then.
    pub uptime_s: Option<u64>,
    /// Interfaces of that table with both counters, in its order: name, received and sent bytes.
    pub counters: Vec<(String, u64, u64)>,
    /// Noise of the radios that serve clients, dBm, by the newest radio table, as long as the device is online.
    pub noise: Vec<i16>,
    /// Likewise, by the newest interface table: how many interfaces of such radios have rates, and what they receive and send in all, bits a
    /// second.
    pub traffic: [i64; 3],
}

/// An address that a device has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// The address.
    pub mac: Mac,
    /// Since when without a break.
    pub first_seen: Timestamp,
}

/// The last whole registration table of one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    /// The source.
    pub source: Source,
    /// Radios that it has ever shown as access point.
    pub radios: Vec<TableRadioRecord>,
    /// Access points that it showed as station: (BSSID, own address).
    pub stations: Vec<(Mac, Mac)>,
}

/// A radio in a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRadioRecord {
    /// BSSID.
    pub radio_mac: Mac,
    /// Another device's radio.
    pub remote: bool,
    /// Interface name.
    pub interface: String,
    /// Clients in the last whole table, with the beginning of their association.
    pub clients: Vec<(Mac, Timestamp)>,
}

/// Where a client is associated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoamRecord {
    /// Owner.
    pub tenant_id: TenantId,
    /// The client.
    pub mac: Mac,
    /// The owning association.
    pub owner: Option<AssociationRecord>,
    /// When the owner's association was lost from its table.
    pub owner_departed_at: Option<Timestamp>,
    /// Older associations that are still shown.
    pub others: Vec<AssociationRecord>,
    /// Beginnings of ownership within the window, oldest first.
    pub changes: Vec<Timestamp>,
    /// Whether the address is ambiguous.
    pub ambiguous: bool,
}

/// An association of a client with a radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociationRecord {
    /// Access point.
    pub ap_device_id: DeviceId,
    /// Radio.
    pub radio_mac: Mac,
    /// When it began: observed − uptime, else the first sighting.
    pub began_at: Timestamp,
}

/// An access point with its links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApRecord {
    /// The access point.
    pub device_id: DeviceId,
    /// Owner.
    pub tenant_id: TenantId,
    /// Its radios.
    pub radios: Vec<RadioRecord>,
}

/// A radio with its links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RadioRecord {
    /// BSSID.
    pub radio_mac: Mac,
    /// Interface name.
    pub interface: String,
    /// Links, also departed ones.
    pub links: Vec<LinkRecord>,
    /// What stations say: client, when, signal they hear, device.
    pub stations: Vec<StationRecord>,
}

/// A station's view of its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StationRecord {
    /// The station's address.
    pub mac: Mac,
    /// The reporting station.
    pub device_id: DeviceId,
    /// When it last said so.
    pub observed_at: Timestamp,
    /// Signal that it hears.
    pub signal_dbm: Option<i16>,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// The client.
    pub mac: Mac,
    /// State.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: LinkReason,
    /// First seen.
    pub discovered_at: Timestamp,
    /// Who last showed it.
    pub reporter: DeviceId,
    /// In which table.
    pub source: Source,
    /// Beginning of its association.
    pub began_at: Timestamp,
    /// Tables in a row with it, while discovered.
    pub seen_run: u8,
    /// Bad tables in a row; while discovered, 1 if the latest row was bad.
    pub bad_run: u8,
    /// Good tables in a row.
    pub good_run: u8,
    /// Tables in a row without it.
    pub miss_run: u8,
    /// Newest losses, oldest first, at most as many as degrade.
    pub losses: Vec<Timestamp>,
    /// The client's live association is elsewhere.
    pub roamed: bool,
    /// The client's address is ambiguous.
    pub ambiguous: bool,
    /// Latest signal.
    pub signal_dbm: Option<i16>,
    /// When it departed (missing from a table), for the cap on departed links.
    pub departed_at: Option<Timestamp>,
    /// Its samples since its access point's hour began.
    pub heard: HeardRecord,
}

/// The samples of a link within an hour of its access point, see `docs/semantics.md` §17.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardRecord {
    /// Sum of their signals.
    pub sum_dbm: i32,
    /// How many.
    pub samples: u16,
    /// Time that they cover, at most an hour.
    pub covered_ms: u32,
}

/// What a device's newest ARP or DHCP table says of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidRecord {
    /// Which table.
    pub source: AddressSource,
    /// The client.
    pub mac: Mac,
    /// Its IP address.
    pub address: String,
    /// Its name.
    pub host_name: Option<String>,
    /// When the table first said so.
    pub since: Timestamp,
}

/// A radio of an access point that another device controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CapRecord {
    /// Owner.
    pub tenant_id: TenantId,
    /// BSSID.
    pub radio_mac: Mac,
    /// The controllers that show it, lowest id first.
    pub reporters: Vec<DeviceId>,
    /// The access point that its links belong to.
    pub ap_device_id: DeviceId,
}

/// What the flow knows of a [`CapRecord`]'s radio besides: where tables went and what was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BssidRecord {
    /// Owner.
    pub tenant_id: TenantId,
    /// BSSID.
    pub radio_mac: Mac,
    /// The device that owns the radio's address, as of the last slot end.
    pub owner: Option<DeviceId>,
    /// Controllers that show it, or did so, lowest id first.
    pub reporters: Vec<ReporterRecord>,
    /// Access points that a table of it has reached: they have the radio, even if no controller shows it any more.
    pub reached: Vec<DeviceId>,
}

/// A controller of a [`BssidRecord`]'s radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReporterRecord {
    /// The controller.
    pub device_id: DeviceId,
    /// Sources whose table has reached the radio's access point since the radio belongs to it, as bits of
    /// [`crate::records::Tables`].
    pub reached: u32,
    /// The radio's access point was told that it is not observed.
    pub unobserved: bool,
    /// It no longer shows the radio.
    pub gone: bool,
}

/// What the links of an access point know of devices' statuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApFlagsRecord {
    /// The access point; also a device without links.
    pub device_id: DeviceId,
    /// It is unobserved or unmanageable, or was when it last was neither online nor offline.
    pub unobserved: bool,
    /// Reporters of its radios that are not observed: (radio, reporter).
    pub reporters: Vec<(Mac, DeviceId)>,
    /// Verdicts of roaming on clients without a link: (radio, client, roamed, ambiguous, and whether its link was forgotten).
    pub verdicts: Vec<(Mac, Mac, bool, bool, bool)>,
}

/// Which associations of [`RoamRecord`]s a table shows: a client has departed once no table shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRecord {
    /// Owner.
    pub tenant_id: TenantId,
    /// Access point of the association.
    pub ap_device_id: DeviceId,
    /// Radio of the association.
    pub radio_mac: Mac,
    /// Whose table it is.
    pub reporter: DeviceId,
    /// Which table.
    pub source: Source,
    /// Clients of one key group, rising.
    pub clients: Vec<Mac>,
}

/// How a place was, and is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// The place.
    pub place: Place,
    /// State and since when.
    pub health: Health,
    /// Live links at the newest [`PLACE_TICK`](crate::views::PLACE_TICK)s, oldest first, at most those of an hour.
    pub ticks: Vec<u32>,
    /// Live links at the newest whole hours, oldest first, at most those of seven days.
    pub hours: Vec<u32>,
}

/// How far a rule is with something it judges; without one nothing is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedRecord {
    /// The rule.
    pub rule_id: RuleId,
    /// What it judges.
    pub subject: Subject,
    /// Good values in a row while an alert is open or latched, else bad ones.
    pub run: u16,
    /// A person resolved the alert, and the values have not been good since.
    pub latched: bool,
    /// The open alert: when it opened, and by which value, thousandths.
    pub open: Option<(Timestamp, i64)>,
}

/// Traffic of a place that a rule compares with an hour ago.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThroughputRecord {
    /// The place.
    pub place: Place,
    /// Received and sent, bits a second, at the newest ticks, oldest first, at most those of an hour; null where nothing was known.
    pub ticks: Vec<Option<i64>>,
}

/// An alert that is open, or that opened and resolved lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// Owner.
    pub tenant_id: TenantId,
    /// Its rule.
    pub rule_id: RuleId,
    /// Kind of the rule.
    pub kind: RuleKind,
    /// Severity of the rule.
    pub severity: Severity,
    /// What it is of.
    pub subject: Subject,
    /// The open alert: when it opened, and by which value, thousandths.
    pub open: Option<(Timestamp, i64)>,
    /// It took part in an incident once: it no longer waits.
    pub told: bool,
    /// The incident that it is in.
    pub incident_id: Option<IncidentId>,
    /// Newest openings and resolvings, oldest first, at most as many as are flapping.
    pub changes: Vec<Timestamp>,
}

/// An open incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentRecord {
    /// Owner.
    pub tenant_id: TenantId,
    /// Id.
    pub incident_id: IncidentId,
    /// What it comes from.
    pub root: Root,
    /// Kind as told.
    pub kind: RuleKind,
    /// Greatest severity of the alerts that were ever in it.
    pub severity: Severity,
    /// When it opened.
    pub opened_at: Timestamp,
}

/// Signals of a client over days. Levels are in hundredths of dBm. Buckets are counted back from the newest, so that a million
/// clients stay small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendRecord {
    /// Owner of the access points.
    pub tenant_id: TenantId,
    /// The client.
    pub mac: Mac,
    /// Access point of its newest piece.
    pub ap_device_id: DeviceId,
    /// Radio of it.
    pub radio_mac: Mac,
    /// Hour of its newest piece, since 1970, UTC.
    pub hour: u32,
    /// Buckets that have samples, newest first: hours before `hour`, mean, minutes.
    pub hours: Vec<(u8, i16, u8)>,
    /// The same by days, before the day of `hour`.
    pub days: Vec<(u8, i16, u16)>,
    /// The open trend: test, since, baseline, mean of the recent window when it opened.
    pub open: Option<(TrendTest, Timestamp, i16, i16)>,
}

/// The manifest of a checkpoint, JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// State as of the end of this slot.
    pub epoch: crate::Epoch,
    /// Generation of the job that wrote it.
    pub generation: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Offset of the bindings topic after the binding that closed `epoch`.
    pub bindings: u64,
    /// Offsets up to which telemetry was bound then.
    pub telemetry: Vec<u64>,
    /// Offset up to which control was bound then.
    pub control: u64,
    /// A person accepted that the log lost records: history begins anew here. What was told before, of slots up to this one,
    /// stays told and is not told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anew_after: Option<crate::Epoch>,
    /// All files, by name relative to the checkpoint's folder.
    pub files: Vec<String>,
}
