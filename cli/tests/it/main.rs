//! Tests of the binary and of the workspace as a whole.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alerts;
mod bench;
mod clock;
mod damage;
mod decode;
mod demo;
mod docs;
mod edges;
mod full_disks;
mod gap;
mod health;
mod incidents;
mod kills;
mod limits;
mod live;
mod part;
mod parts;
mod pipes;
mod postgres_away;
mod support;
mod tail;
mod takeover;
mod up;
mod verify;
