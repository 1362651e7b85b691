//! The flow: how data moves between the steps. The only place that names timely and differential.
//!
//! ```text
//! polls ─► devices ─┬─────────────── tables, statuses ──────────────┐
//!                   ├─► bssids ─┬─── remote tables, station words ──┤
//!                   │     ▲     ▼                                   ▼
//!                   ├─────┼─► roaming ────────── verdicts ────────► links ─► visible ─► standing ─► counts ─► health
//!                   ├─► owners ──────────────────────────► far ends ◄──┤ │                 ▲   └────► signals ──┘ ▼
//!                   ├─► addresses                                      │ └─────────────────┤          rules of places
//!                   │                                                  └─► trends ─────────┘                      │
//!                   └─► rules of devices ────────── conditions, links ───────────────────────────────► incidents ◄┘
//! ```
//! Maintenance windows reach health and incidents; what is not drawn of control goes to each stage that it decides.
//! No stage depends on a later one, so a slot passes once and nothing circulates. A stage handles a slot when all of it has
//! arrived, in the order of `docs/semantics.md`; views go to [`Outputs`](crate::outputs::Outputs) at the edge.

mod addresses;
mod bssids;
mod devices;
pub(crate) mod health;
pub(crate) mod incidents;
mod links;
mod pairing;
mod places;
mod roaming;
mod rules;
mod signals;
mod standing;
mod trends;
mod types;
mod visible;
pub(crate) mod workers;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mast_schemas::thresholds::Thresholds;
use mast_schemas::{DeviceId, Mac, TenantId};
use mast_state::messages::{
    ApOut, DeviceOut, IncidentInput, PlaceControl, RuleControl, TrendControl,
};
use mast_state::pairing::Owners;
use mast_state::rules::PlaceRules;
use mast_state::{
    Aps, BssidOut, Bssids, Devices, Incidents, Measure, Places, Roaming, TrendOut, Trends,
};
use timely::dataflow::operators::vec::{Broadcast, Filter, Input as _, Map};
use timely::dataflow::{InputHandleVec, ProbeHandle};

use crate::control::DeviceDiff;
use crate::flow::bssids::{BssidInput, BssidMessage};
use crate::flow::devices::DeviceMessage;
use crate::flow::health::Fact;
use crate::flow::links::{LinkMessage, Links};
use crate::flow::roaming::RoamMessage;
use crate::flow::rules::PlaceMessage;
use crate::flow::standing::StandingMessage;
use crate::flow::trends::TrendMessage;
use crate::flow::types::{Concatenate, Exchange, Probe, Time, route};
use crate::flow::visible::ViewMessage;
use crate::flow::workers::Part;
use crate::numbers::Numbers;
use crate::outputs::{Message, Outputs, Snapshot};

/// The keyed state of one worker.
pub(crate) struct State {
    pub(crate) devices: Rc<RefCell<Devices>>,
    pub(crate) roaming: Rc<RefCell<Roaming>>,
    pub(crate) bssids: Rc<RefCell<Bssids>>,
    pub(crate) aps: Rc<RefCell<Aps>>,
    pub(crate) places: Rc<RefCell<Places>>,
    pub(crate) trends: Rc<RefCell<Trends>>,
    pub(crate) place_rules: Rc<RefCell<PlaceRules>>,
    pub(crate) incidents: Rc<RefCell<Incidents>>,
}

/// What a restored state tells in slot 0.
struct Restored {
    devices: DeviceOut,
    aps: ApOut,
    trends: TrendOut,
}

/// One worker's end of the flow.
pub(crate) struct Worker {
    messages: InputHandleVec<Time, Message>,
    control: InputHandleVec<Time, DeviceDiff>,
    rules: InputHandleVec<Time, (u32, RuleControl)>,
    policy: InputHandleVec<Time, IncidentInput>,
    trends: InputHandleVec<Time, TrendControl>,
    pub(crate) probe: ProbeHandle<Time>,
    pub(crate) outputs: Rc<RefCell<Outputs>>,
    pub(crate) state: State,
}

