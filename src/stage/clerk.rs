//! What a model stage does with one row; the asynchronous operator (`llm::consult`) does the rest.

use crate::error::Error;
use crate::llm::Pending;
use crate::model::{Exchange, Stage};

/// A model stage: asks its desk about one row and fills in the row's next field or its outcome.
pub trait Clerk: Send + Sync {
    /// Which stage this is: verdicts carry it.
    fn stage(&self) -> Stage;

    /// Treats one row that has no outcome yet. A row that cannot be judged gets a faulted outcome; it is
    /// never left without both.
    ///
    /// # Errors
    /// Only what must end the run.
    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>>;
}
