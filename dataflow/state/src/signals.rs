//! What a place has of its links, radios and interfaces, kept by differences: signals and noise as counts by value, so that sum, worst
//! and tenth percentile need no sorting, and rates as sums.
//!
//! A fleet has as many sectors as access points, with some thirty values each: what one has is a list of those, not a table of all
//! values there are.

use std::collections::BTreeMap;

use mast_schemas::views::{PlaceAir, Signals};
use serde::{Deserialize, Serialize};

use crate::compact::insert_tight;

/// What is added up for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// Live links with this signal, dBm.
    Signal(i16),
    /// Radios with this noise floor, dBm.
    Noise(i16),
    /// Interfaces of radios with a known rate.
    Rated,
    /// What those receive, bits a second.
    Received,
    /// What those send, bits a second.
    Sent,
    /// Clients whose signal degrades over days.
    Degrading,
}

/// The sums of a place, or of an access point, which adds them to its places: 56 bytes, and four for each value of a signal.
#[derive(Clone, Debug, Default)]
pub struct PlaceSums {
    signals: SignalBins,
    /// Of those of which noise is known.
    noise: Option<Box<SignalBins>>,
    rx_bps: i64,
    tx_bps: i64,
    interfaces: i32,
    degrading: i32,
}

impl PlaceSums {
    /// Adds to a sum, or takes away.
    pub fn add(&mut self, measure: Measure, n: i64) {
        let count = i32::try_from(n).unwrap_or_default();
        match measure {
            Measure::Signal(dbm) => self.signals.add(dbm, count),
            Measure::Noise(dbm) => {
                let noise = self.noise.get_or_insert_default();
                noise.add(dbm, count);
                if noise.is_empty() {
                    self.noise = None;
                }
            }
            Measure::Rated => self.interfaces += count,
            Measure::Received => self.rx_bps += n,
            Measure::Sent => self.tx_bps += n,
            Measure::Degrading => self.degrading += count,
        }
    }

    fn noise(&self) -> impl Iterator<Item = (i16, i64)> {
        self.noise.iter().flat_map(|noise| noise.rising())
    }

    /// All that is added up and not zero.
    pub fn all(&self) -> impl Iterator<Item = (Measure, i64)> {
        let signals = self.signals.rising();
        let signals = signals.map(|(dbm, n)| (Measure::Signal(dbm), n));
        let noise = self.noise().map(|(dbm, n)| (Measure::Noise(dbm), n));
        let sums = [
            (Measure::Rated, self.interfaces.into()),
            (Measure::Received, self.rx_bps),
            (Measure::Sent, self.tx_bps),
            (Measure::Degrading, self.degrading.into()),
        ];
        let sums = sums.into_iter().filter(|(_, n)| *n != 0);
        signals.chain(noise).chain(sums)
    }

    /// The signals; without links there are none.
    pub fn signals(&self) -> Option<Signals> {
        self.signals.signals()
    }

    /// Traffic and noise; without interfaces and radios there are none.
    pub fn air(&self) -> Option<PlaceAir> {
        let air = PlaceAir {
            interfaces: self.interfaces.into(),
            rx_bps: self.rx_bps,
            tx_bps: self.tx_bps,
            radios: self.noise().map(|(_, n)| n).sum(),
            noise_sum_dbm: self.noise().map(|(dbm, n)| i64::from(dbm) * n).sum(),
            noise_worst_dbm: self.noise().last().map(|(dbm, _)| dbm),
        };
        (air.interfaces > 0 || air.radios > 0).then_some(air)
    }

    /// Clients that degrade.
    pub fn degrading(&self) -> i64 {
        self.degrading.into()
    }

    /// Whether nothing is added up. In the middle of a slot one sum may be zero before the others are.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }
}

/// Counts of values in dBm.
#[derive(Clone, Debug, Default)]
pub struct SignalBins(Bins);

/// Values by rising dBm, with how often there is each: never zero times, and below zero only in the middle of a slot.
#[derive(Clone, Debug)]
enum Bins {
    /// What nearly every place has.
    Narrow(Vec<(i16, i16)>),
    /// Where one of the counts has once been wider than that.
    #[expect(
        clippy::box_collection,
        reason = "wider than the list, it would widen that too"
    )]
    Wide(Box<BTreeMap<i16, i64>>),
}

impl Default for Bins {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl SignalBins {
    /// Adds `count` (or takes away) values of `signal_dbm`.
    pub fn add(&mut self, signal_dbm: i16, count: i32) {
        let count = i64::from(count);
        match &mut self.0 {
            Bins::Narrow(bins) => {
                let found = bins.binary_search_by_key(&signal_dbm, |(dbm, _)| *dbm);
                let before = found.map_or(0, |i| i64::from(bins[i].1));
                match (found, i16::try_from(before + count)) {
                    (Ok(i), Ok(0)) => {
                        bins.remove(i);
                    }
                    (Ok(i), Ok(n)) => bins[i].1 = n,
                    (Err(_), Ok(0)) => {}
                    (Err(i), Ok(n)) => insert_tight(bins, i, (signal_dbm, n)),
                    (_, Err(_)) => {
                        let bins = bins.iter().map(|(dbm, n)| (*dbm, i64::from(*n)));
                        let mut bins: BTreeMap<_, _> = bins.collect();
                        *bins.entry(signal_dbm).or_default() += count;
                        self.0 = Bins::Wide(Box::new(bins));
                    }
                }
            }
            Bins::Wide(bins) => {
                let n = bins.entry(signal_dbm).or_default();
                *n += count;
                if *n == 0 {
                    bins.remove(&signal_dbm);
                }
            }
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Bins::Narrow(bins) => bins.is_empty(),
            Bins::Wide(bins) => bins.is_empty(),
        }
    }

