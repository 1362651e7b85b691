//! Hours of an access point, and timers that meet polls within a slot.

use mast_schemas::records::{PollId, Source};
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::views::LinkState;

use super::*;
use crate::changes::LinkChanges;
use crate::messages::{ClientRow, Piece, RadioTable, RoamVerdict, Sample, Stamp};

const AP: DeviceId = DeviceId::from_bytes([7; 16]);
const TENANT: TenantId = TenantId::from_bytes([1; 16]);
const RADIO: Mac = Mac(0xDC2C_0000_0001);

fn client(n: u64) -> Mac {
    Mac(0x4C5E_0C00_0000 + n)
}

/// An hour end of the access point, and seconds after it.
fn at(s: i64) -> Timestamp {
    hour_end(&AP, Timestamp::from_secs(1_800_000_000)) + Span::secs(s)
}

fn row(n: u64, signal_dbm: Option<i16>) -> ClientRow {
    ClientRow {
        mac: client(n),
        began: at(0),
        sample: Sample {
            signal_dbm,
            ..Sample::default()
        },
    }
}

fn table(at: Timestamp, rows: &[ClientRow]) -> ApInput {
    ApInput::Table(RadioTable {
        stamp: stamp(at, Stamp::table(Source::Wifi)),
        tenant: TENANT,
        ap: AP,
        radio: RADIO,
        reporter: AP,
        source: Source::Wifi,
        interface: "wifi1".into(),
        interval_ms: 60_000,
        rows: rows.to_vec(),
    })
}

fn stamp(at: Timestamp, step: u8) -> Stamp {
    let sequence = at.0.unsigned_abs();
    let poll = PollId {
        lease_epoch: 1,
        sequence,
    };
    Stamp {
        at,
        device: AP,
        poll,
        step,
    }
}

fn verdict(at: Timestamp, n: u64, roamed: bool, ambiguous: bool) -> ApInput {
    ApInput::Verdict(RoamVerdict {
        stamp: stamp(at, Stamp::association(Source::Wifi)),
        at,
        tenant: TENANT,
        ap: AP,
        radio: RADIO,
        mac: client(n),
        roamed,
        ambiguous,
        expired: false,
    })
}

fn slot(aps: &mut Aps, end: Timestamp, inputs: Vec<ApInput>) -> ApOut {
    let mut out = ApOut::default();
    aps.begin_slot(end - SLOT, &[], &mut out);
    inputs.into_iter().for_each(|i| aps.apply(i, &mut out));
    aps.end_slot(end, &mut Vec::new(), &mut out);
    out
}

/// Client, mean and minutes of pieces.
fn said(pieces: &[Piece]) -> Vec<(Mac, i16, u8)> {
    let said = |p: &Piece| (p.mac, p.mean_cdbm, p.minutes);
    pieces.iter().map(said).collect()
}

/// One table a minute from `from` seconds on.
fn minutes(aps: &mut Aps, from: i64, tables: &[&[ClientRow]]) {
    for (rows, n) in tables.iter().zip(0..) {
        let end = at(from + 60 * n);
        let out = slot(aps, end, vec![table(end - Span::millis(1), rows)]);
        assert_eq!(out.pieces, []);
    }
}

#[test]
fn at_the_end_of_its_hour_each_link_says_its_piece() {
    let mut aps = Aps::new(DEFAULT);
    let both: &[ClientRow] = &[row(1, Some(-60)), row(2, None)];
    let other: &[ClientRow] = &[row(1, Some(-61)), row(2, Some(-70))];
    // Discovered, then active; a row without a signal is no sample.
    minutes(&mut aps, 60, &[both, both, other]);
    assert_eq!(aps.next_timer(), Some(at(3_600)));
    let out = slot(&mut aps, at(3_600), Vec::new());
    assert_eq!(
        said(&out.pieces),
        [(client(1), -6_033, 3), (client(2), -7_000, 1)]
    );
    let piece = out.pieces[0];
    assert_eq!((piece.at, piece.ap, piece.radio), (at(3_600), AP, RADIO));
    // Nothing is due until there is a sample again.
    assert_eq!(aps.next_timer(), None);
    assert_eq!(slot(&mut aps, at(7_200), Vec::new()).pieces, []);
    minutes(&mut aps, 7_260, &[both]);
    assert_eq!(aps.next_timer(), Some(at(10_800)));
    let out = slot(&mut aps, at(10_800), Vec::new());
    assert_eq!(said(&out.pieces), [(client(1), -6_000, 1)]);
}

#[test]
fn what_is_roamed_or_ambiguous_has_no_samples_but_keeps_those_that_it_had() {
    for ambiguous in [true, false] {
        let mut aps = Aps::new(DEFAULT);
        let far: &[ClientRow] = &[row(1, Some(-90))];
        minutes(&mut aps, 60, &[&[row(1, Some(-60))]]);
        let inputs = vec![
            verdict(at(119), 1, !ambiguous, ambiguous),
            table(at(119), far),
        ];
        slot(&mut aps, at(120), inputs);
        minutes(&mut aps, 180, &[far, far]);
        let out = slot(&mut aps, at(3_600), Vec::new());
        assert_eq!(said(&out.pieces), [(client(1), -6_000, 1)]);
    }
}

#[test]
fn a_link_that_went_down_says_its_piece_and_one_that_moved_away_does_not() {
    for moved in [true, false] {
        let mut aps = Aps::new(DEFAULT);
        let heard: &[ClientRow] = &[row(1, Some(-60))];
        minutes(&mut aps, 60, &[heard, heard, &[], &[], &[]]);
        let (ap, radio) = (AP, RADIO);
        let moves = ApInput::RadioMoved { ap, radio };
        slot(
            &mut aps,
            at(400),
            if moved { vec![moves] } else { Vec::new() },
        );
        let out = slot(&mut aps, at(3_600), Vec::new());
        let expected = (!moved).then_some((client(1), -6_000, 2));
        assert_eq!(said(&out.pieces), Vec::from_iter(expected));
    }
}

