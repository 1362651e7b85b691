//! What is in a partition's folder, found out by reading it: at the owner's start, and at each look
//! of a read-only opener.
//!
//! Damage at the very end is a write that was cut off: the owner cuts it away, a reader stops before
//! it. Damage with a whole batch behind it can't come from that; it is an error that names the
//! file, never silently a shorter log.

use std::{fs, io, sync::Arc};

use super::{
    format::SEGMENT_HEADER_BYTES,
    fs::sync_dir,
    partition::{Part, Partition, Tail},
    segment::{Damage, Scan, Segment},
};
use crate::LogError;

/// A listing may be overtaken by the owner's rolls and trims; each round of those takes far longer
/// than a listing.
const LISTINGS: usize = 64;

/// The owner's view after a start. Only the last segment is read whole: the others were closed, and
/// are checked batch by batch when they are read.
pub(crate) fn open_segments(partition: &Partition, tail: &mut Tail) -> Result<(), LogError> {
    let bases = Segment::list(&partition.dir).map_err(|error| partition.io("list", error))?;
    let Some(&last) = bases.last() else {
        let error = io::Error::new(io::ErrorKind::NotFound, "it holds no segment file");
        return Err(partition.io("open", error));
    };
    for base in bases {
        let segment = open_or_remake(partition, base, base == last)?;
        let bytes = file_bytes(&segment)?;
        tail.segments.push(Part {
            segment: Arc::new(segment),
            bytes,
        });
    }
    let index = tail.segments.len() - 1;
    let part = &mut tail.segments[index];
    part.bytes = cut_torn_end(partition, &part.segment, part.bytes)?;
    // A killed owner may not have come to its sync. What is shown from here on must not be taken
    // back by a power failure.
    part.segment
        .sync()
        .and_then(|()| sync_dir(&partition.dir))
        .map_err(LogError::io("sync", &part.segment.path))?;
    let (next, bytes) = part.segment.known();
    tail.next = next;
    tail.show(next, bytes);
    Ok(())
}

/// A last segment without a whole header is one whose creation a power failure cut off.
fn open_or_remake(partition: &Partition, base: u64, last: bool) -> Result<Segment, LogError> {
    let path = Segment::path_of(&partition.dir, base);
    let opened = Segment::open(&partition.dir, partition.id, base, true)
        .map_err(LogError::io("open", &path))?;
    if let Some(segment) = opened {
        return Ok(segment);
    }
    let bytes = fs::metadata(&path)
        .map_err(LogError::io("read", &path))?
        .len();
    if !last || bytes > SEGMENT_HEADER_BYTES as u64 {
        return Err(bad_header(partition, base));
    }
    tracing::warn!(file = %path.display(), "the log's last segment was never begun; begun anew");
    Segment::create(&partition.dir, partition.id, base, true).map_err(LogError::io("create", &path))
}

fn cut_torn_end(
    partition: &Partition,
    segment: &Segment,
    file_bytes: u64,
) -> Result<u64, LogError> {
    let failed = |error| LogError::io("read", &segment.path)(error);
    let scan = segment.scan(file_bytes, true).map_err(failed)?;
    let (offset, position) = segment.known();
    if scan == Scan::Whole {
        return Ok(position);
    }
    if segment
        .has_batch_after(position, file_bytes)
        .map_err(failed)?
    {
        return Err(in_the_middle(partition, segment));
    }
    segment
        .truncate(position)
        .map_err(LogError::io("cut", &segment.path))?;
    tracing::warn!(
        topic = partition.topic,
        partition = partition.id,
        offset,
        cut_bytes = file_bytes - position,
        "the log's last write was not finished; it is cut away"
    );
    Ok(position)
}

/// A reader's view as of now.
pub(crate) fn refresh(partition: &Partition, tail: &mut Tail) -> Result<(), LogError> {
    for _ in 0..LISTINGS {
        let bases = Segment::list(&partition.dir).map_err(|error| partition.io("list", error))?;
        let again = Segment::list(&partition.dir).map_err(|error| partition.io("list", error))?;
        if !bases.is_empty() && bases == again && take_over(partition, tail, &bases)? {
            return look_at_end(partition, tail);
        }
    }
    let error = io::Error::new(io::ErrorKind::NotFound, "its segment files change too fast");
    Err(partition.io("read", error))
}

/// Whether all files of the listing were still there to be opened.
fn take_over(partition: &Partition, tail: &mut Tail, bases: &[u64]) -> Result<bool, LogError> {
    let mut parts = Vec::with_capacity(bases.len());
    let mut known = std::mem::take(&mut tail.segments).into_iter().peekable();
    for &base in bases {
        while known.next_if(|part| part.segment.base < base).is_some() {}
        let segment = match known.next_if(|part| part.segment.base == base) {
            Some(part) => part.segment,
            None => match Segment::open(&partition.dir, partition.id, base, false) {
                Ok(Some(segment)) => Arc::new(segment),
                Ok(None) => return Err(bad_header(partition, base)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => {
                    return Err(
                        LogError::io("open", Segment::path_of(&partition.dir, base))(error),
                    );
                }
            },
        };
        let bytes = file_bytes(&segment)?;
        parts.push(Part { segment, bytes });
    }
    tail.segments = parts;
    Ok(true)
}

fn look_at_end(partition: &Partition, tail: &mut Tail) -> Result<(), LogError> {
    let index = tail.segments.len() - 1;
    let part = &mut tail.segments[index];
    let failed = |error| LogError::io("read", &part.segment.path)(error);
    let file_bytes = part.bytes;
    if part.segment.scan(file_bytes, true).map_err(failed)? == Scan::Damaged {
        let (_, position) = part.segment.known();
        // The owner may have finished the batch, and written another, since the scan: then the
        // second scan gets further than the first.
        if part
            .segment
            .has_batch_after(position, file_bytes)
            .map_err(failed)?
            && part.segment.scan(file_bytes, true).map_err(failed)? == Scan::Damaged
            && part.segment.known().1 == position
        {
            return Err(in_the_middle(partition, &part.segment));
        }
    }
    let (next, bytes) = part.segment.known();
    part.bytes = bytes;
    tail.next = next;
    tail.show(next, bytes);
    Ok(())
}

fn file_bytes(segment: &Segment) -> Result<u64, LogError> {
    segment
        .file_bytes()
        .map_err(LogError::io("read", &segment.path))
}

fn in_the_middle(partition: &Partition, segment: &Segment) -> LogError {
    let (offset, position) = segment.known();
    partition.corrupt(
        segment,
        Damage { offset, position },
        "a damaged batch with whole ones behind it",
    )
}

fn bad_header(partition: &Partition, base: u64) -> LogError {
    LogError::Corrupt {
        topic: partition.topic.clone(),
        partition: partition.id,
        offset: base,
        file: Segment::path_of(&partition.dir, base),
        position: 0,
        detail: "no segment header of this partition and offset",
    }
}
