//! The view stage: links with the device at their far end, as readers see them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use mast_schemas::records::Source;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::{LinkReason, LinkState, LinkView};
use mast_schemas::{DeviceId, Epoch, LinkId, TenantId};
use mast_state::messages::{IncidentInput, Joint, LinkCore};
use mast_state::{Forgetting, Instant, Mac48, insert_tight};

use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Numbers};
use crate::outputs::Outputs;

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum ViewMessage {
    /// A link changed; `None` = forgotten.
    Link(LinkId, Option<LinkCore>),
    /// The far end lost (false) or got (true) a device.
    FarEnd(LinkId, DeviceNumber, bool),
}

/// A link as counts see it: state, and whether it is unobserved.
pub(crate) type Counted = (LinkState, bool);

/// A link and the device at its far end. Held here because a link changes without its far end, and the other way.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    core: Option<LinkCore>,
    device: DeviceNumber,
}

/// The same, as every client has it: 44 bytes.
#[derive(Debug)]
struct Kept {
    radio: Mac48,
    mac: Mac48,
    core: Option<Core>,
    device: DeviceNumber,
}

/// What of a link is kept for itself alone.
#[derive(Debug)]
struct Core {
    since: Instant,
    discovered_at: Instant,
    /// Place of its name among those of the access point.
    interface: u32,
    source: Source,
    state: LinkState,
    reason: LinkReason,
    unobserved: bool,
    ambiguous: bool,
}

/// Links of an access point, by rising (radio, client).
#[derive(Debug, Default)]
struct Links {
    links: Vec<Kept>,
    interfaces: Vec<Arc<str>>,
}

/// So many names of interfaces are kept before those that no link has any more are dropped.
const NAMES: usize = 64;

impl Links {
    fn find(&self, link: &LinkId) -> Result<usize, usize> {
        let key = (Mac48::from(link.radio_mac), Mac48::from(link.mac));
        self.links
            .binary_search_by_key(&key, |kept| (kept.radio, kept.mac))
    }

    /// The link's pair; of one that is not there, nothing.
    fn get(&self, link: &LinkId) -> Pair {
        let kept = self.find(link).ok().map(|i| &self.links[i]);
        let core = |core: &Core| LinkCore {
            interface: self.interfaces[core.interface as usize].clone(),
            source: core.source,
            state: core.state,
            since: core.since.into(),
            reason: core.reason,
            discovered_at: core.discovered_at.into(),
            unobserved: core.unobserved,
            ambiguous: core.ambiguous,
        };
        Pair {
            core: kept.and_then(|kept| kept.core.as_ref()).map(core),
            device: kept.map_or(DeviceNumber::NONE, |kept| kept.device),
        }
    }

    /// Puts the link's pair; one that says nothing is not kept.
    fn put(&mut self, link: &LinkId, Pair { core, device }: Pair) {
        let found = self.find(link);
        if core.is_none() && device == DeviceNumber::NONE {
            if let Ok(i) = found {
                self.links.remove(i);
            }
            return;
        }
        let core = core.map(|core| Core {
            since: core.since.into(),
            discovered_at: core.discovered_at.into(),
            interface: self.interface(core.interface),
            source: core.source,
            state: core.state,
            reason: core.reason,
            unobserved: core.unobserved,
            ambiguous: core.ambiguous,
        });
        let kept = Kept {
            radio: link.radio_mac.into(),
            mac: link.mac.into(),
            core,
            device,
        };
        match found {
            Ok(i) => self.links[i] = kept,
            Err(i) => insert_tight(&mut self.links, i, kept),
        }
    }

