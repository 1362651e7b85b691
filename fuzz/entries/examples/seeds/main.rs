//! Writes the seeds that can't be written by hand, or are made of recorded replies, to `fuzz/seeds/`. To be run again when a
//! format changes: `cargo run -p mast-fuzz --example seeds`.

mod stored;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use mast_dataflow::checkpoint::encode;
use mast_ingest::parse::{self, Known, Stamp};
use mast_schemas::alerts::{
    IncidentId, Operator, Root, RuleKind, RuleSubject, Scope, Severity, Subject, TrendTest,
};
use mast_schemas::checkpoint::{
    AlertRecord, CapRecord, CoreRecord, DeviceRecord, HealthRecord, IncidentRecord, JudgedRecord,
    LimitsRecord, Part, RoamRecord, SaidRecord, StandingRecord, ThroughputRecord, TrendRecord,
};
use mast_schemas::control::{
    Change, ControlRecord, Device, Role, Rule, Schedule, Site, TlsPolicy, Window,
};
use mast_schemas::epochs::{Binding, Silence};
use mast_schemas::message::{Header, Heartbeat, ProducerId, WholePoll, write_polls};
use mast_schemas::records::{Poll, Source};
use mast_schemas::time::Span;
use mast_schemas::views::{AddressSource, DeviceState, Health, HealthState, Place};
use mast_schemas::{
    DeviceId, Epoch, GroupId, Mac, RuleId, SiteId, TenantId, ThresholdsId, Timestamp, WindowId,
};
use routeros_api::{Command, Sentence, Session};
use uuid::Uuid;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let seeds = Seeds(fuzz.join("seeds"));
    recorded(&seeds, &fuzz.join("../ingest/tests/corpus"))?;
    protocol(&seeds)?;
    messages(&seeds)?;
    checkpoints(&seeds)?;
    by_hand(&seeds)?;
    stored::log_segments(&seeds)?;
    stored::spool(&seeds)?;
    stored::log_calls(&seeds)
}

struct Seeds(PathBuf);

impl Seeds {
    fn put(&self, target: &str, name: &str, bytes: impl AsRef<[u8]>) -> Result {
        let folder = self.0.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)?;
        Ok(())
    }
}

/// The first lines of each recording: as lines, as the sentences they were, and their values.
fn recorded(seeds: &Seeds, corpus: &Path) -> Result {
    let mut values: Vec<String> = Vec::new();
    let paths: std::io::Result<Vec<_>> = fs::read_dir(corpus)?
        .map(|entry| Ok(entry?.path()))
        .collect();
    let mut paths = paths?;
    paths.sort();
    for path in paths {
        let (Some(name), Some("jsonl")) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.extension().and_then(|extension| extension.to_str()),
        ) else {
            continue;
        };
        let text = fs::read_to_string(&path)?;
        let lines: Vec<&str> = text.lines().take(2).collect();
        seeds.put("recording", name, lines.join("\n"))?;
        let mut wire = Vec::new();
        for line in &lines {
            let record: serde_json::Value = serde_json::from_str(line)?;
            let Some(reply) = record["reply"].as_object() else {
                continue;
            };
            let attributes = reply
                .iter()
                .filter_map(|(name, value)| Some((name, value.as_str()?)));
            let words = attributes
                .clone()
                .map(|(name, value)| format!("={name}={value}"));
            Sentence::from_words(std::iter::once("!re".to_owned()).chain(words)).encode(&mut wire);
            values.extend(attributes.map(|(_, value)| value.to_owned()));
        }
        seeds.put("rows", name, &wire)?;
    }
    // One value of each shape: digits, letters and signs in the same order.
    let mut shapes = std::collections::BTreeMap::new();
    for value in values.into_iter().filter(|value| value.len() < 48) {
        let shape: String = value
            .chars()
            .map(|c| match c {
                '0'..='9' => '0',
                'a'..='z' | 'A'..='Z' => 'a',
                other => other,
            })
            .collect();
        shapes.entry(shape).or_insert(value);
    }
    for (number, value) in shapes.values().step_by(4).enumerate() {
        seeds.put("value", &format!("{number:03}"), value)?;
    }
    Ok(())
}

/// Variant 2 of a head: the caps of a session, no cuts.
const WHOLE: &[u8] = &[2, 0];
/// The same, cut into pieces of 1, 3 and 40 bytes.
const CUT: &[u8] = &[2, 3, 1, 3, 40];

