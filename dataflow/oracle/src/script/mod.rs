//! Scenarios in few words, for tests of whoever computes the views: control records and whole polls with rising sequence
//! numbers, cut into the slots that a sequencer would bind.
//!
//! Ids, addresses and times are made from small numbers, so that a failing scenario can be read.

mod addresses;
mod air;
mod days;
mod flipped;
mod loads;
mod random;
mod rules;

use std::collections::BTreeMap;

use mast_schemas::control::{Change, ControlRecord, Device, Role, TlsPolicy};
use mast_schemas::message::{SlowRows, WholePoll};
use mast_schemas::records::{
    FarEnd, Interface, Outcome, Poll, PollId, Radio, Registration, Source, Tables,
};
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, Epoch, Mac, SectorId, SiteId, TenantId, ThresholdsId, Timestamp};

pub use addresses::{add_arp, add_lease};
pub use days::days;
pub use flipped::{few_departed, flipped, flipped_trends};
pub use random::random;
pub use rules::{group, rule, rule_row, tag, window, window_row};

/// What one binding hands over: `control` and `polls` belong to `first`; `first + 1 ..= last` bring only timers.
#[derive(Clone, Debug)]
pub struct SlotInput {
    /// First slot closed.
    pub first: Epoch,
    /// Last slot closed.
    pub last: Epoch,
    /// Changes in offset order.
    pub control: Vec<ControlRecord>,
    /// Polls in any order.
    pub polls: Vec<WholePoll>,
}

/// A client in an access point's table: address, signal dBm, transmit CCQ percent, uptime seconds.
pub type Client = (Mac, Option<i16>, Option<u16>, Option<u64>);

/// The instant `ms` milliseconds after the beginning of every script.
pub const fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + ms)
}

/// The instant `s` seconds after the beginning of every script.
pub const fn at(s: i64) -> Timestamp {
    at_ms(s * 1_000)
}

const fn id(kind: u8, n: u32) -> [u8; 16] {
    let n = n.to_be_bytes();
    [
        kind, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, n[0], n[1], n[2], n[3],
    ]
}

/// The `n`th tenant.
pub const fn tenant(n: u32) -> TenantId {
    TenantId::from_bytes(id(1, n))
}

/// The `n`th device; a lower number is a lower id.
pub const fn device(n: u32) -> DeviceId {
    DeviceId::from_bytes(id(2, n))
}

/// The `n`th site.
pub const fn site(n: u32) -> SiteId {
    SiteId::from_bytes(id(3, n))
}

/// The `n`th sector.
pub const fn sector(n: u32) -> SectorId {
    SectorId::from_bytes(id(4, n))
}

/// The `n`th row of thresholds.
pub const fn thresholds(n: u32) -> ThresholdsId {
    ThresholdsId::from_bytes(id(5, n))
}

/// The `n`th client address.
pub const fn mac(n: u32) -> Mac {
    Mac(0x4C5E_0C00_0000 + n as u64)
}

/// The address of the only radio of a [`device`].
pub fn radio(device: DeviceId) -> Mac {
    let b = device.as_bytes();
    Mac(0xDC2C_0000_0000 + u64::from(u32::from_be_bytes([b[12], b[13], b[14], b[15]])))
}

/// A client with a good signal and no CCQ.
pub const fn good(mac: Mac, uptime_s: u64) -> Client {
    (mac, Some(-60), None, Some(uptime_s))
}

/// A client with a bad signal and no CCQ.
pub const fn bad(mac: Mac, uptime_s: u64) -> Client {
    (mac, Some(-90), None, Some(uptime_s))
}

/// A scenario being written.
#[derive(Clone, Debug, Default)]
pub struct Script {
    devices: BTreeMap<DeviceId, Device>,
    last_poll: BTreeMap<DeviceId, PollId>,
    control: Vec<(Timestamp, Change)>,
    polls: Vec<(Epoch, WholePoll)>,
}

impl Script {
    /// Nothing yet. Polls are due every 10 s unless a device says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// A change that is bound in the slot that holds `t`.
    pub fn change(&mut self, t: Timestamp, change: Change) -> &mut Self {
        match &change {
            Change::Device(device) => {
                self.devices.insert(device.id, device.clone());
            }
            Change::DeviceDeleted { id } => {
                self.devices.remove(id);
            }
            _ => {}
        }
        self.control.push((t, change));
        self
    }

