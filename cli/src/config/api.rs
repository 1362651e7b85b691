//! The API.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Problem;
use crate::commands::Pace;

/// REST and SQL over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Api {
    /// Address and port; of this machine alone unless told otherwise.
    pub(crate) listen: String,
    /// Requests a second that one token may make for ever,
    pub(crate) rate_per_second: u32,
    /// and at once, before that.
    pub(crate) rate_burst: u32,
    /// Time for one answer.
    pub(crate) timeout: Pace,
    /// Size of a request's body, in KiB.
    pub(crate) body_kib: usize,
    /// Time for one query of a request.
    pub(crate) query_timeout: Pace,
    /// So old may a list be: whoever asks for the same within this gets the same answer.
    pub(crate) list_age: Pace,
    /// Connections to the database.
    pub(crate) connections: u32,
    /// Origins whose pages may ask, such as `https://noc.example.net`.
    pub(crate) cors_origins: Vec<String>,
    /// Connections that clients may hold at once.
    pub(crate) sockets: usize,
    /// Time for the head of a request to come.
    pub(crate) head_timeout: Pace,
    /// Time for a client to take something of an answer.
    pub(crate) stall_timeout: Pace,
    /// Streams of live views, of all tenants,
    pub(crate) listeners: usize,
    /// of one tenant,
    pub(crate) listeners_per_tenant: usize,
    /// and with one token.
    pub(crate) listeners_per_token: usize,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)).to_string(),
            rate_per_second: 100,
            rate_burst: 500,
            timeout: Pace::seconds(30),
            body_kib: 1_024,
            query_timeout: Pace::seconds(20),
            list_age: Pace::milliseconds(250),
            connections: 10,
            cors_origins: Vec::new(),
            sockets: 10_000,
            head_timeout: Pace::seconds(30),
            stall_timeout: Pace::seconds(30),
            listeners: 5_000,
            listeners_per_tenant: 2_000,
            listeners_per_token: 200,
        }
    }
}

impl Api {
    /// Where to listen.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        let mut must = |key, holds: bool, what: &str| {
            if !holds {
                found.push((key, what.to_owned()));
            }
        };
        let address =
            "must be an address with a port, such as 127.0.0.1:8080 (port 0 = any that is free)";
        must("api.listen", self.address().is_some(), address);
        must(
            "api.rate_per_second",
            self.rate_per_second > 0,
            "must be at least 1",
        );
        must("api.rate_burst", self.rate_burst > 0, "must be at least 1");
        must(
            "api.body_kib",
            (1..=1 << 20).contains(&self.body_kib),
            "must be 1 to 1048576",
        );
        must(
            "api.connections",
            (2..=1_000).contains(&self.connections),
            "must be 2 to 1000",
        );
        for (key, most) in [
            ("api.sockets", self.sockets),
            ("api.listeners", self.listeners),
            ("api.listeners_per_tenant", self.listeners_per_tenant),
            ("api.listeners_per_token", self.listeners_per_token),
        ] {
            must(key, (1..=1_000_000).contains(&most), "must be 1 to 1000000");
        }
        let limits = Pace::milliseconds(100).0..=Pace::seconds(3_600).0;
        for (key, pace) in [
            ("api.timeout", self.timeout),
            ("api.query_timeout", self.query_timeout),
            ("api.head_timeout", self.head_timeout),
            ("api.stall_timeout", self.stall_timeout),
        ] {
            must(key, limits.contains(&pace.0), "must be 100ms to 1h");
        }
        must(
            "api.list_age",
            self.list_age.0 <= Pace::seconds(60).0,
            "must be 0s to 60s",
        );
        let is_origin = |text: &String| {
            url::Url::parse(text).is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.origin().ascii_serialization() == *text
            })
        };
        must(
            "api.cors_origins",
            self.cors_origins.iter().all(is_origin),
            "must be origins such as https://noc.example.net, without a path",
        );
    }
}
