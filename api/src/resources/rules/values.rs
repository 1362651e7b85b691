//! The values that a rule would be judged by, read from history.
//!
//! A rule is judged by what the dataflow sees; history has what it kept of that. Where the two are the same it is said, and where
//! they are not, what is missing: an answer that only looks exact would be worse than none.

use mast_query::Session;
use mast_schemas::alerts::RuleKind;
use mast_schemas::counters::PAIR;
use serde::Deserialize;
use uuid::Uuid;

use crate::http::problem::Problem;
use crate::http::wire::Time;
use crate::resources::history;

/// A value, by subject and time.
#[derive(Debug, Deserialize)]
pub(crate) struct Value {
    /// The device, site or sector.
    pub(crate) id: Uuid,
    /// Name of the interface.
    #[serde(default)]
    pub(crate) interface: Option<String>,
    pub(crate) at: Time,
    /// Thousandths; null: none was known.
    #[serde(default)]
    pub(crate) value_milli: Option<i64>,
}

/// What history can say of a kind.
#[derive(Debug)]
pub(crate) struct Source {
    sql: String,
    /// What it can't say; null: its values are those that the rule is judged by.
    pub(crate) note: Option<&'static str>,
    /// Values are of each of so many minutes, until the next one; null: of a poll each.
    pub(crate) every_minutes: Option<i64>,
}

/// Where and when to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// The devices, sites or sectors.
    pub(crate) ids: &'a [Uuid],
    pub(crate) from: Time,
    /// Not part of it.
    pub(crate) to: Time,
}

const STATES: &str =
    "polls of a device whose state did not change since before history begins are left out";
const OWN_RADIOS: &str = "which radios are a device's own is taken from its registration tables alone, and what CAPsMAN shows is left out";
const UPTIME: &str = "a device that booted is told by its counters alone, not by its uptime";
const KEPT: &str = "history has places each five minutes and when their state changes, signals, noise and traffic of them only \
     since this is kept; minutes between are taken to be as before";
const FIVE_MINUTES: &str = "history has places each five minutes and when their state changes; minutes between are taken to be as before";

impl Window<'_> {
    /// The rows of a table for it.
    fn rows(&self, id: &str, at: &str) -> String {
        let ids: Vec<_> = self.ids.iter().map(|id| format!("'{id}'")).collect();
        let (from, to) = (history::time(self.from), history::time(self.to));
        format!(
            "{id} IN ({}) AND {at} >= {from} AND {at} < {to}",
            ids.join(", ")
        )
    }
}

