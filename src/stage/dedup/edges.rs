//! Edges: candidates whose sketches resemble each other.

use super::bands::Candidates;
use super::crowds::links;
use super::settings::DedupSettings;
use super::sketch::{Node, Sketch};
use crate::model::Epoch;
use crate::stage::by_key::{ByKey, reduce};
use differential_dataflow::VecCollection;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::implementations::ValBatcher;
use timely::dataflow::channels::pact::Pipeline;

/// Two nodes, the lesser first, and their estimated Jaccard in millionths.
pub(super) type Edge = (Node, Node, i64);

/// Verifies pairs and crowds. An edge counts once per band that gives it; the lesser node comes first.
pub(super) fn edges<'s>(
    stage: &str,
    candidates: Candidates<'s>,
    sketches: VecCollection<'s, Epoch, (Node, Sketch)>,
    settings: &DedupSettings,
) -> VecCollection<'s, Epoch, Edge> {
    let DedupSettings { least_resemblance, most_leaders, .. } = *settings;
    // Sketches lie where the hash of their node puts them already.
    let sketches: ByKey<'s, Node, Sketch> =
        arrange_core(sketches.inner, Pipeline, &format!("{stage}/sketches"), ValBatcher::new);
    let pairs = candidates
        .pairs
        .arrange_by_key_named(&format!("{stage}/pairs"))
        .join_core(sketches.clone(), |a, b, sketch| Some((*b, (*a, sketch.clone()))))
        .arrange_by_key_named(&format!("{stage}/pairs_with_sketch"))
        .join_core(sketches.clone(), move |b, (a, of_a), of_b| {
            of_a.resembling(of_b, least_resemblance).map(|resemblance| (*a, *b, resemblance))
        });
    let crowded = candidates
        .crowds
        .map(|(key, node)| (node, key))
        .arrange_by_key_named(&format!("{stage}/crowded"))
        .join_core(sketches, |node, key, sketch| Some((*key, (*node, sketch.clone()))));
    let crowds = reduce(&format!("{stage}/crowds"), crowded, move |_key, members, out| {
        let members = members.iter().map(|((node, sketch), _)| (*node, sketch));
        out.extend(links(members, least_resemblance, most_leaders).into_iter().map(|link| (link, 1)));
    });
    pairs.concat(crowds.map(|(_key, link)| link))
}
