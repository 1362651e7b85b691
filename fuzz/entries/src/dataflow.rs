//! What the dataflow reads back: messages by the columns that decide, and checkpoints.

use std::fmt::Debug;

use mast_dataflow::checkpoint::{decode, encode};
use mast_dataflow::decode::Columns;
use mast_schemas::checkpoint::{
    AlertRecord, ApFlagsRecord, ApRecord, BssidRecord, CapRecord, CoreRecord, DeviceRecord,
    HealthRecord, IncidentRecord, JudgedRecord, LimitsRecord, Manifest, Part, RoamRecord,
    ShownRecord, StandingRecord, ThroughputRecord, TrendRecord,
};
use mast_schemas::control::{Rule, Window};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schemas::message_of;

/// A telemetry message, as the flow takes it.
pub(crate) fn columns(data: &[u8]) {
    let Some((header, body)) = message_of(data) else {
        return;
    };
    let Ok(Some(columns)) = Columns::decode(&header, &body) else {
        return;
    };
    let Ok(rows) = columns.rows() else {
        return;
    };
    assert_eq!(rows.is_empty(), (0..rows.len()).next().is_none());
    let mut registrations = 0;
    for i in 0..rows.len() {
        let _ = rows.order(i);
        registrations += rows.poll(i).registrations.len();
    }
    assert!(registrations <= rows.registrations());
}

/// A file of a checkpoint: the first byte says of which part, the checksum is put right. Damage of a whole file is what
/// the checksum is for; this is about what comes behind it.
pub(crate) fn checkpoint(data: &[u8]) {
    let Some((part, body)) = data.split_first() else {
        return;
    };
    let _ = serde_json::from_slice::<Manifest>(body);
    let sum = crc32fast::hash(body).to_le_bytes();
    let file = [body, &sum].concat();
    assert!(decode::<CapRecord>(Part::Caps, body).is_err() || body.len() > 4);
    match part % 18 {
        0 => records::<StandingRecord>(Part::Control, &file),
        1 => records::<DeviceRecord>(Part::Devices, &file),
        2 => records::<RoamRecord>(Part::Roam, &file),
        3 => records::<ApRecord>(Part::Aps, &file),
        4 => records::<CapRecord>(Part::Caps, &file),
        5 => records::<BssidRecord>(Part::Bssids, &file),
        6 => records::<ApFlagsRecord>(Part::ApFlags, &file),
        7 => records::<ShownRecord>(Part::Shown, &file),
        8 => records::<HealthRecord>(Part::Health, &file),
        9 => records::<LimitsRecord>(Part::Limits, &file),
        10 => records::<TrendRecord>(Part::Trends, &file),
        11 => records::<Rule>(Part::Rules, &file),
        12 => records::<Window>(Part::Windows, &file),
        13 => records::<CoreRecord>(Part::Cores, &file),
        14 => records::<JudgedRecord>(Part::Judged, &file),
        15 => records::<ThroughputRecord>(Part::Throughput, &file),
        16 => records::<AlertRecord>(Part::Alerts, &file),
        _ => records::<IncidentRecord>(Part::Incidents, &file),
    }
}

fn records<R: Serialize + DeserializeOwned + Debug>(part: Part, file: &[u8]) {
    let Ok((header, records)) = decode::<R>(part, file) else {
        return;
    };
    assert_eq!(header.records, records.len() as u64);
    let again = encode(part, header.key_group, records.iter())
        .unwrap_or_else(|reason| panic!("what was read can't be written: {reason}"));
    let (_, read) = decode::<R>(part, &again)
        .unwrap_or_else(|reason| panic!("what was written can't be read: {reason}"));
    assert_eq!(format!("{read:?}"), format!("{records:?}"));
}
