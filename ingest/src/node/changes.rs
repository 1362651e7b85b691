//! What changed of the devices held: told by the control topic, or found out late.

use std::collections::{HashMap, HashSet};

use mast_schemas::DeviceId;
use mast_schemas::control::{Change, Device};
use mast_schemas::metric::Metric;

use super::control::News;
use super::health::Concern;
use super::work::Work;
use crate::trust::{DeviceSpec, Manner, NoCredentials};

/// Devices whose credentials are tried again at once.
const RETRIED: usize = 1_000;

impl Work {
    /// Applies changes in their order. Credentials are read anew only where they changed, for all of these changes at
    /// once; else the old ones stay, Postgres away or not.
    pub(super) async fn apply(&mut self, news: impl Iterator<Item = News>) {
        let mut to_read: HashMap<DeviceId, Device> = HashMap::new();
        for news in news {
            let News::Change(change) = news else {
                self.read_anew = true;
                continue;
            };
            match *change {
                Change::Device(device) => {
                    let place = self.place(device.id);
                    let Some(held) = self.held.get_mut(&place) else {
                        continue;
                    };
                    let known = held.version(device.id);
                    if known.is_some_and(|version| version >= device.version) {
                        continue;
                    }
                    match held.spec(&device) {
                        Some(before) => held.upsert(DeviceSpec {
                            device,
                            ..(*before).clone()
                        }),
                        None => {
                            to_read.insert(device.id, device);
                        }
                    }
                }
                Change::DeviceDeleted { id } => {
                    to_read.remove(&id);
                    let place = self.place(id);
                    if let Some(held) = self.held.get_mut(&place) {
                        held.remove(id);
                    }
                }
                Change::TenantDeleted { id } => {
                    to_read.retain(|_, device| device.tenant_id != id);
                    for held in self.held.values_mut() {
                        for device in held.of_tenant(id) {
                            held.remove(device);
                        }
                    }
                }
                _ => {}
            }
        }
        if !to_read.is_empty() {
            self.read(to_read).await;
        }
        self.measure();
    }

    /// Devices that are new here, or of which the credentials changed.
    async fn read(&mut self, changed: HashMap<DeviceId, Device>) {
        let ids: Vec<DeviceId> = changed.keys().copied().collect();
        match self.within(self.inner.store.devices(&ids)).await {
            Ok(specs) => {
                for mut spec in specs {
                    let id = spec.device.id;
                    let place = self.place(id);
                    if let (Some(held), Some(told)) = (self.held.get_mut(&place), changed.get(&id))
                    {
                        overtake(&mut spec, told);
                        held.upsert(spec);
                    }
                }
            }
            Err(error) => {
                for (id, device) in changed {
                    let place = self.place(id);
                    if let Some(held) = self.held.get_mut(&place) {
                        held.upsert(DeviceSpec {
                            device,
                            credentials: Err(NoCredentials::Unread(error.to_string())),
                            pin: None,
                            manner: Manner::default(),
                        });
                    }
                }
            }
        }
    }

    /// Postgres answers: what could not be read or opened is tried again, and what was missed is looked for.
    pub(super) async fn catch_up(&mut self) {
        if self.read_anew && self.all_anew().await {
            self.read_anew = false;
        }
        let locked: Vec<_> = self.held.values().flat_map(|held| held.locked()).collect();
        let ids: Vec<DeviceId> = locked.iter().map(|(id, _)| *id).take(RETRIED).collect();
        if !ids.is_empty()
            && let Ok(specs) = self.within(self.inner.store.devices(&ids)).await
        {
            let before: HashMap<DeviceId, NoCredentials> = locked.into_iter().collect();
            for spec in specs {
                // A reason that is another now is told too.
                let same = spec.credentials.as_ref().err() == before.get(&spec.device.id);
                let place = self.place(spec.device.id);
                if let Some(held) = self.held.get_mut(&place).filter(|_| !same) {
                    held.upsert(spec);
                }
            }
        }
        self.tell_locked();
    }

    /// What keeps credentials from being opened: the key itself, and for whom.
    fn tell_locked(&self) {
        let locked: Vec<_> = self.held.values().flat_map(|held| held.locked()).collect();
        Metric::IngestLocked.set_count(&[], locked.len() as u64);
        let of_devices = locked
            .first()
            .map(|(_, reason)| format!("{} devices are not polled: {reason}", locked.len()));
        let of_key = self.inner.config.keys.trouble();
        let reason = match (of_key, of_devices) {
            (Some(key), Some(devices)) => Some(format!("{key}; {devices}")),
            (key, devices) => key.or(devices),
        };
        self.inner.health.note(Concern::Keys, reason);
    }

    /// Compares what is polled with what Postgres holds. False when Postgres went away meanwhile.
    async fn all_anew(&mut self) -> bool {
        let Ok(ids) = self.within(self.inner.store.ids()).await else {
            return false;
        };
        let ours = |id: &DeviceId| self.held.contains_key(&self.place(*id));
        let ids: Vec<DeviceId> = ids.into_iter().filter(ours).collect();
        let Ok(specs) = self.within(self.inner.store.devices(&ids)).await else {
            return false;
        };
        let there: HashSet<DeviceId> = ids.into_iter().collect();
        for held in self.held.values_mut() {
            let gone: Vec<DeviceId> = held.ids().filter(|id| !there.contains(id)).collect();
            gone.into_iter().for_each(|id| held.remove(id));
        }
        for spec in specs {
            let place = self.place(spec.device.id);
            if let Some(held) = self.held.get_mut(&place)
                && held
                    .version(spec.device.id)
                    .is_none_or(|v| spec.device.version > v)
            {
                held.upsert(spec);
            }
        }
        true
    }
}

/// Postgres may be behind nothing, but a standby that answers may: what was told is known.
fn overtake(read: &mut DeviceSpec, told: &Device) {
    if read.device.version >= told.version {
        return;
    }
    if read.device.tenant_id != told.tenant_id {
        // What was read is another tenant's.
        let behind = "PostgreSQL does not know of its move yet".to_owned();
        read.credentials = Err(NoCredentials::Unread(behind));
        read.pin = None;
    }
    read.device = told.clone();
}
