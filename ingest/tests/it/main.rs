//! The one integration test binary of this crate.

mod corpus;
mod surprising;
