//! What operators are told of incidents: the words and the content of a request, which dataflow jobs write and the API's
//! process sends.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::alerts::RuleKind;

pub use crate::alerts::Severity;

crate::words! {
    /// What is told of an incident.
    Occasion, "kind of notification" {
        /// It began.
        Opened = "opened",
        /// It became worse.
        Escalated = "escalated",
        /// It is over.
        Resolved = "resolved",
    }
}

crate::words! {
    /// How a channel tells.
    ChannelKind, "kind of channel" {
        /// By e-mail.
        Email = "email",
        /// By a signed HTTP request, for programs.
        Webhook = "webhook",
        /// By an incoming webhook of Slack.
        Slack = "slack",
        /// By an HTTP request made from a template.
        Http = "http",
    }
}

crate::words! {
    /// Where a delivery is.
    DeliveryState, "state of a delivery" {
        /// It waits to be sent.
        Pending = "pending",
        /// Somebody sends it.
        Sending = "sending",
        /// The other side took it.
        Delivered = "delivered",
        /// It was given up.
        Dead = "dead",
    }
}

crate::words! {
    /// How an attempt ended.
    AttemptOutcome, "outcome of an attempt" {
        /// The other side took it.
        Delivered = "delivered",
        /// It did not work, and may later.
        Failed = "failed",
        /// It will not work until somebody changes something.
        Refused = "refused",
        /// The process died: nobody knows.
        Unknown = "unknown",
    }
}

/// A thing by id and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Its id.
    pub id: Uuid,
    /// Its name when the request was made.
    pub name: String,
}

/// What an incident hangs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// `device`, `site`, `sector` or `link`.
    pub kind: String,
    /// Its id, as the API names it.
    pub id: String,
    /// Its name when the request was made.
    pub name: String,
}

/// The column `content` of a request: what there is to tell. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationContent {
    /// What happened, in a line.
    pub title: String,
    /// Why, in a line.
    pub cause: String,
    /// What it hangs on.
    pub root: Root,
    /// Where; null: at no site, or at several.
    #[serde(default)]
    pub site: Option<Named>,
    /// Devices that are not as they should be because of it; null: not known.
    #[serde(default)]
    pub devices_affected: Option<u64>,
    /// Clients that are cut off because of it; null: not known.
    #[serde(default)]
    pub clients_affected: Option<u64>,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it ended; null: it has not.
    #[serde(default)]
    pub resolved_at: Option<Timestamp>,
}

/// What happened to the root of an incident, in a line.
pub fn title(kind: RuleKind, name: &str) -> String {
    match kind {
        RuleKind::Offline => format!("{name} does not answer"),
        RuleKind::Unmanageable => format!("{name} answers and can't be read"),
        RuleKind::SiteDown => format!("{name} is down"),
        RuleKind::InterfaceDown => format!("{name}: an interface is down"),
        RuleKind::InterfaceUtilization => format!("{name}: an interface is full"),
        RuleKind::Cpu => format!("{name}: CPU load"),
        RuleKind::Memory => format!("{name}: memory in use"),
        RuleKind::Disk => format!("{name}: disk in use"),
        RuleKind::Temperature => format!("{name}: temperature"),
        RuleKind::Signal | RuleKind::SectorSignalAvg => format!("{name}: signal of clients"),
        RuleKind::Ccq => format!("{name}: CCQ of clients"),
        RuleKind::Clients => format!("{name}: number of clients"),
        RuleKind::DeviceOfflinePercent | RuleKind::DeviceOfflineCount => {
            format!("{name}: devices do not answer")
        }
        RuleKind::SectorClientDrop => format!("{name}: clients were lost"),
        RuleKind::SignalDegradation => format!("{name}: signals of clients degrade"),
        RuleKind::LinkDownCount => format!("{name}: links are down"),
        RuleKind::NoiseFloor => format!("{name}: noise"),
        RuleKind::ThroughputDrop => format!("{name}: traffic fell"),
    }
}

/// How far an incident reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Extent {
    /// Alerts in it.
    pub alerts: u64,
    /// Devices that they are of.
    pub devices: u64,
    /// Of these, devices that hang on the root, which is offline.
    pub below: u64,
}

impl Extent {
    /// Why there is an incident, in a line: what is so of its root, and what comes of that.
    pub fn cause(self, kind: RuleKind, name: &str) -> String {
        let what = title(kind, name);
        match self {
            Self { below: 1, .. } => format!("{what}; 1 other device hangs on it"),
            Self { below: 2.., .. } => format!("{what}; {} other devices hang on it", self.below),
            // What was above is back, and they stay together.
            Self { devices: 2.., .. } => format!("{what}; alerts of {} devices", self.devices),
            Self { alerts: 2.., .. } => format!("{what}; {} alerts of it", self.alerts),
            _ => what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_says_what_is_so_of_the_root_and_what_comes_of_it() {
        let cause = |alerts, devices, below| {
            let extent = Extent {
                alerts,
                devices,
                below,
            };
            extent.cause(RuleKind::Offline, "router")
        };
        let dead = "router does not answer";
        assert_eq!(cause(1, 1, 0), dead);
        assert_eq!(cause(3, 1, 0), format!("{dead}; 3 alerts of it"));
        assert_eq!(
            cause(2, 2, 1),
            format!("{dead}; 1 other device hangs on it")
        );
        assert_eq!(
            cause(250, 200, 199),
            format!("{dead}; 199 other devices hang on it")
        );
        assert_eq!(cause(5, 4, 0), format!("{dead}; alerts of 4 devices"));
        // A site that is down: none of its alerts is of a device.
        let site = Extent {
            alerts: 1,
            ..Extent::default()
        };
        assert_eq!(site.cause(RuleKind::SiteDown, "hill"), "hill is down");
    }

    #[test]
    fn each_kind_says_what_happened_and_to_what() {
        for kind in RuleKind::ALL {
            let title = title(*kind, "hill");
            assert!(
                title.starts_with("hill") && title.len() > "hill: ".len(),
                "{title}"
            );
        }
    }
}
