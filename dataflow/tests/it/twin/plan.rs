//! The plan: collections of rows to collections of rows, with the relational operators of differential and nothing else.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use differential_dataflow::VecCollection;
use differential_dataflow::input::{Input as _, InputSession};
use mast_schemas::records::{Outcome, PollId, Source};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::views::{DeviceState, LinkState, Place};
use mast_schemas::{DeviceId, Epoch, LinkId, Mac, SectorId, SiteId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use timely::dataflow::ProbeHandle;
use timely::worker::Worker;

type Rows<'s, D> = VecCollection<'s, u64, D, isize>;
type Input<D> = InputSession<u64, D, isize>;

/// Place in the order of what happens: slot, control before polls, time, then outbox id or poll id.
pub(super) type At = (u64, bool, Timestamp, PollId);

/// What happened to a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Fact {
    /// Control: tenant, enabled; `None` = deleted.
    Control(Option<(TenantId, bool)>),
    /// A poll: tenant, outcome, when the device is overdue, identity.
    Poll(TenantId, Outcome, Timestamp, Option<String>),
}

/// Where a device stands.
type Where = (TenantId, Option<SiteId>, Option<SectorId>);

/// A control row: outbox id, and where it puts the device; `None` = deleted.
pub(super) type Standing = (i64, Option<Where>);

/// A device as readers see it, and when it is overdue.
pub(super) type Status = (
    TenantId,
    DeviceState,
    Timestamp,
    Option<Outcome>,
    Option<String>,
    Option<Timestamp>,
);

/// A row of a registration table: source; tenant, radio, client, whether remote. Without these: the source was read whole.
pub(super) type Registered = (Source, Option<(Mac, Mac, bool)>);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum What {
    Device(DeviceState),
    Link(LinkState),
    Unobserved,
}

/// The log, as collections of rows.
pub(super) struct Log {
    pub(super) facts: Input<(DeviceId, (At, Fact))>,
    pub(super) interfaces: Input<((DeviceId, At), Option<Mac>)>,
    pub(super) registrations: Input<((DeviceId, At), Registered)>,
    pub(super) standings: Input<(DeviceId, Standing)>,
    pub(super) deleted_sites: Input<(SiteId, i64)>,
    pub(super) deleted_sectors: Input<(SectorId, i64)>,
    /// Radios that a device has ever shown as another's.
    pub(super) remote: Input<(TenantId, Mac)>,
    /// Links as the flow shows them: state, unobserved.
    pub(super) links: Input<(LinkId, (LinkState, bool))>,
    pub(super) now: Input<Timestamp>,
}

impl Log {
    /// All that was put in so far happened before `time`.
    pub(super) fn advance_to(&mut self, time: u64) {
        macro_rules! advance {
            ($($input:ident),+) => {$(
                self.$input.advance_to(time);
                self.$input.flush();
            )+};
        }
        advance!(facts, interfaces, registrations, standings);
        advance!(deleted_sites, deleted_sectors, remote, links, now);
    }
}

/// A collection's rows so far, with their multiplicities.
pub(super) type Kept<D> = Rc<RefCell<BTreeMap<D, isize>>>;

/// What the plan says.
pub(super) struct Twin {
    pub(super) devices: Kept<(DeviceId, Status)>,
    pub(super) far_ends: Kept<(LinkId, DeviceId)>,
    pub(super) counts: Kept<((Place, What), isize)>,
    /// Managed clients of the newest tables that no link shows.
    pub(super) without_link: Kept<(LinkId, DeviceId)>,
    pub(super) probe: ProbeHandle<u64>,
}

