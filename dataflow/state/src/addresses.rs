//! Addresses of clients (§13): what the ARP and DHCP tables of devices say, and which word holds for a MAC.
//!
//! The trap avoided: the newest table wins. Each poll would then change who is right, and rows with it; what counts is when
//! a table first said so.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use mast_schemas::checkpoint::SaidRecord;
use mast_schemas::views::{AddressSource, ClientAddress};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};

use crate::compact::{Mac48, Map};
use crate::messages::{AddressChange, AddressInput, Statement};

impl<'a> AddressInput<'a> {
    /// An ARP entry, if it says where a client is. `off`: switched off, or not valid.
    pub fn of_entry(
        mac: Option<Mac>,
        address: &'a str,
        complete: Option<bool>,
        off: [Option<bool>; 2],
    ) -> Option<Self> {
        let counts = complete != Some(false) && !off.contains(&Some(true));
        let host_name = None;
        mac.filter(|_| counts).map(|mac| Self {
            mac,
            address,
            host_name,
        })
    }

    /// A lease with what is in use, if it says where a client is. `off`: switched off, or blocked.
    pub fn of_lease(
        status: Option<&str>,
        (mac, address): (Option<Mac>, Option<&'a str>),
        host_name: Option<&'a str>,
        off: [Option<bool>; 2],
    ) -> Option<Self> {
        let counts = status == Some("bound") && !off.contains(&Some(true));
        let known = mac.zip(address).filter(|_| counts);
        known.map(|(mac, address)| Self {
            mac,
            address,
            host_name,
        })
    }
}

/// What the newest whole tables of a device say.
#[derive(Debug, Default)]
pub(crate) struct Said {
    tables: BTreeMap<AddressSource, Table>,
}

/// By MAC and IP address.
type Table = BTreeMap<(Mac48, Box<str>), Fact>;

#[derive(Debug, PartialEq, Eq)]
struct Fact {
    since: Timestamp,
    host_name: Option<Box<str>>,
}

impl Said {
    /// A whole table, read at `at`.
    pub(crate) fn table(
        &mut self,
        source: AddressSource,
        rows: &[AddressInput<'_>],
        at: Timestamp,
        (tenant, device): (TenantId, DeviceId),
        out: &mut Vec<AddressChange>,
    ) {
        let known = self.tables.entry(source).or_default();
        let mut now = Table::new();
        for row in rows {
            let key = (row.mac.into(), row.address.into());
            let since = known.get(&key).map_or(at, |fact| fact.since);
            now.entry(key).or_insert_with(|| Fact {
                since,
                host_name: row.host_name.map(Into::into),
            });
        }
        let of = (source, tenant, device);
        let differ = |(key, fact): &(&(Mac48, Box<str>), &Fact), other: &Table| {
            other.get(*key) != Some(*fact)
        };
        let gone = known.iter().filter(|entry| differ(entry, &now));
        out.extend(gone.map(|entry| change(of, entry, -1)));
        let new = now.iter().filter(|entry| differ(entry, known));
        out.extend(new.map(|entry| change(of, entry, 1)));
        *known = now;
    }

    /// All that it says, as changes: said (1), or no longer (−1).
    pub(crate) fn all(
        &self,
        (tenant, device): (TenantId, DeviceId),
        diff: i8,
    ) -> impl Iterator<Item = AddressChange> {
        self.tables.iter().flat_map(move |(source, table)| {
            let of = (*source, tenant, device);
            table.iter().map(move |entry| change(of, entry, diff))
        })
    }

    pub(crate) fn records(&self) -> Vec<SaidRecord> {
        let record = |source: AddressSource,
                      ((mac, address), fact): (&(Mac48, Box<str>), &Fact)| {
            SaidRecord {
                source,
                mac: (*mac).into(),
                address: address.to_string(),
                host_name: fact.host_name.as_deref().map(str::to_owned),
                since: fact.since,
            }
        };
        let tables = self.tables.iter();
        tables
            .flat_map(|(source, table)| table.iter().map(move |entry| record(*source, entry)))
            .collect()
    }

    pub(crate) fn restore(records: Vec<SaidRecord>) -> Self {
        let mut said = Self::default();
        for record in records {
            let fact = Fact {
                since: record.since,
                host_name: record.host_name.map(Into::into),
            };
            let table = said.tables.entry(record.source).or_default();
            table.insert((record.mac.into(), record.address.into()), fact);
        }
        said
    }
}

fn change(
    (source, tenant, device): (AddressSource, TenantId, DeviceId),
    ((mac, address), fact): (&(Mac48, Box<str>), &Fact),
    diff: i8,
) -> AddressChange {
    AddressChange {
        tenant,
        mac: (*mac).into(),
        statement: Statement {
            source: Reverse(source),
            since: Reverse(fact.since),
            device,
            address: address.clone(),
            host_name: fact.host_name.clone(),
        },
        diff,
    }
}

/// What is said of a client, of most clients one thing: a tree for that is ten times as large. Some are in every device's tables.
#[derive(Debug)]
enum Statements {
    One(Box<Statement>),
    /// Two or more.
    #[expect(
        clippy::box_collection,
        reason = "a set is three times as wide, and few need one"
    )]
    Many(Box<BTreeSet<Statement>>),
}

