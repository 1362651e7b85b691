//! Single values. Each parser takes the text of one value and says what it had expected otherwise.
//!
//! RouterOS writes one quantity in several ways, by version and by menu: an uptime is `5d9m11s`,
//! `2w6d13:21:53` or `01:22:53`, a rate `58.5Mbps-HT`, `866.6Mbps-80MHz/2S/SGI` or `96000000`.
//! All of them are read wherever the quantity occurs; the form never decides what a number means.

use mast_schemas::Mac;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What a value was expected to be.
pub type Reason = &'static str;

/// A whole number in decimal digits, with a sign where the type has one.
///
/// # Errors
/// Not a number, or too large for its field.
pub fn number<T: std::str::FromStr>(text: &str) -> Result<T, Reason> {
    text.trim()
        .parse()
        .map_err(|_| "expected a whole number in the range of its field")
}

/// A decimal number, perhaps with its unit behind it, as in `24.2`, `-63.1dBm` or `39C`.
///
/// # Errors
/// No number at its beginning, or letters and digits mixed behind it.
pub fn decimal(text: &str) -> Result<f32, Reason> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))
        .unwrap_or(text.len());
    let unit = &text[end..];
    if unit.len() > 4 || unit.chars().any(|c| c.is_ascii_digit()) {
        return Err("expected a decimal number");
    }
    text[..end].parse().map_err(|_| "expected a decimal number")
}

/// `true`, `false`; `yes`, `no` of version 3 and of the console.
///
/// # Errors
/// Any other word.
pub fn boolean(text: &str) -> Result<bool, Reason> {
    match text.trim() {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => Err("expected true, false, yes or no"),
    }
}

/// A hardware address.
///
/// # Errors
/// Not twelve hexadecimal digits.
pub fn mac(text: &str) -> Result<Mac, Reason> {
    text.trim()
        .parse()
        .map_err(|_| "expected a hardware address")
}

/// Two counters, `tx,rx`.
///
/// # Errors
/// Not two whole numbers.
pub fn pair(text: &str) -> Result<(u64, u64), Reason> {
    let (tx, rx) = text.split_once(',').ok_or("expected two counters, tx,rx")?;
    Ok((number(tx)?, number(rx)?))
}

/// A span of time in any of the forms: units (`1w2d3h4m5s`, `4s750ms`, `10ms781us`), a clock
/// (`01:22:53`, `00:00:00.060`), both (`2w6d13:21:53`), or plain seconds.
///
/// # Errors
/// Anything else, or more than 2^64 microseconds.
pub fn duration(text: &str) -> Result<Duration, Reason> {
    const EXPECTED: Reason = "expected a duration such as 1w2d3h4m5s or 01:22:53";
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(EXPECTED);
    }
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        return rest.parse().map(Duration::from_secs).map_err(|_| EXPECTED);
    }
    let (mut total_us, mut above) = (0u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: u64 = rest[..digits].parse().map_err(|_| EXPECTED)?;
        rest = &rest[digits..];
        if rest.starts_with(':') {
            let clock = clock_us(count, rest).ok_or(EXPECTED)?;
            total_us = total_us.checked_add(clock).ok_or(EXPECTED)?;
            break;
        }
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit: u64 = match &rest[..letters] {
            "w" => 604_800_000_000,
            "d" => 86_400_000_000,
            "h" => 3_600_000_000,
            "m" => 60_000_000,
            "s" => 1_000_000,
            "ms" => 1_000,
            "us" => 1,
            _ => return Err(EXPECTED),
        };
        if unit >= above {
            return Err(EXPECTED);
        }
        above = unit;
        rest = &rest[letters..];
        total_us = count
            .checked_mul(unit)
            .and_then(|us| total_us.checked_add(us))
            .ok_or(EXPECTED)?;
    }
    Ok(Duration::from_micros(total_us))
}

/// `:mm:ss[.fraction]` behind the hours.
fn clock_us(hours: u64, rest: &str) -> Option<u64> {
    let (minutes, seconds) = rest.strip_prefix(':')?.split_once(':')?;
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let plain = |t: &str| !t.is_empty() && t.len() <= 6 && t.bytes().all(|b| b.is_ascii_digit());
    if !plain(minutes) || !plain(whole) || !plain(fraction) {
        return None;
    }
    let (minutes, whole): (u64, u64) = (minutes.parse().ok()?, whole.parse().ok()?);
    if minutes > 59 || whole > 59 {
        return None;
    }
    let fraction_us = fraction.parse::<u64>().ok()? * 10u64.pow(6 - fraction.len() as u32);
    let seconds = hours
        .checked_mul(3_600)?
        .checked_add(minutes * 60 + whole)?;
    seconds.checked_mul(1_000_000)?.checked_add(fraction_us)
}

/// A signal in dBm: `-62`, `-62@6Mbps`, `-74dBm@6Mbps`. Of a list, one a link, the strongest.
///
/// # Errors
/// A part that is not such a number.
pub fn signal(text: &str) -> Result<i16, Reason> {
    let one = |part: &str| {
        let level = part.split('@').next().unwrap_or(part).trim();
        level
            .strip_suffix("dBm")
            .unwrap_or(level)
            .parse::<i16>()
            .ok()
    };
    let levels: Option<Vec<i16>> = text.split(',').map(one).collect();
    levels
        .and_then(|levels| levels.into_iter().max())
        .ok_or("expected a signal in dBm such as -62@6Mbps")
}

/// A transmission rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rate {
    /// Bits a second.
    pub bps: u64,
    /// Width of its channel, where told.
    pub width_mhz: Option<u16>,
    /// Spatial streams, where told.
    pub streams: Option<u8>,
}

