#![doc = include_str!("../README.md")]

mod certificate;
mod control;
mod doors;
mod error;
mod fleet;
mod hostile;
pub mod inventory;
mod journal;
pub mod menus;
pub mod noise;
pub mod physics;
pub mod scenario;
mod server;
mod session;
mod text;
pub mod trouble;
pub mod truth;
pub mod world;

pub use control::ctl_send;
pub use error::SimulatorError;
pub use fleet::{Fleet, FleetConfig, FleetHandle, MAX_DEVICES};
pub use truth::Truth;
pub use world::layout::Mix;
