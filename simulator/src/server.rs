//! The sockets: two wildcard listeners for the whole fleet, a task for each session.
//!
//! A device is the local address a connection came to. Dead power is silence: the kernel accepts
//! connections for us, so a dead device's are held open and never answered; when the device is back
//! they are answered (as a retransmitted SYN would be) or, when it restarted meanwhile, reset.
//! Peers that are not on this machine are refused.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use routeros_api::{
    LoginForm,
    server::{Connection, LegacyAcceptor, Request, acceptor},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    certificate::{modern_certificate, old_certificate},
    error::SimulatorError,
    menus::{self, Outcome},
    world::{
        World,
        model::{Plan, Tls},
    },
};

/// Sessions wait on this to learn that their device changed.
#[derive(Debug, Default)]
struct Gate(Notify);

/// What sessions share.
#[derive(Debug)]
pub(crate) struct Stage {
    world: RwLock<World>,
    plan: Arc<Plan>,
    gates: Vec<Gate>,
    clock: Clock,
    sessions: AtomicUsize,
}

/// Simulated time from the monotonic clock, anchored at the fleet's origin.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started: std::time::Instant,
    offset_ms: i64,
}

impl Stage {
    pub(crate) fn new(world: World, offset_ms: i64) -> Self {
        let plan = Arc::clone(world.plan());
        let gates = plan.devices.iter().map(|_| Gate::default()).collect();
        let clock = Clock {
            started: std::time::Instant::now(),
            offset_ms,
        };
        Self {
            world: RwLock::new(world),
            plan,
            gates,
            clock,
            sessions: AtomicUsize::new(0),
        }
    }

    /// Simulated time now, milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.offset_ms + self.clock.started.elapsed().as_millis() as i64
    }

    pub(crate) fn world(&self) -> RwLockReadGuard<'_, World> {
        self.world.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn world_mut(&self) -> RwLockWriteGuard<'_, World> {
        self.world.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Carries out what is due, and wakes the sessions of devices that changed.
    pub(crate) fn advance(&self) {
        let changed = self.world_mut().advance(self.now_ms());
        for device in changed {
            self.gates[device].0.notify_waiters();
        }
    }

    /// As [`Stage::advance`], but leaves the sessions' lock alone while nothing is due: a waiting
    /// writer would hold them up behind whoever reads the truth.
    pub(crate) fn advance_if_due(&self) {
        let due = self.world().is_due(self.now_ms());
        if due {
            self.advance();
        }
    }

    /// Waits until the device's answers come back.
    async fn reachable(&self, device: usize) {
        self.until(device, |world| world.reachable(device)).await;
    }

    /// Waits until the device restarted after the given count.
    async fn restarted(&self, device: usize, boots: u32) {
        self.until(device, |world| world.boots(device) != boots)
            .await;
    }

    async fn until(&self, device: usize, holds: impl Fn(&World) -> bool) {
        loop {
            let changed = self.gates[device].0.notified();
            tokio::pin!(changed);
            // Registered before looking, so that no change slips between the two.
            changed.as_mut().enable();
            if holds(&self.world()) {
                return;
            }
            changed.await;
        }
    }
}

/// What the fleet's api-ssl services offer.
pub(crate) struct Doors {
    modern: TlsAcceptor,
    dhe: LegacyAcceptor,
    anonymous: LegacyAcceptor,
}

impl Doors {
    /// Those of a seed: a client that pinned a certificate finds it again after a restart.
    pub(crate) fn new(seed: u64) -> Result<Self, SimulatorError> {
        let broken = |error: routeros_api::Error| SimulatorError::Certificate(error.to_string());
        let (certificate, key) = modern_certificate(seed)?;
        let (old_certificate, old_key) = old_certificate(seed)?;
        Ok(Self {
            modern: acceptor(vec![certificate], key).map_err(broken)?,
            dhe: LegacyAcceptor::dhe_rsa(&old_certificate, old_key.secret_der()).map_err(broken)?,
            anonymous: LegacyAcceptor::anonymous().map_err(broken)?,
        })
    }
}

/// Accepts connections until told to stop.
pub(crate) async fn listen(
    listener: TcpListener,
    stage: Arc<Stage>,
    tls: Option<Arc<Doors>>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: the queue stays, so give it time.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(device) = device_for(&stage, &socket, peer, tls.is_some()) else {
            reset(&socket);
            continue;
        };
        let session = serve(Arc::clone(&stage), device, socket, tls.clone());
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = session => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// The device a connection is for; `None` = nobody, refuse it.
fn device_for(stage: &Stage, socket: &TcpStream, peer: SocketAddr, tls: bool) -> Option<usize> {
    if !peer.ip().is_loopback() {
        tracing::warn!(%peer, "refused: the simulator serves this machine only");
        return None;
    }
    let IpAddr::V4(local) = socket.local_addr().ok()?.ip() else {
        return None;
    };
    let device = stage.plan.device_at(local)?;
    (!tls || stage.plan.devices[device].tls != Tls::Off).then_some(device)
}

/// Makes closing the socket send a reset instead of a FIN.
fn reset(socket: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection could not be set to reset");
    }
}

