//! Small forms of what is kept of each place. A fleet has as many sectors as access points, so their sum is felt.

use mast_schemas::views::Counts;

use crate::compact::make_room;

/// [`Counts`] in half the space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SmallCounts {
    devices: [i32; 4],
    links: [i32; 5],
    links_unobserved: i32,
}

impl From<Counts> for SmallCounts {
    /// No place has more than two thousand million of anything.
    fn from(counts: Counts) -> Self {
        let small = |n| i32::try_from(n).unwrap_or(i32::MAX);
        Self {
            devices: counts.devices.map(small),
            links: counts.links.map(small),
            links_unobserved: small(counts.links_unobserved),
        }
    }
}

impl From<SmallCounts> for Counts {
    fn from(counts: SmallCounts) -> Self {
        Self {
            devices: counts.devices.map(i64::from),
            links: counts.links.map(i64::from),
            links_unobserved: counts.links_unobserved.into(),
        }
    }
}

/// The newest samples of a number, oldest first, each in as many bytes as the widest of them took: one in most sectors.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    bytes: Vec<u8>,
    /// Bytes of a sample: 1, 2 or 4.
    width: u8,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            width: 1,
        }
    }
}

impl Samples {
    /// Appends one; of more than `most` the oldest goes.
    pub(crate) fn push(&mut self, sample: u32, most: usize) {
        self.widen(sample);
        if self.len() >= most {
            self.bytes.drain(..usize::from(self.width));
        }
        self.append(sample);
    }

    fn append(&mut self, sample: u32) {
        let width = usize::from(self.width);
        make_room(&mut self.bytes, width);
        self.bytes.extend_from_slice(&sample.to_le_bytes()[..width]);
    }

    /// Makes each sample as wide as this one needs.
    fn widen(&mut self, sample: u32) {
        let width = match sample {
            0..=0xFF => 1,
            0x100..=0xFFFF => 2,
            _ => 4,
        };
        if width > self.width {
            let all: Vec<u32> = self.iter().collect();
            self.bytes = Vec::with_capacity(all.len() * usize::from(width));
            self.width = width;
            all.into_iter().for_each(|sample| self.append(sample));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / usize::from(self.width)
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.bytes.chunks_exact(usize::from(self.width)).map(word)
    }

    /// The one so many before the newest.
    pub(crate) fn ago(&self, back: usize) -> Option<u32> {
        self.bytes
            .rchunks_exact(usize::from(self.width))
            .nth(back)
            .map(word)
    }
}

fn word(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(word)
}

impl From<Vec<u32>> for Samples {
    fn from(all: Vec<u32>) -> Self {
        let mut samples = Self::default();
        samples.widen(all.iter().copied().max().unwrap_or(0));
        let bytes = all.len() * usize::from(samples.width);
        samples.bytes.reserve_exact(bytes);
        all.into_iter().for_each(|sample| samples.append(sample));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_sector_has_is_small() {
        assert_eq!((size_of::<SmallCounts>(), size_of::<Samples>()), (40, 32));
        let mut week = Samples::default();
        for n in 0..10_000 {
            week.push(n % 60, 169);
            assert!(week.bytes.capacity() < 192, "{}", week.bytes.capacity());
        }
    }

    #[test]
    fn counts_come_back_as_they_were() {
        let counts = Counts {
            devices: [1, 2, 3, 4],
            links: [5, 6, 7, 8, 9],
            links_unobserved: 10,
        };
        assert_eq!(Counts::from(SmallCounts::from(counts)), counts);
    }

    #[test]
    fn the_newest_samples_are_kept_however_wide() {
        let all = [7, 255, 0, 256, 3, 65_535, 65_536, 9, u32::MAX, 1, 2, 3];
        let mut samples = Samples::default();
        for n in 0..all.len() {
            samples.push(all[n], 5);
            let newest = &all[(n + 1).saturating_sub(5)..=n];
            assert!(samples.iter().eq(newest.iter().copied()), "{n}");
            for back in 0..6 {
                let ago = newest.iter().rev().nth(back).copied();
                assert_eq!(samples.ago(back), ago, "{n} {back}");
            }
            let mut again = Samples::from(newest.to_vec());
            assert!(again.iter().eq(samples.iter()));
            again.push(8, 5);
            assert_eq!((again.ago(0), again.len()), (Some(8), 5.min(n + 2)));
        }
    }
}
