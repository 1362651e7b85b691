//! How a client's signal changes over days, by (tenant, MAC), whichever access point it is at. Every piece is added to its hour and its day in
//! place; what is compared is the sums of at most 29 buckets, and a window and the one it is compared with share none: else a fall
//! would lower what it is measured by.
//!
//! The baseline of an open trend is frozen, so that a signal that goes on falling does not become normal by lasting.

mod client;
mod packed;
mod pages;
mod records;

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mast_schemas::alerts::{TrendChange, TrendEvent, TrendTest, TrendView, trend_event_id};
use mast_schemas::thresholds::Thresholds;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::compact::{Interner, Mac48, Map, Slab};
use crate::messages::{Piece, TrendControl};
use crate::trends::client::{Client, History};
use crate::trends::pages::Pages;

/// Days after that of its newest piece for which a client is remembered.
const REMEMBERED: u32 = 28;

/// `sum ÷ n`, halves up, within what hundredths of dBm are kept in; `None` of nothing.
pub(crate) fn mean(sum: i64, n: i64) -> Option<i16> {
    let mean = (2 * sum + n).checked_div_euclid(2 * n)?;
    Some(i16::try_from(mean).unwrap_or(if mean < 0 { i16::MIN } else { i16::MAX }))
}

/// Whole minutes, halves up.
pub(crate) fn minutes(ms: u32) -> u8 {
    u8::try_from(ms.saturating_add(30_000) / 60_000).unwrap_or(u8::MAX)
}

/// A client, as others name it.
type Key = (TenantId, Mac);

/// An open trend.
#[derive(Clone, Copy, Debug)]
struct Open {
    test: TrendTest,
    since: Timestamp,
    /// Mean of the window before, when it opened.
    baseline: i16,
    /// Mean of the recent window then.
    opened: i16,
}

/// All clients of a worker.
#[derive(Debug)]
pub struct Trends {
    t: Thresholds,
    clients: Slab<Client>,
    /// Their histories, packed, by place in the slab.
    histories: Pages,
    /// Where in the slab they are.
    index: HashTable<u32>,
    /// By client's place in the slab; few are degrading.
    open: Map<u32, Open>,
    /// Whose client, at which access point and radio.
    places: Interner<(TenantId, DeviceId, Mac)>,
    /// Clients by the day of their newest piece: who is to be forgotten when.
    days: BTreeMap<u32, u32>,
    /// Clients with pieces in the slot.
    touched: BTreeMap<Key, u32>,
    /// Views before the slot, of clients whose view may have changed in it.
    before: BTreeMap<Key, Option<TrendView>>,
}

/// Everything the trend step emits in one slot.
#[derive(Debug, Default)]
pub struct TrendOut {
    /// Views that changed: old and new row, once a client, by rising (tenant, MAC).
    pub views: Vec<(Key, Option<TrendView>, Option<TrendView>)>,
    /// Trends that opened and closed.
    pub events: Vec<TrendEvent>,
}

fn hash(tenant: TenantId, mac: Mac48) -> u64 {
    FixedState::with_seed(0).hash_one((tenant, mac))
}

/// The hour, since 1970, that holds what lies right before `t`.
fn hour_before(t: Timestamp) -> u32 {
    u32::try_from((t.0 - 1).div_euclid(Span::hours(1).0)).unwrap_or(0)
}

