//! What the link step reads and tells.

use std::sync::Arc;

use mast_schemas::records::Source;
use mast_schemas::views::{LinkEvent, LinkGauge, LinkReason, LinkState};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::changes::LinkChange;

use super::{ApStatus, RadioTable, RoamVerdict, Stamp, StationFact};

impl ApInput {
    /// The access point it goes to.
    pub const fn ap(&self) -> DeviceId {
        match self {
            Self::Status(status) => status.device,
            Self::Verdict(verdict) => verdict.ap,
            Self::Table(table) => table.ap,
            Self::Station { ap, .. } | Self::RadioMoved { ap, .. } | Self::Reporter { ap, .. } => {
                *ap
            }
        }
    }

    /// Its place: an access point's inputs of a slot are applied in this order, ties in the order of their making.
    pub const fn stamp(&self) -> Stamp {
        match self {
            Self::Status(status) => status.stamp,
            Self::Verdict(verdict) => verdict.stamp,
            Self::Table(table) => table.stamp,
            Self::Station { fact, .. } => fact.stamp,
            Self::RadioMoved { ap, .. } | Self::Reporter { ap, .. } => Stamp::end(*ap),
        }
    }
}

/// A message to an access point's links.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ApInput {
    /// The access point's own status.
    Status(ApStatus),
    /// A roaming verdict.
    Verdict(RoamVerdict),
    /// A radio's table.
    Table(RadioTable),
    /// A station's word, or its end.
    Station {
        /// The access point that has the radio.
        ap: DeviceId,
        /// The word.
        fact: StationFact,
    },
    /// Slot end: the radio belongs to another access point now; forget its links.
    RadioMoved {
        /// The former access point.
        ap: DeviceId,
        /// The radio.
        radio: Mac,
    },
    /// Slot end: whether a remote radio's reporter is observed.
    Reporter {
        /// The access point.
        ap: DeviceId,
        /// The radio.
        radio: Mac,
        /// The reporting device.
        reporter: DeviceId,
        /// Offline, unobserved or unmanageable.
        unobserved: bool,
    },
}

/// A link as the link step knows it: without the device at its far end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkCore {
    /// Interface name.
    pub interface: Arc<str>,
    /// The table that shows it.
    pub source: Source,
    /// State.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: LinkReason,
    /// First seen.
    pub discovered_at: Timestamp,
    /// Last known only.
    pub unobserved: bool,
    /// Cloned address.
    pub ambiguous: bool,
}

/// Everything the link step emits in one slot.
#[derive(Debug, Default)]
pub struct ApOut {
    /// Links that changed in the slot: old and new row, once a link, by rising id.
    pub links: Vec<LinkChange>,
    /// Transitions.
    pub events: Vec<LinkEvent>,
    /// Measurements of rows seen.
    pub gauges: Vec<LinkGauge>,
    /// Changes of the signal histograms of live links, by access point's device, consolidated: (device, dBm, ±count).
    pub signals: Vec<(DeviceId, i16, i32)>,
    /// What access points whose hour ended say of their clients.
    pub pieces: Vec<Piece>,
}

/// What an access point says of a client at the end of its hour, to the trend step of (tenant, MAC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Piece {
    /// The end of the hour.
    pub at: Timestamp,
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// Owner.
    pub tenant: TenantId,
    /// The client.
    pub mac: Mac,
    /// Mean of the signals, hundredths of dBm.
    pub mean_cdbm: i16,
    /// Minutes covered, 1 to 60.
    pub minutes: u8,
}
