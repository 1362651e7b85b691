//! Appending: whole appends, next to each other, acknowledged by all copies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use super::client::{Context, Delivered, Delivery, lock};
use super::config::{KafkaConfig, MAX_RECORD_BYTES};
use crate::{LogError, MAX_BATCH_BYTES, Record};

/// The one Kafka header: the encoded header of the message.
pub(super) const HEADER: &str = "mast";

/// Beyond the message timeout, what the last delivery reports may take.
const GRACE: Duration = Duration::from_secs(5);

type Client = ThreadedProducer<Context>;
/// A topic's partition, and the lock that keeps an append's records together.
type Places = HashMap<(String, u32), Arc<Mutex<()>>>;

pub(super) struct Producer {
    config: KafkaConfig,
    context: Context,
    client: Mutex<Arc<Client>>,
    places: Mutex<Places>,
}

/// One append to a partition.
struct Append<'a> {
    partition: u32,
    records: &'a [Record],
    outcomes: Vec<Option<Result<u64, KafkaError>>>,
}

impl Producer {
    pub(super) fn new(config: &KafkaConfig, context: &Context) -> Result<Self, LogError> {
        Ok(Self {
            config: config.clone(),
            context: context.clone(),
            client: Mutex::new(client(config, context)?),
            places: Mutex::default(),
        })
    }

    /// Appends to several partitions at once, each once; the offset of the first record of each append.
    /// No append may be empty.
    pub(super) fn append(
        &self,
        topic: &str,
        appends: &[(u32, &[Record])],
    ) -> Vec<Result<u64, LogError>> {
        let mut results: Vec<Option<Result<u64, LogError>>> = Vec::new();
        let mut order = Vec::new();
        for (index, (partition, records)) in appends.iter().enumerate() {
            let refused = check(records).err().map(Err);
            if refused.is_none() {
                order.push((*partition, index));
            }
            results.push(refused);
        }
        // By ascending partition, as everybody locks them.
        order.sort_unstable();
        let locks: Vec<_> = order.iter().map(|(p, _)| self.place(topic, *p)).collect();
        let held: Vec<_> = locks.iter().map(|place| lock(place)).collect();
        let client = lock(&self.client).clone();
        let mut going: Vec<_> = order
            .iter()
            .map(|&(partition, index)| Append {
                partition,
                records: appends[index].1,
                outcomes: vec![None; appends[index].1.len()],
            })
            .collect();
        self.deliver(&client, topic, &mut going);
        drop(held);
        if let Some((_, reason)) = client.client().fatal_error() {
            tracing::error!(reason, "the Kafka producer failed and is made anew");
            self.renew(&client);
        }
        for (append, (_, index)) in going.into_iter().zip(order) {
            results[index] = Some(self.outcome(append));
        }
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|| Err(self.broker("append to it", "no answer"))))
            .collect()
    }

    /// Sends everything, then waits for every outcome.
    fn deliver(&self, client: &Client, topic: &str, appends: &mut [Append<'_>]) {
        let deadline = Instant::now() + self.config.timeout;
        let (done, delivered) = mpsc::channel();
        let mut number = 0;
        let mut owners = Vec::new();
        for (at, append) in appends.iter_mut().enumerate() {
            for (index, record) in append.records.iter().enumerate() {
                owners.push((at, index));
                let to = (topic, append.partition);
                if let Err(error) = send(client, to, record, number, &done, deadline) {
                    append.outcomes[index] = Some(Err(error));
                    // What follows would leave a hole.
                    break;
                }
                number += 1;
            }
            owners.truncate(number);
        }
        drop(done);
        // Ends when all delivery reports are in: each holds a sender.
        let end = deadline + GRACE;
        while let Ok((number, outcome)) = next(&delivered, end) {
            let (at, index) = owners[number];
            appends[at].outcomes[index] = Some(outcome);
        }
    }

    fn outcome(&self, append: Append<'_>) -> Result<u64, LogError> {
        let mut first = None;
        for (at, outcome) in append.outcomes.into_iter().enumerate() {
            let offset = match outcome {
                Some(Ok(offset)) => offset,
                Some(Err(error)) => return Err(self.failed(&append.records[at], &error)),
                None => return Err(self.broker("append to it", "no acknowledgement came")),
            };
            let first = *first.get_or_insert(offset);
            if offset != first + at as u64 {
                // A retry of the client or a second writer: what is there is not what was asked for.
                return Err(self.broker("append to it", "another writer came between"));
            }
        }
        self.context.health.good();
        self.context.bell.ring();
        first.ok_or_else(|| self.broker("append to it", "nothing to append"))
    }

    fn failed(&self, record: &Record, error: &KafkaError) -> LogError {
        match error.rdkafka_error_code() {
            // Its topic was made by somebody else, who allows less.
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let bytes = record.size_bytes() as u64;
                let limit_bytes = bytes.saturating_sub(1);
                LogError::TooLarge { bytes, limit_bytes }
            }
            _ => self.broker("append to it", &words(error)),
        }
    }

    fn broker(&self, action: &'static str, reason: &str) -> LogError {
        let error = LogError::broker(action, &self.config.brokers, reason);
        self.context.health.bad(reason);
        error
    }

    fn place(&self, topic: &str, partition: u32) -> Arc<Mutex<()>> {
        let mut places = lock(&self.places);
        places
            .entry((topic.to_owned(), partition))
            .or_default()
            .clone()
    }

    /// Puts a new client in the place of one that failed for good.
    fn renew(&self, failed: &Arc<Client>) {
        let mut current = lock(&self.client);
        if Arc::ptr_eq(&current, failed) {
            match client(&self.config, &self.context) {
                Ok(new) => *current = new,
                Err(error) => tracing::error!(%error, "no new Kafka producer could be made"),
            }
        }
    }
}