impl Worker {
    /// Gives the worker its part of a slot.
    pub(crate) fn feed(
        &mut self,
        slot: Time,
        part: &Part,
        messages: impl IntoIterator<Item = Message>,
    ) {
        debug_assert!(*self.messages.time() <= slot, "slots rise");
        self.advance(slot);
        for diff in &part.control {
            self.control.send(diff.clone());
        }
        part.trends.iter().for_each(|c| self.trends.send(*c));
        part.rules
            .iter()
            .for_each(|control| self.rules.send(control.clone()));
        // All of it to every worker: a tenant's places are spread over all.
        part.policy.iter().for_each(|p| self.policy.send(p.clone()));
        messages.into_iter().for_each(|m| self.messages.send(m));
    }

    /// Says that nothing before `slot` will be fed any more. Every input moves: one left behind would hold all.
    pub(crate) fn advance(&mut self, slot: Time) {
        if *self.messages.time() < slot {
            self.messages.advance_to(slot);
            self.control.advance_to(slot);
            self.trends.advance_to(slot);
            self.rules.advance_to(slot);
            self.policy.advance_to(slot);
        }
    }
}

/// Restores the keyed state of this worker from its part of a snapshot.
fn restore(thresholds: Thresholds, snapshot: Snapshot) -> (State, Restored) {
    let (mut device_out, mut ap_out) = (DeviceOut::default(), ApOut::default());
    let rules: Vec<_> = snapshot.rules.into_iter().map(Arc::new).collect();
    let judged = records(snapshot.judged);
    let mut devices = Devices::new(thresholds);
    devices.restore_rules(&rules, &judged);
    devices.restore(records(snapshot.devices), &mut device_out);
    let mut roaming = Roaming::new(thresholds);
    roaming.restore(records(snapshot.roam), records(snapshot.shown));
    let mut bssids = Bssids::new(thresholds);
    // Owners and statuses come again through the relations, in slot 0.
    bssids.restore(
        records(snapshot.caps),
        records(snapshot.bssids),
        &mut BssidOut::default(),
    );
    let mut aps = Aps::new(thresholds);
    aps.restore(
        snapshot.epoch.end(),
        records(snapshot.aps),
        records(snapshot.ap_flags),
        &mut ap_out,
    );
    let mut places = Places::default();
    places.restore(snapshot.epoch, records(snapshot.health));
    let (mut trends, mut trend_out) = (Trends::new(thresholds), TrendOut::default());
    trends.restore(records(snapshot.trends), &mut trend_out);
    let mut place_rules = PlaceRules::default();
    let throughput = records(snapshot.throughput);
    place_rules.restore(snapshot.epoch, &rules, &judged, throughput);
    let mut incidents = Incidents::new(thresholds);
    incidents.restore(records(snapshot.alerts), &records(snapshot.incidents));
    let state = State {
        devices: Rc::new(RefCell::new(devices)),
        roaming: Rc::new(RefCell::new(roaming)),
        bssids: Rc::new(RefCell::new(bssids)),
        aps: Rc::new(RefCell::new(aps)),
        places: Rc::new(RefCell::new(places)),
        trends: Rc::new(RefCell::new(trends)),
        place_rules: Rc::new(RefCell::new(place_rules)),
        incidents: Rc::new(RefCell::new(incidents)),
    };
    let told = Restored {
        devices: device_out,
        aps: ap_out,
        trends: trend_out,
    };
    (state, told)
}

/// Records without their key groups.
fn records<R>(grouped: Vec<(u8, R)>) -> Vec<R> {
    grouped.into_iter().map(|(_, record)| record).collect()
}

