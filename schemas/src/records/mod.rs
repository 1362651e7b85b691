//! The kinds of rows, one module each. Absent is null, never 0; units are in the names.
//!
//! Every kind begins with the same five columns: `tenant_id`, `device_id`, `observed_at` (UTC, of the ingest node, after
//! the reply), `lease_epoch` and `sequence` (together the poll, strictly rising for one device).

mod event;
mod interface;
mod poll;
mod radio;
mod registration;
mod slow;

pub use event::{Event, EventColumns, EventOrigin};
pub use interface::{Interface, InterfaceColumns, is_wireless};
pub use poll::{Outcome, Poll, PollColumns, Tables};
pub use radio::{Radio, RadioColumns};
pub use registration::{FarEnd, Registration, RegistrationColumns, Source};
pub use slow::{
    Arp, ArpColumns, ConfigState, ConfigStateColumns, DhcpLease, DhcpLeaseColumns, Firmware,
    FirmwareColumns, Neighbor, NeighborColumns, RouteSummary, RouteSummaryColumns,
};

use serde::{Deserialize, Serialize};

/// Which poll of a device a row comes from; ordered by lease epoch, then sequence.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct PollId {
    /// Fencing epoch of the lease under which the poll ran.
    pub lease_epoch: u64,
    /// Number of the poll under that lease, from 1.
    pub sequence: u64,
}
