//! Commands that go on, on real sockets: listeners, repeats, and their end.

use mast_simulator::FleetHandle;
use routeros_api::{Client, Command, Sentence, Tag, TlsMode};

use crate::live::{PATIENCE, device, hundred, open};

async fn session(fleet: &FleetHandle, name: &str) -> Client {
    let device = device(fleet, name);
    open(&device, &TlsMode::Insecure, PATIENCE).await.unwrap()
}

/// Starts a command that goes on, and waits until the device has surely begun it: the answer to
/// the next command says so.
async fn begin(client: &mut Client, command: Command) -> Tag {
    let tag = client.start(&command);
    let next = Command::new("/system/identity/print");
    client.call(&next).await.unwrap();
    tag
}

async fn hear(client: &mut Client, tag: Tag) -> Vec<Sentence> {
    let heard = client.hear(tag, PATIENCE).await.unwrap();
    assert!(!heard.ended && !heard.rows.is_empty());
    heard.rows
}

#[tokio::test]
async fn a_listener_hears_of_items_that_come_change_and_go() {
    let fleet = hundred().await;
    let name = "tower-01-s1-ap";
    let (mut listener, mut writer) = (session(&fleet, name).await, session(&fleet, name).await);
    let listening = begin(&mut listener, Command::new("/ip/address/listen")).await;
    let add = Command::new("/ip/address/add")
        .attribute("address", "192.0.2.1/24")
        .attribute("interface", "ether1");
    let added = writer.call(&add).await.unwrap();
    let id = added.done.text("ret").unwrap().into_owned();
    let rows = hear(&mut listener, listening).await;
    assert_eq!(rows.len(), 1, "the new one alone: {rows:?}");
    assert_eq!(rows[0].text(".id").unwrap(), id);
    assert_eq!(rows[0].text("address").unwrap(), "192.0.2.1/24");
    let set = Command::new("/ip/address/set")
        .attribute(".id", &id)
        .attribute("comment", "new");
    writer.call(&set).await.unwrap();
    assert_eq!(
        hear(&mut listener, listening).await[0]
            .text("comment")
            .unwrap(),
        "new"
    );
    let remove = Command::new("/ip/address/remove").attribute(".id", &id);
    writer.call(&remove).await.unwrap();
    let rows = hear(&mut listener, listening).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (
            rows[0].text(".id").unwrap().as_ref(),
            rows[0].text(".dead").unwrap().as_ref()
        ),
        (id.as_str(), "true")
    );
    let stopped = listener.stop(listening, PATIENCE).await.unwrap();
    assert!(stopped.rows.is_empty());
    assert_eq!(listener.strays(), Default::default());
    fleet.stop().await;
}

#[tokio::test]
async fn interfaces_and_leases_follow_the_world() {
    let fleet = hundred().await;
    let mut router = session(&fleet, "tower-01-router").await;
    let mut ap = session(&fleet, "tower-01-s1-ap").await;
    let ports = begin(&mut router, Command::new("/interface/listen")).await;
    let leases = begin(&mut ap, Command::new("/ip/dhcp-server/lease/listen")).await;
    fleet.ctl("cpe_dead cpe=tower-01-s1-c01").unwrap();
    let gone = hear(&mut ap, leases).await;
    assert_eq!(gone.len(), 1, "counters alone are not told: {gone:?}");
    assert_eq!(gone[0].text(".dead").unwrap(), "true");
    fleet.ctl("dead device=tower-01-s2-ap").unwrap();
    let down = hear(&mut router, ports).await;
    assert_eq!(down[0].text("running").unwrap(), "false");
    assert!(down[0].text("name").unwrap().starts_with("ether"));
    fleet.stop().await;
}