pub(super) fn plan(worker: &mut Worker) -> (Log, Twin) {
    worker.dataflow::<u64, _, _>(|scope| {
        let (facts, fact_rows) = scope.new_collection();
        let (interfaces, interface_rows) = scope.new_collection();
        let (registrations, registration_rows) = scope.new_collection();
        let (standings, standing_rows) = scope.new_collection();
        let (deleted_sites, site_rows) = scope.new_collection();
        let (deleted_sectors, sector_rows) = scope.new_collection();
        let (remote, remote_rows) = scope.new_collection();
        let (links, link_rows) = scope.new_collection::<(LinkId, (LinkState, bool)), isize>();
        let (now, now_rows) = scope.new_collection();

        let counted = counted(fact_rows);
        let polls = polls(counted.clone());
        let devices = devices(counted, now_rows.clone());
        let states = devices.clone().map(|(device, status)| (device, status.1));
        let claims = claims(interface_rows, polls.clone());
        let shown = link_rows.clone().map(|(link, _)| link);
        let without_link = present(registration_rows, polls, now_rows)
            .map(|link| (link, ()))
            .antijoin(shown.clone())
            .map(|(link, ())| link);
        let far_radios = remote_rows.distinct();
        let flagged = flagged(link_rows, far_radios.clone(), states.clone());
        let without_link = far_ends(not_remote(without_link, far_radios), claims.clone());
        let places = places(standing_rows, site_rows, sector_rows);
        let things = things(states, flagged);
        let counts = places.join(things).map(|(_, what)| what).count();

        let probe = ProbeHandle::new();
        let twin = Twin {
            devices: keep(devices, &probe),
            far_ends: keep(far_ends(shown, claims), &probe),
            counts: keep(counts, &probe),
            without_link: keep(without_link, &probe),
            probe: probe.clone(),
        };
        let log = Log {
            facts,
            interfaces,
            registrations,
            standings,
            deleted_sites,
            deleted_sectors,
            remote,
            links,
            now,
        };
        (log, twin)
    })
}

fn keep<D: differential_dataflow::ExchangeData + std::hash::Hash>(
    rows: Rows<'_, D>,
    probe: &ProbeHandle<u64>,
) -> Kept<D> {
    let kept: Kept<D> = Kept::default();
    let sink = kept.clone();
    let add = move |(row, _, diff): &(D, u64, isize)| {
        let mut kept = sink.borrow_mut();
        let n = kept.entry(row.clone()).or_default();
        *n += diff;
        if *n == 0 {
            kept.remove(row);
        }
    };
    rows.consolidate().inspect(add).probe_with(probe);
    kept
}

/// §2: control's rows and the polls that count, of each device's present life.
fn counted<'s>(facts: Rows<'s, (DeviceId, (At, Fact))>) -> Rows<'s, (DeviceId, (At, Fact))> {
    facts.reduce(|_, facts, out| {
        let (mut known, mut last, mut life) = (None, None, Vec::new());
        for &(row, _) in facts {
            let (at, fact) = row;
            match fact {
                Fact::Control(told) => {
                    if known.map(|(tenant, _)| tenant) != told.map(|(tenant, _)| tenant) {
                        life.clear();
                        last = None;
                    }
                    known = *told;
                }
                Fact::Poll(tenant, ..) => {
                    let ours = known.is_some_and(|(owner, _)| owner == *tenant);
                    if !ours || last >= Some(at.3) {
                        continue;
                    }
                    // That of a disabled device passes, and is no more than that.
                    last = Some(at.3);
                    if known != Some((*tenant, true)) {
                        continue;
                    }
                }
            }
            life.extend(known.map(|_| (row.clone(), 1)));
        }
        out.extend(life);
    })
}

/// Polls that count, with their tenant.
fn polls<'s>(counted: Rows<'s, (DeviceId, (At, Fact))>) -> Rows<'s, ((DeviceId, At), TenantId)> {
    counted.flat_map(|(device, (at, fact))| match fact {
        Fact::Poll(tenant, ..) => Some(((device, at), tenant)),
        Fact::Control(_) => None,
    })
}

/// §3, as a fold over all that counts.
fn devices<'s>(
    counted: Rows<'s, (DeviceId, (At, Fact))>,
    now: Rows<'s, Timestamp>,
) -> Rows<'s, (DeviceId, Status)> {
    let told = counted.reduce(|_, facts, out: &mut Vec<(Status, isize)>| {
        let (mut status, mut run) = (None::<Status>, (false, 0));
        for ((at, fact), _) in facts {
            let (begin, end) = (Epoch(at.0).end() - SLOT, Epoch(at.0).end());
            let fresh = |tenant| (tenant, DeviceState::Unobserved, begin, None, None, None);
            match fact {
                Fact::Control(Some((tenant, enabled))) => {
                    let status = status.get_or_insert_with(|| fresh(*tenant));
                    overdue(status, &mut run, begin);
                    if !enabled {
                        (run, status.5) = ((false, 0), None);
                        enter(status, DeviceState::Unobserved, begin, None);
                    }
                }
                Fact::Poll(_, outcome, due, identity) => {
                    let Some(status) = &mut status else { continue };
                    overdue(status, &mut run, begin.max(end.min(at.2)));
                    status.4 = identity.clone().or(status.4.take());
                    poll(status, &mut run, *outcome, at.2, *due);
                }
                Fact::Control(None) => {}
            }
        }
        out.extend(status.map(|status| (status, 1)));
    });
    let at_now = told.map(|row| ((), row)).join(now.map(|now| ((), now)));
    at_now.map(|((), ((device, mut status), now))| {
        overdue(&mut status, &mut (false, 0), now);
        (device, status)
    })
}

