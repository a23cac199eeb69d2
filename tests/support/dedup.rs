//! What dedup must say, by plain loops over the rows that are there.

use super::replay::Outcome;
use isogloss::model::{FragmentRow, Note, Place, Reason, Signature, Signed, Stage, Verdict};
use isogloss::stage::dedup::DedupSettings;
use std::collections::BTreeMap;

/// Estimated overlap, said again in other words.
fn overlap(a: &Signature, b: &Signature) -> f64 {
    let halves = |sketch: &[u8]| sketch.iter().flat_map(|byte| [byte / 16, byte % 16]).collect::<Vec<u8>>();
    let (a, b) = (halves(&a.sketch), halves(&b.sketch));
    let count = |of: &dyn Fn(u8, u8) -> bool| a.iter().zip(&b).filter(|(a, b)| of(**a, **b)).count() as f64;
    let same = count(&|a, b| a == b && a != 0);
    let (both, either) = (count(&|a, b| a != 0 && b != 0), count(&|a, b| a != 0 || b != 0));
    if either == 0.0 { 0.0 } else { f64::max((same - both / 15.0) * 15.0 / 14.0 / either, 0.0) }
}

fn root(parents: &mut BTreeMap<u128, u128>, node: u128) -> u128 {
    let parent = *parents.entry(node).or_insert(node);
    if parent == node {
        return node;
    }
    let top = root(parents, parent);
    parents.insert(node, top);
    top
}

/// The cluster of each node, by union-find: pairs of small bands, leaders of large ones.
pub(crate) fn clusters(nodes: &BTreeMap<u128, Signature>, settings: &DedupSettings) -> BTreeMap<u128, u128> {
    let mut bands: BTreeMap<u64, Vec<u128>> = BTreeMap::new();
    for (node, signature) in nodes {
        let mut keys = signature.bands.clone();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            bands.entry(key).or_default().push(*node);
        }
    }
    let mut parents = BTreeMap::new();
    for members in bands.values() {
        let crowd = members.len() > settings.whole_band as usize;
        let mut leaders: Vec<u128> = Vec::new();
        for (at, node) in members.iter().enumerate() {
            let among = if crowd { &leaders } else { &members[..at] };
            let like = |other: &&u128| overlap(&nodes[*other], &nodes[node]) >= settings.least_resemblance;
            let linked: Vec<u128> =
                among.iter().filter(like).copied().take(if crowd { 1 } else { at }).collect();
            if crowd && linked.is_empty() {
                leaders.push(*node);
            }
            for other in linked {
                let (a, b) = (root(&mut parents, *node), root(&mut parents, other));
                parents.insert(a, b);
            }
        }
    }
    nodes.keys().map(|node| (*node, root(&mut parents, *node))).collect()
}

/// The outcome over the rows that are there.
pub(crate) fn expected(rows: &[Signed], settings: &DedupSettings) -> Outcome<FragmentRow> {
    let nodes = rows.iter().map(|signed| (signed.row.content, signed.signature.clone())).collect();
    let clusters = clusters(&nodes, settings);
    let mut least: BTreeMap<u128, Place> = BTreeMap::new();
    let mut survivor: BTreeMap<u128, Place> = BTreeMap::new();
    for Signed { row, .. } in rows {
        let of_content = least.entry(row.content).or_insert(row.place);
        *of_content = row.place.min(*of_content);
        let of_cluster = survivor.entry(clusters[&row.content]).or_insert(row.place);
        *of_cluster = row.place.min(*of_cluster);
    }
    let mut outcome = Outcome { kept: BTreeMap::new(), dropped: BTreeMap::new(), changes: Vec::new() };
    for Signed { row, .. } in rows {
        let reason = if survivor[&clusters[&row.content]] == row.place {
            outcome.kept.insert(row.clone(), 1);
            continue;
        } else if least[&row.content] == row.place {
            Reason::NearDuplicate
        } else {
            Reason::ExactDuplicate
        };
        let verdict = Verdict::dropped(Stage::Dedup, reason, 0.0);
        outcome.dropped.insert(Note { place: row.place, lang: row.lang, verdict }, 1);
    }
    outcome
}
