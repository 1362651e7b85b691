//! The newest rates of interfaces, of all devices: a gauge that is never written to Postgres, for whoever serves it.
//!
//! As a gauge they are outside the promise of the views: they may be ahead of a commit. A restart begins without any, and a device has some again
//! with its second interface table after it.

use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;
use mast_schemas::views::InterfaceRates;
use mast_schemas::{DeviceId, TenantId};

use crate::outputs::Outputs;

/// See the module.
#[derive(Debug, Default)]
pub struct LastRates {
    devices: RwLock<HashMap<DeviceId, InterfaceRates>>,
}

impl LastRates {
    /// Those of a device of this tenant.
    pub fn of_device(&self, tenant: TenantId, device: DeviceId) -> Option<InterfaceRates> {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        let rates = devices.get(&device);
        rates.filter(|rates| rates.tenant_id == tenant).cloned()
    }

    /// Those of all devices of this tenant, by rising id.
    pub fn of_tenant(&self, tenant: TenantId) -> Vec<InterfaceRates> {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        let rates = devices.values().filter(|rates| rates.tenant_id == tenant);
        let mut rates: Vec<_> = rates.cloned().collect();
        rates.sort_by_key(|rates| rates.device_id);
        rates
    }

    /// Takes the rates out of the outputs. To be called before the views are taken out: a deleted device has none.
    pub fn merge(&self, outputs: &mut Outputs) {
        let mut devices = self.devices.write().unwrap_or_else(PoisonError::into_inner);
        for rates in outputs.interface_rates.drain(..) {
            devices.insert(rates.device_id, rates);
        }
        for (_, device, view) in &outputs.devices {
            let owner = view.as_ref().map(|view| view.tenant_id);
            let gone = |rates: &InterfaceRates| Some(rates.tenant_id) != owner;
            if devices.get(device).is_some_and(gone) {
                devices.remove(device);
            }
        }
    }
}
