//! The view stage: links with the device at their far end, as readers see them. It holds the far ends alone: what of a link
//! others see, the links themselves tell, as they were in the slot.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use hashbrown::HashMap;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::views::{LinkReason, LinkState, LinkView};
use mast_schemas::{Epoch, LinkId};
use mast_state::messages::{IncidentInput, Joint, LinkCore};
use mast_state::{Forgetting, Mac48, insert_tight};

use crate::flow::links::Links;
use crate::flow::types::{Scope, StageBuilder, Stream, Time};
use crate::numbers::{DeviceNumber, Names, Numbers, PlaceNumber};
use crate::outputs::Outputs;

/// What the stage reads.
#[derive(Clone, Debug)]
pub(crate) enum ViewMessage {
    /// Links of this worker changed in the slot.
    Changed,
    /// The far end lost (false) or got (true) a device.
    FarEnd(LinkId, DeviceNumber, bool),
}

/// A link as counts see it: state, and whether it is unobserved.
pub(crate) type Counted = (LinkState, bool);

/// What a slot makes of a link, old and new.
struct Change {
    cores: [Option<LinkCore>; 2],
    devices: [DeviceNumber; 2],
}

/// A radio: its tenant, its access point, its address.
type Radio = (PlaceNumber, DeviceNumber, Mac48);

fn radio(names: &Names, link: &LinkId) -> Radio {
    let tenant = names.tenant_number(link.tenant_id);
    (
        tenant,
        names.number(&link.ap_device_id),
        link.radio_mac.into(),
    )
}

/// A client with the device that it is: ten bytes, as nearly every link has it.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
struct FarEnd {
    client: Mac48,
    device: DeviceNumber,
}

/// Devices at the far ends of links.
#[derive(Debug, Default)]
struct FarEnds {
    /// By radio, then by rising client; of links and radios without devices there is nothing.
    radios: HashMap<Radio, Vec<FarEnd>>,
}

fn find(ends: &[FarEnd], client: Mac48) -> Result<usize, usize> {
    ends.binary_search_by_key(&client, |end| end.client)
}

impl FarEnds {
    fn get(&self, radio: Radio, client: Mac48) -> DeviceNumber {
        let ends = self.radios.get(&radio).map_or(&[][..], Vec::as_slice);
        find(ends, client).map_or(DeviceNumber::NONE, |i| ends[i].device)
    }

    fn put(&mut self, radio: Radio, client: Mac48, device: DeviceNumber) {
        let ends = self.radios.entry(radio).or_default();
        match (find(ends, client), device.get()) {
            (Ok(i), Some(device)) => ends[i].device = device,
            (Err(i), Some(device)) => insert_tight(ends, i, FarEnd { client, device }),
            (Ok(i), None) => drop(ends.remove(i)),
            (Err(_), None) => {}
        }
        if ends.is_empty() {
            self.radios.remove(&radio);
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
    links: Links,
    (thresholds, restored_at): (Thresholds, Epoch),
    names: Numbers,
    outputs: Rc<RefCell<Outputs>>,
) -> ViewStreams<'s> {
    let mut stage = StageBuilder::new("visible", scope, input);
    let (port, counted) = stage.port();
    let (incidents_port, incidents) = stage.port();
    let state = Rc::new(RefCell::new(Forgetting::new(thresholds)));
    let timers = state.clone();
    let mut far_ends = FarEnds::default();
    stage.build(
        move |c| (port.open(c), incidents_port.open(c)),
        move || timers.borrow().next_timer(),
        move |slot, messages, (to_counts, to_incidents)| {
            let now = if slot == 0 { restored_at } else { Epoch(slot) };
            let state = &mut state.borrow_mut();
            let names = &names.read();
            let changed = changed(slot, messages, &links, &mut far_ends, names);
            for (link, Change { cores, devices }) in changed {
                for ((core, device), diff) in cores.into_iter().zip(devices).zip([-1, 1]) {
                    let device = device.get().map(|device| names.device(device));
                    core.into_iter()
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

/// The links that are others in a slot, themselves or at their far ends.
fn changed(
    slot: Time,
    messages: Vec<ViewMessage>,
    links: &Links,
    far_ends: &mut FarEnds,
    names: &Names,
) -> BTreeMap<LinkId, Change> {
    let mut changes = links.changes.borrow_mut();
    let mut changed: BTreeMap<LinkId, Change> = BTreeMap::new();
    changed.extend(changes.take(slot).into_iter().map(|(link, old, new)| {
        let device = far_ends.get(radio(names, &link), link.mac.into());
        let (cores, devices) = ([old, new], [device, device]);
        (link, Change { cores, devices })
    }));
    let mut ends: Vec<_> = messages
        .into_iter()
        .filter_map(|message| match message {
            ViewMessage::Changed => None,
            ViewMessage::FarEnd(link, device, gained) => Some((link, device, gained)),
        })
        .collect();
    // A far end that is lost is told before one that is won, so that what holds is said last.
    ends.sort_by_key(|(.., gained)| *gained);
    let aps = links.state.borrow();
    for (link, device, gained) in ends {
        let (radio, client) = (radio(names, &link), link.mac.into());
        let change = changed.entry(link).or_insert_with(|| {
            let core = changes.at(slot, &link, &aps);
            let device = far_ends.get(radio, client);
            Change {
                cores: [core.clone(), core],
                devices: [device, device],
            }
        });
        let is = &mut change.devices[1];
        if gained {
            *is = device;
        } else if *is == device {
            *is = DeviceNumber::NONE;
        }
        far_ends.put(radio, client, *is);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::Mac;

    fn radio(n: u64) -> Radio {
        (PlaceNumber(0), DeviceNumber(1), Mac(n).into())
    }

    #[test]
    fn what_nearly_every_client_has_is_small() {
        assert_eq!(size_of::<FarEnd>(), 10);
    }

    #[test]
    fn a_far_end_is_there_until_its_device_goes() {
        let mut ends = FarEnds::default();
        let told = [(1, 5, 10), (1, 3, 11), (2, 5, 12), (1, 9, 13), (1, 3, 14)];
        for (at, client, device) in told {
            ends.put(radio(at), Mac(client).into(), DeviceNumber(device));
        }
        let get = |ends: &FarEnds| {
            let places = [(1, 3), (1, 5), (1, 9), (2, 5), (2, 3), (3, 3)];
            places.map(|(at, client)| ends.get(radio(at), Mac(client).into()).get())
        };
        let there = [14, 10, 13, 12].map(|device| Some(DeviceNumber(device)));
        let [a, b, c, d] = there;
        assert_eq!(get(&ends), [a, b, c, d, None, None]);
        for (at, client) in [(1, 5), (2, 5), (2, 3), (3, 3)] {
            ends.put(radio(at), Mac(client).into(), DeviceNumber::NONE);
        }
        assert_eq!(get(&ends), [a, None, c, None, None, None]);
        assert_eq!(ends.radios.len(), 1);
    }
}
