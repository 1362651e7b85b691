//! The oracle's answer: the log, folded from the oldest checkpoint that is whole up to the slot that is served.
//!
//! What the dataflow leaves out is left out here too, by the same page of semantics and other code: bindings of a job that
//! was superseded, control records of a superseded relay, and what does not decode.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use mast_dataflow::checkpoint;
use mast_dataflow::job::Chain;
use mast_dataflow::outputs::Snapshot;
use mast_log::{Entry, Log};
use mast_oracle::{Oracle, Restored, Views};
use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::control::{ControlRecord, Rule, Window};
use mast_schemas::epochs::Binding;
use mast_schemas::message::{Header, WholePoll, read_polls};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::{EventId, HealthSample};
use mast_schemas::{DeviceId, Epoch, TenantId, topics};

use super::lake::Ledger;
use super::served::Served;
use crate::standalone::Paths;

/// Bytes read from the log at once.
const READ: usize = 4 << 20;

/// The oracle's answer.
pub(super) struct Folded {
    /// The slot of the checkpoint that the fold began with; 0 = the begin of history.
    pub(super) from: Epoch,
    /// Events and history can be recounted after this slot: what they held before, the log may have lost.
    pub(super) since: Epoch,
    pub(super) polls: u64,
    pub(super) views: Views,
    pub(super) events: BTreeSet<EventId>,
    pub(super) tenants: BTreeMap<DeviceId, TenantId>,
    /// Rules.
    pub(super) rules: Vec<Rule>,
    /// Maintenance windows.
    pub(super) windows: Vec<Window>,
    /// Where devices stand.
    pub(super) standings: Vec<StandingRecord>,
    /// Rows of the history of places.
    pub(super) places: Vec<HealthSample>,
    /// What the lake must hold of the slots after `from`.
    pub(super) ledger: Ledger,
}

/// Folds the log up to the slot that is served, from the oldest checkpoint but `passed_over` older ones; what belongs in the
/// lake is booked up to where it reaches.
pub(super) fn fold(
    paths: &Paths,
    log: &dyn Log,
    served: &Served,
    passed_over: usize,
) -> anyhow::Result<Folded> {
    let upto = served.epoch;
    let Begin {
        mut oracle,
        mut chain,
        mut at,
        mut ledger,
        from,
        since,
    } = begin(paths, served, passed_over)?;
    let mut polls = 0;
    at.look_back(log)?;
    if at.telemetry.is_empty() {
        at.telemetry = vec![0; log.partitions(topics::TELEMETRY)? as usize];
    }
    while chain.closed() < upto {
        let entries = log
            .read(topics::EPOCHS, 0, at.bindings, READ)
            .context("read the bindings")?;
        if entries.is_empty() {
            anyhow::bail!(
                "the bindings end at slot {}, but Postgres shows slot {}",
                chain.closed().0,
                upto.0
            );
        }
        for entry in entries {
            at.bindings = entry.offset + 1;
            let binding = Binding::decode(&entry.record.body)?;
            if chain.closed() >= upto || !chain.accept(&binding) {
                continue;
            }
            let changes = at.control(log, binding.control)?;
            let whole = at.telemetry(log, &binding.telemetry)?;
            polls += whole.len() as u64;
            ledger.slot(binding.first, &changes, &whole);
            oracle.slot(binding.first, binding.last, &changes, whole);
            if binding.last <= since {
                drop(oracle.take_events());
            }
        }
    }
    Ok(folded((from, since), polls, oracle, ledger))
}

fn folded((from, since): (Epoch, Epoch), polls: u64, mut oracle: Oracle, ledger: Ledger) -> Folded {
    let events = oracle.take_events();
    let links = events.links.iter().map(|e| e.event_id);
    let devices = events.devices.iter().map(|e| e.event_id);
    let places = events.health.iter().map(|e| e.event_id);
    let alerts = events.alerts.iter().map(|e| e.event_id);
    let incidents = events.incidents.iter().map(|e| e.event_id);
    let trends = events.trends.iter().map(|e| e.event_id);
    let of_alerts = alerts.chain(incidents).chain(trends);
    let records = oracle.records();
    let known = &records.devices;
    Folded {
        from,
        since,
        polls,
        views: oracle.views(),
        events: links
            .chain(devices)
            .chain(places)
            .chain(of_alerts)
            .collect(),
        tenants: known.iter().map(|d| (d.device_id, d.tenant_id)).collect(),
        rules: records.rules,
        windows: records.windows,
        standings: records.control,
        places: events.history,
        ledger,
    }
}

/// What the fold begins with.
struct Begin {
    oracle: Oracle,
    chain: Chain,
    at: Offsets,
    ledger: Ledger,
    from: Epoch,
    since: Epoch,
}

