//! A running fleet: the world, its sockets, its clock, its journal.
//!
//! What happened is kept as a journal of lines (when it was said, what was said). The world is a
//! function of seed, size and journal, so a fleet that was killed goes on where it would be had it
//! never stopped: roamed clients stay roamed, uptimes and counters go on.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mast_schemas::inventory::Inventory;
use routeros_api::server::ReplyWriter;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    control,
    doors::Doors,
    error::SimulatorError,
    inventory::inventory,
    journal::{Configured, Journal, Noted, Said},
    menus, scenario,
    server::{Stage, listen},
    truth::Truth,
    world::{
        World,
        layout::{Mix, lay_out_mix},
        model::Plan,
    },
};

/// Most devices of one process: file descriptors are limited.
pub const MAX_DEVICES: usize = 15_000;

/// How often events are looked at.
const TICK: Duration = Duration::from_millis(50);

/// What fleet to run, and where.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// Managed devices, at most [`MAX_DEVICES`].
    pub devices: usize,
    /// What they are.
    pub mix: Mix,
    /// Towers that they are on; `None` = as many as the mix wants.
    pub towers: Option<usize>,
    /// Seed of everything.
    pub seed: u64,
    /// Number of the first device; fleets of several processes must not overlap.
    pub first_device: u64,
    /// Port of the plain API; 0 = any free one.
    pub api_port: u16,
    /// Port of the API over TLS; 0 = any free one.
    pub api_ssl_port: u16,
    /// Text of a scenario file; see [`scenario`].
    pub scenario: Option<String>,
    /// Where the truth is written every second, whole.
    pub truth_file: Option<PathBuf>,
    /// Where a unix socket for control lines is made.
    pub control_socket: Option<PathBuf>,
    /// Where the journal is; without it a restarted fleet begins anew.
    pub journal: Option<PathBuf>,
    /// Seconds between polls that the inventory asks for; `None` = the installation's default.
    pub interval_s: Option<f64>,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            devices: 300,
            mix: Mix::default(),
            towers: None,
            seed: 1,
            first_device: 0,
            api_port: 0,
            api_ssl_port: 0,
            scenario: None,
            truth_file: None,
            control_socket: None,
            journal: None,
            interval_s: None,
        }
    }
}

/// Starts fleets.
#[derive(Debug)]
pub struct Fleet;

/// A running fleet. It stops when this is dropped, or orderly with [`FleetHandle::stop`].
#[derive(Debug)]
pub struct FleetHandle {
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    control_socket: Option<PathBuf>,
}

/// What the handle, the clock and the control socket share.
#[derive(Debug)]
pub(crate) struct Shared {
    stage: Arc<Stage>,
    api_port: u16,
    api_ssl_port: u16,
    interval_s: Option<f64>,
}

impl Fleet {
    /// Lays the fleet out and opens its listeners. A Tokio runtime must be running.
    ///
    /// # Errors
    /// [`SimulatorError`]: the configuration, the scenario (with its line), the journal, or a
    /// socket.
    pub async fn start(config: FleetConfig) -> Result<FleetHandle, SimulatorError> {
        if config.devices == 0 || config.devices > MAX_DEVICES {
            return Err(SimulatorError::Config(format!(
                "{} devices; one process serves 1 to {MAX_DEVICES}",
                config.devices
            )));
        }
        let plan = Arc::new(lay_out_mix(
            (config.mix, config.towers),
            config.seed,
            config.devices,
            config.first_device,
        ));
        let now_unix_ms = unix_ms(SystemTime::now());
        let (journal, origin, said) = open_journal(&config, now_unix_ms)?;
        let mut world = World::new(Arc::clone(&plan), origin);
        for event in scenario::parse(config.scenario.as_deref().unwrap_or_default(), &plan)? {
            world.schedule(event);
        }
        replay(&mut world, &said, config.journal.as_deref())?;
        world.advance(now_unix_ms - origin);
        let stage = Arc::new(Stage::new(world, now_unix_ms - origin, journal));

        let api = bind(config.api_port).await?;
        let api_ssl = bind(config.api_ssl_port).await?;
        let shared = Arc::new(Shared {
            stage: Arc::clone(&stage),
            api_port: port_of(&api)?,
            api_ssl_port: port_of(&api_ssl)?,
            interval_s: config.interval_s,
        });
        let doors = Arc::new(Doors::new(config.seed)?);
        let stop = CancellationToken::new();
        let mut tasks = vec![
            tokio::spawn(listen(api, Arc::clone(&stage), None, stop.clone())),
            tokio::spawn(listen(
                api_ssl,
                Arc::clone(&stage),
                Some(doors),
                stop.clone(),
            )),
            tokio::spawn(until_stopped(stop.clone(), tick(Arc::clone(&stage)))),
        ];
        if let Some(path) = config.truth_file {
            let writing = write_truth(Arc::clone(&shared), path);
            tasks.push(tokio::spawn(until_stopped(stop.clone(), writing)));
        }
        if let Some(path) = &config.control_socket {
            let listener = control::bind(path)?;
            let serving = control::serve(listener, Arc::clone(&shared));
            tasks.push(tokio::spawn(until_stopped(stop.clone(), serving)));
        }
        Ok(FleetHandle {
            shared,
            stop,
            tasks,
            control_socket: config.control_socket,
        })
    }
}

