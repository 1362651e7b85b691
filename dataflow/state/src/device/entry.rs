//! What is kept of a device, in as few bytes as it needs: nearly every client of a fleet is one.

use std::sync::Arc;

use mast_schemas::checkpoint::{ClaimRecord, DeviceRecord};
use mast_schemas::records::{Outcome, PollId};
use mast_schemas::views::{DeviceState, DeviceView};
use mast_schemas::{DeviceId, TenantId, Timestamp};

use crate::addresses::Said;
use crate::compact::{Interner, Keyed, Mac48, Maybe};
use crate::device::air::{Added, Counters};
use crate::device::packed::{Packed, Parts, pack_claims};
use crate::device::rest::{Rest, Rests, Which};
use crate::messages::ClaimChange;
use crate::table::SourceTable;
use crate::timers::Armed;

/// A device: 80 bytes, and what hangs on it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) since: Timestamp,
    pub(super) overdue_at: Maybe,
    /// Bucket of its entry in the wheel.
    pub(super) armed: Armed,
    /// Identity, serial, claims by rising MAC, and counters.
    pub(super) packed: Packed,
    /// What few devices have.
    pub(super) rest: Which,
    /// Number of its model.
    model: u32,
    /// Number of its standing, which tells its owner: see [`crate::rules`].
    pub(super) standing: u32,
    /// Of the newest poll, if there was one, number of its era, and its sequence within it.
    era: u32,
    sequence: u32,
    pub(super) enabled: bool,
    pub(super) state: DeviceState,
    pub(super) outcome: Option<Outcome>,
    pub(super) fail_run: u8,
    pub(super) fail_unmanageable: bool,
    /// Whether it was told to be offline, and to be failing.
    pub(super) told: Told,
}

/// What was told of a device's condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Told {
    #[default]
    Neither,
    Offline,
    Failing,
}

/// No number of a word, a model or an era.
const NONE: u32 = u32::MAX;

/// Where each attribute of a poll is kept.
#[derive(Clone, Copy)]
enum Kept {
    Identity,
    Serial,
    Model(usize),
}

/// In the order of [`crate::messages::PollInput::attributes`].
const KEPT: [Kept; 6] = [
    Kept::Identity,
    Kept::Model(0),
    Kept::Model(1),
    Kept::Model(2),
    Kept::Serial,
    Kept::Model(3),
];

/// The words that many devices share.
pub(super) type Words = Interner<Arc<str>>;

/// Version, board, architecture and firmware, as numbers of words; [`NONE`] where none is known.
type Model = [u32; 4];

/// Lease epoch of a poll, and the upper half of its sequence.
type Era = (u64, u32);

/// What many devices share: few values, each of which is named by a number.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) words: Words,
    models: Interner<Model>,
    eras: Interner<Era>,
}

impl Keyed for Device {
    type Key = DeviceId;

    fn key(&self) -> DeviceId {
        self.id
    }
}

impl Device {
    pub(super) fn new(id: DeviceId, standing: u32, since: Timestamp, enabled: bool) -> Self {
        Self {
            id,
            since,
            overdue_at: Maybe::NONE,
            armed: Armed::default(),
            packed: Packed::default(),
            rest: Which::NONE,
            model: NONE,
            standing,
            era: NONE,
            sequence: 0,
            enabled,
            state: DeviceState::Unobserved,
            outcome: None,
            fail_run: 0,
            fail_unmanageable: false,
            told: Told::Neither,
        }
    }

    /// The newest poll, if there was one.
    pub(super) fn last_poll(&self, shared: &Shared) -> Option<PollId> {
        let (lease_epoch, upper) = *shared.eras.value(self.era)?;
        let sequence = u64::from(upper) << 32 | u64::from(self.sequence);
        Some(PollId {
            lease_epoch,
            sequence,
        })
    }

    pub(super) fn set_last_poll(&mut self, shared: &mut Shared, poll: PollId) {
        let era = (poll.lease_epoch, (poll.sequence >> 32) as u32);
        if shared.eras.value(self.era) != Some(&era) {
            self.era = shared.eras.number(&era);
        }
        self.sequence = poll.sequence as u32;
    }

