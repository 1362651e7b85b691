//! Who depends on whom at a site, as far as inventory says: a device that falls has its ancestors looked at, and one
//! that returns takes the breakers off those behind it.
//!
//! Ancestors are the routers of the site, and for others than its routers the access points of the sector. What depends on
//! what by radio and by last known paths is the dataflow's to say; this is only about where to look next.
//!
//! Devices hash over the nodes, so those of a site are most often several nodes' own: what is said here is also [`SiteNews`] for
//! the others, and theirs is heard here. News may be lost; then somebody looks at its next interval.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use mast_schemas::control::{Device, Role};
use mast_schemas::{SectorId, SiteId, TenantId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

/// What a device's task is told by others.
#[derive(Debug, Default)]
pub struct Nudge {
    wake: Notify,
    look: AtomicBool,
    returned: AtomicBool,
}

/// What a task was told since it last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Somebody behind this device failed.
    pub look: bool,
    /// Somebody in front of this device returned.
    pub returned: bool,
}

impl Nudge {
    /// Waits until something was told, and takes it. Cancel safe.
    pub async fn told(&self) -> Told {
        loop {
            let told = Told {
                look: self.look.swap(false, Relaxed),
                returned: self.returned.swap(false, Relaxed),
            };
            if told != Told::default() {
                return told;
            }
            self.wake.notified().await;
        }
    }

    fn tell(&self, what: &AtomicBool) {
        what.store(true, Relaxed);
        self.wake.notify_one();
    }
}

/// Where a device stands at its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Post {
    sector: Option<SectorId>,
    rank: Rank,
}

#[derive(Debug)]
struct Member {
    post: Post,
    nudge: Arc<Nudge>,
}

/// How near to the site's way out; the smaller the nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rank {
    Router,
    AccessPoint,
    Other,
}

/// What happened to a device, for those of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SiteNews {
    tenant: TenantId,
    site: SiteId,
    post: Post,
    event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    /// It stopped answering.
    Fell,
    /// It answers again.
    Returned,
}

impl Rank {
    const fn of(role: Role) -> Self {
        match role {
            Role::Router => Self::Router,
            Role::Ap => Self::AccessPoint,
            Role::Cpe | Role::Backhaul | Role::Controller | Role::Switch | Role::Other => {
                Self::Other
            }
        }
    }
}

impl Post {
    /// Whether this one is in front of the other.
    fn leads(&self, other: &Self) -> bool {
        self.rank < other.rank
            && (self.rank == Rank::Router || (self.sector.is_some() && self.sector == other.sector))
    }
}

/// All devices that this node polls, by site. A site is small, so its members are looked through.
#[derive(Debug, Default)]
pub struct Kin {
    sites: Mutex<HashMap<(TenantId, SiteId), Vec<Member>>>,
    /// Where news for other nodes goes.
    others: Option<mpsc::Sender<SiteNews>>,
}

/// A device's place in [`Kin`]; dropping it takes the device out.
#[derive(Debug)]
pub struct Place {
    kin: Arc<Kin>,
    site: Option<(TenantId, SiteId)>,
    post: Post,
    nudge: Arc<Nudge>,
}

impl Kin {
    /// Sends what happens to the devices here to other nodes too. What does not fit is lost.
    pub fn telling(others: mpsc::Sender<SiteNews>) -> Self {
        Self {
            others: Some(others),
            ..Self::default()
        }
    }

    /// Puts a device in its place, out of which it goes when the result is dropped.
    pub fn join(self: &Arc<Self>, device: &Device) -> Place {
        let site = device.site_id.map(|site| (device.tenant_id, site));
        let nudge = Arc::new(Nudge::default());
        let post = Post {
            sector: device.sector_id,
            rank: Rank::of(device.role),
        };
        if let Some(site) = site {
            self.sites().entry(site).or_default().push(Member {
                post,
                nudge: Arc::clone(&nudge),
            });
        }
        Place {
            kin: Arc::clone(self),
            site,
            post,
            nudge,
        }
    }

    /// Tells those of a site what happened to one of them, here or at another node.
    pub fn hear(&self, news: &SiteNews) {
        let sites = self.sites();
        for other in sites.get(&(news.tenant, news.site)).into_iter().flatten() {
            match news.event {
                Event::Fell if other.post.leads(&news.post) => other.nudge.tell(&other.nudge.look),
                Event::Returned if news.post.leads(&other.post) => {
                    other.nudge.tell(&other.nudge.returned);
                }
                Event::Fell | Event::Returned => {}
            }
        }
    }

    fn sites(&self) -> std::sync::MutexGuard<'_, HashMap<(TenantId, SiteId), Vec<Member>>> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What others tell this device.
    pub fn nudge(&self) -> &Arc<Nudge> {
        &self.nudge
    }

    /// This device stopped answering: those in front of it are asked to look.
    pub fn fell(&self) {
        if self.post.rank != Rank::Router {
            self.say(Event::Fell);
        }
    }

    /// This device answers again: those behind it need not wait for their breakers.
    pub fn returned(&self) {
        if self.post.rank != Rank::Other {
            self.say(Event::Returned);
        }
    }

    fn say(&self, event: Event) {
        let Some((tenant, site)) = self.site else {
            return;
        };
        let news = SiteNews {
            tenant,
            site,
            post: self.post,
            event,
        };
        self.kin.hear(&news);
        if let Some(others) = &self.kin.others {
            let _ = others.try_send(news);
        }
    }

