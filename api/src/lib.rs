#![doc = include_str!("../README.md")]

mod bounds;
mod error;
mod hours;
mod http;
pub mod inventory;
mod listing;
mod live;
mod local;
mod resources;
pub mod rules;
pub mod token;

pub use axum::http::Method;
pub use error::ApiError;
pub use http::connections::Sockets;
pub use http::rate::Rate;
pub use http::server::{ApiConfig, Pulse, Server, openapi, router};
pub use live::Listeners;
pub use local::{Local, Refused};
pub use resources::devices::device_page_statement;
