//! The list. A name says its part, its unit and, by `_total`, that it is a counter; it is never used again for something else.

use super::{Kind, Label, Part, Unit};

macro_rules! metrics_of {
    ($($part:ident { $($(#[doc = $help:literal])+ $variant:ident = $name:literal, $kind:ident, $unit:ident $(, [$($label:ident),+])?;)+ })+) => {
        /// Everything that Mast counts and measures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $($($(#[doc = $help])+ $variant,)+)+
        }

        impl Metric {
            /// All metrics, by part.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)+)+];

            /// The name, as Prometheus has it.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)+)+ }
            }

            /// Which part emits it.
            pub const fn part(self) -> Part {
                match self { $($(Self::$variant)|+ => Part::$part,)+ }
            }

            /// What it does over time.
            pub const fn kind(self) -> Kind {
                match self { $($(Self::$variant => Kind::$kind,)+)+ }
            }

            /// What it counts.
            pub const fn unit(self) -> Unit {
                match self { $($(Self::$variant => Unit::$unit,)+)+ }
            }

            /// Its labels, in the order in which values are given.
            pub const fn labels(self) -> &'static [Label] {
                match self { $($(Self::$variant => &[$($(Label::$label),+)?],)+)+ }
            }

            /// What it means.
            pub fn help(self) -> &'static str {
                match self { $($(Self::$variant => concat!($($help),+).trim_start(),)+)+ }
            }
        }
    };
}

