//! `mast api`: the API, as a process of its own.

use std::process::ExitCode;

use mast_api::Pulse;
use mast_schemas::health::{Health, Part, State};
use mast_schemas::metric;

use crate::commands::shared::Place;
use crate::config::{Config, Flags};
use crate::health::Process;
use crate::standalone::{self, GRACE, INTERRUPTED, Paths, attached, patiently, stop_signal};

/// Serve the API: REST and SQL over HTTP, as a process of its own.
///
/// It listens on this machine alone (127.0.0.1:8080) unless --listen or `api.listen` says otherwise; before it is reachable
/// from elsewhere, put a proxy with TLS in front. Requests bear a token of `mast token create`. A page to browse the API is
/// at /api/v1/docs/. While Postgres is away requests are answered with 503 and Retry-After.
///
/// When it is up, a JSON object on standard output says so. Ctrl-C or SIGTERM stops it in order: requests at hand are
/// answered; a second one stops it at once. Exit codes: 0 stopped in order, 1 it failed (standard error says why), 2 the
/// configuration is wrong, 130 stopped before it was up or at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Address and port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  mast api --data noc                                  beside mast dataflow --data noc
  mast token create --data noc --tenant acme --role viewer --name ops
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/api/v1/fleet/summary
  xdg-open http://127.0.0.1:8080/api/v1/docs/";

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        let flags = self.place.flags(flags)?;
        flags.with("--listen", "api.listen", self.listen.as_ref())
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let stop = stop_signal()?;
        tokio::pin!(stop);
        let paths = Paths::made(&config.data)?;
        let parts = [
            metric::Part::Api,
            metric::Part::Notify,
            metric::Part::Postgres,
        ];
        let health = Process::start(config, &paths, "api", &parts).await;
        let start = async {
            let database = patiently("Postgres", || attached(config, &paths)).await?;
            let keys = standalone::keys_of(&paths, &database).await?;
            standalone::api(config, &paths, &database, keys).await
        };
        let api = tokio::select! {
            started = start => started?,
            () = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let (board, pulse) = (health.board(), api.pulse());
        let looking = tokio::spawn(async move {
            loop {
                board.put(&[look(&pulse).await]);
                tokio::time::sleep(crate::health::EVERY).await;
            }
        });
        crate::output::json(&serde_json::json!({
            "process": std::process::id(),
            "api": format!("http://{}", api.address()),
        }))?;
        stop.await;
        tracing::info!("stopping the API");
        looking.abort();
        tokio::select! {
            () = api.stop(GRACE) => Ok(ExitCode::SUCCESS),
            code = standalone::at_once() => code,
        }
    }
}

async fn look(pulse: &Pulse) -> Health {
    let part = Health::ok(Part::Postgres, "api");
    match pulse.postgres().await {
        Ok(()) => part,
        Err(error) => part.troubled(
            State::Waiting,
            format!("Postgres does not answer: {error}"),
            "start it, or mend the way to it; the API goes on by itself",
        ),
    }
}
