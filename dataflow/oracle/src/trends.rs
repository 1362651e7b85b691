//! How signals of clients change over days (§17).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use mast_schemas::alerts::{TrendChange, TrendEvent, TrendTest, TrendView, trend_event_id};
use mast_schemas::checkpoint::TrendRecord;
use mast_schemas::partition::mix;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::{LinkState, Place};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};

use crate::oracle::{Address, Oracle, Radio, Timer};
use crate::views::places_of;

const HOUR: Span = Span::hours(1);
const DAY: Span = Span::hours(24);

/// A mean in hundredths of dBm, and the minutes that it is of.
type Bucket = (i64, i64);

/// What an access point says of a client at the end of its hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    at: Timestamp,
    link: LinkId,
    bucket: Bucket,
}

/// A client's past.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    ap_device_id: DeviceId,
    radio_mac: Mac,
    hour: i64,
    hours: BTreeMap<i64, Bucket>,
    days: BTreeMap<i64, Bucket>,
    open: Option<Open>,
}

/// A client that degrades.
#[derive(Clone, Copy, Debug)]
struct Open {
    test: TrendTest,
    since: Timestamp,
    baseline: i64,
    recent: i64,
}

/// `a ÷ b` to the nearest, halves up.
fn round(a: i64, b: i64) -> i64 {
    (2 * a + b).div_euclid(2 * b)
}

fn join(a: Bucket, b: Bucket, most: i64) -> Bucket {
    let mean = round(a.0 * a.1 + b.0 * b.1, a.1 + b.1);
    (mean, (a.1 + b.1).min(most))
}

/// The mean of a window of buckets, if they cover enough of its hours.
fn window(
    buckets: &BTreeMap<i64, Bucket>,
    which: RangeInclusive<i64>,
    hours: i64,
    percent: u8,
) -> Option<i64> {
    let all: Vec<Bucket> = buckets.range(which).map(|(_, b)| *b).collect();
    let minutes: i64 = all.iter().map(|b| b.1).sum();
    let enough = minutes * 100 >= i64::from(percent) * hours * 60;
    let sum: i64 = all.iter().map(|b| b.0 * b.1).sum();
    (enough && minutes > 0).then(|| round(sum, minutes))
}

/// The first end of an access point's hour after an instant.
fn next_hour(ap: DeviceId, after: Timestamp) -> Timestamp {
    let past = Span::secs((mix(ap.as_bytes()) % 3_600) as i64);
    let whole = (after - past).0.div_euclid(HOUR.0) + 1;
    Timestamp(whole * HOUR.0) + past
}

impl Client {
    fn take(&mut self, piece: &Piece) {
        (self.ap_device_id, self.radio_mac) = (piece.link.ap_device_id, piece.link.radio_mac);
        self.hour = (piece.at.0 - 1).div_euclid(HOUR.0);
        let (hour, day) = (self.hour, self.hour.div_euclid(24));
        for (buckets, key, most, first) in [
            (&mut self.hours, hour, 60, hour - 23),
            (&mut self.days, day, 1_440, day - 28),
        ] {
            let before = buckets.get(&key).copied();
            let now = before.map_or(piece.bucket, |before| join(before, piece.bucket, most));
            buckets.insert(key, now);
            buckets.retain(|key, _| *key >= first);
        }
    }

    fn recent(&self, test: TrendTest, percent: u8) -> Option<i64> {
        let (hour, day) = (self.hour, self.hour.div_euclid(24));
        match test {
            TrendTest::Day => window(&self.hours, hour - 23..=hour, 24, percent),
            TrendTest::Week => window(&self.days, day - 7..=day - 1, 168, percent),
        }
    }

    fn before(&self, test: TrendTest, percent: u8) -> Option<i64> {
        let day = self.hour.div_euclid(24);
        let begin = (self.hour - 23).div_euclid(24);
        match test {
            TrendTest::Day => window(&self.days, begin - 7..=begin - 1, 168, percent),
            TrendTest::Week => window(&self.days, day - 28..=day - 8, 504, percent),
        }
    }

    fn view(&self, (tenant_id, mac): Address) -> Option<TrendView> {
        let open = self.open?;
        Some(TrendView {
            tenant_id,
            mac,
            ap_device_id: self.ap_device_id,
            radio_mac: self.radio_mac,
            test: open.test,
            since: open.since,
            baseline_cdbm: open.baseline as i32,
            opened_cdbm: open.recent as i32,
        })
    }

    fn record(&self, (tenant_id, mac): Address) -> TrendRecord {
        let day = self.hour.div_euclid(24);
        let hours = self.hours.iter().rev();
        let days = self.days.iter().rev();
        let of = |o: Open| (o.test, o.since, o.baseline as i16, o.recent as i16);
        TrendRecord {
            tenant_id,
            mac,
            ap_device_id: self.ap_device_id,
            radio_mac: self.radio_mac,
            hour: self.hour as u32,
            hours: hours
                .map(|(h, b)| ((self.hour - h) as u8, b.0 as i16, b.1 as u8))
                .collect(),
            days: days
                .map(|(d, b)| ((day - d) as u8, b.0 as i16, b.1 as u16))
                .collect(),
            open: self.open.map(of),
        }
    }
}

