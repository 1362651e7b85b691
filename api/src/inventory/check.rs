//! Checking an inventory as a whole: every problem at once, each with its place, its reason and what to do.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use mast_schemas::inventory::{Device, Inventory, Sector, Site, Tenant, known};

use super::PROBLEMS_MOST;
use crate::ApiError;
use crate::bounds::{self, Bounds, LABELS_MAX, NAME_MAX, PASSWORD_MAX, TEXT_MAX, name_fault};

/// One thing wrong with an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a path in the file, such as `tenants[0].devices[3].sector`; of a CSV file the column.
    pub path: String,
    /// Line of the file, from 1, where it is known.
    pub line: Option<u64>,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason, .. } = self;
        match (self.line, path.as_str()) {
            (Some(line), "") => write!(f, "line {line}: {reason}")?,
            (Some(line), _) => write!(f, "line {line}, {path}: {reason}")?,
            (None, _) => write!(f, "{path}: {reason}")?,
        }
        write!(f, "; {}", self.remedy)
    }
}

/// Checks everything that can be known without the database.
///
/// # Errors
/// [`ApiError::Inventory`] with the problems, all of them unless they are very many.
pub fn check(inventory: &Inventory) -> Result<(), ApiError> {
    let mut found = Found::default();
    let mut names = HashSet::new();
    for (n, tenant) in inventory.tenants.iter().enumerate() {
        let path = format!("tenants[{n}]");
        found.name(&path, &tenant.name);
        found.unique(&path, &tenant.name, names.insert(&tenant.name), "tenant");
        found.tenant(&path, tenant);
    }
    if found.0.is_empty() {
        Ok(())
    } else {
        Err(ApiError::Inventory { problems: found.0 })
    }
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: String, reason: impl Into<String>, remedy: impl Into<String>) {
        if self.0.len() >= PROBLEMS_MOST {
            return;
        }
        self.0.push(Problem {
            path,
            line: None,
            reason: reason.into(),
            remedy: remedy.into(),
        });
    }

    fn name(&mut self, path: &str, name: &str) {
        self.name_at(format!("{path}.name"), name);
    }

    fn name_at(&mut self, path: String, name: &str) {
        if let Some(fault) = name_fault(name) {
            let remedy =
                format!("give it a name of 1 to {NAME_MAX} bytes, none a control character");
            self.add(path, format!("the name {fault}"), remedy);
        }
    }

    fn unique(&mut self, path: &str, name: &str, unique: bool, kind: &str) {
        if !unique {
            self.add(
                format!("{path}.name"),
                format!("another {kind} is called {name:?}"),
                "rename one of them",
            );
        }
    }

    fn range(&mut self, path: String, value: Option<f64>, bounds: Bounds, unit: &str) {
        if let Some(value) = value.filter(|value| !bounds.hold(*value)) {
            self.add(
                path,
                format!("{value} is out of range"),
                format!("give {bounds} {unit}"),
            );
        }
    }

    fn text(&mut self, path: String, text: Option<String>) {
        let Some(text) = text else {
            return;
        };
        if text.is_empty() || text.len() > TEXT_MAX {
            let reason = format!("the text has {} bytes", text.len());
            self.add(path, reason, format!("give 1 to {TEXT_MAX} bytes, or null"));
        } else if text.contains('\0') {
            self.add(path, "the text has a NUL", "take it out");
        }
    }

    fn tenant(&mut self, path: &str, tenant: &Tenant) {
        let mut sites = HashSet::new();
        for (n, site) in tenant.sites.iter().enumerate() {
            let path = format!("{path}.sites[{n}]");
            self.site(&path, site);
            self.unique(
                &path,
                &site.name,
                sites.insert(site.name.as_str()),
                "site of this tenant",
            );
        }
        let mut sectors = HashSet::new();
        for (n, sector) in tenant.sectors.iter().enumerate() {
            let path = format!("{path}.sectors[{n}]");
            self.sector(&path, sector, &sites);
            let key = (sector.site.as_str(), sector.name.as_str());
            self.unique(
                &path,
                &sector.name,
                sectors.insert(key),
                "sector of this site",
            );
        }
        let mut devices = HashSet::new();
        for (n, device) in tenant.devices.iter().enumerate() {
            let path = format!("{path}.devices[{n}]");
            self.device(&path, device);
            self.place(&path, device, &sites, &sectors);
            self.unique(
                &path,
                &device.name,
                devices.insert(&device.name),
                "device of this tenant",
            );
        }
    }

    fn site(&mut self, path: &str, site: &Site) {
        self.name(path, &site.name);
        self.range(
            format!("{path}.latitude"),
            known(&site.latitude),
            bounds::LATITUDE,
            "degrees north",
        );
        self.range(
            format!("{path}.longitude"),
            known(&site.longitude),
            bounds::LONGITUDE,
            "degrees east",
        );
        self.range(
            format!("{path}.elevation_m"),
            known(&site.elevation_m),
            bounds::ELEVATION_M,
            "metres",
        );
        self.text(format!("{path}.address"), known(&site.address));
        self.text(format!("{path}.notes"), known(&site.notes));
        let is_there = |degrees: Option<Option<f64>>| degrees.map(|d| d.is_some());
        if is_there(site.latitude) != is_there(site.longitude) {
            self.add(
                path.to_owned(),
                "it has one of latitude and longitude",
                "give both or neither",
            );
        }
    }

    fn sector(&mut self, path: &str, sector: &Sector, sites: &HashSet<&str>) {
        self.name(path, &sector.name);
        self.range(
            format!("{path}.azimuth_deg"),
            known(&sector.azimuth_deg),
            bounds::AZIMUTH_DEG,
            "degrees from north",
        );
        self.range(
            format!("{path}.beamwidth_deg"),
            known(&sector.beamwidth_deg),
            bounds::BEAMWIDTH_DEG,
            "degrees",
        );
        self.range(
            format!("{path}.range_m"),
            known(&sector.range_m),
            bounds::RANGE_M,
            "metres",
        );
        if !sites.contains(sector.site.as_str()) {
            self.no_site(format!("{path}.site"), &sector.site);
        }
    }

    fn no_site(&mut self, path: String, site: &str) {
        self.add(
            path,
            format!("there is no site {site:?} in this tenant"),
            "add it to `sites` or correct the name",
        );
    }

    fn place(
        &mut self,
        path: &str,
        device: &Device,
        sites: &HashSet<&str>,
        sectors: &HashSet<(&str, &str)>,
    ) {
        let site = device.site.as_ref().and_then(Option::as_deref);
        let sector = device.sector.as_ref().and_then(Option::as_deref);
        match (site, sector) {
            (None, Some(_)) => {
                let remedy = "name the site of the sector too";
                self.add(
                    format!("{path}.sector"),
                    "it has a sector but no site",
                    remedy,
                );
            }
            (Some(site), _) if !sites.contains(site) => self.no_site(format!("{path}.site"), site),
            (Some(site), Some(sector)) if !sectors.contains(&(site, sector)) => self.add(
                format!("{path}.sector"),
                format!("the site {site:?} has no sector {sector:?}"),
                "add it to `sectors` or correct the name",
            ),
            _ => {}
        }
    }

    fn device(&mut self, path: &str, device: &Device) {
        self.name(path, &device.name);
        if !is_address(&device.address) {
            let reason = format!(
                "{:?} is neither an IP address nor a host name",
                device.address
            );
            self.add(
                format!("{path}.address"),
                reason,
                "give the address alone; ports have fields of their own",
            );
        }
        for (field, port) in [
            ("api_port", device.api_port),
            ("api_ssl_port", device.api_ssl_port),
        ] {
            if port == Some(0) {
                self.add(
                    format!("{path}.{field}"),
                    "no service has port 0",
                    "give 1 to 65535",
                );
            }
        }
        self.credentials(path, device);
        if let Some(parent) = known(&device.parent) {
            self.name_at(format!("{path}.parent"), &parent);
            if parent == device.name {
                let remedy = "name the device in front of it";
                self.add(format!("{path}.parent"), "it hangs on itself", remedy);
            }
        }
        for (field, labels) in [("groups", &device.groups), ("tags", &device.tags)] {
            let labels = labels.as_deref().unwrap_or_default();
            if labels.len() > LABELS_MAX {
                let reason = format!("it names {} of them", labels.len());
                let remedy = format!("name at most {LABELS_MAX}");
                self.add(format!("{path}.{field}"), reason, remedy);
                continue;
            }
            for (n, label) in labels.iter().enumerate() {
                self.name_at(format!("{path}.{field}[{n}]"), label);
            }
        }
        self.range(
            format!("{path}.interval_s"),
            device.interval_s,
            bounds::INTERVAL_MS.in_units_of(1_000.0),
            "seconds",
        );
    }
}

