//! Devices as a table: CSV with a header row, a row a device, the columns in any order.
//!
//! A column that is not there leaves what is stored, as a field of JSON does. An empty cell of a column that is there says
//! none of a place, a parent, groups and tags; of all else it says nothing. Groups and tags are parted by bars, with a
//! backslash before a bar or a backslash of a name. Sites and sectors that rows name are made where they are missing.
//!
//! The trap avoided: a spreadsheet runs a cell that begins like a formula. So such a cell is written with an apostrophe before
//! it, which spreadsheets hide, and which is taken off when it is read. A cell of credentials is read as it is; they are never
//! written.

use std::collections::{HashMap, HashSet};

use ::csv::{ReaderBuilder, StringRecord, Writer};
use mast_schemas::inventory::{Device, Inventory, Sector, Site, Tenant, known};

use super::columns::{COLUMNS, Column, disarmed, rearmed};
use super::{PROBLEMS_MOST, Problem};
use crate::ApiError;

/// Devices of a tenant as CSV, without their credentials. What only JSON holds is left out: where sites are, how sectors look.
pub fn to_csv(devices: &[Device]) -> Vec<u8> {
    let mut writer = Writer::from_writer(Vec::new());
    let columns = COLUMNS.iter().filter_map(|c| Some((c.name, c.write?)));
    let (names, writes): (Vec<_>, Vec<_>) = columns.unzip();
    // A vector takes everything.
    let _ = writer.write_record(names);
    for device in devices {
        let _ = writer.write_record(writes.iter().map(|write| disarmed(write(device))));
    }
    writer.into_inner().unwrap_or_default()
}

/// Where the things of an inventory stood in a CSV file, by their kind and number. Of one that was JSON: nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(HashMap<(&'static str, usize), u64>);

impl Lines {
    /// An error of importing what was read, with lines and columns in the place of paths.
    #[must_use]
    pub fn place(&self, error: ApiError) -> ApiError {
        let ApiError::Inventory { problems } = error else {
            return error;
        };
        ApiError::Inventory {
            problems: problems.into_iter().map(|p| self.placed(p)).collect(),
        }
    }

    fn placed(&self, problem: Problem) -> Problem {
        let thing = |path: &str| {
            let (kind, rest) = path.strip_prefix("tenants[0].")?.split_once('[')?;
            let (number, field) = rest.split_once(']')?;
            let field = field.trim_start_matches('.').split('[').next()?;
            // A site is named in the column of sites, and so on.
            let (kind, column) = match (kind, field) {
                ("sites", "name") => ("sites", "site"),
                ("sectors", "name") => ("sectors", "sector"),
                ("sites", field) => ("sites", field),
                ("sectors", field) => ("sectors", field),
                (_, field) => ("devices", field),
            };
            let line = self.0.get(&(kind, number.parse().ok()?))?;
            Some((*line, column.to_owned()))
        };
        match thing(&problem.path) {
            Some((line, column)) => Problem {
                line: Some(line),
                path: column,
                ..problem
            },
            None => problem,
        }
    }
}

/// Reads devices of a tenant from CSV.
///
/// # Errors
/// [`ApiError::Inventory`] with all that is wrong with header and cells. It repeats no cell.
pub fn from_csv(text: &str, tenant: &str) -> Result<(Inventory, Lines), ApiError> {
    from_csv_at_most(text, tenant, usize::MAX)
}

/// The same, of so many devices.
pub(crate) fn from_csv_at_most(
    text: &str,
    tenant: &str,
    most: usize,
) -> Result<(Inventory, Lines), ApiError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut rows = Rows {
        text,
        line: 1,
        counted: 0,
        problems: Vec::new(),
    };
    let (mut record, mut columns) = (StringRecord::new(), None);
    let mut table = Table::default();
    // Text that is UTF-8 is always read: what else could go wrong is the reader's of a file.
    while rows.problems.len() < PROBLEMS_MOST && reader.read_record(&mut record).unwrap_or(false) {
        let line = rows.line_of(record.position());
        match &columns {
            None => columns = Some(rows.header(&record)?),
            Some(columns) => {
                if let Some(device) = rows.device(line, &record, columns) {
                    table.add(line, device);
                    if table.devices.len() > most {
                        let remedy = format!("import at most {most} at once");
                        rows.problem("", "there are too many devices", remedy);
                        break;
                    }
                }
            }
        }
    }
    if columns.is_none() {
        rows.problem("", "there is no header row", "begin with name,address,…");
    }
    if !rows.problems.is_empty() {
        return Err(ApiError::Inventory {
            problems: rows.problems,
        });
    }
    Ok(table.inventory(tenant))
}

