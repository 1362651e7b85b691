//! When maintenance windows are open (§19).

use mast_schemas::Timestamp;
use mast_schemas::control;

/// A maintenance window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) row: control::Window,
}

impl Window {
    /// Begin and end of each time that it is open.
    fn times(&self) -> Vec<(Timestamp, Timestamp)> {
        vec![(self.row.starts_at, self.row.ends_at)]
    }

    pub(crate) fn is_open(&self, at: Timestamp) -> bool {
        self.times()
            .iter()
            .any(|(begin, end)| *begin <= at && at < *end)
    }

    /// When it next opens or closes.
    pub(crate) fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let all = self.times().into_iter();
        let all = all.flat_map(|(begin, end)| [begin, end]);
        all.filter(|at| *at > after).min()
    }
}
