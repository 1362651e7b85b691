//! The log and the spool on disk with damage, and calls at the log's socket: what each byte does is told by the targets.

use crate::{Result, Seeds};

pub(crate) fn log_segments(seeds: &Seeds) -> Result {
    for (name, bytes) in [
        ("cut", &[0x40, 1, 9, 0, 0][..]),
        ("flipped", &[0x60, 0, 11, 4, 0xff, 0, 20, 4, 1]),
        ("zeros", &[0x80, 2, 50, 2, 40]),
        ("doubled", &[0x50, 9, 8, 3, 0]),
        ("rubbish", &[0x30, 1, 9, 1, 0]),
        (
            "forged",
            &[
                0x21, 1, 0, 2, 0, 13, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x',
            ],
        ),
        ("forged-long", &[0x11, 255, 255, 1, 0, 3, 1, 2, 3]),
        (
            "forged-last",
            &[0x11, 1, 0, 255, 64, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
    ] {
        seeds.put("log_segments", name, bytes)?;
    }
    Ok(())
}

pub(crate) fn spool(seeds: &Seeds) -> Result {
    for (name, bytes) in [
        ("whole", &[9, 2, 7, 7, 7][..]),
        ("cut", &[12, 0, 0, 9, 0, 0, 0]),
        ("flipped", &[12, 3, 0, 20, 4, 255]),
        ("header", &[12, 3, 0, 2, 4, 255]),
        ("doubled", &[12, 3, 0, 20, 3, 0]),
        ("zeros", &[15, 0, 0, 0, 2, 60]),
        ("rubbish", &[15, 1, 0, 0, 1, 60]),
    ] {
        seeds.put("spool", name, bytes)?;
    }
    Ok(())
}

pub(crate) fn log_calls(seeds: &Seeds) -> Result {
    let topic = [&1u32.to_le_bytes()[..], b"t"].concat();
    let call = |tag: u8, rest: &[u8]| {
        let body = [&[tag], &topic[..], rest].concat();
        [&[body.len() as u8], &body[..]].concat()
    };
    let record = [1, 0, 0, 0, b'k', 0, 0, 0, 0, 2, 0, 0, 0, b'b', b'b'];
    for (name, bytes) in [
        ("ensure", call(0, &1u32.to_le_bytes())),
        ("partitions", call(1, &[])),
        (
            "append",
            call(2, &[&[0, 0, 0, 0, 1, 0, 0, 0], &record[..]].concat()),
        ),
        ("read", call(3, &[0; 20])),
        ("ends", call(4, &[0; 4])),
        ("trim", call(5, &[0; 12])),
        ("sync", vec![1, 6]),
        ("wait", [&[17, 7], &[0; 16][..]].concat()),
        ("unknown", vec![1, 99]),
        ("cut", vec![255, 9, 0, 0, 0, 1, 2]),
        ("large", vec![255, 255, 255, 255, 255, 1, 2]),
    ] {
        seeds.put("log_calls", name, bytes)?;
    }
    Ok(())
}
