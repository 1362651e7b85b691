//! Gauges: signals, rates and loads, each key at most once an interval, after the commits and outside of their promise.
//!
//! The buffer keeps the newest value of a key and hands out one slice of the keys at a time, so that the rows of a large
//! fleet are spread over the interval. One task alone writes the gauge tables, in the order of the batches: a deletion can
//! not be overtaken by an older value, and no commit waits for a lock of this one.

use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use hashbrown::{DefaultHashBuilder, HashMap};
use mast_schemas::views::{DeviceGauge, LinkGauge, PastClients, Place, PlaceAir, Signals};
use mast_schemas::{DeviceId, Epoch, LinkId};
use sqlx::PgPool;
use uuid::Uuid;

use super::tables::{LinkKeys, columns, place};
use crate::outputs::Outputs;

/// Parts of an interval.
const SLICES: usize = 16;
/// How long changes are kept for streams that resume, in slots: 10 minutes.
const CHANGES_KEPT: u64 = 2_400;

/// Values to be written; `None` = the row goes.
#[derive(Debug, Default)]
pub struct GaugeBatch {
    links: Vec<(LinkId, Option<LinkGauge>)>,
    devices: Vec<(DeviceId, Option<DeviceGauge>)>,
    signals: Vec<(Place, Epoch, Option<Signals>)>,
    past: Vec<(Place, Epoch, Option<PastClients>)>,
    air: Vec<(Place, Epoch, Option<PlaceAir>)>,
    changes_before: Option<Epoch>,
}

impl GaugeBatch {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        let places = self.signals.len() + self.past.len() + self.air.len();
        self.links.len() + self.devices.len() + places
    }
}

#[derive(Default)]
struct Slice {
    links: HashMap<LinkId, Option<LinkGauge>>,
    devices: HashMap<DeviceId, Option<DeviceGauge>>,
    signals: HashMap<Place, (Epoch, Option<Signals>)>,
    past: HashMap<Place, (Epoch, Option<PastClients>)>,
    air: HashMap<Place, (Epoch, Option<PlaceAir>)>,
}

/// The newest values that wait for their turn.
pub struct GaugeBuffer {
    slices: Vec<Slice>,
    hasher: DefaultHashBuilder,
    every: Duration,
    due: Instant,
    turn: usize,
    upto: Epoch,
}

impl GaugeBuffer {
    /// A buffer that hands out each key at most once in `interval`; `now` begins the first one.
    pub fn new(interval: Duration, now: Instant) -> Self {
        let every = interval / SLICES as u32;
        let slices = std::iter::repeat_with(Slice::default)
            .take(SLICES)
            .collect();
        Self {
            slices,
            hasher: DefaultHashBuilder::default(),
            every,
            due: now + every,
            turn: 0,
            upto: Epoch(0),
        }
    }

    fn slice(&mut self, key: &impl Hash) -> &mut Slice {
        let place = self.hasher.hash_one(key) as usize % SLICES;
        &mut self.slices[place]
    }

    /// Takes the gauges out of the outputs. To be called before the views are taken out: what they delete has no gauge.
    pub fn merge(&mut self, outputs: &mut Outputs) {
        self.upto = outputs.upto;
        for gauge in outputs.link_gauges.drain(..) {
            let values = &mut self.slice(&gauge.id).links;
            let newest = values.entry(gauge.id).or_insert(None);
            if newest.is_none_or(|n| n.observed_at <= gauge.observed_at) {
                *newest = Some(gauge);
            }
        }
        for gauge in outputs.device_gauges.drain(..) {
            let values = &mut self.slice(&gauge.device_id).devices;
            let newest = values.entry(gauge.device_id).or_insert(None);
            if newest.is_none_or(|n| n.observed_at <= gauge.observed_at) {
                *newest = Some(gauge);
            }
        }
        for (epoch, key, signals) in outputs.signals.drain(..) {
            self.slice(&key).signals.insert(key, (epoch, signals));
        }
        for (epoch, key, past) in outputs.past_clients.drain(..) {
            self.slice(&key).past.insert(key, (epoch, past));
        }
        for (epoch, key, air) in outputs.air.drain(..) {
            self.slice(&key).air.insert(key, (epoch, air));
        }
        self.forget(outputs);
    }

