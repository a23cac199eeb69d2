//! Progress while a run goes: counts by stage, rate, time left. A bar on a terminal, lines elsewhere.
//!
//! **Why**: whoever waits wants to know for how long. Stages only bump atomics; one thread of its own looks at them a
//! few times a second, so a slow terminal never slows a worker. Time comes from the caller and shows in no result.

use crate::model::Stage;
use crate::telemetry::table::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the bar is redrawn.
const LOOK: Duration = Duration::from_millis(200);

/// How often a line is written where there is no bar.
const LINE_MS: u64 = 10_000;

#[derive(Debug, Default)]
struct Counter {
    done: AtomicU64,
    total: AtomicU64,
}

/// Shared counts: rows until [`Stage::Fragment`], fragments after.
#[derive(Debug, Default)]
pub struct Progress {
    stages: [Counter; Stage::ALL.len()],
}

impl Progress {
    /// A stage is done with so many more.
    pub fn done(&self, stage: Stage, count: u64) {
        if let Some(counter) = self.stages.get(stage as usize) {
            counter.done.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// A stage will see so many more.
    pub fn expect(&self, stage: Stage, count: u64) {
        if let Some(counter) = self.stages.get(stage as usize) {
            counter.total.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Done and total of a stage; the total is 0 while it is not known.
    pub fn of(&self, stage: Stage) -> (u64, u64) {
        let counter = self.stages.get(stage as usize);
        counter.map_or((0, 0), |counter| {
            (counter.done.load(Ordering::Relaxed), counter.total.load(Ordering::Relaxed))
        })
    }
}

/// Where progress is shown.
pub enum Screen {
    /// A bar on the terminal behind standard error.
    Bar,
    /// A line now and then, only when something changed.
    Lines(Box<dyn Write + Send>),
}

/// Shows progress until it is dropped.
pub struct Reporter {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts to show progress. `now_ms` tells milliseconds from any start.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if no thread is to be had.
pub fn report(
    progress: Arc<Progress>,
    now_ms: impl Fn() -> u64 + Send + 'static,
    screen: Screen,
) -> crate::error::Result<Reporter> {
    let ended = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&ended);
    let thread = thread::Builder::new()
        .name("progress".to_owned())
        .spawn(move || show(&progress, now_ms, screen, &flag));
    let thread =
        thread.map_err(|cause| crate::error::Error::unavailable("no thread for progress").because(cause))?;
    Ok(Reporter { ended, thread: Some(thread) })
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn show(progress: &Progress, now_ms: impl Fn() -> u64, mut screen: Screen, ended: &AtomicBool) {
    let mut pace = Pace::default();
    let bar = match &screen {
        Screen::Bar => Some(bar()),
        Screen::Lines(_) => None,
    };
    let mut next = now_ms() + LINE_MS;
    let mut told = String::new();
    loop {
        let last = ended.load(Ordering::Acquire);
        let now = now_ms();
        let line = pace.line(progress, now);
        match (&mut screen, &bar) {
            (_, Some(bar)) => {
                let (done, total) = pace.sums;
                bar.set_length(total.max(done));
                bar.set_position(done);
                bar.set_message(line);
            }
            (Screen::Lines(out), _) if (last || now >= next) && line != told && !line.is_empty() => {
                // Progress that nobody reads is no reason to stop.
                let _ = writeln!(out, "progress: {line}");
                let _ = out.flush();
                next = now + LINE_MS;
                told = line;
            }
            _ => {}
        }
        if last {
            break;
        }
        thread::park_timeout(LOOK);
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("[{bar:20}] {wide_msg}");
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// When each stage began, and how far it was then.
#[derive(Default)]
struct Pace {
    began: [Option<(u64, u64)>; Stage::ALL.len()],
    sums: (u64, u64),
}

impl Pace {
    /// `read 1,200/4,000 35/s, translate 30/100 2.1/s, 33 s left`: the time of the stage that needs longest.
    fn line(&mut self, progress: &Progress, now: u64) -> String {
        let mut parts = Vec::new();
        let mut left: Option<f64> = None;
        self.sums = (0, 0);
        for (stage, began) in Stage::ALL.into_iter().zip(&mut self.began) {
            let (done, total) = progress.of(stage);
            if done == 0 && total == 0 {
                continue;
            }
            self.sums = (self.sums.0 + done, self.sums.1 + total.max(done));
            let (since, at) = *began.get_or_insert((now, done));
            let seconds = now.saturating_sub(since) as f64 / 1000.0;
            let mut part = format!("{} {}", stage.name(), grouped(done));
            if total > 0 {
                part += &format!("/{}", grouped(total));
            }
            let rate = if seconds > 0.0 { done.saturating_sub(at) as f64 / seconds } else { 0.0 };
            if done < total && rate > 0.0 {
                part += &if rate < 10.0 { format!(" {rate:.1}/s") } else { format!(" {rate:.0}/s") };
                let needs = (total - done) as f64 / rate;
                left = Some(left.map_or(needs, |left| left.max(needs)));
            }
            parts.push(part);
        }
        if let Some(left) = left {
            parts.push(format!("{} left", time(left)));
        }
        parts.join(", ")
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive; the cast saturates")]
fn time(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError};

    #[test]
    fn the_line_tells_rate_and_time_left() {
        let (progress, mut pace) = (Progress::default(), Pace::default());
        assert_eq!(pace.line(&progress, 0), "");
        progress.expect(Stage::Read, 4000);
        progress.expect(Stage::Translate, 100);
        assert_eq!(pace.line(&progress, 1000), "read 0/4,000, translate 0/100");
        progress.done(Stage::Read, 4000);
        progress.done(Stage::Translate, 20);
        progress.done(Stage::Sample, 7);
        let line = pace.line(&progress, 11_000);
        assert_eq!(line, "read 4,000/4,000, sample 7, translate 20/100 2.0/s, 40 s left");
        assert_eq!(pace.sums, (4027, 4107));
        assert_eq!((time(118.2), time(121.0), time(7300.0)), ("119 s".into(), "3 min".into(), "3 h".into()));
    }

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(buffer);
            Ok(buffer.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_last_line_is_written_when_the_reporter_goes() {
        let (progress, out) = (Arc::new(Progress::default()), Shared::default());
        let screen = Screen::Lines(Box::new(out.clone()));
        let reporter = report(Arc::clone(&progress), || 0, screen).expect("a thread");
        progress.done(Stage::Read, 3);
        drop(reporter);
        assert_eq!(out.0.lock().expect("whole").as_slice(), b"progress: read 3\n");
    }
}
