//! The owner's side: a thread a connection, each answering one call after the other.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::wire::{Answer, Call, encode_answer, read_frame, write_frame};
use crate::{Log, LogError, TopicSpec};

/// A wait is cut to this, so that a server can stop; the caller asks again.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Serves a log to other processes until it is dropped.
pub struct LogServer {
    shared: Arc<Shared>,
    socket: PathBuf,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    log: Arc<dyn Log>,
    stopping: AtomicBool,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    streams: HashMap<u64, UnixStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogServer {
    /// Serves `log` at `socket`. A socket that a killed owner left there is taken over: whoever owns the log may.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn start(log: Arc<dyn Log>, socket: impl Into<PathBuf>) -> Result<Self, LogError> {
        let socket = socket.into();
        let listener = listen(&socket).map_err(LogError::io("listen at", &socket))?;
        let shared = Arc::new(Shared {
            log,
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Ok(Self {
            shared,
            socket,
            accepting: Some(accepting),
        })
    }
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Drop for LogServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        // Wakes the accepting thread; if nobody listens any more there is none.
        let _ = UnixStream::connect(&self.socket);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        let threads = {
            let mut open = self.shared.open();
            for stream in open.streams.values() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            std::mem::take(&mut open.threads)
        };
        for thread in threads {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(SeqCst) {
            return;
        }
        let (Ok(stream), mut open) = (stream, shared.open()) else {
            // Out of descriptors, most likely.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let Ok(copy) = stream.try_clone() else {
            continue;
        };
        open.next += 1;
        let number = open.next;
        open.streams.insert(number, copy);
        open.threads.retain(|thread| !thread.is_finished());
        let shared = Arc::clone(shared);
        open.threads.push(std::thread::spawn(move || {
            if let Err(error) = converse(stream, &shared) {
                tracing::warn!(%error, "a process that uses the log was cut off");
            }
            shared.open().streams.remove(&number);
        }));
    }
}

fn converse(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    while let Some(frame) = read_frame(&mut stream)? {
        let answer = answer(shared.log.as_ref(), Call::decode(frame)?);
        if shared.stopping.load(SeqCst) {
            return Ok(());
        }
        write_frame(&mut stream, &encode_answer(&answer))?;
    }
    Ok(())
}

fn answer(log: &dyn Log, call: Call) -> Result<Answer, LogError> {
    match call {
        Call::Ensure(name, partitions) => log
            .ensure_topic(&TopicSpec { name, partitions })
            .map(|()| Answer::Nothing),
        Call::Partitions(topic) => log.partitions(&topic).map(|n| Answer::Number(u64::from(n))),
        Call::Append(topic, partition, records) => {
            log.append(&topic, partition, &records).map(Answer::Number)
        }
        Call::Read(topic, partition, from, most) => log
            .read(
                &topic,
                partition,
                from,
                usize::try_from(most).unwrap_or(usize::MAX),
            )
            .map(Answer::Entries),
        Call::Ends(topic, partition) => log.ends(&topic, partition).map(Answer::Ends),
        Call::Trim(topic, partition, before) => log
            .trim(&topic, partition, before)
            .map(|()| Answer::Nothing),
        Call::Sync => log.sync().map(|()| Answer::Nothing),
        Call::Wait(seen, timeout) => Ok(Answer::Number(log.wait(seen, timeout.min(LONGEST_WAIT)))),
    }
}
