//! The wiring of the stage.

use super::{Scratch, SignSettings, Signer};
use crate::model::{Drafts, Epoch, FragmentRow, Place, Row, Rows, Signed, fragment_id, tick_of};
use crate::source::credits::Credits;
use crate::source::tasks::TaskQueue;
use crate::stop::Stop;
use crate::workers::in_parallel;
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

/// Wires the stage for whole documents: the row is the unit, its text is signed as it stands. Once other workers have nothing
/// left to read, their share of a container is signed on threads: `tasks` says how many are through.
pub fn sign_rows<'s>(
    rows: Stream<'s, Epoch, Rows>,
    settings: &SignSettings,
    credits: Rc<Credits>,
    tasks: Arc<TaskQueue>,
    stop: Stop,
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
                        let helpers = tasks.idle_for_each().min(rows.rows.len().saturating_sub(1));
                        let signed = if helpers == 0 {
                            Ok(documents(&signer, rows.shard, &rows.rows, &mut scratch))
                        } else {
                            let share = rows.rows.len().div_ceil(helpers + 1);
                            let shares: Vec<&[Row]> = rows.rows.chunks(share).collect();
                            let of = |at: usize| {
                                Ok(documents(&signer, rows.shard, shares[at], &mut Scratch::default()))
                            };
                            in_parallel("sign", shares.len(), shares.len(), of).map(|shares| shares.concat())
                        };
                        match signed {
                            Ok(signed) => {
                                let mut updates =
                                    signed.into_iter().map(|signed| (signed, time, 1)).collect();
                                output.session(&capability).give_container(&mut updates);
                            }
                            Err(error) => stop.raise(error),
                        }
                    }
                    credits.give(rows.weight);
                });
            }
        },
    )
}

/// The signed documents of some rows of a shard.
fn documents(signer: &Signer, shard: u32, rows: &[Row], scratch: &mut Scratch) -> Vec<Signed> {
    let signed = rows.iter().map(|row| {
        let (content, signature) = signer.sign_content(&row.text, row.lang, scratch);
        // No sample is drawn from documents, so none needs a rank of its own.
        let row = FragmentRow { place: Place::of_row(shard, row.row), lang: row.lang, content, tick: 0 };
        Signed { row, signature }
    });
    signed.collect()
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
