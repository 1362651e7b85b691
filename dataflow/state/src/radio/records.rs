//! A radio to its record, and back.

use mast_schemas::checkpoint::{RadioRecord, StationRecord};
use mast_schemas::records::Source;
use mast_schemas::{DeviceId, Mac};

use super::{Radio, Word};
use crate::link::Link;

impl Radio {
    /// Verdicts on clients without a link: (client, roamed, ambiguous, link forgotten).
    pub(crate) fn marks(&self) -> impl Iterator<Item = (Mac, bool, bool, bool)> {
        self.marks.records()
    }

    pub(crate) fn restore_mark(&mut self, mark: (Mac, bool, bool, bool)) {
        self.marks.restore(mark);
    }

    /// Reporters known as not observed.
    pub(crate) fn unobserved(&self) -> impl Iterator<Item = DeviceId> {
        self.reporters
            .iter()
            .filter(|reporter| reporter.unobserved)
            .map(|reporter| reporter.device)
    }

    pub(crate) fn set_unobserved(&mut self, device: DeviceId) {
        for source in Source::ALL {
            let i = self.reporter_number(device, *source);
            self.reporters[usize::from(i)].unobserved = true;
        }
    }

    pub(crate) fn record(&self) -> RadioRecord {
        let reporter = |link: &Link| &self.reporters[usize::from(link.reporter())];
        let station = |word: &Word| StationRecord {
            mac: word.mac.into(),
            device_id: word.device,
            observed_at: word.at.into(),
            signal_dbm: word.signal.get(),
        };
        RadioRecord {
            radio_mac: self.mac,
            interface: self.interface.as_ref().to_owned(),
            links: self
                .links
                .iter()
                .map(|link| link.record(reporter(link), &self.absences))
                .collect(),
            stations: self.words.iter().map(station).collect(),
        }
    }

    /// From a record; each link appears.
    pub(crate) fn restore(record: RadioRecord) -> Self {
        let mut radio = Self::new(record.radio_mac);
        radio.interface = record.interface.into();
        radio.links.reserve_exact(record.links.len());
        for link in &record.links {
            let reporter = radio.reporter_number(link.reporter, link.source);
            let link = Link::restore(link, reporter, &mut radio.absences);
            radio.links.push(link);
        }
        radio.links.sort_by_key(|link| link.mac);
        radio
            .words
            .extend(record.stations.into_iter().map(|station| Word {
                device: station.device_id,
                at: station.observed_at.into(),
                mac: station.mac.into(),
                signal: station.signal_dbm.into(),
            }));
        radio.words.sort_by_key(|word| word.mac);
        radio
    }
}
