//! The sockets: two wildcard listeners for the whole fleet, a task for each session.
//!
//! A device is the local address a connection came to. Dead power is silence: the kernel accepts
//! connections for us, so a dead device's are held open and never answered; when the device is back
//! they are answered (as a retransmitted SYN would be) or, when it restarted meanwhile, reset.
//! Peers that are not on this machine are refused.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use routeros_api::server::{ReplyWriter, Request};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::{
    doors::{Doors, Opened},
    journal::{Configured, Journal, Noted},
    menus,
    session::{Peer, converse},
    world::{
        World,
        faults::Stall,
        logbook::What,
        model::{Plan, Tls},
    },
};

/// Sessions wait on this to learn that their device changed.
#[derive(Debug, Default)]
struct Gate {
    notify: Notify,
    changes: AtomicU64,
    /// When a slow processor has done what it was asked.
    busy_until_ms: AtomicI64,
}

impl Gate {
    fn open(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.notify.notify_waiters();
    }
}

/// What sessions share.
#[derive(Debug)]
pub(crate) struct Stage {
    world: RwLock<World>,
    plan: Arc<Plan>,
    gates: Vec<Gate>,
    clock: Clock,
    sessions: AtomicUsize,
    journal: Mutex<Option<Journal>>,
    /// Lines of logs that wait for the world to be written to.
    unwritten: Mutex<Vec<(usize, What)>>,
}

/// Simulated time from the monotonic clock, anchored at the fleet's origin.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started: std::time::Instant,
    offset_ms: i64,
}

impl Stage {
    pub(crate) fn new(world: World, offset_ms: i64, journal: Option<Journal>) -> Self {
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
            journal: Mutex::new(journal),
            unwritten: Mutex::default(),
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
        let changed = self.advance_world(&mut self.world_mut());
        self.wake(changed);
    }

    /// Adds a line to a device's log.
    pub(crate) fn note(&self, device: usize, what: What) {
        self.unwritten().push((device, what));
        // Where somebody reads, the next step of time writes it: a waiting writer would hold up all
        // readers behind the one that is there.
        let Ok(mut world) = self.world.try_write() else {
            return;
        };
        let changed = self.advance_world(&mut world);
        drop(world);
        self.wake(changed);
    }

    /// Carries out what is due, and writes what was noted.
    fn advance_world(&self, world: &mut World) -> Vec<usize> {
        let mut changed = world.advance(self.now_ms());
        let unwritten = std::mem::take(&mut *self.unwritten());
        for (device, what) in unwritten {
            // What a device without power would have written is not written later either.
            if !world.powered(device) {
                continue;
            }
            if let Err(error) = self.journal_note(world.now_ms(), device, &what) {
                tracing::warn!(error, "a line of a log will be missing after a restart");
            }
            world.note(device, what);
        }
        changed.extend(world.take_changed());
        changed
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<(usize, What)>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out a command that changes a device; it is journalled before it happens.
    pub(crate) fn write(&self, device: usize, request: &Request, replies: &mut ReplyWriter) {
        let mut world = self.world_mut();
        let mut changed = self.advance_world(&mut world);
        let now = world.now_ms();
        let journalled = || self.journal(now, &Configured::line(&self.plan, device, request));
        menus::write(&mut world, device, now, request, replies, journalled);
        changed.extend(world.take_changed());
        drop(world);
        self.wake(changed);
    }

    fn journal_note(&self, now: i64, device: usize, what: &What) -> Result<(), String> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(journal) = journal.as_mut() else {
            return Ok(());
        };
        match Noted::line(&self.plan, device, what) {
            Some(line) => journal.append(now, &line).map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }

    /// Writes a line to the journal, if there is one.
    pub(crate) fn journal(&self, now: i64, line: &str) -> Result<(), String> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match journal.as_mut() {
            Some(journal) => journal
                .append(now, line)
                .map_err(|e| format!("the journal: {e}")),
            None => Ok(()),
        }
    }

