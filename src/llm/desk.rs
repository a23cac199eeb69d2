//! Where stages ask: journal first, then the endpoint, with its limits and retries.
//!
//! **Why**: an answer paid once is never paid again, whatever stage asks, and a stage sees only two
//! outcomes: this row has no answer, or the run must stop.

use super::endpoint::{Answer, Ask, Endpoint, Refusal};
use crate::error::Error;
use crate::model::Reason;
use std::sync::Arc;

/// Why a stage got no answer.
#[derive(Debug)]
pub enum Trouble {
    /// This row gets none: the fault's reason.
    Row(Reason),
    /// The run must stop; a rerun resumes from the journal.
    Run(Error),
}

/// Asks one endpoint on behalf of one role.
#[derive(Clone)]
pub struct Desk {
    endpoint: Arc<dyn Endpoint>,
}

impl Desk {
    /// A desk without journal, limits or retries: for tests of stages.
    pub fn bare(endpoint: Arc<dyn Endpoint>) -> Self {
        Self { endpoint }
    }

    /// The endpoint behind it.
    pub fn endpoint(&self) -> &dyn Endpoint {
        self.endpoint.as_ref()
    }

    /// Answers from the journal or asks, and returns only once the answer is in the journal.
    ///
    /// # Errors
    /// [`Trouble::Row`] if this ask has no answer, [`Trouble::Run`] if no ask will have one.
    pub async fn ask(&self, ask: &Ask) -> Result<Answer, Trouble> {
        match self.endpoint.ask(ask).await {
            Ok(reply) => Ok(reply.answer),
            Err(Refusal::Fatal(error)) => Err(Trouble::Run(error)),
            Err(_) => Err(Trouble::Row(Reason::GaveUp)),
        }
    }
}