fn restored(record: &TrendRecord) -> Client {
    let hour = i64::from(record.hour);
    let day = hour.div_euclid(24);
    let hours = (record.hours.iter())
        .map(|(back, mean, w)| (hour - i64::from(*back), (i64::from(*mean), i64::from(*w))));
    let days = (record.days.iter())
        .map(|(back, mean, w)| (day - i64::from(*back), (i64::from(*mean), i64::from(*w))));
    Client {
        ap_device_id: record.ap_device_id,
        radio_mac: record.radio_mac,
        hour,
        hours: hours.collect(),
        days: days.collect(),
        open: record.open.map(|(test, since, baseline, recent)| Open {
            test,
            since,
            baseline: i64::from(baseline),
            recent: i64::from(recent),
        }),
    }
}

impl Oracle {
    /// A table showed a link: a sample, if the link is as it must be.
    pub(crate) fn sample(
        &mut self,
        id: &LinkId,
        signal: Option<i16>,
        interval_ms: u32,
        at: Timestamp,
    ) {
        let radio = (self.aps.get_mut(&id.ap_device_id)).and_then(|r| r.get_mut(&id.radio_mac));
        let link = radio.and_then(|r| r.links.get_mut(&id.mac));
        let Some((signal, link)) = signal.zip(link) else {
            return;
        };
        use LinkState::{Active, Degraded, Discovered};
        let here = matches!(link.state, Discovered | Active | Degraded) && !link.ambiguous;
        if !here || link.heard.samples == u16::MAX {
            return;
        }
        let heard = &mut link.heard;
        heard.sum_dbm += i32::from(signal);
        heard.samples += 1;
        heard.covered_ms = heard.covered_ms.saturating_add(interval_ms).min(3_600_000);
        // What ended in earlier slots, or before the poll, has been said.
        let ended = (self.end - SLOT).max(at.min(self.end));
        self.arm_hour(id.ap_device_id, ended);
    }

    fn arm_hour(&mut self, ap: DeviceId, ended: Timestamp) {
        self.timers.insert((next_hour(ap, ended), Timer::Hour(ap)));
    }

    /// After a restart, the hours of all access points that have samples.
    pub(crate) fn arm_hours(&mut self, ended: Timestamp) {
        let heard = |radio: &Radio| radio.links.values().any(|link| link.heard.samples > 0);
        let aps = self.aps.iter();
        let aps: Vec<DeviceId> = aps
            .filter(|(_, radios)| radios.values().any(heard))
            .map(|(ap, _)| *ap)
            .collect();
        aps.into_iter().for_each(|ap| self.arm_hour(ap, ended));
    }

    /// An access point's hour ends.
    pub(crate) fn hour_ended(&mut self, ap_device_id: DeviceId, at: Timestamp) {
        let Some(tenant_id) = self.devices.get(&ap_device_id).map(|d| d.row.tenant_id) else {
            return;
        };
        for (radio_mac, radio) in self.aps.entry(ap_device_id).or_default() {
            for link in radio.links.values_mut() {
                let heard = std::mem::take(&mut link.heard);
                let minutes = round(i64::from(heard.covered_ms), 60_000).min(60);
                if heard.samples == 0 || minutes == 0 {
                    continue;
                }
                let mean = round(100 * i64::from(heard.sum_dbm), i64::from(heard.samples));
                let bucket = (mean.clamp(-32_768, 32_767), minutes);
                let link = LinkId {
                    tenant_id,
                    ap_device_id,
                    radio_mac: *radio_mac,
                    mac: link.mac,
                };
                self.pieces.push(Piece { at, link, bucket });
            }
        }
    }

    /// What the pieces of a slot make of clients; who was not seen for long is forgotten.
    pub(crate) fn trends_at(&mut self, end: Timestamp) {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.sort_by_key(|p| (p.at, p.link.ap_device_id, p.link.radio_mac));
        let mut touched = Vec::new();
        for piece in &pieces {
            let address = (piece.link.tenant_id, piece.link.mac);
            let new = || Client {
                ap_device_id: piece.link.ap_device_id,
                radio_mac: piece.link.radio_mac,
                hour: 0,
                hours: BTreeMap::new(),
                days: BTreeMap::new(),
                open: None,
            };
            self.trends.entry(address).or_insert_with(new).take(piece);
            touched.push(address);
        }
        touched.sort_unstable();
        touched.dedup();
        for address in touched {
            self.test_trend(address, end);
        }
        // The first slot of a day.
        if (end - SLOT).0.rem_euclid(DAY.0) == 0 {
            let today = (end - SLOT).0.div_euclid(DAY.0);
            let long_ago = |c: &Client| c.hour.div_euclid(24) + 28 < today;
            let all = self.trends.iter();
            let gone: Vec<Address> = all.filter(|(_, c)| long_ago(c)).map(|(a, _)| *a).collect();
            for address in gone {
                self.close_trend(address, TrendChange::Gone, None, end);
                self.trends.remove(&address);
            }
        }
    }