metrics_of! {
    Ingest {
        /// Polls that ended.
        IngestPolls = "mast_ingest_polls_total", Counter, Count, [Outcome];
        /// Rows read, of all kinds.
        IngestRows = "mast_ingest_rows_total", Counter, Count;
        /// Values that could not be typed; the row holds null there.
        IngestIssues = "mast_ingest_issues_total", Counter, Count;
        /// Time from a poll's first command to its last reply.
        IngestPollTime = "mast_ingest_poll_ms", Histogram, Milliseconds;
        /// The longest that a poll began late since the last look.
        IngestLate = "mast_ingest_late_ms", Gauge, Milliseconds;
        /// Devices that this node polls.
        IngestDevices = "mast_ingest_devices", Gauge, Count;
        /// Open sessions.
        IngestSessions = "mast_ingest_sessions", Gauge, Count;
        /// Logins tried.
        IngestLogins = "mast_ingest_logins_total", Counter, Count;
        /// Devices whose breaker is open: logins wait, connects are still tried.
        IngestBreakersOpen = "mast_ingest_breakers_open", Gauge, Count;
        /// Polls in the log.
        IngestAppended = "mast_ingest_appended_polls_total", Counter, Count;
        /// Appends that the log refused; they are tried again.
        IngestRefused = "mast_ingest_refused_appends_total", Counter, Count;
        /// Bytes in memory that wait for the log.
        IngestWaiting = "mast_ingest_waiting_bytes", Gauge, Bytes;
        /// Bytes of the spool on the disk.
        IngestSpool = "mast_ingest_spool_bytes", Gauge, Bytes;
        /// Polls dropped because the log was away too long.
        IngestDropped = "mast_ingest_dropped_polls_total", Counter, Count;
        /// This machine's clock minus PostgreSQL's, at the last look.
        IngestClockOffset = "mast_ingest_clock_offset_ms", Gauge, Milliseconds;
        /// Shards whose lease this node holds.
        IngestLeases = "mast_ingest_leased_shards", Gauge, Count;
        /// Leases lost to another node or given up.
        IngestLeasesLost = "mast_ingest_leases_lost_total", Counter, Count;
        /// File descriptors that this process may open.
        IngestDescriptorLimit = "mast_ingest_descriptor_limit", Gauge, Count;
        /// Devices that nobody polls because file descriptors are short.
        IngestUnheld = "mast_ingest_unheld_devices", Gauge, Count;
        /// Devices whose credentials can't be opened or read; their polls end as internal.
        IngestLocked = "mast_ingest_locked_devices", Gauge, Count;
        /// Whether a node is in trouble, by what is wrong; its log lines say why, and the remedy.
        IngestTrouble = "mast_ingest_trouble", Gauge, Flag, [Concern];
    }
    Log {
        /// Appends that are in the log.
        LogAppends = "mast_log_appends_total", Counter, Count, [Topic];
        /// Appends refused, for want of room or because the broker was away.
        LogRefused = "mast_log_refused_total", Counter, Count, [Topic];
        /// Bytes appended.
        LogAppended = "mast_log_appended_bytes_total", Counter, Bytes, [Topic];
        /// The next offset after the last append of this process.
        LogEnd = "mast_log_end_offset", Gauge, Count, [Topic, Partition];
        /// Up to here this process let the log drop records.
        LogTrimmed = "mast_log_trimmed_offset", Gauge, Count, [Topic, Partition];
    }
    Dataflow {
        /// End of the last committed slot, in milliseconds since 1970.
        DataflowEpoch = "mast_dataflow_epoch_ms", Gauge, Milliseconds;
        /// Clock minus end of the last committed slot.
        DataflowLag = "mast_dataflow_lag_ms", Gauge, Milliseconds;
        /// Time from the observation of a row to the commit that shows it, half of the rows, since the last look.
        DataflowFreshMedian = "mast_dataflow_fresh_p50_ms", Gauge, Milliseconds;
        /// The same, 99 of 100 rows.
        DataflowFreshMost = "mast_dataflow_fresh_p99_ms", Gauge, Milliseconds;
        /// Whether bindings of earlier starts are still worked off.
        DataflowReplaying = "mast_dataflow_replaying", Gauge, Flag;
        /// Fencing generation; rises with each start of the job.
        DataflowGeneration = "mast_dataflow_generation", Gauge, Count;
        /// Commits.
        DataflowCommits = "mast_dataflow_commits_total", Counter, Count;
        /// Polls that count.
        DataflowPolls = "mast_dataflow_polls_total", Counter, Count;
        /// Registration rows that count.
        DataflowRows = "mast_dataflow_registration_rows_total", Counter, Count;
        /// Polls of an older lease, which went to the lake alone.
        DataflowLate = "mast_dataflow_late_polls_total", Counter, Count;
        /// Polls dropped because they were seen before.
        DataflowReplays = "mast_dataflow_replayed_polls_total", Counter, Count;
        /// Polls dropped because their tenant is not their device's.
        DataflowForeign = "mast_dataflow_foreign_polls_total", Counter, Count;
        /// Polls of a device that control does not know.
        DataflowUnknown = "mast_dataflow_unknown_device_polls_total", Counter, Count;
        /// Polls of a device that control has disabled.
        DataflowDisabled = "mast_dataflow_disabled_device_polls_total", Counter, Count;
        /// Messages that did not decode.
        DataflowPoison = "mast_dataflow_poison_messages_total", Counter, Count;
        /// Heartbeats that were ahead of the clock and were clamped.
        DataflowClamped = "mast_dataflow_clamped_heartbeats_total", Counter, Count;
        /// Producers left out because they were silent.
        DataflowSilences = "mast_dataflow_silences_total", Counter, Count;
        /// Records that the log lost before they were worked off. Until a person accepts that, the job stands still.
        DataflowGap = "mast_dataflow_gap_records", Gauge, Count, [Topic, Partition];
        /// Transitions of devices and links.
        DataflowTransitions = "mast_dataflow_transitions_total", Counter, Count;
        /// Checkpoints completed.
        DataflowCheckpoints = "mast_dataflow_checkpoints_total", Counter, Count;
        /// Checkpoints that could not be written, or were found damaged at a start.
        DataflowCheckpointFailures = "mast_dataflow_checkpoint_failures_total", Counter, Count;
        /// End of the last committed slot minus that of the newest checkpoint.
        DataflowCheckpointAge = "mast_dataflow_checkpoint_age_ms", Gauge, Milliseconds;
        /// Records that a relay has passed on.
        DataflowRelayed = "mast_dataflow_relayed_records_total", Counter, Count, [Relay];
        /// Rounds of a relay that failed; they are tried again.
        DataflowRelayFailures = "mast_dataflow_relay_failures_total", Counter, Count, [Relay];
        /// Records that are known to wait for a relay.
        DataflowRelayRecords = "mast_dataflow_relay_behind_records", Gauge, Count, [Relay];
        /// How long the oldest of them waits; or, while the outbox cannot be read, since when nobody knows.
        DataflowRelayLag = "mast_dataflow_relay_behind_ms", Gauge, Milliseconds, [Relay];
    }
    Lake {
        /// Files committed.
        LakeFiles = "mast_lake_files_total", Counter, Count;
        /// Rows handed over, of all tables.
        LakeRows = "mast_lake_rows_total", Counter, Count;
        /// Commits that failed; they are tried again.
        LakeFailures = "mast_lake_failures_total", Counter, Count;
        /// Memory of the rows that wait to be stored.
        LakeWaiting = "mast_lake_waiting_bytes", Gauge, Bytes;
        /// Memory of the rows that are stored and still kept for queries that began before.
        LakeKept = "mast_lake_kept_bytes", Gauge, Bytes;
        /// Questions to the tail of history: answered, refused for the asker's fault, or not answered because rows were not there.
        LakeTailAsks = "mast_lake_tail_asks_total", Counter, Count, [Answer];
        /// End of the last committed slot minus that up to which history is stored.
        LakeBehind = "mast_lake_behind_ms", Gauge, Milliseconds;
        /// Rows of rollups written.
        LakeRolledUp = "mast_lake_rolled_up_rows_total", Counter, Count;
        /// Rows written again where small files became large ones.
        LakeCompacted = "mast_lake_compacted_rows_total", Counter, Count;
        /// Ranges of which rows were dropped because they were too old.
        LakeRetained = "mast_lake_retained_ranges_total", Counter, Count;
        /// Files removed that nothing named any more.
        LakeRemoved = "mast_lake_removed_files_total", Counter, Count;
        /// Files that will be removed when the queries that may read them have ended.
        LakeEnding = "mast_lake_ending_files", Gauge, Count;
    }
    Postgres {
        /// Statements and transactions that failed.
        PostgresErrors = "mast_postgres_errors_total", Counter, Count, [Asker];
        /// Starts of the private server after it had died.
        PostgresRestarts = "mast_postgres_restarts_total", Counter, Count;
    }
    Api {
        /// Requests answered: well, refused for the asker's fault, or failed for ours.
        ApiRequests = "mast_api_requests_total", Counter, Count, [Answer];
        /// Time from a request's head to the head of its answer.
        ApiRequestTime = "mast_api_request_ms", Histogram, Milliseconds;
        /// Who listens to live views.
        ApiListeners = "mast_api_listeners", Gauge, Count;
        /// Events with changes that listeners were sent.
        ApiFrames = "mast_api_frames_total", Counter, Count;
        /// Snapshots that listeners got because nobody knew what had changed since they last heard.
        ApiResets = "mast_api_resets_total", Counter, Count;
    }    Notify {
        /// Requests for which it was decided who is told.
        NotifyRouted = "mast_notify_routed_total", Counter, Count;
        /// Attempts to send: well, refused for good, or failed for now.
        NotifyAttempts = "mast_notify_attempts_total", Counter, Count, [Channel, Answer];
        /// Time of an attempt.
        NotifyAttemptTime = "mast_notify_attempt_ms", Histogram, Milliseconds;
        /// Deliveries that were given up.
        NotifyDead = "mast_notify_dead_total", Counter, Count;
        /// Requests and deliveries that are not done with, of all tenants.
        NotifyWaiting = "mast_notify_waiting", Gauge, Count;
        /// How long the oldest of them waits.
        NotifyOldest = "mast_notify_oldest_ms", Gauge, Milliseconds;
    }
}