    /// What is to be told of its condition (§19).
    pub(super) const fn condition(&self) -> Told {
        match self.state {
            DeviceState::Offline => Told::Offline,
            DeviceState::Unmanageable => Told::Neither,
            DeviceState::Online | DeviceState::Unobserved if self.fail_run > 0 => Told::Failing,
            DeviceState::Online | DeviceState::Unobserved => Told::Neither,
        }
    }

    pub(super) fn attribute<'a>(&'a self, shared: &'a Shared, i: usize) -> Option<&'a str> {
        match KEPT[i] {
            Kept::Identity => self.packed.parts().identity,
            Kept::Serial => self.packed.parts().serial,
            Kept::Model(i) => {
                let word = shared.models.value(self.model)?[i];
                shared.words.value(word).map(|word| &**word)
            }
        }
    }

    pub(super) fn set_attribute(&mut self, shared: &mut Shared, i: usize, value: &str) {
        let parts = self.packed.parts();
        match KEPT[i] {
            Kept::Identity => {
                let identity = Some(value);
                self.packed = Packed::new(&Parts { identity, ..parts });
            }
            Kept::Serial => {
                let serial = Some(value);
                self.packed = Packed::new(&Parts { serial, ..parts });
            }
            Kept::Model(i) => {
                let known = shared.models.value(self.model).copied();
                let mut model = known.unwrap_or([NONE; 4]);
                model[i] = shared.words.number(&Arc::<str>::from(value));
                self.model = shared.models.number(&model);
            }
        }
    }

    pub(super) fn view(&self, tenant_id: TenantId, shared: &Shared) -> DeviceView {
        let text = |i| self.attribute(shared, i).map(str::to_owned);
        DeviceView {
            device_id: self.id,
            tenant_id,
            state: self.state,
            since: self.since,
            outcome: self.outcome,
            identity: text(0),
            version: text(1),
            board: text(2),
            architecture: text(3),
            serial: text(4),
            firmware: text(5),
        }
    }

    /// The claims as changes, all with the same sign.
    pub(super) fn claims(&self, tenant: TenantId, diff: i8) -> impl Iterator<Item = ClaimChange> {
        let claim = move |(mac, first_seen): (Mac48, Timestamp)| ClaimChange {
            tenant,
            mac: mac.into(),
            first_seen,
            device: self.id,
            diff,
        };
        self.packed.parts().claims().map(claim)
    }

    /// Reads what a step will read: see [`super::Devices::find`].
    pub(super) fn touch(&self, rests: &Rests) -> usize {
        let tables = rests.get(self.rest).map_or(0, |rest| rest.tables.len());
        usize::from(self.packed.touch()) ^ tables
    }

    pub(super) fn record(
        &self,
        tenant_id: TenantId,
        shared: &Shared,
        rests: &Rests,
    ) -> DeviceRecord {
        let (nothing, parts) = (Rest::default(), self.packed.parts());
        let rest = rests.get(self.rest).unwrap_or(&nothing);
        let claim = |(mac, first_seen): (Mac48, Timestamp)| ClaimRecord {
            mac: mac.into(),
            first_seen,
        };
        let (counters, words) = (parts.counters, &shared.words);
        let air = || Counters::record(counters, &rest.added, words);
        DeviceRecord {
            device_id: self.id,
            tenant_id,
            state: self.state,
            since: self.since,
            outcome: self.outcome,
            fail_run: self.fail_run,
            fail_unmanageable: self.fail_unmanageable,
            last_poll: self.last_poll(shared),
            overdue_at: self.overdue_at.get(),
            attributes: std::array::from_fn(|i| self.attribute(shared, i).map(str::to_owned)),
            claims: parts.claims().map(claim).collect(),
            tables: rest.tables.iter().map(SourceTable::record).collect(),
            said: rest.said.iter().flat_map(|said| said.records()).collect(),
            air: (!counters.is_empty()).then(air),
        }
    }

