//! Which bindings count.

use mast_schemas::Epoch;
use mast_schemas::epochs::Binding;

/// Reads bindings in the order of their topic and says which of them count.
///
/// One counts if it goes on where the last one ended and no newer generation has spoken before it. So a job that was
/// paused and goes on after its successor began is not heard, and where the two appended at the same moment the first
/// append wins: the other job sees that its own record did not get the next offset, and stops before it emits anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    closed: Epoch,
    generation: u64,
}

impl Chain {
    /// Goes on after `closed`, whose binding was of `generation`; [`Chain::default`] begins history.
    pub const fn after(closed: Epoch, generation: u64) -> Self {
        Self { closed, generation }
    }

    /// The last slot closed; 0 = none.
    pub const fn closed(&self) -> Epoch {
        self.closed
    }

    /// Whether the next binding of the topic counts.
    pub fn accept(&mut self, binding: &Binding) -> bool {
        if binding.generation < self.generation {
            return false;
        }
        self.generation = binding.generation;
        let continues = self.closed == Epoch(0) || binding.first == self.closed.next();
        if continues {
            self.closed = binding.last;
        }
        continues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(generation: u64, first: u64, last: u64) -> Binding {
        Binding {
            first: Epoch(first),
            last: Epoch(last),
            generation,
            telemetry: vec![],
            control: 0,
            silent: vec![],
            by_clock: false,
        }
    }

    #[test]
    fn a_superseded_generation_is_not_heard() {
        let mut chain = Chain::default();
        assert!(chain.accept(&binding(1, 100, 103)));
        assert!(chain.accept(&binding(2, 104, 104)));
        assert!(!chain.accept(&binding(1, 105, 105)), "from the grave");
        assert!(chain.accept(&binding(2, 105, 105)));
        assert_eq!(chain.closed(), Epoch(105));
    }

    #[test]
    fn of_two_that_close_one_slot_the_first_in_the_log_counts() {
        let mut chain = Chain::after(Epoch(103), 1);
        assert!(chain.accept(&binding(1, 104, 104)));
        assert!(!chain.accept(&binding(2, 104, 104)));
        assert!(
            !chain.accept(&binding(1, 105, 105)),
            "the newer generation was heard all the same"
        );
        assert!(chain.accept(&binding(3, 105, 105)));
    }
}