    /// Makes device `n` known, of tenant 1, site 1 and sector 1, polled every 10 s.
    pub fn device(&mut self, t: Timestamp, n: u32) -> DeviceId {
        let row = device_row(n, tenant(1), Some(site(1)), Some(sector(1)));
        let id = row.id;
        self.change(t, Change::Device(row));
        id
    }

    /// Changes a known device.
    pub fn edit(&mut self, t: Timestamp, id: DeviceId, edit: impl FnOnce(&mut Device)) {
        if let Some(mut row) = self.devices.get(&id).cloned() {
            row.version += 1;
            edit(&mut row);
            self.change(t, Change::Device(row));
        }
    }

    /// A device as control last told of it.
    pub fn known(&self, id: DeviceId) -> Option<&Device> {
        self.devices.get(&id)
    }

    /// Begins a new lease: later polls of the device have a higher lease epoch, sequences begin at 1.
    pub fn new_lease(&mut self, id: DeviceId) {
        let last = self.last_poll.entry(id).or_insert(PollId {
            lease_epoch: 1,
            sequence: 0,
        });
        *last = PollId {
            lease_epoch: last.lease_epoch + 1,
            sequence: 0,
        };
    }

    /// The next poll of a device, without rows, to be filled. Devices that control does not know are of tenant 1.
    pub fn poll(
        &mut self,
        id: DeviceId,
        t: Timestamp,
        outcome: Outcome,
        tables: Tables,
    ) -> &mut WholePoll {
        let last = self.last_poll.entry(id).or_insert(PollId {
            lease_epoch: 1,
            sequence: 0,
        });
        last.sequence += 1;
        let poll_id = *last;
        let known = self.devices.get(&id);
        let tenant_id = known.map_or(tenant(1), |d| d.tenant_id);
        let interval_ms = known.map_or(10_000, |d| d.interval_ms);
        let poll = poll_row(tenant_id, id, t, poll_id, outcome, tables, interval_ms);
        self.push(
            Epoch::of(t),
            WholePoll {
                poll,
                interfaces: Vec::new(),
                registrations: Vec::new(),
                radios: Vec::new(),
                slow: SlowRows::default(),
            },
        )
    }

    /// Any poll, bound in any slot.
    pub fn push(&mut self, slot: Epoch, poll: WholePoll) -> &mut WholePoll {
        self.polls.push((slot, poll));
        let last = self.polls.len() - 1;
        &mut self.polls[last].1
    }

    /// The newest poll once more, bound `slots` later.
    pub fn repeat(&mut self, slots: u64) {
        if let Some((slot, poll)) = self.polls.last().cloned() {
            self.polls.push((Epoch(slot.0 + slots), poll));
        }
    }

    /// Binds the newest poll in another slot, `slots` later (or earlier).
    pub fn shift(&mut self, slots: i64) {
        if let Some((slot, _)) = self.polls.last_mut() {
            *slot = Epoch(slot.0.saturating_add_signed(slots));
        }
    }

    /// A whole table of the device's [`radio`], source wireless.
    pub fn ap_poll(&mut self, ap: DeviceId, t: Timestamp, clients: &[Client]) -> &mut WholePoll {
        let tables = Tables::registration(Source::Wireless);
        let poll = self.poll(ap, t, Outcome::Ok, tables);
        for &client in clients {
            add_client(poll, Source::Wireless, "wlan1", radio(ap), false, client);
        }
        count_rows(poll)
    }

    /// A controller's table (CAPsMAN) of one remote radio.
    pub fn cap_poll(
        &mut self,
        controller: DeviceId,
        t: Timestamp,
        bssid: Mac,
        clients: &[Client],
    ) -> &mut WholePoll {
        let tables = Tables::registration(Source::Capsman);
        let poll = self.poll(controller, t, Outcome::Ok, tables);
        for &client in clients {
            add_client(poll, Source::Capsman, "cap1", bssid, true, client);
        }
        count_rows(poll)
    }

    /// A poll that read a whole interface table with these addresses, and nothing else.
    pub fn interfaces(&mut self, id: DeviceId, t: Timestamp, macs: &[Mac]) -> &mut WholePoll {
        let poll = self.poll(id, t, Outcome::Ok, Tables::INTERFACE);
        for &mac in macs {
            add_interface(poll, mac, false);
        }
        poll
    }

