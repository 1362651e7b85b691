//! Who listens: how many may, and who may no longer.
//!
//! A listener has a seat as long as it listens. A token that was taken back, or whose tenant is gone, ends all that were let
//! in by it: one question to the database for all of them, every few seconds.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mast_schemas::TenantId;
use mast_schemas::metric::Metric;
use tokio::task::AbortHandle;

use crate::token::TokenHash;

/// How many may listen to live views at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// Of all tenants.
    pub all: usize,
    /// Of one tenant.
    pub per_tenant: usize,
    /// With one token.
    pub per_token: usize,
}

/// Why somebody may not listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many listen as may, of all tenants; or the service ends.
    All,
    /// As many listen as may of this tenant.
    Tenant,
    /// As many listen as may with this token.
    Token,
}

/// All seats.
pub(super) struct Seats {
    limits: Listeners,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    last: u64,
    seats: HashMap<u64, Sitting>,
    closed: bool,
}

struct Sitting {
    tenant: TenantId,
    /// Null: it was let in without one, by this process itself.
    token: Option<TokenHash>,
    task: Option<AbortHandle>,
}

/// A place to listen from; it is free again when this is dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    id: u64,
}

impl Seats {
    pub(super) fn new(limits: Listeners) -> Arc<Self> {
        Arc::new(Self {
            limits,
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat.
    pub(super) fn take(
        self: &Arc<Self>,
        tenant: TenantId,
        token: Option<TokenHash>,
    ) -> Result<Seat, Full> {
        let mut taken = self.taken();
        let count = |of: &dyn Fn(&Sitting) -> bool| taken.seats.values().filter(|s| of(s)).count();
        if count(&|sitting| sitting.token == token) >= self.limits.per_token {
            return Err(Full::Token);
        }
        if count(&|sitting| sitting.tenant == tenant) >= self.limits.per_tenant {
            return Err(Full::Tenant);
        }
        if taken.closed || taken.seats.len() >= self.limits.all {
            return Err(Full::All);
        }
        taken.last += 1;
        let id = taken.last;
        let sitting = Sitting {
            tenant,
            token,
            task: None,
        };
        taken.seats.insert(id, sitting);
        Metric::ApiListeners.set_count(&[], taken.seats.len() as u64);
        Ok(Seat {
            seats: Arc::clone(self),
            id,
        })
    }

    /// Says what ends with the right to a seat.
    pub(super) fn seated(&self, id: u64, task: AbortHandle) {
        let mut taken = self.taken();
        if taken.closed {
            task.abort();
        } else if let Some(sitting) = taken.seats.get_mut(&id) {
            sitting.task = Some(task);
        }
    }

    /// The tokens of all who sit.
    pub(super) fn tokens(&self) -> HashSet<TokenHash> {
        self.taken()
            .seats
            .values()
            .filter_map(|s| s.token)
            .collect()
    }

    /// Ends all with these tokens.
    pub(super) fn bar(&self, tokens: &HashSet<TokenHash>) {
        for sitting in self.taken().seats.values() {
            if sitting.token.is_some_and(|token| tokens.contains(&token)) {
                sitting.end();
            }
        }
    }

    /// Ends all, and lets nobody in any more.
    pub(super) fn close(&self) {
        let mut taken = self.taken();
        taken.closed = true;
        taken.seats.values().for_each(Sitting::end);
    }
}

impl Sitting {
    fn end(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Seat {
    pub(super) const fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.seats.remove(&self.id);
        Metric::ApiListeners.set_count(&[], taken.seats.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_holds_and_a_seat_that_is_left_is_free() {
        let seats = Seats::new(Listeners {
            all: 4,
            per_tenant: 3,
            per_token: 2,
        });
        let (a, b) = (TenantId::new(), TenantId::new());
        let take = |tenant, text| seats.take(tenant, Some(TokenHash::of(text)));
        let first = take(a, "1").unwrap();
        let _second = take(a, "1").unwrap();
        assert_eq!(take(a, "1").err(), Some(Full::Token));
        let _third = take(a, "2").unwrap();
        assert_eq!(take(a, "3").err(), Some(Full::Tenant));
        let _fourth = take(b, "4").unwrap();
        assert_eq!(take(b, "5").err(), Some(Full::All));
        drop(first);
        assert!(take(b, "5").is_ok());
        seats.close();
        assert_eq!(take(b, "5").err(), Some(Full::All));
    }
}
