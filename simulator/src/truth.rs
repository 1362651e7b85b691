//! What is true of the fleet, to compare answers with.
//!
//! A link is live when its client is associated and its access point's answers come back. Each
//! device and link says for how long its truth has stood, and links that ended lately are listed
//! too: a reader that lags by a known time can tell "wrong" from "not yet".

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{
    physics::{Direction, distance_m},
    text::MacText,
    world::{
        Association, LinkMoment, World,
        model::{Ms, Plan, Tls},
    },
};

/// The truth of one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The moment, Unix milliseconds.
    pub at_unix_ms: i64,
    /// Every managed device.
    pub devices: Vec<DeviceTruth>,
    /// Every live link.
    pub links: Vec<LinkTruth>,
    /// Links that were live within the time kept (two hours) and are not.
    pub ended_links: Vec<EndedLink>,
    /// Every site.
    pub sites: Vec<SiteTruth>,
}

/// A managed device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceTruth {
    /// RouterOS identity and inventory name.
    pub name: String,
    /// Tenant name.
    pub tenant: String,
    /// Loopback address.
    pub address: String,
    /// Port of the plain API.
    pub api_port: u16,
    /// Port of the API over TLS; `None` = this device has no such service, or none with a certificate.
    pub api_ssl_port: Option<u16>,
    /// What its api-ssl service offers: `off`, `modern`, `dhe` (no other key exchange) or `anonymous` (no certificate).
    pub tls: String,
    /// User name.
    pub username: String,
    /// The password of the inventory, also while it does not work.
    pub password: String,
    /// RouterOS version.
    pub version: String,
    /// `plain` (6.43 and newer) or `challenge`.
    pub login: String,
    /// Site name.
    pub site: String,
    /// Sector name.
    pub sector: Option<String>,
    /// `router`, `ap`, `cpe` or `backhaul`.
    pub role: String,
    /// Its answers come back.
    pub alive: bool,
    /// Its password works.
    pub manageable: bool,
    /// Seconds since `alive` or `manageable` last changed.
    pub stable_since: f64,
}

/// A live link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkTruth {
    /// Address of the device that owns the AP radio.
    pub ap: String,
    /// Name of that device.
    pub ap_name: String,
    /// Interface in the table that shows the link; of the controller's table with CAPsMAN.
    pub interface: String,
    /// The AP radio's MAC (BSSID).
    pub radio_mac: String,
    /// The client's MAC.
    pub mac: String,
    /// Address of the managed device that the client is; `None` = not managed.
    pub cpe: Option<String>,
    /// Name of that device.
    pub cpe_name: Option<String>,
    /// Tenant name.
    pub tenant: String,
    /// Site name of the AP.
    pub site: String,
    /// Signal at the AP, dBm, rounded.
    pub signal_dbm: i16,
    /// Metres.
    pub distance_m: f64,
    /// Seconds since this link last began, or its AP's answers last came back.
    pub stable_since: f64,
    /// The AP's password works, so its table can be read.
    pub manageable: bool,
}

/// A link that is not live any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedLink {
    /// Address of the device that owns the AP radio.
    pub ap: String,
    /// The AP radio's MAC (BSSID).
    pub radio_mac: String,
    /// The client's MAC.
    pub mac: String,
    /// Seconds since it ended.
    pub stable_since: f64,
}

/// A site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteTruth {
    /// Name.
    pub name: String,
    /// Tenant name.
    pub tenant: String,
    /// Managed devices of the site.
    pub devices: usize,
    /// Of these, alive.
    pub devices_alive: usize,
    /// Live links of the site's radios.
    pub links: usize,
}

/// The links of which a reader must be right: see [`Truth::settled_links`].
#[derive(Debug)]
pub struct SettledLinks<'a> {
    /// Must be shown as live.
    pub live: Vec<&'a LinkTruth>,
    /// (radio MAC, client MAC) of links that changed lately or cannot be read: either answer is
    /// right.
    pub unsettled: HashSet<(&'a str, &'a str)>,
}

