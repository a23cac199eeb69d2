//! Leaves parts alone whose rows did not change, and asks for the rest.
//!
//! **Why**: a delta of one shard touches few parts. A part is a function of its selected rows and of the run's
//! fingerprint, so an equal list means equal files: nothing of the shard is read again, asked again or written again.
//! **In** selected `Scored` rows, consolidated. **Out** rows wanted for the second reading; parts taken over, and a
//! note for each of their rows. **State** the selected rows of this worker's shards until the epoch is sealed: ids
//! and numbers, about 200 bytes each. **Faults** none.

use super::reread::{Route, Wanted};
use super::settle::Updates;
use crate::error::Result;
use crate::model::{Epoch, Note, Place, Scored, Stage, Verdict};
use crate::sink::manifest::{Manifest, Part};
use crate::sink::parts::PartContext;
use crate::stop::Stop;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// What the stage puts out.
pub struct Reused<'s> {
    /// Rows to read again.
    pub wanted: Stream<'s, Epoch, Vec<Wanted>>,
    /// Parts that stand as they are.
    pub parts: Stream<'s, Epoch, Vec<Part>>,
    /// The ends of the rows of those parts that did not become rows; kept rows are counted by the part.
    pub notes: Stream<'s, Epoch, Vec<Note>>,
}

/// Wires the stage; the contract is on the module page. `known` is the manifest of the snapshot before.
pub fn reuse(
    selected: Stream<'_, Epoch, Updates<Scored>>,
    ctx: Arc<PartContext>,
    known: Option<Arc<Manifest>>,
    stop: Stop,
) -> Reused<'_> {
    let mut builder = OperatorBuilder::new("reuse".to_owned(), selected.scope());
    let route = Exchange::new(|update: &(Scored, Epoch, isize)| Route::Shard.of(&wanted_of(&update.0)));
    let mut input = builder.new_input(selected, route);
    let (wanted_out, wanted) = builder.new_output();
    let (parts_out, parts) = builder.new_output();
    let (notes_out, notes) = builder.new_output();
    let mut wanted_out = OutputBuilder::<Epoch, CapacityContainerBuilder<Vec<Wanted>>>::from(wanted_out);
    let mut parts_out = OutputBuilder::<Epoch, CapacityContainerBuilder<Vec<Part>>>::from(parts_out);
    let mut notes_out = OutputBuilder::<Epoch, CapacityContainerBuilder<Vec<Note>>>::from(notes_out);
    builder.build(move |_capabilities| {
        let mut epochs: BTreeMap<Epoch, ([Capability<Epoch>; 3], Vec<(Selected, isize)>)> = BTreeMap::new();
        move |frontiers| {
            input.for_each_stamp(|stamp, batches| {
                let outputs = (stamp.retain_least(0), stamp.retain_least(1), stamp.retain_least(2));
                let (Some(a), Some(b), Some(c)) = outputs else { return };
                let (_, rows) = epochs.entry(*a.time()).or_insert_with(|| ([a, b, c], Vec::new()));
                for batch in batches {
                    rows.extend(batch.drain(..).map(|(row, _, diff)| ((wanted_of(&row), row.score), diff)));
                }
            });
            while let Some(entry) = epochs.first_entry() {
                if frontiers.first().is_some_and(|frontier| frontier.less_equal(entry.key())) {
                    break;
                }
                let ([a, b, c], rows) = entry.remove();
                let (mut wanted, mut parts, mut notes) =
                    (wanted_out.activate(), parts_out.activate(), notes_out.activate());
                let (mut wanted, mut parts, mut notes) =
                    (wanted.session(&a), parts.session(&b), notes.session(&c));
                for (shard, rows) in by_shard(rows) {
                    match standing(&ctx, known.as_deref(), shard, &rows) {
                        Err(error) => stop.raise(error),
                        Ok(None) => rows.into_iter().for_each(|(row, _)| wanted.give(row)),
                        Ok(Some(stand)) => {
                            ends_of(&stand, shard, &rows).into_iter().for_each(|note| notes.give(note));
                            stand.into_iter().for_each(|part| parts.give(part));
                        }
                    }
                }
            }
        }
    });
    Reused { wanted, parts, notes }
}

