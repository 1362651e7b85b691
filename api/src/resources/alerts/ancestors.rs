//! What is above the subject of an alert, as §19 of the semantics has parents, from the views as they are committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Alert;
use crate::http::problem::Problem;
use crate::http::wire::Time;

/// Steps at most: parents that are set by hand may make any number of them.
const STEPS: usize = 100;

/// A device above the subject, or the subject's own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ancestor {
    device_id: Uuid,
    name: String,
    role: String,
    /// `online`, `offline`, `unmanageable` or `unobserved`.
    state: String,
    since: Option<Time>,
    /// Steps above the subject; 0 is the subject's own device.
    steps: usize,
    /// Why it is above the one before: `set` (by hand), `link` (it is the access point of its link), `uplink` (it is at the other
    /// end of a link towards the core) or `site_router`; of the subject's own device `subject`.
    why: &'static str,
    /// Whether it is the cause: the farthest that is offline.
    is_cause: bool,
}

#[derive(Debug, FromRow)]
struct Device {
    id: Uuid,
    name: String,
    role: String,
    state: String,
    since: Option<Time>,
    parent_id: Option<Uuid>,
    site_id: Option<Uuid>,
}

impl Device {
    fn shown(self, steps: usize, why: &'static str, cause: Option<Uuid>) -> Ancestor {
        Ancestor {
            is_cause: cause == Some(self.id),
            device_id: self.id,
            name: self.name,
            role: self.role,
            state: self.state,
            since: self.since,
            steps,
            why,
        }
    }
}

/// The subject's device, and what is above it, the nearest first.
pub(super) async fn of(
    tx: &mut PgConnection,
    tenant: Uuid,
    alert: &Alert,
) -> Result<Vec<Ancestor>, Problem> {
    let live = &alert.live;
    let is_place = matches!(live.subject_kind.as_str(), "site" | "sector");
    let (first, why) = match is_place {
        true => (site_router(tx, tenant, alert.site_id).await?, "site_router"),
        false => (Some(live.subject_id), "subject"),
    };
    let begin = usize::from(is_place);
    let (mut next, mut shown) = (first.map(|id| (id, why)), Vec::<Ancestor>::new());
    while let Some((id, why)) = next {
        if id == live.subject_id && !shown.is_empty() {
            // Parents by hand that go round: whoever is reached from what is above it has nothing above it.
            shown.truncate(1);
            break;
        }
        if shown.len() == STEPS || shown.iter().any(|above| above.device_id == id) {
            break;
        }
        let Some(device) = device(tx, tenant, id).await? else {
            break;
        };
        next = parent(tx, tenant, &device).await?;
        shown.push(device.shown(begin + shown.len(), why, live.cause_device_id));
    }
    Ok(shown)
}

async fn device(
    tx: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
) -> Result<Option<Device>, sqlx::Error> {
    sqlx::query_as(
        "SELECT d.id, d.name, d.role, coalesce(s.state, 'unobserved') AS state, s.since, d.parent_id, d.site_id FROM devices d
         LEFT JOIN device_status s ON s.device_id = d.id AND s.tenant_id = d.tenant_id WHERE d.tenant_id = $1 AND d.id = $2",
    )
    .bind(tenant)
    .bind(id)
    .fetch_optional(tx)
    .await
}

async fn parent(
    tx: &mut PgConnection,
    tenant: Uuid,
    of: &Device,
) -> Result<Option<(Uuid, &'static str)>, sqlx::Error> {
    if let Some(id) = of.parent_id.filter(|id| *id != of.id) {
        return Ok(Some((id, "set")));
    }
    let (found, why) = match of.role.as_str() {
        "cpe" => (access_point(tx, tenant, of.id).await?, "link"),
        "router" => (uplink(tx, tenant, of.site_id).await?, "uplink"),
        _ => (site_router(tx, tenant, of.site_id).await?, "site_router"),
    };
    Ok(found.map(|id| (id, why)))
}

async fn access_point(
    tx: &mut PgConnection,
    tenant: Uuid,
    cpe: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT l.ap_device_id FROM links l JOIN devices ap ON ap.id = l.ap_device_id AND ap.tenant_id = l.tenant_id
         WHERE l.tenant_id = $1 AND l.cpe_device_id = $2
         ORDER BY l.state = 'stale', l.discovered_at DESC, l.ap_device_id DESC, l.radio_mac DESC LIMIT 1",
    )
    .bind(tenant)
    .bind(cpe)
    .fetch_optional(tx)
    .await
}

