//! A simulated fleet that knows its truth: every device is read, every link found, with both ends.

use super::support::{Pins, spec, trust};
use futures::StreamExt as _;
use mast_ingest::marks::Marks;
use mast_ingest::session::{Polled, Session};
use mast_schemas::control::TlsPolicy;
use mast_schemas::records::{EventOrigin, FarEnd, Outcome};
use mast_simulator::truth::{DeviceTruth, Truth};
use mast_simulator::{Fleet, FleetConfig};
use routeros_api::{Credentials, TlsStack};
use std::collections::BTreeSet;
use std::sync::Arc;

async fn poll(device: &DeviceTruth, ssl: u16) -> Polled {
    // Over TLS where the device has it: the first use of its certificate.
    let (tls, port) = match (device.tls.as_str(), device.api_ssl_port) {
        ("anonymous", _) => (TlsPolicy::Anonymous, ssl),
        (_, Some(port)) => (TlsPolicy::Auto, port),
        (_, None) => (TlsPolicy::Plain, device.api_port),
    };
    let address = format!("{}:{port}", device.address).parse().unwrap();
    let mut spec = spec(address, tls, &device.password);
    spec.manner.modern = false;
    spec.device.interval_ms = 20_000;
    spec.credentials = Ok(Credentials::new(
        device.username.clone(),
        device.password.as_str(),
    ));
    Session::new(Arc::new(spec))
        .poll(&trust(Arc::default()))
        .await
}

/// Links as (BSSID, client).
type Links = BTreeSet<(String, String)>;

