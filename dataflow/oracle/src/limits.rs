//! What counts as bad where an access point stands (§7.1).

use std::collections::BTreeMap;

use mast_schemas::ThresholdsId;
use mast_schemas::checkpoint::{LimitsRecord, StandingRecord};
use mast_schemas::records::Source;
use mast_schemas::thresholds::Thresholds;

/// The thresholds for links that `source` shows at an access point that stands there.
pub(crate) fn judged_by(
    limits: &BTreeMap<ThresholdsId, LimitsRecord>,
    default: &Thresholds,
    stands: Option<&StandingRecord>,
    source: Source,
) -> Thresholds {
    let mut t = *default;
    let Some(ap) = stands.filter(|_| !limits.is_empty()) else {
        return t;
    };
    // How near a row is: 0 = the sector's, for this technology. Rows that are about something else are not near at all.
    let distance = |row: &LimitsRecord| {
        let here = row.tenant_id == ap.tenant_id
            && row.site_id.is_none_or(|site| ap.site_id == Some(site))
            && row
                .sector_id
                .is_none_or(|s| ap.sector_id == Some(s) && row.site_id.is_some())
            && row.technology.is_none_or(|technology| technology == source);
        let place = match (row.site_id, row.sector_id) {
            (_, Some(_)) => 0,
            (Some(_), None) => 2,
            (None, None) => 4,
        };
        here.then_some(place + u8::from(row.technology.is_none()))
    };
    let mut rows: Vec<_> = limits
        .values()
        .filter_map(|row| Some((distance(row)?, row)))
        .collect();
    rows.sort_by_key(|(distance, row)| (*distance, row.id));
    // The nearest one comes last, and has the last word.
    for (_, row) in rows.iter().rev() {
        t.degraded_signal_dbm = row.degraded_signal_dbm.unwrap_or(t.degraded_signal_dbm);
        t.active_signal_dbm = row.active_signal_dbm.unwrap_or(t.active_signal_dbm);
        t.degraded_ccq_percent = row.degraded_ccq_percent.unwrap_or(t.degraded_ccq_percent);
        t.active_ccq_percent = row.active_ccq_percent.unwrap_or(t.active_ccq_percent);
    }
    if !rows.is_empty() {
        t.active_signal_dbm = t.active_signal_dbm.max(t.degraded_signal_dbm);
        t.active_ccq_percent = t.active_ccq_percent.max(t.degraded_ccq_percent);
    }
    t
}
