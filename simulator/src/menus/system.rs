//! `/system/…`: identity, resource, routerboard, health, package.

use super::{Scene, table::Table};
use crate::{
    noise::{hash, wave},
    text::{Moment, Uptime},
    world::{
        jitter,
        model::{Plan, Stack},
    },
};

pub(super) fn identity(scene: &Scene<'_>, rows: &mut Table<'_>) {
    rows.row(|r| {
        r.put("name", scene.identity_of(scene.index));
    });
}

/// Seconds since the device last started.
pub(super) fn uptime_s(scene: &Scene<'_>) -> i64 {
    (scene.now - scene.world.booted_ms(scene.index)) / 1_000
}

fn seed(scene: &Scene<'_>) -> u64 {
    scene.world.plan().seed
}

pub(super) fn resource(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let (device, key) = (scene.device(), scene.index as u64);
    let board = device.board;
    let busy = 22.0 + 14.0 * wave(seed(scene), key ^ 0xC0_0000, 40_000, scene.now);
    let used = 0.42 + 0.05 * wave(seed(scene), key ^ 0xC1_0000, 600_000, scene.now);
    let memory = u64::from(board.memory_mib) << 20;
    let disk = u64::from(board.disk_mib) << 20;
    rows.row(|r| {
        r.put("uptime", Uptime(uptime_s(scene)))
            .put("version", device.version)
            .put("build-time", built(scene))
            .put(
                "free-memory",
                (memory as f64 * (1.0 - used)) as u64 & !4_095,
            )
            .put("total-memory", memory)
            .put("cpu", board.cpu)
            .put("cpu-count", board.cores)
            .put("cpu-frequency", board.mhz)
            .put(
                "cpu-load",
                match scene.world.cpu_ms(scene.index) {
                    0 => busy as u64 + jitter(scene.world.plan(), key, scene.now, 4),
                    _ => 100,
                },
            )
            .put("free-hdd-space", disk / 3)
            .put("total-hdd-space", disk)
            .put("architecture-name", board.architecture)
            .put("board-name", board.name)
            .put("platform", "MikroTik");
    });
}

fn built(scene: &Scene<'_>) -> String {
    // Capital month names in build times, unlike everywhere else.
    match scene.device().version.major {
        6 => "Jul/08/2021 14:24:13".into(),
        _ if scene.version_at_least(7, 13) => "2024-11-26 12:09:40".into(),
        _ => "Nov/17/2023 11:38:45".into(),
    }
}

pub(super) fn routerboard(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let device = scene.device();
    let firmware = device.version.number();
    let serial = hash(seed(scene), device.number, 12) & 0xFFFF_FFFF_FFFF;
    rows.row(|r| {
        r.put("routerboard", "true");
        if device.version.major >= 7 {
            r.put("board-name", device.board.name);
        }
        r.put("model", device.board.model)
            .put("serial-number", format_args!("{serial:012X}"))
            .put("firmware-type", device.board.firmware)
            .put("factory-firmware", "6.42.10")
            .put("current-firmware", &firmware)
            .put("upgrade-firmware", &firmware);
    });
}

pub(super) fn health(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let (device, key) = (scene.device(), scene.index as u64);
    if !device.board.has_sensors {
        return;
    }
    let volts = 24.0 + 0.6 * wave(seed(scene), key ^ 0xC2_0000, 120_000, scene.now);
    let celsius = (41.0 + 6.0 * wave(seed(scene), key ^ 0xC3_0000, 1_800_000, scene.now)) as i64;
    if device.version.major == 6 {
        rows.row(|r| {
            r.put("voltage", format_args!("{volts:.1}"))
                .put("temperature", celsius);
        });
        return;
    }
    let sensors: [(&str, String, &str); 3] = [
        ("voltage", format!("{volts:.1}"), "V"),
        ("temperature", celsius.to_string(), "C"),
        ("cpu-temperature", (celsius + 9).to_string(), "C"),
    ];
    for (n, (name, value, unit)) in sensors.iter().enumerate() {
        rows.row(|r| {
            r.put(".id", format_args!("*{:X}", 13 + n))
                .put("name", name)
                .put("value", value)
                .put("type", unit);
        });
    }
}

pub(super) fn packages(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let device = scene.device();
    let v6 = device.version.major == 6;
    let extra = match device.stack {
        _ if v6 => Some("wireless"),
        Stack::Wireless => scene.version_at_least(7, 13).then_some("wireless"),
        Stack::Wifiwave2 => Some("wifiwave2"),
        Stack::Wifi if device.radios.is_empty() && device.client.is_none() => None,
        Stack::Wifi => Some("wifi-qcom"),
    };
    let main = if v6 { "system" } else { "routeros" };
    let installed = device.version.number();
    for (n, name) in [Some(main), extra].into_iter().flatten().enumerate() {
        rows.row(|r| {
            r.put(".id", format_args!("*{:X}", n + 1))
                .put("name", name)
                .put("version", &installed)
                .put("build-time", built(scene).to_lowercase())
                .put("scheduled", "");
            if !v6 && scene.version_at_least(7, 18) {
                r.put("size", 11_485_329 + n * 2_433_140)
                    .put("available", "false");
            }
            r.put("disabled", "false");
        });
    }
}

/// A device's version as others see it: versions from 7.13 on tell when they were built.
pub(super) struct Software<'a>(pub(super) &'a Scene<'a>);

impl std::fmt::Display for Software<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.device().version)?;
        match self.0.version_at_least(7, 13) {
            true => write!(f, " {}", built(self.0)),
            false => Ok(()),
        }
    }
}

pub(super) fn users(_: &Scene<'_>, rows: &mut Table<'_>) {
    for (id, name, group) in [("*1", "admin", "full"), ("*2", Plan::USERNAME, "read")] {
        rows.row(|r| {
            r.put(".id", id)
                .put("name", name)
                .put("group", group)
                .put_all(&[("address", ""), ("disabled", "false")]);
        });
    }
}

pub(super) fn note(_: &Scene<'_>, rows: &mut Table<'_>) {
    rows.row(|r| {
        r.put_all(&[("show-at-login", "true"), ("note", "")]);
    });
}

pub(super) fn clock(scene: &Scene<'_>, rows: &mut Table<'_>) {
    let now = chrono::DateTime::from_timestamp_millis(scene.world.unix_ms(scene.now));
    let now = now.unwrap_or_default();
    let date = match scene.version_at_least(7, 13) {
        true => now.format("%Y-%m-%d").to_string(),
        false => now.format("%b/%d/%Y").to_string().to_lowercase(),
    };
    rows.row(|r| {
        r.put("time", now.format("%H:%M:%S"))
            .put("date", date)
            .put_all(&[
                ("time-zone-autodetect", "false"),
                ("time-zone-name", "UTC"),
                ("gmt-offset", "+00:00"),
                ("dst-active", "false"),
            ]);
    });
}

/// The moment the device last started, as a row shows it.
pub(super) fn started(scene: &Scene<'_>) -> Moment {
    let at = scene.world.booted_ms(scene.index) + 9_000;
    Moment {
        unix_ms: scene.world.unix_ms(at),
        iso: scene.version_at_least(7, 13),
    }
}