fn client(config: &KafkaConfig, context: &Context) -> Result<Arc<Client>, LogError> {
    config
        .producer()
        .create_with_context(context.clone())
        .map(Arc::new)
        .map_err(|error| {
            LogError::broker("set up a producer for it", &config.brokers, &words(&error))
        })
}

fn check(records: &[Record]) -> Result<(), LogError> {
    let sizes = || records.iter().map(|record| record.size_bytes() as u64);
    let too_large = |bytes, limit_bytes| Err(LogError::TooLarge { bytes, limit_bytes });
    if let Some(bytes) = sizes().find(|bytes| *bytes > MAX_RECORD_BYTES) {
        return too_large(bytes, MAX_RECORD_BYTES);
    }
    let total = sizes().sum();
    if total > MAX_BATCH_BYTES {
        return too_large(total, MAX_BATCH_BYTES);
    }
    Ok(())
}

/// Hands one record to the client; waits while its queue is full.
fn send(
    client: &Client,
    (topic, partition): (&str, u32),
    record: &Record,
    index: usize,
    done: &mpsc::Sender<Delivered>,
    deadline: Instant,
) -> Result<(), KafkaError> {
    let delivery = Box::new(Delivery {
        index,
        done: done.clone(),
    });
    let mut message = BaseRecord::with_opaque_to(topic, delivery).partition(partition as i32);
    if !record.key.is_empty() {
        message = message.key(&*record.key);
    }
    if !record.body.is_empty() {
        message = message.payload(&*record.body);
    }
    if !record.headers.is_empty() {
        let header = Header {
            key: HEADER,
            value: Some(&*record.headers),
        };
        message = message.headers(OwnedHeaders::new_with_capacity(1).insert(header));
    }
    loop {
        match client.send(message) {
            Ok(()) => return Ok(()),
            Err((error, back)) => {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() >= deadline {
                    return Err(error);
                }
                message = back;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn next(
    delivered: &mpsc::Receiver<Delivered>,
    end: Instant,
) -> Result<Delivered, mpsc::RecvTimeoutError> {
    delivered.recv_timeout(end.saturating_duration_since(Instant::now()))
}

/// An error of the client in the broker's words.
pub(super) fn words(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| error.to_string(), |code| code.to_string())
}
