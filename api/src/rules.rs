//! What an alert rule must be, beyond the types of its fields: the same for the API and for `mast rules check`.
//!
//! Numbers are decimals with at most three places here, and thousandths everywhere behind: no comparison is one of floats.

use std::fmt;

use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Severity};
use mast_schemas::control::Schedule;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::bounds::{TEXT_MAX, name_fault};
use crate::hours::{Written, day, minute};

/// What people decide of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleInput {
    /// Unique in the tenant.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// What it looks at.
    #[schema(example = "cpu")]
    pub kind: String,
    /// Which things it judges: `tenant`, `site`, `sector`, `group`, `tag` or `device`. Rules of places: `tenant`, `site` or `sector`.
    #[serde(default = "tenant")]
    pub scope: String,
    /// Id of the site, sector, group, tag or device; null for `tenant`.
    #[serde(default)]
    pub scope_id: Option<Uuid>,
    /// What is judged: `device`, `interface`, `site` or `sector`. Where the kind leaves no choice it can be left out.
    #[serde(default)]
    pub subject: Option<String>,
    /// Which interfaces, with `*` for any run of characters. For interface kinds, and needed there.
    #[serde(default)]
    pub interface: Option<String>,
    /// `gt`, `lt`, `gte` or `lte`. Null for kinds that are so or not: `offline`, `unmanageable`, `interface_down`, `site_down`.
    #[serde(default)]
    pub operator: Option<String>,
    /// A value beyond this is bad. At most three decimals.
    #[serde(default)]
    pub enter: Option<f64>,
    /// A value not beyond this is good again; null: as `enter`. It is on the good side of `enter`.
    #[serde(default)]
    pub clear: Option<f64>,
    /// Bad values in a row that fire; null: 2, or 1 for `offline`, `unmanageable` and `site_down`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub hits: Option<i32>,
    /// Good values in a row that clear; null: 2.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1000)]
    pub clears: Option<i32>,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    /// Whether it judges.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When it judges; null: always.
    #[serde(default)]
    pub schedule: Option<RuleSchedule>,
}

/// When a rule judges. Values of other times neither count nor reset what was counted, and an alert that is open stays so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSchedule {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; null: every day. Hours over midnight are of the day on which they begin.
    #[serde(default)]
    pub days: Option<Vec<String>>,
    /// From when, such as `08:00`; null: all day.
    #[serde(default)]
    pub from: Option<String>,
    /// Until when, that minute left out; before `from`: over midnight.
    #[serde(default)]
    pub to: Option<String>,
    /// Whose clock, such as `Europe/Ljubljana`.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn tenant() -> String {
    "tenant".to_owned()
}

const fn yes() -> bool {
    true
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFault {
    /// Where, as a JSON pointer.
    pub pointer: &'static str,
    /// What is wrong, and what would be right.
    pub detail: String,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.strip_prefix('/') {
            Some(field) => write!(f, "{field}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

/// The words of scopes.
const SCOPES: [&str; 6] = ["tenant", "site", "sector", "group", "tag", "device"];
/// Farthest from 0 that a threshold can be.
const FARTHEST: f64 = 1e9;
/// Most values in a row.
const ROW_MOST: i32 = 1_000;

/// A rule whose fields are right, as the model holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) kind: RuleKind,
    pub(crate) subject: RuleSubject,
    pub(crate) operator: Option<Operator>,
    pub(crate) enter_milli: i64,
    pub(crate) clear_milli: i64,
    pub(crate) hits: i32,
    pub(crate) clears: i32,
    pub(crate) severity: Severity,
    pub(crate) schedule: Option<Schedule>,
}

/// Thousandths of a decimal with at most three places; null for others, and for those too far from 0.
fn milli(value: f64) -> Option<i64> {
    let thousandths = value * 1_000.0;
    let whole = thousandths.round();
    // Two roundings of a double are less than this, and a fourth place is far more.
    let exact = (thousandths - whole).abs() <= whole.abs() * 1e-15;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number of at most 13 digits"
    )]
    (value.is_finite() && value.abs() <= FARTHEST && exact).then_some(whole as i64)
}

#[derive(Default)]
struct Faults(Vec<RuleFault>);

impl Faults {
    fn must(&mut self, holds: bool, pointer: &'static str, detail: impl Into<String>) {
        if !holds {
            let detail = detail.into();
            self.0.push(RuleFault { pointer, detail });
        }
    }

    fn word<T: std::str::FromStr>(
        &mut self,
        pointer: &'static str,
        word: &str,
        all: &[&str],
    ) -> Option<T> {
        let read = word.parse().ok();
        self.must(
            read.is_some(),
            pointer,
            format!("must be one of {}", all.join(", ")),
        );
        read
    }

    fn number(&mut self, pointer: &'static str, value: f64) -> Option<i64> {
        let read = milli(value);
        let rule = "must be a number from -1000000000 to 1000000000 with at most 3 decimals";
        self.must(read.is_some(), pointer, rule);
        read
    }
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|one| word(*one)).collect()
}

