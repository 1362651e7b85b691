//! Who a device is, as far as we know: its credentials, its pin, how it is spoken to, and where that is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures::future::BoxFuture;
use mast_schemas::control;
use routeros_api::{Credentials, Fingerprint, TlsStack, TrustedRoots};
use tokio::time::Instant;

/// A device with what is needed to talk to it.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    /// As control tells it.
    pub device: control::Device,
    /// User and password, or why there are none.
    pub credentials: Result<Credentials, NoCredentials>,
    /// The certificate it was first trusted with.
    pub pin: Option<Fingerprint>,
    /// What earlier sessions found.
    pub manner: Manner,
}

/// Why a device can't be logged in to. None of it is the device's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCredentials {
    /// Nobody entered any.
    #[error("there are no credentials for this device; enter them")]
    Missing,
    /// The key does not open them, or there is no key now.
    #[error("its credentials can't be opened: {0}")]
    Locked(String),
    /// They changed, and could not be read.
    #[error("its credentials could not be read: {0}")]
    Unread(String),
}

/// How a device is spoken to. Nothing depends on it but detours: what is wrong is learnt anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Known to run 6.43 or later.
    pub modern: bool,
    /// What spoke TLS with it.
    pub tls_stack: TlsStack,
}

/// Where pins are kept. A pin is kept before the certificate is first believed.
pub trait PinStore: Send + Sync {
    /// Keeps the pin unless there is one; answers the one that is kept.
    fn keep<'a>(
        &'a self,
        device: &'a control::Device,
        found: Fingerprint,
    ) -> BoxFuture<'a, Result<Fingerprint, String>>;

    /// Remembers how a device was spoken to.
    fn remember<'a>(&'a self, device: &'a control::Device, manner: Manner) -> BoxFuture<'a, ()>;
}

/// What all sessions share.
pub struct Trust {
    /// The CA that signs routers' certificates, if there is one.
    pub roots: Option<TrustedRoots>,
    /// Where pins are kept.
    pub pins: Arc<dyn PinStore>,
    /// Spreads logins in time.
    pub logins: Arc<LoginPace>,
}

/// At most so many logins a second, over all sessions.
#[derive(Debug)]
pub struct LoginPace {
    next: std::sync::Mutex<Instant>,
    gap: Duration,
    turns: AtomicU64,
}

impl LoginPace {
    /// `per_second` logins a second, at least one.
    pub fn new(per_second: u32) -> Self {
        let gap = Duration::from_secs(1) / per_second.max(1);
        Self {
            next: std::sync::Mutex::new(Instant::now()),
            gap,
            turns: AtomicU64::new(0),
        }
    }

    /// Logins that had their turn or wait for it.
    pub fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    /// Waits for a turn.
    pub async fn turn(&self) {
        tokio::time::sleep_until(self.book(Instant::now())).await;
    }

    /// The next turn that nobody has.
    fn book(&self, now: Instant) -> Instant {
        self.turns.fetch_add(1, Relaxed);
        let mut next = self
            .next
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mine = (*next).max(now);
        *next = mine + self.gap;
        mine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As when a node starts, or a site's power returns: everybody at once.
    #[test]
    fn logins_of_a_whole_fleet_are_spread() {
        let (pace, now) = (LoginPace::new(500), Instant::now());
        let mut turns: Vec<_> = (0..15_000).map(|_| pace.book(now) - now).collect();
        assert!(turns.is_sorted(), "who comes first goes first");
        assert!(
            turns
                .windows(501)
                .all(|w| w[500] - w[0] >= Duration::from_secs(1))
        );
        assert_eq!(turns.pop().map(|last| last.as_millis()), Some(29_998));
        assert_eq!(pace.turns(), 15_000);
        // Nobody saves up turns.
        let later = now + Duration::from_secs(100);
        let two = [pace.book(later), pace.book(later)];
        assert_eq!(two.map(|turn| (turn - later).as_millis()), [0, 2]);
    }
}
