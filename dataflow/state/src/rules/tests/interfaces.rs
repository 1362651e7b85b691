use mast_schemas::alerts::{RuleKind, Subject};
use mast_schemas::records::Tables;

use super::*;
use crate::messages::InterfaceInput;

const fn row(name: &'static str, running: Option<bool>) -> InterfaceInput<'static> {
    InterfaceInput {
        name,
        rx_bytes: None,
        tx_bytes: None,
        running,
        disabled: false,
        link_rate_bps: None,
    }
}

const UP: Option<bool> = Some(true);
const DOWN: Option<bool> = Some(false);

fn off(name: &'static str) -> InterfaceInput<'static> {
    InterfaceInput {
        disabled: true,
        ..row(name, DOWN)
    }
}

fn table<'a>(rows: &'a [InterfaceInput<'a>]) -> PollInput<'a> {
    PollInput {
        tables: Tables::INTERFACE,
        interface_rows: rows,
        ..poll()
    }
}

fn of(pattern: Option<&str>) -> Rule {
    Rule {
        interface: pattern.map(str::to_owned),
        ..rule(RuleKind::InterfaceDown)
    }
}

/// Interfaces, and what became of them.
fn named(changes: &[RuleChange]) -> Vec<(&str, Short)> {
    let names = changes.iter().map(|change| match &change.subject {
        Subject::Interface(DEVICE, name) => &**name,
        other => panic!("{other:?} is no interface"),
    });
    names.zip(short(changes)).collect()
}

#[test]
fn each_interface_of_the_pattern_is_judged_for_itself() {
    let mut w = World::new(&[of(Some("ether*"))]);
    let rows = [
        row("ether1", UP),
        row("ether2", DOWN),
        row("sfp1", DOWN),
        row("ether3", None),
        off("ether4"),
        // Of two of one name the first counts.
        row("ether1", DOWN),
    ];
    assert_eq!(
        named(&w.poll(table(&rows))),
        [("ether2", Short::Opened(1_000))]
    );
    // No whole table: nothing is known of it.
    let not_whole = PollInput {
        tables: Tables(0),
        ..table(&[])
    };
    assert_eq!(w.poll(not_whole), []);
    assert_eq!(w.poll(table(&[row("ether2", None)])), []);
    let told = w.poll(table(&[row("ether2", UP), row("ether1", DOWN)]));
    assert_eq!(
        named(&told),
        [
            ("ether2", Short::Cleared(0)),
            ("ether1", Short::Opened(1_000))
        ]
    );
    assert_eq!(w.judged().len(), 1);
}

#[test]
fn without_a_pattern_all_are_judged() {
    let mut w = World::new(&[of(None)]);
    let rows = [row("ether1", DOWN), row("sfp1", DOWN)];
    assert_eq!(w.poll(table(&rows)).len(), 2);
}

#[test]
fn an_interface_that_goes_or_is_switched_off_is_no_subject_any_more() {
    let gone = Short::Ended(Resolution::SubjectGone);
    for after in [&[row("ether2", UP)][..], &[], &[off("ether1")]] {
        let two = Rule {
            hits: 2,
            ..of(Some("ether1"))
        };
        let mut w = World::new(&[of(Some("ether1")), two]);
        let down = [row("ether1", DOWN)];
        assert_eq!(
            named(&w.poll(table(&down))),
            [("ether1", Short::Opened(1_000))]
        );
        assert_eq!(named(&w.poll(table(after))), [("ether1", gone)]);
        // What was counted is forgotten as well.
        assert_eq!(w.judged(), []);
        assert_eq!(w.poll(table(&down)).len(), 1);
    }
}

#[test]
fn utilization_is_the_higher_known_rate_of_what_the_link_can() {
    let any = Rule {
        enter_milli: LEAST,
        ..rule(RuleKind::InterfaceUtilization)
    };
    let link = |name, rx, tx, link_rate_bps| InterfaceInput {
        rx_bytes: rx,
        tx_bytes: tx,
        link_rate_bps,
        ..row(name, UP)
    };
    let rate = Some(1_000_000);
    // Over 60 s: 15,000 bytes a second of 125,000 are 12 %.
    let before = [
        link("none", None, None, rate),
        link("received", Some(0), Some(0), rate),
        link("sent", Some(0), Some(0), rate),
        link("set back", Some(9), Some(0), rate),
        link("unknown", Some(0), Some(0), None),
        link("nothing", Some(0), Some(0), Some(0)),
    ];
    let after = [
        // Another order than before, and rows between them without counters.
        link("sent", Some(60), Some(900_001), rate),
        link("none", None, Some(5), rate),
        link("received", Some(900_001), Some(60), rate),
        link("set back", Some(0), Some(900_001), rate),
        link("unknown", Some(900_001), Some(60), None),
        link("nothing", Some(900_001), Some(60), Some(0)),
    ];
    let mut w = World::new(&[any]);
    assert_eq!(w.poll(table(&before)), []);
    let told = w.poll(table(&after));
    let twelve = Short::Opened(12_000);
    let mut named = named(&told);
    named.sort_by_key(|(name, _)| *name);
    assert_eq!(
        named,
        [("received", twelve), ("sent", twelve), ("set back", twelve)]
    );
}
