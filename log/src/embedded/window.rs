//! Sequential looks into a file by position, one read for many small looks. The file's end as the
//! caller knows it is a wall: what another process appends meanwhile is not seen.

use std::{fs::File, io, os::unix::fs::FileExt};

const CHUNK_BYTES: u64 = 64 << 10;

pub(crate) struct Window<'a> {
    file: &'a File,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a File, limit: u64) -> Self {
        Self {
            file,
            limit,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// `None` if the file ends before.
    pub(crate) fn get(&mut self, position: u64, len: usize) -> io::Result<Option<&[u8]>> {
        if self.limit.saturating_sub(position) < len as u64 {
            return Ok(None);
        }
        let held = self.start + self.bytes.len() as u64;
        if position < self.start || held.saturating_sub(position) < len as u64 {
            let load = CHUNK_BYTES.max(len as u64).min(self.limit - position);
            self.bytes.resize(load as usize, 0);
            self.start = position;
            if let Err(error) = self.file.read_exact_at(&mut self.bytes, position) {
                self.bytes.clear();
                // Cut by its owner since its length was taken: the same as a shorter file.
                return match error.kind() {
                    io::ErrorKind::UnexpectedEof => Ok(None),
                    _ => Err(error),
                };
            }
        }
        let at = (position - self.start) as usize;
        Ok(Some(&self.bytes[at..at + len]))
    }

    /// Some bytes from `position` on; none at the end.
    pub(crate) fn rest(&mut self, position: u64) -> io::Result<&[u8]> {
        let held = self.start + self.bytes.len() as u64;
        // A handful of bytes left over would make tiny steps: load anew then.
        let len = if position >= self.start && held.saturating_sub(position) >= 64 {
            held - position
        } else {
            CHUNK_BYTES.min(self.limit.saturating_sub(position))
        };
        Ok(self.get(position, len as usize)?.unwrap_or_default())
    }
}
