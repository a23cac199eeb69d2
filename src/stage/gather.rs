//! An operator that takes in all of a delta, then works on it once, on a thread beside its worker.
//!
//! **Why**: durable stages read sorted runs, and that is cheap only in the order of the runs: so a stage sorts what it
//! takes, in bounded memory, and begins when nothing can follow. Its results go on in small batches, as fast as they are taken.
//! The state before is epoch 0 and the delta epoch 1: a stage gives what it found at 0 and what changes at 1.

use crate::error::Result;
use crate::model::Epoch;
use crate::source::prefetch::{Ahead, Prefetch};
use crate::stop::Stop;
use differential_dataflow::{AsCollection, ExchangeData, VecCollection};
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::{Activator, SyncActivator};

/// The epoch of what stood before.
pub(crate) const BEFORE: Epoch = 0;
/// The epoch of what changes.
pub(crate) const NOW: Epoch = 1;

/// Results that go on at a time.
const BATCH: usize = 512;
/// Batches that wait, so that neither side wakes the other for each.
const AHEAD: usize = 8;

/// What such an operator does.
pub(crate) trait Gather: Send + 'static {
    /// What it takes.
    type In: ExchangeData;
    /// What it gives.
    type Out: ExchangeData;

    /// Takes an update.
    ///
    /// # Errors
    /// A disk that fails or is full.
    fn take(&mut self, data: Self::In, diff: isize) -> Result<()>;

    /// Whether there is work even if nothing came.
    fn always(&self) -> bool {
        false
    }

    /// Works on all of it.
    ///
    /// # Errors
    /// Damage, or a disk that fails or is full.
    fn work(self, out: &mut Give<'_, Self::Out>) -> Result<()>;
}

type Batch<T> = (Epoch, Vec<(T, Epoch, isize)>);
type Output<T> = OutputBuilder<Epoch, CapacityContainerBuilder<Vec<(T, Epoch, isize)>>>;

/// Takes results on their way.
pub(crate) struct Give<'a, T> {
    epoch: Epoch,
    batch: Vec<(T, Epoch, isize)>,
    send: &'a mut dyn FnMut(Batch<T>) -> Result<()>,
}

impl<T> Give<'_, T> {
    /// A result that stood before.
    pub(crate) fn before(&mut self, what: T, diff: isize) -> Result<()> {
        self.push(what, BEFORE, diff)
    }

    /// A result that changes.
    pub(crate) fn now(&mut self, what: T, diff: isize) -> Result<()> {
        self.push(what, NOW, diff)
    }

    fn push(&mut self, what: T, epoch: Epoch, diff: isize) -> Result<()> {
        if epoch != self.epoch || self.batch.len() >= BATCH {
            self.flush()?;
            self.epoch = epoch;
        }
        self.batch.push((what, epoch, diff));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        (self.send)((self.epoch, std::mem::take(&mut self.batch)))
    }
}

/// Work on a thread of its own, and the operator's end of it: results go out as fast as they are taken.
struct Working<T> {
    name: String,
    stop: Stop,
    again: Activator,
    wake: SyncActivator,
    thread: Option<Prefetch<Batch<T>>>,
    /// Held until the work is done; on a stop it stays, as a stopped run must not look like a complete one.
    held: Option<Capability<Epoch>>,
}

impl<T: ExchangeData> Working<T> {
    /// For an operator of this address.
    fn new(scope: Scope<'_, Epoch>, name: &str, stop: &Stop, address: Rc<[usize]>) -> Self {
        let wake = scope.worker().sync_activator_for(address.to_vec());
        let again = scope.activator_for(address);
        Self { name: name.to_owned(), stop: stop.clone(), again, wake, thread: None, held: None }
    }

    fn start(&mut self, work: impl FnOnce(&mut Give<'_, T>) -> Result<()> + Send + 'static) {
        let started = Prefetch::work(&self.name, AHEAD, &self.stop, self.wake.clone(), move |send| {
            let mut give = Give { epoch: NOW, batch: Vec::new(), send };
            work(&mut give)?;
            give.flush()
        });
        self.thread = started.map_err(|error| self.stop.raise(error)).ok();
    }

    /// Hands on what is there.
    fn step(&mut self, output: &mut Output<T>) {
        if self.stop.is_raised() {
            self.thread = None;
            return;
        }
        let Some(thread) = &self.thread else { return };
        match thread.poll() {
            Ahead::Ready((epoch, mut batch)) => {
                if let Some(held) = &self.held {
                    output.activate().session(&held.delayed(&epoch)).give_container(&mut batch);
                }
                self.again.activate();
            }
            Ahead::Pending => {}
            Ahead::Ended if self.stop.is_raised() => {}
            Ahead::Ended => {
                self.thread = None;
                self.held = None;
            }
        }
    }
}

/// Wires it. Updates of both epochs are taken alike.
pub(crate) fn gathered<'s, G: Gather>(
    name: &str,
    updates: VecCollection<'s, Epoch, G::In>,
    route: impl Fn(&G::In) -> u64 + 'static,
    stop: &Stop,
    gather: G,
) -> VecCollection<'s, Epoch, G::Out> {
    let scope = updates.inner.scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let exchange = Exchange::new(move |update: &(G::In, Epoch, isize)| route(&update.0));
    let mut input = builder.new_input(updates.inner, exchange);
    let (output, results) = builder.new_output();
    let mut output = Output::<G::Out>::from(output);
    let mut working = Working::new(scope, name, stop, builder.operator_info().address);
    let stop = stop.clone();
    builder.build(move |capabilities| {
        working.held = capabilities.into_iter().next();
        let mut idle = !gather.always();
        let mut gather = Some(gather);
        move |frontiers| {
            input.for_each(|_, updates| {
                idle &= updates.is_empty();
                for (data, _, diff) in updates.drain(..) {
                    if let Some(gather) = &mut gather
                        && let Err(error) = gather.take(data, diff)
                    {
                        stop.raise(error);
                    }
                }
            });
            let complete = !frontiers.iter().any(|frontier| frontier.less_equal(&NOW));
            if complete
                && !stop.is_raised()
                && let Some(gather) = gather.take()
            {
                if idle {
                    working.held = None;
                } else {
                    working.start(move |out| gather.work(out));
                }
            }
            working.step(&mut output);
        }
    });
    results.as_collection()
}

/// Gives what some work finds, without taking anything.
pub(crate) fn feed<'s, T: ExchangeData>(
    scope: Scope<'s, Epoch>,
    name: &str,
    stop: &Stop,
    work: impl FnOnce(&mut Give<'_, T>) -> Result<()> + Send + 'static,
) -> VecCollection<'s, Epoch, T> {
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let (output, results) = builder.new_output();
    let mut output = Output::<T>::from(output);
    let mut working = Working::new(scope, name, stop, builder.operator_info().address);
    builder.build(move |capabilities| {
        working.held = capabilities.into_iter().next();
        working.start(work);
        move |_frontiers| working.step(&mut output)
    });
    results.as_collection()
}
