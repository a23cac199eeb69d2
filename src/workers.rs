//! Runs one dataflow on N worker threads, to its end or to the stop flag.
//!
//! **Why**: a timely worker that panics or returns early leaves the others waiting for ever. Here a panic
//! raises the flag, every worker sees it within one park, drops its dataflow, and the run ends with an error.

use crate::cluster::Link;
use crate::error::{Error, Result};
use crate::stop::Stop;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Config, Hooks};
use timely::worker::Worker;

/// How long a worker sleeps before it looks at the stop flag again; events wake it at once.
const PARK: Duration = Duration::from_millis(20);

/// The other processes of a run, connected.
pub(crate) struct Peers {
    /// The number of this process, from 0.
    pub(crate) process: usize,
    /// A connection to each process; `None` to this one.
    pub(crate) links: Vec<Option<Link>>,
}

/// Builds a dataflow on each of `workers` threads, steps it until it is complete, then asks each worker for
/// what it has. `build` gives back the closure that does so.
///
/// # Errors
/// The reason of the stop flag; [`ErrorKind::Bug`](crate::ErrorKind::Bug) if a worker panicked; what a
/// worker's closure returns.
pub fn run<T, F, G>(workers: usize, stop: &Stop, build: F) -> Result<Vec<T>>
where
    T: Send + 'static,
    G: FnOnce() -> Result<T> + 'static,
    F: Fn(&mut Worker) -> Result<G> + Send + Sync + 'static,
{
    run_among(workers, None, stop, build)
}

/// As [`run`], as one of several processes, each of which calls this with as many workers and the same dataflow. Gives
/// what the workers of this process have.
///
/// # Errors
/// As [`run`]; [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if a process is lost.
pub(crate) fn run_among<T, F, G>(
    workers: usize,
    peers: Option<Peers>,
    stop: &Stop,
    build: F,
) -> Result<Vec<T>>
where
    T: Send + 'static,
    G: FnOnce() -> Result<T> + 'static,
    F: Fn(&mut Worker) -> Result<G> + Send + Sync + 'static,
{
    let flag = stop.clone();
    let (builders, comms) = allocators(workers, peers)?;
    // The threads of a lost connection never end, so nobody waits for them; the others end by themselves.
    std::mem::forget(comms);
    let config = timely::WorkerConfig::default();
    let guards = timely::execute::execute_from(builders, Box::new(()), config, move |worker| {
        let done = catch_unwind(AssertUnwindSafe(|| one(worker, &flag, &build)));
        done.unwrap_or_else(|panic| {
            flag.raise(Error::bug(format!("worker panicked: worker={}, {}", worker.index(), told(&*panic))));
            // Dropping may run destructors of the half-done step: never let those take the thread down.
            let _ = catch_unwind(AssertUnwindSafe(|| drop_all(worker)));
            Ok(None)
        })
    })
    .map_err(|cause| Error::bug(format!("workers not started: {cause}")))?;
    let mut parts = Vec::with_capacity(workers);
    for ended in guards.join() {
        match ended.map_err(|cause| Error::bug(format!("worker lost: {cause}")))? {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => {}
            Err(error) => stop.raise(error),
        }
    }
    if stop.is_raised() {
        return Err(stop.take().unwrap_or_else(|| Error::bug("stopped without a reason")));
    }
    Ok(parts)
}

/// What carries data between the workers, and the threads behind it.
fn allocators(workers: usize, peers: Option<Peers>) -> Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>)> {
    let Some(Peers { process, links }) = peers else {
        let built = Config::Process(workers).try_build();
        return built.map_err(|cause| Error::bug(format!("workers not started: {cause}")));
    };
    let Hooks { refill, spill, .. } = Hooks::default();
    let inside = ProcessBuilder::new_typed_vector(workers, refill, spill);
    let connected = initialize_networking_from_sockets(inside, links, process, workers, Hooks::default());
    let (builders, comms) =
        connected.map_err(|cause| Error::unavailable("processes not connected").because(cause))?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(comms)))
}

