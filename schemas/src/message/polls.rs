//! Messages as plain values.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Header, MessageBuilder, ProducerId, read_section};
use crate::SchemaError;
use crate::column::Record;
use crate::records::{
    Arp, DhcpLease, Event, Firmware, Interface, Neighbor, Poll, PollId, Radio, Registration,
    RouteSummary,
};
use crate::{DeviceId, Timestamp};

/// A row that belongs to a poll.
pub trait PollRow: Record {
    /// The device and the poll.
    fn poll_key(&self) -> (DeviceId, PollId);
    /// When the reply was seen.
    fn set_observed_at(&mut self, at: Timestamp);
}

macro_rules! poll_rows {
    ($($row:ident),+) => {$(
        impl PollRow for $row {
            fn poll_key(&self) -> (DeviceId, PollId) {
                let Self { device_id, lease_epoch, sequence, .. } = *self;
                (device_id, PollId { lease_epoch, sequence })
            }
            fn set_observed_at(&mut self, at: Timestamp) {
                self.observed_at = at;
            }
        }
    )+};
}

poll_rows!(
    Interface,
    Registration,
    Radio,
    Arp,
    DhcpLease,
    Neighbor,
    RouteSummary,
    Firmware,
    Event
);

/// Rows of the kinds that most polls do not read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlowRows {
    /// Its ARP table.
    pub arp: Vec<Arp>,
    /// Its DHCP leases.
    pub dhcp_leases: Vec<DhcpLease>,
    /// Its neighbours.
    pub neighbors: Vec<Neighbor>,
    /// Its routes, counted.
    pub routes: Vec<RouteSummary>,
    /// Its software.
    pub firmware: Vec<Firmware>,
    /// What happened.
    pub events: Vec<Event>,
}

impl SlowRows {
    /// How many rows of each kind, in the order of the fields.
    pub const fn counts(&self) -> [usize; 6] {
        [
            self.arp.len(),
            self.dhcp_leases.len(),
            self.neighbors.len(),
            self.routes.len(),
            self.firmware.len(),
            self.events.len(),
        ]
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.arp.is_empty()
            && self.dhcp_leases.is_empty()
            && self.neighbors.is_empty()
            && self.routes.is_empty()
            && self.firmware.is_empty()
            && self.events.is_empty()
    }
}

/// A poll with all its rows, as plain values; the slow and simple form, for oracles, tests and tools.
#[derive(Clone, Debug, PartialEq)]
pub struct WholePoll {
    /// The poll.
    pub poll: Poll,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// Its registrations, of all tables.
    pub registrations: Vec<Registration>,
    /// Its radios.
    pub radios: Vec<Radio>,
    /// What it read of the slower kinds.
    pub slow: SlowRows,
}

/// All polls of a message, in its order. Rows without a poll row are left out: a table counts only with its poll.
///
/// # Errors
/// As [`read_section`].
pub fn read_polls(header: &Header, body: &Bytes) -> Result<Vec<WholePoll>, SchemaError> {
    fn all<R: Record>(header: &Header, body: &Bytes) -> Result<Vec<R>, SchemaError> {
        read_section::<R>(header, body, None)?
            .map_or_else(|| Ok(Vec::new()), |batch| R::rows(&batch))
    }
    /// Puts the rows of a kind to their polls.
    fn join<R: PollRow>(
        header: &Header,
        body: &Bytes,
        places: &HashMap<(DeviceId, PollId), usize>,
        polls: &mut [WholePoll],
        of: impl Fn(&mut WholePoll) -> &mut Vec<R>,
    ) -> Result<(), SchemaError> {
        for row in all::<R>(header, body)? {
            if let Some(&i) = places.get(&row.poll_key()) {
                of(&mut polls[i]).push(row);
            }
        }
        Ok(())
    }
    let mut polls: Vec<WholePoll> = all::<Poll>(header, body)?
        .into_iter()
        .map(|poll| WholePoll {
            poll,
            interfaces: Vec::new(),
            registrations: Vec::new(),
            radios: Vec::new(),
            slow: SlowRows::default(),
        })
        .collect();
    let places: HashMap<_, _> = polls
        .iter()
        .enumerate()
        .map(|(i, p)| ((p.poll.device_id, p.poll.id()), i))
        .collect();
    join(header, body, &places, &mut polls, |p| &mut p.interfaces)?;
    join(header, body, &places, &mut polls, |p| &mut p.registrations)?;
    join(header, body, &places, &mut polls, |p| &mut p.radios)?;
    join(header, body, &places, &mut polls, |p| &mut p.slow.arp)?;
    join(header, body, &places, &mut polls, |p| {
        &mut p.slow.dhcp_leases
    })?;
    join(header, body, &places, &mut polls, |p| &mut p.slow.neighbors)?;
    join(header, body, &places, &mut polls, |p| &mut p.slow.routes)?;
    join(header, body, &places, &mut polls, |p| &mut p.slow.firmware)?;
    join(header, body, &places, &mut polls, |p| &mut p.slow.events)?;
    Ok(polls)
}

/// Encodes whole polls as one message.
///
/// # Errors
/// [`SchemaError::Section`] when Arrow cannot encode a batch.
pub fn write_polls(
    polls: &[WholePoll],
    producer: ProducerId,
    lease_epoch: u64,
) -> Result<(Bytes, Bytes), SchemaError> {
    let mut message = MessageBuilder::default();
    message.section::<Poll>(&Poll::batch(polls.iter().map(|p| &p.poll)))?;
    message.section::<Interface>(&Interface::batch(polls.iter().flat_map(|p| &p.interfaces)))?;
    message.section::<Registration>(&Registration::batch(
        polls.iter().flat_map(|p| &p.registrations),
    ))?;
    message.section::<Radio>(&Radio::batch(polls.iter().flat_map(|p| &p.radios)))?;
    if polls.iter().any(|p| !p.slow.is_empty()) {
        let slow = || polls.iter().map(|p| &p.slow);
        message.section::<Arp>(&Arp::batch(slow().flat_map(|s| &s.arp)))?;
        message.section::<DhcpLease>(&DhcpLease::batch(slow().flat_map(|s| &s.dhcp_leases)))?;
        message.section::<Neighbor>(&Neighbor::batch(slow().flat_map(|s| &s.neighbors)))?;
        message.section::<RouteSummary>(&RouteSummary::batch(slow().flat_map(|s| &s.routes)))?;
        message.section::<Firmware>(&Firmware::batch(slow().flat_map(|s| &s.firmware)))?;
        message.section::<Event>(&Event::batch(slow().flat_map(|s| &s.events)))?;
    }
    Ok(message.finish(producer, lease_epoch))
}