    pub(super) fn restore(
        record: DeviceRecord,
        standing: u32,
        shared: &mut Shared,
        rests: &mut Rests,
    ) -> Self {
        let mut device = Self::new(record.device_id, standing, record.since, true);
        device.state = record.state;
        device.outcome = record.outcome;
        device.fail_run = record.fail_run;
        device.fail_unmanageable = record.fail_unmanageable;
        device.overdue_at = record.overdue_at.into();
        if let Some(poll) = record.last_poll {
            device.set_last_poll(shared, poll);
        }
        let [identity, version, board, architecture, serial, firmware] = record.attributes;
        let model = [version, board, architecture, firmware]
            .map(|word| word.map_or(NONE, |word| shared.words.number(&Arc::<str>::from(word))));
        if model != [NONE; 4] {
            device.model = shared.models.number(&model);
        }
        let claims = record.claims.iter();
        let mut claims: Vec<_> = claims
            .map(|claim| (Mac48::from(claim.mac), claim.first_seen))
            .collect();
        claims.sort_unstable();
        let mut counters = Vec::new();
        let mut added = Added::default();
        if let Some(air) = record.air {
            let all;
            (all, added) = Counters::restore(air, &mut shared.words);
            all.pack(&mut counters);
        }
        device.packed = Packed::new(&Parts {
            identity: identity.as_deref(),
            serial: serial.as_deref(),
            claims: &pack_claims(claims),
            counters: &counters,
        });
        if !record.tables.is_empty() || !record.said.is_empty() || !added.is_nothing() {
            let said = (!record.said.is_empty()).then(|| Box::new(Said::restore(record.said)));
            *rests.of(&mut device.rest) = Rest {
                tables: record.tables.into_iter().map(SourceTable::from).collect(),
                said,
                added,
            };
        }
        device
    }
}

#[cfg(test)]
mod tests {
    use mast_schemas::Mac;
    use mast_schemas::checkpoint::AirRecord;

    use super::*;

    #[test]
    fn a_device_is_small() {
        assert!(size_of::<Device>() <= 80, "{}", size_of::<Device>());
    }

    #[test]
    fn each_attribute_is_kept_apart() {
        let (mut shared, mut rests) = (Shared::default(), Rests::default());
        let mut device = Device::new(DeviceId::default(), 0, Timestamp(0), true);
        for order in [[0, 1, 2, 3, 4, 5], [4, 5, 0, 3, 2, 1]] {
            for (n, i) in order.into_iter().enumerate() {
                device.set_attribute(&mut shared, i, &"é".repeat(n));
                assert_eq!(device.attribute(&shared, i), Some(&*"é".repeat(n)));
            }
            for (n, i) in order.into_iter().enumerate() {
                assert_eq!(device.attribute(&shared, i), Some(&*"é".repeat(n)), "{i}");
            }
        }
        let record = device.record(TenantId::default(), &shared, &rests);
        let again = Device::restore(record.clone(), 0, &mut shared, &mut rests);
        assert_eq!(again.record(TenantId::default(), &shared, &rests), record);
        let new = Device::new(DeviceId::default(), 0, Timestamp(0), true);
        assert_eq!(
            new.record(TenantId::default(), &shared, &rests).attributes,
            [const { None }; 6]
        );
    }

    #[test]
    fn any_poll_can_be_the_newest() {
        let mut shared = Shared::default();
        let mut device = Device::new(DeviceId::default(), 0, Timestamp(0), true);
        assert_eq!(device.last_poll(&shared), None);
        let values = [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX];
        for lease_epoch in values {
            for sequence in values {
                let poll = PollId {
                    lease_epoch,
                    sequence,
                };
                device.set_last_poll(&mut shared, poll);
                assert_eq!(device.last_poll(&shared), Some(poll));
            }
        }
    }

