//! Clients to records, and back.

use mast_schemas::Mac;
use mast_schemas::checkpoint::TrendRecord;

use super::client::{Client, History};
use super::{Open, TrendOut, Trends};
use crate::roam::key_group_of_client;

impl Trends {
    /// All records with their [`key_group_of_client`], by rising group, tenant and MAC.
    pub fn records(&self) -> Vec<(u8, TrendRecord)> {
        let places = self.index.iter().copied();
        let mut all: Vec<_> = places
            .map(|place| {
                let (tenant, mac) = self.key(place);
                (key_group_of_client(&tenant, mac), tenant, mac, place)
            })
            .collect();
        all.sort_unstable();
        let records = all.into_iter();
        records
            .filter_map(|(group, _, mac, place)| Some((group, self.record(mac, place)?)))
            .collect()
    }

    fn record(&self, mac: Mac, place: u32) -> Option<TrendRecord> {
        let client = &self.clients[place];
        let &(tenant_id, ap_device_id, radio_mac) = self.places.value(client.place)?;
        let (hour, day) = (i64::from(client.hour), i64::from(client.day()));
        let (history, open) = (self.history(place), self.open.get(&place));
        Some(TrendRecord {
            tenant_id,
            mac,
            ap_device_id,
            radio_mac,
            hour: client.hour,
            hours: history.hours.filled(hour),
            days: history.days.filled(day),
            open: open.map(|open| (open.test, open.since, open.baseline, open.opened)),
        })
    }

    /// Takes records in. `out` gets the view of each open trend as new; no events.
    pub fn restore(&mut self, records: Vec<TrendRecord>, out: &mut TrendOut) {
        for record in records {
            let at = (record.tenant_id, record.ap_device_id, record.radio_mac);
            let at = self.places.number(&at);
            let client = Client {
                place: at,
                hour: record.hour,
                mac: record.mac.into(),
            };
            let mut history = History::unpack(&[], record.hour);
            let (hour, day) = (i64::from(client.hour), i64::from(client.day()));
            for (age, mean, minutes) in record.hours {
                history
                    .hours
                    .put(hour - i64::from(age), (mean, i64::from(minutes)));
            }
            for (age, mean, minutes) in record.days {
                history
                    .days
                    .put(day - i64::from(age), (mean, i64::from(minutes)));
            }
            let place = self.insert(client);
            self.histories.set(place, &history.pack());
            if let Some((test, since, baseline, opened)) = record.open {
                let open = Open {
                    test,
                    since,
                    baseline,
                    opened,
                };
                self.open.insert(place, open);
                let key = (record.tenant_id, record.mac);
                out.views.push((key, None, self.view(place)));
            }
        }
    }
}
