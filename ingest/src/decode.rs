//! Recorded replies in, typed rows out: what `mast decode` does.
//!
//! A line is a JSON object with `menu`, `reply` and, where it is no row, `word`; other fields are
//! ignored. A row comes out as one JSON object: `kind` first, then the fields of its record that are
//! not null, then `extra` with what has no field. A menu without a record gives a `menu_row`: its attributes typed by their
//! names, units in the names; `extra` holds those that nobody knows. Everything that could not be typed is named with its
//! line, and never stops the run.

use std::io::{self, BufRead, Write};

use mast_schemas::column::Record;
use mast_schemas::records::{
    Arp, DhcpLease, Event, Firmware, Interface, Neighbor, Radio, Registration, RouteSummary, Source,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::parse::{self, DeviceFacts, Issue, Known, Parsed, RadioView, Stamp};

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DecodeSummary {
    /// Lines read, empty ones left out.
    pub lines: u64,
    /// Rows written.
    pub rows: u64,
    /// Values that could not be typed.
    pub untyped_values: u64,
    /// Lines of menus that RouterOS does not have.
    pub untyped_menus: u64,
    /// Lines that are no recorded reply.
    pub bad_lines: u64,
}

impl DecodeSummary {
    /// Whether everything was typed.
    pub const fn is_clean(&self) -> bool {
        self.untyped_values == 0 && self.untyped_menus == 0 && self.bad_lines == 0
    }
}

/// Decodes recorded replies, line by line. Rows go to `rows`, what could not be typed to `problems`.
///
/// # Errors
/// Only those of reading and writing.
pub fn decode_records(
    mut reader: impl BufRead,
    rows: impl Write,
    problems: impl Write,
) -> io::Result<DecodeSummary> {
    let mut run = Run {
        rows,
        problems,
        summary: DecodeSummary::default(),
        line: 0,
        menu: String::new(),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        run.line += 1;
        // Recordings may hold bytes of any code page.
        let text = routeros_api::codec::display_text(&line);
        if text.trim().is_empty() {
            continue;
        }
        run.summary.lines += 1;
        run.one(text.trim())?;
    }
    run.rows.flush()?;
    run.problems.flush()?;
    Ok(run.summary)
}

/// Attributes of a recorded reply.
type Words = Vec<(String, String)>;

struct Run<R, P> {
    rows: R,
    problems: P,
    summary: DecodeSummary,
    line: u64,
    menu: String,
}

impl<R: Write, P: Write> Run<R, P> {
    fn one(&mut self, text: &str) -> io::Result<()> {
        let record: Value = match serde_json::from_str(text) {
            Ok(record) => record,
            Err(error) => return self.bad_line(&format!("not JSON: {error}")),
        };
        let (Some(menu), Some(reply)) = (record["menu"].as_str(), record.get("reply")) else {
            return self.bad_line("not a recorded reply: it needs `menu` and `reply`");
        };
        self.menu = menu.to_owned();
        let Some(reply) = reply.as_object() else {
            return self.bad_line("`reply` is not an object of attributes");
        };
        let words = self.words(reply)?;
        match record["word"].as_str() {
            None | Some("!re") => self.row(&words, &record["params"]),
            Some(word) => self.end(word, &words),
        }
    }

    fn words(&mut self, reply: &Map<String, Value>) -> io::Result<Words> {
        let mut words = Vec::with_capacity(reply.len());
        for (name, value) in reply {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Null => continue,
                Value::Array(_) | Value::Object(_) => {
                    let reason = "expected text";
                    let value = value.to_string();
                    self.issues(&[Issue {
                        attribute: name.clone(),
                        value,
                        reason,
                    }])?;
                    continue;
                }
            };
            words.push((name.clone(), text));
        }
        Ok(words)
    }

    /// A sentence that ends a command.
    fn end(&mut self, word: &str, words: &Words) -> io::Result<()> {
        let kind = match word {
            "!trap" | "!fatal" | "!empty" | "!done" => &word[1..],
            _ => return self.bad_line(&format!("unknown reply word {word:?}")),
        };
        let mut fields = vec![("menu".to_owned(), Value::String(self.menu.clone()))];
        fields.extend(
            words
                .iter()
                .map(|(n, v)| (n.clone(), Value::String(v.clone()))),
        );
        self.write(kind, fields)
    }

    fn row(&mut self, words: &Words, params: &Value) -> io::Result<()> {
        let menu = self.menu.clone();
        let menu = menu.trim_end_matches("/print").trim_end_matches("/getall");
        let stamp = Stamp::default();
        match menu {
            "/interface" => {
                let Parsed { row, extra, issues } = parse::interface(stamp, words);
                self.optional::<Interface>(row, extra, &issues)
            }
            "/interface/wireless/registration-table" => {
                self.registration(Source::Wireless, words, None)
            }
            "/interface/wifi/registration-table" => self.registration(Source::Wifi, words, None),
            "/interface/wifiwave2/registration-table" => {
                self.registration(Source::Wifiwave2, words, None)
            }
            "/caps-man/registration-table" => self.registration(Source::Capsman, words, None),
            "/interface/w60g/station" => self.registration(Source::W60g, words, None),
            "/interface/w60g/monitor" => {
                let name = monitored(params);
                if parse::first(words, "remote-address").is_some() {
                    self.registration(Source::W60g, words, name.as_deref())?;
                }
                self.radio(Source::W60g, parse::radio_state(words), name)
            }
            "/interface/wireless/monitor" => self.monitor(Source::Wireless, words, params),
            "/interface/wifi/monitor" => self.monitor(Source::Wifi, words, params),
            "/interface/wifiwave2/monitor" => self.monitor(Source::Wifiwave2, words, params),
            "/interface/wireless" => self.config(Source::Wireless, words),
            "/interface/wifi" | "/interface/wifi/radio" => self.config(Source::Wifi, words),
            "/interface/wifiwave2" | "/interface/wifiwave2/radio" => {
                self.config(Source::Wifiwave2, words)
            }
            "/interface/w60g" => self.config(Source::W60g, words),
            "/caps-man/interface" | "/caps-man/radio" => self.config(Source::Capsman, words),
            _ => self.slow_row(menu, words),
        }
    }

    fn slow_row(&mut self, menu: &str, words: &Words) -> io::Result<()> {
        let stamp = Stamp::default();
        match menu {
            "/system/resource" => self.facts(parse::resource(words)),
            "/system/routerboard" => self.facts(parse::routerboard(words)),
            "/system/identity" => self.facts(parse::identity(words)),
            "/system/health" => self.facts(parse::health(words)),
            "/system/package" => {
                let Parsed { row, extra, issues } = parse::package(words);
                self.issues(&issues)?;
                let fields = ordered(&row, &["name", "version", "disabled", "available"]);
                self.write("package", with_extra(fields, extra))
            }
            "/system/package/update" | "/system/package/update/check-for-updates" => {
                self.record::<Firmware>(parse::firmware(stamp, words))
            }
            "/ip/arp" => self.record::<Arp>(parse::arp(stamp, words)),
            "/ip/dhcp-server/lease" => self.record::<DhcpLease>(parse::dhcp_lease(stamp, words)),
            "/ip/neighbor" => self.record::<Neighbor>(parse::neighbor(stamp, words)),
            "/log" => self.record::<Event>(parse::event(stamp, words)),
            "/ip/route" => {
                let all: Map<_, _> = words
                    .iter()
                    .map(|(n, v)| (n.clone(), Value::String(v.clone())))
                    .collect();
                for row in parse::routes(stamp, std::slice::from_ref(words)) {
                    let fields = record_fields(&row);
                    self.write(RouteSummary::KIND, with_extra(fields, all.clone()))?;
                }
                Ok(())
            }
            _ => {
                if !is_menu(menu) {
                    self.summary.untyped_menus += 1;
                    let (line, menu) = (self.line, &self.menu);
                    writeln!(
                        self.problems,
                        "line {line}: {menu}: no such menu of RouterOS is known"
                    )?;
                }
                let Parsed { row, extra, issues } = parse::generic(words);
                self.issues(&issues)?;
                let mut fields = vec![("menu".to_owned(), Value::from(menu))];
                fields.extend(row);
                self.write("menu_row", with_extra(fields, extra))
            }
        }
    }

    fn registration(
        &mut self,
        source: Source,
        words: &Words,
        name: Option<&str>,
    ) -> io::Result<()> {
        let parsed = parse::registration(Stamp::default(), source, &Known::default(), name, words);
        self.optional::<Registration>(parsed.row, parsed.extra, &parsed.issues)
    }

    fn config(&mut self, source: Source, words: &Words) -> io::Result<()> {
        self.radio(source, parse::radio_config(words), None)
    }

    fn monitor(&mut self, source: Source, words: &Words, params: &Value) -> io::Result<()> {
        self.radio(source, parse::radio_state(words), monitored(params))
    }

    fn radio(
        &mut self,
        source: Source,
        parsed: Parsed<RadioView>,
        name: Option<String>,
    ) -> io::Result<()> {
        let Parsed {
            mut row,
            mut extra,
            issues,
        } = parsed;
        row.interface = row.interface.or(name);
        for (name, flag) in [("disabled", row.disabled), ("connected", row.connected)] {
            if let Some(flag) = flag {
                extra.insert(name.to_owned(), Value::String(flag.to_string()));
            }
        }
        self.record::<Radio>(Parsed {
            row: row.row(Stamp::default(), source, None),
            extra,
            issues,
        })
    }

    /// Facts of a device come out as the part of a poll that they are.
    fn facts(&mut self, parsed: Parsed<DeviceFacts>) -> io::Result<()> {
        self.issues(&parsed.issues)?;
        let order: Vec<_> = mast_schemas::records::Poll::schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let order: Vec<&str> = order.iter().map(String::as_str).collect();
        let fields = ordered(&parsed.row, &order);
        self.write("poll", with_extra(fields, parsed.extra))
    }

    fn optional<T: Record + Serialize>(
        &mut self,
        row: Option<T>,
        extra: Map<String, Value>,
        issues: &[Issue],
    ) -> io::Result<()> {
        self.issues(issues)?;
        match row {
            Some(row) => self.write(T::KIND, with_extra(record_fields(&row), extra)),
            None => Ok(()),
        }
    }

    fn record<T: Record + Serialize>(&mut self, parsed: Parsed<T>) -> io::Result<()> {
        self.optional(Some(parsed.row), parsed.extra, &parsed.issues)
    }

    fn write(&mut self, kind: &str, fields: Vec<(String, Value)>) -> io::Result<()> {
        self.summary.rows += 1;
        write!(self.rows, "{{\"kind\":{}", Value::from(kind))?;
        for (name, value) in fields {
            write!(self.rows, ",{}:{value}", Value::from(name))?;
        }
        self.rows.write_all(b"}\n")
    }

    fn issues(&mut self, issues: &[Issue]) -> io::Result<()> {
        for issue in issues {
            self.summary.untyped_values += 1;
            writeln!(self.problems, "line {}: {}: {issue}", self.line, self.menu)?;
        }
        Ok(())
    }

    fn bad_line(&mut self, reason: &str) -> io::Result<()> {
        self.summary.bad_lines += 1;
        writeln!(self.problems, "line {}: {reason}", self.line)
    }
}

