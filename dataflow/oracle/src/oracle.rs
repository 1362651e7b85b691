//! The fold: slots in, one state, in the order of `docs/semantics.md` §1.
//!
//! All timers stand in one ordered set. An entry is never taken out when its timer changes: when it comes up, it counts
//! only if its key still has a timer due at that very instant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mast_schemas::alerts::{
    AlertEvent, AlertId, AlertView, IncidentEvent, IncidentId, IncidentView, TrendEvent,
};
use mast_schemas::checkpoint::{CapRecord, LimitsRecord, LinkRecord, RoamRecord, StationRecord};
use mast_schemas::control::{ControlRecord, Rule};
use mast_schemas::message::WholePoll;
use mast_schemas::records::PollId;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::SLOT;
use mast_schemas::views::{Counts, DeviceEvent, HealthEvent, HealthSample, LinkEvent, Place};
use mast_schemas::{
    DeviceId, Epoch, LinkId, Mac, RuleId, SiteId, TenantId, ThresholdsId, Timestamp, WindowId,
};

use crate::devices::Device;
use crate::health::PlaceNow;
use crate::incidents::Told;
use crate::parents::Topology;
use crate::rules::{Judged, Pair};
use crate::trends::{Client, Piece};
use crate::views::Seen;
use crate::windows::Window;

/// An address within a tenant.
pub(crate) type Address = (TenantId, Mac);

/// A radio of an access point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Radio {
    pub(crate) interface: String,
    pub(crate) links: BTreeMap<Mac, LinkRecord>,
    pub(crate) stations: BTreeMap<Mac, StationRecord>,
}

/// What can fall due; in the order in which timers of one instant fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Overdue(DeviceId),
    Expired(LinkId),
    Forgotten(LinkId),
    OwnerDropped(Address),
    AmbiguityOver(Address),
    Hour(DeviceId),
}

/// Rows that changed nothing, and why. Not part of a checkpoint: they begin at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Polls whose sequence had passed.
    pub replays: u64,
    /// Polls of an older lease epoch.
    pub late: u64,
    /// Polls of devices that control does not know.
    pub unknown_device: u64,
    /// Polls with another tenant than control says.
    pub wrong_tenant: u64,
    /// Polls of devices that control has disabled.
    pub disabled: u64,
}

/// Transitions, ordered by time, then ids.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Events {
    /// Of links.
    pub links: Vec<LinkEvent>,
    /// Of devices.
    pub devices: Vec<DeviceEvent>,
    /// Of places.
    pub health: Vec<HealthEvent>,
    /// Places at instants.
    pub history: Vec<HealthSample>,
    /// Of clients whose signal degrades.
    pub trends: Vec<TrendEvent>,
    /// Of alerts.
    pub alerts: Vec<AlertEvent>,
    /// Of incidents.
    pub incidents: Vec<IncidentEvent>,
}

impl Events {
    /// Without those of alerts, incidents and trends.
    #[must_use]
    pub fn without_alerts(mut self) -> Self {
        self.alerts.clear();
        self.incidents.clear();
        self.trends.clear();
        self
    }
}

