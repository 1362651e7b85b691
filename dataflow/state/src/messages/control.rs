//! What control says.

use std::sync::Arc;

use mast_schemas::alerts::AlertId;
use mast_schemas::checkpoint::StandingRecord;
use mast_schemas::control::{Role, Rule, Window};
use mast_schemas::{DeviceId, GroupId, Mac, RuleId, SectorId, SiteId, TagId, TenantId, WindowId};
use serde::{Deserialize, Serialize};

use crate::limits::ApLimits;

/// What control says of a device; applies at the begin of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceControl {
    /// The device.
    pub device: DeviceId,
    /// `None` = deleted.
    pub info: Option<DeviceInfo>,
}

/// What the steps need to know of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// Owner.
    pub tenant: TenantId,
    /// Its site.
    pub site: Option<SiteId>,
    /// Its sector.
    pub sector: Option<SectorId>,
    /// Whether it is polled.
    pub enabled: bool,
    /// What counts as bad where it stands.
    pub limits: ApLimits,
    /// What it is for.
    pub role: Role,
    /// Interval of its polls.
    pub interval_ms: u32,
    /// The device that it hangs on, as people say.
    pub parent: Option<DeviceId>,
    /// Groups that it is in, rising.
    pub groups: Arc<[GroupId]>,
    /// Tags that it has, rising.
    pub tags: Arc<[TagId]>,
}

impl DeviceInfo {
    /// What control says, with what counts as bad there.
    pub fn of(record: &StandingRecord, limits: ApLimits) -> Self {
        Self {
            tenant: record.tenant_id,
            site: record.site_id,
            sector: record.sector_id,
            enabled: record.enabled,
            limits,
            role: record.role,
            interval_ms: record.interval_ms,
            parent: record.parent_id,
            groups: record.group_ids.as_slice().into(),
            tags: record.tag_ids.as_slice().into(),
        }
    }
}

/// What control says, for the begin of a slot, in the order of its records.
#[derive(Clone, Debug)]
pub enum Control {
    /// Of a device.
    Device(DeviceControl),
    /// Of rules.
    Rule(RuleControl),
}

/// What control says of rules.
#[derive(Clone, Debug)]
pub enum RuleControl {
    /// A rule was made or edited.
    Put(Arc<Rule>),
    /// A rule is no more.
    Deleted(RuleId),
    /// A person resolved an alert of this tenant.
    Resolved(TenantId, AlertId),
    /// The devices of a sector stand at this site.
    Sector {
        /// Owner.
        tenant: TenantId,
        /// The sector.
        sector: SectorId,
        /// Its site.
        site: SiteId,
    },
}

/// What control says that the health of places depends on.
#[derive(Clone, Debug)]
pub enum PlaceControl {
    /// A maintenance window, made or changed.
    Window(Window),
    /// A maintenance window is gone.
    WindowGone(TenantId, WindowId),
    /// The devices of a sector stand at this site.
    Sector(TenantId, SectorId, SiteId),
}

/// What control says of trends; applies at the begin of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrendControl {
    /// A person says that a client's signal is as it is to be.
    Normal(TenantId, Mac),
    /// A tenant was deleted.
    TenantGone(TenantId),
}
