//! Kinds that change slowly and are read at a slower cadence.

use crate::{DeviceId, Mac, TenantId, Timestamp};

crate::record! {
    /// An address resolution entry.
    Arp / ArpColumns, "arp" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// Interface.
        interface: Option<String>,
        /// IP address.
        address: String,
        /// Hardware address.
        mac: Option<Mac>,
        /// State word.
        status: Option<String>,
        /// Learnt, not configured.
        dynamic: Option<bool>,
    }
}

crate::record! {
    /// A lease of the device's DHCP server.
    DhcpLease / DhcpLeaseColumns, "dhcp_lease" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// DHCP server name.
        server: Option<String>,
        /// IP address.
        address: String,
        /// Hardware address of the client.
        mac: Option<Mac>,
        /// Name that the client told.
        host_name: Option<String>,
        /// State word.
        status: Option<String>,
        /// Time until it ends.
        expires_after_s: Option<u64>,
        /// Comment of the operator.
        comment: Option<String>,
    }
}

crate::record! {
    /// A neighbour found by MNDP, CDP or LLDP.
    Neighbor / NeighborColumns, "neighbor" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// Interface, or a list of them.
        interface: String,
        /// Hardware address.
        mac: Option<Mac>,
        /// IP address.
        address: Option<String>,
        /// Name of the neighbour.
        identity: Option<String>,
        /// Platform word.
        platform: Option<String>,
        /// Software version.
        version: Option<String>,
        /// Board name.
        board: Option<String>,
        /// Protocols that found it.
        discovered_by: Option<String>,
    }
}

crate::record! {
    /// Counts of the routing table by protocol.
    RouteSummary / RouteSummaryColumns, "route_summary" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// Protocol word.
        protocol: String,
        /// Active routes.
        active: u32,
        /// All routes.
        total: u32,
    }
}

crate::record! {
    /// What `/system/package/update` says.
    Firmware / FirmwareColumns, "firmware" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// Release channel.
        channel: Option<String>,
        /// Installed version.
        installed_version: Option<String>,
        /// Newest version.
        latest_version: Option<String>,
        /// Status text.
        status: Option<String>,
    }
}

crate::record! {
    /// Whether the configuration changed.
    ConfigState / ConfigStateColumns, "config_state" {
        /// Owner of the device.
        tenant_id: TenantId,
        /// The device.
        device_id: DeviceId,
        /// When the reply was seen.
        observed_at: Timestamp,
        /// Fencing epoch of the lease.
        lease_epoch: u64,
        /// Number of the poll under the lease.
        sequence: u64,
        /// Hash of the normalised export, lower-case hexadecimal.
        sha256: String,
        /// Newest entry of the device's history.
        last_changed_at: Option<Timestamp>,
    }
}
