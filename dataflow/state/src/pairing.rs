//! Pairing: who owns an address, and so which device is at the far end of a link. By (tenant, MAC); devices and tenants are
//! numbers, because a fleet has several claims for each client.
//!
//! Claims and links are two machines: what a claim says reaches remote radios, whose links come only after. The second asks
//! the first, which may be some slots ahead by then. The trap avoided: an answer from the future. Of addresses that changed
//! hands the first keeps who had them, until the second has passed that slot.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use mast_schemas::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::compact::{Interner, Mac48};
use crate::rack::{OfMac, Rack};

/// No device.
const NOBODY: u32 = u32::MAX;

/// An address within a tenant, which is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Number of the tenant.
    pub tenant: u32,
    /// The address.
    pub mac: Mac48,
}

impl Address {
    /// A well-mixed hash, the same in every process: claims and links of an address meet where it says. It is not the one by which
    /// they are looked up: those of a worker have some of its bits in common.
    pub fn route(&self) -> u64 {
        FixedState::with_seed(1).hash_one(self)
    }
}

/// A claim on an address came or went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AddressClaim {
    /// The address.
    pub address: Address,
    /// Number of the device that has it.
    pub device: u32,
    /// Since when.
    pub since: Timestamp,
    /// Whether it came.
    pub came: bool,
}

/// A device reports an address as a remote radio's, or no longer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RemoteRadio {
    /// The radio.
    pub address: Address,
    /// Whether one more reports it, or one less.
    pub more: bool,
}

/// The owner of an address: the device whose claim began first, of several the one with the least id; and who would own it if
/// that one were left out. By number; `u32::MAX` where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    first: u32,
    second: u32,
}

const UNOWNED: Owner = Owner {
    first: NOBODY,
    second: NOBODY,
};

/// What a slot did to owners.
#[derive(Debug, Default)]
pub struct OwnersOut {
    /// Addresses that changed hands: each with who had it (false) and who has it (true).
    pub changed: Vec<(Address, u32, bool)>,
    /// Addresses of remote radios: who no longer owns them (false) and who does from now on (true).
    pub remote: Vec<(Address, u32, bool)>,
    /// Addresses at which the far end of links may be another, rising.
    pub touched: Vec<Address>,
}

/// A claim: 18 bytes, as a fleet has several for each client. The tenant is where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(2))]
struct Claim {
    mac: Mac48,
    device: u32,
    since: Timestamp,
}

impl OfMac for Claim {
    const VACANT: Self = Self {
        mac: Mac48::ZERO,
        device: NOBODY,
        since: Timestamp(0),
    };

    fn is_vacant(&self) -> bool {
        self.device == NOBODY
    }

    fn mac(&self) -> Mac48 {
        self.mac
    }
}

/// All claims of a worker.
#[derive(Debug, Default)]
pub struct Owners {
    claims: Rack<Claim>,
    remote: BTreeMap<Address, Remote>,
    /// Owners before the slot, of addresses whose claims changed in it.
    before: BTreeMap<Address, Owner>,
    /// Remote radios that came in the slot.
    shown: BTreeSet<Address>,
    /// Owners before a slot that [`FarEnds`] has not passed yet.
    past: BTreeMap<(Address, u64), Owner>,
}

/// A remote radio's address.
#[derive(Debug)]
struct Remote {
    reporters: u32,
    /// Who was told to own it.
    owner: u32,
}

impl Owners {
    /// One claim that came or went.
    pub fn claim(&mut self, claim: &AddressClaim, id: impl Fn(u32) -> DeviceId) {
        let address = claim.address;
        if !self.before.contains_key(&address) {
            let owner = self.now(address, id);
            self.before.insert(address, owner);
        }
        let held = Claim {
            mac: address.mac,
            device: claim.device,
            since: claim.since,
        };
        if claim.came {
            self.claims.put(address.tenant, held);
        } else {
            self.claims
                .take(address.tenant, address.mac, |other| *other == held);
        }
    }

    /// One more or less that reports a remote radio.
    pub fn radio(&mut self, radio: &RemoteRadio) {
        let remote = self.remote.entry(radio.address).or_insert(Remote {
            reporters: 0,
            owner: NOBODY,
        });
        remote.reporters = if radio.more {
            remote.reporters + 1
        } else {
            remote.reporters.saturating_sub(1)
        };
        self.shown.insert(radio.address);
    }

    /// Closes slot `slot`.
    pub fn end_slot(&mut self, slot: u64, id: impl Fn(u32) -> DeviceId, out: &mut OwnersOut) {
        for (address, old) in std::mem::take(&mut self.before) {
            let new = self.now(address, &id);
            if new == old {
                continue;
            }
            self.past.insert((address, slot), old);
            out.touched.push(address);
            if new.first != old.first {
                tell(&mut out.changed, address, old.first, new.first);
                self.shown.insert(address);
            }
        }
        for address in std::mem::take(&mut self.shown) {
            let Some(remote) = self.remote.get(&address) else {
                continue;
            };
            let owner = match remote.reporters {
                0 => NOBODY,
                _ => self.now(address, &id).first,
            };
            tell(&mut out.remote, address, remote.owner, owner);
            if remote.reporters == 0 {
                self.remote.remove(&address);
            } else if let Some(remote) = self.remote.get_mut(&address) {
                remote.owner = owner;
            }
        }
    }