/// What reads rows.
struct Rows<'a> {
    text: &'a str,
    /// The line of the byte up to which lines were counted.
    line: u64,
    counted: usize,
    problems: Vec<Problem>,
}

impl Rows<'_> {
    fn problem(&mut self, column: &str, reason: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem {
            path: column.to_owned(),
            line: Some(self.line),
            reason: reason.into(),
            remedy: remedy.into(),
        });
    }

    /// Line of a row. The reader's position may be before empty lines, and before the second half of a line's end.
    fn line_of(&mut self, position: Option<&::csv::Position>) -> u64 {
        let bytes = self.text.as_bytes();
        let mut start = position.map_or(0, |p| usize::try_from(p.byte()).unwrap_or_default());
        while bytes.get(start).is_some_and(|b| matches!(b, b'\r' | b'\n')) {
            start += 1;
        }
        let passed = bytes.get(self.counted..start).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.counted = start.max(self.counted);
        self.line
    }

    fn header(&mut self, record: &StringRecord) -> Result<Vec<&'static Column>, ApiError> {
        let mut columns: Vec<&'static Column> = Vec::new();
        for name in record.iter().map(str::trim) {
            match COLUMNS.iter().find(|column| column.name == name) {
                Some(column) if columns.iter().any(|c| c.name == column.name) => {
                    self.problem(column.name, "the column is there twice", "keep one of them");
                }
                Some(column) => columns.push(column),
                None => {
                    let known: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
                    let name: String = name.chars().take(64).collect();
                    let reason = format!("there is no column {name:?}");
                    let remedy = format!(
                        "the first row names columns; there are {}",
                        known.join(", ")
                    );
                    self.problem("", reason, remedy);
                }
            }
        }
        for needed in ["name", "address"] {
            if self.problems.is_empty() && columns.iter().all(|c| c.name != needed) {
                self.problem(
                    needed,
                    "the column is missing",
                    "add it: each device has one",
                );
            }
        }
        match std::mem::take(&mut self.problems) {
            problems if problems.is_empty() => Ok(columns),
            problems => Err(ApiError::Inventory { problems }),
        }
    }

    fn device(
        &mut self,
        line: u64,
        record: &StringRecord,
        columns: &[&'static Column],
    ) -> Option<Device> {
        self.line = line;
        if record.len() != columns.len() {
            let (cells, wanted) = (record.len(), columns.len());
            let reason = format!("the row has {cells} cells, the first row {wanted}");
            self.problem(
                "",
                reason,
                "put cells that hold commas between double quotes",
            );
            return None;
        }
        let mut device = Device::new("", "");
        for (column, cell) in columns.iter().zip(record) {
            let cell = match column.write {
                Some(_) => rearmed(cell),
                None => cell,
            };
            // Also where a quote is not closed, and the rest of the file is one cell.
            let read = match cell.chars().any(char::is_control) {
                true => Err(
                    "has line breaks or other control characters; is a quote missing?".to_owned(),
                ),
                false => (column.read)(&mut device, cell),
            };
            if let Err(reason) = read {
                self.problem(column.name, format!("the cell {reason}"), "correct it");
            }
        }
        Some(device)
    }
}

/// Devices, and the places that they name.
#[derive(Default)]
struct Table {
    sites: Vec<Site>,
    sectors: Vec<Sector>,
    devices: Vec<Device>,
    lines: HashMap<(&'static str, usize), u64>,
    named: HashSet<(String, Option<String>)>,
}

impl Table {
    fn add(&mut self, line: u64, device: Device) {
        if let Some(site) = known(&device.site) {
            if self.named.insert((site.clone(), None)) {
                self.lines.insert(("sites", self.sites.len()), line);
                self.sites.push(Site::named(&site));
            }
            if let Some(sector) = known(&device.sector) {
                let key = (site.clone(), Some(sector.clone()));
                if self.named.insert(key) {
                    self.lines.insert(("sectors", self.sectors.len()), line);
                    self.sectors.push(Sector::named(sector, site));
                }
            }
        }
        self.lines.insert(("devices", self.devices.len()), line);
        self.devices.push(device);
    }

