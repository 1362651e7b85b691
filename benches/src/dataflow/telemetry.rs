//! Polls of the fleet as messages of the telemetry topic: one a partition and slot, as ingest batches them.

use std::sync::Arc;

use mast_dataflow::outputs::{Message, SlotInput};
use mast_schemas::column::Record;
use mast_schemas::epochs::Binding;
use mast_schemas::message::{Header, MessageBuilder, ProducerId};
use mast_schemas::partition::{partition, shard};
use mast_schemas::records::{FarEnd, Interface, Outcome, Poll, Registration, Source, Tables};
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{DeviceId, Epoch, Mac, TenantId, Timestamp};

use super::fleet::{self, Fleet};
use crate::BenchError;

/// Partitions of the topic, as in a standalone installation.
pub(super) const PARTITIONS: u32 = 8;

const AP_INTERFACES: u64 = 8;
const CPE_INTERFACES: u64 = 3;

/// One in so many devices has a full disk; a number that divides no other share of the fleet.
const FULL_DISK_EVERY: u64 = 199;

/// Makes slot after slot.
pub(super) struct Telemetry {
    fleet: Fleet,
    parts: Vec<Part>,
    offsets: Vec<u64>,
    epoch: Epoch,
    slots_per_round: u64,
    station_rows: bool,
    /// Alert rules that the first slot brings along with the fleet; `None` = it has passed.
    first: Option<u64>,
    /// Rows of the slots so far.
    pub(super) rows: u64,
    /// Bytes of the messages so far.
    pub(super) bytes: u64,
    row: Row,
}

/// The columns of one partition's message.
#[derive(Default)]
struct Part {
    polls: <Poll as Record>::Columns,
    interfaces: <Interface as Record>::Columns,
    registrations: <Registration as Record>::Columns,
}

/// One row of each kind, changed in place.
struct Row {
    poll: Poll,
    interface: Interface,
    registration: Registration,
}

impl Telemetry {
    /// The fleet's telemetry with each device polled once in `slots_per_round` slots.
    pub(super) fn new(
        fleet: Fleet,
        first: Epoch,
        slots_per_round: u64,
        station_rows: bool,
        rules: u64,
    ) -> Self {
        Self {
            fleet,
            parts: (0..PARTITIONS).map(|_| Part::default()).collect(),
            offsets: vec![0; PARTITIONS as usize],
            epoch: first,
            slots_per_round,
            station_rows,
            first: Some(rules),
            rows: 0,
            bytes: 0,
            row: Row::new(),
        }
    }

    /// The next slot. The first one has the control of all devices and no polls.
    pub(super) fn next(&mut self) -> Result<SlotInput, BenchError> {
        // Made no sooner than it is fed, and gone with it: who measures memory measures it neither before nor after.
        let mut control = Vec::new();
        if let Some(rules) = self.first.take() {
            control = self.fleet.control();
            control.extend(self.fleet.rules(rules));
        } else {
            let turn = self.epoch.0 % self.slots_per_round;
            let end = self.epoch.end();
            for ap in (turn..self.fleet.aps()).step_by(self.slots_per_round as usize) {
                self.ap(ap, end);
            }
            for client in (turn..self.fleet.clients()).step_by(self.slots_per_round as usize) {
                if fleet::is_managed(client) {
                    self.cpe(client, end);
                }
            }
        }
        let messages = self.messages()?;
        let epoch = self.epoch;
        self.epoch = epoch.next();
        let binding = Binding {
            first: epoch,
            last: epoch,
            generation: 1,
            telemetry: self.offsets.clone(),
            control: 1,
            silent: Vec::new(),
            by_clock: false,
        };
        Ok(SlotInput {
            binding,
            control,
            messages,
        })
    }

    fn interval(&self) -> Span {
        Span(SLOT.0 * self.slots_per_round as i64)
    }

    fn ap(&mut self, ap: u64, end: Timestamp) {
        let (device, tenant) = (fleet::ap_id(ap), fleet::tenant(ap));
        let (sequence, answers) = self.fleet.next_poll(ap);
        let interval = self.interval();
        let part = &mut self.parts[partition(shard(&device), PARTITIONS) as usize];
        let at = spread(end, ap);
        self.row.head(tenant, device, at, sequence);
        self.row.disk(ap);
        if answers {
            self.row.interfaces(fleet::bssid(ap), AP_INTERFACES, part);
            let row = &mut self.row.registration;
            let (mut shown, radio) = (0, fleet::bssid(ap));
            row.radio_mac = Some(radio);
            row.far_end = Some(FarEnd::Station);
            self.fleet.table(ap, at, |client, state| {
                set_link(row, fleet::client_mac(client), state, at);
                row.append(&mut part.registrations);
                shown += 1;
            });
            self.rows += u64::from(shown);
            self.row.poll.registrations = Some(shown);
            self.row.poll.tables = Tables::INTERFACE
                .with(Tables::registration(Source::Wireless))
                .0;
        }
        self.row.status(answers, interval, part);
        self.rows += 1;
    }