impl RuleInput {
    /// Everything that is wrong with it; empty: nothing.
    pub fn faults(&self) -> Vec<RuleFault> {
        self.checked().err().unwrap_or_default()
    }

    /// The rule as the model holds it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn checked(&self) -> Result<Checked, Vec<RuleFault>> {
        let mut faults = Faults::default();
        let fault = name_fault(&self.name);
        faults.must(fault.is_none(), "/name", fault.unwrap_or_default());
        if let Some(text) = &self.description {
            let fits = (1..=TEXT_MAX).contains(&text.len()) && !text.contains('\0');
            let rule = format!("must be null or have 1 to {TEXT_MAX} bytes, none of them NUL");
            faults.must(fits, "/description", rule);
        }
        let kind = faults.word("/kind", &self.kind, &words(RuleKind::ALL, RuleKind::as_str));
        let all = words(Severity::ALL, Severity::as_str);
        let severity = faults.word("/severity", &self.severity, &all);
        let known = SCOPES.contains(&self.scope.as_str());
        faults.must(
            known,
            "/scope",
            format!("must be one of {}", SCOPES.join(", ")),
        );
        let whole = self.scope == "tenant";
        faults.must(
            whole != self.scope_id.is_some() || !known,
            "/scope_id",
            "must name what the scope is; of tenant it is null",
        );
        for (pointer, value) in [("/hits", self.hits), ("/clears", self.clears)] {
            let within = value.is_none_or(|value| (1..=ROW_MOST).contains(&value));
            faults.must(within, pointer, format!("must be 1 to {ROW_MOST}"));
        }
        let schedule = self.schedule(&mut faults);
        let subject = kind.and_then(|kind| self.subject(kind, &mut faults));
        self.interface(subject, &mut faults);
        let compared = kind.and_then(|kind| self.compared(kind, &mut faults));
        let (Some(kind), Some(severity), Some(subject), Some(compared)) =
            (kind, severity, subject, compared)
        else {
            return Err(faults.0);
        };
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        let settled = matches!(
            kind,
            RuleKind::Offline | RuleKind::Unmanageable | RuleKind::SiteDown
        );
        let (operator, enter_milli, clear_milli) = compared;
        Ok(Checked {
            kind,
            subject,
            operator,
            enter_milli,
            clear_milli,
            hits: self.hits.unwrap_or(if settled { 1 } else { 2 }),
            clears: self.clears.unwrap_or(2),
            severity,
            schedule,
        })
    }

    fn schedule(&self, faults: &mut Faults) -> Option<Schedule> {
        const POINTERS: [&str; 4] = [
            "/schedule/days",
            "/schedule/from",
            "/schedule/to",
            "/schedule/time_zone",
        ];
        let schedule = self.schedule.as_ref()?;
        let written = Written {
            days: schedule.days.as_deref(),
            from: schedule.from.as_deref(),
            to: schedule.to.as_deref(),
            time_zone: &schedule.time_zone,
        };
        for (pointer, rule) in written.faults(POINTERS) {
            faults.must(false, pointer, rule);
        }
        let number = |word: &String| u8::try_from(day(word)?).ok();
        let minute = |text: &Option<String>| u16::try_from(minute(text.as_deref()?)?).ok();
        Some(Schedule {
            days: schedule.days.iter().flatten().filter_map(number).collect(),
            from_minute: minute(&schedule.from),
            to_minute: minute(&schedule.to),
            time_zone: schedule.time_zone.clone(),
        })
    }

    fn subject(&self, kind: RuleKind, faults: &mut Faults) -> Option<RuleSubject> {
        let all = words(RuleSubject::ALL, RuleSubject::as_str);
        let named = match self.subject.as_deref() {
            Some(word) => Some(faults.word::<RuleSubject>("/subject", word, &all)?),
            None => None,
        };
        let place = |s: &RuleSubject| matches!(s, RuleSubject::Site | RuleSubject::Sector);
        let subject = match (kind.subject(), named) {
            (Some(only), None) => Some(only),
            (Some(only), Some(named)) => (only == named).then_some(only),
            (None, named) => named.filter(place),
        };
        let rule = match kind.subject() {
            Some(only) => format!("must be {only} for {kind}"),
            None => format!("must be site or sector for {kind}"),
        };
        faults.must(subject.is_some(), "/subject", rule);
        let subject = subject?;
        let fits = match subject {
            RuleSubject::Site => matches!(&*self.scope, "tenant" | "site"),
            RuleSubject::Sector => matches!(&*self.scope, "tenant" | "site" | "sector"),
            RuleSubject::Device | RuleSubject::Interface => true,
        };
        let scopes = match subject {
            RuleSubject::Site => "tenant or site",
            _ => "tenant, site or sector",
        };
        faults.must(
            fits,
            "/scope",
            format!("must be {scopes} where a {subject} is judged"),
        );
        Some(subject)
    }

    fn interface(&self, subject: Option<RuleSubject>, faults: &mut Faults) {
        let Some(subject) = subject else {
            return;
        };
        match (subject == RuleSubject::Interface, &self.interface) {
            (true, None) => {
                let rule = "must say which interfaces, such as ether1 or sfp*; * is all of them";
                faults.must(false, "/interface", rule);
            }
            (true, Some(name)) => {
                let fault = name_fault(name);
                faults.must(fault.is_none(), "/interface", fault.unwrap_or_default());
            }
            (false, named) => faults.must(
                named.is_none(),
                "/interface",
                "must be null for kinds that are not of interfaces",
            ),
        }
    }

    /// Operator and thresholds.
    fn compared(
        &self,
        kind: RuleKind,
        faults: &mut Faults,
    ) -> Option<(Option<Operator>, i64, i64)> {
        if kind.is_state() {
            let rule = format!("must be null for {kind}, which is so or not");
            faults.must(self.operator.is_none(), "/operator", rule.clone());
            faults.must(self.enter.is_none(), "/enter", rule.clone());
            faults.must(self.clear.is_none(), "/clear", rule);
            return Some((None, 0, 0));
        }
        let all = words(Operator::ALL, Operator::as_str);
        let word = self.operator.as_deref().unwrap_or_default();
        let operator = faults.word::<Operator>("/operator", word, &all);
        faults.must(self.enter.is_some(), "/enter", "must be a number");
        let enter = self.enter.and_then(|enter| faults.number("/enter", enter));
        let clear = match self.clear {
            Some(clear) => faults.number("/clear", clear),
            None => enter,
        };
        let (operator, enter, clear) = (operator?, enter?, clear?);
        let (good, side) = match operator {
            Operator::Gt | Operator::Gte => (clear <= enter, "above"),
            Operator::Lt | Operator::Lte => (clear >= enter, "below"),
        };
        faults.must(good, "/clear", format!("must not be {side} enter"));
        Some((Some(operator), enter, clear))
    }
}

