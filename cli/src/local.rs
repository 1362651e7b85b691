//! The API for a person at the machine of an installation: its routes without a socket and without a token, by the data
//! folder. Works beside a running installation and without one; what it writes goes the way of all writes.

use std::path::PathBuf;

use anyhow::{Context, bail};
use mast_api::{Local, Method};
use mast_postgres::Role;
use serde_json::Value;
use sqlx::PgPool;

use crate::commands::{site, tenant};
use crate::config::{Config, Flags};
use crate::events::Events;
use crate::standalone::{api_config, existing, keys_of};

/// Of which installation and tenant, and for whom it is shown.
#[derive(clap::Args)]
pub(crate) struct Of {
    /// The installation's data folder [default: mast-demo]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// The tenant, by name; without it the only one.
    #[arg(long, value_name = "NAME", global = true)]
    tenant: Option<String>,
    /// JSON instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Of {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        flags.with("--data", "data", self.data.as_ref())
    }

    /// Works with the API of the tenant. The database is stopped afterwards, if it was started for this.
    pub(crate) async fn with<T>(
        &self,
        config: &Config,
        work: impl AsyncFnOnce(&Asker) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (paths, database) = existing(config).await?;
        let done = async {
            let owner = database.pool(Role::Owner, 1).await?;
            let tenant = which(&owner, self.tenant.as_deref()).await;
            owner.close().await;
            let keys = keys_of(&paths, &database).await?;
            let api = api_config(config, &paths, &database, keys).await?;
            let pool = api.pool.clone();
            let done = work(&Asker(Local::new(api, tenant?.id))).await;
            pool.close().await;
            done
        };
        let done = done.await;
        database.stop().await?;
        done
    }
}

/// The tenant of a name, or the only one.
async fn which(owner: &PgPool, name: Option<&str>) -> anyhow::Result<tenant::Shown> {
    let mut tenants = tenant::all(owner).await?;
    let names: Vec<&str> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    let names = names.join(", ");
    match name {
        Some(name) => tenants.retain(|tenant| tenant.name == name),
        None if tenants.len() > 1 => bail!("whose? Name one with --tenant; there are {names}"),
        None => {}
    }
    tenants.pop().with_context(|| match names.as_str() {
        "" => "there is no tenant yet; `mast tenant add NAME` makes one".to_owned(),
        names => format!("there is no tenant of that name; there are {names}"),
    })
}

/// Asks the API about one tenant.
pub(crate) struct Asker(Local);

/// Items of a page, at most.
const PAGE: usize = 500;

impl Asker {
    /// Listens to views as they change.
    pub(crate) async fn listen(&self, views: &str) -> anyhow::Result<Events> {
        let path = format!("/api/v1/stream?views={views}");
        Ok(Events::new(self.0.listen(&path).await?))
    }

    /// The items of a list, in its order: at most so many, page by page; and whether there are more.
    pub(crate) async fn list(
        &self,
        path: &str,
        filter: &Filter,
        sort: &str,
        most: usize,
    ) -> anyhow::Result<(Vec<Value>, bool)> {
        let (mut items, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            let limit = (most - items.len()).clamp(1, PAGE);
            query.append_pair("limit", &limit.to_string());
            query.append_pair("sort", sort);
            if !filter.0.is_empty() {
                query.append_pair("filter", &filter.0.join(","));
            }
            if let Some(cursor) = &cursor {
                query.append_pair("cursor", cursor);
            }
            let path = format!("{path}?{}", query.finish());
            let mut page = self.0.ask(Method::GET, &path, None).await?;
            if let Value::Array(more) = page["items"].take() {
                items.extend(more);
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() || items.len() >= most {
                let more = cursor.is_some();
                return Ok((items, more));
            }
        }
    }

    /// The one of a name, if there is one.
    pub(crate) async fn find(&self, path: &str, filter: &Filter) -> anyhow::Result<Option<Value>> {
        let (found, _) = self.list(path, filter, "name", 1).await?;
        Ok(found.into_iter().next())
    }

    /// Shows the one of a name, all of it.
    pub(crate) async fn show(
        &self,
        path: &str,
        what: &str,
        name: &str,
        json: bool,
    ) -> anyhow::Result<()> {
        let found = self.find(path, &Filter::default().is("name", name)).await?;
        let thing = found.with_context(|| {
            format!("there is no {what} {name:?}; `mast {what} list` shows all")
        })?;
        match json {
            true => crate::output::json(&thing),
            false => print_thing(&thing),
        }
    }

    /// Makes a thing, and shows it or says so in words.
    pub(crate) async fn make(
        &self,
        path: &str,
        input: &Value,
        words: &str,
        json: bool,
    ) -> anyhow::Result<()> {
        let made = self.0.ask(Method::POST, path, Some(input)).await?;
        match json {
            true => crate::output::json(&made),
            false => crate::output::line(words),
        }
    }

    /// Id of the site of a name.
    pub(crate) async fn site_id(&self, name: &str) -> anyhow::Result<String> {
        self.id(site::PATH, "site", name, Filter::default()).await
    }

    /// Id of the one of a name; where there is none, what shows those that there are.
    pub(crate) async fn id(
        &self,
        path: &str,
        what: &str,
        name: &str,
        filter: Filter,
    ) -> anyhow::Result<String> {
        let found = self.find(path, &filter.is("name", name)).await?;
        let id = found.as_ref().and_then(|thing| thing["id"].as_str());
        id.map(str::to_owned)
            .with_context(|| format!("there is no {what} {name:?} for this tenant"))
    }
}

/// Conditions of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Vec<String>);

impl Filter {
    /// The column holds this text.
    pub(crate) fn is(self, column: &str, text: &str) -> Self {
        self.with(column, "=", text)
    }

    /// The column holds another text.
    pub(crate) fn but(self, column: &str, text: &str) -> Self {
        self.with(column, "!=", text)
    }

    fn with(mut self, column: &str, sign: &str, text: &str) -> Self {
        let mut value = String::new();
        for letter in text.chars() {
            if matches!(letter, ',' | '|' | '\\') {
                value.push('\\');
            }
            value.push(letter);
        }
        self.0.push(format!("{column}{sign}{value}"));
        self
    }
}

/// A field as people read it; nothing where there is nothing.
pub(crate) fn shown(thing: &Value, field: &str) -> String {
    match &thing[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.len().to_string(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

/// A thing as lines: each field with its name.
fn print_thing(thing: &Value) -> anyhow::Result<()> {
    let Some(fields) = thing.as_object() else {
        return Ok(());
    };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    for name in fields.keys() {
        let value = crate::table::plain(&shown(thing, name));
        crate::output::line(format!("{name:<width$}  {value}").trim_end())?;
    }
    Ok(())
}

/// Items with some of their fields as a table, or all of it as JSON.
pub(crate) fn print_list(
    items: &[Value],
    more: bool,
    fields: &[&str],
    json: bool,
) -> anyhow::Result<()> {
    if json {
        return crate::output::json(&items);
    }
    let mut table = crate::table::Table::new(fields);
    for item in items {
        table.row(fields.iter().map(|field| shown(item, field)));
    }
    table.print()?;
    if more {
        crate::output::note(&format!(
            "the first {}; there are more: --limit shows them",
            items.len()
        ));
    }
    Ok(())
}
