//! What counts as bad, as places decide it for their access points (semantics §7.1).

use std::collections::BTreeMap;

use mast_schemas::checkpoint::LimitsRecord;
use mast_schemas::records::Source;
use mast_schemas::thresholds::Thresholds;
use mast_schemas::{SectorId, SiteId, TenantId, ThresholdsId};
use serde::{Deserialize, Serialize};

/// A place that says what counts as bad: a tenant, a site, or a sector of that site.
pub type Scope = (TenantId, Option<SiteId>, Option<SectorId>);

/// What counts as bad for links of one technology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Limits {
    degraded_signal_dbm: i16,
    active_signal_dbm: i16,
    degraded_ccq_percent: u16,
    active_ccq_percent: u16,
}

impl Limits {
    const fn of(t: &Thresholds) -> Self {
        Self {
            degraded_signal_dbm: t.degraded_signal_dbm,
            active_signal_dbm: t.active_signal_dbm,
            degraded_ccq_percent: t.degraded_ccq_percent,
            active_ccq_percent: t.active_ccq_percent,
        }
    }

    /// What a row says, in place of what was said further up.
    fn take(&mut self, row: &LimitsRecord) {
        fn say<T: Copy>(number: &mut T, said: Option<T>) {
            *number = said.unwrap_or(*number);
        }
        say(&mut self.degraded_signal_dbm, row.degraded_signal_dbm);
        say(&mut self.active_signal_dbm, row.active_signal_dbm);
        say(&mut self.degraded_ccq_percent, row.degraded_ccq_percent);
        say(&mut self.active_ccq_percent, row.active_ccq_percent);
    }

    /// What is bad can't be good: two places may say so together.
    fn settle(&mut self) {
        self.active_signal_dbm = self.active_signal_dbm.max(self.degraded_signal_dbm);
        self.active_ccq_percent = self.active_ccq_percent.max(self.degraded_ccq_percent);
    }
}

/// What counts as bad for the links of an access point, by technology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ApLimits([Limits; Source::ALL.len()]);

impl ApLimits {
    /// Where no place says anything.
    pub const fn of(t: &Thresholds) -> Self {
        Self([Limits::of(t); Source::ALL.len()])
    }

    /// The thresholds for links that `source` shows.
    pub(crate) fn thresholds(&self, source: Source, t: &Thresholds) -> Thresholds {
        let limits = self.0[source as usize];
        Thresholds {
            degraded_signal_dbm: limits.degraded_signal_dbm,
            active_signal_dbm: limits.active_signal_dbm,
            degraded_ccq_percent: limits.degraded_ccq_percent,
            active_ccq_percent: limits.active_ccq_percent,
            ..*t
        }
    }
}

/// What all places say. Rows of one place come by rising id: of two that speak of the same, the first one holds.
#[derive(Clone, Debug, Default)]
pub struct PlaceLimits {
    scopes: BTreeMap<Scope, BTreeMap<ThresholdsId, LimitsRecord>>,
    ids: BTreeMap<ThresholdsId, Scope>,
}

impl PlaceLimits {
    /// Takes a row in, in place of the one with its id. Returns where something is said differently now: where it stood, and
    /// where it stands.
    pub fn put(&mut self, row: LimitsRecord) -> [Option<Scope>; 2] {
        let scope = (row.tenant_id, row.site_id, row.sector_id);
        let before = self.remove(row.id);
        self.ids.insert(row.id, scope);
        self.scopes.entry(scope).or_default().insert(row.id, row);
        [before, Some(scope)]
    }

    /// Takes a row out. Returns where it stood.
    pub fn remove(&mut self, id: ThresholdsId) -> Option<Scope> {
        let scope = self.ids.remove(&id)?;
        if let Some(rows) = self.scopes.get_mut(&scope) {
            rows.remove(&id);
            if rows.is_empty() {
                self.scopes.remove(&scope);
            }
        }
        Some(scope)
    }

    /// Takes out what places say that are no more.
    pub fn forget(&mut self, gone: impl Fn(&Scope) -> bool) {
        self.ids.retain(|_, scope| !gone(scope));
        self.scopes.retain(|scope, _| !gone(scope));
    }

    /// What holds for an access point that stands there: of each number, what the closest place says.
    pub fn of(&self, (tenant, site, sector): Scope, default: &Thresholds) -> ApLimits {
        let mut all = ApLimits::of(default);
        if self.scopes.is_empty() {
            return all;
        }
        let sector = site.and(sector).map(|_| (tenant, site, sector));
        let closest_first = [
            sector,
            site.map(|_| (tenant, site, None)),
            Some((tenant, None, None)),
        ];
        let rows: Vec<&LimitsRecord> = closest_first
            .into_iter()
            .flatten()
            .filter_map(|scope| self.scopes.get(&scope))
            .flat_map(|rows| {
                // What is said of a technology comes before what is said of all.
                let of_one = rows.values().filter(|row| row.technology.is_some());
                of_one.chain(rows.values().filter(|row| row.technology.is_none()))
            })
            .collect();
        for (source, limits) in Source::ALL.iter().zip(&mut all.0) {
            let speaks = |row: &&&LimitsRecord| row.technology.is_none_or(|t| t == *source);
            // The closest one comes last, and has the last word.
            rows.iter()
                .filter(speaks)
                .rev()
                .for_each(|row| limits.take(row));
            limits.settle();
        }
        all
    }

    /// What a checkpoint holds: all rows, by rising id.
    pub fn records(&self) -> Vec<LimitsRecord> {
        let rows = self.ids.iter();
        rows.filter_map(|(id, scope)| self.scopes.get(scope)?.get(id).copied())
            .collect()
    }
}
