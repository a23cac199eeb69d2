//! Reads admitted rows again and cuts them into bundles, under credits.
//!
//! **Why**: only ids cross workers; the worker that a place is routed to reads its text, on a thread ahead of the
//! models, and no further than its credits reach.
//! **In** wanted fragments, exchanged here. **Out** bundles of one shard each, in place order, at the wanted epoch.
//! **State** the wanted ids of epochs that are not sealed (48 bytes each). **Faults** a row whose lineage does not
//! decode goes on with its outcome set; a fragment that is not there any more ends the run.

use crate::model::{Bundle, Epoch};
use crate::source::Credits;
use crate::source::prefetch::{Ahead, Prefetch};
use crate::source::reread::Bundles;
use crate::stop::Stop;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

pub use crate::source::reread::{Rereading, Segmenter, Wanted};

/// Which worker reads a fragment again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// By block of rows: one big shard keeps every worker busy. `serial` and `last` then count per worker.
    Block,
    /// By shard: one worker has all bundles of a shard, and writes its part.
    Shard,
}

impl Route {
    /// The routing hash of a fragment.
    pub fn of(self, wanted: &Wanted) -> u64 {
        match self {
            Self::Block => wanted.place.route(),
            Self::Shard => xxhash_rust::xxh3::xxh3_64(&wanted.place.shard.to_le_bytes()),
        }
    }
}

/// Wires the second reader of one worker; the contract is on the module page. `credits` are taken here; the stage
/// that is done with a bundle gives them back.
pub fn reread<'s>(
    wanted: Stream<'s, Epoch, Vec<Wanted>>,
    route: Route,
    rereading: &Arc<Rereading>,
    credits: &Rc<Credits>,
    stop: &Stop,
) -> Stream<'s, Epoch, Bundle> {
    let scope = wanted.scope();
    let mut builder = OperatorBuilder::new("reread".into(), scope);
    let readers = rereading.readers.max(1) as u64;
    let mut input =
        builder.new_input(wanted, Exchange::new(move |wanted: &Wanted| route.of(wanted) % readers));
    let (output, bundles) = builder.new_output();
    let mut output = OutputBuilder::<Epoch, NoopBuilder<Bundle>>::from(output);
    let address = builder.operator_info().address;
    let again = scope.activator_for(Rc::clone(&address));
    credits.wakes(again.clone());
    let wake = scope.worker().sync_activator_for(address.to_vec());
    let (credits, rereading, stop) = (Rc::clone(credits), Arc::clone(rereading), stop.clone());
    builder.build(move |_caps| {
        let mut open: BTreeMap<Epoch, (Capability<Epoch>, Vec<Wanted>)> = BTreeMap::new();
        let mut sealed: VecDeque<(Capability<Epoch>, Vec<Wanted>)> = VecDeque::new();
        let mut ahead: Option<(Capability<Epoch>, Prefetch<Bundle>)> = None;
        move |frontiers| {
            input.for_each_stamp(|stamp, containers| {
                let Some(cap) = stamp.retain_least(0) else { return };
                let (_, wanted) = open.entry(*cap.time()).or_insert_with(|| (cap, Vec::new()));
                containers.for_each(|more| wanted.append(more));
            });
            if stop.is_raised() {
                // The capabilities stay: a stopped run must not look like a complete one.
                if let Some((cap, _)) = ahead.take() {
                    sealed.push_back((cap, Vec::new()));
                }
                return;
            }
            while let Some(first) = open.first_entry() {
                if frontiers.first().is_some_and(|frontier| frontier.less_equal(first.key())) {
                    break;
                }
                sealed.push_back(first.remove());
            }
            if ahead.is_none()
                && let Some((cap, wanted)) = sealed.pop_front()
            {
                let bundles = Bundles::new(Arc::clone(&rereading), wanted);
                let started = Prefetch::start("reread", bundles, &stop, wake.clone());
                match started {
                    Ok(prefetch) => ahead = Some((cap, prefetch)),
                    Err(error) => {
                        stop.raise(error);
                        sealed.push_back((cap, Vec::new()));
                        return;
                    }
                }
            }
            let Some((cap, prefetch)) = ahead.as_ref().filter(|_| credits.open()) else { return };
            match prefetch.poll() {
                Ahead::Ready(mut bundle) => {
                    credits.take(bundle.weight);
                    output.activate().session_with_builder(cap).give_container(&mut bundle);
                    again.activate();
                }
                Ahead::Pending => {}
                // A thread that failed raised the flag before it ended.
                Ahead::Ended if stop.is_raised() => {}
                Ahead::Ended => {
                    ahead = None;
                    again.activate();
                }
            }
        }
    });
    bundles
}
