//! Remote radios: which access point they belong to (§5).

use mast_schemas::checkpoint::CapRecord;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::oracle::{Address, Oracle};

impl Oracle {
    /// The access point to which a reporter's radio belongs now.
    pub(crate) fn ap_of(
        &self,
        tenant: TenantId,
        radio: Mac,
        reporter: DeviceId,
        remote: bool,
    ) -> DeviceId {
        let cap = self.caps.get(&(tenant, radio)).filter(|_| remote);
        cap.map_or(reporter, |c| c.ap_device_id)
    }

    /// Keeps the list of a remote radio's reporters. A radio never shown before takes the owner as of the slot's begin.
    pub(crate) fn note_reporter(
        &mut self,
        tenant_id: TenantId,
        radio_mac: Mac,
        reporter: DeviceId,
    ) {
        let address = (tenant_id, radio_mac);
        let shows = self.shows_as_remote(reporter, radio_mac);
        let listed = self
            .caps
            .get(&address)
            .is_some_and(|c| c.reporters.contains(&reporter));
        if shows == listed {
            return;
        }
        let ap_device_id = self.owner_at_begin(address).unwrap_or(reporter);
        let reporters = Vec::new();
        let cap = self.caps.entry(address).or_insert(CapRecord {
            tenant_id,
            radio_mac,
            reporters,
            ap_device_id,
        });
        cap.reporters.retain(|r| *r != reporter);
        if shows {
            cap.reporters.push(reporter);
            cap.reporters.sort_unstable();
        }
        self.caps_touched.insert(address);
    }

    fn shows_as_remote(&self, reporter: DeviceId, radio: Mac) -> bool {
        let tables = self
            .devices
            .get(&reporter)
            .into_iter()
            .flat_map(|d| d.tables.values());
        tables
            .filter_map(|t| t.radios.get(&radio))
            .any(|r| r.remote)
    }

    /// What other devices decide reaches the links at the slot's end (§1.4).
    pub(crate) fn end_of_slot(&mut self, end: Timestamp) {
        for address in std::mem::take(&mut self.caps_touched) {
            let Some(cap) = self.caps.get(&address) else {
                continue;
            };
            let from = cap.ap_device_id;
            let Some(lowest) = cap.reporters.first().copied() else {
                self.caps.remove(&address);
                continue;
            };
            let to = self.owner(address, None).unwrap_or(lowest);
            if to != from {
                self.move_radio(address, from, end);
                if let Some(cap) = self.caps.get_mut(&address) {
                    cap.ap_device_id = to;
                }
            }
        }
        self.owners_before.clear();
    }

    /// No table of a remote radio has reached its access point yet.
    pub(crate) fn begin_anew(&mut self, (tenant, radio): Address) {
        let devices = self.devices.values_mut();
        for device in devices.filter(|d| d.row.tenant_id == tenant) {
            let tables = device.tables.values_mut();
            for radio in tables.filter_map(|t| t.radios.get_mut(&radio)) {
                radio.reached = false;
            }
        }
    }

    /// Forgets what is known of a radio under its old access point; links begin anew with each controller's next table.
    fn move_radio(&mut self, address: Address, from: DeviceId, end: Timestamp) {
        let (tenant, radio) = address;
        self.forget_radio(tenant, from, radio, end);
        self.begin_anew(address);
        self.drop_associations(tenant, end, |a| {
            (a.ap_device_id, a.radio_mac) == (from, radio)
        });
    }
}
