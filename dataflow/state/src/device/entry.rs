//! What is kept of a device, in as few bytes as it needs: nearly every client of a fleet is one.

use std::sync::Arc;

use mast_schemas::checkpoint::{ClaimRecord, DeviceRecord};
use mast_schemas::records::{Outcome, PollId};
use mast_schemas::views::{DeviceState, DeviceView};
use mast_schemas::{DeviceId, TenantId, Timestamp};

use crate::addresses::Said;
use crate::compact::{Interner, Keyed, Mac48, Maybe};
use crate::device::air::Air;
use crate::messages::ClaimChange;
use crate::table::SourceTable;
use crate::timers::UNARMED;

/// A device: 152 bytes, and what hangs on it.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) since: Timestamp,
    /// The newest poll, if there was one.
    pub(super) last_poll: PollId,
    pub(super) overdue_at: Maybe,
    /// Bucket of its entry in the wheel.
    pub(super) armed: i64,
    /// By rising MAC: the address and when it was first seen.
    pub(super) claims: Box<[(Mac48, Timestamp)]>,
    pub(super) tables: Box<[SourceTable]>,
    /// Once it has shown an interface or a radio.
    pub(super) air: Option<Box<Air>>,
    /// Once it has shown an ARP or DHCP table.
    pub(super) said: Option<Box<Said>>,
    /// What differs from device to device: identity and serial, one after the other in one piece of memory.
    own: Box<str>,
    /// Bytes of the identity; [`NO_WORD`] where none is known.
    identity: u32,
    /// Version, board, architecture and firmware, as numbers of words; [`NO_WORD`] where none is known.
    shared: [u32; 4],
    /// Number of its standing, which tells its owner: see [`crate::rules`].
    pub(super) standing: u32,
    pub(super) polled: bool,
    pub(super) enabled: bool,
    pub(super) state: DeviceState,
    pub(super) outcome: Option<Outcome>,
    pub(super) fail_run: u8,
    pub(super) fail_unmanageable: bool,
    /// Whether a serial is known.
    serial: bool,
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

const NO_WORD: u32 = u32::MAX;

/// Where each attribute of a poll is kept.
#[derive(Clone, Copy)]
enum Kept {
    Identity,
    Serial,
    Shared(usize),
}

/// In the order of [`crate::messages::PollInput::attributes`].
const KEPT: [Kept; 6] = [
    Kept::Identity,
    Kept::Shared(0),
    Kept::Shared(1),
    Kept::Shared(2),
    Kept::Serial,
    Kept::Shared(3),
];

