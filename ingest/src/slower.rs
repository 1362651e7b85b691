//! The kinds that have cadences of their own: ARP, DHCP leases, neighbours, routes, firmware, and the device's log.
//!
//! Each is asked in the same exchange as the poll that it falls on, behind everything else, so it costs no round trip; most
//! polls ask none. The first time is spread over ten polls by a hash of the device and the kind, so that a fleet that
//! starts together does not ask everything together; from then on each kind keeps its interval.
//!
//! A kind can hurt: a routing table of a million routes takes seconds to count, a lease table of thousands of rows takes long on a
//! small CPU, and what misses the deadline costs the session. So a kind that failed is left alone for longer each time,
//! and none is ever the reason that a device counts as failed.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use mast_schemas::DeviceId;
use mast_schemas::partition::mix;
use routeros_api::Command;
use tokio::time::Instant;

use crate::clock::{SystemClock, TimeSource};
use crate::marks::Marks;

/// A kind with a cadence of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `/ip/arp`.
    Arp,
    /// `/ip/dhcp-server/lease`.
    DhcpLease,
    /// `/ip/neighbor`.
    Neighbor,
    /// `/ip/route`, counted by the router.
    Routes,
    /// `/system/package/update`, as it stands.
    Firmware,
    /// `/log`.
    Log,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Arp,
        Self::DhcpLease,
        Self::Neighbor,
        Self::Routes,
        Self::Firmware,
        Self::Log,
    ];

    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arp => "ARP table",
            Self::DhcpLease => "DHCP leases",
            Self::Neighbor => "neighbours",
            Self::Routes => "routes",
            Self::Firmware => "firmware",
            Self::Log => "log",
        }
    }
}

/// How often each kind is read; zero is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadences {
    /// The ARP table.
    pub arp: Duration,
    /// DHCP leases.
    pub dhcp_lease: Duration,
    /// Neighbours.
    pub neighbor: Duration,
    /// Routes.
    pub routes: Duration,
    /// Firmware.
    pub firmware: Duration,
    /// The device's log.
    pub log: Duration,
}

impl Default for Cadences {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            arp: minutes(10),
            dhcp_lease: minutes(10),
            neighbor: minutes(10),
            routes: minutes(15),
            firmware: minutes(360),
            log: minutes(1),
        }
    }
}

impl Cadences {
    /// Nothing is read.
    pub const NONE: Self = Self {
        arp: Duration::ZERO,
        dhcp_lease: Duration::ZERO,
        neighbor: Duration::ZERO,
        routes: Duration::ZERO,
        firmware: Duration::ZERO,
        log: Duration::ZERO,
    };

    const fn of(&self, kind: Kind) -> Duration {
        match kind {
            Kind::Arp => self.arp,
            Kind::DhcpLease => self.dhcp_lease,
            Kind::Neighbor => self.neighbor,
            Kind::Routes => self.routes,
            Kind::Firmware => self.firmware,
            Kind::Log => self.log,
        }
    }
}

/// What all devices share of this.
pub struct Slower {
    /// How often each kind is read.
    pub cadences: Cadences,
    /// Whether sensors are read at each poll, not only with the menus that are read at each tenth.
    pub sensors_each_poll: bool,
    /// How far logs have been read.
    pub marks: Arc<Marks>,
    /// The time.
    pub clock: Arc<dyn TimeSource>,
}

impl Default for Slower {
    /// The usual cadences; marks that end with the process.
    fn default() -> Self {
        Self {
            cadences: Cadences::default(),
            sensors_each_poll: false,
            marks: Arc::default(),
            clock: Arc::new(SystemClock::default()),
        }
    }
}

/// The longest that a kind which failed is left alone.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Polls over which the first readings are spread.
const FIRST_WITHIN_POLLS: u32 = 10;

/// When each kind is due on one device.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    due: [Option<Instant>; Kind::ALL.len()],
    failures: [u8; Kind::ALL.len()],
}

impl Schedule {
    /// Of a device polled at this interval.
    pub fn new(device: &DeviceId, interval: Duration, cadences: &Cadences, now: Instant) -> Self {
        let due = Kind::ALL.map(|kind| {
            let every = cadences.of(kind);
            if every.is_zero() {
                return None;
            }
            let within = every.min(interval * FIRST_WITHIN_POLLS);
            let mut seed = *device.as_bytes();
            seed[0] ^= kind as u8 + 1;
            let part = f64::from((mix(&seed) % 1_024) as u32) / 1_024.0;
            Some(now + within.mul_f64(part))
        });
        Self {
            due,
            failures: [0; Kind::ALL.len()],
        }
    }

    /// Whether a kind is to be read now.
    pub fn is_due(&self, kind: Kind, now: Instant) -> bool {
        self.due[kind as usize].is_some_and(|due| due <= now)
    }

    /// A kind was read; the next time keeps its place in the interval.
    pub fn done(&mut self, kind: Kind, cadences: &Cadences, now: Instant) {
        self.failures[kind as usize] = 0;
        let every = cadences.of(kind);
        let due = self.due[kind as usize].unwrap_or(now) + every;
        self.due[kind as usize] = (!every.is_zero()).then_some(due.max(now + every / 2));
    }

    /// A kind is read again as soon as can be.
    pub fn again(&mut self, kind: Kind, now: Instant) {
        self.due[kind as usize] = Some(now);
    }

    /// A kind could not be read: it is left alone for its interval, doubled each time.
    pub fn failed(&mut self, kind: Kind, cadences: &Cadences, now: Instant) {
        let failures = &mut self.failures[kind as usize];
        *failures = failures.saturating_add(1).min(12);
        let wait = cadences.of(kind) * (1 << *failures);
        self.due[kind as usize] = Some(now + wait.min(LONGEST));
    }

