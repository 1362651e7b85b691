//! The views against the simulator's truth.
//!
//! Answers lag by design: a truth counts once it has stood long enough to be seen. Truth is taken two intervals back, and
//! only what had stood for three intervals then; the rest is unsettled and decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context;
use mast_schemas::Mac;
use mast_simulator::{FleetHandle, Truth};
use sqlx::PgPool;

use mast_schemas::TenantId;

/// What Postgres serves now, of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Served {
    /// State by device address.
    pub(crate) devices: HashMap<String, String>,
    /// State by (radio, client).
    pub(crate) links: HashMap<(Mac, Mac), Vec<String>>,
    /// The newest transitions, newest first.
    pub(crate) transitions: Vec<String>,
}

impl Served {
    /// Devices in a state.
    pub(crate) fn devices_in(&self, state: &str) -> usize {
        self.devices.values().filter(|s| *s == state).count()
    }

    /// Links in a state.
    pub(crate) fn links_in(&self, state: &str) -> usize {
        self.links
            .values()
            .flatten()
            .filter(|s| *s == state)
            .count()
    }

    /// Links that are active or degraded.
    pub(crate) fn live(&self) -> usize {
        self.links_in("active") + self.links_in("degraded")
    }

    /// Reads it as each tenant sees it.
    pub(crate) async fn read(pool: &PgPool, tenants: &[TenantId]) -> anyhow::Result<Self> {
        let mut served = Self::default();
        let mut transitions = Vec::new();
        for tenant in tenants {
            let mut tx = mast_postgres::tenant_snapshot(pool, *tenant).await?;
            let devices = sqlx::query_as::<_, (String, String)>(
                "SELECT d.address, coalesce(s.state, 'unobserved') FROM devices d LEFT JOIN device_status s ON s.device_id = d.id",
            )
            .fetch_all(&mut *tx)
            .await
            .context("read the devices")?;
            served.devices.extend(devices);
            let links =
                sqlx::query_as::<_, (i64, i64, String)>("SELECT radio_mac, mac, state FROM links")
                    .fetch_all(&mut *tx)
                    .await
                    .context("read the links")?;
            for (radio, mac, state) in links {
                served
                    .links
                    .entry((Mac(radio.cast_unsigned()), Mac(mac.cast_unsigned())))
                    .or_default()
                    .push(state);
            }
            let recent = sqlx::query_as::<_, (i64, String, i64, Option<String>, Option<String>, String)>(
                "SELECT micros(e.at), d.name, e.mac, e.from_state, e.to_state, e.reason
                 FROM link_events e JOIN devices d ON d.id = e.ap_device_id ORDER BY e.at DESC LIMIT 6",
            )
            .fetch_all(&mut *tx)
            .await
            .context("read the transitions")?;
            transitions.extend(recent.into_iter().map(|(at, ap, mac, from, to, reason)| {
                let (from, to) = (
                    from.unwrap_or_else(|| "new".into()),
                    to.unwrap_or_else(|| "forgotten".into()),
                );
                (
                    at,
                    format!(
                        "{ap} ─ {}: {from} → {to} ({reason})",
                        Mac(mac.cast_unsigned())
                    ),
                )
            }));
            tx.commit().await?;
        }
        transitions.sort_by(|a, b| b.cmp(a));
        served.transitions = transitions
            .into_iter()
            .take(6)
            .map(|(_, text)| text)
            .collect();
        Ok(served)
    }
}

/// Where views and truth differ.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// Live links by the truth, two intervals ago.
    pub(crate) links_truth: usize,
    /// Each difference, in words.
    pub(crate) differences: Vec<String>,
}

/// Compares what is served with what was true two intervals ago.
pub(crate) fn compare(
    fleet: &FleetHandle,
    served: &Served,
    now_ms: i64,
    interval: Duration,
) -> Comparison {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let truth = fleet.truth_at(now_ms - 2 * interval_ms);
    compare_with(&truth, served, 3.0 * interval.as_secs_f64())
}

/// Compares what is served with a truth of which only what had stood so long counts.
pub(crate) fn compare_with(truth: &Truth, served: &Served, stable_for_s: f64) -> Comparison {
    let mut differences = Vec::new();
    for device in &truth.devices {
        if device.stable_since < stable_for_s {
            continue;
        }
        let expected: &[&str] = match (device.alive, device.manageable) {
            (true, true) => &["online"],
            (true, false) => &["unmanageable"],
            // A device that never answered was never online: nobody has seen it fail twice yet, or it is offline.
            (false, _) => &["offline", "unobserved"],
        };
        let state = served
            .devices
            .get(&device.address)
            .map_or("missing", String::as_str);
        if !expected.contains(&state) {
            differences.push(format!(
                "device {} is {}, served as {state}",
                device.name, expected[0]
            ));
        }
    }
    let settled = truth.settled_links(stable_for_s);
    let live: BTreeMap<(Mac, Mac), usize> = served
        .links
        .iter()
        .map(|(key, states)| {
            (
                *key,
                states
                    .iter()
                    .filter(|s| *s == "active" || *s == "degraded")
                    .count(),
            )
        })
        .filter(|(_, n)| *n > 0)
        .collect();
    let key = |radio: &str, mac: &str| Some((radio.parse::<Mac>().ok()?, mac.parse::<Mac>().ok()?));
    let must: BTreeSet<_> = settled
        .live
        .iter()
        .filter_map(|link| key(&link.radio_mac, &link.mac))
        .collect();
    let may: BTreeSet<_> = settled
        .unsettled
        .iter()
        .filter_map(|(radio, mac)| key(radio, mac))
        .collect();
    for (radio, mac) in &must {
        match live.get(&(*radio, *mac)) {
            Some(1) => {}
            Some(n) => differences.push(format!("link {radio} ─ {mac} is served {n} times")),
            None => differences.push(format!("link {radio} ─ {mac} is live, not served so")),
        }
    }
    for (radio, mac) in live.keys() {
        if !must.contains(&(*radio, *mac)) && !may.contains(&(*radio, *mac)) {
            differences.push(format!("link {radio} ─ {mac} is not live, but served so"));
        }
    }
    Comparison {
        links_truth: truth.links.len(),
        differences,
    }
}
