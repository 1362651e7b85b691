//! Messages as plain values.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Header, MessageBuilder, ProducerId, read_section};
use crate::SchemaError;
use crate::column::Record;
use crate::records::{Interface, Poll, Radio, Registration};

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
    let mut polls: Vec<WholePoll> = all::<Poll>(header, body)?
        .into_iter()
        .map(|poll| WholePoll {
            poll,
            interfaces: Vec::new(),
            registrations: Vec::new(),
            radios: Vec::new(),
        })
        .collect();
    let places: HashMap<_, _> = polls
        .iter()
        .enumerate()
        .map(|(i, p)| ((p.poll.device_id, p.poll.lease_epoch, p.poll.sequence), i))
        .collect();
    for row in all::<Interface>(header, body)? {
        if let Some(&i) = places.get(&(row.device_id, row.lease_epoch, row.sequence)) {
            polls[i].interfaces.push(row);
        }
    }
    for row in all::<Registration>(header, body)? {
        if let Some(&i) = places.get(&(row.device_id, row.lease_epoch, row.sequence)) {
            polls[i].registrations.push(row);
        }
    }
    for row in all::<Radio>(header, body)? {
        if let Some(&i) = places.get(&(row.device_id, row.lease_epoch, row.sequence)) {
            polls[i].radios.push(row);
        }
    }
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
    Ok(message.finish(producer, lease_epoch))
}