/// Counts a session while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(stage: Arc<Stage>, device: usize, socket: TcpStream, tls: Option<Arc<Doors>>) {
    let _counted = Counted::new(&stage.sessions);
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let mut socket = socket;
    let boots = stage.world().boots(device);
    let restarted = tokio::select! {
        biased;
        () = stage.restarted(device, boots) => true,
        () = greet(&stage, device, &mut socket, tls) => false,
    };
    if restarted {
        reset(&socket);
    }
}

async fn greet(stage: &Stage, device: usize, socket: &mut TcpStream, tls: Option<Arc<Doors>>) {
    tokio::select! {
        () = stage.reachable(device) => {}
        // Those who gave up on a dead device must not keep our file descriptors.
        () = hung_up(socket) => return,
    }
    let Some(doors) = tls else {
        return converse(stage, device, socket).await;
    };
    let failed = match stage.plan.devices[device].tls {
        Tls::Off | Tls::Modern => match doors.modern.accept(socket).await {
            Ok(stream) => return Box::pin(converse(stage, device, stream)).await,
            Err(error) => error,
        },
        old @ (Tls::Dhe | Tls::Anonymous) => {
            let door = if old == Tls::Dhe {
                &doors.dhe
            } else {
                &doors.anonymous
            };
            match door.accept(socket).await {
                Ok(stream) => return Box::pin(converse(stage, device, stream)).await,
                Err(error) => error,
            }
        }
    };
    tracing::debug!(device = stage.plan.devices[device].name, error = %failed, "no TLS session");
}

/// Waits until the peer closed its side; what it sent before stays unread.
async fn hung_up(socket: &TcpStream) {
    loop {
        match socket.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {}
            Ok(_) | Err(_) => return,
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stage: &Stage, device: usize, io: S) {
    let mut connection = Connection::new(io);
    let form = match stage.plan.devices[device].version.plain_login() {
        true => LoginForm::Password,
        false => LoginForm::Challenge,
    };
    let login = connection.login(form, |attempt| {
        let password = stage.plan.devices[device].password.as_bytes();
        stage.world().password_works(device)
            && attempt.name() == Plan::USERNAME.as_bytes()
            && attempt.accepts(password)
    });
    match login.await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            tracing::debug!(device = stage.plan.devices[device].name, %error, "no login");
            return;
        }
    }
    let mut held: Vec<Vec<u8>> = Vec::new();
    while let Ok(Some(request)) = connection.next().await {
        stage.reachable(device).await;
        let slow_ms = stage.world().slow_ms(device);
        if slow_ms > 0 {
            tokio::time::sleep(Duration::from_millis(u64::from(slow_ms))).await;
        }
        if take(stage, device, &request, &mut connection, &mut held) == Outcome::Quit {
            break;
        }
    }
    if connection.shutdown().await.is_err() {
        tracing::trace!("the client was gone before the last answer");
    }
}

/// Answers one request; remembers those that go on.
fn take<S: AsyncRead + AsyncWrite + Unpin>(
    stage: &Stage,
    device: usize,
    request: &Request,
    connection: &mut Connection<S>,
    held: &mut Vec<Vec<u8>>,
) -> Outcome {
    if let Some(cancelled) = request.cancels() {
        cancel(request, cancelled, connection, held);
        return Outcome::Done;
    }
    let now = stage.now_ms();
    let outcome = menus::answer(&stage.world(), device, now, request, connection.replies());
    if outcome == Outcome::Held {
        held.push(request.tag().unwrap_or_default().to_vec());
    }
    outcome
}

/// The cancelled command's trap, the cancelling's end, the cancelled command's end: in this order.
fn cancel<S: AsyncRead + AsyncWrite + Unpin>(
    request: &Request,
    cancelled: Option<&[u8]>,
    connection: &mut Connection<S>,
    held: &mut Vec<Vec<u8>>,
) {
    let ends = |tag: &Vec<u8>| cancelled.is_none_or(|wanted| wanted == tag.as_slice());
    let ended: Vec<Vec<u8>> = held.extract_if(.., |tag| ends(tag)).collect();
    let tag = |tag: &[u8]| (!tag.is_empty()).then(|| tag.to_vec());
    let replies = connection.replies();
    for one in &ended {
        replies.trap(tag(one).as_deref(), "interrupted", Some(2));
    }
    replies.done(request.tag());
    for one in &ended {
        replies.done(tag(one).as_deref());
    }
}
