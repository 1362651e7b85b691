//! What a place has of its links, radios and interfaces, kept by differences: signals and noise as counts by value, so that sum, worst
//! and tenth percentile need no sorting, and rates as sums.

use std::collections::BTreeMap;

use mast_schemas::views::{PlaceAir, Signals};
use serde::{Deserialize, Serialize};

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

/// The sums of a place.
#[derive(Clone, Debug, Default)]
pub struct PlaceSums {
    signals: SignalBins,
    /// Of the places of which noise is known.
    noise: Option<Box<SignalBins>>,
    interfaces: i64,
    rx_bps: i64,
    tx_bps: i64,
    degrading: i64,
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
            Measure::Rated => self.interfaces += n,
            Measure::Received => self.rx_bps += n,
            Measure::Sent => self.tx_bps += n,
            Measure::Degrading => self.degrading += n,
        }
    }

    /// The signals; without links there are none.
    pub fn signals(&self) -> Option<Signals> {
        self.signals.signals()
    }

    /// Traffic and noise; without interfaces and radios there are none.
    pub fn air(&self) -> Option<PlaceAir> {
        let noise = || self.noise.iter().flat_map(|noise| noise.rising());
        let air = PlaceAir {
            interfaces: self.interfaces,
            rx_bps: self.rx_bps,
            tx_bps: self.tx_bps,
            radios: noise().map(|(_, n)| n).sum(),
            noise_sum_dbm: noise().map(|(dbm, n)| i64::from(dbm) * n).sum(),
            noise_worst_dbm: noise().last().map(|(dbm, _)| dbm),
        };
        (air.interfaces > 0 || air.radios > 0).then_some(air)
    }

    /// Clients that degrade.
    pub const fn degrading(&self) -> i64 {
        self.degrading
    }

    /// Whether nothing is added up.
    pub fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.air().is_none() && self.degrading == 0
    }
}

/// Counts of the values −127 … 0 dBm, and of the few outside.
#[derive(Clone, Debug)]
pub struct SignalBins {
    /// `bins[n]` counts −n dBm.
    bins: [i32; 128],
    outside: BTreeMap<i16, i32>,
}

impl Default for SignalBins {
    fn default() -> Self {
        Self {
            bins: [0; 128],
            outside: BTreeMap::new(),
        }
    }
}

impl SignalBins {
    /// Adds `count` (or takes away) values of `signal_dbm`.
    pub fn add(&mut self, signal_dbm: i16, count: i32) {
        match usize::try_from(-i32::from(signal_dbm))
            .ok()
            .and_then(|bin| self.bins.get_mut(bin))
        {
            Some(bin) => *bin += count,
            None => {
                let entry = self.outside.entry(signal_dbm).or_default();
                *entry += count;
                if *entry == 0 {
                    self.outside.remove(&signal_dbm);
                }
            }
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.rising().next().is_none()
    }

    /// Values counted, rising.
    fn rising(&self) -> impl Iterator<Item = (i16, i64)> {
        let outside = |below| {
            let range = if below { i16::MIN..0 } else { 0..i16::MAX };
            let last = self
                .outside
                .get(&i16::MAX)
                .filter(|_| !below)
                .map(|n| (i16::MAX, *n));
            self.outside
                .range(range)
                .map(|(dbm, n)| (*dbm, *n))
                .chain(last)
        };
        let inside = (0i16..128).rev().map(|n| (-n, self.bins[n as usize]));
        let all = outside(true).chain(inside).chain(outside(false));
        all.filter(|(_, n)| *n != 0)
            .map(|(dbm, n)| (dbm, i64::from(n)))
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