    /// A station's table: its own address and the access point's that it hears; empty when it hears none.
    pub fn station_poll(
        &mut self,
        id: DeviceId,
        t: Timestamp,
        own: Mac,
        bssid: Option<Mac>,
    ) -> &mut WholePoll {
        let poll = self.poll(id, t, Outcome::Ok, Tables::registration(Source::Wireless));
        if let Some(bssid) = bssid {
            add_station(poll, Source::Wireless, own, bssid);
        }
        count_rows(poll)
    }

    /// A poll that read something, but no table.
    pub fn poll_ok(&mut self, id: DeviceId, t: Timestamp) -> &mut WholePoll {
        self.poll(id, t, Outcome::Ok, Tables::default())
    }

    /// A poll that failed.
    pub fn poll_failed(&mut self, id: DeviceId, t: Timestamp, outcome: Outcome) -> &mut WholePoll {
        self.poll(id, t, outcome, Tables::default())
    }

    /// The scenario as bindings without a gap, up to the slot that holds `until`. A slot with content begins a binding,
    /// which also closes the empty slots after it.
    pub fn slots(&self, until: Timestamp) -> Vec<SlotInput> {
        let mut content: BTreeMap<Epoch, SlotInput> = BTreeMap::new();
        let empty = |slot| SlotInput {
            first: slot,
            last: slot,
            control: Vec::new(),
            polls: Vec::new(),
        };
        let mut control = self.control.clone();
        control.sort_by_key(|c| c.0);
        for (i, (t, change)) in control.into_iter().enumerate() {
            let slot = Epoch::of(t);
            let record = ControlRecord {
                outbox_id: i as i64 + 1,
                at: t,
                change,
            };
            content
                .entry(slot)
                .or_insert_with(|| empty(slot))
                .control
                .push(record);
        }
        for (slot, poll) in &self.polls {
            content
                .entry(*slot)
                .or_insert_with(|| empty(*slot))
                .polls
                .push(poll.clone());
        }
        let mut slots: Vec<SlotInput> = content
            .into_values()
            .filter(|s| s.first <= Epoch::of(until))
            .collect();
        for i in 0..slots.len() {
            slots[i].last = slots
                .get(i + 1)
                .map_or(Epoch::of(until), |next| Epoch(next.first.0 - 1));
        }
        slots
    }
}

/// Device `n` of a tenant, polled every 10 s.
pub fn device_row(
    n: u32,
    tenant_id: TenantId,
    site_id: Option<SiteId>,
    sector_id: Option<SectorId>,
) -> Device {
    Device {
        id: device(n),
        tenant_id,
        name: format!("device-{n}"),
        address: "127.0.0.1".to_owned(),
        api_port: 8728,
        api_ssl_port: 8729,
        tls: TlsPolicy::Auto,
        site_id,
        sector_id,
        parent_id: None,
        group_ids: Vec::new(),
        tag_ids: Vec::new(),
        role: Role::Other,
        interval_ms: 10_000,
        enabled: true,
        credentials_version: 1,
        version: 1,
    }
}

/// A poll row; the next poll is due an interval later.
pub fn poll_row(
    tenant_id: TenantId,
    device_id: DeviceId,
    t: Timestamp,
    id: PollId,
    outcome: Outcome,
    tables: Tables,
    interval_ms: u32,
) -> Poll {
    Poll {
        tenant_id,
        device_id,
        observed_at: t,
        lease_epoch: id.lease_epoch,
        sequence: id.sequence,
        outcome,
        detail: None,
        round_trip_ms: Some(7),
        next_due_at: t + Span::millis(i64::from(interval_ms)),
        interval_ms,
        tables: tables.0,
        registrations: None,
        identity: None,
        version: None,
        board: None,
        architecture: None,
        serial: None,
        firmware: None,
        uptime_s: None,
        cpu_load_percent: None,
        memory_free_bytes: None,
        memory_total_bytes: None,
        disk_free_bytes: None,
        disk_total_bytes: None,
        cpu_temperature_c: None,
        board_temperature_c: None,
        voltage_v: None,
        sensors: None,
    }
}

/// Adds a client to a poll's table.
pub fn add_client(
    poll: &mut WholePoll,
    source: Source,
    interface: &str,
    radio: Mac,
    remote: bool,
    (mac, signal_dbm, tx_ccq_percent, uptime_s): Client,
) {
    let row = registration_row(&poll.poll, source, interface, Some(radio), mac);
    poll.registrations.push(Registration {
        remote,
        far_end: Some(FarEnd::Station),
        signal_dbm,
        tx_ccq_percent,
        uptime_s,
        ..row
    });
}

