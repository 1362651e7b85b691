//! The inventory file: what `mast import` reads and the simulator writes.

use serde::{Deserialize, Serialize};

use crate::control::{Role, TlsPolicy};

/// A whole inventory. Names join the parts: a device names its site and sector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The tenants.
    pub tenants: Vec<Tenant>,
}

/// A tenant with all that it owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Unique name.
    pub name: String,
    /// Its sites.
    #[serde(default)]
    pub sites: Vec<Site>,
    /// Its sectors.
    #[serde(default)]
    pub sectors: Vec<Sector>,
    /// Its devices.
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Name, unique in the tenant.
    pub name: String,
    /// Degrees north.
    #[serde(default)]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(default)]
    pub longitude: Option<f64>,
    /// Height of the ground above sea level.
    #[serde(default)]
    pub elevation_m: Option<f64>,
}

/// A sector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sector {
    /// Name, unique in its site.
    pub name: String,
    /// Name of its site.
    pub site: String,
    /// Where it looks, degrees from north.
    #[serde(default)]
    pub azimuth_deg: Option<f64>,
    /// How wide it looks.
    #[serde(default)]
    pub beamwidth_deg: Option<f64>,
}

/// A device with its credentials in clear: the file is as secret as they are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Name, unique in the tenant.
    pub name: String,
    /// IP address or host name.
    pub address: String,
    /// Port of the plain API.
    #[serde(default = "default_api_port")]
    pub api_port: u16,
    /// Port of the API over TLS.
    #[serde(default = "default_api_ssl_port")]
    pub api_ssl_port: u16,
    /// User name on the router.
    pub username: String,
    /// Password on the router.
    pub password: String,
    /// How to trust it.
    #[serde(default = "default_tls")]
    pub tls: TlsPolicy,
    /// Name of its site.
    #[serde(default)]
    pub site: Option<String>,
    /// Name of its sector, in its site.
    #[serde(default)]
    pub sector: Option<String>,
    /// What it is for.
    #[serde(default = "default_role")]
    pub role: Role,
    /// Interval of its polls, seconds; the installation's default when absent.
    #[serde(default)]
    pub interval_s: Option<f64>,
}

impl std::fmt::Debug for Device {
    /// Everything but the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Port of the API without TLS, unless told otherwise.
pub const fn default_api_port() -> u16 {
    8728
}

/// Port of the API over TLS, unless told otherwise.
pub const fn default_api_ssl_port() -> u16 {
    8729
}

/// How a device is trusted, unless told otherwise.
pub const fn default_tls() -> TlsPolicy {
    TlsPolicy::Auto
}

/// What a device is, unless told otherwise.
pub const fn default_role() -> Role {
    Role::Other
}
