//! Rules by hand: a few devices and places, and what becomes of their alerts.

mod devices;
mod edits;
mod hours;
mod interfaces;
mod places;

use std::sync::Arc;

use mast_schemas::alerts::{Operator, Resolution, RuleKind, RuleSubject, Scope, Severity};
use mast_schemas::checkpoint::{JudgedRecord, StandingRecord};
use mast_schemas::control::{Role, Rule, Schedule};
use mast_schemas::records::{Outcome, PollId, Tables};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{DeviceId, RuleId, TenantId, Timestamp};

use crate::messages::{
    Control, DeviceControl, DeviceInfo, DeviceOut, PollInput, RuleChange, RuleControl, RuleTurn,
    Verdict,
};
use crate::{ApLimits, Devices};

const TENANT: TenantId = TenantId::from_bytes([1; 16]);
const DEVICE: DeviceId = DeviceId::from_bytes([2; 16]);

/// Lower than any value.
const LEAST: i64 = -1_000_000_000_000;

/// A rule for devices of the tenant that finds every value over 90 bad, and up to 80 good, at once.
pub(super) fn rule(kind: RuleKind) -> Rule {
    Rule {
        id: RuleId::new(),
        tenant_id: TENANT,
        name: "a rule".to_owned(),
        kind,
        scope: Scope::Tenant,
        subject: kind.subject().unwrap_or(RuleSubject::Site),
        interface: None,
        operator: (!kind.is_state()).then_some(Operator::Gt),
        enter_milli: 90_000,
        clear_milli: 80_000,
        hits: 1,
        clears: 1,
        severity: Severity::Warning,
        enabled: true,
        version: 1,
        schedule: None,
    }
}

fn standing(device_id: DeviceId) -> StandingRecord {
    StandingRecord {
        device_id,
        tenant_id: TENANT,
        site_id: None,
        sector_id: None,
        enabled: true,
        role: Role::Ap,
        interval_ms: 60_000,
        parent_id: None,
        group_ids: Vec::new(),
        tag_ids: Vec::new(),
    }
}

/// Control tells of a device.
fn device(record: &StandingRecord) -> Control {
    let info = DeviceInfo::of(record, ApLimits::of(&DEFAULT));
    Control::Device(DeviceControl {
        device: record.device_id,
        info: Some(info),
    })
}

fn put(rule: &Rule) -> Control {
    Control::Rule(RuleControl::Put(Arc::new(rule.clone())))
}

/// A poll that reached [`DEVICE`] and read nothing. [`World::poll`] sets when, and which one it is.
fn poll() -> PollInput<'static> {
    PollInput {
        tenant: TENANT,
        device: DEVICE,
        at: Timestamp(0),
        poll: PollId::default(),
        outcome: Outcome::Ok,
        next_due_at: Timestamp(0),
        interval_ms: 60_000,
        tables: Tables(0),
        attributes: [None; 6],
        round_trip_ms: None,
        cpu_load_percent: None,
        memory_free_bytes: None,
        memory_total_bytes: None,
        disk_free_bytes: None,
        disk_total_bytes: None,
        temperatures_c: [None; 2],
        uptime_s: None,
        interfaces: &[],
        interface_rows: &[],
        noise: &[],
        arp: &[],
        leases: &[],
        registrations: &[],
    }
}

fn cpu(percent: u8) -> PollInput<'static> {
    PollInput {
        cpu_load_percent: Some(percent),
        ..poll()
    }
}

/// What a change says, in short: opened with a value, resolved and with which one, or another severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    Opened(i64),
    Cleared(i64),
    Ended(Resolution),
    Severity(Severity),
}

pub(super) fn short(changes: &[RuleChange]) -> Vec<Short> {
    let short = |change: &RuleChange| match change.turn {
        RuleTurn::Opened => Short::Opened(change.opened_milli),
        RuleTurn::Severity => Short::Severity(change.severity),
        RuleTurn::Resolved {
            value_milli: Some(value),
            ..
        } => Short::Cleared(value),
        RuleTurn::Resolved { resolution, .. } => Short::Ended(resolution),
    };
    changes.iter().map(short).collect()
}

/// Devices, and the minute that it is.
struct World {
    devices: Devices,
    minute: i64,
}

impl World {
    /// [`DEVICE`] is known, and these rules.
    fn new(rules: &[Rule]) -> Self {
        let devices = Devices::new(DEFAULT);
        let mut world = Self { devices, minute: 0 };
        let known = [device(&standing(DEVICE))];
        let all: Vec<_> = known.into_iter().chain(rules.iter().map(put)).collect();
        assert_eq!(world.control(&all), []);
        world
    }

    fn slot(&mut self, control: &[Control], polls: &[PollInput<'_>]) -> Vec<RuleChange> {
        self.minute += 1;
        let begin = Timestamp::default() + Span::secs(60 * self.minute);
        let mut out = DeviceOut::default();
        self.devices.begin_slot(begin, control, &mut out);
        for (sequence, poll) in (0..).zip(polls) {
            let poll = PollInput {
                at: begin + Span::millis(100),
                poll: PollId {
                    lease_epoch: self.minute.unsigned_abs(),
                    sequence,
                },
                next_due_at: begin + Span::secs(60),
                ..poll.clone()
            };
            assert_eq!(self.devices.poll(&poll, &mut out), Verdict::Accepted);
        }
        self.devices.end_slot(begin + SLOT, &mut out);
        out.rules
    }

    fn control(&mut self, control: &[Control]) -> Vec<RuleChange> {
        self.slot(control, &[])
    }

    fn poll(&mut self, poll: PollInput<'_>) -> Vec<RuleChange> {
        self.slot(&[], &[poll])
    }

    fn judged(&self) -> Vec<JudgedRecord> {
        let judged = self.devices.judged().into_iter();
        judged.map(|(_, record)| record).collect()
    }

    /// The same, from a checkpoint.
    fn restarted(&self, rules: &[Rule], records: &[StandingRecord]) -> Self {
        let rules: Vec<_> = rules.iter().cloned().map(Arc::new).collect();
        let (mut devices, mut out) = (Devices::new(DEFAULT), DeviceOut::default());
        devices.restore_rules(&rules, &self.judged());
        let kept = self.devices.records().into_iter().map(|(_, r)| r);
        devices.restore(kept.collect(), &mut out);
        let known: Vec<_> = records.iter().map(device).collect();
        devices.begin_slot(Timestamp(0), &known, &mut out);
        assert_eq!(out.rules, []);
        let minute = self.minute;
        Self { devices, minute }
    }
}
