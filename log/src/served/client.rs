//! The asking side. A connection a call under way; they are kept for the next calls.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::wire::{self, Answer, Call, decode_answer, read_frame, write_frame};
use crate::{Ends, Entry, Log, LogError, Record, TopicSpec};

/// A log that another process of this machine owns and serves.
pub struct ServedLog {
    socket: PathBuf,
    idle: Mutex<Vec<UnixStream>>,
}

impl ServedLog {
    /// The log served at `socket`, whose owner must be there now, and may go and come later.
    ///
    /// # Errors
    /// [`LogError::Away`].
    pub fn connect(socket: impl Into<PathBuf>) -> Result<Self, LogError> {
        let log = Self {
            socket: socket.into(),
            idle: Mutex::default(),
        };
        let stream = UnixStream::connect(&log.socket).map_err(|error| log.away(error))?;
        log.idle().push(stream);
        Ok(log)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self, source: io::Error) -> LogError {
        LogError::Away {
            socket: self.socket.clone(),
            source,
        }
    }

    fn ask(&self, call: &Call) -> Result<Answer, LogError> {
        self.exchange(&call.encode())
    }

    fn exchange(&self, frame: &[u8]) -> Result<Answer, LogError> {
        let kept = self.idle().pop();
        let opened = kept.map_or_else(|| UnixStream::connect(&self.socket), Ok);
        let told = opened.and_then(|mut stream| {
            write_frame(&mut stream, frame)?;
            let answer = read_frame(&mut stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok((stream, decode_answer(answer)?))
        });
        match told {
            Ok((stream, answer)) => {
                self.idle().push(stream);
                answer
            }
            Err(error) => {
                // The others lead to the same owner, which is gone.
                self.idle().clear();
                Err(self.away(error))
            }
        }
    }

    fn number(&self, call: &Call) -> Result<u64, LogError> {
        self.ask(call)?.number().ok_or_else(|| self.nonsense())
    }

    fn nothing(&self, call: &Call) -> Result<(), LogError> {
        match self.ask(call)? {
            Answer::Nothing => Ok(()),
            _ => Err(self.nonsense()),
        }
    }

    fn nonsense(&self) -> LogError {
        self.away(io::Error::new(
            io::ErrorKind::InvalidData,
            "it answers something else than was asked",
        ))
    }
}

impl Answer {
    const fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl Log for ServedLog {
    fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.nothing(&Call::Ensure(spec.name.clone(), spec.partitions))
    }

    fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let partitions = self.number(&Call::Partitions(topic.to_owned()))?;
        u32::try_from(partitions).map_err(|_| self.nonsense())
    }

    fn append(&self, topic: &str, partition: u32, records: &[Record]) -> Result<u64, LogError> {
        let bytes: usize = records.iter().map(Record::size_bytes).sum();
        if bytes as u64 > crate::MAX_BATCH_BYTES {
            return Err(LogError::TooLarge {
                bytes: bytes as u64,
                limit_bytes: crate::MAX_BATCH_BYTES,
            });
        }
        self.exchange(&wire::append(topic, partition, records))?
            .number()
            .ok_or_else(|| self.nonsense())
    }

    fn read(
        &self,
        topic: &str,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, LogError> {
        // An answer is one frame.
        let most = (max_bytes as u64).min(crate::MAX_BATCH_BYTES / 2);
        match self.ask(&Call::Read(topic.to_owned(), partition, from, most))? {
            Answer::Entries(entries) => Ok(entries),
            _ => Err(self.nonsense()),
        }
    }

    fn ends(&self, topic: &str, partition: u32) -> Result<Ends, LogError> {
        match self.ask(&Call::Ends(topic.to_owned(), partition))? {
            Answer::Ends(ends) => Ok(ends),
            _ => Err(self.nonsense()),
        }
    }

    fn trim(&self, topic: &str, partition: u32, before: u64) -> Result<(), LogError> {
        self.nothing(&Call::Trim(topic.to_owned(), partition, before))
    }

    fn sync(&self) -> Result<(), LogError> {
        self.nothing(&Call::Sync)
    }

    fn wait(&self, seen_appends: u64, timeout: Duration) -> u64 {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.number(&Call::Wait(seen_appends, left)) {
                Ok(appends) if appends != seen_appends || left.is_zero() => return appends,
                Ok(_) => {}
                // A new owner counts anew: whoever waits has to look.
                Err(_) => {
                    std::thread::sleep(left.min(Duration::from_millis(50)));
                    return 0;
                }
            }
        }
    }
}
