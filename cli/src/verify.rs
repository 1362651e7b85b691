//! The laws of a running installation, checked by code that shares nothing with the dataflow's: the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use anyhow::Context;
use mast_dataflow::checkpoint;
use mast_dataflow::job::Chain;
use mast_log::{EmbeddedLog, Log};
use mast_oracle::{Oracle, Restored, Views, laws};
use mast_postgres::Role;
use mast_schemas::control::ControlRecord;
use mast_schemas::epochs::Binding;
use mast_schemas::message::{Header, WholePoll, read_polls};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::{Counts, DeviceView, EventId, LinkView, Place};
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, SectorId, SiteId, TenantId, Timestamp, topics};
use serde::Serialize;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::standalone::{Database, JOB, Paths};

/// Bytes read from the log at once.
const READ: usize = 4 << 20;
/// Examples shown of each broken law.
const EXAMPLES: usize = 5;

/// What came of a check.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The slot that was compared.
    pub(crate) epoch: u64,
    /// The slot of the checkpoint that the fold began with; 0 = the begin of history.
    pub(crate) from_epoch: u64,
    /// Polls folded.
    pub(crate) polls: u64,
    /// All breaches.
    pub(crate) breaches: usize,
    /// Law by law.
    pub(crate) laws: Vec<Law>,
}

/// What came of one law.
#[derive(Debug, Serialize)]
pub(crate) struct Law {
    /// Its number in DESIGN §7.6.
    pub(crate) law: u8,
    /// What it says.
    pub(crate) text: &'static str,
    /// Things checked.
    pub(crate) checked: usize,
    /// Things that break it.
    pub(crate) breaches: usize,
    /// Some of them.
    pub(crate) examples: Vec<String>,
}

impl Law {
    fn new(law: u8, text: &'static str, checked: usize, found: Vec<String>) -> Self {
        let breaches = found.len();
        Self {
            law,
            text,
            checked,
            breaches,
            examples: found.into_iter().take(EXAMPLES).collect(),
        }
    }
}

/// What Postgres shows in one snapshot.
struct Served {
    epoch: Epoch,
    views: Views,
    /// Ids of events with their slot.
    events: BTreeMap<EventId, u64>,
}

/// Checks all laws.
pub(crate) async fn verify(paths: &Paths, database: &Database) -> anyhow::Result<Report> {
    let pool = database.pool(Role::Dataflow, 1).await?;
    let mut tx = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *tx)
        .await?;
    let served = read_served(&mut tx).await.context("read what is served")?;
    tx.commit().await?;
    pool.close().await;

    let folder = paths.clone();
    let upto = served.epoch;
    let folded = tokio::task::spawn_blocking(move || fold(&folder, upto))
        .await
        .context("the fold failed")??;
    Ok(judge(&served, folded))
}

/// The oracle's answer.
struct Folded {
    from: Epoch,
    polls: u64,
    views: Views,
    events: BTreeSet<EventId>,
    tenants: BTreeMap<DeviceId, TenantId>,
}

fn judge(served: &Served, folded: Folded) -> Report {
    let (ours, truth) = (&served.views, &folded.views);
    let mut law1 = Vec::new();
    differ("device", &ours.devices, &truth.devices, &mut law1);
    differ("link", &ours.links, &truth.links, &mut law1);
    differ("counts", &ours.counts, &truth.counts, &mut law1);
    let since: BTreeSet<EventId> = served
        .events
        .iter()
        .filter(|(_, epoch)| **epoch > folded.from.0)
        .map(|(id, _)| *id)
        .collect();
    let lost = folded
        .events
        .difference(&since)
        .map(|id| format!("event {} is missing", id.0));
    let extra = since
        .difference(&folded.events)
        .map(|id| format!("event {} should not be", id.0));
    let law2: Vec<_> = lost.chain(extra).collect();
    let law4: Vec<_> = laws(ours)
        .into_iter()
        .map(|b| format!("{}: {}", b.law, b.subject))
        .collect();
    let foreign = ours
        .devices
        .values()
        .filter(|d| folded.tenants.get(&d.device_id) != Some(&d.tenant_id));
    let foreign_links = ours
        .links
        .keys()
        .filter(|l| folded.tenants.get(&l.ap_device_id) != Some(&l.tenant_id));
    let law5: Vec<_> = foreign
        .map(|d| format!("device {} has another tenant's row", d.device_id))
        .chain(
            foreign_links.map(|l| format!("link of {} has another tenant's row", l.ap_device_id)),
        )
        .collect();
    let rows = ours.devices.len() + ours.links.len();
    let laws = vec![
        Law::new(
            1,
            "views equal the oracle over the log",
            rows + ours.counts.len(),
            law1,
        ),
        Law::new(2, "the same events, each once", folded.events.len(), law2),
        Law::new(4, "sums agree; one live access point a client", rows, law4),
        Law::new(5, "no row of another tenant", rows, law5),
    ];
    Report {
        epoch: served.epoch.0,
        from_epoch: folded.from.0,
        polls: folded.polls,
        breaches: laws.iter().map(|l| l.breaches).sum(),
        laws,
    }
}

