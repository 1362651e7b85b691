//! Who has which address inside the fleet's networks: a function of the plan.
//!
//! A tower has a network of its own, 172.16.0.0/12 cut into /24; its router is the first address,
//! the other devices follow. Clients of radios get 10.0.0.0/8, 250 to a /24, whose gateway is the
//! device in whose table they are. Behind a customer's device is 192.168.88.0/24.

use std::{collections::BTreeSet, net::Ipv4Addr};

use super::model::{CapsMan, Plan, Role};

/// Clients that share a /24.
const CLIENTS: usize = 250;

/// The address that a client gets by DHCP.
pub(crate) fn client(client: usize) -> Ipv4Addr {
    let [.., a, b] = ((client / CLIENTS) as u32).to_be_bytes();
    Ipv4Addr::new(10, a, b, (client % CLIENTS) as u8 + 2)
}

/// The first address of the /24 that `of` is in: its gateway.
pub(crate) fn gateway(of: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = of.octets();
    Ipv4Addr::new(a, b, c, 1)
}

/// The network of a prefix.
pub(crate) fn network(address: Ipv4Addr, length: u8) -> Ipv4Addr {
    let mask = u32::MAX
        .checked_shl(32 - u32::from(length.min(32)))
        .unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

/// The management address of a device on a tower.
pub(crate) fn tower(plan: &Plan, device: usize) -> Ipv4Addr {
    let site = plan.devices[device].site;
    let place = plan.sites[site].tower.iter().position(|d| *d == device);
    let host = place.unwrap_or(253).min(253) as u8 + 1;
    Ipv4Addr::new(172, 16 + (site / 250 % 16) as u8, (site % 250) as u8, host)
}

/// Gateways that a device holds for the clients of radios: those that live there by plan.
pub(crate) fn gateways(plan: &Plan, device: usize) -> BTreeSet<Ipv4Addr> {
    let site = &plan.sites[plan.devices[device].site];
    let reported = |radio: usize| {
        let radio = &plan.radios[radio];
        !radio.w60g && radio.reporter().0 == device
    };
    if plan.devices[device].role == Role::Cpe
        || (plan.devices[device].role == Role::Router
            && plan.devices[device].capsman != CapsMan::Controller)
    {
        return BTreeSet::new();
    }
    let radios = site.radios.iter().filter(|radio| reported(**radio));
    radios
        .flat_map(|radio| plan.radios[*radio].residents.clone())
        .map(|resident| gateway(client(resident)))
        .collect()
}

/// The port of a tower's router that a device of the tower is plugged into, from 1; the first is the uplink.
pub(crate) fn router_port(plan: &Plan, device: usize) -> u8 {
    let site = &plan.sites[plan.devices[device].site];
    let place = site.tower.iter().position(|d| *d == device).unwrap_or(1);
    let ports = usize::from(plan.devices[site.router].board.ethers).max(2) - 1;
    (2 + place.saturating_sub(1) % ports) as u8
}

/// The sites at the other ends of a site's 60 GHz links, with the radio of each link.
pub(crate) fn backhauls(plan: &Plan, site: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let ends = plan.sites[site]
        .tower
        .iter()
        .filter(move |d| plan.devices[**d].role == Role::Backhaul);
    ends.filter_map(move |end| {
        let device = &plan.devices[*end];
        if let Some(radio) = device.radios.first() {
            let far = *plan.radios[*radio].residents.first()?;
            let far = plan.clients[far].device?;
            return Some((plan.devices[far].site, *radio));
        }
        let home = plan.clients[device.client?].home;
        Some((plan.devices[plan.radios[home].device].site, home))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::layout::lay_out;

    #[test]
    fn networks_and_gateways() {
        assert_eq!(client(0), Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(client(250), Ipv4Addr::new(10, 0, 1, 2));
        assert_eq!(gateway(client(251)), Ipv4Addr::new(10, 0, 1, 1));
        assert_eq!(network(client(251), 24), Ipv4Addr::new(10, 0, 1, 0));
        assert_eq!(network(client(251), 0), Ipv4Addr::UNSPECIFIED);
        assert_eq!(network(client(251), 32), client(251));
    }

    #[test]
    fn every_client_has_a_gateway_at_the_device_in_whose_table_it_is() {
        let plan = lay_out(7, 300, 0);
        for (id, c) in plan.clients.iter().enumerate() {
            let radio = &plan.radios[c.home];
            assert!(radio.residents.contains(&id));
            if !radio.w60g {
                let gateways = gateways(&plan, radio.reporter().0);
                assert!(gateways.contains(&gateway(client(id))));
            }
        }
    }

    #[test]
    fn both_ends_of_a_backhaul_know_each_other() {
        let plan = lay_out(7, 300, 0);
        let mut seen = 0;
        for site in 0..plan.sites.len() {
            for (far, radio) in backhauls(&plan, site) {
                assert!(backhauls(&plan, far).any(|back| back == (site, radio)));
                seen += 1;
            }
        }
        assert!(seen >= 2);
    }
}
