//! One partition while its lease is held: a task for each of its devices.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::FutureExt as _;
use mast_postgres::lease::Lease;
use mast_schemas::control::Device;
use mast_schemas::{DeviceId, TenantId};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::poller::{self, Shared};
use crate::trust::{DeviceSpec, NoCredentials};

/// How long a task may take to end; what takes longer is left to itself, and its rows are nobody's.
const ENDING: Duration = Duration::from_secs(2);

/// A device that has a task.
struct Tended {
    tenant_id: TenantId,
    version: i64,
    credentials_version: i64,
    spec: watch::Sender<Arc<DeviceSpec>>,
}

/// A partition that this node holds.
pub(super) struct Tenure {
    pub(super) lease: Lease,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    known: HashMap<DeviceId, Tended>,
    /// Last sequences used under this lease, also of devices that went and may come back.
    sequences: HashMap<DeviceId, Arc<AtomicU64>>,
}

impl Tenure {
    pub(super) fn new(lease: Lease, shared: Arc<Shared>) -> Self {
        Self {
            lease,
            shared,
            tasks: TaskTracker::new(),
            known: HashMap::new(),
            sequences: HashMap::new(),
        }
    }

    /// Devices polled.
    pub(super) fn devices(&self) -> u64 {
        self.known.len() as u64
    }

    /// Ids of the devices polled.
    pub(super) fn ids(&self) -> impl Iterator<Item = DeviceId> + '_ {
        self.known.keys().copied()
    }

    /// Devices of a tenant.
    pub(super) fn of_tenant(&self, tenant: TenantId) -> Vec<DeviceId> {
        let theirs = self.known.iter().filter(|(_, t)| t.tenant_id == tenant);
        theirs.map(|(id, _)| *id).collect()
    }

    /// The version under which a device is known.
    pub(super) fn version(&self, id: DeviceId) -> Option<i64> {
        self.known.get(&id).map(|tended| tended.version)
    }

    /// What is known of a device, if its credentials are the same now: of this version, and of the same tenant.
    pub(super) fn spec(&self, device: &Device) -> Option<Arc<DeviceSpec>> {
        let same = self.known.get(&device.id).filter(|known| {
            known.credentials_version == device.credentials_version
                && known.tenant_id == device.tenant_id
        });
        same.map(|tended| tended.spec.borrow().clone())
    }

    /// Whether a device waits for its credentials.
    pub(super) fn locked(&self) -> Vec<(DeviceId, NoCredentials)> {
        let reason = |(id, tended): (&DeviceId, &Tended)| match &tended.spec.borrow().credentials {
            Err(reason) if !matches!(reason, NoCredentials::Missing) => Some((*id, reason.clone())),
            _ => None,
        };
        self.known.iter().filter_map(reason).collect()
    }

    /// Polls a device from now on, or as it is now.
    pub(super) fn upsert(&mut self, spec: DeviceSpec) {
        let id = spec.device.id;
        if !spec.device.enabled {
            self.remove(id);
            return;
        }
        let (version, credentials_version) = (spec.device.version, spec.device.credentials_version);
        let tenant_id = spec.device.tenant_id;
        let spec = Arc::new(spec);
        if let Some(tended) = self.known.get_mut(&id) {
            (tended.tenant_id, tended.version) = (tenant_id, version);
            tended.credentials_version = credentials_version;
            tended.spec.send_replace(spec);
            return;
        }
        let (sender, receiver) = watch::channel(spec);
        let sequence = Arc::clone(self.sequences.entry(id).or_default());
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(tend(id, shared, receiver, sequence));
        let tended = Tended {
            tenant_id,
            version,
            credentials_version,
            spec: sender,
        };
        self.known.insert(id, tended);
    }

    /// Polls a device no more. Dropping the sender ends the task.
    pub(super) fn remove(&mut self, id: DeviceId) {
        self.known.remove(&id);
    }

    /// Asks all tasks to end.
    pub(super) fn end(&mut self) {
        self.shared.stop.cancel();
        self.known.clear();
        self.tasks.close();
    }

    /// Waits until they have.
    pub(super) async fn ended(&self) {
        if tokio::time::timeout(ENDING, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                lease = self.lease.name,
                "tasks of devices take long to end; they are left to themselves"
            );
        }
    }
}

/// A device's task. A panic in it is a fault of ours: it is said, and the device is polled on, without what was learnt of it.
async fn tend(
    id: DeviceId,
    shared: Arc<Shared>,
    specs: watch::Receiver<Arc<DeviceSpec>>,
    sequence: Arc<AtomicU64>,
) {
    loop {
        let run = poller::run(Arc::clone(&shared), specs.clone(), Arc::clone(&sequence));
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(()) => return,
            Err(_) => {
                tracing::error!(device = %id, "polling a device failed within Mast; it begins anew");
            }
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}
