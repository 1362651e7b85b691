//! Alert rules of the fleet: of every kind, with thresholds that some of it passes.

use mast_schemas::RuleId;
use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope, Severity};
use mast_schemas::control::{Change, Rule};

use super::fleet::{APS_PER_SITE, Fleet, id, sector_id, site_id, tenant};

/// Every so many rules, one is of a whole tenant.
const TENANT_EVERY: u64 = 10;

impl Fleet {
    /// So many rules, spread over tenants, sites and kinds.
    pub(super) fn rules(&self, rules: u64) -> impl Iterator<Item = Change> {
        let (kinds, aps) = (RuleKind::ALL.len() as u64, self.aps());
        (0..rules).map(move |n| {
            let kind = RuleKind::ALL[(n % kinds) as usize];
            // Spread over all access points, so that each tenant, site and sector has its share.
            let ap = n * 7_919 % aps;
            Change::Rule(rule(n, kind, ap))
        })
    }
}

fn rule(n: u64, kind: RuleKind, ap: u64) -> Rule {
    let subject = kind.subject().unwrap_or(RuleSubject::Site);
    let scope = match subject {
        _ if n.is_multiple_of(TENANT_EVERY) => Scope::Tenant,
        RuleSubject::Sector => Scope::Sector(sector_id(ap)),
        _ => Scope::Site(site_id(ap / APS_PER_SITE)),
    };
    let (operator, enter, clear) = limits(kind);
    Rule {
        id: RuleId::from_bytes(id(6, n)),
        tenant_id: tenant(ap),
        name: format!("{kind} {n}"),
        kind,
        scope,
        subject,
        interface: (subject == RuleSubject::Interface).then(|| "ether1*".to_owned()),
        operator,
        enter_milli: enter * 1_000,
        clear_milli: clear * 1_000,
        hits: 2,
        clears: 2,
        severity: Severity::Warning,
        enabled: true,
        version: 1,
        schedule: None,
    }
}

fn limits(kind: RuleKind) -> (Option<Operator>, i64, i64) {
    match kind {
        _ if kind.is_state() => (None, 0, 0),
        RuleKind::Signal | RuleKind::SectorSignalAvg => (Some(Operator::Lt), -75, -72),
        RuleKind::Ccq => (Some(Operator::Lt), 50, 60),
        RuleKind::Clients => (Some(Operator::Gt), 45, 40),
        RuleKind::DeviceOfflineCount | RuleKind::LinkDownCount | RuleKind::SignalDegradation => {
            (Some(Operator::Gt), 20, 10)
        }
        RuleKind::NoiseFloor => (Some(Operator::Gt), -85, -88),
        _ => (Some(Operator::Gt), 85, 75),
    }
}
