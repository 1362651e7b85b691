//! Words are bytes. What is sent arrives, and comes back, byte for byte: names, values, queries, user names and passwords, of
//! any code page and of none.

use crate::support::{LONG, echo, listen, patient};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use routeros_api::codec::display_text;
use routeros_api::server::Connection;
use routeros_api::{Client, Command, Credentials, LoginForm, Target, TlsMode};

/// "Вышка 5" as a Windows console in Russian types it.
const WINDOWS_1251: &[u8] = b"\xc2\xfb\xf8\xea\xe0 5";

/// A router that takes this user, and then answers every command with its attributes.
async fn router(form: LoginForm, name: &'static [u8], password: &'static [u8]) -> Target {
    let address = listen(move |io| async move {
        let mut connection = Connection::new(io);
        let logged_in = connection.login(form, |attempt| {
            attempt.name() == name && attempt.accepts(password)
        });
        if logged_in.await.unwrap() {
            echo(connection).await;
        }
    })
    .await;
    Target::new(address)
}

async fn client() -> Client {
    let target = router(LoginForm::Challenge, b"reader", b"secret").await;
    let credentials = Credentials::new("reader", "secret");
    Client::connect(&target, &credentials, &patient(), &TlsMode::Plain)
        .await
        .unwrap()
}

/// Sends attributes, and gives them as they came back.
async fn there_and_back(
    client: &mut Client,
    attributes: &[(Vec<u8>, Vec<u8>)],
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let command = attributes
        .iter()
        .fold(Command::new("/x/set"), |command, (name, value)| {
            command.attribute(name, value)
        });
    let reply = client.call(&command).await.unwrap();
    let row = reply.rows[0].attributes().skip(1);
    row.map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

#[tokio::test]
async fn every_byte_goes_there_and_back() {
    let mut client = client().await;
    let mut attributes: Vec<(Vec<u8>, Vec<u8>)> = (0..=255)
        .map(|byte| (format!("v{byte}").into_bytes(), vec![byte]))
        .collect();
    attributes.push((b"all".to_vec(), (0..=255).collect()));
    attributes.push((b"none".to_vec(), Vec::new()));
    attributes.push((b"\xff\x00\x80".to_vec(), b"=a=b=".to_vec()));
    assert_eq!(there_and_back(&mut client, &attributes).await, attributes);
}

#[tokio::test]
async fn any_values_go_there_and_back() {
    let name = prop::collection::vec(any::<u8>().prop_filter("no =", |&byte| byte != b'='), 1..9);
    let value = prop::collection::vec(any::<u8>(), 0..300);
    let attributes = prop::collection::vec((name, value), 0..9);
    let mut runner = TestRunner::default();
    let mut client = client().await;
    for _ in 0..100 {
        let attributes = attributes.new_tree(&mut runner).unwrap().current();
        let back = there_and_back(&mut client, &attributes).await;
        assert_eq!(back, attributes);
    }
}

/// Lengths at which the form of the length changes.
#[tokio::test]
async fn values_of_every_form_of_length_go_there_and_back() {
    let mut client = client().await;
    for length in [0x7b, 0x7c, 0x7d, 0x3ffb, 0x3ffc, 0x3ffd, 0x4000, 0x8_0000] {
        let attributes = [(b"v".to_vec(), vec![0x80; length])];
        assert_eq!(there_and_back(&mut client, &attributes).await, attributes);
    }
}

/// What is compared and sent back is the bytes; what is shown is UTF-8 where it is that, else readable as far as it goes.
#[tokio::test]
async fn values_are_shown_and_stay_what_they_are() {
    let mut client = client().await;
    let command = Command::new("/x/set")
        .attribute("utf8", "Вышка 5")
        .attribute("cp1251", WINDOWS_1251)
        .attribute("latin1", b"M\xfchle");
    let reply = client.call(&command).await.unwrap();
    let row = &reply.rows[0];
    assert_eq!(row.text("utf8").unwrap(), "Вышка 5");
    assert_eq!(row.text("latin1").unwrap(), "Mühle");
    assert_eq!(row.text("cp1251").unwrap(), "Âûøêà 5");
    assert_eq!(row.get("cp1251"), Some(WINDOWS_1251));
    let again = Command::new("/x/set").attribute("name", row.get("cp1251").unwrap());
    let reply = client.call(&again).await.unwrap();
    assert_eq!(reply.rows[0].get("name"), Some(WINDOWS_1251));
}

#[tokio::test]
async fn users_and_passwords_are_bytes_in_both_forms() {
    for form in [LoginForm::Password, LoginForm::Challenge] {
        let target = router(form, WINDOWS_1251, b"\xff\x00=\x80").await;
        let known = Target {
            known_modern: form == LoginForm::Password,
            ..target
        };
        let bytes = &b"\xff\x00=\x80"[..];
        let credentials = Credentials::new(WINDOWS_1251, bytes);
        let shown = format!("{credentials:?}");
        assert!(
            shown.contains("Âûøêà 5") && !shown.contains("255"),
            "{shown}"
        );
        let mut client = Client::connect(&known, &credentials, &patient(), &TlsMode::Plain)
            .await
            .unwrap();
        assert_eq!(client.info().login_form, form);
        client.call(&Command::new("/x/print")).await.unwrap();
        client.close(LONG).await;
    }
}

proptest! {
    #[test]
    fn any_bytes_are_shown(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let shown = display_text(&bytes);
        prop_assert_eq!(shown.is_empty(), bytes.is_empty());
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(shown, text);
        } else {
            prop_assert_eq!(shown.chars().count(), bytes.len(), "each byte shows");
        }
    }
}
