//! Where devices stand: what a device adds up to is told of its tenant, site and sector, and follows it when it moves.
//!
//! The trap avoided: a device that changes and moves in one slot. Both orders come to the same, as what is told is differences
//! of what each place has.

use std::collections::BTreeMap;

use differential_dataflow::difference::{Abelian, IsZero, Semigroup};
use hashbrown::HashMap;
use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, TenantId};
use mast_state::{Measure, make_room};
use uuid::Uuid;

use crate::flow::places::CountDiff;
use crate::flow::types::{Collection, Scope, StageBuilder, Stream, Time};
use crate::flow::visible::Counted;
use crate::numbers::{DeviceNumber, NOWHERE, Names, Numbers, PlaceNumber, Standing};

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum StandingMessage {
    /// Control: where a device stands; `None` = it is deleted.
    Standing(DeviceNumber, Option<Standing>),
    /// A device came into a state (1), or left it (-1).
    State(DeviceNumber, DeviceState, i8),
    /// So many links of an access point more or less are so.
    Links(DeviceNumber, Counted, i32),
    /// A change of what a device adds.
    Sum(DeviceNumber, Measure, i64),
    /// A change of how many of a tenant's clients degrade at a device, which may be deleted by now.
    Degrading(DeviceId, TenantId, i64),
}

/// A change of a place's sum.
pub(crate) type PlaceChange = (PlaceNumber, Measure, i64);

/// A device: where it stands, and how often it is in each state, which is once in one of them between slots. 16 bytes.
#[derive(Clone, Copy)]
struct Stood {
    standing: Standing,
    states: [i8; 4],
}

/// Where devices stand, and what they add.
#[derive(Default)]
struct Standings {
    /// By number. Most devices have no clients, so what each has must be small.
    devices: Vec<Stood>,
    links: HashMap<DeviceNumber, CountDiff>,
    sums: HashMap<DeviceNumber, BTreeMap<Measure, i64>>,
    /// By id: a trend outlives its access point, and finds it again if that comes back.
    degrading: BTreeMap<(DeviceId, TenantId), i64>,
    /// The slot's changes.
    changes: Vec<PlaceChange>,
    counts: HashMap<PlaceNumber, CountDiff>,
}

fn places(standing: Standing) -> impl Iterator<Item = PlaceNumber> {
    let places = standing.into_iter();
    places.filter(|place| *place != PlaceNumber::NONE)
}

impl Standings {
    fn add(&mut self, standing: Standing, measure: Measure, n: i64) {
        let places = places(standing);
        self.changes.extend(places.map(|place| (place, measure, n)));
    }

    fn count(&mut self, standing: Standing, diff: &CountDiff) {
        for place in places(standing) {
            self.counts.entry(place).or_default().plus_equals(diff);
        }
    }

    fn device(&mut self, device: DeviceNumber) -> &mut Stood {
        let i = device.0 as usize;
        if self.devices.len() <= i {
            let more = i + 1 - self.devices.len();
            make_room(&mut self.devices, more);
            let nowhere = Stood {
                standing: NOWHERE,
                states: [0; 4],
            };
            self.devices.resize(i + 1, nowhere);
        }
        &mut self.devices[i]
    }

    fn state(&mut self, device: DeviceNumber, state: DeviceState, n: i8) {
        let stood = self.device(device);
        stood.states[state as usize] += n;
        let standing = stood.standing;
        self.count(standing, &CountDiff::devices(state, n.into()));
    }

    fn links(&mut self, ap: DeviceNumber, counted: Counted, n: i32) {
        let diff = CountDiff::links(counted, n);
        let links = self.links.entry(ap).or_default();
        links.plus_equals(&diff);
        if links.is_zero() {
            self.links.remove(&ap);
        }
        let standing = self.device(ap).standing;
        self.count(standing, &diff);
    }

    fn stand(&mut self, device: DeviceNumber, new: Option<Standing>, names: &Names) {
        let new = new.unwrap_or(NOWHERE);
        let stood = self.device(device);
        let old = std::mem::replace(&mut stood.standing, new);
        if old == new {
            return;
        }
        let mut counts = CountDiff::of_states(stood.states);
        if let Some(links) = self.links.get(&device) {
            counts.plus_equals(links);
        }
        if !counts.is_zero() {
            self.count(new, &counts);
            counts.negate();
            self.count(old, &counts);
        }
        for (measure, n) in self.sums.get(&device).cloned().unwrap_or_default() {
            self.add(old, measure, -n);
            self.add(new, measure, n);
        }
        if self.degrading.is_empty() {
            return;
        }
        let id = names.device(device);
        let all = (id, TenantId(Uuid::nil()))..=(id, TenantId(Uuid::max()));
        let here: Vec<_> = self
            .degrading
            .range(all)
            .map(|(key, n)| (key.1, *n))
            .collect();
        for (tenant, n) in here {
            let tenant = names.tenant_number(tenant);
            self.add(degrading_at(old, tenant), Measure::Degrading, -n);
            self.add(degrading_at(new, tenant), Measure::Degrading, n);
        }
    }

