//! The tail of history, as one asks who speaks the protocol by hand.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::UInt64Type;
use arrow_flight::Ticket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use futures::TryStreamExt;
use mast_dataflow::job::{Job, JobConfig};
use mast_lake::{JobPlace, job_places};
use mast_oracle::script::add_interface;
use mast_schemas::records::{Outcome, Tables};
use mast_schemas::tail::{ASK_BYTES, Ask, Contact, Rows, SERVER_NAME, What};
use mast_schemas::{DeviceId, Epoch, Mac, TenantId};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::job::{World, world};

fn contact(w: &World) -> Contact {
    let file = w.config().tail_file();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

async fn channel(contact: &Contact, certificate: &str) -> Result<Channel, tonic::transport::Error> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(certificate))
        .domain_name(SERVER_NAME);
    let endpoint = Endpoint::from_shared(format!("https://{}", contact.address)).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await
}

async fn send(
    contact: &Contact,
    token: Option<&str>,
    ticket: Vec<u8>,
) -> Result<Vec<RecordBatch>, Status> {
    let channel = channel(contact, &contact.certificate).await.unwrap();
    let mut request = Request::new(Ticket::new(ticket));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let answer = FlightServiceClient::new(channel).do_get(request).await?;
    let data = answer.into_inner().map_err(FlightError::from);
    let batches = FlightRecordBatchStream::new_from_flight_data(data);
    Ok(batches.try_collect().await.unwrap())
}

async fn ask(contact: &Contact, ask: &Ask) -> Result<Vec<RecordBatch>, Status> {
    send(contact, Some(&contact.token), ask.encode()).await
}

fn of(w: &World, after: Option<Epoch>, upto: Epoch) -> (Ask, Rows) {
    let rows = Rows {
        job: "main".to_owned(),
        table: "polls".to_owned(),
        after,
        upto,
        from_us: i64::MIN,
        to_us: i64::MAX,
        columns: Vec::new(),
    };
    (with(w, rows.clone()), rows)
}

fn with(w: &World, rows: Rows) -> Ask {
    Ask {
        tenants: vec![w.tenant],
        what: What::Rows(rows),
    }
}

fn sequences(batches: &[RecordBatch]) -> Vec<u64> {
    let column = |batch: &RecordBatch| {
        let sequence = batch.column_by_name("sequence").unwrap();
        sequence.as_primitive::<UInt64Type>().values().to_vec()
    };
    batches.iter().flat_map(column).collect()
}

async fn place(w: &World) -> JobPlace {
    let mut conn = w.pool.acquire().await.unwrap();
    job_places(&mut conn).await.unwrap().remove(0)
}

