//! Writing to devices, without sockets: what happens, what is refused and in which words.

use mast_simulator::{
    menus,
    world::{
        World,
        model::{Role, Stack},
    },
};
use routeros_api::{
    Decoder, Limits, Sentence,
    server::{ReplyWriter, Request},
};

use crate::support::{Row, ask, first, pass, row, rows, say, world};

/// A command that writes; gives what was answered.
fn write(world: &mut World, device: usize, words: &[&str]) -> Vec<Sentence> {
    let request = Request::new(Sentence::from_words(words));
    let mut replies = ReplyWriter::new();
    let outcome = menus::answer(world, device, world.now_ms(), &request, &mut replies);
    if outcome == menus::Outcome::Writes {
        let now = world.now_ms();
        menus::write(world, device, now, &request, &mut replies, || Ok(()));
    }
    let mut decoder = Decoder::new(Limits::SESSION);
    decoder.feed(replies.pending());
    std::iter::from_fn(|| decoder.next_sentence().unwrap()).collect()
}

fn done(world: &mut World, device: usize, words: &[&str]) -> Option<String> {
    let answer = write(world, device, words);
    assert_eq!(answer.len(), 1, "{answer:?}");
    assert_eq!(answer[0].first(), b"!done");
    row(&answer[0]).remove("ret")
}

fn refused(world: &mut World, device: usize, words: &[&str]) -> (String, Option<String>) {
    let answer = write(world, device, words);
    assert_eq!(answer[0].first(), b"!trap", "{words:?}: {answer:?}");
    assert_eq!(answer.last().unwrap().first(), b"!done");
    let mut trap = row(&answer[0]);
    (trap.remove("message").unwrap(), trap.remove("category"))
}

fn with_id(table: &[Row], id: &str) -> Row {
    table.iter().find(|row| row[".id"] == id).unwrap().clone()
}

#[test]
fn an_address_is_added_changed_and_removed() {
    let mut world = world(100);
    let ap = first(&world, Role::Ap, Stack::Wireless);
    let add = [
        "/ip/address/add",
        "=address=192.0.2.9/29",
        "=interface=ether1",
        "=comment=spare",
    ];
    let id = done(&mut world, ap, &add).unwrap();
    assert!(id.starts_with('*'));
    let print = ["/ip/address/print"];
    let added = with_id(&rows(&world, ap, &print), &id);
    assert_eq!(added["network"], "192.0.2.8");
    assert_eq!(added["actual-interface"], "ether1");
    assert_eq!(
        (added["disabled"].as_str(), added["comment"].as_str()),
        ("false", "spare")
    );

    let named = format!("=.id={id}");
    done(
        &mut world,
        ap,
        &["/ip/address/set", &named, "=address=198.51.100.1/24"],
    );
    done(&mut world, ap, &["/ip/address/disable", &named]);
    let queried = rows(
        &world,
        ap,
        &[
            "/ip/address/print",
            "?address=198.51.100.1/24",
            "=.proplist=network,disabled",
        ],
    );
    assert_eq!(queried.len(), 1);
    assert_eq!(
        (
            queried[0]["network"].as_str(),
            queried[0]["disabled"].as_str()
        ),
        ("198.51.100.0", "true")
    );
    assert!(!queried[0].contains_key(".id"));

    let before = rows(&world, ap, &print).len();
    let name = world.plan().devices[ap].name.clone();
    say(&mut world, &format!("reboot device={name} for=5s"));
    pass(&mut world, 20_000);
    assert_eq!(rows(&world, ap, &print).len(), before, "a restart keeps it");
    done(&mut world, ap, &["/ip/address/remove", &named]);
    assert_eq!(rows(&world, ap, &print).len(), before - 1);
    assert_eq!(
        refused(&mut world, ap, &["/ip/address/remove", &named]).0,
        "no such item"
    );
}

#[test]
fn what_is_there_by_nature_can_be_changed_and_removed() {
    let mut world = world(100);
    let ap = first(&world, Role::Ap, Stack::Wireless);
    done(
        &mut world,
        ap,
        &[
            "/interface/set",
            "=.id=ether1",
            "=comment=to the router",
            "=mtu=1400",
        ],
    );
    done(&mut world, ap, &["/interface/disable", "=numbers=*2"]);
    let ports = rows(&world, ap, &["/interface/print"]);
    assert_eq!(
        (ports[0]["comment"].as_str(), ports[0]["mtu"].as_str()),
        ("to the router", "1400")
    );
    assert_eq!(ports[1]["disabled"], "true");
    done(
        &mut world,
        ap,
        &["/interface/comment", "=numbers=ether1", "=comment="],
    );
    let leases = rows(&world, ap, &["/ip/dhcp-server/lease/print"]);
    let ids = format!("=.id={},{}", leases[0][".id"], leases[1][".id"]);
    done(&mut world, ap, &["/ip/dhcp-server/lease/remove", &ids]);
    assert_eq!(
        rows(&world, ap, &["/ip/dhcp-server/lease/print"]).len(),
        leases.len() - 2
    );

    done(
        &mut world,
        ap,
        &["/system/identity/set", "=name=north side"],
    );
    let router = world.plan().sites[world.plan().devices[ap].site].router;
    assert_eq!(
        rows(&world, ap, &["/system/identity/print"])[0]["name"],
        "north side"
    );
    let seen = rows(
        &world,
        router,
        &["/ip/neighbor/print", "?identity=north side"],
    );
    assert_eq!(seen.len(), 1, "neighbours hear of it");
    let log = rows(&world, ap, &["/log/print", "?topics=system,info"]);
    assert!(log.last().unwrap()["message"].starts_with("system identity changed by "));
}

