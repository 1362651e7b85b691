//! Where devices stand: what a device adds up to is told of its tenant, site and sector, and follows it when it moves.
//!
//! The trap avoided: a device that changes and moves in one slot. Both orders come to the same, as what is told is differences
//! of what each place has.

use std::collections::BTreeMap;

use differential_dataflow::difference::{Abelian, IsZero, Semigroup};
use hashbrown::HashMap;
use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, TenantId};
use mast_state::{Measure, PlaceSums, give_back, make_room};
use uuid::Uuid;

use crate::flow::places::{CountDiff, LinkDiff};
use crate::flow::types::{Collection, Scope, StageBuilder, Stream, Time};
use crate::flow::visible::Counted;
use crate::numbers::{DeviceNumber, Names, Numbers, PlaceNumber, Standing, StandingNumber};

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum StandingMessage {
    /// Control: where a device stands; `None` = it is deleted.
    Standing(DeviceNumber, Option<StandingNumber>),
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

/// A device: where it stands, and how often it is in each state, which is once in one of them between slots. 8 bytes.
#[derive(Clone, Copy)]
struct Stood {
    standing: StandingNumber,
    states: [i8; 4],
}

/// What an access point adds beside its state.
#[derive(Default)]
struct Added {
    links: LinkDiff,
    sums: PlaceSums,
}

impl Added {
    fn is_nothing(&self) -> bool {
        self.links == LinkDiff::default() && self.sums.is_empty()
    }
}

/// Where devices stand, and what they add.
#[derive(Default)]
struct Standings {
    /// By number. Most devices have no clients, so what each has must be small.
    devices: Vec<Stood>,
    /// Of those that add something.
    added: HashMap<DeviceNumber, Box<Added>>,
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
                standing: StandingNumber::NOWHERE,
                states: [0; 4],
            };
            self.devices.resize(i + 1, nowhere);
        }
        &mut self.devices[i]
    }

    fn state(&mut self, device: DeviceNumber, state: DeviceState, n: i8, names: &Names) {
        let stood = self.device(device);
        stood.states[state as usize] += n;
        let standing = names.standing(stood.standing);
        self.count(standing, &CountDiff::devices(state, n.into()));
    }

    /// Changes what an access point adds. Returns where it stands.
    fn change(
        &mut self,
        ap: DeviceNumber,
        change: impl FnOnce(&mut Added),
        names: &Names,
    ) -> Standing {
        let added = self.added.entry(ap).or_default();
        change(added);
        if added.is_nothing() {
            self.added.remove(&ap);
        }
        names.standing(self.device(ap).standing)
    }

    fn links(&mut self, ap: DeviceNumber, counted: Counted, n: i32, names: &Names) {
        let diff = LinkDiff::of(counted, n);
        let standing = self.change(ap, |added| added.links.add(&diff), names);
        self.count(standing, &diff.into());
    }

    fn sum(&mut self, ap: DeviceNumber, measure: Measure, n: i64, names: &Names) {
        let standing = self.change(ap, |added| added.sums.add(measure, n), names);
        self.add(standing, measure, n);
    }

    fn stand(&mut self, device: DeviceNumber, new: Option<StandingNumber>, names: &Names) {
        let new = new.unwrap_or(StandingNumber::NOWHERE);
        let stood = self.device(device);
        let (old, states) = (stood.standing, stood.states);
        stood.standing = new;
        if old == new {
            return;
        }
        let (old, new) = (names.standing(old), names.standing(new));
        let added = self.added.get(&device);
        let links = added.map_or_else(LinkDiff::default, |added| added.links);
        let sums: Vec<_> = added.iter().flat_map(|added| added.sums.all()).collect();
        let mut counts = CountDiff::of(states, links);
        if !counts.is_zero() {
            self.count(new, &counts);
            counts.negate();
            self.count(old, &counts);
        }
        for (measure, n) in sums {
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
        let standing = stood.map_or(StandingNumber::NOWHERE, |stood| stood.standing);
        let standing = degrading_at(names.standing(standing), names.tenant_number(tenant));
        self.add(standing, Measure::Degrading, n);
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
        give_back(&mut self.changes);
        sums
    }

    /// The slot's changes of counts, each place once.
    fn take_counts(&mut self) -> Vec<(PlaceNumber, CountDiff)> {
        // Not drained: a map that once held every place would stay as large.
        let changed = std::mem::take(&mut self.counts).into_iter();
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
        [PlaceNumber::NONE; 3]
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
                    StandingMessage::State(device, is, n) => state.state(device, is, n, names),
                    StandingMessage::Links(ap, counted, n) => state.links(ap, counted, n, names),
                    StandingMessage::Sum(device, measure, n) => {
                        state.sum(device, measure, n, names);
                    }
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

    /// Places 0 and 1 are tenants; site 2 and sector 3 of tenant 0, site 4 of tenant 1; one device.
    struct World {
        numbers: Numbers,
        tenants: [TenantId; 2],
        device: DeviceId,
        in_sector: Option<StandingNumber>,
        at_site: Option<StandingNumber>,
        elsewhere: Option<StandingNumber>,
    }

    fn world() -> World {
        let (device, tenants) = (DeviceId::new(), [TenantId::new(), TenantId::new()]);
        let numbers = Numbers::default();
        numbers.device(device);
        for tenant in tenants {
            numbers.standing(tenant, None, None);
        }
        let site = Some(SiteId::new());
        let in_sector = numbers.standing(tenants[0], site, Some(SectorId::new()));
        let at_site = numbers.standing(tenants[0], site, None);
        let elsewhere = numbers.standing(tenants[1], Some(SiteId::new()), None);
        World {
            numbers,
            tenants,
            device,
            in_sector: Some(in_sector),
            at_site: Some(at_site),
            elsewhere: Some(elsewhere),
        }
    }

    #[test]
    fn what_every_device_and_access_point_has_is_small() {
        assert_eq!((size_of::<Stood>(), size_of::<Added>()), (8, 80));
    }

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
        let world = world();
        let ([tenant, other], device) = (world.tenants, world.device);
        let (names, mut sums) = (world.numbers.read(), Standings::default());
        sums.stand(ONE, world.in_sector, &names);
        sums.degrading(device, tenant, 2, &names);
        assert_eq!(told(&mut sums), [(2, 2), (3, 2)]);
        sums.stand(ONE, world.at_site, &names);
        assert_eq!(told(&mut sums), [(3, -2)]);
        // It is deleted; one of them is well in the meantime; and it comes back.
        sums.stand(ONE, None, &names);
        assert_eq!(told(&mut sums), [(2, -2)]);
        sums.degrading(device, tenant, -1, &names);
        assert_eq!(told(&mut sums), []);
        sums.stand(ONE, world.in_sector, &names);
        assert_eq!(told(&mut sums), [(2, 1), (3, 1)]);
        // Another tenant has it: it learns nothing of clients that were not its own.
        sums.stand(ONE, world.elsewhere, &names);
        assert_eq!(told(&mut sums), [(2, -1), (3, -1)]);
        sums.degrading(device, other, 1, &names);
        assert_eq!(told(&mut sums), [(4, 1)]);
    }

    #[test]
    fn degrading_clients_of_an_access_point_that_is_not_known_yet_wait_for_it() {
        let (tenant, device) = (TenantId::new(), DeviceId::new());
        let (numbers, mut sums) = (Numbers::default(), Standings::default());
        sums.degrading(device, tenant, 1, &numbers.read());
        assert_eq!(told(&mut sums), []);
        numbers.device(device);
        let at_site = numbers.standing(tenant, Some(SiteId::new()), None);
        sums.stand(ONE, Some(at_site), &numbers.read());
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
        let world = world();
        let (names, mut all) = (&world.numbers.read(), Standings::default());
        let active = (LinkState::Active, false);
        // Before anybody has said where it stands.
        all.state(ONE, DeviceState::Online, 1, names);
        all.links(ONE, active, 2, names);
        assert_eq!(counted(&mut all), []);
        all.stand(ONE, world.in_sector, names);
        let here = [1, 0, 2];
        assert_eq!(counted(&mut all), [(0, here), (2, here), (3, here)]);
        // It changes as it moves, whichever is told first.
        all.state(ONE, DeviceState::Offline, 1, names);
        all.stand(ONE, world.at_site, names);
        all.state(ONE, DeviceState::Online, -1, names);
        all.links(ONE, active, -2, names);
        let turned = [-1, 1, -2];
        assert_eq!(
            counted(&mut all),
            [(0, turned), (2, turned), (3, [-1, 0, -2])]
        );
        assert!(all.added.is_empty());
        // What did not change is not told.
        all.stand(ONE, world.at_site, names);
        all.state(ONE, DeviceState::Online, 1, names);
        all.state(ONE, DeviceState::Online, -1, names);
        assert_eq!(counted(&mut all), []);
        all.stand(ONE, None, names);
        assert_eq!(counted(&mut all), [(0, [0, -1, 0]), (2, [0, -1, 0])]);
        all.state(ONE, DeviceState::Offline, -1, names);
        assert_eq!(counted(&mut all), []);
    }

    /// What the places were told of their sums.
    fn added(standings: &mut Standings) -> Vec<(u32, Measure, i64)> {
        let changes = standings.take().into_iter();
        changes
            .map(|(place, measure, n)| (place.0, measure, n))
            .collect()
    }

    #[test]
    fn sums_of_an_access_point_move_along_and_go_with_the_last() {
        let world = world();
        let (names, mut all) = (&world.numbers.read(), Standings::default());
        let (low, high) = (Measure::Signal(-81), Measure::Signal(-60));
        let (noise, sent) = (Measure::Noise(-101), Measure::Sent);
        all.stand(ONE, world.at_site, names);
        all.sum(ONE, high, 1, names);
        all.sum(ONE, noise, 1, names);
        all.sum(ONE, sent, 1 << 40, names);
        let here = [(high, 1), (noise, 1), (sent, 1 << 40)];
        let at = |place: u32| here.map(|(measure, n)| (place, measure, n));
        assert_eq!(added(&mut all), [at(0), at(2)].concat());
        all.stand(ONE, world.in_sector, names);
        assert_eq!(added(&mut all), at(3));
        // A signal changes as its access point moves, and what goes is told before what comes.
        all.sum(ONE, high, -1, names);
        all.stand(ONE, world.at_site, names);
        all.sum(ONE, low, 1, names);
        let of_site = |place| [(place, low, 1), (place, high, -1)];
        let of_sector = [(3, high, -1), (3, noise, -1), (3, sent, -(1 << 40))];
        let turned = [of_site(0), of_site(2)].concat();
        assert_eq!(added(&mut all), [&turned[..], &of_sector].concat());
        // What it takes back before it adds it is nothing in the end.
        for (measure, n) in [(sent, -(1 << 40)), (noise, -1), (low, -2), (low, 1)] {
            all.sum(ONE, measure, n, names);
        }
        assert!(all.added.is_empty());
    }
}
