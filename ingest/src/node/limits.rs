//! What this process may hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything that is no session: the log, Postgres, listeners.
const OTHERS: u64 = 256;

/// Raises the soft limit of file descriptors as far as needed and allowed; says so when it is short.
/// A device without a descriptor is an `internal` outcome, which counts against nobody.
pub(super) fn check(devices: usize) {
    let needed = devices as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else {
        return;
    };
    let most = limit.maximum.unwrap_or(needed);
    let wanted = Rlimit {
        current: Some(needed.min(most)),
        maximum: limit.maximum,
    };
    let raised = setrlimit(Resource::Nofile, wanted).is_ok();
    if !raised || most < needed {
        tracing::error!(
            devices,
            limit = if raised { most } else { current },
            needed,
            "not enough file descriptors for a session each; raise the limit (ulimit -n)"
        );
    }
}
