use mast_schemas::control::Window;
use mast_schemas::views::{Counts, DeviceState, HealthEvent, HealthState};
use mast_schemas::{DeviceId, Epoch, WindowId};

use super::*;
use crate::health::{HealthOut, Places};

const TENANT: TenantId = TenantId::from_bytes([1; 16]);
const OTHER: TenantId = TenantId::from_bytes([2; 16]);
const HILL: SiteId = SiteId::from_bytes([1; 16]);
const MILL: SiteId = SiteId::from_bytes([2; 16]);
const NORTH: SectorId = SectorId::from_bytes([1; 16]);

const WHOLE: Place = Place::Tenant(TENANT);
const SITE: Place = Place::Site(TENANT, HILL);
const SECTOR: Place = Place::Sector(TENANT, NORTH);
const STRANGE: Place = Place::Site(OTHER, HILL);

/// Slots begin here; the first tick is far.
const FIRST: u64 = 1_201;

fn at(slot: u64) -> Timestamp {
    Epoch(FIRST + slot).end()
}

/// A window of the tenant, from the end of one slot to that of another.
fn window(n: u8, from: u64, to: u64) -> Window {
    Window {
        id: WindowId::from_bytes([n; 16]),
        tenant_id: TENANT,
        name: String::new(),
        site_id: None,
        device_ids: Vec::new(),
        starts_at: at(from),
        ends_at: at(to),
        recurrence: None,
        time_zone: "UTC".to_owned(),
        version: 1,
    }
}

fn of_site(site: SiteId, window: Window) -> Window {
    let site_id = Some(site);
    Window { site_id, ..window }
}

fn gone(n: u8) -> PlaceControl {
    PlaceControl::WindowGone(TENANT, WindowId::from_bytes([n; 16]))
}

fn online() -> Counts {
    let mut counts = Counts::default();
    counts.devices[DeviceState::Online as usize] = 1;
    counts
}

fn offline() -> Counts {
    let mut counts = Counts::default();
    counts.devices[DeviceState::Offline as usize] = 1;
    counts
}

/// Places, with all that they told.
#[derive(Default)]
struct World {
    places: Places,
    out: HealthOut,
}

impl World {
    /// All places are up at the end of slot 0; the sector is at the hill.
    fn new() -> Self {
        let mut w = Self::default();
        let places = [WHOLE, SITE, SECTOR, STRANGE];
        w.slot(
            0,
            vec![PlaceControl::Sector(TENANT, NORTH, HILL)],
            &places.map(|place| (place, Some(online()))),
        );
        w.out = HealthOut::default();
        w
    }

    fn slot(&mut self, n: u64, control: Vec<PlaceControl>, counts: &[(Place, Option<Counts>)]) {
        let changes = counts.iter().copied().collect();
        let epoch = Epoch(FIRST + n);
        (self.places).slot(epoch, control, changes, [], &mut self.out);
    }

    fn says(&mut self, n: u64, control: PlaceControl) {
        self.slot(n, vec![control], &[]);
    }

    fn puts(&mut self, n: u64, window: Window) {
        self.says(n, PlaceControl::Window(window));
    }

    /// Slots up to `last` in which timers alone are due.
    fn pass(&mut self, last: u64) {
        while let Some(due) = self.places.next_timer()
            && due <= at(last)
        {
            self.slot(Epoch::of(Timestamp(due.0 - 1)).0 - FIRST, vec![], &[]);
        }
    }

    /// Which places came into maintenance (`true`) or left it since the last time, and in which slot.
    fn told(&mut self) -> Vec<(u64, Place, bool)> {
        let out = std::mem::take(&mut self.out);
        assert_eq!(out.history.len(), out.events.len(), "a row with each");
        assert_eq!(out.views.len(), out.events.len());
        let events = out.events.iter().zip(&out.history).zip(&out.views);
        let told = events.map(|((event, row), (place, health))| {
            let HealthEvent {
                from_state,
                to_state,
                ..
            } = event;
            let maintenance = Some(HealthState::Maintenance);
            assert_ne!(*from_state == maintenance, *to_state == maintenance);
            assert_eq!(
                (row.at, row.since, row.state),
                (event.at, event.at, *to_state)
            );
            assert_eq!(health.map(|health| health.since), Some(event.at));
            assert_eq!(place.id(), event.place_id);
            let slot = Epoch::of(event.at).0 - 1 - FIRST;
            (slot, *place, *to_state == maintenance)
        });
        told.collect()
    }
}

