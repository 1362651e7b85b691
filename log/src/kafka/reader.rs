//! Reading: a queue for each partition, which the client fills ahead of its reader.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Context, lock};
use super::config::KafkaConfig;
use super::producer::{HEADER, words};
use crate::{Ends, Entry, LogError, Record};

type Client = BaseConsumer<Context>;
type Followers = HashMap<(String, u32), Arc<Follower>>;

/// How long one look into a queue sleeps when records are known to come.
const LOOK: Duration = Duration::from_millis(50);

pub(super) struct Reader {
    config: KafkaConfig,
    context: Context,
    client: Arc<Client>,
    followers: Mutex<Followers>,
}

/// A partition that is being read.
#[derive(Default)]
struct Follower {
    /// Offsets below it are in the log: acknowledged to us, or told by the broker.
    known: AtomicU64,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    /// `None` = never read.
    queue: Option<PartitionQueue<Context>>,
    /// The client fetches the partition.
    assigned: bool,
    /// The offset that the queue gives next.
    next: u64,
    /// A record that did not fit into the last answer; it has offset `next`.
    held: Option<Entry>,
    /// Records of the place before may come until the one asked for does.
    sought: bool,
}

impl Drop for Reader {
    /// A queue must be gone before the client that fills it.
    fn drop(&mut self) {
        lock(&self.followers).clear();
    }
}

impl Reader {
    pub(super) fn new(config: &KafkaConfig, context: &Context) -> Result<Self, LogError> {
        let client = config.consumer().create_with_context(context.clone());
        let client = client.map_err(|error| {
            LogError::broker("set up a consumer for it", &config.brokers, &words(&error))
        })?;
        Ok(Self {
            config: config.clone(),
            context: context.clone(),
            client: Arc::new(client),
            followers: Mutex::default(),
        })
    }

    pub(super) const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    fn follower(&self, topic: &str, partition: u32) -> Arc<Follower> {
        let mut followers = lock(&self.followers);
        let known = followers.entry((topic.to_owned(), partition));
        known.or_default().clone()
    }

    /// What was appended by us has to be found by the next read.
    pub(super) fn appended(&self, topic: &str, partition: u32, next: u64) {
        self.follower(topic, partition)
            .known
            .fetch_max(next, SeqCst);
    }

