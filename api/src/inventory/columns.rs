//! The columns of devices as a table: how each cell is read and written.

use std::str::FromStr;

use mast_schemas::control::{Role, TlsPolicy};
use mast_schemas::inventory::{Device, known};

/// A column: how a cell is read and, if it is ever shown, written.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) read: fn(&mut Device, &str) -> Result<(), String>,
    /// Null: it is a credential, which is never shown.
    pub(super) write: Option<fn(&Device) -> String>,
}

impl Column {
    const fn shown(
        name: &'static str,
        read: fn(&mut Device, &str) -> Result<(), String>,
        write: fn(&Device) -> String,
    ) -> Self {
        Self {
            name,
            read,
            write: Some(write),
        }
    }

    const fn secret(name: &'static str, read: fn(&mut Device, &str) -> Result<(), String>) -> Self {
        Self {
            name,
            read,
            write: None,
        }
    }
}

/// All columns, in the order in which they are written.
pub(super) static COLUMNS: &[Column] = &[
    Column::shown(
        "name",
        |d, cell| put(&mut d.name, cell.to_owned()),
        |d| d.name.clone(),
    ),
    Column::shown(
        "address",
        |d, cell| put(&mut d.address, cell.to_owned()),
        |d| d.address.clone(),
    ),
    Column::shown(
        "api_port",
        |d, cell| put(&mut d.api_port, number(cell, "a port, 1 to 65535")?),
        |d| shown(d.api_port),
    ),
    Column::shown(
        "api_ssl_port",
        |d, cell| put(&mut d.api_ssl_port, number(cell, "a port, 1 to 65535")?),
        |d| shown(d.api_ssl_port),
    ),
    Column::secret("username", |d, cell| put(&mut d.username, some(cell))),
    Column::secret("password", |d, cell| put(&mut d.password, some(cell))),
    Column::shown(
        "tls",
        |d, cell| put(&mut d.tls, word(cell, TlsPolicy::ALL)?),
        |d| shown(d.tls),
    ),
    Column::shown(
        "site",
        |d, cell| put(&mut d.site, Some(some(cell))),
        |d| shown(known(&d.site)),
    ),
    Column::shown(
        "sector",
        |d, cell| put(&mut d.sector, Some(some(cell))),
        |d| shown(known(&d.sector)),
    ),
    Column::shown(
        "role",
        |d, cell| put(&mut d.role, word(cell, Role::ALL)?),
        |d| shown(d.role),
    ),
    Column::shown(
        "interval_s",
        |d, cell| put(&mut d.interval_s, number(cell, "a number of seconds")?),
        |d| shown(d.interval_s),
    ),
    Column::shown(
        "enabled",
        |d, cell| put(&mut d.enabled, truth(cell)?),
        |d| shown(d.enabled),
    ),
    Column::shown(
        "parent",
        |d, cell| put(&mut d.parent, Some(some(cell))),
        |d| shown(known(&d.parent)),
    ),
    Column::shown(
        "groups",
        |d, cell| put(&mut d.groups, Some(parted(cell))),
        |d| joined(d.groups.as_deref()),
    ),
    Column::shown(
        "tags",
        |d, cell| put(&mut d.tags, Some(parted(cell))),
        |d| joined(d.tags.as_deref()),
    ),
];

fn put<T>(field: &mut T, value: T) -> Result<(), String> {
    *field = value;
    Ok(())
}

fn some(cell: &str) -> Option<String> {
    (!cell.is_empty()).then(|| cell.to_owned())
}

/// What a cell says is not repeated: a row that slipped has a password where a number should be.
fn number<T: FromStr>(cell: &str, what: &str) -> Result<Option<T>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    cell.parse().map(Some).map_err(|_| format!("is not {what}"))
}

/// Spreadsheets write truth in capitals.
fn truth(cell: &str) -> Result<Option<bool>, String> {
    number(&cell.to_ascii_lowercase(), "true or false")
}

fn word<T: FromStr + ToString>(cell: &str, all: &[T]) -> Result<Option<T>, String> {
    let words = || all.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    number(cell, "").map_err(|_| format!("is none of {}", words()))
}

fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Names between bars.
fn parted(cell: &str) -> Vec<String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let mut letters = cell.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next()),
            '|' => names.push(std::mem::take(&mut name)),
            letter => name.push(letter),
        }
    }
    if !cell.is_empty() {
        names.push(name);
    }
    names
}

fn joined(names: Option<&[String]>) -> String {
    let escaped = |name: &String| name.replace('\\', "\\\\").replace('|', "\\|");
    let names = names.unwrap_or_default().iter().map(escaped);
    names.collect::<Vec<_>>().join("|")
}

/// What spreadsheets take a cell for a formula by, also as full-width letters; and the apostrophe that says that it is none.
const FORMULA: &[char] = &['=', '+', '-', '@', '＝', '＋', '－', '＠', '\''];

/// A cell that no spreadsheet runs.
pub(super) fn disarmed(cell: String) -> String {
    match cell.starts_with(FORMULA) {
        true => format!("'{cell}"),
        false => cell,
    }
}

/// A cell as it was before it was disarmed.
pub(super) fn rearmed(cell: &str) -> &str {
    let inner = cell.strip_prefix('\'');
    inner
        .filter(|cell| cell.starts_with(FORMULA))
        .unwrap_or(cell)
}
