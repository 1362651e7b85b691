use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Subject};
use mast_schemas::views::{Counts, LinkState, Place, PlaceAir, Signals};
use mast_schemas::{Epoch, SectorId, SiteId};

use super::*;
use crate::rules::{PlaceFact, PlaceRules};

const SITE: SiteId = SiteId::from_bytes([3; 16]);
const SECTOR: SectorId = SectorId::from_bytes([4; 16]);
const AT_SITE: Place = Place::Site(TENANT, SITE);
const AT_SECTOR: Place = Place::Sector(TENANT, SECTOR);

/// Slots of a minute.
const MINUTE: u64 = 240;

fn put(rule: &Rule) -> RuleControl {
    RuleControl::Put(Arc::new(rule.clone()))
}

const fn sector_at(site: SiteId) -> RuleControl {
    RuleControl::Sector {
        tenant: TENANT,
        sector: SECTOR,
        site,
    }
}

/// Counts of devices (online, offline, unmanageable, unobserved) and of links by state.
fn counts(devices: [i64; 4], links: &[(LinkState, i64)]) -> PlaceFact {
    let mut counts = Counts {
        devices,
        ..Counts::default()
    };
    for (state, n) in links {
        counts.links[*state as usize] = *n;
    }
    PlaceFact::Counts(Some(counts))
}

fn up() -> PlaceFact {
    counts([1, 0, 0, 0], &[])
}

const fn air(interfaces: i64, bps: i64, radios: i64, noise_sum_dbm: i64) -> PlaceFact {
    PlaceFact::Air(Some(PlaceAir {
        interfaces,
        rx_bps: bps,
        tx_bps: 1,
        radios,
        noise_sum_dbm,
        noise_worst_dbm: None,
    }))
}

const fn signals(clients: i64, sum_dbm: i64) -> PlaceFact {
    PlaceFact::Signals(Some(Signals {
        clients,
        sum_dbm,
        p10_dbm: None,
        worst_dbm: None,
    }))
}

/// Places, and the minute that it is.
struct World {
    places: PlaceRules,
    minute: u64,
}

impl World {
    fn new(rules: &[Rule]) -> Self {
        let places = PlaceRules::default();
        let mut w = Self {
            places,
            minute: 100,
        };
        let control: Vec<_> = [sector_at(SITE)]
            .into_iter()
            .chain(rules.iter().map(put))
            .collect();
        assert_eq!(w.between(&control, &[]), []);
        w
    }

    fn slot(
        &mut self,
        slot: u64,
        control: &[RuleControl],
        facts: &[(Place, PlaceFact)],
    ) -> Vec<RuleChange> {
        let mut out = Vec::new();
        let facts = facts.iter().copied();
        self.places.slot(Epoch(slot), control, facts, &mut out);
        out
    }

    /// A slot between two ticks.
    fn between(
        &mut self,
        control: &[RuleControl],
        facts: &[(Place, PlaceFact)],
    ) -> Vec<RuleChange> {
        self.slot(self.minute * MINUTE + 1, control, facts)
    }

    /// The next tick.
    fn tick(&mut self, facts: &[(Place, PlaceFact)]) -> Vec<RuleChange> {
        self.minute += 1;
        self.slot(self.minute * MINUTE, &[], facts)
    }

    fn restarted(&self, rules: &[Rule], facts: &[(Place, PlaceFact)]) -> Self {
        let rules: Vec<_> = rules.iter().cloned().map(Arc::new).collect();
        let judged: Vec<_> = self.places.records().into_iter().map(|(_, r)| r).collect();
        let throughput = self.places.throughput().into_iter().map(|(_, r)| r);
        let (mut places, minute) = (PlaceRules::default(), self.minute);
        let now = Epoch(minute * MINUTE);
        places.restore(now, &rules, &judged, throughput.collect());
        places.begin(&[sector_at(SITE)], facts.iter().copied());
        Self { places, minute }
    }
}

fn of(kind: RuleKind, subject: RuleSubject) -> Rule {
    Rule {
        subject,
        ..rule(kind)
    }
}

/// What a rule that finds any value bad opens with at the sector (of a site rule at the site).
fn value(kind: RuleKind, facts: &[PlaceFact]) -> Option<i64> {
    let subject = kind.subject().unwrap_or(RuleSubject::Sector);
    let any = Rule {
        enter_milli: LEAST,
        ..of(kind, subject)
    };
    let place = if subject == RuleSubject::Site {
        AT_SITE
    } else {
        AT_SECTOR
    };
    let facts: Vec<_> = facts.iter().map(|fact| (place, *fact)).collect();
    match short(&World::new(&[any]).tick(&facts)).as_slice() {
        [Short::Opened(value)] => Some(*value),
        none => {
            assert_eq!(none, []);
            None
        }
    }
}

