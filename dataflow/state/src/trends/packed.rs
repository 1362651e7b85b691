//! The history of a client as a row of bits, newest bucket first: for the hours, then for the days
//!
//! ```text
//! 5 bits: buckets up to the oldest that has something; 4: width of lacks; 4: width of steps; of each bucket
//!   minutes   0 = all that there were; 10 and a number: so many less; 11 = the bucket is empty
//!   mean      a number: the step from the mean of the bucket before, its sign in the lowest bit; the first of all is 16 bits
//! number: what is above the width, in ones, up to seven and a zero; the bits of the width. Else eight ones; 16 bits
//! ```
//!
//! The trap avoided: means of 16 bits each that are all but the same, and minutes that are nearly always all. Levels wander, so a
//! mean is near that of the bucket before. One width for all would be that of the widest step; here a wide step costs only
//! itself. Nothing is cut: any mean and any minutes come back, and what has no minutes has no mean.

use crate::compact::{unzigzag, zigzag};

use super::client::{DAY, HOUR, HOURS, History, Ring};

/// Bits of what is wide.
const WIDE: u32 = i16::BITS;
/// So many ones say that a number is wide.
const ONES: u32 = u8::BITS;

/// Bytes within which nearly all histories are.
const USUAL: usize = 128;

/// What a row of bits is written to, the lowest first.
struct Writer {
    bytes: Vec<u8>,
    /// Bits that make no byte yet, and how many.
    held: u32,
    count: u32,
}

impl Writer {
    fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(USUAL),
            held: 0,
            count: 0,
        }
    }

    /// Appends a number of so many bits, 24 at most.
    fn put(&mut self, n: u32, width: u32) {
        self.held |= n << self.count;
        self.count += width;
        while self.count >= u8::BITS {
            self.bytes.push(self.held as u8);
            self.held >>= u8::BITS;
            self.count -= u8::BITS;
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.put(0, u8::BITS - 1);
        // Behind the end all is zero.
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

/// What it is read from; zeros follow its end.
struct Reader<'a> {
    bytes: &'a [u8],
    /// Bits that were taken.
    at: usize,
}

impl Reader<'_> {
    /// The next bits, at least 24.
    fn see(&self) -> u32 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let mut word = [0; 4];
        match rest.first_chunk() {
            Some(chunk) => word = *chunk,
            None => word[..rest.len()].copy_from_slice(rest),
        }
        u32::from_le_bytes(word) >> (self.at % 8)
    }

    const fn skip(&mut self, width: u32) {
        self.at += width as usize;
    }

    fn take(&mut self, width: u32) -> u16 {
        let n = self.see() & ((1 << width) - 1);
        self.skip(width);
        n as u16
    }

    fn flag(&mut self) -> bool {
        self.take(1) == 1
    }
}

/// A step as a number that is small on both sides of zero.
fn fold(step: i16) -> u16 {
    zigzag(step.into()) as u16
}

fn unfold(n: u16) -> i16 {
    unzigzag(n.into()) as i16
}

/// Appends a number, which is short if it has hardly more bits than `width`.
fn put(bits: &mut Writer, n: u16, width: u16) {
    let (above, low) = (u32::from(n >> width), u32::from(n & ((1 << width) - 1)));
    if above < ONES {
        let ones = (1 << above) - 1;
        bits.put(low << (above + 1) | ones, above + 1 + u32::from(width));
    } else {
        bits.put(u32::from(n) << ONES | u32::from(u8::MAX), ONES + WIDE);
    }
}

fn take(bits: &mut Reader<'_>, width: u16) -> u16 {
    let seen = bits.see();
    let ones = (seen as u8).trailing_ones();
    if ones < ONES {
        bits.skip(ones + 1 + u32::from(width));
        let low = seen >> (ones + 1) & ((1 << width) - 1);
        (ones << width | low) as u16
    } else {
        bits.skip(ONES + WIDE);
        (seen >> ONES) as u16
    }
}

/// The width with which these numbers take the fewest bits.
fn width(numbers: &[u16]) -> u16 {
    let all = |width: &u16| -> u32 {
        let lengths = numbers.iter().map(|n| match u32::from(n >> width) {
            above @ 0..ONES => above + 1 + u32::from(*width),
            _ => ONES + WIDE,
        });
        lengths.sum()
    };
    (0..WIDE as u16).min_by_key(all).unwrap_or(0)
}

