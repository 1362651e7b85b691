//! One session of the API, from its login on: a command is answered, some go on until `/cancel`.

use std::{net::Ipv4Addr, time::Duration};

use routeros_api::{
    LoginForm,
    server::{Connection, ReplyWriter, Request},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use crate::{
    hostile,
    menus::{self, Outcome, Told},
    server::Stage,
    world::{World, faults::Stall, logbook::What, model::Plan},
};

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: Ipv4Addr,
    pub(crate) tls: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stage: &Stage,
    device: usize,
    peer: Peer,
    io: S,
) {
    let mut connection = Connection::new(io);
    let path = stage.world().paths(device);
    let alive = frozen(stage, device, &mut connection, |world| {
        !world.stalls(device, Stall::Login)
    });
    if !alive.await {
        return;
    }
    if !log_in(stage, device, peer, &mut connection).await {
        return;
    }
    let (from, tls) = (peer.address, peer.tls);
    stage.note(device, What::LoggedIn { from, tls });
    let mut ongoing = Ongoing::default();
    loop {
        let request = tokio::select! {
            request = connection.next() => match request {
                Ok(Some(request)) => request,
                Ok(None) | Err(_) => break,
            },
            () = ongoing.due(stage, device), if !ongoing.commands.is_empty() => {
                if !may_go_on(stage, device, path, &mut connection).await {
                    break;
                }
                ongoing.turn(stage, device, connection.replies());
                continue;
            }
        };
        // One look where all is well, as it most often is.
        if !stage.world().is_well(device, path) {
            let troubled = Box::pin(through_trouble(stage, device, path, &mut connection));
            match troubled.await {
                Trouble::Passed => {}
                Trouble::Answered => continue,
                Trouble::Left => break,
            }
        }
        if take(stage, device, request, connection.replies(), &mut ongoing) == Outcome::Quit {
            break;
        }
    }
    stage.note(device, What::LoggedOut { from, tls });
    if connection.shutdown().await.is_err() {
        tracing::trace!("the client was gone before the last answer");
    }
}

/// How a request came through what is wrong with its device.
enum Trouble {
    /// It is to be answered.
    Passed,
    /// It was answered, in no way that a router would.
    Answered,
    /// The client left meanwhile.
    Left,
}

async fn through_trouble<S: AsyncRead + AsyncWrite + Unpin>(
    stage: &Stage,
    device: usize,
    path: u32,
    connection: &mut Connection<S>,
) -> Trouble {
    if !may_go_on(stage, device, path, connection).await {
        return Trouble::Left;
    }
    let (slow_ms, cpu_ms) = {
        let world = stage.world();
        (world.slow_ms(device), world.cpu_ms(device))
    };
    // Each answer goes out when it is made, also where the next one takes long.
    if slow_ms + cpu_ms > 0 && connection.flush().await.is_err() {
        return Trouble::Left;
    }
    if slow_ms > 0 {
        tokio::time::sleep(Duration::from_millis(u64::from(slow_ms))).await;
    }
    stage.processor(device).await;
    match hostile::instead(stage, device, connection).await {
        true => Trouble::Answered,
        false => Trouble::Passed,
    }
}

/// Waits while the device is silent to this session; `false` when the client left meanwhile.
async fn may_go_on<S: AsyncRead + AsyncWrite + Unpin>(
    stage: &Stage,
    device: usize,
    path: u32,
    connection: &mut Connection<S>,
) -> bool {
    let half = stage.world().stalls(device, Stall::Half);
    if half {
        connection.replies().raw(HALF_AN_ANSWER);
        if connection.flush().await.is_err() {
            return false;
        }
    }
    let goes_on = |world: &World| {
        let stalled = [Stall::Answer, Stall::Half]
            .into_iter()
            .any(|at| world.stalls(device, at));
        !stalled && !half && world.paths(device) == path
    };
    frozen(stage, device, connection, goes_on).await && {
        stage.reachable(device).await;
        true
    }
}

/// The begin of a row, and of a word in it.
const HALF_AN_ANSWER: &[u8] = b"\x03!re\x10=name=eth";

