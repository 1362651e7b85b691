#![doc = include_str!("../README.md")]

mod absences;
mod addresses;
mod ap;
mod bssid;
mod compact;
mod device;
mod forgetting;
mod health;
mod heard;
pub mod incidents;
mod limits;
mod link;
mod maintenance;
pub mod messages;
pub mod pairing;
mod radio;
mod reporters;
mod roam;
pub mod rules;
mod signals;
mod table;
mod timers;
mod trends;

pub use addresses::Addresses;
pub use ap::Aps;
pub use bssid::{BssidOut, Bssids};
pub use compact::{Instant, Interner, Mac48, give_back, insert_tight, make_room, push_tight};
pub use device::{Devices, Found};
pub use forgetting::Forgetting;
pub use health::{HealthOut, Places};
pub use incidents::{IncidentOut, Incidents};
pub use limits::{ApLimits, PlaceLimits, Scope};
pub use reporters::{Reported, Reporters};
pub use roam::{Roaming, key_group_of_client};
pub use signals::{Measure, PlaceSums, SignalBins};
pub use trends::{TrendOut, Trends};
