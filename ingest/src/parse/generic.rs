//! Rows of menus that have no record: each attribute typed by its name.
//!
//! A typed value has its unit in its name: `uptime` of `1d2h` is `uptime_s`, `bytes` of `5,7` are `tx_bytes` and
//! `rx_bytes`, `rate` of `1Gbps` is `rate_bps`. Settings that take a word instead of a number (`mtu=auto`) keep it, under the plain
//! name, so that a name never holds two types. Lists are arrays. Nothing is dropped: what has no form, or not the
//! form of its name, is kept as it was said and named as an issue. Secrets alone are not shown, only whether they are set.

use super::attributes::{Form, form};
use super::time::{date, gmt_offset, time_of_day};
use super::{Attributes, Issue, Parsed, Reason, boolean, duration, mac, rate, walk};
use serde_json::{Map, Value};

/// Types a row by the names of its attributes.
pub fn generic(attributes: &(impl Attributes + ?Sized)) -> Parsed<Map<String, Value>> {
    walk(attributes, Map::new(), |row, name, cell| {
        let name = name.trim();
        let text = cell.text().into_owned();
        let issue = match form(name) {
            None => Some("no form is known for this attribute"),
            // An empty value is an absent one, but that a secret is not set is known.
            Some(Form::Secret) => {
                insert(row, &field(name), "is_set", Value::Bool(!text.is_empty()));
                None
            }
            Some(_) if text.is_empty() => None,
            Some(form) => put(row, name, form, &text).err(),
        };
        if let Some(reason) = issue {
            cell.issues.push(Issue {
                attribute: name.to_owned(),
                value: text.chars().take(80).collect(),
                reason,
            });
            cell.keep();
        }
    })
}

/// Types a value into the row.
fn put(row: &mut Map<String, Value>, name: &str, form: Form, text: &str) -> Result<(), Reason> {
    let field = field(name);
    if form == Form::Count
        && let Some((parts, between)) = counted(text)
    {
        // `tx,rx` of interfaces and stations; `upload/download` of queues.
        let [first, second] = if between == ',' {
            ["tx", "rx"]
        } else {
            ["upload", "download"]
        };
        let [a, b] = parts;
        insert(row, first, &field, a);
        insert(row, second, &field, b);
        return Ok(());
    }
    let (unit, value) = match typed(form, text) {
        Some(value) => (unit(form), value),
        None => match word(form, text) {
            Some(value) => ("", value),
            None => return Err(expected(form)),
        },
    };
    insert(row, &field, unit, value);
    Ok(())
}

/// The name of a field: as that of a column, without the dot of what describes the row itself.
fn field(name: &str) -> String {
    match name {
        ".id" => return "row_id".to_owned(),
        ".nextid" => return "next_row_id".to_owned(),
        _ => {}
    }
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let found: String = name.trim_start_matches('.').chars().map(plain).collect();
    match found.as_str() {
        // What the row itself is called.
        "kind" | "menu" | "extra" => found + "_told",
        _ => found,
    }
}

/// Puts a value under two parts of a name. Of a repeated attribute the first wins.
fn insert(row: &mut Map<String, Value>, first: &str, second: &str, value: Value) {
    let named = second.is_empty() || first.ends_with(&format!("_{second}")) || first == second;
    let name = if named {
        first.to_owned()
    } else {
        format!("{first}_{second}")
    };
    row.entry(name).or_insert(value);
}

const fn unit(form: Form) -> &'static str {
    match form {
        Form::Number(unit) => unit,
        Form::Span | Form::Offset => "s",
        Form::Rate => "bps",
        _ => "",
    }
}

