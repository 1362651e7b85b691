//! One device's session: connect when needed, poll, say how it ended.
//!
//! A poll is one pipelined exchange, plus one more where the names of 60 GHz or monitored interfaces
//! were not known yet. What was whole when something failed stays whole. After a missed deadline the
//! connection is dropped, never reused: the next reply on it could be the last command's.

mod polled;
mod read;
mod slower;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mast_schemas::control::{self, TlsPolicy};
use mast_schemas::records::{Outcome, Registration, Source};
use routeros_api::{
    CallError, Client, Credentials, Deadlines, Error, ErrorClass, Fingerprint, LoginForm, Reply,
    Target, TlsMode, TlsStack,
};
use tokio::time::Instant;

use crate::parse::{Known, RadioView, Stamp};
use crate::plan::{self, Plan};
use crate::slower::{Schedule, Slower};
use crate::trust::{DeviceSpec, Manner, Trust};
pub use polled::Polled;
use slower::SlowState;

/// Slow menus are read at each tenth poll, and at least this often.
const SLOW_EVERY: Duration = Duration::from_secs(300);
const SLOW_POLLS: u32 = 10;

/// A device's session with what it has learnt of the device. Survives reconnects.
pub struct Session {
    spec: Arc<DeviceSpec>,
    client: Option<Client>,
    plan: Plan,
    known: Known,
    /// Configured radios by source, for the names that monitors want.
    radios: Vec<(Source, RadioView)>,
    /// Sources whose interface menu has been read.
    joined: u32,
    polls_since_slow: u32,
    last_slow: Option<Instant>,
    pin: Option<Fingerprint>,
    manner: Manner,
    slower: Arc<Slower>,
    slow: SlowState,
}

impl Session {
    /// A session that is not connected yet, with slower kinds of its own.
    pub fn new(spec: Arc<DeviceSpec>) -> Self {
        Self::sharing(spec, Arc::default())
    }

    /// A session that is not connected yet.
    pub fn sharing(spec: Arc<DeviceSpec>, slower: Arc<Slower>) -> Self {
        let (pin, manner) = (spec.pin, spec.manner);
        let slow = SlowState::new(schedule(&spec, &slower));
        Self {
            spec,
            client: None,
            plan: Plan::default(),
            known: Known::default(),
            radios: Vec::new(),
            joined: 0,
            polls_since_slow: 0,
            last_slow: None,
            pin,
            manner,
            slower,
            slow,
        }
    }

    /// The device.
    pub fn device(&self) -> &control::Device {
        &self.spec.device
    }

    /// Takes a changed device; reconnects where the change is about reaching or trusting it.
    pub fn change(&mut self, spec: Arc<DeviceSpec>) {
        let (old, new) = (&self.spec.device, &spec.device);
        let same_tenant = old.tenant_id == new.tenant_id;
        let same_way = same_tenant
            && old.address == new.address
            && (old.api_port, old.api_ssl_port) == (new.api_port, new.api_ssl_port)
            && old.tls == new.tls
            && old.credentials_version == new.credentials_version
            && (self.pin == spec.pin || spec.pin.is_none());
        if !same_way {
            // Its log goes on where it was read, however it is reached now.
            let fresh = Self::sharing(Arc::clone(&spec), Arc::clone(&self.slower));
            let slow = std::mem::replace(
                &mut self.slow,
                SlowState::new(schedule(&spec, &self.slower)),
            );
            *self = Self { slow, ..fresh };
            if !same_tenant {
                // What is not told yet happened to the device of the other.
                self.slow.forget_notes();
            }
        }
        self.spec = spec;
    }

    /// Whether a session is open.
    pub fn is_open(&self) -> bool {
        self.client.as_ref().is_some_and(Client::is_open)
    }

    /// Half the interval, within 2 to 10 s: the deadline of each step.
    pub fn deadline(&self) -> Duration {
        let half = Duration::from_millis(u64::from(self.spec.device.interval_ms) / 2);
        half.clamp(Duration::from_secs(2), Duration::from_secs(10))
    }

