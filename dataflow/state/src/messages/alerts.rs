//! What decides of alerts and incidents.

use mast_schemas::alerts::{
    AlertChange, AlertEvent, AlertId, AlertStatus, AlertView, Resolution, RuleKind, Severity,
    Subject, SubjectId, alert_event_id, alert_id,
};
use mast_schemas::control::Window;
use mast_schemas::{DeviceId, Mac, RuleId, SiteId, TenantId, Timestamp, WindowId};
use serde::{Deserialize, Serialize};

use super::DeviceInfo;

/// A raw change of an alert (§18), before it is known whether people are told of it. Those of one rule and subject come from
/// one worker, in the order in which they happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    /// Owner.
    pub tenant: TenantId,
    /// The rule.
    pub rule: RuleId,
    /// Its kind.
    pub kind: RuleKind,
    /// Its severity: the new one of [`RuleTurn::Severity`].
    pub severity: Severity,
    /// What the alert is of.
    pub subject: Subject,
    /// When the alert opened.
    pub opened_at: Timestamp,
    /// The value that opened it, thousandths.
    pub opened_milli: i64,
    /// When this happened.
    pub at: Timestamp,
    /// What happened.
    pub turn: RuleTurn,
    /// The threshold that a value was compared with, thousandths; `None` where no value did it, or the kind has none.
    pub threshold_milli: Option<i64>,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleTurn {
    /// It opened.
    Opened,
    /// It is open, and its rule has another severity now. No event.
    Severity,
    /// It resolved.
    Resolved {
        /// Why.
        resolution: Resolution,
        /// The value that did it, thousandths.
        value_milli: Option<i64>,
    },
}

impl RuleChange {
    /// Id of the alert.
    pub fn alert_id(&self) -> AlertId {
        alert_id(self.rule, &self.subject, self.opened_at)
    }

    /// The alert from now on, as if nothing held it back and it were in no incident; `None` when it resolved.
    pub fn view(&self) -> Option<AlertView> {
        (!matches!(self.turn, RuleTurn::Resolved { .. })).then(|| AlertView {
            alert_id: self.alert_id(),
            tenant_id: self.tenant,
            rule_id: self.rule,
            kind: self.kind,
            severity: self.severity,
            subject: self.subject.clone(),
            opened_at: self.opened_at,
            value_milli: self.opened_milli,
            status: AlertStatus::Open,
            suppressor: None,
            cause_device_id: None,
            incident_id: None,
        })
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<AlertEvent> {
        let (change, resolution, value_milli) = match self.turn {
            RuleTurn::Opened => (AlertChange::Opened, None, Some(self.opened_milli)),
            RuleTurn::Severity => return None,
            RuleTurn::Resolved {
                resolution,
                value_milli,
            } => (AlertChange::Resolved, Some(resolution), value_milli),
        };
        let alert_id = self.alert_id();
        Some(AlertEvent {
            event_id: alert_event_id(alert_id, self.at, change),
            tenant_id: self.tenant,
            alert_id,
            rule_id: self.rule,
            kind: self.kind,
            severity: self.severity,
            subject_kind: self.subject.kind(),
            subject_id: SubjectId(self.subject.id()),
            interface: self.subject.interface().map(str::to_owned),
            at: self.at,
            change,
            resolution,
            value_milli,
            threshold_milli: self.threshold_milli,
        })
    }
}

/// How a device is, as far as alerts of what hangs on it depend on it (§19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Owner.
    pub tenant: TenantId,
    /// The device.
    pub device: DeviceId,
    /// It is offline.
    pub offline: bool,
    /// Its run of failures is not 0, and it is neither offline nor unmanageable.
    pub failing: bool,
}

/// A link of the view that has a device at its far end, as far as parents depend on it (§19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joint {
    /// Owner.
    pub tenant: TenantId,
    /// Access point.
    pub ap: DeviceId,
    /// Radio.
    pub radio: Mac,
    /// The device at the far end.
    pub far_end: DeviceId,
    /// First seen.
    pub discovered_at: Timestamp,
    /// It is stale.
    pub stale: bool,
    /// It is stale by roaming.
    pub roamed: bool,
}

/// What the incident step takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncidentInput {
    /// Control says something of a device.
    Device {
        /// Its owner.
        tenant: TenantId,
        /// Which.
        device: DeviceId,
        /// `None` = it is no longer the tenant's.
        info: Option<DeviceInfo>,
    },
    /// A device is offline or failing, or no longer.
    Condition(Condition),
    /// A link with a device at its far end is in the view, or no longer.
    Link {
        /// Which.
        joint: Joint,
        /// Whether it came.
        came: bool,
    },
    /// Other links of an access point are down than before.
    Down {
        /// Its owner.
        tenant: TenantId,
        /// The access point.
        ap: DeviceId,
        /// How many more.
        more: i32,
    },
    /// Whether a site is of the core.
    Core {
        /// Its owner.
        tenant: TenantId,
        /// The site.
        site: SiteId,
        /// Whether it is.
        core: bool,
    },
    /// A maintenance window, made or changed.
    Window(Window),
    /// A maintenance window is gone.
    WindowGone {
        /// Its owner.
        tenant: TenantId,
        /// Which.
        id: WindowId,
    },
    /// A raw change of an alert.
    Rule(RuleChange),
}

impl IncidentInput {
    /// The key.
    pub const fn tenant(&self) -> TenantId {
        match self {
            Self::Device { tenant, .. }
            | Self::Down { tenant, .. }
            | Self::Core { tenant, .. }
            | Self::WindowGone { tenant, .. } => *tenant,
            Self::Condition(condition) => condition.tenant,
            Self::Link { joint, .. } => joint.tenant,
            Self::Window(window) => window.tenant_id,
            Self::Rule(change) => change.tenant,
        }
    }
}