fn protocol(seeds: &Seeds) -> Result {
    let logged_in = sentences(&["!done"]);
    let listened = sentences(&[
        "!done",
        "!re .tag=1 =time=10:00:00 =topics=system,info =message=hello",
        "!re .tag=2 =name=ap-1",
        "!done .tag=2",
        "!trap .tag=3 =category=0 =message=no-such-command",
        "!done .tag=3",
        "!re .tag=4 =rx-bits-per-second=1",
        "!re .tag=4 =rx-bits-per-second=2",
        "!trap .tag=4 =category=2 =message=interrupted",
        "!done .tag=4",
        "!done .tag=5",
        "!trap .tag=1 =category=2 =message=interrupted",
        "!done .tag=1",
        "!done .tag=6",
    ]);
    let challenged = sentences(&["!done =ret=0123456789abcdef0123456789abcdef", "!done"]);
    let refused = sentences(&["!trap =message=invalid-user-name-or-password-(6)", "!done"]);
    let fatal = sentences(&["!done", "!fatal session-terminated-on-request"]);
    let empty = sentences(&[
        "!done",
        "!empty .tag=2",
        "!done .tag=2",
        "!empty .tag=3",
        "!done .tag=3",
    ]);
    let strays = sentences(&[
        "!done",
        "!re =a=b",
        "!re .tag=99 =a=b",
        "!what .tag=2",
        "!done .tag=2",
    ]);
    for (name, wire) in [
        ("logged-in", &logged_in),
        ("listened", &listened),
        ("challenged", &challenged),
        ("refused", &refused),
        ("fatal", &fatal),
        ("empty", &empty),
        ("strays", &strays),
    ] {
        for target in ["routeros_client", "routeros_decoder"] {
            seeds.put(target, name, [WHOLE, wire].concat())?;
            seeds.put(target, &format!("{name}-cut"), [CUT, wire].concat())?;
        }
        let mut script = vec![2, 0, 5, 0, 0, 0, 0, 0, 1, 1];
        for piece in wire.chunks(200) {
            script.extend([10, piece.len() as u8]);
            script.extend_from_slice(piece);
        }
        script.extend([6, 0, 2, 0, 3, 1, 4, 1, 8, 0]);
        seeds.put("routeros_session", name, script)?;
    }
    for (name, hostile) in [
        ("long-word", &b"\xf0\xff\xff\xff\xff"[..]),
        ("reserved", b"\xf8\x01"),
        ("long-forms", b"\xf0\0\0\0\x03!re\xc0\0\0\x80\x03!re\0"),
        ("half", b"\x03!re\x80"),
    ] {
        for target in ["routeros_client", "routeros_decoder", "routeros_server"] {
            seeds.put(target, name, [WHOLE, hostile].concat())?;
        }
    }
    seeds.put("routeros_decoder", "text", b"\x82\0!re\n=name=a\n\n!done\n")?;
    seeds.put(
        "routeros_client",
        "text",
        b"\xa2\0!done\n\n!re\n.tag=2\n=a=b\n\n!done\n.tag=2\n",
    )?;
    let mut requests = Session::new(routeros_api::Limits::SESSION);
    requests.submit_untagged(
        &Command::new("/login")
            .attribute("name", "user")
            .attribute("password", "secret"),
    );
    let tag = requests.submit(
        &Command::new("/interface/print")
            .proplist(["name", "type"])
            .query_equals("type", "wlan")
            .query_greater("mtu", "900")
            .query_operations("|"),
    );
    requests.cancel(tag);
    seeds.put(
        "routeros_server",
        "login",
        [WHOLE, requests.outgoing()].concat(),
    )?;
    seeds.put(
        "routeros_server",
        "login-cut",
        [CUT, requests.outgoing()].concat(),
    )?;
    seeds.put(
        "routeros_server",
        "challenge",
        b"\xc2\0/login\n\n/login\n=name=user\n=response=00112233445566778899aabbccddeeff00\n\n/quit\n",
    )?;
    for (name, text) in [
        (
            "password",
            "\x01\0".to_owned() + "6.49.10 (long-term)\nsecret\nzz\n\n",
        ),
        (
            "challenge",
            "\0\0".to_owned() + "6.42\nsecret\nabc123\n=ret=abc123\n\n",
        ),
        (
            "refused",
            "\x01\0".to_owned() + "7.15.3\nsecret\nABCDEF\n!invalid user name or password (6)",
        ),
    ] {
        seeds.put("routeros_login", name, text)?;
    }
    seeds.put(
        "routeros_query",
        "operations",
        "type=ether\n>mtu=900\n-comment\n#|!&0.",
    )?;
    seeds.put("routeros_query", "single", "=name=wlan1\nname\n<rx=5\n#1")?;
    Ok(())
}