impl FleetHandle {
    /// The truth now.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.shared.truth()
    }

    /// The truth of a past moment, Unix milliseconds; two hours are kept.
    #[must_use]
    pub fn truth_at(&self, unix_ms: i64) -> Truth {
        self.shared.truth_at(unix_ms)
    }

    /// What to import to have the fleet watched.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        let shared = &self.shared;
        let plan = shared.stage.plan();
        inventory(
            plan,
            shared.api_port,
            shared.api_ssl_port,
            shared.interval_s,
        )
    }

    /// Carries out a control line, as [`ctl_send`](crate::ctl_send) does from outside.
    ///
    /// # Errors
    /// [`SimulatorError::Refused`] says what is wrong with the line.
    pub fn ctl(&self, line: &str) -> Result<String, SimulatorError> {
        self.shared.control(line).map_err(SimulatorError::Refused)
    }

    /// Port of the plain API.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        self.shared.api_port
    }

    /// Port of the API over TLS.
    #[must_use]
    pub fn api_ssl_port(&self) -> u16 {
        self.shared.api_ssl_port
    }

    /// What the fleet is made of.
    #[must_use]
    pub fn plan(&self) -> Arc<Plan> {
        Arc::clone(self.shared.stage.plan())
    }

    /// Open sessions, silent ones included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.stage.sessions()
    }

    /// Closes listeners and sessions, and waits for the tasks to end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the simulator failed");
            }
        }
    }
}

impl Drop for FleetHandle {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(path) = &self.control_socket
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "the control socket's file stays");
        }
    }
}

impl Shared {
    pub(crate) fn truth(&self) -> Truth {
        self.stage.advance();
        let world = self.stage.world();
        Truth::of(&world, world.now_ms(), self.api_port, self.api_ssl_port)
    }

    fn truth_at(&self, unix_ms: i64) -> Truth {
        self.stage.advance();
        let world = self.stage.world();
        Truth::of(
            &world,
            unix_ms - world.unix_ms(0),
            self.api_port,
            self.api_ssl_port,
        )
    }

    /// Carries out a control line; the answer is one line.
    pub(crate) fn control(&self, line: &str) -> Result<String, String> {
        let line = line.trim();
        if line == "truth" {
            return serde_json::to_string(&self.truth()).map_err(|e| e.to_string());
        }
        // The world stands still from here on, so that a replay of the journal does the same.
        let mut world = self.stage.world_mut();
        let now = self.stage.now_ms();
        let events = scenario::parse_line(line, self.stage.plan(), now)?;
        let count = events.len();
        self.stage.journal(now, line)?;
        for event in events {
            world.schedule(event);
        }
        drop(world);
        self.stage.advance();
        Ok(format!("ok {count}"))
    }
}

fn open_journal(
    config: &FleetConfig,
    now_unix_ms: i64,
) -> Result<(Option<Journal>, i64, Said), SimulatorError> {
    let Some(path) = &config.journal else {
        return Ok((None, now_unix_ms, Vec::new()));
    };
    let mix = match config.mix {
        Mix::Varied => "",
        Mix::Carrier => " mix=carrier",
    };
    let towers = config.towers.map(|towers| format!(" towers={towers}"));
    let fleet = format!(
        "seed={} devices={} first={}{mix}{}",
        config.seed,
        config.devices,
        config.first_device,
        towers.unwrap_or_default()
    );
    let (journal, origin, said) = Journal::open(path, &fleet, now_unix_ms)?;
    Ok((Some(journal), origin, said))
}

fn replay(world: &mut World, said: &Said, path: Option<&Path>) -> Result<(), SimulatorError> {
    let plan = Arc::clone(world.plan());
    let wrong = |reason| SimulatorError::Journal {
        path: path.unwrap_or(Path::new("")).to_owned(),
        reason,
    };
    for (at_ms, line) in said {
        if let Some(configured) = Configured::read(&plan, line) {
            let (device, request) = configured.map_err(wrong)?;
            world.advance(*at_ms);
            let mut unheard = ReplyWriter::new();
            menus::write(world, device, *at_ms, &request, &mut unheard, || Ok(()));
            continue;
        }
        if let Some(noted) = Noted::read(&plan, line) {
            let (device, what) = noted.map_err(wrong)?;
            world.advance(*at_ms);
            world.note(device, what);
            continue;
        }
        let events = scenario::parse_line(line, &plan, *at_ms).map_err(wrong)?;
        world.advance(*at_ms);
        for event in events {
            world.schedule(event);
        }
    }
    Ok(())
}

async fn bind(port: u16) -> Result<TcpListener, SimulatorError> {
    // A fleet's devices are all addresses of 127.0.0.0/8, so only the wildcard will do; peers that
    // are not on this machine are refused when they are accepted.
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let what = format!("opening the simulator's port {port}");
    let open = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4_096)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(SimulatorError::io(what))
}

fn port_of(listener: &TcpListener) -> Result<u16, SimulatorError> {
    let address = listener
        .local_addr()
        .map_err(SimulatorError::io("reading the chosen port"))?;
    Ok(address.port())
}

fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}

async fn until_stopped(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn tick(stage: Arc<Stage>) {
    const TICKS_A_MINUTE: u64 = 60_000 / TICK.as_millis() as u64;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for n in 0_u64.. {
        ticks.tick().await;
        if n.is_multiple_of(TICKS_A_MINUTE) {
            stage.advance();
        } else {
            stage.advance_if_due();
        }
    }
}

async fn write_truth(shared: Arc<Shared>, path: PathBuf) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let (shared, path) = (Arc::clone(&shared), path.clone());
        let written = tokio::task::spawn_blocking(move || replace(&path, &shared.truth())).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the truth file was not written");
        }
    }
}

/// Readers see the old file or the new one, never a part.
fn replace(path: &Path, truth: &Truth) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    let mut text = serde_json::to_vec(truth)?;
    text.push(b'\n');
    file.write_all(&text)?;
    std::fs::rename(&beside, path)
}
