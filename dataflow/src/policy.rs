//! What control says that suppression and incidents depend on: which sites are of the core; and, as the health of places does,
//! maintenance windows.

use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::WindowId;
use mast_schemas::checkpoint::CoreRecord;
use mast_schemas::control::{Change, Window};
use mast_state::messages::IncidentInput;

/// Core sites and windows of all tenants.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyTables {
    cores: BTreeSet<CoreRecord>,
    windows: BTreeMap<WindowId, Window>,
}

fn core(record: CoreRecord, core: bool) -> IncidentInput {
    IncidentInput::Core {
        tenant: record.tenant_id,
        site: record.site_id,
        core,
    }
}

fn gone(window: &Window) -> IncidentInput {
    IncidentInput::WindowGone {
        tenant: window.tenant_id,
        id: window.id,
    }
}

impl PolicyTables {
    /// What a checkpoint held.
    pub(crate) fn new(cores: &[CoreRecord], windows: &[Window]) -> Self {
        let windows = windows.iter().map(|window| (window.id, window.clone()));
        Self {
            cores: cores.iter().copied().collect(),
            windows: windows.collect(),
        }
    }

    /// All, as whoever knows nothing yet must be told.
    pub(crate) fn all(&self) -> Vec<IncidentInput> {
        let cores = self.cores.iter().map(|record| core(*record, true));
        let windows = self.windows.values().cloned().map(IncidentInput::Window);
        cores.chain(windows).collect()
    }

    /// Applies the changes of a slot, in their order, and says what is different now.
    pub(crate) fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Vec<IncidentInput> {
        let mut inputs = Vec::new();
        for change in changes {
            self.change(change, &mut inputs);
        }
        inputs
    }

    fn change(&mut self, change: &Change, inputs: &mut Vec<IncidentInput>) {
        match change {
            Change::Site(row) => {
                let record = CoreRecord {
                    tenant_id: row.tenant_id,
                    site_id: row.id,
                };
                let changed = if row.core {
                    self.cores.insert(record)
                } else {
                    self.cores.remove(&record)
                };
                if changed {
                    inputs.push(core(record, row.core));
                }
            }
            Change::SiteDeleted { id } => {
                self.uncore(|record| record.site_id == *id, inputs);
            }
            Change::Window(row) => {
                let before = self.windows.insert(row.id, row.clone());
                let moved = before.filter(|before| before.tenant_id != row.tenant_id);
                inputs.extend(moved.as_ref().map(gone));
                inputs.push(IncidentInput::Window(row.clone()));
            }
            Change::WindowDeleted { id } => {
                inputs.extend(self.windows.remove(id).as_ref().map(gone));
            }
            Change::TenantDeleted { id } => {
                self.uncore(|record| record.tenant_id == *id, inputs);
                let of_tenant = |_: &WindowId, row: &mut Window| row.tenant_id == *id;
                let windows = self.windows.extract_if(.., of_tenant);
                inputs.extend(windows.map(|(_, window)| gone(&window)));
            }
            _ => {}
        }
    }

    fn uncore(&mut self, which: impl Fn(&CoreRecord) -> bool, inputs: &mut Vec<IncidentInput>) {
        let cores = self.cores.extract_if(.., which);
        inputs.extend(cores.map(|record| core(record, false)));
    }

    /// What a checkpoint holds of core sites.
    pub(crate) fn cores(&self) -> Vec<CoreRecord> {
        self.cores.iter().copied().collect()
    }

    /// What a checkpoint holds of windows, by rising id.
    pub(crate) fn windows(&self) -> Vec<Window> {
        self.windows.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::control::Site;
    use mast_schemas::{SiteId, TenantId, Timestamp};

    fn site(tenant_id: TenantId, id: SiteId, core: bool) -> Change {
        Change::Site(Site {
            id,
            tenant_id,
            name: String::new(),
            latitude: None,
            longitude: None,
            elevation_m: None,
            core,
            version: 1,
        })
    }

    fn window(tenant_id: TenantId) -> Window {
        Window {
            id: WindowId::new(),
            tenant_id,
            name: String::new(),
            site_id: None,
            device_ids: Vec::new(),
            starts_at: Timestamp(0),
            ends_at: Timestamp(1),
            recurrence: None,
            time_zone: "UTC".to_owned(),
            version: 1,
        }
    }

    #[test]
    fn what_is_different_is_told_once_and_kept() {
        let (tenant, other, id) = (TenantId::new(), TenantId::new(), SiteId::new());
        let mut tables = PolicyTables::default();
        let record = CoreRecord {
            tenant_id: tenant,
            site_id: id,
        };
        let told = tables.apply(&[site(tenant, id, false), site(tenant, id, true)]);
        assert_eq!(told, [core(record, true)]);
        assert!(tables.apply(&[site(tenant, id, true)]).is_empty());

        let (ours, theirs) = (window(tenant), window(other));
        let put = [ours.clone(), theirs.clone()].map(Change::Window);
        let told = tables.apply(&put);
        assert_eq!(
            told,
            [ours.clone(), theirs.clone()].map(IncidentInput::Window)
        );
        let again = PolicyTables::new(&tables.cores(), &tables.windows());
        assert_eq!(again.all(), tables.all());
        assert_eq!(again.all().len(), 3);

        // A tenant takes its own along.
        let told = tables.apply(&[Change::TenantDeleted { id: tenant }]);
        assert_eq!(told, [core(record, false), gone(&ours)]);
        let told = tables.apply(&[Change::WindowDeleted { id: theirs.id }]);
        assert_eq!(told, [gone(&theirs)]);
        assert!(tables.all().is_empty());
        assert!(tables.apply(&[Change::SiteDeleted { id }]).is_empty());
    }
}
