//! The model's writes against real PostgreSQL.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its world fails"
)]

mod import;
