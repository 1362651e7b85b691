//! The link machine (§7).

use mast_schemas::checkpoint::{HeardRecord, LinkRecord, StationRecord};
use mast_schemas::records::Source;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::{LinkEvent, LinkReason, LinkState, link_event_id};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};

use crate::limits::judged_by;
use crate::oracle::{Oracle, Timer};

/// A client in a radio's table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) signal_dbm: Option<i16>,
    pub(crate) tx_ccq_percent: Option<u16>,
    pub(crate) began_at: Timestamp,
}

impl Row {
    fn bad(&self, t: &Thresholds) -> bool {
        self.signal_dbm.is_some_and(|s| s < t.degraded_signal_dbm)
            || self
                .tx_ccq_percent
                .is_some_and(|c| c < t.degraded_ccq_percent)
    }

    fn good(&self, t: &Thresholds) -> bool {
        self.signal_dbm.is_none_or(|s| s >= t.active_signal_dbm)
            && self
                .tx_ccq_percent
                .is_none_or(|c| c >= t.active_ccq_percent)
    }
}

/// One link being changed, and where its transitions go.
struct Step<'a> {
    id: LinkId,
    link: &'a mut LinkRecord,
    thresholds: &'a Thresholds,
    events: &'a mut Vec<LinkEvent>,
}

impl Step<'_> {
    fn emit(
        &mut self,
        from: Option<LinkState>,
        to: Option<LinkState>,
        reason: LinkReason,
        at: Timestamp,
    ) {
        if !self.link.ambiguous {
            self.events.push(event(&self.id, from, to, reason, at));
        }
    }

    fn enter(&mut self, state: LinkState, reason: LinkReason, at: Timestamp) {
        self.emit(Some(self.link.state), Some(state), reason, at);
        let link = &mut *self.link;
        (link.state, link.reason, link.since) = (state, reason, at);
        (link.seen_run, link.bad_run, link.good_run) = (0, 0, 0);
    }

    fn losses(&self, at: Timestamp) -> usize {
        self.link
            .losses
            .iter()
            .filter(|l| **l > at - self.thresholds.loss_window)
            .count()
    }

    fn too_many_losses(&self, at: Timestamp) -> bool {
        self.losses(at) >= usize::from(self.thresholds.losses)
    }

    fn entry(&mut self, bad: bool, trigger: LinkReason, at: Timestamp) {
        if bad {
            self.enter(LinkState::Degraded, LinkReason::Signal, at);
        } else if self.too_many_losses(at) {
            self.enter(LinkState::Degraded, LinkReason::Losses, at);
        } else {
            self.enter(LinkState::Active, trigger, at);
        }
    }

    fn confirmed_by(&self, station: Option<&StationRecord>) -> bool {
        let begin = self.link.began_at - self.thresholds.association_tolerance;
        station.is_some_and(|s| s.observed_at >= begin)
    }

    /// A discovered link after one more table that has it. Its `bad_run` tells whether the latest row was bad.
    fn confirm(&mut self, bad: bool, station: Option<&StationRecord>, at: Timestamp) {
        self.link.bad_run = u8::from(bad);
        if self.link.seen_run >= self.thresholds.confirm_tables {
            self.entry(bad, LinkReason::Confirmed, at);
        } else if self.confirmed_by(station) {
            self.entry(bad, LinkReason::ConfirmedByStation, at);
        }
    }

    fn take(&mut self, row: &Row) {
        let link = &mut *self.link;
        link.miss_run = 0;
        link.departed_at = None;
        link.signal_dbm = row.signal_dbm.or(link.signal_dbm);
        link.began_at = row.began_at;
    }

    fn seen(&mut self, row: &Row, station: Option<&StationRecord>, at: Timestamp) {
        self.take(row);
        let (bad, good) = (row.bad(self.thresholds), row.good(self.thresholds));
        match self.link.state {
            LinkState::Discovered => {
                self.link.seen_run = self.link.seen_run.saturating_add(1);
                self.confirm(bad, station, at);
            }
            LinkState::Active => {
                self.link.bad_run = if bad {
                    self.link.bad_run.saturating_add(1)
                } else {
                    0
                };
                if self.link.bad_run >= self.thresholds.degrade_tables {
                    self.enter(LinkState::Degraded, LinkReason::Signal, at);
                }
            }
            LinkState::Degraded => {
                self.link.good_run = if good {
                    self.link.good_run.saturating_add(1)
                } else {
                    0
                };
                if self.link.good_run >= self.thresholds.recover_tables && self.losses(at) == 0 {
                    self.enter(LinkState::Active, LinkReason::Recovered, at);
                }
            }
            LinkState::Down => self.entry(bad, LinkReason::Returned, at),
            LinkState::Stale if self.link.roamed => {}
            LinkState::Stale => {
                self.enter(LinkState::Discovered, LinkReason::Seen, at);
                self.link.seen_run = 1;
                self.confirm(bad, station, at);
            }
        }
    }

    /// The table that made this link.
    fn made(&mut self, row: &Row, station: Option<&StationRecord>, at: Timestamp) {
        self.take(row);
        self.emit(None, Some(self.link.state), self.link.reason, at);
        if self.link.state == LinkState::Discovered {
            self.link.seen_run = 1;
            self.confirm(row.bad(self.thresholds), station, at);
        }
    }

    fn missing(&mut self, at: Timestamp) {
        let keep = usize::from(self.thresholds.losses);
        let link = &mut *self.link;
        if link.miss_run == 0 && link.state.live() {
            link.losses.push(at);
            link.losses.sort_unstable();
            link.losses.drain(..link.losses.len().saturating_sub(keep));
        }
        link.miss_run = link.miss_run.saturating_add(1);
        link.departed_at = link.departed_at.or(Some(at));
        (link.seen_run, link.bad_run, link.good_run) = (0, 0, 0);
        if self.link.state == LinkState::Active && self.too_many_losses(at) {
            self.enter(LinkState::Degraded, LinkReason::Losses, at);
        }
        let present = matches!(
            self.link.state,
            LinkState::Discovered | LinkState::Active | LinkState::Degraded
        );
        if present && self.link.miss_run >= self.thresholds.down_tables {
            self.enter(LinkState::Down, LinkReason::Lost, at);
        }
    }
}

