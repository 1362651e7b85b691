//! Which shard and partition a device belongs to. Fixed for ever: rows of one device must stay in order.

use crate::DeviceId;

/// Number of shards that devices hash into; the unit of leases.
pub const SHARDS: u32 = 1_024;

/// Number of groups that keyed dataflow state is stored by.
pub const KEY_GROUPS: u32 = 256;

/// A well-mixed, stable 64-bit hash of a 16-byte id (two rounds of the murmur3 finaliser).
pub const fn mix(id: &[u8; 16]) -> u64 {
    let v = u128::from_be_bytes(*id);
    let mut x = (v >> 64) as u64 ^ (v as u64).rotate_left(32);
    let mut round = 0;
    while round < 2 {
        x ^= x >> 33;
        x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
        x ^= x >> 33;
        x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        x ^= x >> 33;
        round += 1;
    }
    x
}

/// The shard of a device, in `0..1024`.
pub const fn shard(device: &DeviceId) -> u32 {
    (mix(device.as_bytes()) % SHARDS as u64) as u32
}

/// The partition of a shard in a topic of `partitions` partitions.
pub const fn partition(shard: u32, partitions: u32) -> u32 {
    shard % partitions
}

/// The key group of an id, in `0..256`: the top bits, which shards do not use alone.
pub const fn key_group(id: &[u8; 16]) -> u8 {
    (mix(id) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(mix(&[0; 16]), 0);
        assert_eq!(mix(Uuid::from_u128(1).as_bytes()), 0xfb1d_4bae_e9c9_c94e);
    }

    #[test]
    fn sequential_ids_spread_over_all_partitions() {
        let mut counts = [0u32; 8];
        for i in 0..8_000u128 {
            let id = DeviceId(Uuid::from_u128((0x0190_0000_0000_7000_8000_u128 << 48) | i));
            counts[partition(shard(&id), 8) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&c| (800..1_200).contains(&c)),
            "{counts:?}"
        );
    }
}
