//! Several nodes and one fleet: each device is polled by one of them, whatever happens to the others.

use super::bench::{Bench, Reader, wait};
use super::support::{Said, access_point, breakable, listen, router, said};
use mast_ingest::{Concern, Node, NodeHandle, Status};
use mast_log::Log as _;
use mast_schemas::control::Role;
use mast_schemas::message::{Header, ProducerId};
use mast_schemas::partition::{partition, shard};
use mast_schemas::records::Outcome;
use mast_schemas::{DeviceId, topics};
use mast_secrets::{Credentials, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

const PARTITIONS: u32 = 8;

struct Fleet {
    bench: Bench,
    devices: Vec<DeviceId>,
    read: Mutex<Read>,
}

/// What a reader of the log has accepted so far.
#[derive(Default)]
struct Read {
    /// Messages read, by partition.
    next: BTreeMap<u32, u64>,
    /// Who wrote under each lease, by partition.
    writers: BTreeMap<(u32, u64), ProducerId>,
    /// (lease epoch, sequence) of the newest poll, who made it, and how many were accepted, by device.
    polls: BTreeMap<DeviceId, ((u64, u64), ProducerId, usize)>,
}

impl Fleet {
    async fn new(devices: usize) -> Self {
        let mut bench = Bench::new().await;
        bench.partitions = PARTITIONS;
        let address = listen(|stream| router(stream, access_point())).await;
        let mut ids = Vec::new();
        for _ in 0..devices {
            ids.push(bench.device(address, "secret").await.id);
        }
        Self {
            bench,
            devices: ids,
            read: Mutex::default(),
        }
    }

    /// Reads on; how many polls of each device are accepted, and who made the newest of each partition. Panics where one
    /// lease is used by two producers.
    fn read(&self) -> (Vec<usize>, BTreeMap<u32, ProducerId>) {
        let mut read = self.read.lock().unwrap();
        for place in 0..PARTITIONS {
            let from = read.next.get(&place).copied().unwrap_or(0);
            let entries = self
                .bench
                .log
                .read(topics::TELEMETRY, place, from, 64 << 20)
                .unwrap();
            for entry in entries {
                read.next.insert(place, entry.offset + 1);
                let header = Header::decode(&entry.record.headers).unwrap();
                let who = header.producer;
                let writer = read
                    .writers
                    .entry((place, header.lease_epoch))
                    .or_insert(who);
                assert_eq!(*writer, who, "two nodes wrote under one lease");
                let Said::Polls(polls) = said(&entry.record) else {
                    continue;
                };
                for poll in polls.into_iter().map(|whole| whole.poll) {
                    let key = (poll.lease_epoch, poll.sequence);
                    let of = read.polls.entry(poll.device_id).or_insert(((0, 0), who, 0));
                    if key > of.0 {
                        *of = (key, who, of.2 + 1);
                    }
                }
            }
        }
        let count = |id: &DeviceId| read.polls.get(id).map_or(0, |of| of.2);
        let last = read
            .polls
            .iter()
            .map(|(id, of)| (partition(shard(id), PARTITIONS), of.1));
        (self.devices.iter().map(count).collect(), last.collect())
    }

    /// Waits until each device was polled twice more, and so many nodes are believed; who polled last, by partition.
    async fn all_polled_by(&self, nodes: usize) -> BTreeMap<u32, ProducerId> {
        let (before, _) = self.read();
        for _ in 0..600 {
            let (counts, last) = self.read();
            let all = counts
                .iter()
                .zip(&before)
                .all(|(now, then)| *now >= then + 2);
            if all && last.values().collect::<BTreeSet<_>>().len() == nodes {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{nodes} nodes: {before:?}, then {:?}", self.read());
    }

    async fn both_poll(&self, first: &NodeHandle, second: &NodeHandle) {
        for node in [first, second] {
            wait(node, "its part", |s| {
                s.status == Status::Polling(PARTITIONS / 2)
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_gets_its_part_and_gives_it_back() {
    let fleet = Fleet::new(12).await;
    let first = fleet.bench.node().await;
    wait(&first, "all partitions", |s| {
        s.status == Status::Polling(PARTITIONS)
    })
    .await;
    fleet.all_polled_by(1).await;

    let second = fleet.bench.node().await;
    fleet.both_poll(&first, &second).await;
    fleet.all_polled_by(2).await;
    let (one, two) = (first.stats().devices, second.stats().devices);
    assert_eq!(one + two, 12, "each device has one node");

    first.stop().await;
    wait(&second, "everything", |s| {
        s.status == Status::Polling(PARTITIONS)
    })
    .await;
    fleet.all_polled_by(1).await;
    second.stop().await;
    fleet.read();
}

/// Cut off from Postgres a node can't know that its leases end; the other one takes them over, and from then on readers
/// take nothing of it. To the other it looks as if it was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_reads_after_it_lost_its_leases_changes_nothing() {
    let fleet = Fleet::new(12).await;
    let config = fleet.bench.config().await;
    let pool = config.pool.clone();
    let cut_off = Node::start(config).await.unwrap();
    let other = fleet.bench.node().await;
    fleet.both_poll(&cut_off, &other).await;
    fleet.all_polled_by(2).await;

    pool.close().await;
    wait(&other, "everything", |s| {
        s.status == Status::Polling(PARTITIONS)
    })
    .await;
    let last = fleet.all_polled_by(1).await;
    let stats = cut_off.stats();
    assert_eq!(stats.status, Status::Polling(PARTITIONS / 2), "it polls on");
    let why = stats.troubles.iter().find(|(c, _)| *c == Concern::Postgres);
    assert!(why.unwrap().1.contains("polling goes on"), "{why:?}");
    let before = stats.polls_appended;
    wait(&cut_off, "its polls in the log", |s| {
        s.polls_appended > before + 4
    })
    .await;
    assert_eq!(
        fleet.all_polled_by(1).await,
        last,
        "the other alone is believed"
    );
    cut_off.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_holds_no_more_than_it_has_room_for_and_another_takes_the_rest() {
    let fleet = Fleet::new(12).await;
    let mut config = fleet.bench.config().await;
    config.capacity = Some(5);
    let small = Node::start(config).await.unwrap();
    let stats = wait(&small, "trouble", |s| {
        matches!(s.status, Status::Polling(_)) && !s.troubles.is_empty()
    })
    .await;
    assert!((1..=5).contains(&stats.devices), "{stats:?}");
    let (concern, why) = &stats.troubles[0];
    assert_eq!(*concern, Concern::Capacity);
    assert!(
        why.contains("ulimit -n") && why.contains("polled by nobody"),
        "{why}"
    );

    let large = fleet.bench.node().await;
    wait(&small, "no trouble", |s| s.troubles.is_empty()).await;
    wait(&large, "the rest", |s| {
        s.devices + small.stats().devices == 12
    })
    .await;
    fleet.all_polled_by(2).await;
    small.stop().await;
    large.stop().await;
}

/// Devices of a site hash over the nodes: what a node finds out of its router, the other is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_returns_takes_breakers_off_at_every_node() {
    let mut bench = Bench::new().await;
    bench.partitions = PARTITIONS;
    let site = bench.site().await;
    let add = async |address, role, password: &str| {
        let mut device = bench.unplaced(address);
        (device.role, device.site_id) = (role, Some(site));
        let credentials = Credentials::new("mast", Secret::new(password));
        bench.add(&device, &credentials).await;
        device.id
    };
    let (front, front_up) = breakable().await;
    let lead = add(front, Role::Router, "secret").await;
    let behind = listen(|stream| router(stream, access_point())).await;
    let mut locked = Vec::new();
    for _ in 0..12 {
        locked.push(add(behind, Role::Cpe, "wrong").await);
    }
    let (first, second) = (bench.node().await, bench.node().await);
    wait(&first, "breakers that are open at both", |s| {
        let other = second.stats();
        s.devices > 1 && other.devices > 1 && s.breakers_open + other.breakers_open == 12
    })
    .await;

    let mut reader = Reader::default();
    let mut until = async |what: &str, wanted: &dyn Fn(&Reader) -> bool| {
        for _ in 0..400 {
            reader.read(&bench);
            if wanted(&reader) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let polls: Vec<_> = reader.polls.iter().map(|whole| &whole.poll).collect();
        panic!("{what}: {polls:#?}");
    };
    let last = |reader: &Reader, id| {
        let of = reader.polls.iter().rfind(|p| p.poll.device_id == id);
        of.map(|whole| whole.poll.outcome)
    };
    front_up.send(false).unwrap();
    until("the router is gone", &|r| {
        last(r, lead) == Some(Outcome::Refused)
    })
    .await;
    front_up.send(true).unwrap();
    until("breakers are taken off", &|r| {
        let taken_off = |id: &DeviceId| {
            let of = r.polls.iter().filter(|p| p.poll.device_id == *id);
            let mut events = of.flat_map(|whole| &whole.slow.events);
            events.any(|e| e.message == "breaker closed: a device in front of it answers again")
        };
        locked.iter().all(taken_off)
    })
    .await;
    first.stop().await;
    second.stop().await;
}
