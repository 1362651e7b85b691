use super::*;
use crate::limits::ApLimits;
use mast_schemas::thresholds::DEFAULT;
use mast_schemas::{Mac, TenantId};

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn site(n: u8) -> SiteId {
    SiteId::from_bytes([n; 16])
}

fn sector(n: u8) -> SectorId {
    SectorId::from_bytes([n; 16])
}

fn info(role: Role, at: Option<u8>) -> DeviceInfo {
    DeviceInfo {
        tenant: TenantId::default(),
        site: at.map(site),
        sector: None,
        enabled: true,
        limits: ApLimits::of(&DEFAULT),
        role,
        interval_ms: 60_000,
        parent: None,
        groups: [].into(),
        tags: [].into(),
    }
}

fn joint(ap: u8, far_end: u8) -> Joint {
    Joint {
        tenant: TenantId::default(),
        ap: device(ap),
        radio: Mac(1),
        far_end: device(far_end),
        discovered_at: Timestamp(0),
        stale: false,
        roamed: false,
    }
}

fn by_hand(parents: &mut Parents, n: u8, parent: u8) {
    let info = DeviceInfo {
        parent: Some(device(parent)),
        ..info(Role::Other, None)
    };
    parents.device(device(n), Some(&info));
}

/// The ancestors of a root by number, the nearest first.
fn ancestors(parents: &mut Parents, root: Root) -> Vec<u8> {
    parents.stirred();
    let walk = parents.walk(root);
    let ids = walk.ancestors.iter().map(|n| parents.id(*n));
    ids.map(|id| id.as_bytes()[0]).collect()
}

fn above(parents: &mut Parents, n: u8) -> Vec<u8> {
    ancestors(parents, Root::Device(device(n)))
}

#[test]
fn a_parent_by_hand_comes_first_if_it_is_there() {
    let mut parents = Parents::default();
    parents.device(device(1), Some(&info(Role::Router, Some(1))));
    by_hand(&mut parents, 3, 2);
    assert!(above(&mut parents, 3).is_empty());
    let disabled = DeviceInfo {
        enabled: false,
        ..info(Role::Other, None)
    };
    parents.device(device(2), Some(&disabled));
    assert_eq!(above(&mut parents, 3), [2]);
    // One that is no more is as if it were not said.
    let with_site = DeviceInfo {
        parent: Some(device(2)),
        ..info(Role::Ap, Some(1))
    };
    parents.device(device(3), Some(&with_site));
    assert_eq!(above(&mut parents, 3), [2]);
    parents.device(device(2), None);
    assert_eq!(above(&mut parents, 3), [1]);
    by_hand(&mut parents, 3, 3);
    assert!(above(&mut parents, 3).is_empty());
}

#[test]
fn a_customers_device_hangs_on_its_newest_access_point() {
    let mut parents = Parents::default();
    for n in [1, 2, 3] {
        parents.device(device(n), Some(&info(Role::Ap, None)));
    }
    parents.device(device(9), Some(&info(Role::Cpe, Some(1))));
    parents.device(device(8), Some(&info(Role::Router, Some(1))));
    // A customer's device hangs on no router of a site.
    assert!(above(&mut parents, 9).is_empty());
    let old = Joint {
        discovered_at: Timestamp(5),
        ..joint(1, 9)
    };
    parents.link(&old, true);
    assert_eq!(above(&mut parents, 9), [1]);
    let newer = Joint {
        discovered_at: Timestamp(7),
        ..joint(2, 9)
    };
    parents.link(&newer, true);
    assert_eq!(above(&mut parents, 9), [2]);
    // As new, but another access point: the greater id.
    let twin = Joint {
        ap: device(3),
        ..newer
    };
    parents.link(&twin, true);
    assert_eq!(above(&mut parents, 9), [3]);
    // A stale one comes behind all that are not.
    for link in [newer, twin] {
        parents.link(&link, false);
        let stale = Joint {
            stale: true,
            ..link
        };
        parents.link(&stale, true);
    }
    assert_eq!(above(&mut parents, 9), [1]);
    parents.link(&old, false);
    assert_eq!(above(&mut parents, 9), [3]);
}

/// Routers 1 to 4 at sites 1 to 4, access points 11 to 14 there.
fn chain() -> Parents {
    let mut parents = Parents::default();
    for n in 1..=4 {
        parents.device(device(n), Some(&info(Role::Router, Some(n))));
        parents.device(device(10 + n), Some(&info(Role::Backhaul, Some(n))));
    }
    parents
}

