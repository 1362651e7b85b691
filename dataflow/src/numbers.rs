//! Numbers for devices and places. An id is 16 bytes, and relations hold several ids for every client; a number is four.
//!
//! The engine gives the numbers as control makes things known, each in its turn, and tells all workers. They live as long as
//! the engine, are never used again for something else, and never leave it: outputs and checkpoints hold ids.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use mast_schemas::views::Place;
use mast_schemas::{DeviceId, SectorId, SiteId, TenantId};
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

/// Gives numbers to places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    numbers: HashMap<Place, PlaceNumber, FixedState>,
    places: Vec<Place>,
}

impl Places {
    /// The number of a place, a new one if need be.
    fn number(&mut self, place: Place) -> PlaceNumber {
        *self.numbers.entry(place).or_insert_with(|| {
            self.places.push(place);
            PlaceNumber(u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// Where something of this tenant, site and sector stands.
    pub(crate) fn standing(
        &mut self,
        tenant: TenantId,
        site: Option<SiteId>,
        sector: Option<SectorId>,
    ) -> Standing {
        let site = site.map(|site| Place::Site(tenant, site));
        let sector = sector.map(|sector| Place::Sector(tenant, sector));
        [Some(Place::Tenant(tenant)), site, sector]
            .map(|place| place.map_or(PlaceNumber::NONE, |place| self.number(place)))
    }

    /// All places, by number.
    pub(crate) fn all(&self) -> &[Place] {
        &self.places
    }
}

/// What a worker knows of numbers.
#[derive(Debug, Default)]
pub(crate) struct Names {
    devices: Vec<DeviceId>,
    places: Vec<Place>,
    /// Numbers of the devices whose state is kept here.
    own: HashMap<DeviceId, DeviceNumber, FixedState>,
    tenants: HashMap<TenantId, PlaceNumber, FixedState>,
}

impl Names {
    /// Takes in the next device numbers; `own` says which devices live here.
    pub(crate) fn add_devices(&mut self, devices: &[DeviceId], own: impl Fn(&DeviceId) -> bool) {
        for id in devices {
            if own(id) {
                let number = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
                self.own.insert(*id, DeviceNumber(number));
            }
            self.devices.push(*id);
        }
    }

    /// Takes in the next place numbers.
    pub(crate) fn add_places(&mut self, places: &[Place]) {
        for place in places {
            if let Place::Tenant(tenant) = place {
                let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
                self.tenants.insert(*tenant, PlaceNumber(number));
            }
            self.places.push(*place);
        }
    }

    /// The device with a number.
    pub(crate) fn device(&self, number: DeviceNumber) -> DeviceId {
        self.devices
            .get(number.0 as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The number of a device that lives here.
    pub(crate) fn number(&self, device: &DeviceId) -> DeviceNumber {
        self.own.get(device).copied().unwrap_or(DeviceNumber::NONE)
    }

    /// The place with a number.
    pub(crate) fn place(&self, number: PlaceNumber) -> Option<Place> {
        self.places.get(number.0 as usize).copied()
    }

    /// The number of a tenant.
    pub(crate) fn tenant_number(&self, tenant: TenantId) -> PlaceNumber {
        self.tenants
            .get(&tenant)
            .copied()
            .unwrap_or(PlaceNumber::NONE)
    }

    /// The tenant with a number.
    pub(crate) fn tenant(&self, number: PlaceNumber) -> TenantId {
        match self.place(number) {
            Some(Place::Tenant(tenant)) => tenant,
            _ => TenantId::default(),
        }
    }
}
