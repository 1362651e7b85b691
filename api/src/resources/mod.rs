//! The resources: a file each, with what it reads, what can be written and its SQL.

pub(crate) mod alert_events;
pub(crate) mod alerts;
pub(crate) mod availability;
pub(crate) mod check;
pub(crate) mod clients;
pub(crate) mod crud;
pub(crate) mod device_log;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod firmware;
pub(crate) mod fleet;
pub(crate) mod groups;
pub(crate) mod health;
pub(crate) mod incidents;
pub(crate) mod interfaces;
pub(crate) mod inventory;
pub(crate) mod issues;
pub(crate) mod links;
pub(crate) mod me;
pub(crate) mod notification_channels;
pub(crate) mod notification_deliveries;
pub(crate) mod notification_routes;
pub(crate) mod rules;
pub(crate) mod sectors;
pub(crate) mod series;
pub(crate) mod sites;
pub(crate) mod sql;
pub(crate) mod stream;
pub(crate) mod tags;
pub(crate) mod tenants;
pub(crate) mod thresholds;
pub(crate) mod trends;
pub(crate) mod windows;

mod history;
mod places;
