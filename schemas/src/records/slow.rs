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
        /// Made by the DHCP server.
        dhcp: Option<bool>,
        /// The hardware address is known.
        complete: Option<bool>,
        /// Switched off by configuration.
        disabled: Option<bool>,
        /// Its interface is gone or has not the network.
        invalid: Option<bool>,
        /// Answered for by the device.
        published: Option<bool>,
        /// Comment of the operator.
        comment: Option<String>,
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
        /// Learnt, not configured.
        dynamic: Option<bool>,
        /// Switched off by configuration.
        disabled: Option<bool>,
        /// Refused by configuration.
        blocked: Option<bool>,
        /// Since the client last spoke.
        last_seen_s: Option<u64>,
        /// Identifier that the client told.
        client_id: Option<String>,
        /// IP address in use.
        active_address: Option<String>,
        /// Hardware address in use.
        active_mac: Option<Mac>,
        /// DHCP server that gave it.
        active_server: Option<String>,
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
        /// IPv6 address.
        address6: Option<String>,
        /// The neighbour's own interface that spoke.
        interface_name: Option<String>,
        /// What it says of itself in a sentence.
        system_description: Option<String>,
        /// What it can be, such as `bridge,router`.
        system_caps: Option<String>,
        /// Software id of its licence.
        software_id: Option<String>,
        /// Since it was last heard.
        age_s: Option<u64>,
        /// Time since its boot.
        uptime_s: Option<u64>,
    }
}

crate::record! {
    /// Counts of the IPv4 routing table by protocol: `connect`, `static`, `bgp`, `ospf`, `rip`, `other`, and `all` of them
    /// together. A table too large to be counted by protocol has `all` only.
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
    /// What `/system/package/update` and `/system/routerboard` say of versions. The device is never told to look for a
    /// newer one: what it says of the newest is what it found when a person last asked it.
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
        /// RouterBOOT that runs.
        routerboot_version: Option<String>,
        /// RouterBOOT that the installed version brings.
        routerboot_upgrade_version: Option<String>,
        /// Model of the board.
        model: Option<String>,
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