/// The views as a plain fold over whole polls. See the crate's documentation.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub(crate) thresholds: Thresholds,
    /// What places say of them.
    pub(crate) limits: BTreeMap<ThresholdsId, LimitsRecord>,
    /// End of the last slot.
    pub(crate) now: Timestamp,
    /// End of the slot that is being folded.
    pub(crate) end: Timestamp,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    /// Who claims an address since when.
    pub(crate) claims: BTreeMap<Address, BTreeSet<(Timestamp, DeviceId)>>,
    /// Owners, as of the slot's begin, of addresses whose claims changed in this slot.
    pub(crate) owners_before: BTreeMap<Address, Option<DeviceId>>,
    pub(crate) roam: BTreeMap<Address, RoamRecord>,
    pub(crate) aps: BTreeMap<DeviceId, BTreeMap<Mac, Radio>>,
    /// Which access points have a radio.
    pub(crate) radio_aps: BTreeMap<Address, BTreeSet<DeviceId>>,
    /// Remote radios.
    pub(crate) caps: BTreeMap<Address, CapRecord>,
    /// Remote radios whose access point may change at the slot's end.
    pub(crate) caps_touched: BTreeSet<Address>,
    pub(crate) places: BTreeMap<Place, PlaceNow>,
    /// Whether a device changed its state or where it stands, or control said something.
    pub(crate) places_touched: bool,
    /// When a window next opens or closes.
    pub(crate) places_due: Option<Timestamp>,
    pub(crate) follows_places: bool,
    /// Counts of places, while nothing has happened since they were taken.
    pub(crate) place_counts: Option<BTreeMap<Place, Counts>>,
    /// What can be seen, while nothing has happened since it was looked at.
    pub(crate) seen: Option<Arc<Seen>>,
    /// What hangs on what, while no link changed its state and no control record or address came.
    pub(crate) topology: Option<Arc<Topology>>,
    /// What hours said in this slot.
    pub(crate) pieces: Vec<Piece>,
    pub(crate) trends: BTreeMap<Address, Client>,
    pub(crate) rules: BTreeMap<RuleId, Rule>,
    pub(crate) judged: BTreeMap<Pair, Judged>,
    /// Traffic at the ticks of the last hour, of places that a rule compares.
    pub(crate) throughput: BTreeMap<Place, Vec<Option<i64>>>,
    /// Sites of the core.
    pub(crate) cores: BTreeSet<(TenantId, SiteId)>,
    pub(crate) windows: BTreeMap<WindowId, Window>,
    /// What is kept of alerts besides.
    pub(crate) told: BTreeMap<Pair, Told>,
    /// The open alerts, as of the last slot that changed something.
    pub(crate) alerts: BTreeMap<AlertId, AlertView>,
    pub(crate) incidents: BTreeMap<IncidentId, IncidentView>,
    /// Whether something has happened that may change them, and when time alone does.
    pub(crate) unsettled: bool,
    pub(crate) incidents_due: Option<Timestamp>,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    pub(crate) events: Events,
    pub(crate) counters: Counters,
}

