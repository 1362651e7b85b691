//! Figures of a million clients: `cargo test --release -p mast-state -- --ignored --nocapture figures`. It asserts nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope, Severity};
use mast_schemas::control::{Role, Rule};
use mast_schemas::records::{Outcome, PollId, Source, Tables};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{DeviceId, Mac, RuleId, TenantId, Timestamp};
use mast_state::messages::{
    ApInput, ApOut, Control, DeviceControl, DeviceInfo, DeviceOut, PollInput, RegistrationInput,
    RoamEvent, RuleControl, Sample, Verdict,
};
use mast_state::{ApLimits, Aps, BssidOut, Bssids, Devices, Roaming};

const APS: u64 = 40_000;
const CLIENTS: u64 = 25;
const SLOTS_A_ROUND: u64 = 240;

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn id(n: u64) -> [u8; 16] {
    (u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(n)).to_be_bytes()
}

struct World {
    devices: Devices,
    bssids: Bssids,
    roaming: Roaming,
    aps: Aps,
    spent: [Duration; 4],
}

impl World {
    fn rules(&mut self, end: Timestamp, rules: &[Control]) {
        let mut out = DeviceOut::default();
        self.devices.begin_slot(end - SLOT, rules, &mut out);
        self.devices.end_slot(end, &mut out);
    }

