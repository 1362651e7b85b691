//! What can be wrong with a device's API, as a client finds it, and as the truth tells it.

use std::time::{Duration, Instant};

use mast_simulator::FleetHandle;
use routeros_api::{CallError, Command, ErrorClass, Step, TlsMode};

use crate::live::{PATIENCE, device, fleet, hundred, identity, open};

const AP: &str = "tower-01-s1-ap";
const SHORT: Duration = Duration::from_millis(300);

fn print() -> Command {
    Command::new("/system/identity/print")
}

/// (alive, manageable) of the access point.
fn told(fleet: &FleetHandle) -> (bool, bool) {
    let truth = fleet.truth();
    let ap = truth.devices.iter().find(|d| d.name == AP).unwrap();
    (ap.alive, ap.manageable)
}

fn class(error: &CallError) -> Option<ErrorClass> {
    error.class()
}

#[tokio::test]
async fn reset_ends_what_is_open_and_what_comes() {
    let fleet = hundred().await;
    let ap = device(&fleet, AP);
    let mut client = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    assert_eq!(identity(&mut client).await, AP);
    fleet.ctl("reset device=tower-01-s1-ap").unwrap();
    let ended = client.call(&print()).await.unwrap_err();
    assert_eq!(class(&ended), Some(ErrorClass::Io), "{ended}");
    for mode in [TlsMode::Plain, TlsMode::Insecure] {
        assert!(open(&ap, &mode, PATIENCE).await.is_err());
    }
    assert_eq!(told(&fleet), (false, true));
    let cpe = device(&fleet, "tower-01-s1-c01");
    open(&cpe, &TlsMode::Insecure, PATIENCE).await.unwrap();
    fleet.ctl("heal").unwrap();
    assert_eq!(told(&fleet), (true, true));
    open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    fleet.stop().await;
}

#[tokio::test]
async fn a_session_stalls_at_each_step() {
    let fleet = hundred().await;
    let ap = device(&fleet, AP);
    for (step, at_tls) in [("connect", Step::Tls), ("login", Step::Login)] {
        let mut before = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
        fleet
            .ctl(&format!("stall device={AP} step={step}"))
            .unwrap();
        assert!(
            before.call(&print()).await.is_err(),
            "nothing that was open goes on"
        );
        for (mode, at) in [(TlsMode::Insecure, at_tls), (TlsMode::Plain, Step::Login)] {
            let stalled = open(&ap, &mode, SHORT).await.unwrap_err();
            assert_eq!(stalled.class(), ErrorClass::Timeout);
            assert!(
                matches!(&stalled, routeros_api::Error::Timeout { step, .. } if *step == at),
                "{step}: {stalled:?}"
            );
        }
        assert_eq!(told(&fleet), (false, true));
        fleet.ctl("heal").unwrap();
    }
    for step in ["answer", "half"] {
        let mut before = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
        fleet
            .ctl(&format!("stall device={AP} step={step}"))
            .unwrap();
        let mut after = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
        for client in [&mut before, &mut after] {
            let tag = client.start(&print());
            let stalled = client.finish(tag, SHORT).await.unwrap_err();
            assert_eq!(
                class(&stalled),
                Some(ErrorClass::Timeout),
                "{step}: {stalled}"
            );
        }
        assert_eq!(told(&fleet), (false, true));
        fleet.ctl("heal").unwrap();
    }
    let mut client = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    assert_eq!(identity(&mut client).await, AP);
    fleet.stop().await;
}