/// A selected row and its score, in millionths.
pub(crate) type Selected = (Wanted, i64);

/// What is read again of a scored exchange.
pub(crate) fn wanted_of(row: &Scored) -> Wanted {
    Wanted { place: row.row.place, lang: row.row.lang, content: row.row.content, cell: row.cell }
}

/// The rows that are there, by shard, in place order.
fn by_shard(mut rows: Vec<(Selected, isize)>) -> BTreeMap<u32, Vec<Selected>> {
    rows.sort_unstable();
    let mut shards: BTreeMap<u32, Vec<Selected>> = BTreeMap::new();
    for same in rows.chunk_by(|(a, _), (b, _)| a == b) {
        if let Some((row, _)) = same.first()
            && same.iter().map(|(_, diff)| diff).sum::<isize>() > 0
        {
            shards.entry(row.0.place.shard).or_default().push(*row);
        }
    }
    shards
}

/// The parts of this list, if they stand already.
fn standing(
    ctx: &PartContext,
    known: Option<&Manifest>,
    shard: u32,
    rows: &[Selected],
) -> Result<Option<Vec<Part>>> {
    let Some(known) = known else { return Ok(None) };
    let mut selected = ctx.selected(shard)?;
    for (row, _) in rows {
        selected.push(row.place, row.lang, row.content, row.cell);
    }
    let key = ctx.shards.get(shard as usize).map_or("", |(key, _)| key.as_str());
    Ok(known.reusable(key, selected.finish()))
}

/// One note for each selected row of a shard with these parts: as it ended, or kept with its score.
pub(crate) fn ends_of(parts: &[Part], shard: u32, rows: &[Selected]) -> Vec<Note> {
    let notes =
        parts.iter().flat_map(|part| part.ended.iter().filter_map(|ended| ended.note(shard, part.lang)));
    let ended: BTreeMap<Place, Note> = notes.map(|note| (note.place, note)).collect();
    let kept = |(row, score): &Selected| Note {
        place: row.place,
        lang: row.lang,
        verdict: Verdict { value: *score, ..Verdict::kept(Stage::Localize, 0.0) },
    };
    rows.iter().map(|row| ended.get(&row.0.place).copied().unwrap_or_else(|| kept(row))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lang, Ruling};

    fn wanted(shard: u32, row: u32) -> Wanted {
        Wanted { place: Place { shard, row, start: 0 }, lang: Lang::UND, content: u128::from(row), cell: 0 }
    }

    #[test]
    fn lists_are_what_is_left_in_place_order() {
        let rows = [(wanted(0, 2), 1), (wanted(0, 1), 1), (wanted(0, 2), -1), (wanted(1, 0), 1)];
        let lists = by_shard(rows.into_iter().map(|(row, diff)| ((row, 7), diff)).collect());
        assert_eq!(lists[&0], [(wanted(0, 1), 7)]);
        assert_eq!(lists[&1], [(wanted(1, 0), 7)]);
    }

    #[test]
    fn every_row_of_a_standing_part_has_an_end() {
        let lost = Verdict::faulted(Stage::Localize, crate::model::Reason::DigitsDiffer, 0.0);
        let part = Part {
            lang: Lang::UND,
            ended: vec![crate::sink::manifest::Ended::new(wanted(3, 2).place, lost)],
            ..Part::default()
        };
        let ends = ends_of(&[part], 3, &[(wanted(3, 1), 5), (wanted(3, 2), 6)]);
        assert_eq!(ends[0].verdict.value, 5);
        let rulings: Vec<Ruling> = ends.iter().map(|note| note.verdict.ruling).collect();
        assert_eq!(rulings, [Ruling::Kept, Ruling::Faulted]);
    }
}