impl Oracle {
    /// Nothing known yet.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            limits: BTreeMap::new(),
            now: Timestamp(i64::MIN),
            end: Timestamp(i64::MIN),
            devices: BTreeMap::new(),
            claims: BTreeMap::new(),
            owners_before: BTreeMap::new(),
            roam: BTreeMap::new(),
            aps: BTreeMap::new(),
            radio_aps: BTreeMap::new(),
            caps: BTreeMap::new(),
            caps_touched: BTreeSet::new(),
            places: BTreeMap::new(),
            places_touched: false,
            places_due: None,
            follows_places: true,
            place_counts: None,
            seen: None,
            topology: None,
            pieces: Vec::new(),
            trends: BTreeMap::new(),
            rules: BTreeMap::new(),
            judged: BTreeMap::new(),
            throughput: BTreeMap::new(),
            cores: BTreeSet::new(),
            windows: BTreeMap::new(),
            told: BTreeMap::new(),
            alerts: BTreeMap::new(),
            incidents: BTreeMap::new(),
            unsettled: false,
            incidents_due: None,
            timers: BTreeSet::new(),
            events: Events::default(),
            counters: Counters::default(),
        }
    }

    /// Without the health of places, for whoever closes one slot many times.
    #[must_use]
    pub fn without_places(mut self) -> Self {
        self.follows_places = false;
        self.places.clear();
        self
    }

    /// Closes the slots `first..=last`, as one binding does: `control` (in offset order) and `polls` (in any order) belong
    /// to `first`, in the others only timers fire. Bindings follow each other without a gap.
    pub fn slot(
        &mut self,
        first: Epoch,
        last: Epoch,
        control: &[ControlRecord],
        mut polls: Vec<WholePoll>,
    ) {
        let end = first.end();
        self.end = end;
        if self.now == Timestamp(i64::MIN) {
            self.arm_hours(end - SLOT);
        }
        for record in control {
            self.control(&record.change, end - SLOT);
        }
        self.owners_before.clear();
        polls.sort_by_key(|p| (p.poll.observed_at, p.poll.device_id, p.poll.id()));
        for poll in &polls {
            if self.counts(poll) {
                self.fire_until(poll.poll.observed_at.min(end));
                self.poll(poll);
                self.judge_poll(poll);
            }
        }
        self.fire_until(end);
        self.end_of_slot(end);
        self.fire_until(end);
        if !control.is_empty() || !polls.is_empty() {
            self.something_happened();
        }
        self.close(first);
        self.later_slots(first, last);
        (self.now, self.end) = (last.end(), last.end());
    }

    /// What follows from all that happened in a slot.
    pub(crate) fn close(&mut self, slot: Epoch) {
        (self.now, self.end) = (slot.end(), slot.end());
        self.trends_at(slot.end());
        self.places_at(slot);
        self.rules_at(slot.end());
        self.incidents_at(slot.end());
    }

    pub(crate) fn something_happened(&mut self) {
        self.place_counts = None;
        self.seen = None;
        self.unsettled = true;
    }

    /// Sets `now` to the end of a slot that was closed before the oracle was restored.
    pub fn set_now(&mut self, closed: Epoch) {
        (self.now, self.end) = (closed.end(), closed.end());
        self.arm_hours(closed.end());
        self.incidents_at(closed.end());
    }

    /// Transitions since the last call, ordered by time, then ids; those of one subject at one instant as they happened.
    pub fn take_events(&mut self) -> Events {
        let mut events = std::mem::take(&mut self.events);
        events
            .links
            .sort_by_key(|e| (e.at, e.tenant_id, e.ap_device_id, e.radio_mac, e.mac));
        events
            .devices
            .sort_by_key(|e| (e.at, e.tenant_id, e.device_id));
        events
            .health
            .sort_by_key(|e| (e.at, e.tenant_id, e.place_kind, e.place_id));
        events.trends.sort_by_key(|e| (e.at, e.tenant_id, e.mac));
        events
            .alerts
            .sort_by_key(|e| (e.at, e.tenant_id, e.alert_id));
        events
            .incidents
            .sort_by_key(|e| (e.at, e.tenant_id, e.incident_id));
        events
            .history
            .sort_by_key(|row| (row.at, row.tenant_id, row.place_kind, row.place_id));
        events
    }

    /// Rows that changed nothing, so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether a poll may change state; if not, it is counted.
    fn counts(&mut self, whole: &WholePoll) -> bool {
        let poll = &whole.poll;
        let Some(device) = self.devices.get_mut(&poll.device_id) else {
            self.counters.unknown_device += 1;
            return false;
        };
        if device.row.tenant_id != poll.tenant_id {
            self.counters.wrong_tenant += 1;
            return false;
        }
        if !device.row.enabled {
            self.counters.disabled += 1;
            device.last_poll = device.last_poll.max(Some(poll.id()));
            return false;
        }
        let newest = device.last_poll.unwrap_or(PollId {
            lease_epoch: 0,
            sequence: 0,
        });
        if device.last_poll.is_some() && poll.id() <= newest {
            if poll.lease_epoch < newest.lease_epoch {
                self.counters.late += 1;
            } else {
                self.counters.replays += 1;
            }
            return false;
        }
        device.last_poll = Some(poll.id());
        true
    }

    /// One poll that counts: device, interfaces, associations, links (§1).
    fn poll(&mut self, whole: &WholePoll) {
        self.device_step(&whole.poll);
        self.interface_table(whole);
        self.registration_tables(whole);
        self.address_tables(whole);
        if whole.poll.outcome.reached() {
            self.air_tables(whole);
        }
    }

    /// Fires all timers due at or before `limit`, in order of time.
    pub(crate) fn fire_until(&mut self, limit: Timestamp) {
        while let Some(&(due, timer)) = self.timers.first() {
            if due > limit {
                break;
            }
            self.timers.pop_first();
            self.something_happened();
            match timer {
                Timer::Overdue(id) => self.device_overdue(id, due),
                Timer::Expired(id) => self.link_expired(&id, due),
                Timer::Forgotten(id) => self.link_forgotten(&id, due),
                Timer::OwnerDropped(address) => self.owner_dropped(address, due),
                Timer::AmbiguityOver(address) => self.ambiguity_over(address, due),
                Timer::Hour(ap) => self.hour_ended(ap, due),
            }
        }
    }
}
