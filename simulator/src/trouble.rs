//! Random trouble from a seed: the same seed, fleet and span give the same events.

use crate::{
    noise::{hash, unit},
    world::{
        Action, Event, Scope,
        model::{Ms, Plan, Role},
    },
};

/// Events over `span_ms` from `from_ms`, one about every `every_ms`, each with an end within
/// a minute.
#[must_use]
pub fn events(plan: &Plan, seed: u64, from_ms: Ms, span_ms: Ms, every_ms: Ms) -> Vec<Event> {
    let aps: Vec<usize> = of_role(plan, Role::Ap);
    let cpes: Vec<usize> = of_role(plan, Role::Cpe);
    let mut events = Vec::new();
    let mut at_ms = from_ms;
    let mut n = 0;
    if aps.is_empty() || cpes.is_empty() {
        return events;
    }
    loop {
        n += 1;
        at_ms += (-(1.0 - unit(seed, n, 1)).ln() * every_ms as f64) as Ms + 1;
        if at_ms >= from_ms + span_ms {
            return events;
        }
        let ap = aps[(hash(seed, n, 2) % aps.len() as u64) as usize];
        let cpe = cpes[(hash(seed, n, 3) % cpes.len() as u64) as usize];
        let for_ms = 10_000 + (hash(seed, n, 4) % 50_000) as Ms;
        let action = one(plan, seed, n, ap, cpe);
        events.push(Event {
            at_ms,
            for_ms: Some(for_ms),
            action,
        });
    }
}

fn of_role(plan: &Plan, role: Role) -> Vec<usize> {
    (0..plan.devices.len())
        .filter(|d| plan.devices[*d].role == role)
        .collect()
}

fn one(plan: &Plan, seed: u64, n: u64, ap: usize, cpe: usize) -> Action {
    let site = plan.devices[ap].site;
    let client = plan.devices[cpe].client.unwrap_or_default();
    match hash(seed, n, 5) % 10 {
        0 => Action::Attenuate {
            scope: Scope::Site(site),
            db: 10.0 + 20.0 * unit(seed, n, 6),
        },
        1 => Action::PowerOff {
            devices: vec![ap],
            graceful: false,
        },
        2 => Action::PowerOff {
            devices: vec![cpe],
            graceful: false,
        },
        3 | 4 => Action::PowerOff {
            devices: vec![cpe],
            graceful: true,
        },
        5 => Action::LoseClients { device: ap },
        6 => Action::Flap {
            clients: vec![client],
            every_ms: 4_000,
        },
        7 => Action::Silence { device: ap },
        8 => Action::Interfere {
            scope: Scope::Device(ap),
            db: 12.0,
        },
        _ => roam(plan, seed, n, cpe, client),
    }
}

fn roam(plan: &Plan, seed: u64, n: u64, cpe: usize, client: usize) -> Action {
    let tenant = plan.devices[cpe].tenant;
    let radios: Vec<usize> = (0..plan.radios.len())
        .filter(|r| !plan.radios[*r].w60g && plan.devices[plan.radios[*r].device].tenant == tenant)
        .collect();
    let radio = radios[(hash(seed, n, 7) % radios.len() as u64) as usize];
    Action::Roam {
        client,
        radio,
        linger_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::layout::lay_out;

    #[test]
    fn a_seed_is_a_script() {
        let plan = lay_out(1, 100, 0);
        let once = events(&plan, 5, 60_000, 600_000, 10_000);
        assert_eq!(once, events(&plan, 5, 60_000, 600_000, 10_000));
        assert_ne!(once, events(&plan, 6, 60_000, 600_000, 10_000));
        assert!((30..=100).contains(&once.len()), "{} events", once.len());
        assert!(once.iter().all(|e| (60_000..660_000).contains(&e.at_ms)));
    }
}