const fn expected(form: Form) -> Reason {
    match form {
        Form::Flag => "expected true, false, yes or no",
        Form::Count => "expected a count, or two: tx,rx",
        Form::Number(_) => "expected a number with its unit",
        Form::Span => "expected a duration such as 1w2d3h4m5s or 01:22:53",
        Form::Rate => "expected a rate such as 117Mbps or bits a second",
        Form::Mac => "expected a hardware address",
        Form::Address => "expected an address",
        Form::Day => "expected a date such as 2024-05-17 or may/17/2024",
        Form::Moment => "expected a date and a time such as 2024-05-17 14:27:01",
        Form::Offset => "expected an offset from UTC such as +03:00",
        Form::Time | Form::List | Form::Text | Form::Secret => "expected text",
    }
}

/// A word where a number, a flag or an address is expected: `auto`, `none`, `unlimited`. Counters have none.
fn word(form: Form, text: &str) -> Option<Value> {
    if matches!(form, Form::Count | Form::Day | Form::Moment | Form::Offset) {
        return None;
    }
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.+/,".contains(c);
    let plain = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(letter);
    plain.then(|| Value::from(text))
}

/// The value, if it has the form: one, a list, a pair, or a range.
fn typed(form: Form, text: &str) -> Option<Value> {
    if let Some(value) = one(form, text) {
        return Some(value);
    }
    if !matches!(
        form,
        Form::Number(_) | Form::Span | Form::Rate | Form::Mac | Form::Address | Form::Flag
    ) {
        return None;
    }
    let parts = |between: char| {
        let parts = text.split(between).map(|part| {
            let part = part.trim();
            let range = || range(form, part);
            one(form, part).or_else(range).or_else(|| word(form, part))
        });
        let found: Option<Vec<Value>> = parts.collect();
        let typed = |found: &Vec<Value>| found.len() > 1 && found.iter().any(|v| !v.is_string());
        let texts = matches!(form, Form::Mac | Form::Address);
        found
            .filter(|f| typed(f) || texts && f.len() > 1)
            .map(Value::from)
    };
    let pair = || (form != Form::Address).then(|| parts('/')).flatten();
    parts(',').or_else(|| range(form, text)).or_else(pair)
}

/// `5180-5730`, `-120..-85`, `0s..1m`.
fn range(form: Form, text: &str) -> Option<Value> {
    let text = text.strip_prefix('!').unwrap_or(text);
    let (from, to) = text.split_once("..").or_else(|| {
        // The first character may be a sign.
        let at = text.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
        Some((&text[..at], &text[at + 1..]))
    })?;
    let (from, to) = (one(form, from)?, one(form, to)?);
    Some(serde_json::json!({ "from": from, "to": to }))
}

fn one(form: Form, text: &str) -> Option<Value> {
    let text = text.trim();
    match form {
        Form::Flag => boolean(text).ok().map(Value::Bool),
        Form::Count => count(text),
        Form::Number(_) => number(text),
        Form::Span => span(text),
        Form::Rate => rate(text)
            .ok()
            .filter(|_| !text.contains(','))
            .map(|r| r.bps.into()),
        Form::Mac => masked_mac(text),
        Form::Address => address(text).then(|| text.into()),
        Form::Day => date(text).ok().and_then(day),
        Form::Moment => moment(text),
        Form::Offset => gmt_offset(text).ok().map(Value::from),
        Form::Time => Some(
            moment(text)
                .or_else(|| span_of_units(text))
                .unwrap_or_else(|| text.into()),
        ),
        Form::List => {
            let parts = text.split(',').map(|part| Value::from(part.trim()));
            Some(Value::Array(parts.collect()))
        }
        Form::Text | Form::Secret => Some(text.into()),
    }
}

/// A whole number, plain or in the console's binary units.
fn count(text: &str) -> Option<Value> {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if digits(text) {
        return text.parse::<u64>().ok().map(Value::from);
    }
    let (amount, scale) = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)]
        .iter()
        .find_map(|(unit, power)| Some((text.strip_suffix(unit)?, 1u64 << power)))?;
    let (whole, tenths) = amount.split_once('.').unwrap_or((amount, "0"));
    if !digits(whole) || !digits(tenths) || tenths.len() > 6 {
        return None;
    }
    let part = tenths.parse::<u64>().ok()?.checked_mul(scale)? / 10u64.pow(tenths.len() as u32);
    let bytes = whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(part)?;
    Some(bytes.into())
}

