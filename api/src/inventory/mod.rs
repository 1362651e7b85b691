//! Importing an inventory file: idempotent, checked as a whole before the first write, one transaction a tenant; and
//! exporting one that imports again as what is there already.

mod check;
mod columns;
mod csv;
mod devices;
mod export;
mod write;

use std::fmt;
use std::ops::AddAssign;

use mast_postgres::{find_tenant, tenant_tx};
use mast_schemas::TenantId;
use mast_schemas::inventory::{Inventory, Tenant};
use mast_secrets::KeyProvider;
use serde::Serialize;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use utoipa::ToSchema;

use crate::ApiError;
pub(crate) use check::is_address;
pub use check::{Problem, check};
pub(crate) use csv::from_csv_at_most;
pub use csv::{Lines, from_csv, to_csv};
pub use export::export;
pub(crate) use export::name as tenant_name;

/// So many problems of an inventory are told at once.
const PROBLEMS_MOST: usize = 10_000;

/// How to import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Find out what would change, and change nothing.
    pub dry_run: bool,
    /// Interval of the polls of devices that name none.
    pub default_interval_ms: u32,
}

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportReport)]
pub struct Report {
    /// Tenants.
    pub tenants: Tally,
    /// Sites.
    pub sites: Tally,
    /// Sectors.
    pub sectors: Tally,
    /// Groups that devices name.
    pub groups: Tally,
    /// Tags that devices name.
    pub tags: Tally,
    /// Devices, with their credentials.
    pub devices: Tally,
}

/// Rows of one kind, by what became of them. None are ever deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportTally)]
pub struct Tally {
    /// Were not there.
    pub created: u64,
    /// Said something else.
    pub updated: u64,
    /// Said it already; not written.
    pub unchanged: u64,
}

impl Tally {
    /// Of `total` rows these were written; true for each new one.
    fn of(total: usize, written: &[bool]) -> Self {
        let created = written.iter().filter(|created| **created).count() as u64;
        let updated = written.len() as u64 - created;
        Self {
            created,
            updated,
            unchanged: total as u64 - created - updated,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.tenants += other.tenants;
        self.sites += other.sites;
        self.sectors += other.sectors;
        self.groups += other.groups;
        self.tags += other.tags;
        self.devices += other.devices;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("tenants", self.tenants),
            ("sites", self.sites),
            ("sectors", self.sectors),
            ("groups", self.groups),
            ("tags", self.tags),
            ("devices", self.devices),
        ];
        for (n, (kind, tally)) in kinds.into_iter().enumerate() {
            let Tally {
                created,
                updated,
                unchanged,
            } = tally;
            let separator = if n == 0 { "" } else { "\n" };
            write!(
                f,
                "{separator}{kind}: {created} created, {updated} updated, {unchanged} unchanged"
            )?;
        }
        Ok(())
    }
}

/// Reads the text of an inventory file.
///
/// # Errors
/// [`ApiError::Json`] where it is no JSON, [`ApiError::Inventory`] where it says what no inventory does. Neither repeats a
/// value of the file.
pub fn parse(text: &str) -> Result<Inventory, ApiError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut json);
    let inventory = read.map_err(|error| unread(&error.path().to_string(), &error.into_inner()))?;
    json.end().map_err(|error| unread(".", &error))?;
    Ok(inventory)
}

fn unread(path: &str, error: &serde_json::Error) -> ApiError {
    let reason = without_value(&error.to_string());
    if !error.is_data() {
        return ApiError::Json {
            line: error.line(),
            column: error.column(),
            reason,
        };
    }
    ApiError::Inventory {
        problems: vec![Problem {
            path: path.to_owned(),
            line: Some(error.line() as u64),
            reason,
            remedy: "docs/operating.md has what an inventory may say".to_owned(),
        }],
    }
}

/// `invalid type: integer `1234`, expected a string at line 3 column 9` shows what may be a password; the rest of the
/// messages name fields and punctuation.
fn without_value(message: &str) -> String {
    let message = message
        .rfind(" at line ")
        .map_or(message, |end| &message[..end]);
    match message.rfind(", expected ") {
        Some(expected) if message.starts_with("invalid ") => {
            format!("wrong value{}", &message[expected..])
        }
        _ => message.to_owned(),
    }
}

