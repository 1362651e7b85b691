//! What routers say, on its way to typed rows.

use std::fmt::Debug;

use mast_ingest::decode_records;
use mast_ingest::parse::{self, Attributes, Known, Parsed, Stamp};
use mast_schemas::column::Record;
use mast_schemas::records::{Interface, Registration, Source};
use routeros_api::{Decoder, Limits};

use crate::script::text_to_wire;

/// A file of recorded replies, as `mast decode` takes it: every line comes to something that is counted.
pub(crate) fn recording(data: &[u8]) {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    let Ok(summary) = decode_records(data, &mut rows, &mut problems) else {
        panic!("memory can always be read and written");
    };
    let rows = String::from_utf8(rows).unwrap_or_else(|_| panic!("rows are text"));
    for row in rows.lines() {
        let value: Result<serde_json::Value, _> = serde_json::from_str(row);
        assert!(value.is_ok_and(|value| value["kind"].is_string()), "{row}");
    }
    assert_eq!(rows.lines().count() as u64, summary.rows);
    let told = summary.untyped_values + summary.untyped_menus + summary.bad_lines;
    assert_eq!(problems.is_empty(), told == 0);
}

/// One value in every form that a value can have.
pub(crate) fn value(data: &[u8]) {
    let text = routeros_api::codec::display_text(data);
    let text = text.as_ref();
    if let Ok(rate) = parse::rate(text) {
        assert!(parse::rate(&rate.bps.to_string()).is_ok_and(|plain| plain.bps == rate.bps));
    }
    if let Ok(level) = parse::signal(text) {
        assert_eq!(parse::signal(&level.to_string()), Ok(level));
    }
    if let Ok(span) = parse::duration(text) {
        assert!(span.as_micros() <= u128::from(u64::MAX) || text.trim().parse::<u64>().is_ok());
    }
    if let Ok(mac) = parse::mac(text) {
        assert_eq!(parse::mac(&mac.to_string()), Ok(mac));
    }
    let _ = (
        parse::boolean(text),
        parse::decimal(text),
        parse::pair(text),
    );
    let _ = (parse::number::<i64>(text), parse::number::<u8>(text));
    let _ = (
        parse::channel(text),
        parse::width_mhz(text),
        parse::version(text),
    );
    let _ = (parse::ip_reversed(text), text.parse::<mast_schemas::Mac>());
}

/// Sentences as they come from a router, each as a row of every menu. A row that is made fits the log's schema.
pub(crate) fn rows(data: &[u8]) {
    let wire = match data {
        [b'!', text @ ..] => text_to_wire(text),
        bytes => bytes.to_vec(),
    };
    let mut decoder = Decoder::new(Limits::SESSION);
    decoder.feed(&wire);
    let mut sentences = Vec::new();
    while let Ok(Some(sentence)) = decoder.next_sentence() {
        sentences.push(sentence);
        if sentences.len() == 32 {
            break;
        }
    }
    let mut known = Known::default();
    for sentence in &sentences {
        known.learn_radio(true, sentence);
        known.learn_radio(false, sentence);
        if let Some(row) = typed(parse::interface(Stamp::default(), sentence)) {
            known.learn(&row);
            fits::<Interface>(&[row]);
        }
    }
    sentences
        .iter()
        .for_each(|sentence| one_row(&known, sentence));
    fits(&parse::routes(Stamp::default(), &sentences));
}

fn one_row(known: &Known, sentence: &(impl Attributes + ?Sized)) {
    let stamp = Stamp::default();
    for source in [
        Source::Wireless,
        Source::Wifi,
        Source::Wifiwave2,
        Source::Capsman,
        Source::W60g,
    ] {
        for name in [None, Some("wlan1")] {
            let row = typed(parse::registration(stamp, source, known, name, sentence));
            fits::<Registration>(row.as_slice());
        }
        let config = typed(parse::radio_config(sentence));
        let state = typed(parse::radio_state(sentence));
        fits(&[
            state.row(stamp, source, Some(&config)),
            config.row(stamp, source, None),
        ]);
    }
    fits(&[typed(parse::arp(stamp, sentence))]);
    fits(&[typed(parse::dhcp_lease(stamp, sentence))]);
    fits(&[typed(parse::neighbor(stamp, sentence))]);
    fits(&[typed(parse::firmware(stamp, sentence))]);
    fits(&[typed(parse::event(stamp, sentence))]);
    typed(parse::package(sentence));
    let mut facts = typed(parse::resource(sentence));
    facts.update(typed(parse::routerboard(sentence)));
    facts.update(typed(parse::identity(sentence)));
    facts.update(typed(parse::health(sentence)));
}

/// The row; what could not be typed is named, with an attribute and a reason.
fn typed<T>(parsed: Parsed<T>) -> T {
    for issue in &parsed.issues {
        assert!(!issue.reason.is_empty() && issue.value.chars().count() <= 80);
        assert!(!issue.to_string().is_empty());
    }
    parsed.row
}

/// Rows go into Arrow and come back the same.
fn fits<R: Record + Debug>(rows: &[R]) {
    let batch = R::batch(rows.iter());
    let back = R::rows(&batch).unwrap_or_else(|error| panic!("{}: {error}", R::KIND));
    assert_eq!(format!("{back:?}"), format!("{rows:?}"));
}
