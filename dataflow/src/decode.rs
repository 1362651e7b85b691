//! From a log message to the rows that the steps take: only the columns that decide are decoded, and text stays borrowed.
//!
//! A registration or interface row belongs to the poll of its device and sequence. Writers keep all sections in the order of
//! the polls, so one pass joins them; a row without its poll row does not count.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, RecordBatch,
    StringArray,
};
use arrow::datatypes::{
    ArrowPrimitiveType, Float32Type, Int16Type, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use bytes::Bytes;
use hashbrown::HashMap;
use mast_schemas::message::{Header, read_section};
use mast_schemas::records::{
    Arp, DhcpLease, Interface, Outcome, Poll, PollId, Radio, Registration, Source, Tables,
};
use mast_schemas::{DeviceId, Mac, SchemaError, TenantId, Timestamp};
use mast_state::messages::{
    AddressInput, InterfaceInput, PollInput, RadioInput, RegistrationInput, Sample,
};

const POLL: &[&str] = &[
    "tenant_id",
    "device_id",
    "observed_at",
    "lease_epoch",
    "sequence",
    "outcome",
    "next_due_at",
    "interval_ms",
    "tables",
    "identity",
    "version",
    "board",
    "architecture",
    "serial",
    "firmware",
    "round_trip_ms",
    "cpu_load_percent",
    "memory_free_bytes",
    "uptime_s",
    "memory_total_bytes",
    "disk_free_bytes",
    "disk_total_bytes",
    "cpu_temperature_c",
    "board_temperature_c",
];

const INTERFACE: &[&str] = &[
    "device_id",
    "sequence",
    "mac",
    "remote",
    "name",
    "rx_bytes",
    "tx_bytes",
    "running",
    "disabled",
    "link_rate_bps",
];

const RADIO: &[&str] = &["device_id", "sequence", "interface", "noise_floor_dbm"];

const ARP: &[&str] = &[
    "device_id",
    "sequence",
    "mac",
    "address",
    "complete",
    "disabled",
    "invalid",
];

const DHCP_LEASE: &[&str] = &[
    "device_id",
    "sequence",
    "mac",
    "address",
    "host_name",
    "status",
    "disabled",
    "blocked",
    "active_address",
    "active_mac",
];

const REGISTRATION: &[&str] = &[
    "device_id",
    "sequence",
    "source",
    "interface",
    "radio_mac",
    "remote",
    "mac",
    "far_end",
    "uptime_s",
    "signal_dbm",
    "tx_signal_dbm",
    "snr_db",
    "tx_ccq_percent",
    "tx_rate_bps",
    "rx_rate_bps",
];

/// The deciding columns of one message.
pub struct Columns {
    polls: RecordBatch,
    interfaces: Option<RecordBatch>,
    radios: Option<RecordBatch>,
    arp: Option<RecordBatch>,
    leases: Option<RecordBatch>,
    registrations: Option<RecordBatch>,
}

impl Columns {
    /// Decodes the deciding columns; `None` when the message has no polls.
    ///
    /// # Errors
    /// As [`read_section`].
    pub fn decode(header: &Header, body: &Bytes) -> Result<Option<Self>, SchemaError> {
        let Some(polls) = read_section::<Poll>(header, body, Some(POLL))? else {
            return Ok(None);
        };
        Ok(Some(Self {
            polls,
            interfaces: read_section::<Interface>(header, body, Some(INTERFACE))?,
            radios: read_section::<Radio>(header, body, Some(RADIO))?,
            arp: read_section::<Arp>(header, body, Some(ARP))?,
            leases: read_section::<DhcpLease>(header, body, Some(DHCP_LEASE))?,
            registrations: read_section::<Registration>(header, body, Some(REGISTRATION))?,
        }))
    }

    /// The rows, borrowed from the columns.
    ///
    /// # Errors
    /// [`SchemaError::Word`] for an outcome or source that this build does not know.
    pub fn rows(&self) -> Result<Rows<'_>, SchemaError> {
        let heads = heads(&self.polls)?;
        let (mut interfaces, mut interface_ends) = (Vec::new(), vec![0; heads.len()]);
        let (mut interface_rows, mut row_ends) = (Vec::new(), vec![0; heads.len()]);
        if let Some(batch) = &self.interfaces {
            let (macs, remote) = (column::<UInt64Type>(batch, 2), batch.column(3).as_boolean());
            join(batch, &heads, &mut interface_ends, |row| {
                if let Some(mac) = value(macs, row)
                    && !flag(remote, row)
                {
                    interfaces.push(Mac(mac));
                }
                interfaces.len()
            });
            let names = batch.column(4).as_string::<i32>();
            let [rx, tx, rate] = [5, 6, 9].map(|i| column::<UInt64Type>(batch, i));
            let [running, disabled] = [7, 8].map(|i| batch.column(i).as_boolean());
            interface_rows.reserve(batch.num_rows());
            join(batch, &heads, &mut row_ends, |row| {
                interface_rows.push(InterfaceInput {
                    name: names.value(row),
                    rx_bytes: value(rx, row),
                    tx_bytes: value(tx, row),
                    running: optional(running, row),
                    disabled: flag(disabled, row),
                    link_rate_bps: value(rate, row),
                });
                interface_rows.len()
            });
        }
        let (mut noise, mut noise_ends) = (Vec::new(), vec![0; heads.len()]);
        if let Some(batch) = &self.radios {
            let interfaces = batch.column(2).as_string::<i32>();
            let floors = column::<Int16Type>(batch, 3);
            join(batch, &heads, &mut noise_ends, |row| {
                noise.extend(value(floors, row).map(|noise_floor_dbm| RadioInput {
                    interface: interfaces.value(row),
                    noise_floor_dbm,
                }));
                noise.len()
            });
        }
        // ARP entries and leases of a poll lie apart, so each kind has its ends.
        let (mut arp, mut arp_ends) = (Vec::new(), vec![0; heads.len()]);
        if let Some(batch) = &self.arp {
            join(batch, &heads, &mut arp_ends, |row| {
                arp.extend(arp_entry(batch, row));
                arp.len()
            });
        }
        let (mut leases, mut lease_ends) = (Vec::new(), vec![0; heads.len()]);
        if let Some(batch) = &self.leases {
            join(batch, &heads, &mut lease_ends, |row| {
                leases.extend(lease(batch, row));
                leases.len()
            });
        }
        let (mut registrations, mut registration_ends) = (Vec::new(), vec![0; heads.len()]);
        if let Some(batch) = &self.registrations {
            let reader = RegistrationReader::new(batch);
            let mut failed = None;
            registrations.reserve(batch.num_rows());
            join(batch, &heads, &mut registration_ends, |row| {
                match reader.row(row) {
                    Ok(input) => registrations.push(input),
                    Err(e) => failed = Some(e),
                }
                registrations.len()
            });
            if let Some(e) = failed {
                return Err(e);
            }
        }
        Ok(Rows {
            heads,
            interfaces,
            interface_ends,
            interface_rows,
            row_ends,
            noise,
            noise_ends,
            arp,
            arp_ends,
            leases,
            lease_ends,
            registrations,
            registration_ends,
        })
    }
}

