//! Randomness as a function: the same seed, key and time always give the same value.
//!
//! Nothing here holds state, so what a device answers does not depend on who asked before. That is
//! what lets a restarted simulator go on exactly where it stopped, and lets the truth of a past
//! moment be asked for later.

/// Mixes a seed and two keys into 64 well-spread bits (splitmix64 finaliser).
#[must_use]
pub fn hash(seed: u64, a: u64, b: u64) -> u64 {
    let mut z = seed
        .wrapping_add(a.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_add(b.wrapping_mul(0xD1B5_4A32_D192_ED03));
    for _ in 0..2 {
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
    }
    z
}

/// A uniform value in `[0, 1)`.
#[must_use]
pub fn unit(seed: u64, a: u64, b: u64) -> f64 {
    (hash(seed, a, b) >> 11) as f64 / (1u64 << 53) as f64
}

/// A uniform value in `[low, high)`.
#[must_use]
pub fn between(seed: u64, a: u64, b: u64, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(seed, a, b)
}

/// A uniform choice from a slice, which must not be empty.
#[must_use]
pub fn pick<T>(seed: u64, a: u64, b: u64, from: &[T]) -> &T {
    &from[(hash(seed, a, b) % from.len() as u64) as usize]
}

/// A heavy-tailed (Pareto) value, never below `least` nor above `most`.
#[must_use]
pub fn pareto(seed: u64, a: u64, b: u64, least: f64, shape: f64, most: f64) -> f64 {
    let u = 1.0 - unit(seed, a, b);
    (least / u.powf(1.0 / shape)).min(most)
}

/// Smooth noise in `[-1, 1]`, changing over about `period_ms`.
#[must_use]
pub fn wave(seed: u64, key: u64, period_ms: i64, t_ms: i64) -> f64 {
    let knot = t_ms.div_euclid(period_ms);
    let at = t_ms.rem_euclid(period_ms) as f64 / period_ms as f64;
    let salt = key ^ (period_ms as u64).rotate_left(40);
    let from = unit(seed, salt, knot as u64);
    let to = unit(seed, salt, (knot + 1) as u64);
    let smooth = at * at * (3.0 - 2.0 * at);
    2.0 * (from + (to - from) * smooth) - 1.0
}

/// Correlated fading in `[-1, 1]`: mostly slow, a little fast.
#[must_use]
pub fn fading(seed: u64, key: u64, t_ms: i64) -> f64 {
    0.55 * wave(seed, key, 900_000, t_ms)
        + 0.33 * wave(seed, key, 90_000, t_ms)
        + 0.12 * wave(seed, key, 12_000, t_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_inputs_same_value() {
        assert_eq!(hash(1, 2, 3), hash(1, 2, 3));
        assert_ne!(hash(1, 2, 3), hash(2, 2, 3));
        assert_ne!(hash(1, 2, 3), hash(1, 3, 2));
        assert_eq!(
            fading(7, 1, 123_456).to_bits(),
            fading(7, 1, 123_456).to_bits()
        );
    }

    #[test]
    fn fading_is_bounded_and_continuous() {
        for t in (-50_000..50_000).step_by(100) {
            let now = fading(3, 9, t);
            assert!((-1.0..=1.0).contains(&now));
            assert!(
                (fading(3, 9, t + 100) - now).abs() < 0.02,
                "a jump at {t} ms"
            );
        }
    }

    #[test]
    fn pareto_has_a_floor_a_cap_and_a_tail() {
        let values: Vec<f64> = (0..5_000)
            .map(|i| pareto(1, i, 0, 10.0, 1.2, 5_000.0))
            .collect();
        assert!(values.iter().all(|v| (10.0..=5_000.0).contains(v)));
        assert!(
            values.iter().filter(|v| **v > 200.0).count() > 50,
            "no tail"
        );
    }
}
