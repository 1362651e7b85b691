//! Who listens to live views over a socket, and the job whose commits it hears of.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mast_postgres::Role;
use mast_schemas::records::Source;
use mast_schemas::views::{LinkReason, LinkState, LinkView, View};
use mast_schemas::{DeviceId, LinkId, Mac, TenantId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::world::World;

/// An event, or a comment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
    pub(crate) comment: Option<String>,
}

/// A stream as a client reads it.
pub(crate) struct Ear {
    stream: TcpStream,
    pub(crate) head: String,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// Bytes that are read before the client is cut off.
    pub(crate) budget: usize,
    /// As it is sent to go on from.
    pub(crate) last_id: Option<String>,
}

impl Ear {
    /// Asks for a stream; reads the head of the answer.
    pub(crate) async fn open(
        address: SocketAddr,
        token: &str,
        query: &str,
        last_id: Option<&str>,
    ) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::over(stream, token, query, last_id).await
    }

    pub(crate) async fn over(
        mut stream: TcpStream,
        token: &str,
        query: &str,
        last_id: Option<&str>,
    ) -> Self {
        let id = last_id.map_or_else(String::new, |id| format!("last-event-id: {id}\r\n"));
        let request = format!(
            "GET /api/v1/stream{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{id}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut ear = Self {
            stream,
            head: String::new(),
            raw: Vec::new(),
            text: Vec::new(),
            budget: usize::MAX,
            last_id: last_id.map(str::to_owned),
        };
        while ear.head.is_empty() {
            assert!(ear.read().await, "no answer");
            if let Some(end) = find(&ear.raw, b"\r\n\r\n") {
                ear.head = String::from_utf8(ear.raw.drain(..end + 4).collect()).unwrap();
            }
        }
        ear
    }

    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// Whether something came.
    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4_096];
        let most = buffer.len().min(self.budget);
        let n = self.stream.read(&mut buffer[..most]).await.unwrap_or(0);
        self.budget -= n;
        self.raw.extend_from_slice(&buffer[..n]);
        n > 0
    }

    /// The next event or comment; null at the end of the stream, or where the client is cut off.
    pub(crate) async fn any(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = find(&self.raw, b"\r\n") {
                let size = std::str::from_utf8(&self.raw[..end]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                if size == 0 {
                    return None;
                }
                if self.raw.len() < end + size + 4 {
                    break;
                }
                let chunk = self.raw.drain(..end + size + 4);
                self.text.extend(chunk.skip(end + 2).take(size));
            }
            if let Some(end) = find(&self.text, b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                return Some(self.parse(std::str::from_utf8(&block).unwrap()));
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// The next event; null at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.any().await?;
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }

    fn parse(&mut self, block: &str) -> Event {
        let mut event = Event::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "" if !line.is_empty() => event.comment = Some(value),
                "event" => event.name = value,
                "id" => event.id = Some(value),
                "data" => event.data = serde_json::from_str(&value).unwrap(),
                _ => {}
            }
        }
        match event.id.as_deref() {
            Some("") => self.last_id = None,
            Some(id) => self.last_id = Some(id.to_owned()),
            None => {}
        }
        event
    }

    /// Reads a snapshot that begins now, to its end.
    pub(crate) async fn snapshot(&mut self) -> Rows {
        let first = self.next().await.unwrap();
        assert_eq!(first.name, "reset");
        let mut rows = Rows::default();
        loop {
            let event = self.next().await.unwrap();
            rows.apply(&event);
            if event.name == "ready" {
                return rows;
            }
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What a client makes of the events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rows(pub(crate) BTreeMap<(String, String), Value>);

impl Rows {
    pub(crate) fn apply(&mut self, event: &Event) {
        let data = &event.data;
        match event.name.as_str() {
            "reset" => self.0.clear(),
            "snapshot" => {
                for row in data["rows"].as_array().unwrap() {
                    let key = (text(&data["view"]), text(&row["id"]));
                    assert_eq!(self.0.insert(key, row.clone()), None, "{row} twice");
                }
            }
            "changes" => {
                for change in data["changes"].as_array().unwrap() {
                    let key = (text(&change["view"]), text(&change["id"]));
                    match change["op"].as_str() {
                        Some("upsert") => self.0.insert(key, change["row"].clone()),
                        Some("delete") => self.0.remove(&key),
                        other => panic!("{other:?}"),
                    };
                }
            }
            "ready" => assert!(event.id.is_some() && data["as_of"].is_string()),
            other => panic!("{other}"),
        }
    }

    pub(crate) fn of(&self, view: &str) -> Vec<&Value> {
        let rows = self.0.iter().filter(|((v, _), _)| v == view);
        rows.map(|(_, row)| row).collect()
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A change as the dataflow writes it.
pub(crate) struct Change {
    pub(crate) tenant: TenantId,
    pub(crate) view: View,
    pub(crate) key: Value,
    pub(crate) row: Option<Value>,
}

impl Change {
    pub(crate) fn new(
        tenant: TenantId,
        view: View,
        key: Value,
        row: Option<impl Serialize>,
    ) -> Self {
        let row = row.map(|row| serde_json::to_value(row).unwrap());
        Self {
            tenant,
            view,
            key,
            row,
        }
    }
}

/// Commits as the dataflow does.
pub(crate) struct Job {
    pub(crate) pool: PgPool,
    pub(crate) epoch: i64,
}

impl Job {
    pub(crate) async fn of(world: &World) -> Self {
        Self::over(world.database.pool(Role::Dataflow).await).await
    }

    pub(crate) async fn over(pool: PgPool) -> Self {
        let epoch = sqlx::query_scalar("SELECT epoch FROM job_progress")
            .fetch_one(&pool)
            .await
            .unwrap();
        Self { pool, epoch }
    }

    /// One slot: what it does to the tables, and the changes of them.
    pub(crate) async fn commit(&mut self, tables: &[String], changes: &[Change]) {
        let mut tx = self.pool.begin().await.unwrap();
        self.epoch += 1;
        sqlx::query("UPDATE job_progress SET epoch = $1")
            .bind(self.epoch)
            .execute(&mut *tx)
            .await
            .unwrap();
        for sql in tables {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone()))
                .execute(&mut *tx)
                .await
                .unwrap();
        }
        for (n, change) in (0i32..).zip(changes) {
            sqlx::query(
                "INSERT INTO view_change (epoch, n, tenant_id, view, key, op, row) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(self.epoch)
            .bind(n)
            .bind(change.tenant.0)
            .bind(change.view.as_str())
            .bind(&change.key)
            .bind(if change.row.is_some() { "upsert" } else { "delete" })
            .bind(&change.row)
            .execute(&mut *tx)
            .await
            .unwrap();
        }
        sqlx::query("SELECT pg_notify('mast_view', $1)")
            .bind(self.epoch.to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// One slot in which links of an access point are what is said of them.
    pub(crate) async fn links(&mut self, links: &[Link]) {
        let tables: Vec<_> = links.iter().map(Link::table).collect();
        let changes: Vec<_> = links.iter().map(Link::change).collect();
        self.commit(&tables, &changes).await;
    }
}

/// What a link is from some change on, told from others by its number.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) tenant: TenantId,
    pub(crate) ap: Uuid,
    pub(crate) mac: u64,
    /// Null: it is gone.
    pub(crate) state: Option<LinkState>,
    pub(crate) number: i64,
    pub(crate) interface: String,
}

impl Link {
    fn id(&self) -> LinkId {
        LinkId {
            tenant_id: self.tenant,
            ap_device_id: DeviceId(self.ap),
            radio_mac: Mac(0xff),
            mac: Mac(self.mac),
        }
    }

    /// As streams call it.
    pub(crate) fn name(&self) -> String {
        format!("{}.{:012x}.{:012x}", self.ap, 0xff, self.mac)
    }

    /// As `since` tells it.
    pub(crate) fn since(number: i64) -> Timestamp {
        Timestamp(1_700_000_000_000_000 + number)
    }

    fn change(&self) -> Change {
        let row = self.state.map(|state| LinkView {
            id: self.id(),
            interface: self.interface.clone(),
            source: Source::Wifi,
            cpe_device_id: None,
            state,
            since: Self::since(self.number),
            reason: LinkReason::Signal,
            discovered_at: Self::since(0),
            unobserved: false,
            ambiguous: false,
        });
        let key = serde_json::to_value(self.id()).unwrap();
        Change::new(self.tenant, View::Links, key, row)
    }

    fn table(&self) -> String {
        let (tenant, ap, mac) = (self.tenant, self.ap, self.mac);
        let delete = format!(
            "DELETE FROM links WHERE tenant_id = '{tenant}' AND ap_device_id = '{ap}' AND radio_mac = 255 AND mac = {mac};"
        );
        let Some(state) = self.state else {
            return delete;
        };
        let (since, first) = (Self::since(self.number).0, Self::since(0).0);
        format!(
            "{delete} INSERT INTO links (tenant_id, ap_device_id, radio_mac, mac, interface, source, state, since, reason,
             discovered_at, unobserved, ambiguous, epoch) VALUES ('{tenant}', '{ap}', 255, {mac}, '{}', 'wifi', '{state}',
             instant({since}), 'signal', instant({first}), false, false, 1)",
            self.interface
        )
    }
}
