//! The tokio client: one connection, commands pipelined, a deadline on every step.
//!
//! There is no task behind a session: whoever owns the [`Client`] drives it while a call is under way, and
//! an idle session holds no buffers of ours. Writing and reading go on together, or a router that answers
//! while we still send would block us both. After a missed deadline the stream's state is unknown: the
//! connection is over, and every later call says why. A call whose future is dropped does not shift later
//! answers: its replies find no command and are counted as strays.

mod settings;
mod transport;

pub use settings::{ConnectionInfo, Credentials, Deadlines, Target};

use crate::codec::{Limits, Sentence};
use crate::command::Command;
use crate::error::{CallError, Error, Step};
use crate::login::{Login, LoginForm, LoginPolicy, LoginStep};
use crate::protocol::{Reply, Session, Strays, Tag};
use crate::tls::TlsMode;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout_at};

/// Bytes read at one go. The buffer lives on the stack of a poll, not in the session.
const READ_BYTES: usize = 16 << 10;

/// Anything a session can run over.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for T {}

/// An open, logged-in session.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use routeros_api::{Client, Command, Credentials, Deadlines, Target, TlsMode};
/// use std::time::Duration;
/// let target = Target::new("192.0.2.1:8729".parse()?);
/// let credentials = Credentials::new("reader", "secret");
/// let deadlines = Deadlines::all(Duration::from_secs(5));
/// let mut client = Client::connect(&target, &credentials, &deadlines, &TlsMode::Pinned(None)).await?;
/// let plan = [
///     Command::new("/system/identity/print"),
///     Command::new("/interface/print").proplist(["name", "running"]),
/// ];
/// for answer in client.call_many(&plan, Duration::from_secs(5)).await {
///     println!("{:?}", answer?.rows);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Client {
    io: Box<dyn Io>,
    session: Session,
    /// Bytes of `session.outgoing()` already written.
    written: usize,
    command_deadline: Duration,
    /// Commands of a call under way: if the next call finds them still here, that call was dropped.
    calling: Vec<Tag>,
    broken: Option<Error>,
    info: ConnectionInfo,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("info", &self.info)
            .field("broken", &self.broken)
            .finish()
    }
}

impl Client {
    /// Opens a TCP connection and closes it: whether anybody is there, without a login.
    ///
    /// # Errors
    /// Those of [`Client::connect`]'s first step.
    pub async fn knock(address: SocketAddr, deadline: Duration) -> Result<(), Error> {
        transport::dial(address, deadline).await.map(drop)
    }

    /// Connects, protects the channel and logs in, each within its deadline.
    ///
    /// # Errors
    /// See [`Error::class`]; a [`Error::Timeout`] names the step.
    pub async fn connect(
        target: &Target,
        credentials: &Credentials,
        deadlines: &Deadlines,
        mode: &TlsMode,
    ) -> Result<Self, Error> {
        let channel = transport::open(target, deadlines, mode).await?;
        let policy = LoginPolicy::for_channel(channel.tls_stack.is_some(), target.known_modern);
        let mut client = Self::login_over(channel.io, policy, credentials, deadlines).await?;
        client.info.fingerprint = channel.fingerprint;
        client.info.tls_version = channel.tls_version;
        client.info.tls_stack = channel.tls_stack;
        Ok(client)
    }

    /// Logs in over a channel that is open already.
    ///
    /// # Errors
    /// As [`Client::connect`], from the login on.
    pub async fn login_over(
        io: Box<dyn Io>,
        policy: LoginPolicy,
        credentials: &Credentials,
        deadlines: &Deadlines,
    ) -> Result<Self, Error> {
        let mut client = Self {
            io,
            session: Session::new(Limits::BEFORE_LOGIN),
            written: 0,
            command_deadline: deadlines.command,
            calling: Vec::new(),
            broken: None,
            info: ConnectionInfo {
                fingerprint: None,
                tls_version: None,
                tls_stack: None,
                login_form: LoginForm::Password,
            },
        };
        let login = client.log_in(policy, credentials);
        client.info.login_form = within(Step::Login, deadlines.login, login).await?;
        client.session.set_limits(Limits::SESSION);
        client.session.release();
        Ok(client)
    }

