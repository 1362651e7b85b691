//! Real sockets: both logins, TLS, silence, resets, control, restarts.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use mast_schemas::control::TlsPolicy;
use mast_simulator::{Fleet, FleetConfig, SimulatorError, Truth, ctl_send};
use routeros_api::{Client, Command, ErrorClass, LoginForm, Sentence, TlsMode};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::live::{PATIENCE, device, devices, fleet, hundred, identity, open};

#[tokio::test]
async fn every_device_answers_by_its_address_as_its_inventory_says() {
    let fleet = hundred().await;
    let truth = fleet.truth();
    let (mut forms, mut kinds) = ((0, 0), BTreeSet::new());
    for device in devices(&fleet) {
        let plain = device.tls == Some(TlsPolicy::Plain);
        let mode = match device.tls.unwrap() {
            TlsPolicy::Plain => TlsMode::Plain,
            TlsPolicy::Anonymous => TlsMode::Anonymous,
            _ => TlsMode::Pinned(None),
        };
        let mut client = open(&device, &mode, PATIENCE).await.unwrap();
        let info = client.info().clone();
        kinds.insert((
            info.tls_stack.map(|stack| stack.to_string()),
            info.fingerprint.is_some(),
        ));
        assert_eq!(identity(&mut client).await, device.name);
        let told = truth
            .devices
            .iter()
            .find(|d| d.address == device.address)
            .unwrap();
        let certified = info.fingerprint.is_some();
        assert_eq!(told.api_ssl_port.is_some(), certified);
        assert_eq!(told.tls == "off", plain);
        match told.login.as_str() {
            "challenge" => {
                assert_eq!(client.info().login_form, LoginForm::Challenge);
                forms.0 += 1;
            }
            _ => forms.1 += 1,
        }
    }
    assert!(forms.0 > 2 && forms.1 > 50, "{forms:?}");
    let openssl = || Some("openssl".to_owned());
    let wanted = [
        (None, false),
        (openssl(), false),
        (openssl(), true),
        (Some("rustls".to_owned()), true),
    ];
    assert_eq!(
        kinds,
        BTreeSet::from(wanted),
        "plain, anonymous, DHE, modern"
    );
    fleet.stop().await;
}

#[tokio::test]
async fn pipelined_tagged_commands_and_cancel() {
    let fleet = hundred().await;
    let device = device(&fleet, "tower-01-s1-ap");
    let mut client = open(&device, &TlsMode::Insecure, PATIENCE).await.unwrap();
    let listening = client.start(&Command::new("/interface/listen"));
    let plan = [
        Command::new("/system/resource/print").proplist(["uptime", "version"]),
        Command::new("/no/such/menu/print"),
        Command::new("/interface/print").proplist(["name", "mac-address"]),
    ];
    let answers = client.call_many(&plan, PATIENCE).await;
    assert_eq!(answers[0].as_ref().unwrap().rows.len(), 1);
    assert!(answers[1].is_err());
    assert!(answers[2].as_ref().unwrap().rows.len() >= 3);
    let cancelling = client.cancel(listening);
    assert!(
        client
            .finish(listening, PATIENCE)
            .await
            .unwrap_err()
            .is_interrupted()
    );
    client.finish(cancelling, PATIENCE).await.unwrap();
    assert_eq!(identity(&mut client).await, device.name);
    assert_eq!(client.strays(), Default::default());
    fleet.stop().await;
}

#[tokio::test]
async fn wrong_passwords_are_refused() {
    let fleet = hundred().await;
    let mut device = device(&fleet, "tower-01-s1-ap");
    device.password = Some("guess".into());
    let refused = open(&device, &TlsMode::Insecure, PATIENCE)
        .await
        .unwrap_err();
    assert_eq!(refused.class(), ErrorClass::AuthFailed);
    let device = crate::live::device(&fleet, "tower-01-s1-ap");
    let mut client = open(&device, &TlsMode::Insecure, PATIENCE).await.unwrap();
    fleet.ctl("wrong_password device=tower-01-s1-ap").unwrap();
    assert!(
        client
            .call(&Command::new("/system/identity/print"))
            .await
            .is_err(),
        "reset"
    );
    let refused = open(&device, &TlsMode::Insecure, PATIENCE)
        .await
        .unwrap_err();
    assert_eq!(refused.class(), ErrorClass::AuthFailed);
    fleet.ctl("heal").unwrap();
    open(&device, &TlsMode::Insecure, PATIENCE).await.unwrap();
    fleet.stop().await;
}

