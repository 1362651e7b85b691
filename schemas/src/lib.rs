#![doc = include_str!("../README.md")]

pub mod alerts;
pub mod checkpoint;
pub mod column;
pub mod control;
pub mod counters;
pub mod epochs;
mod error;
pub mod health;
pub mod hours;
pub mod ids;
pub mod inventory;
pub mod message;
pub mod metric;
pub mod notifications;
pub mod partition;
pub mod records;
pub mod rollups;
pub mod tail;
pub mod thresholds;
pub mod time;
pub mod topics;
pub mod views;

pub use error::SchemaError;
pub use ids::{
    DeviceId, GroupId, LinkId, Mac, RuleId, SectorId, SiteId, TagId, TenantId, ThresholdsId,
    WindowId,
};
pub use time::{Epoch, Timestamp};
