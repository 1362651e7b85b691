//! Whole polls and control records as the steps take them.

use std::collections::BTreeMap;

use mast_schemas::DeviceId;
use mast_schemas::control::{Change, ControlRecord, Device};
use mast_schemas::message::WholePoll;
use mast_schemas::records::{Arp, FarEnd, Tables};
use mast_schemas::thresholds::Thresholds;
use mast_state::PlaceLimits;
use mast_state::messages::{
    AddressInput, DeviceControl, DeviceInfo, InterfaceInput, PollInput, RegistrationInput, Sample,
};

fn rows_of(whole: &WholePoll) -> Vec<InterfaceInput<'_>> {
    let rows = whole.interfaces.iter();
    rows.map(|row| InterfaceInput {
        name: &row.name,
        rx_bytes: row.rx_bytes,
        tx_bytes: row.tx_bytes,
        running: row.running,
        disabled: row.disabled == Some(true),
        link_rate_bps: row.link_rate_bps,
    })
    .collect()
}

/// Gives a poll to `take` in the form of the steps.
pub(crate) fn with_poll<R>(whole: &WholePoll, take: impl FnOnce(&PollInput<'_>) -> R) -> R {
    let poll = &whole.poll;
    let kbps = |bps: Option<u64>| bps.map(|bps| u32::try_from(bps / 1_000).unwrap());
    let macs = whole
        .interfaces
        .iter()
        .filter(|i| i.remote != Some(true))
        .filter_map(|i| i.mac);
    let macs: Vec<_> = macs.collect();
    let rows: Vec<_> = whole
        .registrations
        .iter()
        .map(|row| RegistrationInput {
            source: row.source,
            interface: &row.interface,
            radio_mac: row.radio_mac,
            remote: row.remote,
            mac: row.mac,
            far_end_is_ap: row.far_end == Some(FarEnd::Ap),
            uptime_s: row.uptime_s,
            sample: Sample {
                signal_dbm: row.signal_dbm,
                tx_signal_dbm: row.tx_signal_dbm,
                snr_db: row.snr_db,
                tx_ccq_percent: row.tx_ccq_percent,
                tx_rate_kbps: kbps(row.tx_rate_bps),
                rx_rate_kbps: kbps(row.rx_rate_bps),
            },
        })
        .collect();
    let flags = |row: &Arp| [row.disabled, row.invalid];
    let arp = whole.slow.arp.iter();
    let arp: Vec<_> = arp
        .filter_map(|row| AddressInput::of_entry(row.mac, &row.address, row.complete, flags(row)))
        .collect();
    let leases = whole.slow.dhcp_leases.iter().filter_map(|row| {
        let address = row.active_address.as_ref().unwrap_or(&row.address);
        AddressInput::of_lease(
            row.status.as_deref(),
            (row.active_mac.or(row.mac), Some(address.as_str())),
            row.host_name.as_deref(),
            [row.disabled, row.blocked],
        )
    });
    let leases: Vec<_> = leases.collect();
    take(&PollInput {
        tenant: poll.tenant_id,
        device: poll.device_id,
        at: poll.observed_at,
        poll: poll.id(),
        outcome: poll.outcome,
        next_due_at: poll.next_due_at,
        interval_ms: poll.interval_ms,
        tables: Tables(poll.tables),
        attributes: [
            poll.identity.as_deref(),
            poll.version.as_deref(),
            poll.board.as_deref(),
            poll.architecture.as_deref(),
            poll.serial.as_deref(),
            poll.firmware.as_deref(),
        ],
        round_trip_ms: poll.round_trip_ms,
        cpu_load_percent: poll.cpu_load_percent,
        memory_free_bytes: poll.memory_free_bytes,
        memory_total_bytes: poll.memory_total_bytes,
        disk_free_bytes: poll.disk_free_bytes,
        disk_total_bytes: poll.disk_total_bytes,
        temperatures_c: [poll.cpu_temperature_c, poll.board_temperature_c],
        uptime_s: poll.uptime_s,
        interfaces: &macs,
        interface_rows: &rows_of(whole),
        noise: &[],
        arp: &arp,
        leases: &leases,
        registrations: &rows,
    })
}

/// The device rows of control, and what places say of thresholds.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    limits: PlaceLimits,
    thresholds: Thresholds,
}

impl Rows {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self {
            devices: BTreeMap::new(),
            limits: PlaceLimits::default(),
            thresholds,
        }
    }

    pub(crate) fn info(&self, row: &Device) -> DeviceInfo {
        let scope = (row.tenant_id, row.site_id, row.sector_id);
        DeviceInfo::of(&row.into(), self.limits.of(scope, &self.thresholds))
    }

    pub(crate) fn apply(&mut self, records: &[ControlRecord]) -> Vec<DeviceControl> {
        let mut out = Vec::new();
        for record in records {
            let before = self.clone();
            self.change(&record.change);
            for device in before.devices.keys().chain(self.devices.keys()) {
                let info = |rows: &Self| rows.devices.get(device).map(|row| rows.info(row));
                let (old, new) = (info(&before), info(self));
                let changed = old != new;
                let told = DeviceControl {
                    device: *device,
                    info: new,
                };
                if changed && out.last() != Some(&told) {
                    out.push(told);
                }
            }
        }
        out
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Device(row) => drop(self.devices.insert(row.id, row.clone())),
            Change::DeviceDeleted { id } => drop(self.devices.remove(id)),
            Change::TenantDeleted { id } => {
                self.limits.forget(|scope| scope.0 == *id);
                self.devices.retain(|_, row| row.tenant_id != *id);
            }
            Change::SiteDeleted { id } => {
                self.limits.forget(|scope| scope.1 == Some(*id));
                let devices = self.devices.values_mut();
                for row in devices.filter(|row| row.site_id == Some(*id)) {
                    (row.site_id, row.sector_id) = (None, None);
                }
            }
            Change::SectorDeleted { id } => {
                self.limits.forget(|scope| scope.2 == Some(*id));
                let devices = self.devices.values_mut();
                for row in devices.filter(|row| row.sector_id == Some(*id)) {
                    row.sector_id = None;
                }
            }
            Change::Tenant(_) | Change::Site(_) | Change::Sector(_) => {}
            Change::Group(_) | Change::GroupDeleted { .. } => {}
            Change::Tag(_) | Change::TagDeleted { .. } => {}
            Change::Rule(_) | Change::RuleDeleted { .. } => {}
            Change::Window(_) | Change::WindowDeleted { .. } => {}
            Change::AlertResolved { .. } | Change::TrendNormal { .. } => {}
            Change::Thresholds(row) => drop(self.limits.put(row.into())),
            Change::ThresholdsDeleted { id } => drop(self.limits.remove(*id)),
        }
    }
}
