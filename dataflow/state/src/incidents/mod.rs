//! Suppression and incidents (§19, §20): raw alerts in, and whether people are told of them, as what.
//!
//! Keyed by tenant. A slot's inputs may come in any order, but those of one device, and of one rule and subject, in theirs;
//! all is judged at the slot's end. Nothing of a tenant is looked at in a slot in which nothing of it changed and no timer
//! of it is due.

mod alerts;
mod incident;
mod parents;
mod recurrence;
mod status;
mod tenant;
pub(crate) mod windows;

use std::collections::BTreeSet;

use mast_schemas::alerts::{AlertId, AlertView, IncidentEvent, IncidentId, IncidentView};
use mast_schemas::checkpoint::{AlertRecord, IncidentRecord};
use mast_schemas::partition::key_group;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::{TenantId, Timestamp};

use crate::compact::Map;
use crate::incidents::tenant::{Tenant, Timers};
use crate::messages::IncidentInput;

pub use recurrence::RecurrenceError;
pub use windows::{WindowError, check, open_until};

/// Everything the step emits in one slot.
#[derive(Debug, Default)]
pub struct IncidentOut {
    /// Alerts that changed: once an alert; `None` = it is open no more.
    pub alerts: Vec<(AlertId, Option<AlertView>)>,
    /// Incidents that changed: once an incident; `None` = it is open no more.
    pub incidents: Vec<(IncidentId, Option<IncidentView>)>,
    /// What became of incidents; those that are not merged are what people are told.
    pub events: Vec<IncidentEvent>,
}

/// The alerts and incidents of a worker's tenants.
#[derive(Debug)]
pub struct Incidents {
    t: Thresholds,
    tenants: Vec<Tenant>,
    numbers: Map<TenantId, u32>,
    timers: Timers,
    /// Tenants of which something changed in the slot.
    touched: BTreeSet<u32>,
}

impl Incidents {
    /// No alerts yet.
    pub fn new(t: Thresholds) -> Self {
        Self {
            t,
            tenants: Vec::new(),
            numbers: Map::default(),
            timers: Timers::default(),
            touched: BTreeSet::new(),
        }
    }

    fn tenant(&mut self, id: TenantId) -> &mut Tenant {
        let (tenants, t) = (&mut self.tenants, self.t);
        let number = *self.numbers.entry(id).or_insert_with(|| {
            let number = u32::try_from(tenants.len()).unwrap_or(u32::MAX);
            tenants.push(Tenant::new(id, number, t));
            number
        });
        self.touched.insert(number);
        &mut self.tenants[number as usize]
    }

    /// Takes in what happened in the slot.
    pub fn apply(&mut self, input: IncidentInput, out: &mut IncidentOut) {
        self.tenant(input.tenant()).apply(input, out);
    }

    /// Closes the slot that ends at `now`.
    pub fn end_slot(&mut self, now: Timestamp, out: &mut IncidentOut) {
        for (bucket, (tenant, which)) in self.timers.take(now) {
            if self.tenants[tenant as usize].timer(bucket, which) {
                self.touched.insert(tenant);
            }
        }
        for tenant in std::mem::take(&mut self.touched) {
            self.tenants[tenant as usize].end_slot(now, &mut self.timers, out);
        }
    }

    /// No timer is due before this; `None` if none is pending.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Takes records in, before a first slot that tells all else once more: devices, links, windows. That slot ends where
    /// the records were made; what it emits was told before.
    pub fn restore(&mut self, alerts: Vec<AlertRecord>, incidents: &[IncidentRecord]) {
        for record in incidents {
            self.tenant(record.tenant_id).restore_incident(record);
        }
        for record in alerts {
            self.tenant(record.tenant_id).restore_alert(record);
        }
    }

    /// Alerts with their key groups, by rising group, tenant, rule and subject.
    pub fn alert_records(&self) -> Vec<(u8, AlertRecord)> {
        let records = self.tenants.iter().flat_map(Tenant::alert_records);
        let mut all: Vec<_> = records
            .map(|record| (key_group(record.tenant_id.as_bytes()), record))
            .collect();
        all.sort_by(|(a, x), (b, y)| {
            let key = (a, x.tenant_id, x.rule_id, &x.subject);
            key.cmp(&(b, y.tenant_id, y.rule_id, &y.subject))
        });
        all
    }

    /// Open incidents with their key groups, by rising group, tenant and id.
    pub fn incident_records(&self) -> Vec<(u8, IncidentRecord)> {
        let records = self.tenants.iter().flat_map(Tenant::incident_records);
        let mut all: Vec<_> = records
            .map(|record| (key_group(record.tenant_id.as_bytes()), record))
            .collect();
        all.sort_by_key(|(group, record)| (*group, record.tenant_id, record.incident_id));
        all
    }
}

#[cfg(test)]
mod tests;