fn enter(status: &mut Status, state: DeviceState, since: Timestamp, outcome: Option<Outcome>) {
    if status.1 != state {
        (status.1, status.2, status.3) = (state, since, outcome);
    }
}

fn overdue(status: &mut Status, run: &mut (bool, u8), until: Timestamp) {
    if let Some(due) = status.5.filter(|due| *due <= until) {
        (*run, status.5) = ((false, 0), None);
        enter(status, DeviceState::Unobserved, due, None);
    }
}

fn poll(status: &mut Status, run: &mut (bool, u8), told: Outcome, at: Timestamp, due: Timestamp) {
    use Outcome::{AuthFailed, Internal, Ok, Partial, ProtocolError, Refused, Timeout, TlsFailed};
    let (unmanageable, state) = match told {
        Internal => return,
        Ok | Partial => {
            (*run, status.5) = ((false, 0), Some(due));
            return enter(status, DeviceState::Online, at, Some(told));
        }
        Timeout | Refused => (false, DeviceState::Offline),
        AuthFailed | TlsFailed | ProtocolError => (true, DeviceState::Unmanageable),
    };
    status.5 = Some(due);
    let before = if run.0 == unmanageable { run.1 } else { 0 };
    *run = (unmanageable, before + 1);
    if run.1 >= DEFAULT.device_failures {
        enter(status, state, at, Some(told));
    }
}

type Claims<'s> = Rows<'s, ((TenantId, Mac), (Timestamp, DeviceId))>;

/// §4: since when each device has had an address in all its whole tables.
fn claims<'s>(
    rows: Rows<'s, ((DeviceId, At), Option<Mac>)>,
    polls: Rows<'s, ((DeviceId, At), TenantId)>,
) -> Claims<'s> {
    let rows = rows.distinct().join(polls);
    let by_device = rows.map(|((device, at), (mac, tenant))| ((device, tenant), (at, mac)));
    let claims = by_device.reduce(|_, rows, out: &mut Vec<((Mac, Timestamp), isize)>| {
        let mut tables: BTreeMap<At, BTreeSet<Mac>> = BTreeMap::new();
        for ((at, mac), _) in rows {
            tables.entry(*at).or_default().extend(*mac);
        }
        let mut claims: BTreeMap<Mac, Timestamp> = BTreeMap::new();
        for (at, macs) in tables {
            let since = |mac: Mac| (mac, claims.get(&mac).copied().unwrap_or(at.2));
            claims = macs.into_iter().map(since).collect();
        }
        out.extend(claims.into_iter().map(|claim| (claim, 1)));
    });
    claims.map(|((device, tenant), (mac, since))| ((tenant, mac), (since, device)))
}

/// The device at the far end of each of these links that has one.
fn far_ends<'s>(links: Rows<'s, LinkId>, claims: Claims<'s>) -> Rows<'s, (LinkId, DeviceId)> {
    links
        .map(|link| ((link.tenant_id, link.mac), link))
        .join(claims)
        .filter(|(_, (link, (_, device)))| *device != link.ap_device_id)
        .map(|(_, claimed)| claimed)
        .reduce(|_, claims, out| out.push((claims[0].0.1, 1)))
}

