//! Who is to hold which partition. Every node computes it for itself from the same rows, so nobody has to lead.
//!
//! Who holds a partition keeps it, as far as it can hold all its devices and has no more than its share. Nothing depends on
//! two nodes computing the same: only a lease lets one poll.

use uuid::Uuid;

/// A node, and how many devices it can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) id: Uuid,
    pub(super) capacity: u64,
}

/// The holder of each partition, null where nobody has room for its devices. `devices` and `now_held_by` are by partition;
/// `holders` are sorted by id.
pub(super) fn shares(
    holders: &[Holder],
    devices: &[u64],
    now_held_by: &[Option<Uuid>],
) -> Vec<Option<Uuid>> {
    let mut plan = Plan {
        holders,
        devices,
        place: vec![None; devices.len()],
        count: vec![0; holders.len()],
        load: vec![0; holders.len()],
    };
    for (partition, holder) in now_held_by.iter().enumerate().take(devices.len()) {
        let node = holders.iter().position(|h| Some(h.id) == *holder);
        if let Some(node) = node.filter(|node| plan.fits(*node, partition)) {
            plan.give(partition, node);
        }
    }
    // What is moved may make room for what nobody could hold.
    loop {
        plan.fill();
        if !plan.level() {
            break;
        }
    }
    let id = |node: Option<usize>| node.map(|node| holders[node].id);
    plan.place.into_iter().map(id).collect()
}

struct Plan<'a> {
    holders: &'a [Holder],
    devices: &'a [u64],
    /// Place of the holder, by partition.
    place: Vec<Option<usize>>,
    /// Partitions and devices, by holder.
    count: Vec<usize>,
    load: Vec<u64>,
}

impl Plan<'_> {
    fn fits(&self, node: usize, partition: usize) -> bool {
        self.load[node].saturating_add(self.devices[partition]) <= self.holders[node].capacity
    }

    fn give(&mut self, partition: usize, node: usize) {
        if let Some(before) = self.place[partition].replace(node) {
            self.count[before] -= 1;
            self.load[before] -= self.devices[partition];
        }
        self.count[node] += 1;
        self.load[node] += self.devices[partition];
    }

    /// Gives what nobody holds to those who have the least.
    fn fill(&mut self) {
        for partition in 0..self.devices.len() {
            if self.place[partition].is_none() {
                let able = (0..self.holders.len()).filter(|node| self.fits(*node, partition));
                if let Some(node) = able.min_by_key(|node| self.count[*node]) {
                    self.give(partition, node);
                }
            }
        }
    }

    /// Moves one partition from who has two more than another; false when there is none to move.
    fn level(&mut self) -> bool {
        let mut nodes: Vec<usize> = (0..self.holders.len()).collect();
        nodes.sort_by_key(|node| self.count[*node]);
        for &taker in &nodes {
            for &giver in nodes.iter().rev() {
                if self.count[giver] < self.count[taker] + 2 {
                    break;
                }
                let last = (0..self.place.len())
                    .rev()
                    .find(|p| self.place[*p] == Some(giver) && self.fits(taker, *p));
                if let Some(partition) = last {
                    self.give(partition, taker);
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(n: usize) -> Uuid {
        Uuid::from_u128(n as u128 + 1)
    }

    fn nodes(capacities: &[u64]) -> Vec<Holder> {
        let holder = |(n, capacity): (usize, &u64)| Holder {
            id: id(n),
            capacity: *capacity,
        };
        capacities.iter().enumerate().map(holder).collect()
    }

    fn counts(plan: &[Option<Uuid>], nodes: usize) -> Vec<usize> {
        let of = |n| plan.iter().filter(|h| **h == Some(id(n))).count();
        (0..nodes).map(of).collect()
    }

    #[test]
    fn a_node_that_joins_gets_its_part_and_one_that_goes_leaves_it() {
        let (many, devices) = (u64::MAX, [100; 8]);
        let alone = shares(&nodes(&[many]), &devices, &[None; 8]);
        assert_eq!(counts(&alone, 1), [8]);
        let two = shares(&nodes(&[many, many]), &devices, &alone);
        assert_eq!(counts(&two, 2), [4, 4]);
        assert_eq!(
            two[..4],
            alone[..4],
            "who holds a partition keeps it if it can"
        );
        let five = shares(&nodes(&[many; 5]), &devices, &two);
        assert_eq!(counts(&five, 5).iter().max(), Some(&2));
        assert_eq!(counts(&five, 5).iter().min(), Some(&1));
        let left = shares(&nodes(&[many]), &devices, &five);
        assert_eq!(counts(&left, 1), [8]);
    }

    #[test]
    fn nobody_holds_more_than_it_has_room_for() {
        let plan = shares(&nodes(&[350, 150]), &[100; 8], &[Some(id(0)); 8]);
        assert_eq!(counts(&plan, 2), [3, 1]);
        assert_eq!(plan.iter().filter(|p| p.is_none()).count(), 4);
    }

    proptest! {
        #[test]
        fn plans_are_fair_within_room_and_at_rest(
            capacities in prop::collection::vec(0u64..2_000, 0..6),
            devices in prop::collection::vec(0u64..300, 1..40),
            held in prop::collection::vec(prop::option::of(0usize..8), 40),
        ) {
            let nodes = nodes(&capacities);
            let held: Vec<_> = held.into_iter().take(devices.len()).map(|n| n.map(id)).collect();
            let plan = shares(&nodes, &devices, &held);
            for (n, node) in nodes.iter().enumerate() {
                let load: u64 = plan.iter().zip(&devices).filter(|(p, _)| **p == Some(node.id)).map(|(_, d)| d).sum();
                prop_assert!(load <= node.capacity, "{n}");
                for (unheld, _) in devices.iter().zip(&plan).filter(|(_, p)| p.is_none()) {
                    prop_assert!(load + unheld > node.capacity, "{n} has room");
                }
            }
            prop_assert_eq!(&shares(&nodes, &devices, &plan), &plan, "nothing moves any more");
        }
    }
}
