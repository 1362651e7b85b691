//! Integration tests of the dataflow.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod addresses;
mod alerts;
mod checkpoint;
mod control;
mod defects;
mod flow;
mod gap;
mod handover;
mod incidents;
mod job;
mod lake_away;
mod lake_upkeep;
mod notifications;
mod places;
mod rates;
mod recorded;
mod recording;
mod relay;
mod rules;
mod sink;
mod support;
mod tail;
mod tail_sql;
mod trends;
mod twin;
