//! `mast site`: towers and other places with devices.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::config::{Config, Flags};
use crate::local::{Filter, Of, print_list};

/// The API's list.
pub(crate) const PATH: &str = "/api/v1/sites";
/// What the table shows.
const FIELDS: &[&str] = &[
    "name",
    "devices_online",
    "devices_offline",
    "links_active",
    "links_degraded",
    "links_down",
    "clients",
    "signal_p10_dbm",
];

/// Make, list and show sites, with how they are.
///
/// By the data folder, beside a running installation or without one; it goes through the same checks and writes as the API.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    of: Of,
}

const EXAMPLES: &str = "\
Examples:
  mast site add hill --latitude 46.05 --longitude 14.5
  mast site list
  mast site show hill --json";

#[derive(Subcommand)]
enum What {
    /// Make a site.
    Add {
        /// Its name, unique in the tenant.
        name: String,
        /// Degrees north; with --longitude.
        #[arg(long, requires = "longitude", allow_negative_numbers = true)]
        latitude: Option<f64>,
        /// Degrees east.
        #[arg(long, requires = "latitude", allow_negative_numbers = true)]
        longitude: Option<f64>,
        /// Height of the ground above sea level, metres.
        #[arg(long, value_name = "METRES", allow_negative_numbers = true)]
        elevation: Option<f64>,
        /// It is the core of the network.
        #[arg(long)]
        core: bool,
    },
    /// All sites, by name.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// All of a site.
    Show {
        /// Its name.
        name: String,
    },
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.of.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { what, of } = self;
        of.with(config, async |api| match what {
            What::Add {
                name,
                latitude,
                longitude,
                elevation,
                core,
            } => {
                let site = json!({ "name": name, "latitude": latitude, "longitude": longitude,
                    "elevation_m": elevation, "core": core });
                let words = format!("made the site {name}");
                api.make(PATH, &site, &words, of.json).await
            }
            What::List { limit } => {
                let (sites, more) = api.list(PATH, &Filter::default(), "name", limit).await?;
                print_list(&sites, more, FIELDS, of.json)
            }
            What::Show { name } => api.show(PATH, "site", &name, of.json).await,
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}
