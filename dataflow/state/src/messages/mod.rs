//! What the keyed steps say to each other, by who says it. Each message carries a [`Stamp`]: its place in the order of
//! `docs/semantics.md`, so that a receiver handles what came from many senders as one sequential program would.

mod alerts;
mod clients;
mod control;
mod devices;
mod links;
mod polls;

use mast_schemas::records::{PollId, Source};
use mast_schemas::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};

pub use alerts::{Condition, IncidentInput, Joint, RuleChange, RuleTurn};
pub use clients::{Association, RoamChange, RoamEvent, RoamVerdict};
pub use control::{Control, DeviceControl, DeviceInfo, PlaceControl, RuleControl, TrendControl};
pub use devices::{
    AddressChange, ApStatus, ClaimChange, ClientRow, DeviceOut, RadioKnown, RadioTable,
    RemoteTable, Statement, StationFact, StationSignal,
};
pub use links::{ApInput, ApOut, LinkCore, Piece};
pub use polls::{
    AddressInput, InterfaceInput, PollInput, RadioInput, RegistrationInput, Sample, Verdict,
};

/// A place in the order of effects: time, device and poll of the cause, step within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// `observed_at` of the poll, or the instant of the timer.
    pub at: Timestamp,
    /// The device whose poll or timer it is.
    pub device: DeviceId,
    /// The poll; a timer has the poll before it.
    pub poll: PollId,
    /// Step within the poll: see [`Stamp::STATUS`], [`Stamp::association`], [`Stamp::table`].
    pub step: u8,
}

impl Stamp {
    /// The device's own status comes first.
    pub const STATUS: u8 = 0;

    /// Associations (and verdicts on them) of all sources come before all tables.
    pub const fn association(source: Source) -> u8 {
        1 + source as u8
    }

    /// Radio tables of a source.
    pub const fn table(source: Source) -> u8 {
        6 + 2 * source as u8
    }

    /// Station rows of a source, after its radio tables.
    pub const fn station(source: Source) -> u8 {
        7 + 2 * source as u8
    }

    /// What control does at a slot's begin: before all polls, also those that were observed before the slot. It fires
    /// no timers and lends no time.
    pub const fn begin(device: DeviceId) -> Self {
        Self {
            at: Timestamp(i64::MIN),
            device,
            poll: PollId {
                lease_epoch: 0,
                sequence: 0,
            },
            step: Self::STATUS,
        }
    }

    /// What happens at a slot's end, after all polls and timers; the time is the slot's end.
    pub const fn end(device: DeviceId) -> Self {
        Self {
            at: Timestamp(i64::MAX),
            device,
            poll: PollId {
                lease_epoch: u64::MAX,
                sequence: u64::MAX,
            },
            step: u8::MAX,
        }
    }

    /// Whether this is [`Stamp::end`].
    pub const fn is_end(&self) -> bool {
        self.at.0 == i64::MAX
    }

    /// The same place, another step.
    #[must_use]
    pub const fn step(mut self, step: u8) -> Self {
        self.step = step;
        self
    }
}
