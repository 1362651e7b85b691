//! The roles that log in, and what a superuser does once so that they can.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::PostgresError;

/// Who logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Migrates, and owns what the migrations make.
    Owner,
    /// The API, imports and queries: one tenant a transaction.
    Api,
    /// Ingest nodes.
    Ingest,
    /// Dataflow jobs.
    Dataflow,
}

impl Role {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Api, Self::Ingest, Self::Dataflow];

    /// Its name in Postgres.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "mast_owner",
            Self::Api => "mast_api",
            Self::Ingest => "mast_ingest",
            Self::Dataflow => "mast_dataflow",
        }
    }
}

/// Makes the roles of a server, or takes from them every power that a migration did not grant. As a superuser.
///
/// # Errors
/// [`PostgresError::Sql`] when the connection is no superuser's or breaks.
pub async fn bootstrap_roles(superuser: &mut PgConnection) -> Result<(), PostgresError> {
    sqlx::raw_sql(include_str!("roles.sql"))
        .execute(superuser)
        .await?;
    Ok(())
}

/// Gives the connected database to the owner and lets only our roles in. As a superuser, after [`bootstrap_roles`].
///
/// # Errors
/// [`PostgresError::Sql`] when the connection is no superuser's or breaks.
pub async fn bootstrap_database(superuser: &mut PgConnection) -> Result<(), PostgresError> {
    sqlx::raw_sql(include_str!("database.sql"))
        .execute(superuser)
        .await?;
    Ok(())
}

/// A connection that was idle for so long is tried before it is given out.
const UNTRIED: Duration = Duration::from_secs(1);

/// A pool that connects when it is asked to, and says within `patience` that the server is away: for who answers people.
///
/// Statements are planned once a connection: planning a list anew for its values takes longer than reading it. A connection
/// that was at work a moment ago is given out untried, which saves a round trip each time; a tenant's transaction notices by its
/// first statement when that one is gone, and takes another.
pub fn impatient_pool(
    options: PgConnectOptions,
    max_connections: u32,
    patience: Duration,
) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(|connection, past| {
            Box::pin(async move {
                if past.idle_for >= UNTRIED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.options([("plan_cache_mode", "force_generic_plan")]))
}

/// A pool with the settings that all services share; connects once, so that a wrong address is known at start.
///
/// # Errors
/// [`PostgresError::Sql`] when the server cannot be reached or refuses the login.
pub async fn pool(
    options: PgConnectOptions,
    max_connections: u32,
) -> Result<PgPool, PostgresError> {
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(options)
        .await?;
    Ok(pool)
}