fn differ<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    ours: &BTreeMap<K, V>,
    truth: &BTreeMap<K, V>,
    found: &mut Vec<String>,
) {
    for (key, row) in truth {
        match ours.get(key) {
            None => found.push(format!("{what} {key:?} is missing; it is {row:?}")),
            Some(other) if other != row => {
                found.push(format!("{what} is {row:?}, served as {other:?}"));
            }
            Some(_) => {}
        }
    }
    let extra = ours.keys().filter(|key| !truth.contains_key(key));
    found.extend(extra.map(|key| format!("{what} {key:?} should not be there")));
}

/// Folds the log from the oldest checkpoint that is whole up to a slot.
fn fold(paths: &Paths, upto: Epoch) -> anyhow::Result<Folded> {
    let log = EmbeddedLog::open_read_only(paths.log()).context("open the log")?;
    let (mut oracle, mut chain, mut at, from) = begin(paths, upto)?;
    let (mut polls, mut telemetry, mut control) = (0, at.telemetry.clone(), at.control);
    if telemetry.is_empty() {
        telemetry = vec![0; log.partitions(topics::TELEMETRY)? as usize];
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
            let changes = read_control(&log, &mut control, binding.control)?;
            let mut whole = Vec::new();
            for (partition, (next, end)) in telemetry.iter_mut().zip(&binding.telemetry).enumerate()
            {
                read_telemetry(&log, partition as u32, next, *end, &mut whole)?;
            }
            polls += whole.len() as u64;
            oracle.slot(binding.first, binding.last, &changes, whole);
        }
    }
    let events = oracle.take_events();
    let ids = events
        .links
        .iter()
        .map(|e| e.event_id)
        .chain(events.devices.iter().map(|e| e.event_id))
        .collect();
    let tenants = oracle
        .records()
        .devices
        .iter()
        .map(|d| (d.device_id, d.tenant_id))
        .collect();
    Ok(Folded {
        from,
        polls,
        views: oracle.views(),
        events: ids,
        tenants,
    })
}

/// Where the fold reads on.
#[derive(Default)]
struct Offsets {
    bindings: u64,
    telemetry: Vec<u64>,
    control: u64,
}

fn begin(paths: &Paths, upto: Epoch) -> anyhow::Result<(Oracle, Chain, Offsets, Epoch)> {
    let stored = checkpoint::list(&paths.checkpoints())?;
    for stored in stored.iter().rev().filter(|s| s.manifest.epoch <= upto) {
        // A running installation may remove the oldest one just now; then the next one serves.
        let Ok(snapshot) = checkpoint::load(&stored.path, &stored.manifest) else {
            continue;
        };
        let manifest = &stored.manifest;
        let mut oracle = Oracle::restore(DEFAULT, restored(snapshot));
        oracle.set_now(manifest.epoch);
        let offsets = Offsets {
            bindings: manifest.bindings,
            telemetry: manifest.telemetry.clone(),
            control: manifest.control,
        };
        return Ok((
            oracle,
            Chain::after(manifest.epoch, manifest.generation),
            offsets,
            manifest.epoch,
        ));
    }
    Ok((
        Oracle::new(DEFAULT),
        Chain::default(),
        Offsets::default(),
        Epoch(0),
    ))
}

fn restored(snapshot: mast_dataflow::outputs::Snapshot) -> Restored {
    fn records<R>(grouped: Vec<(u8, R)>) -> Vec<R> {
        grouped.into_iter().map(|(_, record)| record).collect()
    }
    Restored {
        control: snapshot.control,
        devices: records(snapshot.devices),
        roam: records(snapshot.roam),
        aps: records(snapshot.aps),
        caps: records(snapshot.caps),
    }
}

fn read_control(log: &EmbeddedLog, next: &mut u64, end: u64) -> anyhow::Result<Vec<ControlRecord>> {
    let mut changes = Vec::new();
    while *next < end {
        let entries = log
            .read(topics::CONTROL, 0, *next, READ)
            .context("read the control topic")?;
        anyhow::ensure!(
            !entries.is_empty(),
            "the control topic ends before offset {end}"
        );
        for entry in entries.into_iter().take_while(|e| e.offset < end) {
            *next = entry.offset + 1;
            if Header::decode(&entry.record.headers)?.heartbeat.is_none() {
                changes.push(ControlRecord::decode(&entry.record.body)?);
            }
        }
    }
    Ok(changes)
}