    /// The next first slot of a day, if there are clients to be forgotten.
    pub(crate) fn next_trends_day(&self, after: Timestamp) -> Option<Timestamp> {
        let oldest = self.trends.values().map(|c| c.hour.div_euclid(24)).min()?;
        let today = (after - SLOT).0.div_euclid(DAY.0);
        let day = (oldest + 29).max(today + 1);
        Some(Timestamp(day * DAY.0) + SLOT)
    }

    fn test_trend(&mut self, address: Address, end: Timestamp) {
        let t = &self.thresholds;
        let percent = t.trend_coverage_percent;
        let Some(client) = self.trends.get_mut(&address) else {
            return;
        };
        if let Some(open) = client.open {
            let recent = client.recent(open.test, percent);
            let near = |recent: &i64| open.baseline - recent <= 100 * i64::from(t.trend_clear_db);
            if let Some(recent) = recent.filter(near) {
                self.close_trend(address, TrendChange::Recovered, Some(recent), end);
            }
            return;
        }
        // A fall that is over lowers the week for days yet.
        let over = |client: &Client, baseline: i64| {
            let day = client.recent(TrendTest::Day, percent);
            day.is_some_and(|day| baseline - day <= 100 * i64::from(t.trend_clear_db))
        };
        for (test, db) in [
            (TrendTest::Day, t.trend_day_db),
            (TrendTest::Week, t.trend_week_db),
        ] {
            let windows = client
                .before(test, percent)
                .zip(client.recent(test, percent));
            if let Some((baseline, recent)) = windows
                && baseline - recent >= 100 * i64::from(db)
                && !(test == TrendTest::Week && over(client, baseline))
            {
                client.open = Some(Open {
                    test,
                    since: end,
                    baseline,
                    recent,
                });
                self.tell_trend(address, TrendChange::Opened, Some(recent), end);
                return;
            }
        }
    }

    fn tell_trend(
        &mut self,
        address: Address,
        change: TrendChange,
        recent: Option<i64>,
        at: Timestamp,
    ) {
        let view = self.trends.get(&address).and_then(|c| c.view(address));
        self.events.trends.extend(view.map(|view| TrendEvent {
            event_id: trend_event_id(address.0, address.1, at, change),
            tenant_id: view.tenant_id,
            mac: view.mac,
            ap_device_id: view.ap_device_id,
            radio_mac: view.radio_mac,
            at,
            change,
            test: view.test,
            baseline_cdbm: view.baseline_cdbm,
            recent_cdbm: recent.map(|r| r as i32),
        }));
    }

    fn close_trend(
        &mut self,
        address: Address,
        change: TrendChange,
        recent: Option<i64>,
        at: Timestamp,
    ) {
        self.tell_trend(address, change, recent, at);
        if let Some(client) = self.trends.get_mut(&address) {
            client.open = None;
        }
    }

    /// A person says that a client's signal is as it is to be.
    pub(crate) fn new_normal(&mut self, address: Address, at: Timestamp) {
        self.close_trend(address, TrendChange::Accepted, None, at);
        self.trends.remove(&address);
    }

    pub(crate) fn forget_trends(&mut self, tenant: TenantId) {
        self.trends.retain(|address, _| address.0 != tenant);
    }

    /// Clients that degrade.
    pub(crate) fn trend_views(&self) -> BTreeMap<Address, TrendView> {
        let all = self.trends.iter();
        all.filter_map(|(address, client)| Some((*address, client.view(*address)?)))
            .collect()
    }

    /// How many of them each place has.
    pub(crate) fn degrading(&self) -> BTreeMap<Place, i64> {
        let mut all = BTreeMap::new();
        for view in self.trend_views().values() {
            let ap = self.devices.get(&view.ap_device_id);
            let ap = ap.filter(|ap| ap.row.tenant_id == view.tenant_id);
            let places = ap.map(|ap| places_of(&ap.row)).unwrap_or_default();
            for place in places {
                *all.entry(place).or_default() += 1;
            }
        }
        all
    }

    pub(crate) fn trend_records(&self) -> Vec<TrendRecord> {
        let all = self.trends.iter();
        all.map(|(address, client)| client.record(*address))
            .collect()
    }

    pub(crate) fn restore_trends(&mut self, records: &[TrendRecord]) {
        let all = records.iter();
        self.trends = all.map(|r| ((r.tenant_id, r.mac), restored(r))).collect();
    }
}
