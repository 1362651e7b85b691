//! What the flow hands to whoever commits it.

use std::sync::Arc;

use bytes::Bytes;
use mast_schemas::alerts::{
    AlertEvent, AlertId, AlertView, IncidentEvent, IncidentId, IncidentView, TrendEvent, TrendView,
};
use mast_schemas::checkpoint::{
    AlertRecord, ApFlagsRecord, ApRecord, BssidRecord, CapRecord, CoreRecord, DeviceRecord,
    HealthRecord, IncidentRecord, JudgedRecord, LimitsRecord, RoamRecord, ShownRecord,
    StandingRecord, ThroughputRecord, TrendRecord,
};
use mast_schemas::control::{Change, Rule, Window};
use mast_schemas::message::Header;
use mast_schemas::views::{
    ClientAddress, Counts, DeviceEvent, DeviceGauge, DeviceView, Health, HealthEvent, HealthSample,
    InterfaceRates, LinkEvent, LinkGauge, LinkView, PastClients, Place, PlaceAir, Signals,
};
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, TenantId};
use mast_state::messages::Verdict;

use mast_schemas::epochs::Binding;

/// A record of the telemetry topic.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Its header.
    pub header: Arc<Header>,
    /// Its sections.
    pub body: Bytes,
}

/// What a binding binds: the input of the slots that it closes.
#[derive(Clone, Debug)]
pub struct SlotInput {
    /// The binding.
    pub binding: Binding,
    /// Control changes, in offset order.
    pub control: Vec<Change>,
    /// Telemetry records, by partition and offset. Records without sections may be left out.
    pub messages: Vec<Message>,
}

/// The outputs of a run of slots. Rows of one key appear in the order of their epochs; the last one holds.
#[derive(Debug, Default)]
pub struct Outputs {
    /// All slots up to this one are complete in the outputs so far.
    pub upto: Epoch,
    /// Devices that changed; `None` = deleted.
    pub devices: Vec<(Epoch, DeviceId, Option<DeviceView>)>,
    /// Links that changed; `None` = no longer in the view.
    pub links: Vec<(Epoch, LinkId, Option<LinkView>)>,
    /// Addresses of clients that changed; `None` = no table says one any more.
    pub addresses: Vec<(Epoch, (TenantId, Mac), Option<ClientAddress>)>,
    /// Counts that changed; `None` = the place has nothing to count.
    pub counts: Vec<(Epoch, Place, Option<Counts>)>,
    /// Places whose state changed; `None` = the place has no device any more.
    pub health: Vec<(Epoch, Place, Option<Health>)>,
    /// Live links of the past that changed; `None` as above.
    pub past_clients: Vec<(Epoch, Place, Option<PastClients>)>,
    /// Signals that changed; `None` = no live link with a signal.
    pub signals: Vec<(Epoch, Place, Option<Signals>)>,
    /// Traffic and noise that changed; `None` = nothing of it is known.
    pub air: Vec<(Epoch, Place, Option<PlaceAir>)>,
    /// Transitions of devices.
    pub device_events: Vec<(Epoch, DeviceEvent)>,
    /// Transitions of links.
    pub link_events: Vec<(Epoch, LinkEvent)>,
    /// Transitions of places.
    pub health_events: Vec<(Epoch, HealthEvent)>,
    /// Places at instants, for the lake.
    pub health_history: Vec<(Epoch, HealthSample)>,
    /// Alerts that changed; `None` = it is open no more.
    pub alerts: Vec<(Epoch, AlertId, Option<AlertView>)>,
    /// Incidents that changed; `None` = it is open no more.
    pub incidents: Vec<(Epoch, IncidentId, Option<IncidentView>)>,
    /// Clients whose trend changed; `None` = its signal does not degrade any more.
    pub trends: Vec<(Epoch, (TenantId, Mac), Option<TrendView>)>,
    /// Openings and resolvings of alerts.
    pub alert_events: Vec<(Epoch, AlertEvent)>,
    /// What became of incidents; of these, those that are not merged are what people are told.
    pub incident_events: Vec<(Epoch, IncidentEvent)>,
    /// What became of trends.
    pub trend_events: Vec<(Epoch, TrendEvent)>,
    /// Measurements of devices.
    pub device_gauges: Vec<DeviceGauge>,
    /// Rates of interfaces.
    pub interface_rates: Vec<InterfaceRates>,
    /// Measurements of links.
    pub link_gauges: Vec<LinkGauge>,
    /// Messages for the lake, with what became of each poll (in the order of the poll section).
    pub history: Vec<(Epoch, Message, Vec<Verdict>)>,
    /// Messages that did not decode, with the reason.
    pub poison: Vec<(Epoch, Message, String)>,
}