fn read_telemetry(
    log: &EmbeddedLog,
    partition: u32,
    next: &mut u64,
    end: u64,
    polls: &mut Vec<WholePoll>,
) -> anyhow::Result<()> {
    while *next < end {
        let entries = log
            .read(topics::TELEMETRY, partition, *next, READ)
            .with_context(|| format!("read partition {partition} of telemetry"))?;
        anyhow::ensure!(
            !entries.is_empty(),
            "partition {partition} of telemetry ends before offset {end}"
        );
        for entry in entries.into_iter().take_while(|e| e.offset < end) {
            *next = entry.offset + 1;
            let header = Header::decode(&entry.record.headers)?;
            polls.extend(read_polls(&header, &entry.record.body)?);
        }
    }
    Ok(())
}

async fn read_served(conn: &mut PgConnection) -> anyhow::Result<Served> {
    let epoch: i64 = sqlx::query_scalar("SELECT epoch FROM job_progress WHERE job = $1")
        .bind(JOB)
        .fetch_optional(&mut *conn)
        .await?
        .context("the dataflow has never run here; start it with `mast demo`")?;
    let views = Views {
        devices: devices(conn).await.context("read device_status")?,
        links: links(conn).await.context("read links")?,
        counts: counts(conn).await.context("read place_counts")?,
        ..Views::default()
    };
    let events = sqlx::query_as::<_, (Uuid, i64)>(
        "SELECT event_id, epoch FROM link_events UNION ALL SELECT event_id, epoch FROM device_events",
    )
    .fetch_all(&mut *conn)
    .await
    .context("read the events")?;
    let events = events
        .into_iter()
        .map(|(id, epoch)| (EventId(id), epoch.cast_unsigned()))
        .collect();
    Ok(Served {
        epoch: Epoch(epoch.cast_unsigned()),
        views,
        events,
    })
}

async fn devices(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<DeviceId, DeviceView>> {
    let rows = sqlx::query("SELECT *, micros(since) AS since_us FROM device_status")
        .fetch_all(conn)
        .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let device_id = DeviceId(row.try_get("device_id")?);
        let view = DeviceView {
            device_id,
            tenant_id: TenantId(row.try_get("tenant_id")?),
            state: row.try_get::<&str, _>("state")?.parse()?,
            since: Timestamp(row.try_get("since_us")?),
            outcome: row
                .try_get::<Option<&str>, _>("outcome")?
                .map(str::parse)
                .transpose()?,
            identity: row.try_get("identity")?,
            version: row.try_get("version")?,
            board: row.try_get("board")?,
            architecture: row.try_get("architecture")?,
            serial: row.try_get("serial")?,
            firmware: row.try_get("firmware")?,
        };
        all.insert(device_id, view);
    }
    Ok(all)
}

async fn links(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<LinkId, LinkView>> {
    let rows = sqlx::query(
        "SELECT *, micros(since) AS since_us, micros(discovered_at) AS discovered_us FROM links",
    )
    .fetch_all(conn)
    .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let mac = |name: &str| row.try_get::<i64, _>(name).map(|m| Mac(m.cast_unsigned()));
        let id = LinkId {
            tenant_id: TenantId(row.try_get("tenant_id")?),
            ap_device_id: DeviceId(row.try_get("ap_device_id")?),
            radio_mac: mac("radio_mac")?,
            mac: mac("mac")?,
        };
        let view = LinkView {
            id,
            interface: row.try_get("interface")?,
            source: row.try_get::<&str, _>("source")?.parse()?,
            cpe_device_id: row
                .try_get::<Option<Uuid>, _>("cpe_device_id")?
                .map(DeviceId),
            state: row.try_get::<&str, _>("state")?.parse()?,
            since: Timestamp(row.try_get("since_us")?),
            reason: row.try_get::<&str, _>("reason")?.parse()?,
            discovered_at: Timestamp(row.try_get("discovered_us")?),
            unobserved: row.try_get("unobserved")?,
            ambiguous: row.try_get("ambiguous")?,
        };
        all.insert(id, view);
    }
    Ok(all)
}

async fn counts(conn: &mut PgConnection) -> anyhow::Result<BTreeMap<Place, Counts>> {
    let rows = sqlx::query("SELECT * FROM place_counts")
        .fetch_all(conn)
        .await?;
    let mut all = BTreeMap::new();
    for row in rows {
        let (tenant, id) = (
            TenantId(row.try_get("tenant_id")?),
            row.try_get::<Uuid, _>("id")?,
        );
        let place = match row.try_get::<&str, _>("kind")? {
            "tenant" => Place::Tenant(tenant),
            "site" => Place::Site(tenant, SiteId(id)),
            _ => Place::Sector(tenant, SectorId(id)),
        };
        let counts = Counts {
            devices: [
                row.try_get("devices_online")?,
                row.try_get("devices_offline")?,
                row.try_get("devices_unmanageable")?,
                row.try_get("devices_unobserved")?,
            ],
            links: [
                row.try_get("links_discovered")?,
                row.try_get("links_active")?,
                row.try_get("links_degraded")?,
                row.try_get("links_down")?,
                row.try_get("links_stale")?,
            ],
            links_unobserved: row.try_get("links_unobserved")?,
        };
        all.insert(place, counts);
    }
    Ok(all)
}
