//! How hard a device is tried: a second look at once, and the breaker's quiet.

use super::support::{MemoryLog, Said, access_point, listen, router, said, spec, trust};
use mast_ingest::clock::SystemClock;
use mast_ingest::poller::{self, Shared};
use mast_ingest::producer::{Producer, ProducerConfig};
use mast_ingest::session::DeviceSpec;
use mast_schemas::control::TlsPolicy;
use mast_schemas::records::{Outcome, Poll};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

struct Polling {
    log: Arc<MemoryLog>,
    shared: Arc<Shared>,
    _spec: watch::Sender<Arc<DeviceSpec>>,
}

fn start(address: SocketAddr, password: &str, interval_ms: u32) -> Polling {
    let (log, clock) = (
        Arc::new(MemoryLog::new(1)),
        Arc::new(SystemClock::default()),
    );
    let config = ProducerConfig::default();
    let producer = Producer::new(log.clone(), clock.clone(), 1, config, Arc::default()).unwrap();
    let shared = Arc::new(Shared {
        producer: Arc::new(producer),
        clock,
        trust: trust(Arc::default()),
        lease_epoch: 1,
        stats: Arc::default(),
        stop: CancellationToken::new(),
    });
    let mut device = spec(address, TlsPolicy::Plain, password);
    device.device.interval_ms = interval_ms;
    let (sender, receiver) = watch::channel(Arc::new(device));
    tokio::spawn(poller::run(shared.clone(), receiver, Arc::default()));
    Polling {
        log,
        shared,
        _spec: sender,
    }
}

impl Polling {
    fn rows(&self) -> Vec<Poll> {
        self.shared.producer.flush(true);
        let mut found = Vec::new();
        for record in self.log.records(0) {
            if let Said::Polls(polls) = said(&record) {
                found.extend(polls.into_iter().map(|whole| whole.poll));
            }
        }
        found
    }

    async fn until(&self, wanted: impl Fn(&[Poll]) -> bool) -> Vec<Poll> {
        for _ in 0..400 {
            let rows = self.rows();
            if wanted(&rows) {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}", self.rows());
    }
}

#[tokio::test]
async fn a_first_failure_is_looked_at_again_at_once() {
    // The first connection serves one exchange; later ones are closed at once.
    let seen = Arc::new(AtomicUsize::new(0));
    let address = listen(move |stream| {
        let first = seen.fetch_add(1, Relaxed) == 0;
        async move {
            if first {
                let serve = router(stream, access_point());
                let _ = tokio::time::timeout(Duration::from_millis(500), serve).await;
            }
        }
    })
    .await;
    let polling = start(address, "secret", 3_000);
    let rows = polling.until(|rows| rows.len() >= 3).await;
    assert_eq!(rows[0].outcome, Outcome::Ok);
    assert_eq!(
        (rows[1].outcome, rows[2].outcome),
        (Outcome::Refused, Outcome::Refused)
    );
    // Both belong to one grid point: the second did not wait for the next.
    assert_eq!(rows[1].next_due_at, rows[2].next_due_at);
    assert_eq!((rows[1].sequence, rows[2].sequence), (2, 3));
    polling.shared.stop.cancel();
}

#[tokio::test]
async fn behind_the_breaker_a_device_that_answers_gets_no_row() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let address = listen(move |stream| {
        counted.fetch_add(1, Relaxed);
        router(stream, access_point())
    })
    .await;
    let polling = start(address, "wrong", 100);
    let rows = polling.until(|rows| rows.len() >= 5).await;
    assert!(rows.iter().all(|row| row.outcome == Outcome::AuthFailed));
    let opened = &rows[4];
    let quiet = opened.next_due_at - opened.observed_at;
    assert!(
        quiet.0 > 20_000_000,
        "the fifth says when the next row may be expected: {quiet:?}"
    );
    // It is still knocked at each interval.
    let before = connections.load(Relaxed);
    while connections.load(Relaxed) < before + 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(polling.rows().len(), 5);
    polling.shared.stop.cancel();
}