    fn slot(&mut self, end: Timestamp, control: &[DeviceControl], polls: &[PollInput<'_>]) {
        let begin = end - SLOT;
        let mut clock = Instant::now();
        let mut lap = |spent: &mut Duration| {
            *spent += clock.elapsed();
            clock = Instant::now();
        };
        let mut out = DeviceOut::default();
        let all: Vec<_> = control.iter().cloned().map(Control::Device).collect();
        self.devices.begin_slot(begin, &all, &mut out);
        for poll in polls {
            assert_eq!(self.devices.poll(poll, &mut out), Verdict::Accepted);
        }
        self.devices.end_slot(end, &mut out);
        lap(&mut self.spent[0]);
        let mut known = BssidOut::default();
        out.radios
            .iter()
            .for_each(|radio| self.bssids.radio(radio, &mut known));
        out.stations
            .drain(..)
            .for_each(|fact| self.bssids.station(fact, &mut known));
        self.bssids.end_slot(end, &mut known);
        lap(&mut self.spent[1]);
        let mut verdicts = Vec::new();
        self.roaming.begin_slot(begin, control, &mut verdicts);
        out.roam.sort_by_key(RoamEvent::order);
        out.roam
            .iter()
            .for_each(|event| self.roaming.apply(event, &mut verdicts));
        self.roaming.end_slot(end, &mut verdicts);
        lap(&mut self.spent[2]);
        let mut inputs: Vec<ApInput> = out.statuses.into_iter().map(ApInput::Status).collect();
        inputs.extend(out.tables.into_iter().map(ApInput::Table));
        inputs.extend(verdicts.into_iter().map(ApInput::Verdict));
        inputs.append(&mut known.aps);
        inputs.sort_by_key(ApInput::stamp);
        let mut links = ApOut::default();
        self.aps.begin_slot(begin, control, &mut links);
        inputs
            .into_iter()
            .for_each(|input| self.aps.apply(input, &mut links));
        self.aps.end_slot(end, &mut Vec::new(), &mut links);
        lap(&mut self.spent[3]);
    }
}

/// Rules of the whole tenant, of all kinds of devices, that find nothing bad.
fn rules(tenant: TenantId, rules: u64) -> Vec<Control> {
    let kinds = RuleKind::ALL.iter().filter(|kind| kind.by_polls());
    let kinds: Vec<_> = kinds.copied().collect();
    let rule = |n: u64| {
        let kind = kinds[n as usize % kinds.len()];
        let below = matches!(kind, RuleKind::Signal | RuleKind::Ccq);
        let enter = 90_000 + n as i64;
        let enter_milli = if below { -enter } else { enter };
        let rule = Rule {
            id: RuleId::from_bytes(id(n)),
            tenant_id: tenant,
            name: String::new(),
            kind,
            scope: Scope::Tenant,
            subject: RuleSubject::Device,
            interface: None,
            operator: Some(if below { Operator::Lt } else { Operator::Gt }),
            enter_milli,
            clear_milli: enter_milli,
            hits: 3,
            clears: 3,
            severity: Severity::Warning,
            enabled: true,
            version: 1,
            schedule: None,
        };
        Control::Rule(RuleControl::Put(Arc::new(rule)))
    };
    (0..rules).map(rule).collect()
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    for rules in [0, 10_000] {
        println!("{rules} rules");
        figures_with(rules);
    }
}

#[expect(clippy::print_stdout, reason = "figures are for who runs it")]
fn figures_with(many: u64) {
    let tenant = TenantId::from_bytes(id(1));
    let info = DeviceInfo {
        tenant,
        site: None,
        sector: None,
        enabled: true,
        limits: ApLimits::of(&DEFAULT),
        role: Role::Ap,
        interval_ms: 60_000,
        parent: None,
        groups: Arc::default(),
        tags: Arc::default(),
    };
    let start = Timestamp::from_secs(1_800_000_000);
    let rounds = 6;
    let per_slot = APS / SLOTS_A_ROUND + 1;
    let macs: Vec<Mac> = (0..APS * CLIENTS)
        .map(|n| Mac(0x4C5E_0000_0000 + n))
        .collect();
    let before = resident_bytes();
    let t = DEFAULT;
    let mut world = World {
        devices: Devices::new(t),
        bssids: Bssids::new(t),
        roaming: Roaming::new(t),
        aps: Aps::new(t),
        spent: [Duration::ZERO; 4],
    };
    let control: Vec<_> = (0..APS)
        .map(|n| DeviceControl {
            device: DeviceId::from_bytes(id(n)),
            info: Some(info.clone()),
        })
        .collect();
    world.rules(start - SLOT, &rules(tenant, many));
    world.slot(start, &control, &[]);
    for round in 0..rounds {
        world.spent = [Duration::ZERO; 4];
        let mut rows = 0;
        for slot in 0..SLOTS_A_ROUND {
            let n = (round * SLOTS_A_ROUND + slot + 1) as i64;
            let end = start + Span(SLOT.0 * n);
            let aps = slot * per_slot..((slot + 1) * per_slot).min(APS);
            let tables: Vec<Vec<RegistrationInput<'_>>> = aps
                .clone()
                .map(|ap| {
                    (0..CLIENTS)
                        .map(|c| RegistrationInput {
                            source: Source::Wifi,
                            interface: "wifi1",
                            radio_mac: Some(Mac(0xDC2C_0000_0000 + ap)),
                            remote: false,
                            mac: macs[(ap * CLIENTS + c) as usize],
                            far_end_is_ap: false,
                            uptime_s: Some(1_000 + round * 60),
                            sample: Sample {
                                signal_dbm: Some(-55 - ((ap + c * 7 + round * 3) % 20) as i16),
                                tx_ccq_percent: Some(90),
                                ..Sample::default()
                            },
                        })
                        .collect()
                })
                .collect();
            let polls: Vec<PollInput<'_>> = aps
                .zip(&tables)
                .map(|(ap, table)| PollInput {
                    tenant,
                    device: DeviceId::from_bytes(id(ap)),
                    at: Timestamp(end.0 - 1),
                    poll: PollId {
                        lease_epoch: 1,
                        sequence: round + 1,
                    },
                    outcome: Outcome::Ok,
                    next_due_at: end + Span::secs(60),
                    interval_ms: 60_000,
                    tables: Tables::registration(Source::Wifi),
                    attributes: [Some("ap"), Some("7.16"), Some("hAP"), None, None, None],
                    round_trip_ms: Some(3),
                    cpu_load_percent: Some(3),
                    memory_free_bytes: None,
                    memory_total_bytes: None,
                    disk_free_bytes: None,
                    disk_total_bytes: None,
                    temperatures_c: [None; 2],
                    uptime_s: Some(9),
                    interfaces: &[],
                    interface_rows: &[],
                    noise: &[],
                    arp: &[],
                    leases: &[],
                    registrations: table,
                })
                .collect();
            rows += polls.len() as u64 * CLIENTS;
            world.slot(end, &[], &polls);
        }
        let us = world
            .spent
            .map(|spent| spent.as_secs_f64() * 1e6 / rows as f64);
        let bytes = resident_bytes().saturating_sub(before) as f64 / (APS * CLIENTS) as f64;
        println!(
            "round {round}: {rows} rows, us/row devices {:.3} bssids {:.3} roaming {:.3} links {:.3} \
             together {:.3}; resident {bytes:.0} B a client",
            us[0],
            us[1],
            us[2],
            us[3],
            us.iter().sum::<f64>()
        );
    }
}
