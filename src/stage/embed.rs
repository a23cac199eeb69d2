//! Vectors and cells of English pairs.
//!
//! **Why**: selection spreads its picks over topics and must know the topic of each pair; the pair's vector finds it in a
//! frozen [`Codebook`].
//!
//! **In** `instruction_en`, `response_en`. **Out** `vector`, `cell`. **Asks** [`Ask::Embed`](crate::llm::Ask). **Faults** no
//! vector, or a zero one.

use super::clerk::Clerk;
use super::codebook::Codebook;
use super::ending::{End, ask_vector, settle};
use super::excerpt::excerpt;
use super::translate::english;
use crate::error::{Error, Result};
use crate::llm::{Desk, Pending};
use crate::model::{Exchange, Stage};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a vector is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmbedSettings {
    /// Most characters of the English response behind the instruction, `0..=8000`.
    pub text_chars: usize,
}

impl Default for EmbedSettings {
    fn default() -> Self {
        Self { text_chars: 800 }
    }
}

impl EmbedSettings {
    /// Checks ranges; `key` is where the settings stand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        super::within(key, "text_chars", self.text_chars, 0..=8000)
    }
}

/// The clerk of the stage.
pub struct Embed {
    desk: Desk,
    codebook: Arc<Codebook>,
    settings: EmbedSettings,
}

impl Embed {
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the endpoint has no vectors.
    pub fn new(desk: Desk, codebook: Arc<Codebook>, settings: EmbedSettings) -> Result<Self> {
        if !desk.offers().embed {
            return Err(Error::config(format!(
                "endpoint has no vectors: key=roles.embed, value={}, remedy=name one with embeddings, as `embedded`",
                desk.identity()
            )));
        }
        Ok(Self { desk, codebook, settings })
    }

    async fn placed(&self, exchange: &mut Exchange) -> Result<(), End> {
        let text = excerpt(&exchange.response_en, self.settings.text_chars, english()?);
        let vector = ask_vector(&self.desk, format!("{}\n{text}", exchange.instruction_en)).await?;
        exchange.cell = self.codebook.nearest(&vector)?;
        exchange.vector = vector;
        Ok(())
    }
}

impl Clerk for Embed {
    fn stage(&self) -> Stage {
        Stage::Embed
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        Box::pin(async move {
            let ended = self.placed(exchange).await;
            settle(self.stage(), exchange, ended)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Answer, Ask, Offers};
    use crate::model::{Reason, Ruling::Faulted};
    use crate::stage::testing::{asked, chat, desk, end_of, treat};

    const EMBED: Offers = Offers { translate: false, chat: false, complete: false, embed: true };

    fn clerk(vector: &'static [i8], codebook: Codebook) -> Embed {
        let desk = desk(EMBED, move |ask| match ask {
            Ask::Embed { text } if text.starts_with("Why do the oceans have tides?\nTides are") => {
                Ok(Answer::Vector(vector.to_vec()))
            }
            _ => panic!("asked otherwise"),
        });
        Embed::new(desk, Arc::new(codebook), EmbedSettings::default()).expect("vectors")
    }

    fn two_cells() -> Codebook {
        let names = vec!["sea".to_owned(), "sky".to_owned()];
        Codebook { version: "t-1".into(), names, dims: 2, vectors: vec![127, 0, 0, 127] }
    }

    #[test]
    fn a_pair_gets_its_vector_and_cell() {
        let row = treat(&clerk(&[9, 120], two_cells()), asked()).expect("goes on");
        assert_eq!((row.cell, row.vector, row.outcome), (1, vec![9, 120], None));
        assert_eq!(treat(&clerk(&[9, 9, 9], Codebook::none()), asked()).expect("goes on").cell, 0);
    }

    #[test]
    fn no_vector_is_a_fault_and_another_models_codebook_stops_the_run() {
        assert_eq!(end_of(&clerk(&[], two_cells()), asked()), Some((Faulted, Reason::Malformed)));
        assert_eq!(end_of(&clerk(&[0, 0], two_cells()), asked()), Some((Faulted, Reason::Malformed)));
        let error = treat(&clerk(&[1, 2, 3], two_cells()), asked()).expect_err("dims");
        assert!(error.to_string().contains("key=select.codebook"), "{error}");
        assert!(Embed::new(chat("x"), Arc::new(two_cells()), EmbedSettings::default()).is_err());
        assert!(EmbedSettings::default().check("embed").is_ok());
    }
}
