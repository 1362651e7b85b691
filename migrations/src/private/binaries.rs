//! Where the server's binaries are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::PostgresError;

/// The oldest major version that knows what the migrations use.
const OLDEST: u32 = 15;

/// Binaries of one major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Folder that holds `initdb`, `pg_ctl` and `postgres`.
    pub(super) dir: PathBuf,
    /// Major version.
    pub(super) major: u32,
}

impl Binaries {
    /// The newest on this machine, or those of the version that made the cluster.
    pub(super) fn find(cluster: Option<u32>) -> Result<Self, PostgresError> {
        let found: Vec<Self> = candidates()
            .into_iter()
            .filter_map(|dir| Self::probe(&dir))
            .collect();
        choose(found, cluster)
    }

    /// The version that the binaries of `dir` tell, if they are complete.
    fn probe(dir: &Path) -> Option<Self> {
        if !["initdb", "pg_ctl", "postgres"]
            .iter()
            .all(|name| dir.join(name).is_file())
        {
            return None;
        }
        let output = Command::new(dir.join("pg_ctl"))
            .arg("--version")
            .output()
            .ok()?;
        let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self {
            dir: dir.to_owned(),
            major,
        })
    }
}

/// `pg_ctl (PostgreSQL) 15.18 (Debian …)` to 15; `17beta1` to 17.
fn major_of(version: &str) -> Option<u32> {
    let number = version
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: &str = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Of what was found, in the order of preference.
fn choose(mut found: Vec<Binaries>, cluster: Option<u32>) -> Result<Binaries, PostgresError> {
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    let usable = |binaries: &&Binaries| match cluster {
        Some(major) => binaries.major == major,
        None => binaries.major >= OLDEST,
    };
    if let Some(binaries) = found.iter().find(usable) {
        return Ok(binaries.clone());
    }
    let versions: Vec<String> = found
        .iter()
        .map(|b| format!("version {}", b.major))
        .collect();
    Err(PostgresError::Binaries {
        wanted: match cluster {
            Some(major) => format!("of version {major}, which made this data folder,"),
            None => format!("of version {OLDEST} or newer"),
        },
        found: if versions.is_empty() {
            "none".to_owned()
        } else {
            format!("only {}", versions.join(", "))
        },
        package: cluster.map_or_else(
            || "postgresql".to_owned(),
            |major| format!("postgresql-{major}"),
        ),
    })
}

/// Folders that may hold binaries: those of the distributions, which are not in PATH, then PATH.
fn candidates() -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    for root in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let Ok(entries) = std::fs::read_dir(root) else {
            continue;
        };
        dirs.extend(entries.flatten().map(|entry| entry.path().join("bin")));
    }
    let Ok(entries) = std::fs::read_dir("/usr") else {
        return dirs;
    };
    let pgsql = |name: &OsStr| name.to_string_lossy().starts_with("pgsql");
    dirs.extend(
        entries
            .flatten()
            .filter(|e| pgsql(&e.file_name()))
            .map(|e| e.path().join("bin")),
    );
    if let Some(path) = std::env::var_os("PATH") {
        dirs.extend(std::env::split_paths(&path));
    }
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(major: u32) -> Binaries {
        Binaries {
            dir: PathBuf::from(format!("bin{major}")),
            major,
        }
    }

    #[test]
    fn a_version_is_read_as_the_programs_print_it() {
        assert_eq!(
            major_of("pg_ctl (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("pg_ctl (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_of("no number"), None);
    }

    #[test]
    fn a_new_cluster_takes_the_newest_and_an_old_one_its_own() {
        assert_eq!(choose(vec![of(15), of(17), of(14)], None).unwrap(), of(17));
        assert_eq!(choose(vec![of(15), of(17)], Some(15)).unwrap(), of(15));
    }

    #[test]
    fn the_missing_package_is_named() {
        let none = choose(vec![], None).unwrap_err().to_string();
        assert!(
            none.contains("apt install postgresql`") && none.contains("15 or newer"),
            "{none}"
        );
        let old = choose(vec![of(13)], None).unwrap_err().to_string();
        assert!(old.contains("only version 13"), "{old}");
        let other = choose(vec![of(17)], Some(16)).unwrap_err().to_string();
        assert!(other.contains("apt install postgresql-16`"), "{other}");
    }
}
