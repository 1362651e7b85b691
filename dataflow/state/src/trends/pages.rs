//! Pieces of bytes by number, many in one piece of memory.
//!
//! The trap avoided: a piece of memory for each. Where the bytes are some eighty, a pointer with a length is 16, and the allocator
//! keeps 16 more beside them and rounds. Here 64 neighbours share a page; a piece that changes moves those behind it in its page,
//! which is a few kilobytes to copy, and pages have little room to spare.

use std::ops::Range;

use crate::compact::push_tight;

/// Pieces of a page.
const PIECES: usize = 64;
/// A page's room is a multiple of this.
const STEP: usize = 64;

#[derive(Debug)]
struct Page {
    /// Where each piece ends.
    ends: [u16; PIECES],
    bytes: Vec<u8>,
}

impl Page {
    const fn new() -> Self {
        Self {
            ends: [0; PIECES],
            bytes: Vec::new(),
        }
    }

    fn range(&self, piece: usize) -> Range<usize> {
        let begin = piece.checked_sub(1).map_or(0, |before| self.ends[before]);
        usize::from(begin)..usize::from(self.ends[piece])
    }

    fn set(&mut self, piece: usize, bytes: &[u8]) {
        let old = self.range(piece);
        for end in &mut self.ends[piece..] {
            *end = *end - old.len() as u16 + bytes.len() as u16;
        }
        let length = self.bytes.len() - old.len() + bytes.len();
        let room = length.next_multiple_of(STEP);
        if self.bytes.capacity() < length {
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.splice(old, bytes.iter().copied());
        if self.bytes.capacity() > room + STEP {
            self.bytes.shrink_to(room);
        }
    }
}

/// Pieces of at most [`Pages::LONGEST`] bytes; those that were never set are empty.
#[derive(Debug, Default)]
pub(super) struct Pages(Vec<Page>);

impl Pages {
    /// A page of such pieces ends within 16 bits. A history is 242 bytes at most.
    pub(super) const LONGEST: usize = u16::MAX as usize / PIECES;

    pub(super) fn get(&self, number: u32) -> &[u8] {
        let (page, piece) = (number as usize / PIECES, number as usize % PIECES);
        let page = self.0.get(page);
        page.map_or(&[], |page| &page.bytes[page.range(piece)])
    }

    pub(super) fn set(&mut self, number: u32, bytes: &[u8]) {
        debug_assert!(bytes.len() <= Self::LONGEST, "{}", bytes.len());
        let (page, piece) = (number as usize / PIECES, number as usize % PIECES);
        while self.0.len() <= page {
            push_tight(&mut self.0, Page::new());
        }
        self.0[page].set(piece, bytes);
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        let rooms = self.0.iter().map(|page| page.bytes.capacity());
        self.0.capacity() * size_of::<Page>() + rooms.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_comes_back_and_no_room_is_kept() {
        let (mut pages, mut plain) = (Pages::default(), vec![Vec::new(); 1_000]);
        let mut seed = 1_u64;
        for n in 0..100_000_usize {
            seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            // Numbers come up, lengths grow and, in the end, all goes.
            let number = (seed >> 33) as usize % (n / 50 + 1).min(1_000);
            let most = Pages::LONGEST.min(n / 50).min((100_000 - n) / 50);
            let length = (seed >> 50) as usize % (most + 1);
            let bytes: Vec<u8> = (0..length).map(|at| (n + at) as u8).collect();
            pages.set(number as u32, &bytes);
            plain[number] = bytes;
            if n % 997 == 0 {
                assert!((0..).zip(&plain).all(|(n, bytes)| pages.get(n) == bytes));
                let pages = &pages.0;
                assert!(pages.iter().all(|page| {
                    page.bytes.capacity() <= page.bytes.len().next_multiple_of(STEP) + STEP
                }));
            }
        }
        for n in 0..1_000 {
            pages.set(n, &[]);
        }
        assert!(pages.0.iter().all(|page| page.bytes.capacity() <= STEP));
    }
}
