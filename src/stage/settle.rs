//! Ends the first pass: a scored exchange becomes ids and numbers, its text goes, its credits return.
//!
//! **Why**: selection compares every exchange with every other, so it must not hold text. What it needs of the
//! English instruction is a content id and a signature; the text is read again, and its replies come from the
//! journal, for those that are selected.
//! **In** bundles. **Out** one [`Settled`] for each row. **State** none. **Faults** those
//! of the model stages.

use super::sign::{Scratch, Signer};
use crate::model::{
    Bundle, Epoch, Exchange, FragmentRow, Lang, Note, Scored, Verdict, content_of, micros, tick_of,
};
use crate::source::Credits;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// Updates of one row type.
pub type Updates<T> = Vec<(T, Epoch, isize)>;

/// How the models ended a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Settled {
    /// With a score.
    Scored(Scored),
    /// Dropped or faulted.
    Ended(FragmentRow, Verdict),
}

impl Settled {
    /// Its score, if it has one.
    pub fn scored(self) -> Option<Scored> {
        match self {
            Self::Scored(scored) => Some(scored),
            Self::Ended(..) => None,
        }
    }

    /// Its note, if it ended.
    pub fn note(self) -> Option<Note> {
        match self {
            Self::Ended(row, verdict) => Some(Note { place: row.place, lang: row.lang, verdict }),
            Self::Scored(_) => None,
        }
    }
}

/// Wires the stage; the contract is on the module page. `seed` orders ties, as in the front.
pub fn settle(
    bundles: Stream<'_, Epoch, Bundle>,
    signer: Signer,
    seed: u64,
    credits: Rc<Credits>,
) -> Stream<'_, Epoch, Updates<Settled>> {
    bundles.unary::<CapacityContainerBuilder<Updates<Settled>>, _, _, _>(Pipeline, "settle", move |_, _| {
        let mut scratch = Scratch::default();
        let mut text = String::new();
        move |input, output| {
            input.for_each_stamp(|stamp, bundles| {
                let Some(capability) = stamp.retain_least(0) else { return };
                let time = *capability.time();
                for bundle in bundles {
                    let Bundle { rows, weight, .. } = std::mem::take(bundle);
                    for exchange in rows {
                        let settled = match exchange.outcome {
                            Some(verdict) => Settled::Ended(row_of(&exchange, seed), verdict),
                            None => {
                                Settled::Scored(scored_of(&exchange, &signer, seed, &mut scratch, &mut text))
                            }
                        };
                        output.session(&capability).give((settled, time, 1));
                    }
                    credits.give(weight);
                }
            });
        }
    })
}

fn row_of(exchange: &Exchange, seed: u64) -> FragmentRow {
    FragmentRow {
        place: exchange.place,
        lang: exchange.lang,
        content: exchange.content,
        tick: tick_of(exchange.id, seed),
    }
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
        row: row_of(exchange, seed),
        score: micros(exchange.score),
        cell: exchange.cell,
        asked: content_of(&exchange.instruction_en, text),
        asked_signature: signer.sign(&exchange.instruction_en, english, scratch),
    }
}
