//! Replies of routers as typed rows.
//!
//! The contract: a row is kept whatever its values are. A value that cannot be typed leaves its field
//! null and is named in an [`Issue`]; an empty value is an absent one; an attribute without a column is
//! kept as it was said. So a new version of RouterOS, a strange board or a comment full of `=` never
//! costs a poll. Nothing here does I/O or knows the time: the caller brings a [`Stamp`].

pub mod attributes;
mod generic;
mod interface;
mod radio;
mod registration;
mod slow;
mod system;
pub mod time;
mod value;

pub use generic::generic;
pub use interface::{Known, KnownInterface, interface};
pub use radio::{RadioView, radio_config, radio_state};
pub use registration::registration;
pub use slow::{
    arp, board, dhcp_lease, event, firmware, log_line, neighbor, route_summary, routes, row_id,
};
pub use system::{DeviceFacts, Package, health, identity, package, resource, routerboard};
pub use time::RouterClock;
pub use value::{
    Channel, Rate, Reason, boolean, channel, decimal, duration, ip_reversed, mac, number, pair,
    rate, signal, version, width_mhz,
};

use mast_schemas::{DeviceId, TenantId, Timestamp};
use routeros_api::codec::display_text;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// A value that could not be typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The attribute's name as the router writes it.
    pub attribute: String,
    /// The value, at most 80 characters of it.
    pub value: String,
    /// What was expected.
    pub reason: Reason,
}

impl std::fmt::Display for Issue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={:?}: {}", self.attribute, self.value, self.reason)
    }
}

/// A row with what could not be typed of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed<T> {
    /// The row.
    pub row: T,
    /// Attributes without a column, as said.
    pub extra: Map<String, Value>,
    /// Values that are missing from the row because they could not be typed.
    pub issues: Vec<Issue>,
}

/// What every row begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Owner of the device.
    pub tenant_id: TenantId,
    /// The device.
    pub device_id: DeviceId,
    /// When the reply was seen.
    pub observed_at: Timestamp,
    /// Fencing epoch of the lease.
    pub lease_epoch: u64,
    /// Number of the poll under the lease.
    pub sequence: u64,
}

/// Anything that has attributes, in order: a sentence from the wire, or a recorded reply.
pub trait Attributes {
    /// Calls `f` with each name and value.
    fn each<'a>(&'a self, f: &mut dyn FnMut(&'a [u8], &'a [u8]));
}

impl Attributes for routeros_api::Sentence {
    fn each<'a>(&'a self, f: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        for (name, value) in self.attributes() {
            f(name, value);
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Attributes for [(N, V)] {
    fn each<'a>(&'a self, f: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        for (name, value) in self {
            f(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Attributes for Vec<(N, V)> {
    fn each<'a>(&'a self, f: &mut dyn FnMut(&'a [u8], &'a [u8])) {
        self.as_slice().each(f);
    }
}

/// One attribute on its way into a row.
struct Cell<'a, 'i> {
    name: &'a [u8],
    value: &'a [u8],
    issues: &'i mut Vec<Issue>,
    extra: &'i mut Map<String, Value>,
}

impl<'a> Cell<'a, '_> {
    fn text(&self) -> Cow<'a, str> {
        plain(self.value)
    }

    /// Types the value into `slot`. Of a repeated attribute the first wins.
    fn put<T>(&mut self, slot: &mut Option<T>, parse: impl FnOnce(&str) -> Result<T, Reason>) {
        if self.value.is_empty() || slot.is_some() {
            return;
        }
        match parse(&self.text()) {
            Ok(value) => *slot = Some(value),
            Err(reason) => self.issue(reason),
        }
    }

    /// Takes the value as text.
    fn word(&mut self, slot: &mut Option<String>) {
        if !self.value.is_empty() && slot.is_none() {
            *slot = Some(self.text().into_owned());
        }
    }

    /// Types a pair `tx,rx` into two slots.
    fn both(&mut self, tx: &mut Option<u64>, rx: &mut Option<u64>) {
        let mut found = None;
        self.put(&mut found, pair);
        if let (Some((a, b)), None, None) = (found, &tx, &rx) {
            (*tx, *rx) = (Some(a), Some(b));
        }
    }

    fn issue(&mut self, reason: Reason) {
        self.issues.push(Issue {
            attribute: plain(self.name).into_owned(),
            value: self.text().chars().take(80).collect(),
            reason,
        });
    }

    /// Keeps the attribute as said.
    fn keep(&mut self) {
        let name = plain(self.name).into_owned();
        let value = Value::String(self.text().into_owned());
        self.extra.entry(name).or_insert(value);
    }
}

/// Longest text that a device is believed, bytes; a log message or a comment is far shorter.
const TEXT_MAX: usize = 4_096;

/// What a device says, as text that everything behind can hold: databases know no NUL, indexes no texts without end. A device
/// that says such things is broken or hostile, and must not stop what is kept of all others.
fn plain(value: &[u8]) -> Cow<'_, str> {
    let text = display_text(value);
    if text.len() <= TEXT_MAX && !text.contains('\0') {
        return text;
    }
    let end = text.floor_char_boundary(TEXT_MAX);
    let cut = if end < text.len() { "…" } else { "" };
    Cow::Owned(text[..end].replace('\0', "\u{FFFD}") + cut)
}

/// Walks over the attributes; `take` puts each where it belongs.
fn walk<T>(
    attributes: &(impl Attributes + ?Sized),
    row: T,
    mut take: impl FnMut(&mut T, &str, &mut Cell<'_, '_>),
) -> Parsed<T> {
    let mut parsed = Parsed {
        row,
        extra: Map::new(),
        issues: Vec::new(),
    };
    attributes.each(&mut |name, value| {
        let mut cell = Cell {
            name,
            value,
            issues: &mut parsed.issues,
            extra: &mut parsed.extra,
        };
        match std::str::from_utf8(name) {
            Ok(known) => take(&mut parsed.row, known, &mut cell),
            Err(_) => cell.keep(),
        }
    });
    parsed
}

/// Attributes without a column as the text of a JSON object; null when there are none.
fn extra_text(extra: &Map<String, Value>) -> Option<String> {
    // A map of strings always serializes.
    if extra.is_empty() {
        None
    } else {
        serde_json::to_string(extra).ok()
    }
}

/// The value of one attribute, for menus that only join.
pub(crate) fn first<'a>(
    attributes: &'a (impl Attributes + ?Sized),
    wanted: &str,
) -> Option<Cow<'a, str>> {
    let mut found = None;
    attributes.each(&mut |name, value| {
        if found.is_none() && name == wanted.as_bytes() && !value.is_empty() {
            found = Some(plain(value));
        }
    });
    found
}
