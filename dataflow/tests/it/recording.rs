//! A log as pollers and people write it: a random history with heartbeats, of which only the first, empty slot is bound.
//!
//! Partitions promise at times of their own, a few ms apart, and control far more rarely than telemetry: as when Postgres
//! is slow. So a heartbeat of one partition stands for many slots that the others close one by one, and whoever takes the
//! binding over amid those must know it.

use std::path::Path;

use mast_log::{EmbeddedConfig, EmbeddedLog, Fsync, Log, Record, TopicSpec};
use mast_oracle::script::{self, SlotInput};
use mast_schemas::epochs::Binding;
use mast_schemas::message::{Header, Heartbeat, ProducerId, SlowRows, WholePoll, write_polls};
use mast_schemas::partition::{partition, shard};
use mast_schemas::records::{Outcome, PollId, Tables};
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{Epoch, Timestamp, topics};
use uuid::Uuid;

use crate::support::PARTITIONS;

/// Size of one ballast message, and how many of them end a group of the job.
const BALLAST: (usize, u32) = (4_300_000, 4);
/// Ballast stands before so many slots; there is one group more.
pub(crate) const GROUPS: usize = 4;

/// Opens the log of a folder.
pub(crate) fn open(folder: &Path) -> EmbeddedLog {
    let config = EmbeddedConfig {
        fsync: Fsync::Never,
        ..EmbeddedConfig::default()
    };
    EmbeddedLog::open(folder.join("log"), config).unwrap()
}

/// Writes a history to the folder's log. Returns its last slot; everything in it is promised up to that slot's end.
pub(crate) fn record(folder: &Path, seed: u64, size: usize) -> Epoch {
    let log = open(folder);
    for (name, partitions) in [
        (topics::TELEMETRY, PARTITIONS),
        (topics::CONTROL, 1),
        (topics::EPOCHS, 1),
    ] {
        let name = name.to_owned();
        log.ensure_topic(&TopicSpec { name, partitions }).unwrap();
    }
    let mut writer = Writer { log, outbox_id: 0 };
    let slots = script::random(seed, size);
    writer.begin(Epoch(slots[0].first.0 - 1));
    for (n, slot) in slots.iter().enumerate() {
        if n > 0 && n % (slots.len() / GROUPS + 1) == 0 {
            writer.ballast();
        }
        writer.slot(slot);
    }
    slots.last().unwrap().last
}

struct Writer {
    log: EmbeddedLog,
    outbox_id: i64,
}

impl Writer {
    /// Binds an empty slot, as the first start of a job does with the slot that it finds itself in.
    fn begin(&self, slot: Epoch) {
        for p in 0..PARTITIONS {
            self.beat(p, slot.end());
        }
        self.control(Some(slot.end()), Vec::new());
        let binding = Binding {
            first: slot,
            last: slot,
            generation: 0,
            telemetry: vec![1; PARTITIONS as usize],
            control: 1,
            silent: Vec::new(),
            by_clock: false,
        };
        let record = Record {
            body: binding.encode().into(),
            ..Record::default()
        };
        self.log.append(topics::EPOCHS, 0, &[record]).unwrap();
    }

    fn slot(&mut self, slot: &SlotInput) {
        for record in &slot.control {
            self.outbox_id = record.outbox_id;
            self.control(None, record.encode());
        }
        for p in 0..PARTITIONS {
            let of = |whole: &&WholePoll| partition(shard(&whole.poll.device_id), PARTITIONS) == p;
            let polls: Vec<WholePoll> = slot.polls.iter().filter(of).cloned().collect();
            if !polls.is_empty() {
                self.polls(p, &polls);
            }
        }
        let (begin, end) = (slot.first.end() - SLOT, slot.last.end());
        let ticks = (1..=40).map(|k| begin + Span::millis(200 * k));
        for tick in ticks.filter(|t| *t < end - SLOT).chain([end]) {
            for p in 0..PARTITIONS {
                self.beat(p, tick + Span::millis(7 * i64::from(p)));
            }
        }
        self.control(Some(end), Vec::new());
    }