#[tokio::test]
async fn a_log_is_followed_line_by_line() {
    let fleet = hundred().await;
    let name = "tower-01-s1-ap";
    let mut client = session(&fleet, name).await;
    let log = begin(&mut client, Command::new("/log/listen")).await;
    fleet.ctl("flap cpe=tower-01-s1-c01 every=1h").unwrap();
    let told = hear(&mut client, log).await;
    assert!(
        told[0].text("message").unwrap().contains("disconnected"),
        "{told:?}"
    );
    let other = session(&fleet, name).await;
    let told = loop {
        let rows = hear(&mut client, log).await;
        let login = rows
            .iter()
            .find(|row| row.text("topics").unwrap() == "system,info,account");
        if let Some(login) = login {
            break login.text("message").unwrap().into_owned();
        }
    };
    assert_eq!(told, "user mast logged in from 127.0.0.1 via api");
    drop(other);
    let told = hear(&mut client, log).await;
    assert!(told[0].text("message").unwrap().contains("logged out"));
    fleet.stop().await;
}

#[tokio::test]
async fn repeated_commands_number_their_rounds() {
    let fleet = hundred().await;
    let mut client = session(&fleet, "tower-01-s1-ap").await;
    let every = |path: &str| Command::new(path).attribute("interval", "0.1");
    let traffic = every("/interface/monitor-traffic").attribute("interface", "ether1");
    for command in [
        traffic,
        every("/system/resource/print"),
        every("/log/print"),
    ] {
        let tag = client.start(&command);
        let mut sections = Vec::new();
        while sections.last() != Some(&2) {
            let rows = hear(&mut client, tag).await;
            let section = |row: &Sentence| row.text(".section").unwrap().parse::<u32>().unwrap();
            sections.extend(rows.iter().map(section));
        }
        sections.dedup();
        assert_eq!(sections, [0, 1, 2]);
        client.stop(tag, PATIENCE).await.unwrap();
    }
    let once = Command::new("/interface/wireless/monitor")
        .attribute("numbers", "wlan1")
        .attribute("once", "");
    assert_eq!(client.call(&once).await.unwrap().rows.len(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn cancel_without_a_tag_ends_all_that_goes_on() {
    let fleet = hundred().await;
    let mut client = session(&fleet, "tower-01-s1-ap").await;
    let first = begin(&mut client, Command::new("/ip/arp/listen")).await;
    let second = begin(&mut client, Command::new("/interface/listen")).await;
    client.call(&Command::new("/cancel")).await.unwrap();
    for tag in [first, second] {
        assert!(
            client
                .finish(tag, PATIENCE)
                .await
                .unwrap_err()
                .is_interrupted()
        );
    }
    fleet.stop().await;
}

#[tokio::test]
async fn what_was_configured_outlives_the_fleet() {
    let dir = tempfile::tempdir().unwrap();
    let config = mast_simulator::FleetConfig {
        devices: 60,
        journal: Some(dir.path().join("journal")),
        ..Default::default()
    };
    let first = crate::live::fleet(config.clone()).await;
    let mut client = session(&first, "tower-01-s1-ap").await;
    let identity =
        Command::new("/system/identity/set").attribute("name", b"h\xf6gt = \xff".as_slice());
    client.call(&identity).await.unwrap();
    let refused = Command::new("/ip/address/add").attribute("interface", "ether1");
    client.call(&refused).await.unwrap_err();
    let add = refused.attribute("address", "192.0.2.1/24");
    let id = client
        .call(&add)
        .await
        .unwrap()
        .done
        .text("ret")
        .unwrap()
        .into_owned();
    first.stop().await;

    let second = crate::live::fleet(config).await;
    let mut client = session(&second, "tower-01-s1-ap").await;
    let print = Command::new("/ip/address/print").query_equals("address", "192.0.2.1/24");
    let kept = client.call(&print).await.unwrap();
    assert_eq!(kept.rows.len(), 1);
    assert_eq!(kept.rows[0].text(".id").unwrap(), id);
    let name = client
        .call(&Command::new("/system/identity/print"))
        .await
        .unwrap();
    assert_eq!(name.rows[0].get("name"), Some(&b"h\xf6gt = \xff"[..]));
    second.stop().await;
}