    fn degrading(&mut self, device: DeviceId, tenant: TenantId, n: i64, names: &Names) {
        let count = self.degrading.entry((device, tenant)).or_default();
        *count += n;
        if *count == 0 {
            self.degrading.remove(&(device, tenant));
        }
        let stood = self.devices.get(names.number(&device).0 as usize);
        let standing = stood.map_or(NOWHERE, |stood| stood.standing);
        let standing = degrading_at(standing, names.tenant_number(tenant));
        self.add(standing, Measure::Degrading, n);
    }

    fn change(&mut self, device: DeviceNumber, measure: Measure, n: i64) {
        let sums = self.sums.entry(device).or_default();
        let sum = sums.entry(measure).or_default();
        *sum += n;
        if *sum == 0 {
            sums.remove(&measure);
            if sums.is_empty() {
                self.sums.remove(&device);
            }
        }
        let standing = self.device(device).standing;
        self.add(standing, measure, n);
    }

    /// The slot's changes, each (place, measure) once.
    fn take(&mut self) -> Vec<PlaceChange> {
        self.changes
            .sort_unstable_by_key(|(place, measure, _)| (*place, *measure));
        let same = self.changes.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let sums = same.map(|same| {
            let sum = same.iter().map(|change| change.2).sum();
            (same[0].0, same[0].1, sum)
        });
        let sums = sums.filter(|(_, _, n)| *n != 0).collect();
        self.changes.clear();
        sums
    }

    /// The slot's changes of counts, each place once.
    fn take_counts(&mut self) -> Vec<(PlaceNumber, CountDiff)> {
        let changed = self.counts.drain();
        let mut counts: Vec<_> = changed.filter(|(_, diff)| !diff.is_zero()).collect();
        counts.sort_unstable_by_key(|(place, _)| *place);
        counts
    }
}

/// Where a client of `tenant` counts at an access point that stands there: at its site and sector, if they are its tenant's.
fn degrading_at([owner, site, sector]: Standing, tenant: PlaceNumber) -> Standing {
    if owner == tenant {
        [PlaceNumber::NONE, site, sector]
    } else {
        NOWHERE
    }
}

/// What comes out, by place.
pub(crate) struct StandingStreams<'s> {
    /// Changes of sums.
    pub(crate) sums: Stream<'s, PlaceChange>,
    /// Changes of counts.
    pub(crate) counts: Collection<'s, PlaceNumber, CountDiff>,
}

