//! What each poll of a device reads besides the device itself: its own texts, its claims and its counters, in one piece of
//! memory, for they are read together.
//!
//! The trap avoided: wide numbers of which most bytes are zero. A number takes a byte for each seven bits that it has, as in
//! LEB128, so that a small one is short and any other is still told in full; what follows something like it, as one
//! claim the other, is told by how far it is from there.
//!
//! ```text
//! bytes of the identity + 1, of the serial + 1 (0 = not known), of the claims; identity; serial; claims; counters
//! ```

use mast_schemas::{Mac, Timestamp};

use crate::compact::{Mac48, unzigzag, zigzag};

/// Appends a number.
pub(super) fn put(bytes: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// Takes the number in front; what ends within it counts as far as it goes.
pub(super) fn take(bytes: &mut &[u8]) -> u64 {
    let mut n = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let Some((byte, rest)) = bytes.split_first() else {
            break;
        };
        *bytes = rest;
        n |= u64::from(byte & 0x7F) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    n
}

/// Appends a number with a sign: those near zero are short on both sides.
pub(super) fn put_signed(bytes: &mut Vec<u8>, n: i64) {
    put(bytes, zigzag(n));
}

/// Takes one.
pub(super) fn take_signed(bytes: &mut &[u8]) -> i64 {
    unzigzag(take(bytes))
}

/// An address of a device, and when it was first seen.
pub(super) type Claim = (Mac48, Timestamp);

/// Claims as they are packed.
pub(super) fn pack_claims(claims: impl IntoIterator<Item = Claim>) -> Vec<u8> {
    let (mut bytes, mut last) = (Vec::new(), (0_u64, 0_i64));
    for (mac, Timestamp(first_seen)) in claims {
        let Mac(mac) = mac.into();
        put(&mut bytes, mac.wrapping_sub(last.0));
        put_signed(&mut bytes, first_seen.wrapping_sub(last.1));
        last = (mac, first_seen);
    }
    bytes
}

/// The parts of [`Packed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) identity: Option<&'a str>,
    pub(super) serial: Option<&'a str>,
    /// By [`pack_claims`].
    pub(super) claims: &'a [u8],
    /// By [`super::air::Counters::pack`]; empty until the device has shown an interface or a radio.
    pub(super) counters: &'a [u8],
}

impl<'a> Parts<'a> {
    /// In the order in which they were packed.
    pub(super) fn claims(self) -> impl Iterator<Item = Claim> + 'a {
        let (mut bytes, mut last) = (self.claims, (0_u64, 0_i64));
        std::iter::from_fn(move || {
            if bytes.is_empty() {
                return None;
            }
            last.0 = last.0.wrapping_add(take(&mut bytes));
            last.1 = last.1.wrapping_add(take_signed(&mut bytes));
            Some((Mac(last.0).into(), Timestamp(last.1)))
        })
    }
}