/// The words that many devices share.
pub(super) type Words = Interner<Arc<str>>;

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
            last_poll: PollId::default(),
            overdue_at: Maybe::NONE,
            armed: UNARMED,
            claims: Box::default(),
            tables: Box::default(),
            air: None,
            said: None,
            own: Box::default(),
            identity: NO_WORD,
            shared: [NO_WORD; 4],
            standing,
            polled: false,
            enabled,
            state: DeviceState::Unobserved,
            outcome: None,
            fail_run: 0,
            fail_unmanageable: false,
            serial: false,
            told: Told::Neither,
        }
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

    /// Identity and serial.
    fn own(&self) -> (Option<&str>, Option<&str>) {
        let known = self.identity != NO_WORD;
        let at = if known { self.identity as usize } else { 0 };
        let (identity, serial) = self.own.split_at_checked(at).unwrap_or(("", &self.own));
        (known.then_some(identity), self.serial.then_some(serial))
    }

    fn set_own(&mut self, identity: Option<&str>, serial: Option<&str>) {
        let own = [identity.unwrap_or(""), serial.unwrap_or("")].concat();
        self.identity = identity.map_or(NO_WORD, |text| {
            u32::try_from(text.len()).unwrap_or(NO_WORD - 1)
        });
        self.serial = serial.is_some();
        self.own = own.into_boxed_str();
    }

    pub(super) fn attribute<'a>(&'a self, words: &'a Words, i: usize) -> Option<&'a str> {
        match KEPT[i] {
            Kept::Identity => self.own().0,
            Kept::Serial => self.own().1,
            Kept::Shared(i) => words.value(self.shared[i]).map(|word| &**word),
        }
    }

    pub(super) fn set_attribute(&mut self, words: &mut Words, i: usize, value: &str) {
        match KEPT[i] {
            Kept::Identity => {
                let serial = self.own().1.map(str::to_owned);
                self.set_own(Some(value), serial.as_deref());
            }
            Kept::Serial => {
                let identity = self.own().0.map(str::to_owned);
                self.set_own(identity.as_deref(), Some(value));
            }
            Kept::Shared(i) => self.shared[i] = words.number(&Arc::<str>::from(value)),
        }
    }

    pub(super) fn view(&self, tenant_id: TenantId, words: &Words) -> DeviceView {
        let text = |i| self.attribute(words, i).map(str::to_owned);
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
        let claim = move |&(mac, first_seen): &(Mac48, Timestamp)| ClaimChange {
            tenant,
            mac: mac.into(),
            first_seen,
            device: self.id,
            diff,
        };
        self.claims.iter().map(claim)
    }

    /// Reads what a step will read: see [`super::Devices::find`].
    pub(super) fn touch(&self) -> u64 {
        let claim = self.claims.first().map_or(0, |claim| claim.1.0);
        let text = self.own.as_bytes().first().copied().unwrap_or(0);
        claim.unsigned_abs() ^ u64::from(text)
    }

    pub(super) fn record(&self, tenant_id: TenantId, words: &Words) -> DeviceRecord {
        let claim = |&(mac, first_seen): &(Mac48, Timestamp)| ClaimRecord {
            mac: mac.into(),
            first_seen,
        };
        DeviceRecord {
            device_id: self.id,
            tenant_id,
            state: self.state,
            since: self.since,
            outcome: self.outcome,
            fail_run: self.fail_run,
            fail_unmanageable: self.fail_unmanageable,
            last_poll: self.polled.then_some(self.last_poll),
            overdue_at: self.overdue_at.get(),
            attributes: std::array::from_fn(|i| self.attribute(words, i).map(str::to_owned)),
            claims: self.claims.iter().map(claim).collect(),
            tables: self.tables.iter().map(SourceTable::record).collect(),
            said: self.said.iter().flat_map(|said| said.records()).collect(),
            air: self.air.as_ref().map(|air| air.record(words)),
        }
    }

    pub(super) fn restore(record: DeviceRecord, standing: u32, words: &mut Words) -> Self {
        let mut device = Self::new(record.device_id, standing, record.since, true);
        device.state = record.state;
        device.outcome = record.outcome;
        device.fail_run = record.fail_run;
        device.fail_unmanageable = record.fail_unmanageable;
        device.polled = record.last_poll.is_some();
        device.last_poll = record.last_poll.unwrap_or_default();
        device.overdue_at = record.overdue_at.into();
        let [identity, version, board, architecture, serial, firmware] = record.attributes;
        device.set_own(identity.as_deref(), serial.as_deref());
        for (kept, word) in device
            .shared
            .iter_mut()
            .zip([version, board, architecture, firmware])
        {
            *kept = word.map_or(NO_WORD, |word| words.number(&Arc::<str>::from(word)));
        }
        let air = record.air.map(|air| Air::restore(air, words));
        device.air = air.map(Box::new);
        if !record.said.is_empty() {
            device.said = Some(Box::new(Said::restore(record.said)));
        }
        let mut claims: Vec<_> = record
            .claims
            .iter()
            .map(|claim| (Mac48::from(claim.mac), claim.first_seen))
            .collect();
        claims.sort_unstable();
        device.claims = claims.into();
        device.tables = record.tables.into_iter().map(SourceTable::from).collect();
        device
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_small() {
        assert!(size_of::<Device>() <= 152, "{}", size_of::<Device>());
    }

    #[test]
    fn each_attribute_is_kept_apart() {
        let (mut words, mut device) = (
            Words::default(),
            Device::new(DeviceId::default(), 0, Timestamp(0), true),
        );
        for order in [[0, 1, 2, 3, 4, 5], [4, 5, 0, 3, 2, 1]] {
            for (n, i) in order.into_iter().enumerate() {
                device.set_attribute(&mut words, i, &"é".repeat(n));
                assert_eq!(device.attribute(&words, i), Some(&*"é".repeat(n)));
            }
            for (n, i) in order.into_iter().enumerate() {
                assert_eq!(device.attribute(&words, i), Some(&*"é".repeat(n)), "{i}");
            }
        }
        let record = device.record(TenantId::default(), &words);
        let again = Device::restore(record.clone(), 0, &mut words);
        assert_eq!(again.record(TenantId::default(), &words), record);
        let new = Device::new(DeviceId::default(), 0, Timestamp(0), true);
        assert_eq!(
            new.record(TenantId::default(), &words).attributes,
            [const { None }; 6]
        );
    }
}