#[test]
fn values_of_devices_and_links() {
    use RuleKind::{DeviceOfflineCount, DeviceOfflinePercent, LinkDownCount, SignalDegradation};
    let links = [(LinkState::Down, 7), (LinkState::Active, 5)];
    let mixed = counts([1, 1, 1, 4], &links);
    assert_eq!(value(DeviceOfflinePercent, &[mixed]), Some(33_333));
    assert_eq!(value(DeviceOfflineCount, &[mixed]), Some(1_000));
    assert_eq!(value(LinkDownCount, &[mixed]), Some(7_000));
    assert_eq!(value(SignalDegradation, &[mixed]), Some(0));
    let degrading = PlaceFact::Degrading(3);
    assert_eq!(value(SignalDegradation, &[mixed, degrading]), Some(3_000));
    // Nobody looks there: nothing is known.
    let unknown = counts([0, 0, 0, 4], &links);
    for kind in [
        DeviceOfflinePercent,
        DeviceOfflineCount,
        LinkDownCount,
        SignalDegradation,
    ] {
        assert_eq!(value(kind, &[unknown, degrading]), None, "{kind:?}");
    }
}

#[test]
fn a_site_is_down_when_nothing_answers() {
    let down = rule(RuleKind::SiteDown);
    let mut w = World::new(std::slice::from_ref(&down));
    let site = |devices| (AT_SITE, counts(devices, &[]));
    assert_eq!(w.tick(&[site([1, 1, 0, 0])]), []);
    // One that nobody looks at may well be up.
    assert_eq!(w.tick(&[site([0, 2, 0, 1])]), []);
    assert_eq!(
        short(&w.tick(&[site([0, 3, 0, 0])])),
        [Short::Opened(1_000)]
    );
    assert_eq!(w.tick(&[site([0, 0, 0, 3])]), []);
    assert_eq!(short(&w.tick(&[site([0, 1, 1, 1])])), [Short::Cleared(0)]);
}

#[test]
fn values_of_signals_and_noise() {
    use RuleKind::{NoiseFloor, SectorSignalAvg};
    assert_eq!(
        value(SectorSignalAvg, &[up(), signals(3, -200)]),
        Some(-66_667)
    );
    assert_eq!(value(SectorSignalAvg, &[up()]), None);
    assert_eq!(
        value(NoiseFloor, &[up(), air(0, 0, 3, -290)]),
        Some(-96_667)
    );
    assert_eq!(value(NoiseFloor, &[up(), air(1, 0, 0, 0)]), None);
    assert_eq!(value(NoiseFloor, &[up()]), None);
}

#[test]
fn clients_that_are_gone_since_an_hour_ago() {
    let live = |n| {
        counts(
            [1, 0, 0, 0],
            &[(LinkState::Active, n), (LinkState::Degraded, 1)],
        )
    };
    let unknown = counts([0, 0, 0, 1], &[(LinkState::Active, 1)]);
    let ago = PlaceFact::HourAgo;
    for (facts, milli) in [
        ([live(1), ago(Some(6))], Some(66_666)),
        ([live(8), ago(Some(6))], Some(-50_000)),
        ([live(1), ago(Some(0))], None),
        ([live(1), ago(None)], None),
        ([unknown, ago(Some(6))], None),
    ] {
        assert_eq!(value(RuleKind::SectorClientDrop, &facts), milli);
    }
}

#[test]
fn traffic_is_compared_with_the_60th_tick_before() {
    let any = Rule {
        operator: Some(Operator::Gt),
        enter_milli: 49_000,
        clear_milli: 10_000,
        ..of(RuleKind::ThroughputDrop, RuleSubject::Site)
    };
    let rules = [any.clone()];
    let first = [(AT_SITE, up()), (AT_SITE, air(1, 999, 0, 0))];
    let half = [(AT_SITE, air(1, 499, 0, 0))];
    for restarts in [false, true] {
        let mut w = World::new(&rules);
        assert_eq!(w.tick(&first), []);
        for _ in 0..59 {
            assert_eq!(w.tick(&half), []);
            if restarts {
                w = w.restarted(&rules, &[first[0], half[0]]);
            }
        }
        assert_eq!(w.places.throughput()[0].1.ticks.len(), 60);
        assert_eq!(short(&w.tick(&half)), [Short::Opened(50_000)]);
        assert_eq!(w.places.throughput()[0].1.ticks.len(), 60);
        assert_eq!(short(&w.tick(&half)), [Short::Cleared(0)]);
        // Not known now, or not then: nothing.
        assert_eq!(w.tick(&[(AT_SITE, PlaceFact::Air(None))]), []);
        // A break, and the hour begins anew.
        let disabled = Rule {
            enabled: false,
            ..any.clone()
        };
        let both = [put(&disabled), put(&any)];
        w.between(&both, &[]);
        assert_eq!(w.places.throughput()[0].1.ticks.len(), 60);
        w.between(&both[..1], &[]);
        assert_eq!(w.places.throughput(), []);
        w.between(&both[1..], &[]);
        w.tick(&half);
        assert_eq!(w.places.throughput()[0].1.ticks.len(), 1);
        w.between(&[], &[(AT_SITE, PlaceFact::Counts(None))]);
        assert_eq!(w.places.throughput(), []);
    }
}