fn counted(text: &str) -> Option<([Value; 2], char)> {
    let between = if text.contains(',') { ',' } else { '/' };
    let (a, b) = text.split_once(between)?;
    Some(([count(a.trim())?, count(b.trim())?], between))
}

/// Decimal or hexadecimal, with a unit of at most four letters behind it.
fn number(text: &str) -> Option<Value> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(Value::from);
    }
    let signs = |c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    // A signal may name the rate that it was heard at.
    let told = text.split('@').next().unwrap_or(text);
    let end = told.find(signs).unwrap_or(told.len());
    let unit = &told[end..];
    let known = unit.len() <= 4 && unit.chars().all(|c| c.is_ascii_alphabetic() || c == '%');
    if !known || end == 0 {
        return None;
    }
    let digits = &told[..end];
    if let Ok(whole) = digits.parse::<i64>() {
        return Some(whole.into());
    }
    let float = digits.parse::<f64>().ok().filter(|f| f.is_finite())?;
    serde_json::Number::from_f64(float).map(Value::Number)
}

/// Seconds; whole ones as an integer.
fn span(text: &str) -> Option<Value> {
    let (negative, plain) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    // `1sec` of bonding is the console's spelling.
    let plain = plain
        .strip_suffix("secs")
        .or_else(|| plain.strip_suffix("sec"))
        .unwrap_or(plain);
    let found = duration(plain).ok()?;
    let micros = i64::try_from(found.as_micros()).ok()?;
    let micros = if negative { -micros } else { micros };
    if micros % 1_000_000 == 0 {
        return Some((micros / 1_000_000).into());
    }
    serde_json::Number::from_f64(micros as f64 / 1e6).map(Value::Number)
}

/// A span that says its units; a bare number or a clock may be something else.
fn span_of_units(text: &str) -> Option<Value> {
    let units = text.ends_with(|c: char| c.is_ascii_lowercase()) && !text.contains(':');
    units.then(|| span(text)).flatten()
}

fn masked_mac(text: &str) -> Option<Value> {
    let (address, mask) = text.split_once('/').unwrap_or((text, ""));
    let address = mac(address).ok()?;
    if mask.is_empty() {
        return Some(address.to_string().into());
    }
    Some(format!("{address}/{}", mac(mask).ok()?).into())
}

/// IP addresses and networks, ranges of them, names of hosts, each perhaps with a port or an interface.
fn address(text: &str) -> bool {
    let text = text.strip_prefix('!').unwrap_or(text);
    let (host, behind) = match text.split_once('%') {
        Some((host, interface)) => (host, Some(interface)),
        None => (text, None),
    };
    if behind.is_some_and(str::is_empty) || host.is_empty() || host.len() > 253 {
        return false;
    }
    let ip = |t: &str| t.parse::<std::net::IpAddr>().is_ok();
    let network = host.split_once('/').is_some_and(|(base, bits)| {
        // A slash before a port is CAPsMAN's.
        ip(base) && (bits.parse::<u16>().is_ok() || ip(bits))
    });
    let range = host.split_once('-').is_some_and(|(a, b)| ip(a) && ip(b));
    // A route's gateway may be an interface, a peer a name with any sign in it.
    let name = !host.contains(char::is_control);
    ip(host) || network || range || mac(host).is_ok() || name
}

fn day(found: super::time::Date) -> Option<Value> {
    let year = found.year?;
    Some(format!("{year:04}-{:02}-{:02}", found.month, found.day).into())
}