/// Makes the model say what the inventory says. Things that it does not name stay as they are, and so does what it does not
/// say of those that it names.
///
/// `api` logs in as [`Role::Api`](mast_postgres::Role::Api). Each tenant is one transaction; when a later one fails, the
/// earlier ones are imported, and importing again goes on from there.
///
/// # Errors
/// [`ApiError::Inventory`] before anything is written of the tenant at hand; [`ApiError::Secrets`], [`ApiError::Sql`].
pub async fn import(
    api: &PgPool,
    keys: &dyn KeyProvider,
    inventory: &Inventory,
    options: Options,
) -> Result<Report, ApiError> {
    check(inventory)?;
    let mut report = Report::default();
    for (n, tenant) in inventory.tenants.iter().enumerate() {
        let (mut tx, id, tenants) = open(api, tenant).await?;
        let place = Place {
            tenant_id: id,
            path: format!("tenants[{n}]"),
        };
        let interval_ms = options.default_interval_ms;
        report += import_tenant(&mut tx, keys, &place, tenant, interval_ms).await?;
        report.tenants += tenants;
        if options.dry_run {
            tx.rollback().await?;
        } else {
            tx.commit().await?;
            tracing::info!(tenant = tenant.name, tenant_id = %id, "imported the inventory of a tenant");
        }
    }
    Ok(report)
}

/// Whose things are written, and where the file says them.
pub(crate) struct Place {
    pub(crate) tenant_id: TenantId,
    /// Of the tenant in the file, such as `tenants[0]`.
    pub(crate) path: String,
}

impl Place {
    fn problem(&self, at: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem {
            path: format!("{}.{at}", self.path),
            line: None,
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

/// Writes what was checked before of one tenant, in a transaction of the tenant that has the writers' turn. After an error it
/// is to be rolled back.
pub(crate) async fn import_tenant(
    tx: &mut PgConnection,
    keys: &dyn KeyProvider,
    place: &Place,
    tenant: &Tenant,
    default_interval_ms: u32,
) -> Result<Report, ApiError> {
    let id = place.tenant_id;
    let sites = write::sites(tx, id, &tenant.sites).await?;
    let sectors = write::sectors(tx, id, &tenant.sectors).await?;
    let (group_ids, groups) = write::groups(tx, id, &tenant.devices).await?;
    let (tag_ids, tags) = write::tags(tx, id, &tenant.devices).await?;
    let labels = devices::Labels { group_ids, tag_ids };
    let devices = &tenant.devices;
    Ok(Report {
        tenants: Tally::default(),
        sites,
        sectors,
        groups,
        tags,
        devices: devices::devices(tx, keys, place, devices, &labels, default_interval_ms).await?,
    })
}

/// The transaction of a tenant by name, who is made if missing. The insert also takes the writers' turn, so what is read
/// after it stays true until the commit.
async fn open(
    api: &PgPool,
    tenant: &Tenant,
) -> Result<(Transaction<'static, Postgres>, TenantId, Tally), ApiError> {
    loop {
        let known = find_tenant(api, &tenant.name).await?;
        let id = known.unwrap_or_else(TenantId::new);
        let mut tx = tenant_tx(api, id).await?;
        let created = write::tenant(&mut tx, id, &tenant.name).await?;
        if created || known.is_some() {
            let written = if created { &[true][..] } else { &[] };
            return Ok((tx, id, Tally::of(1, written)));
        }
        // Another import made the tenant between our question and our turn: it has an id now.
        tx.rollback().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_placed_and_its_values_are_kept_secret() {
        let text = "{\"tenants\": [\n {\"name\": \"a\", \"devices\": [{\"name\": \"d\", \"password\": 31337}]}]}";
        let error = parse(text).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && error.contains("expected a string"),
            "{error}"
        );
        assert!(!error.contains("31337"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_named() {
        let error = parse("{\"tenants\": [{\"name\": \"a\", \"devises\": []}]}")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`devises`") && error.contains("`devices`"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_imitates_a_message_is_kept_secret_too() {
        let message =
            "invalid value: string \"x, expected y\", expected a thing at line 1 column 2";
        assert_eq!(without_value(message), "wrong value, expected a thing");
    }
}
