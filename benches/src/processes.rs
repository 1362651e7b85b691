//! Other processes: one with all that descend from it, their memory, file descriptors and CPU time.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{cpu_time_of, cpu_time_of_ended_children};

/// One look at one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// Name of the program.
    pub name: String,
    /// Resident memory without what is shared with others, bytes.
    pub rss_bytes: u64,
    /// Open file descriptors, without PostgreSQL's of its tables: each backend keeps those open that it has used, up to a
    /// bound of its own, and so has more for a while the more tables there are.
    pub descriptors: u64,
}

/// The PostgreSQL server of a data folder, which is nobody's child.
pub fn postmaster(data: &Path) -> Option<u32> {
    let file = data.join("postgres/cluster/postmaster.pid");
    let text = fs::read_to_string(file).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// CPU time of a process and its descendants, those included that ended.
pub fn family_cpu_time(root: u32) -> Duration {
    let alive = family(root);
    let of = |process: &Process| cpu_time_of(process.id).unwrap_or_default();
    alive.iter().map(of).sum::<Duration>() + cpu_time_of_ended_children(root).unwrap_or_default()
}

/// The process and its descendants that live now.
pub fn family(root: u32) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for id in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if let Some(parent) = status(id).and_then(|status| field(&status, "PPid:")) {
            children.entry(parent as u32).or_default().push(id);
        }
    }
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(id) = open.pop() {
        open.extend(children.remove(&id).unwrap_or_default());
        found.extend(look(id));
    }
    found
}

fn look(id: u32) -> Option<Process> {
    let status = status(id)?;
    let name = status
        .lines()
        .find_map(|line| line.strip_prefix("Name:"))?
        .trim();
    // One that has just ended has no memory any more.
    let own = field(&status, "RssAnon:")? + field(&status, "RssFile:")?;
    let open = fs::read_dir(format!("/proc/{id}/fd")).ok()?.flatten();
    let kept = |link: PathBuf| link.components().any(|part| part.as_os_str() == "base");
    let counts = |link: PathBuf| name != "postgres" || !kept(link);
    let descriptors = open.filter(|open| fs::read_link(open.path()).is_ok_and(counts));
    let descriptors = descriptors.count() as u64;
    Some(Process {
        id,
        name: name.to_owned(),
        rss_bytes: own * 1024,
        descriptors,
    })
}

fn status(id: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{id}/status")).ok()
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Sums by name: PostgreSQL is many processes that come and go.
pub(crate) fn by_name(family: &[Process]) -> BTreeMap<String, (u64, u64)> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for process in family {
        let sum = sums.entry(process.name.clone()).or_default();
        sum.0 += process.rss_bytes;
        sum.1 += process.descriptors;
    }
    sums
}

/// Sends a signal to those of this name. One that ended meanwhile is none to stop.
pub(crate) fn signal(family: &[Process], name: &str, signal: Signal) {
    for process in family.iter().filter(|process| process.name == name) {
        let id = i32::try_from(process.id).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process(id, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_holds_its_own_and_what_they_use() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let found = family(std::process::id());
        let me = found.iter().find(|p| p.id == std::process::id()).unwrap();
        assert!(me.rss_bytes > 100_000 && me.descriptors > 2, "{me:?}");
        assert!(found.iter().any(|p| p.id == child.id()), "{found:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
