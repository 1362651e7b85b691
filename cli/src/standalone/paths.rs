//! Where things lie in a data folder.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use mast_schemas::tail;
use uuid::Uuid;

/// Where things lie in a data folder.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The folder, which need not exist yet.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The folder, made where it is missing. Absolute, so that what is shown of it can be used from anywhere.
    pub(crate) fn made(root: &Path) -> anyhow::Result<Self> {
        let remedy = || {
            format!(
                "the data folder {} cannot be made or used; name one that you may write to with --data",
                root.display()
            )
        };
        std::fs::create_dir_all(root).with_context(remedy)?;
        Ok(Self::new(&root.canonicalize().with_context(remedy)?))
    }

    /// The folder, which must be an installation's.
    pub(crate) fn existing(root: &Path) -> anyhow::Result<Self> {
        let paths = Self::new(root);
        if !paths.postgres().join("cluster").exists() {
            bail!(
                "{} is no data folder of Mast (it has no postgres/cluster); name the folder that `mast up`, `mast demo` or \
                 `mast dataflow` has as --data, or set postgres.url",
                root.display()
            );
        }
        Ok(paths)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.root.join("postgres")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the process that owns the embedded log serves it.
    pub(crate) fn log_socket(&self) -> PathBuf {
        self.root.join("log.sock")
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.root.join("lake")
    }

    /// Where the dataflow says how the tail of history is asked.
    pub(crate) fn tail(&self) -> PathBuf {
        self.root.join(tail::FILE)
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.root.join("key")
    }

    /// Folder of the last words of parts.
    pub(crate) fn health(&self) -> PathBuf {
        self.root.join("health")
    }

    /// Where it is noted at which address a command serves its metrics.
    pub(crate) fn address(&self, command: &str) -> PathBuf {
        self.root.join(format!("{command}.address"))
    }

    pub(crate) fn simulator_socket(&self) -> PathBuf {
        self.root.join("simulator.sock")
    }

    pub(crate) fn simulator_journal(&self) -> PathBuf {
        self.root.join("simulator.journal")
    }

    /// Keeps a second process of this kind out of the folder, until it is dropped or the process ends.
    pub(crate) fn lock(&self, part: &str) -> anyhow::Result<File> {
        let path = self.root.join(format!("{part}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        if file.try_lock().is_err() {
            bail!(
                "{} is locked: another `mast {part}` runs on this data folder; stop it first",
                path.display()
            );
        }
        Ok(file)
    }

    /// Who this installation is to the leases: the same at each start, so that a restart need not wait for its own lease.
    /// A second process is kept out by the locks of the folder.
    pub(crate) fn holder(&self) -> anyhow::Result<Uuid> {
        let file = self.root.join("holder");
        if !file.exists() {
            let holder = Uuid::now_v7().to_string();
            // Another process of the folder may have been the first: then its word holds.
            if let Err(error) = whole(&file, &holder, Existing::Kept)
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(error).with_context(|| format!("write {}", file.display()));
            }
        }
        std::fs::read_to_string(&file)
            .with_context(|| format!("read {}", file.display()))?
            .trim()
            .parse()
            .with_context(|| format!("{} holds no UUID; remove it", file.display()))
    }
}

/// Writes a small file that readers, a kill and a power failure see as it was before or as it is to be, never a part of it.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    whole(path, text, Existing::Replaced)
}

#[derive(Clone, Copy)]
enum Existing {
    Kept,
    Replaced,
}

fn whole(path: &Path, text: &str, existing: Existing) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match existing {
        Existing::Kept => file.persist_noclobber(path)?,
        Existing::Replaced => file.persist(path)?,
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::time::{Duration, Instant};

    use super::*;

    /// A process that is killed leaves what a reader beside it would have seen.
    #[test]
    fn nobody_ever_sees_a_part_of_who_holds_the_leases() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        let file = folder.path().join("holder");
        let seen = |file: &Path| {
            let text = std::fs::read_to_string(file).ok()?;
            Some(
                text.parse::<Uuid>()
                    .map_err(|error| format!("{error}: {text:?}")),
            )
        };
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_secs(1) {
                    paths.holder().unwrap();
                    std::fs::remove_file(&file).unwrap();
                }
            });
            while !writer.is_finished() {
                if let Some(read) = seen(&file) {
                    read.unwrap();
                }
            }
        });
    }

    #[test]
    fn processes_that_start_at_once_agree_who_they_are() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let (paths, start) = (Paths::new(folder.path()), Barrier::new(8));
            let holders: HashSet<Uuid> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            paths.holder().unwrap()
                        })
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert_eq!(holders, HashSet::from([paths.holder().unwrap()]));
        }
    }

    #[test]
    fn a_holder_that_is_none_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("holder"), "me").unwrap();
        let error = Paths::new(folder.path()).holder().unwrap_err();
        assert!(
            error.to_string().ends_with("holds no UUID; remove it"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_replaced_is_the_new_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports");
        replace(&file, "1 2").unwrap();
        replace(&file, "3 4").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "3 4");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