#[tokio::test]
async fn nat_forgets_old_connections_and_takes_new_ones() {
    let fleet = hundred().await;
    let ap = device(&fleet, AP);
    let mut old = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    let sessions = fleet.sessions();
    fleet.ctl("nat device=tower-01-s1-ap").unwrap();
    let tag = old.start(&print());
    let vanished = old.finish(tag, SHORT).await.unwrap_err();
    assert_eq!(class(&vanished), Some(ErrorClass::Timeout), "{vanished}");
    let mut new = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    assert_eq!(identity(&mut new).await, AP);
    assert_eq!(told(&fleet), (true, true));
    drop(old);
    let gone = async {
        while fleet.sessions() > sessions {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("a client that left is let go");
    fleet.stop().await;
}

#[tokio::test]
async fn another_certificate_is_shown_until_it_is_taken_back() {
    let fleet = fleet(mast_simulator::FleetConfig {
        devices: 100,
        ..Default::default()
    })
    .await;
    let dhe = fleet
        .truth()
        .devices
        .into_iter()
        .find(|d| d.tls == "dhe")
        .unwrap()
        .name;
    for name in [AP.to_owned(), dhe] {
        let device = device(&fleet, &name);
        let first = open(&device, &TlsMode::Pinned(None), PATIENCE)
            .await
            .unwrap();
        let pin = first.info().fingerprint;
        fleet.ctl(&format!("certificate device={name}")).unwrap();
        let refused = open(&device, &TlsMode::Pinned(pin), PATIENCE)
            .await
            .unwrap_err();
        assert_eq!(refused.class(), ErrorClass::TlsFailed, "{refused}");
        let other = open(&device, &TlsMode::Pinned(None), PATIENCE)
            .await
            .unwrap();
        assert_ne!(other.info().fingerprint, pin);
        let truth = fleet.truth();
        let truth = truth.devices.iter().find(|d| d.name == name).unwrap();
        assert!(truth.alive && !truth.manageable);
        fleet.ctl("heal").unwrap();
        open(&device, &TlsMode::Pinned(pin), PATIENCE)
            .await
            .unwrap();
    }
    fleet.stop().await;
}

#[tokio::test]
async fn a_slow_processor_is_slower_the_more_is_asked() {
    let fleet = hundred().await;
    let ap = device(&fleet, AP);
    fleet.ctl("slow_cpu device=tower-01-s1-ap ms=20ms").unwrap();
    let mut one = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    let mut other = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    let ten = vec![print(); 10];
    let begun = Instant::now();
    let (a, b) = tokio::join!(
        one.call_many(&ten, PATIENCE),
        other.call_many(&ten, PATIENCE)
    );
    assert!(a.iter().chain(&b).all(Result::is_ok));
    assert!(
        begun.elapsed() >= Duration::from_millis(400),
        "one processor for both sessions"
    );
    let load = Command::new("/system/resource/print");
    assert_eq!(
        one.call(&load).await.unwrap().rows[0]
            .text("cpu-load")
            .unwrap(),
        "100"
    );
    fleet.stop().await;
}

#[tokio::test]
async fn hostile_answers_are_errors_and_odd_ones_are_read() {
    let fleet = hundred().await;
    let ap = device(&fleet, AP);
    for mode in ["length", "endless", "garbage"] {
        let mut client = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
        fleet
            .ctl(&format!("hostile device={AP} mode={mode}"))
            .unwrap();
        let error = client.call(&print()).await.unwrap_err();
        assert_eq!(
            class(&error),
            Some(ErrorClass::ProtocolError),
            "{mode}: {error}"
        );
        assert_eq!(told(&fleet), (true, false));
        fleet.ctl("heal").unwrap();
    }
    let mut client = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    fleet
        .ctl("hostile device=tower-01-s1-ap mode=utf8")
        .unwrap();
    let ports = client
        .call(&Command::new("/interface/print"))
        .await
        .unwrap();
    let comment = ports.rows[0].get("comment").unwrap();
    assert!(std::str::from_utf8(comment).is_err());
    fleet.ctl("heal").unwrap();
    fleet
        .ctl("hostile device=tower-01-s1-ap mode=strange")
        .unwrap();
    assert_eq!(identity(&mut client).await, AP);
    assert_eq!(told(&fleet), (true, true));
    fleet.stop().await;
}
