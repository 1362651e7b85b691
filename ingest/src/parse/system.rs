//! The `/system` menus: who a device is and how it fares.

use super::{Attributes, Parsed, boolean, decimal, duration, first, number, walk};
use mast_schemas::records::Poll;
use serde::Serialize;
use serde_json::{Map, Value};

/// What the `/system` menus tell; the part of a [`Poll`] that comes from the device.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct DeviceFacts {
    /// Name.
    pub identity: Option<String>,
    /// Version as told.
    pub version: Option<String>,
    /// Board name.
    pub board: Option<String>,
    /// CPU architecture.
    pub architecture: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// RouterBOOT version.
    pub firmware: Option<String>,
    /// Time since boot.
    pub uptime_s: Option<u64>,
    /// CPU load, percent.
    pub cpu_load_percent: Option<u8>,
    /// Free memory.
    pub memory_free_bytes: Option<u64>,
    /// Memory in all.
    pub memory_total_bytes: Option<u64>,
    /// Free disk.
    pub disk_free_bytes: Option<u64>,
    /// Disk in all.
    pub disk_total_bytes: Option<u64>,
    /// CPU temperature.
    pub cpu_temperature_c: Option<f32>,
    /// Board temperature, or the only one there is.
    pub board_temperature_c: Option<f32>,
    /// Supply voltage.
    pub voltage_v: Option<f32>,
    /// Sensors without a column, name to text.
    pub sensors: Map<String, Value>,
}

impl DeviceFacts {
    /// Takes over every value that `newer` has.
    pub fn update(&mut self, newer: Self) {
        macro_rules! take {
            ($($field:ident),+) => {$( if newer.$field.is_some() { self.$field = newer.$field; } )+};
        }
        take!(
            identity,
            version,
            board,
            architecture,
            serial,
            firmware,
            uptime_s,
            cpu_load_percent
        );
        take!(
            memory_free_bytes,
            memory_total_bytes,
            disk_free_bytes,
            disk_total_bytes
        );
        take!(cpu_temperature_c, board_temperature_c, voltage_v);
        if !newer.sensors.is_empty() {
            self.sensors = newer.sensors;
        }
    }

    /// Moves the values into a poll row.
    pub fn fill(self, poll: &mut Poll) {
        poll.identity = self.identity;
        poll.version = self.version;
        poll.board = self.board;
        poll.architecture = self.architecture;
        poll.serial = self.serial;
        poll.firmware = self.firmware;
        poll.uptime_s = self.uptime_s;
        poll.cpu_load_percent = self.cpu_load_percent;
        poll.memory_free_bytes = self.memory_free_bytes;
        poll.memory_total_bytes = self.memory_total_bytes;
        poll.disk_free_bytes = self.disk_free_bytes;
        poll.disk_total_bytes = self.disk_total_bytes;
        poll.cpu_temperature_c = self.cpu_temperature_c;
        poll.board_temperature_c = self.board_temperature_c;
        poll.voltage_v = self.voltage_v;
        poll.sensors = super::extra_text(&self.sensors);
    }
}

/// `/system/resource`.
pub fn resource(attributes: &(impl Attributes + ?Sized)) -> Parsed<DeviceFacts> {
    walk(
        attributes,
        DeviceFacts::default(),
        |facts, name, cell| match name {
            "version" => cell.word(&mut facts.version),
            "board-name" => cell.word(&mut facts.board),
            "architecture-name" => cell.word(&mut facts.architecture),
            // Some x86 builds tell it here.
            "serial-number" => cell.word(&mut facts.serial),
            "uptime" => cell.put(&mut facts.uptime_s, |t| duration(t).map(|d| d.as_secs())),
            "cpu-load" => {
                cell.put(&mut facts.cpu_load_percent, |t| {
                    number(t.strip_suffix('%').unwrap_or(t))
                });
            }
            "free-memory" => cell.put(&mut facts.memory_free_bytes, number),
            "total-memory" => cell.put(&mut facts.memory_total_bytes, number),
            "free-hdd-space" => cell.put(&mut facts.disk_free_bytes, number),
            "total-hdd-space" => cell.put(&mut facts.disk_total_bytes, number),
            _ => cell.keep(),
        },
    )
}

