//! Who hangs on whom (§19): devices as control places them, with their states and the links between them.
//!
//! Nothing is known of ancestors until somebody asks: a walk goes up from a device and says which devices and sites its
//! answer depends on. When one of these changes, it is told as [`Key`], and whoever asked asks again. Only the way of sites
//! to the core is kept, and computed anew when links between sites, roles or core flags changed.

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mast_schemas::alerts::{ANCESTORS_MOST, Root};
use mast_schemas::control::Role;
use mast_schemas::{DeviceId, SectorId, SiteId, Timestamp};
use smallvec::SmallVec;

use crate::compact::{Mac48, Map, push_tight};
use crate::messages::{DeviceInfo, Joint};

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// A device: its state, its place, what hangs on it.
    Device(u32),
    /// A site: its router, or its way to the core.
    Site(u32),
    /// A sector: its site.
    Sector(SectorId),
}

const NONE: u32 = u32::MAX;

/// Some yes-or-no answers in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags(u8);

impl Flags {
    /// Of a link: it is stale.
    const STALE: u8 = 1;
    /// Of a link: it is stale by roaming.
    const ROAMED: u8 = 1 << 1;

    /// Of a device: control knows it.
    const KNOWN: u8 = 1;
    const ENABLED: u8 = 1 << 1;
    const OFFLINE: u8 = 1 << 2;
    const FAILING: u8 = 1 << 3;
    /// Its role is that of a router.
    const ROUTER: u8 = 1 << 4;
    /// It is a customer's. No other role than these two matters here.
    const CPE: u8 = 1 << 5;

    const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// Sets a flag; returns whether that changed it.
    const fn set(&mut self, flag: u8, on: bool) -> bool {
        let before = self.has(flag);
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
        before != on
    }
}

/// A link to an access point, as its far end keeps it: 19 bytes, and none of padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, packed)]
struct Up {
    discovered_at: Timestamp,
    /// [`NONE`] = there is no link.
    ap: u32,
    radio: Mac48,
    flags: Flags,
}

impl Up {
    /// No link.
    const NONE: Self = Self {
        discovered_at: Timestamp(0),
        ap: NONE,
        radio: Mac48::ZERO,
        flags: Flags(0),
    };

    const fn is_there(&self) -> bool {
        self.ap != NONE
    }
}

/// A device: 40 bytes, as every device has it. Nearly all have no more than one link; what few have is kept beside.
#[derive(Debug)]
struct Node {
    id: DeviceId,
    site: u32,
    /// Its first link, if it has one.
    up: Up,
    flags: Flags,
}

#[derive(Debug)]
struct Site {
    id: SiteId,
    /// Enabled routers, the lowest id first.
    routers: BTreeSet<(DeviceId, u32)>,
    core: bool,
    /// The device at the other end of a link towards the core.
    uplink: u32,
}

impl Site {
    fn router(&self) -> Option<u32> {
        self.routers.first().map(|(_, router)| *router)
    }
}

/// The ancestors of something, the nearest first, and what they depend on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) ancestors: SmallVec<[u32; 8]>,
    pub(super) asked: SmallVec<[Key; 8]>,
}

/// Devices and sites of a tenant.
#[derive(Debug, Default)]
pub(super) struct Parents {
    nodes: Vec<Node>,
    /// Links of devices that have several, but for the first.
    more_up: Map<u32, Vec<Up>>,
    /// Parents by hand.
    by_hand: Map<u32, u32>,
    /// Links down, of access points that have any.
    down: Map<u32, i32>,
    /// Numbers of the nodes, by id.
    numbers: HashTable<u32>,
    sites: Vec<Site>,
    site_numbers: Map<SiteId, u32>,
    /// Sites of sectors.
    sectors: Map<SectorId, u32>,
    /// Devices other than of customers that are at the far end of a link.
    trunks: BTreeSet<u32>,
    /// Whether ways to the core may have changed.
    rewired: bool,
    stirred: BTreeSet<Key>,
}

fn hash(id: &DeviceId) -> u64 {
    FixedState::default().hash_one(id)
}

