//! Polling: how often, how many, and where polls wait.

use std::path::PathBuf;

use mast_ingest::slower::Cadences;
use mast_ingest::spool::SpoolConfig;
use serde::{Deserialize, Serialize};

use super::{Pace, Problem};

/// Polling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ingest {
    /// Interval of the polls of devices whose inventory names none.
    pub(crate) interval: Pace,
    /// Devices that a node holds at most, each with a session; 0 = as many as it may have files open.
    pub(crate) capacity: u64,
    /// Size of the spool, in MiB, in which polls wait while the log takes none.
    pub(crate) spool_mib: u64,
    /// How often ARP tables are read; as all that follow: 0s = never.
    pub(crate) arp_every: Pace,
    /// DHCP leases.
    pub(crate) dhcp_leases_every: Pace,
    /// Neighbours.
    pub(crate) neighbors_every: Pace,
    /// Counts of routes.
    pub(crate) routes_every: Pace,
    /// Firmware.
    pub(crate) firmware_every: Pace,
    /// The devices' logs.
    pub(crate) log_every: Pace,
}

impl Default for Ingest {
    fn default() -> Self {
        let cadences = Cadences::default();
        Self {
            interval: Pace::seconds(60),
            capacity: 0,
            spool_mib: 1_024,
            arp_every: Pace(cadences.arp),
            dhcp_leases_every: Pace(cadences.dhcp_lease),
            neighbors_every: Pace(cadences.neighbor),
            routes_every: Pace(cadences.routes),
            firmware_every: Pace(cadences.firmware),
            log_every: Pace(cadences.log),
        }
    }
}

impl Ingest {
    /// How many devices a node holds; `None` = as many as it may have files open.
    pub(crate) fn capacity(&self) -> Option<u64> {
        (self.capacity > 0).then_some(self.capacity)
    }

    /// Where polls wait.
    pub(crate) fn spool(&self, folder: PathBuf) -> SpoolConfig {
        SpoolConfig {
            folder,
            limit_bytes: self.spool_mib << 20,
        }
    }

    /// How often the slower kinds are read.
    pub(crate) const fn cadences(&self) -> Cadences {
        Cadences {
            arp: self.arp_every.0,
            dhcp_lease: self.dhcp_leases_every.0,
            neighbor: self.neighbors_every.0,
            routes: self.routes_every.0,
            firmware: self.firmware_every.0,
            log: self.log_every.0,
        }
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        let mut must = |key, holds: bool, what: &str| {
            if !holds {
                found.push((key, what.to_owned()));
            }
        };
        let within = |pace: Pace, least: Pace, most: Pace| (least.0..=most.0).contains(&pace.0);
        must(
            "ingest.interval",
            within(
                self.interval,
                Pace::milliseconds(100),
                Pace::seconds(86_400),
            ),
            "must be 100ms to 24h",
        );
        must(
            "ingest.spool_mib",
            (16..=1 << 20).contains(&self.spool_mib),
            "must be 16 to 1048576",
        );
        for (key, pace) in [
            ("ingest.arp_every", self.arp_every),
            ("ingest.dhcp_leases_every", self.dhcp_leases_every),
            ("ingest.neighbors_every", self.neighbors_every),
            ("ingest.routes_every", self.routes_every),
            ("ingest.firmware_every", self.firmware_every),
            ("ingest.log_every", self.log_every),
        ] {
            must(
                key,
                pace.0.is_zero() || within(pace, Pace::seconds(1), Pace::seconds(7 * 86_400)),
                "must be 1s to 168h, or 0s for never",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_set_is_what_a_node_gets() {
        let unset = Ingest::default();
        assert_eq!(unset.cadences(), Cadences::default());
        let folder = PathBuf::from("noc/spool");
        let (ours, usual) = (
            unset.spool(folder.clone()),
            SpoolConfig::new(folder.clone()),
        );
        assert_eq!(ours.limit_bytes, usual.limit_bytes);
        assert_eq!(unset.capacity(), None);

        let text = "capacity = 5000\nspool_mib = 64\narp_every = '1m'\ndhcp_leases_every = '2m'\nneighbors_every = '3m'\n\
                    routes_every = '4m'\nfirmware_every = '5m'\nlog_every = '0s'\n";
        let set: Ingest = toml::from_str(text).unwrap();
        assert_eq!(set.capacity(), Some(5_000));
        assert_eq!(set.spool(folder).limit_bytes, 64 << 20);
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let expected = Cadences {
            arp: minutes(1),
            dhcp_lease: minutes(2),
            neighbor: minutes(3),
            routes: minutes(4),
            firmware: minutes(5),
            log: Duration::ZERO,
        };
        assert_eq!(set.cadences(), expected);
        let problems = |set: &Ingest| {
            let mut found = Vec::new();
            set.problems(&mut found);
            found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(problems(&set), [""; 0]);
        let bad = Ingest {
            spool_mib: 1,
            arp_every: Pace::milliseconds(10),
            firmware_every: Pace::seconds(8 * 86_400),
            ..set
        };
        let keys = [
            "ingest.spool_mib",
            "ingest.arp_every",
            "ingest.firmware_every",
        ];
        assert_eq!(problems(&bad), keys);
    }
}
