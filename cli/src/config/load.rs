//! From the layers to one checked configuration, with where each value came from.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{anyhow, bail};
use figment::Figment;
use figment::error::Kind;
use figment::value::Value;

use super::Config;
use super::layers::{Flags, Layer, environment};
use super::secret::HIDDEN;

/// The file that is read where it lies in the current folder and no other is named.
const FILE: &str = "mast.toml";

/// Keys whose values are never shown.
const SECRETS: &[&str] = &["log.password", "postgres.password"];

/// A configuration with its history.
#[derive(Debug)]
pub(crate) struct Effective {
    /// What holds.
    pub(crate) config: Config,
    layers: Figment,
    keys: Vec<String>,
}

/// Loads `file`, or `mast.toml` if there is one here, the given environment and the flags.
///
/// # Errors
/// The first that can't be read, is not known or has the wrong type; else all values that are out of bounds.
pub(crate) fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (OsString, OsString)>,
    flags: Flags,
) -> anyhow::Result<Effective> {
    let defaults = Layer::defaults(&Config::default())?;
    let known = defaults.keys();
    let mut layers = Figment::from(defaults.clone());
    let file = file.or_else(|| Some(Path::new(FILE)).filter(|here| here.exists()));
    if let Some(path) = file {
        let layer = Layer::file(path)?;
        layer.check(&known)?;
        layers = layers.merge(layer);
    }
    for layer in environment(variables, &known)?.into_iter().chain(flags.0) {
        layers = layers.merge(layer);
    }
    let config: Config = layers.extract().map_err(|e| in_words(&e))?;
    let effective = Effective {
        config,
        layers,
        keys: known.into_iter().map(|(key, _)| key).collect(),
    };
    effective.check()?;
    Ok(effective)
}

/// An error of figment as place, key and reason.
fn in_words(error: &figment::Error) -> anyhow::Error {
    let place = error.metadata.as_ref().map_or("default", |m| &m.name);
    let key = error.path.join(".");
    if SECRETS.contains(&key.as_str()) {
        return anyhow!("{place}: `{key}` must be a text in quotes");
    }
    match &error.kind {
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
            anyhow!("{place}: `{key}` is {found}, but must be {wanted}")
        }
        other => anyhow!("{place}: `{key}`: {other}"),
    }
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Whether the value of a key is hidden.
pub(crate) fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