/// A date with a time, in one spelling; its zone is the router's.
fn moment(text: &str) -> Option<Value> {
    let (head, tail) = text.trim().split_once(' ')?;
    time_of_day(tail).ok()?;
    let found = date(head).ok()?;
    Some(match found.year {
        Some(year) => format!("{year:04}-{:02}-{:02}T{tail}", found.month, found.day).into(),
        None => format!("--{:02}-{:02}T{tail}", found.month, found.day).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(attributes: &[(&str, &str)]) -> (Value, Vec<String>) {
        let parsed = generic(attributes);
        let issues = parsed.issues.iter().map(ToString::to_string).collect();
        (Value::Object(parsed.row), issues)
    }

    #[test]
    fn each_value_has_its_type_and_its_unit() {
        let (row, issues) = row(&[
            (".id", "*4D8"),
            ("disabled", "no"),
            ("auto-negotiation", "done"),
            ("mtu", "1500"),
            ("max-mtu", "auto"),
            ("uptime", "1d2h"),
            ("last-adjustment", "-29ms481us"),
            ("burst-time", "0s/0s"),
            ("hold-time", "0s..1m"),
            ("bytes", "5,7"),
            ("dropped", "0/2"),
            ("rate", "1Gbps"),
            ("max-limit", "10000000/unlimited"),
            ("frequency", "2412,2437"),
            ("channel.frequency", "5180-5730"),
            ("sfp-rx-power", "-1.203dBm"),
            ("priority", "0x80"),
            ("arp-src-mac-address", "aa:bb:cc:dd:ee:ff/FF:FF:FF:FF:FF:FF"),
            ("build-time", "Aug/31/2023 13:55:47"),
            ("gmt-offset", "-05:30"),
            ("slaves", "ether3,ether4"),
            ("password", "guess"),
            ("comment", "-= a=b =-"),
            ("total-memory", "128.0MiB"),
            ("ft-preserve-vlanid ", "true"),
        ]);
        assert_eq!(issues, [""; 0]);
        let expected = serde_json::json!({
            "row_id": "*4D8", "disabled": false, "auto_negotiation": "done", "mtu": 1500, "max_mtu": "auto",
            "uptime_s": 93_600, "last_adjustment_s": -0.029_481, "burst_time_s": [0, 0],
            "hold_time_s": {"from": 0, "to": 60}, "tx_bytes": 5, "rx_bytes": 7, "upload_dropped": 0,
            "download_dropped": 2, "rate_bps": 1_000_000_000, "max_limit_bps": [10_000_000, "unlimited"],
            "frequency_mhz": [2412, 2437], "channel_frequency_mhz": {"from": 5180, "to": 5730},
            "sfp_rx_power_dbm": -1.203, "priority": 128,
            "arp_src_mac_address": "AA:BB:CC:DD:EE:FF/FF:FF:FF:FF:FF:FF", "build_time": "2023-08-31T13:55:47",
            "gmt_offset_s": -19_800, "slaves": ["ether3", "ether4"], "password_is_set": true,
            "comment": "-= a=b =-", "total_memory": 134_217_728, "ft_preserve_vlanid": true,
        });
        assert_eq!(row, expected);
    }

    #[test]
    fn what_has_no_form_is_named_and_kept() {
        let parsed = generic([("flux", "7"), ("rx-byte", "many"), ("uptime", "soon?")].as_slice());
        let issues: Vec<String> = parsed.issues.iter().map(ToString::to_string).collect();
        assert_eq!(issues.len(), 3, "{issues:?}");
        assert!(
            issues[0].starts_with("flux=\"7\": no form is known"),
            "{}",
            issues[0]
        );
        assert_eq!((parsed.row.len(), parsed.extra.len()), (0, 3));
        assert_eq!(parsed.extra["rx-byte"], "many");
    }

    proptest! {
        #[test]
        fn any_row_is_typed_or_named_and_nothing_is_lost(
            pairs in prop::collection::vec(("(mtu|bytes|uptime|rate|address|time|[a-z.-]{0,12})", "\\PC{0,20}"), 0..12),
        ) {
            let parsed = generic(pairs.as_slice());
            for (name, value) in &pairs {
                let told = |issue: &Issue| issue.attribute == name.trim();
                let typed = parsed.row.len() + parsed.extra.len() > 0;
                prop_assert!(value.is_empty() || typed || parsed.issues.iter().any(told), "{name}={value}");
            }
        }
    }
}
