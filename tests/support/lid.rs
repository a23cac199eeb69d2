//! The file of the language model, for tests that cannot do without.

use isogloss::llm::models::{Cache, LID};

/// Whether it is there; the quick start fetches it.
pub(crate) fn can_identify() -> bool {
    let there = Cache::at(None).is_ok_and(|cache| cache.find(&LID).is_some());
    if !there {
        eprintln!("skipped: the language model is not there, remedy=isogloss models --fetch");
    }
    there
}
