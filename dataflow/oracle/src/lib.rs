#![doc = include_str!("../README.md")]

mod addresses;
mod air;
mod alert_laws;
mod caps;
mod devices;
mod health;
mod incidents;
mod laws;
mod limits;
mod links;
mod oracle;
mod parents;
mod records;
mod roaming;
mod rules;
pub mod script;
mod tables;
mod trends;
mod views;
mod windows;

pub use alert_laws::rule_laws;
pub use laws::{Breach, laws, maintenance_laws, place_laws};
pub use oracle::{Counters, Events, Oracle};
pub use records::Restored;
pub use views::Views;