/// [`Parts`] in one piece, which is nothing while there is nothing in them.
#[derive(Debug, Default)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    pub(super) fn new(parts: &Parts<'_>) -> Self {
        if *parts == Parts::default() {
            return Self::default();
        }
        let text = |text: Option<&str>| text.map_or(0, |text| text.len() + 1);
        let lengths = [text(parts.identity), text(parts.serial), parts.claims.len()];
        let rest = [
            parts.identity.unwrap_or_default().as_bytes(),
            parts.serial.unwrap_or_default().as_bytes(),
            parts.claims,
            parts.counters,
        ];
        let all: usize = rest.iter().map(|part| part.len()).sum();
        let mut bytes = Vec::with_capacity(lengths.len() + all);
        for length in lengths {
            put(&mut bytes, length as u64);
        }
        rest.iter().for_each(|part| bytes.extend_from_slice(part));
        Self(bytes.into())
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        let mut bytes = &*self.0;
        let [identity, serial, claims] = std::array::from_fn(|_| take(&mut bytes));
        let mut cut = |length: u64| {
            let at = usize::try_from(length).map_or(bytes.len(), |n| n.min(bytes.len()));
            let part;
            (part, bytes) = bytes.split_at(at);
            part
        };
        let mut text = |length: u64| {
            let part = length.checked_sub(1).map(&mut cut);
            part.map(|part| std::str::from_utf8(part).unwrap_or_default())
        };
        let (identity, serial) = (text(identity), text(serial));
        let claims = cut(claims);
        Parts {
            identity,
            serial,
            claims,
            counters: bytes,
        }
    }

    /// Other counters: each poll has some, which most often take as many bytes as the ones before.
    pub(super) fn set_counters(&mut self, counters: &[u8]) {
        let parts = self.parts();
        let at = self.0.len() - parts.counters.len();
        if parts.counters.len() == counters.len() {
            self.0[at..].copy_from_slice(counters);
        } else {
            *self = Self::new(&Parts { counters, ..parts });
        }
    }

    /// Reads it here and there, so that all of it is in a cache when a step comes.
    pub(super) fn touch(&self) -> u8 {
        let ends = [self.0.first(), self.0.last()];
        ends.into_iter().flatten().fold(0, |all, byte| all ^ byte)
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        let mut bytes = Vec::new();
        let powers = (0..64).map(|bit| 1 << bit);
        let numbers: Vec<u64> = powers.flat_map(|n: u64| [n - 1, n, !n]).collect();
        for n in &numbers {
            put(&mut bytes, *n);
            put_signed(&mut bytes, *n as i64);
        }
        let mut left = &*bytes;
        for n in numbers {
            assert_eq!(
                (take(&mut left), take_signed(&mut left)),
                (n, n as i64),
                "{n}"
            );
        }
        assert_eq!((left, take(&mut left)), (&[][..], 0));
    }

    #[test]
    fn small_numbers_are_short() {
        for (n, length) in [(0, 1), (127, 1), (128, 2), (1 << 40, 6), (u64::MAX, 10)] {
            let mut bytes = Vec::new();
            put(&mut bytes, n);
            assert_eq!(bytes.len(), length, "{n}");
        }
        for n in [-64, 63] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, n);
            assert_eq!(bytes.len(), 1, "{n}");
        }
    }

    #[test]
    fn bytes_that_no_packing_gives_are_no_panic() {
        for bytes in [&[0xFF; 30][..], &[5], &[2, 2, 9, 0xC3, 0xA9, 1], &[0, 0x80]] {
            let packed = Packed(bytes.into());
            assert!(packed.parts().claims().count() <= bytes.len());
        }
    }

    #[test]
    fn each_part_comes_back() {
        let macs = [[0, 0, 0], [1, 2, 3], [1, 2, 4], [u16::MAX; 3], [0, 0, 7]];
        let times = [7, 7, i64::MAX, i64::MIN, 0];
        let macs = macs.into_iter().map(Mac48::new);
        let all: Vec<Claim> = macs.zip(times.map(Timestamp)).collect();
        let long = "é".repeat(100);
        for n in 0..=all.len() {
            let claims = pack_claims(all[..n].iter().copied());
            for (identity, serial) in [
                (None, None),
                (Some(""), None),
                (Some(&*long), Some("")),
                (None, Some(&*long)),
                (Some("a"), Some("b")),
            ] {
                for counters in [&[][..], &[1, 2, 3]] {
                    let parts = Parts {
                        identity,
                        serial,
                        claims: &claims,
                        counters,
                    };
                    let mut packed = Packed::new(&parts);
                    assert_eq!(packed.parts(), parts);
                    assert!(packed.parts().claims().eq(all[..n].iter().copied()));
                    for counters in [&[4, 5, 6][..], &[7], &[8, 9, 10], &[]] {
                        packed.set_counters(counters);
                        assert_eq!(packed.parts(), Parts { counters, ..parts });
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_takes_no_room() {
        let mut packed = Packed::default();
        assert_eq!((packed.parts(), packed.touch()), (Parts::default(), 0));
        packed.set_counters(&[]);
        assert_eq!(packed.len(), 0);
        packed.set_counters(&[1]);
        assert_eq!(packed.parts().counters, [1]);
    }
}
