//! What a device has in its log.
//!
//! Lines are kept as facts and worded when they are read. An id is the time since the device's
//! start in hundredths of a second, moved on where two lines would have the same: it rises, as on
//! devices, and does not depend on who logged in in between.

use std::{collections::VecDeque, net::Ipv4Addr};

use super::model::Ms;

/// Why a client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It said so, or joined another radio.
    Left,
    /// Nothing was heard of it any more.
    Lost,
}

/// What a line tells. Clients and radios by their index.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum What {
    /// A client joined a radio whose table this device holds.
    Connected { client: u32, radio: u32, dbm: i8 },
    /// A client is gone.
    Disconnected {
        client: u32,
        radio: u32,
        dbm: i8,
        why: Why,
    },
    /// A client moved between radios of one network.
    Roamed {
        client: u32,
        from: u32,
        to: u32,
        dbm: i8,
    },
    /// The station radio found its access point.
    Joined { radio: u32 },
    /// The station radio lost its access point.
    Lost { radio: u32 },
    /// A client was given its address.
    Assigned { client: u32 },
    /// A client's lease ended.
    Deassigned { client: u32 },
    /// An ethernet port has a link.
    PortUp { port: u8 },
    /// An ethernet port has none any more.
    PortDown { port: u8 },
    /// The device restarted, as told.
    Rebooted,
    /// The device restarted after its power had gone.
    PowerLost,
    /// Somebody logged in by the API.
    LoggedIn { from: Ipv4Addr, tls: bool },
    /// Somebody's API session ended.
    LoggedOut { from: Ipv4Addr, tls: bool },
    /// Somebody did not know the password.
    LoginFailed {
        user: Box<str>,
        from: Ipv4Addr,
        tls: bool,
    },
    /// The configuration was changed.
    Configured { text: Box<str> },
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Rises from line to line; begins anew with a restart.
    pub id: u32,
    /// When.
    pub at_ms: Ms,
    /// What.
    pub what: What,
}

/// The log of one device.
#[derive(Debug, Clone, Default)]
pub(super) struct Logbook {
    lines: VecDeque<Line>,
    last_id: u32,
}

impl Logbook {
    /// Lines kept; devices keep a thousand.
    pub(super) const KEPT: usize = 200;

    pub(super) fn add(&mut self, booted_ms: Ms, at_ms: Ms, what: What) {
        let since = u32::try_from((at_ms - booted_ms).max(0) / 10).unwrap_or(u32::MAX / 2);
        self.last_id = since.max(self.last_id + 1);
        if self.lines.len() == Self::KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(Line {
            id: self.last_id,
            at_ms,
            what,
        });
    }

    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter()
    }

    /// The device restarts: what is in memory is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_old_lines_go() {
        let mut log = Logbook::default();
        for n in 0..500 {
            log.add(-1_000, n / 3, What::PortUp { port: 1 });
        }
        let ids: Vec<u32> = log.lines().map(|line| line.id).collect();
        assert_eq!(ids.len(), Logbook::KEPT);
        assert!(ids.is_sorted_by(|a, b| a < b));
        log.clear();
        log.add(0, 20, What::Rebooted);
        assert_eq!(log.lines().next().map(|line| line.id), Some(2));
    }
}
