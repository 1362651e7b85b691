//! How far back history reaches. What is older goes with its file, now or later: it need not be there.

use std::collections::HashMap;

use mast_lake::{Retention, Table};
use mast_schemas::time::Span;
use mast_schemas::{TenantId, Timestamp};

/// How long rows are kept, as of the newest slot in history.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) now: Timestamp,
    pub(super) usual: Retention,
    /// What tenants have said of a table.
    pub(super) own: HashMap<(TenantId, Table), Span>,
}

impl Kept {
    /// Whether a row of this time may be gone.
    pub(super) fn may_be_gone(&self, table: Table, tenant: TenantId, at: Timestamp) -> bool {
        let own = self.own.get(&(tenant, table)).copied();
        at < self.now - own.unwrap_or(self.usual.of(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_may_be_gone_when_it_is_older_than_its_table_and_tenant_are_kept() {
        let (north, south) = (TenantId::new(), TenantId::new());
        let kept = Kept {
            now: Timestamp::from_secs(40 * 86_400),
            usual: Retention::default(),
            own: [((south, Table::Polls), Span::hours(24 * 3))].into(),
        };
        let day = |n: i64| Timestamp::from_secs(n * 86_400);
        assert!(kept.may_be_gone(Table::Polls, north, day(10) - Span(1)));
        assert!(!kept.may_be_gone(Table::Polls, north, day(10)));
        assert!(kept.may_be_gone(Table::Polls, south, day(37) - Span(1)));
        assert!(!kept.may_be_gone(Table::RadioSamples, south, day(10)));
    }
}