impl Parents {
    /// The number of a device, a new one if need be: it may be named before it is known.
    pub(super) fn number(&mut self, id: DeviceId) -> u32 {
        if let Some(n) = self.find(&id) {
            return n;
        }
        let node = Node {
            id,
            site: NONE,
            up: Up::NONE,
            flags: Flags::default(),
        };
        let n = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        push_tight(&mut self.nodes, node);
        let nodes = &self.nodes;
        self.numbers
            .insert_unique(hash(&id), n, |n| hash(&nodes[*n as usize].id));
        n
    }

    fn find(&self, id: &DeviceId) -> Option<u32> {
        let same = |n: &u32| self.nodes[*n as usize].id == *id;
        self.numbers.find(hash(id), same).copied()
    }

    fn site_number(&mut self, id: SiteId) -> u32 {
        let sites = &mut self.sites;
        *self.site_numbers.entry(id).or_insert_with(|| {
            sites.push(Site {
                id,
                routers: BTreeSet::new(),
                core: false,
                uplink: NONE,
            });
            u32::try_from(sites.len() - 1).unwrap_or(NONE)
        })
    }

    fn node(&self, n: u32) -> &Node {
        &self.nodes[n as usize]
    }

    fn node_mut(&mut self, n: u32) -> &mut Node {
        &mut self.nodes[n as usize]
    }

    fn has(&self, n: u32, flag: u8) -> bool {
        self.node(n).flags.has(flag)
    }

    /// The links of a device.
    fn links(&self, n: u32) -> impl Iterator<Item = Up> {
        let first = Some(self.node(n).up).filter(Up::is_there);
        let more = first.and_then(|_| self.more_up.get(&n));
        let more = more.into_iter().flatten().copied();
        first.into_iter().chain(more)
    }

    fn add_link(&mut self, n: u32, up: Up) {
        let first = &mut self.node_mut(n).up;
        if first.is_there() {
            push_tight(self.more_up.entry(n).or_default(), up);
        } else {
            *first = up;
        }
    }

    /// Takes a link out; the last one takes its place.
    fn remove_link(&mut self, n: u32, up: Up) {
        let Some(place) = self.links(n).position(|other| other == up) else {
            return;
        };
        let Some(more) = self.more_up.get_mut(&n) else {
            self.node_mut(n).up = Up::NONE;
            return;
        };
        let last = more.pop();
        let was_last = place == more.len() + 1;
        if let (false, Some(last)) = (was_last, last) {
            match place.checked_sub(1) {
                Some(i) => more[i] = last,
                None => self.nodes[n as usize].up = last,
            }
        }
        if more.is_empty() {
            self.more_up.remove(&n);
        }
    }

    /// What control says of a device; `None` = it is no longer the tenant's.
    pub(super) fn device(&mut self, id: DeviceId, info: Option<&DeviceInfo>) {
        let n = self.number(id);
        let parent = info.and_then(|info| info.parent);
        let parent = parent.map(|parent| self.number(parent));
        let site = info
            .and_then(|info| info.site)
            .map_or(NONE, |site| self.site_number(site));
        if let (Some(sector), true) = (info.and_then(|info| info.sector), site != NONE)
            && self.sectors.insert(sector, site) != Some(site)
        {
            self.stirred.insert(Key::Sector(sector));
        }
        self.as_router(n, false);
        match parent {
            Some(parent) => self.by_hand.insert(n, parent),
            None => self.by_hand.remove(&n),
        };
        let node = self.node_mut(n);
        node.site = site;
        let is = |role| info.is_some_and(|info| info.role == role);
        for (flag, on) in [
            (Flags::KNOWN, info.is_some()),
            (Flags::ENABLED, info.is_some_and(|info| info.enabled)),
            (Flags::ROUTER, is(Role::Router)),
            (Flags::CPE, is(Role::Cpe)),
        ] {
            node.flags.set(flag, on);
        }
        self.as_router(n, true);
        self.as_trunk(n);
        self.rewired |= !self.trunks.is_empty();
        self.stirred.insert(Key::Device(n));
    }

    /// Counts a device in (or out) where it is a router.
    fn as_router(&mut self, n: u32, there: bool) {
        let Node {
            id, site, flags, ..
        } = *self.node(n);
        if !flags.has(Flags::ROUTER) || !flags.has(Flags::ENABLED) {
            return;
        }
        let Some(place) = self.sites.get_mut(site as usize) else {
            return;
        };
        let before = place.router();
        if there {
            place.routers.insert((id, n));
        } else {
            place.routers.remove(&(id, n));
        }
        if place.router() != before {
            self.stirred.insert(Key::Site(site));
        }
    }

