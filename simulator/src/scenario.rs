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

use std::collections::BTreeMap;

use crate::{
    error::SimulatorError,
    trouble,
    world::{
        Action, Event, Scope,
        faults::{Fault, Hostile, Stall},
        model::{Ms, Plan, Role},
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

struct Arguments<'a> {
    given: BTreeMap<&'a str, &'a str>,
    plan: &'a Plan,
}

impl Arguments<'_> {
    fn event(&mut self, verb: &str, at_ms: Ms, for_ms: Option<Ms>) -> Result<Event, String> {
        let mut for_ms = for_ms;
        let action = match verb {
            "rain" => Action::Attenuate {
                scope: self.scope()?,
                db: self.number("db")?.unwrap_or(15.0),
            },
            "signal" => {
                let db = self.number("db")?.ok_or("`signal` needs db=")?;
                Action::Attenuate {
                    scope: self.scope()?,
                    db: -db,
                }
            }
            "interference" => Action::Interfere {
                scope: self.scope()?,
                db: self.number("db")?.unwrap_or(15.0),
            },
            "ap_dead" => self.power_off("ap")?,
            "cpe_dead" => self.power_off("cpe")?,
            "dead" => self.power_off("device")?,
            "power" => {
                let site = self.site()?.ok_or("`power` needs site=")?;
                Action::PowerOff {
                    devices: self.plan.sites[site].tower.clone(),
                    graceful: false,
                }
            }
            "reboot" => {
                for_ms = Some(for_ms.unwrap_or(15_000));
                Action::PowerOff {
                    devices: vec![self.device_of(verb)?],
                    graceful: true,
                }
            }
            "silent" => Action::Silence {
                device: self.device_of(verb)?,
            },
            "clients_lost" => Action::LoseClients {
                device: self.required("ap")?,
            },
            "wrong_password" => Action::WrongPassword {
                device: self.device_of(verb)?,
            },
            "slow" => {
                let ms = self.duration("ms")?.unwrap_or(500).clamp(0, 600_000) as u32;
                Action::Slow {
                    device: self.device_of(verb)?,
                    ms,
                }
            }
            "reset" => self.fault(verb, Fault::Reset)?,
            "certificate" => self.fault(verb, Fault::Certificate)?,
            "stall" => {
                let at = self.named("step", &Stall::NAMES)?;
                self.fault(verb, Fault::Stall(at.unwrap_or(Stall::Answer)))?
            }
            "hostile" => {
                let how = self.named("mode", &Hostile::NAMES)?;
                self.fault(verb, Fault::Hostile(how.unwrap_or(Hostile::Garbage)))?
            }
            "slow_cpu" => {
                let ms = self.duration("ms")?.unwrap_or(50).clamp(0, 60_000) as u32;
                self.fault(verb, Fault::SlowCpu(ms))?
            }
            "nat" => Action::ForgetPaths {
                device: self.device_of(verb)?,
            },
            "roam" => self.roam()?,
            "flap" => {
                let every_ms = self.duration("every")?.unwrap_or(10_000);
                Action::Flap {
                    clients: self.flapping()?,
                    every_ms,
                }
            }
            "heal" => Action::Heal,
            _ => {
                return Err(format!(
                    "`{verb}` is no event; events are rain, signal, interference, ap_dead, \
                     cpe_dead, dead, power, reboot, silent, clients_lost, wrong_password, slow, \
                     slow_cpu, reset, stall, certificate, nat, hostile, roam, flap, heal, trouble"
                ));
            }
        };
        Ok(Event {
            at_ms,
            for_ms,
            action,
        })
    }

    fn fault(&mut self, verb: &str, fault: Fault) -> Result<Action, String> {
        Ok(Action::Fault {
            device: self.device_of(verb)?,
            fault,
        })
    }

    /// One of some words.
    fn named<T: Copy>(&mut self, key: &str, known: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(text) = self.given.remove(key) else {
            return Ok(None);
        };
        let found = known.iter().find(|(name, _)| *name == text);
        let names = || {
            known
                .iter()
                .map(|(name, _)| *name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match found {
            Some((_, value)) => Ok(Some(*value)),
            None => Err(format!("`{key}={text}`: it is one of {}", names())),
        }
    }

    fn power_off(&mut self, key: &str) -> Result<Action, String> {
        Ok(Action::PowerOff {
            devices: vec![self.required(key)?],
            graceful: false,
        })
    }

    fn roam(&mut self) -> Result<Action, String> {
        let cpe = self.required("cpe")?;
        let client = self.client(cpe)?;
        let to = self.required("to")?;
        let device = &self.plan.devices[to];
        if device.tenant != self.plan.devices[cpe].tenant {
            return Err(format!("`{}` is of another tenant", device.name));
        }
        let radio = device
            .radios
            .first()
            .copied()
            .ok_or(format!("`{}` has no radio", device.name))?;
        let linger_ms = self.duration("linger")?.unwrap_or(0);
        Ok(Action::Roam {
            client,
            radio,
            linger_ms,
        })
    }

    fn flapping(&mut self) -> Result<Vec<usize>, String> {
        if let Some(ap) = self.device("ap")? {
            let homes = self.plan.clients.iter().enumerate();
            let mine = |radio: usize| self.plan.radios[radio].device == ap;
            return Ok(homes
                .filter(|(_, c)| mine(c.home))
                .map(|(id, _)| id)
                .collect());
        }
        let cpe = self.required("cpe")?;
        Ok(vec![self.client(cpe)?])
    }

    fn client(&self, device: usize) -> Result<usize, String> {
        let found = &self.plan.devices[device];
        found
            .client
            .ok_or(format!("`{}` has no station radio", found.name))
    }

    fn scope(&mut self) -> Result<Scope, String> {
        if let Some(site) = self.site()? {
            return Ok(Scope::Site(site));
        }
        if let Some(ap) = self.device("ap")? {
            return Ok(Scope::Device(ap));
        }
        match self.device("cpe")? {
            Some(cpe) => Ok(Scope::Client(self.client(cpe)?)),
            None => Err("say where: site=, ap= or cpe=".into()),
        }
    }

    fn site(&mut self) -> Result<Option<usize>, String> {
        let Some(text) = self.given.remove("site") else {
            return Ok(None);
        };
        let sites = &self.plan.sites;
        let found = match text.parse::<usize>() {
            Ok(number) => (1..=sites.len()).contains(&number).then(|| number - 1),
            Err(_) => sites.iter().position(|s| s.name == text),
        };
        found
            .map(Some)
            .ok_or(format!("no site `{text}`; there are {}", sites.len()))
    }

    fn required(&mut self, key: &str) -> Result<usize, String> {
        self.device(key)?.ok_or(format!("`{key}=` is missing"))
    }

    fn device_of(&mut self, verb: &str) -> Result<usize, String> {
        for key in ["device", "ap", "cpe"] {
            if let Some(device) = self.device(key)? {
                return Ok(device);
            }
        }
        Err(format!("`{verb}` needs device="))
    }

    fn device(&mut self, key: &str) -> Result<Option<usize>, String> {
        let Some(text) = self.given.remove(key) else {
            return Ok(None);
        };
        let role = match key {
            "ap" | "to" => Some(Role::Ap),
            "cpe" => Some(Role::Cpe),
            _ => None,
        };
        let fits = |d: usize| role.is_none_or(|role| self.plan.devices[d].role == role);
        let found = if let Ok(number) = text.parse::<usize>() {
            number
                .checked_sub(1)
                .and_then(|n| (0..self.plan.devices.len()).filter(|d| fits(*d)).nth(n))
        } else if let Ok(address) = text.parse() {
            self.plan.device_at(address).filter(|d| fits(*d))
        } else {
            self.plan
                .devices
                .iter()
                .position(|d| d.name == text)
                .filter(|d| fits(*d))
        };
        found
            .map(Some)
            .ok_or(format!("no {} `{text}`", role.map_or("device", Role::name)))
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>, String> {
        let Some(text) = self.given.remove(key) else {
            return Ok(None);
        };
        let value: f64 = text
            .parse()
            .map_err(|_| format!("`{key}={text}` is not a number"))?;
        if !value.is_finite() {
            return Err(format!("`{key}={text}` is not a number"));
        }
        Ok(Some(value))
    }

    fn duration(&mut self, key: &str) -> Result<Option<Ms>, String> {
        self.given.remove(key).map(duration_ms).transpose()
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
    use crate::world::layout::lay_out;

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