impl Effective {
    /// Each key, its value as TOML writes it (null where none is set, `***` for a secret), and where it was set.
    pub(crate) fn entries(&self) -> Vec<(&str, Option<String>, String)> {
        let entry = |key: &'_ String| {
            let value = match self.layers.find_value(key) {
                Ok(Value::Empty(..)) | Err(_) => None,
                Ok(_) if SECRETS.contains(&key.as_str()) => Some(quoted(HIDDEN)),
                Ok(Value::String(_, text)) if key == "postgres.url" => {
                    Some(quoted(&super::postgres::shown(&text)))
                }
                Ok(Value::String(_, text)) => Some(quoted(&text)),
                Ok(value) => value
                    .deserialize::<toml::Value>()
                    .ok()
                    .map(|v| v.to_string()),
            };
            (value, self.origin(key))
        };
        let entries = self.keys.iter().map(|key| (key.as_str(), entry(key)));
        entries
            .map(|(key, (value, from))| (key, value, from))
            .collect()
    }

    fn origin(&self, key: &str) -> String {
        self.layers
            .find_metadata(key)
            .map_or("default", |m| &m.name)
            .to_owned()
    }

    fn check(&self) -> anyhow::Result<()> {
        let problems: Vec<String> = self
            .config
            .problems()
            .into_iter()
            .map(|(key, what)| {
                let value = self.entries().into_iter().find(|(k, ..)| *k == key);
                let value = value.and_then(|(_, value, _)| value);
                let value = value.unwrap_or_else(|| "not set".to_owned());
                format!("{}: `{key}` is {value}, but {what}", self.origin(key))
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        bail!("{}", problems.join("\nmast: "))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::commands::Pace;

    fn variables(
        given: &'static [(&str, &str)],
    ) -> impl Iterator<Item = (OsString, OsString)> + use<> {
        given.iter().map(|(name, text)| (name.into(), text.into()))
    }

    /// Loads a file of this text, an environment and flags.
    fn with(
        text: &str,
        environment: &'static [(&str, &str)],
        flags: Flags,
    ) -> Result<Effective, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mast.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = load(Some(&file), variables(environment), flags);
        let folder = format!("{}/", folder.path().display());
        loaded.map_err(|e| format!("{e:#}").replace(&folder, ""))
    }

    fn origin(effective: &Effective, key: &str) -> String {
        let from = effective.origin(key);
        from.rsplit('/').next().unwrap().to_owned()
    }

    #[test]
    fn nothing_set_is_the_defaults() {
        let loaded = with("", &[], Flags::default()).unwrap();
        assert_eq!(loaded.config, Config::default());
        assert_eq!(origin(&loaded, "dataflow.workers"), "default");
    }

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let text = "data = 'a'\n[dataflow]\nworkers = 2\nlake_every = '5s'\n[simulator]\ndevices = 20\n[logging]\njson = true\n";
        const ENVIRONMENT: &[(&str, &str)] = &[
            ("MAST_DATAFLOW_WORKERS", "3"),
            ("MAST_SIMULATOR_DEVICES", "30"),
            ("MAST_DATA", "123"),
            ("MAST_LOGGING_JSON", "0"),
            ("MAST_FAULT_POINT", "elsewhere"),
            ("PATH", "x"),
        ];
        let flags = Flags::default()
            .with("--workers", "dataflow.workers", Some(&4))
            .unwrap()
            .with("--seed", "simulator.seed", None::<&u64>)
            .unwrap();
        let loaded = with(text, ENVIRONMENT, flags).unwrap();
        let c = &loaded.config;
        assert_eq!((c.dataflow.workers, c.simulator.devices), (4, 30));
        assert_eq!(
            (c.simulator.seed, c.dataflow.lake_every),
            (1, Pace::seconds(5))
        );
        assert_eq!((&c.data, c.logging.json), (&PathBuf::from("123"), false));
        let from = |key| origin(&loaded, key);
        assert_eq!(from("dataflow.workers"), "--workers");
        assert_eq!(from("simulator.devices"), "MAST_SIMULATOR_DEVICES");
        assert_eq!(from("dataflow.lake_every"), "mast.toml");
        assert_eq!(from("simulator.seed"), "default");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = |text| with(text, &[], Flags::default()).unwrap_err();
        assert_eq!(
            error("[dataflow]\nworkerz = 2\n"),
            "mast.toml: there is no key `dataflow.workerz`, did you mean `dataflow.workers`?; `mast config` shows all"
        );
        assert_eq!(
            error("workers = 2\n"),
            "mast.toml: there is no key `workers`, did you mean `dataflow.workers`?; `mast config` shows all"
        );
        assert!(error("[nothing]\nxyz = 1\n").contains("no key `nothing.xyz`;"));
        assert!(error("dataflow = 3\n").contains("`dataflow` is a section"));
        assert!(error("[dataflow\n").contains("mast.toml is no TOML"));
        let none = with("", &[("MAST_DATAFLOW_WORKER", "2")], Flags::default()).unwrap_err();
        assert!(
            none.contains("MAST_DATAFLOW_WORKER sets no key, did you mean `dataflow.workers`?"),
            "{none}"
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let error = |text| with(text, &[], Flags::default()).unwrap_err();
        assert_eq!(
            error("[dataflow]\nworkers = 'two'\n"),
            "mast.toml: `dataflow.workers` is string \"two\", but must be usize"
        );
        assert!(
            error("[query]\ntimeout = 'soon'\n")
                .contains("mast.toml: `query.timeout`: \"soon\" is not a duration")
        );
        assert!(error("[logging]\njson = 3\n").contains("`logging.json`"));
        let bad = with("", &[("MAST_DATAFLOW_WORKERS", "two")], Flags::default()).unwrap_err();
        assert!(
            bad.starts_with("MAST_DATAFLOW_WORKERS: `dataflow.workers` is"),
            "{bad}"
        );
    }

    #[test]
    fn values_out_of_bounds_are_all_told_at_once() {
        let text =
            "[dataflow]\nworkers = 0\n[simulator]\ndevices = 1000000\n[logging]\nlevel = 'a=b=c'\n";
        let error = with(text, &[], Flags::default()).unwrap_err();
        for part in [
            "mast.toml: `dataflow.workers` is 0, but must be 1 to 256",
            "`simulator.devices` is 1000000, but must be 1 to 15000",
            "`logging.level` is \"a=b=c\", but must be error, warn",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let text = "[log]\nkind = 'kafka'\nbrokers = 'a:1,b:2'\ntls = true\nuser = 'u'\npassword = 'hunter2'\n";
        let loaded = with(text, &[], Flags::default()).unwrap();
        let shown = format!("{:?} {:?}", loaded.entries(), loaded.config);
        assert!(
            shown.contains("***") && !shown.contains("hunter2"),
            "{shown}"
        );
        for (text, told) in [
            (
                "[log]\npassword = 20041889\n",
                "`log.password` must be a text in quotes",
            ),
            ("[log]\npassword = 'hunter2\n", "no TOML: line 2"),
            (
                "[postgres]\nurl = 'postgres://db/m?password=hunter2'\n",
                "must hold no password",
            ),
            (
                "[postgres]\nurl = 'postgres://u:hunter2@db/mast'\n",
                "must hold no password",
            ),
        ] {
            let error = with(text, &[], Flags::default()).unwrap_err();
            assert!(error.contains(told), "{error}");
            assert!(
                !error.contains("hunter2") && !error.contains("20041889"),
                "{error}"
            );
        }
    }

    #[test]
    fn settings_of_the_log_that_do_not_fit_together_are_told() {
        for (text, told) in [
            (
                "kind = 'kafka'",
                "`log.brokers` is not set, but must name a broker as host:port",
            ),
            (
                "brokers = 'a'",
                "`log.brokers` is \"a\", but must be host:port",
            ),
            (
                "kind = 'kafka'\nbrokers = 'a:1'\ntopic_prefix = '.north'",
                "not begin with a dot",
            ),
            (
                "kind = 'kafka'\nbrokers = 'a:1'\ntopic_prefix = 'north/'",
                "must be at most 100 of a-z",
            ),
            (
                "topic_prefix = 'north.'",
                "is of use where log.kind is kafka only",
            ),
            ("user = 'u'\npassword = 'p'", "needs log.tls = true"),
            (
                "tls = true\nuser = 'u'",
                "must be set together with log.password",
            ),
            (
                "tls = true\nuser = 'u'\npassword_file = 'none/pw'",
                "read the password file none/pw",
            ),
            (
                "ca = 'none.pem'",
                "`log.ca` is \"none.pem\", but must be a PEM file",
            ),
            ("kind = 'files'", "log.kind"),
            ("timeout = '10ms'", "must be 1s to 5m"),
            ("level = 'info'", "did you mean `logging.level`?"),
        ] {
            let error = with(&format!("[log]\n{text}\n"), &[], Flags::default()).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let none = load(
            Some(Path::new("none/mast.toml")),
            variables(&[]),
            Flags::default(),
        );
        assert!(format!("{:#}", none.unwrap_err()).contains("none/mast.toml"));
    }

    #[test]
    fn each_key_has_one_variable_and_no_two_share_one() {
        let loaded = with("", &[], Flags::default()).unwrap();
        let entries = loaded.entries();
        let names: std::collections::BTreeSet<String> = entries
            .iter()
            .map(|(key, ..)| key.replace('.', "_"))
            .collect();
        assert_eq!(names.len(), entries.len());
        assert!(
            entries
                .iter()
                .any(|(key, value, _)| *key == "simulator.scenario" && value.is_none())
        );
    }

    #[test]
    fn every_key_is_in_the_document_with_its_default() {
        let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let document = std::fs::read_to_string(document).unwrap();
        let loaded = with("", &[], Flags::default()).unwrap();
        for (key, value, _) in loaded.entries() {
            let value = value.map_or_else(|| "none".to_owned(), |v| v.replace('"', ""));
            let row = document
                .lines()
                .find(|line| line.starts_with(&format!("| `{key}` | ")))
                .unwrap_or_else(|| panic!("{key} is not documented"));
            let default = row.split(" | ").nth(1).unwrap().replace('`', "");
            assert_eq!(default, value, "{key}");
        }
        let keys = document.lines().filter(|l| l.starts_with("| `")).count();
        assert_eq!(
            keys,
            loaded.entries().len(),
            "a key that is documented is there"
        );
    }
}
