//! Control (§1.1), the device step (§3) and who owns an address (§4).

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::control::Change;
use mast_schemas::message::WholePoll;
use mast_schemas::records::{Outcome, Poll, PollId, Source, Tables};
use mast_schemas::time::Span;
use mast_schemas::views::{DeviceEvent, DeviceState, device_event_id};
use mast_schemas::{DeviceId, Mac, Timestamp};

use crate::addresses::Said;
use crate::air::Air;
use crate::oracle::{Address, Oracle, Timer};
use crate::windows::Window;

/// A device that control knows.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) row: StandingRecord,
    pub(crate) state: DeviceState,
    pub(crate) since: Timestamp,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) fail_run: u8,
    pub(crate) fail_unmanageable: bool,
    pub(crate) last_poll: Option<PollId>,
    pub(crate) overdue_at: Option<Timestamp>,
    /// Identity, version, board, architecture, serial, firmware.
    pub(crate) attributes: [Option<String>; 6],
    pub(crate) claims: BTreeMap<Mac, Timestamp>,
    pub(crate) tables: BTreeMap<Source, Table>,
    /// What its ARP and DHCP tables say.
    pub(crate) said: Said,
    /// Not part of a record: after a restart rates begin anew.
    pub(crate) air: Air,
}

/// The last whole registration table of one source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) radios: BTreeMap<Mac, TableRadio>,
    /// (BSSID, own address).
    pub(crate) stations: BTreeSet<(Mac, Mac)>,
}

/// A radio that a table has ever shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableRadio {
    pub(crate) remote: bool,
    /// Of a remote radio: a table has reached its access point since the radio belongs to that.
    pub(crate) reached: bool,
    pub(crate) interface: String,
    pub(crate) clients: BTreeMap<Mac, Timestamp>,
}

impl Device {
    pub(crate) fn new(row: StandingRecord, since: Timestamp) -> Self {
        Self {
            row,
            state: DeviceState::Unobserved,
            since,
            outcome: None,
            fail_run: 0,
            fail_unmanageable: false,
            last_poll: None,
            overdue_at: None,
            attributes: Default::default(),
            claims: BTreeMap::new(),
            tables: BTreeMap::new(),
            said: Said::new(),
            air: Air::default(),
        }
    }
}

impl Oracle {
    /// Applies a change at `at`, the slot's begin.
    pub(crate) fn control(&mut self, change: &Change, at: Timestamp) {
        self.places_touched = true;
        self.topology = None;
        match change {
            Change::Site(row) => {
                let site = (row.tenant_id, row.id);
                if row.core {
                    self.cores.insert(site);
                } else {
                    self.cores.remove(&site);
                }
            }
            Change::Tenant(_) | Change::Sector(_) => {}
            Change::Group(_) | Change::GroupDeleted { .. } => {}
            Change::Tag(_) | Change::TagDeleted { .. } => {}
            Change::Rule(row) => self.rule_changed(row, at),
            Change::RuleDeleted { id } => self.rule_deleted(*id, at),
            Change::Window(row) => {
                let window = Window::new(row.clone());
                self.windows.insert(row.id, window);
            }
            Change::WindowDeleted { id } => drop(self.windows.remove(id)),
            Change::AlertResolved { tenant_id, id } => self.resolved_by_hand(*tenant_id, *id, at),
            Change::TrendNormal { tenant_id, mac } => self.new_normal((*tenant_id, *mac), at),
            Change::Thresholds(row) => drop(self.limits.insert(row.id, row.into())),
            Change::ThresholdsDeleted { id } => drop(self.limits.remove(id)),
            Change::TenantDeleted { id } => {
                self.tenant_rules_deleted(*id, at);
                self.forget_trends(*id);
                self.limits.retain(|_, row| row.tenant_id != *id);
                self.windows.retain(|_, window| window.row.tenant_id != *id);
                self.cores.retain(|site| site.0 != *id);
                let theirs: Vec<DeviceId> = self
                    .devices
                    .values()
                    .filter(|d| d.row.tenant_id == *id)
                    .map(|d| d.row.device_id)
                    .collect();
                for device in theirs {
                    self.delete_device(device, at);
                }
            }
            Change::SiteDeleted { id } => {
                self.limits.retain(|_, row| row.site_id != Some(*id));
                self.cores.retain(|site| site.1 != *id);
                for device in self
                    .devices
                    .values_mut()
                    .filter(|d| d.row.site_id == Some(*id))
                {
                    (device.row.site_id, device.row.sector_id) = (None, None);
                }
            }
            Change::SectorDeleted { id } => {
                self.limits.retain(|_, row| row.sector_id != Some(*id));
                for device in self
                    .devices
                    .values_mut()
                    .filter(|d| d.row.sector_id == Some(*id))
                {
                    device.row.sector_id = None;
                }
            }
            Change::Device(row) => self.device_changed(row.into(), at),
            Change::DeviceDeleted { id } => self.delete_device(*id, at),
        }
        self.check_subjects(at);
    }