#[test]
fn routers_hang_on_the_far_end_that_is_nearer_to_the_core() {
    let mut parents = chain();
    // 1 – 2 – 3, each with its access point at the nearer side of one and the farther side of the other.
    parents.link(&joint(11, 12), true);
    parents.link(&joint(13, 2), true);
    assert!(above(&mut parents, 3).is_empty());
    parents.core(site(1), true);
    // The router's far end is the access point at site 1, whose router is of the core.
    assert_eq!(above(&mut parents, 2), [11, 1]);
    assert_eq!(above(&mut parents, 3), [2, 11, 1]);
    assert_eq!(above(&mut parents, 13), [3, 2, 11, 1]);
    assert!(above(&mut parents, 1).is_empty() && above(&mut parents, 4).is_empty());
    // A shorter way.
    parents.link(&joint(1, 13), true);
    assert_eq!(above(&mut parents, 3), [1]);
    // The lowest id of those that lead there.
    parents.link(&joint(11, 3), true);
    assert_eq!(above(&mut parents, 3), [1]);
    parents.link(&joint(1, 13), false);
    assert_eq!(above(&mut parents, 3), [11, 1]);
    // A customer's device leads nowhere, and neither does what roamed.
    parents.link(&joint(11, 3), false);
    parents.device(device(12), Some(&info(Role::Cpe, Some(2))));
    assert!(above(&mut parents, 2).is_empty());
    parents.device(device(12), Some(&info(Role::Backhaul, Some(2))));
    assert_eq!(above(&mut parents, 2), [11, 1]);
    parents.link(&joint(11, 12), false);
    let roamed = Joint {
        stale: true,
        roamed: true,
        ..joint(11, 12)
    };
    parents.link(&roamed, true);
    assert!(above(&mut parents, 2).is_empty());
    let stale = Joint {
        stale: true,
        ..joint(11, 12)
    };
    parents.link(&stale, true);
    assert_eq!(above(&mut parents, 2), [11, 1]);
    parents.core(site(1), false);
    assert!(above(&mut parents, 2).is_empty());
}

#[test]
fn all_else_hangs_on_the_router_of_its_site() {
    let mut parents = Parents::default();
    parents.device(device(5), Some(&info(Role::Router, Some(1))));
    parents.device(device(6), Some(&info(Role::Switch, Some(1))));
    assert_eq!(above(&mut parents, 6), [5]);
    let in_sector = DeviceInfo {
        sector: Some(sector(7)),
        ..info(Role::Ap, Some(1))
    };
    parents.device(device(7), Some(&in_sector));
    assert_eq!(ancestors(&mut parents, Root::Sector(sector(7))), [5]);
    assert_eq!(ancestors(&mut parents, Root::Site(site(1))), [5]);
    parents.device(device(4), Some(&info(Role::Router, Some(1))));
    assert_eq!(above(&mut parents, 6), [4]);
    let disabled = DeviceInfo {
        enabled: false,
        ..info(Role::Router, Some(1))
    };
    parents.device(device(4), Some(&disabled));
    assert_eq!(above(&mut parents, 6), [5]);
    parents.device(device(5), None);
    assert!(above(&mut parents, 6).is_empty());
    assert!(ancestors(&mut parents, Root::Site(site(1))).is_empty());
}

#[test]
fn parents_by_hand_may_go_round() {
    let mut parents = Parents::default();
    for (n, parent) in [(1, 2), (2, 3), (3, 1), (4, 3), (5, 4)] {
        by_hand(&mut parents, n, parent);
    }
    for n in 1..=3 {
        assert!(above(&mut parents, n).is_empty(), "{n}");
    }
    assert_eq!(above(&mut parents, 4), [3, 1, 2]);
    assert_eq!(above(&mut parents, 5), [4, 3, 1, 2]);
    // What broke the round is asked by all in it.
    let walk = parents.walk(Root::Device(device(1)));
    by_hand(&mut parents, 3, 9);
    assert!(parents.stirred().iter().any(|key| walk.asked.contains(key)));
    assert_eq!(above(&mut parents, 1), [2, 3]);
}