    /// The owner by the claims that were taken in so far.
    fn now(&self, address: Address, id: impl Fn(u32) -> DeviceId) -> Owner {
        let here = self.claims.all(address.tenant, address.mac);
        let least = |left_out: u32| {
            let claims = here.clone().filter(|claim| claim.device != left_out);
            let least = claims.min_by(|a, b| {
                let by_time = { a.since }.cmp(&{ b.since });
                by_time.then_with(|| id(a.device).cmp(&id(b.device)))
            });
            least.map_or(NOBODY, |claim| claim.device)
        };
        match least(NOBODY) {
            NOBODY => UNOWNED,
            first => Owner {
                first,
                second: least(first),
            },
        }
    }

    /// The owner at the end of a slot that is not the newest, if need be.
    fn at(&self, address: Address, slot: u64, id: impl Fn(u32) -> DeviceId) -> Owner {
        let later = self.past.range((address, slot + 1)..=(address, u64::MAX));
        let later = later.map(|(_, owner)| *owner).next();
        later.unwrap_or_else(|| self.now(address, id))
    }

    /// Nobody asks for the owners of this slot or earlier ones any more.
    fn passed(&mut self, slot: u64, touched: &[Address]) {
        for address in touched {
            self.past.remove(&(*address, slot));
        }
    }
}

fn tell(all: &mut Vec<(Address, u32, bool)>, address: Address, old: u32, new: u32) {
    if old != new {
        let told = [(old, false), (new, true)];
        let told = told.into_iter().filter(|(owner, _)| *owner != NOBODY);
        all.extend(told.map(|(owner, has)| (address, owner, has)));
    }
}

/// A link, by its client: the client's address, access point and radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientLink {
    /// Address of the client.
    pub client: Address,
    /// Number of the access point.
    pub ap: u32,
    /// Its radio.
    pub radio: Mac48,
}

/// A link with its far end: 14 bytes, as every client has it. The client's tenant is where it lies.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(2))]
struct Paired {
    client: Mac48,
    /// Number of its access point and radio.
    radio: u32,
    /// The device that was told to be there.
    device: u32,
}

impl OfMac for Paired {
    const VACANT: Self = Self {
        client: Mac48::ZERO,
        radio: u32::MAX,
        device: NOBODY,
    };

    fn is_vacant(&self) -> bool {
        self.radio == u32::MAX
    }

    fn mac(&self) -> Mac48 {
        self.client
    }
}

/// All links of a worker, by their clients.
#[derive(Debug, Default)]
pub struct FarEnds {
    links: Rack<Paired>,
    /// Access points, each with its radio.
    radios: Interner<(u32, Mac48)>,
    /// Clients with links that came in the slot.
    came: BTreeSet<Address>,
}

/// A device is at the far end of a link from now on (true), or no longer.
pub type FarEnd = (ClientLink, u32, bool);

impl FarEnds {
    /// A link came, or went.
    pub fn link(&mut self, link: ClientLink, came: bool, out: &mut Vec<FarEnd>) {
        let Address { tenant, mac } = link.client;
        let radio = self.radios.number(&(link.ap, link.radio));
        if came {
            self.came.insert(link.client);
            self.links.put(
                tenant,
                Paired {
                    client: mac,
                    radio,
                    device: NOBODY,
                },
            );
            return;
        }
        let gone = self.links.take(tenant, mac, |paired| paired.radio == radio);
        let device = gone.map_or(NOBODY, |gone| gone.device);
        if device != NOBODY {
            out.push((link, device, false));
        }
    }

    /// Closes slot `slot`: who is at the far end of links that came, and of those at `touched`, which [`OwnersOut`] says.
    pub fn end_slot(
        &mut self,
        slot: u64,
        touched: &[Address],
        (owners, id): (&mut Owners, impl Fn(u32) -> DeviceId),
        out: &mut Vec<FarEnd>,
    ) {
        let mut clients = std::mem::take(&mut self.came);
        clients.extend(touched);
        for client in clients {
            let here = self.links.all_mut(client.tenant, client.mac);
            let mut here = here.peekable();
            if here.peek().is_none() {
                continue;
            }
            let owner = owners.at(client, slot, &id);
            for paired in here {
                let Some(&(ap, radio)) = self.radios.value(paired.radio) else {
                    continue;
                };
                // An access point is no client of its own.
                let device = if owner.first == ap {
                    owner.second
                } else {
                    owner.first
                };
                let before = paired.device;
                paired.device = device;
                if before != device {
                    let link = ClientLink { client, ap, radio };
                    let told = [(before, false), (device, true)];
                    let told = told.into_iter().filter(|(device, _)| *device != NOBODY);
                    out.extend(told.map(|(device, is)| (link, device, is)));
                }
            }
        }
        owners.passed(slot, touched);
    }
}

#[cfg(test)]
mod tests;