#[test]
fn a_row_at_the_end_of_the_hour_or_bound_after_it_is_of_the_next() {
    let mut aps = Aps::new(DEFAULT);
    minutes(&mut aps, 3_540, &[&[row(1, Some(-60))]]);
    // Both bound in the slot that ends with the hour.
    let inputs = vec![
        table(at(3_600) - Span::millis(1), &[row(1, Some(-62))]),
        table(at(3_600), &[row(1, Some(-70))]),
    ];
    let out = slot(&mut aps, at(3_600), inputs);
    assert_eq!(said(&out.pieces), [(client(1), -6_100, 2)]);
    let late = table(at(3_599), &[row(1, Some(-80))]);
    slot(&mut aps, at(3_601), vec![late]);
    let out = slot(&mut aps, at(7_200), Vec::new());
    assert_eq!(said(&out.pieces), [(client(1), -7_500, 2)]);
}

#[test]
fn a_checkpoint_within_the_hour_goes_on_exactly() {
    let mut aps = Aps::new(DEFAULT);
    minutes(&mut aps, 60, &[&[row(1, Some(-60)), row(2, Some(-70))]]);
    let records = aps.records().into_iter().map(|(_, record)| record);
    let mut restored = Aps::new(DEFAULT);
    let mut out = ApOut::default();
    restored.restore(at(60), records.collect(), Vec::new(), &mut out);
    assert!(out.pieces.is_empty() && out.events.is_empty());
    assert_eq!(restored.records(), aps.records());
    let mut pieces = Vec::new();
    for mut aps in [aps, restored] {
        minutes(&mut aps, 120, &[&[row(1, Some(-61))]]);
        assert_eq!(aps.next_timer(), Some(at(3_600)));
        pieces.push(slot(&mut aps, at(3_600), Vec::new()).pieces);
    }
    assert_eq!(
        said(&pieces[0]),
        [(client(1), -6_050, 2), (client(2), -7_000, 1)]
    );
    assert_eq!(pieces[0], pieces[1]);
}

#[test]
fn a_checkpoint_at_the_end_of_the_hour_tells_nothing_twice() {
    let mut aps = Aps::new(DEFAULT);
    minutes(&mut aps, 60, &[&[row(1, Some(-60))]]);
    slot(&mut aps, at(3_600), Vec::new());
    let records = aps.records().into_iter().map(|(_, record)| record);
    let mut restored = Aps::new(DEFAULT);
    restored.restore(
        at(3_600),
        records.collect(),
        Vec::new(),
        &mut ApOut::default(),
    );
    assert_eq!(restored.next_timer(), aps.next_timer());
    assert_eq!(slot(&mut restored, at(7_200), Vec::new()).pieces, []);
}

/// A timer that is due within a slot fires before a poll that comes after it in the same slot.
#[test]
fn a_timer_that_is_due_before_a_poll_of_its_slot_fires_before_it() {
    let mut aps = Aps::new(DEFAULT);
    let shown: &[ClientRow] = &[row(1, Some(-60))];
    minutes(&mut aps, 60, &[shown, shown, &[], &[], &[]]);
    // Down since 1 ms before 300 s; a day later it is stale, and the poll after that finds it so.
    let end = at(300) + DEFAULT.stale_after;
    slot(&mut aps, at(3_600), Vec::new());
    let out = slot(&mut aps, end, vec![table(end - Span(1), shown)]);
    let states: Vec<_> = out.events.iter().map(|event| event.to_state).collect();
    assert_eq!(
        states,
        [Some(LinkState::Stale), Some(LinkState::Discovered)]
    );
}

/// Who pairs links may be some slots behind.
#[test]
fn a_link_is_as_it_was_in_each_slot_whose_changes_are_not_all_taken() {
    let (mut aps, mut changes) = (Aps::new(DEFAULT), LinkChanges::default());
    let shown: &[ClientRow] = &[row(1, Some(-60))];
    let link = |n| LinkId {
        tenant_id: TENANT,
        ap_device_id: AP,
        radio_mac: RADIO,
        mac: client(n),
    };
    let mut cores = vec![None];
    for (n, rows) in (1..).zip([shown, shown, shown, &[], &[], &[]]) {
        let end = at(60 * n);
        let out = slot(&mut aps, end, vec![table(end - Span::millis(1), rows)]);
        changes.put(n.unsigned_abs(), out.links);
        cores.push(aps.told(&link(1)));
    }
    // Nothing is told before the slot ends.
    let gone = DeviceControl {
        device: AP,
        info: None,
    };
    let mut out = ApOut::default();
    aps.begin_slot(at(360), &[gone], &mut out);
    assert_eq!(aps.told(&link(1)), cores[6]);
    aps.end_slot(at(361), &mut Vec::new(), &mut out);
    changes.put(7, out.links);
    cores.push(aps.told(&link(1)));
    let states = cores.iter().map(|core| core.as_ref().map(|c| c.state));
    let [discovered, active, down] =
        [LinkState::Discovered, LinkState::Active, LinkState::Down].map(Some);
    assert_eq!(
        states.collect::<Vec<_>>(),
        [None, discovered, active, active, active, active, down, None]
    );
    for (slot, core) in (0..).zip(cores) {
        changes.take(slot);
        assert_eq!(changes.at(slot, &link(1), &aps), core, "{slot}");
        assert_eq!(changes.at(slot, &link(2), &aps), None);
    }
}
