//! Remote radios to records, and back.

use mast_schemas::checkpoint::{BssidRecord, CapRecord, ReporterRecord};
use mast_schemas::records::Tables;
use mast_schemas::{DeviceId, Mac, TenantId};

use super::{BssidOut, Bssids, Cap, Reporter, Reporting};
use crate::roam::key_group_of_client;

/// A remote radio with its key group and key.
type Known<'a> = (u8, (TenantId, Mac), &'a Cap);

impl Bssids {
    /// Remote radios with their [`key_group_of_client`], by rising group, tenant and radio.
    pub fn records(&self) -> Vec<(u8, CapRecord)> {
        let record = |&(group, (tenant_id, radio_mac), cap): &Known<'_>| {
            let shown = cap.reporters.iter().filter(|r| !r.gone);
            let record = CapRecord {
                tenant_id,
                radio_mac,
                reporters: shown.map(|r| r.device).collect(),
                ap_device_id: cap.ap,
            };
            (group, record)
        };
        let shown = |known: &&Known<'_>| !known.2.reporters.is_empty();
        self.caps().iter().filter(shown).map(record).collect()
    }

    /// What this step knows of the same radios besides [`Bssids::records`], and of those that nobody shows any more.
    pub fn bssid_records(&self) -> Vec<(u8, BssidRecord)> {
        let record = |&(group, (tenant_id, radio_mac), cap): &Known<'_>| {
            let reporter = |reporter: &Reporter| ReporterRecord {
                device_id: reporter.device,
                reached: reporter.reached.0,
                unobserved: reporter.unobserved == Some(true),
                gone: reporter.gone,
            };
            let record = BssidRecord {
                tenant_id,
                radio_mac,
                owner: cap.owner,
                reporters: cap.reporters.iter().map(reporter).collect(),
                reached: cap.reached.clone(),
            };
            (group, record)
        };
        self.caps().iter().map(record).collect()
    }

    fn caps(&self) -> Vec<Known<'_>> {
        let caps = self.radios.iter();
        let mut caps: Vec<_> = caps
            .filter_map(|(key, radio)| Some((*key, radio.cap.as_deref()?)))
            .map(|(key, cap)| (key_group_of_client(&key.0, key.1), key, cap))
            .collect();
        caps.sort_unstable_by_key(|(group, key, _)| (*group, *key));
        caps
    }

    /// Takes records in. Radios of their own come again from the devices' records, through [`Bssids::radio`]. `out`
    /// gets which owners and statuses this step must be told; nothing for access points.
    pub fn restore(&mut self, caps: Vec<CapRecord>, rest: Vec<BssidRecord>, out: &mut BssidOut) {
        for record in caps {
            let key = (record.tenant_id, record.radio_mac);
            out.remote_radios.push((key.0, key.1, 1));
            let cap = self.restored(key, record.ap_device_id);
            for device in record.reporters {
                cap.reporter(device);
            }
        }
        for record in rest {
            let key = (record.tenant_id, record.radio_mac);
            let waits = record.reached.last().copied().unwrap_or_default();
            let cap = self.restored(key, waits);
            cap.owner = record.owner;
            cap.reached = record.reached;
            for known in &record.reporters {
                let reporter = cap.reporter(known.device_id);
                reporter.reached = Tables(known.reached);
                reporter.unobserved = Some(known.unobserved);
                reporter.gone = known.gone;
            }
            for known in record.reporters.iter().filter(|known| !known.gone) {
                let reporting = self.reporters.entry(known.device_id).or_insert_with(|| {
                    out.reporters.push((known.device_id, 1));
                    Reporting::default()
                });
                reporting.unobserved |= known.unobserved;
                reporting.radios.insert(key);
            }
        }
    }

    fn restored(&mut self, key: (TenantId, Mac), ap: DeviceId) -> &mut Cap {
        let radio = self.radios.entry(key).or_default();
        radio.cap.get_or_insert_with(|| Box::new(Cap::new(ap)))
    }
}
