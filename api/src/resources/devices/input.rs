//! What people decide of a device.

use mast_schemas::control::{Role, TlsPolicy};
use mast_schemas::inventory::{default_api_port, default_api_ssl_port, default_role, default_tls};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Device;
use crate::bounds::{self, LABELS_MAX, NAME_MAX, PASSWORD_MAX};
use crate::http::extract::object;
use crate::http::problem::Problem;
use crate::inventory::is_address;
use crate::resources::check::Checks;

/// What logs in to a device.
#[derive(Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialsInput {
    #[schema(min_length = 1)]
    pub(super) username: String,
    #[schema(format = Password)]
    pub(super) password: String,
}

/// What people decide of a device.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    pub(super) name: String,
    /// IP address or host name.
    pub(super) address: String,
    /// Port of the plain API.
    #[serde(default = "default_api_port")]
    #[schema(minimum = 1)]
    pub(super) api_port: u16,
    /// Port of the API over TLS.
    #[serde(default = "default_api_ssl_port")]
    #[schema(minimum = 1)]
    pub(super) api_ssl_port: u16,
    /// How to trust it.
    #[serde(default = "default_tls")]
    #[schema(schema_with = tls_words)]
    pub(super) tls: TlsPolicy,
    #[serde(default)]
    pub(super) site_id: Option<Uuid>,
    /// A sector implies its site.
    #[serde(default)]
    pub(super) sector_id: Option<Uuid>,
    /// The device that it hangs on.
    #[serde(default)]
    pub(super) parent_id: Option<Uuid>,
    #[serde(default)]
    pub(super) group_ids: Vec<Uuid>,
    #[serde(default)]
    pub(super) tag_ids: Vec<Uuid>,
    /// What it is for.
    #[serde(default = "default_role")]
    #[schema(schema_with = role_words)]
    pub(super) role: Role,
    /// Interval of its polls; without it, the installation's.
    #[serde(default)]
    #[schema(minimum = 100, maximum = 86400000)]
    pub(super) interval_ms: Option<u32>,
    /// Whether it is polled.
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    /// What logs in to it; never shown. In a PATCH null takes them away, and without the field they stay.
    #[serde(default, skip_serializing, deserialize_with = "object")]
    pub(super) credentials: Option<CredentialsInput>,
}

const fn yes() -> bool {
    true
}

fn words(all: impl Iterator<Item = &'static str>) -> utoipa::openapi::Object {
    use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
    ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .enum_values(Some(all))
        .build()
}

fn tls_words() -> utoipa::openapi::Object {
    words(TlsPolicy::ALL.iter().map(|word| word.as_str()))
}

fn role_words() -> utoipa::openapi::Object {
    words(Role::ALL.iter().map(|word| word.as_str()))
}

impl DeviceInput {
    /// What a row says. Its words are those of the types: the table's checks say so.
    pub(super) fn of(device: &Device) -> Self {
        let port = |port| u16::try_from(port).unwrap_or_default();
        Self {
            name: device.name.clone(),
            address: device.address.clone(),
            api_port: port(device.api_port),
            api_ssl_port: port(device.api_ssl_port),
            tls: device.tls.parse().unwrap_or(TlsPolicy::Auto),
            site_id: device.site_id,
            sector_id: device.sector_id,
            parent_id: device.parent_id,
            group_ids: device.group_ids.clone(),
            tag_ids: device.tag_ids.clone(),
            role: device.role.parse().unwrap_or(Role::Other),
            interval_ms: u32::try_from(device.interval_ms).ok(),
            enabled: device.enabled,
            credentials: None,
        }
    }

    pub(super) fn check(&mut self) -> Result<(), Problem> {
        let mut checks = Checks::default();
        checks.name("/name", &self.name);
        let remedy = "must be an IP address or a host name alone; ports have fields of their own";
        checks.must(is_address(&self.address), "/address", remedy);
        for (pointer, port) in [
            ("/api_port", self.api_port),
            ("/api_ssl_port", self.api_ssl_port),
        ] {
            checks.must(port > 0, pointer, "must be 1 to 65535");
        }
        let interval = self.interval_ms.map(f64::from);
        checks.range("/interval_ms", interval, bounds::INTERVAL_MS);
        for (pointer, ids) in [
            ("/group_ids", &mut self.group_ids),
            ("/tag_ids", &mut self.tag_ids),
        ] {
            ids.sort_unstable();
            ids.dedup();
            let few = format!("must be at most {LABELS_MAX}");
            checks.must(ids.len() <= LABELS_MAX, pointer, few);
        }
        if let Some(credentials) = &self.credentials {
            let named = (1..=NAME_MAX).contains(&credentials.username.len());
            let words = format!("must have 1 to {NAME_MAX} bytes");
            checks.must(named, "/credentials/username", words);
            let fits = credentials.password.len() <= PASSWORD_MAX;
            let words = format!("must have at most {PASSWORD_MAX} bytes");
            checks.must(fits, "/credentials/password", words);
        }
        checks.done()
    }

    /// A sector says which site it is.
    pub(super) async fn place(
        &mut self,
        tx: &mut PgConnection,
        tenant: Uuid,
    ) -> Result<(), Problem> {
        let Some(sector) = self.sector_id else {
            return Ok(());
        };
        let site = sqlx::query_scalar!(
            "SELECT site_id FROM sectors WHERE tenant_id = $1 AND id = $2",
            tenant,
            sector
        )
        .fetch_optional(tx)
        .await?;
        match (site, self.site_id) {
            (None, _) => Err(Problem::field("/sector_id", MISSING)),
            (Some(site), Some(named)) if site != named => Err(Problem::field(
                "/sector_id",
                "is a sector of another site than site_id",
            )),
            (site, _) => {
                self.site_id = site;
                Ok(())
            }
        }
    }
}

const MISSING: &str = "there is no such thing in this tenant";
