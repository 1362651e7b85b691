#![doc = include_str!("../README.md")]

mod alerts;
mod cancel;
mod columns;
mod engine;
mod error;
mod filter;
mod format;
mod lake;
mod postgres;
mod rates;
mod ribbons;
mod series;
mod snapshot;
mod stop;
mod tables;
mod tail;

pub use engine::{Engine, EngineConfig, QueryResult, Session};
pub use error::{Fault, QueryError};
pub use format::{Encoder, Format, format};
pub use series::{Measure, Point, Series, SeriesAnswer, Steps};
pub use snapshot::{Tenant, TenantScope};
