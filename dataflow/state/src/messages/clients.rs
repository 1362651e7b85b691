//! Of clients: where they are associated, and what became of that.

use mast_schemas::records::Source;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Stamp;

/// Where a client is associated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// When it began.
    pub began: Timestamp,
}

impl RoamEvent {
    /// Order in which a roam step takes events.
    pub fn order(&self) -> (Stamp, Mac) {
        (self.stamp, self.association.radio)
    }
}

/// A change of associations, to the roam step of (tenant, MAC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoamEvent {
    /// Place.
    pub stamp: Stamp,
    /// Owner of the devices.
    pub tenant: TenantId,
    /// The client.
    pub mac: Mac,
    /// The table that shows it; its reporter is the stamp's device.
    pub source: Source,
    /// What happened; of [`RoamChange::Departed`] `began` means nothing.
    pub association: Association,
    /// Which change.
    pub change: RoamChange,
}

/// What happened to an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoamChange {
    /// New, or back after an absence.
    Appeared,
    /// Present → absent.
    Departed,
}

/// A verdict of the roam step, to the link (access point, radio, MAC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoamVerdict {
    /// Place.
    pub stamp: Stamp,
    /// Since when; before the stamp's time if a poll made a timer due that lies in the past.
    pub at: Timestamp,
    /// Owner of the devices.
    pub tenant: TenantId,
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// Client.
    pub mac: Mac,
    /// Its live association is elsewhere.
    pub roamed: bool,
    /// Its address is ambiguous.
    pub ambiguous: bool,
    /// Its association was dropped after a long absence: a link that is not down yet is stale.
    pub expired: bool,
}
