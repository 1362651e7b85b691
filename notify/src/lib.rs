#![doc = include_str!("../README.md")]

pub mod backoff;
pub mod channel;
mod dispatcher;
mod error;
pub mod guard;
pub mod notice;
mod outcome;
pub mod plan;
pub mod render;
pub mod route;
mod secret;
mod send;
mod store;

pub use dispatcher::{Dispatcher, DispatcherConfig};
pub use error::NotifyError;
pub use outcome::Attempt;
pub use secret::{SecretText, Secrets};
pub use send::{Authority, Resolve, Sender, SenderConfig, System, signature};
pub use store::{Backlog, backlog};
