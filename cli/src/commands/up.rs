//! `mast up`: a whole installation on one machine, for real devices.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use mast_api::Server;
use mast_postgres::Role;

use crate::commands::shared::{Place, environment, stop_in_order};
use crate::commands::tenant;
use crate::config::{Config, Flags};
use crate::standalone::{Database, INTERRUPTED, Installation, Paths, Whole, stop_signal};
use crate::summary::Screen;

/// Run a whole installation in one process: a PostgreSQL of its own, the log, the pollers, the dataflow and the API.
///
/// Everything is kept in the data folder, which is made where it is missing. A first start takes some seconds and says what
/// to do next: a tenant, a token, devices. It listens on this machine alone (127.0.0.1:8080) unless --listen or `api.listen`
/// says otherwise. A second start on the same folder goes on where the first one stopped, also after kill -9; a folder that
/// is in use, and a port that is taken, are refused.
///
/// When it is up, a JSON object on standard output says so. Ctrl-C or SIGTERM stops all in order, a second one at once. Exit
/// codes: 0 stopped in order, 1 it failed (standard error says why), 2 the configuration is wrong, 130 stopped before it was up
/// or at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Address and port of the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Worker threads of the dataflow [default: 1]
    #[arg(long)]
    workers: Option<usize>,
}

const EXAMPLES: &str = "\
Examples:
  mast up --data noc
  mast up --data noc --listen 127.0.0.1:8081
  mast --config /etc/mast.toml up

While it runs, in another terminal:
  mast tenant add acme --data noc
  mast device add ap1 192.0.2.7 --role ap --username mast --data noc
  mast import fleet.csv --tenant acme --data noc
  mast link list --data noc
  mast status --data noc";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.place
            .flags(flags)?
            .with("--listen", "api.listen", self.listen.as_ref())?
            .with("--workers", "dataflow.workers", self.workers.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let screen = Screen::new(true);
        let paths = folder(config)?;
        let mut installation = tokio::select! {
            started = start(config, &paths, &screen) => started?,
            () = &mut stop => {
                screen.step("stopped before everything was up; the next start goes on");
                return Ok(ExitCode::from(INTERRUPTED));
            }
        };
        let api = installation.api.as_ref().map(Server::address);
        crate::output::json(&serde_json::json!({
            "process": std::process::id(),
            "api": api.map(|address| format!("http://{address}")),
        }))?;
        let ended = tokio::select! {
            () = &mut stop => Ok(()),
            ended = installation.job.finished() => ended
                .context("the dataflow stopped")
                .and_then(|()| bail!("the dataflow stopped")),
        };
        let code = stop_in_order(&screen, paths.root(), installation.stop()).await?;
        ended.map(|()| code)
    }
}

/// The data folder. One of the demo has devices that are there with its simulator alone.
fn folder(config: &Config) -> anyhow::Result<Paths> {
    if config.data == Config::default().data {
        bail!("name the folder of this installation with --data, MAST_DATA or `data` in mast.toml");
    }
    let paths = Paths::made(&config.data)?;
    if paths.simulator_journal().exists() {
        let root = paths.root().display();
        bail!(
            "{root} is the folder of a demo, whose devices are simulated; name another with --data, or run `mast demo`"
        );
    }
    Ok(paths)
}

async fn start(config: &Config, paths: &Paths, screen: &Screen) -> anyhow::Result<Installation> {
    screen.step(&format!("everything is kept in {}", paths.root().display()));
    screen.step("starting PostgreSQL …");
    let database = Database::owned(config, paths).await?;
    let owner = database.pool(Role::Owner, 1).await?;
    let tenants = tenant::all(&owner).await?;
    owner.close().await;
    screen.step("starting the API, the dataflow and ingest …");
    let whole = Whole {
        name: "up",
        other_descriptors: 0,
        needs_api: true,
    };
    let installation = Installation::start(config, paths, database, &whole).await?;
    let docs = installation.api.as_ref().map(Server::docs);
    screen.step(&format!("up; the API is at {}", docs.unwrap_or_default()));
    for line in hints(paths.root(), tenants.is_empty()) {
        screen.step(&line);
    }
    Ok(installation)
}

/// What to do next.
fn hints(root: &Path, first: bool) -> Vec<String> {
    let mut lines = vec![
        "in another terminal:".to_owned(),
        format!("  {}", environment(root)),
    ];
    if first {
        lines.extend(
            [
                "  mast tenant add acme                                          # whose devices they are",
                "  mast site add hill",
                "  mast device add ap1 192.0.2.7 --site hill --role ap --username mast   # asks for the password",
                "  mast import fleet.csv --tenant acme                           # or many at once",
                "  mast token create --tenant acme --role operator --name me     # for requests of the API",
            ]
            .map(str::to_owned),
        );
    }
    lines.extend(["  mast device list", "  mast link list", "  mast status"].map(str::to_owned));
    lines.push("Ctrl-C stops all in order.".to_owned());
    lines
}
