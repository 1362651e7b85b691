//! `mast rules`: when people are told.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use mast_api::rules::RuleInput;
use serde_json::Value;

use crate::config::{Config, Flags};
use crate::local::{Filter, Of, print_list};

/// The API's list.
const PATH: &str = "/api/v1/rules";
/// What the table shows.
const FIELDS: &[&str] = &[
    "name",
    "kind",
    "scope",
    "scope_name",
    "subject",
    "interface",
    "operator",
    "enter",
    "clear",
    "hits",
    "clears",
    "severity",
    "enabled",
    "schedule",
    "alerts",
];

/// List alert rules, and check those of a file before they are put in.
///
/// By the data folder, beside a running installation or without one. A check needs neither.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    of: Of,
}

const EXAMPLES: &str = "\
Examples:
  mast rules list --data noc
  mast rules list --disabled --json
  mast rules check rules.toml

rules.toml:
  [[rules]]
  name = \"CPU of towers\"
  kind = \"cpu\"
  operator = \"gt\"
  enter = 90
  clear = 80.5
  hits = 5
  severity = \"warning\"
  # When it judges; always where it is left out.
  schedule = { days = [\"fri\", \"sat\"], from = \"22:00\", to = \"06:00\", time_zone = \"Europe/Ljubljana\" }";

#[derive(Subcommand)]
enum What {
    /// All rules, by name.
    List {
        /// Those that don't judge alone.
        #[arg(long)]
        disabled: bool,
        /// At most so many.
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// Check the rules of a file as the API would, but for whether what their scopes name is there. JSON: a rule, a list of rules, or
    /// an object with `rules`; TOML: `[[rules]]`. Exit code 1 where one is wrong.
    Check {
        /// The file; what does not end in .toml is JSON.
        file: PathBuf,
    },
}

impl Args {
    pub(crate) fn flags(&self, flags: Flags) -> anyhow::Result<Flags> {
        self.of.flags(flags)
    }

    pub(crate) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let Self { what, of } = self;
        match what {
            What::Check { file } => check(&file, of.json),
            What::List { disabled, limit } => {
                of.with(config, async |api| {
                    let filter = match disabled {
                        true => Filter::default().is("enabled", "false"),
                        false => Filter::default(),
                    };
                    let (mut rules, more) = api.list(PATH, &filter, "name", limit).await?;
                    if !of.json {
                        rules.iter_mut().for_each(in_words);
                    }
                    print_list(&rules, more, FIELDS, of.json)
                })
                .await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// When a rule judges, as one text.
fn in_words(rule: &mut Value) {
    let schedule = &rule["schedule"];
    if schedule.is_null() {
        return;
    }
    let text = |field: &str| schedule[field].as_str();
    let days = schedule["days"].as_array().map(|days| {
        let days = days.iter().filter_map(Value::as_str);
        days.collect::<Vec<_>>().join(",")
    });
    let hours = text("from").zip(text("to"));
    let hours = hours.map(|(from, to)| format!("{from}-{to}"));
    let zone = text("time_zone").map(str::to_owned);
    let words: Vec<String> = [days, hours, zone].into_iter().flatten().collect();
    rule["schedule"] = words.join(" ").into();
}

/// Checks all rules of a file and says what is wrong with each.
fn check(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let rules = read(&text, file.extension().is_some_and(|kind| kind == "toml"))
        .with_context(|| format!("{} holds no rules", file.display()))?;
    let mut faults = Vec::new();
    for (n, rule) in rules.iter().enumerate() {
        let name = rule["name"]
            .as_str()
            .map_or_else(|| format!("rule {}", n + 1), str::to_owned);
        let wrong = wrong(rule.clone());
        faults.extend(wrong.into_iter().map(|fault| (n + 1, name.clone(), fault)));
    }
    // A name is there once in a tenant.
    for (n, rule) in rules.iter().enumerate() {
        let before = rules[..n]
            .iter()
            .position(|other| other["name"] == rule["name"]);
        if let (Some(before), Some(name)) = (before, rule["name"].as_str()) {
            let fault = format!("name: rule {} has it too", before + 1);
            faults.push((n + 1, name.to_owned(), fault));
        }
    }
    if json {
        let faults: Vec<Value> = faults
            .iter()
            .map(|(n, name, fault)| serde_json::json!({ "rule": n, "name": name, "fault": fault }))
            .collect();
        crate::output::json(&serde_json::json!({ "rules": rules.len(), "faults": faults }))?;
    } else {
        for (_, name, fault) in &faults {
            crate::output::line(&crate::table::plain(&format!("{name}: {fault}")))?;
        }
        let (all, bad) = (rules.len(), faults.len());
        crate::output::line(&format!("{all} rules, {bad} faults"))?;
    }
    Ok(match faults.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The rules of a text, as they are written.
fn read(text: &str, toml: bool) -> anyhow::Result<Vec<Value>> {
    let whole: Value = match toml {
        true => toml::from_str(text)?,
        false => serde_json::from_str(text)?,
    };
    match whole {
        Value::Array(rules) => Ok(rules),
        Value::Object(mut fields) => match fields.remove("rules") {
            Some(Value::Array(rules)) => Ok(rules),
            Some(_) => bail!("`rules` is a list"),
            None => Ok(vec![Value::Object(fields)]),
        },
        _ => bail!("give a rule, or a list of rules"),
    }
}

/// What is wrong with a rule.
fn wrong(rule: Value) -> Vec<String> {
    match serde_path_to_error::deserialize::<_, RuleInput>(rule) {
        Ok(rule) => rule.faults().iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{ "name": "a", "kind": "offline", "severity": "critical" }"#;

    #[test]
    fn rules_are_read_however_they_are_listed() {
        for text in [
            GOOD.to_owned(),
            format!("[{GOOD}]"),
            format!(r#"{{ "rules": [{GOOD}] }}"#),
        ] {
            let rules = read(&text, false).unwrap();
            assert_eq!(rules.len(), 1, "{text}");
            assert_eq!(wrong(rules[0].clone()), Vec::<String>::new());
        }
        let toml =
            "[[rules]]\nname = 'a'\nkind = 'cpu'\noperator = 'gt'\nenter = 90\nseverity = 'info'\n";
        assert_eq!(
            wrong(read(toml, true).unwrap().remove(0)),
            Vec::<String>::new()
        );
        for text in ["1", "{", r#"{ "rules": 1 }"#] {
            assert!(read(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn when_a_rule_judges_is_one_cell() {
        let shown = |schedule: Value| {
            let mut rule = serde_json::json!({ "schedule": schedule });
            in_words(&mut rule);
            rule["schedule"].clone()
        };
        let night = serde_json::json!({ "days": ["fri", "sat"], "from": "22:00", "to": "06:00",
            "time_zone": "Europe/Ljubljana" });
        assert_eq!(shown(night), "fri,sat 22:00-06:00 Europe/Ljubljana");
        let sundays =
            serde_json::json!({ "days": ["sun"], "from": null, "to": null, "time_zone": "UTC" });
        assert_eq!(shown(sundays), "sun UTC");
        assert_eq!(shown(Value::Null), Value::Null);
    }

    #[test]
    fn the_example_is_right() {
        let (_, toml) = EXAMPLES.split_once("rules.toml:\n").unwrap();
        let rules = read(toml, true).unwrap();
        assert_eq!(wrong(rules[0].clone()), Vec::<String>::new());
    }

    #[test]
    fn a_fault_says_where_it_is() {
        let wrong = |text: &str| wrong(serde_json::from_str(text).unwrap());
        let no_threshold =
            r#"{ "name": "a", "kind": "cpu", "operator": "gt", "severity": "info" }"#;
        assert_eq!(wrong(no_threshold), ["enter: must be a number"]);
        let typo = r#"{ "name": "a", "kind": "cpu", "severity": "info", "hit": 3 }"#;
        assert!(wrong(typo)[0].contains("unknown field `hit`"), "{typo}");
        let nowhere = r#"{ "name": "a", "kind": "offline", "severity": "info", "schedule": { "time_zone": "x" } }"#;
        assert_eq!(
            wrong(nowhere),
            ["schedule/time_zone: must be a time zone of IANA, such as Europe/Ljubljana"]
        );
        let number = r#"{ "name": "a", "kind": "cpu", "severity": "info", "hits": "x" }"#;
        assert!(
            wrong(number)[0].starts_with("hits: "),
            "{:?}",
            wrong(number)
        );
    }
}