fn event(
    id: &LinkId,
    from: Option<LinkState>,
    to: Option<LinkState>,
    reason: LinkReason,
    at: Timestamp,
) -> LinkEvent {
    LinkEvent {
        event_id: link_event_id(id, at, from, to),
        tenant_id: id.tenant_id,
        ap_device_id: id.ap_device_id,
        radio_mac: id.radio_mac,
        mac: id.mac,
        at,
        from_state: from,
        to_state: to,
        reason,
    }
}

/// A whole table of one radio, as it reaches the access point.
pub(crate) struct RadioTable<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) ap: DeviceId,
    pub(crate) radio: Mac,
    pub(crate) reporter: (DeviceId, Source),
    pub(crate) interface: &'a str,
    pub(crate) rows: &'a [(Mac, Row)],
    pub(crate) interval_ms: u32,
    pub(crate) at: Timestamp,
}

impl Oracle {
    pub(crate) fn link(&self, id: &LinkId) -> Option<&LinkRecord> {
        self.aps
            .get(&id.ap_device_id)?
            .get(&id.radio_mac)?
            .links
            .get(&id.mac)
    }

    /// Changes a link, if it exists, and sets its timer anew.
    fn step(&mut self, id: &LinkId, change: impl FnOnce(&mut Step<'_>)) {
        let radio = self
            .aps
            .get_mut(&id.ap_device_id)
            .and_then(|r| r.get_mut(&id.radio_mac));
        let Some(link) = radio.and_then(|r| r.links.get_mut(&id.mac)) else {
            return;
        };
        let stands = self.devices.get(&id.ap_device_id).map(|d| &d.row);
        let thresholds = &judged_by(&self.limits, &self.thresholds, stands, link.source);
        let events = &mut self.events.links;
        let before = (link.state, link.reason, link.discovered_at);
        change(&mut Step {
            id: *id,
            link: &mut *link,
            thresholds,
            events,
        });
        if before != (link.state, link.reason, link.discovered_at) {
            self.topology = None;
        }
        self.arm_link(id);
    }

    pub(crate) fn arm_link(&mut self, id: &LinkId) {
        let Some(link) = self.link(id) else { return };
        let (expired, forgotten) = (
            expiry(link, &self.thresholds),
            forgetting(link, &self.thresholds),
        );
        if let Some(due) = expired {
            self.timers.insert((due, Timer::Expired(*id)));
        }
        if let Some(due) = forgotten {
            self.timers.insert((due, Timer::Forgotten(*id)));
        }
    }

    /// One radio's part of a whole table.
    pub(crate) fn radio_table(&mut self, table: &RadioTable<'_>) {
        if !self.devices.contains_key(&table.ap) {
            return;
        }
        self.radio_aps
            .entry((table.tenant, table.radio))
            .or_default()
            .insert(table.ap);
        let radio = self
            .aps
            .entry(table.ap)
            .or_default()
            .entry(table.radio)
            .or_default();
        table.interface.clone_into(&mut radio.interface);
        let shown = |mac: &Mac| table.rows.binary_search_by_key(mac, |r| r.0).is_ok();
        let missing: Vec<Mac> = radio
            .links
            .values()
            .filter(|l| (l.reporter, l.source) == table.reporter && !shown(&l.mac))
            .map(|l| l.mac)
            .collect();
        for mac in missing {
            self.step(&table.link(mac), |link| link.missing(table.at));
        }
        for (mac, row) in table.rows {
            self.show(table, *mac, row);
        }
        self.cap_departed(table);
    }

    /// A client in a radio's table: a new link, or one that this reporter shows, or may show from now on.
    fn show(&mut self, table: &RadioTable<'_>, mac: Mac, row: &Row) {
        let id = table.link(mac);
        let (roamed, ambiguous) = self.marks((table.tenant, mac), (table.ap, table.radio));
        let tolerance = self.thresholds.association_tolerance;
        let Some(radio) = self
            .aps
            .get_mut(&table.ap)
            .and_then(|r| r.get_mut(&table.radio))
        else {
            return;
        };
        let station = radio.stations.get(&mac).copied();
        match radio.links.get_mut(&mac) {
            None => {
                radio
                    .links
                    .insert(mac, new_link(mac, table, row, roamed, ambiguous));
                self.topology = None;
                self.step(&id, |link| link.made(row, station.as_ref(), table.at));
            }
            Some(link) => {
                if (link.reporter, link.source) != table.reporter {
                    if link.miss_run == 0 && row.began_at <= link.began_at + tolerance {
                        return;
                    }
                    (link.reporter, link.source) = table.reporter;
                    (link.seen_run, link.bad_run, link.good_run, link.miss_run) = (0, 0, 0, 0);
                }
                self.step(&id, |link| link.seen(row, station.as_ref(), table.at));
            }
        }
        self.sample(&id, row.signal_dbm, table.interval_ms, table.at);
    }

    /// A radio keeps only so many departed links.
    fn cap_departed(&mut self, table: &RadioTable<'_>) {
        let t = &self.thresholds;
        let keep = (t.departed_least as usize).max(t.departed_factor as usize * table.rows.len());
        let Some(radio) = self.aps.get(&table.ap).and_then(|r| r.get(&table.radio)) else {
            return;
        };
        let mut departed: Vec<(Timestamp, Mac)> = radio
            .links
            .values()
            .filter_map(|l| l.departed_at.map(|at| (at, l.mac)))
            .collect();
        departed.sort_unstable();
        departed.truncate(departed.len().saturating_sub(keep));
        for (_, mac) in departed {
            self.forget(&table.link(mac), table.at);
        }
    }

    fn forget(&mut self, id: &LinkId, at: Timestamp) {
        let radio = self
            .aps
            .get_mut(&id.ap_device_id)
            .and_then(|r| r.get_mut(&id.radio_mac));
        let Some(link) = radio.and_then(|r| r.links.remove(&id.mac)) else {
            return;
        };
        self.topology = None;
        if !link.ambiguous {
            self.events
                .links
                .push(event(id, Some(link.state), None, LinkReason::Forgotten, at));
        }
    }

    /// An access point loses a radio, with all that is known there.
    pub(crate) fn forget_radio(
        &mut self,
        tenant_id: TenantId,
        ap_device_id: DeviceId,
        radio_mac: Mac,
        at: Timestamp,
    ) {
        let Some(radio) = self.aps.get(&ap_device_id).and_then(|r| r.get(&radio_mac)) else {
            return;
        };
        let macs: Vec<Mac> = radio.links.keys().copied().collect();
        for mac in macs {
            self.forget(
                &LinkId {
                    tenant_id,
                    ap_device_id,
                    radio_mac,
                    mac,
                },
                at,
            );
        }
        if let Some(radios) = self.aps.get_mut(&ap_device_id) {
            radios.remove(&radio_mac);
        }
        if let Some(aps) = self.radio_aps.get_mut(&(tenant_id, radio_mac)) {
            aps.remove(&ap_device_id);
        }
    }

    pub(crate) fn ap_offline(&mut self, ap: DeviceId, at: Timestamp) {
        let Some(tenant_id) = self.devices.get(&ap).map(|d| d.row.tenant_id) else {
            return;
        };
        let ids: Vec<LinkId> = (self.aps.get(&ap).into_iter().flatten())
            .flat_map(|(radio, r)| r.links.keys().map(move |mac| (*radio, *mac)))
            .map(|(radio_mac, mac)| LinkId {
                tenant_id,
                ap_device_id: ap,
                radio_mac,
                mac,
            })
            .collect();
        for id in ids {
            self.step(&id, |s| {
                if !matches!(s.link.state, LinkState::Down | LinkState::Stale) {
                    s.enter(LinkState::Down, LinkReason::ApOffline, at);
                    s.link.miss_run = 0;
                }
            });
        }
    }

    /// What roaming says of a link.
    pub(crate) fn mark_link(&mut self, id: &LinkId, roamed: bool, ambiguous: bool, at: Timestamp) {
        self.step(id, |s| {
            s.link.ambiguous = ambiguous;
            s.link.roamed = roamed;
            if roamed && s.link.state != LinkState::Stale {
                s.enter(LinkState::Stale, LinkReason::Roamed, at);
            }
        });
    }

    /// The client's association was dropped: a link that nobody decided since then is stale.
    pub(crate) fn association_ended(&mut self, id: &LinkId, at: Timestamp) {
        self.step(id, |s| {
            if !matches!(s.link.state, LinkState::Down | LinkState::Stale) {
                s.enter(LinkState::Stale, LinkReason::Expired, at);
            }
        });
    }

    pub(crate) fn link_expired(&mut self, id: &LinkId, due: Timestamp) {
        let thresholds = self.thresholds;
        self.step(id, |s| {
            if expiry(s.link, &thresholds) == Some(due) {
                s.enter(LinkState::Stale, LinkReason::Expired, due);
            }
        });
    }

    pub(crate) fn link_forgotten(&mut self, id: &LinkId, due: Timestamp) {
        if self
            .link(id)
            .is_some_and(|l| forgetting(l, &self.thresholds) == Some(due))
        {
            self.forget(id, due);
        }
    }

    /// A station says that it hears an access point's radio (§8).
    pub(crate) fn station_says(&mut self, tenant_id: TenantId, bssid: Mac, station: StationRecord) {
        let aps = self
            .radio_aps
            .get(&(tenant_id, bssid))
            .cloned()
            .unwrap_or_default();
        for ap_device_id in aps {
            if let Some(radio) = self
                .aps
                .get_mut(&ap_device_id)
                .and_then(|r| r.get_mut(&bssid))
            {
                radio.stations.insert(station.mac, station);
            }
            let id = LinkId {
                tenant_id,
                ap_device_id,
                radio_mac: bssid,
                mac: station.mac,
            };
            self.step(&id, |s| {
                let waiting = s.link.state == LinkState::Discovered && s.link.miss_run == 0;
                if waiting && s.confirmed_by(Some(&station)) {
                    s.entry(
                        s.link.bad_run > 0,
                        LinkReason::ConfirmedByStation,
                        station.observed_at,
                    );
                }
            });
        }
    }

    /// A station no longer says so.
    pub(crate) fn retract_station(
        &mut self,
        tenant: TenantId,
        bssid: Mac,
        own: Mac,
        device: DeviceId,
    ) {
        let aps = self
            .radio_aps
            .get(&(tenant, bssid))
            .cloned()
            .unwrap_or_default();
        for ap in aps {
            if let Some(radio) = self.aps.get_mut(&ap).and_then(|r| r.get_mut(&bssid)) {
                radio
                    .stations
                    .retain(|mac, s| *mac != own || s.device_id != device);
            }
        }
    }
}

impl RadioTable<'_> {
    fn link(&self, mac: Mac) -> LinkId {
        LinkId {
            tenant_id: self.tenant,
            ap_device_id: self.ap,
            radio_mac: self.radio,
            mac,
        }
    }
}

fn expiry(link: &LinkRecord, t: &Thresholds) -> Option<Timestamp> {
    (link.state == LinkState::Down).then(|| link.since + t.stale_after)
}

fn forgetting(link: &LinkRecord, t: &Thresholds) -> Option<Timestamp> {
    let held = link.roamed && link.departed_at.is_none();
    (link.state == LinkState::Stale && !held).then(|| link.since + t.forget_after)
}

fn new_link(
    mac: Mac,
    table: &RadioTable<'_>,
    row: &Row,
    roamed: bool,
    ambiguous: bool,
) -> LinkRecord {
    let (state, reason) = if roamed {
        (LinkState::Stale, LinkReason::Roamed)
    } else {
        (LinkState::Discovered, LinkReason::Seen)
    };
    LinkRecord {
        mac,
        state,
        since: table.at,
        reason,
        discovered_at: table.at,
        reporter: table.reporter.0,
        source: table.reporter.1,
        began_at: row.began_at,
        seen_run: 0,
        bad_run: 0,
        good_run: 0,
        miss_run: 0,
        losses: Vec::new(),
        roamed,
        ambiguous,
        signal_dbm: row.signal_dbm,
        departed_at: None,
        heard: HeardRecord::default(),
    }
}
