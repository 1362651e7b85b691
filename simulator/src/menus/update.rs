//! `/system/package/update`: what is installed, and what its channel offers.

use super::{Scene, table::Table};
use crate::noise::hash;

/// The newest of a channel.
fn newest(major: u8, channel: &str) -> &'static str {
    match (major, channel) {
        (6, _) => "6.49.18",
        (_, "long-term") => "7.18.2",
        _ => "7.20.4",
    }
}

/// One device in four never looked; it knows no latest version and has no status.
fn looked(scene: &Scene<'_>) -> bool {
    !hash(scene.plan().seed, scene.device().number, 141).is_multiple_of(4)
}

pub(super) fn update(scene: &Scene<'_>, rows: &mut Table<'_>) {
    row(scene, rows, looked(scene), None);
}

/// The rows of a check: it looks, then it has found.
pub(super) fn check(scene: &Scene<'_>, rows: &mut Table<'_>) {
    row(scene, rows, false, Some(0));
    row(scene, rows, true, Some(1));
}

fn row(scene: &Scene<'_>, rows: &mut Table<'_>, looked: bool, section: Option<u8>) {
    let version = scene.device().version;
    let installed = version.number();
    let latest = newest(version.major, version.channel);
    rows.row(|r| {
        r.put_some(".section", section)
            .put("channel", version.channel);
        if scene.version_at_least(7, 18) {
            r.put_all(&[
                ("mode", "https"),
                ("check-certificate", "yes"),
                ("ip-version", "auto"),
            ]);
        }
        r.put("installed-version", &installed);
        if looked {
            r.put("latest-version", latest).put(
                "status",
                if installed == latest {
                    "System is already up to date"
                } else {
                    "New version is available"
                },
            );
        } else if section.is_some() {
            r.put("status", "finding out latest version...");
        }
    });
}
