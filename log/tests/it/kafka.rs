//! The log over a real Kafka broker: the suite that every log passes, and bad days.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use mast_log::dev_broker::DevBroker;
use mast_log::{
    KafkaConfig, KafkaLog, Log, LogError, MAX_BUFFERED_BYTES, Password, Record, Security,
    TopicSpec, conformance,
};

/// A broker for tests that do it no harm; it lives as long as one of them needs it.
struct Shared {
    broker: DevBroker,
    _dir: tempfile::TempDir,
}

impl Deref for Shared {
    type Target = DevBroker;

    fn deref(&self) -> &DevBroker {
        &self.broker
    }
}

fn shared() -> Arc<Shared> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut known = SHARED.lock().unwrap();
    known.upgrade().unwrap_or_else(|| {
        let dir = tempfile::tempdir().unwrap();
        let broker = DevBroker::start(dir.path());
        let fresh = Arc::new(Shared { broker, _dir: dir });
        *known = Arc::downgrade(&fresh);
        fresh
    })
}

fn record(text: impl Into<String>) -> Record {
    Record {
        body: text.into().into(),
        ..Record::default()
    }
}

/// Records of a MiB each, which compression makes no smaller.
fn noise(count: usize) -> Vec<Record> {
    let mut state = 1_u64;
    let mut body = || -> Vec<u8> {
        let word = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(word)
            .take(1 << 17)
            .flatten()
            .collect()
    };
    let record = || Record {
        body: body().into(),
        ..Record::default()
    };
    std::iter::repeat_with(record).take(count).collect()
}

fn topic(log: &dyn Log, name: &str) -> String {
    log.ensure_topic(&TopicSpec {
        name: name.to_owned(),
        partitions: 1,
    })
    .unwrap();
    name.to_owned()
}

fn quick(config: KafkaConfig) -> KafkaConfig {
    KafkaConfig {
        timeout: Duration::from_secs(2),
        ..config
    }
}

/// All bodies that the log has, read by a client of its own.
fn bodies(config: KafkaConfig, topic: &str) -> Vec<String> {
    let log = KafkaLog::connect(config).unwrap();
    let mut bodies = Vec::new();
    loop {
        let entries = log.read(topic, 0, bodies.len() as u64, 1 << 20).unwrap();
        if entries.is_empty() {
            return bodies;
        }
        let text = |entry: mast_log::Entry| String::from_utf8(entry.record.body.to_vec()).unwrap();
        bodies.extend(entries.into_iter().map(text));
    }
}

#[test]
fn it_conforms_without_and_with_encryption() {
    let broker = shared();
    let prefixed = KafkaConfig {
        topic_prefix: "conforming.".to_owned(),
        ..broker.plain()
    };
    for config in [broker.plain(), broker.tls(), prefixed] {
        conformance::run(|| Box::new(KafkaLog::connect(config.clone()).unwrap()));
    }
}

/// Each has topics of the same names, with other partitions and records, and trims only its own.
#[test]
fn two_installations_share_a_cluster_by_their_prefixes() {
    let broker = shared();
    let with = |prefix: &str| {
        let config = KafkaConfig {
            topic_prefix: prefix.to_owned(),
            ..broker.plain()
        };
        KafkaLog::connect(config).unwrap()
    };
    let logs = [with("north."), with("south.")];
    let spec = |partitions| TopicSpec {
        name: "shared".to_owned(),
        partitions,
    };
    for (log, partitions) in logs.iter().zip([1, 2]) {
        log.ensure_topic(&spec(partitions)).unwrap();
    }
    let count = |log: &KafkaLog| log.partitions("shared").unwrap();
    assert_eq!(logs.each_ref().map(count), [1, 2]);
    let [north, south] = &logs;
    for (log, text) in [(north, "north"), (south, "south"), (north, "north")] {
        log.append("shared", 0, &[record(text)]).unwrap();
    }
    north.trim("shared", 0, 1).unwrap();
    let ends = |log: &KafkaLog| log.ends("shared", 0).unwrap();
    assert_eq!((ends(north).first, ends(north).next), (1, 2));
    assert_eq!((ends(south).first, ends(south).next), (0, 1));
    let read = south.read("shared", 0, 0, 1 << 20).unwrap();
    assert_eq!(read[0].record.body, "south");
    // What others see in the cluster.
    assert_eq!(bodies(broker.plain(), "south.shared"), ["south"]);
    let nobody = with("").partitions("shared");
    assert!(
        matches!(nobody, Err(LogError::UnknownTopic { .. })),
        "{nobody:?}"
    );
}

