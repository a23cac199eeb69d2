//! The wiring of the stage.

use super::{Scratch, SignSettings, Signer};
use crate::model::{Drafts, Epoch, FragmentRow, Place, Rows, Signed, fragment_id, tick_of};
use crate::source::credits::Credits;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// Wires the stage; the contract is on the module page. `keys`: the keys of the shards, in the run's order; `seed`: the
/// order of samples and ties.
pub fn sign<'s>(
    drafts: Stream<'s, Epoch, Drafts>,
    settings: &SignSettings,
    keys: Arc<[String]>,
    credits: Rc<Credits>,
    seed: u64,
) -> Stream<'s, Epoch, Vec<(Signed, Epoch, isize)>> {
    let signer = Signer::new(settings);
    let mut scratch = Scratch::default();
    drafts.unary::<CapacityContainerBuilder<Vec<(Signed, Epoch, isize)>>, _, _, _>(
        Pipeline,
        "sign",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, drafts| {
                    let drafts = std::mem::take(drafts);
                    if let Some(time) = capability.least().copied() {
                        let signed = signed_of(&signer, &drafts, &keys, seed, &mut scratch);
                        let mut updates = signed.map(|signed| (signed, time, 1)).collect();
                        output.session(&capability).give_container(&mut updates);
                    }
                    credits.give(drafts.weight);
                });
            }
        },
    )
}

/// Wires the stage for whole documents: the row is the unit, its text is signed as it stands.
pub fn sign_rows<'s>(
    rows: Stream<'s, Epoch, Rows>,
    settings: &SignSettings,
    credits: Rc<Credits>,
) -> Stream<'s, Epoch, Vec<(Signed, Epoch, isize)>> {
    let signer = Signer::new(settings);
    let mut scratch = Scratch::default();
    rows.unary::<CapacityContainerBuilder<Vec<(Signed, Epoch, isize)>>, _, _, _>(
        Pipeline,
        "sign/rows",
        move |_, _| {
            move |input, output| {
                input.for_each(|capability, rows| {
                    let rows = std::mem::take(rows);
                    if let Some(time) = capability.least().copied() {
                        let signed = rows.rows.iter().map(|row| {
                            let (content, signature) = signer.sign_content(&row.text, row.lang, &mut scratch);
                            let place = Place::of_row(rows.shard, row.row);
                            // No sample is drawn from documents, so none needs a rank of its own.
                            let row = FragmentRow { place, lang: row.lang, content, tick: 0 };
                            (Signed { row, signature }, time, 1)
                        });
                        output.session(&capability).give_container(&mut signed.collect());
                    }
                    credits.give(rows.weight);
                });
            }
        },
    )
}

/// The signed rows of a container.
pub(super) fn signed_of<'a>(
    signer: &'a Signer,
    drafts: &'a Drafts,
    keys: &'a [String],
    seed: u64,
    scratch: &'a mut Scratch,
) -> impl Iterator<Item = Signed> + 'a {
    drafts.drafts.iter().map(move |draft| {
        let (content, signature) = signer.sign_content(drafts.response(draft), draft.lang, scratch);
        let key = keys.get(draft.place.shard as usize).map_or("", String::as_str);
        let id = fragment_id(key, draft.place.row, &draft.spans);
        let row = FragmentRow { place: draft.place, lang: draft.lang, content, tick: tick_of(id, seed) };
        Signed { row, signature }
    })
}
