//! `mast device`: the routers that are watched.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use mast_schemas::control::{Role, TlsPolicy};
use serde_json::{Value, json};

use crate::commands::Pace;
use crate::config::{Config, Flags};
use crate::local::{Asker, Filter, Of, print_list};
use crate::password;

/// The API's list.
const PATH: &str = "/api/v1/devices";
/// What the table shows.
const FIELDS: &[&str] = &[
    "name",
    "state",
    "address",
    "role",
    "site",
    "sector",
    "board",
    "routeros_version",
    "cpu_load_percent",
    "since",
    "outcome",
];

/// Add, list and show devices, with how they are.
///
/// By the data folder, beside a running installation or without one; it goes through the same checks and writes as the API. A
/// device that is added is polled from then on.
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
  mast device add ap1 192.0.2.7 --site hill --sector north --role ap --username mast
  mast device add cpe1 192.0.2.8 --username mast --password-file secret.txt --tenant acme
  pass show cpe1 | mast device add cpe1 192.0.2.8 --username mast --password-file -
  mast device list --state offline --site hill
  mast device show ap1 --json";

#[derive(Subcommand)]
enum What {
    /// Add a device. Its password is asked for, or read from a file: never an argument, which others could see.
    Add(Box<Add>),
    /// Devices, by name.
    List {
        /// Those in this state alone.
        #[arg(long, value_parser = ["online", "offline", "unmanageable", "unobserved"])]
        state: Option<String>,
        /// Those of this site alone, by name.
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// All of a device but its credentials, which are never shown.
    Show {
        /// Its name.
        name: String,
    },
}

#[derive(clap::Args)]
struct Add {
    /// Its name, unique in the tenant.
    name: String,
    /// IP address or host name.
    address: String,
    /// Its site, by name.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Its sector, by name.
    #[arg(long, value_name = "NAME", requires = "site")]
    sector: Option<String>,
    /// What it is for: router, ap, cpe, backhaul, controller, switch or other.
    #[arg(long, default_value = "other")]
    role: Role,
    /// The device that it hangs on, by name.
    #[arg(long, value_name = "NAME")]
    parent: Option<String>,
    /// User that Mast logs in as.
    #[arg(long)]
    username: Option<String>,
    /// File whose first line is the password; `-` is standard input.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// How it is trusted: auto, verified, pinned, insecure, anonymous or plain.
    #[arg(long, default_value = "auto")]
    tls: TlsPolicy,
    /// Port of the plain API [default: 8728]
    #[arg(long)]
    api_port: Option<u16>,
    /// Port of the API over TLS [default: 8729]
    #[arg(long)]
    api_ssl_port: Option<u16>,
    /// Interval of its polls [default: the installation's]
    #[arg(long)]
    interval: Option<Pace>,
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.of.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { what, of } = self;
        let password = match &what {
            What::Add(add) => add.password()?,
            _ => None,
        };
        of.with(config, async |api| match what {
            What::Add(add) => {
                let words = format!("added the device {}", add.name);
                let input = add.input(api, password).await?;
                api.make(PATH, &input, &words, of.json).await
            }
            What::List { state, site, limit } => {
                let mut filter = Filter::default();
                if let Some(state) = &state {
                    filter = filter.is("state", state);
                }
                if let Some(site) = &site {
                    filter = filter.is("site_id", &api.site_id(site).await?);
                }
                let (devices, more) = api.list(PATH, &filter, "name", limit).await?;
                print_list(&devices, more, FIELDS, of.json)
            }
            What::Show { name } => api.show(PATH, "device", &name, of.json).await,
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Add {
    /// Before anything is opened: nobody waits for a person who thinks.
    fn password(&self) -> anyhow::Result<Option<String>> {
        match (&self.username, &self.password_file) {
            (None, _) => Ok(None),
            (Some(_), Some(file)) => password::read(file).map(Some),
            (Some(name), None) => {
                password::ask(&format!("password of {name} on {}: ", self.name)).map(Some)
            }
        }
    }

    /// What the API takes, where things have ids.
    async fn input(&self, api: &Asker, password: Option<String>) -> anyhow::Result<Value> {
        let mut input = json!({ "name": self.name, "address": self.address, "role": self.role, "tls": self.tls });
        if let Some(site) = &self.site {
            let site_id = api.site_id(site).await?;
            if let Some(sector) = &self.sector {
                let of_site = Filter::default().is("site_id", &site_id);
                let id = api.id("/api/v1/sectors", "sector", sector, of_site).await?;
                input["sector_id"] = id.into();
            }
            input["site_id"] = site_id.into();
        }
        if let Some(parent) = &self.parent {
            let id = api.id(PATH, "device", parent, Filter::default()).await?;
            input["parent_id"] = id.into();
        }
        for (field, port) in [
            ("api_port", self.api_port),
            ("api_ssl_port", self.api_ssl_port),
        ] {
            if let Some(port) = port {
                input[field] = port.into();
            }
        }
        if let Some(interval) = self.interval {
            input["interval_ms"] = u64::try_from(interval.0.as_millis())?.into();
        }
        if let (Some(username), Some(password)) = (&self.username, password) {
            input["credentials"] = json!({ "username": username, "password": password });
        }
        Ok(input)
    }
}
