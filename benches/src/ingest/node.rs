//! The ingest process: pollers, producer and log as in production, told by their devices' intervals what to do.
//!
//! An interval of a day leaves a session idle, one of a millisecond has it polled back to back. What polls, how it is
//! parsed and written is ingest's own code throughout; only lease and inventory, which are Postgres's, are left out.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mast_ingest::clock::SystemClock;
use mast_ingest::poller::{self, PollStats, Shared};
use mast_ingest::producer::{Producer, ProducerConfig, ProducerStats};
use mast_ingest::round_trips::RoundTrips;
use mast_ingest::slower::Slower;
use mast_ingest::trust::{DeviceSpec, LoginPace, Manner, PinStore, Trust};
use mast_log::{EmbeddedConfig, EmbeddedLog, Log, TopicSpec};
use mast_schemas::control::{Device, Role, TlsPolicy};
use mast_schemas::metric::Metric;
use mast_schemas::records::Outcome;
use mast_schemas::{DeviceId, TenantId, topics};
use routeros_api::{Credentials, Fingerprint};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::routers::{self, PASSWORD};
use super::words::Kind;
use super::{Busy, Figures, Paced};
use crate::process::{cpu_time, resident_bytes};
use crate::{BenchError, say};

/// Sessions that are polled back to back: enough that ingest never waits for one.
const BUSY: usize = 32;

/// Back to back.
const AT_ONCE_MS: u32 = 1;
/// While sessions are opened, each device is polled about twice.
const OPENING_MS: u32 = 4_000;
/// As in production.
const MINUTE_MS: u32 = 60_000;
/// Not at all.
const IDLE_MS: u32 = 86_400_000;

/// Ingest in a process of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ingest {
    pub(super) devices: u32,
    pub(super) seconds: u32,
    pub(super) port: u16,
    pub(super) folder: PathBuf,
}

impl Ingest {
    pub(crate) async fn measure(self) -> Result<(), BenchError> {
        let mut node = Node::start(&self)?;
        let figures = node.figures(&self).await?;
        node.stop().await;
        say(&figures)
    }
}

/// A running ingest with the ends by which its devices are changed.
struct Node {
    shared: Arc<Shared>,
    /// The same for access points.
    with_sensors: Arc<Shared>,
    produced: Arc<ProducerStats>,
    devices: Vec<watch::Sender<Arc<DeviceSpec>>>,
    tasks: JoinSet<()>,
    writing: tokio::task::JoinHandle<()>,
}

impl Node {
    fn start(task: &Ingest) -> Result<Self, BenchError> {
        let log = EmbeddedLog::open(&task.folder, EmbeddedConfig::default())?;
        log.ensure_topic(&TopicSpec {
            name: topics::TELEMETRY.to_owned(),
            partitions: topics::STANDALONE_PARTITIONS,
        })?;
        let clock = Arc::new(SystemClock::default());
        let produced = Arc::<ProducerStats>::default();
        let producer = Arc::new(Producer::new(
            Arc::new(log),
            Arc::clone(&clock) as _,
            ProducerConfig::default(),
            None,
            Arc::clone(&produced),
        )?);
        producer.open_all(1);
        let writing = tokio::task::spawn_blocking({
            let producer = Arc::clone(&producer);
            move || producer.run()
        });
        let shared = Arc::new(Shared {
            producer,
            clock,
            trust: Arc::new(Trust {
                roots: None,
                pins: Arc::new(Pins::default()),
                logins: Arc::new(LoginPace::new(500)),
            }),
            kin: Arc::default(),
            slower: Arc::default(),
            lease_epoch: 1,
            stats: Arc::<PollStats>::default(),
            times: Metric::IngestPollTime.histogram(&[]),
            stop: CancellationToken::new(),
        });
        // What is meant by a poll of an access point holds its sensors, and they have a cadence of their own.
        let with_sensors = Arc::new(Shared {
            slower: Arc::new(Slower {
                sensors_each_poll: true,
                ..Slower::default()
            }),
            ..(*shared).clone()
        });
        Ok(Self {
            shared,
            with_sensors,
            produced,
            devices: Vec::new(),
            tasks: JoinSet::new(),
            writing,
        })
    }

