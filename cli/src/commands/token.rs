//! `mast token`: who may ask the API.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use mast_api::token::{self, NewToken, Role};
use mast_postgres::find_tenant;
use sqlx::PgPool;
use uuid::Uuid;

use crate::commands::Pace;
use crate::config::{Config, Flags};
use crate::standalone::existing;

/// Make, list and take back the tokens that requests of the API bear.
///
/// A token is shown once, when it is made; the database holds a hash of it. Whoever may log in to the database as its owner
/// may make tokens: that is who runs the installation. Works beside a running installation and without one. A token that is
/// taken back is refused within 5 seconds.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  mast token create --tenant acme --role operator --name provisioning
  mast token create --role super_admin --name root --expires 1d
  mast token list
  mast token revoke 01890a5d-ac96-774b-bcce-b302099a8057";

#[derive(Subcommand)]
enum What {
    /// Make a token and print it, with its id, as a JSON object.
    Create {
        /// Whose, by name. A super_admin's has none: each request names the tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// viewer reads, operator changes the fleet, admin deletes, super_admin does all of that for every tenant.
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// What it is for.
        #[arg(long)]
        name: String,
        /// How long it is good; at most ten years.
        #[arg(long, default_value = "90d")]
        expires: Pace,
    },
    /// All tokens, newest first, as JSON; what they are, not the tokens themselves.
    List,
    /// Take a token back.
    Revoke {
        /// Its id.
        id: Uuid,
    },
}

const YEARS_10_S: u64 = 10 * 366 * 86_400;

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags.with("--data", "data", self.data.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let (_, database) = existing(config).await?;
        let owner = database.pool(mast_postgres::Role::Owner, 1).await?;
        let done = self.what.run(&owner).await;
        owner.close().await;
        database.stop().await?;
        done?;
        Ok(ExitCode::SUCCESS)
    }
}

impl What {
    async fn run(self, owner: &PgPool) -> anyhow::Result<()> {
        match self {
            Self::Create {
                tenant,
                role,
                name,
                expires,
            } => {
                let lifetime_s = expires.0.as_secs();
                if !(1..=YEARS_10_S).contains(&lifetime_s) {
                    bail!("--expires must be 1s to 3660d");
                }
                let tenant_id = match &tenant {
                    Some(name) => Some(
                        find_tenant(owner, name)
                            .await?
                            .with_context(|| format!("there is no tenant {name:?}"))?,
                    ),
                    None => None,
                };
                let new = NewToken {
                    tenant_id,
                    name,
                    role,
                    lifetime_s: u32::try_from(lifetime_s)?,
                };
                let (id, token) = token::create(owner, &new).await?;
                crate::output::json(&serde_json::json!({ "id": id, "token": token.expose() }))
            }
            Self::List => crate::output::json(&token::list(owner).await?),
            Self::Revoke { id } => {
                if !token::revoke(owner, id).await? {
                    bail!("there is no token {id} that is good");
                }
                crate::output::json(&serde_json::json!({ "revoked": id }))
            }
        }
    }
}
