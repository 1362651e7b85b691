//! What operators are told of incidents: the words and the content of a request, which dataflow jobs write and the API's
//! process sends.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

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