    async fn figures(&mut self, task: &Ingest) -> Result<Figures, BenchError> {
        let (before, cpu) = (resident_bytes()?, cpu_time());
        eprintln!("opening {} sessions …", task.devices);
        self.open(task).await?;
        let open_cpu = cpu_time().saturating_sub(cpu);
        self.pace(IDLE_MS, |_| true);
        self.quiet().await?;
        let idle = resident_bytes()?;
        say(&task.devices)?;
        let ap = self.busy(task, Kind::AccessPoint).await?;
        let cpe = self.busy(task, Kind::Customer).await?;
        let paced = self.paced(task).await?;
        Ok(Figures {
            devices: task.devices,
            seconds: task.seconds,
            ap,
            cpe,
            paced,
            open_cpu_ms: open_cpu.as_secs_f64() * 1e3 / f64::from(task.devices),
            sessions_rss_bytes: idle.saturating_sub(before),
            rss_bytes: resident_bytes()?,
            log_bytes: self.produced.bytes.load(Relaxed),
            failed_polls: self.polls() - self.good(),
        })
    }

    /// Has every device polled a first time.
    async fn open(&mut self, task: &Ingest) -> Result<(), BenchError> {
        let tenant = TenantId::new();
        for number in 0..task.devices {
            let (sender, receiver) = watch::channel(Arc::new(spec(number, tenant, task.port)));
            self.devices.push(sender);
            let shared = match routers::kind(number) {
                Kind::AccessPoint => Arc::clone(&self.with_sensors),
                Kind::Customer => Arc::clone(&self.shared),
            };
            self.tasks
                .spawn(poller::run(shared, receiver, Arc::default()));
        }
        // A poll in each of two intervals, or as the pace of logins allows.
        let patience =
            Duration::from_secs(60) + Duration::from_millis(u64::from(task.devices) * 10);
        let end = Instant::now() + patience;
        let all = i64::from(task.devices);
        while self.shared.stats.sessions.load(Relaxed) < all || self.good() < 2 * all as u64 {
            let open = self.shared.stats.sessions.load(Relaxed);
            if Instant::now() > end {
                return Err(BenchError::Stuck(format!(
                    "only {open} of {all} sessions are open after {} s",
                    patience.as_secs()
                )));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Waits until nothing is under way and everything is in the log.
    async fn quiet(&self) -> Result<(), BenchError> {
        let mut before = u64::MAX;
        while before != self.polls() || self.produced.polls.load(Relaxed) != before {
            before = self.polls();
            // Longer than a poll may take is not needed: two looks without a change are.
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// Changes the interval of devices.
    fn pace(&self, interval_ms: u32, which: impl Fn(u32) -> bool) {
        for (number, device) in (0..).zip(&self.devices) {
            if which(number) {
                device.send_modify(|spec| {
                    let mut changed = (**spec).clone();
                    changed.device.interval_ms = interval_ms;
                    changed.device.version += 1;
                    *spec = Arc::new(changed);
                });
            }
        }
    }

    async fn busy(&self, task: &Ingest, kind: Kind) -> Result<Busy, BenchError> {
        let chosen: Vec<u32> = (0..task.devices)
            .filter(|number| routers::kind(*number) == kind)
            .take(BUSY)
            .collect();
        eprintln!(
            "polling {} devices back to back ({kind:?}) for {} s …",
            chosen.len(),
            task.seconds
        );
        self.pace(AT_ONCE_MS, |number| chosen.contains(&number));
        sleep(Duration::from_secs(1)).await;
        let seen = self.look();
        sleep(Duration::from_secs(u64::from(task.seconds))).await;
        let (seen, wall) = (seen.until(&self.look()), seen.at.elapsed());
        self.pace(IDLE_MS, |number| chosen.contains(&number));
        self.quiet().await?;
        Ok(Busy {
            sessions: chosen.len() as u32,
            polls: seen.polls,
            rows: seen.rows,
            cpu_us_per_poll: seen.cpu_us_per_poll(),
            cores: seen.cpu.as_secs_f64() / wall.as_secs_f64(),
            p50_ms: seen.p50_ms,
            p99_ms: seen.p99_ms,
        })
    }

    async fn paced(&self, task: &Ingest) -> Result<Paced, BenchError> {
        eprintln!(
            "polling {} devices once a minute for {} s …",
            task.devices, task.seconds
        );
        self.pace(MINUTE_MS, |_| true);
        let seen = self.look();
        sleep(Duration::from_secs(u64::from(task.seconds))).await;
        let seen = seen.until(&self.look());
        self.pace(IDLE_MS, |_| true);
        self.quiet().await?;
        Ok(Paced {
            polls: seen.polls,
            cpu_us_per_poll: seen.cpu_us_per_poll(),
            p50_ms: seen.p50_ms,
            p99_ms: seen.p99_ms,
        })
    }

    fn polls(&self) -> u64 {
        let outcomes = &self.shared.stats.outcomes;
        outcomes.iter().map(|count| count.load(Relaxed)).sum()
    }

    fn good(&self) -> u64 {
        self.shared.stats.outcomes[Outcome::Ok as usize].load(Relaxed)
    }

    fn look(&self) -> Look {
        Look {
            at: Instant::now(),
            cpu: cpu_time(),
            polls: self.polls(),
            rows: self.shared.stats.rows.load(Relaxed),
            trips: self.shared.stats.round_trips.snapshot(),
        }
    }

    async fn stop(mut self) {
        self.shared.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.shared.producer.stop();
        // Its thread has nothing to say but that it panicked, which it did aloud.
        let _ = self.writing.await;
    }
}

/// Counters at a moment.
struct Look {
    at: Instant,
    cpu: Duration,
    polls: u64,
    rows: u64,
    trips: Vec<u64>,
}

/// What came between two looks.
struct Seen {
    cpu: Duration,
    polls: u64,
    rows: u64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Look {
    fn until(&self, later: &Self) -> Seen {
        let at = |q| {
            let found = RoundTrips::percentile(&self.trips, &later.trips, q);
            found.map_or(0.0, |d| d.as_secs_f64() * 1e3)
        };
        Seen {
            cpu: later.cpu.saturating_sub(self.cpu),
            polls: later.polls - self.polls,
            rows: later.rows - self.rows,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        }
    }
}

impl Seen {
    fn cpu_us_per_poll(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.polls.max(1) as f64
    }
}

fn spec(number: u32, tenant: TenantId, port: u16) -> DeviceSpec {
    DeviceSpec {
        device: Device {
            id: DeviceId::new(),
            tenant_id: tenant,
            name: format!("device-{number}"),
            address: routers::address(number).to_string(),
            api_port: port,
            api_ssl_port: port,
            tls: TlsPolicy::Pinned,
            site_id: None,
            sector_id: None,
            parent_id: None,
            group_ids: Vec::new(),
            tag_ids: Vec::new(),
            role: match routers::kind(number) {
                Kind::AccessPoint => Role::Ap,
                Kind::Customer => Role::Cpe,
            },
            interval_ms: OPENING_MS,
            enabled: true,
            credentials_version: 1,
            version: 1,
        },
        credentials: Ok(Credentials::new("mast", PASSWORD)),
        pin: None,
        manner: Manner {
            modern: true,
            ..Manner::default()
        },
    }
}

/// Pins in memory.
#[derive(Default)]
struct Pins(Mutex<HashMap<DeviceId, Fingerprint>>);

impl PinStore for Pins {
    fn keep<'a>(
        &'a self,
        device: &'a Device,
        found: Fingerprint,
    ) -> BoxFuture<'a, Result<Fingerprint, String>> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = *pins.entry(device.id).or_insert(found);
        async move { Ok(kept) }.boxed()
    }

    fn remember<'a>(&'a self, _: &'a Device, _: Manner) -> BoxFuture<'a, ()> {
        async {}.boxed()
    }
}
