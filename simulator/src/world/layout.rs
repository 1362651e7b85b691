//! Lays a fleet out from (seed, number of devices): towers, sectors, radios, customers.
//!
//! Variety is dealt from decks rather than drawn, so that even a small fleet holds every kind of
//! table and the shares are exact.

use super::hardware::{AP_DECK, CORE, CPE_DECK, EDGE, Kind, V6, V7_13, V7_18, WAP_AC, WIRE};
use super::model::{
    CapsMan, Client, Device, Plan, Radio, Role, Sector, Site, Stack, Tls, Version, address_of,
};
use crate::noise::{between, hash, pareto, pick, unit};

/// What a fleet is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// A fifth of the devices behind a tower are access points, each with a few clients: every kind of table in a small
    /// fleet.
    #[default]
    Varied,
    /// One access point to about nine managed customers, each with 25 clients: what carriers have.
    Carrier,
}

impl Mix {
    const fn devices_per_site(self) -> usize {
        match self {
            Self::Varied => 25,
            // A router, two ends of backhauls, and three sectors of ten.
            Self::Carrier => 33,
        }
    }

    /// Managed devices in a sector, its access point among them.
    const fn devices_per_sector(self) -> usize {
        match self {
            Self::Varied => 5,
            Self::Carrier => 10,
        }
    }

    /// Clients of an access point that nobody manages, beside so many that are managed.
    fn strangers(self, seed: u64, ap: usize, managed: usize) -> u64 {
        match self {
            Self::Varied => 2 + hash(seed, ap as u64, 41) % 3,
            Self::Carrier => 25_u64.saturating_sub(managed as u64),
        }
    }
}

/// One in twelve has no TLS to speak of; where the login is old, the key exchange is too.
fn tls_of(index: usize, version: Version) -> Tls {
    match index % 12 {
        5 if index % 48 == 17 => Tls::Anonymous,
        5 => Tls::Off,
        _ if version.plain_login() => Tls::Modern,
        _ => Tls::Dhe,
    }
}

/// Lays out `devices` devices of every kind; device numbers start at `first_number`.
#[must_use]
pub fn lay_out(seed: u64, devices: usize, first_number: u64) -> Plan {
    lay_out_mix((Mix::default(), None), seed, devices, first_number)
}

/// Lays out `devices` devices of a mix, on so many towers or as many as the mix wants for them; device numbers start at
/// `first_number`.
#[must_use]
pub fn lay_out_mix(
    (mix, towers): (Mix, Option<usize>),
    seed: u64,
    devices: usize,
    first_number: u64,
) -> Plan {
    let mut plan = Plan {
        seed,
        tenants: vec!["north".into(), "south".into()],
        sites: Vec::new(),
        sectors: Vec::new(),
        devices: Vec::with_capacity(devices),
        radios: Vec::new(),
        clients: Vec::new(),
    };
    let sites = match (devices, towers) {
        (0, _) => return plan,
        (_, Some(towers)) => towers.clamp(1, devices),
        (1..8, None) => 1,
        (8..50, None) => 2,
        _ => (devices + mix.devices_per_site() / 2) / mix.devices_per_site(),
    };
    let mut builder = Builder {
        mix,
        plan: &mut plan,
        first_number,
        ap_cards: 0,
        cpe_cards: 0,
    };
    let mut left = devices;
    for site in 0..sites {
        let share = left / (sites - site);
        let shared_ends = backhaul_ends(site, sites);
        builder.site(site, share, shared_ends);
        left -= share;
    }
    builder.join_backhauls(sites);
    for (id, client) in plan.clients.iter().enumerate() {
        plan.radios[client.home].residents.push(id);
    }
    plan
}

/// The pairs of sites joined by a 60 GHz link: (AP end, station end), of one tenant.
fn backhaul_pairs(sites: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..sites)
        .filter(|s| s % 3 == 0)
        .map(|s| (s, s + 2))
        .filter(move |(_, far)| *far < sites)
}

fn backhaul_ends(site: usize, sites: usize) -> usize {
    backhaul_pairs(sites)
        .filter(|(a, b)| *a == site || *b == site)
        .count()
}

