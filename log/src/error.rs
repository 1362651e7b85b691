//! Everything that can go wrong with a log, told apart by what the caller must do next.

use std::{io, path::PathBuf};

/// Why a call on a log failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No room. Nothing was written; the same append may succeed after a trim.
    #[error("the log is full at {used_bytes} bytes ({}); trim it, or give it more room",
        limit_bytes.map_or_else(|| "no space left on the disk".to_owned(), |limit| format!("its limit is {limit} bytes")))]
    Full {
        /// Bytes of all segment files.
        used_bytes: u64,
        /// The configured limit, or `None` if it was the disk that had no room.
        limit_bytes: Option<u64>,
    },
    /// The offset asked for was dropped; reading can go on at `first`, with a hole.
    #[error("the records asked for are no longer in the log; its first offset is {first}")]
    Gap {
        /// The earliest offset that is kept.
        first: u64,
    },
    /// The offset asked for has not been written: the log lost its end (power loss under a policy
    /// that allows it, or an older copy put back) after somebody had read it.
    #[error("the offset asked for is past the end of the log, whose next offset is {next}")]
    Ahead {
        /// The next offset to be written.
        next: u64,
    },
    /// Stored bytes are not what was written.
    #[error("{}: {detail} at byte {position} (topic {topic}, partition {partition}, offset {offset}); put the file back from a \
        copy, or cut it with `truncate -s {position}` and remove the partition's later segment files, which loses offset {offset} and all after it",
        file.display())]
    Corrupt {
        /// Topic of the damaged partition.
        topic: String,
        /// Partition within the topic.
        partition: u32,
        /// The first offset that can't be read.
        offset: u64,
        /// The damaged file.
        file: PathBuf,
        /// Where in the file the last good batch ends, bytes.
        position: u64,
        /// What is wrong there.
        detail: &'static str,
    },
    /// Another process has the log open for writing.
    #[error("{} is in use by {}; stop it first, or open the log read-only", dir.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")))]
    Owned {
        /// The log's folder.
        dir: PathBuf,
        /// The owner, if it could be read.
        pid: Option<u32>,
    },
    /// No topic of that name.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// The name asked for.
        topic: String,
    },
    /// A topic name or partition count that can't be used.
    #[error("topic {topic:?} can't be made: {reason}")]
    InvalidTopic {
        /// The name given.
        topic: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The topic has another number of partitions, or none of that number.
    #[error("topic {topic} has {partitions} partitions, which doesn't fit the {asked} asked for")]
    PartitionMismatch {
        /// The topic.
        topic: String,
        /// How many partitions it has.
        partitions: u32,
        /// The count asked for at creation, or the number of a partition that doesn't exist.
        asked: u32,
    },
    /// The records of one append are larger than the log takes. Split them.
    #[error("{bytes} bytes in one append are more than the {limit_bytes} allowed")]
    TooLarge {
        /// Size of the record or of the whole append.
        bytes: u64,
        /// What is allowed.
        limit_bytes: u64,
    },
    /// The broker failed us or is away. Records that were to be appended may be there, some of them, all, or none.
    #[error(
        "the Kafka broker {brokers} failed when asked to {action}: {reason}; see that it runs and can be reached, and check \
        the settings of [log]"
    )]
    Broker {
        /// What was tried.
        action: &'static str,
        /// The brokers that are configured.
        brokers: String,
        /// What the client or the broker says.
        reason: String,
    },
    /// The process that owns the log and serves it is away. Records that were to be appended may be there, or not.
    #[error("nobody serves the log at {}: {source}; start `mast dataflow` on that data folder", socket.display())]
    Away {
        /// Where it is to be reached.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The process that owns the log could not do it.
    #[error("{reason}")]
    Refused {
        /// Its own words.
        reason: String,
    },
    /// A change was asked of a log opened read-only.
    #[error("the log is open read-only")]
    ReadOnly,
    /// The system failed us; the log may need to be opened again.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl LogError {
    /// The same call may succeed later without anybody's doing: room is made, a broker comes back. After
    /// [`LogError::Broker`] an append may have succeeded after all.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Broker { .. } | Self::Away { .. }
        )
    }

    #[cfg(feature = "kafka")]
    pub(crate) fn broker(action: &'static str, brokers: &str, reason: &str) -> Self {
        Self::Broker {
            action,
            brokers: brokers.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
