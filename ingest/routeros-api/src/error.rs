//! What can go wrong, and whose fault it is.
//!
//! [`Error`] ends a connection; [`CallError`] is one command's end, and says whether the connection
//! lives on. [`ErrorClass`] is for deciding: every error falls into exactly one class.

use crate::codec::{DecodeError, Sentence};
use crate::protocol::Trap;
use crate::tls::Fingerprint;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The part of a session that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Opening the TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Logging in.
    Login,
    /// Waiting for the replies to commands.
    Command,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
            Self::Login => "logging in",
            Self::Command => "waiting for replies",
        })
    }
}

/// Whose fault an [`Error`] is, coarse enough to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The device didn't answer in time, at whatever step.
    Timeout,
    /// The device (or its network) refused the connection.
    Refused,
    /// The device refused the user name or password.
    AuthFailed,
    /// No TLS session, or one that isn't to be trusted.
    TlsFailed,
    /// The peer doesn't keep to the protocol, or ended the session with `!fatal`.
    ProtocolError,
    /// The open connection was closed or reset.
    Io,
    /// Our own lack: file descriptors, a route, a valid setting. Says nothing about the device.
    Internal,
}

/// Why there is no connection, or no longer. Cheap to clone: each pending command gets it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The deadline of a step passed.
    #[error("no answer within {after:?} during {step}")]
    Timeout {
        /// The step under way.
        step: Step,
        /// The deadline that passed.
        after: Duration,
    },
    /// The TCP connection was refused, or the network says the host isn't there.
    #[error("connection refused: {0}")]
    Refused(#[source] Arc<io::Error>),
    /// The router refused the login.
    #[error("login refused: {message}")]
    AuthFailed {
        /// The router's words.
        message: String,
    },
    /// The TLS handshake failed. A router without a certificate offers only anonymous suites, which
    /// end here unless [`crate::TlsMode::Anonymous`] allows them: give it a certificate.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] rustls::Error),
    /// The TLS handshake by OpenSSL failed, with its words.
    #[error("TLS handshake failed, by OpenSSL: {0}")]
    OpenSsl(String),
    /// The peer closed the connection during the TLS handshake.
    #[error("connection closed during the TLS handshake: {0}")]
    TlsClosed(#[source] Arc<io::Error>),
    /// The certificate isn't the pinned one. Until a person accepts the new one, nothing was sent.
    #[error("the certificate's fingerprint is {found}, not the pinned {expected}")]
    FingerprintMismatch {
        /// The pinned one.
        expected: Fingerprint,
        /// The one presented.
        found: Fingerprint,
    },
    /// The bytes received are no sentences.
    #[error("protocol error: {0}")]
    Decode(#[from] DecodeError),
    /// The replies held for the caller, of one command or of all, grew past their cap.
    #[error("replies grew past the {cap} bytes allowed")]
    RepliesTooLarge {
        /// Bytes allowed.
        cap: usize,
    },
    /// A command was answered by more rows than may be held for it.
    #[error("a command was answered by more than the {cap} rows allowed")]
    TooManyRows {
        /// Rows allowed.
        cap: usize,
    },
    /// The router went on sending what answers nothing.
    #[error("more than {cap} sentences in a row answered no command")]
    TooManyStrays {
        /// Sentences allowed in a row.
        cap: u64,
    },
    /// The login challenge is not an even number of hexadecimal digits.
    #[error("the router's login challenge can't be read")]
    BadChallenge,
    /// The router ended the session with `!fatal`.
    #[error("the router ended the session: {message}")]
    Fatal {
        /// The router's words, at most 4 KiB of them.
        message: String,
    },
    /// The router closed the connection.
    #[error("the router closed the connection during {step}{}", if *.mid_sentence { ", in the midst of a sentence" } else { "" })]
    Closed {
        /// The step under way.
        step: Step,
        /// Whether a sentence had begun.
        mid_sentence: bool,
    },
    /// Reading or writing the open connection failed.
    #[error("connection lost during {step}: {source}")]
    Io {
        /// The step under way.
        step: Step,
        /// The cause.
        source: Arc<io::Error>,
    },
    /// Something of ours is missing: a file descriptor, a route, memory.
    #[error("can't connect from here: {0}")]
    Local(#[source] Arc<io::Error>),
    /// A setting can't be used.
    #[error("{0}")]
    Setting(String),
}

impl Error {
    /// The class to decide on.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Timeout { .. } => ErrorClass::Timeout,
            Self::Refused(_) => ErrorClass::Refused,
            Self::AuthFailed { .. } => ErrorClass::AuthFailed,
            Self::Tls(_)
            | Self::OpenSsl(_)
            | Self::TlsClosed(_)
            | Self::FingerprintMismatch { .. } => ErrorClass::TlsFailed,
            Self::Decode(_)
            | Self::RepliesTooLarge { .. }
            | Self::TooManyRows { .. }
            | Self::TooManyStrays { .. }
            | Self::BadChallenge
            | Self::Fatal { .. } => ErrorClass::ProtocolError,
            Self::Closed { .. } | Self::Io { .. } => ErrorClass::Io,
            Self::Local(_) | Self::Setting(_) => ErrorClass::Internal,
        }
    }

    pub(crate) fn io(step: Step, source: io::Error) -> Self {
        Self::Io {
            step,
            source: Arc::new(source),
        }
    }

    /// Whether another choice of suites may succeed where this handshake failed: the router said, or rustls did,
    /// that they have nothing in common; or the router just hung up, as some do then.
    pub(crate) const fn lacks_common_suite(&self) -> bool {
        use rustls::AlertDescription as Alert;
        match self {
            // OpenSSL doesn't say it in a type.
            Self::TlsClosed(_) | Self::OpenSsl(_) => true,
            Self::Tls(error) => matches!(
                error,
                rustls::Error::PeerIncompatible(_)
                    | rustls::Error::AlertReceived(
                        Alert::HandshakeFailure
                            | Alert::InsufficientSecurity
                            | Alert::ProtocolVersion
                    )
            ),
            _ => false,
        }
    }

    /// Sorts a failed handshake: what TLS said, or that the peer went away.
    pub(crate) fn tls(error: io::Error) -> Self {
        let said = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match said {
            Some(said) => Self::Tls(said.clone()),
            None => Self::TlsClosed(Arc::new(error)),
        }
    }
}

/// How one command failed. Rows that had arrived whole are kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The router refused or broke off the command; the connection lives on.
    #[error("{}", traps.first().map_or("the command failed", |trap| trap.message.as_str()))]
    Trap {
        /// What the router said, in order: there may be several for one command.
        traps: Vec<Trap>,
        /// Rows sent before that.
        rows: Vec<Sentence>,
    },
    /// The connection ended before the command did.
    #[error("{error}")]
    Connection {
        /// Why.
        #[source]
        error: Error,
        /// Rows that had arrived whole.
        rows: Vec<Sentence>,
    },
}

impl CallError {
    /// The class of a lost connection; `None` for a trap, after which the connection lives on.
    #[must_use]
    pub const fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Trap { .. } => None,
            Self::Connection { error, .. } => Some(error.class()),
        }
    }

    /// Rows that had arrived whole.
    #[must_use]
    pub fn rows(&self) -> &[Sentence] {
        match self {
            Self::Trap { rows, .. } | Self::Connection { rows, .. } => rows,
        }
    }

    /// True when the command ended because it was cancelled.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Trap { traps, .. } if traps.iter().any(Trap::is_interrupted))
    }
}