/// The rows of a message, poll by poll.
pub struct Rows<'a> {
    heads: Vec<PollInput<'a>>,
    interfaces: Vec<Mac>,
    interface_ends: Vec<usize>,
    interface_rows: Vec<InterfaceInput<'a>>,
    row_ends: Vec<usize>,
    noise: Vec<RadioInput<'a>>,
    noise_ends: Vec<usize>,
    arp: Vec<AddressInput<'a>>,
    arp_ends: Vec<usize>,
    leases: Vec<AddressInput<'a>>,
    lease_ends: Vec<usize>,
    registrations: Vec<RegistrationInput<'a>>,
    registration_ends: Vec<usize>,
}

impl Rows<'_> {
    /// Number of polls.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Number of registrations that belong to a poll.
    pub fn registrations(&self) -> usize {
        self.registrations.len()
    }

    /// Where the poll stands in the order of its slot.
    pub fn order(&self, i: usize) -> (Timestamp, DeviceId, PollId) {
        let head = &self.heads[i];
        (head.at, head.device, head.poll)
    }

    /// A poll with its rows.
    pub fn poll(&self, i: usize) -> PollInput<'_> {
        let from = |ends: &[usize]| if i == 0 { 0 } else { ends[i - 1] };
        PollInput {
            interfaces: &self.interfaces[from(&self.interface_ends)..self.interface_ends[i]],
            interface_rows: &self.interface_rows[from(&self.row_ends)..self.row_ends[i]],
            noise: &self.noise[from(&self.noise_ends)..self.noise_ends[i]],
            arp: &self.arp[from(&self.arp_ends)..self.arp_ends[i]],
            leases: &self.leases[from(&self.lease_ends)..self.lease_ends[i]],
            registrations: &self.registrations
                [from(&self.registration_ends)..self.registration_ends[i]],
            ..self.heads[i].clone()
        }
    }
}