    /// A kind is not there until further notice.
    pub const fn absent(&mut self, kind: Kind) {
        self.due[kind as usize] = None;
    }
}

const fn printed(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Arp => (
            "/ip/arp/print",
            "interface,address,mac-address,status,dynamic,DHCP,complete,disabled,invalid,published,comment",
        ),
        Kind::DhcpLease => (
            "/ip/dhcp-server/lease/print",
            "server,address,mac-address,host-name,status,expires-after,comment,dynamic,disabled,blocked,last-seen,\
             client-id,active-address,active-mac-address,active-server",
        ),
        Kind::Neighbor => (
            "/ip/neighbor/print",
            "interface,mac-address,address,address6,identity,platform,version,board,discovered-by,interface-name,\
             system-description,system-caps,software-id,age,uptime",
        ),
        Kind::Routes => ("/ip/route/print", ""),
        Kind::Firmware => (
            "/system/package/update/print",
            "channel,installed-version,latest-version,status",
        ),
        Kind::Log => ("/log/print", ".id,time,topics,message"),
    }
}

/// The command of a kind that is one; the whole log.
pub fn print(kind: Kind) -> &'static Command {
    static PRINTS: LazyLock<[Command; Kind::ALL.len()]> = LazyLock::new(|| {
        Kind::ALL.map(|kind| {
            let (path, properties) = printed(kind);
            Command::new(path).attribute(".proplist", properties)
        })
    });
    &PRINTS[kind as usize]
}

/// The log from a line on.
pub fn log_from(id: u64) -> Command {
    let (path, properties) = printed(Kind::Log);
    let id = format!("*{id:X}");
    Command::new(path)
        .attribute(".proplist", properties)
        .query_greater(".id", &id)
        .query_equals(".id", &id)
        .query_operations("|")
}

/// Protocols that routes are counted by, each with the flag that tells it.
pub const PROTOCOLS: [&str; 5] = ["connect", "static", "bgp", "ospf", "rip"];
/// A table with more routes is counted in all only: each count by protocol walks through it once more.
pub const COUNTED_BY_PROTOCOL: u32 = 100_000;

/// Counts of routes: of all, and of those that have a flag. The router counts; no route travels.
pub fn route_counts() -> &'static RouteCounts {
    static COUNTS: LazyLock<RouteCounts> = LazyLock::new(|| {
        let count = |flags: &[&str]| {
            let print = Command::new(printed(Kind::Routes).0).attribute("count-only", "");
            // `true` since version 4, `yes` before it; a flag that is not set may be absent.
            flags.iter().fold(print, |command, flag| {
                command
                    .query_equals(flag, "true")
                    .query_equals(flag, "yes")
                    .query_operations("|")
            })
        };
        RouteCounts {
            all: [count(&[]), count(&["active"])],
            by_protocol: PROTOCOLS.map(|flag| [count(&[flag]), count(&[flag, "active"])]),
        }
    });
    &COUNTS
}

/// Commands that count routes: all of them, and the active ones.
pub struct RouteCounts {
    /// Of the whole table.
    pub all: [Command; 2],
    /// By protocol, in the order of [`PROTOCOLS`].
    pub by_protocol: [[Command; 2]; PROTOCOLS.len()],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_readings_are_spread_and_then_keep_their_interval() {
        let (now, cadences) = (Instant::now(), Cadences::default());
        let poll = Duration::from_secs(60);
        let mut minutes = [0; 10];
        for n in 0..1_000u128 {
            let device = DeviceId::from_bytes((n << 64 | n).to_be_bytes());
            let schedule = Schedule::new(&device, poll, &cadences, now);
            let due = schedule.due[Kind::Arp as usize].unwrap();
            minutes[((due - now).as_secs() / 60) as usize] += 1;
            let log = schedule.due[Kind::Log as usize].unwrap();
            assert!(log - now < cadences.log);
        }
        assert!(minutes.iter().all(|n| (60..140).contains(n)), "{minutes:?}");
        let mut schedule = Schedule::new(&DeviceId::new(), poll, &cadences, now);
        let first = schedule.due[0].unwrap();
        schedule.done(Kind::Arp, &cadences, first + Duration::from_secs(7));
        assert_eq!(schedule.due[0], Some(first + cadences.arp));
    }

    #[test]
    fn a_kind_that_fails_is_left_alone_for_longer_each_time() {
        let (now, cadences) = (Instant::now(), Cadences::default());
        let mut schedule = Schedule::new(&DeviceId::new(), Duration::from_secs(60), &cadences, now);
        let mut waits = Vec::new();
        for _ in 0..20 {
            schedule.failed(Kind::Routes, &cadences, now);
            waits.push((schedule.due[Kind::Routes as usize].unwrap() - now).as_secs());
        }
        assert_eq!(waits[..3], [1_800, 3_600, 7_200]);
        assert_eq!(waits.last(), Some(&86_400));
        schedule.absent(Kind::Routes);
        assert!(!schedule.is_due(Kind::Routes, now + LONGEST));
    }

    #[test]
    fn what_is_off_is_never_due() {
        let now = Instant::now();
        let schedule = Schedule::new(
            &DeviceId::new(),
            Duration::from_secs(1),
            &Cadences::NONE,
            now,
        );
        assert!(
            Kind::ALL
                .iter()
                .all(|kind| !schedule.is_due(*kind, now + LONGEST))
        );
    }
}
