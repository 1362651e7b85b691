//! Everything that the simulator can do to a device, through a whole node: how the device's polls end meanwhile, that those
//! of all others go on, and that it is read again when it is over.

use super::bench::{Bench, Reader};
use mast_ingest::Node;
use mast_schemas::DeviceId;
use mast_schemas::control::{Device, Role, TlsPolicy};
use mast_schemas::records::Outcome;
use mast_secrets::{Credentials, Secret};
use mast_simulator::truth::DeviceTruth;
use mast_simulator::{Fleet, FleetConfig};
use std::iter::repeat;
use std::time::Duration;

/// What is done to a device, how it is spoken to, and how its polls end from then on: as these, and then as the last.
type Case = (&'static str, TlsPolicy, &'static [Outcome]);

const TIMEOUT: &[Outcome] = &[Outcome::Timeout; 2];
const OK: &[Outcome] = &[Outcome::Ok; 3];

const CASES: &[Case] = &[
    ("dead", TlsPolicy::Auto, TIMEOUT),
    ("reboot for=1h", TlsPolicy::Auto, TIMEOUT),
    ("silent", TlsPolicy::Auto, TIMEOUT),
    ("silent", TlsPolicy::Plain, TIMEOUT),
    // In the midst of a TLS handshake a reset may be the word of a port that speaks no TLS, hence none of these over TLS.
    ("reset", TlsPolicy::Plain, &[Outcome::Refused; 2]),
    ("stall step=connect", TlsPolicy::Auto, TIMEOUT),
    ("stall step=connect", TlsPolicy::Plain, TIMEOUT),
    ("stall step=login", TlsPolicy::Auto, TIMEOUT),
    ("stall step=answer", TlsPolicy::Auto, TIMEOUT),
    ("stall step=half", TlsPolicy::Auto, TIMEOUT),
    // The session is lost; the look that follows at once opens another.
    ("nat", TlsPolicy::Auto, &[Outcome::Timeout, Outcome::Ok]),
    ("wrong_password", TlsPolicy::Auto, &[Outcome::AuthFailed; 2]),
    ("certificate", TlsPolicy::Auto, &[Outcome::TlsFailed; 2]),
    // Nobody looks at a certificate where there is none.
    ("certificate", TlsPolicy::Plain, OK),
    ("slow ms=20ms", TlsPolicy::Auto, OK),
    ("slow ms=600ms", TlsPolicy::Auto, &[Outcome::Partial; 2]),
    ("slow ms=1m", TlsPolicy::Auto, TIMEOUT),
    ("slow_cpu ms=20ms", TlsPolicy::Auto, OK),
    ("slow_cpu ms=1m", TlsPolicy::Auto, TIMEOUT),
    (
        "hostile mode=length",
        TlsPolicy::Auto,
        &[Outcome::ProtocolError; 2],
    ),
    (
        "hostile mode=endless",
        TlsPolicy::Auto,
        &[Outcome::ProtocolError; 2],
    ),
    (
        "hostile mode=garbage",
        TlsPolicy::Auto,
        &[Outcome::ProtocolError; 2],
    ),
    ("hostile mode=utf8", TlsPolicy::Auto, OK),
    ("hostile mode=strange", TlsPolicy::Auto, OK),
];

/// Devices to which nothing is done.
const OTHERS: usize = 6;

/// Whether polls end as a case says, as far as there are any.
fn follows(polls: &[Outcome], ends: &[Outcome]) -> bool {
    let last = ends.last().copied().unwrap_or(Outcome::Ok);
    let wanted = ends.iter().copied().chain(repeat(last));
    polls.iter().zip(wanted).all(|(poll, end)| *poll == end)
}

struct Polled {
    bench: Bench,
    reader: Reader,
}

impl Polled {
    async fn add(&self, truth: &DeviceTruth, tls: TlsPolicy) -> Device {
        let device = Device {
            id: DeviceId::new(),
            tenant_id: self.bench.tenant,
            name: truth.name.clone(),
            address: truth.address.clone(),
            api_port: truth.api_port,
            api_ssl_port: truth.api_ssl_port.unwrap(),
            tls,
            site_id: None,
            sector_id: None,
            parent_id: None,
            group_ids: Vec::new(),
            tag_ids: Vec::new(),
            role: Role::Cpe,
            // Deadlines are two seconds, the least there is.
            interval_ms: 2_000,
            enabled: true,
            credentials_version: 1,
            version: 1,
        };
        let password = Secret::new(truth.password.clone());
        let credentials = Credentials::new(truth.username.clone(), password);
        self.bench.add(&device, &credentials).await;
        device
    }

