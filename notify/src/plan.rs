//! What of a channel's waiting deliveries is sent now, and which of them as one message.
//!
//! A storm must not become two hundred messages: when more than so many would be sent within a minute, the rest are told in one. The
//! trap is a storm that drips: each of its deliveries finds none waiting beside it. So what was sent in the last minute
//! counts, and what is held for a digest is held for a minute at most.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use crate::notice::digest_id;

/// A minute: the time over which messages are counted, and the longest that one is held.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Deliveries of one digest at most.
pub(crate) const DIGEST_MOST: usize = 50;

/// A delivery that can be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub id: Uuid,
    /// The digest that it belongs to already.
    pub digest: Option<Uuid>,
    /// Whether its last attempt was lost with its process.
    pub lost: bool,
    /// Since when it could be sent.
    pub waited: Duration,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The digest; null: one delivery by itself.
    pub digest: Option<Uuid>,
    /// Whether it may have been sent before.
    pub repeated: bool,
    /// What it tells.
    pub deliveries: Vec<Uuid>,
}

/// What is sent now, in order, at most `room` messages. `recent` messages were sent in the last minute; more than `over` of
/// them become a digest (null: never).
pub fn plan(due: &[Due], recent: usize, over: Option<usize>, room: usize) -> Vec<Unit> {
    let mut units = Vec::new();
    // What was one message stays one: its other side may know it.
    let mut digests: BTreeMap<Uuid, Vec<&Due>> = BTreeMap::new();
    for due in due {
        if let Some(digest) = due.digest {
            digests.entry(digest).or_default().push(due);
        }
    }
    units.extend(digests.into_iter().map(|(digest, of)| Unit {
        digest: Some(digest),
        repeated: of.iter().any(|due| due.lost),
        deliveries: of.iter().map(|due| due.id).collect(),
    }));
    let alone = |due: &Due| Unit {
        digest: None,
        repeated: due.lost,
        deliveries: vec![due.id],
    };
    let free = || due.iter().filter(|due| due.digest.is_none());
    units.extend(free().filter(|due| due.lost).map(alone));
    let fresh: Vec<&Due> = free().filter(|due| !due.lost).collect();
    let held = || fresh.iter().all(|due| due.waited < WINDOW);
    match over {
        Some(over) if fresh.len() + recent > over => {
            if fresh.len() > over || !held() {
                units.extend(fresh.chunks(DIGEST_MOST).map(|some| match some {
                    [one] => alone(one),
                    some => {
                        let ids: Vec<Uuid> = some.iter().map(|due| due.id).collect();
                        Unit {
                            digest: Some(digest_id(ids.iter().copied())),
                            repeated: false,
                            deliveries: ids,
                        }
                    }
                }));
            }
        }
        _ => units.extend(fresh.into_iter().map(alone)),
    }
    units.truncate(room);
    units
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due(n: u128) -> Due {
        Due {
            id: Uuid::from_u128(n),
            digest: None,
            lost: false,
            waited: Duration::ZERO,
        }
    }

    fn sizes(units: &[Unit]) -> Vec<usize> {
        units.iter().map(|unit| unit.deliveries.len()).collect()
    }

    fn many(n: u128) -> Vec<Due> {
        (0..n).map(due).collect()
    }

    #[test]
    fn a_few_go_alone_and_many_go_together() {
        assert_eq!(sizes(&plan(&many(5), 0, Some(5), 9)), [1; 5]);
        let units = plan(&many(6), 0, Some(5), 9);
        assert_eq!(sizes(&units), [6]);
        assert_eq!(
            units[0].digest,
            Some(digest_id((0..6).map(Uuid::from_u128)))
        );
        assert_eq!(sizes(&plan(&many(6), 0, None, 9)), [1; 6]);
        assert_eq!(sizes(&plan(&many(120), 0, Some(5), 9)), [50, 50, 20]);
        assert_eq!(sizes(&plan(&many(51), 0, Some(5), 9)), [50, 1]);
        assert_eq!(sizes(&plan(&many(5), 0, Some(5), 2)), [1; 2]);
    }

    #[test]
    fn a_storm_that_drips_is_held_for_a_minute_and_then_told_at_once() {
        assert_eq!(sizes(&plan(&many(1), 4, Some(5), 9)), [1]);
        assert_eq!(sizes(&plan(&many(1), 5, Some(5), 9)), [0; 0]);
        let mut waiting = many(3);
        assert_eq!(sizes(&plan(&waiting, 5, Some(5), 9)), [0; 0]);
        waiting[0].waited = WINDOW;
        assert_eq!(sizes(&plan(&waiting, 5, Some(5), 9)), [3]);
        assert_eq!(
            sizes(&plan(&waiting[..1], 5, Some(5), 9)),
            [1],
            "one alone is no digest"
        );
        assert_eq!(sizes(&plan(&waiting, 2, Some(5), 9)), [1; 3]);
    }

    #[test]
    fn what_was_lost_or_was_one_message_goes_again_as_it_went() {
        let digest = Some(Uuid::from_u128(77));
        let lost = Due {
            lost: true,
            ..due(1)
        };
        let parts = [
            Due {
                digest,
                lost: true,
                ..due(2)
            },
            Due {
                digest,
                lost: true,
                ..due(3)
            },
        ];
        let again = Due {
            digest: Some(Uuid::from_u128(78)),
            ..due(4)
        };
        let units = plan(&[lost, parts[0], parts[1], again, due(5)], 0, Some(5), 9);
        let shown: Vec<_> = units
            .iter()
            .map(|u| {
                (
                    u.digest.map(|d| d.as_u128()),
                    u.repeated,
                    u.deliveries.len(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (Some(77), true, 2),
                (Some(78), false, 1),
                (None, true, 1),
                (None, false, 1)
            ]
        );
    }

    proptest! {
        #[test]
        fn each_goes_at_most_once(n in 0u128..80, recent in 0usize..9, over in proptest::option::of(1usize..9), room in 0usize..9) {
            let units = plan(&many(n), recent, over, room);
            prop_assert!(units.len() <= room);
            let mut ids: Vec<_> = units.iter().flat_map(|unit| unit.deliveries.clone()).collect();
            let all = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), all);
        }
    }
}
