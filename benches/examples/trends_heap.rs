//! Bytes on the heap that the trend of a client takes: `cargo run --release -p mast-benches --example trends_heap -- [clients] [days]`.
//! Each client tells of each hour, as its access point does at the end of its own hour: a level that wanders from day to day by up to
//! 3 dB, within the day by up to 6 dB, and from hour to hour by some tenths; few hours are covered in part, or not at all.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::alloc::System;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use cap::Cap;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::time::{SLOT, Span};
use mast_schemas::{DeviceId, Mac, TenantId, Timestamp};
use mast_state::messages::Piece;
use mast_state::{TrendOut, Trends};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Clients of an access point.
const CLIENTS_PER_AP: u64 = 30;
/// Access points of a tenant.
const APS_PER_TENANT: u64 = 1_500;
/// Hour since 1970 at which it begins: 0 h, UTC.
const BEGIN: i64 = 20_000 * 24;
/// Chances that an hour has nothing, and that it is covered in part.
const MISSING: f64 = 0.003;
const PARTLY: f64 = 0.01;

/// Where a client's level lies, hundredths of dBm.
struct Level {
    usual: f64,
    /// How far it has wandered from there.
    wandered: f64,
    /// By how much it changes within a day, and when.
    daily: f64,
    turn: f64,
}

impl Level {
    fn new(dice: &mut SmallRng) -> Self {
        Self {
            usual: dice.random_range(-8_200.0..-4_500.0),
            wandered: 0.0,
            daily: dice.random_range(0.0..600.0),
            turn: dice.random_range(0.0..TAU),
        }
    }

    /// Mean of the next hour, and minutes of it.
    fn hour(&mut self, hour: i64, dice: &mut SmallRng) -> Option<(i16, u8)> {
        let step = dice.random_range(-20.0..20.0);
        self.wandered = (self.wandered + step).clamp(-300.0, 300.0);
        if dice.random_bool(MISSING) {
            return None;
        }
        let partly = dice.random_bool(PARTLY);
        let minutes = if partly { dice.random_range(1..60) } else { 60 };
        let daily = self.daily * (self.turn + hour as f64 / 24.0 * TAU).sin();
        let own = dice.random_range(-30.0..30.0);
        Some(((self.usual + self.wandered + daily + own) as i16, minutes))
    }
}

fn piece(at: Timestamp, client: u64, (mean_cdbm, minutes): (i16, u8)) -> Piece {
    let ap = client / CLIENTS_PER_AP;
    let id = |kind: u128, n: u64| (kind << 120 | u128::from(n)).to_be_bytes();
    Piece {
        at,
        ap: DeviceId::from_bytes(id(4, ap)),
        radio: Mac(0xDC2C_6E00_0000 + ap),
        tenant: TenantId::from_bytes(id(1, ap / APS_PER_TENANT)),
        mac: Mac(0x4C5E_0C00_0000 + client),
        mean_cdbm,
        minutes,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let mut next = |default| given.next().unwrap_or(Ok(default));
    let (clients, days) = (next(100_000)?, next(30)?);
    let mut dice = SmallRng::seed_from_u64(1);
    let mut levels: Vec<Level> = (0..clients).map(|_| Level::new(&mut dice)).collect();
    // The hour of an access point ends in one of the slots of an hour, with that of others where there are many.
    let aps = clients.div_ceil(CLIENTS_PER_AP);
    let slots = (Span::hours(1).0 / SLOT.0).unsigned_abs().min(aps.max(1));
    let most = aps.div_ceil(slots) * CLIENTS_PER_AP;
    let mut pieces: Vec<Piece> = Vec::with_capacity(usize::try_from(most)?);
    let (mut told, mut taken) = (0_u64, Duration::ZERO);

    let before = ALLOCATOR.allocated();
    let mut trends = Trends::new(DEFAULT);
    for hour in 0..i64::try_from(days)? * 24 {
        for slot in 0..slots {
            let begin = Timestamp::from_secs((BEGIN + hour) * 3_600);
            let at = begin + Span(i64::try_from(slot + 1)? * SLOT.0);
            pieces.clear();
            for ap in (slot..aps).step_by(usize::try_from(slots)?) {
                let first = ap * CLIENTS_PER_AP;
                for client in first..clients.min(first + CLIENTS_PER_AP) {
                    let level = &mut levels[usize::try_from(client)?];
                    let heard = level.hour(hour, &mut dice);
                    pieces.extend(heard.map(|heard| piece(at, client, heard)));
                }
            }
            pieces.sort_unstable();
            let mut out = TrendOut::default();
            let start = Instant::now();
            trends.begin_slot(at - SLOT, &[], &mut out);
            pieces.iter().for_each(|piece| trends.apply(piece));
            trends.end_slot(at, &mut out);
            taken += start.elapsed();
            told += pieces.len() as u64;
        }
    }
    let heap = ALLOCATOR.allocated() - before;
    let report = serde_json::json!({
        "clients": clients,
        "days": days,
        "bytes_per_client": heap as f64 / clients.max(1) as f64,
        "ns_per_piece": taken.as_nanos() as f64 / told.max(1) as f64,
    });
    println!("{report}");
    Ok(())
}