#[tokio::test]
async fn a_dead_device_is_silent_and_resets_what_outlived_it() {
    let fleet = hundred().await;
    let ap = device(&fleet, "tower-01-s1-ap");
    let mut client = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    assert_eq!(identity(&mut client).await, ap.name);
    let mut idle = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    fleet.ctl("ap_dead ap=tower-01-s1-ap").unwrap();

    let short = Duration::from_millis(300);
    for mode in [TlsMode::Plain, TlsMode::Insecure] {
        let silence = open(&ap, &mode, short).await.unwrap_err();
        assert_eq!(
            silence.class(),
            ErrorClass::Timeout,
            "neither refused nor closed: {silence}"
        );
    }
    let tag = client.start(&Command::new("/system/identity/print"));
    let silence = client.finish(tag, short).await.unwrap_err();
    assert_eq!(silence.class(), Some(ErrorClass::Timeout), "{silence}");
    let other = device(&fleet, "tower-01-s2-ap");
    let mut other = open(&other, &TlsMode::Insecure, PATIENCE).await.unwrap();
    identity(&mut other).await;

    fleet.ctl("heal").unwrap();
    let lost = idle
        .call(&Command::new("/system/identity/print"))
        .await
        .unwrap_err();
    assert_eq!(
        lost.class(),
        Some(ErrorClass::Io),
        "the restarted device knows it not: {lost}"
    );
    let mut again = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    assert_eq!(identity(&mut again).await, ap.name);
    fleet.stop().await;
}

#[tokio::test]
async fn a_cut_path_freezes_a_session_and_lets_it_go_on() {
    let fleet = hundred().await;
    let ap = device(&fleet, "tower-01-s1-ap");
    let mut client = open(&ap, &TlsMode::Insecure, PATIENCE).await.unwrap();
    fleet.ctl("silent device=tower-01-s1-ap").unwrap();
    let tag = client.start(&Command::new("/system/identity/print"));
    let early =
        tokio::time::timeout(Duration::from_millis(200), client.finish(tag, PATIENCE)).await;
    assert!(early.is_err(), "no answer while the path is cut");
    fleet.ctl("heal").unwrap();
    assert_eq!(
        identity(&mut client).await,
        ap.name,
        "the same connection goes on"
    );
    fleet.stop().await;
}

#[tokio::test]
async fn a_reboot_resets_open_connections() {
    let fleet = hundred().await;
    let ap = device(&fleet, "tower-01-s1-ap");
    let address = SocketAddr::new(ap.address.parse().unwrap(), ap.api_port.unwrap());
    let mut socket = TcpStream::connect(address).await.unwrap();
    // A greeting first, so that the session surely exists on the other side.
    tokio::io::AsyncWriteExt::write_all(&mut socket, b"\x06/login\x00")
        .await
        .unwrap();
    socket.read_u8().await.unwrap();
    fleet.ctl("reboot device=tower-01-s1-ap for=1s").unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(
        ended.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    fleet.stop().await;
}

#[tokio::test]
async fn nobody_lives_at_other_addresses_or_without_tls() {
    let fleet = hundred().await;
    for address in ["127.0.0.1", "127.16.0.101", "127.200.0.1"] {
        let socket = TcpStream::connect((address, fleet.api_port())).await;
        let ended = match socket {
            Ok(mut socket) => socket.read_u8().await.unwrap_err().kind(),
            Err(error) => error.kind(),
        };
        assert_eq!(ended, std::io::ErrorKind::ConnectionReset, "{address}");
    }
    let plain = devices(&fleet)
        .into_iter()
        .find(|d| d.tls == Some(TlsPolicy::Plain))
        .unwrap();
    assert!(open(&plain, &TlsMode::Insecure, PATIENCE).await.is_err());
    fleet.stop().await;
}

/// This machine's own address on another interface, if it has one: no packet is sent to find it.
fn outside_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket
        .local_addr()
        .ok()
        .map(|a| a.ip())
        .filter(|ip| !ip.is_loopback())
}

#[tokio::test]
async fn peers_from_elsewhere_are_refused() {
    let Some(outside) = outside_address() else {
        return;
    };
    let fleet = hundred().await;
    if let Ok(mut socket) = TcpStream::connect((outside, fleet.api_port())).await {
        let refused = socket.read_u8().await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionReset);
    }
    fleet.stop().await;
}

