//! A demo under trouble for as long as wished: are memory and file descriptors flat, and the answers right?
//!
//! The scenario switches devices off, reboots them, makes them silent, lets clients flap and roam; PostgreSQL is stopped
//! for some seconds now and then. Memory and descriptors of the demo's processes are noted all along. In the last part
//! the trouble ends, so that views and truth can agree; then `mast verify` recounts.

mod verdict;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::processes::{self, Process};
use crate::tied::Tied;
use crate::{BenchError, Launcher};

pub use verdict::Trend;

/// How to soak.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long, minutes; at least one.
    pub minutes: f64,
    /// Simulated devices.
    pub devices: u32,
    /// Seed of the trouble.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            minutes: 30.0,
            devices: 200,
            seed: 1,
        }
    }
}

/// Under this there is no steady state to speak of: memory is told but not judged.
const JUDGED_MINUTES: f64 = 10.0;

/// A difference of memory that means nothing.
const NOISE_BYTES: u64 = 8 << 20;

/// How long PostgreSQL stands still at a hiccup.
const HICCUP: Duration = Duration::from_secs(4);

impl Options {
    const fn judges_memory(&self) -> bool {
        self.minutes >= JUDGED_MINUTES
    }

    /// A difference of descriptors that means nothing: devices without power have no session, which is open at both ends
    /// here. In a short run a single event lasts as long as a third of it.
    const fn noise_descriptors(&self) -> u64 {
        let devices = self.devices as u64;
        if self.judges_memory() {
            8 + devices / 10
        } else {
            8 + devices
        }
    }

