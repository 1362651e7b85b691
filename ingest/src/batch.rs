//! Whole polls on their way into one message of one partition.

use mast_schemas::column::Record as _;
use mast_schemas::message::{MessageBuilder, PollRow, ProducerId, SlowRows, WholePoll};
use mast_schemas::records::{
    Arp, DhcpLease, Event, Firmware, Interface, InterfaceColumns, Neighbor, Poll, PollColumns,
    Radio, RadioColumns, Registration, RegistrationColumns, RouteSummary,
};
use mast_schemas::{SchemaError, Timestamp};

/// Bytes that a row of each kind takes in a message, roughly; only to decide when to flush.
const ROW_BYTES: [usize; 4] = [240, 200, 420, 180];
const SLOW_ROW_BYTES: usize = 220;

/// Columns being filled; reused from batch to batch.
#[derive(Default)]
pub struct Batch {
    polls: PollColumns,
    interfaces: InterfaceColumns,
    registrations: RegistrationColumns,
    radios: RadioColumns,
    slow: SlowRows,
    held: u64,
    bytes: usize,
}

impl Batch {
    /// Adds a poll with all its rows, all observed at `now`.
    pub fn add(&mut self, whole: &mut WholePoll, now: Timestamp) {
        whole.poll.observed_at = now;
        whole.poll.append(&mut self.polls);
        for row in &mut whole.interfaces {
            row.observed_at = now;
            row.append(&mut self.interfaces);
        }
        for row in &mut whole.registrations {
            row.observed_at = now;
            row.append(&mut self.registrations);
        }
        for row in &mut whole.radios {
            row.observed_at = now;
            row.append(&mut self.radios);
        }
        if !whole.slow.is_empty() {
            self.bytes += whole.slow.counts().iter().sum::<usize>() * SLOW_ROW_BYTES;
            self.add_slow(std::mem::take(&mut whole.slow), now);
        }
        self.held += 1;
        let rows = [
            1,
            whole.interfaces.len(),
            whole.registrations.len(),
            whole.radios.len(),
        ];
        self.bytes += rows
            .iter()
            .zip(ROW_BYTES)
            .map(|(n, bytes)| n * bytes)
            .sum::<usize>();
    }

    /// Apart, and as rows until the message is made: most batches have none of them.
    fn add_slow(&mut self, slow: SlowRows, now: Timestamp) {
        fn add<R: PollRow>(held: &mut Vec<R>, rows: Vec<R>, now: Timestamp) {
            let from = held.len();
            held.extend(rows);
            held[from..]
                .iter_mut()
                .for_each(|row| row.set_observed_at(now));
        }
        let held = &mut self.slow;
        add(&mut held.arp, slow.arp, now);
        add(&mut held.dhcp_leases, slow.dhcp_leases, now);
        add(&mut held.neighbors, slow.neighbors, now);
        add(&mut held.routes, slow.routes, now);
        add(&mut held.firmware, slow.firmware, now);
        add(&mut held.events, slow.events, now);
    }

    /// Polls held.
    pub const fn polls(&self) -> u64 {
        self.held
    }

    /// About how large the message would be.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Encodes what is held and begins anew.
    ///
    /// # Errors
    /// [`SchemaError::Section`] when Arrow refuses; what was held is gone then.
    pub fn take(
        &mut self,
        producer: ProducerId,
        lease_epoch: u64,
    ) -> Result<mast_log::Record, SchemaError> {
        (self.held, self.bytes) = (0, 0);
        let mut message = MessageBuilder::default();
        message.section::<Poll>(&Poll::finish(&mut self.polls))?;
        message.section::<Interface>(&Interface::finish(&mut self.interfaces))?;
        message.section::<Registration>(&Registration::finish(&mut self.registrations))?;
        message.section::<Radio>(&Radio::finish(&mut self.radios))?;
        let slow = std::mem::take(&mut self.slow);
        if !slow.is_empty() {
            message.section::<Arp>(&Arp::batch(&slow.arp))?;
            message.section::<DhcpLease>(&DhcpLease::batch(&slow.dhcp_leases))?;
            message.section::<Neighbor>(&Neighbor::batch(&slow.neighbors))?;
            message.section::<RouteSummary>(&RouteSummary::batch(&slow.routes))?;
            message.section::<Firmware>(&Firmware::batch(&slow.firmware))?;
            message.section::<Event>(&Event::batch(&slow.events))?;
        }
        let (headers, body) = message.finish(producer, lease_epoch);
        Ok(mast_log::Record {
            key: bytes::Bytes::new(),
            headers,
            body,
        })
    }
}
