use super::section::{decode_prefix, shared_fields};
use super::*;
use crate::records::{Outcome, Poll, Source, Tables};
use crate::{DeviceId, Mac, TenantId};
use arrow::datatypes::SchemaRef;
use proptest::prelude::*;

crate::record! {
    /// A kind as an older build knew it.
    Old / OldColumns, "test" {
        /// First.
        tenant_id: TenantId,
        /// Second.
        name: Option<String>,
    }
}

crate::record! {
    /// The same kind with a field appended.
    New / NewColumns, "test" {
        /// First.
        tenant_id: TenantId,
        /// Second.
        name: Option<String>,
        /// Appended later.
        signal_dbm: Option<i16>,
    }
}

crate::record! {
    /// A kind of that name that was never ours.
    Foreign / ForeignColumns, "test" {
        /// First.
        name: Option<String>,
    }
}

/// Versions as builds state them that know the kind up to each of these schemas.
fn stated(schemas: &[SchemaRef]) -> Vec<SchemaVersion> {
    let version = |s: &SchemaRef| SchemaVersion {
        fields: s.fields().len() as u32,
        fingerprint: fingerprint(s, s.fields().len()),
    };
    schemas.iter().map(version).collect()
}

fn message(batch: &RecordBatch, versions: Vec<SchemaVersion>) -> (Header, Bytes) {
    let mut builder = MessageBuilder::default();
    builder.raw("test", versions, batch).unwrap();
    let (header, body) = builder.finish(ProducerId(Uuid::nil()), 1);
    (Header::decode(&header).unwrap(), body)
}

#[test]
fn an_old_reader_reads_new_messages() {
    let row = New {
        tenant_id: TenantId::new(),
        name: Some("x".into()),
        signal_dbm: Some(-61),
    };
    let (header, body) = message(&New::batch([&row]), stated(&[Old::schema(), New::schema()]));
    let read = read_section::<Old>(&header, &body, None).unwrap().unwrap();
    assert_eq!(
        Old::rows(&read).unwrap(),
        vec![Old {
            tenant_id: row.tenant_id,
            name: row.name
        }]
    );
}

#[test]
fn a_new_reader_reads_old_messages_with_nulls() {
    let row = Old {
        tenant_id: TenantId::new(),
        name: None,
    };
    let (mut header, body) = message(&Old::batch([&row]), stated(&[Old::schema()]));
    // The new build lists the old version, as `earlier_versions` would make it.
    let wanted = New {
        tenant_id: row.tenant_id,
        name: None,
        signal_dbm: None,
    };
    let shared = stated(&[Old::schema(), New::schema()]);
    assert!(
        read_section::<New>(&header, &body, None).is_err(),
        "unless the old version is known"
    );
    header.sections[0].versions = shared[..1].to_vec();
    let read = decode_as::<New>(&header, &body, &shared);
    assert_eq!(New::rows(&read).unwrap(), vec![wanted]);
}

/// Reads as a build that knows `ours`.
fn decode_as<R: Record>(header: &Header, body: &Bytes, ours: &[SchemaVersion]) -> RecordBatch {
    let section = &header.sections[0];
    let shared = shared_fields(ours, &section.versions, R::KIND).unwrap();
    let meta = section.meta_bytes as usize;
    decode_prefix::<R>(section, &body[..meta], body.slice(meta..), None, shared).unwrap()
}

#[test]
fn a_schema_that_was_never_ours_is_refused() {
    let row = Foreign {
        name: Some("x".into()),
    };
    let (header, body) = message(&Foreign::batch([&row]), stated(&[Foreign::schema()]));
    let error = read_section::<New>(&header, &body, None).unwrap_err();
    assert!(
        matches!(error, SchemaError::Fingerprint { kind: "test", .. }),
        "{error}"
    );
}