    fn inventory(self, tenant: &str) -> (Inventory, Lines) {
        let tenant = Tenant {
            name: tenant.to_owned(),
            sites: self.sites,
            sectors: self.sectors,
            devices: self.devices,
        };
        let inventory = Inventory {
            tenants: vec![tenant],
        };
        (inventory, Lines(self.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(text: &str) -> Vec<Device> {
        let (inventory, _) = from_csv(text, "acme").unwrap_or_else(|e| panic!("{e}"));
        inventory.tenants.into_iter().next().unwrap().devices
    }

    fn refused(text: &str) -> String {
        from_csv(text, "acme").unwrap_err().to_string()
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(head in "(name|address|site|tags|password|,|\n|x){0,9}", text in ".{0,80}") {
            for text in [format!("{head}{text}"), format!("name,address,tags,password\n{text}")] {
                if let Ok((inventory, _)) = from_csv(&text, "acme") {
                    let devices = &inventory.tenants[0].devices;
                    let again = from_csv(&String::from_utf8(to_csv(devices)).unwrap(), "acme");
                    let names = |devices: &[Device]| devices.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
                    proptest::prop_assert_eq!(names(&again.unwrap().0.tenants[0].devices), names(devices));
                }
            }
        }
    }

    #[test]
    fn columns_come_in_any_order_and_what_is_missing_says_nothing() {
        let read = devices("address,name,site\n10.0.0.1,ap1,hill\n10.0.0.2,ap2,\n");
        let mut first = Device::new("ap1", "10.0.0.1");
        first.site = Some(Some("hill".to_owned()));
        let mut second = Device::new("ap2", "10.0.0.2");
        second.site = Some(None);
        assert!(read == [first, second]);
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        let text = "\u{feff}name,address,tags,enabled\r\n\"a, \"\"b\"\"\",10.0.0.1,x|y\\|z,TRUE\r\n\r\nc,10.0.0.2,,\r\n";
        let read = devices(text);
        assert_eq!(read[0].name, "a, \"b\"");
        let tags = |device: &Device| device.tags.clone().unwrap();
        assert_eq!(tags(&read[0]), ["x", "y|z"]);
        assert_eq!(tags(&read[1]), [""; 0]);
        assert_eq!((read[0].enabled, read[1].enabled), (Some(true), None));
    }

    #[test]
    fn a_cell_that_looks_like_a_formula_is_written_as_text_and_read_as_it_was() {
        for name in [
            "=1+1", "+1", "-1", "@sum", "'=x", "''", "＝x", "plain", "it's", "a=b",
        ] {
            let mut device = Device::new(name, "h");
            device.tags = Some(vec!["=cmd".to_owned(), "a|b\\c".to_owned()]);
            let text = String::from_utf8(to_csv(&[device.clone()])).unwrap();
            let row = text.lines().nth(1).unwrap();
            let begins = |cell: &str| cell.starts_with(['=', '+', '-', '@', '＝']);
            assert!(!row.split(',').any(begins), "{row}");
            let read = devices(&text);
            assert_eq!((&read[0].name, &read[0].tags), (&device.name, &device.tags));
        }
    }

    #[test]
    fn a_password_is_read_as_it_is_and_never_written() {
        let read = devices("name,address,username,password\nd,h,'=u,'=p\n");
        let said = (read[0].username.as_deref(), read[0].password.as_deref());
        assert_eq!(said, (Some("'=u"), Some("'=p")));
        let text = String::from_utf8(to_csv(&read)).unwrap();
        assert!(
            !text.contains("'=p") && !text.contains("password"),
            "{text}"
        );
    }

    #[test]
    fn each_problem_has_its_line() {
        let text = "name,address,role,api_port\r\n\r\na,h,chief,x\r\n\"b\nc\",h,ap,1\r\nd,h\r\n";
        let said = refused(text);
        for words in [
            "line 3, role: the cell is none of router, ap,",
            "line 3, api_port: the cell is not a port",
            "line 4, name: the cell has line breaks",
            "line 6: the row has 2 cells, the first row 4",
        ] {
            assert!(said.contains(words), "{words}\n{said}");
        }
        assert!(!said.contains("chief"), "{said}");
    }

    #[test]
    fn a_header_that_is_not_one_is_refused() {
        assert!(refused("").contains("no header row"));
        assert!(refused("name,address,colour\n").contains("no column \"colour\""));
        assert!(refused("name,name,address\n").contains("twice"));
        assert!(refused("name,site\n").contains("address: the column is missing"));
    }

    #[test]
    fn a_quote_that_is_not_closed_is_no_password() {
        let said = refused("name,address,username,password\na,h,u,\"p\nb,h,u,hush\n");
        assert!(said.contains("is a quote missing?"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }

    #[test]
    fn problems_found_later_get_their_line_and_column() {
        let (inventory, lines) =
            from_csv("name,address,site,tags\na,h,s,x\nb,h:1,s,x|\n", "acme").unwrap();
        let error = super::super::check(&inventory).unwrap_err();
        let said = lines.place(error).to_string();
        assert!(
            said.contains("line 3, address: \"h:1\" is neither"),
            "{said}"
        );
        assert!(said.contains("line 3, tags: the name is empty"), "{said}");
    }
}