#[test]
fn who_may_not_connect_is_told_why() {
    let broker = shared();

    let mut wrong = quick(broker.tls());
    if let Security::Tls {
        login: Some(login), ..
    } = &mut wrong.security
    {
        login.password = Password::new("not-it");
    }
    let error = KafkaLog::connect(wrong).err().unwrap().to_string();
    assert!(error.contains("Authentication failed"), "{error}");
    assert!(!error.contains("not-it"), "{error}");

    let mut stranger = quick(broker.tls());
    if let Security::Tls { ca, .. } = &mut stranger.security {
        *ca = None;
    }
    let error = KafkaLog::connect(stranger).err().unwrap().to_string();
    assert!(error.contains("certificate"), "{error}");

    let nobody = quick(KafkaConfig::plain("127.0.0.1:1"));
    let error = KafkaLog::connect(nobody).err().unwrap().to_string();
    assert!(error.contains("127.0.0.1:1"), "{error}");
}

/// While a writer appends and a reader of another client follows, the broker is killed and comes back: what was
/// acknowledged is there once and in order, and the reader sees it all.
#[test]
fn a_killed_broker_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = DevBroker::start(dir.path());
    let config = quick(broker.plain());
    let log = KafkaLog::connect(config.clone()).unwrap();
    let topic = topic(&log, "killed");
    let (acknowledged, failures, stop) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let seen = thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !stop.load(SeqCst) {
                // A failed append may have succeeded: then the number is there twice, as its retry says.
                match log.append(&topic, 0, &[record(number.to_string())]) {
                    Ok(_) => {
                        number += 1;
                        acknowledged.store(number, SeqCst);
                    }
                    Err(error) => {
                        assert!(error.is_passing(), "{error}");
                        assert!(log.trouble().is_some());
                        failures.fetch_add(1, SeqCst);
                    }
                }
            }
        });
        let reader = scope.spawn(|| {
            let log = KafkaLog::connect(config.clone()).unwrap();
            let (mut next, mut wakes, mut last) = (0, 0, None);
            loop {
                let ended = stop.load(SeqCst);
                wakes = log.wait(wakes, Duration::from_millis(200));
                loop {
                    let entries = match log.read(&topic, 0, next, 1 << 20) {
                        Ok(entries) => entries,
                        Err(error) => {
                            assert!(error.is_passing(), "{error}");
                            break;
                        }
                    };
                    let Some(end) = entries.last() else { break };
                    next = end.offset + 1;
                    for entry in entries {
                        let number: u64 =
                            str::from_utf8(&entry.record.body).unwrap().parse().unwrap();
                        let expected = last.map_or(0, |last| last + 1);
                        assert!(
                            number == expected || Some(number) == last,
                            "{number} came after {last:?}"
                        );
                        last = Some(number);
                    }
                }
                if ended {
                    return last.unwrap();
                }
            }
        });
        let wait_for = |what: &AtomicU64, count| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while what.load(SeqCst) < count {
                assert!(Instant::now() < deadline, "it stopped");
                thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(&acknowledged, 50);
        broker.kill();
        wait_for(&failures, 1);
        broker.again();
        wait_for(&acknowledged, acknowledged.load(SeqCst) + 50);
        assert_eq!(log.trouble(), None, "it answers again");
        stop.store(true, SeqCst);
        reader.join().unwrap()
    });
    assert!(
        seen + 1 >= acknowledged.into_inner(),
        "the reader saw all that was acknowledged"
    );
}

