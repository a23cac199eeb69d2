//! What sample, threshold, near-instruction and quota must say, by sorting the rows that are there.

use super::dedup::clusters;
use super::replay::Outcome;
use isogloss::model::{FragmentRow, Lang, Note, Reason, Scored, Stage, Verdict, micros};
use isogloss::stage::dedup::DedupSettings;
use std::cmp::Reverse;
use std::collections::BTreeMap;

fn outcome<R: Ord>() -> Outcome<R> {
    Outcome { kept: BTreeMap::new(), dropped: BTreeMap::new(), changes: Vec::new() }
}

fn note(row: &FragmentRow, stage: Stage, reason: Reason, value: i64) -> Note {
    let verdict = Verdict { value, ..Verdict::dropped(stage, reason, 0.0) };
    Note { place: row.place, lang: row.lang, verdict }
}

fn by<K: Ord, R: Clone>(rows: &[R], key: impl Fn(&R) -> K) -> BTreeMap<K, Vec<R>> {
    let mut groups: BTreeMap<K, Vec<R>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row.clone());
    }
    groups
}

fn best_first(rows: &mut [Scored]) {
    rows.sort_by_key(|scored| (Reverse(scored.score), scored.row.tick, scored.row.place));
}

/// The `budget` least ticks of each lang.
pub(crate) fn sampled(rows: &[FragmentRow], budget: impl Fn(Lang) -> Option<u64>) -> Outcome<FragmentRow> {
    let mut outcome = outcome();
    for (lang, mut rows) in by(rows, |row| row.lang) {
        rows.sort_by_key(|row| (row.tick, row.place));
        for (rank, row) in rows.into_iter().enumerate() {
            if budget(lang).is_none_or(|budget| (rank as u64) < budget) {
                outcome.kept.insert(row, 1);
            } else {
                outcome.dropped.insert(note(&row, Stage::Sample, Reason::OverBudget, 0), 1);
            }
        }
    }
    outcome
}

/// The best share of each lang.
pub(crate) fn above(rows: &[Scored], rate: f64) -> Outcome<Scored> {
    let mut outcome = outcome();
    for (_, mut rows) in by(rows, |scored| scored.row.lang) {
        best_first(&mut rows);
        let wanted = (rate * rows.len() as f64 + 0.5).floor();
        for (rank, scored) in rows.into_iter().enumerate() {
            if (rank as f64) < wanted {
                outcome.kept.insert(scored, 1);
            } else {
                let note = note(&scored.row, Stage::Threshold, Reason::LowScore, scored.score);
                outcome.dropped.insert(note, 1);
            }
        }
    }
    outcome
}

/// The best of each cluster of instructions.
pub(crate) fn asked_once(rows: &[Scored], least_resemblance: f64) -> Outcome<Scored> {
    let settings = DedupSettings { least_resemblance, ..DedupSettings::default() };
    let mut outcome = outcome();
    for (_, rows) in by(rows, |scored| scored.row.lang) {
        let nodes = rows.iter().map(|scored| (scored.asked, scored.asked_signature.clone())).collect();
        let clusters = clusters(&nodes, &settings);
        for (_, mut rows) in by(&rows, |scored| clusters[&scored.asked]) {
            best_first(&mut rows);
            for scored in rows.drain(1..) {
                let note = note(&scored.row, Stage::NearInstruction, Reason::NearInstruction, 0);
                outcome.dropped.insert(note, 1);
            }
            outcome.kept.insert(rows.remove(0), 1);
        }
    }
    outcome
}

/// The best of each cell. `temper` is n^α told in whole numbers: of two cells the next place goes to the one where
/// it comes at the lesser λ, and among equals to the lesser cell.
pub(crate) fn within_quota(
    rows: &[Scored],
    rate: f64,
    floor: f64,
    sooner: impl Fn((u64, u64), (u64, u64)) -> bool,
) -> Outcome<Scored> {
    let mut outcome = outcome();
    for (_, rows) in by(rows, |scored| scored.row.lang) {
        let (fit, low): (Vec<Scored>, Vec<Scored>) =
            rows.iter().cloned().partition(|scored| scored.score >= micros(floor));
        for scored in low {
            outcome.dropped.insert(note(&scored.row, Stage::Quota, Reason::LowScore, scored.score), 1);
        }
        let cells = by(&fit, |scored| scored.cell);
        let mut given: BTreeMap<u32, u64> = cells.keys().map(|cell| (*cell, 0)).collect();
        let mut left = (rate * rows.len() as f64 + 0.5).floor();
        while left >= 1.0 {
            let open = cells.iter().filter(|(cell, rows)| given[*cell] < rows.len() as u64);
            let next = open.map(|(cell, rows)| (*cell, (given[cell] + 1, rows.len() as u64))).reduce(
                |best, other| {
                    if sooner(other.1, best.1) { other } else { best }
                },
            );
            let Some((cell, _)) = next else { break };
            *given.entry(cell).or_default() += 1;
            left -= 1.0;
        }
        for (cell, mut rows) in cells {
            best_first(&mut rows);
            for (rank, scored) in rows.into_iter().enumerate() {
                if (rank as u64) < given[&cell] {
                    outcome.kept.insert(scored, 1);
                } else {
                    outcome.dropped.insert(note(&scored.row, Stage::Quota, Reason::CellFull, 0), 1);
                }
            }
        }
    }
    outcome
}