/// Builds the flow on a worker. `snapshot` is the worker's own part.
pub(crate) fn build(
    worker: &mut timely::worker::Worker,
    partitions: u32,
    thresholds: Thresholds,
    snapshot: Snapshot,
    numbers: &Numbers,
) -> Worker {
    let (index, peers) = (worker.index() as u64, worker.peers() as u64);
    let restored_at = snapshot.epoch;
    let (state, restored) = restore(thresholds, snapshot);
    let outputs = Rc::new(RefCell::new(Outputs::default()));
    let own = move |device: &DeviceId| route(device, partitions) % peers == index;
    let own_tenant = move |tenant| incidents::tenant_route(tenant) % peers == index;
    worker.dataflow::<Time, _, _>(|scope| {
        let (messages, message_stream) = scope.new_input::<Message>();
        let (control, control_stream) = scope.new_input::<DeviceDiff>();
        let (trend_control, trend_controls) = scope.new_input::<TrendControl>();
        let (rules, rule_stream) = scope.new_input::<(u32, RuleControl)>();
        let (policy, policy_stream) = scope.new_input::<IncidentInput>();

        let own_control = control_stream
            .clone()
            .filter(move |diff| own(&diff.control.device));
        let telemetry = message_stream.map(DeviceMessage::Telemetry);
        let known = own_control
            .clone()
            .map(|diff| DeviceMessage::Control(diff.order, diff.control));
        let ruled = rule_stream
            .clone()
            .map(|(order, control)| DeviceMessage::Rule(order, control));
        let device_input = scope.concatenate([telemetry, known, ruled]);
        let from = devices::devices(
            scope,
            device_input,
            state.devices.clone(),
            numbers.clone(),
            (restored_at, restored.devices),
            outputs.clone(),
        );

        let owners = Rc::new(RefCell::new(Owners::default()));
        let owned = pairing::owners(scope, from.claims, owners.clone(), numbers.clone());
        let about_radios = scope
            .concatenate([from.bssids, owned.bssids])
            .exchange(|m: &BssidMessage| hash(m.key()));
        let bssid_input = scope.concatenate([
            control_stream
                .clone()
                .map(|diff| BssidInput::Control(diff.control)),
            about_radios.map(BssidInput::Message),
        ]);
        let remote = bssids::bssids(scope, bssid_input, state.bssids.clone());

        let events = scope
            .concatenate([from.roaming, remote.roaming])
            .exchange(|e| hash((e.tenant, e.mac)));
        let roam_input = scope.concatenate([
            control_stream
                .clone()
                .map(|diff| RoamMessage::Control(diff.control)),
            events.map(RoamMessage::Event),
            remote
                .moved
                .broadcast()
                .map(|(ap, radio)| RoamMessage::Moved(ap, radio)),
        ]);
        let verdicts = roaming::roaming(scope, roam_input, state.roaming.clone());

        let from_elsewhere = scope
            .concatenate([
                remote.links,
                verdicts.map(mast_state::messages::ApInput::Verdict),
            ])
            .exchange(move |input| route(&input.ap(), partitions));
        let link_input = scope.concatenate([
            own_control
                .clone()
                .map(|diff| LinkMessage::Control(diff.control)),
            from.links.map(LinkMessage::Input),
            from_elsewhere.map(LinkMessage::Input),
        ]);
        let links = Links {
            state: state.aps.clone(),
            changes: Rc::default(),
        };
        let out = links::links(
            scope,
            link_input,
            links.clone(),
            numbers.clone(),
            (restored_at, restored.aps),
            outputs.clone(),
        );

        let far_ends =
            pairing::far_ends(scope, out.clients, owned.touched, owners, numbers.clone())
                .exchange(move |(link, ..)| route(&link.ap_device_id, partitions));
        let view_input = scope.concatenate([
            out.changes,
            far_ends.map(|(link, device, gained)| ViewMessage::FarEnd(link, device, gained)),
        ]);
        let views = visible::visible(
            scope,
            view_input,
            links,
            (thresholds, restored_at),
            numbers.clone(),
            outputs.clone(),
        );

        let here = move |control: &TrendControl| match control {
            TrendControl::Normal(tenant, mac) => client_route(*tenant, *mac) % peers == index,
            TrendControl::TenantGone(_) => true,
        };
        let pieces = out.pieces.exchange(|piece| hash((piece.tenant, piece.mac)));
        let trend_input = scope.concatenate([
            trend_controls.filter(here).map(TrendMessage::Control),
            pieces.map(TrendMessage::Piece),
        ]);
        let degrading = trends::trends(
            scope,
            trend_input,
            state.trends.clone(),
            restored.trends,
            outputs.clone(),
        )
        .exchange(move |(_, ap, _)| route(ap, partitions));

        let standing_input = scope.concatenate([
            own_control.map(|diff| StandingMessage::Standing(diff.number, diff.new)),
            from.states
                .map(|(device, state, n)| StandingMessage::State(device, state, n)),
            views
                .counted
                .map(|(ap, counted, n)| StandingMessage::Links(ap, counted, n)),
            degrading.map(|(tenant, ap, n)| StandingMessage::Degrading(ap, tenant, n)),
            out.signals.map(|(device, dbm, n)| {
                StandingMessage::Sum(device, Measure::Signal(dbm), i64::from(n))
            }),
            from.air
                .map(|(device, measure, n)| StandingMessage::Sum(device, measure, n)),
        ]);
        let by_place = standing::standing(scope, standing_input, numbers.clone());
        let by_number = by_place.sums.exchange(|(place, ..)| u64::from(place.0));
        let sums = signals::signals(scope, by_number, numbers.clone(), outputs.clone())
            .exchange(|(place, _): &Fact| health::place_route(place));
        let counts = places::counts(by_place.counts);
        let is_here = move |control: &PlaceControl| match control {
            PlaceControl::Sector(_, sector, _) => health::id_route(&sector.0) % peers == index,
            PlaceControl::Window(_) | PlaceControl::WindowGone(..) => true,
        };
        let place_control = scope.concatenate([
            policy_stream.clone().flat_map(health::of_policy),
            rule_stream
                .clone()
                .flat_map(|(_, control)| health::of_rules(control)),
        ]);
        let place_facts = health::health(
            scope,
            place_control.filter(is_here),
            counts,
            sums,
            (restored_at, state.places.clone()),
            numbers.clone(),
            outputs.clone(),
        );
        // Where a sector is matters only on the worker that keeps it.
        let is_kept = move |(_, control): &(u32, RuleControl)| match control {
            RuleControl::Sector { sector, .. } => health::id_route(&sector.0) % peers == index,
            _ => true,
        };
        let place_input = scope.concatenate([
            rule_stream
                .filter(is_kept)
                .map(|(order, control)| PlaceMessage::Control(order, control)),
            place_facts.map(PlaceMessage::Fact),
        ]);
        let of_places = rules::places(scope, place_input, state.place_rules.clone());
        let changes = scope.concatenate([from.rules, of_places]);

        let said = from
            .addresses
            .exchange(|change| hash((change.tenant, change.mac)));
        let addresses = addresses::addresses(scope, said, outputs.clone());

        let known = numbers.clone();
        let placed =
            control_stream.flat_map(move |diff| incidents::of_device(&diff, &known.read()));
        let decided = scope
            .concatenate([placed, policy_stream])
            .filter(move |input| own_tenant(input.tenant()));
        let from_elsewhere = scope
            .concatenate([
                from.conditions,
                views.incidents,
                changes.map(IncidentInput::Rule),
            ])
            .exchange(|input| incidents::tenant_route(input.tenant()));
        let incident_input = scope.concatenate([decided, from_elsewhere]);
        let incidents = incidents::incidents(
            scope,
            incident_input,
            (restored_at, state.incidents.clone()),
            outputs.clone(),
        );

        let (probe, _) = scope.concatenate([incidents, addresses]).probe();
        Worker {
            messages,
            control,
            rules,
            policy,
            trends: trend_control,
            probe,
            outputs,
            state,
        }
    })
}

/// A stable, well-mixed hash of an address within a tenant.
fn hash((tenant, mac): (TenantId, Mac)) -> u64 {
    let mut id = *tenant.as_bytes();
    id.iter_mut()
        .zip(mac.0.to_be_bytes())
        .for_each(|(a, b)| *a ^= b);
    mast_schemas::partition::mix(&id)
}

/// Which worker keeps a client's roaming state; the same as the exchange of the roaming stage.
pub(crate) fn client_route(tenant: TenantId, mac: Mac) -> u64 {
    hash((tenant, mac))
}

/// Which worker keeps a device's state.
pub(crate) fn device_route(device: &DeviceId, partitions: u32) -> u64 {
    route(device, partitions)
}
