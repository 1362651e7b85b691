//! The database of an installation: its own server, one that a running process of ours has, or somebody else's.

use std::path::PathBuf;

use anyhow::Context;
use mast_postgres::{Kept, Private, Role};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::{NotYet, Paths};
use crate::config::Config;

/// Where the tables are.
pub(crate) enum Database {
    /// Started by us, stopped with us.
    Own(Box<Private>),
    /// Another process's.
    Running(PathBuf),
    /// A server that is configured by `postgres.url`.
    External(Box<PgConnectOptions>),
}

impl Database {
    /// Uses the configured server, or the running one of the folder, or starts that for as long as this command takes.
    pub(crate) async fn open(config: &Config, paths: &Paths) -> anyhow::Result<Self> {
        match Self::attach(config, paths).await? {
            Some(database) => Ok(database),
            None => Self::start(paths).await,
        }
    }

    /// Uses the configured server or the running one of the folder; `None` = none runs there.
    pub(crate) async fn attach(config: &Config, paths: &Paths) -> anyhow::Result<Option<Self>> {
        if let Some(options) = config.postgres.external()? {
            return Ok(Some(Self::External(Box::new(options))));
        }
        let folder = paths.postgres();
        let attached = mast_postgres::attach(&folder, Role::Api).await;
        Ok(attached.map(|_| Self::Running(folder)))
    }

    /// The server for the process that owns the data: the configured one, or the folder's, which is started. Its tables are
    /// those of this program afterwards.
    pub(crate) async fn owned(config: &Config, paths: &Paths) -> anyhow::Result<Self> {
        let Some(options) = config.postgres.external()? else {
            return Self::start(paths).await;
        };
        let database = Self::External(Box::new(options));
        database.migrate().await?;
        Ok(database)
    }

    /// Watches the server if it is ours, for as long as it runs: one that dies is started again. How it is doing.
    pub(crate) fn keep(&mut self) -> Option<Kept> {
        match self {
            Self::Own(private) => Some(private.keep()),
            Self::Running(_) | Self::External(_) => None,
        }
    }

    /// Starts the folder's server; there must be none, or one that a killed process left behind.
    pub(crate) async fn start(paths: &Paths) -> anyhow::Result<Self> {
        let private = Private::start(&paths.postgres())
            .await
            .context("start the private Postgres")?;
        let database = Self::Own(Box::new(private));
        database.migrate().await?;
        Ok(database)
    }

    async fn migrate(&self) -> anyhow::Result<()> {
        let owner = self.pool(Role::Owner, 1).await?;
        mast_postgres::migrate(&owner)
            .await
            .context("migrate the database")?;
        owner.close().await;
        Ok(())
    }

    /// How to log in.
    pub(crate) async fn options(&self, role: Role) -> anyhow::Result<PgConnectOptions> {
        match self {
            Self::Own(private) => Ok(private.options(role)),
            Self::Running(folder) => mast_postgres::attach(folder, role)
                .await
                .context("the running installation's Postgres went away"),
            Self::External(options) => Ok(options.as_ref().clone().username(role.as_str())),
        }
    }

    /// A pool of connections as `role`.
    pub(crate) async fn pool(&self, role: Role, connections: u32) -> anyhow::Result<PgPool> {
        let pool = mast_postgres::pool(self.options(role).await?, connections).await;
        pool.with_context(|| format!("log in to Postgres as {}", role.as_str()))
    }

    /// Stops the server if it is ours.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Own(private) => Ok(private.stop().await?),
            Self::Running(_) | Self::External(_) => Ok(()),
        }
    }
}

/// The installation that a command looks at: its folder, and its database, which is started if it does not run.
pub(crate) async fn existing(config: &Config) -> anyhow::Result<(Paths, Database)> {
    let paths = match config.postgres.url {
        Some(_) => Paths::new(&config.data),
        None => Paths::existing(&config.data)?,
    };
    let database = Database::open(config, &paths).await?;
    Ok((paths, database))
}

/// The database of an installation that another process, or somebody else, runs.
pub(crate) async fn attached(config: &Config, paths: &Paths) -> anyhow::Result<Database> {
    let found = Database::attach(config, paths).await?;
    found.ok_or_else(|| {
        let folder = paths.root().display();
        NotYet(format!(
            "no Postgres runs in {folder}; start `mast dataflow --data {folder}`, or set postgres.url"
        ))
        .into()
    })
}