/// Where the values of a kind are.
pub(crate) fn source(kind: RuleKind, window: Window<'_>) -> Source {
    let polls = |value: &str| Source {
        sql: format!(
            "SELECT device_id AS id, observed_at AS at, {value} AS value_milli FROM polls
             WHERE {} AND outcome <> 'internal' AND NOT late",
            window.rows("device_id", "observed_at")
        ),
        note: None,
        every_minutes: None,
    };
    let used = |what: &str| {
        let (total, free) = (
            format!("CAST({what}_total_bytes AS BIGINT)"),
            format!("CAST({what}_free_bytes AS BIGINT)"),
        );
        polls(&format!("({total} - {free}) * 100000 / NULLIF({total}, 0)"))
    };
    let places = |value: &str| Source {
        sql: format!(
            "SELECT place_id AS id, at, {value} AS value_milli FROM site_health_history WHERE {}",
            window.rows("place_id", "at")
        ),
        note: Some(FIVE_MINUTES),
        every_minutes: Some(5),
    };
    let kept = |value: &str| Source {
        note: Some(KEPT),
        ..places(value)
    };
    let observed = "CAST(devices_online + devices_offline + devices_unmanageable AS BIGINT)";
    // By the devices, as rules go: the state may be that of a maintenance window.
    let known = &format!("CASE WHEN {observed} > 0 THEN");
    match kind {
        RuleKind::Cpu => polls("CAST(cpu_load_percent AS BIGINT) * 1000"),
        RuleKind::Memory => used("memory"),
        RuleKind::Disk => used("disk"),
        RuleKind::Temperature => polls(
            "CAST(round(CAST(greatest(cpu_temperature_c, board_temperature_c) AS DOUBLE) * 1000) AS BIGINT)",
        ),
        RuleKind::Signal => clients(
            window,
            "CAST(floor(sum(r.signal_dbm) * 1000.0 / NULLIF(count(r.signal_dbm), 0)) AS BIGINT)",
        ),
        RuleKind::Ccq => clients(window, "CAST(min(r.tx_ccq_percent) AS BIGINT) * 1000"),
        RuleKind::Clients => clients(window, "count(r.mac) * 1000"),
        RuleKind::Offline => states(window, "offline"),
        RuleKind::Unmanageable => states(window, "unmanageable"),
        RuleKind::InterfaceDown => Source {
            sql: format!(
                "SELECT device_id AS id, name AS interface, observed_at AS at,
                     CASE WHEN running THEN 0 ELSE 1000 END AS value_milli
                 FROM interface_samples WHERE {} AND running IS NOT NULL AND disabled IS NOT TRUE AND NOT late",
                window.rows("device_id", "observed_at")
            ),
            note: None,
            every_minutes: None,
        },
        RuleKind::DeviceOfflinePercent => places(&format!(
            "{known} CAST(devices_offline AS BIGINT) * 100000 / NULLIF({observed}, 0) END"
        )),
        RuleKind::DeviceOfflineCount => {
            places(&format!("{known} CAST(devices_offline AS BIGINT) * 1000 END"))
        }
        RuleKind::LinkDownCount => {
            places(&format!("{known} CAST(links_down AS BIGINT) * 1000 END"))
        }
        RuleKind::SiteDown => {
            places(&format!(
                "{known} CASE WHEN devices_online + devices_unmanageable > 0 THEN 0 WHEN devices_unobserved = 0 THEN 1000 END END"
            ))
        }
        RuleKind::SectorSignalAvg => kept(&floored(
            "signal_sum_dbm * 1000",
            "CAST(signal_clients AS BIGINT)",
        )),
        RuleKind::NoiseFloor => kept(&floored(
            "noise_sum_dbm * 1000",
            "CAST(noise_radios AS BIGINT)",
        )),
        RuleKind::SignalDegradation => kept(&format!(
            "{known} CAST(clients_degrading AS BIGINT) * 1000 END"
        )),
        RuleKind::SectorClientDrop => Source {
            note: Some(FIVE_MINUTES),
            ..drops(
                window,
                &format!("{known} CAST(links_active + links_degraded AS BIGINT) END"),
                "CAST(links_active + links_degraded AS BIGINT)",
            )
        },
        RuleKind::ThroughputDrop => drops(window, "rx_bps + tx_bps", "rx_bps + tx_bps"),
        RuleKind::InterfaceUtilization => utilization(window),
    }
}

/// `a ÷ b` rounded down, as the values of rules are; null without `b`.
fn floored(a: &str, b: &str) -> String {
    let b = format!("NULLIF({b}, 0)");
    format!("(({a}) - ((({a}) % {b}) + {b}) % {b}) / {b}")
}

/// Of the interfaces of a device: the higher rate since the table before, percent of what the link can.
fn utilization(window: Window<'_>) -> Source {
    let from_before = Window {
        from: Time(window.from.0.saturating_sub(PAIR.0)),
        ..window
    };
    let rate = |counter: &str, other: &str| {
        format!(
            "rate_bps(lag(t) OVER w, t, lag({counter}) OVER w, {counter}, lag({other}) OVER w, {other})"
        )
    };
    Source {
        sql: format!(
            "SELECT id, interface, at, {} AS value_milli
             FROM (SELECT id, interface, at, CAST(link_rate_bps AS BIGINT) AS can, disabled, {} AS rx_bps, {} AS tx_bps
                   FROM (SELECT device_id AS id, name AS interface, observed_at AS at, CAST(observed_at AS BIGINT) AS t,
                             link_rate_bps, disabled, rx_bytes, tx_bytes
                         FROM interface_samples WHERE {} AND NOT late)
                   WINDOW w AS (PARTITION BY id, interface ORDER BY t))
             WHERE at >= {} AND disabled IS NOT TRUE",
            floored("greatest(rx_bps, tx_bps) * 100000", "can"),
            rate("rx_bytes", "tx_bytes"),
            rate("tx_bytes", "rx_bytes"),
            from_before.rows("device_id", "observed_at"),
            history::time(window.from),
        ),
        note: Some(UPTIME),
        every_minutes: None,
    }
}

