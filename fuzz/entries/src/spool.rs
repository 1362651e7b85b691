//! The spool of an ingest node after something happened to its files.

use mast_ingest::spool::{Parcel, Spool, SpoolConfig};

use crate::folder::{Folder, damage};
use crate::log::record;

const PARTITION: u32 = 3;

/// A spool of real messages, then damage as the input says. Opening it gives a prefix of what was written, or of what was
/// written behind what had been read, and it takes messages again.
pub(crate) fn segments(data: &[u8]) {
    let Some(([kind, read], rest)) = data.split_first_chunk() else {
        return;
    };
    let folder = Folder::new();
    let written: Vec<Parcel> = (0..usize::from(kind % 16))
        .map(|i| Parcel {
            record: record(
                &rest
                    .iter()
                    .copied()
                    .cycle()
                    .take(i * 13 % 97)
                    .collect::<Vec<_>>(),
            ),
            polls: i as u64,
        })
        .collect();
    let mut spool = open(&folder);
    for parcel in &written {
        spool
            .push(PARTITION, std::slice::from_ref(parcel))
            .unwrap_or_else(|error| panic!("a push: {error}"));
    }
    let spent = &written[..usize::from(*read).min(written.len())];
    for parcel in spent {
        let (found, lost) = peek(&mut spool);
        assert_eq!((found.first(), lost), (Some(parcel), 0));
        spool.pop(PARTITION, &found[..1]);
    }
    drop(spool);
    damage(&folder.0.join("spool"), "spool", rest);
    let mut spool = open(&folder);
    let told = spool.polls();
    let after = Parcel {
        record: record(b"after"),
        polls: 1,
    };
    spool
        .push(PARTITION, std::slice::from_ref(&after))
        .unwrap_or_else(|error| panic!("an open spool takes messages: {error}"));
    assert_eq!(spool.polls(), told + 1);
    let (mut all, mut lost) = (Vec::new(), 0);
    loop {
        let (found, gone) = peek(&mut spool);
        lost += gone;
        if found.is_empty() {
            break;
        }
        spool.pop(PARTITION, &found);
        all.extend(found);
    }
    assert_eq!(all.last(), Some(&after));
    assert_eq!(all.iter().map(|p| p.polls).sum::<u64>() + lost, told + 1);
    assert_eq!(spool.polls(), 0);
    if rest.len() < 4 {
        assert_eq!(all[..all.len() - 1], written[spent.len()..], "undamaged");
    }
}

fn open(folder: &Folder) -> Spool {
    let config = SpoolConfig {
        limit_bytes: 1 << 16,
        ..SpoolConfig::new(folder.0.join("spool"))
    };
    Spool::open(config).unwrap_or_else(|error| panic!("a spool opens: {error}"))
}

fn peek(spool: &mut Spool) -> (Vec<Parcel>, u64) {
    spool
        .peek(PARTITION, 1 << 10)
        .unwrap_or_else(|error| panic!("a spool is read: {error}"))
}