/// Whether a path begins as one of RouterOS does. What lies below differs by version and package.
fn is_menu(path: &str) -> bool {
    const FIRST: &[&str] = &[
        "app",
        "caps-man",
        "certificate",
        "console",
        "container",
        "disk",
        "dude",
        "execute",
        "file",
        "import",
        "interface",
        "iot",
        "ip",
        "ipv6",
        "log",
        "lora",
        "metarouter",
        "mpls",
        "openflow",
        "partitions",
        "ping",
        "port",
        "ppp",
        "queue",
        "radius",
        "routing",
        "rsync-daemon",
        "snmp",
        "special-login",
        "system",
        "task",
        "tool",
        "tr069-client",
        "user",
        "user-manager",
        "zerotier",
    ];
    let mut parts = path.split('/');
    parts.next() == Some("") && parts.next().is_some_and(|first| FIRST.contains(&first))
}

/// The interface that a monitor was asked about.
fn monitored(params: &Value) -> Option<String> {
    let given = params.as_array()?.iter().filter_map(Value::as_str);
    given
        .filter_map(|word| word.strip_prefix("=numbers="))
        .map(str::to_owned)
        .next()
}

/// What tells a row apart in the log says nothing here: there is no device and no poll.
const STAMP: [&str; 5] = [
    "tenant_id",
    "device_id",
    "observed_at",
    "lease_epoch",
    "sequence",
];

fn record_fields<T: Record + Serialize>(row: &T) -> Vec<(String, Value)> {
    let schema = T::schema();
    let order: Vec<&str> = schema
        .fields()
        .iter()
        .map(|f| f.name().as_str())
        .filter(|n| !STAMP.contains(n))
        .collect();
    ordered(row, &order)
}

/// The fields that are not null, in this order.
fn ordered(row: &impl Serialize, order: &[&str]) -> Vec<(String, Value)> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(row) else {
        return Vec::new();
    };
    let mut found = Vec::with_capacity(order.len());
    for name in order {
        match fields.remove(*name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) if map.is_empty() => {}
            Some(value) => found.push(((*name).to_owned(), value)),
        }
    }
    found
}

/// `extra` as an object, also where the record keeps it as text.
fn with_extra(mut fields: Vec<(String, Value)>, extra: Map<String, Value>) -> Vec<(String, Value)> {
    fields.retain(|(name, _)| name != "extra");
    if !extra.is_empty() {
        fields.push(("extra".to_owned(), Value::Object(extra)));
    }
    fields
}