/// Waits until something holds again; what the client says meanwhile is lost. `false` when it left.
async fn frozen<S: AsyncRead + AsyncWrite + Unpin>(
    stage: &Stage,
    device: usize,
    connection: &mut Connection<S>,
    goes_on: impl Fn(&World) -> bool,
) -> bool {
    if goes_on(&stage.world()) {
        return true;
    }
    let left = async { while let Ok(Some(_)) = connection.next().await {} };
    tokio::select! {
        () = stage.until(device, goes_on) => true,
        () = left => false,
    }
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stage: &Stage,
    device: usize,
    peer: Peer,
    connection: &mut Connection<S>,
) -> bool {
    let planned = &stage.plan().devices[device];
    let form = match planned.version.plain_login() {
        true => LoginForm::Password,
        false => LoginForm::Challenge,
    };
    let login = connection.login(form, |attempt| {
        let works = stage.world().password_works(device)
            && attempt.name() == Plan::USERNAME.as_bytes()
            && attempt.accepts(planned.password.as_bytes());
        if !works {
            let failed = What::LoginFailed {
                user: String::from_utf8_lossy(attempt.name()).into(),
                from: peer.address,
                tls: peer.tls,
            };
            stage.note(device, failed);
        }
        works
    });
    match login.await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::debug!(device = planned.name, %error, "no login");
            false
        }
    }
}

/// Answers one request; remembers those that go on.
fn take(
    stage: &Stage,
    device: usize,
    request: Request,
    replies: &mut ReplyWriter,
    ongoing: &mut Ongoing,
) -> Outcome {
    if let Some(cancelled) = request.cancels() {
        ongoing.cancel(&request, cancelled, replies);
        return Outcome::Done;
    }
    let now = stage.now_ms();
    let world = stage.world();
    let outcome = menus::answer(&world, device, now, &request, replies);
    let how = match outcome {
        Outcome::Done | Outcome::Quit => return outcome,
        Outcome::Writes => {
            drop(world);
            stage.write(device, &request, replies);
            return outcome;
        }
        Outcome::Follows => {
            let mut told = Told::default();
            menus::follow(&world, device, now, &request, replies, &mut told, true);
            How::Follows(told)
        }
        Outcome::Repeats(every) => How::Repeats {
            every,
            next: Instant::now() + every,
            section: 1,
        },
    };
    ongoing.seen = stage.changes(device);
    ongoing.commands.push(Command { request, how });
    outcome
}

/// A command that goes on until it is cancelled.
struct Command {
    request: Request,
    how: How,
}

enum How {
    Follows(Told),
    Repeats {
        every: Duration,
        next: Instant,
        section: u32,
    },
}

/// The commands of a session that go on.
#[derive(Default)]
struct Ongoing {
    commands: Vec<Command>,
    /// Changes of the device that were looked at.
    seen: u64,
}

impl Ongoing {
    /// Waits until a command that goes on has something to tell.
    async fn due(&self, stage: &Stage, device: usize) {
        let next = self
            .commands
            .iter()
            .filter_map(|command| match command.how {
                How::Repeats { next, .. } => Some(next),
                How::Follows(_) => None,
            });
        let changed = stage.changed_since(device, self.seen);
        match next.min() {
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = changed => {}
            },
            None => changed.await,
        }
    }

    fn turn(&mut self, stage: &Stage, device: usize, replies: &mut ReplyWriter) {
        self.seen = stage.changes(device);
        let now = stage.now_ms();
        let world = stage.world();
        for Command { request, how } in &mut self.commands {
            match how {
                How::Follows(told) => {
                    menus::follow(&world, device, now, request, replies, told, false);
                }
                How::Repeats {
                    every,
                    next,
                    section,
                } => {
                    if *next <= Instant::now() {
                        menus::repeat(&world, device, now, request, replies, *section);
                        *section += 1;
                        // A client that reads slowly gets no more than it reads.
                        *next = Instant::now() + *every;
                    }
                }
            }
        }
    }

    /// The cancelled command's trap, the cancelling's end, the cancelled command's end: in this order.
    fn cancel(&mut self, request: &Request, cancelled: Option<&[u8]>, replies: &mut ReplyWriter) {
        let ends = |command: &mut Command| {
            cancelled.is_none_or(|wanted| wanted == command.request.tag().unwrap_or_default())
        };
        let ended: Vec<Command> = self.commands.extract_if(.., ends).collect();
        for command in &ended {
            replies.trap(command.request.tag(), "interrupted", Some(2));
        }
        replies.done(request.tag());
        for command in &ended {
            replies.done(command.request.tag());
        }
    }
}
