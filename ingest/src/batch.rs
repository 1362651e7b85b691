//! Whole polls on their way into one message of one partition.

use mast_schemas::column::Record as _;
use mast_schemas::message::{MessageBuilder, ProducerId, WholePoll};
use mast_schemas::records::{
    Interface, InterfaceColumns, Poll, PollColumns, Radio, RadioColumns, Registration,
    RegistrationColumns,
};
use mast_schemas::{SchemaError, Timestamp};

/// Bytes that a row of each kind takes in a message, roughly; only to decide when to flush.
const ROW_BYTES: [usize; 4] = [240, 200, 420, 180];

/// Columns being filled; reused from batch to batch.
#[derive(Default)]
pub struct Batch {
    polls: PollColumns,
    interfaces: InterfaceColumns,
    registrations: RegistrationColumns,
    radios: RadioColumns,
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
        let (headers, body) = message.finish(producer, lease_epoch);
        Ok(mast_log::Record {
            key: bytes::Bytes::new(),
            headers,
            body,
        })
    }
}
