//! `mast alerts`: what is wrong, and what people do about it.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use clap::Subcommand;
use mast_schemas::alerts::{AlertStatus, Severity};
use serde_json::{Value, json};

use crate::commands::Pace;
use crate::config::{Config, Flags};
use crate::local::{Asker, Filter, Of, print_list};

/// The API's list.
const PATH: &str = "/api/v1/alerts";
/// What the table shows.
const FIELDS: &[&str] = &[
    "id",
    "severity",
    "status",
    "suppressor",
    "rule",
    "subject",
    "interface",
    "site",
    "value",
    "opened_at",
    "cause",
    "acknowledged_by",
    "assignee",
];

/// List alerts, and acknowledge, silence and resolve them.
///
/// By the data folder, beside a running installation or without one; it goes through the same checks and writes as the API. What
/// a person resolves is resolved by the dataflow, with its next slot.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    of: Of,
}

const EXAMPLES: &str = "\
Examples:
  mast alerts --data noc
  mast alerts list --state suppressed --site hill
  mast alerts list --severity critical --json
  mast alerts ack 0b6f1d2e-8c1f-5d53-9a60-6a7c5d1f2e3b --note 'on the way'
  mast alerts silence 0b6f1d2e-8c1f-5d53-9a60-6a7c5d1f2e3b --for 4h
  mast alerts resolve 0b6f1d2e-8c1f-5d53-9a60-6a7c5d1f2e3b";

#[derive(Subcommand)]
enum What {
    /// Alerts, the newest first: open ones, or those of a state.
    List(List),
    /// Say that somebody has seen one.
    Ack {
        /// Its id.
        id: String,
        /// What else is to be said.
        #[arg(long)]
        note: Option<String>,
    },
    /// Be told no more of one for a time; it stays open, and is shown.
    Silence {
        /// Its id.
        id: String,
        /// For how long, at most 90 days.
        #[arg(long = "for", value_name = "TIME")]
        time: Pace,
        /// Why.
        #[arg(long)]
        note: Option<String>,
    },
    /// Resolve one: it does not open again before its condition has cleared once.
    Resolve {
        /// Its id.
        id: String,
        /// Why.
        #[arg(long)]
        note: Option<String>,
    },
}

#[derive(clap::Args)]
struct List {
    /// Those in this state alone: waiting, open, suppressed or resolved [default: all that did not resolve]
    #[arg(long, value_parser = states())]
    state: Option<String>,
    /// Those of this severity alone.
    #[arg(long)]
    severity: Option<Severity>,
    /// Those of this site alone, by name.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// The states of open ones, and that of the others.
fn states() -> Vec<&'static str> {
    let open = AlertStatus::ALL.iter().map(|status| status.as_str());
    open.chain(["resolved"]).collect()
}

impl Default for List {
    fn default() -> Self {
        Self {
            state: None,
            severity: None,
            site: None,
            limit: 100,
        }
    }
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.of.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { what, of } = self;
        let what = what.unwrap_or_else(|| What::List(List::default()));
        of.with(config, async |api| match what {
            What::List(list) => list.print(api, of.json).await,
            What::Ack { id, note } => {
                let words = format!("acknowledged {id}");
                act(api, &id, "ack", &json!({ "note": note }), &words, of.json).await
            }
            What::Silence { id, time, note } => {
                let until = chrono::Duration::from_std(time.0)
                    .ok()
                    .and_then(|time| Utc::now().checked_add_signed(time))
                    .context("--for: that is too long")?;
                let until = until.to_rfc3339_opts(SecondsFormat::Secs, true);
                let (words, body) = (
                    format!("silenced {id} until {until}"),
                    json!({ "until": until, "note": note }),
                );
                act(api, &id, "silence", &body, &words, of.json).await
            }
            What::Resolve { id, note } => {
                let words = format!("resolved {id}");
                act(
                    api,
                    &id,
                    "resolve",
                    &json!({ "note": note }),
                    &words,
                    of.json,
                )
                .await
            }
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn print(self, api: &Asker, json: bool) -> anyhow::Result<()> {
        let mut filter = match &self.state {
            Some(state) => Filter::default().is("status", state),
            None => Filter::default().but("status", "resolved"),
        };
        if let Some(severity) = self.severity {
            filter = filter.is("severity", severity.as_str());
        }
        if let Some(site) = &self.site {
            filter = filter.is("site_id", &api.site_id(site).await?);
        }
        let (alerts, more) = api.list(PATH, &filter, "-opened_at", self.limit).await?;
        print_list(&alerts, more, FIELDS, json)
    }
}

async fn act(
    api: &Asker,
    id: &str,
    deed: &str,
    body: &Value,
    words: &str,
    json: bool,
) -> anyhow::Result<()> {
    let id: uuid::Uuid = id
        .parse()
        .context("an alert is called by its id, as `mast alerts` shows it")?;
    api.make(&format!("{PATH}/{id}/{deed}"), body, words, json)
        .await
}
