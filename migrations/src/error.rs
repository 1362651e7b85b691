//! What can go wrong with Postgres, and what a person can do about it.

use std::path::PathBuf;

/// A fault of the database or of the private server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No server binaries of a usable version.
    #[error(
        "no PostgreSQL server {wanted} was found ({found}); install one, on Debian or Ubuntu with `apt install {package}`, \
         on Fedora with `dnf install postgresql-server`, on macOS with `brew install postgresql@16`"
    )]
    Binaries {
        /// Versions that would do, in words.
        wanted: String,
        /// What was found instead, in words.
        found: String,
        /// The Debian package.
        package: String,
    },
    /// Root started us, Postgres refuses to run as root, and there is no other user to run it as.
    #[error(
        "PostgreSQL does not run as root, and this machine has no user `postgres` or `nobody`; create one or start as another user"
    )]
    Account,
    /// The unprivileged user cannot enter the data folder.
    #[error(
        "PostgreSQL runs as user {user}, who cannot enter {}; choose a data folder outside of private folders, or let \
         others pass with `chmod o+x` on its parents", path.display()
    )]
    Unreachable {
        /// The folder.
        path: PathBuf,
        /// Name of the user.
        user: String,
    },
    /// Another process uses the folder.
    #[error("{} is in use by another process; stop that one, or choose another data folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A folder for the socket that is not ours alone.
    #[error("{} is there, but not as a folder of user {uid} with mode 0700; remove it", path.display())]
    SocketFolder {
        /// The folder.
        path: PathBuf,
        /// Who should own it.
        uid: u32,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    File {
        /// What we touched.
        path: PathBuf,
        /// Why it refused.
        source: std::io::Error,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// `initdb` or `pg_ctl`.
        program: &'static str,
        /// The end of what it said, or of the server's log.
        output: String,
    },
    /// The server refused or is away.
    #[error("PostgreSQL: {0}")]
    Sql(#[from] sqlx::Error),
    /// A migration failed, or the database is newer than this program.
    #[error("the database could not be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl PostgresError {
    /// Names the path in a file system's refusal.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// Whether waiting mends it: the server is away, restarts, or two transactions were in each other's way.
pub fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            // Connection, resources, operator intervention; serialization failure and deadlock.
            ["08", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class))
                || code == "40001"
                || code == "40P01"
                // A lock that was not to be had in time.
                || code == "55P03"
        }),
        _ => false,
    }
}