    /// Values counted, rising.
    fn rising(&self) -> impl Iterator<Item = (i16, i64)> {
        let (narrow, wide) = match &self.0 {
            Bins::Narrow(bins) => (bins.as_slice(), None),
            Bins::Wide(bins) => (&[][..], Some(bins)),
        };
        let narrow = narrow.iter().map(|(dbm, n)| (*dbm, i64::from(*n)));
        let wide = wide.into_iter().flat_map(|bins| bins.iter());
        narrow.chain(wide.map(|(dbm, n)| (*dbm, *n)))
    }

    /// The view of the place; without links there is none.
    pub fn signals(&self) -> Option<Signals> {
        let clients: i64 = self.rising().map(|(_, n)| n).sum();
        let rank = (clients + 9) / 10;
        let mut passed = 0;
        let p10 = self.rising().find(|(_, n)| {
            passed += n;
            passed >= rank
        });
        (clients > 0).then(|| Signals {
            clients,
            sum_dbm: self.rising().map(|(dbm, n)| i64::from(dbm) * n).sum(),
            p10_dbm: p10.map(|(dbm, _)| dbm),
            worst_dbm: self.rising().next().map(|(dbm, _)| dbm),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_sector_has_is_small() {
        assert_eq!((size_of::<SignalBins>(), size_of::<PlaceSums>()), (24, 56));
        let mut bins = SignalBins::default();
        for dbm in -90..-50 {
            bins.add(dbm, 1);
        }
        let Bins::Narrow(bins) = bins.0 else {
            panic!("narrow counts suffice");
        };
        let bytes = bins.capacity() * size_of_val(&bins[0]);
        assert!(bytes <= 4 * 46, "{bytes}");
    }

    #[test]
    fn counts_of_a_large_tenant_are_as_right_as_those_of_a_sector() {
        let (mut large, mut small) = (SignalBins::default(), SignalBins::default());
        for _ in 0..40_000 {
            large.add(-70, 1);
        }
        large.add(-60, 100_000);
        large.add(-90, 15_000);
        let signals = large.signals().unwrap();
        assert_eq!(signals.clients, 155_000);
        let sum_dbm = -(70 * 40_000 + 60 * 100_000 + 90 * 15_000);
        assert_eq!((signals.sum_dbm, signals.p10_dbm), (sum_dbm, Some(-70)));
        // What remains of it is what a small one has.
        large.add(-70, -39_999);
        large.add(-60, -100_000);
        large.add(-90, -15_000);
        small.add(-70, 1);
        assert_eq!(large.signals(), small.signals());
        large.add(-70, -1);
        assert!(large.is_empty() && large.signals().is_none());
    }

    #[test]
    fn what_is_taken_away_before_it_is_added_is_not_there_in_the_end() {
        let mut sums = PlaceSums::default();
        let measures = [
            Measure::Signal(-60),
            Measure::Noise(-101),
            Measure::Rated,
            Measure::Received,
            Measure::Sent,
            Measure::Degrading,
        ];
        for measure in measures {
            sums.add(measure, -3);
            assert!(!sums.is_empty(), "{measure:?}");
        }
        assert!(sums.all().eq(measures.map(|measure| (measure, -3))));
        for (n, measure) in (1..).zip(measures) {
            sums.add(measure, 3);
            assert_eq!(sums.all().count(), measures.len() - n);
        }
        assert!(sums.is_empty());
    }

    #[test]
    fn equals_sorting() {
        let values: Vec<i16> = (0..137).map(|i| -140 + (i * 37 % 160)).collect();
        for n in 1..values.len() {
            let mut bins = SignalBins::default();
            let mut sorted = values[..n].to_vec();
            sorted.iter().for_each(|dbm| bins.add(*dbm, 1));
            sorted.sort_unstable();
            let signals = bins.signals().unwrap();
            assert_eq!(signals.p10_dbm, Some(sorted[n.div_ceil(10) - 1]), "{n}");
            assert_eq!(signals.worst_dbm, Some(sorted[0]));
            assert_eq!(
                signals.sum_dbm,
                sorted.iter().map(|dbm| i64::from(*dbm)).sum::<i64>()
            );
            sorted.iter().for_each(|dbm| bins.add(*dbm, -1));
            assert!(bins.is_empty() && bins.signals().is_none());
        }
    }
}
