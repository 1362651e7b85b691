//! `mast schema`: the record kinds and their columns.

use std::process::ExitCode;

use arrow::datatypes::SchemaRef;
use clap::ValueEnum;
use mast_schemas::column::Record;
use mast_schemas::records::{
    Arp, ConfigState, DhcpLease, Event, Firmware, Interface, Neighbor, Poll, Radio, Registration,
    RouteSummary,
};
use mast_schemas::views::{DeviceEvent, LinkEvent};
use serde::Serialize;

/// Show the record kinds that travel the log and lie in the lake.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this kind, such as `registration`.
    kind: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned text.
    Table,
    /// One JSON array.
    Json,
}

#[derive(Serialize)]
struct Kind {
    kind: &'static str,
    fingerprint: String,
    columns: Vec<Column>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    r#type: String,
    nullable: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let all = kinds();
        let known: Vec<_> = all.iter().map(|k| k.kind).collect();
        let chosen: Vec<_> = all
            .iter()
            .filter(|k| self.kind.as_deref().is_none_or(|want| want == k.kind))
            .collect();
        if chosen.is_empty() {
            anyhow::bail!(
                "no record kind {:?}; there are: {}",
                self.kind.unwrap_or_default(),
                known.join(", ")
            );
        }
        match self.format {
            Format::Json => crate::output::json(&chosen)?,
            Format::Table => crate::output::write(|out| {
                for kind in chosen {
                    writeln!(out, "{} (fingerprint {})", kind.kind, kind.fingerprint)?;
                    for c in &kind.columns {
                        let null = if c.nullable { "" } else { " not null" };
                        writeln!(out, "  {:<24} {}{null}", c.name, c.r#type)?;
                    }
                    writeln!(out)?;
                }
                Ok(())
            })?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn kinds() -> Vec<Kind> {
    fn kind<R: Record>() -> Kind {
        of(R::KIND, &R::schema())
    }
    vec![
        kind::<Poll>(),
        kind::<Interface>(),
        kind::<Registration>(),
        kind::<Radio>(),
        kind::<Event>(),
        kind::<Arp>(),
        kind::<DhcpLease>(),
        kind::<Neighbor>(),
        kind::<RouteSummary>(),
        kind::<Firmware>(),
        kind::<ConfigState>(),
        kind::<DeviceEvent>(),
        kind::<LinkEvent>(),
    ]
}

fn of(kind: &'static str, schema: &SchemaRef) -> Kind {
    let fingerprint = mast_schemas::message::fingerprint(schema, schema.fields().len());
    let columns = schema
        .fields()
        .iter()
        .map(|f| Column {
            name: f.name().clone(),
            r#type: f.data_type().to_string(),
            nullable: f.is_nullable(),
        })
        .collect();
    Kind {
        kind,
        fingerprint: format!("{fingerprint:016x}"),
        columns,
    }
}
