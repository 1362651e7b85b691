//! Where this process answers for itself.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Problem;

/// Metrics and health of this process over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Metrics {
    /// A loopback address with a port, or `off`.
    pub(crate) listen: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string(),
        }
    }
}

impl Metrics {
    /// Where to listen; null = nowhere.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        let is_loopback = self
            .address()
            .is_some_and(|address| address.ip().is_loopback());
        if is_loopback || self.listen == "off" {
            return Vec::new();
        }
        let what = "must be an address of this machine alone with a port, such as 127.0.0.1:9464 (port 0 = any that is free), \
                    or off; what comes from elsewhere goes through a proxy that asks who it is";
        vec![("metrics.listen", what.to_owned())]
    }
}