    /// The place of a name.
    fn interface(&mut self, name: Arc<str>) -> u32 {
        let known = self.interfaces.iter().position(|known| *known == name);
        let place = known.unwrap_or_else(|| {
            if self.interfaces.len() >= NAMES && self.interfaces.len() == self.interfaces.capacity()
            {
                self.tidy();
            }
            self.interfaces.push(name);
            self.interfaces.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Drops the names that no link has.
    fn tidy(&mut self) {
        let before = std::mem::take(&mut self.interfaces);
        let mut places: HashMap<u32, u32> = HashMap::new();
        for core in self.links.iter_mut().filter_map(|kept| kept.core.as_mut()) {
            core.interface = *places.entry(core.interface).or_insert_with(|| {
                self.interfaces
                    .push(before[core.interface as usize].clone());
                u32::try_from(self.interfaces.len() - 1).unwrap_or(u32::MAX)
            });
        }
    }
}

/// All links, by access point: what every client has once must be small.
#[derive(Default)]
struct Known {
    aps: HashMap<(TenantId, DeviceId), Links>,
}

impl Known {
    fn of(&mut self, link: &LinkId) -> &mut Links {
        let ap = (link.tenant_id, link.ap_device_id);
        self.aps.entry(ap).or_default()
    }

    /// Forgets access points without links.
    fn settle(&mut self, link: &LinkId) {
        let ap = (link.tenant_id, link.ap_device_id);
        if self.aps.get(&ap).is_some_and(|ap| ap.links.is_empty()) {
            self.aps.remove(&ap);
        }
    }
}

/// What comes out.
pub(crate) struct ViewStreams<'s> {
    /// Visible links that came or went, by access point.
    pub(crate) counted: Stream<'s, (DeviceNumber, Counted, i32)>,
    /// To the alerts of what hangs on them.
    pub(crate) incidents: Stream<'s, IncidentInput>,
}

/// What parents depend on of a link.
fn joint(view: &LinkView) -> Option<Joint> {
    let stale = view.state == LinkState::Stale;
    view.cpe_device_id.map(|far_end| Joint {
        tenant: view.id.tenant_id,
        ap: view.id.ap_device_id,
        radio: view.id.radio_mac,
        far_end,
        discovered_at: view.discovered_at,
        stale,
        roamed: stale && view.reason == LinkReason::Roamed,
    })
}

/// What incidents are told of a link that was the one and is the other.
fn told(
    link: LinkId,
    (old, new): (Option<LinkView>, Option<&LinkView>),
    to_incidents: &mut Vec<IncidentInput>,
) {
    let joints = [old.as_ref().and_then(joint), new.and_then(joint)];
    if joints[0] != joints[1] {
        for (joint, came) in joints.into_iter().zip([false, true]) {
            to_incidents.extend(joint.map(|joint| IncidentInput::Link { joint, came }));
        }
    }
    let down =
        |view: Option<&LinkView>| i32::from(view.is_some_and(|view| view.state == LinkState::Down));
    let more = down(new) - down(old.as_ref());
    if more != 0 {
        to_incidents.push(IncidentInput::Down {
            tenant: link.tenant_id,
            ap: link.ap_device_id,
            more,
        });
    }
}

/// Builds the stage; `input` is on the access points' workers already.
pub(crate) fn visible<'s>(
    scope: Scope<'s, Time>,
    input: Stream<'s, ViewMessage>,
    (thresholds, restored_at): (Thresholds, Epoch),
    names: Numbers,
    outputs: Rc<RefCell<Outputs>>,
) -> ViewStreams<'s> {
    let mut stage = StageBuilder::new("visible", scope, input);
    let (port, counted) = stage.port();
    let (incidents_port, incidents) = stage.port();
    let state = Rc::new(RefCell::new(Forgetting::new(thresholds)));
    let timers = state.clone();
    let mut known = Known::default();
    stage.build(
        move |c| (port.open(c), incidents_port.open(c)),
        move || timers.borrow().next_timer(),
        move |slot, mut messages, (to_counts, to_incidents)| {
            let now = if slot == 0 { restored_at } else { Epoch(slot) };
            let state = &mut state.borrow_mut();
            // A far end that is lost is told before one that is won, so that what holds is said last.
            messages.sort_by_key(|m| match m {
                ViewMessage::Link(..) => 0,
                ViewMessage::FarEnd(.., false) => 1,
                ViewMessage::FarEnd(.., true) => 2,
            });
            let mut changed: BTreeMap<LinkId, (Pair, Pair)> = BTreeMap::new();
            for message in messages {
                let (ViewMessage::Link(link, _) | ViewMessage::FarEnd(link, ..)) = &message;
                let (_, pair) = changed.entry(*link).or_insert_with(|| {
                    let pair = known.of(link).get(link);
                    (pair.clone(), pair)
                });
                match message {
                    ViewMessage::Link(_, core) => pair.core = core,
                    ViewMessage::FarEnd(_, device, true) => pair.device = device,
                    ViewMessage::FarEnd(_, device, false) if pair.device == device => {
                        pair.device = DeviceNumber::NONE;
                    }
                    ViewMessage::FarEnd(..) => {}
                }
            }
            let names = &names.read();
            for (link, (old, new)) in changed {
                known.of(&link).put(&link, new.clone());
                known.settle(&link);
                for (pair, diff) in [(old, -1), (new, 1)] {
                    let device = pair.device.get().map(|device| names.device(device));
                    pair.core
                        .into_iter()
                        .for_each(|core| state.change(link, core, device, diff));
                }
            }
            let mut counts = Vec::new();
            let mut rows: BTreeMap<LinkId, (Option<LinkView>, Option<LinkView>)> = BTreeMap::new();
            for (view, diff) in state.end_slot(now.end()) {
                let ap = names.number(&view.id.ap_device_id);
                let n = if diff > 0 { 1 } else { -1 };
                counts.push((ap, (view.state, view.unobserved), n));
                let (old, new) = rows.entry(view.id).or_default();
                *(if diff > 0 { new } else { old }) = Some(view);
            }
            let mut about_incidents = Vec::new();
            let links = rows.into_iter().map(|(link, (old, new))| {
                told(link, (old, new.as_ref()), &mut about_incidents);
                (Epoch(slot), link, new)
            });
            outputs.borrow_mut().links.extend(links);
            to_counts.send(slot, &mut counts);
            to_incidents.send(slot, &mut about_incidents);
        },
    );
    ViewStreams { counted, incidents }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::{Mac, Timestamp};