    /// What is known of the connection.
    #[must_use]
    pub const fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// False once the connection is over; it can't be used again.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.broken.is_none()
    }

    /// Replies dropped so far because they answered nothing.
    #[must_use]
    pub const fn strays(&self) -> Strays {
        self.session.strays()
    }

    /// Sets the caps on what the router may send from now on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.session.set_limits(limits);
    }

    /// One command, within [`Deadlines::command`].
    ///
    /// # Errors
    /// [`CallError::Trap`] when the router refuses, [`CallError::Connection`] when the session is over.
    pub async fn call(&mut self, command: &Command) -> Result<Reply, CallError> {
        self.begin_call();
        let tag = self.start_call(command);
        self.drive(&[tag], self.command_deadline).await;
        self.calling = Vec::new();
        self.settle(tag)
    }

    /// All commands in one write, their answers in the same order. The deadline is for all of them; what
    /// was whole when it passed is `Ok`, and the rows of the others are kept in their errors.
    pub async fn call_many(
        &mut self,
        commands: &[Command],
        deadline: Duration,
    ) -> Vec<Result<Reply, CallError>> {
        self.begin_call();
        let tags: Vec<Tag> = commands
            .iter()
            .map(|command| self.start_call(command))
            .collect();
        let answers = self.gather(&tags, deadline).await;
        self.calling = Vec::new();
        answers
    }

    /// Runs a command that doesn't end by itself (`monitor`, `/ping`): cancels it after `rows` rows or
    /// after `run_for`, and gives what came. The deadline is for all, the cancelling too.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_some(
        &mut self,
        command: &Command,
        rows: usize,
        run_for: Duration,
        deadline: Duration,
    ) -> Result<Reply, CallError> {
        let begin = Instant::now();
        self.begin_call();
        let tag = self.start_call(command);
        let enough = poll_fn(|cx| {
            self.poll_drive(cx, |session| {
                session.is_done(tag) || session.rows(tag) >= rows
            })
        });
        if let Ok(Err(error)) = timeout_at(begin + run_for.min(deadline), enough).await {
            self.broken = Some(error);
        }
        let left = deadline.saturating_sub(begin.elapsed());
        let answer = self.stop(tag, left).await;
        self.calling = Vec::new();
        answer
    }

    /// Waits until a command that goes on has told something, or ended, or `wait` is over. That nothing
    /// came is no failure; but a router that died silently is quiet too: call something now and then.
    /// Cancel safe: what was heard and not yet given is given next time.
    ///
    /// # Errors
    /// [`CallError::Trap`] when the router refused the command or broke it off, [`CallError::Connection`]
    /// when the session is over; both with the rows not given before.
    pub async fn hear(&mut self, tag: Tag, wait: Duration) -> Result<Heard, CallError> {
        if self.is_open() {
            let told = poll_fn(|cx| {
                self.poll_drive(cx, |session| {
                    session.is_done(tag) || session.rows(tag) > 0 || !session.is_known(tag)
                })
            });
            if let Ok(Err(error)) = tokio::time::timeout(wait, told).await {
                self.broken = Some(error);
            }
            self.session.release();
        }
        if self.is_open() && self.session.is_known(tag) && !self.session.is_done(tag) {
            return Ok(Heard {
                rows: self.session.take_rows(tag),
                ended: false,
            });
        }
        self.settle(tag).map(|reply| Heard {
            rows: reply.rows,
            ended: true,
        })
    }

    /// Breaks off a command that goes on; what it told and nobody took yet. One that ended by itself gives
    /// its answer as it is.
    ///
    /// # Errors
    /// As [`Client::call`]. The deadline is for the cancelling too.
    pub async fn stop(&mut self, tag: Tag, deadline: Duration) -> Result<Reply, CallError> {
        let mut tags = vec![tag];
        if self.is_open() && self.session.is_known(tag) && !self.session.is_done(tag) {
            let cancel = self.cancel(tag);
            self.calling.push(cancel);
            tags.push(cancel);
        }
        let mut answers = self.gather(&tags, deadline).await;
        self.calling.retain(|calling| !tags.contains(calling));
        match answers.swap_remove(0) {
            Err(CallError::Trap { traps, rows }) if traps.iter().all(|t| t.is_interrupted()) => {
                Ok(Reply {
                    rows,
                    done: Sentence::default(),
                })
            }
            other => other,
        }
    }

    /// Queues a command; it is sent with the next call that waits. One that goes on until it is stopped
    /// (`/interface/listen`, `/log/listen`) tells its rows by [`Client::hear`]; other calls may be made in
    /// between, and what it tells meanwhile is kept, up to [`Limits::held_bytes`].
    pub fn start(&mut self, command: &Command) -> Tag {
        self.session.submit(command)
    }

    /// Queues a `/cancel` of a started command. That one ends with a trap of category 2
    /// ([`CallError::is_interrupted`]); the tag returned is the cancelling's own.
    pub fn cancel(&mut self, tag: Tag) -> Tag {
        self.session.cancel(tag)
    }

    /// Waits for one started command.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn finish(&mut self, tag: Tag, deadline: Duration) -> Result<Reply, CallError> {
        self.drive(&[tag], deadline).await;
        self.settle(tag)
    }

    /// Waits for started commands, all within one deadline; their answers in the order asked.
    pub async fn gather(
        &mut self,
        tags: &[Tag],
        deadline: Duration,
    ) -> Vec<Result<Reply, CallError>> {
        self.drive(tags, deadline).await;
        tags.iter().map(|&tag| self.settle(tag)).collect()
    }

    /// Ends the session in order. Dropping a client closes the connection too, without a farewell.
    pub async fn close(mut self, deadline: Duration) {
        let shutdown = self.io.shutdown();
        if tokio::time::timeout(deadline, shutdown).await.is_err() {
            tracing::debug!("the connection's end wasn't acknowledged in time");
        }
    }

    /// Forgets the commands of a call whose future was dropped; their replies will be strays.
    fn begin_call(&mut self) {
        for tag in std::mem::take(&mut self.calling) {
            self.session.abandon(tag);
        }
    }

    fn start_call(&mut self, command: &Command) -> Tag {
        let tag = self.start(command);
        self.calling.push(tag);
        tag
    }

    async fn log_in(
        &mut self,
        policy: LoginPolicy,
        credentials: &Credentials,
    ) -> Result<LoginForm, Error> {
        let (mut login, mut command) = Login::begin(policy, credentials);
        loop {
            self.session.submit_untagged(&command);
            let result = poll_fn(|cx| self.poll_drive(cx, Session::untagged_is_done)).await;
            let Some(outcome) = self.session.take_untagged() else {
                result.map_err(at_login)?;
                continue;
            };
            match login.step(outcome)? {
                LoginStep::Send(next) => command = next,
                LoginStep::Done(form) => return Ok(form),
            }
        }
    }

    /// Drives the connection until all of `tags` are done; a failure ends the connection.
    async fn drive(&mut self, tags: &[Tag], deadline: Duration) {
        if self.broken.is_none() {
            let mut done = 0;
            let all = poll_fn(|cx| {
                self.poll_drive(cx, |session| {
                    // A tag whose answer was taken before is nothing to wait for.
                    let over = |&tag: &Tag| session.is_done(tag) || !session.is_known(tag);
                    done += tags[done..].iter().take_while(|tag| over(tag)).count();
                    done == tags.len()
                })
            });
            self.broken = within(Step::Command, deadline, all).await.err();
        }
        self.session.release();
    }

    /// A command's answer after driving: whole, or what there is of it.
    fn settle(&mut self, tag: Tag) -> Result<Reply, CallError> {
        match self.session.take(tag) {
            Some(Ok(reply)) => Ok(reply),
            Some(Err((traps, rows))) => Err(CallError::Trap { traps, rows }),
            None => {
                let rows = self.session.abandon(tag);
                let taken = || Error::Setting("the command's answer was taken before".to_owned());
                Err(CallError::Connection {
                    error: self.broken.clone().unwrap_or_else(taken),
                    rows,
                })
            }
        }
    }

    /// Writes and reads until `over` says so.
    fn poll_drive(
        &mut self,
        cx: &mut Context<'_>,
        mut over: impl FnMut(&Session) -> bool,
    ) -> Poll<Result<(), Error>> {
        loop {
            // A peer that stopped reading may still have answered: read on, whatever writing says.
            let write = self.poll_send(cx);
            if over(&self.session) {
                return Poll::Ready(Ok(()));
            }
            let received = match (self.poll_receive(cx), write) {
                (Poll::Ready(Err(error)), _) | (_, Poll::Ready(Err(error))) => {
                    return Poll::Ready(Err(error));
                }
                (Poll::Ready(Ok(received)), _) => received,
                (Poll::Pending, _) => return Poll::Pending,
            };
            if received == 0 {
                let mid_sentence = self.session.is_mid_sentence();
                return Poll::Ready(Err(Error::Closed {
                    step: Step::Command,
                    mid_sentence,
                }));
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let lost = |source| Error::io(Step::Command, source);
        while let rest @ [_, ..] = &self.session.outgoing()[self.written..] {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, rest)).map_err(lost)?;
            if sent == 0 {
                return Poll::Ready(Err(lost(std::io::ErrorKind::WriteZero.into())));
            }
            self.written += sent;
        }
        if self.written > 0 {
            ready!(Pin::new(&mut self.io).poll_flush(cx)).map_err(lost)?;
            self.session.sent();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))
            .map_err(|source| Error::io(Step::Command, source))?;
        let bytes = buffer.filled();
        self.session.receive(bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }
}

/// What a command that goes on told since it was last asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its rows in order. A `listen` tells an item that changed, or `.dead=yes` of one that is gone.
    pub rows: Vec<Sentence>,
    /// The command is over, and its tag with it.
    pub ended: bool,
}

/// Whether something listens at the address; nothing is said to it.
///
/// # Errors
/// [`Error::Timeout`], [`Error::Refused`] or [`Error::Local`].
pub async fn probe(address: SocketAddr, deadline: Duration) -> Result<(), Error> {
    transport::dial(address, deadline).await.map(drop)
}

/// Losing the connection at login is told as such.
fn at_login(error: Error) -> Error {
    match error {
        Error::Closed { mid_sentence, .. } => Error::Closed {
            step: Step::Login,
            mid_sentence,
        },
        Error::Io { source, .. } => Error::Io {
            step: Step::Login,
            source,
        },
        other => other,
    }
}

/// Runs one step within its deadline.
async fn within<T>(
    step: Step,
    after: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(after, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { step, after }),
    }
}
