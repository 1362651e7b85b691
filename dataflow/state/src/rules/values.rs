//! The values of a poll, in thousandths (§18).

use std::cell::OnceCell;

use mast_schemas::alerts::RuleKind;
use mast_schemas::records::{Source, Tables};
use mast_schemas::views::{DeviceState, InterfaceRates};

use super::registry::RuleSet;
use super::tracker::Values;
use crate::compact::Map;
use crate::messages::{PollInput, RadioTable};

/// `100 × part ÷ whole` in thousandths, rounded down; nothing of nothing.
pub(super) fn percent(part: i128, whole: i128) -> Option<i64> {
    if whole <= 0 {
        return None;
    }
    // Dividing numbers of twice the width takes ten times as long, and nearly none needs it.
    let narrow = i64::try_from(part).ok().zip(i64::try_from(whole).ok());
    let narrow = narrow.and_then(|(part, whole)| Some((part.checked_mul(100_000)?, whole)));
    match narrow {
        Some((milli, whole)) => Some(milli.div_euclid(whole)),
        None => i64::try_from(part.checked_mul(100_000)?.div_euclid(whole)).ok(),
    }
}

/// A mean in thousandths, rounded down.
pub(super) fn mean(sum: i64, n: i64) -> Option<i64> {
    (n > 0).then(|| sum.saturating_mul(1_000).div_euclid(n))
}

const fn whole(n: i64) -> i64 {
    n.saturating_mul(1_000)
}

/// A poll, after it has acted on its device and tables.
pub(crate) struct PollValues<'a, 'p> {
    pub(crate) poll: &'a PollInput<'p>,
    /// State of the device.
    pub(crate) state: DeviceState,
    /// Its tables of the device's own radios.
    pub(crate) tables: &'a [RadioTable],
    /// Its rates.
    pub(crate) rates: Option<&'a InterfaceRates>,
    /// Clients of those tables; made where a rule asks.
    clients: Clients,
    /// The higher rate of each interface row, likewise.
    rate_bps: Vec<Option<u64>>,
    /// Interface rows by name, those of one name in their order; made when it is first asked for. A router has as many rows as it
    /// says, so none is looked for by going through them.
    by_name: OnceCell<Vec<u32>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Clients {
    n: i64,
    signals: i64,
    sum_dbm: i64,
    lowest_ccq_percent: Option<u16>,
}

impl<'a, 'p> PollValues<'a, 'p> {
    pub(crate) fn new(
        poll: &'a PollInput<'p>,
        state: DeviceState,
        tables: &'a [RadioTable],
        rates: Option<&'a InterfaceRates>,
    ) -> Self {
        Self {
            poll,
            state,
            tables,
            rates,
            clients: Clients::default(),
            rate_bps: Vec::new(),
            by_name: OnceCell::new(),
        }
    }

    /// With what these rules ask for and takes a look at rows.
    pub(super) fn prepared(mut self, set: &RuleSet) -> Self {
        let clients = [RuleKind::Signal, RuleKind::Ccq, RuleKind::Clients];
        if clients.into_iter().any(|kind| set.has(kind)) {
            self.clients = clients_of(self.tables);
        }
        if set.has(RuleKind::InterfaceUtilization) && self.interfaces().is_some() {
            self.rate_bps = rates_of(self.poll, self.rates);
        }
        self
    }

