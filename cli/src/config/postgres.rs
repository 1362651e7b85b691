//! The database: a private server of the data folder, or one that somebody else runs.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::Problem;
use super::secret::{Secret, password};

/// The database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Postgres {
    /// Server and database; none = a private server in the data folder.
    pub(crate) url: Option<String>,
    /// Password of the roles `mast_owner`, `mast_api`, `mast_ingest` and `mast_dataflow` there,
    pub(crate) password: Option<Secret>,
    /// or the file that holds it.
    pub(crate) password_file: Option<PathBuf>,
}

impl Postgres {
    /// How to log in to the server that somebody else runs, but for the role; `None` = the private one.
    pub(crate) fn external(&self) -> anyhow::Result<Option<PgConnectOptions>> {
        let Some(url) = &self.url else {
            return Ok(None);
        };
        let options = PgConnectOptions::from_str(url).context("`postgres.url` is no address")?;
        let options = options.application_name("mast");
        Ok(Some(match self.password()? {
            Some(password) => options.password(password.expose()),
            None => options,
        }))
    }

    fn password(&self) -> anyhow::Result<Option<Secret>> {
        password(self.password.as_ref(), self.password_file.as_deref())
    }

    pub(super) fn problems(&self, found: &mut Vec<Problem>) {
        if let Some(problem) = self.url.as_deref().and_then(wrong) {
            found.push(("postgres.url", problem.to_owned()));
        }
        match self.password() {
            Err(error) => found.push(("postgres.password_file", format!("{error:#}"))),
            Ok(Some(_)) if self.url.is_none() => found.push((
                "postgres.password",
                "is of use with postgres.url only".to_owned(),
            )),
            Ok(_) => {}
        }
    }
}

/// What is wrong with an address.
fn wrong(text: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(text) else {
        return Some("must be a URL such as postgres://db.example.net/mast");
    };
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Some("must begin with postgres://");
    }
    let named = |name: &str| url.query_pairs().any(|(key, _)| key == name);
    if url.password().is_some() || named("password") {
        return Some("must hold no password: set postgres.password_file or postgres.password");
    }
    if !url.username().is_empty() || named("user") {
        return Some("must name no user: each part logs in as its own role");
    }
    PgConnectOptions::from_str(text)
        .is_err()
        .then_some("has parameters that are not known")
}

/// An address without the password that it must not hold.
pub(super) fn shown(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some(super::secret::HIDDEN));
            url.into()
        }
        Ok(url) if !text.contains("password") => url.into(),
        _ => super::secret::HIDDEN.to_owned(),
    }
}
