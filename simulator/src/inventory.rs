//! The fleet as an inventory file: what an operator would import to have it watched.

use mast_schemas::{
    control::{Role as EntryRole, TlsPolicy},
    inventory::{Device, Inventory, Sector, Site, Tenant},
};

use crate::world::model::{Plan, Role, Tls};

/// The inventory of a fleet that listens on these ports.
#[must_use]
pub fn inventory(
    plan: &Plan,
    api_port: u16,
    api_ssl_port: u16,
    interval_s: Option<f64>,
) -> Inventory {
    let of_site = |site: usize| plan.sites[site].name.clone();
    let tenants = plan.tenants.iter().enumerate().map(|(t, name)| Tenant {
        name: name.clone(),
        sites: plan
            .sites
            .iter()
            .filter(|s| s.tenant == t)
            .enumerate()
            .map(|(n, site)| site_entry(site, n == 0))
            .collect(),
        sectors: plan
            .sectors
            .iter()
            .filter(|s| plan.sites[s.site].tenant == t)
            .map(|s| Sector {
                azimuth_deg: Some(Some(s.azimuth_deg)),
                beamwidth_deg: Some(Some(s.beamwidth_deg)),
                ..Sector::named(&s.name, of_site(s.site))
            })
            .collect(),
        devices: plan
            .devices
            .iter()
            .filter(|d| d.tenant == t)
            .map(|d| Device {
                api_port: Some(api_port),
                api_ssl_port: Some(api_ssl_port),
                username: Some(Plan::USERNAME.into()),
                password: Some(d.password.clone()),
                tls: Some(match d.tls {
                    Tls::Off => TlsPolicy::Plain,
                    Tls::Modern | Tls::Dhe => TlsPolicy::Auto,
                    Tls::Anonymous => TlsPolicy::Anonymous,
                }),
                site: Some(Some(of_site(d.site))),
                sector: Some(d.sector.map(|s| plan.sectors[s].name.clone())),
                role: Some(entry_role(d.role)),
                interval_s,
                ..Device::new(&d.name, d.address.to_string())
            })
            .collect(),
    });
    Inventory {
        tenants: tenants.collect(),
    }
}

/// Of each tenant the first tower is the core: backhauls lead there.
fn site_entry(site: &crate::world::model::Site, core: bool) -> Site {
    Site {
        core: Some(core),
        latitude: Some(Some(site.latitude)),
        longitude: Some(Some(site.longitude)),
        elevation_m: Some(Some(site.elevation_m)),
        ..Site::named(&site.name)
    }
}

fn entry_role(role: Role) -> EntryRole {
    match role {
        Role::Router => EntryRole::Router,
        Role::Ap => EntryRole::Ap,
        Role::Cpe => EntryRole::Cpe,
        Role::Backhaul => EntryRole::Backhaul,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::layout::lay_out;
    use mast_schemas::inventory::known;

    #[test]
    fn every_device_is_in_it_once_and_names_what_is_there() {
        let plan = lay_out(1, 300, 0);
        let inventory = inventory(&plan, 8728, 8729, Some(2.0));
        let devices: usize = inventory.tenants.iter().map(|t| t.devices.len()).sum();
        assert_eq!(devices, 300);
        for tenant in &inventory.tenants {
            for device in &tenant.devices {
                assert!(
                    tenant
                        .sites
                        .iter()
                        .any(|s| Some(s.name.clone()) == known(&device.site))
                );
                if let Some(sector) = known(&device.sector) {
                    assert!(tenant.sectors.iter().any(|s| s.name == sector));
                }
            }
        }
        let text = serde_json::to_string(&inventory).unwrap();
        assert!(serde_json::from_str::<Inventory>(&text).unwrap() == inventory);
    }
}