    fn polls(&self, p: u32, polls: &[WholePoll]) {
        let polls: Vec<WholePoll> = polls.iter().map(with_slower_kinds).collect();
        let (headers, body) = write_polls(&polls, producer(1), 1).unwrap();
        let record = Record {
            headers,
            body,
            ..Record::default()
        };
        self.log.append(topics::TELEMETRY, p, &[record]).unwrap();
    }

    fn beat(&self, p: u32, clock: Timestamp) {
        let record = Record {
            headers: header(1, Some((clock, 1023))),
            ..Record::default()
        };
        self.log.append(topics::TELEMETRY, p, &[record]).unwrap();
    }

    fn control(&self, beat: Option<Timestamp>, body: Vec<u8>) {
        let record = Record {
            key: self.outbox_id.to_be_bytes().to_vec().into(),
            headers: header(2, beat.map(|clock| (clock, 0))),
            body: body.into(),
        };
        self.log.append(topics::CONTROL, 0, &[record]).unwrap();
    }

    /// Polls of a device that nobody knows: they change nothing, but their bytes end the group that the job commits.
    fn ballast(&self) {
        for n in 0..BALLAST.1 {
            let (id, known) = (script::device(9_999), script::tenant(1));
            let poll_id = PollId {
                lease_epoch: 1,
                sequence: u64::from(n) + 1,
            };
            let (at, tables) = (script::at(0), Tables::default());
            let poll = script::poll_row(known, id, at, poll_id, Outcome::Timeout, tables, 1_000);
            let poll = mast_schemas::records::Poll {
                detail: Some("x".repeat(BALLAST.0)),
                ..poll
            };
            let whole = WholePoll {
                poll,
                interfaces: Vec::new(),
                registrations: Vec::new(),
                radios: Vec::new(),
                slow: SlowRows::default(),
            };
            self.polls(0, &[whole]);
        }
    }
}

/// Some polls read the slower kinds too: they are history, of the same fate as their poll.
fn with_slower_kinds(whole: &WholePoll) -> WholePoll {
    let (mut whole, poll) = (whole.clone(), &whole.poll);
    let row = |more: serde_json::Value| {
        let mut row = serde_json::json!({
            "tenant_id": poll.tenant_id, "device_id": poll.device_id, "observed_at": poll.observed_at,
            "lease_epoch": poll.lease_epoch, "sequence": poll.sequence,
        });
        row.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        row
    };
    let rows = serde_json::json!({
        "arp": {"address": "192.0.2.7"},
        "dhcp_leases": {"address": "192.0.2.7", "host_name": "tv"},
        "neighbors": {"interface": "ether1"},
        "routes": {"protocol": "all", "active": 3, "total": 4},
        "firmware": {"channel": "stable"},
        "line": {"topics": "info", "message": "again", "line": 0, "origin": "device"},
        "next line": {"topics": "info", "message": "again", "line": 1, "origin": "device"},
    });
    fn typed<R: serde::de::DeserializeOwned>(row: serde_json::Value) -> R {
        serde_json::from_value(row).unwrap()
    }
    if poll.sequence.is_multiple_of(3) {
        let (slow, row) = (&mut whole.slow, |name: &str| row(rows[name].clone()));
        slow.arp.push(typed(row("arp")));
        slow.dhcp_leases.push(typed(row("dhcp_leases")));
        slow.neighbors.push(typed(row("neighbors")));
        slow.routes.push(typed(row("routes")));
        slow.firmware.push(typed(row("firmware")));
        slow.events
            .extend(["line", "next line"].map(|name| typed(row(name))));
    }
    whole
}

fn producer(n: u128) -> ProducerId {
    ProducerId(Uuid::from_u128(n))
}

fn header(of: u128, beat: Option<(Timestamp, u32)>) -> bytes::Bytes {
    Header {
        producer: producer(of),
        lease_epoch: 1,
        heartbeat: beat.map(|(clock, last_shard)| Heartbeat {
            clock,
            shards: vec![(0, last_shard)],
        }),
        sections: Vec::new(),
    }
    .encode()
}
