//! Named points of a commit, so that a test can end the process at each of them.

use std::sync::OnceLock;

/// Every point, in the order of a run.
pub const POINTS: [&str; 10] = [
    "piece written",
    "artefact sealed",
    "front done",
    "rows decided",
    "journal synced",
    "runs written",
    "state written",
    "snapshot staged",
    "snapshot named",
    "snapshot switched",
];

/// Points of a process that does not lead: each comes to both of them in every run.
pub const MEMBER_POINTS: [&str; 2] = ["joined", "share done"];

type Hook = Box<dyn Fn(&'static str) + Send + Sync>;

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Calls `hook` at every point from now on. Only the first hook of a process counts.
pub fn watch(hook: impl Fn(&'static str) + Send + Sync + 'static) {
    let _ = HOOK.set(Box::new(hook));
}

/// A run has come to a point.
pub(crate) fn reached(point: &'static str) {
    debug_assert!(
        POINTS.contains(&point) || MEMBER_POINTS.contains(&point),
        "a point that is listed: {point}"
    );
    if let Some(hook) = HOOK.get() {
        hook(point);
    }
}
