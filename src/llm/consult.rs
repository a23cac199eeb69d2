//! The asynchronous operator of the model stages: bundles in, rows asked beside the workers, bundles out.
//!
//! **Why**: a worker must never wait for a model. A bundle's rows are asked at once on the runtime's threads; the
//! operator keeps the bundle's capability meanwhile, so nothing downstream believes the epoch done, and sends the
//! bundle on whole, in whatever order replies come. How many bundles are in flight is the reader's business: it holds
//! the credits.
//! **In, out** [`Bundle`]. **State** one capability per bundle in flight. **Faults** the clerk's.
//! A fatal error raises [`Stop`] and its bundle's capability stays: no frontier ever passes a hole.

use crate::error::{Error, Result};
use crate::llm::desk::meter::serving;
use crate::model::{Bundle, Epoch, Exchange};
use crate::stage::clerk::Clerk;
use crate::stop::Stop;
use crate::workers::told;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::scheduling::SyncActivator;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

/// Wires the stage; the contract is on the module page.
pub fn consult(
    bundles: Stream<'_, Epoch, Bundle>,
    clerk: Arc<dyn Clerk>,
    runtime: Handle,
    stop: Stop,
) -> Stream<'_, Epoch, Bundle> {
    let name = format!("Consult/{}", clerk.stage().name());
    let scope = bundles.scope();
    bundles.unary::<NoopBuilder<Bundle>, _, _, _>(Pipeline, &name, move |_, info| {
        let wake = scope.worker().sync_activator_for(info.address.to_vec());
        let (tell, inbox) = channel::<(u64, Bundle)>();
        let mut flight: BTreeMap<u64, InFlight> = BTreeMap::new();
        let mut tickets = 0..;
        move |input, output| {
            input.for_each(|stamp, bundle| {
                let bundle = std::mem::take(bundle);
                let (Some(ticket), Some(capability)) = (tickets.next(), stamp.retain_least(0)) else {
                    return;
                };
                if bundle.rows.iter().all(|row| row.outcome.is_some()) {
                    output.session_with_builder(&capability).give_container(&mut { bundle });
                    return;
                }
                let post = Post { ticket, tell: tell.clone(), wake: wake.clone() };
                let task = runtime.spawn(post.carry(bundle, Arc::clone(&clerk), stop.clone()));
                flight.insert(ticket, InFlight { capability, task: task.abort_handle() });
            });
            while let Ok((ticket, mut bundle)) = inbox.try_recv() {
                if let Some(landed) = flight.remove(&ticket) {
                    output.session_with_builder(&landed.capability).give_container(&mut bundle);
                }
            }
        }
    })
}

/// A bundle in flight. Dropping it, as the end of the dataflow does, ends its asks.
struct InFlight {
    capability: Capability<Epoch>,
    task: AbortHandle,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a treated bundle comes back to its operator.
struct Post {
    ticket: u64,
    tell: Sender<(u64, Bundle)>,
    wake: SyncActivator,
}

impl Post {
    async fn carry(self, bundle: Bundle, clerk: Arc<dyn Clerk>, stop: Stop) {
        match treated(bundle, &clerk).await {
            // Either end may be gone with its dataflow: then nobody waits.
            Ok(bundle) => drop(self.tell.send((self.ticket, bundle))),
            Err(error) => stop.raise(error),
        }
        let _ = self.wake.activate();
    }
}

/// Treats all rows without outcome at once.
async fn treated(mut bundle: Bundle, clerk: &Arc<dyn Clerk>) -> Result<Bundle> {
    let mut asked = JoinSet::new();
    for (i, row) in bundle.rows.iter_mut().enumerate().filter(|(_, row)| row.outcome.is_none()) {
        let (mut row, clerk) = (std::mem::take(row), Arc::clone(clerk));
        asked.spawn(serving(row.lang, async move { clerk.treat(&mut row).await.map(|()| (i, row)) }));
    }
    while let Some(done) = asked.join_next().await {
        let (i, row) = done.map_err(|lost| panicked(lost, clerk))??;
        put(&mut bundle.rows, i, row);
    }
    Ok(bundle)
}

fn put(rows: &mut [Exchange], i: usize, row: Exchange) {
    if let Some(place) = rows.get_mut(i) {
        *place = row;
    }
}

fn panicked(lost: tokio::task::JoinError, clerk: &Arc<dyn Clerk>) -> Error {
    let stage = clerk.stage().name();
    match lost.try_into_panic() {
        Ok(panic) => Error::bug(format!("stage panicked: stage={stage}, {}", told(&*panic))),
        Err(lost) => Error::bug(format!("stage cancelled: stage={stage}")).because(lost),
    }
}

#[cfg(test)]
mod tests;
