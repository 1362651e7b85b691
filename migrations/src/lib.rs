#![doc = include_str!("../README.md")]

mod error;
pub mod health;
pub mod ingest_nodes;
pub mod lease;
mod migrate;
mod private;
mod roles;
mod tenant;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{PostgresError, is_passing};
pub use migrate::migrate;
pub use private::{Kept, Private, attach};
pub use roles::{Role, bootstrap_database, bootstrap_roles, impatient_pool, pool};
pub use tenant::{find_tenant, rescope, tenant_lake_snapshot, tenant_snapshot, tenant_tx};

/// The channel on which the outbox tells of new records.
pub const OUTBOX_CHANNEL: &str = "mast_outbox";