#[test]
fn places_are_judged_at_whole_minutes_alone() {
    let rule = of(RuleKind::DeviceOfflineCount, RuleSubject::Site);
    let rule = Rule {
        enter_milli: 0,
        clear_milli: 0,
        ..rule
    };
    let mut w = World::new(std::slice::from_ref(&rule));
    assert_eq!(w.places.next_timer(), None);
    let off = [(AT_SITE, counts([0, 1, 0, 0], &[]))];
    assert_eq!(w.between(&[], &off), []);
    let tick = Epoch((w.minute + 1) * MINUTE).end();
    assert_eq!(w.places.next_timer(), Some(tick));
    let told = w.tick(&[]);
    assert_eq!(short(&told), [Short::Opened(1_000)]);
    assert_eq!((told[0].at, &told[0].subject), (tick, &Subject::Site(SITE)));
    // What comes and goes between two ticks is not seen.
    assert_eq!(w.between(&[], &[(AT_SITE, up())]), []);
    assert_eq!(w.tick(&off), []);
    assert_eq!(w.tick(&[(AT_SITE, up())]).len(), 1);
}

#[test]
fn scopes_of_places() {
    use RuleSubject::{Sector, Site};
    let elsewhere = SiteId::new();
    for (scope, subject, judged) in [
        (Scope::Tenant, Site, true),
        (Scope::Tenant, Sector, true),
        (Scope::Site(SITE), Site, true),
        (Scope::Site(SITE), Sector, true),
        (Scope::Sector(SECTOR), Sector, true),
        (Scope::Sector(SECTOR), Site, false),
        (Scope::Site(elsewhere), Site, false),
        (Scope::Site(elsewhere), Sector, false),
        (Scope::Device(DEVICE), Site, false),
    ] {
        let scoped = Rule {
            scope,
            enter_milli: LEAST,
            ..of(RuleKind::DeviceOfflineCount, subject)
        };
        let mut w = World::new(&[scoped]);
        let told = w.tick(&[
            (AT_SITE, up()),
            (AT_SECTOR, up()),
            (Place::Tenant(TENANT), up()),
        ]);
        let expected = match subject {
            Site => Subject::Site(SITE),
            _ => Subject::Sector(SECTOR),
        };
        let subjects: Vec<_> = told.iter().map(|change| &change.subject).collect();
        assert_eq!(
            subjects,
            vec![&expected; usize::from(judged)],
            "{scope:?} {subject:?}"
        );
    }
}

#[test]
fn a_place_that_leaves_or_is_no_more_ends_its_alerts() {
    let scoped = Rule {
        scope: Scope::Site(SITE),
        enter_milli: LEAST,
        ..of(RuleKind::DeviceOfflineCount, RuleSubject::Sector)
    };
    let firing = || {
        let mut w = World::new(std::slice::from_ref(&scoped));
        assert_eq!(w.tick(&[(AT_SECTOR, up())]).len(), 1);
        w
    };
    let begin = Timestamp(101 * 60_000_000);
    let mut w = firing();
    let told = w.between(&[sector_at(SiteId::new())], &[]);
    assert_eq!(short(&told), [Short::Ended(Resolution::OutOfScope)]);
    assert_eq!(told[0].at, begin);
    assert_eq!(w.tick(&[]), []);
    let mut w = firing();
    for gone in [
        PlaceFact::Counts(None),
        counts([0; 4], &[(LinkState::Down, 1)]),
    ] {
        let told = w.between(&[], &[(AT_SECTOR, gone)]);
        assert_eq!(short(&told), [Short::Ended(Resolution::SubjectGone)]);
        assert_eq!(told[0].at, begin + SLOT);
        assert_eq!(w.tick(&[]), []);
        w = firing();
    }
    // A rule of devices does not judge places, whatever it was before.
    let of_devices = Rule {
        kind: RuleKind::Cpu,
        subject: RuleSubject::Device,
        ..scoped.clone()
    };
    let told = w.between(&[put(&of_devices)], &[]);
    assert_eq!(short(&told), [Short::Ended(Resolution::RuleDeleted)]);
    let told = firing().between(&[RuleControl::Deleted(scoped.id)], &[]);
    assert_eq!(short(&told), [Short::Ended(Resolution::RuleDeleted)]);
    let mut w = firing();
    let id = w.places.records()[0].1.open.unwrap().0;
    let alert = mast_schemas::alerts::alert_id(scoped.id, &Subject::Sector(SECTOR), id);
    let told = w.between(&[RuleControl::Resolved(TENANT, alert)], &[]);
    assert_eq!(short(&told), [Short::Ended(Resolution::Manual)]);
    // It goes on, latched, after a restart.
    let mut w = w.restarted(std::slice::from_ref(&scoped), &[(AT_SECTOR, up())]);
    assert!(w.places.records()[0].1.latched);
    assert_eq!(w.tick(&[]), []);
    assert_eq!(w.places.records(), []);
}

#[test]
fn of_what_was_not_bad_nothing_is_kept() {
    let rule = of(RuleKind::DeviceOfflineCount, RuleSubject::Site);
    let mut w = World::new(&[rule]);
    w.tick(&[(AT_SITE, up()), (AT_SECTOR, up())]);
    assert_eq!(w.places.records(), []);
}