    pub(super) fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError> {
        let deadline = Instant::now() + self.config.timeout;
        let (first, next) = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.fetch_watermarks(topic, partition as i32, left) {
                Ok(marks) => break marks,
                // It is being made, or changes its leader.
                Err(error) if settles(&error) && Instant::now() < deadline => {
                    std::thread::sleep(LOOK);
                }
                Err(error) => return Err(self.broker("ask it for its offsets", &error)),
            }
        };
        self.context.health.good();
        let offset = |offset| u64::try_from(offset).unwrap_or(0);
        let ends = Ends {
            first: offset(first),
            next: offset(next),
        };
        self.appended(topic, partition, ends.next);
        Ok(ends)
    }

    pub(super) fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let follower = self.follower(topic, partition);
        let mut place = lock(&follower.place);
        if !place.assigned || place.next != from {
            self.check(topic, partition, from)?;
            self.restart(topic, partition, from, &mut place)?;
        }
        let deadline = Instant::now() + self.config.timeout;
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        loop {
            let behind = place.next < follower.known.load(SeqCst);
            let Some(entry) = self.take(topic, partition, &mut place, behind)? else {
                if !behind {
                    break;
                }
                if Instant::now() >= deadline {
                    if entries.is_empty() {
                        return Err(self.overdue(topic, partition, from));
                    }
                    break;
                }
                continue;
            };
            let size = entry.record.size_bytes();
            if !entries.is_empty() && bytes + size > max_bytes {
                place.held = Some(entry);
                break;
            }
            bytes += size;
            place.next = entry.offset + 1;
            entries.push(entry);
        }
        if !entries.is_empty() {
            self.context.health.good();
        }
        Ok(entries)
    }

    /// The next record of the queue, if it is there; looks a while when it must be.
    fn take(
        &self,
        topic: &str,
        partition: u32,
        place: &mut Place,
        wait: bool,
    ) -> Result<Option<Entry>, LogError> {
        if let Some(held) = place.held.take() {
            return Ok(Some(held));
        }
        loop {
            let Some(queue) = &place.queue else {
                return Ok(None);
            };
            let polled = queue.poll(if wait { LOOK } else { Duration::ZERO });
            let entry = match polled {
                None => return Ok(None),
                Some(Ok(message)) => entry(&message),
                Some(Err(error)) => {
                    self.failed(topic, partition, place, &error)?;
                    return Ok(None);
                }
            };
            if entry.offset == place.next {
                place.sought = false;
                return Ok(Some(entry));
            }
            if entry.offset > place.next && !place.sought {
                // A hole: trimmed under us, or the queue was moved by somebody else.
                self.check(topic, partition, place.next)?;
                let from = place.next;
                self.restart(topic, partition, from, place)?;
            }
        }
    }

    /// An error in a partition's queue: what it means for the reader, if it doesn't pass by itself.
    fn failed(
        &self,
        topic: &str,
        partition: u32,
        place: &mut Place,
        error: &KafkaError,
    ) -> Result<(), LogError> {
        use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
        match error.rdkafka_error_code() {
            Some(OffsetOutOfRange | AutoOffsetReset) => {
                self.check(topic, partition, place.next)?;
                // Its end came back: the fetch goes on where it stopped.
                let from = place.next;
                self.restart(topic, partition, from, place)
            }
            _ => {
                self.context.health.bad(&words(error));
                Ok(())
            }
        }
    }

    /// Both ends, if `from` lies between them.
    fn check(&self, topic: &str, partition: u32, from: u64) -> Result<Ends, LogError> {
        let ends = self.ends(topic, partition)?;
        if from < ends.first {
            return Err(LogError::Gap { first: ends.first });
        }
        if from > ends.next {
            return Err(LogError::Ahead { next: ends.next });
        }
        Ok(ends)
    }

    /// Fetches from another offset. The partition is assigned anew, as only a fetch that runs can seek, and the client stops
    /// one whose offset is out of range.
    fn restart(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        place: &mut Place,
    ) -> Result<(), LogError> {
        let failed = |error| self.broker("read from it", &error);
        place.held = None;
        if place.queue.is_none() {
            // The queue is split off before the partition is assigned: so nothing goes elsewhere first.
            let queue = self.client.split_partition_queue(topic, partition as i32);
            let Some(mut queue) = queue else {
                return Err(LogError::UnknownTopic {
                    topic: topic.to_owned(),
                });
            };
            let bell = self.context.bell.clone();
            queue.set_nonempty_callback(move || bell.ring());
            place.queue = Some(queue);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition as i32, Offset::Offset(from as i64))
            .map_err(failed)?;
        if place.assigned {
            self.client.incremental_unassign(&list).map_err(failed)?;
            place.assigned = false;
        }
        self.client.incremental_assign(&list).map_err(failed)?;
        (place.assigned, place.next, place.sought) = (true, from, true);
        Ok(())
    }

    /// What is known to be there did not come in time.
    fn overdue(&self, topic: &str, partition: u32, from: u64) -> LogError {
        match self.check(topic, partition, from) {
            Err(error) => error,
            // It was acknowledged or told, and is gone: the brokers lost their end.
            Ok(ends) if ends.next <= from => LogError::Ahead { next: ends.next },
            Ok(_) => {
                let error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                self.broker("read from it", &error)
            }
        }
    }

    /// Serves the client's own events; what it finds is told by its context.
    pub(super) fn serve(&self) {
        while let Some(event) = self.client.poll(Duration::ZERO) {
            if let Err(error) = event {
                tracing::debug!(%error, "an event of the Kafka consumer");
            }
        }
    }

    /// Commits where the readers are, for graphs of lag.
    pub(super) fn commit(&self, topic: &str, places: &[u64]) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in places.iter().enumerate() {
            list.add_partition_offset(topic, partition as i32, Offset::Offset(*next as i64))?;
        }
        self.client.commit(&list, CommitMode::Async)
    }

    fn broker(&self, action: &'static str, error: &KafkaError) -> LogError {
        let reason = words(error);
        self.context.health.bad(&reason);
        LogError::broker(action, &self.config.brokers, &reason)
    }
}

/// Whether a cluster that is well answers so for a moment, or the client before it knows a topic's partitions.
fn settles(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::OffsetNotAvailable
                | Code::UnknownPartition
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
        )
    )
}

fn entry(message: &BorrowedMessage<'_>) -> Entry {
    let bytes = |part: Option<&[u8]>| part.map_or_else(Bytes::new, Bytes::copy_from_slice);
    let headers = message.headers().and_then(|headers| {
        let ours = headers.iter().find(|header| header.key == HEADER)?;
        ours.value
    });
    let millis = message.timestamp().to_millis().unwrap_or(0);
    Entry {
        offset: u64::try_from(message.offset()).unwrap_or(0),
        record: Record {
            key: bytes(message.key()),
            headers: bytes(headers),
            body: bytes(message.payload()),
        },
        append_time_us: u64::try_from(millis).unwrap_or(0) * 1000,
    }
}
