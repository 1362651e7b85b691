//! Radio and traffic, each a pure function of (fleet, link, time, attenuation).
//!
//! Ordinary links stay between −76 and −49 dBm with a CCQ above 55, so nothing degrades without a
//! scenario. A weak signal never ends an association by itself: links come and go by events alone,
//! which keeps the truth exact.

use crate::{
    noise::{between, fading, pareto, unit, wave},
    world::model::{Ms, Plan},
};

/// The weakest signal a row can show, dBm.
pub const FLOOR_DBM: f64 = -93.0;

/// Which way a signal is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// At the access point: what its table shows.
    Up,
    /// At the station.
    Down,
}

/// Free-space path loss, dB.
#[must_use]
pub fn path_loss_db(distance_m: f64, frequency_mhz: f64) -> f64 {
    20.0 * (distance_m.max(1.0) / 1_000.0).log10() + 20.0 * frequency_mhz.log10() + 32.44
}

/// Metres between a client and a radio: as laid out at home, farther at a foreign radio.
#[must_use]
pub fn distance_m(plan: &Plan, client: usize, radio: usize) -> f64 {
    let c = &plan.clients[client];
    if c.home == radio {
        c.distance_m
    } else {
        c.distance_m * between(plan.seed, client as u64, radio as u64, 1.1, 1.8) + 120.0
    }
}

fn resting_dbm(plan: &Plan, client: usize, radio: usize) -> f64 {
    let (c, r) = (&plan.clients[client], &plan.radios[radio]);
    let distance = distance_m(plan, client, radio);
    let (eirp, gain, least, most) = match (r.w60g, c.device.is_some()) {
        (true, _) => (38.0, 30.0, -64.0, -52.0),
        (false, true) => {
            let dish = match distance {
                d if d < 900.0 => 14.0,
                d if d < 2_500.0 => 19.0,
                _ => 24.0,
            };
            (24.0 + dish, 16.0, -72.0, -52.0)
        }
        (false, false) => (15.0, 16.0, -72.0, -52.0),
    };
    let clutter = between(plan.seed, client as u64, radio as u64 + 7, 0.0, 9.0);
    (eirp + gain - path_loss_db(distance, f64::from(r.frequency_mhz)) - clutter).clamp(least, most)
}

/// Signal of a link before it is rounded, dBm. `attenuation_db` is what rain and other trouble take
/// away.
#[must_use]
pub fn signal_dbm(
    plan: &Plan,
    (client, radio): (usize, usize),
    t: Ms,
    attenuation_db: f64,
    direction: Direction,
) -> f64 {
    let key = (client as u64) << 24 ^ radio as u64;
    let site = plan.devices[plan.radios[radio].device].site as u64;
    let faded = 2.0 * fading(plan.seed, key, t) + fading(plan.seed, !site, t);
    let tilt = match direction {
        Direction::Up => 0.0,
        Direction::Down => between(plan.seed, key, 71, -1.0, 1.0),
    };
    let rain = attenuation_db * (0.96 + 0.04 * wave(plan.seed, key, 20_000, t));
    (resting_dbm(plan, client, radio) + faded + tilt - rain).clamp(FLOOR_DBM, -30.0)
}

/// Noise floor of a radio, dBm. `interference_db` is what trouble adds.
#[must_use]
pub fn noise_floor_dbm(plan: &Plan, radio: usize, t: Ms, interference_db: f64) -> f64 {
    let resting = between(plan.seed, radio as u64, 81, -106.0, -98.0);
    (resting + 1.5 * fading(plan.seed, radio as u64 ^ 0xA0_0000, t) + interference_db).min(-50.0)
}

/// Client connection quality from the signal-to-noise ratio, percent.
#[must_use]
pub fn ccq_percent(snr_db: f64) -> f64 {
    100.0 / (1.0 + (-(snr_db - 11.0) / 3.5).exp())
}

/// How a rate is modulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Bits per second.
    pub bps: u64,
    /// Channel width, MHz.
    pub width_mhz: u32,
    /// Spatial streams; 0 = a legacy OFDM rate.
    pub streams: u8,
    /// Short guard interval.
    pub short_guard: bool,
}

/// Bits per second of one stream in 20 MHz, in steps of 10 kbit/s, by the SNR it needs.
const STEPS: [(f64, u64); 10] = [
    (5.0, 650),
    (8.0, 1_300),
    (11.0, 1_950),
    (14.0, 2_600),
    (18.0, 3_900),
    (22.0, 5_200),
    (24.0, 5_850),
    (26.0, 6_500),
    (30.0, 7_800),
    (f64::INFINITY, 0),
];

/// The rate that the SNR allows in a channel.
#[must_use]
pub fn rate(snr_db: f64, width_mhz: u32) -> Rate {
    let step = STEPS.iter().take_while(|(need, _)| snr_db >= *need).last();
    let Some((_, unit)) = step else {
        return Rate {
            bps: 6_000_000,
            width_mhz: 20,
            streams: 0,
            short_guard: false,
        };
    };
    // 52, 108 and 234 data carriers in 20, 40 and 80 MHz.
    let (carriers, width_mhz) = match width_mhz {
        80 => (234, 80),
        40 => (108, 40),
        _ => (52, 20),
    };
    let streams = if snr_db >= 13.0 { 2 } else { 1 };
    let short_guard = snr_db >= 20.0;
    let plain = unit * 10_000 * carriers / 52 * u64::from(streams);
    let bps = if short_guard { plain * 10 / 9 } else { plain };
    Rate {
        bps: bps / 100_000 * 100_000,
        width_mhz,
        streams,
        short_guard,
    }
}