/// Sentences in wire form; words are parted by spaces.
fn sentences(texts: &[&str]) -> Vec<u8> {
    let mut wire = Vec::new();
    for text in texts {
        Sentence::from_words(text.split(' ')).encode(&mut wire);
    }
    wire
}

const AT: Timestamp = Timestamp(1_700_000_000_000_000);

fn device(n: u128) -> DeviceId {
    DeviceId(Uuid::from_u128(n))
}

fn tenant() -> TenantId {
    TenantId(Uuid::from_u128(1))
}

/// A poll by the fields that can't be null.
fn poll(n: u128) -> Result<Poll> {
    Ok(serde_json::from_value(serde_json::json!({
        "tenant_id": tenant(), "device_id": device(n), "observed_at": AT, "lease_epoch": 3, "sequence": n as u64,
        "outcome": "ok", "next_due_at": AT, "interval_ms": 60_000, "tables": 3, "registrations": 1,
        "identity": format!("ap-{n}"), "version": "7.15.3 (stable)", "voltage_v": 24.2,
    }))?)
}

fn polls() -> Result<Vec<WholePoll>> {
    (1..4)
        .map(|n| {
            let stamp = Stamp {
                tenant_id: tenant(),
                device_id: device(n),
                observed_at: AT,
                lease_epoch: 3,
                sequence: n as u64,
            };
            let row = |words: &[(&str, &str)]| {
                parse::registration(stamp, Source::Wireless, &Known::default(), None, words).row
            };
            let interface = parse::interface(
                stamp,
                &[
                    ("name", "wlan1"),
                    ("mac-address", "00:0C:42:00:00:01"),
                    ("type", "wlan"),
                ][..],
            );
            let radio =
                parse::radio_state(&[("channel", "5180/20-Ce/ac"), ("noise-floor", "-106")][..]);
            Ok(WholePoll {
                poll: poll(n)?,
                interfaces: interface.row.into_iter().collect(),
                registrations: row(&[
                    ("interface", "wlan1"),
                    ("mac-address", "00:0C:42:1A:AD:5E"),
                    ("signal-strength", "-62@6Mbps"),
                    ("uptime", "1d2h3m"),
                ])
                .into_iter()
                .collect(),
                radios: vec![radio.row.row(stamp, Source::Wireless, None)],
                slow: Default::default(),
            })
        })
        .collect()
}

fn messages(seeds: &Seeds) -> Result {
    let producer = ProducerId(Uuid::from_u128(9));
    let polls = polls()?;
    for (name, count) in [("polls", 3), ("one", 1)] {
        let (header, body) = write_polls(&polls[..count], producer, 3)?;
        let length = u16::try_from(header.len())?.to_le_bytes();
        let bytes = [&length[..], &header, &body].concat();
        seeds.put("message", name, &bytes)?;
        seeds.put("flow_message", name, &bytes)?;
    }
    let heartbeat = Header {
        producer,
        lease_epoch: 3,
        heartbeat: Some(Heartbeat {
            clock: AT,
            shards: vec![(0, 31), (64, 127)],
        }),
        sections: Vec::new(),
    }
    .encode();
    let length = u16::try_from(heartbeat.len())?.to_le_bytes();
    seeds.put("message", "heartbeat", [&length[..], &heartbeat].concat())?;

    let binding = Binding {
        first: Epoch(100),
        last: Epoch(104),
        generation: 2,
        telemetry: vec![1, 0, 77],
        control: 5,
        silent: vec![Silence {
            partition: Some(1),
            producer,
            since: AT,
        }],
        by_clock: false,
    };
    seeds.put("epochs", "silent", binding.encode())?;
    let plain = Binding {
        silent: Vec::new(),
        by_clock: true,
        ..binding
    };
    seeds.put("epochs", "by-clock", plain.encode())?;

    let site = Site {
        id: SiteId(Uuid::from_u128(4)),
        tenant_id: tenant(),
        name: "hill".to_owned(),
        latitude: Some(46.1),
        longitude: Some(14.5),
        elevation_m: None,
        core: true,
        version: 1,
    };
    let changes = [
        ("site", Change::Site(site)),
        (
            "site-deleted",
            Change::SiteDeleted {
                id: SiteId(Uuid::from_u128(4)),
            },
        ),
        ("device-deleted", Change::DeviceDeleted { id: device(1) }),
        ("tenant-deleted", Change::TenantDeleted { id: tenant() }),
        ("device", Change::Device(control_device())),
    ];
    for (name, change) in changes {
        let record = ControlRecord {
            outbox_id: 12,
            at: AT,
            change,
        };
        seeds.put("control", name, record.encode())?;
    }
    Ok(())
}

