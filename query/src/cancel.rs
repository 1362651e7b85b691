//! Ends what a query's statements still do in Postgres when the query ends before them.
//!
//! The trap: a dropped future stops waiting, not the server. Postgres would compute the statement to its end, and the pool
//! would wait for that end before it has its connection back. Nor may a scan that is dropped early cancel: its statement
//! may by then be that of another scan of the same query, which goes on. So the query as a whole cancels, once, and keeps
//! the connection until that is sent: it never hits what the connection's next user runs.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};

/// A transaction that the scans of a query use in turns.
#[derive(Debug)]
pub(crate) struct Turns {
    transaction: Mutex<Transaction<'static, Postgres>>,
    /// Whether the server may be at work for us.
    busy: AtomicBool,
    /// The server's process.
    process: i32,
    login: Arc<PgConnectOptions>,
}

impl Turns {
    /// Turns on a transaction of `pool`, run by the server's process of this id.
    pub(crate) fn new(
        pool: &PgPool,
        transaction: Transaction<'static, Postgres>,
        process: i32,
    ) -> Self {
        Self {
            transaction: Mutex::new(transaction),
            busy: AtomicBool::new(false),
            process,
            login: pool.connect_options(),
        }
    }

    /// Waits until no other scan has its turn.
    pub(crate) async fn take(&self) -> Turn<'_> {
        let transaction = self.transaction.lock().await;
        self.busy.store(true, Ordering::Release);
        Turn {
            transaction,
            busy: &self.busy,
        }
    }

    async fn cancel(&self) -> Result<(), sqlx::Error> {
        // A connection of its own: those of the pool may all be held by what is to be cancelled.
        let mut conn = PgConnection::connect_with(&self.login).await?;
        sqlx::query_scalar!("SELECT pg_cancel_backend($1)", self.process)
            .fetch_one(&mut conn)
            .await?;
        conn.close().await
    }
}

/// The transaction, to be used until [`Turn::end`].
pub(crate) struct Turn<'a> {
    transaction: MutexGuard<'a, Transaction<'static, Postgres>>,
    busy: &'a AtomicBool,
}

impl Turn<'_> {
    /// All statements of this turn have ended.
    pub(crate) fn end(self) {
        self.busy.store(false, Ordering::Release);
    }
}

impl Deref for Turn<'_> {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}

/// Cancels what still runs in these transactions when it is dropped.
pub(crate) struct CancelOnDrop(pub(crate) Vec<Arc<Turns>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // Without a runtime there is no connection either that could go back to the pool.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        for turns in self.0.drain(..) {
            if turns.busy.load(Ordering::Acquire) {
                runtime.spawn(async move {
                    if let Err(error) = turns.cancel().await {
                        tracing::warn!(%error, "a statement that nobody waits for goes on in Postgres");
                    }
                });
            }
        }
    }
}
