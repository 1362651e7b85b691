//! The meaning of each view, told as scenarios.

mod addresses;
mod alert_thresholds;
mod alerts;
mod devices;
mod limits;
mod links;
mod pairing;
mod places;
mod properties;
mod roaming;
mod rules;
mod thresholds;
mod trends;

use mast_oracle::Oracle;
use mast_oracle::script::{Script, radio, tenant};
use mast_schemas::views::{LinkReason, LinkState, LinkView};
use mast_schemas::{DeviceId, LinkId, Mac, Timestamp, thresholds::DEFAULT};

/// The scenario folded up to the slot that holds `until`.
fn run(script: &Script, until: Timestamp) -> Oracle {
    let mut oracle = Oracle::new(DEFAULT);
    fold(&mut oracle, script, until);
    oracle
}

fn fold(oracle: &mut Oracle, script: &Script, until: Timestamp) {
    for slot in script.slots(until) {
        oracle.slot(slot.first, slot.last, &slot.control, slot.polls);
    }
}

/// The link of a client with the only radio of an access point.
fn link_id(ap: DeviceId, mac: Mac) -> LinkId {
    LinkId {
        tenant_id: tenant(1),
        ap_device_id: ap,
        radio_mac: radio(ap),
        mac,
    }
}

/// A link's row.
#[expect(
    clippy::unwrap_used,
    reason = "a scenario without the link is a failed test"
)]
fn link(oracle: &Oracle, ap: DeviceId, mac: Mac) -> LinkView {
    oracle
        .views()
        .links
        .get(&link_id(ap, mac))
        .cloned()
        .unwrap()
}

/// State, reason and begin of a link.
fn state(oracle: &Oracle, ap: DeviceId, mac: Mac) -> Option<(LinkState, LinkReason, Timestamp)> {
    oracle
        .views()
        .links
        .get(&link_id(ap, mac))
        .map(|l| (l.state, l.reason, l.since))
}

/// All transitions, in words.
fn transitions(oracle: &mut Oracle) -> Vec<String> {
    let word = |s: Option<LinkState>| s.map_or("-", LinkState::as_str);
    let events = oracle.take_events();
    events
        .links
        .iter()
        .map(|e| format!("{}>{} {}", word(e.from_state), word(e.to_state), e.reason))
        .collect()
}
