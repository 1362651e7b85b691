//! `mast link`: clients at the radios of access points.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use crate::config::{Config, Flags};
use crate::local::{Asker, Filter, Of, print_list};

/// The API's list.
const PATH: &str = "/api/v1/links";
/// States, the worst first, and in which order the links of each are: those that changed last, or the weakest, first.
pub(super) const STATES: [(&str, &str); 5] = [
    ("down", "-since"),
    ("degraded", "signal_dbm"),
    ("discovered", "signal_dbm"),
    ("active", "signal_dbm"),
    ("stale", "-since"),
];
/// What the table shows.
pub(super) const FIELDS: &[&str] = &[
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
            let chosen = Chosen::of(api, state.as_deref(), site.as_deref()).await?;
            let (links, more) = chosen.worst(api, limit).await?;
            print_list(&links, more, FIELDS, of.json)
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Which links.
pub(super) struct Chosen<'a> {
    pub(super) state: Option<&'a str>,
    pub(super) site_id: Option<String>,
}

impl<'a> Chosen<'a> {
    /// Those in this state alone, and of the site of this name.
    pub(super) async fn of(
        api: &Asker,
        state: Option<&'a str>,
        site: Option<&str>,
    ) -> anyhow::Result<Self> {
        let site_id = match site {
            Some(site) => Some(api.site_id(site).await?),
            None => None,
        };
        Ok(Self { state, site_id })
    }

    /// The worst of them, at most so many, and whether there are more.
    pub(super) async fn worst(
        &self,
        api: &Asker,
        limit: usize,
    ) -> anyhow::Result<(Vec<Value>, bool)> {
        let (mut links, mut more) = (Vec::new(), false);
        let wanted = |(word, _): &(&str, &str)| self.state.is_none_or(|state| state == *word);
        for (word, sort) in STATES.into_iter().filter(wanted) {
            let mut filter = Filter::default().is("state", word);
            if let Some(id) = &self.site_id {
                filter = filter.is("site_id", id);
            }
            let room = limit - links.len();
            let (found, left) = api.list(PATH, &filter, sort, room.max(1)).await?;
            more |= left || found.len() > room;
            links.extend(found.into_iter().take(room));
        }
        Ok((links, more))
    }
}
