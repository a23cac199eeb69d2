//! The wiring of the stage, and its pure form for the second reading.

use super::Segmenter;
use crate::model::{Draft, Drafts, Epoch, Lang, Note, Place, Reason, Row, Rows, Span, Stage, Verdict};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// The fragments of one row: what the second reading calls.
pub fn drafts_of(segmenter: &Segmenter, shard: u32, row: &Row) -> Vec<(Place, Vec<Span>)> {
    placed(shard, row.row, segmenter.segment(&row.text, row.lang))
}

fn placed(shard: u32, row: u32, fragments: Vec<Vec<Span>>) -> Vec<(Place, Vec<Span>)> {
    fragments
        .into_iter()
        .filter_map(|spans| Some((Place { shard, row, start: spans.first()?.start }, spans)))
        .collect()
}

/// Cuts a container of rows; a row that gives nothing is noted. The credits go on with the drafts.
pub(super) fn cut(segmenter: &Segmenter, rows: Rows) -> (Drafts, Vec<Note>) {
    let bytes = rows.rows.iter().map(|row| row.text.len()).sum();
    let mut drafts = Drafts {
        text: String::with_capacity(bytes),
        drafts: Vec::with_capacity(rows.rows.len()),
        weight: rows.weight,
    };
    let mut notes = Vec::new();
    for row in rows.rows {
        let (fragments, longest) = segmenter.segment_or_longest(&row.text, row.lang);
        if fragments.is_empty() {
            notes.push(without_fragment(rows.shard, row.row, row.lang, longest));
        }
        for (place, spans) in placed(rows.shard, row.row, fragments) {
            let start = drafts.text.len();
            for span in &spans {
                drafts
                    .text
                    .push_str(row.text.get(span.start as usize..span.end as usize).unwrap_or_default());
            }
            let end = drafts.text.len();
            drafts.drafts.push(Draft { place, lang: row.lang, spans, start, end });
        }
    }
    (drafts, notes)
}

fn without_fragment(shard: u32, row: u32, lang: Lang, longest: usize) -> Note {
    let verdict = Verdict::dropped(Stage::Fragment, Reason::NoFragment, longest as f64);
    Note { place: Place::of_row(shard, row), lang, verdict }
}

/// Wires the stage; the contract is on the module page.
pub fn segment(
    rows: Stream<'_, Epoch, Rows>,
    segmenter: Segmenter,
) -> (Stream<'_, Epoch, Drafts>, Stream<'_, Epoch, Vec<Note>>) {
    through("segment", rows, move |rows: &mut Rows| cut(&segmenter, std::mem::take(rows)))
}

/// An operator that treats one container at a time, on the worker where it is: drafts go on, notes go aside.
pub(crate) fn through<'s, C: timely::Container + Clone + Default + 'static>(
    name: &str,
    input: Stream<'s, Epoch, C>,
    mut treat: impl FnMut(&mut C) -> (Drafts, Vec<Note>) + 'static,
) -> (Stream<'s, Epoch, Drafts>, Stream<'s, Epoch, Vec<Note>>) {
    let mut builder = OperatorBuilder::new(name.to_owned(), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    let (drafts_out, drafts) = builder.new_output();
    let (notes_out, notes) = builder.new_output();
    let mut drafts_out = OutputBuilder::<Epoch, CapacityContainerBuilder<Drafts>>::from(drafts_out);
    let mut notes_out = OutputBuilder::<Epoch, CapacityContainerBuilder<Vec<Note>>>::from(notes_out);
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let mut drafts_out = drafts_out.activate();
            let mut notes_out = notes_out.activate();
            input.for_each(|capability, container| {
                let (mut kept, mut dropped) = treat(container);
                drafts_out.session(&capability).give_container(&mut kept);
                if !dropped.is_empty() {
                    notes_out.session(&capability).give_container(&mut dropped);
                }
            });
        }
    });
    (drafts, notes)
}
