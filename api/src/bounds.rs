//! What names, texts and numbers of the model may be: one rule each, for whatever door they come through.

use std::fmt;

/// Longest name, also of a user, in bytes: an index entry must hold it.
pub(crate) const NAME_MAX: usize = 200;
/// Longest other text, in bytes.
pub(crate) const TEXT_MAX: usize = 10_000;
/// Longest password, in bytes.
pub(crate) const PASSWORD_MAX: usize = 1_000;
/// Most groups of a device, and most tags.
pub(crate) const LABELS_MAX: usize = 100;

/// A range of numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    low: f64,
    high: f64,
    /// Whether `low` is outside.
    above: bool,
    /// Whether `high` is outside.
    below: bool,
}

const fn within(low: f64, high: f64) -> Bounds {
    Bounds {
        low,
        high,
        above: false,
        below: false,
    }
}

const fn above(low: f64, high: f64) -> Bounds {
    Bounds {
        above: true,
        ..within(low, high)
    }
}

const fn below(low: f64, high: f64) -> Bounds {
    Bounds {
        below: true,
        ..within(low, high)
    }
}

/// Degrees north.
pub(crate) const LATITUDE: Bounds = within(-90.0, 90.0);
/// Degrees east.
pub(crate) const LONGITUDE: Bounds = within(-180.0, 180.0);
/// Metres above sea level.
pub(crate) const ELEVATION_M: Bounds = within(-500.0, 9_000.0);
/// Degrees from north.
pub(crate) const AZIMUTH_DEG: Bounds = below(0.0, 360.0);
/// Degrees.
pub(crate) const BEAMWIDTH_DEG: Bounds = above(0.0, 360.0);
/// Metres.
pub(crate) const RANGE_M: Bounds = above(0.0, 1_000_000.0);
/// Of a signal, dBm.
pub(crate) const SIGNAL_DBM: Bounds = within(-120.0, 0.0);
/// Of a share.
pub(crate) const PERCENT: Bounds = within(0.0, 100.0);
/// Milliseconds from one poll of a device to the next.
pub(crate) const INTERVAL_MS: Bounds = within(100.0, 86_400_000.0);

impl Bounds {
    /// Whether it is one of them; what is no number is none.
    pub(crate) fn hold(&self, value: f64) -> bool {
        (value > self.low || (value == self.low && !self.above))
            && (value < self.high || (value == self.high && !self.below))
    }

    /// In a unit of which `parts` make one of another.
    pub(crate) fn in_units_of(self, parts: f64) -> Self {
        Self {
            low: self.low / parts,
            high: self.high / parts,
            ..self
        }
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            low,
            high,
            above,
            below,
        } = self;
        let from = if *above { "more than " } else { "" };
        let to = if *below { "less than " } else { "" };
        write!(f, "{from}{low} to {to}{high}")
    }
}

/// What is wrong with a name; null: nothing.
pub(crate) fn name_fault(name: &str) -> Option<String> {
    if name.trim().is_empty() {
        Some("is empty".to_owned())
    } else if name.len() > NAME_MAX {
        Some(format!("has {} bytes", name.len()))
    } else if name.chars().any(char::is_control) {
        Some("has control characters".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_inside_unless_they_are_said_not_to_be() {
        for (bounds, inside, outside) in [
            (LATITUDE, [-90.0, 90.0], [-90.000_001, 90.000_001]),
            (AZIMUTH_DEG, [0.0, 359.999_999_9], [-0.1, 360.0]),
            (BEAMWIDTH_DEG, [0.000_1, 360.0], [0.0, 360.1]),
            (
                INTERVAL_MS.in_units_of(1_000.0),
                [0.1, 86_400.0],
                [0.099, 86_401.0],
            ),
        ] {
            assert!(inside.into_iter().all(|v| bounds.hold(v)), "{bounds}");
            assert!(!outside.into_iter().any(|v| bounds.hold(v)), "{bounds}");
            assert!(!bounds.hold(f64::NAN), "{bounds}");
        }
        assert_eq!(AZIMUTH_DEG.to_string(), "0 to less than 360");
        assert_eq!(BEAMWIDTH_DEG.to_string(), "more than 0 to 360");
        assert_eq!(INTERVAL_MS.in_units_of(1_000.0).to_string(), "0.1 to 86400");
    }

    #[test]
    fn a_name_is_short_and_can_be_read() {
        assert_eq!(name_fault(&"x".repeat(NAME_MAX)), None);
        for bad in ["", " \t", "a\u{0}b", "a\nb", &"x".repeat(NAME_MAX + 1)] {
            assert!(name_fault(bad).is_some(), "{bad:?}");
        }
    }
}