    /// How all polls of a device ended, in their order.
    fn ends(&self, device: &Device) -> Vec<Outcome> {
        let polls = self.reader.polls.iter().map(|whole| &whole.poll);
        let of = polls.filter(|poll| poll.device_id == device.id);
        of.map(|poll| poll.outcome).collect()
    }

    /// Reads on until what is wanted is there.
    async fn until(&mut self, what: &str, devices: &[Device], wanted: impl Fn(&Self) -> bool) {
        for _ in 0..1_200 {
            self.reader.read(&self.bench);
            if wanted(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ends = devices.iter().map(|d| (&d.name, self.ends(d)));
        panic!("{what}: {:#?}", ends.collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_ends_the_polls_of_its_device_alone_and_passes() {
    let fleet = Fleet::start(FleetConfig {
        devices: 160,
        ..FleetConfig::default()
    })
    .await
    .unwrap();
    let mut all = Polled {
        bench: Bench::new().await,
        reader: Reader::default(),
    };
    // Customers' devices: behind them is nobody whom a fault would cut off too.
    let truth = fleet.truth().devices.into_iter();
    let mut free = truth.filter(|d| d.role == "cpe" && d.tls == "modern" && d.alive);
    let mut devices = Vec::new();
    for (_, tls, _) in CASES {
        devices.push(all.add(&free.next().unwrap(), *tls).await);
    }
    for _ in 0..OTHERS {
        devices.push(all.add(&free.next().unwrap(), TlsPolicy::Auto).await);
    }
    let (ill, well) = devices.split_at(CASES.len());
    let node = Node::start(all.bench.config().await).await.unwrap();
    all.until("at first", &devices, |all| {
        devices.iter().all(|d| all.ends(d).len() >= 2)
    })
    .await;
    for device in &devices {
        let ends = all.ends(device);
        assert!(ends.iter().all(|end| *end == Outcome::Ok), "{ends:?}");
    }

    let before: Vec<usize> = devices.iter().map(|d| all.ends(d).len()).collect();
    for ((fault, ..), device) in CASES.iter().zip(ill) {
        let line = format!("{fault} device={}", device.name);
        fleet.ctl(&line).unwrap();
    }
    // What was on its way when it began went well yet.
    let meanwhile = |all: &Polled, n: usize| -> Vec<Outcome> {
        let good = |end: &Outcome| CASES[n].2[0] != Outcome::Ok && *end == Outcome::Ok;
        let since = all.ends(&ill[n]).split_off(before[n]);
        since.into_iter().skip_while(good).collect()
    };
    all.until("the faults", &devices, |all| {
        let shown = |n: usize| meanwhile(all, n).len() >= CASES[n].2.len();
        (0..CASES.len()).all(shown)
            && (well.iter().zip(&before[CASES.len()..])).all(|(d, n)| all.ends(d).len() > n + 2)
    })
    .await;
    for (n, (fault, tls, ends)) in CASES.iter().enumerate() {
        let found = meanwhile(&all, n);
        assert!(follows(&found, ends), "{fault}, {tls}: {found:?}");
    }
    let failed = (all.reader.polls.iter()).filter(|p| p.poll.outcome != Outcome::Ok);
    let told = failed.map(|p| p.poll.detail.as_deref().unwrap_or_default());
    assert!(told.into_iter().all(|why| !why.is_empty()), "a reason each");

    fleet.ctl("heal").unwrap();
    all.until("healed", &devices, |all| {
        ill.iter().all(|d| all.ends(d).ends_with(&[Outcome::Ok; 2]))
    })
    .await;
    for device in well {
        let ends = all.ends(device);
        assert!(
            ends.iter().all(|end| *end == Outcome::Ok),
            "{}: {ends:?}",
            device.name
        );
    }
    node.stop().await;
    fleet.stop().await;
}
