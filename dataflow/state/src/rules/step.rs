//! What a value means to a rule, and one step of a rule by a value. All of §18 that is arithmetic is here.

use mast_schemas::Timestamp;
use mast_schemas::checkpoint::JudgedRecord;
use mast_schemas::control::Rule;

/// Whether a value, in thousandths, is bad. A rule that compares, but has no operator, finds nothing bad.
pub fn bad(rule: &Rule, value_milli: i64) -> bool {
    if rule.kind.is_state() {
        return value_milli != 0;
    }
    let operator = rule.operator;
    operator.is_some_and(|operator| operator.holds(value_milli, rule.enter_milli))
}

/// Whether a value, in thousandths, is good. Between bad and good a value may be neither.
pub fn good(rule: &Rule, value_milli: i64) -> bool {
    if rule.kind.is_state() {
        return value_milli == 0;
    }
    let operator = rule.operator;
    operator.is_none_or(|operator| !operator.holds(value_milli, rule.clear_milli))
}

/// Whether a name is one of those that `pattern` says, with `*` for any run of characters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    // Each piece at the first place where it fits leaves the most to those after it.
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Where a rule is with a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No alert is open.
    Ok,
    /// An alert is open: since when, and by which value, thousandths.
    Firing(Timestamp, i64),
    /// A person resolved the alert, and the values have not been good since.
    Latched,
}

/// How far a rule is with a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub phase: Phase,
    /// Bad values in a row where no alert is open, else good ones.
    pub run: u16,
}

/// What a step made of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It opened.
    Opened,
    /// It resolved; when it had opened, and by which value, thousandths.
    Cleared(Timestamp, i64),
}

impl Default for Progress {
    fn default() -> Self {
        let phase = Phase::Ok;
        Self { phase, run: 0 }
    }
}

impl Progress {
    /// One value.
    pub fn step(&mut self, rule: &Rule, at: Timestamp, value_milli: i64) -> Option<Step> {
        let (counts, most) = match self.phase {
            Phase::Ok => (bad(rule, value_milli), rule.hits),
            Phase::Firing(..) | Phase::Latched => (good(rule, value_milli), rule.clears),
        };
        self.run = if counts {
            self.run.saturating_add(1)
        } else {
            0
        };
        if !counts || self.run < most {
            return None;
        }
        self.run = 0;
        let phase = match self.phase {
            Phase::Ok => Phase::Firing(at, value_milli),
            Phase::Firing(..) | Phase::Latched => Phase::Ok,
        };
        match std::mem::replace(&mut self.phase, phase) {
            Phase::Ok => Some(Step::Opened),
            Phase::Firing(at, value_milli) => Some(Step::Cleared(at, value_milli)),
            Phase::Latched => None,
        }
    }

    /// Whether it is as if there had been no value.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&JudgedRecord> for Progress {
    fn from(record: &JudgedRecord) -> Self {
        let phase = match record.open {
            Some((at, value_milli)) => Phase::Firing(at, value_milli),
            None if record.latched => Phase::Latched,
            None => Phase::Ok,
        };
        let run = record.run;
        Self { phase, run }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::alerts::{Operator, RuleKind, RuleSubject, Scope, Severity};
    use mast_schemas::{RuleId, TenantId};

    fn rule(operator: Option<Operator>, enter: i64, clear: i64) -> Rule {
        Rule {
            id: RuleId::new(),
            tenant_id: TenantId::new(),
            name: String::new(),
            kind: if operator.is_some() {
                RuleKind::Cpu
            } else {
                RuleKind::Offline
            },
            scope: Scope::Tenant,
            subject: RuleSubject::Device,
            interface: None,
            operator,
            enter_milli: enter,
            clear_milli: clear,
            hits: 3,
            clears: 2,
            severity: Severity::Warning,
            enabled: true,
            version: 1,
            schedule: None,
        }
    }

    #[test]
    fn each_operator_tells_bad_from_good_and_leaves_room_between() {
        use Operator::{Gt, Gte, Lt, Lte};
        // (operator, enter, clear), and of values whether they are bad and whether they are good.
        for (operator, enter, clear, values) in [
            (
                Gt,
                90,
                80,
                [(91, true, false), (90, false, false), (80, false, true)],
            ),
            (
                Gte,
                90,
                80,
                [(90, true, false), (80, false, false), (79, false, true)],
            ),
            (
                Lt,
                -75,
                -72,
                [(-76, true, false), (-75, false, false), (-72, false, true)],
            ),
            (
                Lte,
                -75,
                -72,
                [(-75, true, false), (-72, false, false), (-71, false, true)],
            ),
        ] {
            let rule = rule(Some(operator), enter, clear);
            for (value, is_bad, is_good) in values {
                assert_eq!(bad(&rule, value), is_bad, "{operator:?} {value}");
                assert_eq!(good(&rule, value), is_good, "{operator:?} {value}");
            }
        }
        let state = rule(None, 0, 0);
        assert!(bad(&state, 1_000) && !good(&state, 1_000));
        assert!(!bad(&state, 0) && good(&state, 0));
    }

    #[test]
    fn each_row_of_the_table_of_steps() {
        let rule = rule(Some(Operator::Gt), 90, 80);
        let (bad, good, neither) = (91, 80, 85);
        let firing = Phase::Firing(Timestamp(3), 95);
        let at = Timestamp(7);
        let opened = (Phase::Firing(at, bad), 0, Some(Step::Opened));
        let cleared = Some(Step::Cleared(Timestamp(3), 95));
        for (phase, run, value, (then, left, told)) in [
            (Phase::Ok, 0, bad, (Phase::Ok, 1, None)),
            (Phase::Ok, 1, bad, (Phase::Ok, 2, None)),
            (Phase::Ok, 2, bad, opened),
            // Fewer hits are asked for since: the next bad value fires.
            (Phase::Ok, 9, bad, opened),
            (Phase::Ok, 2, neither, (Phase::Ok, 0, None)),
            (Phase::Ok, 2, good, (Phase::Ok, 0, None)),
            (firing, 0, good, (firing, 1, None)),
            (firing, 1, good, (Phase::Ok, 0, cleared)),
            (firing, 1, neither, (firing, 0, None)),
            (firing, 1, bad, (firing, 0, None)),
            (Phase::Latched, 0, good, (Phase::Latched, 1, None)),
            (Phase::Latched, 1, good, (Phase::Ok, 0, None)),
            (Phase::Latched, 1, neither, (Phase::Latched, 0, None)),
            (Phase::Latched, 1, bad, (Phase::Latched, 0, None)),
        ] {
            let mut progress = Progress { phase, run };
            assert_eq!(
                progress.step(&rule, at, value),
                told,
                "{phase:?} {run} {value}"
            );
            assert_eq!(
                progress,
                Progress {
                    phase: then,
                    run: left
                },
                "{phase:?} {run} {value}"
            );
        }
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, name, is) in [
            ("ether1", "ether1", true),
            ("ether1", "ether10", false),
            ("", "", true),
            ("", "ether1", false),
            ("*", "", true),
            ("*", "ether1", true),
            ("ether*", "ether10", true),
            ("ether*", "sfp1", false),
            ("*uplink", "the uplink", true),
            ("*uplink", "uplink 2", false),
            ("a*b*c", "a-bc-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
            ("ü*", "über", true),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }
}