    fn as_trunk(&mut self, n: u32) {
        let Node { up, flags, .. } = self.node(n);
        if flags.has(Flags::KNOWN) && !flags.has(Flags::CPE) && up.is_there() {
            self.trunks.insert(n);
        } else if self.trunks.remove(&n) {
            self.rewired = true;
        }
    }

    /// Whether a device is offline, and whether it is failing (§19).
    pub(super) fn condition(&mut self, id: DeviceId, offline: bool, failing: bool) {
        let n = self.number(id);
        let flags = &mut self.node_mut(n).flags;
        if flags.set(Flags::OFFLINE, offline) | flags.set(Flags::FAILING, failing) {
            self.stirred.insert(Key::Device(n));
        }
    }

    /// A link that has a device at its far end came (or went).
    pub(super) fn link(&mut self, joint: &Joint, came: bool) {
        let mut flags = Flags::default();
        flags.set(Flags::STALE, joint.stale);
        flags.set(Flags::ROAMED, joint.roamed);
        let up = Up {
            discovered_at: joint.discovered_at,
            ap: self.number(joint.ap),
            radio: joint.radio.into(),
            flags,
        };
        let n = self.number(joint.far_end);
        if came {
            self.add_link(n, up);
        } else {
            self.remove_link(n, up);
        }
        self.as_trunk(n);
        self.rewired |= self.trunks.contains(&n);
        self.stirred.insert(Key::Device(n));
    }

    /// So many more links of an access point are down. Returns its number.
    pub(super) fn down(&mut self, ap: DeviceId, more: i32) -> u32 {
        let n = self.number(ap);
        let down = self.down.entry(n).or_default();
        *down += more;
        if *down == 0 {
            self.down.remove(&n);
        }
        n
    }

    /// Whether a site is of the core.
    pub(super) fn core(&mut self, site: SiteId, core: bool) {
        let site = self.site_number(site);
        let site = &mut self.sites[site as usize];
        self.rewired |= std::mem::replace(&mut site.core, core) != core;
    }

    /// What changed since the last time, as far as walks depend on it.
    pub(super) fn stirred(&mut self) -> BTreeSet<Key> {
        if std::mem::take(&mut self.rewired) {
            self.rewire();
        }
        std::mem::take(&mut self.stirred)
    }

    /// Ways to the core, by breadth: the least number of steps between sites.
    fn rewire(&mut self) {
        let mut steps: Vec<Vec<(u32, u32)>> = vec![Vec::new(); self.sites.len()];
        for far_end in &self.trunks {
            let there = self.node(*far_end);
            let links = self.links(*far_end);
            for up in links.filter(|up| !up.flags.has(Flags::ROAMED)) {
                let here = self.node(up.ap);
                if here.site != NONE && there.site != NONE && here.site != there.site {
                    steps[here.site as usize].push((there.site, *far_end));
                    steps[there.site as usize].push((here.site, up.ap));
                }
            }
        }
        let mut distances: Vec<Option<u32>> = vec![None; self.sites.len()];
        let cores = (0..).zip(&self.sites).filter(|(_, site)| site.core);
        let mut next: VecDeque<u32> = cores.map(|(n, _)| n).collect();
        for core in &next {
            distances[*core as usize] = Some(0);
        }
        while let Some(site) = next.pop_front() {
            let distance = distances[site as usize].unwrap_or(0) + 1;
            for (other, _) in &steps[site as usize] {
                let known = &mut distances[*other as usize];
                if known.is_none() {
                    *known = Some(distance);
                    next.push_back(*other);
                }
            }
        }
        for (n, steps) in (0u32..).zip(&steps) {
            let nearer = distances[n as usize].and_then(|distance| distance.checked_sub(1));
            let ends = steps
                .iter()
                .filter(|(other, _)| nearer.is_some() && distances[*other as usize] == nearer);
            let uplink = ends
                .map(|(_, end)| *end)
                .min_by_key(|end| self.node(*end).id)
                .unwrap_or(NONE);
            let site = &mut self.sites[n as usize];
            if std::mem::replace(&mut site.uplink, uplink) != uplink {
                self.stirred.insert(Key::Site(n));
            }
        }
    }

