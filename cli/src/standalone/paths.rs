//! Where things lie in a data folder.

use std::fs::File;
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
        if let Ok(text) = std::fs::read_to_string(&file) {
            return text
                .trim()
                .parse()
                .with_context(|| format!("{} holds no UUID; remove it", file.display()));
        }
        let holder = Uuid::now_v7();
        std::fs::write(&file, holder.to_string())
            .with_context(|| format!("write {}", file.display()))?;
        Ok(holder)
    }
}
