//! The model stages of one worker: both passes are wired by the same lines, so they ask the same.

use super::job::Job;
use super::roles::Roles;
use crate::llm::Role;
use crate::llm::consult::consult;
use crate::model::{Bundle, Epoch, Note, Stage};
use crate::sink::manifest::Part;
use crate::sink::parts::{self, PartContext};
use crate::source::Credits;
use crate::stage::Clerk;
use crate::stage::reread::{Rereading, Route, Wanted, reread};
use crate::stop::Stop;
use crate::telemetry::Progress;
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::Stream;
use timely::dataflow::operators::Inspect;
use tokio::runtime::Handle;

/// All roles in the order in which a row meets them.
pub(super) fn chain(roles: &Roles) -> [(Role, &Arc<dyn Clerk>); 5] {
    [
        (Role::Translate, &roles.translate),
        (Role::Instruct, &roles.instruct),
        (Role::Score, &roles.score),
        (Role::Embed, &roles.embed),
        (Role::Localize, &roles.localize),
    ]
}

/// Translate, instruct, score, embed: what selection stands on. `progress` is told of every stage; the second pass,
/// which the journal answers, tells nobody.
pub(super) fn english<'s>(
    bundles: Stream<'s, Epoch, Bundle>,
    roles: &Roles,
    runtime: &Handle,
    stop: &Stop,
    progress: Option<&Arc<Progress>>,
) -> Stream<'s, Epoch, Bundle> {
    let clerks = [&roles.translate, &roles.instruct, &roles.score, &roles.embed];
    let stages = clerks.map(|clerk| clerk.stage());
    let bundles = match progress {
        None => bundles,
        Some(progress) => told(bundles, progress, move |progress, rows| {
            stages.into_iter().for_each(|stage| progress.expect(stage, rows));
        }),
    };
    clerks.into_iter().zip(stages).fold(bundles, |bundles, (clerk, stage)| {
        let bundles = consult(bundles, Arc::clone(clerk), runtime.clone(), stop.clone());
        match progress {
            None => bundles,
            Some(progress) => told(bundles, progress, move |progress, rows| progress.done(stage, rows)),
        }
    })
}

/// Tells progress of the rows that pass.
fn told<'s>(
    bundles: Stream<'s, Epoch, Bundle>,
    progress: &Arc<Progress>,
    tell: impl Fn(&Progress, u64) + 'static,
) -> Stream<'s, Epoch, Bundle> {
    let progress = Arc::clone(progress);
    bundles.inspect_core(move |event| {
        if let Ok((_, bundle)) = event {
            tell(&progress, bundle.rows.len() as u64);
        }
    })
}

/// The second pass: selected rows are read again, the journal answers what the first pass asked, localize is asked, and
/// parts are written. Gives the parts, and the end of each row.
pub(super) fn rewrite<'s>(
    wanted: Stream<'s, Epoch, Vec<Wanted>>,
    job: &Job,
    rereading: &Arc<Rereading>,
    parts: &Arc<PartContext>,
    credits: Rc<Credits>,
    runtime: &Handle,
    stop: &Stop,
) -> (Stream<'s, Epoch, Vec<Part>>, Stream<'s, Epoch, Vec<Note>>) {
    let bundles = reread(wanted, Route::Shard, rereading, &credits, stop);
    let bundles = english(bundles, &job.roles, runtime, stop, None);
    let localized = native(bundles, &job.roles, runtime, stop, &job.progress);
    parts::write(localized, Arc::clone(parts), credits, stop.clone())
}

/// Localize: asked of selected exchanges alone.
fn native<'s>(
    bundles: Stream<'s, Epoch, Bundle>,
    roles: &Roles,
    runtime: &Handle,
    stop: &Stop,
    progress: &Arc<Progress>,
) -> Stream<'s, Epoch, Bundle> {
    let bundles = told(bundles, progress, |progress, rows| progress.expect(Stage::Localize, rows));
    let bundles = consult(bundles, Arc::clone(&roles.localize), runtime.clone(), stop.clone());
    told(bundles, progress, |progress, rows| progress.done(Stage::Localize, rows))
}

/// Credits of a pass of the models.
pub(super) fn credits(job: &Job) -> Rc<Credits> {
    let bundles = &job.settings.bundles;
    Credits::new(bundles.in_flight_rows, bundles.in_flight_bytes)
}
