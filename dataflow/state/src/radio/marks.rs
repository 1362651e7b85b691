//! What roaming says of clients that have no link here.
//!
//! A poll's verdicts come before its tables, which may make the links: they wait until a table has passed. Those on a link
//! that was forgotten while another reporter of its radio may still show the client wait until that one's table makes it again:
//! to roaming the association never ended, and it will not speak of it again.

use mast_schemas::Mac;

use crate::compact::Mac48;

/// Forgotten links whose marks a radio keeps at most; then the oldest go.
const MOST: usize = 64;

/// Verdicts on clients without a link, each client once.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

#[derive(Clone, Copy, Debug)]
struct Mark {
    mac: Mac48,
    roamed: bool,
    ambiguous: bool,
    /// Its link was forgotten.
    kept: bool,
}

impl Marks {
    /// A verdict on a client without a link.
    pub(super) fn say(&mut self, mac: Mac48, roamed: bool, ambiguous: bool) {
        let known = self.0.iter_mut().find(|mark| mark.mac == mac);
        match known {
            Some(mark) => (mark.roamed, mark.ambiguous) = (roamed, ambiguous),
            None if roamed || ambiguous => self.0.push(Mark {
                mac,
                roamed,
                ambiguous,
                kept: false,
            }),
            None => {}
        }
    }

    /// A link was forgotten, with these marks.
    pub(super) fn keep(&mut self, mac: Mac48, roamed: bool, ambiguous: bool) {
        self.0.retain(|mark| mark.mac != mac);
        let kept = self.0.iter().filter(|mark| mark.kept).count();
        if kept >= MOST
            && let Some(oldest) = self.0.iter().position(|mark| mark.kept)
        {
            self.0.remove(oldest);
        }
        self.0.push(Mark {
            mac,
            roamed,
            ambiguous,
            kept: true,
        });
    }

    /// (roamed, ambiguous) for a link that is made now.
    pub(super) fn of(&self, mac: Mac48) -> (bool, bool) {
        let mark = self.0.iter().find(|mark| mark.mac == mac);
        mark.map_or((false, false), |mark| (mark.roamed, mark.ambiguous))
    }

    /// A table has passed, after which these clients have links.
    pub(super) fn passed(&mut self, linked: impl Fn(Mac48) -> bool) {
        self.0.retain(|mark| mark.kept && !linked(mark.mac));
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }

    /// (client, roamed, ambiguous, kept), as recorded.
    pub(super) fn records(&self) -> impl Iterator<Item = (Mac, bool, bool, bool)> {
        let marks = self.0.iter();
        marks.map(|mark| (mark.mac.into(), mark.roamed, mark.ambiguous, mark.kept))
    }

    pub(super) fn restore(&mut self, (mac, roamed, ambiguous, kept): (Mac, bool, bool, bool)) {
        self.0.push(Mark {
            mac: mac.into(),
            roamed,
            ambiguous,
            kept,
        });
    }
}