/// Hardly any commits of the lake.
fn rarely(w: &World) -> JobConfig {
    JobConfig {
        lake_every: Duration::from_secs(3_600),
        checkpoint_every: Duration::from_secs(3_600),
        ..w.config()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_holds_what_the_lake_does_not_and_opens_to_its_word_alone() {
    let mut w = world().await;
    let mut job = Job::start(rarely(&w)).await.unwrap();
    w.until(&mut job, |s| s.counters.devices > 0).await;
    for _ in 0..3 {
        w.poll(Outcome::Ok);
    }
    w.until(&mut job, |s| s.counters.polls == 3).await;
    let JobPlace { epoch, lake, .. } = place(&w).await;
    assert_eq!(w.in_lake("polls").await.unwrap_or(0), 0);
    let contact = contact(&w);
    let (all, rows) = of(&w, lake, epoch);
    assert_eq!(sequences(&ask(&contact, &all).await.unwrap()), [1, 2, 3]);

    // Columns, and times.
    let columns = vec!["sequence".to_owned(), "observed_at".to_owned()];
    let narrow = Rows {
        columns,
        ..rows.clone()
    };
    let found = ask(&contact, &with(&w, narrow)).await.unwrap();
    assert_eq!(found[0].num_columns(), 2);
    let early = Rows {
        to_us: 0,
        ..rows.clone()
    };
    assert_eq!(ask(&contact, &with(&w, early)).await.unwrap(), []);

    // Of others nothing.
    let other = Ask {
        tenants: vec![TenantId::new()],
        ..all.clone()
    };
    assert_eq!(ask(&contact, &other).await.unwrap(), []);
    let nobody = Ask {
        tenants: Vec::new(),
        ..all.clone()
    };
    assert_eq!(ask(&contact, &nobody).await.unwrap(), []);

    // Whoever has not the word, or asks what is no question.
    let code = |answer: Result<Vec<RecordBatch>, Status>| answer.unwrap_err().code();
    for token in [None, Some(""), Some("x"), Some(&contact.token[1..])] {
        let answer = send(&contact, token, all.encode()).await;
        assert_eq!(code(answer), Code::Unauthenticated, "{token:?}");
    }
    let token = Some(contact.token.as_str());
    for ticket in [
        b"".to_vec(),
        b"{}".to_vec(),
        vec![0xff; 1_000],
        vec![b'['; ASK_BYTES],
    ] {
        let answer = send(&contact, token, ticket).await;
        assert_eq!(code(answer), Code::InvalidArgument);
    }
    let huge = send(&contact, token, vec![b' '; 8 << 20]).await;
    assert_eq!(code(huge), Code::OutOfRange, "not even taken in");
    let cases = [
        (
            Code::NotFound,
            Rows {
                job: "other".to_owned(),
                ..rows.clone()
            },
        ),
        (
            Code::InvalidArgument,
            Rows {
                table: "secrets".to_owned(),
                ..rows.clone()
            },
        ),
        (
            Code::InvalidArgument,
            Rows {
                table: "poll_1m".to_owned(),
                ..rows.clone()
            },
        ),
        (
            Code::InvalidArgument,
            Rows {
                columns: vec!["x".to_owned()],
                ..rows.clone()
            },
        ),
        // Nobody has seen that slot committed.
        (
            Code::Unavailable,
            Rows {
                upto: Epoch(u64::MAX),
                ..rows.clone()
            },
        ),
    ];
    for (expected, rows) in cases {
        let answer = ask(&contact, &with(&w, rows.clone())).await;
        assert_eq!(code(answer), expected, "{rows:?}");
    }
    // Another certificate is somebody else's.
    let stranger = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()]).unwrap();
    assert!(channel(&contact, &stranger.cert.pem()).await.is_err());

    // The stop commits the lake. The next start knows nothing of what is in it, and has another word.
    job.stop().await.unwrap();
    assert!(!w.config().tail_file().exists());
    let mut job = Job::start(rarely(&w)).await.unwrap();
    w.poll(Outcome::Ok);
    w.until(&mut job, |s| s.counters.polls == 1).await;
    let now = place(&w).await;
    let fresh = self::contact(&w);
    assert_ne!(fresh.token, contact.token);
    let answer = send(&fresh, Some(&contact.token), all.encode()).await;
    assert_eq!(code(answer), Code::Unauthenticated);
    let (old, _) = of(&w, lake, now.epoch);
    assert_eq!(code(ask(&fresh, &old).await), Code::OutOfRange);
    let (new, _) = of(&w, now.lake, now.epoch);
    assert_eq!(sequences(&ask(&fresh, &new).await.unwrap()), [4]);
    job.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_stay_for_who_saw_an_older_manifest() {
    let mut w = world().await;
    let config = JobConfig {
        lake_every: Duration::ZERO,
        ..w.config()
    };
    let mut job = Job::start(config).await.unwrap();
    w.until(&mut job, |s| s.counters.devices > 0).await;
    w.until(&mut job, |s| s.lake_epoch > Epoch(0)).await;
    let contact = contact(&w);
    w.poll(Outcome::Ok);
    // Each commit is seen, and what came before it asked for, until that is too old.
    let mut pinned = Vec::new();
    let (mut found, mut too_old) = (false, false);
    let mut last = job.status().borrow().lake_epoch;
    while !(found && too_old) {
        pinned.push(last);
        last = w.until(&mut job, |s| s.lake_epoch > last).await.lake_epoch;
        let upto = place(&w).await.epoch;
        for (age, after) in pinned.iter().rev().enumerate() {
            let (question, _) = of(&w, Some(*after), upto);
            match ask(&contact, &question).await {
                Ok(batches) => found |= sequences(&batches) == [1],
                // More commits may have come meanwhile, but not fewer than these.
                Err(status) => {
                    assert_eq!(status.code(), Code::OutOfRange, "{status}");
                    too_old |= age > 0;
                }
            }
        }
    }
    assert!(job.status().borrow().lake_kept_bytes < 256 << 20);
    job.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_of_interfaces_are_their_tenants() {
    let mut w = world().await;
    let mut job = w.start().await;
    w.until(&mut job, |s| s.counters.devices > 0).await;
    let device = w.device;
    for (n, bytes) in (1..).zip([500, 10_500]) {
        w.poll_with(device, Outcome::Ok, |whole| {
            whole.poll.tables = Tables::default().with(Tables::INTERFACE).0;
            whole.poll.uptime_s = None;
            add_interface(whole, Mac(0x4c5e_0c00_0001), false);
            let row = &mut whole.interfaces[0];
            (row.rx_bytes, row.tx_bytes) = (Some(bytes), Some(3 * bytes));
        });
        w.until(&mut job, |s| s.counters.polls == n).await;
    }
    let contact = contact(&w);
    let question = |tenant: TenantId, device| Ask {
        tenants: vec![tenant],
        what: What::InterfaceRates(device),
    };
    let rows = |batches: Vec<RecordBatch>| batches.iter().map(|b| b.num_rows()).sum::<usize>();
    let stranger = Some(DeviceId(Uuid::from_u128(1)));
    for (tenant, device, expected) in [
        (w.tenant, None, 1),
        (w.tenant, Some(device), 1),
        (w.tenant, stranger, 0),
        (TenantId::new(), None, 0),
        (TenantId::new(), Some(device), 0),
    ] {
        let found = ask(&contact, &question(tenant, device)).await.unwrap();
        assert_eq!(rows(found), expected, "{device:?}");
    }
    let found = ask(&contact, &question(w.tenant, None)).await.unwrap();
    let known = job.rates().of_device(w.tenant, device).unwrap();
    let rate = found[0].column_by_name("rx_bps").unwrap();
    let rate = rate.as_primitive::<UInt64Type>().value(0);
    assert_eq!(Some(rate), known.interfaces[0].rx_bps);
    job.stop().await.unwrap();
}
