//! The fleet: who is where, and what happens to it at each poll. All memory is taken at the start.

use mast_schemas::control::{Change, Device, Role, Sector, Site, Tenant, TlsPolicy};
use mast_schemas::{DeviceId, Mac, SectorId, SiteId, TenantId, Timestamp};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Clients of an access point at the start.
const CLIENTS_PER_AP: u64 = 30;
/// Access points of a site.
pub(super) const APS_PER_SITE: u64 = 30;
/// Sites of a tenant.
const SITES_PER_TENANT: u64 = 50;
/// Every so many clients, one is no managed device.
const UNMANAGED_EVERY: u64 = 5;
/// Chance that a client's signal moves in a poll.
const SIGNAL_MOVES: f64 = 0.3;
/// By how much at most, dB.
const SIGNAL_STEP_DB: i16 = 3;
/// Chance that a client goes to another access point of its site after a poll.
const ROAMS: f64 = 0.005;
/// Chance that a device stops answering after a poll.
const FLAPS: f64 = 0.002;
/// Polls it then does not answer: enough to be offline.
const FLAP_POLLS: u8 = 2;

/// A client.
#[derive(Clone, Copy)]
pub(super) struct Client {
    pub(super) signal_dbm: i16,
    pub(super) began: Timestamp,
    home: u32,
}

/// A fleet.
pub(super) struct Fleet {
    clients: Vec<Client>,
    /// Clients of each access point.
    tables: Vec<Vec<u32>>,
    /// Polls of each device so far, and those it will not answer: access points, then clients.
    polls: Vec<(u32, u8)>,
    dice: SmallRng,
}

impl Fleet {
    /// A fleet whose associations began at `start`.
    pub(super) fn new(clients: u64, start: Timestamp, seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let aps = clients.div_ceil(CLIENTS_PER_AP);
        let mut tables: Vec<Vec<u32>> = (0..aps)
            .map(|_| Vec::with_capacity(2 * CLIENTS_PER_AP as usize))
            .collect();
        let mut all = Vec::with_capacity(clients as usize);
        for n in 0..clients {
            let home = n / CLIENTS_PER_AP;
            tables[home as usize].push(n as u32);
            // Some stand near the thresholds, so that links degrade and recover.
            all.push(Client {
                signal_dbm: -dice.random_range(45..82),
                began: start,
                home: home as u32,
            });
        }
        Self {
            clients: all,
            tables,
            polls: vec![(0, 0); (aps + clients) as usize],
            dice,
        }
    }

    /// Number of access points.
    pub(super) fn aps(&self) -> u64 {
        self.tables.len() as u64
    }

    /// Number of clients.
    pub(super) fn clients(&self) -> u64 {
        self.clients.len() as u64
    }

    /// Number of clients that are devices.
    pub(super) fn managed(&self) -> u64 {
        (0..self.clients()).filter(|n| is_managed(*n)).count() as u64
    }

    /// Rows of one poll of every device, when all answer.
    pub(super) fn rows_per_round(&self, station_rows: bool) -> u64 {
        let stations = if station_rows { self.managed() } else { 0 };
        self.clients() + self.aps() + self.managed() + stations
    }

    /// The next poll of device `n` (access points, then clients): its sequence, and whether it answers.
    pub(super) fn next_poll(&mut self, n: u64) -> (u64, bool) {
        let (polls, silent) = &mut self.polls[n as usize];
        *polls += 1;
        let answers = *silent == 0;
        if !answers {
            *silent -= 1;
        } else if self.dice.random_bool(FLAPS) {
            *silent = FLAP_POLLS;
        }
        (u64::from(*polls), answers)
    }

    /// What an access point shows now; afterwards some of its clients are elsewhere.
    pub(super) fn table(&mut self, ap: u64, now: Timestamp, mut show: impl FnMut(u64, &Client)) {
        let mut i = 0;
        while i < self.tables[ap as usize].len() {
            let n = self.tables[ap as usize][i];
            let client = &mut self.clients[n as usize];
            if self.dice.random_bool(SIGNAL_MOVES) {
                let step = self.dice.random_range(-SIGNAL_STEP_DB..=SIGNAL_STEP_DB);
                client.signal_dbm = (client.signal_dbm + step).clamp(-92, -40);
            }
            show(u64::from(n), client);
            if self.dice.random_bool(ROAMS) {
                self.tables[ap as usize].swap_remove(i);
                let site = ap / APS_PER_SITE * APS_PER_SITE;
                let to = site
                    + self
                        .dice
                        .random_range(0..APS_PER_SITE.min(self.aps() - site));
                // Back to the same one is a new association there; it is shown at the next poll.
                self.clients[n as usize].began = now;
                self.clients[n as usize].home = to as u32;
                self.tables[to as usize].push(n);
                if to == ap {
                    break;
                }
            } else {
                i += 1;
            }
        }
    }

