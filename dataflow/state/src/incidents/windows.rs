//! Maintenance windows of a tenant: which are open, and when the next one opens or closes.
//!
//! Nothing is asked of a window between its edges: each knows its newest begin and its next one.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use mast_schemas::control::Window;
use mast_schemas::time::Span;
use mast_schemas::{DeviceId, SiteId, Timestamp, WindowId};

use crate::compact::Map;
use crate::incidents::recurrence::{Begins, Recurrence, RecurrenceError};

/// Why a maintenance window can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It ends before it begins, or at once.
    #[error("a window ends after it begins")]
    Length,
    /// Before 1970, or beyond what calendars have.
    #[error("a window begins in 1970 or later")]
    Begin,
    /// No such time zone.
    #[error("`{0}` is no time zone; one is `Europe/Ljubljana`, or `UTC`")]
    Zone(String),
    /// Not a rule.
    #[error(transparent)]
    Recurrence(#[from] RecurrenceError),
    /// A rule by which it never comes again.
    #[error("by this recurrence the window does not come again; leave it out")]
    NeverAgain,
}

/// Whether a window can be as it is. What control says all the same, and this refuses, does not recur.
///
/// # Errors
/// [`WindowError`], in words for who wrote it.
pub fn check(window: &Window) -> Result<(), WindowError> {
    begins(window).map(drop)
}

/// The begins of a window, of which nothing was taken yet.
fn begins(window: &Window) -> Result<Begins, WindowError> {
    if window.ends_at <= window.starts_at {
        return Err(WindowError::Length);
    }
    if window.starts_at < Timestamp(0) {
        return Err(WindowError::Begin);
    }
    let zone = zone(&window.time_zone)?;
    let rule = window.recurrence.as_deref().map(str::parse::<Recurrence>);
    let rule = rule.transpose()?;
    let recurs = rule.is_some();
    let begins = Begins::new(rule.as_ref(), zone, window.starts_at).ok_or(WindowError::Begin)?;
    if recurs && begins.clone().take(2).count() < 2 {
        return Err(WindowError::NeverAgain);
    }
    Ok(begins)
}

/// Until when a window is open that is open at `at`, once or as it recurs; `None`: it is not. A window that can't be is there once.
pub fn open_until(window: &Window, at: Timestamp) -> Option<Timestamp> {
    let mut held = Held::new(window.clone());
    held.advance(at);
    held.end().filter(|_| held.open)
}

fn zone(name: &str) -> Result<Tz, WindowError> {
    name.parse().map_err(|_| WindowError::Zone(name.to_owned()))
}

/// A window with its place in time.
#[derive(Debug)]
struct Held {
    window: Window,
    begins: Option<Begins>,
    /// The newest begin up to now.
    last: Option<Timestamp>,
    next: Option<Timestamp>,
    open: bool,
}

impl Held {
    fn new(window: Window) -> Self {
        let begins = begins(&window).ok();
        let begins = begins.or_else(|| Begins::new(None, Tz::UTC, window.starts_at));
        let mut held = Self {
            window,
            begins,
            last: None,
            next: None,
            open: false,
        };
        held.next = held.following();
        held
    }

    fn following(&mut self) -> Option<Timestamp> {
        self.begins.as_mut().and_then(Iterator::next)
    }

    /// End of the newest one.
    fn end(&self) -> Option<Timestamp> {
        let length: Span = self.window.ends_at - self.window.starts_at;
        self.last.map(|begin| begin + length)
    }

    /// Goes on to `now`; whether it opened or closed.
    fn advance(&mut self, now: Timestamp) -> bool {
        while let Some(next) = self.next.filter(|next| *next <= now) {
            self.last = Some(next);
            self.next = self.following();
        }
        let open = self.end().is_some_and(|end| now < end);
        std::mem::replace(&mut self.open, open) != open
    }

    /// When it next opens or closes.
    fn edge(&self) -> Option<Timestamp> {
        let end = self.end().filter(|_| self.open);
        end.into_iter().chain(self.next).min()
    }
}

/// The windows of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    held: BTreeMap<WindowId, Held>,
    /// How many are open for all.
    tenant: u32,
    /// How many are open for a site.
    sites: Map<SiteId, u32>,
    /// How many are open for a device.
    devices: Map<DeviceId, u32>,
}

impl Windows {
    /// Takes a window in, in place of the one that had its id. Counts from the next [`Windows::advance`] on.
    pub(crate) fn put(&mut self, window: Window) {
        self.remove(window.id);
        self.held.insert(window.id, Held::new(window));
    }

    /// Takes a window out; whether it was open.
    pub(crate) fn remove(&mut self, id: WindowId) -> bool {
        let held = self.held.remove(&id).filter(|held| held.open);
        if let Some(held) = &held {
            self.count(&held.window, false);
        }
        held.is_some()
    }

    /// Goes on to the end of a slot; whether a window opened or closed.
    pub(crate) fn advance(&mut self, now: Timestamp) -> bool {
        let mut turned = Vec::new();
        for held in self.held.values_mut() {
            if held.advance(now) {
                turned.push((held.window.clone(), held.open));
            }
        }
        for (window, open) in &turned {
            self.count(window, *open);
        }
        !turned.is_empty()
    }

    /// Whether there is none, open or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn count(&mut self, window: &Window, open: bool) {
        const fn one(n: u32, open: bool) -> u32 {
            if open { n + 1 } else { n.saturating_sub(1) }
        }
        fn of<K: Copy + Eq + std::hash::Hash>(all: &mut Map<K, u32>, key: K, open: bool) {
            let n = one(all.get(&key).copied().unwrap_or(0), open);
            if n > 0 {
                all.insert(key, n);
            } else {
                all.remove(&key);
            }
        }
        if window.site_id.is_none() && window.device_ids.is_empty() {
            self.tenant = one(self.tenant, open);
        }
        if let Some(site) = window.site_id {
            of(&mut self.sites, site, open);
        }
        let mut devices = window.device_ids.clone();
        devices.sort_unstable();
        devices.dedup();
        for device in devices {
            of(&mut self.devices, device, open);
        }
    }

    /// When the next one opens or closes.
    pub(crate) fn edge(&self) -> Option<Timestamp> {
        self.held.values().filter_map(Held::edge).min()
    }

    /// Whether one is open for a site, or for what stands there.
    pub(crate) fn site(&self, site: Option<SiteId>) -> bool {
        self.tenant > 0 || site.is_some_and(|site| self.sites.contains_key(&site))
    }

    /// Whether one is open for a device at a site.
    pub(super) fn device(&self, device: DeviceId, site: Option<SiteId>) -> bool {
        self.site(site) || self.devices.contains_key(&device)
    }
}

#[cfg(test)]
mod tests;
