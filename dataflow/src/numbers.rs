//! Numbers for devices and places. An id is 16 bytes, and relations hold several ids for every client; a number is four.
//!
//! The engine gives the numbers as control makes things known, each in its turn and before anything that uses it is fed. All
//! workers read the one list of names: a fleet's ids once more for each worker would be the most of what a worker holds. Numbers
//! live as long as the engine, are never used again for something else, and never leave it: outputs and checkpoints hold ids.
//!
//! So the lists only grow, by no more than one device, its places and one standing with each change of a device. A tenant that
//! moves devices around makes a standing at most of each of its sectors at each of its sites.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use mast_schemas::views::Place;
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};
use mast_state::Interner;
use serde::{Deserialize, Serialize};

/// The number of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct DeviceNumber(pub(crate) u32);

impl DeviceNumber {
    /// No device.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// Unless it is [`DeviceNumber::NONE`].
    pub(crate) fn get(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// The number of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct PlaceNumber(pub(crate) u32);

impl PlaceNumber {
    /// No place.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// Where a device stands: the numbers of its tenant, site and sector; [`PlaceNumber::NONE`] where it has none.
pub(crate) type Standing = [PlaceNumber; 3];

/// The number of a standing: a fleet has few of them, and every device has one, in several places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct StandingNumber(pub(crate) u32);

impl StandingNumber {
    /// Where a device that is no more stands: at no place.
    pub(crate) const NOWHERE: Self = Self(u32::MAX);

    /// Unless it is [`StandingNumber::NOWHERE`].
    pub(crate) fn get(self) -> Option<Self> {
        (self != Self::NOWHERE).then_some(self)
    }
}

/// What numbers stand for, shared by the engine and its workers.
///
/// The engine writes between slots, for a moment. Nobody takes a second [`Numbers::read`] while it has one: between two of them a
/// writer may wait, and then both wait for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Arc<RwLock<Names>>);

impl Numbers {
    /// All names so far.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a device, a new one if need be.
    pub(crate) fn device(&self, id: DeviceId) -> DeviceNumber {
        let known = self.read().number(&id);
        known
            .get()
            .unwrap_or_else(|| DeviceNumber(self.write(|names| names.devices.number(&id))))
    }

    /// Where something of this tenant, site and sector stands.
    pub(crate) fn standing(
        &self,
        tenant: TenantId,
        site: Option<SiteId>,
        sector: Option<SectorId>,
    ) -> StandingNumber {
        let places = [
            Some(Place::Tenant(tenant)),
            site.map(|site| Place::Site(tenant, site)),
            sector.map(|sector| Place::Sector(tenant, sector)),
        ];
        let known = self.read().find_standing(&places);
        known.unwrap_or_else(|| {
            self.write(|names| {
                let mut number = |place| PlaceNumber(names.places.number(&place));
                let standing = places.map(|place| place.map_or(PlaceNumber::NONE, &mut number));
                StandingNumber(names.standings.number(&standing))
            })
        })
    }

    fn write<T>(&self, write: impl FnOnce(&mut Names) -> T) -> T {
        write(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The names of devices and places, by number and back.
#[derive(Debug, Default)]
pub(crate) struct Names {
    devices: Interner<DeviceId>,
    places: Interner<Place>,
    standings: Interner<Standing>,
}

impl Names {
    /// The device with a number.
    pub(crate) fn device(&self, number: DeviceNumber) -> DeviceId {
        self.devices.value(number.0).copied().unwrap_or_default()
    }

    /// The number of a device; [`DeviceNumber::NONE`] of one that control never knew.
    pub(crate) fn number(&self, device: &DeviceId) -> DeviceNumber {
        let number = self.devices.find(device);
        number.map_or(DeviceNumber::NONE, DeviceNumber)
    }

    /// The place with a number.
    pub(crate) fn place(&self, number: PlaceNumber) -> Option<Place> {
        self.places.value(number.0).copied()
    }

    /// The places of a standing.
    pub(crate) fn standing(&self, number: StandingNumber) -> Standing {
        let standing = self.standings.value(number.0).copied();
        standing.unwrap_or([PlaceNumber::NONE; 3])
    }

    fn find_standing(&self, places: &[Option<Place>; 3]) -> Option<StandingNumber> {
        let mut standing = [PlaceNumber::NONE; 3];
        for (number, place) in standing.iter_mut().zip(places) {
            if let Some(place) = place {
                *number = PlaceNumber(self.places.find(place)?);
            }
        }
        self.standings.find(&standing).map(StandingNumber)
    }

    /// The number of a tenant.
    pub(crate) fn tenant_number(&self, tenant: TenantId) -> PlaceNumber {
        let number = self.places.find(&Place::Tenant(tenant));
        number.map_or(PlaceNumber::NONE, PlaceNumber)
    }

    /// The tenant with a number.
    pub(crate) fn tenant(&self, number: PlaceNumber) -> TenantId {
        match self.place(number) {
            Some(Place::Tenant(tenant)) => tenant,
            _ => TenantId::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_has_one_number_and_its_number_those_places() {
        let (numbers, tenant) = (Numbers::default(), TenantId::new());
        let (site, sector) = (Some(SiteId::new()), Some(SectorId::new()));
        let whole = numbers.standing(tenant, None, None);
        let at_site = numbers.standing(tenant, site, None);
        let at_sector = numbers.standing(tenant, site, sector);
        // The sector without the site, as while somebody moves it: all of its places are known, the standing is not.
        let between = numbers.standing(tenant, None, sector);
        let all = [whole, at_site, at_sector, between];
        assert_eq!(all, [0, 1, 2, 3].map(StandingNumber));
        assert_eq!(numbers.standing(tenant, site, None), at_site);
        let (names, none) = (numbers.read(), PlaceNumber::NONE);
        let [tenant, site, sector] = names.standing(at_sector);
        assert_eq!(names.standing(at_site), [tenant, site, none]);
        assert_eq!(names.standing(between), [tenant, none, sector]);
        assert_eq!(names.standing(StandingNumber::NOWHERE), [none; 3]);
        assert_eq!(StandingNumber::NOWHERE.get(), None);
    }
}
