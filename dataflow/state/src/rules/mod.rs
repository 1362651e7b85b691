//! Rules (§18): which of them judge what, and how far each is with each thing that it judges.
//!
//! Most things are fine most of the time, and must cost nothing then: nothing is kept of a rule and a subject whose values are
//! not bad, and which rules a value breaks is found by its place among their thresholds, not by asking each of them.
//!
//! The traps avoided: a state for every rule and subject; rules looked for by each poll; and an edit that goes through all
//! devices. Devices that stand alike share the list of their rules, and what is counted is found by its rule as well.

mod book;
mod devices;
mod places;
mod registry;
mod step;
mod tracker;
mod values;

#[cfg(test)]
mod tests;

pub(crate) use devices::{DeviceRules, Stands};
pub use places::{PlaceFact, PlaceRules};
pub use step::{Phase, Progress, Step, bad, good, matches};
pub(crate) use values::PollValues;
