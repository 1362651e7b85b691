//! From the outputs of a run of slots to the rows of one commit: of each key only the last value.

use std::collections::BTreeMap;

use mast_schemas::alerts::{
    AlertEvent, AlertId, AlertView, IncidentEvent, IncidentId, IncidentView, TrendEvent, TrendView,
};
use mast_schemas::views::{
    ClientAddress, Counts, DeviceEvent, DeviceView, EventId, Health, HealthEvent, LinkEvent,
    LinkView, Place,
};
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, TenantId};

use crate::outputs::Outputs;

/// The rows of one commit, each list by rising key.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The commit completes all slots up to this one.
    pub upto: Epoch,
    /// Devices; `None` = deleted.
    pub devices: Vec<(Epoch, DeviceId, Option<DeviceView>)>,
    /// Links; `None` = deleted.
    pub links: Vec<(Epoch, LinkId, Option<LinkView>)>,
    /// Addresses of clients; `None` = no longer known.
    pub addresses: Vec<(Epoch, (TenantId, Mac), Option<ClientAddress>)>,
    /// Counts; `None` = nothing to count.
    pub counts: Vec<(Epoch, Place, Option<Counts>)>,
    /// States of places; `None` = no device any more.
    pub health: Vec<(Epoch, Place, Option<Health>)>,
    /// Transitions of devices, by epoch and id.
    pub device_events: Vec<(Epoch, DeviceEvent)>,
    /// Transitions of links, by epoch and id.
    pub link_events: Vec<(Epoch, LinkEvent)>,
    /// Transitions of places, by epoch and id.
    pub health_events: Vec<(Epoch, HealthEvent)>,
    /// Alerts; `None` = open no more.
    pub alerts: Vec<(Epoch, AlertId, Option<AlertView>)>,
    /// Those that are open no more, as they were last within the commit.
    pub alerts_left: Vec<(Epoch, AlertId, AlertView)>,
    /// Incidents; `None` = open no more.
    pub incidents: Vec<(Epoch, IncidentId, Option<IncidentView>)>,
    /// The most alerts, devices and clients that each had within the commit, by rising id.
    pub incidents_most: Vec<(IncidentId, [u32; 3])>,
    /// Trends; `None` = it degrades no more.
    pub trends: Vec<(Epoch, (TenantId, Mac), Option<TrendView>)>,
    /// Openings and resolvings of alerts, by epoch and id.
    pub alert_events: Vec<(Epoch, AlertEvent)>,
    /// What became of incidents, by epoch and id.
    pub incident_events: Vec<(Epoch, IncidentEvent)>,
    /// What became of trends, by epoch and id.
    pub trend_events: Vec<(Epoch, TrendEvent)>,
}

impl Batch {
    /// Takes the rows out of the outputs, leaving out what belongs to slots up to `committed`.
    pub fn take(outputs: &mut Outputs, committed: Epoch) -> Self {
        let alerts = std::mem::take(&mut outputs.alerts);
        let incidents = std::mem::take(&mut outputs.incidents);
        let mut batch = Self {
            upto: outputs.upto,
            alerts_left: left(&alerts, committed),
            alerts: last(alerts, committed),
            incidents_most: most(&incidents, committed),
            incidents: last(incidents, committed),
            trends: last(std::mem::take(&mut outputs.trends), committed),
            alert_events: std::mem::take(&mut outputs.alert_events),
            incident_events: std::mem::take(&mut outputs.incident_events),
            trend_events: std::mem::take(&mut outputs.trend_events),
            devices: last(std::mem::take(&mut outputs.devices), committed),
            links: last(std::mem::take(&mut outputs.links), committed),
            addresses: last(std::mem::take(&mut outputs.addresses), committed),
            counts: last(std::mem::take(&mut outputs.counts), committed),
            health: last(std::mem::take(&mut outputs.health), committed),
            device_events: std::mem::take(&mut outputs.device_events),
            link_events: std::mem::take(&mut outputs.link_events),
            health_events: std::mem::take(&mut outputs.health_events),
        };
        fn order<E>(events: &mut Vec<(Epoch, E)>, committed: Epoch, id: fn(&E) -> EventId) {
            events.retain(|(epoch, _)| *epoch > committed);
            events.sort_by_key(|(epoch, event)| (*epoch, id(event)));
        }
        order(&mut batch.device_events, committed, |e| e.event_id);
        order(&mut batch.link_events, committed, |e| e.event_id);
        order(&mut batch.health_events, committed, |e| e.event_id);
        order(&mut batch.alert_events, committed, |e| e.event_id);
        order(&mut batch.incident_events, committed, |e| e.event_id);
        order(&mut batch.trend_events, committed, |e| e.event_id);
        batch
    }
}

/// The last row of each key, by rising key, of the slots after `committed`.
///
/// A row up to `committed` that is its key's last one is in Postgres already; one that is not does not matter.
pub(crate) fn last<K: Ord + Copy, V>(
    mut rows: Vec<(Epoch, K, V)>,
    committed: Epoch,
) -> Vec<(Epoch, K, V)> {
    rows.retain(|(epoch, _, _)| *epoch > committed);
    // Stable: rows of one key stay in the order of their epochs.
    rows.sort_by_key(|(_, key, _)| *key);
    rows.reverse();
    rows.dedup_by_key(|(_, key, _)| *key);
    rows.reverse();
    rows
}

/// Of alerts that are open no more, their last view after `committed`, by rising id.
fn left(
    rows: &[(Epoch, AlertId, Option<AlertView>)],
    committed: Epoch,
) -> Vec<(Epoch, AlertId, AlertView)> {
    let mut views = BTreeMap::new();
    for (epoch, id, view) in rows.iter().filter(|(epoch, ..)| *epoch > committed) {
        let (known, open) = views.entry(*id).or_insert((None, false));
        *open = view.is_some();
        if let Some(view) = view {
            *known = Some((*epoch, view));
        }
    }
    let views = views.into_iter().filter(|(_, (_, open))| !open);
    views
        .filter_map(|(id, (known, _))| known.map(|(epoch, view)| (epoch, id, view.clone())))
        .collect()
}

/// The most that each incident had after `committed`, by rising id.
fn most(
    rows: &[(Epoch, IncidentId, Option<IncidentView>)],
    committed: Epoch,
) -> Vec<(IncidentId, [u32; 3])> {
    let mut most: BTreeMap<IncidentId, [u32; 3]> = BTreeMap::new();
    for (_, id, view) in rows.iter().filter(|(epoch, ..)| *epoch > committed) {
        let Some(view) = view else { continue };
        let known = most.entry(*id).or_default();
        let now = [view.alerts, view.devices, view.clients];
        known.iter_mut().zip(now).for_each(|(k, n)| *k = n.max(*k));
    }
    most.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_key_holds_and_committed_slots_are_left_out() {
        let rows = vec![
            (Epoch(1), 'b', 1),
            (Epoch(2), 'a', 2),
            (Epoch(3), 'b', 3),
            (Epoch(3), 'c', 4),
            (Epoch(4), 'c', 5),
        ];
        assert_eq!(
            last(rows, Epoch(2)),
            vec![(Epoch(3), 'b', 3), (Epoch(4), 'c', 5)]
        );
    }
}