/// Walks rows and polls together; `take` adds a row and says how many were added so far. `ends` gets, for each poll, the
/// number added up to its last row.
///
/// The trap avoided: looking through all polls for each row that has none. The first such row pays for an index.
fn join(
    batch: &RecordBatch,
    heads: &[PollInput<'_>],
    ends: &mut [usize],
    mut take: impl FnMut(usize) -> usize,
) {
    let (devices, sequences) = (
        batch.column(0).as_fixed_size_binary(),
        column::<UInt64Type>(batch, 1),
    );
    let same = |row: usize, head: &PollInput<'_>| {
        sequences.value(row) == head.poll.sequence
            && devices.value(row) == head.device.as_bytes().as_slice()
    };
    let mut index: Option<HashMap<(DeviceId, u64), usize>> = None;
    let (mut head, mut added) = (0, 0);
    for row in 0..batch.num_rows() {
        if !heads.get(head).is_some_and(|h| same(row, h)) {
            let next = match &index {
                None => (head + 1..heads.len()).find(|i| same(row, &heads[*i])),
                Some(index) => {
                    let key = (DeviceId::from_bytes(id(devices, row)), sequences.value(row));
                    index.get(&key).copied().filter(|i| *i > head)
                }
            };
            let Some(next) = next else {
                // Of a poll that the message has twice the first one counts, here as elsewhere: the last put in stays.
                let polls = heads
                    .iter()
                    .enumerate()
                    .rev()
                    .map(|(i, h)| ((h.device, h.poll.sequence), i));
                index.get_or_insert_with(|| polls.collect());
                continue;
            };
            ends[head..next].fill(added);
            head = next;
        }
        added = take(row);
    }
    ends[head..].fill(added);
}

fn heads(batch: &RecordBatch) -> Result<Vec<PollInput<'_>>, SchemaError> {
    let tenants = batch.column(0).as_fixed_size_binary();
    let devices = batch.column(1).as_fixed_size_binary();
    let at = column::<TimestampMicrosecondType>(batch, 2);
    let (lease, sequence) = (
        column::<UInt64Type>(batch, 3),
        column::<UInt64Type>(batch, 4),
    );
    let outcome = batch.column(5).as_string::<i32>();
    let due = column::<TimestampMicrosecondType>(batch, 6);
    let (interval, tables) = (
        column::<UInt32Type>(batch, 7),
        column::<UInt32Type>(batch, 8),
    );
    let attributes: [&StringArray; 6] =
        std::array::from_fn(|i| batch.column(9 + i).as_string::<i32>());
    let (round_trip, cpu) = (
        column::<UInt32Type>(batch, 15),
        column::<UInt8Type>(batch, 16),
    );
    let [memory, uptime, memory_total, disk_free, disk_total] =
        [17, 18, 19, 20, 21].map(|i| column::<UInt64Type>(batch, i));
    let temperatures = [22, 23].map(|i| column::<Float32Type>(batch, i));
    (0..batch.num_rows())
        .map(|row| {
            Ok(PollInput {
                tenant: TenantId::from_bytes(id(tenants, row)),
                device: DeviceId::from_bytes(id(devices, row)),
                at: Timestamp(at.value(row)),
                poll: PollId {
                    lease_epoch: lease.value(row),
                    sequence: sequence.value(row),
                },
                outcome: outcome.value(row).parse::<Outcome>()?,
                next_due_at: Timestamp(due.value(row)),
                interval_ms: interval.value(row),
                tables: Tables(tables.value(row)),
                attributes: std::array::from_fn(|i| text(attributes[i], row)),
                round_trip_ms: value(round_trip, row),
                cpu_load_percent: value(cpu, row),
                memory_free_bytes: value(memory, row),
                uptime_s: value(uptime, row),
                memory_total_bytes: value(memory_total, row),
                disk_free_bytes: value(disk_free, row),
                disk_total_bytes: value(disk_total, row),
                temperatures_c: temperatures.map(|column| value(column, row)),
                interfaces: &[],
                interface_rows: &[],
                noise: &[],
                arp: &[],
                leases: &[],
                registrations: &[],
            })
        })
        .collect()
}

