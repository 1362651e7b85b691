//! The view stage: links with the device at their far end, as readers see them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::{LinkReason, LinkState, LinkView};
use mast_schemas::{DeviceId, Epoch, LinkId, TenantId};
use mast_state::messages::{IncidentInput, Joint, LinkCore};
use mast_state::{Forgetting, Mac48};

use crate::flow::types::{Collection, Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Names};
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

const NOTHING: Pair = Pair {
    core: None,
    device: DeviceNumber::NONE,
};

/// Links of an access point: (radio, client), and the pair.
type Links = Vec<((Mac48, Mac48), Pair)>;

fn key(link: &LinkId) -> (Mac48, Mac48) {
    (link.radio_mac.into(), link.mac.into())
}

/// All links, by access point and there by rising (radio, client): what every client has once must be small.
#[derive(Default)]
struct Known {
    aps: HashMap<(TenantId, DeviceId), Links>,
}

impl Known {
    /// The link's pair, made if it is not there.
    fn entry(&mut self, link: &LinkId) -> &mut Pair {
        let links = self
            .aps
            .entry((link.tenant_id, link.ap_device_id))
            .or_default();
        let key = key(link);
        let i = links
            .binary_search_by_key(&key, |(key, _)| *key)
            .unwrap_or_else(|i| {
                links.insert(i, (key, NOTHING));
                i
            });
        &mut links[i].1
    }

    /// The link's pair; one that says nothing is dropped.
    fn settle(&mut self, link: &LinkId) -> Pair {
        let pair = self.entry(link).clone();
        let ap = (link.tenant_id, link.ap_device_id);
        if pair == NOTHING
            && let Some(links) = self.aps.get_mut(&ap)
        {
            links.retain(|(other, _)| *other != key(link));
            if links.is_empty() {
                self.aps.remove(&ap);
            }
        }
        pair
    }
}

/// What comes out.
pub(crate) struct ViewStreams<'s> {
    /// Visible links, by access point.
    pub(crate) counted: Collection<'s, (DeviceNumber, Counted)>,
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
    names: Rc<RefCell<Names>>,
    outputs: Rc<RefCell<Outputs>>,
) -> ViewStreams<'s> {
    use differential_dataflow::AsCollection;

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
            let mut before: BTreeMap<LinkId, Pair> = BTreeMap::new();
            for message in messages {
                let (ViewMessage::Link(link, _) | ViewMessage::FarEnd(link, ..)) = &message;
                let pair = known.entry(link);
                before.entry(*link).or_insert_with(|| pair.clone());
                match message {
                    ViewMessage::Link(_, core) => pair.core = core,
                    ViewMessage::FarEnd(_, device, true) => pair.device = device,
                    ViewMessage::FarEnd(_, device, false) if pair.device == device => {
                        pair.device = DeviceNumber::NONE;
                    }
                    ViewMessage::FarEnd(..) => {}
                }
            }
            let names = &names.borrow();
            for (link, old) in before {
                let new = known.settle(&link);
                for (pair, diff) in [(old, -1), (new, 1)] {
                    let device = pair.device.get().map(|device| names.device(device));
                    pair.core
                        .into_iter()
                        .for_each(|core| state.change(link, core, device, diff));
                }
            }
            let mut updates = Vec::new();
            let mut rows: BTreeMap<LinkId, (Option<LinkView>, Option<LinkView>)> = BTreeMap::new();
            for (view, diff) in state.end_slot(now.end()) {
                updates.push((
                    (
                        names.number(&view.id.ap_device_id),
                        (view.state, view.unobserved),
                    ),
                    slot,
                    diff,
                ));
                let (old, new) = rows.entry(view.id).or_default();
                *(if diff > 0 { new } else { old }) = Some(view);
            }
            let mut about_incidents = Vec::new();
            let links = rows.into_iter().map(|(link, (old, new))| {
                told(link, (old, new.as_ref()), &mut about_incidents);
                (Epoch(slot), link, new)
            });
            outputs.borrow_mut().links.extend(links);
            to_counts.send(slot, &mut updates);
            to_incidents.send(slot, &mut about_incidents);
        },
    );
    ViewStreams {
        counted: counted.as_collection(),
        incidents,
    }
}