fn begin(paths: &Paths, served: &Served, passed_over: usize) -> anyhow::Result<Begin> {
    let stored = checkpoint::list(&paths.checkpoints())?;
    let usable = stored
        .iter()
        .rev()
        .filter(|s| s.manifest.epoch <= served.epoch);
    let few = usable.clone().count().saturating_sub(1);
    for stored in usable.skip(passed_over.min(few)) {
        // A running installation may remove the oldest one just now; then the next one serves.
        let Ok(snapshot) = checkpoint::load(&stored.path, &stored.manifest) else {
            continue;
        };
        let (manifest, records) = (&stored.manifest, restored(snapshot));
        let since = manifest.epoch.max(manifest.anew_after.unwrap_or_default());
        let ledger = Ledger::new(since, served, &records);
        let mut oracle = Oracle::restore(DEFAULT, records);
        oracle.set_now(manifest.epoch);
        return Ok(Begin {
            oracle,
            chain: Chain::after(manifest.epoch, manifest.generation),
            at: Offsets {
                bindings: manifest.bindings,
                telemetry: manifest.telemetry.clone(),
                control: manifest.control,
                ..Offsets::default()
            },
            ledger,
            from: manifest.epoch,
            since,
        });
    }
    Ok(Begin {
        oracle: Oracle::new(DEFAULT),
        chain: Chain::default(),
        at: Offsets::default(),
        ledger: Ledger::new(Epoch(0), served, &Restored::default()),
        from: Epoch(0),
        since: Epoch(0),
    })
}

fn restored(snapshot: Snapshot) -> Restored {
    fn records<R>(grouped: Vec<(u8, R)>) -> Vec<R> {
        grouped.into_iter().map(|(_, record)| record).collect()
    }
    Restored {
        control: snapshot.control,
        limits: snapshot.limits,
        devices: records(snapshot.devices),
        roam: records(snapshot.roam),
        aps: records(snapshot.aps),
        caps: records(snapshot.caps),
        bssids: records(snapshot.bssids),
        health: records(snapshot.health),
        rules: snapshot.rules,
        cores: snapshot.cores,
        windows: snapshot.windows,
        judged: records(snapshot.judged),
        throughput: records(snapshot.throughput),
        trends: records(snapshot.trends),
        alerts: records(snapshot.alerts),
        incidents: records(snapshot.incidents),
    }
}

/// Where the fold reads on.
#[derive(Default)]
struct Offsets {
    bindings: u64,
    telemetry: Vec<u64>,
    control: u64,
    /// Newest lease under which control was written.
    control_lease: u64,
    /// Highest outbox id of a change that counted.
    outbox: i64,
}

/// Control records before a checkpoint among which the newest outbox id is looked for.
const LOOK_BACK: u64 = 128;

impl Offsets {
    /// Finds which changes the checkpoint holds: each record's key is the highest outbox id up to and with it.
    fn look_back(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        let first = log.ends(topics::CONTROL, 0)?.first;
        let from = self.control.saturating_sub(LOOK_BACK).max(first);
        for entry in read(log, topics::CONTROL, 0, from, self.control)? {
            if let Ok(id) = <[u8; 8]>::try_from(entry.record.key.as_ref()) {
                self.outbox = self.outbox.max(i64::from_be_bytes(id));
            }
        }
        Ok(())
    }

    /// The changes up to offset `end`. One of an older lease than another before it does not count, nor one that was
    /// there before.
    fn control(&mut self, log: &dyn Log, end: u64) -> anyhow::Result<Vec<ControlRecord>> {
        let mut changes = Vec::new();
        for entry in read(log, topics::CONTROL, 0, self.control, end)? {
            let Ok(header) = Header::decode(&entry.record.headers) else {
                continue;
            };
            if header.lease_epoch < self.control_lease {
                continue;
            }
            self.control_lease = header.lease_epoch;
            if header.heartbeat.is_none() && !entry.record.body.is_empty() {
                let record = ControlRecord::decode(&entry.record.body);
                if let Ok(record) = record
                    && record.outbox_id > self.outbox
                {
                    self.outbox = record.outbox_id;
                    changes.push(record);
                }
            }
        }
        self.control = end.max(self.control);
        Ok(changes)
    }

    /// The polls up to these offsets.
    fn telemetry(&mut self, log: &dyn Log, ends: &[u64]) -> anyhow::Result<Vec<WholePoll>> {
        let mut polls = Vec::new();
        for ((partition, next), &end) in (0..).zip(&mut self.telemetry).zip(ends) {
            for entry in read(log, topics::TELEMETRY, partition, *next, end)? {
                let decoded = Header::decode(&entry.record.headers)
                    .and_then(|header| read_polls(&header, &entry.record.body));
                match decoded {
                    Ok(read) => polls.extend(read),
                    Err(error) => {
                        let offset = entry.offset;
                        tracing::warn!(partition, offset, %error, "message left out: it does not decode");
                    }
                }
            }
            *next = end.max(*next);
        }
        Ok(polls)
    }
}

/// The records `from..to`, all of which must be there.
fn read(
    log: &dyn Log,
    topic: &str,
    partition: u32,
    from: u64,
    to: u64,
) -> anyhow::Result<Vec<Entry>> {
    let (mut entries, mut next) = (Vec::new(), from);
    while next < to {
        let read = log
            .read(topic, partition, next, READ)
            .with_context(|| format!("read {topic} partition {partition}"))?;
        let Some(last) = read.last() else {
            anyhow::bail!("{topic} partition {partition} ends before offset {to}, which is bound");
        };
        next = last.offset + 1;
        entries.extend(read.into_iter().filter(|entry| entry.offset < to));
    }
    Ok(entries)
}