    /// One poll. Never takes longer than its steps' deadlines together.
    pub async fn poll(&mut self, trust: &Trust) -> Polled {
        let reused = self.is_open();
        if !reused && let Err(failed) = self.connect(trust).await {
            return failed;
        }
        let polled = self.exchange().await;
        // A session that was idle may have ended unnoticed; that says nothing of the device now.
        if reused && polled.outcome == Outcome::Refused {
            self.client = None;
            if let Err(failed) = self.connect(trust).await {
                return failed;
            }
            return self.exchange().await;
        }
        polled
    }

    /// Whether the device takes a TCP connection at all.
    pub async fn probe(&self) -> Result<(), Polled> {
        let address = self.address().await?;
        let knocked = Client::knock(address, self.deadline()).await;
        knocked.map_err(|error| Polled::failed(outcome_of(&error), error.to_string()))
    }

    /// Ends the session.
    pub async fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client.close(Duration::from_millis(200)).await;
        }
    }

    async fn address(&self) -> Result<SocketAddr, Polled> {
        let device = &self.spec.device;
        let port = if device.tls == TlsPolicy::Plain {
            device.api_port
        } else {
            device.api_ssl_port
        };
        let found = tokio::net::lookup_host((device.address.as_str(), port)).await;
        let internal = |reason: String| Polled::failed(Outcome::Internal, reason);
        let mut found = found.map_err(|e| internal(format!("{}: {e}", device.address)))?;
        found
            .next()
            .ok_or_else(|| internal(format!("{} has no address", device.address)))
    }

    async fn connect(&mut self, trust: &Trust) -> Result<(), Polled> {
        self.client = None;
        let spec = Arc::clone(&self.spec);
        let credentials = match &spec.credentials {
            Ok(credentials) => credentials,
            Err(reason) => return Err(Polled::failed(Outcome::Internal, reason.to_string())),
        };
        let name = (spec.device.address.parse::<std::net::IpAddr>().is_err())
            .then(|| spec.device.address.clone());
        let target = Target {
            address: self.address().await?,
            server_name: name,
            known_modern: self.manner.modern,
            tls_stack: self.manner.tls_stack,
        };
        trust.logins.turn().await;
        let mode = self.tls_mode(trust, &target).await?;
        let deadlines = Deadlines::all(self.deadline());
        let opened = Client::connect(&target, credentials, &deadlines, &mode).await;
        let client = opened.map_err(|error| {
            if let Error::FingerprintMismatch { found, .. } = &error {
                // Asks the store anew at the next try: a person may have taken the old pin away.
                self.pin = None;
                self.slow.note(format!(
                    "it shows another certificate than is trusted: {found}"
                ));
            }
            Polled::failed(outcome_of(&error), error.to_string())
        })?;
        let info = client.info();
        let manner = Manner {
            modern: self.manner.modern || info.login_form == LoginForm::Password,
            tls_stack: info.tls_stack.unwrap_or_default(),
        };
        if manner != self.manner {
            if manner.tls_stack == TlsStack::OpenSsl {
                tracing::info!(device = %spec.device.id, name = spec.device.name, "old TLS, spoken by OpenSSL");
            }
            trust.pins.remember(&spec.device, manner).await;
            self.manner = manner;
        }
        self.slow.note(format!("connected to {}", target.address));
        self.client = Some(client);
        Ok(())
    }

    /// How this connection is to be trusted. At first use of a pin the certificate is only looked at:
    /// no credential is sent before its pin is kept.
    async fn tls_mode(&mut self, trust: &Trust, target: &Target) -> Result<TlsMode, Polled> {
        let roots = || trust.roots.clone().map(TlsMode::Verified);
        match self.spec.device.tls {
            TlsPolicy::Plain => return Ok(TlsMode::Plain),
            TlsPolicy::Insecure => return Ok(TlsMode::Insecure),
            TlsPolicy::Anonymous => return Ok(TlsMode::Anonymous),
            TlsPolicy::Verified => {
                let missing = || Polled::failed(Outcome::Internal, "no CA is configured");
                return roots().ok_or_else(missing);
            }
            TlsPolicy::Auto => {
                if let Some(verified) = roots() {
                    return Ok(verified);
                }
            }
            TlsPolicy::Pinned => {}
        }
        if self.pin.is_none() {
            let nobody = TlsMode::Pinned(Some(Fingerprint([0; 32])));
            let deadlines = Deadlines::all(self.deadline());
            let look =
                Client::connect(target, &Credentials::new("", ""), &deadlines, &nobody).await;
            let found = match look {
                Err(Error::FingerprintMismatch { found, .. }) => found,
                Err(error) => return Err(Polled::failed(outcome_of(&error), error.to_string())),
                Ok(_) => {
                    return Err(Polled::failed(
                        Outcome::Internal,
                        "an impossible certificate",
                    ));
                }
            };
            let kept = trust.pins.keep(&self.spec.device, found).await;
            let kept = kept.map_err(|e| {
                Polled::failed(
                    Outcome::Internal,
                    format!("the certificate can't be pinned: {e}"),
                )
            })?;
            self.pin = Some(kept);
        }
        Ok(TlsMode::Pinned(self.pin))
    }

    /// Commands out, answers in.
    async fn exchange(&mut self) -> Polled {
        let slow = self
            .last_slow
            .is_none_or(|last| self.polls_since_slow >= SLOW_POLLS || last.elapsed() >= SLOW_EVERY);
        let first = self.last_slow.is_none();
        let deadline = self.deadline();
        let begin = Instant::now();
        let mut round = Round::new(slow);
        let menus: Vec<_> = self
            .plan
            .menus(slow, self.slower.sensors_each_poll)
            .collect();
        let mut monitors = if first {
            Vec::new()
        } else {
            self.monitors(slow)
        };
        let slower = self.slow_ask().await;
        let Some(client) = self.client.as_mut() else {
            return Polled::failed(Outcome::Internal, "not connected");
        };
        let mut tags: Vec<_> = menus
            .iter()
            .map(|(_, command)| client.start(command))
            .collect();
        tags.extend(monitors.iter().map(|m| client.start(&m.command)));
        tags.extend(slower.commands.iter().map(|command| client.start(command)));
        let mut answers = client.gather(&tags, deadline).await;
        let of_slower = answers.split_off(menus.len() + monitors.len());
        let of_monitors = answers.split_off(menus.len());
        for ((menu, _), answer) in menus.into_iter().zip(answers) {
            self.menu_answer(&mut round, menu, answer);
        }
        self.finish_tables(&mut round);
        for (monitor, answer) in monitors.drain(..).zip(of_monitors) {
            self.monitor_answer(&mut round, &monitor, answer);
        }
        self.slow_answers(&mut round, &slower, of_slower);
        if first && round.error.is_none() {
            self.first_monitors(&mut round, deadline).await;
        }
        self.w60g_table(&mut round);
        self.settle(round, begin, slow)
    }

    /// At the first poll the names to monitor are known only now.
    async fn first_monitors(&mut self, round: &mut Round, deadline: Duration) {
        let monitors = self.monitors(true);
        let Some(client) = self.client.as_mut().filter(|_| !monitors.is_empty()) else {
            return;
        };
        let tags: Vec<_> = monitors.iter().map(|m| client.start(&m.command)).collect();
        let answers = client.gather(&tags, deadline).await;
        for (monitor, answer) in monitors.iter().zip(answers) {
            self.monitor_answer(round, monitor, answer);
        }
    }

    /// One command an interface: rows of a monitor don't name theirs. The 60 GHz ones are a
    /// registration table, so they are asked at each poll.
    fn monitors(&self, slow: bool) -> Vec<Monitor> {
        let wanted = self
            .radios
            .iter()
            .enumerate()
            .filter(|(_, (source, radio))| {
                (slow || *source == Source::W60g) && radio.disabled != Some(true)
            });
        let monitor = |(place, (source, radio)): (usize, &(Source, RadioView))| {
            let command = plan::monitor(*source, radio.interface.as_deref()?)?;
            Some(Monitor {
                source: *source,
                place,
                command,
            })
        };
        wanted.filter_map(monitor).collect()
    }

    fn settle(&mut self, round: Round, begin: Instant, slow: bool) -> Polled {
        let Round {
            mut polled,
            whole,
            failed,
            error,
            ..
        } = round;
        polled.round_trip = Some(begin.elapsed());
        let lost = error.as_ref();
        if lost.is_some() {
            // Whatever comes next on it would be an answer to something else.
            self.client = None;
        }
        polled.outcome = match (whole, failed, lost) {
            (0, _, Some(error)) => outcome_of(error),
            (0, _, None) => Outcome::ProtocolError,
            (_, 0, None) => Outcome::Ok,
            _ => Outcome::Partial,
        };
        if slow && lost.is_none() {
            (self.last_slow, self.polls_since_slow) = (Some(Instant::now()), 0);
        } else {
            self.polls_since_slow = self.polls_since_slow.saturating_add(1);
        }
        if let Some(version) = &polled.facts.version
            && self.plan.saw_version(version)
        {
            self.last_slow = None;
            self.slow
                .version_changed(schedule(&self.spec, &self.slower));
        }
        if polled.outcome.reached() {
            self.tell(Stamp::default(), &mut polled);
        }
        polled
    }
}

