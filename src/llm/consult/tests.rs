use super::*;
use crate::llm::Pending;
use crate::model::{Lang, Place, Reason, Stage, Verdict, Weight};
use crate::workers;
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use timely::dataflow::operators::generic::source;
use tokio::time::Instant;

/// What a clerk of these tests does with a row.
type Manner = dyn Fn(u32) -> Result<(), Error> + Send + Sync;

struct Slow {
    manner: Box<Manner>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Slow {
    fn new(manner: impl Fn(u32) -> Result<(), Error> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { manner: Box::new(manner), now: AtomicUsize::new(0), most: AtomicUsize::new(0) })
    }
}

impl Clerk for Slow {
    fn stage(&self) -> Stage {
        Stage::Translate
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            assert!(
                exchange.outcome.is_none() && exchange.response_en.is_empty(),
                "asked a row that has its outcome"
            );
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(u64::from(exchange.place.row % 4))).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            (self.manner)(exchange.place.row)?;
            exchange.response_en = format!("{} in English", exchange.response);
            Ok(())
        })
    }
}

/// Bundles of `sizes` rows; each third row has its outcome already.
fn bundles(sizes: &[usize], shard: u32) -> Vec<Bundle> {
    let mut row = 0;
    let mut made = |serial: usize, size: usize| {
        let rows = (0..size)
            .map(|_| {
                row += 1;
                let outcome = (row % 3 == 0).then(|| Verdict::dropped(Stage::Read, Reason::Passed, 0.0));
                let response = format!("{shard}/{row}");
                let place = Place { shard, row, start: 0 };
                Exchange { place, response, outcome, lang: Lang::UND, ..Exchange::default() }
            })
            .collect();
        Bundle {
            shard,
            serial: u32::try_from(serial).expect("few"),
            last: serial + 1 == sizes.len(),
            rows,
            weight: Weight { rows: u32::try_from(size).expect("few"), bytes: 1 + 100 * serial as u64 },
        }
    };
    sizes.iter().enumerate().map(|(serial, size)| made(serial, *size)).collect()
}

/// Runs bundles (one epoch each) through the operator on each worker; gives what came out with its epoch.
fn through(
    workers: usize,
    sizes: &[usize],
    clerk: Arc<dyn Clerk>,
    stop: &Stop,
) -> Result<Vec<(Epoch, Bundle)>> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let (handle, flag, sizes) = (runtime.handle().clone(), stop.clone(), sizes.to_vec());
    let parts = workers::run(workers, stop, move |worker| {
        let shard = u32::try_from(worker.index()).expect("few");
        let out = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&out);
        let (clerk, handle, flag, sizes) = (Arc::clone(&clerk), handle.clone(), flag.clone(), sizes.clone());
        worker.dataflow::<Epoch, _, _>(|scope| {
            let read = source::<_, NoopBuilder<Bundle>, _, _>(scope, "Bundles", |capability, _| {
                let mut capability = Some(capability);
                move |output| {
                    if let Some(mut capability) = capability.take() {
                        for (epoch, mut bundle) in (0..).zip(bundles(&sizes, shard)) {
                            capability.downgrade(&epoch);
                            output.session_with_builder(&capability).give_container(&mut bundle);
                        }
                    }
                }
            });
            consult(read, clerk, handle, flag).sink(Pipeline, "Kept", move |(input, _)| {
                input.for_each(|stamp, bundle| {
                    let epoch = stamp.least().copied().expect("an epoch");
                    kept.borrow_mut().push((epoch, std::mem::take(bundle)));
                });
            });
        });
        Ok(move || Ok(out.take()))
    })?;
    Ok(parts.into_iter().flatten().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn bundles_come_out_whole_once_and_at_their_epoch(sizes in prop::collection::vec(0_usize..40, 0..12), workers in 1..=3_usize) {
        let mut out = through(workers, &sizes, Slow::new(|_| Ok(())), &Stop::default()).expect("complete");
        out.sort_by_key(|(_, bundle)| (bundle.shard, bundle.serial));
        let mut expected = Vec::new();
        for shard in 0..workers {
            for (epoch, mut bundle) in (0..).zip(bundles(&sizes, u32::try_from(shard).expect("few"))) {
                for row in &mut bundle.rows {
                    if row.outcome.is_none() {
                        row.response_en = format!("{} in English", row.response);
                    }
                }
                expected.push((epoch, bundle));
            }
        }
        prop_assert_eq!(out, expected);
    }
}

#[test]
fn the_rows_of_many_bundles_are_asked_at_once() {
    let clerk = Slow::new(|_| Ok(()));
    let seen: Arc<dyn Clerk> = Arc::<Slow>::clone(&clerk);
    through(1, &[60; 10], seen, &Stop::default()).expect("complete");
    assert!(clerk.most.load(Ordering::SeqCst) > 100, "{:?}", clerk.most);
}

#[test]
fn an_error_ends_the_run_on_every_worker() {
    for workers in 1..=3 {
        let clerk =
            Slow::new(|row| if row == 50 { Err(Error::unavailable("endpoint away")) } else { Ok(()) });
        let told = through(workers, &[20; 5], clerk, &Stop::default()).expect_err("ended").to_string();
        assert_eq!(told, "endpoint away");
    }
}

#[test]
fn a_panic_ends_the_run_as_a_bug() {
    let clerk = Slow::new(|row| {
        assert!(row != 50, "odd row");
        Ok(())
    });
    let error = through(2, &[20; 5], clerk, &Stop::default()).expect_err("ended");
    assert_eq!(error.kind(), crate::ErrorKind::Bug);
    assert!(error.to_string().contains("odd row") && error.to_string().contains("translate"), "{error}");
}

/// Never answers.
struct Mute;

impl Clerk for Mute {
    fn stage(&self) -> Stage {
        Stage::Score
    }

    fn treat<'a>(&'a self, _: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_stop_does_not_wait_for_what_is_in_flight() {
    let stop = Stop::default();
    let raised = stop.clone();
    let raiser = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        raised.raise(Error::new(crate::ErrorKind::Interrupted, "stopped"));
        Instant::now()
    });
    let error = through(3, &[30; 20], Arc::new(Mute), &stop).expect_err("stopped");
    assert_eq!(error.kind(), crate::ErrorKind::Interrupted);
    let since = raiser.join().expect("raised").elapsed();
    assert!(since < Duration::from_secs(1), "{since:?}");
}
