//! The layers that a configuration is made of: each a tree of values that remembers where it came from.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, bail};
use figment::util::nest;
use figment::value::{Dict, Map, Num, Value};
use figment::{Metadata, Profile, Provider};
use serde::Serialize;

/// Values from one place.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// The place, in words for a message: a file, a variable, a flag.
    name: String,
    values: Dict,
}

impl Layer {
    /// One value.
    fn one(name: &str, key: &str, value: Value) -> Self {
        let values = nest(key, value).into_dict().unwrap_or_default();
        Self {
            name: name.to_owned(),
            values,
        }
    }

    /// All values of `config`.
    pub(super) fn defaults(config: &super::Config) -> anyhow::Result<Self> {
        Ok(Self {
            name: "default".to_owned(),
            values: Value::serialize(config)?.into_dict().unwrap_or_default(),
        })
    }

    /// A configuration file.
    pub(super) fn file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("read the configuration {}", path.display()))?;
        // The error itself would show the line, which may hold a password.
        let values = toml::from_str(&text).map_err(|e: toml::de::Error| {
            let begin = e.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..begin]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            anyhow::anyhow!(
                "{} is no TOML: line {line}: {}",
                path.display(),
                e.message()
            )
        })?;
        Ok(Self {
            name: path.display().to_string(),
            values,
        })
    }

    /// Its keys with dots, and their values.
    pub(super) fn keys(&self) -> Vec<(String, &Value)> {
        let mut found = Vec::new();
        flatten("", &self.values, &mut found);
        found
    }

    /// Refuses keys that are not among `known`.
    pub(super) fn check(&self, known: &[(String, &Value)]) -> anyhow::Result<()> {
        for (key, _) in self.keys() {
            if known.iter().any(|(k, _)| *k == key) {
                continue;
            }
            if known.iter().any(|(k, _)| k.starts_with(&format!("{key}."))) {
                bail!(
                    "{}: `{key}` is a section; write `[{key}]` and its keys below",
                    self.name
                );
            }
            let near = near(&key, known);
            bail!(
                "{}: there is no key `{key}`{near}; `mast config` shows all",
                self.name
            );
        }
        Ok(())
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// An absent value of the defaults is a key too, an empty section of a file is none.
fn flatten<'a>(prefix: &str, values: &'a Dict, found: &mut Vec<(String, &'a Value)>) {
    for (name, value) in values {
        let key = format!("{prefix}{name}");
        match value {
            Value::Dict(_, inner) => flatten(&format!("{key}."), inner, found),
            value => found.push((key, value)),
        }
    }
}

/// `; did you mean …` where a known key has the same last word, or one that begins alike.
fn near(key: &str, known: &[(String, &Value)]) -> String {
    let word = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let begin: String = word(key).chars().take(4).collect();
    let found = known.iter().find(|(k, _)| word(k) == word(key));
    let found = found.or_else(|| {
        let alike = |k: &str| word(k).starts_with(&begin);
        known.iter().find(|(k, _)| alike(k))
    });
    found.map_or_else(String::new, |(k, _)| format!(", did you mean `{k}`?"))
}

/// Name of the variable that sets a key.
fn variable(key: &str) -> String {
    format!("MAST_{}", key.replace('.', "_").to_uppercase())
}

/// A layer for each of our variables in an environment. A variable that begins as one of our sections does and sets no key
/// is refused; other variables are somebody else's.
pub(super) fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
    known: &[(String, &Value)],
) -> anyhow::Result<Vec<Layer>> {
    let sections: Vec<String> = known
        .iter()
        .filter_map(|(key, _)| Some(variable(key.split_once('.')?.0)))
        .collect();
    let mut layers = Vec::new();
    for (name, text) in variables {
        let Some(name) = name.to_str().filter(|n| n.starts_with("MAST_")) else {
            continue;
        };
        let Some((key, default)) = known.iter().find(|(key, _)| variable(key) == name) else {
            let ours = |s: &String| name == s || name.starts_with(&format!("{s}_"));
            if sections.iter().any(ours) {
                let key = name["MAST_".len()..].to_lowercase();
                let near = near(&key.replacen('_', ".", 1), known);
                bail!("the environment's {name} sets no key{near}; `mast config` shows all");
            }
            continue;
        };
        let text = text
            .to_str()
            .with_context(|| format!("the environment's {name} is no UTF-8 text"))?;
        layers.push(Layer::one(name, key, typed(text, default)));
    }
    Ok(layers)
}

/// A text as what the key holds; a text that is none stays one, and is refused by its type later.
fn typed(text: &str, like: &Value) -> Value {
    match like {
        Value::Bool(..) => match text {
            "1" | "true" => Value::from(true),
            "0" | "false" => Value::from(false),
            other => Value::from(other),
        },
        Value::Num(..) => match text.parse::<i64>() {
            Ok(number) => Value::from(Num::from(number)),
            Err(_) => Value::from(text),
        },
        _ => Value::from(text),
    }
}

/// The flags that were given.
#[derive(Debug, Default)]
pub(crate) struct Flags(pub(super) Vec<Layer>);

impl Flags {
    /// Adds a flag, if it was given, as the value of a key.
    pub(crate) fn with(
        mut self,
        flag: &str,
        key: &str,
        value: Option<&impl Serialize>,
    ) -> anyhow::Result<Self> {
        if let Some(value) = value {
            self.0.push(Layer::one(flag, key, Value::serialize(value)?));
        }
        Ok(self)
    }
}