/// Adds a station's row to a poll's table.
pub fn add_station(poll: &mut WholePoll, source: Source, own: Mac, bssid: Mac) {
    let row = registration_row(&poll.poll, source, "wlan1", Some(own), bssid);
    poll.registrations.push(Registration {
        far_end: Some(FarEnd::Ap),
        signal_dbm: Some(-61),
        uptime_s: Some(1),
        ..row
    });
}

/// Adds an interface to a poll's table.
pub fn add_interface(poll: &mut WholePoll, mac: Mac, remote: bool) {
    let p = &poll.poll;
    poll.interfaces.push(Interface {
        tenant_id: p.tenant_id,
        device_id: p.device_id,
        observed_at: p.observed_at,
        lease_epoch: p.lease_epoch,
        sequence: p.sequence,
        name: format!("wlan{}", poll.interfaces.len() + 1),
        mac: Some(mac),
        interface_type: Some("wlan".to_owned()),
        remote: Some(remote),
        running: Some(true),
        disabled: Some(false),
        comment: None,
        rx_bytes: None,
        tx_bytes: None,
        rx_packets: None,
        tx_packets: None,
        rx_errors: None,
        tx_errors: None,
        rx_drops: None,
        tx_drops: None,
        tx_queue_drops: None,
        link_downs: None,
        link_rate_bps: None,
    });
}

/// Adds a radio that tells its noise floor.
pub fn add_radio(poll: &mut WholePoll, interface: &str, noise_floor_dbm: i16) {
    push_radio(poll, interface, Some(noise_floor_dbm));
}

fn push_radio(whole: &mut WholePoll, interface: &str, noise_floor_dbm: Option<i16>) {
    let poll = &whole.poll;
    whole.radios.push(Radio {
        tenant_id: poll.tenant_id,
        device_id: poll.device_id,
        observed_at: poll.observed_at,
        lease_epoch: poll.lease_epoch,
        sequence: poll.sequence,
        source: Source::Wireless,
        interface: interface.to_owned(),
        radio_mac: None,
        ssid: None,
        band: None,
        channel: None,
        frequency_mhz: None,
        channel_width_mhz: None,
        noise_floor_dbm,
        tx_power_dbm: None,
        tx_ccq_percent: None,
        clients: None,
        status: None,
    });
}

/// Sets `registrations` to the number of rows.
pub fn count_rows(poll: &mut WholePoll) -> &mut WholePoll {
    poll.poll.registrations = Some(poll.registrations.len() as u32);
    poll
}

/// A registration of a poll with nothing measured.
pub fn registration_row(
    poll: &Poll,
    source: Source,
    interface: &str,
    radio_mac: Option<Mac>,
    mac: Mac,
) -> Registration {
    Registration {
        tenant_id: poll.tenant_id,
        device_id: poll.device_id,
        observed_at: poll.observed_at,
        lease_epoch: poll.lease_epoch,
        sequence: poll.sequence,
        source,
        interface: interface.to_owned(),
        radio_mac,
        remote: false,
        mac,
        far_end: None,
        radio_name: None,
        ssid: None,
        band: None,
        signal_dbm: None,
        signal_ch0_dbm: None,
        signal_ch1_dbm: None,
        signal_ch2_dbm: None,
        signal_ch3_dbm: None,
        tx_signal_dbm: None,
        tx_signal_ch0_dbm: None,
        tx_signal_ch1_dbm: None,
        snr_db: None,
        tx_ccq_percent: None,
        rx_ccq_percent: None,
        tx_rate_bps: None,
        rx_rate_bps: None,
        tx_width_mhz: None,
        tx_streams: None,
        rx_width_mhz: None,
        rx_streams: None,
        tx_throughput_bps: None,
        rx_throughput_bps: None,
        p_throughput: None,
        tx_bytes: None,
        rx_bytes: None,
        tx_packets: None,
        rx_packets: None,
        uptime_s: None,
        last_activity_ms: None,
        distance_km: None,
        last_ip: None,
        vlan_id: None,
        auth_type: None,
        encryption: None,
        authorized: None,
        routeros_version: None,
        comment: None,
        extra: None,
    }
}
