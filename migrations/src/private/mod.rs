//! The private server of a standalone installation.
//!
//! It lives in the data folder, listens on a unix socket alone, and trusts who can reach that socket: the folder's mode
//! 0700 is the whole of its access control. The server is its own session, so that Ctrl-C in the terminal reaches us
//! first and the server is stopped in order, and a kill -9 of ours leaves it running: the next start adopts it. There are
//! never two: a lock on the folder keeps a second process of ours out, and Postgres's own lock a second server.
//!
//! Whoever runs for long keeps it ([`Private::keep`]): a server that dies is started again.

mod account;
mod binaries;
mod folder;
mod keeper;
mod server;

use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::{PostgresError, Role, bootstrap_database, bootstrap_roles, pool};
use folder::Folder;
use keeper::Keeper;
pub use keeper::Kept;
pub(crate) use server::Durability;
use server::Server;

/// Name of the database in a private server.
const DATABASE: &str = "mast";
/// The superuser that initdb makes; only this module logs in as it.
const SUPERUSER: &str = "postgres";

/// A running private server. Dropping it stops the server, as [`Private::stop`] does.
#[derive(Debug)]
pub struct Private {
    /// Dropped before the server, which it would start again.
    keeper: Option<Keeper>,
    server: Server,
}

impl Private {
    /// Starts the server of `data_dir`, after making the folder, the cluster, the roles and the database where they are
    /// missing. A server that a killed process left behind is adopted, or restarted if its settings differ or it does not
    /// answer. Migrations are [`migrate`](crate::migrate)'s.
    ///
    /// # Errors
    /// Every [`PostgresError`]; each names its remedy.
    pub async fn start(data_dir: &Path) -> Result<Self, PostgresError> {
        Self::start_with(data_dir, Durability::Full).await
    }

    pub(crate) async fn start_with(
        data_dir: &Path,
        durability: Durability,
    ) -> Result<Self, PostgresError> {
        let folder = Folder::open(data_dir)?;
        let server = Server::start(folder, durability).await?;
        let private = Self {
            keeper: None,
            server,
        };
        private.bootstrap().await?;
        Ok(private)
    }

    /// The folder of the socket.
    pub fn socket_dir(&self) -> &Path {
        &self.server.programs.folder.socket_dir
    }

    /// How to log in to the database as `role`.
    pub fn options(&self, role: Role) -> PgConnectOptions {
        self.login(role.as_str(), DATABASE)
    }

    /// A pool of up to `max_connections` that log in as `role`.
    ///
    /// # Errors
    /// [`PostgresError::Sql`] when the server does not answer.
    pub async fn pool(&self, role: Role, max_connections: u32) -> Result<PgPool, PostgresError> {
        pool(self.options(role), max_connections).await
    }

    /// Watches the server from now on, and starts it again whenever it has died; how it is doing.
    pub fn keep(&mut self) -> Kept {
        let keeper = Keeper::start(self.server.programs.clone());
        let kept = keeper.kept();
        self.keeper = Some(keeper);
        kept
    }

    /// Stops the server: open transactions are rolled back, a checkpoint is written.
    ///
    /// # Errors
    /// [`PostgresError::Program`] when it does not stop.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop().await;
        }
        self.server.stop().await
    }

    /// The cluster's folder, of which `postmaster.pid` names the server.
    #[cfg(feature = "testing")]
    pub(crate) fn cluster(&self) -> &Path {
        &self.server.programs.folder.cluster
    }

    pub(crate) fn superuser(&self, database: &str) -> PgConnectOptions {
        self.login(SUPERUSER, database)
    }

    fn login(&self, user: &str, database: &str) -> PgConnectOptions {
        login(self.socket_dir(), user, database)
    }

    async fn bootstrap(&self) -> Result<(), PostgresError> {
        let mut connection = PgConnection::connect_with(&self.superuser("postgres")).await?;
        bootstrap_roles(&mut connection).await?;
        let exists = sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
        )
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?;
        if !exists {
            let create = AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"));
            sqlx::raw_sql(create).execute(&mut connection).await?;
        }
        connection.close().await?;
        let mut connection = PgConnection::connect_with(&self.superuser(DATABASE)).await?;
        bootstrap_database(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }
}

/// How to log in as `role` to a server that another process of ours runs on `data_dir`; `None` when none runs there.
///
/// For commands beside a running installation: they neither start nor stop the server. Who may read the folder may log in.
pub async fn attach(data_dir: &Path, role: Role) -> Option<PgConnectOptions> {
    // Its fifth line is the folder of the socket.
    let pid_file = std::fs::read_to_string(data_dir.join("cluster/postmaster.pid")).ok()?;
    let socket_dir = pid_file.lines().nth(4)?.trim();
    let options = login(Path::new(socket_dir), role.as_str(), DATABASE);
    let connection = PgConnection::connect_with(&options).await.ok()?;
    connection.close().await.ok()?;
    Some(options)
}

/// Options that take nothing from the environment but what they set.
fn login(socket_dir: &Path, user: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(PathBuf::from(socket_dir))
        .port(server::PORT)
        .username(user)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .application_name("mast")
}