    /// A key whose last view is a deletion loses its gauge.
    fn forget(&mut self, outputs: &Outputs) {
        let mut links: HashMap<LinkId, bool> = HashMap::new();
        for (_, id, view) in &outputs.links {
            if view.is_none() || links.contains_key(id) {
                links.insert(*id, view.is_none());
            }
        }
        for (id, _) in links.into_iter().filter(|(_, gone)| *gone) {
            self.slice(&id).links.insert(id, None);
        }
        let mut devices: HashMap<DeviceId, bool> = HashMap::new();
        for (_, id, view) in &outputs.devices {
            if view.is_none() || devices.contains_key(id) {
                devices.insert(*id, view.is_none());
            }
        }
        for (id, _) in devices.into_iter().filter(|(_, gone)| *gone) {
            self.slice(&id).devices.insert(id, None);
        }
    }

    /// When the next slice is due.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// The slice that is due, if one is. By rising key, as every writer of these tables takes its locks.
    pub fn take(&mut self, now: Instant) -> Option<GaugeBatch> {
        if now < self.due {
            return None;
        }
        self.due = now + self.every;
        let slice = std::mem::take(&mut self.slices[self.turn]);
        self.turn = (self.turn + 1) % SLICES;
        // Once an interval is often enough to drop old changes.
        let changes_before =
            (self.turn == 0).then(|| Epoch(self.upto.0.saturating_sub(CHANGES_KEPT)));
        let mut batch = GaugeBatch {
            links: slice.links.into_iter().collect(),
            devices: slice.devices.into_iter().collect(),
            signals: by_place(slice.signals),
            past: by_place(slice.past),
            air: by_place(slice.air),
            changes_before,
        };
        batch.links.sort_unstable_by_key(|(id, _)| *id);
        batch.devices.sort_unstable_by_key(|(id, _)| *id);
        Some(batch)
    }
}

/// The newest value of each place, by rising place.
fn by_place<V>(values: HashMap<Place, (Epoch, V)>) -> Vec<(Place, Epoch, V)> {
    let rows = values.into_iter();
    let mut rows: Vec<_> = rows
        .map(|(place, (epoch, value))| (place, epoch, value))
        .collect();
    rows.sort_unstable_by_key(|(place, _, _)| *place);
    rows
}

/// Writes a batch; statements of their own, so an error leaves the rest as it was.
///
/// # Errors
/// Those of the connection. What is lost is measured again.
pub async fn write(pool: &PgPool, batch: &GaugeBatch) -> Result<(), sqlx::Error> {
    links(pool, batch).await?;
    devices(pool, batch).await?;
    signals(pool, batch).await?;
    super::places::past(pool, &batch.past).await?;
    super::places::air(pool, &batch.air).await?;
    if let Some(epoch) = batch.changes_before {
        forget_changes(pool, epoch).await?;
        super::ended::forget(pool, epoch).await?;
    }
    Ok(())
}

/// Removes changes of views that are older than `epoch`. First it is said that they go, in a transaction of its own that
/// keeps no commit of views waiting: who sees in one snapshot that nothing has gone has everything.
async fn forget_changes(pool: &PgPool, epoch: Epoch) -> Result<(), sqlx::Error> {
    let epoch = epoch.0.cast_signed();
    sqlx::query!(
        "UPDATE job_progress SET changes_from = $1 WHERE changes_from < $1",
        epoch
    )
    .execute(pool)
    .await?;
    sqlx::query!("DELETE FROM view_change WHERE epoch < $1", epoch)
        .execute(pool)
        .await?;
    Ok(())
}

