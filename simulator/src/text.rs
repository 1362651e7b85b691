//! How RouterOS spells durations, MAC addresses and times.

use std::fmt;

/// A duration in RouterOS form: `3w2d19h6m3s`, zero parts left out, `0s` for nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uptime(
    /// Whole seconds.
    pub(crate) i64,
);

impl fmt::Display for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !write_parts(f, self.0.max(0))? {
            f.write_str("0s")?;
        }
        Ok(())
    }
}

/// A duration with milliseconds: `5d2h39m39s750ms`, `0ms` for nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UptimeMs(
    /// Milliseconds.
    pub(crate) i64,
);

impl fmt::Display for UptimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.max(0);
        let wrote = write_parts(f, ms / 1000)?;
        if ms % 1000 > 0 || !wrote {
            write!(f, "{}ms", ms % 1000)?;
        }
        Ok(())
    }
}

fn write_parts(f: &mut fmt::Formatter<'_>, seconds: i64) -> Result<bool, fmt::Error> {
    let parts = [
        (604_800, 'w'),
        (86_400, 'd'),
        (3_600, 'h'),
        (60, 'm'),
        (1, 's'),
    ];
    let mut rest = seconds;
    for (size, unit) in parts {
        if rest >= size {
            write!(f, "{}{unit}", rest / size)?;
            rest %= size;
        }
    }
    Ok(seconds > 0)
}

/// A MAC address in upper case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MacText(
    /// The 48 bits of the address.
    pub(crate) u64,
);

impl fmt::Display for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every row has some; the formatter of numbers would take a tenth of a table's time.
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let mut text = [b':'; 17];
        for (n, octet) in self.0.to_be_bytes()[2..].iter().enumerate() {
            text[3 * n] = DIGITS[usize::from(octet >> 4)];
            text[3 * n + 1] = DIGITS[usize::from(octet & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The default radio name: the MAC without colons.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RadioName(
    /// The 48 bits of the address.
    pub(crate) u64,
);

impl fmt::Display for RadioName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012X}", self.0)
    }
}

/// A moment as a row shows it: ISO form from 7.13 on, `nov/24/2016 21:07:05` before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Milliseconds since the Unix epoch.
    pub(crate) unix_ms: i64,
    /// Whether the version writes ISO dates.
    pub(crate) iso: bool,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = chrono::DateTime::from_timestamp_millis(self.unix_ms).unwrap_or_default();
        if self.iso {
            write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S"))
        } else {
            let text = time.format("%b/%d/%Y %H:%M:%S").to_string();
            f.write_str(&text.to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_in_recorded_replies() {
        assert_eq!(
            Uptime(3 * 86_400 + 8 * 3_600 + 35 * 60 + 33).to_string(),
            "3d8h35m33s"
        );
        assert_eq!(Uptime(3 * 86_400 + 11 * 60 + 42).to_string(), "3d11m42s");
        assert_eq!(Uptime(48 * 604_800 + 41 * 60).to_string(), "48w41m");
        assert_eq!(Uptime(0).to_string(), "0s");
        assert_eq!(UptimeMs(0).to_string(), "0ms");
        assert_eq!(UptimeMs(4_750).to_string(), "4s750ms");
        assert_eq!(UptimeMs(3_000).to_string(), "3s");
        assert_eq!(UptimeMs(32 * 60_000 + 4_380).to_string(), "32m4s380ms");
    }

    #[test]
    fn addresses_and_moments() {
        assert_eq!(
            MacText(0x48_8F_5A_20_B2_1F).to_string(),
            "48:8F:5A:20:B2:1F"
        );
        assert_eq!(RadioName(0x0C_42_1A_AD_5E).to_string(), "000C421AAD5E");
        let unix_ms = 1_480_021_625_000;
        assert_eq!(
            Moment {
                unix_ms,
                iso: false
            }
            .to_string(),
            "nov/24/2016 21:07:05"
        );
        assert_eq!(
            Moment { unix_ms, iso: true }.to_string(),
            "2016-11-24 21:07:05"
        );
    }
}
