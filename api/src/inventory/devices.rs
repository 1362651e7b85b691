//! The statements of an import that write devices and their credentials.

use std::collections::{HashMap, HashSet};

use mast_schemas::control::{Role, TlsPolicy};
use mast_schemas::inventory::{
    Device, Said, default_api_port, default_api_ssl_port, default_role, default_tls,
};
use mast_schemas::{DeviceId, TenantId};
use mast_secrets::{Credentials, KeyProvider, Secret, SecretsError};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::write::Ids;
use super::{Place, Problem, Tally};
use crate::ApiError;

/// The ids of what devices name.
pub(super) struct Labels {
    pub(super) group_ids: Ids,
    pub(super) tag_ids: Ids,
}

/// A device as the statement takes it, without its credentials.
#[derive(Serialize)]
struct Row<'a> {
    id: Uuid,
    name: &'a str,
    address: &'a str,
    api_port: Option<u16>,
    api_ssl_port: Option<u16>,
    tls: Option<TlsPolicy>,
    /// Whether the site is said,
    sited: bool,
    site: Option<&'a str>,
    /// and the sector; a site without one says that there is none.
    sectored: bool,
    sector: Option<&'a str>,
    role: Option<Role>,
    interval_ms: Option<i64>,
    enabled: Option<bool>,
    /// Whether the parent is said.
    hung: bool,
    parent_id: Option<Uuid>,
    group_ids: Option<Vec<Uuid>>,
    tag_ids: Option<Vec<Uuid>>,
    /// Whether it has other credentials than before.
    sealed: bool,
}

fn text(said: &Said<String>) -> Option<&str> {
    said.as_ref().and_then(Option::as_deref)
}

/// Ids in the order in which the API keeps them, each once.
fn ids(names: Option<&Vec<String>>, known: &Ids) -> Option<Vec<Uuid>> {
    let mut ids: Vec<Uuid> = names?
        .iter()
        .filter_map(|n| known.get(n).copied())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

/// Devices and their credentials. The version of the credentials rises in the same row change as all else, so that ingest
/// hears of both at once.
pub(super) async fn devices(
    tx: &mut PgConnection,
    keys: &dyn KeyProvider,
    place: &Place,
    devices: &[Device],
    labels: &Labels,
    default_interval_ms: u32,
) -> Result<Tally, ApiError> {
    let stored = stored(tx, place.tenant_id, devices).await?;
    let sealed = changed_credentials(keys, place, devices, &stored)?;
    let rows = rows(place, devices, &stored, labels, &sealed)?;
    let written = sqlx::query_scalar!(
        r#"INSERT INTO devices AS d (id, tenant_id, name, address, api_port, api_ssl_port, tls, site_id, sector_id, role,
                                     interval_ms, enabled, parent_id, group_ids, tag_ids, credentials_version,
                                     has_credentials)
           SELECT i.id, $1, i.name, i.address, coalesce(i.api_port, old.api_port, $3),
                  coalesce(i.api_ssl_port, old.api_ssl_port, $4), coalesce(i.tls, old.tls, $5),
                  CASE WHEN i.sited THEN site.id ELSE old.site_id END,
                  CASE WHEN i.sectored THEN sector.id ELSE old.sector_id END,
                  coalesce(i.role, old.role, $6), coalesce(i.interval_ms, old.interval_ms, $7),
                  coalesce(i.enabled, old.enabled, true), CASE WHEN i.hung THEN i.parent_id ELSE old.parent_id END,
                  coalesce(i.group_ids, old.group_ids, '{}'), coalesce(i.tag_ids, old.tag_ids, '{}'),
                  coalesce(old.credentials_version, 0) + i.sealed::integer,
                  i.sealed OR coalesce(old.has_credentials, false)
           FROM jsonb_to_recordset($2) AS i (id uuid, name text, address text, api_port integer, api_ssl_port integer,
               tls text, sited boolean, site text, sectored boolean, sector text, role text, interval_ms integer,
               enabled boolean, hung boolean, parent_id uuid, group_ids uuid[], tag_ids uuid[], sealed boolean)
           LEFT JOIN sites site ON site.tenant_id = $1 AND site.name = i.site
           LEFT JOIN sectors sector ON sector.tenant_id = $1 AND sector.site_id = site.id AND sector.name = i.sector
           LEFT JOIN devices old ON old.tenant_id = $1 AND old.name = i.name
           ON CONFLICT (tenant_id, name) DO UPDATE SET
               address = excluded.address, api_port = excluded.api_port, api_ssl_port = excluded.api_ssl_port,
               tls = excluded.tls, site_id = excluded.site_id, sector_id = excluded.sector_id, role = excluded.role,
               interval_ms = excluded.interval_ms, enabled = excluded.enabled, parent_id = excluded.parent_id,
               group_ids = excluded.group_ids, tag_ids = excluded.tag_ids,
               credentials_version = excluded.credentials_version, has_credentials = excluded.has_credentials
           WHERE (d.address, d.api_port, d.api_ssl_port, d.tls, d.site_id, d.sector_id, d.role, d.interval_ms, d.enabled,
                  d.parent_id, d.group_ids, d.tag_ids, d.credentials_version)
               IS DISTINCT FROM (excluded.address, excluded.api_port, excluded.api_ssl_port, excluded.tls,
                  excluded.site_id, excluded.sector_id, excluded.role, excluded.interval_ms, excluded.enabled,
                  excluded.parent_id, excluded.group_ids, excluded.tag_ids, excluded.credentials_version)
           RETURNING xmax = 0 AS "created!""#,
        place.tenant_id.0,
        Json(rows) as _,
        i32::from(default_api_port()),
        i32::from(default_api_ssl_port()),
        default_tls().as_str(),
        default_role().as_str(),
        i32::try_from(default_interval_ms).unwrap_or(i32::MAX),
    )
    .fetch_all(&mut *tx)
    .await?;
    no_rings(tx, place, devices).await?;
    store_credentials(tx, place.tenant_id, devices, sealed).await?;
    Ok(Tally::of(devices.len(), &written))
}

