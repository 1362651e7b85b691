//! `mast link`: clients at the radios of access points.

use std::process::ExitCode;

use clap::Subcommand;

use crate::commands::site;
use crate::config::{Config, Flags};
use crate::local::{Filter, Of, print_list};

/// The API's list.
const PATH: &str = "/api/v1/links";
/// States, the worst first, and in which order the links of each are: those that changed last, or the weakest, first.
const STATES: [(&str, &str); 5] = [
    ("down", "-since"),
    ("degraded", "signal_dbm"),
    ("discovered", "signal_dbm"),
    ("active", "signal_dbm"),
    ("stale", "-since"),
];
/// What the table shows.
const FIELDS: &[&str] = &[
    "state",
    "signal_dbm",
    "tx_ccq_percent",
    "ap",
    "cpe",
    "mac",
    "site",
    "since",
    "reason",
];

/// List links with their last measurements, the worst first: down, degraded, discovered, active, stale.
///
/// By the data folder, beside a running installation or without one.
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
  mast link list --data noc
  mast link list --state down --site hill
  mast link list --state degraded --limit 1000 --json";

#[derive(Subcommand)]
enum What {
    /// Links, the worst first.
    List {
        /// Those in this state alone.
        #[arg(long, value_parser = STATES.map(|(state, _)| state))]
        state: Option<String>,
        /// Those of this site alone, by name.
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.of.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { what, of } = self;
        let What::List { state, site, limit } = what;
        of.with(config, async |api| {
            let mut filter = Filter::default();
            if let Some(site) = &site {
                let id = api.id(site::PATH, "site", site, Filter::default()).await?;
                filter = filter.is("site_id", &id);
            }
            let (mut links, mut more) = (Vec::new(), false);
            let wanted = |(word, _): &(&str, &str)| state.as_deref().is_none_or(|s| s == *word);
            for (word, sort) in STATES.into_iter().filter(wanted) {
                let filter = filter.clone().is("state", word);
                let room = limit - links.len();
                let (found, left) = api.list(PATH, &filter, sort, room.max(1)).await?;
                more |= left || found.len() > room;
                links.extend(found.into_iter().take(room));
            }
            print_list(&links, more, FIELDS, of.json)
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}
