#![doc = include_str!("../README.md")]

mod addresses;
mod air;
mod caps;
mod devices;
mod health;
mod laws;
mod limits;
mod links;
mod oracle;
mod records;
mod roaming;
pub mod script;
mod tables;
mod views;

pub use laws::{Breach, laws, place_laws};
pub use oracle::{Counters, Events, Oracle};
pub use records::Restored;
pub use views::Views;