fn schedule(spec: &DeviceSpec, slower: &Slower) -> Schedule {
    let interval = Duration::from_millis(u64::from(spec.device.interval_ms));
    Schedule::new(&spec.device.id, interval, &slower.cadences, Instant::now())
}

/// A monitor under way: the radio is `radios[place]`.
struct Monitor {
    source: Source,
    place: usize,
    command: routeros_api::Command,
}

/// What one exchange has brought so far.
struct Round {
    polled: Polled,
    slow: bool,
    whole: u32,
    failed: u32,
    error: Option<Error>,
    /// Tables that wait for the interface lists: source and rows.
    tables: Vec<(Source, Reply)>,
    /// 60 GHz: monitors asked and answered whole, and their rows.
    w60g_asked: u32,
    w60g_whole: u32,
    stations: Vec<Registration>,
    stamp: Stamp,
}

impl Round {
    fn new(slow: bool) -> Self {
        let mut polled = Polled::failed(Outcome::Ok, "");
        polled.detail = None;
        Self {
            polled,
            slow,
            whole: 0,
            failed: 0,
            error: None,
            tables: Vec::new(),
            w60g_asked: 0,
            w60g_whole: 0,
            stations: Vec::new(),
            stamp: Stamp::default(),
        }
    }

    /// Counts an answer; gives it back when it is whole.
    fn count(&mut self, name: &str, answer: Result<Reply, CallError>) -> Option<Reply> {
        match answer {
            Ok(reply) => {
                self.whole += 1;
                Some(reply)
            }
            Err(error) => {
                self.failed += 1;
                if self.polled.detail.is_none() {
                    self.polled.detail = Some(format!("{name}: {error}"));
                }
                if let CallError::Connection { error, .. } = error {
                    self.error.get_or_insert(error);
                }
                None
            }
        }
    }
}

/// How a poll that read nothing ended, by the reason.
fn outcome_of(error: &Error) -> Outcome {
    match error.class() {
        ErrorClass::Timeout => Outcome::Timeout,
        // A connection that ends before anything was read is as good as refused.
        ErrorClass::Refused | ErrorClass::Io => Outcome::Refused,
        ErrorClass::AuthFailed => Outcome::AuthFailed,
        ErrorClass::TlsFailed => Outcome::TlsFailed,
        ErrorClass::ProtocolError => Outcome::ProtocolError,
        ErrorClass::Internal => Outcome::Internal,
    }
}
