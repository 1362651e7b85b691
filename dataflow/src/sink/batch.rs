//! From the outputs of a run of slots to the rows of one commit: of each key only the last value.

use mast_schemas::views::{
    ClientAddress, Counts, DeviceEvent, DeviceView, Health, HealthEvent, LinkEvent, LinkView, Place,
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
}

impl Batch {
    /// Takes the rows out of the outputs, leaving out what belongs to slots up to `committed`.
    pub fn take(outputs: &mut Outputs, committed: Epoch) -> Self {
        let mut batch = Self {
            upto: outputs.upto,
            devices: last(std::mem::take(&mut outputs.devices), committed),
            links: last(std::mem::take(&mut outputs.links), committed),
            addresses: last(std::mem::take(&mut outputs.addresses), committed),
            counts: last(std::mem::take(&mut outputs.counts), committed),
            health: last(std::mem::take(&mut outputs.health), committed),
            device_events: std::mem::take(&mut outputs.device_events),
            link_events: std::mem::take(&mut outputs.link_events),
            health_events: std::mem::take(&mut outputs.health_events),
        };
        batch.device_events.retain(|(epoch, _)| *epoch > committed);
        batch.link_events.retain(|(epoch, _)| *epoch > committed);
        batch.health_events.retain(|(epoch, _)| *epoch > committed);
        batch
            .device_events
            .sort_by_key(|(epoch, event)| (*epoch, event.event_id));
        batch
            .link_events
            .sort_by_key(|(epoch, event)| (*epoch, event.event_id));
        batch
            .health_events
            .sort_by_key(|(epoch, event)| (*epoch, event.event_id));
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