/// Thousandths as a decimal.
#[expect(
    clippy::cast_precision_loss,
    reason = "at most 13 digits, which a double holds"
)]
pub(crate) fn decimal(milli: i64) -> f64 {
    milli as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> RuleInput {
        serde_json::from_value(json).unwrap()
    }

    fn cpu() -> RuleInput {
        rule(serde_json::json!({
            "name": "cpu", "kind": "cpu", "operator": "gt", "enter": 90.5, "clear": 80, "severity": "warning"
        }))
    }

    fn pointers(rule: &RuleInput) -> Vec<&'static str> {
        rule.faults().iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn what_is_left_out_is_what_the_kind_says() {
        let checked = cpu().checked().unwrap();
        assert_eq!(
            (checked.subject, checked.enter_milli, checked.clear_milli),
            (RuleSubject::Device, 90_500, 80_000)
        );
        assert_eq!((checked.hits, checked.clears), (2, 2));
        let offline = rule(serde_json::json!({
            "name": "x", "kind": "offline", "severity": "critical"
        }));
        let checked = offline.checked().unwrap();
        assert_eq!((checked.operator, checked.hits), (None, 1));
        let no_clear = RuleInput {
            clear: None,
            ..cpu()
        };
        assert_eq!(no_clear.checked().unwrap().clear_milli, 90_500);
    }

    #[test]
    fn a_schedule_is_written_as_that_of_a_route() {
        let scheduled = |schedule: serde_json::Value| {
            let schedule = serde_json::from_value(schedule).unwrap();
            let rule = RuleInput { schedule, ..cpu() };
            rule.checked().unwrap().schedule
        };
        assert_eq!(scheduled(serde_json::json!(null)), None);
        let night = serde_json::json!({ "days": ["fri", "sat"], "from": "22:00", "to": "06:00",
            "time_zone": "Europe/Ljubljana" });
        let expected = Schedule {
            days: vec![5, 6],
            from_minute: Some(1_320),
            to_minute: Some(360),
            time_zone: "Europe/Ljubljana".to_owned(),
        };
        assert_eq!(scheduled(night), Some(expected));
        let sundays = scheduled(serde_json::json!({ "days": ["sun"] })).unwrap();
        let said = (sundays.days, sundays.from_minute, &*sundays.time_zone);
        assert_eq!(said, (vec![7], None, "UTC"));
    }

    #[test]
    fn numbers_have_three_places_and_no_more() {
        for (value, thousandths) in [
            (0.1, Some(100)),
            (-75.125, Some(-75_125)),
            (999_999_999.999, Some(999_999_999_999)),
            (0.0005, None),
            (1.000_1, None),
            (1e9 + 1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(milli(value), thousandths, "{value}");
            if let Some(back) = thousandths {
                assert_eq!(decimal(back), value);
            }
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_named_where_it_is() {
        let all = |change: fn(&mut RuleInput)| {
            let mut rule = cpu();
            change(&mut rule);
            pointers(&rule)
        };
        assert_eq!(all(|_| ()), Vec::<&str>::new());
        assert_eq!(all(|r| r.name = String::new()), ["/name"]);
        assert_eq!(
            all(|r| r.description = Some(String::new())),
            ["/description"]
        );
        assert_eq!(all(|r| r.kind = "heat".to_owned()), ["/kind"]);
        assert_eq!(all(|r| r.severity = "bad".to_owned()), ["/severity"]);
        assert_eq!(all(|r| r.scope = "world".to_owned()), ["/scope"]);
        assert_eq!(all(|r| r.scope = "site".to_owned()), ["/scope_id"]);
        assert_eq!(all(|r| r.scope_id = Some(Uuid::nil())), ["/scope_id"]);
        assert_eq!(all(|r| r.subject = Some("site".to_owned())), ["/subject"]);
        assert_eq!(all(|r| r.interface = Some("*".to_owned())), ["/interface"]);
        assert_eq!(all(|r| r.operator = None), ["/operator"]);
        assert_eq!(all(|r| r.enter = None), ["/enter"]);
        assert_eq!(all(|r| r.enter = Some(90.000_5)), ["/enter"]);
        assert_eq!(all(|r| r.clear = Some(91.0)), ["/clear"]);
        assert_eq!(all(|r| r.hits = Some(0)), ["/hits"]);
        assert_eq!(all(|r| r.clears = Some(1_001)), ["/clears"]);
        let below = |r: &mut RuleInput| {
            r.operator = Some("lte".to_owned());
            r.clear = Some(90.0);
        };
        assert_eq!(all(below), ["/clear"]);
        let port = |r: &mut RuleInput| r.kind = "interface_utilization".to_owned();
        assert_eq!(all(port), ["/interface"]);
        let place = |r: &mut RuleInput| r.kind = "link_down_count".to_owned();
        assert_eq!(all(place), ["/subject"]);
        let within = |r: &mut RuleInput| {
            r.kind = "link_down_count".to_owned();
            r.subject = Some("site".to_owned());
            r.scope = "sector".to_owned();
            r.scope_id = Some(Uuid::nil());
        };
        assert_eq!(all(within), ["/scope"]);
        let odd = |r: &mut RuleInput| {
            r.schedule = Some(RuleSchedule {
                days: Some(vec!["mon".to_owned(), "mon".to_owned()]),
                from: Some("8:00".to_owned()),
                to: None,
                time_zone: "Nowhere/Land".to_owned(),
            });
        };
        let wrong = ["days", "from", "to", "time_zone"].map(|field| format!("/schedule/{field}"));
        assert_eq!(all(odd), wrong);
        let state = |r: &mut RuleInput| r.kind = "site_down".to_owned();
        assert_eq!(all(state), ["/operator", "/enter", "/clear"]);
    }
}
