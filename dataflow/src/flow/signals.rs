//! What is added up for sites, sectors and tenants: signals, noise, traffic and degrading clients, that follow their devices.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use mast_schemas::{DeviceId, Epoch, TenantId};
use mast_state::rules::PlaceFact;
use mast_state::{Measure, PlaceSums, make_room};
use uuid::Uuid;

use crate::flow::health::Fact;
use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Names, Numbers, PlaceNumber, Standing};
use crate::outputs::Outputs;

/// What the first half reads.
#[derive(Clone, Debug)]
pub(crate) enum SignalMessage {
    /// Control: where a device stands; `None` = it is deleted.
    Standing(DeviceNumber, Option<Standing>),
    /// A change of what a device adds.
    Sum(DeviceNumber, Measure, i64),
    /// A change of how many of a tenant's clients degrade at a device, which may be deleted by now.
    Degrading(DeviceId, TenantId, i64),
}

/// A change of a place's sum.
pub(crate) type PlaceChange = (PlaceNumber, Measure, i64);

/// Where devices stand, and the sums of those that have clients.
#[derive(Default)]
struct Sums {
    /// By number. Most devices have no clients, so theirs must be small.
    standings: Vec<Standing>,
    sums: HashMap<DeviceNumber, BTreeMap<Measure, i64>>,
    /// By id: a trend outlives its access point, and finds it again if that comes back.
    degrading: BTreeMap<(DeviceId, TenantId), i64>,
    /// The slot's changes.
    changes: Vec<PlaceChange>,
}

const NOWHERE: Standing = [PlaceNumber::NONE; 3];

impl Sums {
    fn add(&mut self, standing: Standing, measure: Measure, n: i64) {
        self.changes.extend(
            standing
                .into_iter()
                .filter(|place| *place != PlaceNumber::NONE)
                .map(|place| (place, measure, n)),
        );
    }

    fn stand(&mut self, device: DeviceNumber, new: Option<Standing>, names: &Names) {
        let i = device.0 as usize;
        if self.standings.len() <= i {
            let more = i + 1 - self.standings.len();
            make_room(&mut self.standings, more);
            self.standings.resize(i + 1, NOWHERE);
        }
        let new = new.unwrap_or(NOWHERE);
        let old = std::mem::replace(&mut self.standings[i], new);
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
        let standing = self.standings.get(names.number(&device).0 as usize);
        let standing = standing.copied().unwrap_or(NOWHERE);
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
        let standing = self.standings.get(device.0 as usize);
        self.add(standing.copied().unwrap_or(NOWHERE), measure, n);
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
}

/// Where a client of `tenant` counts at an access point that stands there: at its site and sector, if they are its tenant's.
fn degrading_at([owner, site, sector]: Standing, tenant: PlaceNumber) -> Standing {
    if owner == tenant {
        [PlaceNumber::NONE, site, sector]
    } else {
        NOWHERE
    }
}

/// First half, beside the links: gives each change to the places of its device, and moves all of its sums when the device moves.
pub(crate) fn by_place<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, SignalMessage>,
    names: Numbers,
) -> Stream<'s, PlaceChange> {
    let mut stage = StageBuilder::new("signals by place", scope, input);
    let (port, changes) = stage.port();
    let mut sums = Sums::default();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, messages, (to_places,)| {
            let names = &names.read();
            for message in messages {
                match message {
                    SignalMessage::Standing(device, new) => sums.stand(device, new, names),
                    SignalMessage::Sum(device, measure, n) => sums.change(device, measure, n),
                    SignalMessage::Degrading(device, tenant, n) => {
                        sums.degrading(device, tenant, n, names);
                    }
                }
            }
            to_places.send(slot, &mut sums.take());
        },
    );
    changes
}

/// Second half, by place: adds up and tells what changed, also to the rules. `input` is exchanged by place already.
pub(crate) fn signals<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, PlaceChange>,
    names: Numbers,
    outputs: Rc<RefCell<Outputs>>,
) -> Stream<'s, Fact> {
    let mut stage = StageBuilder::new("signals", scope, input);
    let (port, facts) = stage.port();
    // Boxed: they are large, and tables have places to spare.
    let mut places: HashMap<PlaceNumber, Box<PlaceSums>> = HashMap::new();
    stage.build(
        move |c| (port.open(c),),
        || None,
        move |slot, changes, (to_rules,)| {
            let mut facts = Vec::new();
            // Whether the signals changed, the number of degrading clients, and the rest.
            let mut changed: BTreeMap<PlaceNumber, [bool; 3]> = BTreeMap::new();
            for (place, measure, n) in changes {
                places.entry(place).or_default().add(measure, n);
                let what = match measure {
                    Measure::Signal(_) => 0,
                    Measure::Degrading => 1,
                    _ => 2,
                };
                changed.entry(place).or_default()[what] = true;
            }
            let (outputs, names, epoch) = (&mut outputs.borrow_mut(), names.read(), Epoch(slot));
            for (number, [signals, degrading, air]) in changed {
                let Some(sums) = places.get(&number) else {
                    continue;
                };
                if let Some(place) = names.place(number) {
                    if signals {
                        facts.push((place, PlaceFact::Signals(sums.signals())));
                        outputs.signals.push((epoch, place, sums.signals()));
                    }
                    if degrading {
                        facts.push((place, PlaceFact::Degrading(sums.degrading())));
                    }
                    if air {
                        facts.push((place, PlaceFact::Air(sums.air())));
                        outputs.air.push((epoch, place, sums.air()));
                    }
                }
                if sums.is_empty() {
                    places.remove(&number);
                }
            }
            to_rules.send(slot, &mut facts);
        },
    );
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn told(sums: &mut Sums) -> Vec<(u32, i64)> {
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
        let (names, mut sums) = (numbers.read(), Sums::default());
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
        let (numbers, mut sums) = (Numbers::default(), Sums::default());
        sums.degrading(device, tenant, 1, &numbers.read());
        assert_eq!(told(&mut sums), []);
        numbers.device(device);
        numbers.standing(tenant, Some(SiteId::new()), None);
        sums.stand(ONE, stands([0, 1, NO]), &numbers.read());
        assert_eq!(told(&mut sums), [(1, 1)]);
    }
}