/// Coordinates to about 10 cm.
fn millionths(degrees: f64) -> f64 {
    (degrees * 1e6).round() / 1e6
}

struct Builder<'a> {
    mix: Mix,
    plan: &'a mut Plan,
    first_number: u64,
    ap_cards: usize,
    cpe_cards: usize,
}

impl Builder<'_> {
    fn site(&mut self, site: usize, share: usize, backhauls: usize) {
        let seed = self.plan.seed;
        let angle = unit(seed, site as u64, 1) * std::f64::consts::TAU;
        let away = between(seed, site as u64, 2, 0.02, 0.6);
        let prefix = format!("tower-{:02}", site + 1);
        self.plan.sites.push(Site {
            name: prefix.clone(),
            tenant: site % 2,
            latitude: millionths(-29.5 + away * angle.sin()),
            longitude: millionths(26.2 + away * angle.cos()),
            elevation_m: between(seed, site as u64, 3, 900.0, 1_700.0).round(),
            router: self.plan.devices.len(),
            tower: Vec::new(),
            radios: Vec::new(),
        });
        let capsman =
            site % 5 == 4 || (site == 1 && (4..self.mix.devices_per_site()).contains(&share));
        let kind = match (capsman, site % 3) {
            (true, _) | (false, 0) => (Stack::Wireless, V6, &EDGE),
            (false, 1) => (Stack::Wifi, V7_18, &CORE),
            (false, _) => (Stack::Wifi, V7_13, &EDGE),
        };
        let router = self.device(format!("{prefix}-router"), site, None, Role::Router, kind);
        if capsman {
            self.plan.devices[router].capsman = CapsMan::Controller;
        }
        let mut left = share.saturating_sub(1);
        for end in 0..backhauls.min(left.saturating_sub(2)) {
            let name = format!("{prefix}-bh{}", end + 1);
            self.device(
                name,
                site,
                None,
                Role::Backhaul,
                (Stack::Wireless, V7_18, &WIRE),
            );
            left -= 1;
        }
        self.sectors(site, &prefix, left, capsman.then_some(router));
    }

    fn sectors(&mut self, site: usize, prefix: &str, devices: usize, controller: Option<usize>) {
        let sectors = (devices / self.mix.devices_per_sector()).clamp(usize::from(devices > 0), 5);
        let mut customers = devices - sectors;
        for s in 0..sectors {
            let sector = self.plan.sectors.len();
            let name = format!("{prefix}-s{}", s + 1);
            self.plan.sectors.push(Sector {
                name: name.clone(),
                site,
                azimuth_deg: (360 * s / sectors) as f64,
                beamwidth_deg: if sectors > 3 { 90.0 } else { 120.0 },
            });
            let ap = self.access_point(&name, site, sector, controller);
            let share = customers / (sectors - s);
            for c in 0..share {
                self.customer(&name, site, sector, ap, c);
            }
            customers -= share;
            self.strangers(ap, share);
        }
    }

    fn device(
        &mut self,
        name: String,
        site: usize,
        sector: Option<usize>,
        role: Role,
        (stack, version, board): Kind,
    ) -> usize {
        let index = self.plan.devices.len();
        let number = self.first_number + index as u64;
        self.plan.devices.push(Device {
            name,
            tenant: site % 2,
            site,
            sector,
            role,
            stack,
            version,
            address: address_of(number),
            password: format!("{:016x}", hash(self.plan.seed, number, 11)),
            tls: tls_of(index, version),
            capsman: CapsMan::Off,
            radios: Vec::new(),
            client: None,
            number,
            board,
        });
        if role != Role::Cpe {
            self.plan.sites[site].tower.push(index);
        }
        index
    }

    fn access_point(
        &mut self,
        name: &str,
        site: usize,
        sector: usize,
        controller: Option<usize>,
    ) -> usize {
        let kind = match controller {
            Some(_) => (Stack::Wireless, V6, &WAP_AC),
            None => AP_DECK[self.ap_cards % AP_DECK.len()],
        };
        self.ap_cards += usize::from(controller.is_none());
        let ap = self.device(format!("{name}-ap"), site, Some(sector), Role::Ap, kind);
        if controller.is_some() {
            self.plan.devices[ap].capsman = CapsMan::Cap;
        }
        let radios = 1 + usize::from(kind.2.ethers > 1 || sector.is_multiple_of(3));
        for port in 0..radios {
            let cap = controller.map(|c| (c, format!("cap-{name}-{}", port + 1)));
            self.radio(ap, port, cap, name);
        }
        ap
    }

    fn radio(&mut self, device: usize, port: usize, cap: Option<(usize, String)>, name: &str) {
        let seed = self.plan.seed;
        let id = self.plan.radios.len();
        let owner = &mut self.plan.devices[device];
        let two_ghz = port == 1;
        let frequency_mhz = if two_ghz {
            *pick(seed, id as u64, 21, &[2412, 2437, 2462])
        } else {
            *pick(seed, id as u64, 21, &[5180, 5220, 5500, 5540, 5660, 5745])
        };
        let interface = match owner.stack {
            Stack::Wireless => format!("wlan{}", port + 1),
            Stack::Wifiwave2 | Stack::Wifi => format!("wifi{}", port + 1),
        };
        owner.radios.push(id);
        self.plan.radios.push(Radio {
            device,
            port,
            mac: owner.mac(8 + port as u64),
            interface,
            cap,
            ssid: if two_ghz {
                format!("{name} 2G")
            } else {
                name.to_owned()
            },
            frequency_mhz,
            width_mhz: if two_ghz {
                20
            } else {
                *pick(seed, id as u64, 22, &[20, 40, 80])
            },
            w60g: false,
            residents: Vec::new(),
        });
        let site = owner.site;
        self.plan.sites[site].radios.push(id);
    }

    fn customer(&mut self, prefix: &str, site: usize, sector: usize, ap: usize, c: usize) {
        let kind = CPE_DECK[self.cpe_cards % CPE_DECK.len()];
        self.cpe_cards += 1;
        let name = format!("{prefix}-c{:02}", c + 1);
        let cpe = self.device(name, site, Some(sector), Role::Cpe, kind);
        let mac = self.plan.devices[cpe].mac(8);
        let home = self.plan.devices[ap].radios[0];
        let distance_m = pareto(self.plan.seed, cpe as u64, 31, 350.0, 1.1, 7_500.0);
        self.plan.devices[cpe].client = Some(self.plan.clients.len());
        self.plan.clients.push(Client {
            mac,
            device: Some(cpe),
            home,
            distance_m,
            comment: None,
        });
    }

    /// Clients whose MAC belongs to no managed device.
    fn strangers(&mut self, ap: usize, managed: usize) {
        let seed = self.plan.seed;
        let number = self.plan.devices[ap].number;
        for n in 0..self.mix.strangers(seed, ap, managed) {
            let radios = &self.plan.devices[ap].radios;
            let home = radios[(n as usize) % radios.len()];
            // Locally administered, as the random addresses of phones are.
            let mac = 0x02_00_00_00_00_00
                | (n >> 4 << 42)
                | (number << 20 & 0xFF_FFFF_FFFF)
                | (hash(seed, number, 50 + n) & 0xF_FFF0)
                | (n & 0xF);
            let comment = (n == 1).then(|| "-= Pump house camera =-".to_owned());
            let distance_m = between(seed, number, 60 + n, 20.0, 180.0);
            self.plan.clients.push(Client {
                mac,
                device: None,
                home,
                distance_m,
                comment,
            });
        }
    }

    fn join_backhauls(&mut self, sites: usize) {
        for (near, far) in backhaul_pairs(sites) {
            let (Some(a), Some(b)) = (self.free_end(near), self.free_end(far)) else {
                continue;
            };
            let id = self.plan.radios.len();
            let mac = self.plan.devices[a].mac(8);
            self.plan.devices[a].radios.push(id);
            self.plan.sites[near].radios.push(id);
            self.plan.radios.push(Radio {
                device: a,
                port: 0,
                mac,
                interface: "wlan60-1".into(),
                cap: None,
                ssid: format!("bh-{:02}-{:02}", near + 1, far + 1),
                frequency_mhz: *pick(self.plan.seed, id as u64, 23, &[58_320, 60_480, 62_640]),
                width_mhz: 2_160,
                w60g: true,
                residents: Vec::new(),
            });
            self.plan.devices[b].client = Some(self.plan.clients.len());
            self.plan.clients.push(Client {
                mac: self.plan.devices[b].mac(8),
                device: Some(b),
                home: id,
                distance_m: between(self.plan.seed, id as u64, 24, 150.0, 900.0),
                comment: None,
            });
        }
    }

    fn free_end(&self, site: usize) -> Option<usize> {
        self.plan.sites[site].tower.iter().copied().find(|&d| {
            let device = &self.plan.devices[d];
            device.role == Role::Backhaul && device.radios.is_empty() && device.client.is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn exactly_as_many_devices_as_asked() {
        for devices in [1, 2, 5, 8, 20, 49, 50, 100, 300, 1_000] {
            let plan = lay_out(1, devices, 0);
            assert_eq!(plan.devices.len(), devices);
            let macs: HashSet<u64> = plan.clients.iter().map(|c| c.mac).collect();
            assert_eq!(macs.len(), plan.clients.len(), "station MACs are unique");
            let names: HashSet<&str> = plan.devices.iter().map(|d| d.name.as_str()).collect();
            assert_eq!(names.len(), devices, "names are unique");
        }
    }

    #[test]
    fn three_hundred_devices_are_twelve_towers_with_every_kind() {
        let plan = lay_out(7, 300, 0);
        assert_eq!(plan.sites.len(), 12);
        assert_eq!(plan.tenants.len(), 2);
        for stack in [Stack::Wireless, Stack::Wifi, Stack::Wifiwave2] {
            assert!(
                plan.devices
                    .iter()
                    .any(|d| d.role == Role::Ap && d.stack == stack)
            );
        }
        assert!(
            plan.devices
                .iter()
                .any(|d| d.capsman == CapsMan::Controller)
        );
        assert!(plan.radios.iter().any(|r| r.w60g));
        assert!(plan.devices.iter().any(|d| !d.version.plain_login()));
        for tls in [Tls::Off, Tls::Modern, Tls::Dhe, Tls::Anonymous] {
            assert!(plan.devices.iter().any(|d| d.tls == tls), "{tls:?}");
        }
        assert!(plan.clients.iter().any(|c| c.device.is_none()));
        for backhaul in plan.devices.iter().filter(|d| d.role == Role::Backhaul) {
            assert!(
                !backhaul.radios.is_empty() || backhaul.client.is_some(),
                "an end without a far end"
            );
        }
    }

    #[test]
    fn a_carrier_has_nine_customers_and_twenty_five_clients_to_an_access_point() {
        let plan = lay_out_mix((Mix::Carrier, None), 1, 3_300, 0);
        let with = |role| plan.devices.iter().filter(|d| d.role == role).count();
        let ratio = with(Role::Cpe) as f64 / with(Role::Ap) as f64;
        assert!((8.5..9.5).contains(&ratio), "{ratio}");
        for ap in plan.devices.iter().filter(|d| d.role == Role::Ap) {
            let clients = ap.radios.iter().map(|r| plan.radios[*r].residents.len());
            assert_eq!(clients.sum::<usize>(), 25, "{}", ap.name);
        }
        let macs: HashSet<u64> = plan.clients.iter().map(|c| c.mac).collect();
        assert_eq!(macs.len(), plan.clients.len(), "station MACs are unique");
    }

    #[test]
    fn towers_are_as_many_as_asked() {
        for (devices, towers) in [(1, 3), (60, 2), (400, 2), (300, 1)] {
            let plan = lay_out_mix((Mix::default(), Some(towers)), 1, devices, 0);
            assert_eq!(plan.sites.len(), towers.min(devices));
            assert_eq!(plan.devices.len(), devices);
            let at = |site| plan.devices.iter().filter(|d| d.site == site).count();
            assert!((0..plan.sites.len()).all(|site| at(site) >= devices / towers));
        }
    }

    #[test]
    fn addresses_lead_back_to_devices() {
        let plan = lay_out(7, 300, 1_000);
        for (index, device) in plan.devices.iter().enumerate() {
            assert_eq!(plan.device_at(device.address), Some(index));
        }
        assert_eq!(plan.device_at(address_of(999)), None);
        assert_eq!(plan.device_at(address_of(1_300)), None);
    }
}
