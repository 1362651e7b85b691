//! A place in the order of all changes of views.

use std::fmt;
use std::str::FromStr;

use mast_schemas::Epoch;

use crate::http::wire::Time;

/// Behind a change. Ordered as changes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// How often the views were forgotten and made anew: what was told before says nothing about them.
    pub(crate) era: i64,
    /// Slot of the change.
    pub(crate) epoch: i64,
    /// Number of the change in its slot.
    pub(crate) n: i32,
}

impl Position {
    /// Behind all changes of a slot.
    pub(crate) const fn behind(era: i64, epoch: i64) -> Self {
        Self {
            era,
            epoch,
            n: i32::MAX,
        }
    }

    /// End of its slot.
    pub(crate) fn as_of(self) -> Time {
        Epoch(self.epoch.unsigned_abs()).end().into()
    }
}

/// As the id of an event: `era.epoch.n`, the last only where more of the slot follows.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.era, self.epoch)?;
        match self.n {
            i32::MAX => Ok(()),
            n => write!(f, ".{n}"),
        }
    }
}

/// The text is the id of no event.
#[derive(Debug)]
pub(crate) struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let number = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| plain)
        };
        let mut parts = text.split('.');
        let (Some(era), Some(epoch), n, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoPosition);
        };
        let n = n.map_or(Some(i64::from(i32::MAX)), number);
        Ok(Self {
            era: number(era).ok_or(NoPosition)?,
            epoch: number(epoch).ok_or(NoPosition)?,
            n: n.and_then(|n| n.try_into().ok()).ok_or(NoPosition)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back() {
        for text in ["0.0", "1.7121000000.3", "2.5.0"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "1",
            "1.",
            "1.2.3.4",
            "-1.2",
            "+1.2",
            "1.2.x",
            "1.2.99999999999",
            "1.99999999999999999999",
            "1 2",
            "1.2 ",
        ] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn positions_are_in_the_order_of_changes() {
        let read = |text: &str| text.parse::<Position>().unwrap();
        let rising = ["0.9.1", "1.2.0", "1.2.1", "1.2", "1.3.0"].map(read);
        assert!(rising.is_sorted());
    }
}