    /// A changed device may be in twice for a moment; its nudge tells which is this one.
    fn is(&self, member: &Member) -> bool {
        Arc::ptr_eq(&member.nudge, &self.nudge)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(site) = self.site else { return };
        let mut sites = self.kin.sites();
        if let Some(members) = sites.get_mut(&site) {
            if let Some(mine) = members.iter().position(|m| self.is(m)) {
                members.swap_remove(mine);
            }
            if members.is_empty() {
                sites.remove(&site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::DeviceId;
    use mast_schemas::control::TlsPolicy;

    fn device(role: Role, tenant: TenantId, site: SiteId, sector: Option<SectorId>) -> Device {
        Device {
            id: DeviceId::new(),
            tenant_id: tenant,
            name: "d".to_owned(),
            address: "192.0.2.1".to_owned(),
            api_port: 8728,
            api_ssl_port: 8729,
            tls: TlsPolicy::Auto,
            site_id: Some(site),
            sector_id: sector,
            parent_id: None,
            group_ids: Vec::new(),
            tag_ids: Vec::new(),
            role,
            interval_ms: 60_000,
            enabled: true,
            credentials_version: 1,
            version: 1,
        }
    }

    fn told(place: &Place) -> (bool, bool) {
        let nudge = place.nudge();
        (
            nudge.look.swap(false, Relaxed),
            nudge.returned.swap(false, Relaxed),
        )
    }

    #[test]
    fn those_in_front_look_and_those_behind_are_let_through() {
        let kin = Arc::new(Kin::default());
        let (tenant, site) = (TenantId::new(), SiteId::new());
        let (east, west) = (Some(SectorId::new()), Some(SectorId::new()));
        let join = |role, tenant, site, sector| kin.join(&device(role, tenant, site, sector));
        let router = join(Role::Router, tenant, site, None);
        let ap = join(Role::Ap, tenant, site, east);
        let other_ap = join(Role::Ap, tenant, site, west);
        let cpe = join(Role::Cpe, tenant, site, east);
        let switch = join(Role::Switch, tenant, site, None);
        let stranger = join(Role::Router, TenantId::new(), site, None);
        let elsewhere = join(Role::Router, tenant, SiteId::new(), None);
        let all = [
            &router, &ap, &other_ap, &cpe, &switch, &stranger, &elsewhere,
        ];
        let heard = || all.map(told);
        let (no, look, back) = ((false, false), (true, false), (false, true));

        cpe.fell();
        assert_eq!(heard(), [look, look, no, no, no, no, no]);
        switch.fell();
        assert_eq!(heard(), [look, no, no, no, no, no, no]);
        ap.fell();
        assert_eq!(heard(), [look, no, no, no, no, no, no]);
        router.fell();
        assert_eq!(heard(), [no; 7]);

        ap.returned();
        assert_eq!(heard(), [no, no, no, back, no, no, no]);
        router.returned();
        assert_eq!(heard(), [no, back, back, back, back, no, no]);
        cpe.returned();
        assert_eq!(heard(), [no; 7]);
    }

    #[test]
    fn what_happens_at_another_node_is_heard_as_if_it_were_here() {
        let (telling, mut told_others) = mpsc::channel(8);
        let (here, there) = (Arc::new(Kin::telling(telling)), Arc::new(Kin::default()));
        let (tenant, site) = (TenantId::new(), SiteId::new());
        let (east, west) = (Some(SectorId::new()), Some(SectorId::new()));
        let ap = here.join(&device(Role::Ap, tenant, site, east));
        let router = there.join(&device(Role::Router, tenant, site, None));
        let behind = there.join(&device(Role::Cpe, tenant, site, east));
        let beside = there.join(&device(Role::Cpe, tenant, site, west));
        let stranger = there.join(&device(Role::Cpe, TenantId::new(), site, east));
        let mut carried = || {
            while let Ok(news) = told_others.try_recv() {
                let text = serde_json::to_string(&news).unwrap();
                there.hear(&serde_json::from_str(&text).unwrap());
            }
            [&router, &behind, &beside, &stranger].map(told)
        };
        let (no, look, back) = ((false, false), (true, false), (false, true));
        ap.fell();
        assert_eq!(carried(), [look, no, no, no]);
        ap.returned();
        assert_eq!(carried(), [no, back, no, no]);
        assert_eq!(told(&ap), no);
    }

    #[test]
    fn who_left_is_forgotten() {
        let kin = Arc::new(Kin::default());
        let (tenant, site) = (TenantId::new(), SiteId::new());
        let router = device(Role::Router, tenant, site, None);
        let first = kin.join(&router);
        let second = kin.join(&router);
        drop(first);
        let cpe = kin.join(&device(Role::Cpe, tenant, site, None));
        cpe.fell();
        assert_eq!(told(&second), (true, false), "the newer place stays");
        drop((second, cpe));
        assert!(kin.sites().is_empty());
    }

    #[tokio::test]
    async fn what_was_told_before_waiting_is_heard_once() {
        let nudge = Nudge::default();
        nudge.tell(&nudge.look);
        nudge.tell(&nudge.look);
        nudge.tell(&nudge.returned);
        let both = Told {
            look: true,
            returned: true,
        };
        assert_eq!(nudge.told().await, both);
        let more = tokio::time::timeout(std::time::Duration::from_millis(20), nudge.told()).await;
        assert!(more.is_err());
    }
}
