//! The scenario file: one event a line.
//!
//! ```text
//! # at TIME  EVENT  key=value …
//! at 5m      rain   site=3 db=18 for=2m
//! at 6m30s   ap_dead ap=tower-01-s1-ap for=45s
//! ```
//!
//! A control line is the same without `at`, or with `now`. Names are those of the inventory; a
//! number counts from 1 in inventory order; a device can also be named by its address. A mistake is
//! refused with its line number before anything happens.

mod arguments;

use std::collections::BTreeMap;

use self::arguments::Arguments;
use crate::{
    error::SimulatorError,
    trouble,
    world::{
        Event,
        model::{Ms, Plan},
    },
};

/// Reads a whole scenario.
///
/// # Errors
/// [`SimulatorError::Scenario`] with the number of the first line that cannot be carried out.
pub fn parse(text: &str, plan: &Plan) -> Result<Vec<Event>, SimulatorError> {
    let mut events = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let parsed = parse_line(line, plan, 0);
        events.extend(parsed.map_err(|reason| SimulatorError::Scenario {
            line: index + 1,
            reason,
        })?);
    }
    Ok(events)
}

/// Reads one control line; an event without a time is at `now_ms`, `at` counts from the origin.
///
/// # Errors
/// What is wrong with the line.
pub fn parse_line(line: &str, plan: &Plan, now_ms: Ms) -> Result<Vec<Event>, String> {
    let mut words = line.split_whitespace().peekable();
    let mut at_ms = now_ms;
    match words.peek().copied() {
        Some("at") => {
            words.next();
            at_ms = duration_ms(words.next().ok_or("`at` needs a time, as in `at 5m`")?)?;
        }
        Some("now") => {
            words.next();
        }
        _ => {}
    }
    let verb = words.next().ok_or("an event is missing")?;
    let mut arguments = Arguments {
        given: BTreeMap::new(),
        plan,
    };
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or(format!("`{word}` is not key=value"))?;
        if arguments.given.insert(key, value).is_some() {
            return Err(format!("`{key}` is given twice"));
        }
    }
    for key in ["from", "at"] {
        if let Some(time) = arguments.given.remove(key) {
            at_ms = duration_ms(time)?;
        }
    }
    let for_ms = arguments.duration("for")?;
    let events = if verb == "trouble" {
        let seed = arguments.number("seed")?.unwrap_or(1.0) as u64;
        let every = arguments.duration("every")?.unwrap_or(30_000).max(1);
        trouble::events(plan, seed, at_ms, for_ms.unwrap_or(600_000), every)
    } else {
        vec![arguments.event(verb, at_ms, for_ms)?]
    };
    match arguments.given.keys().next() {
        Some(key) => Err(format!("`{verb}` has no `{key}`")),
        None => Ok(events),
    }
}

/// Reads `90s`, `1m30s`, `250ms`, `2h`, or plain seconds.
fn duration_ms(text: &str) -> Result<Ms, String> {
    let wrong = || format!("`{text}` is not a time; write 90s, 1m30s or 250ms");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Ms::from(seconds) * 1_000);
    }
    let mut total: Ms = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let value: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let units = [
            ("ms", 1),
            ("s", 1_000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
        ];
        let (unit, size) = units
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(wrong)?;
        rest = &rest[unit.len()..];
        total += Ms::from(value) * size;
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Action, Scope, layout::lay_out};

    fn reason(text: &str) -> (usize, String) {
        match parse(text, &lay_out(1, 100, 0)) {
            Err(SimulatorError::Scenario { line, reason }) => (line, reason),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_file_of_events() {
        let plan = lay_out(1, 100, 0);
        let text = "# weather\n\nat 5m rain site=3 db=18 for=2m # heavy\n\
                    reboot device=tower-01-router from=90\nnow heal\n";
        let events = parse(text, &plan).unwrap();
        assert_eq!(
            events[0],
            Event {
                at_ms: 300_000,
                for_ms: Some(120_000),
                action: Action::Attenuate {
                    scope: Scope::Site(2),
                    db: 18.0
                },
            }
        );
        assert_eq!(events[1].at_ms, 90_000);
        assert_eq!(events[1].for_ms, Some(15_000));
        assert_eq!(events[2].action, Action::Heal);
    }

    #[test]
    fn mistakes_name_their_line() {
        assert_eq!(reason("\n# fine\nat 5m snow site=1").0, 3);
        assert!(
            reason("at 5 minutes site=1")
                .1
                .contains("`minutes` is no event")
        );
        assert!(reason("rain site=99").1.contains("no site `99`"));
        assert!(reason("rain site=1 site=2").1.contains("twice"));
        assert!(reason("rain site=1 colour=red").1.contains("no `colour`"));
        assert!(reason("rain").1.contains("say where"));
        assert!(reason("ap_dead ap=tower-01-router").1.contains("no ap"));
        assert!(reason("at 5x rain site=1").1.contains("not a time"));
        assert!(reason("signal site=1").1.contains("db="));
        assert!(reason("signal site=1 db=NaN").1.contains("not a number"));
    }

    #[test]
    fn a_client_roams_within_its_tenant_only() {
        let plan = lay_out(1, 100, 0);
        let refused = parse_line("roam cpe=tower-01-s1-c01 to=tower-02-s1-ap", &plan, 0);
        assert!(refused.unwrap_err().contains("another tenant"));
        assert!(parse_line("roam cpe=tower-01-s1-c01 to=tower-01-s2-ap", &plan, 0).is_ok());
    }

    #[test]
    fn times_in_every_spelling() {
        assert_eq!(duration_ms("1h2m3s4ms"), Ok(3_723_004));
        assert_eq!(duration_ms("90"), Ok(90_000));
        assert!(duration_ms("").is_err() && duration_ms("5").is_ok() && duration_ms("m").is_err());
    }
}