fn links(truth: &Truth) -> Links {
    truth
        .links
        .iter()
        .map(|l| (l.radio_mac.to_uppercase(), l.mac.to_uppercase()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_is_the_truth() {
    let fleet = Fleet::start(FleetConfig {
        devices: 120,
        ..FleetConfig::default()
    })
    .await
    .unwrap();
    let before = links(&fleet.truth());
    let ssl = fleet.api_ssl_port();
    let devices = fleet.truth().devices;
    let polls: Vec<(DeviceTruth, Polled)> = futures::stream::iter(devices)
        .map(|device| async {
            let polled = poll(&device, ssl).await;
            (device, polled)
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let after = links(&fleet.truth());

    let (mut found, mut stations) = (Links::new(), Links::new());
    for (device, polled) in &polls {
        assert_eq!(
            polled.outcome,
            Outcome::Ok,
            "{} {}: {:?}",
            device.name,
            device.version,
            polled.detail
        );
        assert_eq!(polled.issues, 0, "{}", device.name);
        let version = polled.facts.version.as_deref().unwrap();
        assert!(
            version.starts_with(&device.version),
            "{version} {}",
            device.version
        );
        for row in &polled.registrations {
            let radio = row.radio_mac.map(|m| m.to_string()).unwrap_or_default();
            match row.far_end {
                Some(FarEnd::Station) => found.insert((radio, row.mac.to_string())),
                Some(FarEnd::Ap) => stations.insert((row.mac.to_string(), radio)),
                None => panic!("{}: nobody knows what {row:?} is", device.name),
            };
        }
    }
    let settled: Links = before.intersection(&after).cloned().collect();
    let ever: Links = before.union(&after).cloned().collect();
    assert!(settled.len() > 50, "{} links", settled.len());
    assert_eq!(settled.difference(&found).next(), None, "a link was missed");
    assert_eq!(found.difference(&ever).next(), None, "a link was made up");
    assert_eq!(
        stations.difference(&ever).next(),
        None,
        "a station told of another AP"
    );
    assert!(!stations.is_empty());
    fleet.stop().await;
}

/// What a device speaks is learnt once; one without a certificate is read only where a person allowed that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_tls_is_remembered_and_no_certificate_is_refused() {
    let fleet = Fleet::start(FleetConfig {
        devices: 60,
        ..FleetConfig::default()
    })
    .await
    .unwrap();
    let ssl = fleet.api_ssl_port();
    let truth = fleet.truth();
    let of = |tls: &str| truth.devices.iter().find(|d| d.tls == tls).unwrap();
    let spec_of = |device: &DeviceTruth, policy| {
        let address = format!("{}:{ssl}", device.address).parse().unwrap();
        let mut spec = spec(address, policy, "");
        let credentials = Credentials::new(device.username.clone(), device.password.as_str());
        spec.credentials = Ok(credentials);
        spec
    };
    let pins = Arc::new(Pins::default());
    let shared = trust(Arc::clone(&pins));

    let old = spec_of(of("dhe"), TlsPolicy::Auto);
    let id = old.device.id;
    let polled = Session::new(Arc::new(old.clone())).poll(&shared).await;
    assert_eq!(polled.outcome, Outcome::Ok, "{:?}", polled.detail);
    let manner = pins.manner(id).unwrap();
    assert_eq!(manner.tls_stack, TlsStack::OpenSsl);

    // As after a restart, with what was kept; then as after an upgrade, which the kept manner knows nothing of.
    let mut kept = old.clone();
    (kept.manner, kept.pin) = (manner, pins.pin(id));
    let polled = Session::new(Arc::new(kept)).poll(&shared).await;
    assert_eq!(polled.outcome, Outcome::Ok, "{:?}", polled.detail);

    let mut upgraded = spec_of(of("modern"), TlsPolicy::Auto);
    upgraded.manner = manner;
    let id = upgraded.device.id;
    let mut session = Session::new(Arc::new(upgraded));
    let polled = session.poll(&shared).await;
    assert_eq!(polled.outcome, Outcome::Ok, "{:?}", polled.detail);
    assert_eq!(pins.manner(id).unwrap().tls_stack, TlsStack::Rustls);

    for policy in [TlsPolicy::Auto, TlsPolicy::Pinned, TlsPolicy::Insecure] {
        let spec = spec_of(of("anonymous"), policy);
        let polled = Session::new(Arc::new(spec)).poll(&shared).await;
        assert_eq!(polled.outcome, Outcome::TlsFailed, "{policy:?}");
    }
    let spec = spec_of(of("anonymous"), TlsPolicy::Anonymous);
    let polled = Session::new(Arc::new(spec)).poll(&shared).await;
    assert_eq!(polled.outcome, Outcome::Ok, "{:?}", polled.detail);
    fleet.stop().await;
}

/// Each slower kind, of each version, is read and typed; a log is told once although its session is not the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_around_each_device_is_read() {
    let fleet = Fleet::start(FleetConfig {
        devices: 60,
        ..FleetConfig::default()
    })
    .await
    .unwrap();
    let slower = super::slower::sharing(Marks::default());
    let (mut counts, mut known, mut instants) = ([0; 6], BTreeSet::new(), 0);
    for device in fleet
        .truth()
        .devices
        .iter()
        .filter(|d| d.tls != "anonymous")
    {
        let address = format!("{}:{}", device.address, device.api_port);
        let mut spec = spec(address.parse().unwrap(), TlsPolicy::Plain, "");
        let credentials = Credentials::new(device.username.clone(), device.password.as_str());
        (spec.credentials, spec.manner.modern) = (Ok(credentials), false);
        let mut session = Session::sharing(Arc::new(spec), Arc::clone(&slower));
        // The first says which lines there are, a second of each kind how it goes on.
        let mut told = Vec::new();
        for _ in 0..3 {
            let polled = session.poll(&trust(Arc::default())).await;
            let (name, version) = (&device.name, &device.version);
            assert_eq!(
                polled.outcome,
                Outcome::Ok,
                "{name} {version}: {:?}",
                polled.detail
            );
            assert_eq!(polled.issues, 0, "{name} {version}");
            for (sum, rows) in counts.iter_mut().zip(polled.slow.counts()) {
                *sum += rows;
            }
            known.extend(polled.slow.routes.iter().map(|r| r.protocol.clone()));
            let lines = polled.slow.events.into_iter();
            told.extend(lines.filter(|e| e.origin == EventOrigin::Device));
            session.close().await;
        }
        instants += told.iter().filter(|e| e.happened_at.is_some()).count();
        let logins = told.iter().filter(|e| e.message.contains("logged in"));
        assert!(logins.count() <= 3, "{}: {told:?}", device.name);
        assert!(
            told.iter().all(|e| e.device_time.is_some()),
            "{}",
            device.name
        );
    }
    assert!(counts.iter().all(|rows| *rows > 0), "{counts:?}");
    assert!(instants > 0);
    let protocols = ["all", "connect", "static"];
    assert!(protocols.iter().all(|p| known.contains(*p)), "{known:?}");
    fleet.stop().await;
}