fn one<T, F, G>(worker: &mut Worker, stop: &Stop, build: &F) -> Result<Option<T>>
where
    G: FnOnce() -> Result<T>,
    F: Fn(&mut Worker) -> Result<G>,
{
    let finish = match build(worker) {
        Ok(finish) => finish,
        Err(error) => {
            stop.raise(error);
            drop_all(worker);
            return Ok(None);
        }
    };
    while worker.has_dataflows() {
        worker.step_or_park(Some(PARK));
        if stop.is_raised() {
            drop_all(worker);
            return Ok(None);
        }
    }
    finish().map(Some).inspect_err(|error| tracing::debug!(worker = worker.index(), %error, "worker failed"))
}

fn drop_all(worker: &mut Worker) {
    for dataflow in worker.installed_dataflows() {
        worker.drop_dataflow(dataflow);
    }
}

/// What a panic said.
pub(crate) fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Does two things side by side, `one` on a thread of its own, which is called `name` if it panics. If both fail, the error
/// of `one` counts.
///
/// # Errors
/// Those of the two; [`ErrorKind::Bug`](crate::ErrorKind::Bug) if `one` panics.
pub(crate) fn side_by_side<A: Send, B>(
    name: &str,
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        Ok((joined(name, one.join())??, other?))
    })
}

/// What the thread of this name ended with.
pub(crate) fn joined<T>(name: &str, ended: std::thread::Result<T>) -> Result<T> {
    ended.map_err(|panic| panicked(name, &*panic))
}

/// What is said of a thread that panicked.
pub(crate) fn panicked(name: &str, panic: &(dyn Any + Send)) -> Error {
    Error::bug(format!("thread panicked: name={name}, {}", told(panic)))
}

/// What `of` gives for `0..many`, in order, computed on up to `threads` threads, which are called `name` if they panic. The
/// first error in that order counts; after one, nothing new is begun.
///
/// # Errors
/// What `of` returns; [`ErrorKind::Bug`](crate::ErrorKind::Bug) if it panics.
pub(crate) fn in_parallel<T: Send>(
    name: &str,
    many: usize,
    threads: usize,
    of: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= many {
                break;
            }
            let result = of(at);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((at, result));
        }
        done
    };
    let mut done = Vec::with_capacity(many);
    std::thread::scope(|scope| {
        let started: Vec<_> = (1..threads.min(many)).map(|_| scope.spawn(work)).collect();
        done.extend(work());
        started.into_iter().try_for_each(|thread| {
            done.extend(joined(name, thread.join())?);
            Ok::<_, Error>(())
        })
    })?;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Threads for work that no worker does.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use timely::dataflow::operators::{Inspect, ToStream};

    #[test]
    fn every_worker_runs_to_the_end() {
        let sums = run(2, &Stop::default(), |worker| {
            let sum = Rc::new(RefCell::new(0));
            let seen = Rc::clone(&sum);
            worker.dataflow::<u64, _, _>(|scope| {
                (1..=4).to_stream(scope).container::<Vec<_>>().inspect(move |x| *seen.borrow_mut() += x);
            });
            Ok(move || Ok(*sum.borrow()))
        });
        assert_eq!(sums.expect("complete"), [10, 10]);
    }

    #[test]
    fn a_panic_on_one_worker_ends_the_run() {
        let ended = run(2, &Stop::default(), |worker| {
            let index = worker.index();
            worker.dataflow::<u64, _, _>(|scope| {
                (1..=4)
                    .to_stream(scope)
                    .container::<Vec<_>>()
                    .inspect(move |_| assert!(index != 1, "odd one"));
            });
            Ok(|| Ok(()))
        });
        let told = ended.expect_err("panicked").to_string();
        assert!(told.contains("odd one"), "{told}");
    }
}
