//! Rates of interfaces, and traffic and noise of places (§11).

use std::collections::BTreeMap;
use std::sync::Arc;

use mast_schemas::checkpoint::AirRecord;
use mast_schemas::message::WholePoll;
use mast_schemas::records::Tables;
use mast_schemas::views::{DeviceState, InterfaceRate, InterfaceRates, Place, PlaceAir};
use mast_schemas::{DeviceId, Timestamp};

use crate::devices::Device;
use crate::oracle::Oracle;
use crate::views::places_of;

/// What a device's newest tables say of its traffic and its air.
#[derive(Clone, Debug, Default)]
pub(crate) struct Air {
    /// When the newest interface table was read, and the uptime then.
    at: Timestamp,
    uptime_s: Option<u64>,
    /// Received and sent bytes by interface.
    counters: BTreeMap<String, (u64, u64)>,
    pub(crate) rates: Option<InterfaceRates>,
    /// Of interfaces of radios that serve clients, while the device is online.
    traffic: Vec<(u64, u64)>,
    noise: Vec<i16>,
}

impl From<AirRecord> for Air {
    fn from(record: AirRecord) -> Self {
        let [interfaces, rx, tx] = record.traffic.map(|n| u64::try_from(n).unwrap_or(0));
        // The sums of all, as if one interface had them.
        let rest = interfaces.saturating_sub(1);
        let mut traffic = vec![(0, 0); usize::try_from(rest).unwrap_or(0)];
        traffic.extend((interfaces > 0).then_some((rx, tx)));
        let counters = record.counters.into_iter();
        Self {
            at: record.at,
            uptime_s: record.uptime_s,
            counters: counters.map(|(name, rx, tx)| (name, (rx, tx))).collect(),
            rates: None,
            traffic,
            noise: record.noise,
        }
    }
}

impl Air {
    pub(crate) fn record(&self) -> AirRecord {
        let counters = self.counters.iter();
        let sum = |of: fn(&(u64, u64)) -> u64| self.traffic.iter().map(of).sum::<u64>() as i64;
        AirRecord {
            at: self.at,
            uptime_s: self.uptime_s,
            counters: counters
                .map(|(name, (rx, tx))| (name.clone(), *rx, *tx))
                .collect(),
            noise: self.noise.clone(),
            traffic: [self.traffic.len() as i64, sum(|t| t.0), sum(|t| t.1)],
        }
    }

    pub(crate) fn not_online(&mut self) {
        self.traffic.clear();
        self.noise.clear();
    }
}

fn rate(before: u64, now: u64, us: i64, ran: Option<bool>) -> Option<u64> {
    let two_to_the_32 = 4_294_967_296u64;
    let bytes = if now >= before {
        if ran == Some(false) {
            return None;
        }
        now - before
    } else {
        if before >= two_to_the_32 || ran != Some(true) {
            return None;
        }
        let bytes = now + two_to_the_32 - before;
        if bytes >= two_to_the_32 / 2 {
            return None;
        }
        bytes
    };
    u64::try_from(u128::from(bytes) * 8_000_000 / us as u128).ok()
}

/// Whether clients are served by an interface: one of the device's own radios has its name.
fn serves(device: &Device, interface: &str) -> bool {
    let radios = device.tables.values().flat_map(|t| t.radios.values());
    radios
        .filter(|r| !r.remote)
        .any(|r| r.interface == interface)
}

impl Oracle {
    /// After the other tables of a poll that reached the device.
    pub(crate) fn air_tables(&mut self, whole: &WholePoll) {
        let (poll, tables) = (&whole.poll, Tables(whole.poll.tables));
        let tolerance = self.thresholds.association_tolerance;
        let Some(device) = self.devices.get_mut(&poll.device_id) else {
            return;
        };
        if tables.has(Tables::RADIO) {
            let radios = whole.radios.iter();
            let mut noise: BTreeMap<&str, i16> = BTreeMap::new();
            for radio in radios.filter(|radio| serves(device, &radio.interface)) {
                if let Some(dbm) = radio.noise_floor_dbm {
                    noise.entry(&radio.interface).or_insert(dbm);
                }
            }
            device.air.noise = noise.into_values().collect();
        }
        if !tables.has(Tables::INTERFACE) {
            return;
        }
        let before = std::mem::take(&mut device.air.counters);
        let us = (poll.observed_at - device.air.at).0;
        let ran = match (device.air.uptime_s, poll.uptime_s) {
            (Some(before), Some(now)) => {
                let grown = (now as i64 - before as i64) * 1_000_000;
                Some(grown >= us - tolerance.0)
            }
            _ => None,
        };
        let (mut interfaces, mut traffic) = (Vec::new(), Vec::new());
        for row in &whole.interfaces {
            let (Some(rx), Some(tx)) = (row.rx_bytes, row.tx_bytes) else {
                continue;
            };
            if device.air.counters.contains_key(&row.name) {
                continue;
            }
            let known = before.get(&row.name);
            let known = known.filter(|_| us > 0 && us <= 15 * 60 * 1_000_000);
            let rates = known.map_or((None, None), |(old_rx, old_tx)| {
                (rate(*old_rx, rx, us, ran), rate(*old_tx, tx, us, ran))
            });
            if let (Some(rx), Some(tx)) = rates
                && serves(device, &row.name)
            {
                traffic.push((rx, tx));
            }
            interfaces.push(InterfaceRate {
                name: Arc::from(row.name.as_str()),
                rx_bps: rates.0,
                tx_bps: rates.1,
            });
            device.air.counters.insert(row.name.clone(), (rx, tx));
        }
        device.air.traffic = traffic;
        (device.air.at, device.air.uptime_s) = (poll.observed_at, poll.uptime_s);
        device.air.rates = Some(InterfaceRates {
            tenant_id: poll.tenant_id,
            device_id: poll.device_id,
            observed_at: poll.observed_at,
            interfaces,
        });
    }

    /// Traffic and noise of every place that has any.
    pub(crate) fn place_air(&self) -> BTreeMap<Place, PlaceAir> {
        let mut all: BTreeMap<Place, PlaceAir> = BTreeMap::new();
        let online = |device: &&Device| device.state == DeviceState::Online;
        for device in self.devices.values().filter(online) {
            for place in places_of(&device.row) {
                let air = all.entry(place).or_default();
                for (rx, tx) in &device.air.traffic {
                    air.interfaces += 1;
                    air.rx_bps += *rx as i64;
                    air.tx_bps += *tx as i64;
                }
                for dbm in &device.air.noise {
                    air.radios += 1;
                    air.noise_sum_dbm += i64::from(*dbm);
                    air.noise_worst_dbm = air.noise_worst_dbm.max(Some(*dbm));
                }
            }
        }
        all.retain(|_, air| air.interfaces > 0 || air.radios > 0);
        all
    }

    /// The newest rates of every device that has shown counters.
    pub(crate) fn interface_rates(&self) -> BTreeMap<DeviceId, InterfaceRates> {
        let rates = self.devices.iter();
        rates
            .filter_map(|(id, device)| Some((*id, device.air.rates.clone()?)))
            .collect()
    }
}
