//! Devices that report radios which are not theirs, and whether they are observed: what their radios' links are shown by.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::views::DeviceState;
use mast_schemas::{DeviceId, Mac, TenantId};

use crate::messages::RadioKnown;

/// A remote radio.
type Radio = (TenantId, Mac);

/// A remote radio, who reports it, and whether that device is unobserved from now on.
pub type Reported = (TenantId, Mac, DeviceId, bool);

/// The few devices of a worker that report remote radios.
#[derive(Debug, Default)]
pub struct Reporters(BTreeMap<DeviceId, Reporter>);

#[derive(Debug, Default)]
struct Reporter {
    /// In how many of its tables each is.
    radios: BTreeMap<Radio, u32>,
    unobserved: Option<bool>,
}

impl Reporters {
    /// Closes a slot in which these radios came and went, and these devices have another state. `state` is the one at its end.
    /// Each radio that came is told, and all of a device that is observed again or no longer.
    pub fn slot<'a>(
        &mut self,
        radios: impl IntoIterator<Item = &'a RadioKnown>,
        changed: impl IntoIterator<Item = DeviceId>,
        state: impl Fn(DeviceId) -> Option<DeviceState>,
    ) -> Vec<Reported> {
        let mut came: BTreeMap<DeviceId, BTreeSet<Radio>> = BTreeMap::new();
        for radio in radios.into_iter().filter(|radio| radio.remote) {
            let key = (radio.tenant, radio.radio);
            let known = &mut self.0.entry(radio.device).or_default().radios;
            let tables = known.entry(key).or_default();
            *tables = match radio.known {
                true => *tables + 1,
                false => tables.saturating_sub(1),
            };
            let touched = came.entry(radio.device).or_default();
            if *tables == 0 {
                known.remove(&key);
                touched.remove(&key);
            } else if radio.known {
                touched.insert(key);
            }
        }
        for device in changed {
            if self.0.contains_key(&device) {
                came.entry(device).or_default();
            }
        }
        let mut told = Vec::new();
        for (device, came) in came {
            let Some(reporter) = self.0.get_mut(&device) else {
                continue;
            };
            if reporter.radios.is_empty() {
                self.0.remove(&device);
                continue;
            }
            let Some(unobserved) = state(device).map(|state| state != DeviceState::Online) else {
                continue;
            };
            let tell = |radio: &Radio| (radio.0, radio.1, device, unobserved);
            if reporter.unobserved == Some(unobserved) {
                told.extend(came.iter().map(tell));
            } else {
                reporter.unobserved = Some(unobserved);
                told.extend(reporter.radios.keys().map(tell));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Stamp;

    const DEVICE: DeviceId = DeviceId::from_bytes([2; 16]);
    const TENANT: TenantId = TenantId::from_bytes([1; 16]);

    fn radio(mac: u64, remote: bool, known: bool) -> RadioKnown {
        RadioKnown {
            stamp: Stamp::begin(DEVICE),
            tenant: TENANT,
            radio: Mac(mac),
            device: DEVICE,
            remote,
            known,
        }
    }

    #[test]
    fn radios_are_told_as_they_come_and_all_when_their_reporter_is_seen_otherwise() {
        let mut reporters = Reporters::default();
        let online = |_| Some(DeviceState::Online);
        let offline = |_| Some(DeviceState::Offline);
        let told = |mac, unobserved| (TENANT, Mac(mac), DEVICE, unobserved);
        assert_eq!(
            reporters.slot(&[radio(1, false, true)], [DEVICE], online),
            []
        );
        let came = [radio(1, true, true), radio(1, true, true)];
        assert_eq!(reporters.slot(&came, [], online), [told(1, false)]);
        let came = [radio(2, true, true)];
        assert_eq!(reporters.slot(&came, [], online), [told(2, false)]);
        let both = [told(1, true), told(2, true)];
        assert_eq!(reporters.slot([], [DEVICE], offline), both);
        assert_eq!(
            reporters.slot([], [DEVICE], |_| Some(DeviceState::Unobserved)),
            []
        );
        // One of two tables still has it.
        assert_eq!(reporters.slot(&[radio(1, true, false)], [], offline), []);
        let both = [told(1, false), told(2, false)];
        assert_eq!(reporters.slot([], [DEVICE], online), both);
        let gone = [radio(1, true, false), radio(2, true, false)];
        assert_eq!(reporters.slot(&gone, [DEVICE], |_| None), []);
        assert!(reporters.0.is_empty());
        assert_eq!(reporters.slot([], [DEVICE], offline), []);
    }
}
