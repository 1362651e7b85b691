//! The laws of a running installation, checked by code that shares nothing with the dataflow's: the oracle.
//!
//! [`mod@fold`] computes what must be there from the log, [`served`] reads what Postgres shows, [`lake`] compares history,
//! [`rollups`] what is made of it, as far back as it is [`kept`].

mod alerts;
mod fold;
mod kept;
mod lake;
mod owners;
mod places;
mod rollups;
mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use anyhow::Context;
use mast_lake::Retention;
use mast_log::{Log, LogError};
use mast_oracle::{laws, maintenance_laws, place_laws, rule_laws};
use mast_postgres::Role;
use mast_schemas::views::EventId;
use serde::Serialize;

use crate::standalone::{Database, Paths};
use fold::{Folded, fold};
use served::{Seen, Served};

/// Examples shown of each broken law.
const EXAMPLES: usize = 5;

/// What came of a check.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The slot that was compared.
    pub(crate) epoch: u64,
    /// The slot of the checkpoint that the fold began with; 0 = the begin of history.
    pub(crate) from_epoch: u64,
    /// History was compared up to this slot.
    pub(crate) lake_epoch: u64,
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
    /// Its number; it stays when laws are added.
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

/// How many checkpoints may be trimmed away under a check.
const ATTEMPTS: usize = 5;

/// Checks all laws. A running installation trims its log behind the checkpoint that the check began with: then it is begun
/// again with a later one.
pub(crate) async fn verify(
    paths: &Paths,
    database: &Database,
    log: Arc<dyn Log>,
    kept: Retention,
) -> anyhow::Result<Report> {
    for passed_over in 0..ATTEMPTS {
        match check(paths, database, Arc::clone(&log), kept, passed_over).await {
            Err(error) if is_gap(&error) => {
                tracing::info!(%error, "the log was trimmed meanwhile; checking again");
            }
            done => return done,
        }
    }
    check(paths, database, log, kept, ATTEMPTS).await
}

fn is_gap(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| matches!(cause.downcast_ref(), Some(LogError::Gap { .. })))
}

async fn check(
    paths: &Paths,
    database: &Database,
    log: Arc<dyn Log>,
    kept: Retention,
    passed_over: usize,
) -> anyhow::Result<Report> {
    let pool = database.pool(Role::Dataflow, 1).await?;
    // Until it ends, no file that the manifest names in it is removed.
    let mut snapshot = pool.begin().await?;
    let served = Served::read(&mut snapshot, kept)
        .await
        .context("read what is served")?;
    let paths = paths.clone();
    let judge = move || {
        let folded = fold(&paths, log.as_ref(), &served, passed_over)?;
        Ok(judge(&paths, &served, folded))
    };
    let judged = tokio::task::spawn_blocking(judge)
        .await
        .context("the check failed")?;
    snapshot.commit().await?;
    pool.close().await;
    judged
}

fn judge(paths: &Paths, served: &Served, folded: Folded) -> Report {
    let (epoch, from_epoch, polls) = (served.epoch.0, folded.from.0, folded.polls);
    let lake_epoch = served.lake.as_of.unwrap_or_default().0;
    let mut laws = vec![
        views(served, &folded),
        events(served, &folded),
        sums(served, &folded),
        tenants(served, &folded),
    ];
    let (ledger, root) = (folded.ledger, paths.lake());
    let (rows, found) = ledger.settle(&root, served, &folded.places);
    let text = "history holds each poll of the log once, with all its rows, each event, what places were, and rollups that are their recount";
    laws.insert(2, Law::new(3, text, rows, found));
    Report {
        epoch,
        from_epoch,
        lake_epoch,
        polls,
        breaches: laws.iter().map(|l| l.breaches).sum(),
        laws,
    }
}

fn views(served: &Served, folded: &Folded) -> Law {
    let (ours, truth) = (&served.views, &folded.views);
    let mut found = Vec::new();
    differ("device", &ours.devices, &truth.devices, &mut found);
    differ("link", &ours.links, &truth.links, &mut found);
    differ("address", &ours.addresses, &truth.addresses, &mut found);
    differ("counts", &ours.counts, &truth.counts, &mut found);
    differ("health", &ours.health, &truth.health, &mut found);
    differ("trend", &ours.trends, &truth.trends, &mut found);
    differ("alert", &ours.alerts, &truth.alerts, &mut found);
    differ("incident", &ours.incidents, &truth.incidents, &mut found);
    let places = ours.counts.len() + ours.health.len();
    let signals = ours.trends.len() + ours.alerts.len() + ours.incidents.len();
    let rows = ours.devices.len() + ours.links.len() + ours.addresses.len() + places + signals;
    Law::new(1, "views equal the oracle over the log", rows, found)
}

fn events(served: &Served, folded: &Folded) -> Law {
    let since = |(id, seen): (&EventId, &Seen)| (seen.epoch > folded.since).then_some(*id);
    let all = (served.events.iter()).chain(&served.place_events);
    let all = all.chain(&served.alert_events);
    let since: BTreeSet<EventId> = all.filter_map(since).collect();
    let lost = folded
        .events
        .difference(&since)
        .map(|id| format!("event {} is missing", id.0));
    let extra = since
        .difference(&folded.events)
        .map(|id| format!("event {} should not be", id.0));
    let found = lost.chain(extra).collect();
    Law::new(2, "the same events, each once", folded.events.len(), found)
}

fn sums(served: &Served, folded: &Folded) -> Law {
    let (ours, standings, at) = (&served.views, &folded.standings, served.epoch.end());
    let found = laws(ours)
        .into_iter()
        .chain(place_laws(ours, standings))
        .chain(maintenance_laws(ours, &folded.windows, standings, at))
        .chain(rule_laws(ours, &folded.rules, standings))
        .map(|b| format!("{}: {}", b.law, b.subject))
        .collect();
    let signals = ours.alerts.len() + ours.incidents.len() + ours.trends.len();
    let rows = ours.devices.len() + ours.links.len() + signals;
    Law::new(4, "sums agree; one live access point a client", rows, found)
}

fn tenants(served: &Served, folded: &Folded) -> Law {
    let (ours, owners) = (&served.views, &folded.tenants);
    let devices = ours
        .devices
        .values()
        .filter(|d| owners.get(&d.device_id) != Some(&d.tenant_id))
        .map(|d| format!("device {} has another tenant's row", d.device_id));
    let links = ours
        .links
        .keys()
        .filter(|l| owners.get(&l.ap_device_id) != Some(&l.tenant_id))
        .map(|l| format!("link of {} has another tenant's row", l.ap_device_id));
    let addresses = ours
        .addresses
        .values()
        .filter(|a| owners.get(&a.device_id) != Some(&a.tenant_id))
        .map(|a| format!("address of {} is another tenant's row", a.mac));
    let of_things = owners::strange(ours, &folded.standings);
    let found = devices.chain(links).chain(addresses).chain(of_things);
    let signals = ours.alerts.len() + ours.incidents.len() + ours.trends.len();
    let rows = ours.devices.len() + ours.links.len() + ours.addresses.len() + signals;
    Law::new(5, "no row of another tenant", rows, found.collect())
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