    /// All that a record can say, at its widest.
    #[test]
    fn a_record_comes_back_as_it_was() {
        let text = |n: usize| Some("x".repeat(n));
        let air = AirRecord {
            at: Timestamp(i64::MIN),
            uptime_s: Some(u64::MAX),
            counters: vec![
                ("a".to_owned(), u64::MAX, 0),
                ("b".to_owned(), 1, u64::MAX),
                ("a".to_owned(), 1 << 32, 1 << 63),
            ],
            noise: vec![i16::MIN, -90],
            traffic: [1, i64::MAX, i64::MIN],
        };
        let unshown = AirRecord {
            at: Timestamp(0),
            uptime_s: None,
            counters: Vec::new(),
            noise: Vec::new(),
            traffic: [0; 3],
        };
        let claim = |mac, first_seen| ClaimRecord {
            mac: Mac(mac),
            first_seen: Timestamp(first_seen),
        };
        let record = DeviceRecord {
            device_id: DeviceId::new(),
            tenant_id: TenantId::default(),
            state: DeviceState::Unmanageable,
            since: Timestamp(i64::MAX),
            outcome: Some(Outcome::TlsFailed),
            fail_run: u8::MAX,
            fail_unmanageable: true,
            last_poll: Some(PollId {
                lease_epoch: u64::MAX,
                sequence: u64::MAX,
            }),
            overdue_at: Some(Timestamp(i64::MAX)),
            attributes: [text(0), text(1), None, text(3), text(400), None],
            claims: vec![claim(0, i64::MAX), claim((1 << 48) - 1, i64::MIN)],
            tables: Vec::new(),
            said: Vec::new(),
            air: Some(air),
        };
        let alike = |record: DeviceRecord| {
            let (mut shared, mut rests) = (Shared::default(), Rests::default());
            let device = Device::restore(record.clone(), 0, &mut shared, &mut rests);
            assert_eq!(device.record(TenantId::default(), &shared, &rests), record);
        };
        alike(DeviceRecord {
            air: Some(unshown),
            ..record.clone()
        });
        alike(DeviceRecord {
            last_poll: None,
            overdue_at: None,
            attributes: [const { None }; 6],
            air: None,
            ..record.clone()
        });
        alike(record);
    }

    /// Nearly every client of a fleet is such a device.
    #[test]
    fn a_station_with_three_interfaces_is_small_in_all() {
        let now = 1_750_000_000_000_000;
        let claim = |mac| ClaimRecord {
            mac: Mac(mac),
            first_seen: Timestamp(now - 30 * 86_400_000_000),
        };
        let counter = |name: &str| (name.to_owned(), 1 << 40, 1 << 38);
        let record = DeviceRecord {
            device_id: DeviceId::new(),
            tenant_id: TenantId::default(),
            state: DeviceState::Online,
            since: Timestamp(now - 86_400_000_000),
            outcome: Some(Outcome::Ok),
            fail_run: 0,
            fail_unmanageable: false,
            last_poll: Some(PollId {
                lease_epoch: 12,
                sequence: 43_200,
            }),
            overdue_at: Some(Timestamp(now + 180_000_000)),
            attributes: [
                "hill-north-7",
                "7.16.2",
                "RBLHG",
                "mipsbe",
                "8A1B0C2D3E4F",
                "7.16.2",
            ]
            .map(|text| Some(text.to_owned())),
            // Far apart: those of one device most often follow one another.
            claims: vec![
                claim(0x0C42_A100_0001),
                claim(0x4C5E_0C00_0001),
                claim(0xE48D_8C00_0001),
            ],
            tables: Vec::new(),
            said: Vec::new(),
            air: Some(AirRecord {
                at: Timestamp(now),
                uptime_s: Some(86_400),
                counters: ["wlan1", "ether1", "bridge"].map(counter).to_vec(),
                noise: Vec::new(),
                traffic: [0; 3],
            }),
        };
        let (mut shared, mut rests) = (Shared::default(), Rests::default());
        let device = Device::restore(record, 0, &mut shared, &mut rests);
        assert_eq!(device.rest, Which::NONE);
        let bytes = size_of::<Device>() + device.packed.len();
        assert!(bytes <= 190, "{bytes}");
    }
}