/// Minutes of a bucket that was heard all the time; the newest day has those of its hours so far. One that was heard at two access
/// points at once has more, which comes back too, as a wide number.
#[derive(Clone, Copy)]
struct Most {
    newest: i64,
    older: i64,
}

impl Most {
    const HOURS: Self = Self {
        newest: HOUR,
        older: HOUR,
    };

    const fn days(hour: i64) -> Self {
        Self {
            newest: (hour % HOURS + 1) * HOUR,
            older: DAY,
        }
    }

    const fn of(self, age: u8) -> u16 {
        (if age == 0 { self.newest } else { self.older }) as u16
    }
}

/// Appends a ring; `last` is the mean before.
fn put_ring<M, const N: usize>(
    bits: &mut Writer,
    last: &mut Option<i16>,
    ring: &Ring<M, N>,
    newest: i64,
    most: Most,
) where
    M: Copy + Default + Into<i64> + TryFrom<i64>,
{
    let filled = ring.filled(newest);
    let lack = |age, minutes: M| most.of(age).wrapping_sub(minutes.into() as u16);
    let lacks = filled.iter().map(|(age, _, minutes)| lack(*age, *minutes));
    let lacks: Vec<u16> = lacks.filter(|lack| *lack > 0).collect();
    let mut before = *last;
    let steps = filled.iter().filter_map(|(_, mean, _)| {
        let before = before.replace(*mean)?;
        Some(fold(mean.wrapping_sub(before)))
    });
    let steps: Vec<u16> = steps.collect();
    let (lacks_width, steps_width) = (width(&lacks), width(&steps));
    bits.put(filled.last().map_or(0, |bucket| bucket.0 + 1).into(), 5);
    bits.put(lacks_width.into(), 4);
    bits.put(steps_width.into(), 4);
    let mut next = 0;
    for (age, mean, minutes) in filled {
        (next..age).for_each(|_| bits.put(0b11, 2));
        next = age + 1;
        match lack(age, minutes) {
            0 => bits.put(0, 1),
            lack => {
                bits.put(0b01, 2);
                put(bits, lack, lacks_width);
            }
        }
        match last.replace(mean) {
            Some(last) => put(bits, fold(mean.wrapping_sub(last)), steps_width),
            None => bits.put((mean as u16).into(), WIDE),
        }
    }
}

fn take_ring<M, const N: usize>(
    bits: &mut Reader<'_>,
    last: &mut Option<i16>,
    newest: i64,
    most: Most,
) -> Ring<M, N>
where
    M: Copy + Default + Into<i64> + TryFrom<i64>,
{
    let mut ring = Ring::new();
    let [used, lacks_width, steps_width] = [5, 4, 4].map(|width| bits.take(width));
    for age in 0..(used as u8).min(N as u8) {
        let mut lack = 0;
        if bits.flag() {
            if bits.flag() {
                continue;
            }
            lack = take(bits, lacks_width);
        }
        let mean = match *last {
            Some(last) => last.wrapping_add(unfold(take(bits, steps_width))),
            None => bits.take(WIDE) as i16,
        };
        let minutes = most.of(age).wrapping_sub(lack);
        ring.put(newest - i64::from(age), (mean, minutes.into()));
        *last = Some(mean);
    }
    ring
}

impl History {
    pub(super) fn pack(&self) -> Vec<u8> {
        let (mut bits, mut last) = (Writer::new(), None);
        let hour = i64::from(self.hour);
        let (day, days) = (hour / HOURS, Most::days(hour));
        put_ring(&mut bits, &mut last, &self.hours, hour, Most::HOURS);
        put_ring(&mut bits, &mut last, &self.days, day, days);
        bits.end()
    }

    /// What was packed when its newest piece was of this hour. Any bytes are some history, and none are an empty one.
    pub(super) fn unpack(bytes: &[u8], hour: u32) -> Self {
        let (mut bits, mut last) = (Reader { bytes, at: 0 }, None);
        let newest = i64::from(hour);
        let (day, days) = (newest / HOURS, Most::days(newest));
        Self {
            hour,
            hours: take_ring(&mut bits, &mut last, newest, Most::HOURS),
            days: take_ring(&mut bits, &mut last, day, days),
        }
    }
}

#[cfg(test)]
mod tests;