/// Whatever is changed: an answer that is another one afterwards had asked for something that is told as changed.
#[test]
fn an_answer_that_changes_is_asked_again() {
    let mut seed = 1u64;
    let mut roll = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % n
    };
    let roles = [Role::Router, Role::Ap, Role::Cpe, Role::Backhaul];
    let mut parents = Parents::default();
    let mut links: Vec<Joint> = Vec::new();
    let mut changed = 0;
    for step in 0..6_000 {
        let roots: Vec<Root> = (0..12)
            .map(|n| Root::Device(device(n)))
            .chain((0..4).map(|n| Root::Site(site(n))))
            .chain((0..2).map(|n| Root::Sector(sector(n))))
            .collect();
        parents.stirred();
        let before: Vec<_> = roots.iter().map(|root| parents.walk(*root)).collect();
        let n = roll(12) as u8;
        match roll(8) {
            0 => parents.device(device(n), None),
            1..=3 => {
                let at = (roll(5) > 0).then(|| roll(4) as u8);
                let mut row = info(roles[roll(4) as usize], at);
                row.enabled = roll(4) > 0;
                row.sector = at.filter(|at| *at < 2 && roll(2) > 0).map(sector);
                row.parent = (roll(6) == 0).then(|| device(roll(12) as u8));
                parents.device(device(n), Some(&row));
            }
            4 => parents.core(site(roll(4) as u8), roll(2) > 0),
            5 if !links.is_empty() => {
                let link = links.swap_remove(roll(links.len() as u64) as usize);
                parents.link(&link, false);
            }
            _ => {
                let stale = roll(4) == 0;
                let link = Joint {
                    discovered_at: Timestamp(roll(3) as i64),
                    stale,
                    roamed: stale && roll(2) > 0,
                    ..joint(n, ((u64::from(n) + 1 + roll(11)) % 12) as u8)
                };
                parents.link(&link, true);
                links.push(link);
            }
        }
        let stirred = parents.stirred();
        for (root, before) in roots.into_iter().zip(before) {
            let after = parents.walk(root);
            if after.ancestors != before.ancestors {
                changed += 1;
                let told = before.asked.iter().any(|key| stirred.contains(key));
                assert!(
                    told,
                    "step {step}: {root:?} {before:?} {after:?} {stirred:?}"
                );
            }
        }
    }
    assert!(changed > 1_000, "{changed}");
}

/// Each on the one before, without an end: nobody pays for more than the nearest of them.
#[test]
fn a_way_up_without_an_end_is_looked_at_for_64_steps() {
    let mut parents = Parents::default();
    for n in 0..=200 {
        let mut row = info(Role::Other, None);
        row.parent = (n > 0).then(|| device(n - 1));
        parents.device(device(n), Some(&row));
    }
    let walk = parents.walk(Root::Device(device(200)));
    assert_eq!(walk.ancestors.len(), 64);
    assert!(walk.asked.len() <= 65, "{}", walk.asked.len());
}

#[test]
fn what_every_device_has_is_small() {
    assert_eq!((size_of::<Up>(), size_of::<Node>()), (19, 40));
}

#[test]
fn links_come_and_go_as_if_they_were_in_one_list() {
    let mut seed = 1u64;
    let mut roll = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % n
    };
    let (mut parents, mut list) = (Parents::default(), Vec::new());
    let end = parents.number(device(9));
    let link = |n: usize| Joint {
        discovered_at: Timestamp(n as i64),
        stale: n.is_multiple_of(2),
        roamed: n.is_multiple_of(4),
        ..joint(1 + (n % 3) as u8, 9)
    };
    let mut most = 0;
    for step in 0..3_000 {
        let n = roll(12);
        // One that is not there is taken out as well: nothing happens.
        let came = roll(if step / 20 % 2 == 0 { 3 } else { 5 }) == 0;
        parents.link(&link(n), came);
        if came {
            list.push(n);
        } else if let Some(i) = list.iter().position(|other| *other == n) {
            list.swap_remove(i);
        }
        let times = parents.links(end).map(|up| up.discovered_at.0);
        let all: Vec<_> = times.collect();
        let same: Vec<_> = list.iter().map(|n| *n as i64).collect();
        assert_eq!(all, same, "step {step}");
        assert_eq!(parents.more_up.contains_key(&end), list.len() > 1);
        most = most.max(list.len());
    }
    assert!(most > 3, "{most}");
    assert!(parents.links(end).all(|up| {
        let n = up.discovered_at.0;
        let flags = [Flags::STALE, Flags::ROAMED].map(|flag| up.flags.has(flag));
        flags == [n % 2 == 0, n % 4 == 0]
    }));
}

#[test]
fn nothing_is_kept_beside_of_a_device_that_has_one_link() {
    let mut parents = chain();
    parents.device(device(9), Some(&info(Role::Cpe, Some(1))));
    parents.link(&joint(11, 9), true);
    by_hand(&mut parents, 3, 2);
    by_hand(&mut parents, 4, 4);
    parents.device(device(3), Some(&info(Role::Ap, Some(1))));
    parents.device(device(4), None);
    for more in [3, -1, -2] {
        let n = parents.down(device(11), more);
        assert_eq!(parents.find(&device(11)), Some(n));
        assert_eq!(parents.downs(device(11)) != 0, parents.down.len() == 1);
    }
    let beside = (&parents.more_up, &parents.by_hand, &parents.down);
    assert!(beside.0.is_empty() && beside.1.is_empty() && beside.2.is_empty());
    assert_eq!(above(&mut parents, 9), [11, 1]);
}
