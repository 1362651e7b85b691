//! The data folder: its lock, its owner, its cluster and the place of its socket.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FlockOperation;
use uuid::Uuid;

use super::account::Account;
use super::server::PORT;
use crate::PostgresError;

/// Bytes that an address of a unix socket holds, without its final zero, on the narrower of the systems we run on.
const SOCKET_PATH_MAX: usize = 103;

/// An opened data folder, locked until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    /// The folder.
    pub(super) root: PathBuf,
    /// Postgres's own folder in it.
    pub(super) cluster: PathBuf,
    /// What the server says.
    pub(super) log: PathBuf,
    /// Where the socket is: the folder itself, unless its path is too long.
    pub(super) socket_dir: PathBuf,
    /// Whom the server runs as, if not as us.
    pub(super) account: Option<Account>,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, locks it, and gives it to the server's user with mode 0700.
    pub(super) fn open(data_dir: &Path) -> Result<Self, PostgresError> {
        let file = PostgresError::file;
        make(data_dir).map_err(file(data_dir))?;
        let root = data_dir.canonicalize().map_err(file(data_dir))?;
        let lock = lock(&root)?;
        let cluster = root.join("cluster");
        let account = Account::for_server(&cluster)?;
        std::fs::set_permissions(&root, Permissions::from_mode(0o700)).map_err(file(&root))?;
        if let Some(account) = &account {
            own(&root, account, &cluster)?;
            enter(&root, account)?;
        }
        let socket_dir = socket_dir(&root, account.as_ref())?;
        Ok(Self {
            log: root.join("server.log"),
            root,
            cluster,
            socket_dir,
            account,
            _lock: lock,
        })
    }

    /// Major version of the server that made the cluster, if there is one.
    pub(super) fn cluster_version(&self) -> Option<u32> {
        std::fs::read_to_string(self.cluster.join("PG_VERSION"))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Writes a file of the server's; false if it already said just that.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<bool, PostgresError> {
        let path = self.cluster.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        std::fs::write(&path, text).map_err(PostgresError::file(&path))?;
        if let Some(account) = &self.account {
            chown(&path, Some(account.uid), Some(account.gid))
                .map_err(PostgresError::file(&path))?;
        }
        Ok(true)
    }

    /// Id of the server that runs on the cluster. The file that a killed server leaves behind names a process that is
    /// gone, or by now another program: such a file is removed, or Postgres would refuse to start for its sake.
    pub(super) fn server_pid(&self) -> Result<Option<u32>, PostgresError> {
        let path = self.pid_file();
        let Ok(text) = std::fs::read_to_string(&path) else {
            return Ok(None);
        };
        if let Some(pid) = pid_in(&text).filter(|pid| self.runs_here(*pid)) {
            return Ok(Some(pid));
        }
        let socket = self.socket_dir.join(format!(".s.PGSQL.{PORT}"));
        for stale in [path, socket.with_added_extension("lock"), socket] {
            match std::fs::remove_file(&stale) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PostgresError::File {
                        path: stale,
                        source: e,
                    });
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn pid_file(&self) -> PathBuf {
        self.cluster.join("postmaster.pid")
    }

    /// Whether a server ran here and died: it left its file behind, which one that was stopped takes away.
    pub(super) fn server_died(&self) -> bool {
        let text = std::fs::read_to_string(self.pid_file()).unwrap_or_default();
        pid_in(&text).is_some_and(|pid| !self.runs_here(pid))
    }

    /// Whether a process works in the cluster's folder, as every server does. Without `/proc` it is believed.
    pub(super) fn runs_here(&self, pid: u32) -> bool {
        if !Path::new("/proc/self").exists() {
            return true;
        }
        match std::fs::read_link(format!("/proc/{pid}/cwd")) {
            Ok(cwd) => cwd == self.cluster,
            Err(e) => e.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }
}

/// The process that a server's file names, in its first line.
fn pid_in(text: &str) -> Option<u32> {
    text.lines().next()?.trim().parse().ok()
}

/// Makes the folder for its owner alone, but its parents as usual: the server's user has to pass them.
fn make(data_dir: &Path) -> std::io::Result<()> {
    if let Some(parent) = data_dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(data_dir) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && data_dir.is_dir() => Ok(()),
        made => made,
    }
}

/// Takes the lock that only one process can hold; the kernel frees it however that process ends.
fn lock(root: &Path) -> Result<File, PostgresError> {
    let path = root.join("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let lock = lock.map_err(PostgresError::file(&path))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(PostgresError::InUse {
            path: root.to_owned(),
        }),
        Err(e) => Err(PostgresError::File {
            path,
            source: e.into(),
        }),
    }
}

/// Gives the folder to the user, and the cluster if root owns it, as after a restored backup.
fn own(root: &Path, account: &Account, cluster: &Path) -> Result<(), PostgresError> {
    chown(root, Some(account.uid), Some(account.gid)).map_err(PostgresError::file(root))?;
    match std::fs::symlink_metadata(cluster) {
        Ok(meta) if meta.uid() == 0 => own_all(cluster, account),
        _ => Ok(()),
    }
}

fn own_all(path: &Path, account: &Account) -> Result<(), PostgresError> {
    let file = PostgresError::file;
    lchown(path, Some(account.uid), Some(account.gid)).map_err(file(path))?;
    if std::fs::symlink_metadata(path)
        .map_err(file(path))?
        .is_dir()
    {
        for entry in std::fs::read_dir(path).map_err(file(path))? {
            own_all(&entry.map_err(file(path))?.path(), account)?;
        }
    }
    Ok(())
}

/// Whether the user can pass all the folders above.
fn enter(root: &Path, account: &Account) -> Result<(), PostgresError> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "cd -- \"$0\" 2>/dev/null"])
        .arg(root)
        .current_dir("/");
    account.apply(&mut command);
    if command.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(PostgresError::Unreachable {
        path: root.to_owned(),
        user: account.name.clone(),
    })
}

/// The folder of the socket: `root`, or if its path does not fit an address, one under `/tmp` named after it. There
/// anybody may have made a folder of that name before us, so what is there must be ours alone.
fn socket_dir(root: &Path, account: Option<&Account>) -> Result<PathBuf, PostgresError> {
    if root.as_os_str().len() + format!("/.s.PGSQL.{PORT}").len() <= SOCKET_PATH_MAX {
        return Ok(root.to_owned());
    }
    let name = Uuid::new_v5(&Uuid::NAMESPACE_URL, root.as_os_str().as_bytes());
    let dir = Path::new("/tmp").join(format!("mast-{}", name.simple()));
    let file = PostgresError::file;
    match DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => {
            if let Some(account) = account {
                chown(&dir, Some(account.uid), Some(account.gid)).map_err(file(&dir))?;
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(PostgresError::File { path: dir, source }),
    }
    let uid = account.map_or_else(
        || rustix::process::geteuid().as_raw(),
        |account| account.uid,
    );
    let meta = std::fs::symlink_metadata(&dir).map_err(file(&dir))?;
    if meta.is_dir() && meta.uid() == uid && meta.mode() & 0o777 == 0o700 {
        return Ok(dir);
    }
    Err(PostgresError::SocketFolder { path: dir, uid })
}
