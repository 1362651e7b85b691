//! Counters to rates, and the noise of radios: what a device's newest tables say of its traffic and its air.
//!
//! The traps: a counter that is lower than before was set back or has wrapped, and one that is higher may have been set back
//! all the same, by a reboot that nobody saw. The uptime tells: it must have grown by the time that passed. Where it is not
//! known, a lower counter gives no rate.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use mast_schemas::checkpoint::AirRecord;
use mast_schemas::counters::{PAIR, bits_per_second, comes_round};
use mast_schemas::time::Span;
use mast_schemas::views::{InterfaceRate, InterfaceRates};
use mast_schemas::{DeviceId, Timestamp};

use crate::device::entry::Words;
use crate::device::packed::{Packed, put, put_signed, take, take_signed};
use crate::messages::PollInput;
use crate::signals::Measure;
use crate::table::SourceTable;

/// Counters of a device's newest interface table. They are unpacked for the next one.
#[derive(Debug, Default)]
pub(super) struct Counters {
    at: Timestamp,
    uptime_s: Option<u64>,
    /// In the order of the table.
    counters: Vec<Counter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counter {
    name: u32,
    rx_bytes: u64,
    tx_bytes: u64,
}

/// What two counters of one interface are apart.
#[derive(Clone, Copy)]
struct Apart {
    time: Span,
    /// The device ran all the time, as far as its uptime is known.
    ran: Option<bool>,
}

impl Apart {
    fn rate_bps(self, before: u64, now: u64) -> Option<u64> {
        let bytes = match now.checked_sub(before) {
            Some(bytes) => (self.ran != Some(false)).then_some(bytes)?,
            None => comes_round(before, now).filter(|_| self.ran == Some(true))?,
        };
        u64::try_from(bits_per_second(bytes, self.time)?).ok()
    }
}

/// Buffers that live as long as the step.
#[derive(Debug, Default)]
pub(super) struct AirScratch {
    /// Names that a table has had, while it is looked at.
    seen: HashSet<u32, FixedState>,
    before: Counters,
    now: Counters,
    packed: Vec<u8>,
}

impl AirScratch {
    /// Noise of the radios that serve clients, by a poll's radio table. `own` are the tables that tell which radios are the
    /// device's own.
    pub(super) fn noise(
        &mut self,
        poll: &PollInput<'_>,
        own: &[SourceTable],
        words: &mut Words,
    ) -> Box<[i16]> {
        let serves = |interface: &str| own.iter().any(|table| table.has_own(interface));
        self.seen.clear();
        let radios = poll.noise.iter().filter(|radio| {
            serves(radio.interface) && {
                let name = words.number(&Arc::<str>::from(radio.interface));
                self.seen.insert(name)
            }
        });
        radios.map(|radio| radio.noise_floor_dbm).collect()
    }

    /// A poll's interface table: its counters are kept in `device`, for the next. What the device's own radios carry in all
    /// comes besides.
    pub(super) fn rates(
        &mut self,
        poll: &PollInput<'_>,
        own: &[SourceTable],
        (device, words, tolerance): (&mut Packed, &mut Words, Span),
    ) -> (InterfaceRates, Traffic) {
        let Self {
            seen,
            before,
            now,
            packed,
        } = self;
        before.unpack(device.parts().counters);
        let apart = before.apart(poll, tolerance);
        seen.clear();
        (now.at, now.uptime_s) = (poll.at, poll.uptime_s);
        now.counters.clear();
        let mut interfaces = Vec::with_capacity(poll.interface_rows.len());
        let mut traffic = [0; 3];
        let rows = poll.interface_rows.iter();
        let rows = rows.filter_map(|row| Some((row.name, row.rx_bytes?, row.tx_bytes?)));
        for (i, (told, rx_bytes, tx_bytes)) in rows.enumerate() {
            let name = before.name(i, told, words);
            // Of rows of one name the first counts: a message may have a poll twice.
            if !seen.insert(name) {
                continue;
            }
            let counter = Counter {
                name,
                rx_bytes,
                tx_bytes,
            };
            let rate = before.rate(i, &counter, apart);
            if let (Some(rx), Some(tx)) = rate
                && own.iter().any(|table| table.has_own(told))
            {
                for (sum, n) in traffic.iter_mut().zip([1, rx, tx]) {
                    *sum += i64::try_from(n).unwrap_or(0);
                }
            }
            let name_of = |name| words.value(name).cloned();
            interfaces.push(InterfaceRate {
                name: name_of(name).unwrap_or_else(|| Arc::from(told)),
                rx_bps: rate.0,
                tx_bps: rate.1,
            });
            now.counters.push(counter);
        }
        now.pack(packed);
        device.set_counters(packed);
        let rates = InterfaceRates {
            tenant_id: poll.tenant,
            device_id: poll.device,
            observed_at: poll.at,
            interfaces,
        };
        (rates, traffic)
    }
}

impl Counters {
    /// Of a device that has shown a radio: none yet, which is another thing than nothing (see
    /// [`mast_schemas::checkpoint::DeviceRecord::air`]).
    pub(super) fn show(device: &mut Packed) {
        if device.parts().counters.is_empty() {
            let mut none = Vec::new();
            Self::default().pack(&mut none);
            device.set_counters(&none);
        }
    }

