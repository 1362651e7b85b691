//! What the clients share: the health of the connection and the counter that readers sleep on.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::{ClientContext, Statistics};

/// A panic elsewhere leaves the data whole: every change under these locks is one assignment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts appends, its own and those it hears of.
#[derive(Debug)]
pub(super) struct Bell {
    count: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    fn new() -> Self {
        Self {
            count: Mutex::new(1),
            rung: Condvar::new(),
        }
    }

    pub(super) fn ring(&self) {
        *lock(&self.count) += 1;
        self.rung.notify_all();
    }

    /// The count as soon as it is above `seen`, or as it is after `timeout`.
    pub(super) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let count = lock(&self.count);
        let waited = self
            .rung
            .wait_timeout_while(count, timeout, |count| *count <= seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What is wrong with the broker now, if anything.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<Trouble>>);

#[derive(Debug)]
struct Trouble {
    since: Instant,
    reason: String,
}

impl Health {
    pub(super) fn good(&self) {
        let ended = lock(&self.0).take();
        if let Some(trouble) = ended {
            let seconds = trouble.since.elapsed().as_secs();
            tracing::info!(after_s = seconds, "the Kafka broker answers again");
        }
    }

    pub(super) fn bad(&self, reason: &str) {
        let mut trouble = lock(&self.0);
        match &mut *trouble {
            Some(known) => reason.clone_into(&mut known.reason),
            None => {
                tracing::warn!(
                    reason,
                    "the Kafka broker does not answer; what is to be appended waits, and it is tried again"
                );
                *trouble = Some(Trouble {
                    since: Instant::now(),
                    reason: reason.to_owned(),
                });
            }
        }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = lock(&self.0);
        trouble
            .as_ref()
            .map(|t| format!("{}, for {} s", t.reason, t.since.elapsed().as_secs()))
    }
}

/// The ears of all clients.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) bell: Arc<Bell>,
    pub(super) health: Arc<Health>,
    pub(super) buffered: Arc<Buffered>,
}

/// What the client holds for its readers.
#[derive(Debug, Default)]
pub(super) struct Buffered {
    /// Of all partitions.
    pub(super) bytes: AtomicU64,
    /// Of the one that has the most.
    pub(super) most: AtomicU64,
    /// How often it was counted.
    pub(super) counted: AtomicU64,
}

impl Context {
    pub(super) fn new() -> Self {
        Self {
            bell: Arc::new(Bell::new()),
            health: Arc::default(),
            buffered: Arc::default(),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What ends a call is its error, and health tells the rest: these lines are details.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let topics = statistics.topics.values();
        let sizes = topics.flat_map(|topic| topic.partitions.values().map(|p| p.fetchq_size));
        let (sum, most) = sizes.fold((0, 0), |(sum, most), size| (sum + size, most.max(size)));
        self.buffered.bytes.store(sum, SeqCst);
        self.buffered.most.store(most, SeqCst);
        self.buffered.counted.fetch_add(1, SeqCst);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        use RDKafkaErrorCode::{
            AllBrokersDown, Authentication, BrokerTransportFailure, Resolve, SSL,
        };
        match error.rdkafka_error_code() {
            // They follow from others, which say why.
            Some(AllBrokersDown | BrokerTransportFailure) if self.health.trouble().is_some() => {}
            Some(AllBrokersDown | Authentication | BrokerTransportFailure | Resolve | SSL) => {
                self.health.bad(reason);
            }
            _ => tracing::debug!(%error, reason, "a Kafka client's error"),
        }
    }
}

impl ConsumerContext for Context {}

/// Where one record of an append is waited for.
pub(super) struct Delivery {
    pub(super) index: usize,
    pub(super) done: mpsc::Sender<Delivered>,
}

/// Which record, and its offset or why it has none.
pub(super) type Delivered = (usize, Result<u64, KafkaError>);

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) => Ok(u64::try_from(message.offset()).unwrap_or(0)),
            Err((error, _)) => Err(error.clone()),
        };
        // Who waited may have given up.
        let _ = delivery.done.send((delivery.index, outcome));
    }
}