#[test]
fn a_window_has_its_begin_and_not_its_end_and_nothing_else_need_happen() {
    let mut w = World::new();
    w.puts(1, window(1, 5, 9));
    assert_eq!(w.places.next_timer(), Some(at(5)));
    w.pass(4);
    assert_eq!(w.told(), []);
    w.pass(20);
    assert_eq!(
        w.told(),
        [
            (5, WHOLE, true),
            (5, SITE, true),
            (5, SECTOR, true),
            (9, WHOLE, false),
            (9, SITE, false),
            (9, SECTOR, false)
        ]
    );
    assert!(w.places.next_timer() > Some(at(100)), "the tick");
}

#[test]
fn between_two_slot_ends_a_window_is_none() {
    let mut w = World::new();
    let within = Window {
        starts_at: Timestamp(at(5).0 + 1),
        ends_at: Timestamp(at(6).0 - 1),
        ..window(1, 5, 6)
    };
    w.puts(1, within.clone());
    w.pass(20);
    assert_eq!(w.told(), []);
    // Open at one slot end.
    let ends_at = Timestamp(at(26).0 + 1);
    let starts_at = Timestamp(at(25).0 + 1);
    w.puts(
        21,
        Window {
            starts_at,
            ends_at,
            ..within
        },
    );
    w.pass(40);
    let told = w.told();
    let of_site: Vec<_> = told.iter().filter(|(_, place, _)| *place == SITE).collect();
    assert_eq!(of_site, [&(26, SITE, true), &(27, SITE, false)]);
}

#[test]
fn a_window_of_a_site_covers_its_sectors_and_one_of_devices_no_place() {
    let mut w = World::new();
    w.puts(1, of_site(HILL, window(1, 2, 4)));
    w.puts(1, of_site(MILL, window(2, 2, 4)));
    let device_ids = vec![DeviceId::from_bytes([1; 16])];
    w.puts(
        1,
        Window {
            device_ids,
            ..window(3, 2, 4)
        },
    );
    w.pass(9);
    let (begin, end) = ([(2, SITE, true), (2, SECTOR, true)], [4, 4]);
    assert_eq!(
        w.told(),
        [begin, [(end[0], SITE, false), (end[1], SECTOR, false)]].concat()
    );
}

#[test]
fn edits_and_the_end_of_a_window_hold_from_the_slot_that_binds_them() {
    let mut w = World::new();
    w.puts(1, of_site(HILL, window(1, 0, 100)));
    assert_eq!(w.told(), [(1, SITE, true), (1, SECTOR, true)]);
    // Made longer, nothing happens; to another site, it is over here.
    w.puts(2, of_site(HILL, window(1, 0, 200)));
    assert_eq!(w.told(), []);
    w.puts(3, of_site(MILL, window(1, 0, 200)));
    assert_eq!(w.told(), [(3, SITE, false), (3, SECTOR, false)]);
    w.puts(4, window(1, 0, 200));
    w.told();
    // Of devices from now on.
    let device_ids = vec![DeviceId::from_bytes([1; 16])];
    let window_of_devices = Window {
        device_ids,
        ..window(1, 0, 200)
    };
    w.puts(5, window_of_devices);
    assert_eq!(
        w.told(),
        [(5, WHOLE, false), (5, SITE, false), (5, SECTOR, false)]
    );
    // Of two, the place leaves maintenance with the last.
    w.puts(6, window(1, 0, 20));
    w.puts(7, of_site(HILL, window(2, 0, 100)));
    w.told();
    w.pass(30);
    assert_eq!(w.told(), [(20, WHOLE, false)]);
    w.says(31, gone(2));
    assert_eq!(w.told(), [(31, SITE, false), (31, SECTOR, false)]);
    w.says(32, gone(2));
    assert_eq!(w.told(), []);
}

