//! The topics of the log.

/// Whole polls and heartbeats of the ingest nodes, partitioned by shard.
pub const TELEMETRY: &str = "mast.telemetry.v1";
/// Every change of tenants, sites, sectors, devices and thresholds, from the outbox. One partition.
pub const CONTROL: &str = "mast.control.v1";
/// Bindings of log offsets to epochs. One partition.
pub const EPOCHS: &str = "mast.epochs.v1";
/// Derived transitions, relayed after commit. One partition.
pub const EVENTS: &str = "mast.events.v1";
/// Encrypted configuration snapshots of devices.
pub const CONFIG: &str = "mast.config.v1";

/// Those that an installation has.
pub const ALL: [&str; 4] = [TELEMETRY, CONTROL, EPOCHS, EVENTS];

/// Partitions of [`TELEMETRY`] on one machine.
pub const STANDALONE_PARTITIONS: u32 = 8;
/// Partitions of [`TELEMETRY`] on a cluster.
pub const CLUSTER_PARTITIONS: u32 = 32;