/// A broker that takes connections and does not answer: appends end with an error in time, and go on later.
#[test]
fn a_broker_that_stalls_is_given_up_and_met_again() {
    let dir = tempfile::tempdir().unwrap();
    let broker = DevBroker::start(dir.path());
    let log = KafkaLog::connect(quick(broker.plain())).unwrap();
    let topic = topic(&log, "stalled");
    log.append(&topic, 0, &[record("before")]).unwrap();
    broker.freeze();
    let error = log.append(&topic, 0, &[record("during")]).unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(log.trouble().is_some());
    broker.thaw();
    let deadline = Instant::now() + Duration::from_secs(60);
    while log.append(&topic, 0, &[record("after")]).is_err() {
        assert!(Instant::now() < deadline, "it does not come back");
    }
    let found = bodies(broker.plain(), &topic);
    assert_eq!(found.first().unwrap(), "before");
    assert_eq!(found.last().unwrap(), "after");
}

/// A reader that comes after somebody trimmed is told where it can go on.
#[test]
fn a_trim_by_another_client_is_a_gap() {
    let broker = shared();
    let log = KafkaLog::connect(broker.plain()).unwrap();
    let topic = topic(&log, "trimmed");
    let many: Vec<Record> = (0..50).map(|n| record(n.to_string())).collect();
    log.append(&topic, 0, &many).unwrap();
    let other = KafkaLog::connect(broker.plain()).unwrap();
    assert_eq!(other.read(&topic, 0, 0, 1).unwrap().len(), 1);
    log.trim(&topic, 0, 40).unwrap();
    let gap = other.read(&topic, 0, 20, 1 << 20);
    assert!(matches!(gap, Err(LogError::Gap { first: 40 })), "{gap:?}");
    let rest = other.read(&topic, 0, 40, 1 << 20).unwrap();
    assert_eq!(rest.len(), 10);
}

/// The broker refuses a fetch of what was trimmed meanwhile, and the client stops fetching: the reader is told, and can go on.
#[test]
fn a_trim_under_a_reader_is_a_gap_behind_which_it_reads_on() {
    let broker = shared();
    let log = KafkaLog::connect(broker.plain()).unwrap();
    let topic = topic(&log, "trimmed-under");
    // More than is fetched ahead, so that fetching is not done before the trim.
    for record in noise(32) {
        log.append(&topic, 0, &[record]).unwrap();
    }
    let reader = KafkaLog::connect(broker.plain()).unwrap();
    let mut next = reader.read(&topic, 0, 0, 1).unwrap().len() as u64;
    log.trim(&topic, 0, 31).unwrap();
    let gap = loop {
        match reader.read(&topic, 0, next, 1) {
            Ok(entries) => next += entries.len() as u64,
            Err(error) => break error,
        }
    };
    assert!(matches!(gap, LogError::Gap { first: 31 }), "{gap:?}");
    assert!(next < 31, "all of it was fetched ahead");
    for from in [31, 31] {
        assert_eq!(reader.read(&topic, 0, from, 1).unwrap().len(), 1);
    }
    assert_eq!(log.append(&topic, 0, &[record("after")]).unwrap(), 32);
    let deadline = Instant::now() + Duration::from_secs(30);
    while reader.read(&topic, 0, 32, 1).unwrap().is_empty() {
        assert!(Instant::now() < deadline, "it does not read on");
        reader.wait(0, Duration::from_millis(50));
    }
}

