//! What was true when, kept for two hours: the other side of every comparison.

use super::{Association, events::Scope, model::Ms};

/// What is true of a device at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMoment {
    /// Packets reach it and its answers come back.
    pub reachable: bool,
    /// The inventory's password works.
    pub manageable: bool,
}

/// An association and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkMoment {
    /// Who with whom, since when.
    pub association: Association,
    /// When it ended; `None` = not yet.
    pub ended_ms: Option<Ms>,
}

#[derive(Debug, Clone, Copy)]
struct Spell {
    id: u64,
    scope: Scope,
    db: f64,
    from_ms: Ms,
    to_ms: Option<Ms>,
}

/// The changes of the last two hours.
#[derive(Debug, Clone, Default)]
pub struct History {
    devices: Vec<Vec<(Ms, DeviceMoment)>>,
    /// In order of their beginning, except the first ones.
    links: Vec<LinkMoment>,
    spells: Vec<Spell>,
    forgotten_ms: Ms,
}

impl History {
    /// How long changes are kept, milliseconds.
    pub const KEPT_MS: Ms = 2 * 3_600_000;

    pub(super) fn new(devices: usize) -> Self {
        let first = DeviceMoment {
            reachable: true,
            manageable: true,
        };
        Self {
            devices: vec![vec![(Ms::MIN / 2, first)]; devices],
            ..Self::default()
        }
    }

    pub(super) fn device(&mut self, device: usize, now: Ms, moment: DeviceMoment) {
        let changes = &mut self.devices[device];
        if changes.last().is_some_and(|(_, last)| *last == moment) {
            return;
        }
        changes.push((now, moment));
    }

    pub(super) fn began(&mut self, association: Association) {
        self.links.push(LinkMoment {
            association,
            ended_ms: None,
        });
    }

    pub(super) fn ended(&mut self, association: Association, now: Ms) {
        let found = self
            .links
            .iter_mut()
            .rev()
            .find(|l| l.association == association);
        if let Some(link) = found {
            link.ended_ms = Some(now);
        }
    }

    pub(super) fn spell(&mut self, id: u64, scope: Scope, db: f64, from_ms: Ms) {
        self.spells.push(Spell {
            id,
            scope,
            db,
            from_ms,
            to_ms: None,
        });
    }

    pub(super) fn spell_over(&mut self, id: u64, now: Ms) {
        for spell in self.spells.iter_mut().filter(|s| s.id == id) {
            spell.to_ms = Some(now);
        }
    }

    pub(super) fn forget_before(&mut self, horizon: Ms) {
        if horizon < self.forgotten_ms + 60_000 {
            return;
        }
        self.forgotten_ms = horizon;
        self.links
            .retain(|l| l.ended_ms.is_none_or(|end| end >= horizon));
        self.spells
            .retain(|s| s.to_ms.is_none_or(|end| end >= horizon));
        for changes in &mut self.devices {
            let keep = changes
                .partition_point(|(at, _)| *at < horizon)
                .saturating_sub(1);
            changes.drain(..keep);
        }
    }

    /// What was true of the device at `t`, and since when.
    #[must_use]
    pub fn device_at(&self, device: usize, t: Ms) -> (Ms, DeviceMoment) {
        let changes = &self.devices[device];
        let index = changes
            .partition_point(|(at, _)| *at <= t)
            .saturating_sub(1);
        changes[index]
    }

    /// Every association that began by `t`, ended ones (of the time kept) included.
    pub fn links_until(&self, t: Ms) -> impl Iterator<Item = LinkMoment> + '_ {
        self.links
            .iter()
            .copied()
            .filter(move |l| l.association.began_ms <= t)
    }

    /// Attenuation of a link at `t`, dB.
    #[must_use]
    pub fn attenuation_db(&self, site: usize, ap: usize, client: usize, t: Ms) -> f64 {
        self.spells
            .iter()
            .filter(|s| s.from_ms <= t && s.to_ms.is_none_or(|end| t < end))
            .filter(|s| match s.scope {
                Scope::Site(s) => s == site,
                Scope::Device(d) => d == ap,
                Scope::Client(c) => c == client,
            })
            .map(|s| s.db)
            .sum()
    }
}