/// Monotone byte and packet counters of something identified by `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes towards the customer.
    pub down_bytes: u64,
    /// Bytes from the customer.
    pub up_bytes: u64,
    /// Packets towards the customer.
    pub down_packets: u64,
    /// Packets from the customer.
    pub up_packets: u64,
}

/// Counters at `t` that began at `since`. Mean rates are heavy-tailed over keys; in time the rate
/// swings but is never negative, so counters never fall.
#[must_use]
pub fn traffic(plan: &Plan, key: u64, since: Ms, t: Ms) -> Traffic {
    let mean_bytes_s = pareto(plan.seed, key, 91, 9_000.0, 1.1, 4.0e6);
    let seconds = (t - since).max(0) as f64 / 1_000.0;
    let phase = unit(plan.seed, key, 92) * std::f64::consts::TAU;
    let active: f64 = [(0.55, 47.0), (0.40, 613.0)]
        .iter()
        .map(|(share, period)| {
            let w = std::f64::consts::TAU / period;
            share / w * (phase.cos() - (w * seconds + phase).cos())
        })
        .sum();
    let down = (mean_bytes_s * (seconds + active).max(0.0)) as u64;
    let up_share = between(plan.seed, key, 93, 0.04, 0.3);
    let up = (down as f64 * up_share) as u64;
    Traffic {
        down_bytes: down,
        up_bytes: up,
        down_packets: down / 1_100,
        up_packets: down / 1_600 + up / 1_400,
    }
}

/// Rate now, bits per second (down, up): the slope of [`traffic`] over a second.
#[must_use]
pub fn throughput_bps(plan: &Plan, key: u64, since: Ms, t: Ms) -> (u64, u64) {
    let (then, now) = (
        traffic(plan, key, since, t - 1_000),
        traffic(plan, key, since, t),
    );
    (
        8 * (now.down_bytes - then.down_bytes),
        8 * (now.up_bytes - then.up_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::layout::lay_out;

    fn every_link(plan: &Plan) -> impl Iterator<Item = (usize, usize)> + '_ {
        plan.clients.iter().enumerate().map(|(id, c)| (id, c.home))
    }

    #[test]
    fn ordinary_links_stay_far_from_every_threshold() {
        let plan = lay_out(3, 300, 0);
        for (client, radio) in every_link(&plan) {
            for t in (0..7_200_000).step_by(311_000) {
                for direction in [Direction::Up, Direction::Down] {
                    let signal = signal_dbm(&plan, (client, radio), t, 0.0, direction);
                    assert!((-76.0..=-48.0).contains(&signal), "{signal} dBm");
                    let snr = signal - noise_floor_dbm(&plan, radio, t, 0.0);
                    assert!(ccq_percent(snr) > 60.0, "CCQ at {snr} dB");
                }
            }
        }
    }

    #[test]
    fn a_roamed_link_is_ordinary_too() {
        let plan = lay_out(3, 100, 0);
        for radio in (0..plan.radios.len()).filter(|r| !plan.radios[*r].w60g) {
            let signal = signal_dbm(&plan, (0, radio), 5_000, 0.0, Direction::Up);
            assert!((-76.0..=-48.0).contains(&signal));
        }
    }

    #[test]
    fn rain_takes_what_it_says() {
        let plan = lay_out(3, 50, 0);
        let link = every_link(&plan).next().unwrap();
        let dry = signal_dbm(&plan, link, 60_000, 0.0, Direction::Up);
        let wet = signal_dbm(&plan, link, 60_000, 15.0, Direction::Up);
        assert!((12.0..=15.5).contains(&(dry - wet)));
        assert_eq!(
            signal_dbm(&plan, link, 60_000, 90.0, Direction::Up),
            FLOOR_DBM
        );
    }

    #[test]
    fn quality_and_rate_rise_with_snr() {
        assert!(ccq_percent(3.0) < 20.0 && ccq_percent(30.0) > 95.0);
        let mut last = 0;
        for snr in -5..50 {
            let now = rate(f64::from(snr), 80).bps;
            assert!(now >= last, "rate falls at {snr} dB");
            last = now;
        }
        assert_eq!(rate(35.0, 80).bps, 780_000_000);
        assert_eq!(
            rate(27.0, 20),
            Rate {
                bps: 144_400_000,
                width_mhz: 20,
                streams: 2,
                short_guard: true
            }
        );
        assert_eq!(rate(0.0, 80).streams, 0);
    }

    #[test]
    fn counters_never_fall_and_are_heavy_tailed() {
        let plan = lay_out(3, 50, 0);
        let mut totals = Vec::new();
        for key in 0..400 {
            let mut last = traffic(&plan, key, -1_000, -1_000);
            for t in (0..900_000).step_by(500) {
                let now = traffic(&plan, key, -1_000, t);
                assert!(now.down_bytes >= last.down_bytes && now.up_bytes >= last.up_bytes);
                assert!(now.down_packets >= last.down_packets);
                assert!(now.up_packets >= last.up_packets);
                last = now;
            }
            totals.push(last.down_bytes);
        }
        totals.sort_unstable();
        assert!(
            totals[399] > 20 * totals[200],
            "the largest user is far above the middle one"
        );
    }
}
