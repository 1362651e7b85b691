//! Seeds and changes of them, through the same functions as in fuzzing. Hours of it are for cargo-fuzz; this finds in
//! seconds what a change broke.

#![expect(clippy::unwrap_used, reason = "a test ends where its premise fails")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mast_fuzz::{TARGETS, Target};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect()
}

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder("seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn each_target_has_a_program_and_seeds() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&folder("fuzz_targets")), targets);
    assert_eq!(names(&folder("seeds")), targets);
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in &targets {
        assert!(!seeds(name).is_empty(), "{name}");
        let declared = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&declared), "{name}");
        let program =
            fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(
            program.contains(&format!("mast_fuzz::run(\"{name}\", data)")),
            "{name}"
        );
    }
}

/// Seeds do not come to anything by being refused at the first byte.
#[test]
fn seeds_get_through_the_parsers() {
    let read = |name: &str| fs::read(folder("seeds").join(name)).unwrap();
    let message = read("message/polls");
    let (length, rest) = message.split_first_chunk::<2>().unwrap();
    let (header, body) = rest.split_at(usize::from(u16::from_le_bytes(*length)));
    let header = mast_schemas::message::Header::decode(header).unwrap();
    let polls = mast_schemas::message::read_polls(&header, &body.to_vec().into()).unwrap();
    assert_eq!((polls.len(), polls[0].registrations.len()), (3, 1));
    let checkpoint = read("checkpoint/devices");
    let sum = crc32fast::hash(&checkpoint[1..]).to_le_bytes();
    let file = [&checkpoint[1..], &sum].concat();
    let part = mast_schemas::checkpoint::Part::Devices;
    let records =
        mast_dataflow::checkpoint::decode::<mast_schemas::checkpoint::DeviceRecord>(part, &file);
    assert_eq!(records.unwrap().1.len(), 2);
    assert!(mast_schemas::epochs::Binding::decode(&read("epochs/silent")).is_ok());
    assert!(mast_schemas::control::ControlRecord::decode(&read("control/device")).is_ok());
}

/// One change of an input, of those that damage and hostility make: bytes flipped, cut, doubled, put in, taken from another
/// input, and lengths set to their ends.
fn change(input: &mut Vec<u8>, other: &[u8], random: &mut ChaCha8Rng) {
    let place = random.random_range(0..=input.len());
    match random.random_range(0..8) {
        0 => input.truncate(place),
        1 => input.insert(place, random.random()),
        2 => input.extend_from_slice(&other[..random.random_range(0..=other.len())]),
        3 => {
            let tail = input[place..].to_vec();
            input.extend(tail);
        }
        4 => {
            let ends = [0, 1, 0x7f, 0x80, 0xbf, 0xc0, 0xe0, 0xf0, 0xf8, 0xff];
            if let (Some(byte), Some(end)) = (input.get_mut(place), ends.choose(random)) {
                *byte = *end;
            }
        }
        5 => {
            input.drain(place..input.len().min(place + random.random_range(0..9)));
        }
        _ => {
            if let Some(byte) = input.get_mut(place) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
    }
    input.truncate(16 << 10);
}

fn holds(name: &str, target: Target, seed: &str, input: &[u8]) {
    let result = catch_unwind(AssertUnwindSafe(|| target(input)));
    assert!(result.is_ok(), "{name}, from seed {seed}: {input:?}");
}

/// How many changed inputs a target gets: as many as cost it a part of a second.
fn changes(name: &str) -> usize {
    match name {
        "log_segments" | "log_calls" | "spool" => 300,
        "rows" | "message" => 1_000,
        _ => 3_000,
    }
}

#[test]
fn seeds_and_changes_of_them_find_nothing() {
    for &(name, target) in TARGETS {
        let seeds = seeds(name);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (seed, input) in &seeds {
            holds(name, target, seed, input);
        }
        for _ in 0..changes(name) {
            let (seed, input) = seeds.choose(&mut random).unwrap();
            let (_, other) = seeds.choose(&mut random).unwrap();
            let mut input = input.clone();
            for _ in 0..random.random_range(1..5) {
                change(&mut input, other, &mut random);
            }
            holds(name, target, seed, &input);
        }
    }
}

/// The net has no holes: a target that breaks its promise is seen.
#[test]
fn a_finding_is_seen() {
    let broken: Target = |data| assert!(data.len() < 3, "too long");
    let seen = catch_unwind(|| holds("broken", broken, "none", b"abcd"));
    assert!(seen.is_err());
    holds("broken", broken, "none", b"ab");
}