    fn read_registrations(&self) -> bool {
        let mut tables = Source::ALL.iter().map(|s| Tables::registration(*s));
        tables.any(|table| self.poll.tables.has(table))
    }
}

fn clients_of(tables: &[RadioTable]) -> Clients {
    let mut all = Clients::default();
    for row in tables.iter().flat_map(|table| &table.rows) {
        all.n += 1;
        if let Some(dbm) = row.sample.signal_dbm {
            all.signals += 1;
            all.sum_dbm += i64::from(dbm);
        }
        let lowest = all.lowest_ccq_percent.into_iter();
        all.lowest_ccq_percent = lowest.chain(row.sample.tx_ccq_percent).min();
    }
    all
}

/// The higher rate of each row's name. Rates are in the order of the rows, as a rule of all of them.
fn rates_of(poll: &PollInput<'_>, rates: Option<&InterfaceRates>) -> Vec<Option<u64>> {
    let rates = rates.map_or(&[][..], |rates| &rates.interfaces);
    let mut next = 0;
    let places = OnceCell::new();
    let by_name = || {
        let all = rates.iter().enumerate().rev();
        // Of one name the first stays.
        all.map(|(place, rate)| (&*rate.name, place))
            .collect::<Map<&str, usize>>()
    };
    let rate = |name: &str| {
        let found = (rates
            .get(next)
            .filter(|rate| &*rate.name == name)
            .map(|_| next))
        .or_else(|| places.get_or_init(by_name).get(name).copied())?;
        next = found + 1;
        rates[found].rx_bps.max(rates[found].tx_bps)
    };
    poll.interface_rows
        .iter()
        .map(|row| row.name)
        .map(rate)
        .collect()
}

impl Values for PollValues<'_, '_> {
    fn value(&self, kind: RuleKind) -> Option<i64> {
        let used = |free: Option<u64>, total: Option<u64>| {
            let (free, total) = (i128::from(free?), i128::from(total?));
            percent(total - free, total)
        };
        let poll = self.poll;
        let state = |is| {
            (self.state != DeviceState::Unobserved).then(|| whole(i64::from(self.state == is)))
        };
        match kind {
            RuleKind::Cpu => poll.cpu_load_percent.map(|n| whole(i64::from(n))),
            RuleKind::Memory => used(poll.memory_free_bytes, poll.memory_total_bytes),
            RuleKind::Disk => used(poll.disk_free_bytes, poll.disk_total_bytes),
            RuleKind::Temperature => {
                let milli = |celsius: f32| (f64::from(celsius) * 1_000.0).round() as i64;
                let known = poll.temperatures_c.into_iter().flatten();
                known.filter(|c| c.is_finite()).map(milli).max()
            }
            RuleKind::Signal => mean(self.clients.sum_dbm, self.clients.signals),
            RuleKind::Ccq => {
                let lowest = self.clients.lowest_ccq_percent;
                lowest.map(|percent| whole(i64::from(percent)))
            }
            RuleKind::Clients => self.read_registrations().then(|| whole(self.clients.n)),
            RuleKind::Offline => state(DeviceState::Offline),
            RuleKind::Unmanageable => state(DeviceState::Unmanageable),
            _ => None,
        }
    }

    fn interfaces(&self) -> Option<usize> {
        let whole = self.poll.tables.has(Tables::INTERFACE);
        whole.then_some(self.poll.interface_rows.len())
    }

    fn interface(&self, row: usize) -> (&str, bool) {
        let row = &self.poll.interface_rows[row];
        (row.name, row.disabled)
    }

    fn named(&self, name: &str) -> Option<usize> {
        let rows = &self.poll.interface_rows;
        let by_name = self.by_name.get_or_init(|| {
            let mut all: Vec<u32> = (0..).take(rows.len()).collect();
            all.sort_by_key(|row| rows[*row as usize].name);
            all
        });
        let place = by_name.partition_point(|row| rows[*row as usize].name < name);
        let row = *by_name.get(place)? as usize;
        (rows[row].name == name).then_some(row)
    }

    fn of_interface(&self, kind: RuleKind, row: usize) -> Option<i64> {
        let of = &self.poll.interface_rows[row];
        match kind {
            RuleKind::InterfaceDown => of.running.map(|running| whole(i64::from(!running))),
            RuleKind::InterfaceUtilization => {
                let rate = self.rate_bps.get(row).copied().flatten()?;
                percent(i128::from(rate), i128::from(of.link_rate_bps?))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_the_same_however_wide_its_parts_are() {
        assert_eq!(percent(1, 3), Some(33_333));
        assert_eq!(percent(-1, 3), Some(-33_334), "rounded down");
        assert_eq!(percent(1, 0), None);
        assert_eq!(percent(1, -1), None);
        let wide = i128::from(u64::MAX);
        assert_eq!(percent(wide / 2, wide), Some(49_999));
        assert_eq!(percent(i128::from(i64::MAX), wide / 2), Some(100_000));
        assert_eq!(percent(i128::MAX, 1), None);
        for (part, whole) in [(7, 9), (-7, 9), (i64::MAX.into(), 3), (0, 5)] {
            let exact = (part * 100_000_i128).div_euclid(whole);
            assert_eq!(percent(part, whole), i64::try_from(exact).ok());
        }
    }
}
