//! What the fleet is made of: the part that never changes while it runs.

use std::{fmt, net::Ipv4Addr};

/// Simulated time: milliseconds since the fleet's origin; negative = before it.
pub type Ms = i64;

/// A RouterOS version with its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 6 or 7.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number; 0 is not written.
    pub patch: u8,
    /// `stable` or `long-term`.
    pub channel: &'static str,
}

impl Version {
    pub(crate) const fn new(major: u8, minor: u8, patch: u8, channel: &'static str) -> Self {
        Self {
            major,
            minor,
            patch,
            channel,
        }
    }

    /// Whether this is `major.minor` or newer.
    #[must_use]
    pub fn at_least(&self, major: u8, minor: u8) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// Whether the login takes the password word (6.43 and newer) instead of a challenge.
    #[must_use]
    pub fn plain_login(&self) -> bool {
        self.at_least(6, 43)
    }

    /// Numbers alone, as packages and firmware spell it.
    #[must_use]
    pub fn number(&self) -> String {
        match self.patch {
            0 => format!("{}.{}", self.major, self.minor),
            patch => format!("{}.{}.{patch}", self.major, self.minor),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.channel)
    }
}

/// What a device's api-ssl service offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// There is no such service.
    Off,
    /// TLS 1.2 and 1.3 with ECDHE.
    Modern,
    /// An RSA certificate, and DHE for the only key exchange, as old versions do.
    Dhe,
    /// No certificate was given to it: anonymous Diffie-Hellman.
    Anonymous,
}

impl Tls {
    /// Whether there is a certificate that a client can know again.
    #[must_use]
    pub fn has_certificate(self) -> bool {
        matches!(self, Self::Modern | Self::Dhe)
    }

    /// The word in truth.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Modern => "modern",
            Self::Dhe => "dhe",
            Self::Anonymous => "anonymous",
        }
    }
}

/// What a device is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The site's router; on some sites it is also the CAPsMAN controller.
    Router,
    /// A sector's access point.
    Ap,
    /// A customer's device, in station mode.
    Cpe,
    /// One end of a 60 GHz point-to-point link.
    Backhaul,
}

impl Role {
    /// The word in inventories and truth.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Ap => "ap",
            Self::Cpe => "cpe",
            Self::Backhaul => "backhaul",
        }
    }
}

/// Which wireless package a device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// `/interface/wireless` (also `/caps-man` and `/interface/w60g`).
    Wireless,
    /// `/interface/wifiwave2`, 7.1 to 7.12.
    Wifiwave2,
    /// `/interface/wifi`, 7.13 and newer.
    Wifi,
}

/// Part in legacy CAPsMAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapsMan {
    /// None.
    Off,
    /// Holds the clients' table of its CAPs.
    Controller,
    /// Its radios are run by the controller, its own table is empty.
    Cap,
}

/// Hardware facts.
#[derive(Debug)]
pub struct Board {
    pub(crate) name: &'static str,
    pub(crate) model: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) cpu: &'static str,
    pub(crate) cores: u8,
    pub(crate) mhz: u16,
    pub(crate) memory_mib: u32,
    pub(crate) disk_mib: u32,
    pub(crate) firmware: &'static str,
    pub(crate) has_sensors: bool,
    pub(crate) ethers: u8,
}

/// A tower.
#[derive(Debug)]
pub struct Site {
    /// Unique in the fleet.
    pub name: String,
    /// Index into [`Plan::tenants`].
    pub tenant: usize,
    /// Degrees.
    pub latitude: f64,
    /// Degrees.
    pub longitude: f64,
    /// Metres above sea level.
    pub elevation_m: f64,
    /// Device index of the router.
    pub router: usize,
    /// Devices on the tower itself, the router first.
    pub tower: Vec<usize>,
    /// Radios on the tower.
    pub radios: Vec<usize>,
}

/// A sector of a site.
#[derive(Debug)]
pub struct Sector {
    /// Unique in the fleet.
    pub name: String,
    /// Index into [`Plan::sites`].
    pub site: usize,
    /// Degrees clockwise from north.
    pub azimuth_deg: f64,
    /// Degrees.
    pub beamwidth_deg: f64,
}

/// A managed RouterOS device.
#[derive(Debug)]
pub struct Device {
    /// Name and RouterOS identity, unique in the fleet.
    pub name: String,
    /// Index into [`Plan::tenants`].
    pub tenant: usize,
    /// Index into [`Plan::sites`].
    pub site: usize,
    /// Index into [`Plan::sectors`].
    pub sector: Option<usize>,
    /// What it is there for.
    pub role: Role,
    /// Wireless package.
    pub stack: Stack,
    /// RouterOS version.
    pub version: Version,
    /// Loopback address it is reached at.
    pub address: Ipv4Addr,
    /// Password of the user `mast`.
    pub password: String,
    /// Its api-ssl service.
    pub tls: Tls,
    /// Part in legacy CAPsMAN.
    pub capsman: CapsMan,
    /// Radios that take clients.
    pub radios: Vec<usize>,
    /// Its station radio, as a client of somebody's radio.
    pub client: Option<usize>,
    /// Number in the whole fleet of several processes; addresses and MACs come from it.
    pub number: u64,
    pub(crate) board: &'static Board,
}