/// Builds the stage, beside the links: gives each change to the places of its device, and moves all that a device adds when it
/// moves. `input` is on the devices' workers already.
pub(crate) fn standing<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, StandingMessage>,
    names: Numbers,
) -> StandingStreams<'s> {
    use differential_dataflow::AsCollection;

    let mut stage = StageBuilder::new("standing", scope, input);
    let (sums_port, sums) = stage.port();
    let (counts_port, counts) = stage.port();
    let mut state = Standings::default();
    stage.build(
        move |c| (sums_port.open(c), counts_port.open(c)),
        || None,
        move |slot, messages, (to_sums, to_counts)| {
            let names = &names.read();
            for message in messages {
                match message {
                    StandingMessage::Standing(device, new) => state.stand(device, new, names),
                    StandingMessage::State(device, is, n) => state.state(device, is, n),
                    StandingMessage::Links(ap, counted, n) => state.links(ap, counted, n),
                    StandingMessage::Sum(device, measure, n) => state.change(device, measure, n),
                    StandingMessage::Degrading(device, tenant, n) => {
                        state.degrading(device, tenant, n, names);
                    }
                }
            }
            to_sums.send(slot, &mut state.take());
            let counts = state.take_counts().into_iter();
            to_counts.send(
                slot,
                &mut counts.map(|(place, diff)| (place, slot, diff)).collect(),
            );
        },
    );
    StandingStreams {
        sums,
        counts: counts.as_collection(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::views::{Counts, LinkState};
    use mast_schemas::{SectorId, SiteId};

    const ONE: DeviceNumber = DeviceNumber(0);

    /// Tenants 0 and 1; site 2 and sector 3 of tenant 0, site 4 of tenant 1; one device.
    fn world() -> (Numbers, [TenantId; 2], DeviceId) {
        let (device, tenants) = (DeviceId::new(), [TenantId::new(), TenantId::new()]);
        let numbers = Numbers::default();
        numbers.device(device);
        for tenant in tenants {
            numbers.standing(tenant, None, None);
        }
        numbers.standing(tenants[0], Some(SiteId::new()), Some(SectorId::new()));
        numbers.standing(tenants[1], Some(SiteId::new()), None);
        (numbers, tenants, device)
    }

    const fn stands(places: [u32; 3]) -> Option<Standing> {
        let [tenant, site, sector] = places;
        Some([PlaceNumber(tenant), PlaceNumber(site), PlaceNumber(sector)])
    }

    const NO: u32 = PlaceNumber::NONE.0;

    fn told(sums: &mut Standings) -> Vec<(u32, i64)> {
        let changes = sums.take().into_iter();
        changes
            .map(|(place, measure, n)| {
                assert_eq!(measure, Measure::Degrading);
                (place.0, n)
            })
            .collect()
    }

    #[test]
    fn degrading_clients_follow_their_access_point_and_outlive_it() {
        let (numbers, [tenant, other], device) = world();
        let (names, mut sums) = (numbers.read(), Standings::default());
        sums.stand(ONE, stands([0, 2, 3]), &names);
        sums.degrading(device, tenant, 2, &names);
        assert_eq!(told(&mut sums), [(2, 2), (3, 2)]);
        sums.stand(ONE, stands([0, 2, NO]), &names);
        assert_eq!(told(&mut sums), [(3, -2)]);
        // It is deleted; one of them is well in the meantime; and it comes back.
        sums.stand(ONE, None, &names);
        assert_eq!(told(&mut sums), [(2, -2)]);
        sums.degrading(device, tenant, -1, &names);
        assert_eq!(told(&mut sums), []);
        sums.stand(ONE, stands([0, 2, 3]), &names);
        assert_eq!(told(&mut sums), [(2, 1), (3, 1)]);
        // Another tenant has it: it learns nothing of clients that were not its own.
        sums.stand(ONE, stands([1, 4, NO]), &names);
        assert_eq!(told(&mut sums), [(2, -1), (3, -1)]);
        sums.degrading(device, other, 1, &names);
        assert_eq!(told(&mut sums), [(4, 1)]);
    }

    #[test]
    fn degrading_clients_of_an_access_point_that_is_not_known_yet_wait_for_it() {
        let (_, [tenant, _], device) = world();
        let (numbers, mut sums) = (Numbers::default(), Standings::default());
        sums.degrading(device, tenant, 1, &numbers.read());
        assert_eq!(told(&mut sums), []);
        numbers.device(device);
        numbers.standing(tenant, Some(SiteId::new()), None);
        sums.stand(ONE, stands([0, 1, NO]), &numbers.read());
        assert_eq!(told(&mut sums), [(1, 1)]);
    }

    /// What the places count after the slot: devices online and offline, and links that are active.
    fn counted(standings: &mut Standings) -> Vec<(u32, [i64; 3])> {
        let changes = standings.take_counts().into_iter();
        changes
            .map(|(place, diff)| {
                let Counts { devices, links, .. } = diff.into();
                let [online, offline, ..] = devices;
                (
                    place.0,
                    [online, offline, links[LinkState::Active as usize]],
                )
            })
            .collect()
    }

    #[test]
    fn devices_and_links_count_where_they_stand_and_move_along() {
        let (numbers, ..) = world();
        let (names, mut all) = (numbers.read(), Standings::default());
        let active = (LinkState::Active, false);
        // Before anybody has said where it stands.
        all.state(ONE, DeviceState::Online, 1);
        all.links(ONE, active, 2);
        assert_eq!(counted(&mut all), []);
        all.stand(ONE, stands([0, 2, 3]), &names);
        let here = [1, 0, 2];
        assert_eq!(counted(&mut all), [(0, here), (2, here), (3, here)]);
        // It changes as it moves, whichever is told first.
        all.state(ONE, DeviceState::Offline, 1);
        all.stand(ONE, stands([0, 2, NO]), &names);
        all.state(ONE, DeviceState::Online, -1);
        all.links(ONE, active, -2);
        let turned = [-1, 1, -2];
        assert_eq!(
            counted(&mut all),
            [(0, turned), (2, turned), (3, [-1, 0, -2])]
        );
        assert!(all.links.is_empty());
        // What did not change is not told.
        all.stand(ONE, stands([0, 2, NO]), &names);
        all.state(ONE, DeviceState::Online, 1);
        all.state(ONE, DeviceState::Online, -1);
        assert_eq!(counted(&mut all), []);
        all.stand(ONE, None, &names);
        assert_eq!(counted(&mut all), [(0, [0, -1, 0]), (2, [0, -1, 0])]);
        all.state(ONE, DeviceState::Offline, -1);
        assert_eq!(counted(&mut all), []);
    }
}
