//! A few access points over weeks, polled in two hours of three, with clients whose signals fall, come back, vary and go.

use mast_schemas::alerts::{RuleKind, RuleSubject};
use mast_schemas::control::{Change, Rule};
use mast_schemas::{DeviceId, Mac};

use super::random::Rng;
use super::{
    Client, Script, SlotInput, at, at_ms, device, device_row, mac, rule_row, sector, site, tenant,
};

const HOUR: i64 = 3_600;
const APS: u32 = 4;
const CLIENTS: usize = 11;

struct Wanderer {
    mac: Mac,
    ap: u32,
    began: i64,
    base: i64,
    /// From which hour to which it falls, and by how much; and from when on it is back.
    falls: (i64, i64, i64),
    back: i64,
    /// Percent of polls that have it.
    there: u64,
    /// It is stronger by night, by so much.
    night: i64,
}

impl Wanderer {
    fn signal(&self, hour: i64, noise: i64) -> i16 {
        let (from, to, by) = self.falls;
        let fallen = match hour {
            h if h < from || h >= self.back => 0,
            h if h >= to => by,
            h => by * (h - from) / (to - from),
        };
        let night = if hour % 24 < 10 { self.night } else { 0 };
        (self.base - fallen + night + noise) as i16
    }
}

/// A scenario of seven weeks, or of eleven with a silence of a month. The same seed gives the same one.
pub fn days(seed: u64) -> Vec<SlotInput> {
    let mut rng = Rng(seed ^ 0x6461_7973);
    let mut script = Script::new();
    for n in 1..=APS {
        make(&mut script, n, 0);
    }
    let mut clients: Vec<Wanderer> = (0..CLIENTS).map(|n| wanderer(&mut rng, n)).collect();
    let silence = (rng.percent(40)).then(|| (24 * 30, 24 * (58 + rng.below(6) as i64)));
    let last = silence.map_or(24 * 46, |(_, to)| to + 24 * 9);
    let mut hour = 0;
    while hour < last {
        if let Some((from, to)) = silence
            && (from..to).contains(&hour)
        {
            hour = to;
        }
        round(&mut script, &mut rng, &mut clients, hour);
        // A poll speaks for one hour at most: of every other hour no window would be covered enough.
        hour += if hour % 3 == 0 { 1 } else { 2 };
    }
    script.slots(at(last * HOUR + 4_000))
}

fn make(script: &mut Script, n: u32, t: i64) {
    let of = if n == APS { 2 } else { 1 };
    let mut row = device_row(
        n,
        tenant(of),
        Some(site(of)),
        (n % 2 == 1).then(|| sector(of)),
    );
    row.interval_ms = 7_200_000;
    script.change(at(t), Change::Device(row));
}

fn wanderer(rng: &mut Rng, n: usize) -> Wanderer {
    let from = 24 * (8 + rng.below(24) as i64);
    let to = from + 1 + rng.below(24 * 7) as i64;
    Wanderer {
        mac: mac(n as u32),
        ap: 1 + rng.below(u64::from(APS)) as u32,
        began: -100,
        base: -56 - rng.below(12) as i64,
        falls: (from, to, rng.below(9) as i64),
        back: to + 24 * (1 + rng.below(20) as i64),
        there: [100, 95, 90, 70, 55, 10][rng.below(6) as usize],
        night: if rng.percent(30) { 6 } else { 0 },
    }
}

fn round(script: &mut Script, rng: &mut Rng, clients: &mut [Wanderer], hour: i64) {
    people(script, rng, hour);
    // Some of those that have fallen are taken for normal.
    let fell = |client: &&Wanderer| (20..22).contains(&(hour - client.falls.1));
    for client in clients.iter().step_by(3).filter(fell) {
        let (tenant_id, mac) = (tenant(1), client.mac);
        script.change(at(hour * HOUR), Change::TrendNormal { tenant_id, mac });
    }
    for client in clients.iter_mut() {
        let other = 1 + rng.below(u64::from(APS)) as u32;
        // Within its tenant.
        if rng.percent(1) && (other == APS) == (client.ap == APS) {
            (client.ap, client.began) = (other, hour * HOUR);
        }
    }
    for n in 1..=APS {
        if !rng.percent(8) {
            let second = hour * HOUR + rng.below(3_600) as i64;
            poll(script, rng, clients, n, second);
        }
    }
    // An address that two devices have, for ten minutes of a day.
    if hour % 24 == 6 && rng.percent(30) {
        for k in 0..8 {
            let t = (hour + 1) * HOUR + 60 * k;
            let ap = device(1 + (k % 2) as u32);
            script.ap_poll(ap, at(t), &[(mac(0), Some(-50), None, Some(1))]);
        }
        clients[0].began = (hour + 1) * HOUR + 500;
    }
}

fn poll(script: &mut Script, rng: &mut Rng, clients: &[Wanderer], n: u32, second: i64) {
    let mut rows: Vec<Client> = Vec::new();
    for client in clients.iter().filter(|c| c.ap == n) {
        if rng.percent(client.there) {
            let noise = rng.below(3) as i64 - 1;
            let uptime = u64::try_from(second - client.began).ok();
            let signal = (!rng.percent(3)).then(|| client.signal(second / HOUR, noise));
            rows.push((client.mac, signal, None, uptime));
        }
    }
    let t = at_ms(1_000 * second + rng.below(1_000) as i64);
    script.ap_poll(device(n), t, &rows);
    match rng.below(100) {
        0..3 => script.repeat(0),
        3..6 => script.repeat(9),
        6..9 => script.shift(3),
        9..12 => script.shift(-1),
        _ => {}
    }
}

fn people(script: &mut Script, rng: &mut Rng, hour: i64) {
    let t = hour * HOUR + rng.below(3_600) as i64;
    let n = 1 + rng.below(u64::from(APS)) as u32;
    match rng.below(400) {
        0..6 => {
            let accept = Change::TrendNormal {
                tenant_id: tenant(1),
                mac: mac(rng.below(CLIENTS as u64) as u32),
            };
            script.change(at(t), accept);
        }
        6 => gone_and_back(script, device(n), n, t),
        7 => {
            script.change(at(t), Change::TenantDeleted { id: tenant(2) });
            make(script, APS, t + 500);
        }
        8..12 => script.edit(at(t), device(n), |row| {
            row.sector_id = if row.sector_id.is_some() {
                None
            } else {
                Some(sector(1))
            };
        }),
        // For two minutes somebody counts.
        12..30 => {
            for (n, subject) in [(1, RuleSubject::Site), (2, RuleSubject::Sector)] {
                let row = Rule {
                    subject,
                    ..rule_row(n, RuleKind::SignalDegradation, 0, 0)
                };
                script.change(at(t), Change::Rule(row.clone()));
                script.change(at(t + 130), Change::RuleDeleted { id: row.id });
            }
        }
        _ => {}
    }
}

fn gone_and_back(script: &mut Script, id: DeviceId, n: u32, t: i64) {
    script.change(at(t), Change::DeviceDeleted { id });
    make(script, n, t + 700);
}
