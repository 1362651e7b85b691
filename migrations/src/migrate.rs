//! Migrations, as the owner.

use sqlx::PgPool;

use crate::PostgresError;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Brings the database to the schema of this program. Doing it again does nothing; two programs at once take turns.
///
/// `owner` logs in as [`Role::Owner`](crate::Role::Owner).
///
/// # Errors
/// [`PostgresError::Migrate`] when a statement fails, when an applied migration was edited since, or when the database is
/// newer than this program.
pub async fn migrate(owner: &PgPool) -> Result<(), PostgresError> {
    Ok(MIGRATOR.run(owner).await?)
}