/// All state of the flow as of the end of a slot; what a checkpoint holds and a restart begins with.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// State as of this slot; `Epoch(0)` = empty.
    pub epoch: Epoch,
    /// Control tables.
    pub control: Vec<StandingRecord>,
    /// What control says counts as bad.
    pub limits: Vec<LimitsRecord>,
    /// Devices, with their key group.
    pub devices: Vec<(u8, DeviceRecord)>,
    /// Roaming clients, with their key group.
    pub roam: Vec<(u8, RoamRecord)>,
    /// Access points, with their key group.
    pub aps: Vec<(u8, ApRecord)>,
    /// Remote radios, with their key group.
    pub caps: Vec<(u8, CapRecord)>,
    /// What was told of remote radios, with their key group.
    pub bssids: Vec<(u8, BssidRecord)>,
    /// What links know of statuses, with their key group.
    pub ap_flags: Vec<(u8, ApFlagsRecord)>,
    /// Which associations tables show, with their key group.
    pub shown: Vec<(u8, ShownRecord)>,
    /// How places are, with their key group.
    pub health: Vec<(u8, HealthRecord)>,
    /// What control says of rules.
    pub rules: Vec<Rule>,
    /// What control says of maintenance windows.
    pub windows: Vec<Window>,
    /// Sites of the core, as control says.
    pub cores: Vec<CoreRecord>,
    /// How far rules are, with their key group.
    pub judged: Vec<(u8, JudgedRecord)>,
    /// Traffic that rules compare, with its key group.
    pub throughput: Vec<(u8, ThroughputRecord)>,
    /// Signals of clients over days, with their key group.
    pub trends: Vec<(u8, TrendRecord)>,
    /// Alerts, with their key group.
    pub alerts: Vec<(u8, AlertRecord)>,
    /// Incidents, with their key group.
    pub incidents: Vec<(u8, IncidentRecord)>,
}

impl Snapshot {
    /// Adds another part of the same state.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.control.append(&mut other.control);
        self.limits.append(&mut other.limits);
        self.devices.append(&mut other.devices);
        self.roam.append(&mut other.roam);
        self.aps.append(&mut other.aps);
        self.caps.append(&mut other.caps);
        self.bssids.append(&mut other.bssids);
        self.ap_flags.append(&mut other.ap_flags);
        self.shown.append(&mut other.shown);
        self.health.append(&mut other.health);
        self.rules.append(&mut other.rules);
        self.windows.append(&mut other.windows);
        self.cores.append(&mut other.cores);
        self.judged.append(&mut other.judged);
        self.throughput.append(&mut other.throughput);
        self.trends.append(&mut other.trends);
        self.alerts.append(&mut other.alerts);
        self.incidents.append(&mut other.incidents);
    }
}

impl Outputs {
    /// Adds another worker's outputs of the same slots.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.devices.append(&mut other.devices);
        self.links.append(&mut other.links);
        self.addresses.append(&mut other.addresses);
        self.counts.append(&mut other.counts);
        self.health.append(&mut other.health);
        self.past_clients.append(&mut other.past_clients);
        self.signals.append(&mut other.signals);
        self.air.append(&mut other.air);
        self.interface_rates.append(&mut other.interface_rates);
        self.health_events.append(&mut other.health_events);
        self.health_history.append(&mut other.health_history);
        self.device_events.append(&mut other.device_events);
        self.link_events.append(&mut other.link_events);
        self.alerts.append(&mut other.alerts);
        self.incidents.append(&mut other.incidents);
        self.trends.append(&mut other.trends);
        self.alert_events.append(&mut other.alert_events);
        self.incident_events.append(&mut other.incident_events);
        self.trend_events.append(&mut other.trend_events);
        self.device_gauges.append(&mut other.device_gauges);
        self.link_gauges.append(&mut other.link_gauges);
        self.history.append(&mut other.history);
        self.poison.append(&mut other.poison);
    }

    /// Puts the rows in an order that does not depend on how many workers made them.
    pub(crate) fn settle(&mut self) {
        self.devices.sort_by_key(|(epoch, id, _)| (*epoch, *id));
        self.links.sort_by_key(|(epoch, id, _)| (*epoch, *id));
        self.addresses.sort_by_key(|(epoch, key, _)| (*epoch, *key));
        self.counts
            .sort_by_key(|(epoch, place, _)| (*epoch, *place));
        self.health
            .sort_by_key(|(epoch, place, _)| (*epoch, *place));
        self.past_clients
            .sort_by_key(|(epoch, place, _)| (*epoch, *place));
        self.signals
            .sort_by_key(|(epoch, place, _)| (*epoch, *place));
        self.device_events
            .sort_by_key(|(epoch, e)| (*epoch, e.at, e.device_id, e.event_id));
        self.link_events.sort_by_key(|(epoch, e)| {
            (*epoch, e.at, e.ap_device_id, e.radio_mac, e.mac, e.event_id)
        });
        self.air.sort_by_key(|(epoch, place, _)| (*epoch, *place));
        self.interface_rates
            .sort_by_key(|rates| (rates.observed_at, rates.device_id));
        self.health_events
            .sort_by_key(|(epoch, e)| (*epoch, e.event_id));
        self.health_history
            .sort_by_key(|(epoch, row)| (*epoch, row.tenant_id, row.place_kind, row.place_id));
        self.alerts.sort_by_key(|(epoch, id, _)| (*epoch, *id));
        self.incidents.sort_by_key(|(epoch, id, _)| (*epoch, *id));
        self.trends.sort_by_key(|(epoch, key, _)| (*epoch, *key));
        self.alert_events
            .sort_by_key(|(epoch, e)| (*epoch, e.at, e.alert_id, e.event_id));
        self.incident_events
            .sort_by_key(|(epoch, e)| (*epoch, e.at, e.incident_id, e.event_id));
        self.trend_events
            .sort_by_key(|(epoch, e)| (*epoch, e.at, e.tenant_id, e.mac, e.event_id));
        self.device_gauges
            .sort_by_key(|g| (g.observed_at, g.device_id));
        self.link_gauges.sort_by_key(|g| (g.observed_at, g.id));
        self.history
            .sort_by_key(|(epoch, m, _)| (*epoch, m.partition, m.offset));
        self.poison
            .sort_by_key(|(epoch, m, _)| (*epoch, m.partition, m.offset));
    }
}