/// What the statement takes. A parent may be a device of the same file: its id is known before it is written.
fn rows<'a>(
    place: &Place,
    devices: &'a [Device],
    stored: &HashMap<String, Stored>,
    labels: &Labels,
    sealed: &[Option<Vec<u8>>],
) -> Result<Vec<Row<'a>>, ApiError> {
    let mut known: HashMap<&str, Uuid> = HashMap::with_capacity(devices.len());
    known.extend(stored.iter().map(|(name, device)| (&**name, device.id)));
    for device in devices {
        known
            .entry(&device.name)
            .or_insert_with(|| DeviceId::new().0);
    }
    let (mut rows, mut problems) = (Vec::with_capacity(devices.len()), Vec::new());
    for (n, device) in devices.iter().enumerate() {
        let parent = text(&device.parent);
        let parent_id = parent.and_then(|name| known.get(name).copied());
        if let (Some(name), None) = (parent, parent_id) {
            let reason = format!("there is no device {name:?}");
            let at = format!("devices[{n}].parent");
            problems.push(place.problem(&at, reason, "add it or correct the name"));
        }
        rows.push(Row {
            id: known.get(&*device.name).copied().unwrap_or_default(),
            name: &device.name,
            address: &device.address,
            api_port: device.api_port,
            api_ssl_port: device.api_ssl_port,
            tls: device.tls,
            sited: device.site.is_some(),
            site: text(&device.site),
            sectored: device.site.is_some() || device.sector.is_some(),
            sector: text(&device.sector),
            role: device.role,
            interval_ms: device.interval_s.map(milliseconds),
            enabled: device.enabled,
            hung: device.parent.is_some(),
            parent_id,
            group_ids: ids(device.groups.as_ref(), &labels.group_ids),
            tag_ids: ids(device.tags.as_ref(), &labels.tag_ids),
            sealed: sealed.get(n).is_some_and(Option::is_some),
        });
    }
    all_well(problems).map(|()| rows)
}

/// Checked before: 0.1 s to a day.
#[expect(clippy::cast_possible_truncation, reason = "within a day")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1_000.0).round() as i64
}

fn all_well(problems: Vec<Problem>) -> Result<(), ApiError> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(ApiError::Inventory { problems })
}

/// A device that is there.
struct Stored {
    id: Uuid,
    ciphertext: Option<Vec<u8>>,
}

/// The devices that are named, also as parents, and are there.
async fn stored(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    devices: &[Device],
) -> Result<HashMap<String, Stored>, ApiError> {
    let parents = devices.iter().filter_map(|device| text(&device.parent));
    let names = devices.iter().map(|device| &*device.name).chain(parents);
    let names: HashSet<&str> = names.collect();
    let names: Vec<&str> = names.into_iter().collect();
    let rows = sqlx::query!(
        r#"SELECT d.id, d.name, c.ciphertext AS "ciphertext?"
           FROM devices d LEFT JOIN device_credentials c ON c.device_id = d.id AND c.tenant_id = d.tenant_id
           WHERE d.tenant_id = $1 AND d.name = ANY ($2)"#,
        tenant_id.0,
        &names as &[&str],
    )
    .fetch_all(tx)
    .await?;
    let stored = rows.into_iter().map(|row| {
        let (id, ciphertext) = (row.id, row.ciphertext);
        (row.name, Stored { id, ciphertext })
    });
    Ok(stored.collect())
}

