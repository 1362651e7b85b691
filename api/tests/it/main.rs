//! The API against real PostgreSQL: each test speaks as somebody, and looks at what that one sees.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world fails"
)]

mod alerts;
mod away;
mod conformance;
mod conventions;
mod document;
mod ear;
mod import;
mod inventory;
mod notifications;
mod places;
mod reads;
mod rejections;
mod served;
mod sql;
mod strangers;
mod stream;
mod stream_faults;
mod tokens;
mod world;
mod writes;
