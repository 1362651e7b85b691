//! Rules and maintenance windows for scripts.

use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope, Severity};
use mast_schemas::control::{Rule, Window};
use mast_schemas::{GroupId, RuleId, TagId, Timestamp, WindowId};

use super::{id, tenant};

/// The `n`th rule.
pub const fn rule(n: u32) -> RuleId {
    RuleId::from_bytes(id(6, n))
}

/// The `n`th maintenance window.
pub const fn window(n: u32) -> WindowId {
    WindowId::from_bytes(id(7, n))
}

/// The `n`th group.
pub const fn group(n: u32) -> GroupId {
    GroupId::from_bytes(id(8, n))
}

/// The `n`th tag.
pub const fn tag(n: u32) -> TagId {
    TagId::from_bytes(id(9, n))
}

/// Rule `n` of tenant 1, on all that it has: more than `enter` fires at once (less, of signals, CCQ and clients), and the first
/// value that is not more than `clear` clears. Whole units.
pub fn rule_row(n: u32, kind: RuleKind, enter: i64, clear: i64) -> Rule {
    use RuleKind::{Ccq, Clients, SectorSignalAvg, Signal};
    let operator = match kind {
        Signal | Ccq | Clients | SectorSignalAvg => Operator::Lt,
        _ => Operator::Gt,
    };
    Rule {
        id: rule(n),
        tenant_id: tenant(1),
        name: format!("rule-{n}"),
        kind,
        scope: Scope::Tenant,
        subject: kind.subject().unwrap_or(RuleSubject::Site),
        interface: None,
        operator: (!kind.is_state()).then_some(operator),
        enter_milli: 1_000 * enter,
        clear_milli: 1_000 * clear,
        hits: 1,
        clears: 1,
        severity: Severity::Warning,
        enabled: true,
        version: 1,
        schedule: None,
    }
}

/// Window `n` of all of tenant 1, once.
pub fn window_row(n: u32, starts_at: Timestamp, ends_at: Timestamp) -> Window {
    Window {
        id: window(n),
        tenant_id: tenant(1),
        name: format!("window-{n}"),
        site_id: None,
        device_ids: Vec::new(),
        starts_at,
        ends_at,
        recurrence: None,
        time_zone: "UTC".to_owned(),
        version: 1,
    }
}