impl Trends {
    /// No clients yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            clients: Slab::default(),
            histories: Pages::default(),
            index: HashTable::new(),
            open: Map::default(),
            places: Interner::default(),
            days: BTreeMap::new(),
            touched: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }

    fn tenant(&self, client: &Client) -> TenantId {
        let place = self.places.value(client.place);
        place.map_or_else(TenantId::default, |place| place.0)
    }

    fn key(&self, place: u32) -> Key {
        let client = &self.clients[place];
        (self.tenant(client), client.mac.into())
    }

    fn find(&self, (tenant, mac): Key) -> Option<u32> {
        let mac = Mac48::from(mac);
        let same = |place: &u32| {
            let client = &self.clients[*place];
            client.mac == mac && self.tenant(client) == tenant
        };
        self.index.find(hash(tenant, mac), same).copied()
    }

    fn insert(&mut self, client: Client) -> u32 {
        let (tenant, mac, day) = (self.tenant(&client), client.mac, client.day());
        let place = self.clients.put(client);
        let (clients, places) = (&self.clients, &self.places);
        self.index.insert_unique(hash(tenant, mac), place, |place| {
            let client = &clients[*place];
            let tenant = places.value(client.place).map(|place| place.0);
            hash(tenant.unwrap_or_default(), client.mac)
        });
        *self.days.entry(day).or_default() += 1;
        place
    }

    /// No client has this day any more, or one less.
    fn leave(&mut self, day: u32) {
        if let Some(clients) = self.days.get_mut(&day) {
            *clients -= 1;
            if *clients == 0 {
                self.days.remove(&day);
            }
        }
    }

    /// Forgets a client; an open trend ends for `reason`, or without a word.
    fn forget(&mut self, place: u32, reason: Option<(TrendChange, Timestamp)>, out: &mut TrendOut) {
        let key = self.key(place);
        self.remember(key, place);
        if let Some(open) = self.open.remove(&place)
            && let Some((change, at)) = reason
        {
            out.events.push(self.event(place, &open, change, at, None));
        }
        self.touched.remove(&key);
        self.leave(self.clients[place].day());
        let found = self
            .index
            .find_entry(hash(key.0, key.1.into()), |other| *other == place);
        if let Ok(entry) = found {
            entry.remove();
        }
        self.clients.free(place);
        self.histories.set(place, &[]);
    }

    fn history(&self, place: u32) -> History {
        History::unpack(self.histories.get(place), self.clients[place].hour)
    }

    /// Notes its view before it changes.
    fn remember(&mut self, key: Key, place: u32) {
        if self.open.contains_key(&place) && !self.before.contains_key(&key) {
            self.before.insert(key, self.view(place));
        }
    }

    fn view(&self, place: u32) -> Option<TrendView> {
        let open = self.open.get(&place)?;
        let client = &self.clients[place];
        let &(tenant_id, ap_device_id, radio_mac) = self.places.value(client.place)?;
        Some(TrendView {
            tenant_id,
            mac: client.mac.into(),
            ap_device_id,
            radio_mac,
            test: open.test,
            since: open.since,
            baseline_cdbm: i32::from(open.baseline),
            opened_cdbm: i32::from(open.opened),
        })
    }

    fn event(
        &self,
        place: u32,
        open: &Open,
        change: TrendChange,
        at: Timestamp,
        recent: Option<i16>,
    ) -> TrendEvent {
        let client = &self.clients[place];
        let at_place = self.places.value(client.place).copied();
        let (tenant_id, ap_device_id, radio_mac) = at_place.unwrap_or_default();
        let mac = client.mac.into();
        TrendEvent {
            event_id: trend_event_id(tenant_id, mac, at, change),
            tenant_id,
            mac,
            ap_device_id,
            radio_mac,
            at,
            change,
            test: open.test,
            baseline_cdbm: i32::from(open.baseline),
            recent_cdbm: recent.map(i32::from),
        }
    }

    /// Opens a slot that begins at `begin`, with what control says in it, in order.
    pub fn begin_slot(&mut self, begin: Timestamp, control: &[TrendControl], out: &mut TrendOut) {
        for change in control {
            match *change {
                TrendControl::Normal(tenant, mac) => {
                    if let Some(place) = self.find((tenant, mac)) {
                        self.forget(place, Some((TrendChange::Accepted, begin)), out);
                    }
                }
                TrendControl::TenantGone(tenant) => {
                    self.forget_all(|trends, client| trends.tenant(client) == tenant, None, out);
                }
            }
        }
    }

    fn forget_all(
        &mut self,
        gone: impl Fn(&Self, &Client) -> bool,
        reason: Option<(TrendChange, Timestamp)>,
        out: &mut TrendOut,
    ) {
        let places = self.index.iter().copied();
        let gone: Vec<u32> = places
            .filter(|place| gone(self, &self.clients[*place]))
            .collect();
        gone.into_iter()
            .for_each(|place| self.forget(place, reason, out));
    }

    /// One piece; a slot's pieces are given rising.
    pub fn apply(&mut self, piece: &Piece) {
        let hour = hour_before(piece.at);
        let at = self.places.number(&(piece.tenant, piece.ap, piece.radio));
        let key = (piece.tenant, piece.mac);
        let place = match self.find(key) {
            Some(place) => {
                self.remember(key, place);
                let client = &mut self.clients[place];
                let (was, is) = (client.day(), hour / 24);
                client.place = at;
                if was != is {
                    self.leave(was);
                    *self.days.entry(is).or_default() += 1;
                }
                place
            }
            None => self.insert(Client {
                place: at,
                hour,
                mac: piece.mac.into(),
            }),
        };
        let mut history = self.history(place);
        history.take(piece, hour);
        self.histories.set(place, &history.pack());
        self.clients[place].hour = hour;
        self.touched.insert(key, place);
    }

    /// Closes the slot: judges the clients that had pieces in it, forgets those that had none for long, tells what changed.
    pub fn end_slot(&mut self, end: Timestamp, out: &mut TrendOut) {
        for (key, place) in std::mem::take(&mut self.touched) {
            self.judge(key, place, end, out);
        }
        let today = hour_before(end) / 24;
        let oldest = self.days.first_key_value().map(|(day, _)| *day);
        if oldest.is_some_and(|day| day + REMEMBERED < today) {
            let gone = |_: &Self, client: &Client| client.day() + REMEMBERED < today;
            self.forget_all(gone, Some((TrendChange::Gone, end)), out);
        }
        for (key, before) in std::mem::take(&mut self.before) {
            let now = self.find(key).and_then(|place| self.view(place));
            if before != now {
                out.views.push((key, before, now));
            }
        }
        out.events
            .sort_unstable_by_key(|event| (event.at, event.tenant_id, event.mac, event.event_id));
    }

    fn judge(&mut self, key: Key, place: u32, end: Timestamp, out: &mut TrendOut) {
        let (t, history) = (&self.t, self.history(place));
        if let Some(open) = self.open.get(&place).copied() {
            let limit = i32::from(t.trend_clear_db) * 100;
            let recent = history.recent(open.test, t);
            if recent.is_some_and(|recent| under(open.baseline, recent) <= limit) {
                self.open.remove(&place);
                out.events
                    .push(self.event(place, &open, TrendChange::Recovered, end, recent));
            }
            return;
        }
        let tests = [
            (TrendTest::Day, t.trend_day_db),
            (TrendTest::Week, t.trend_week_db),
        ];
        for (test, db) in tests {
            let (Some(recent), Some(before)) = (history.recent(test, t), history.before(test, t))
            else {
                continue;
            };
            // A fall that is over lowers the week for days: it is told once, by the day.
            let over = test == TrendTest::Week
                && (history.recent(TrendTest::Day, t))
                    .is_some_and(|day| under(before, day) <= i32::from(t.trend_clear_db) * 100);
            if over || under(before, recent) < i32::from(db) * 100 {
                continue;
            }
            let open = Open {
                test,
                since: end,
                baseline: before,
                opened: recent,
            };
            self.before.entry(key).or_insert(None);
            self.open.insert(place, open);
            out.events
                .push(self.event(place, &open, TrendChange::Opened, end, Some(recent)));
            return;
        }
    }

    /// No client is forgotten before this; `None` if there is none.
    pub fn next_timer(&self) -> Option<Timestamp> {
        let (day, _) = self.days.first_key_value()?;
        let first = i64::from(*day + REMEMBERED + 1);
        Some(Timestamp(first * Span::hours(24).0) + SLOT)
    }
}

/// By how much a level is under another.
fn under(baseline: i16, recent: i16) -> i32 {
    i32::from(baseline) - i32::from(recent)
}

#[cfg(test)]
mod tests;