#[tokio::test]
async fn control_socket_and_truth_file() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, file) = (dir.path().join("control"), dir.path().join("truth.json"));
    let fleet = fleet(FleetConfig {
        devices: 60,
        truth_file: Some(file.clone()),
        control_socket: Some(socket.clone()),
        ..FleetConfig::default()
    })
    .await;
    let told: Truth = serde_json::from_str(&ctl_send(&socket, "truth").await.unwrap()).unwrap();
    assert!(told.devices.iter().all(|d| d.alive));
    assert_eq!(ctl_send(&socket, "now ap_dead ap=1").await.unwrap(), "ok 1");
    let told: Truth = serde_json::from_str(&ctl_send(&socket, "truth").await.unwrap()).unwrap();
    assert!(told.devices.iter().any(|d| d.role == "ap" && !d.alive));
    let refused = ctl_send(&socket, "now snow site=1").await.unwrap_err();
    assert!(
        matches!(&refused, SimulatorError::Refused(why) if why.contains("snow")),
        "{refused}"
    );
    let written = async {
        loop {
            let text = tokio::fs::read(&file).await.unwrap_or_default();
            if let Ok(truth) = serde_json::from_slice::<Truth>(&text)
                && truth.devices.iter().any(|d| !d.alive)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    fleet.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_restarted_fleet_goes_on_where_it_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let config = FleetConfig {
        devices: 60,
        journal: Some(dir.path().join("journal")),
        ..FleetConfig::default()
    };
    let first = fleet(config.clone()).await;
    let router = device(&first, "tower-01-router");
    let client = open(&router, &TlsMode::Pinned(None), PATIENCE)
        .await
        .unwrap();
    let fingerprint = client.info().fingerprint;
    first
        .ctl("roam cpe=tower-01-s1-c01 to=tower-01-s2-ap")
        .unwrap();
    let then = first.truth();
    first.stop().await;

    let second = fleet(config.clone()).await;
    let now = second.truth_at(then.at_unix_ms);
    assert_eq!(now.links, then.links);
    let places = |t: &Truth| {
        t.devices
            .iter()
            .map(|d| (d.name.clone(), d.alive))
            .collect::<Vec<_>>()
    };
    assert_eq!(places(&now), places(&then));
    let router = device(&second, "tower-01-router");
    open(&router, &TlsMode::Pinned(fingerprint), PATIENCE)
        .await
        .unwrap();
    second.stop().await;
    let other = Fleet::start(FleetConfig { seed: 8, ..config }).await;
    assert!(matches!(other, Err(SimulatorError::Journal { .. })));
}

/// A reader that remembers how far it read a log finds the place again, and behind it what is new.
#[tokio::test]
async fn a_restarted_fleet_has_the_logs_that_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let config = FleetConfig {
        devices: 60,
        journal: Some(dir.path().join("journal")),
        ..FleetConfig::default()
    };
    let log = async |client: &mut Client| -> Vec<(String, String)> {
        let reply = client.call(&Command::new("/log/print")).await.unwrap();
        let word = |row: &Sentence, name| row.text(name).unwrap().into_owned();
        let rows = reply.rows.iter();
        rows.map(|row| (word(row, ".id"), word(row, "message")))
            .collect()
    };
    let said = |lines: &[(String, String)], text: &str| {
        let those = lines.iter().filter(|(_, message)| message.contains(text));
        those.count()
    };
    let first = fleet(config.clone()).await;
    let router = device(&first, "tower-01-router");
    let mut stranger = router.clone();
    stranger.password = Some("not it".into());
    assert!(open(&stranger, &TlsMode::Insecure, PATIENCE).await.is_err());
    let gone = open(&router, &TlsMode::Plain, PATIENCE).await.unwrap();
    gone.close(PATIENCE).await;
    let mut client = open(&router, &TlsMode::Insecure, PATIENCE).await.unwrap();
    first.ctl("reboot device=tower-01-s1-ap for=1ms").unwrap();
    let then = tokio::time::timeout(PATIENCE, async {
        loop {
            let lines = log(&mut client).await;
            // A port, too, that went down and up.
            if said(&lines, "logged in") == 2
                && said(&lines, "logged out") == 1
                && said(&lines, "link up") >= 2
            {
                break lines;
            }
        }
    });
    let then = then.await.unwrap();
    assert!(said(&then, "login failure") > 0, "{then:?}");
    first.stop().await;

    for restarts in 1..=2 {
        let again = fleet(config.clone()).await;
        let router = device(&again, "tower-01-router");
        let mut client = open(&router, &TlsMode::Insecure, PATIENCE).await.unwrap();
        let now = tokio::time::timeout(PATIENCE, async {
            loop {
                let lines = log(&mut client).await;
                if said(&lines, "logged in") == 2 + restarts {
                    break lines;
                }
            }
        });
        let now = now.await.unwrap();
        assert_eq!(now[..then.len()], then[..], "after {restarts} restarts");
        again.stop().await;
    }
}

#[tokio::test]
async fn a_bad_scenario_is_refused_with_its_line() {
    let scenario = Some("# weather\nat 5m rain site=1\nat 6m snow site=1\n".to_owned());
    let refused = Fleet::start(FleetConfig {
        scenario,
        ..FleetConfig::default()
    })
    .await;
    assert!(matches!(
        refused,
        Err(SimulatorError::Scenario { line: 3, .. })
    ));
}
