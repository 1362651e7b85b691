//! The timely and differential types that the operators are written in, named once.

use std::collections::BTreeMap;

use mast_schemas::time::SLOT;
use mast_schemas::{DeviceId, Timestamp};
use mast_state::give_back;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::channels::pushers::Output;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::dataflow::operators::{Capability, Operator};
use timely::progress::frontier::MutableAntichain;

pub(crate) use differential_dataflow::VecCollection;
pub(crate) use timely::dataflow::Scope;
pub(crate) use timely::dataflow::operators::{Concatenate, Exchange, Probe};

/// Logical time: the number of a slot.
pub(crate) type Time = u64;
/// A stream of single messages.
pub(crate) type Stream<'s, D> = StreamVec<'s, Time, D>;
/// A collection with whole-number differences.
pub(crate) type Collection<'s, D, R = isize> = VecCollection<'s, Time, D, R>;

/// The worker that keeps a device's state: its messages come from the worker that reads its partition.
pub(crate) fn route(device: &DeviceId, partitions: u32) -> u64 {
    u64::from(mast_schemas::partition::partition(
        mast_schemas::partition::shard(device),
        partitions,
    ))
}

/// Where a stage sends one kind of message.
pub(crate) struct Port<D: 'static> {
    output: OutputBuilder<Time, CapacityContainerBuilder<Vec<D>>>,
    capability: Option<Capability<Time>>,
}

impl<D: 'static> Port<D> {
    /// Sends all of `data` at `time` and leaves it empty.
    pub(crate) fn send(&mut self, time: Time, data: &mut Vec<D>) {
        if data.is_empty() {
            return;
        }
        if let Some(capability) = &self.capability {
            let capability = capability.delayed(&time);
            self.output
                .activate()
                .session(&capability)
                .give_iterator(data.drain(..));
        }
        give_back(data);
    }
}

/// Ports as a group: what a stage does with all of them alike.
pub(crate) trait Ports {
    /// Gives up all times before `upper`; all times when it is `None`.
    fn downgrade(&mut self, upper: Option<Time>);
}

impl<D: 'static> Ports for Port<D> {
    fn downgrade(&mut self, upper: Option<Time>) {
        match (upper, &mut self.capability) {
            (Some(upper), Some(capability)) if *capability.time() < upper => {
                capability.downgrade(&upper);
            }
            (None, capability) => *capability = None,
            _ => {}
        }
    }
}

macro_rules! ports {
    ($($name:ident),*) => {
        impl<$($name: Ports),*> Ports for ($($name,)*) {
            #[expect(non_snake_case, reason = "type names double as variables")]
            fn downgrade(&mut self, upper: Option<Time>) {
                let ($($name,)*) = self;
                $($name.downgrade(upper);)*
            }
        }
    };
}

ports!(A);
ports!(A, B);
ports!(A, B, C);
ports!(A, B, C, D);
ports!(A, B, C, D, E, F, G, H, I);

/// Builds a stage: an operator with one input that handles slot after slot, each when all of it has arrived, timers in the
/// slot in which they are due. See [`StageBuilder::build`].
pub(crate) struct StageBuilder<'s, M: 'static> {
    builder: OperatorBuilder<'s, Time>,
    input: InputHandleCore<Time, Vec<M>, PipelinePuller<M>>,
}

type PipelinePuller<M> =
    <Pipeline as timely::dataflow::channels::pact::ParallelizationContract<Time, Vec<M>>>::Puller;

/// A port before the operator is built.
pub(crate) struct NewPort<D: 'static> {
    output: Output<Time, Vec<D>>,
    index: usize,
}

impl<D: 'static> NewPort<D> {
    /// The port, with its capability from those of the operator.
    pub(crate) fn open(self, capabilities: &[Capability<Time>]) -> Port<D> {
        Port {
            output: OutputBuilder::from(self.output),
            capability: capabilities.get(self.index).cloned(),
        }
    }
}