/// For each device its sealed credentials, if the file says some and they are new or other than the stored ones. As no two
/// sealings look the same, the stored ones are opened to be compared; what does not open is sealed anew.
fn changed_credentials(
    keys: &dyn KeyProvider,
    place: &Place,
    devices: &[Device],
    stored: &HashMap<String, Stored>,
) -> Result<Vec<Option<Vec<u8>>>, ApiError> {
    let said = devices.iter().filter(|device| device.username.is_some());
    let (names, ciphertexts): (Vec<&str>, Vec<&[u8]>) = said
        .filter_map(|device| {
            let ciphertext = stored.get(&device.name)?.ciphertext.as_deref()?;
            Some((&*device.name, ciphertext))
        })
        .unzip();
    let opened = keys.decrypt_batch(place.tenant_id, &ciphertexts)?;
    let mut known = HashMap::with_capacity(names.len());
    for (name, opened) in names.into_iter().zip(opened) {
        match opened.and_then(|plaintext| Credentials::decode(&plaintext)) {
            Ok(credentials) => drop(known.insert(name, credentials)),
            Err(unavailable @ SecretsError::Unavailable { .. }) => return Err(unavailable.into()),
            Err(_) => {}
        }
    }
    let (mut sealed, mut problems) = (Vec::with_capacity(devices.len()), Vec::new());
    for (n, device) in devices.iter().enumerate() {
        let before = known.get(&*device.name);
        let password = match &device.password {
            Some(password) => Some(Secret::new(password.as_str())),
            None => before.map(|credentials| credentials.password.clone()),
        };
        sealed.push(match (device.username.as_deref(), password) {
            (None, _) => None,
            (Some(_), None) => {
                let at = format!("devices[{n}].password");
                let reason = "it has a user name, and no password is stored";
                problems.push(place.problem(&at, reason, "give both or neither"));
                None
            }
            (Some(username), Some(password)) => {
                let now = Credentials::new(username, password);
                match before == Some(&now) {
                    true => None,
                    false => Some(keys.encrypt(place.tenant_id, &now.encode())?),
                }
            }
        });
    }
    all_well(problems).map(|()| sealed)
}

/// A device that hangs on itself, over others, would hang on nothing. Each device is walked over once, whatever hangs on it.
async fn no_rings(
    tx: &mut PgConnection,
    place: &Place,
    devices: &[Device],
) -> Result<(), ApiError> {
    if devices.iter().all(|device| text(&device.parent).is_none()) {
        return Ok(());
    }
    let rows = sqlx::query!(
        r#"SELECT d.name, p.name AS parent FROM devices d JOIN devices p ON p.tenant_id = d.tenant_id AND p.id = d.parent_id
           WHERE d.tenant_id = $1"#,
        place.tenant_id.0,
    )
    .fetch_all(tx)
    .await?;
    let above: HashMap<&str, &str> = rows.iter().map(|row| (&*row.name, &*row.parent)).collect();
    let in_rings = in_rings(&above);
    let problems = devices.iter().enumerate().filter_map(|(n, device)| {
        text(&device.parent).filter(|_| in_rings.contains(&*device.name))?;
        let at = format!("devices[{n}].parent");
        let reason = "it hangs on itself, over others";
        Some(place.problem(&at, reason, "let one of them hang on nothing"))
    });
    all_well(problems.collect())
}

/// Everything that is above itself.
fn in_rings<'a>(above: &HashMap<&'a str, &'a str>) -> HashSet<&'a str> {
    let (mut done, mut found) = (HashSet::new(), HashSet::new());
    for start in above.keys().copied() {
        let (mut way, mut at) = (Vec::new(), Some(start));
        while let Some(name) = at.filter(|name| done.insert(*name)) {
            way.push(name);
            at = above.get(name).copied();
        }
        // Back on the way that led here: from there on it is a ring.
        if let Some(begin) = at.and_then(|name| way.iter().position(|past| *past == name)) {
            found.extend(&way[begin..]);
        }
    }
    found
}

/// Stores what changed under the version that the device's row got.
async fn store_credentials(
    tx: &mut PgConnection,
    tenant_id: TenantId,
    devices: &[Device],
    sealed: Vec<Option<Vec<u8>>>,
) -> Result<(), ApiError> {
    let changed = devices
        .iter()
        .zip(sealed)
        .filter_map(|(device, sealed)| Some((device.name.as_str(), sealed?)));
    let (names, ciphertexts): (Vec<&str>, Vec<Vec<u8>>) = changed.unzip();
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO device_credentials (device_id, tenant_id, ciphertext, version)
         SELECT d.id, $1, i.ciphertext, d.credentials_version
         FROM unnest($2::text[], $3::bytea[]) AS i (name, ciphertext)
         JOIN devices d ON d.tenant_id = $1 AND d.name = i.name
         ON CONFLICT (device_id) DO UPDATE SET ciphertext = excluded.ciphertext, version = excluded.version",
        tenant_id.0,
        &names as &[&str],
        &ciphertexts,
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_are_told_from_what_hangs_on_them() {
        let above = [
            ("a", "b"),
            ("b", "c"),
            ("c", "b"),
            ("d", "e"),
            ("f", "f"),
            ("g", "a"),
        ];
        let mut found: Vec<&str> = in_rings(&above.into()).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, ["b", "c", "f"]);
    }
}
