//! Ends the first pass: a scored exchange becomes ids and numbers, its text goes, its credits return.
//!
//! **Why**: selection compares every exchange with every other, so it must not hold text. What it needs of the
//! English instruction is a content id and a signature; the text is read again, and its replies come from the
//! journal, for those that are selected.
//! **In** bundles. **Out** `Scored` rows and `Note`s, one of them for each row. **State** none. **Faults** those
//! of the model stages.

use super::sign::{Scratch, Signer};
use crate::model::{Bundle, Epoch, Exchange, FragmentRow, Lang, Note, Scored, content_of, micros, tick_of};
use crate::source::Credits;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

/// Updates of one row type at the one epoch of a run.
pub type Updates<T> = Vec<(T, Epoch, isize)>;

/// Wires the stage; the contract is on the module page. `seed` orders ties, as in the front.
pub fn settle(
    bundles: Stream<'_, Epoch, Bundle>,
    signer: Signer,
    seed: u64,
    credits: Rc<Credits>,
) -> (Stream<'_, Epoch, Updates<Scored>>, Stream<'_, Epoch, Updates<Note>>) {
    let mut builder = OperatorBuilder::new("settle".to_owned(), bundles.scope());
    let mut input = builder.new_input(bundles, Pipeline);
    let (scored, scored_stream) = builder.new_output();
    let (notes, note_stream) = builder.new_output();
    let mut scored = OutputBuilder::<Epoch, CapacityContainerBuilder<Updates<Scored>>>::from(scored);
    let mut notes = OutputBuilder::<Epoch, CapacityContainerBuilder<Updates<Note>>>::from(notes);
    builder.build(move |_capabilities| {
        let mut scratch = Scratch::default();
        let mut text = String::new();
        move |_frontiers| {
            let (mut scored, mut notes) = (scored.activate(), notes.activate());
            input.for_each_stamp(|stamp, bundles| {
                let Some(time) = stamp.least().copied() else { return };
                let (Some(first), Some(second)) = (stamp.retain_least(0), stamp.retain_least(1)) else {
                    return;
                };
                for bundle in bundles {
                    let Bundle { rows, weight, .. } = std::mem::take(bundle);
                    for exchange in rows {
                        if let Some(verdict) = exchange.outcome {
                            let note = Note { place: exchange.place, lang: exchange.lang, verdict };
                            notes.session(&second).give((note, time, 1));
                        } else {
                            let row = scored_of(&exchange, &signer, seed, &mut scratch, &mut text);
                            scored.session(&first).give((row, time, 1));
                        }
                    }
                    credits.give(weight);
                }
            });
        }
    });
    (scored_stream, note_stream)
}

/// The row that selection sees of a scored exchange.
fn scored_of(
    exchange: &Exchange,
    signer: &Signer,
    seed: u64,
    scratch: &mut Scratch,
    text: &mut String,
) -> Scored {
    let english = Lang::from_tag("eng_Latn").unwrap_or(Lang::UND);
    Scored {
        row: FragmentRow {
            place: exchange.place,
            lang: exchange.lang,
            content: exchange.content,
            tick: tick_of(exchange.id, seed),
        },
        score: micros(exchange.score),
        cell: exchange.cell,
        asked: content_of(&exchange.instruction_en, text),
        asked_signature: signer.sign(&exchange.instruction_en, english, scratch),
    }
}
