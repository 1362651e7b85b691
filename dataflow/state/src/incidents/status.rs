//! Whether people are told of an open alert (§19): a table of what holds at the end of a slot.

use mast_schemas::Timestamp;
use mast_schemas::alerts::{AlertStatus, Root, RuleKind, Suppressor};
use mast_schemas::thresholds::Thresholds;

/// What is so of an open alert.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: RuleKind,
    pub(super) opened_at: Timestamp,
    /// It took part once.
    pub(super) told: bool,
    /// A window is open for what it is of, or for its root.
    pub(super) maintenance: bool,
    /// It comes and goes.
    pub(super) flapping: bool,
    /// An ancestor is offline.
    pub(super) dependent: bool,
    /// An ancestor is failing.
    pub(super) failing: bool,
}

/// Whether alerts of a kind may only be cut off by what is above them: they wait, and what comes of them says what died.
pub(super) fn waits(kind: RuleKind) -> bool {
    kind == RuleKind::Offline || !kind.by_polls()
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: AlertStatus,
    pub(super) suppressor: Option<Suppressor>,
    /// It takes part in an incident.
    pub(super) takes_part: bool,
    /// What it comes from.
    pub(super) root: Root,
}

impl Verdict {
    /// It is undecided for itself, and is decided with another one that has its root.
    pub(super) fn follows(&self) -> bool {
        self.suppressor == Some(Suppressor::Dependency) && !self.takes_part
    }
}

impl Facts {
    /// When it has waited long enough, if it is one that waits.
    pub(super) fn settled_at(&self, t: &Thresholds) -> Option<Timestamp> {
        (waits(self.kind) && !self.told).then(|| self.opened_at + t.alert_settle)
    }

    /// Status at the end of a slot, as far as it depends on no other alert.
    pub(super) fn verdict(&self, root: Root, now: Timestamp, t: &Thresholds) -> Verdict {
        let settled_at = self.settled_at(t);
        let undecided = settled_at.is_some_and(|settled| now < settled || self.failing);
        let (status, suppressor) = if self.maintenance {
            (AlertStatus::Suppressed, Some(Suppressor::Maintenance))
        } else if self.flapping {
            (AlertStatus::Suppressed, Some(Suppressor::Flapping))
        } else if self.dependent {
            (AlertStatus::Suppressed, Some(Suppressor::Dependency))
        } else if undecided {
            (AlertStatus::Waiting, None)
        } else {
            (AlertStatus::Open, None)
        };
        let dependency = suppressor == Some(Suppressor::Dependency);
        Verdict {
            status,
            suppressor,
            takes_part: status == AlertStatus::Open || (dependency && !undecided),
            root,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::SiteId;
    use mast_schemas::thresholds::DEFAULT;

    const OPENED: Timestamp = Timestamp(1_000_000);
    const ROOT: Root = Root::Site(SiteId::from_bytes([1; 16]));

    fn facts(kind: RuleKind) -> Facts {
        Facts {
            kind,
            opened_at: OPENED,
            told: false,
            maintenance: false,
            flapping: false,
            dependent: false,
            failing: false,
        }
    }

    fn later() -> Timestamp {
        OPENED + DEFAULT.alert_settle
    }

    /// What comes of it long after: status, and whether it takes part.
    fn settled(facts: Facts) -> (AlertStatus, Option<Suppressor>, bool) {
        let verdict = facts.verdict(ROOT, later(), &DEFAULT);
        (verdict.status, verdict.suppressor, verdict.takes_part)
    }

    #[test]
    fn the_first_that_holds_is_the_status() {
        let suppressed = |by| (AlertStatus::Suppressed, Some(by), false);
        let mut facts = facts(RuleKind::Offline);
        assert_eq!(settled(facts), (AlertStatus::Open, None, true));
        facts.failing = true;
        assert_eq!(settled(facts), (AlertStatus::Waiting, None, false));
        facts.dependent = true;
        assert_eq!(settled(facts), suppressed(Suppressor::Dependency));
        facts.flapping = true;
        assert_eq!(settled(facts), suppressed(Suppressor::Flapping));
        facts.maintenance = true;
        assert_eq!(settled(facts), suppressed(Suppressor::Maintenance));
    }

    #[test]
    fn what_depends_takes_part_once_it_is_decided() {
        let dependent = Facts {
            dependent: true,
            ..facts(RuleKind::Offline)
        };
        let early = dependent.verdict(ROOT, Timestamp(later().0 - 1), &DEFAULT);
        assert_eq!(
            (early.suppressor, early.takes_part),
            (Some(Suppressor::Dependency), false)
        );
        assert!(early.follows());
        let decided = dependent.verdict(ROOT, later(), &DEFAULT);
        assert!(decided.takes_part && !decided.follows());
        let failing = Facts {
            failing: true,
            ..dependent
        };
        assert!(!failing.verdict(ROOT, later(), &DEFAULT).takes_part);
        let told = Facts {
            told: true,
            ..failing
        };
        assert!(told.verdict(ROOT, OPENED, &DEFAULT).takes_part);
    }

    #[test]
    fn what_waits_or_is_hidden_otherwise_follows_nobody() {
        let waiting = facts(RuleKind::Offline);
        assert!(!waiting.verdict(ROOT, OPENED, &DEFAULT).follows());
        for (maintenance, flapping) in [(true, false), (false, true)] {
            let hidden = Facts {
                maintenance,
                flapping,
                dependent: true,
                ..waiting
            };
            assert!(!hidden.verdict(ROOT, OPENED, &DEFAULT).follows());
        }
    }

    #[test]
    fn only_offline_and_places_wait() {
        for (kind, waits) in [
            (RuleKind::Offline, true),
            (RuleKind::SiteDown, true),
            (RuleKind::SectorClientDrop, true),
            (RuleKind::Unmanageable, false),
            (RuleKind::Cpu, false),
            (RuleKind::InterfaceDown, false),
        ] {
            let status = facts(kind).verdict(ROOT, OPENED, &DEFAULT).status;
            assert_eq!(status == AlertStatus::Waiting, waits, "{kind:?}");
            let failing = Facts {
                failing: true,
                ..facts(kind)
            };
            assert_eq!(
                settled(failing).0 == AlertStatus::Waiting,
                waits,
                "{kind:?}"
            );
        }
    }
}