#[test]
fn get_tells_one_property() {
    let mut world = world(100);
    let ap = first(&world, Role::Ap, Stack::Wireless);
    let name = world.plan().devices[ap].name.clone();
    let get = |world: &mut World, words: &[&str]| done(world, ap, words);
    let words = ["/system/identity/get", "=value-name=name"];
    assert_eq!(get(&mut world, &words), Some(name));
    let words = ["/interface/get", "=.id=ether1", "=value-name=type"];
    assert_eq!(get(&mut world, &words), Some("ether".into()));
    let words = ["/interface/get", "=.id=ether1", "=value-name=comment"];
    assert_eq!(get(&mut world, &words), Some(String::new()));
    let all = get(&mut world, &["/interface/get", "=number=*1"]).unwrap();
    assert!(all.contains(";name=ether1;"));
}

#[test]
fn rules_have_an_order() {
    let mut world = world(100);
    let ap = first(&world, Role::Ap, Stack::Wireless);
    let add = |world: &mut World, comment: &str| {
        let comment = format!("=comment={comment}");
        done(
            world,
            ap,
            &[
                "/ip/firewall/filter/add",
                "=chain=input",
                "=action=drop",
                &comment,
            ],
        )
        .unwrap()
    };
    let (a, _b, c) = (
        add(&mut world, "a"),
        add(&mut world, "b"),
        add(&mut world, "c"),
    );
    let (c, a) = (format!("=numbers={c}"), format!("=destination={a}"));
    done(&mut world, ap, &["/ip/firewall/filter/move", &c, &a]);
    let order = rows(
        &world,
        ap,
        &["/ip/firewall/filter/print", "=.proplist=comment"],
    );
    let order: Vec<&str> = order.iter().map(|row| row["comment"].as_str()).collect();
    assert_eq!(order, ["c", "a", "b"]);
    let count = ask(
        &world,
        ap,
        &["/ip/firewall/filter/print", "=count-only=", "?comment=a"],
    );
    assert_eq!(row(&count[0])["ret"], "1");
}

#[test]
fn refusals_are_worded_as_by_routers() {
    let mut world = world(300);
    let (old, new) = (
        world
            .plan()
            .devices
            .iter()
            .position(|d| d.version.major == 6)
            .unwrap(),
        world
            .plan()
            .devices
            .iter()
            .position(|d| d.version.major == 7)
            .unwrap(),
    );
    let argument = || Some("1".to_owned());
    let missing = || Some("0".to_owned());
    let cases: [(&[&str], &str, Option<String>); 9] = [
        (
            &["/ip/address/add", "=interface=ether1"],
            "missing =address=",
            missing(),
        ),
        (
            &["/ip/address/add", "=address=10.9.9.1/24", "=interface=asdf"],
            "input does not match any value of interface",
            argument(),
        ),
        (
            &["/ip/address/add", "=address=10.9.9/24", "=interface=ether1"],
            "invalid value for argument address",
            argument(),
        ),
        (
            &[
                "/interface/vlan/add",
                "=name=v",
                "=vlan-id=5000",
                "=interface=ether1",
            ],
            "value of vlan-id is out of range (1..4095)",
            argument(),
        ),
        (
            &["/ip/firewall/filter/add", "=chain=input", "=action=explode"],
            "input does not match any value of action",
            argument(),
        ),
        (
            &["/ip/address/set", "=comment=x"],
            "missing =.id=",
            missing(),
        ),
        (
            &["/ip/address/set", "=.id=*FFFF", "=comment=x"],
            "no such item",
            missing(),
        ),
        (
            &["/interface/set", "=.id=ether1", "=name=bridge1"],
            "failure: already have interface with such name",
            None,
        ),
        (
            &["/interface/get", "=.id=ether1", "=value-name=nonsense"],
            "input does not match any value of value-name",
            argument(),
        ),
    ];
    for (words, message, category) in cases {
        for device in [old, new] {
            let expected = (message.to_owned(), category.clone());
            assert_eq!(refused(&mut world, device, words), expected, "{words:?}");
        }
    }
    let unknown = [
        "/ip/address/add",
        "=address=10.9.9.1/24",
        "=interface=ether1",
        "=colour=red",
    ];
    assert_eq!(refused(&mut world, old, &unknown).0, "unknown parameter");
    assert_eq!(
        refused(&mut world, new, &unknown).0,
        "unknown parameter colour"
    );
    let remove = ["/interface/remove", "=.id=ether1"];
    assert_eq!(
        refused(&mut world, new, &remove).0,
        "no such command or directory (remove)"
    );
    assert_eq!(
        refused(&mut world, old, &remove).0,
        "no such command prefix"
    );
    let dns = [
        "/ip/dns/static/add",
        "=name=a.example",
        "=address=192.0.2.1",
    ];
    done(&mut world, new, &dns);
    assert_eq!(
        refused(&mut world, new, &dns).0,
        "failure: entry already exists"
    );
    let table = rows(&world, new, &["/ip/dns/static/print"]);
    assert_eq!(table.len(), 1, "a refused command changed nothing");
}
