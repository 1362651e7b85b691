//! What this process may hold: a session is a file descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything that is no session: the log, Postgres, the spool, listeners.
pub(super) const OTHERS: u64 = 256;

/// Raises the soft limit of file descriptors as far as allowed; how many there may be.
pub(super) fn descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let (current, most) = (limit.current, limit.maximum);
    if current == most {
        return current.unwrap_or(u64::MAX);
    }
    let wanted = Rlimit {
        current: most,
        maximum: most,
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => most.unwrap_or(u64::MAX),
        // An unlimited number may be refused where the system has a bound of its own.
        Err(_) => current.unwrap_or(u64::MAX),
    }
}
