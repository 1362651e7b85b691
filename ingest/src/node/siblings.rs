//! What happens to devices, told to the nodes that hold others of the same site.
//!
//! By NOTIFY, for Postgres is what all nodes share. Best effort: while Postgres is away nothing is told, and whoever did not
//! hear looks at its next interval. A whole site that falls is one transaction, in which Postgres leaves out what was said
//! before.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::Inner;
use crate::error::IngestError;
use crate::kin::{Kin, SiteNews};

/// Where nodes tell each other of devices.
const CHANNEL: &str = "mast_ingest_sites";
/// News that may wait; more is lost.
const WAITING: usize = 4_096;
/// How long news is gathered.
const GATHER: Duration = Duration::from_millis(100);
/// How long Postgres is left alone when it does not answer.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Letter {
    /// Whoever wrote it has told its own devices already.
    from: Uuid,
    news: SiteNews,
}

/// Who depends on whom at this node, and the task that tells and listens until the node stops.
pub(super) fn begin(inner: &Arc<Inner>) -> (Arc<Kin>, JoinHandle<()>) {
    let (telling, news) = mpsc::channel(WAITING);
    let kin = Arc::new(Kin::telling(telling));
    let (inner, hearing) = (Arc::clone(inner), Arc::clone(&kin));
    let task = async move {
        tokio::select! {
            () = inner.stop.cancelled() => {}
            () = tell(&inner, news) => {}
            () = listen(&inner, &hearing) => {}
        }
    };
    (kin, tokio::spawn(task))
}

async fn tell(inner: &Inner, mut news: mpsc::Receiver<SiteNews>) {
    let mut batch = Vec::new();
    while news.recv_many(&mut batch, WAITING).await > 0 {
        tokio::time::sleep(GATHER).await;
        while let Ok(more) = news.try_recv() {
            batch.push(more);
        }
        let from = inner.config.holder;
        let letter = |news| serde_json::to_string(&Letter { from, news }).ok();
        let letters: Vec<String> = batch.drain(..).filter_map(letter).collect();
        let sent = sqlx::query!(
            "SELECT pg_notify($1, letter) FROM unnest($2::text[]) AS letter",
            CHANNEL,
            &letters,
        )
        .execute(inner.store.pool());
        match tokio::time::timeout(inner.config.lease_ttl / 3, sent).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "news of sites did not reach the other nodes");
            }
            Err(_) => tracing::debug!("news of sites did not reach the other nodes in time"),
        }
    }
}

async fn listen(inner: &Inner, kin: &Kin) {
    loop {
        if let Err(error) = hear(inner, kin).await {
            tracing::debug!(%error, "other nodes are not heard");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn hear(inner: &Inner, kin: &Kin) -> Result<(), IngestError> {
    let mut listener = PgListener::connect_with(inner.store.pool()).await?;
    listener.listen(CHANNEL).await?;
    loop {
        let heard = listener.recv().await?;
        match serde_json::from_str::<Letter>(heard.payload()) {
            Ok(letter) if letter.from != inner.config.holder => kin.hear(&letter.news),
            Ok(_) => {}
            // Of a node of another version.
            Err(error) => tracing::debug!(%error, "news of a site is not understood"),
        }
    }
}