fn poll(n: u64, name: Option<String>) -> WholePoll {
    let (tenant_id, device_id) = (
        TenantId::from_bytes([1; 16]),
        DeviceId::from_bytes([n as u8; 16]),
    );
    let observed_at = Timestamp(1_700_000_000_000_000 + n as i64);
    let poll = Poll {
        tenant_id,
        device_id,
        observed_at,
        lease_epoch: 3,
        sequence: n,
        outcome: Outcome::Ok,
        detail: None,
        round_trip_ms: Some(12),
        next_due_at: observed_at,
        interval_ms: 60_000,
        tables: Tables::INTERFACE.with(Tables::registration(Source::Wifi)).0,
        registrations: Some(0),
        identity: name,
        version: None,
        board: None,
        architecture: None,
        serial: None,
        firmware: None,
        uptime_s: Some(u64::MAX),
        cpu_load_percent: None,
        memory_free_bytes: None,
        memory_total_bytes: None,
        disk_free_bytes: None,
        disk_total_bytes: None,
        cpu_temperature_c: Some(41.5),
        board_temperature_c: None,
        voltage_v: None,
        sensors: None,
    };
    let radio = crate::records::Radio {
        tenant_id,
        device_id,
        observed_at,
        lease_epoch: 3,
        sequence: n,
        source: Source::Wifi,
        interface: "wifi1".into(),
        radio_mac: Some(Mac(n)),
        ssid: None,
        band: None,
        channel: None,
        frequency_mhz: Some(5_500),
        channel_width_mhz: None,
        noise_floor_dbm: Some(-105),
        tx_power_dbm: None,
        tx_ccq_percent: None,
        clients: None,
        status: None,
    };
    WholePoll {
        poll,
        interfaces: Vec::new(),
        registrations: Vec::new(),
        radios: vec![radio],
        slow: SlowRows {
            arp: vec![
                serde_json::from_value(serde_json::json!({
                    "tenant_id": tenant_id, "device_id": device_id, "observed_at": observed_at, "lease_epoch": 3,
                    "sequence": n, "address": "192.0.2.1", "mac": Mac(n),
                }))
                .unwrap(),
            ],
            events: (0..n as u32 % 3)
                .map(|line| crate::records::Event {
                    tenant_id,
                    device_id,
                    observed_at,
                    lease_epoch: 3,
                    sequence: n,
                    happened_at: None,
                    topics: "system,info".into(),
                    message: "the same".into(),
                    line,
                    origin: crate::records::EventOrigin::Device,
                    device_time: Some("09:22:08".into()),
                })
                .collect(),
            ..SlowRows::default()
        },
    }
}

proptest! {
    #[test]
    fn whole_polls_come_back_as_they_went(names in prop::collection::vec(prop::option::of(".{0,20}"), 0..20)) {
        let polls: Vec<_> = names.into_iter().enumerate().map(|(n, name)| poll(n as u64, name)).collect();
        let (header, body) = write_polls(&polls, ProducerId(Uuid::nil()), 3).unwrap();
        prop_assert_eq!(read_polls(&Header::decode(&header).unwrap(), &body).unwrap(), polls);
    }

    #[test]
    fn a_damaged_body_is_an_error_or_other_rows_never_a_panic(at in 0usize..4_000, byte in any::<u8>(), cut in 0usize..4_000) {
        let polls: Vec<_> = (0..5).map(|n| poll(n, Some("name".into()))).collect();
        let (header, body) = write_polls(&polls, ProducerId(Uuid::nil()), 3).unwrap();
        let header = Header::decode(&header).unwrap();
        let mut bytes = body.to_vec();
        let len = bytes.len();
        bytes[at % len] = byte;
        let _ = read_polls(&header, &Bytes::from(bytes.clone()));
        bytes.truncate(cut % len);
        let _ = read_polls(&header, &Bytes::from(bytes));
    }

    #[test]
    fn any_bytes_are_no_header_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Header::decode(&bytes);
    }
}