impl Found {
    /// What it says repeats nothing of a password.
    fn credentials(&mut self, path: &str, device: &Device) {
        let place = format!("{path}.username");
        match (&device.username, &device.password) {
            (None, Some(_)) => {
                let remedy = "give the user that Mast logs in as";
                self.add(place, "it has a password but no user name", remedy);
            }
            (Some(name), _) if name.is_empty() => {
                let remedy = "give the user that Mast logs in as";
                self.add(place, "the user name is empty", remedy);
            }
            (Some(name), _) if name.len() > NAME_MAX => {
                let reason = format!("the user name has {} bytes", name.len());
                self.add(place, reason, format!("give at most {NAME_MAX} bytes"));
            }
            _ => {}
        }
        let password = device.password.as_ref();
        if password.is_some_and(|password| password.len() > PASSWORD_MAX) {
            let remedy = format!("give at most {PASSWORD_MAX} bytes; is a quote missing?");
            self.add(
                format!("{path}.password"),
                "the password is too long",
                remedy,
            );
        }
    }
}

/// An IP address, or a host name as RFC 1123 has it, with underscores allowed.
pub(crate) fn is_address(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host = text.strip_suffix('.').unwrap_or(text);
    // All digits and dots that is no address is a mistyped address.
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse::<IpAddr>().is_ok() || (!numeric && host.len() <= 253 && host.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;

    fn problems(text: &str) -> Vec<Problem> {
        match check(&parse(text).unwrap()) {
            Ok(()) => Vec::new(),
            Err(ApiError::Inventory { problems }) => problems,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn all_problems_are_named_at_once() {
        let found = problems(
            r#"{ "tenants": [
              { "name": "a", "sites": [{ "name": "hill", "latitude": 91, "longitude": 0 }, { "name": "hill" }],
                "sectors": [{ "name": "north", "site": "dale", "azimuth_deg": 360 }],
                "devices": [
                  { "name": "", "address": "10.0.0.300", "username": "", "password": "p", "api_port": 0 },
                  { "name": "d", "address": "h:8728", "username": "u", "password": "p", "sector": "north" },
                  { "name": "d", "address": "::1", "username": "u", "password": "p", "site": "hill", "sector": "south",
                    "interval_s": 0.01 },
                  { "name": "e", "address": "router-7.example.net", "username": "u", "password": "", "site": "moon" },
                  { "name": "f", "address": "f", "password": "p", "parent": "f", "tags": ["ok", ""] } ] },
              { "name": "a" } ] }"#,
        );
        let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "tenants[0].sites[0].latitude",
                "tenants[0].sites[1].name",
                "tenants[0].sectors[0].azimuth_deg",
                "tenants[0].sectors[0].site",
                "tenants[0].devices[0].name",
                "tenants[0].devices[0].address",
                "tenants[0].devices[0].api_port",
                "tenants[0].devices[0].username",
                "tenants[0].devices[1].address",
                "tenants[0].devices[1].sector",
                "tenants[0].devices[2].interval_s",
                "tenants[0].devices[2].sector",
                "tenants[0].devices[2].name",
                "tenants[0].devices[3].site",
                "tenants[0].devices[4].username",
                "tenants[0].devices[4].parent",
                "tenants[0].devices[4].tags[1]",
                "tenants[1].name",
            ]
        );
        assert!(
            found
                .iter()
                .all(|problem| !problem.reason.is_empty() && !problem.remedy.is_empty())
        );
    }

    #[test]
    fn a_problem_reads_as_a_sentence() {
        let found = problems(
            r#"{ "tenants": [{ "name": "a", "sites": [{ "name": "s", "latitude": 1 }] }] }"#,
        );
        let told = found[0].to_string();
        assert_eq!(
            told,
            "tenants[0].sites[0]: it has one of latitude and longitude; give both or neither"
        );
    }

    #[test]
    fn addresses_are_addresses_or_host_names() {
        for good in [
            "192.0.2.1",
            "2001:db8::1",
            "router",
            "ap_1.site-2.example.net",
            "a.",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "1.2.3",
            "1.2.3.4.5",
            "http://a",
            "a b",
            "a:1",
            "-a",
            "[::1]",
            "a..b",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