impl Statements {
    /// The one that holds.
    fn first(&self) -> Option<&Statement> {
        match self {
            Self::One(one) => Some(one),
            Self::Many(all) => all.first(),
        }
    }

    fn put(&mut self, statement: Statement) {
        match self {
            Self::One(one) if **one == statement => {}
            Self::One(one) => {
                let both = BTreeSet::from([Statement::clone(one), statement]);
                *self = Self::Many(Box::new(both));
            }
            Self::Many(all) => {
                all.insert(statement);
            }
        }
    }

    /// Takes a statement away, and says whether another is left.
    fn take(&mut self, statement: &Statement) -> bool {
        match self {
            Self::One(one) => **one != *statement,
            Self::Many(all) => {
                all.remove(statement);
                if all.len() == 1
                    && let Some(one) = all.pop_first()
                {
                    *self = Self::One(Box::new(one));
                }
                true
            }
        }
    }
}

/// All statements about the clients of a worker.
#[derive(Debug, Default)]
pub struct Addresses {
    said: Map<(TenantId, Mac), Statements>,
    /// What held before the slot, of clients about which something changed in it.
    before: BTreeMap<(TenantId, Mac), Option<Statement>>,
}

impl Addresses {
    fn holds(&self, key: &(TenantId, Mac)) -> Option<&Statement> {
        self.said.get(key)?.first()
    }

    /// A device says something, or no longer.
    pub fn change(&mut self, change: AddressChange) {
        let key = (change.tenant, change.mac);
        if !self.before.contains_key(&key) {
            let held = self.holds(&key).cloned();
            self.before.insert(key, held);
        }
        let came = change.diff > 0;
        match self.said.get_mut(&key) {
            Some(said) if came => said.put(change.statement),
            Some(said) => {
                let others_are_left = said.take(&change.statement);
                if !others_are_left {
                    self.said.remove(&key);
                }
            }
            None if came => {
                let one = Statements::One(Box::new(change.statement));
                self.said.insert(key, one);
            }
            None => {}
        }
    }

    /// Closes the slot: what holds now, where it is another thing than before it, by rising tenant and MAC.
    pub fn end_slot(&mut self) -> Vec<(TenantId, Mac, Option<ClientAddress>)> {
        let mut changed = Vec::new();
        for (key, before) in std::mem::take(&mut self.before) {
            let now = self.holds(&key);
            if now != before.as_ref() {
                changed.push((key.0, key.1, now.map(|now| view(key, now))));
            }
        }
        changed
    }
}

fn view((tenant_id, mac): (TenantId, Mac), statement: &Statement) -> ClientAddress {
    ClientAddress {
        tenant_id,
        mac,
        address: statement.address.to_string(),
        host_name: statement.host_name.as_deref().map(str::to_owned),
        source: statement.source.0,
        device_id: statement.device,
        since: statement.since.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_takes_little_and_many_are_sorted() {
        assert_eq!((size_of::<Statements>(), size_of::<Statement>()), (16, 64));
        let (tenant, mac) = (TenantId::new(), Mac(1));
        let mut addresses = Addresses::default();
        let mut change = |since, diff| {
            let statement = Statement {
                source: Reverse(AddressSource::Arp),
                since: Reverse(Timestamp(since)),
                device: DeviceId::default(),
                address: "10.0.0.1".into(),
                host_name: None,
            };
            addresses.change(AddressChange {
                tenant,
                mac,
                statement,
                diff,
            });
            let said = addresses.said.get(&(tenant, mac));
            let one = said.map(|said| matches!(said, Statements::One(_)));
            let holds = addresses.holds(&(tenant, mac));
            (holds.map(|holds| holds.since.0.0), one)
        };
        assert_eq!(change(5, -1), (None, None));
        assert_eq!(change(5, 1), (Some(5), Some(true)));
        assert_eq!(change(5, 1), (Some(5), Some(true)));
        assert_eq!(change(7, -1), (Some(5), Some(true)));
        assert_eq!(change(7, 1), (Some(7), Some(false)));
        assert_eq!(change(6, 1), (Some(7), Some(false)));
        assert_eq!(change(7, -1), (Some(6), Some(false)));
        assert_eq!(change(5, -1), (Some(6), Some(true)));
        assert_eq!(change(6, -1), (None, None));
    }
}
