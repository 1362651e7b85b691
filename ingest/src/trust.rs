//! Who a device is, as far as we know: its credentials, its pin, how it is spoken to, and where that is kept.

use std::sync::Arc;
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
    pub credentials: Result<Credentials, String>,
    /// The certificate it was first trusted with.
    pub pin: Option<Fingerprint>,
    /// What earlier sessions found.
    pub manner: Manner,
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
    pub logins: LoginPace,
}

/// At most so many logins a second, over all sessions.
#[derive(Debug)]
pub struct LoginPace {
    next: std::sync::Mutex<Instant>,
    gap: Duration,
}

impl LoginPace {
    /// `per_second` logins a second, at least one.
    pub fn new(per_second: u32) -> Self {
        let gap = Duration::from_secs(1) / per_second.max(1);
        Self {
            next: std::sync::Mutex::new(Instant::now()),
            gap,
        }
    }

    /// Waits for a turn.
    pub async fn turn(&self) {
        let mine = {
            let mut next = self
                .next
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let mine = (*next).max(Instant::now());
            *next = mine + self.gap;
            mine
        };
        tokio::time::sleep_until(mine).await;
    }
}