/// A rate: `117Mbps-20MHz/2S/SGI`, `58.5Mbps-HT`, `1.2Gbps-160MHz/2S`, or plain bit/s. Of a list, one
/// a link, the fastest.
///
/// # Errors
/// A part that does not begin with a number and a unit.
pub fn rate(text: &str) -> Result<Rate, Reason> {
    let rates: Option<Vec<Rate>> = text.split(',').map(one_rate).collect();
    rates
        .and_then(|rates| rates.into_iter().max())
        .ok_or("expected a rate such as 117Mbps-20MHz/2S/SGI or bits a second")
}

fn one_rate(text: &str) -> Option<Rate> {
    let (amount, details) = text.trim().split_once('-').unwrap_or((text.trim(), ""));
    let end = amount
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(amount.len());
    let scale = match &amount[end..] {
        "" | "bps" => 1,
        "kbps" | "Kbps" => 1_000,
        "Mbps" => 1_000_000,
        "Gbps" => 1_000_000_000,
        _ => return None,
    };
    let mut rate = Rate {
        bps: scaled(&amount[..end], scale)?,
        ..Rate::default()
    };
    for detail in details.split('/') {
        if let Some(width) = detail.strip_suffix("MHz") {
            rate.width_mhz = width.parse().ok();
        } else if let Some(streams) = detail.strip_suffix('S') {
            rate.streams = streams.parse().ok();
        }
    }
    Some(rate)
}

/// Digits with at most nine behind the point, times a power of ten; no float, so `866.6M` is exact.
fn scaled(text: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let part = match fraction {
        "" => 0,
        _ => fraction.parse::<u64>().ok()?.checked_mul(scale)? / 10u64.pow(fraction.len() as u32),
    };
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(part)
}

/// The last IP address of a CAPsMAN client, whose octets the router tells backwards.
///
/// # Errors
/// Not an IPv4 address.
pub fn ip_reversed(text: &str) -> Result<String, Reason> {
    let [a, b, c, d] = text
        .trim()
        .parse::<Ipv4Addr>()
        .map_err(|_| "expected an IPv4 address")?
        .octets();
    Ok(Ipv4Addr::new(d, c, b, a).to_string())
}

/// Major and minor version of RouterOS: `7.16.2 (stable)` is (7, 16), `7.1beta4` is (7, 1).
pub fn version(text: &str) -> Option<(u16, u16)> {
    let digits = |t: &str| {
        let end = t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
        t[..end].parse::<u16>().ok()
    };
    let (major, rest) = text.trim().split_once('.')?;
    Some((
        digits(major).filter(|_| major.bytes().all(|b| b.is_ascii_digit()))?,
        digits(rest)?,
    ))
}

/// What a channel's text tells.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Channel {
    /// Control frequency.
    pub frequency_mhz: u32,
    /// Whole width, extension channels counted.
    pub width_mhz: Option<u16>,
    /// Band word, such as `an` or `ax`.
    pub band: Option<String>,
    /// Power behind it in brackets.
    pub tx_power_dbm: Option<i16>,
}

/// A running channel: `2412/20-Ce/gn(18dBm)`, `5220/20/an`, `5180/20/a/P(17dBm)`, `5500/ax/Ceee/D`.
///
/// # Errors
/// It does not begin with a frequency.
pub fn channel(text: &str) -> Result<Channel, Reason> {
    let (path, power) = match text.trim().split_once('(') {
        Some((path, rest)) => (path, rest.split(')').next()),
        None => (text.trim(), None),
    };
    let mut parts = path.split('/');
    let frequency = parts.next().unwrap_or_default();
    let frequency = frequency.split('+').next().unwrap_or(frequency);
    let mut found = Channel {
        frequency_mhz: frequency
            .parse()
            .map_err(|_| "expected a channel such as 5220/20-Ce/an")?,
        tx_power_dbm: power.and_then(|p| signal(p).ok()),
        ..Channel::default()
    };
    let (mut base, mut blocks) = (None, None);
    for part in parts {
        let (head, tail) = part.split_once('-').unwrap_or((part, ""));
        if let Ok(width) = head.parse::<u16>() {
            base = Some(width);
            blocks = extension(tail).or(blocks);
        } else if let Some(n) = extension(part) {
            blocks = Some(n);
        } else if found.band.is_none() && part.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.band = Some(part.to_owned());
        }
    }
    found.width_mhz = match (base, blocks) {
        (Some(width), blocks) => width.checked_mul(blocks.unwrap_or(1)),
        // Channels of the wifi menus are in steps of 20 MHz and name only what is beyond the first.
        (None, blocks) => found.band.as_ref().map(|_| 20 * blocks.unwrap_or(1)),
    };
    Ok(found)
}

/// How many 20 MHz blocks `Ceee`, `eC` or `XX` name.
fn extension(text: &str) -> Option<u16> {
    let known =
        matches!(text.len(), 1..=16) && text.bytes().all(|b| matches!(b, b'C' | b'e' | b'X'));
    let whole = text.contains('C') || text.contains('X');
    (known && whole).then_some(text.len() as u16)
}

/// A configured width: `20mhz`, `20/40mhz-Ce`, `20/40/80mhz`. The widest is meant.
///
/// # Errors
/// No width in MHz.
pub fn width_mhz(text: &str) -> Result<u16, Reason> {
    let widths = text
        .split("mhz")
        .next()
        .filter(|_| text.contains("mhz"))
        .unwrap_or_default();
    let widest = widths
        .split('/')
        .map(str::parse::<u16>)
        .try_fold(0, |w, next| next.map(|n| w.max(n)));
    widest
        .ok()
        .filter(|w| *w > 0)
        .ok_or("expected a channel width such as 20/40mhz-Ce")
}