/// Appends to many partitions wait for the broker together.
#[test]
fn appends_to_many_partitions_are_each_answered() {
    let broker = shared();
    let log = KafkaLog::connect(broker.plain()).unwrap();
    let spec = TopicSpec {
        name: "many".to_owned(),
        partitions: 8,
    };
    log.ensure_topic(&spec).unwrap();
    let records: Vec<Vec<Record>> = (0..8)
        .map(|p| vec![record(format!("{p}-a")), record(format!("{p}-b"))])
        .collect();
    // Out of order, one partition that does not exist, one empty append.
    let mut appends: Vec<(u32, &[Record])> = (0..8)
        .rev()
        .map(|p| (p, &records[p as usize][..]))
        .collect();
    appends.push((8, &records[0]));
    appends.push((3, &[]));
    for first in [0, 2] {
        let results = log.append_all("many", &appends);
        assert_eq!(results.len(), 10);
        for result in &results[..8] {
            assert_eq!(*result.as_ref().unwrap(), first);
        }
        assert!(matches!(
            results[8],
            Err(LogError::PartitionMismatch { asked: 8, .. })
        ));
        assert!(matches!(results[9], Ok(2 | 4)), "{:?}", results[9]);
    }
    for (p, records) in (0..).zip(&records) {
        let read = log.read("many", p, 2, 1 << 20).unwrap();
        let read: Vec<Record> = read.into_iter().map(|entry| entry.record).collect();
        assert_eq!(&read, records);
    }
}

/// A reader that takes nothing from one partition gets the others all the same, and what waits for it in memory is
/// bounded, however much there is.
#[test]
fn a_partition_that_is_not_read_on_pauses_alone() {
    let broker = shared();
    let log = KafkaLog::connect(broker.plain()).unwrap();
    let spec = TopicSpec {
        name: "paused".to_owned(),
        partitions: 2,
    };
    log.ensure_topic(&spec).unwrap();
    let sent = noise(64);
    for record in &sent {
        log.append("paused", 0, std::slice::from_ref(record))
            .unwrap();
    }
    let reader = KafkaLog::connect(broker.plain()).unwrap();
    assert_eq!(reader.read("paused", 0, 0, 1).unwrap().len(), 1);
    let (mut seen, mut next) = (0, 0);
    // Counted thrice with data of the paused partition: then it has been filled as far as it ever is.
    let mut filled = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut last = reader.buffered_bytes().2;
    while filled < 3 {
        assert!(Instant::now() < deadline, "nothing is fetched ahead");
        log.append("paused", 1, &[record(next.to_string())])
            .unwrap();
        while reader.ends("paused", 1).unwrap().next > next {
            let entries = reader.read("paused", 1, next, 1 << 20).unwrap();
            next += entries.len() as u64;
        }
        seen = reader.wait(seen, Duration::from_millis(100));
        let (_, most, counted) = reader.buffered_bytes();
        assert!(most <= MAX_BUFFERED_BYTES, "{most} bytes wait in memory");
        if counted > last && most > 1 << 20 {
            filled += 1;
        }
        last = counted;
    }
    let mut read = Vec::new();
    while read.len() < sent.len() {
        let from = read.len() as u64;
        let entries = reader.read("paused", 0, from, 3 << 20).unwrap();
        read.extend(entries.into_iter().map(|entry| entry.record));
    }
    assert!(read == sent, "all of it, in order");
}

/// Topics that somebody else made must keep what they are given.
#[test]
fn a_topic_that_would_drop_records_is_refused() {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;

    let broker = shared();
    let admin: AdminClient<DefaultClientContext> = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .create()
        .unwrap();
    for (name, key, value) in [
        ("compacted", "cleanup.policy", "compact"),
        ("narrow", "max.message.bytes", "1000000"),
    ] {
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1)).set(key, value);
        let made = admin.create_topics([&topic], &AdminOptions::new());
        futures::executor::block_on(made).unwrap()[0]
            .as_ref()
            .unwrap();
        let log = KafkaLog::connect(broker.plain()).unwrap();
        // What a fresh topic's settings are, the broker may tell a moment later than that it is there.
        let deadline = Instant::now() + Duration::from_secs(60);
        let refused = loop {
            let spec = TopicSpec {
                name: name.to_owned(),
                partitions: 1,
            };
            match log.ensure_topic(&spec) {
                Ok(()) => assert!(Instant::now() < deadline, "{name} is taken"),
                Err(error) => break error,
            }
        };
        let error = refused.to_string();
        assert!(error.contains(name) && error.contains(key), "{error}");
    }
}