    fn wake(&self, changed: Vec<usize>) {
        for device in changed {
            self.gates[device].open();
        }
    }

    /// Counts the changes of a device.
    pub(crate) fn changes(&self, device: usize) -> u64 {
        self.gates[device].changes.load(Ordering::Acquire)
    }

    /// Waits for a turn at a device's one processor, if it is slow, and for what the turn takes.
    pub(crate) async fn processor(&self, device: usize) {
        let ms = i64::from(self.world().cpu_ms(device));
        if ms == 0 {
            return;
        }
        let now = self.now_ms();
        let busy = &self.gates[device].busy_until_ms;
        let until = |until: i64| Some(until.max(now) + ms);
        let before = busy.fetch_update(Ordering::AcqRel, Ordering::Acquire, until);
        let done = before.unwrap_or_else(|same| same).max(now) + ms;
        tokio::time::sleep(Duration::from_millis((done - now) as u64)).await;
    }

    /// Waits until a device has changed since it had so many changes.
    pub(crate) async fn changed_since(&self, device: usize, seen: u64) {
        self.until(device, |_| self.changes(device) != seen).await;
    }

    /// As [`Stage::advance`], but leaves the sessions' lock alone while nothing is due: a waiting
    /// writer would hold them up behind whoever reads the truth.
    pub(crate) fn advance_if_due(&self) {
        let due = self.world().is_due(self.now_ms());
        if due || !self.unwritten().is_empty() {
            self.advance();
        }
    }

    /// Waits until the device's answers come back.
    pub(crate) async fn reachable(&self, device: usize) {
        self.until(device, |world| world.reachable(device)).await;
    }

    /// Waits until the device restarted after the given count.
    async fn restarted(&self, device: usize, boots: u32) {
        self.until(device, |world| world.boots(device) != boots)
            .await;
    }

    pub(crate) async fn until(&self, device: usize, holds: impl Fn(&World) -> bool) {
        loop {
            let changed = self.gates[device].notify.notified();
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
        let peer = Peer {
            address: match peer.ip() {
                IpAddr::V4(address) => address,
                IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
            },
            tls: tls.is_some(),
        };
        let session = serve(Arc::clone(&stage), device, peer, socket, tls.clone());
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
    let serves = !tls || stage.plan.devices[device].tls != Tls::Off;
    (serves && !stage.world().resets(device)).then_some(device)
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

async fn serve(
    stage: Arc<Stage>,
    device: usize,
    peer: Peer,
    socket: TcpStream,
    tls: Option<Arc<Doors>>,
) {
    let _counted = Counted::new(&stage.sessions);
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let mut socket = socket;
    let boots = stage.world().boots(device);
    let restarted = tokio::select! {
        biased;
        () = stage.restarted(device, boots) => true,
        () = greet(&stage, device, peer, &mut socket, tls) => false,
    };
    if restarted {
        reset(&socket);
    }
}

/// Waits until the device's answers come back and it looks at new connections.
async fn answering(stage: &Stage, device: usize) {
    let open = |world: &World| world.reachable(device) && !world.stalls(device, Stall::Connect);
    stage.until(device, open).await;
}

async fn greet(
    stage: &Stage,
    device: usize,
    peer: Peer,
    socket: &mut TcpStream,
    tls: Option<Arc<Doors>>,
) {
    tokio::select! {
        () = answering(stage, device) => {}
        // Those who gave up on a dead device must not keep our file descriptors.
        () = hung_up(socket) => return,
    }
    let Some(doors) = tls else {
        return converse(stage, device, peer, socket).await;
    };
    let tls = stage.plan.devices[device].tls;
    let changed = stage.world().certificate_changed(device);
    let failed = match doors.open(tls, changed, socket).await {
        Ok(Opened::Modern(stream)) => {
            return Box::pin(converse(stage, device, peer, stream)).await;
        }
        Ok(Opened::Old(stream)) => return Box::pin(converse(stage, device, peer, stream)).await,
        Err(error) => error,
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
