//! The wiring of the stage.

use super::{Judge, QualitySettings};
use crate::model::{Draft, Drafts, Epoch, Lang, Note, Verdict};
use crate::stage::segment::through;
use timely::dataflow::Stream;

/// Wires the stage; the contract is on the module page.
pub fn quality<'s>(
    drafts: Stream<'s, Epoch, Drafts>,
    settings: &QualitySettings,
) -> (Stream<'s, Epoch, Drafts>, Stream<'s, Epoch, Vec<Note>>) {
    let mut judge = Judge::new(settings);
    through("quality", drafts, move |drafts: &mut Drafts| {
        retain(std::mem::take(drafts), |draft, text| {
            judge.judge(text, draft.lang).map_err(|verdict| (draft.lang, verdict))
        })
    })
}

/// Keeps the drafts that `judge` lets pass and notes the others. The container goes on with its credits even if
/// nothing is left in it.
pub(crate) fn retain(
    mut drafts: Drafts,
    mut judge: impl FnMut(&mut Draft, &str) -> Result<(), (Lang, Verdict)>,
) -> (Drafts, Vec<Note>) {
    let mut notes = Vec::new();
    let text = &drafts.text;
    drafts.drafts.retain_mut(|draft| {
        let place = draft.place;
        match judge(draft, text.get(draft.start..draft.end).unwrap_or_default()) {
            Ok(()) => true,
            Err((lang, verdict)) => {
                notes.push(Note { place, lang, verdict });
                false
            }
        }
    });
    if drafts.drafts.is_empty() {
        drafts.text = String::new();
    }
    (drafts, notes)
}