    /// The access point where a client is.
    pub(super) fn home(&self, client: u64) -> (u64, &Client) {
        let client = &self.clients[client as usize];
        (u64::from(client.home), client)
    }

    /// All control of the fleet.
    pub(super) fn control(&self) -> Vec<Change> {
        let sites = self.aps().div_ceil(APS_PER_SITE);
        let tenants = (0..sites.div_ceil(SITES_PER_TENANT)).map(|n| {
            Change::Tenant(Tenant {
                id: TenantId::from_bytes(id(1, n)),
                name: format!("tenant-{n}"),
                version: 1,
            })
        });
        let sites = (0..sites).map(|n| {
            let tenant_id = TenantId::from_bytes(id(1, n / SITES_PER_TENANT));
            Change::Site(Site {
                id: site_id(n),
                tenant_id,
                name: format!("site-{n}"),
                latitude: None,
                longitude: None,
                elevation_m: None,
                core: false,
                version: 1,
            })
        });
        let sectors = (0..self.aps()).map(|n| {
            let (tenant_id, site_id) = (tenant(n), site_id(n / APS_PER_SITE));
            Change::Sector(Sector {
                id: sector_id(n),
                tenant_id,
                site_id,
                name: format!("sector-{n}"),
                azimuth_deg: None,
                beamwidth_deg: None,
                range_m: None,
                version: 1,
            })
        });
        let aps = (0..self.aps()).map(|n| device(ap_id(n), n, Some(sector_id(n)), Role::Ap));
        let cpes = (0..self.clients())
            .filter(|n| is_managed(*n))
            .map(|n| device(cpe_id(n), n / CLIENTS_PER_AP, None, Role::Cpe));
        tenants
            .chain(sites)
            .chain(sectors)
            .chain(aps)
            .chain(cpes)
            .collect()
    }
}

fn device(id: DeviceId, ap: u64, sector_id: Option<SectorId>, role: Role) -> Change {
    let low = u32::from_be_bytes([
        id.as_bytes()[12],
        id.as_bytes()[13],
        id.as_bytes()[14],
        id.as_bytes()[15],
    ]);
    Change::Device(Device {
        id,
        tenant_id: tenant(ap),
        name: format!("{role}-{low:08x}"),
        address: std::net::Ipv4Addr::from(0x0a00_0000 | low >> 8).to_string(),
        api_port: 8728,
        api_ssl_port: 8729,
        tls: TlsPolicy::Auto,
        site_id: Some(site_id(ap / APS_PER_SITE)),
        sector_id,
        parent_id: None,
        group_ids: Vec::new(),
        tag_ids: Vec::new(),
        role,
        interval_ms: 60_000,
        enabled: true,
        credentials_version: 1,
        version: 1,
    })
}

/// Whether a client is a managed device.
pub(super) const fn is_managed(client: u64) -> bool {
    !client.is_multiple_of(UNMANAGED_EVERY)
}

/// Owner of an access point and of its clients.
pub(super) fn tenant(ap: u64) -> TenantId {
    TenantId::from_bytes(id(1, ap / APS_PER_SITE / SITES_PER_TENANT))
}

/// Owner of a client.
pub(super) fn tenant_of_client(client: u64) -> TenantId {
    tenant(client / CLIENTS_PER_AP)
}

pub(super) fn site_id(n: u64) -> SiteId {
    SiteId::from_bytes(id(2, n))
}

pub(super) fn sector_id(n: u64) -> SectorId {
    SectorId::from_bytes(id(3, n))
}

/// Id of an access point.
pub(super) fn ap_id(n: u64) -> DeviceId {
    DeviceId::from_bytes(id(4, n))
}

/// Id of a client that is a device.
pub(super) fn cpe_id(n: u64) -> DeviceId {
    DeviceId::from_bytes(id(5, n))
}

/// An access point's radio.
pub(super) const fn bssid(ap: u64) -> Mac {
    Mac(0xDC2C_6E00_0000 + ap)
}

/// A client's address.
pub(super) const fn client_mac(client: u64) -> Mac {
    Mac(0x4C5E_0C00_0000 + client)
}

/// A version 7 UUID whose random part is a hash of kind and number: ids rise with time and are spread below it.
pub(super) fn id(kind: u64, n: u64) -> [u8; 16] {
    let mut x = (kind << 56 ^ n).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    let made_ms = 1_800_000_000_000 + n / 10;
    let high = made_ms << 16 | 0x7000 | (kind & 0xfff);
    let low = 0x8000_0000_0000_0000 | x >> 2;
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}