#[test]
fn a_sector_goes_with_the_site_at_which_its_devices_stand() {
    let mut w = World::new();
    w.puts(1, of_site(MILL, window(1, 0, 100)));
    assert_eq!(w.told(), []);
    w.says(2, PlaceControl::Sector(TENANT, NORTH, MILL));
    assert_eq!(w.told(), [(2, SECTOR, true)]);
    w.says(3, PlaceControl::Sector(TENANT, NORTH, HILL));
    assert_eq!(w.told(), [(3, SECTOR, false)]);
}

#[test]
fn another_tenants_window_covers_nothing_here() {
    let mut w = World::new();
    let tenant_id = OTHER;
    let theirs = Window {
        tenant_id,
        ..of_site(HILL, window(1, 0, 100))
    };
    w.puts(1, theirs);
    assert_eq!(w.told(), [(1, STRANGE, true)]);
    w.says(2, gone(1));
    assert_eq!(w.told(), [], "the id alone takes nothing away");
}

/// What devices do meanwhile is counted, and holds when the window is over.
#[test]
fn a_place_comes_out_of_maintenance_as_its_devices_are() {
    let mut w = World::new();
    w.puts(1, of_site(HILL, window(1, 0, 10)));
    w.told();
    w.slot(5, vec![], &[(SITE, Some(offline()))]);
    assert_eq!(w.told(), []);
    w.pass(10);
    let event = w.out.events.iter().find(|e| e.place_id == SITE.id());
    let states = event.map(|e| (e.from_state, e.to_state));
    let down = Some(HealthState::Down);
    assert_eq!(states, Some((Some(HealthState::Maintenance), down)));
    let row = w.out.history.iter().find(|row| row.state == down);
    assert_eq!(row.map(|row| row.devices_offline), Some(1));
}

#[test]
fn a_place_has_a_state_while_it_has_devices_and_not_because_of_a_window() {
    let mut w = World::new();
    w.puts(1, of_site(MILL, window(1, 0, 100)));
    assert_eq!(w.told(), []);
    let mill = Place::Site(TENANT, MILL);
    w.slot(2, vec![], &[(mill, Some(online()))]);
    let event = w.out.events.pop().unwrap();
    let maintenance = Some(HealthState::Maintenance);
    assert_eq!((event.from_state, event.to_state), (None, maintenance));
    w.slot(3, vec![], &[(mill, None)]);
    let event = w.out.events.pop().unwrap();
    assert_eq!((event.from_state, event.to_state), (maintenance, None));
}

/// A worker that has had no place for a while finds the window as it is.
#[test]
fn who_comes_when_an_edge_has_passed_finds_the_window_as_it_is() {
    let mut w = World::default();
    w.puts(0, window(1, 5, 9));
    assert_eq!(w.places.next_timer(), None, "no place, nothing to do");
    w.slot(7, vec![], &[(WHOLE, Some(online()))]);
    assert_eq!(w.out.events[0].to_state, Some(HealthState::Maintenance));
    assert_eq!(w.places.next_timer(), Some(at(9)));
}

#[test]
fn a_restart_tells_nothing_twice_and_loses_nothing() {
    let mut w = World::new();
    w.puts(1, of_site(HILL, window(1, 3, 9)));
    w.pass(4);
    w.told();
    let restarted = |w: &World, windows: &[Window]| {
        let mut again = World::default();
        let records = w.places.records().into_iter().map(|(_, record)| record);
        again.places.restore(Epoch(FIRST + 4), records.collect());
        let windows = windows.iter().cloned().map(PlaceControl::Window);
        let sector = PlaceControl::Sector(TENANT, NORTH, HILL);
        let counts = [WHOLE, SITE, SECTOR, STRANGE].map(|place| (place, Some(online())));
        let control = windows.chain([sector]);
        (again.places).begin(control, counts, [], &mut again.out);
        assert_eq!(again.told(), []);
        again
    };
    let mut same = restarted(&w, &[of_site(HILL, window(1, 3, 9))]);
    assert_eq!(same.places.next_timer(), Some(at(9)));
    same.pass(20);
    assert_eq!(same.told(), [(9, SITE, false), (9, SECTOR, false)]);
    // What its records do not say of the windows that there are is told in the next slot.
    let mut other = restarted(&w, &[of_site(MILL, window(1, 3, 9))]);
    assert_eq!(other.places.next_timer(), Some(at(5)));
    other.pass(20);
    assert_eq!(other.told(), [(5, SITE, false), (5, SECTOR, false)]);
}