/// Of all clients of a device at a poll.
fn clients(window: Window<'_>, value: &str) -> Source {
    Source {
        sql: format!(
            "SELECT p.device_id AS id, p.observed_at AS at, {value} AS value_milli
             FROM (SELECT device_id, observed_at, lease_epoch, sequence FROM polls
                   WHERE {} AND registrations IS NOT NULL AND NOT late) p
             LEFT JOIN (SELECT device_id, lease_epoch, sequence, mac, signal_dbm, tx_ccq_percent FROM registration_samples
                        WHERE {} AND NOT remote AND coalesce(far_end, '') <> 'ap' AND NOT late) r
             ON r.device_id = p.device_id AND r.lease_epoch = p.lease_epoch AND r.sequence = p.sequence
             GROUP BY p.device_id, p.observed_at",
            window.rows("device_id", "observed_at"),
            window.rows("device_id", "observed_at"),
        ),
        note: Some(OWN_RADIOS),
        every_minutes: None,
    }
}

/// The state of a device after each of its polls: that of the newest transition up to then.
fn states(window: Window<'_>, state: &str) -> Source {
    let ever = Window {
        from: Time(window.from.0.saturating_sub(30 * 86_400 * 1_000_000)),
        ..window
    };
    Source {
        sql: format!(
            "SELECT id, at, CASE WHEN state = 'unobserved' THEN NULL WHEN state = '{state}' THEN 1000 ELSE 0 END AS value_milli
             FROM (SELECT id, at, n, last_value(state) IGNORE NULLS OVER (PARTITION BY id ORDER BY at, n
                       ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS state
                   FROM (SELECT device_id AS id, at, 0 AS n, to_state AS state FROM device_events WHERE {}
                         UNION ALL
                         SELECT device_id, observed_at, 1, NULL FROM polls WHERE {} AND outcome <> 'internal' AND NOT late))
             WHERE n = 1 AND state IS NOT NULL",
            ever.rows("device_id", "at"),
            window.rows("device_id", "observed_at"),
        ),
        note: Some(STATES),
        every_minutes: None,
    }
}

/// How much less there is of a place than an hour ago, percent.
fn drops(window: Window<'_>, now: &str, before: &str) -> Source {
    let hour_ago = Window {
        from: Time(window.from.0.saturating_sub(3_600 * 1_000_000)),
        ..window
    };
    Source {
        sql: format!(
            "SELECT s.id, s.at, CASE WHEN h.n > 0 THEN {} END AS value_milli
             FROM (SELECT place_id AS id, at, {now} AS n FROM site_health_history WHERE {}) s
             JOIN (SELECT place_id AS id, at + INTERVAL '1 hour' AS at, {before} AS n FROM site_health_history WHERE {}) h
             ON h.id = s.id AND h.at = s.at",
            floored("(h.n - s.n) * 100000", "h.n"),
            window.rows("place_id", "at"),
            hour_ago.rows("place_id", "at"),
        ),
        note: Some(KEPT),
        every_minutes: Some(5),
    }
}

impl Source {
    /// The values, by subject and time; at most so many, the newest ones.
    pub(crate) async fn read(&self, session: &Session, most: usize) -> Result<Vec<Value>, Problem> {
        let sql = format!("SELECT * FROM ({}) ORDER BY at DESC LIMIT {most}", self.sql);
        let mut values: Vec<Value> = history::rows(session, &sql).await?;
        values.sort_by(|a, b| (a.id, &a.interface, a.at).cmp(&(b.id, &b.interface, b.at)));
        Ok(values)
    }
}