    fn cpe(&mut self, client: u64, end: Timestamp) {
        let (device, tenant) = (fleet::cpe_id(client), fleet::tenant_of_client(client));
        let (sequence, answers) = self.fleet.next_poll(self.fleet.aps() + client);
        let interval = self.interval();
        let part = &mut self.parts[partition(shard(&device), PARTITIONS) as usize];
        let at = spread(end, client);
        self.row.head(tenant, device, at, sequence);
        self.row.disk(client);
        if answers {
            self.row
                .interfaces(fleet::client_mac(client), CPE_INTERFACES, part);
            self.row.poll.tables = Tables::INTERFACE.0;
            self.row.poll.registrations = None;
            if self.station_rows {
                let (ap, state) = self.fleet.home(client);
                let row = &mut self.row.registration;
                row.radio_mac = Some(fleet::client_mac(client));
                row.far_end = Some(FarEnd::Ap);
                set_link(row, fleet::bssid(ap), state, at);
                row.append(&mut part.registrations);
                self.row.poll.tables |= Tables::registration(Source::Wireless).0;
                self.row.poll.registrations = Some(1);
                self.rows += 1;
            }
        }
        self.row.status(answers, interval, part);
        self.rows += 1;
    }

    fn messages(&mut self) -> Result<Vec<Message>, BenchError> {
        let mut messages = Vec::new();
        for (n, part) in self.parts.iter_mut().enumerate() {
            let polls = Poll::finish(&mut part.polls);
            if polls.num_rows() == 0 {
                continue;
            }
            let mut builder = MessageBuilder::default();
            builder.section::<Poll>(&polls)?;
            builder.section::<Interface>(&Interface::finish(&mut part.interfaces))?;
            builder.section::<Registration>(&Registration::finish(&mut part.registrations))?;
            let (header, body) = builder.finish(ProducerId(uuid::Uuid::nil()), 1);
            self.bytes += (header.len() + body.len()) as u64;
            let (partition, offset) = (n as u32, self.offsets[n]);
            self.offsets[n] += 1;
            messages.push(Message {
                partition,
                offset,
                header: Arc::new(Header::decode(&header)?),
                body,
            });
        }
        Ok(messages)
    }
}

/// Polls lie anywhere in their slot.
fn spread(end: Timestamp, n: u64) -> Timestamp {
    end - Span(1 + (n.wrapping_mul(7_919) % SLOT.0.unsigned_abs()) as i64)
}

fn set_link(row: &mut Registration, mac: Mac, client: &fleet::Client, at: Timestamp) {
    row.mac = mac;
    row.signal_dbm = Some(client.signal_dbm);
    row.signal_ch0_dbm = Some(client.signal_dbm - 3);
    row.signal_ch1_dbm = Some(client.signal_dbm - 2);
    row.tx_signal_dbm = Some(client.signal_dbm - 1);
    row.snr_db = Some(client.signal_dbm + 100);
    row.uptime_s = Some(((at - client.began).0 / 1_000_000).unsigned_abs());
    row.tx_bytes = row.tx_bytes.map(|b| b.wrapping_add(70_001));
    row.rx_bytes = row.rx_bytes.map(|b| b.wrapping_add(9_001));
}

impl Row {
    fn head(&mut self, tenant: TenantId, device: DeviceId, at: Timestamp, sequence: u64) {
        let Self {
            poll,
            interface,
            registration,
        } = self;
        (
            poll.tenant_id,
            poll.device_id,
            poll.observed_at,
            poll.sequence,
        ) = (tenant, device, at, sequence);
        (
            interface.tenant_id,
            interface.device_id,
            interface.observed_at,
            interface.sequence,
        ) = (tenant, device, at, sequence);
        (
            registration.tenant_id,
            registration.device_id,
            registration.observed_at,
            registration.sequence,
        ) = (tenant, device, at, sequence);
    }

    /// A few have a full one: a rule that all devices break is none that anybody keeps.
    fn disk(&mut self, n: u64) {
        let full = n.is_multiple_of(FULL_DISK_EVERY);
        let (full, usual) = (full.then_some(1_048_576), 12_582_912);
        self.poll.disk_free_bytes = full.or(Some(usual));
    }

    /// The radio and other interfaces, whose addresses follow it.
    fn interfaces(&mut self, radio: Mac, count: u64, part: &mut Part) {
        for i in 0..count {
            let row = &mut self.interface;
            row.name.clear();
            row.name.push_str(if i == 0 {
                "wlan1"
            } else {
                ETHER[i as usize % ETHER.len()]
            });
            row.interface_type
                .replace(if i == 0 { "wlan" } else { "ether" }.to_owned());
            row.mac = Some(Mac(radio.0 + (i << 32)));
            row.append(&mut part.interfaces);
        }
    }