    /// The parent of a device; says what that depends on besides the device.
    fn parent(&self, n: u32, asked: &mut SmallVec<[Key; 8]>) -> Option<u32> {
        let by_hand = self.by_hand.get(&n).copied();
        if let Some(parent) = by_hand.filter(|parent| *parent != n) {
            if self.has(parent, Flags::KNOWN) {
                return Some(parent);
            }
            asked.push(Key::Device(parent));
        }
        let there = |n: u32| n != NONE && self.has(n, Flags::KNOWN);
        if self.has(n, Flags::CPE) {
            let strange = self.links(n).filter(|up| !there(up.ap));
            asked.extend(strange.map(|up| Key::Device(up.ap)));
            let best = self.links(n).filter(|up| there(up.ap)).max_by_key(|up| {
                let live = !up.flags.has(Flags::STALE);
                (live, up.discovered_at, self.node(up.ap).id, up.radio)
            });
            return best.map(|up| up.ap);
        }
        let at = self.node(n).site;
        let site = self.sites.get(at as usize)?;
        asked.push(Key::Site(at));
        if self.has(n, Flags::ROUTER) {
            Some(site.uplink).filter(|n| there(*n))
        } else {
            site.router()
        }
    }

    /// The ancestors of a device.
    fn of_device(&self, n: u32) -> Walk {
        let mut walk = Walk::default();
        let mut at = n;
        loop {
            walk.asked.push(Key::Device(at));
            if walk.ancestors.len() >= ANCESTORS_MOST {
                return walk;
            }
            let Some(parent) = self.parent(at, &mut walk.asked) else {
                return walk;
            };
            if parent == n {
                // All of the round are reached from it, and it from them.
                walk.ancestors.clear();
                return walk;
            }
            if walk.ancestors.contains(&parent) {
                return walk;
            }
            walk.ancestors.push(parent);
            at = parent;
        }
    }

    /// The ancestors of what an alert is of.
    pub(super) fn walk(&mut self, root: Root) -> Walk {
        let (site, asked) = match root {
            Root::Device(id) => {
                let n = self.number(id);
                return self.of_device(n);
            }
            Root::Site(id) => (Some(self.site_number(id)), None),
            Root::Sector(id) => (self.sectors.get(&id).copied(), Some(Key::Sector(id))),
        };
        let mut asked: SmallVec<[Key; 8]> = asked.into_iter().collect();
        asked.extend(site.map(Key::Site));
        let router = site.and_then(|site| self.sites[site as usize].router());
        let Some(router) = router else {
            return Walk {
                asked,
                ..Walk::default()
            };
        };
        let mut walk = self.of_device(router);
        walk.ancestors.insert(0, router);
        walk.asked.extend(asked);
        walk
    }

    pub(super) fn id(&self, n: u32) -> DeviceId {
        self.node(n).id
    }

    pub(super) fn is_offline(&self, n: u32) -> bool {
        self.has(n, Flags::OFFLINE)
    }

    pub(super) fn is_failing(&self, n: u32) -> bool {
        self.has(n, Flags::FAILING)
    }

    /// Whether it is a device that is offline.
    pub(super) fn root_is_offline(&self, root: Root) -> bool {
        let Root::Device(id) = root else {
            return false;
        };
        self.find(&id).is_some_and(|n| self.is_offline(n))
    }

    /// Links of a device that are down.
    pub(super) fn downs(&self, device: DeviceId) -> i64 {
        let n = self.find(&device);
        let down = n.and_then(|n| self.down.get(&n));
        down.map_or(0, |down| i64::from(*down))
    }

    /// The site of what an alert is of.
    pub(super) fn site(&self, root: Root) -> Option<SiteId> {
        let site = match root {
            Root::Device(id) => self.find(&id).map(|n| self.node(n).site),
            Root::Site(id) => return Some(id),
            Root::Sector(id) => self.sectors.get(&id).copied(),
        };
        self.sites.get(site? as usize).map(|site| site.id)
    }
}

#[cfg(test)]
mod tests;
