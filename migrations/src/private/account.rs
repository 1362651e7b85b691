//! Whom the server runs as: us, or, as it refuses root, an unprivileged user where root started us.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::PostgresError;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// The user to change to, if we are root: the owner of the cluster if it has one, else `postgres`, else `nobody`.
    pub(super) fn for_server(cluster: &Path) -> Result<Option<Self>, PostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if let Some(owner) = std::fs::metadata(cluster)
            .ok()
            .filter(|meta| meta.uid() != 0)
        {
            let name = format!("with id {}", owner.uid());
            return Ok(Some(Self {
                name,
                uid: owner.uid(),
                gid: owner.gid(),
            }));
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find(&users, name))
            .map(Some)
            .ok_or(PostgresError::Account)
    }

    /// Makes a command run as this user, without our groups.
    pub(super) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// A user by name in the text of `/etc/passwd`; never root.
fn find(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [user, _, uid, gid, ..] = fields[..] else {
            return None;
        };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (user == name && uid != 0).then(|| Account {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_root_never_is() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\npostgres:x:101:104::/var/lib/postgresql:/bin/bash\n";
        let postgres = Account {
            name: "postgres".to_owned(),
            uid: 101,
            gid: 104,
        };
        assert_eq!(find(users, "postgres"), Some(postgres));
        assert_eq!(find(users, "nobody"), None);
        assert_eq!(find(users, "root"), None);
    }
}