impl Device {
    /// MAC address of port `port` (0 = first ethernet, 8 and up = radios).
    #[must_use]
    pub fn mac(&self, port: u64) -> u64 {
        const OUIS: [u64; 4] = [0x48_8F_5A, 0xDC_2C_6E, 0x2C_C8_1B, 0x18_FD_74];
        (OUIS[(self.number % 4) as usize] << 24) | ((self.number * 16 + port) & 0xFF_FFFF)
    }
}

/// A radio that takes clients.
#[derive(Debug)]
pub struct Radio {
    /// Device that owns it.
    pub device: usize,
    /// Number on its device, from 0.
    pub port: usize,
    /// BSSID.
    pub mac: u64,
    /// Name on its device.
    pub interface: String,
    /// Name of the interface on the CAPsMAN controller, and that controller.
    pub cap: Option<(usize, String)>,
    /// Network name.
    pub ssid: String,
    /// Centre of the control channel, MHz.
    pub frequency_mhz: u32,
    /// Channel width, MHz.
    pub width_mhz: u32,
    /// A 60 GHz radio.
    pub w60g: bool,
    /// Clients whose home it is.
    pub residents: Vec<usize>,
}

impl Radio {
    /// The device in whose table the clients are, and the interface name there.
    #[must_use]
    pub fn reporter(&self) -> (usize, &str) {
        match &self.cap {
            Some((controller, name)) => (*controller, name),
            None => (self.device, &self.interface),
        }
    }
}

/// Somebody's station radio.
#[derive(Debug)]
pub struct Client {
    /// Station MAC.
    pub mac: u64,
    /// The managed device it belongs to; `None` = a phone, a camera, somebody else's router.
    pub device: Option<usize>,
    /// The radio it joins unless told to roam.
    pub home: usize,
    /// Metres from its home radio.
    pub distance_m: f64,
    /// A comment in the AP's table.
    pub comment: Option<String>,
}

/// The whole fleet.
#[derive(Debug)]
pub struct Plan {
    /// Seed of everything.
    pub seed: u64,
    /// Tenant names.
    pub tenants: Vec<String>,
    /// Towers.
    pub sites: Vec<Site>,
    /// Sectors.
    pub sectors: Vec<Sector>,
    /// Managed devices.
    pub devices: Vec<Device>,
    /// Radios that take clients.
    pub radios: Vec<Radio>,
    /// Station radios.
    pub clients: Vec<Client>,
}

impl Plan {
    /// The user of every device.
    pub const USERNAME: &'static str = "mast";

    /// The device at a local address.
    #[must_use]
    pub fn device_at(&self, address: Ipv4Addr) -> Option<usize> {
        let first = self.devices.first()?.number;
        let index = number_of(address)?.checked_sub(first)? as usize;
        (index < self.devices.len()).then_some(index)
    }
}

const HOSTS: u64 = 250;

/// The loopback address of a device number.
#[must_use]
pub fn address_of(number: u64) -> Ipv4Addr {
    let (host, rest) = (number % HOSTS, number / HOSTS);
    let (low, high) = (rest % HOSTS, rest / HOSTS);
    Ipv4Addr::new(127, 16 + (high % 200) as u8, low as u8, host as u8 + 1)
}

fn number_of(address: Ipv4Addr) -> Option<u64> {
    let [a, b, c, d] = address.octets().map(u64::from);
    (a == 127 && b >= 16 && c < HOSTS && (1..=HOSTS).contains(&d))
        .then(|| ((b - 16) * HOSTS + c) * HOSTS + d - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for number in [0, 1, 249, 250, 62_499, 62_500, 99_999] {
            assert_eq!(number_of(address_of(number)), Some(number));
        }
        assert_eq!(number_of(Ipv4Addr::new(127, 0, 0, 1)), None);
        assert_eq!(address_of(0), Ipv4Addr::new(127, 16, 0, 1));
    }

    #[test]
    fn versions_as_devices_spell_them() {
        let v = Version::new(6, 49, 10, "long-term");
        assert_eq!(v.to_string(), "6.49.10 (long-term)");
        assert_eq!(Version::new(7, 24, 0, "stable").number(), "7.24");
        assert!(v.plain_login() && !Version::new(6, 42, 12, "long-term").plain_login());
    }
}
