//! The model stages of one worker: both passes are wired by the same lines, so they ask the same.

use super::job::Job;
use super::roles::Roles;
use crate::llm::consult::consult;
use crate::model::{Bundle, Epoch};
use crate::stop::Stop;
use std::sync::Arc;
use timely::dataflow::Stream;
use tokio::runtime::Handle;

/// Translate, instruct, score, embed: what selection stands on.
pub(super) fn english<'s>(
    bundles: Stream<'s, Epoch, Bundle>,
    roles: &Roles,
    runtime: &Handle,
    stop: &Stop,
) -> Stream<'s, Epoch, Bundle> {
    [&roles.translate, &roles.instruct, &roles.score, &roles.embed]
        .into_iter()
        .fold(bundles, |bundles, clerk| consult(bundles, Arc::clone(clerk), runtime.clone(), stop.clone()))
}

/// Localize: asked of selected exchanges alone.
pub(super) fn native<'s>(
    bundles: Stream<'s, Epoch, Bundle>,
    roles: &Roles,
    runtime: &Handle,
    stop: &Stop,
) -> Stream<'s, Epoch, Bundle> {
    consult(bundles, Arc::clone(&roles.localize), runtime.clone(), stop.clone())
}

/// Credits of a pass of the models.
pub(super) fn credits(job: &Job) -> std::rc::Rc<crate::source::Credits> {
    let bundles = &job.settings.bundles;
    crate::source::Credits::new(bundles.in_flight_rows, bundles.in_flight_bytes)
}
