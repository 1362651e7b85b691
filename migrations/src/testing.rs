//! Real Postgres for tests: one private server a test process, a fresh migrated database a test.
//!
//! The server is in a folder under `target/`, without durability. It ends with the test process however that ends: a
//! watcher holds the other end of a pipe, and when the pipe closes it stops the server and removes the folder. Statics
//! are never dropped, so nothing in the process itself could do that.

#![expect(clippy::expect_used, reason = "a test that has no database fails")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::sync::{Mutex, OnceCell};

use crate::private::{Durability, Private};
use crate::{Role, bootstrap_database, migrate, pool};

static SERVER: OnceCell<Server> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Server {
    private: Private,
    /// Serializes the copies of the template.
    copying: Mutex<()>,
    /// Ends the server when this process is gone.
    _watcher: Child,
}

/// A database of one test, with the schema and no rows.
#[derive(Debug)]
pub struct Database {
    private: &'static Private,
    name: String,
}

/// Makes a fresh database; starts the server first if this is the first of the process.
///
/// # Panics
/// When there is no PostgreSQL on the machine or it does not start.
pub async fn database() -> Database {
    let server = SERVER.get_or_init(start).await;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let turn = server.copying.lock().await;
    let mut superuser = PgConnection::connect_with(&server.private.superuser("postgres"))
        .await
        .expect("connect as superuser");
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE DATABASE {name} TEMPLATE mast"
    )))
    .execute(&mut superuser)
    .await
    .expect("copy the template");
    superuser.close().await.expect("close");
    // Rights on a database are not copied with it.
    let mut superuser = PgConnection::connect_with(&server.private.superuser(&name))
        .await
        .expect("connect as superuser");
    bootstrap_database(&mut superuser)
        .await
        .expect("bootstrap the database");
    superuser.close().await.expect("close");
    drop(turn);
    Database {
        private: &server.private,
        name,
    }
}

async fn start() -> Server {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target")),
        PathBuf::from,
    );
    let folder = target.join("postgres").join(std::process::id().to_string());
    let private = Private::start_with(&folder, Durability::None)
        .await
        .expect("start PostgreSQL");
    let watcher = watch(&private, &folder);
    let owner = private
        .pool(Role::Owner, 1)
        .await
        .expect("connect as owner");
    migrate(&owner).await.expect("migrate");
    owner.close().await;
    Server {
        private,
        copying: Mutex::new(()),
        _watcher: watcher,
    }
}

/// A shell that waits for the end of its input, which is the end of this process.
fn watch(private: &Private, folder: &std::path::Path) -> Child {
    use std::os::unix::process::CommandExt;
    let script = "read -r _; pid=$(head -n 1 \"$0/postmaster.pid\") && kill -QUIT \"$pid\" \
                  && while kill -0 \"$pid\"; do sleep 0.1; done; rm -rf \"$1\"";
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .arg(private.cluster())
        .arg(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Its own group: Ctrl-C at the tests must not end it before them.
    command.process_group(0).spawn().expect("start the watcher")
}

impl Database {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to log in to it as `role`.
    pub fn options(&self, role: Role) -> PgConnectOptions {
        self.private.options(role).database(&self.name)
    }

    /// A pool of up to five connections as `role`.
    ///
    /// # Panics
    /// When the server is away.
    pub async fn pool(&self, role: Role) -> PgPool {
        pool(self.options(role), 5).await.expect("connect")
    }

    /// How to log in as the superuser, for what no role of ours may do.
    pub fn superuser(&self) -> PgConnectOptions {
        self.private.superuser(&self.name)
    }
}
