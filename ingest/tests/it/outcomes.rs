//! How polls of real peers end: one test a kind of peer.

use super::support::{Pins, access_point, listen, router, spec, trust};
use mast_ingest::session::{Polled, Session};
use mast_ingest::slower::Slower;
use mast_ingest::trust::NoCredentials;
use mast_schemas::Mac;
use mast_schemas::control::TlsPolicy;
use mast_schemas::records::{FarEnd, Outcome, Source, Tables};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

async fn poll(address: SocketAddr, tls: TlsPolicy, password: &str) -> Polled {
    let mut session = Session::new(Arc::new(spec(address, tls, password)));
    session.poll(&trust(Arc::default())).await
}

fn acceptor() -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(vec!["router".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    routeros_api::server::acceptor(vec![CertificateDer::from(made.cert)], key).unwrap()
}

#[tokio::test]
async fn a_router_is_read_whole() {
    let address = listen(|stream| router(stream, access_point())).await;
    let mut session = Session::new(Arc::new(spec(address, TlsPolicy::Plain, "secret")));
    let shared = trust(Arc::default());
    let first = session.poll(&shared).await;
    assert_eq!(
        (first.outcome, first.detail.as_deref()),
        (Outcome::Ok, None)
    );
    assert_eq!(first.facts.version.as_deref(), Some("6.49.10 (long-term)"));
    assert_eq!(first.facts.identity.as_deref(), Some("tower-7"));
    assert_eq!(first.facts.uptime_s, Some(93_600));
    let wanted = Tables::INTERFACE
        .with(Tables::registration(Source::Wireless))
        .with(Tables::RADIO);
    assert_eq!(first.tables, wanted, "menus that are absent are no tables");
    assert_eq!(
        (first.interfaces.len(), first.registrations_read),
        (2, Some(1))
    );
    let row = &first.registrations[0];
    assert_eq!(
        (row.mac, row.radio_mac),
        (Mac(0x0200_0000_0099), Some(Mac(0x0200_0000_0002)))
    );
    assert_eq!(
        (row.signal_dbm, row.far_end),
        (Some(-61), Some(FarEnd::Station))
    );
    assert_eq!(row.ssid.as_deref(), Some("west"));
    let radio = &first.radios[0];
    assert_eq!(
        (radio.interface.as_str(), radio.frequency_mhz),
        ("wlan1", Some(5_220))
    );
    assert_eq!(
        (radio.channel_width_mhz, radio.noise_floor_dbm),
        (Some(40), Some(-108))
    );

    let second = session.poll(&shared).await;
    assert_eq!(second.outcome, Outcome::Ok);
    assert_eq!(
        second.facts.identity, None,
        "what is slow is not read again at once"
    );
    assert_eq!(second.registrations_read, Some(1));
    assert!(session.is_open());
}

#[tokio::test]
async fn sensors_are_read_at_each_poll_where_that_is_wanted() {
    let mut menus = access_point();
    let sensors = vec![("voltage", "24.1".to_owned())];
    menus.insert("/system/health/print", vec![sensors]);
    let address = listen(move |stream| router(stream, menus.clone())).await;
    let shared = trust(Arc::default());
    for (wanted, second) in [(false, None), (true, Some(24.1))] {
        let slower = Slower {
            sensors_each_poll: wanted,
            ..Slower::default()
        };
        let device = Arc::new(spec(address, TlsPolicy::Plain, "secret"));
        let mut session = Session::sharing(device, Arc::new(slower));
        let voltages = [
            session.poll(&shared).await.facts.voltage_v,
            session.poll(&shared).await.facts.voltage_v,
        ];
        assert_eq!(voltages, [Some(24.1), second]);
    }
}

#[tokio::test]
async fn an_access_point_without_clients_says_so() {
    let mut menus = access_point();
    menus.insert("/interface/wireless/registration-table/print", Vec::new());
    let address = listen(move |stream| router(stream, menus.clone())).await;
    let polled = poll(address, TlsPolicy::Plain, "secret").await;
    assert_eq!(polled.registrations_read, Some(0));
    assert!(polled.tables.has(Tables::registration(Source::Wireless)));
}

#[tokio::test]
async fn a_wrong_password_is_auth_failed() {
    let address = listen(|stream| router(stream, access_point())).await;
    let polled = poll(address, TlsPolicy::Plain, "wrong").await;
    assert_eq!(polled.outcome, Outcome::AuthFailed);
    assert!(
        !polled.detail.unwrap().contains("wrong"),
        "the password is in no message"
    );
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert_eq!(
        poll(address, TlsPolicy::Plain, "secret").await.outcome,
        Outcome::Refused
    );
}

#[tokio::test]
async fn a_silent_peer_is_a_timeout_at_any_step() {
    let address = listen(|mut stream| async move {
        let mut sink = [0; 64];
        while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    let (plain, tls) = tokio::join!(
        poll(address, TlsPolicy::Plain, "secret"),
        poll(address, TlsPolicy::Insecure, "secret"),
    );
    assert_eq!(
        (plain.outcome, tls.outcome),
        (Outcome::Timeout, Outcome::Timeout)
    );
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    let address = listen(|mut stream| async move {
        let _ = stream.write_all(&[0xff; 64]).await;
        let mut sink = [0; 64];
        while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
    })
    .await;
    assert_eq!(
        poll(address, TlsPolicy::Plain, "secret").await.outcome,
        Outcome::ProtocolError
    );
}

#[tokio::test]
async fn tls_where_there_is_none_is_tls_failed() {
    let address = listen(|mut stream| async move {
        let _ = stream.write_all(b"SSH-2.0-nothing\r\n").await;
    })
    .await;
    assert_eq!(
        poll(address, TlsPolicy::Insecure, "secret").await.outcome,
        Outcome::TlsFailed
    );
}

#[tokio::test]
async fn the_first_certificate_is_kept_and_another_refused() {
    let serve = |acceptor: TlsAcceptor| {
        listen(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(io) = acceptor.accept(stream).await {
                    router(io, access_point()).await;
                }
            }
        })
    };
    let (real, forged) = (serve(acceptor()).await, serve(acceptor()).await);
    let pins = Arc::new(Pins::default());
    let shared = trust(Arc::clone(&pins));
    let device = spec(real, TlsPolicy::Auto, "secret");
    let mut session = Session::new(Arc::new(device.clone()));
    assert_eq!(session.poll(&shared).await.outcome, Outcome::Ok);
    let pin = pins.pin(device.device.id).unwrap();

    let mut moved = device;
    moved.device.api_ssl_port = forged.port();
    session.change(Arc::new(moved));
    for _ in 0..2 {
        assert_eq!(session.poll(&shared).await.outcome, Outcome::TlsFailed);
    }
    assert_eq!(
        pins.pin(session.device().id).unwrap(),
        pin,
        "the first pin stands"
    );
    // A person takes the old pin away: the new certificate is first now.
    pins.forget();
    assert_eq!(session.poll(&shared).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn what_was_whole_before_the_silence_stays_whole() {
    // Answers the first command of each exchange and nothing else.
    let address = listen(|stream| async move {
        let mut connection = routeros_api::server::Connection::new(stream);
        let form = routeros_api::LoginForm::Password;
        assert!(
            connection
                .login(form, |a| a.accepts(b"secret"))
                .await
                .unwrap()
        );
        while let Ok(Some(request)) = connection.next().await {
            if request.path() == "/system/resource/print" {
                connection
                    .replies()
                    .re(request.tag(), [("version", "7.16.2 (stable)")]);
                connection.replies().done(request.tag());
            }
        }
    })
    .await;
    let mut session = Session::new(Arc::new(spec(address, TlsPolicy::Plain, "secret")));
    let polled = session.poll(&trust(Arc::default())).await;
    assert_eq!(polled.outcome, Outcome::Partial);
    assert_eq!(polled.facts.version.as_deref(), Some("7.16.2 (stable)"));
    assert_eq!(
        (polled.tables, polled.registrations_read),
        (Tables::default(), None)
    );
    assert!(
        !session.is_open(),
        "a connection that missed a deadline is not used again"
    );
}

#[tokio::test]
async fn a_session_that_ended_while_idle_is_opened_again_at_once() {
    let address = listen(|stream| async move {
        // One exchange, then the router closes.
        let serve = router(stream, access_point());
        let _ = tokio::time::timeout(std::time::Duration::from_millis(700), serve).await;
    })
    .await;
    let mut session = Session::new(Arc::new(spec(address, TlsPolicy::Plain, "secret")));
    let shared = trust(Arc::default());
    assert_eq!(session.poll(&shared).await.outcome, Outcome::Ok);
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    assert_eq!(session.poll(&shared).await.outcome, Outcome::Ok);
}

#[tokio::test]
async fn missing_credentials_are_our_fault() {
    let mut device = spec(([127, 0, 0, 1], 9).into(), TlsPolicy::Plain, "");
    device.credentials = Err(NoCredentials::Locked("the key service is away".to_owned()));
    let polled = Session::new(Arc::new(device))
        .poll(&trust(Arc::default()))
        .await;
    assert_eq!(polled.outcome, Outcome::Internal);
    assert_eq!(
        polled.detail.as_deref(),
        Some("its credentials can't be opened: the key service is away")
    );
}
