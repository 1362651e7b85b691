//! What all routes have in common: how requests are read, refused and answered.

pub(crate) mod accept;
pub(crate) mod access;
pub(crate) mod connections;
pub(crate) mod docs;
pub(crate) mod etag;
pub(crate) mod extract;
pub(crate) mod idempotency;
pub(crate) mod kept;
pub(crate) mod layers;
pub(crate) mod openapi;
pub(crate) mod problem;
pub(crate) mod rate;
pub(crate) mod reply;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod wire;
