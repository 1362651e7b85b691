//! How hard a device is tried: a second look at once, and the breaker's quiet.

use super::support::{MemoryLog, Said, access_point, breakable, listen, router, said, spec, trust};
use mast_ingest::clock::SystemClock;
use mast_ingest::poller::{self, Shared};
use mast_ingest::producer::{Producer, ProducerConfig};
use mast_ingest::trust::DeviceSpec;
use mast_schemas::control::{Role, TlsPolicy};
use mast_schemas::message::WholePoll;
use mast_schemas::metric::Metric;
use mast_schemas::records::{Outcome, Poll};
use routeros_api::Credentials;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

struct Polling {
    log: Arc<MemoryLog>,
    shared: Arc<Shared>,
    spec: watch::Sender<Arc<DeviceSpec>>,
}

fn start(address: SocketAddr, password: &str, interval_ms: u32) -> Polling {
    let (log, clock) = (
        Arc::new(MemoryLog::new(1)),
        Arc::new(SystemClock::default()),
    );
    let config = ProducerConfig::default();
    let producer = Producer::new(log.clone(), clock.clone(), config, None, Arc::default()).unwrap();
    producer.open_all(1);
    let shared = Arc::new(Shared {
        producer: Arc::new(producer),
        clock,
        trust: Arc::new(trust(Arc::default())),
        kin: Arc::default(),
        slower: Arc::default(),
        lease_epoch: 1,
        stats: Arc::default(),
        times: Metric::IngestPollTime.histogram(&[]),
        stop: CancellationToken::new(),
    });
    let mut device = spec(address, TlsPolicy::Plain, password);
    device.device.interval_ms = interval_ms;
    let spec = run(&shared, device);
    Polling { log, shared, spec }
}

fn run(shared: &Arc<Shared>, device: DeviceSpec) -> watch::Sender<Arc<DeviceSpec>> {
    let (sender, receiver) = watch::channel(Arc::new(device));
    tokio::spawn(poller::run(Arc::clone(shared), receiver, Arc::default()));
    sender
}

impl Polling {
    fn polls(&self) -> Vec<WholePoll> {
        self.shared.producer.flush(true);
        let mut found = Vec::new();
        for record in self.log.records(0) {
            if let Said::Polls(polls) = said(&record) {
                found.extend(polls);
            }
        }
        found
    }

    fn rows(&self) -> Vec<Poll> {
        self.polls().into_iter().map(|whole| whole.poll).collect()
    }

    /// What its events say of the breaker, with the sequence of the poll that they came with.
    fn breaker(&self) -> Vec<(u64, String)> {
        let polls = self.polls().into_iter();
        let events = polls.flat_map(|whole| whole.slow.events);
        let of_breaker = events.filter(|event| event.topics == "mast,breaker");
        of_breaker
            .map(|event| (event.sequence, event.message))
            .collect()
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
    let told = polling.breaker();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, 5, "with the row of the poll that opened it");
    let words = "breaker opened: 5 polls in a row were refused, no login is tried for 2";
    assert!(told[0].1.starts_with(words), "{told:?}");
    // It is still knocked at each interval.
    let before = connections.load(Relaxed);
    while connections.load(Relaxed) < before + 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(polling.rows().len(), 5);

    // A person enters the right password.
    let mut right = (**polling.spec.borrow()).clone();
    right.credentials = Ok(Credentials::new("mast", "secret"));
    right.device.credentials_version += 1;
    polling.spec.send(Arc::new(right)).unwrap();
    let rows = polling.until(|rows| rows.len() >= 6).await;
    assert_eq!(rows[5].outcome, Outcome::Ok);
    let told = polling.breaker();
    let closed = (rows[5].sequence, "breaker closed: the device was changed");
    assert_eq!((told[1].0, told[1].1.as_str()), closed, "{told:?}");
    assert_eq!(told.len(), 2);
    polling.shared.stop.cancel();
}

#[tokio::test]
async fn a_device_that_falls_has_its_router_looked_at_and_the_routers_return_takes_breakers_off() {
    let (front, front_up) = breakable().await;
    let (behind, behind_up) = breakable().await;
    let polling = start(front, "secret", 1_000);
    let shared = &polling.shared;
    let site = Some(mast_schemas::SiteId::new());
    let tenant = mast_schemas::TenantId::new();
    let at_site = |address, role, password, interval_ms| {
        let mut spec = spec(address, TlsPolicy::Plain, password);
        (spec.device.site_id, spec.device.tenant_id) = (site, tenant);
        (spec.device.role, spec.device.interval_ms) = (role, interval_ms);
        spec
    };
    // The router is due once a day: what it says beyond its first poll, it was asked for.
    let lead = at_site(front, Role::Router, "secret", 86_400_000);
    let (lead_id, lead_spec) = (lead.device.id, lead.clone());
    let lead = run(shared, lead);
    let cpe = at_site(behind, Role::Cpe, "secret", 300);
    let cpe_id = cpe.device.id;
    let _cpe = run(shared, cpe);
    let of = |rows: &[Poll], id| rows.iter().filter(|row| row.device_id == id).count();
    let last = |rows: &[Poll], id| {
        rows.iter()
            .rfind(|row| row.device_id == id)
            .map(|row| row.outcome)
    };

    // Its grid point may be hours away: a changed interval is none of what is tested, but gives a poll.
    let lead_soon = || {
        let mut soon = lead_spec.clone();
        soon.device.interval_ms = 100;
        lead.send(Arc::new(soon)).unwrap();
    };
    lead_soon();
    polling.until(|rows| of(rows, lead_id) >= 1).await;
    lead.send(Arc::new(lead_spec.clone())).unwrap();
    let locked = at_site(behind, Role::Cpe, "wrong", 100);
    let locked_id = locked.device.id;
    let _locked = run(shared, locked);
    polling
        .until(|rows| of(rows, locked_id) == 5 && of(rows, cpe_id) >= 2)
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let before = of(&polling.rows(), lead_id);
    behind_up.send(false).unwrap();
    let rows = polling.until(|rows| of(rows, lead_id) > before).await;
    assert_eq!(last(&rows, lead_id), Some(Outcome::Ok));

    // Nothing else asks: the router is looked at once an interval, however often those behind it fall.
    for _ in 0..2 {
        behind_up.send(true).unwrap();
        let ok = of(&polling.rows(), cpe_id);
        polling
            .until(|rows| of(rows, cpe_id) > ok && last(rows, cpe_id) == Some(Outcome::Ok))
            .await;
        behind_up.send(false).unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(of(&polling.rows(), lead_id), before + 1);

    // The router falls and returns: the locked one is tried again, five times, before its interval of 30 s is over.
    behind_up.send(true).unwrap();
    let failed_logins = |rows: &[Poll]| {
        let failed = |row: &&Poll| row.device_id == locked_id && row.outcome == Outcome::AuthFailed;
        rows.iter().filter(failed).count()
    };
    assert_eq!(failed_logins(&polling.rows()), 5);
    front_up.send(false).unwrap();
    lead_soon();
    polling
        .until(|rows| last(rows, lead_id) == Some(Outcome::Refused))
        .await;
    front_up.send(true).unwrap();
    polling.until(|rows| failed_logins(rows) >= 10).await;
    polling.shared.stop.cancel();
}