/// `/system/routerboard`; on x86 and CHR it says no more than `routerboard=false`.
pub fn routerboard(attributes: &(impl Attributes + ?Sized)) -> Parsed<DeviceFacts> {
    walk(
        attributes,
        DeviceFacts::default(),
        |facts, name, cell| match name {
            "serial-number" => cell.word(&mut facts.serial),
            "current-firmware" => cell.word(&mut facts.firmware),
            _ => cell.keep(),
        },
    )
}

/// `/system/identity`.
pub fn identity(attributes: &(impl Attributes + ?Sized)) -> Parsed<DeviceFacts> {
    walk(
        attributes,
        DeviceFacts::default(),
        |facts, name, cell| match name {
            "name" => cell.word(&mut facts.identity),
            _ => cell.keep(),
        },
    )
}

/// One row of `/system/health`: the single row of version 6 with all sensors in it, or one of the
/// `name`, `value`, `type` rows of version 7.
pub fn health(attributes: &(impl Attributes + ?Sized)) -> Parsed<DeviceFacts> {
    if let Some(name) = first(attributes, "name") {
        let value = first(attributes, "value").unwrap_or_default();
        let row = [(name.as_bytes(), value.as_bytes())];
        return sensors(row.as_slice());
    }
    sensors(attributes)
}

fn sensors(attributes: &(impl Attributes + ?Sized)) -> Parsed<DeviceFacts> {
    let mut parsed = walk(
        attributes,
        DeviceFacts::default(),
        |facts, name, cell| match name {
            "cpu-temperature" => cell.put(&mut facts.cpu_temperature_c, decimal),
            "board-temperature" | "board-temperature1" | "temperature" => {
                if facts.board_temperature_c.is_some() {
                    cell.keep();
                } else {
                    cell.put(&mut facts.board_temperature_c, decimal);
                }
            }
            "voltage" => cell.put(&mut facts.voltage_v, decimal),
            ".id" => {}
            _ => cell.keep(),
        },
    );
    parsed.row.sensors = std::mem::take(&mut parsed.extra);
    parsed
}

impl DeviceFacts {
    /// Adds a further row of health: what is already known stays, and a second board temperature
    /// becomes a sensor.
    pub fn add_sensors(&mut self, more: Self) {
        if self.cpu_temperature_c.is_none() {
            self.cpu_temperature_c = more.cpu_temperature_c;
        }
        match (self.board_temperature_c, more.board_temperature_c) {
            (None, found) => self.board_temperature_c = found,
            (Some(_), Some(second)) => {
                let text = Value::String(second.to_string());
                self.sensors.entry("temperature").or_insert(text);
            }
            (Some(_), None) => {}
        }
        if self.voltage_v.is_none() {
            self.voltage_v = more.voltage_v;
        }
        self.sensors.extend(more.sensors);
    }
}

/// A software package.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Package {
    /// Name.
    pub name: Option<String>,
    /// Version; empty for one that is only offered.
    pub version: Option<String>,
    /// Installed but switched off, or only offered.
    pub disabled: Option<bool>,
    /// Offered for installation.
    pub available: Option<bool>,
}

impl Package {
    /// Whether it works on the device now.
    pub fn is_active(&self) -> bool {
        self.disabled != Some(true) && self.available != Some(true)
    }
}

/// `/system/package`.
pub fn package(attributes: &(impl Attributes + ?Sized)) -> Parsed<Package> {
    walk(
        attributes,
        Package::default(),
        |row, name, cell| match name {
            "name" => cell.word(&mut row.name),
            "version" => cell.word(&mut row.version),
            "disabled" => cell.put(&mut row.disabled, boolean),
            "available" => cell.put(&mut row.available, boolean),
            _ => cell.keep(),
        },
    )
}