/// The row of [`ARP`] as an address, if it says one.
fn arp_entry(batch: &RecordBatch, row: usize) -> Option<AddressInput<'_>> {
    let flag = |i| optional(batch.column(i).as_boolean(), row);
    let mac = value(column::<UInt64Type>(batch, 2), row).map(Mac);
    let address = batch.column(3).as_string::<i32>().value(row);
    AddressInput::of_entry(mac, address, flag(4), [flag(5), flag(6)])
}

/// The row of [`DHCP_LEASE`] as an address, if it says one.
fn lease(batch: &RecordBatch, row: usize) -> Option<AddressInput<'_>> {
    let word = |i| text(batch.column(i).as_string::<i32>(), row);
    let flag = |i| optional(batch.column(i).as_boolean(), row);
    let mac = |i| value(column::<UInt64Type>(batch, i), row).map(Mac);
    AddressInput::of_lease(
        word(5),
        (mac(9).or(mac(2)), word(8).or(word(3))),
        word(4),
        [flag(6), flag(7)],
    )
}

struct RegistrationReader<'a> {
    source: &'a StringArray,
    interface: &'a StringArray,
    radio_mac: &'a PrimitiveArray<UInt64Type>,
    remote: &'a BooleanArray,
    mac: &'a PrimitiveArray<UInt64Type>,
    far_end: &'a StringArray,
    uptime_s: &'a PrimitiveArray<UInt64Type>,
    signal: [&'a PrimitiveArray<Int16Type>; 3],
    ccq: &'a PrimitiveArray<UInt16Type>,
    rates: [&'a PrimitiveArray<UInt64Type>; 2],
}

impl<'a> RegistrationReader<'a> {
    fn new(batch: &'a RecordBatch) -> Self {
        Self {
            source: batch.column(2).as_string(),
            interface: batch.column(3).as_string(),
            radio_mac: column(batch, 4),
            remote: batch.column(5).as_boolean(),
            mac: column(batch, 6),
            far_end: batch.column(7).as_string(),
            uptime_s: column(batch, 8),
            signal: std::array::from_fn(|i| column(batch, 9 + i)),
            ccq: column(batch, 12),
            rates: std::array::from_fn(|i| column(batch, 13 + i)),
        }
    }

    fn row(&self, row: usize) -> Result<RegistrationInput<'a>, SchemaError> {
        let kbps =
            |rate: Option<u64>| rate.map(|bps| u32::try_from(bps / 1_000).unwrap_or(u32::MAX));
        Ok(RegistrationInput {
            source: self.source.value(row).parse::<Source>()?,
            interface: self.interface.value(row),
            radio_mac: value(self.radio_mac, row).map(Mac),
            remote: flag(self.remote, row),
            mac: Mac(self.mac.value(row)),
            far_end_is_ap: text(self.far_end, row) == Some("ap"),
            uptime_s: value(self.uptime_s, row),
            sample: Sample {
                signal_dbm: value(self.signal[0], row),
                tx_signal_dbm: value(self.signal[1], row),
                snr_db: value(self.signal[2], row),
                tx_ccq_percent: value(self.ccq, row),
                tx_rate_kbps: kbps(value(self.rates[0], row)),
                rx_rate_kbps: kbps(value(self.rates[1], row)),
            },
        })
    }
}

fn column<T: ArrowPrimitiveType>(batch: &RecordBatch, i: usize) -> &PrimitiveArray<T> {
    let array: &ArrayRef = batch.column(i);
    array.as_primitive()
}

fn value<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

fn optional(array: &BooleanArray, row: usize) -> Option<bool> {
    array.is_valid(row).then(|| array.value(row))
}

fn flag(array: &BooleanArray, row: usize) -> bool {
    array.is_valid(row) && array.value(row)
}

fn text(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

fn id(array: &FixedSizeBinaryArray, row: usize) -> [u8; 16] {
    // The schema says 16 bytes; a wrong width was refused when the section was read.
    array.value(row).try_into().unwrap_or_default()
}
