#![doc = include_str!("../README.md")]

pub mod client;
pub mod codec;
pub mod command;
pub mod error;
pub mod login;
mod password;
pub mod protocol;
pub mod query;
pub mod server;
pub mod tls;

pub use client::{Client, ConnectionInfo, Credentials, Deadlines, Heard, Target};
pub use codec::{DecodeError, Decoder, Limits, Sentence};
pub use command::Command;
pub use error::{CallError, Error, ErrorClass, Step};
pub use login::{LoginForm, LoginPolicy};
pub use password::Password;
pub use protocol::{Reply, Session, Tag, Trap};
pub use tls::{Fingerprint, TlsMode, TlsStack, TrustedRoots};