/// Clients that newest tables, of the last hour, show at the reporter's own radios. A link may be forgotten later.
fn present<'s>(
    rows: Rows<'s, ((DeviceId, At), Registered)>,
    polls: Rows<'s, ((DeviceId, At), TenantId)>,
    now: Rows<'s, Timestamp>,
) -> Rows<'s, LinkId> {
    type Client = (Timestamp, Mac, Mac);
    let by_table = rows
        .distinct()
        .join(polls)
        .map(|((device, at), ((source, row), tenant))| ((device, tenant, source), (at, row)));
    let newest = by_table.reduce(|_, rows, out: &mut Vec<(Client, isize)>| {
        let last = rows.last().map(|row| row.0.0);
        for ((at, row), _) in rows.iter().filter(|row| Some(row.0.0) == last) {
            let own = row.filter(|row| !row.2);
            out.extend(own.map(|(radio, mac, _)| ((at.2, radio, mac), 1)));
        }
    });
    newest
        .map(|row| ((), row))
        .join(now.map(|now| ((), now)))
        .filter(|((), ((_, (at, ..)), now))| *at > *now - Span::hours(1))
        .map(|((), (((device, tenant, _), (_, radio, mac)), _))| LinkId {
            tenant_id: tenant,
            ap_device_id: device,
            radio_mac: radio,
            mac,
        })
        .distinct()
}

fn not_remote<'s>(links: Rows<'s, LinkId>, remote: Rows<'s, (TenantId, Mac)>) -> Rows<'s, LinkId> {
    links
        .map(|link| ((link.tenant_id, link.radio_mac), link))
        .antijoin(remote)
        .map(|(_, link)| link)
}

/// Links with their flag: by the state of the access point, where only that one reports.
fn flagged<'s>(
    links: Rows<'s, (LinkId, (LinkState, bool))>,
    remote: Rows<'s, (TenantId, Mac)>,
    states: Rows<'s, (DeviceId, DeviceState)>,
) -> Rows<'s, (DeviceId, (LinkState, bool))> {
    let by_radio = links.map(|(link, seen)| {
        let radio = (link.tenant_id, link.radio_mac);
        (radio, (link.ap_device_id, seen))
    });
    let own = by_radio.clone().antijoin(remote.clone());
    let given = by_radio.semijoin(remote).map(|(_, link)| link);
    let own = own.map(|(_, (ap, (state, _)))| (ap, state)).join(states);
    own.map(|(ap, (state, of_ap))| {
        use DeviceState::{Unmanageable, Unobserved};
        (ap, (state, matches!(of_ap, Unobserved | Unmanageable)))
    })
    .concat(given)
}

/// All that counts, by device.
fn things<'s>(
    states: Rows<'s, (DeviceId, DeviceState)>,
    links: Rows<'s, (DeviceId, (LinkState, bool))>,
) -> Rows<'s, (DeviceId, What)> {
    let unobserved = links.clone().filter(|(_, link)| link.1);
    states
        .map(|(device, state)| (device, What::Device(state)))
        .concat(links.map(|(ap, (state, _))| (ap, What::Link(state))))
        .concat(unobserved.map(|(ap, _)| (ap, What::Unobserved)))
}

/// §9: a device's newest row says where it stands, unless the place was deleted after it.
fn places<'s>(
    rows: Rows<'s, (DeviceId, Standing)>,
    deleted_sites: Rows<'s, (SiteId, i64)>,
    deleted_sectors: Rows<'s, (SectorId, i64)>,
) -> Rows<'s, (DeviceId, Place)> {
    let newest = rows.reduce(|_, rows, out| out.extend(rows.last().map(|row| (*row.0, 1))));
    let standing =
        newest.flat_map(|(device, (offset, row))| row.map(|row| (device, (offset, row))));
    let at_site = standing
        .clone()
        .flat_map(|(device, (offset, row))| Some((row.1?, (device, offset))));
    let at_sector = standing
        .clone()
        .flat_map(|(device, (offset, row))| Some((row.2?, (device, offset))));
    let lost_site = at_site
        .join(deleted_sites)
        .filter(|(_, ((_, row), deleted))| deleted > row)
        .map(|(_, ((device, _), _))| device)
        .distinct();
    let lost_sector = at_sector
        .join(deleted_sectors)
        .filter(|(_, ((_, row), deleted))| deleted > row)
        .map(|(_, ((device, _), _))| device)
        .concat(lost_site.clone())
        .distinct();
    let place = |of: fn(Where) -> Option<Place>| {
        let standing = standing.clone();
        standing.flat_map(move |(device, (_, row))| of(row).map(|place| (device, place)))
    };
    place(|row| Some(Place::Tenant(row.0)))
        .concat(place(|row| Some(Place::Site(row.0, row.1?))).antijoin(lost_site))
        .concat(place(|row| Some(Place::Sector(row.0, row.2?))).antijoin(lost_sector))
}
