//! A disk that runs full, for tests: the next writes of this thread take so many bytes, then fail.

use std::{cell::Cell, fs::File, io, os::unix::fs::FileExt};

thread_local! {
    static ROOM_BYTES: Cell<Option<usize>> = const { Cell::new(None) };
}

pub(crate) fn set_room(bytes: Option<usize>) {
    ROOM_BYTES.set(bytes);
}

pub(crate) fn write_all_at(file: &File, bytes: &[u8], position: u64) -> io::Result<()> {
    let Some(room) = ROOM_BYTES.get() else {
        return file.write_all_at(bytes, position);
    };
    let fits = room.min(bytes.len());
    file.write_all_at(&bytes[..fits], position)?;
    ROOM_BYTES.set(Some(room - fits));
    if fits == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::StorageFull.into())
    }
}
