//! What an event says: where, how, how long.

use std::collections::BTreeMap;

use super::duration_ms;
use crate::world::{
    Action, Event, Scope,
    faults::{Fault, Hostile, Stall},
    model::{Ms, Plan, Role},
};

/// The `key=value` words of a line, taken one by one.
pub(super) struct Arguments<'a> {
    pub(super) given: BTreeMap<&'a str, &'a str>,
    pub(super) plan: &'a Plan,
}

impl Arguments<'_> {
    pub(super) fn event(
        &mut self,
        verb: &str,
        at_ms: Ms,
        for_ms: Option<Ms>,
    ) -> Result<Event, String> {
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

    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, String> {
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

    pub(super) fn duration(&mut self, key: &str) -> Result<Option<Ms>, String> {
        self.given.remove(key).map(duration_ms).transpose()
    }
}
