//! The inventory file: what an import reads, and what an export and the simulator write.
//!
//! What a file does not say of a thing stays as it is; a new thing then has the default. Null says that there is none. So a
//! file can be as short as what it changes, and one that is of before a field was invented takes nothing away.

use serde::{Deserialize, Deserializer, Serialize};

use crate::control::{Role, TlsPolicy};

/// What a file says of what a thing may be without: nothing, that there is none (null), or what it is.
pub type Said<T> = Option<Option<T>>;

/// A field that is there, also as null, says something.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Said<T>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What it says, if it says that there is something.
pub fn known<T: Clone>(said: &Said<T>) -> Option<T> {
    said.clone().flatten()
}

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
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub latitude: Said<f64>,
    /// Degrees east.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub longitude: Said<f64>,
    /// Height of the ground above sea level.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub elevation_m: Said<f64>,
    /// Where it is, in words.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub address: Said<String>,
    /// Anything.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub notes: Said<String>,
    /// Whether it is the core of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core: Option<bool>,
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
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub azimuth_deg: Said<f64>,
    /// How wide it looks.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub beamwidth_deg: Said<f64>,
    /// How far it reaches.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub range_m: Said<f64>,
}

impl Site {
    /// A site of which nothing else is said.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            latitude: None,
            longitude: None,
            elevation_m: None,
            address: None,
            notes: None,
            core: None,
        }
    }
}

impl Sector {
    /// A sector of which nothing else is said.
    pub fn named(name: impl Into<String>, site: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            site: site.into(),
            azimuth_deg: None,
            beamwidth_deg: None,
            range_m: None,
        }
    }
}

/// A device. With credentials, which are in clear, the file is as secret as they are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Name, unique in the tenant.
    pub name: String,
    /// IP address or host name.
    pub address: String,
    /// Port of the plain API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_port: Option<u16>,
    /// Port of the API over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_ssl_port: Option<u16>,
    /// User name on the router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password on the router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// How to trust it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsPolicy>,
    /// Name of its site. A site without a sector says that it is in none.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub site: Said<String>,
    /// Name of its sector, in its site.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub sector: Said<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Interval of its polls, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<f64>,
    /// Whether it is polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Name of the device that it hangs on.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub parent: Said<String>,
    /// Names of its groups, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Names of its tags, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Device {
    /// A device of which nothing else is said.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            api_port: None,
            api_ssl_port: None,
            username: None,
            password: None,
            tls: None,
            site: None,
            sector: None,
            role: None,
            interval_s: None,
            enabled: None,
            parent: None,
            groups: None,
            tags: None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_null_and_a_value_are_three_things() {
        let read = |text: &str| serde_json::from_str::<Device>(text).unwrap();
        for (text, site) in [
            (r#"{"name":"d","address":"a"}"#, None),
            (r#"{"name":"d","address":"a","site":null}"#, Some(None)),
            (
                r#"{"name":"d","address":"a","site":"hill"}"#,
                Some(Some("hill".to_owned())),
            ),
        ] {
            let device = read(text);
            assert_eq!(device.site, site);
            assert_eq!(serde_json::to_string(&device).unwrap(), text);
        }
    }
}