async fn site_router(
    tx: &mut PgConnection,
    tenant: Uuid,
    site: Option<Uuid>,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT id FROM devices WHERE tenant_id = $1 AND site_id = $2 AND role = 'router' AND enabled ORDER BY id LIMIT 1",
    )
    .bind(tenant)
    .bind(site)
    .fetch_optional(tx)
    .await
}

/// The device at the other end of a link of a site towards the core.
async fn uplink(
    tx: &mut PgConnection,
    tenant: Uuid,
    site: Option<Uuid>,
) -> Result<Option<Uuid>, sqlx::Error> {
    let Some(site) = site else {
        return Ok(None);
    };
    let core: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM sites WHERE tenant_id = $1 AND core")
        .bind(tenant)
        .fetch_all(&mut *tx)
        .await?;
    // Links between sites are few, and each is there from both of its ends.
    let links: Vec<(Uuid, Uuid, Uuid)> = sqlx::query_as(
        "SELECT ap.site_id, far.site_id, far.id FROM links l
         JOIN devices ap ON ap.id = l.ap_device_id AND ap.tenant_id = l.tenant_id
         JOIN devices far ON far.id = l.cpe_device_id AND far.tenant_id = l.tenant_id AND far.role <> 'cpe'
         WHERE l.tenant_id = $1 AND ap.site_id <> far.site_id AND NOT (l.state = 'stale' AND l.reason = 'roamed')
         UNION SELECT far.site_id, ap.site_id, ap.id FROM links l
         JOIN devices ap ON ap.id = l.ap_device_id AND ap.tenant_id = l.tenant_id
         JOIN devices far ON far.id = l.cpe_device_id AND far.tenant_id = l.tenant_id AND far.role <> 'cpe'
         WHERE l.tenant_id = $1 AND ap.site_id <> far.site_id AND NOT (l.state = 'stale' AND l.reason = 'roamed')",
    )
    .bind(tenant)
    .fetch_all(tx)
    .await?;
    Ok(towards_core(site, &core, &links))
}

/// By links as (site, site at the other end, device there).
fn towards_core(site: Uuid, core: &[Uuid], links: &[(Uuid, Uuid, Uuid)]) -> Option<Uuid> {
    let mut ends: BTreeMap<Uuid, BTreeSet<(Uuid, Uuid)>> = BTreeMap::new();
    for (here, there, device) in links {
        ends.entry(*here).or_default().insert((*there, *device));
    }
    let mut distances: BTreeMap<Uuid, usize> = core.iter().map(|id| (*id, 0)).collect();
    let mut queue: VecDeque<Uuid> = core.iter().copied().collect();
    while let Some(at) = queue.pop_front() {
        let distance = distances.get(&at).copied().unwrap_or_default();
        for (there, _) in ends.get(&at).into_iter().flatten() {
            if !distances.contains_key(there) {
                distances.insert(*there, distance + 1);
                queue.push_back(*there);
            }
        }
    }
    let nearer = distances.get(&site)?.checked_sub(1)?;
    let ends = ends.get(&site)?.iter();
    let nearest = ends.filter(|(there, _)| distances.get(there) == Some(&nearer));
    nearest.map(|(_, device)| *device).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn the_way_to_the_core_is_the_shortest_and_by_the_lowest_device() {
        // Sites 1 (core), 2, 3 and 4 in a row, 2 and 3 by two links; 9 is on its own.
        let both =
            |a, b, (at_a, at_b): (u128, u128)| [(id(a), id(b), id(at_b)), (id(b), id(a), id(at_a))];
        let links = [
            both(1, 2, (10, 20)),
            both(2, 3, (21, 30)),
            both(2, 3, (19, 31)),
            both(3, 4, (32, 40)),
        ]
        .concat();
        let up = |site| towards_core(id(site), &[id(1)], &links);
        assert_eq!(up(1), None, "nothing is above the core");
        assert_eq!(up(2), Some(id(10)));
        assert_eq!(up(3), Some(id(19)));
        assert_eq!(up(4), Some(id(32)));
        assert_eq!(up(9), None);
        assert_eq!(towards_core(id(2), &[], &links), None);
    }
}