/// Removes gauges that have no view, what a kill between a deletion and its gauge's left, and those that a start begins without.
///
/// # Errors
/// Those of the connection.
pub async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM link_gauges AS g WHERE NOT EXISTS (
             SELECT 1 FROM links AS l WHERE l.tenant_id = g.tenant_id AND l.ap_device_id = g.ap_device_id
                 AND l.radio_mac = g.radio_mac AND l.mac = g.mac)"
    )
    .execute(pool)
    .await?;
    sqlx::query!(
        "DELETE FROM device_gauges AS g
         WHERE NOT EXISTS (SELECT 1 FROM device_status AS d WHERE d.device_id = g.device_id)"
    )
    .execute(pool)
    .await?;
    sqlx::query!(
        "DELETE FROM place_past_clients AS g
         WHERE NOT EXISTS (SELECT 1 FROM place_health AS h WHERE h.kind = g.kind AND h.id = g.id)"
    )
    .execute(pool)
    .await?;
    // No checkpoint holds rates and noise: a place whose devices are gone by then would keep its last for good.
    sqlx::query!("DELETE FROM place_air").execute(pool).await?;
    Ok(())
}

async fn links(pool: &PgPool, batch: &GaugeBatch) -> Result<(), sqlx::Error> {
    let gone = LinkKeys::of(
        batch
            .links
            .iter()
            .filter(|(_, gauge)| gauge.is_none())
            .map(|(id, _)| id),
    );
    if !gone.mac.is_empty() {
        sqlx::query!(
            "DELETE FROM link_gauges AS g
             USING UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
                   AS r (tenant_id, ap_device_id, radio_mac, mac)
             WHERE g.tenant_id = r.tenant_id AND g.ap_device_id = r.ap_device_id AND g.radio_mac = r.radio_mac
               AND g.mac = r.mac",
            &gone.tenant,
            &gone.ap,
            &gone.radio,
            &gone.mac,
        )
        .execute(pool)
        .await?;
    }
    let rows: Vec<&LinkGauge> = batch
        .links
        .iter()
        .filter_map(|(_, gauge)| gauge.as_ref())
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let key = LinkKeys::of(rows.iter().map(|gauge| &gauge.id));
    columns!(&rows, gauge =>
        at: i64 = gauge.observed_at.0,
        signal: Option<i16> = gauge.signal_dbm,
        station: Option<i16> = gauge.station_signal_dbm,
        snr: Option<i16> = gauge.snr_db,
        ccq: Option<i32> = gauge.tx_ccq_percent.map(i32::from),
        tx: Option<i64> = gauge.tx_rate_bps.map(u64::cast_signed),
        rx: Option<i64> = gauge.rx_rate_bps.map(u64::cast_signed),
    );
    sqlx::query!(
        "INSERT INTO link_gauges (tenant_id, ap_device_id, radio_mac, mac, observed_at, signal_dbm, station_signal_dbm,
                                  snr_db, tx_ccq_percent, tx_rate_bps, rx_rate_bps)
         SELECT tenant_id, ap_device_id, radio_mac, mac, instant(observed_at), signal_dbm, station_signal_dbm, snr_db,
                tx_ccq_percent, tx_rate_bps, rx_rate_bps
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::smallint[],
                     $8::smallint[], $9::integer[], $10::bigint[], $11::bigint[])
              AS r (tenant_id, ap_device_id, radio_mac, mac, observed_at, signal_dbm, station_signal_dbm, snr_db,
                    tx_ccq_percent, tx_rate_bps, rx_rate_bps)
         ON CONFLICT (tenant_id, ap_device_id, radio_mac, mac) DO UPDATE SET
             observed_at = excluded.observed_at, signal_dbm = excluded.signal_dbm,
             station_signal_dbm = excluded.station_signal_dbm, snr_db = excluded.snr_db,
             tx_ccq_percent = excluded.tx_ccq_percent, tx_rate_bps = excluded.tx_rate_bps,
             rx_rate_bps = excluded.rx_rate_bps
         WHERE link_gauges.observed_at < excluded.observed_at",
        &key.tenant,
        &key.ap,
        &key.radio,
        &key.mac,
        &at,
        &signal as _,
        &station as _,
        &snr as _,
        &ccq as _,
        &tx as _,
        &rx as _,
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn devices(pool: &PgPool, batch: &GaugeBatch) -> Result<(), sqlx::Error> {
    let gone: Vec<Uuid> = batch
        .devices
        .iter()
        .filter(|(_, gauge)| gauge.is_none())
        .map(|(id, _)| id.0)
        .collect();
    if !gone.is_empty() {
        sqlx::query!("DELETE FROM device_gauges WHERE device_id = ANY($1)", &gone)
            .execute(pool)
            .await?;
    }
    let rows: Vec<&DeviceGauge> = batch
        .devices
        .iter()
        .filter_map(|(_, gauge)| gauge.as_ref())
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    columns!(&rows, gauge =>
        id: Uuid = gauge.device_id.0,
        tenant: Uuid = gauge.tenant_id.0,
        at: i64 = gauge.observed_at.0,
        round_trip: Option<i64> = gauge.round_trip_ms.map(i64::from),
        cpu: Option<i16> = gauge.cpu_load_percent.map(i16::from),
        memory: Option<i64> = gauge.memory_free_bytes.map(u64::cast_signed),
        uptime: Option<i64> = gauge.uptime_s.map(u64::cast_signed),
    );
    sqlx::query!(
        "INSERT INTO device_gauges (device_id, tenant_id, observed_at, round_trip_ms, cpu_load_percent,
                                    memory_free_bytes, uptime_s)
         SELECT device_id, tenant_id, instant(observed_at), round_trip_ms, cpu_load_percent, memory_free_bytes, uptime_s
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::bigint[])
              AS r (device_id, tenant_id, observed_at, round_trip_ms, cpu_load_percent, memory_free_bytes, uptime_s)
         ON CONFLICT (device_id) DO UPDATE SET
             tenant_id = excluded.tenant_id, observed_at = excluded.observed_at,
             round_trip_ms = excluded.round_trip_ms, cpu_load_percent = excluded.cpu_load_percent,
             memory_free_bytes = excluded.memory_free_bytes, uptime_s = excluded.uptime_s
         WHERE device_gauges.observed_at < excluded.observed_at",
        &id,
        &tenant,
        &at,
        &round_trip as _,
        &cpu as _,
        &memory as _,
        &uptime as _,
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn signals(pool: &PgPool, batch: &GaugeBatch) -> Result<(), sqlx::Error> {
    let gone: Vec<_> = batch
        .signals
        .iter()
        .filter(|(_, _, signals)| signals.is_none())
        .collect();
    if !gone.is_empty() {
        columns!(&gone, (key, _, _) => kind: &str = place(key).0, id: Uuid = place(key).1);
        sqlx::query!(
            "DELETE FROM place_signals AS s USING UNNEST($1::text[], $2::uuid[]) AS r (kind, id)
             WHERE s.kind = r.kind AND s.id = r.id",
            &kind as _,
            &id,
        )
        .execute(pool)
        .await?;
    }
    let rows: Vec<(&Place, Epoch, Signals)> = batch
        .signals
        .iter()
        .filter_map(|(place, epoch, signals)| signals.map(|s| (place, *epoch, s)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    columns!(&rows, (key, epoch, signals) =>
        kind: &str = place(key).0,
        id: Uuid = place(key).1,
        tenant: Uuid = place(key).2,
        clients: i64 = signals.clients,
        sum: i64 = signals.sum_dbm,
        p10: Option<i16> = signals.p10_dbm,
        worst: Option<i16> = signals.worst_dbm,
        epochs: i64 = epoch.0.cast_signed(),
    );
    sqlx::query!(
        "INSERT INTO place_signals (kind, id, tenant_id, clients, sum_dbm, p10_dbm, worst_dbm, epoch)
         SELECT * FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::smallint[],
                              $7::smallint[], $8::bigint[])
         ON CONFLICT (kind, id) DO UPDATE SET
             tenant_id = excluded.tenant_id, clients = excluded.clients, sum_dbm = excluded.sum_dbm,
             p10_dbm = excluded.p10_dbm, worst_dbm = excluded.worst_dbm, epoch = excluded.epoch
         WHERE place_signals.epoch <= excluded.epoch",
        &kind as _,
        &id,
        &tenant,
        &clients,
        &sum,
        &p10 as _,
        &worst as _,
        &epochs,
    )
    .execute(pool)
    .await?;
    Ok(())
}