    /// Control says this of a device from now on.
    pub(crate) fn device_changed(&mut self, row: StandingRecord, at: Timestamp) {
        let id = row.device_id;
        if self
            .devices
            .get(&id)
            .is_some_and(|d| d.row.tenant_id != row.tenant_id)
        {
            self.delete_device(id, at);
        }
        let device = self
            .devices
            .entry(id)
            .or_insert_with(|| Device::new(row.clone(), at));
        device.row = row;
        if !device.row.enabled {
            device.fail_run = 0;
            device.overdue_at = None;
            self.set_device_state(id, DeviceState::Unobserved, None, at);
        }
    }

    /// All that hangs on a device goes: its claims, what it says as a station, its links as an access point.
    fn delete_device(&mut self, id: DeviceId, at: Timestamp) {
        let Some(device) = self.devices.get(&id).cloned() else {
            return;
        };
        let tenant = device.row.tenant_id;
        for (mac, first_seen) in &device.claims {
            self.retract_claim((tenant, *mac), *first_seen, id);
        }
        for (bssid, own) in device.tables.values().flat_map(|t| &t.stations) {
            self.retract_station(tenant, *bssid, *own, id);
        }
        let radios: Vec<Mac> = self
            .aps
            .get(&id)
            .into_iter()
            .flatten()
            .map(|(mac, _)| *mac)
            .collect();
        for radio in radios {
            self.forget_radio(tenant, id, radio, at);
        }
        self.aps.remove(&id);
        self.drop_associations(tenant, at, |a| a.ap_device_id == id);
        self.devices.remove(&id);
        for (address, cap) in &mut self.caps {
            let shown = cap.reporters.len();
            cap.reporters.retain(|r| *r != id);
            if cap.reporters.len() != shown || cap.ap_device_id == id {
                self.caps_touched.insert(*address);
            }
        }
        let caps = self.caps.values().filter(|cap| cap.ap_device_id == id);
        let lost: Vec<Address> = caps.map(|cap| (cap.tenant_id, cap.radio_mac)).collect();
        for radio in lost {
            self.begin_anew(radio);
        }
    }

    /// The table of §3.
    pub(crate) fn device_step(&mut self, poll: &Poll) {
        let limit = self.thresholds.device_failures;
        let intervals = i64::from(self.thresholds.unobserved_intervals);
        let Some(device) = self.devices.get_mut(&poll.device_id) else {
            return;
        };
        let told = [
            &poll.identity,
            &poll.version,
            &poll.board,
            &poll.architecture,
            &poll.serial,
            &poll.firmware,
        ];
        for (known, told) in device.attributes.iter_mut().zip(told) {
            if told.is_some() {
                known.clone_from(told);
            }
        }
        if poll.outcome == Outcome::Internal {
            return;
        }
        let overdue = poll.next_due_at + Span::millis(intervals * i64::from(poll.interval_ms));
        device.overdue_at = Some(overdue);
        self.timers
            .insert((overdue, Timer::Overdue(poll.device_id)));
        let unmanageable = match poll.outcome {
            Outcome::Ok | Outcome::Partial | Outcome::Internal => {
                device.fail_run = 0;
                self.set_device_state(
                    poll.device_id,
                    DeviceState::Online,
                    Some(poll.outcome),
                    poll.observed_at,
                );
                return;
            }
            Outcome::Timeout | Outcome::Refused => false,
            Outcome::AuthFailed | Outcome::TlsFailed | Outcome::ProtocolError => true,
        };
        if device.fail_unmanageable != unmanageable {
            device.fail_run = 0;
        }
        device.fail_unmanageable = unmanageable;
        device.fail_run = device.fail_run.saturating_add(1);
        if device.fail_run >= limit {
            let state = if unmanageable {
                DeviceState::Unmanageable
            } else {
                DeviceState::Offline
            };
            self.set_device_state(poll.device_id, state, Some(poll.outcome), poll.observed_at);
        }
    }