impl<'s, M: 'static> StageBuilder<'s, M> {
    /// Begins a stage that reads `input`, whose messages are on the right worker already.
    pub(crate) fn new(name: &str, scope: Scope<'s, Time>, input: Stream<'s, M>) -> Self {
        let mut builder = OperatorBuilder::new(name.to_owned(), scope);
        let input = builder.new_input(input, Pipeline);
        Self { builder, input }
    }

    /// Adds an output.
    pub(crate) fn port<D: 'static>(&mut self) -> (NewPort<D>, Stream<'s, D>) {
        let index = self.builder.shape().outputs();
        let (output, stream) = self.builder.new_output();
        (NewPort { output, index }, stream)
    }

    /// Ends the stage. `open` makes the ports from the capabilities. `step` handles one slot: its number, its messages (none
    /// when only timers are due) and the ports; it is called with slot 0 once, first, for what a restored state has to tell.
    /// `timer` is the earliest instant that has something to do by itself.
    pub(crate) fn build<P: Ports + 'static>(
        self,
        open: impl FnOnce(&[Capability<Time>]) -> P,
        timer: impl Fn() -> Option<Timestamp> + 'static,
        mut step: impl FnMut(Time, Vec<M>, &mut P) + 'static,
    ) {
        let Self { builder, mut input } = self;
        builder.build(move |capabilities| {
            let mut ports = open(&capabilities);
            drop(capabilities);
            let mut stash: BTreeMap<Time, Vec<M>> = BTreeMap::from([(0, Vec::new())]);
            let mut handled = 0;
            move |frontiers| {
                input.for_each(|capability, data| {
                    let time = capability.least().copied().unwrap_or_default();
                    stash.entry(time).or_default().append(data);
                });
                let upper = upper(&frontiers[0]);
                while let Some(slot) = next_slot(&stash, timer(), upper) {
                    debug_assert!(slot > handled || slot == 0, "slot {slot} has been handled");
                    handled = slot;
                    step(slot, stash.remove(&slot).unwrap_or_default(), &mut ports);
                }
                ports.downgrade(upper);
            }
        });
    }
}

/// The updates of a collection as messages, each at its own time.
///
/// Differential ships the updates of many times in one container, whose stamp covers them all: to whom it matters in which
/// slot an update happened, the container's time says nothing.
pub(crate) fn updates<'s, D: Clone + 'static, M: Clone + 'static, I: IntoIterator<Item = M>>(
    collection: Collection<'s, D>,
    message: impl Fn(D, Time, isize) -> I + 'static,
) -> Stream<'s, M> {
    collection.inner.unary(Pipeline, "updates", move |_, _| {
        move |input, output| {
            input.for_each(|capability, data| {
                let mut by_time: BTreeMap<Time, Vec<M>> = BTreeMap::new();
                for (row, time, diff) in data.drain(..) {
                    by_time
                        .entry(time)
                        .or_default()
                        .extend(message(row, time, diff));
                }
                for (time, mut messages) in by_time {
                    let capability = capability.delayed(&time, 0);
                    output
                        .session(&capability)
                        .give_iterator(messages.drain(..));
                }
            });
        }
    })
}

/// The first slot that may still receive messages; `None` when none may.
fn upper(frontier: &MutableAntichain<Time>) -> Option<Time> {
    frontier.frontier().iter().min().copied()
}

/// The next slot that is complete and has something to do.
fn next_slot<M>(
    stash: &BTreeMap<Time, Vec<M>>,
    timer: Option<Timestamp>,
    upper: Option<Time>,
) -> Option<Time> {
    let message = stash.keys().next().copied();
    // When the input is closed, time has stopped: what is not due by then never fires.
    let timer = timer.filter(|_| upper.is_some()).map(slot_of_timer);
    let next = match (message, timer) {
        (Some(m), Some(t)) => m.min(t),
        (m, t) => m.or(t)?,
    };
    (upper.is_none_or(|upper| next < upper)).then_some(next)
}

/// The slot at whose end an instant is due: the first that ends at or after it.
fn slot_of_timer(due: Timestamp) -> Time {
    u64::try_from(due.0.saturating_add(SLOT.0 - 1).div_euclid(SLOT.0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mast_schemas::Epoch;

    #[test]
    fn a_timer_fires_in_the_slot_that_ends_at_or_after_it() {
        assert_eq!(slot_of_timer(Epoch(7).end()), 7);
        assert_eq!(slot_of_timer(Timestamp(Epoch(7).end().0 + 1)), 8);
        assert_eq!(slot_of_timer(Timestamp(Epoch(7).end().0 - 1)), 7);
    }
}