    fn link(client: u64) -> LinkId {
        LinkId {
            tenant_id: TenantId::default(),
            ap_device_id: DeviceId::default(),
            radio_mac: Mac(1),
            mac: Mac(client),
        }
    }

    fn pair(interface: &str, at: i64) -> Pair {
        Pair {
            core: Some(LinkCore {
                interface: interface.into(),
                source: Source::Wifi,
                state: LinkState::Degraded,
                since: Timestamp(at),
                reason: LinkReason::Signal,
                discovered_at: Timestamp(-at),
                unobserved: false,
                ambiguous: true,
            }),
            device: DeviceNumber(7),
        }
    }

    #[test]
    fn what_every_client_has_is_small() {
        assert_eq!(size_of::<Kept>(), 44);
    }

    #[test]
    fn a_pair_comes_back_as_it_was_put() {
        let (mut links, nothing) = (Links::default(), Links::default().get(&link(0)));
        for client in [5, 3, 9] {
            links.put(&link(client), pair("wlan1", 1 << 40 | client as i64));
        }
        let without_core = Pair {
            core: None,
            ..pair("", 0)
        };
        links.put(&link(4), without_core.clone());
        assert_eq!(links.get(&link(9)), pair("wlan1", 1 << 40 | 9));
        assert_eq!(links.get(&link(4)), without_core);
        links.put(&link(9), nothing.clone());
        links.put(&link(8), nothing.clone());
        assert_eq!(links.get(&link(9)), nothing);
        assert_eq!(links.links.len(), 3);
        assert_eq!(links.interfaces.len(), 1);
    }

    #[test]
    fn names_that_no_link_has_any_more_go() {
        let mut links = Links::default();
        links.put(&link(1), pair("stays", 1));
        for n in 0..10_000 {
            links.put(&link(2), pair(&format!("wlan{n}"), n));
            assert_eq!(links.get(&link(2)), pair(&format!("wlan{n}"), n));
        }
        assert_eq!(links.get(&link(1)), pair("stays", 1));
        assert!(
            links.interfaces.len() <= 2 * NAMES,
            "{}",
            links.interfaces.len()
        );
    }
}