impl Truth {
    /// Parts the links by whether their truth has stood for `stable_for_s` seconds. What a reader
    /// shows as live must be in one of the two; every link of `live` must be shown.
    #[must_use]
    pub fn settled_links(&self, stable_for_s: f64) -> SettledLinks<'_> {
        let certain = |l: &&LinkTruth| l.manageable && l.stable_since >= stable_for_s;
        let (live, young): (Vec<_>, Vec<_>) = self.links.iter().partition(certain);
        let mut unsettled: HashSet<_> = young
            .iter()
            .map(|l| (l.radio_mac.as_str(), l.mac.as_str()))
            .collect();
        let ended = self
            .ended_links
            .iter()
            .filter(|l| l.stable_since < stable_for_s);
        unsettled.extend(ended.map(|l| (l.radio_mac.as_str(), l.mac.as_str())));
        SettledLinks { live, unsettled }
    }

    /// Devices whose truth has stood for `stable_for_s` seconds.
    pub fn settled_devices(&self, stable_for_s: f64) -> impl Iterator<Item = &DeviceTruth> {
        self.devices
            .iter()
            .filter(move |d| d.stable_since >= stable_for_s)
    }

    /// The truth of simulated time `t`, at most now, at least two hours back.
    #[must_use]
    pub fn of(world: &World, t: Ms, api_port: u16, api_ssl_port: u16) -> Self {
        let t = t.min(world.now_ms());
        let plan = world.plan();
        let mut truth = Self {
            at_unix_ms: world.unix_ms(t),
            devices: (0..plan.devices.len())
                .map(|d| device(world, d, t, (api_port, api_ssl_port)))
                .collect(),
            links: Vec::new(),
            ended_links: Vec::new(),
            sites: Vec::new(),
        };
        let mut live_now = HashSet::new();
        let mut ended = std::collections::HashMap::new();
        for moment in world.history().links_until(t) {
            match link_state(world, moment, t) {
                LinkState::Live(since) => {
                    live_now.insert((moment.association.radio, moment.association.client));
                    truth.links.push(link(world, moment.association, t, since));
                }
                LinkState::Ended(since) => {
                    let key = (moment.association.radio, moment.association.client);
                    let newest = ended.entry(key).or_insert(since);
                    *newest = since.max(*newest);
                }
            }
        }
        truth.ended_links = ended
            .into_iter()
            .filter(|(key, _)| !live_now.contains(key))
            .map(|((radio, client), since)| EndedLink {
                ap: plan.devices[plan.radios[radio].device].address.to_string(),
                radio_mac: MacText(plan.radios[radio].mac).to_string(),
                mac: MacText(plan.clients[client].mac).to_string(),
                stable_since: seconds(t - since),
            })
            .collect();
        truth
            .links
            .sort_by(|a, b| (&a.radio_mac, &a.mac).cmp(&(&b.radio_mac, &b.mac)));
        truth
            .ended_links
            .sort_by(|a, b| (&a.radio_mac, &a.mac).cmp(&(&b.radio_mac, &b.mac)));
        truth.sites = sites(plan, &truth);
        truth
    }
}

fn seconds(ms: Ms) -> f64 {
    (ms.clamp(0, 100 * 365 * 86_400_000)) as f64 / 1_000.0
}

fn device(world: &World, index: usize, t: Ms, (api, ssl): (u16, u16)) -> DeviceTruth {
    let plan = world.plan();
    let device = &plan.devices[index];
    let (since, moment) = world.history().device_at(index, t);
    DeviceTruth {
        name: device.name.clone(),
        tenant: plan.tenants[device.tenant].clone(),
        address: device.address.to_string(),
        api_port: api,
        api_ssl_port: matches!(device.tls, Tls::Modern | Tls::Dhe).then_some(ssl),
        tls: device.tls.name().into(),
        username: Plan::USERNAME.into(),
        password: device.password.clone(),
        version: device.version.to_string(),
        login: if device.version.plain_login() {
            "plain"
        } else {
            "challenge"
        }
        .into(),
        site: plan.sites[device.site].name.clone(),
        sector: device.sector.map(|s| plan.sectors[s].name.clone()),
        role: device.role.name().into(),
        alive: moment.reachable,
        manageable: moment.manageable,
        stable_since: seconds(t - since),
    }
}

enum LinkState {
    /// Since when its truth stands.
    Live(Ms),
    Ended(Ms),
}

fn link_state(world: &World, moment: LinkMoment, t: Ms) -> LinkState {
    let ap = world.plan().radios[moment.association.radio].device;
    if let Some(ended) = moment.ended_ms.filter(|end| *end <= t) {
        return LinkState::Ended(ended);
    }
    let (since, state) = world.history().device_at(ap, t);
    if state.reachable {
        LinkState::Live(since.max(moment.association.began_ms))
    } else {
        LinkState::Ended(since)
    }
}

fn link(world: &World, link: Association, t: Ms, since: Ms) -> LinkTruth {
    let plan = world.plan();
    let radio = &plan.radios[link.radio];
    let ap = &plan.devices[radio.device];
    let client = &plan.clients[link.client];
    let cpe = client.device.map(|d| &plan.devices[d]);
    let manageable = |device: usize| world.history().device_at(device, t).1.manageable;
    LinkTruth {
        ap: ap.address.to_string(),
        ap_name: ap.name.clone(),
        interface: radio.reporter().1.to_owned(),
        radio_mac: MacText(radio.mac).to_string(),
        mac: MacText(client.mac).to_string(),
        cpe: cpe.map(|d| d.address.to_string()),
        cpe_name: cpe.map(|d| d.name.clone()),
        tenant: plan.tenants[ap.tenant].clone(),
        site: plan.sites[ap.site].name.clone(),
        signal_dbm: world.past_signal_dbm(link, t, Direction::Up).round() as i16,
        distance_m: distance_m(plan, link.client, link.radio).round(),
        stable_since: seconds(t - since),
        manageable: manageable(radio.device) && manageable(radio.reporter().0),
    }
}

fn sites(plan: &Plan, truth: &Truth) -> Vec<SiteTruth> {
    let mut sites: Vec<SiteTruth> = plan
        .sites
        .iter()
        .map(|site| SiteTruth {
            name: site.name.clone(),
            tenant: plan.tenants[site.tenant].clone(),
            devices: 0,
            devices_alive: 0,
            links: 0,
        })
        .collect();
    for (planned, device) in plan.devices.iter().zip(&truth.devices) {
        sites[planned.site].devices += 1;
        sites[planned.site].devices_alive += usize::from(device.alive);
    }
    let index: std::collections::HashMap<&str, usize> = plan
        .sites
        .iter()
        .enumerate()
        .map(|(n, s)| (s.name.as_str(), n))
        .collect();
    for link in &truth.links {
        if let Some(site) = index.get(link.site.as_str()) {
            sites[*site].links += 1;
        }
    }
    sites
}
