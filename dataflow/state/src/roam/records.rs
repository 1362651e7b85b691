//! Clients to records, and back.

use mast_schemas::checkpoint::{AssociationRecord, RoamRecord, ShownRecord};
use mast_schemas::records::Source;
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use super::entry::{Entry, More, NOBODY, NOWHERE, Other};
use super::held::Held;
use super::{Roaming, key_group_of_client};
use crate::compact::Mac48;

impl Roaming {
    /// All records with their [`key_group_of_client`], by rising group, tenant and MAC.
    pub fn records(&self) -> Vec<(u8, RoamRecord)> {
        let known = |held: Held<'_>| {
            let (tenant, mac) = held.key();
            let tenant = *self.tenants.value(tenant)?;
            let group = key_group_of_client(&tenant, mac.into());
            Some((group, tenant, mac))
        };
        let all = self.clients.iter();
        let mut all: Vec<_> = all.filter_map(|held| Some((known(held)?, held))).collect();
        all.sort_unstable_by_key(|(known, _)| *known);
        all.into_iter()
            .map(|((group, tenant, _), held)| {
                (group, held.read(|entry| self.record(tenant, entry)))
            })
            .collect()
    }

    fn record(&self, tenant: TenantId, entry: &Entry) -> RoamRecord {
        let association = |radio: u32, began: Timestamp| {
            let &(ap_device_id, radio_mac) = self.radios.value(radio)?;
            Some(AssociationRecord {
                ap_device_id,
                radio_mac,
                began_at: began,
            })
        };
        let earlier = entry.more.as_ref().map_or(&[][..], |more| &more.changes);
        RoamRecord {
            tenant_id: tenant,
            mac: entry.mac.into(),
            owner: association(entry.radio, entry.began),
            owner_departed_at: entry.departed_at.get(),
            others: (entry.others().iter())
                .filter_map(|other| association(other.radio, other.began))
                .collect(),
            changes: earlier
                .iter()
                .copied()
                .chain(entry.changed_at.get())
                .collect(),
            ambiguous: entry.ambiguous(),
        }
    }

    /// Whose tables show the associations of [`Roaming::records`], with the same key groups, rising.
    pub fn shown(&self) -> Vec<(u8, ShownRecord)> {
        let mut shown: Vec<Shown> = Vec::with_capacity(self.clients.len());
        for held in self.clients.iter() {
            held.read(|entry| self.shown_of(entry, &mut shown));
        }
        shown.sort_unstable();
        let tables = shown.chunk_by(|a, b| (a.0, a.1, a.2, a.3) == (b.0, b.1, b.2, b.3));
        tables.filter_map(shown_record).collect()
    }

    fn shown_of(&self, entry: &Entry, shown: &mut Vec<Shown>) {
        let Some(&tenant) = self.tenants.value(entry.tenant) else {
            return;
        };
        let mac = Mac::from(entry.mac);
        let group = key_group_of_client(&tenant, mac);
        let others = entry
            .others()
            .iter()
            .map(|other| (other.radio, other.shown));
        let also = entry.more.iter().flat_map(|more| more.also.iter().copied());
        for (radio, by) in others.chain(also).chain([(entry.radio, entry.shown)]) {
            let reporter = self
                .reporters
                .get(radio as usize)
                .and_then(|r| r.get(usize::from(by)));
            let (Some(&place), Some(&by)) = (self.radios.value(radio), reporter) else {
                continue;
            };
            shown.push((group, tenant, place, by, mac));
        }
    }

    /// Takes records in; says nothing.
    pub fn restore(&mut self, records: Vec<RoamRecord>, shown: Vec<ShownRecord>) {
        for record in records {
            let mut number = |a: &AssociationRecord| Other {
                radio: self.radios.number(&(a.ap_device_id, a.radio_mac)),
                shown: NOBODY,
                began: a.began_at,
            };
            let nowhere = Other {
                radio: NOWHERE,
                shown: NOBODY,
                began: Timestamp(0),
            };
            let owner = record.owner.as_ref().map_or(nowhere, &mut number);
            let others: Vec<_> = record.others.iter().map(&mut number).collect();
            let mut changes = record.changes;
            let changed_at = changes.pop().into();
            let plain = others.is_empty() && changes.is_empty() && !record.ambiguous;
            let more = More {
                others,
                changes,
                ambiguous: record.ambiguous,
                ..More::default()
            };
            let mut entry = Entry {
                tenant: self.tenants.number(&record.tenant_id),
                radio: owner.radio,
                mac: record.mac.into(),
                shown: NOBODY,
                began: owner.began,
                departed_at: record.owner_departed_at.into(),
                changed_at,
                more: (!plain).then(|| Box::new(more)),
            };
            Self::arm(&mut self.wheel, &self.t, &mut entry);
            self.clients.put(entry);
        }
        for record in shown {
            let tenant = self.tenants.number(&record.tenant_id);
            let radio = self.radios.number(&(record.ap_device_id, record.radio_mac));
            let by = self.reporter(radio, record.reporter, record.source);
            for mac in record.clients.into_iter().map(Mac48::from) {
                self.clients
                    .step((tenant, mac), None, |entry| entry.show(radio, by));
            }
        }
    }
}

/// A client that a table shows: key group, owner, association's place, whose table, client.
type Shown = (u8, TenantId, (DeviceId, Mac), (DeviceId, Source), Mac);

/// The record of rows that differ in the client only.
fn shown_record(rows: &[Shown]) -> Option<(u8, ShownRecord)> {
    let &(group, tenant_id, (ap_device_id, radio_mac), (reporter, source), _) = rows.first()?;
    let clients = rows.iter().map(|row| row.4).collect();
    Some((
        group,
        ShownRecord {
            tenant_id,
            ap_device_id,
            radio_mac,
            reporter,
            source,
            clients,
        },
    ))
}