    /// So many descriptors has the demo's process when most sessions are open, at both ends.
    const fn up(&self) -> u64 {
        self.devices as u64 * 3 / 2
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether all that is judged is good.
    pub passed: bool,
    /// How long it ran, minutes.
    pub minutes: f64,
    /// Looks at the processes.
    pub samples: usize,
    /// Times that PostgreSQL stood still.
    pub hiccups: u32,
    /// Whether memory is judged: not in a short run.
    pub memory_judged: bool,
    /// Whether memory is flat.
    pub memory_flat: bool,
    /// Whether open file descriptors are flat.
    pub descriptors_flat: bool,
    /// Things in which views and truth differed at the end.
    pub mismatches: u64,
    /// Breaches of the laws that `mast verify` found.
    pub breaches: u64,
    /// Polls.
    pub polls: u64,
    /// By name of the program: memory in bytes.
    pub memory: BTreeMap<String, Trend>,
    /// By name of the program: file descriptors.
    pub descriptors: BTreeMap<String, Trend>,
}

/// The part of the demo's result that is of interest.
#[derive(Deserialize)]
struct Demo {
    mismatches: u64,
    polls: u64,
}

#[derive(Deserialize)]
struct Verified {
    breaches: u64,
}

/// Soaks; progress goes to standard error. Dropping the future stops everything in order.
///
/// # Errors
/// [`BenchError`], which names what could not be done. That something is not flat is no error, it is in the report.
pub async fn run(options: Options, launcher: &Launcher) -> Result<Report, BenchError> {
    if options.minutes < 1.0 || options.devices < 10 {
        return Err(BenchError::Options(
            "a soak takes at least a minute and 10 devices".to_owned(),
        ));
    }
    let span = Duration::from_secs_f64(options.minutes * 60.0);
    let folder = reachable()?;
    let scenario = folder.path().join("scenario");
    std::fs::write(&scenario, trouble(span, options.seed))?;
    let data = folder.path().join("data");
    let number = options.devices.to_string();
    let duration = format!("{}s", span.as_secs());
    let (scenario, data_word) = (scenario.display().to_string(), data.display().to_string());
    let words = [
        ["--interval", "2s"],
        ["--devices", &number],
        ["--for", &duration],
        ["--scenario", &scenario],
        ["--data", &data_word],
    ];
    let words = ["demo", "--json"]
        .into_iter()
        .chain(words.into_iter().flatten());
    let mut demo = launcher.tied("the demo", words)?;
    let (series, hiccups) = watch(&mut demo, &data, span, options.up()).await?;
    let demo: Demo = demo.last_line().await?;
    let breaches = verify(launcher, &data).await?;
    Ok(report(options, &series, hiccups, &demo, breaches))
}

/// A folder that PostgreSQL's own user can go into, which serves where root works.
fn reachable() -> Result<TempDir, BenchError> {
    let folder = tempfile::Builder::new().prefix("mast-soak-").tempdir()?;
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// Trouble from soon after the begin until a time before the end in which everything may settle.
fn trouble(span: Duration, seed: u64) -> String {
    let (total, settle) = (span.as_secs(), 90.min(span.as_secs() / 3));
    let every = (total / 60).clamp(5, 20);
    // Events last up to a minute.
    let last = total.saturating_sub(settle).saturating_sub(15).max(1);
    format!(
        "at 15s trouble seed={seed} every={every}s for={last}s\nat {}s heal\n",
        total - settle
    )
}

/// A look at each time: sums by name of memory and descriptors.
type Series = Vec<BTreeMap<String, (u64, u64)>>;

/// Looks at the demo from when most sessions are open until it ends, and lets PostgreSQL stand still now and then.
async fn watch(
    demo: &mut Tied,
    data: &Path,
    span: Duration,
    up: u64,
) -> Result<(Series, u32), BenchError> {
    let every = (span / 60).clamp(Duration::from_secs(1), Duration::from_secs(10));
    let between = (span / 3).min(Duration::from_secs(300));
    let (mut begun, mut hiccups, mut series) = (None, 0, Series::new());
    loop {
        tokio::select! {
            ended = demo.ended() => {
                ended?;
                return Ok((series, hiccups));
            }
            () = sleep(every) => {}
        }
        let mut family = processes::family(demo.id());
        let ours = family.first().map_or(0, |process| process.descriptors);
        if begun.is_none() && ours < up {
            continue;
        }
        let begun = *begun.get_or_insert_with(Instant::now);
        let postgres = processes::postmaster(data).map(processes::family);
        family.extend(postgres.into_iter().flatten());
        let sums = processes::by_name(&family);
        let elapsed = begun.elapsed();
        eprintln!("{:5.0} s  {}", elapsed.as_secs_f64(), told(&sums));
        // What stops lets go of what it holds: that is no sign of anything.
        if elapsed > span * 9 / 10 {
            continue;
        }
        series.push(sums);
        if elapsed >= between * (hiccups + 1) && elapsed + 2 * between / 3 < span {
            eprintln!("PostgreSQL stands still for {} s", HICCUP.as_secs());
            let stopped = Stopped::new(family);
            sleep(HICCUP).await;
            drop(stopped);
            hiccups += 1;
        }
    }
}

fn told(sums: &BTreeMap<String, (u64, u64)>) -> String {
    let one = |(name, (bytes, descriptors)): (&String, &(u64, u64))| {
        format!("{name} {} MiB, {descriptors} descriptors", bytes >> 20)
    };
    sums.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// PostgreSQL standing still; it goes on when this is dropped, however that comes.
struct Stopped(Vec<Process>);

const POSTGRES: &str = "postgres";

impl Stopped {
    fn new(family: Vec<Process>) -> Self {
        processes::signal(&family, POSTGRES, Signal::STOP);
        Self(family)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        processes::signal(&self.0, POSTGRES, Signal::CONT);
    }
}

async fn verify(launcher: &Launcher, data: &Path) -> Result<u64, BenchError> {
    eprintln!("recounting every view …");
    let data = data.display().to_string();
    let mut verify = launcher.tied("mast verify", ["verify", "--json", "--data", &data])?;
    let found: Verified = verify.last_line().await?;
    Ok(found.breaches)
}

fn report(options: Options, series: &Series, hiccups: u32, demo: &Demo, breaches: u64) -> Report {
    // Those that only started something are gone by then.
    let late = series.iter().skip(series.len() / 2);
    let mut names: Vec<&String> = late.flat_map(BTreeMap::keys).collect();
    names.sort_unstable();
    names.dedup();
    let trends = |pick: fn(&(u64, u64)) -> u64, noise| -> BTreeMap<String, Trend> {
        let of = |name: &String| {
            let values: Vec<u64> = series
                .iter()
                .map(|look| look.get(name).map_or(0, pick))
                .collect();
            (name.clone(), Trend::of(&values, noise))
        };
        names.iter().map(|name| of(name)).collect()
    };
    let memory = trends(|sum| sum.0, NOISE_BYTES);
    let descriptors = trends(|sum| sum.1, options.noise_descriptors());
    let memory_judged = options.judges_memory();
    let memory_flat = memory.values().all(|trend| trend.flat);
    let descriptors_flat = descriptors.values().all(|trend| trend.flat);
    Report {
        passed: (memory_flat || !memory_judged)
            && descriptors_flat
            && demo.mismatches == 0
            && demo.polls > 0
            && breaches == 0,
        minutes: options.minutes,
        samples: series.len(),
        hiccups,
        memory_judged,
        memory_flat,
        descriptors_flat,
        mismatches: demo.mismatches,
        breaches,
        polls: demo.polls,
        memory,
        descriptors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_ends_before_the_run() {
        let text = trouble(Duration::from_secs(1_800), 7);
        assert_eq!(
            text,
            "at 15s trouble seed=7 every=20s for=1695s\nat 1710s heal\n"
        );
        let text = trouble(Duration::from_secs(60), 7);
        assert_eq!(
            text,
            "at 15s trouble seed=7 every=5s for=25s\nat 40s heal\n"
        );
    }

    #[test]
    fn a_leak_a_difference_or_a_breach_fails() {
        let steady: Series = vec![BTreeMap::from([("mast".to_owned(), (50 << 20, 300))]); 60];
        let good = Demo {
            mismatches: 0,
            polls: 9,
        };
        let options = Options::default();
        let judge = |series: &Series, demo: &Demo, breaches| {
            report(options, series, 1, demo, breaches).passed
        };
        assert!(judge(&steady, &good, 0));
        assert!(!judge(&steady, &good, 1));
        let wrong = Demo {
            mismatches: 1,
            polls: 9,
        };
        assert!(!judge(&steady, &wrong, 0));
        let leak = |bytes: u64, descriptors: u64| -> Series {
            let at = |n| {
                (
                    "mast".to_owned(),
                    ((50 << 20) + n * bytes, 300 + n * descriptors),
                )
            };
            (0..60).map(|n| BTreeMap::from([at(n)])).collect()
        };
        assert!(!judge(&leak(1 << 21, 0), &good, 0));
        assert!(!judge(&leak(0, 3), &good, 0));
    }
}