fn control_device() -> Device {
    Device {
        id: device(1),
        tenant_id: tenant(),
        name: "ap-1".to_owned(),
        address: "192.0.2.1".to_owned(),
        api_port: 8728,
        api_ssl_port: 8729,
        tls: TlsPolicy::Auto,
        site_id: None,
        sector_id: None,
        parent_id: Some(device(2)),
        group_ids: vec![GroupId(Uuid::from_u128(6))],
        tag_ids: Vec::new(),
        role: Role::Ap,
        interval_ms: 60_000,
        enabled: true,
        credentials_version: 1,
        version: 2,
    }
}

/// Files of checkpoints, each behind the byte of its part and without its checksum.
fn checkpoints(seeds: &Seeds) -> Result {
    let standing = StandingRecord::from(&control_device());
    file(
        seeds,
        "control",
        0,
        &encode(Part::Control, 0, [standing].iter())?,
    )?;
    let record = DeviceRecord {
        device_id: device(1),
        tenant_id: tenant(),
        state: DeviceState::Online,
        since: AT,
        outcome: None,
        fail_run: 1,
        fail_unmanageable: false,
        last_poll: None,
        overdue_at: Some(AT),
        attributes: [const { None }; 6],
        claims: Vec::new(),
        tables: Vec::new(),
        said: vec![SaidRecord {
            source: AddressSource::Dhcp,
            mac: Mac(0x000C_421A_AD5E),
            address: "10.0.0.7".to_owned(),
            host_name: Some("cpe".to_owned()),
            since: AT,
        }],
        air: None,
    };
    let records = [record.clone(), record];
    file(
        seeds,
        "devices",
        1,
        &encode(Part::Devices, 7, records.iter())?,
    )?;
    let roam = RoamRecord {
        tenant_id: tenant(),
        mac: Mac(0x000C_421A_AD5E),
        owner: None,
        owner_departed_at: None,
        others: Vec::new(),
        changes: vec![AT],
        ambiguous: true,
    };
    file(seeds, "roam", 2, &encode(Part::Roam, 255, [roam].iter())?)?;
    let cap = CapRecord {
        tenant_id: tenant(),
        radio_mac: Mac(1),
        reporters: vec![device(1), device(2)],
        ap_device_id: device(3),
    };
    file(seeds, "caps", 4, &encode(Part::Caps, 0, [cap].iter())?)?;
    let health = HealthRecord {
        place: Place::Tenant(tenant()),
        health: Health {
            state: HealthState::Degraded,
            since: AT,
        },
        ticks: vec![7, 8],
        hours: vec![9],
    };
    let maintained = HealthRecord {
        health: Health {
            state: HealthState::Maintenance,
            since: AT,
        },
        ..health.clone()
    };
    file(
        seeds,
        "health",
        8,
        &encode(Part::Health, 3, [health, maintained].iter())?,
    )?;
    let limits = LimitsRecord {
        id: ThresholdsId::default(),
        tenant_id: tenant(),
        site_id: None,
        sector_id: None,
        technology: Some(Source::Wifi),
        degraded_signal_dbm: Some(-75),
        active_signal_dbm: None,
        degraded_ccq_percent: Some(40),
        active_ccq_percent: None,
    };
    file(
        seeds,
        "limits",
        9,
        &encode(Part::Limits, 0, [limits].iter())?,
    )?;
    let trend = TrendRecord {
        tenant_id: tenant(),
        mac: Mac(2),
        ap_device_id: device(3),
        radio_mac: Mac(1),
        hour: 500_000,
        hours: vec![(0, -7_000, 60), (23, -6_512, 1)],
        days: vec![(0, -6_800, 1_440), (28, -6_100, 720)],
        open: Some((TrendTest::Day, AT, -6_150, -6_800)),
    };
    file(
        seeds,
        "trends",
        10,
        &encode(Part::Trends, 7, [trend].iter())?,
    )?;
    alerts(seeds)
}