    /// As they are kept: see [`crate::device::packed`].
    pub(super) fn pack(&self, bytes: &mut Vec<u8>) {
        bytes.clear();
        put_signed(bytes, self.at.0);
        put(bytes, u64::from(self.uptime_s.is_some()));
        self.uptime_s.iter().for_each(|uptime| put(bytes, *uptime));
        for counter in &self.counters {
            put(bytes, counter.name.into());
            put(bytes, counter.rx_bytes);
            put(bytes, counter.tx_bytes);
        }
    }

    fn unpack(&mut self, mut bytes: &[u8]) {
        self.at = Timestamp(take_signed(&mut bytes));
        self.uptime_s = (take(&mut bytes) > 0).then(|| take(&mut bytes));
        self.counters.clear();
        while !bytes.is_empty() {
            self.counters.push(Counter {
                name: take(&mut bytes) as u32,
                rx_bytes: take(&mut bytes),
                tx_bytes: take(&mut bytes),
            });
        }
    }

    /// How far the newest interface table lies back; nothing when there is none before this one, or none near enough.
    fn apart(&self, poll: &PollInput<'_>, tolerance: Span) -> Option<Apart> {
        let time = poll.at - self.at;
        let ran = self.uptime_s.zip(poll.uptime_s).map(|(before, now)| {
            let grown = i128::from(now) - i128::from(before);
            grown * 1_000_000 >= i128::from(time.0) - i128::from(tolerance.0)
        });
        let near = time.0 > 0 && time <= PAIR;
        (near && !self.counters.is_empty()).then_some(Apart { time, ran })
    }

    /// The number of a name. Tables keep their order as a rule: then it is the one at the same place.
    fn name(&self, i: usize, name: &str, words: &mut Words) -> u32 {
        let same = self.counters.get(i).map(|counter| counter.name);
        same.filter(|same| words.value(*same).is_some_and(|word| &**word == name))
            .unwrap_or_else(|| words.number(&Arc::<str>::from(name)))
    }

    fn rate(&self, i: usize, now: &Counter, apart: Option<Apart>) -> (Option<u64>, Option<u64>) {
        let same = self.counters.get(i).filter(|c| c.name == now.name);
        let before = same.or_else(|| self.counters.iter().find(|c| c.name == now.name));
        let Some((before, apart)) = before.zip(apart) else {
            return (None, None);
        };
        (
            apart.rate_bps(before.rx_bytes, now.rx_bytes),
            apart.rate_bps(before.tx_bytes, now.tx_bytes),
        )
    }

    /// What a checkpoint holds of counters that are kept so, and of what is added to places.
    pub(super) fn record(packed: &[u8], added: &Added, words: &Words) -> AirRecord {
        let mut all = Self::default();
        all.unpack(packed);
        let counter = |c: &Counter| {
            let name = words.value(c.name)?;
            Some((name.as_ref().to_owned(), c.rx_bytes, c.tx_bytes))
        };
        let added = added.get();
        AirRecord {
            at: all.at,
            uptime_s: all.uptime_s,
            counters: all.counters.iter().filter_map(counter).collect(),
            noise: added.noise.into(),
            traffic: added.traffic,
        }
    }