    fn status(&mut self, answers: bool, interval: Span, part: &mut Part) {
        let poll = &mut self.poll;
        poll.next_due_at = poll.observed_at + interval;
        poll.interval_ms = (interval.0 / 1_000) as u32;
        if answers {
            poll.outcome = Outcome::Ok;
            poll.append(&mut part.polls);
        } else {
            let silent = Poll {
                outcome: Outcome::Timeout,
                detail: Some("no answer to /login within 10 s".to_owned()),
                round_trip_ms: None,
                tables: 0,
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
                ..poll.clone()
            };
            silent.append(&mut part.polls);
        }
    }

    fn new() -> Self {
        let (tenant_id, device_id, observed_at) =
            (TenantId::default(), DeviceId::default(), Timestamp(0));
        let text = |s: &str| Some(s.to_owned());
        Self {
            poll: Poll {
                tenant_id,
                device_id,
                observed_at,
                lease_epoch: 1,
                sequence: 0,
                outcome: Outcome::Ok,
                detail: None,
                round_trip_ms: Some(12),
                next_due_at: observed_at,
                interval_ms: 60_000,
                tables: 0,
                registrations: None,
                identity: text("hill-north"),
                version: text("7.16.2 (stable)"),
                board: text("RBLHG-5nD"),
                architecture: text("mipsbe"),
                serial: text("8A1B0C2D3E4F"),
                firmware: text("7.16.2"),
                uptime_s: Some(86_400),
                cpu_load_percent: Some(7),
                memory_free_bytes: Some(33_554_432),
                memory_total_bytes: Some(67_108_864),
                disk_free_bytes: Some(1_048_576),
                disk_total_bytes: Some(16_777_216),
                cpu_temperature_c: None,
                board_temperature_c: Some(41.0),
                voltage_v: Some(23.9),
                sensors: None,
            },
            interface: interface(tenant_id, device_id, observed_at),
            registration: registration(tenant_id, device_id, observed_at),
        }
    }
}

const ETHER: [&str; 8] = [
    "ether1", "ether2", "ether3", "ether4", "ether5", "bridge", "sfp1", "vlan100",
];

fn interface(tenant_id: TenantId, device_id: DeviceId, observed_at: Timestamp) -> Interface {
    Interface {
        tenant_id,
        device_id,
        observed_at,
        lease_epoch: 1,
        sequence: 0,
        name: String::new(),
        mac: None,
        interface_type: None,
        remote: None,
        running: Some(true),
        disabled: Some(false),
        comment: None,
        rx_bytes: Some(1 << 40),
        tx_bytes: Some(1 << 38),
        rx_packets: Some(1 << 30),
        tx_packets: Some(1 << 29),
        rx_errors: Some(0),
        tx_errors: Some(0),
        rx_drops: Some(0),
        tx_drops: Some(0),
        tx_queue_drops: Some(3),
        link_downs: Some(2),
        link_rate_bps: None,
    }
}

fn registration(tenant_id: TenantId, device_id: DeviceId, observed_at: Timestamp) -> Registration {
    let text = |s: &str| Some(s.to_owned());
    Registration {
        tenant_id,
        device_id,
        observed_at,
        lease_epoch: 1,
        sequence: 0,
        source: Source::Wireless,
        interface: "wlan1".to_owned(),
        radio_mac: None,
        remote: false,
        mac: Mac(0),
        far_end: None,
        radio_name: text("4C5E0CA25451"),
        ssid: None,
        band: None,
        signal_dbm: None,
        signal_ch0_dbm: None,
        signal_ch1_dbm: None,
        signal_ch2_dbm: None,
        signal_ch3_dbm: None,
        tx_signal_dbm: None,
        tx_signal_ch0_dbm: Some(-62),
        tx_signal_ch1_dbm: Some(-63),
        snr_db: None,
        tx_ccq_percent: Some(91),
        rx_ccq_percent: Some(88),
        tx_rate_bps: Some(130_000_000),
        rx_rate_bps: Some(117_000_000),
        tx_width_mhz: Some(20),
        tx_streams: Some(2),
        rx_width_mhz: Some(20),
        rx_streams: Some(2),
        tx_throughput_bps: None,
        rx_throughput_bps: None,
        p_throughput: Some(104_857),
        tx_bytes: Some(1 << 36),
        rx_bytes: Some(1 << 33),
        tx_packets: Some(1 << 26),
        rx_packets: Some(1 << 25),
        uptime_s: None,
        last_activity_ms: Some(20),
        distance_km: Some(4),
        last_ip: text("10.64.3.17"),
        vlan_id: None,
        auth_type: text("wpa2-psk"),
        encryption: text("aes-ccm"),
        authorized: Some(true),
        routeros_version: text("7.16.2"),
        comment: None,
        extra: None,
    }
}