    pub(crate) fn device_overdue(&mut self, id: DeviceId, due: Timestamp) {
        let Some(device) = self
            .devices
            .get_mut(&id)
            .filter(|d| d.overdue_at == Some(due))
        else {
            return;
        };
        device.overdue_at = None;
        device.fail_run = 0;
        self.set_device_state(id, DeviceState::Unobserved, None, due);
    }

    /// Since and outcome change only with the state. Going offline takes the device's links down.
    fn set_device_state(
        &mut self,
        id: DeviceId,
        state: DeviceState,
        outcome: Option<Outcome>,
        at: Timestamp,
    ) {
        let Some(device) = self.devices.get_mut(&id).filter(|d| d.state != state) else {
            return;
        };
        self.places_touched = true;
        let from = device.state;
        (device.state, device.since, device.outcome) = (state, at, outcome);
        if state != DeviceState::Online {
            device.air.not_online();
        }
        self.events.devices.push(DeviceEvent {
            event_id: device_event_id(&id, at, from, state),
            tenant_id: device.row.tenant_id,
            device_id: id,
            at,
            from_state: from,
            to_state: state,
            outcome,
        });
        if state == DeviceState::Offline {
            self.ap_offline(id, at);
        }
    }

    /// A whole interface table: the addresses of it are the device's claims from now on.
    pub(crate) fn interface_table(&mut self, whole: &WholePoll) {
        let poll = &whole.poll;
        if !Tables(poll.tables).has(Tables::INTERFACE) {
            return;
        }
        let Some(device) = self.devices.get_mut(&poll.device_id) else {
            return;
        };
        let tenant = device.row.tenant_id;
        let own = whole
            .interfaces
            .iter()
            .filter(|i| i.remote != Some(true))
            .filter_map(|i| i.mac);
        let before = std::mem::take(&mut device.claims);
        device.claims = own
            .map(|mac| (mac, before.get(&mac).copied().unwrap_or(poll.observed_at)))
            .collect();
        let now = device.claims.clone();
        for (mac, first_seen) in before.iter().filter(|(mac, _)| !now.contains_key(mac)) {
            self.retract_claim((tenant, *mac), *first_seen, poll.device_id);
        }
        for (mac, first_seen) in now.iter().filter(|(mac, _)| !before.contains_key(mac)) {
            self.claim_changes((tenant, *mac));
            let claims = self.claims.entry((tenant, *mac)).or_default();
            claims.insert((*first_seen, poll.device_id));
        }
    }

    fn retract_claim(&mut self, address: Address, first_seen: Timestamp, id: DeviceId) {
        self.claim_changes(address);
        if let Some(claims) = self.claims.get_mut(&address) {
            claims.remove(&(first_seen, id));
            if claims.is_empty() {
                self.claims.remove(&address);
            }
        }
    }

    fn claim_changes(&mut self, address: Address) {
        self.topology = None;
        let owner = self.owner(address, None);
        self.owners_before.entry(address).or_insert(owner);
        self.caps_touched.insert(address);
    }

    /// The device that owns an address, leaving one out.
    pub(crate) fn owner(&self, address: Address, not: Option<DeviceId>) -> Option<DeviceId> {
        self.claims
            .get(&address)?
            .iter()
            .map(|(_, id)| *id)
            .find(|id| Some(*id) != not)
    }

    /// The owner of an address as the slot began.
    pub(crate) fn owner_at_begin(&self, address: Address) -> Option<DeviceId> {
        match self.owners_before.get(&address) {
            Some(owner) => *owner,
            None => self.owner(address, None),
        }
    }
}