    /// As a checkpoint holds it. What it adds is still to be told: see [`Added::tell`].
    pub(super) fn restore(record: AirRecord, words: &mut Words) -> (Self, Added) {
        let counters = record.counters.into_iter();
        let counter = |(name, rx_bytes, tx_bytes): (String, u64, u64)| Counter {
            name: words.number(&Arc::<str>::from(name)),
            rx_bytes,
            tx_bytes,
        };
        let all = Self {
            at: record.at,
            uptime_s: record.uptime_s,
            counters: counters.map(counter).collect(),
        };
        let mut added = Added(Some(Box::new(Adds {
            noise: record.noise.into(),
            traffic: record.traffic,
        })));
        added.keep_something();
        (all, added)
    }
}

/// How many interfaces of radios that serve clients have a rate, and what they receive and send in all.
pub(super) type Traffic = [i64; 3];

/// What a device adds to its places: the devices that serve clients add something; most do not.
#[derive(Debug, Default)]
pub(super) struct Added(Option<Box<Adds>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Adds {
    /// Noise of the radios that serve clients, by the newest radio table.
    noise: Box<[i16]>,
    traffic: Traffic,
}

impl Added {
    fn get(&self) -> Adds {
        self.0.as_deref().cloned().unwrap_or_default()
    }

    /// Nothing at all.
    pub(super) const fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// All that it adds to its places, as changes.
    pub(super) fn tell(&self, device: DeviceId, out: &mut Vec<(DeviceId, Measure, i64)>) {
        let (mut nothing, adds) = (Self::default(), self.get());
        nothing.noise_is(device, adds.noise, out);
        nothing.traffic_is(device, adds.traffic, out);
    }

    /// The device is no longer online: what it added is taken back.
    pub(super) fn withdraw(&mut self, device: DeviceId, out: &mut Vec<(DeviceId, Measure, i64)>) {
        self.noise_is(device, Box::default(), out);
        self.traffic_is(device, [0; 3], out);
    }

    pub(super) fn noise_is(
        &mut self,
        device: DeviceId,
        noise: Box<[i16]>,
        out: &mut Vec<(DeviceId, Measure, i64)>,
    ) {
        if self.0.is_none() && noise.is_empty() {
            return;
        }
        let adds = self.0.get_or_insert_default();
        if adds.noise != noise {
            let change = |dbm: &i16, n| (device, Measure::Noise(*dbm), n);
            out.extend(adds.noise.iter().map(|dbm| change(dbm, -1)));
            out.extend(noise.iter().map(|dbm| change(dbm, 1)));
            adds.noise = noise;
        }
        self.keep_something();
    }

    pub(super) fn traffic_is(
        &mut self,
        device: DeviceId,
        traffic: Traffic,
        out: &mut Vec<(DeviceId, Measure, i64)>,
    ) {
        if self.0.is_none() && traffic == [0; 3] {
            return;
        }
        let adds = self.0.get_or_insert_default();
        let measures = [Measure::Rated, Measure::Received, Measure::Sent];
        for (measure, (old, new)) in measures.into_iter().zip(adds.traffic.iter().zip(traffic)) {
            if *old != new {
                out.push((device, measure, new - old));
            }
        }
        adds.traffic = traffic;
        self.keep_something();
    }

    /// What adds nothing takes no room.
    fn keep_something(&mut self) {
        if self.0.as_deref() == Some(&Adds::default()) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(ran: Option<bool>) -> Apart {
        let time = Span::secs(8);
        Apart { time, ran }
    }

    #[test]
    fn a_counter_that_rose_gives_its_rate_unless_the_device_booted() {
        for (ran, rate) in [
            (None, Some(1_000)),
            (Some(true), Some(1_000)),
            (Some(false), None),
        ] {
            assert_eq!(apart(ran).rate_bps(5, 1_005), rate, "{ran:?}");
        }
        assert_eq!(apart(None).rate_bps(7, 7), Some(0));
        // More than 63 bits of bits a second is no rate.
        let time = Span(1);
        assert_eq!(Apart { time, ran: None }.rate_bps(0, u64::MAX), None);
    }

    #[test]
    fn a_counter_of_32_bits_wraps_and_any_other_was_set_back() {
        const ROUND: u64 = 1 << 32;
        let wrapped = (ROUND - 500, 500);
        assert_eq!(
            apart(Some(true)).rate_bps(wrapped.0, wrapped.1),
            Some(1_000)
        );
        for (ran, before, now) in [
            (None, wrapped.0, wrapped.1),
            (Some(false), wrapped.0, wrapped.1),
            (Some(true), ROUND + 500, 500),
            (Some(true), ROUND / 2 + 500, 500),
            (Some(true), ROUND - 500, ROUND / 2 - 500),
        ] {
            assert_eq!(apart(ran).rate_bps(before, now), None, "{ran:?} {before}");
        }
    }
}