fn alerts(seeds: &Seeds) -> Result {
    let rule = Rule {
        id: RuleId(Uuid::from_u128(8)),
        tenant_id: tenant(),
        name: "uplinks".to_owned(),
        kind: RuleKind::InterfaceUtilization,
        scope: Scope::Site(SiteId(Uuid::from_u128(4))),
        subject: RuleSubject::Interface,
        interface: Some("sfp*".to_owned()),
        operator: Some(Operator::Gte),
        enter_milli: 90_000,
        clear_milli: 80_000,
        hits: 3,
        clears: 2,
        severity: Severity::Warning,
        enabled: true,
        version: 1,
        schedule: Some(Schedule {
            days: vec![5, 6],
            from_minute: Some(1_320),
            to_minute: Some(360),
            time_zone: "Europe/Ljubljana".to_owned(),
        }),
    };
    let subject = Subject::Interface(device(1), "sfp1".into());
    let judged = JudgedRecord {
        rule_id: rule.id,
        subject: subject.clone(),
        run: 1,
        latched: false,
        open: Some((AT, 91_500)),
    };
    let incident = IncidentRecord {
        tenant_id: tenant(),
        incident_id: IncidentId(Uuid::from_u128(9)),
        root: Root::Device(device(2)),
        kind: RuleKind::Offline,
        severity: Severity::Critical,
        opened_at: AT,
    };
    let alert = AlertRecord {
        tenant_id: tenant(),
        rule_id: rule.id,
        kind: rule.kind,
        severity: rule.severity,
        subject,
        open: judged.open,
        told: true,
        incident_id: Some(incident.incident_id),
        changes: vec![AT],
    };
    let window = Window {
        id: WindowId(Uuid::from_u128(10)),
        tenant_id: tenant(),
        name: "sundays".to_owned(),
        site_id: None,
        device_ids: vec![device(1)],
        starts_at: AT,
        ends_at: AT + Span::hours(2),
        recurrence: Some("FREQ=WEEKLY;BYDAY=SU".to_owned()),
        time_zone: "Europe/Ljubljana".to_owned(),
        version: 1,
    };
    let throughput = ThroughputRecord {
        place: Place::Tenant(tenant()),
        ticks: vec![Some(1_000_000), None],
    };
    let core = CoreRecord {
        tenant_id: tenant(),
        site_id: SiteId(Uuid::from_u128(4)),
    };
    let rules = encode(Part::Rules, 0, [&rule].into_iter())?;
    file(seeds, "rules", 11, &rules)?;
    let windows = encode(Part::Windows, 0, [&window].into_iter())?;
    file(seeds, "windows", 12, &windows)?;
    let cores = encode(Part::Cores, 0, [&core].into_iter())?;
    file(seeds, "cores", 13, &cores)?;
    let judged = encode(Part::Judged, 7, [&judged].into_iter())?;
    file(seeds, "judged", 14, &judged)?;
    let throughput = encode(Part::Throughput, 7, [&throughput].into_iter())?;
    file(seeds, "throughput", 15, &throughput)?;
    let alerts = encode(Part::Alerts, 7, [&alert].into_iter())?;
    file(seeds, "alerts", 16, &alerts)?;
    let incidents = encode(Part::Incidents, 7, [&incident].into_iter())?;
    file(seeds, "incidents", 17, &incidents)
}

fn file(seeds: &Seeds, name: &str, part: u8, bytes: &[u8]) -> Result {
    let body = &bytes[..bytes.len() - 4];
    seeds.put("checkpoint", name, [&[part], body].concat())
}

fn by_hand(seeds: &Seeds) -> Result {
    seeds.put(
        "scenario",
        "all",
        "# a night\nat 5m rain site=3 db=18 for=2m\nat 6m30s ap_dead ap=1 for=45s\nnow signal cpe=2 db=3\n\
         power site=2 for=45s\ntrouble seed=4 every=1m for=2m\nat 1h interference site=1\n",
    )?;
    seeds.put(
        "scenario",
        "wrong",
        "at rain\nrain site=0\nat 5x rain site=1 site=2\n",
    )?;
    seeds.put(
        "inventory",
        "small",
        r#"{"tenants":[{"name":"north","sites":[{"name":"hill","latitude":47.1,"longitude":9.5}],
"sectors":[{"name":"s1","site":"hill","azimuth_deg":120}],"devices":[{"name":"ap-1","address":"192.0.2.1",
"username":"reader","password":"x","tls":"pinned","site":"hill","sector":"s1","role":"ap","interval_s":0.5}]}]}"#,
    )?;
    seeds.put("inventory", "empty", r#"{"tenants":[]}"#)?;
    let named = [&4u32.to_le_bytes()[..], b"userpassword"].concat();
    seeds.put("secrets", "credentials", named)?;
    seeds.put("secrets", "sealed", [&[1u8][..], &[7; 60]].concat())?;
    Ok(())
}
