//! The endpoint: which of its APIs answers an ask.

use super::{chat, completions, embeddings, translate, wire::Wire};
use crate::config::EndpointSettings;
use crate::config::endpoints::{Api, SchemaMode, TokenLimit};
use crate::error::{Error, Result};
use crate::llm::tokens::Counter;
use crate::llm::{Ask, Endpoint, Offers, Pending, Refusal, Reply};
use crate::model::{Lang, Reason};
use reqwest::Url;
use serde_json::{Map, Value};

/// A model behind an address.
#[derive(Debug)]
pub struct HttpEndpoint {
    pub(super) wire: Wire,
    pub(super) model: String,
    pub(super) temperature: Option<f64>,
    pub(super) schema_mode: SchemaMode,
    pub(super) token_limit: TokenLimit,
    pub(super) extra: Map<String, Value>,
    pub(super) urls: Urls,
    pub(super) counter: Counter,
    api: Api,
    identity: String,
    answers_as: Vec<String>,
    /// Empty for every pair.
    pairs: Vec<(Lang, Lang)>,
}

#[derive(Debug)]
pub(super) struct Urls {
    pub(super) chat: Url,
    pub(super) completions: Url,
    pub(super) embeddings: Url,
    pub(super) translate: Url,
}

impl HttpEndpoint {
    /// Opens the endpoint `name`: its key is read, nothing is sent.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the settings are out of range or the key's variable is not
    /// set.
    pub fn open(name: &str, settings: &EndpointSettings) -> Result<Self> {
        settings.check(&format!("endpoints.{name}"))?;
        let wire = Wire::open(name, settings, !settings.api.translates())?;
        let Ok(Value::Object(extra)) = serde_json::to_value(&settings.extra) else {
            return Err(Error::config(format!("setting is no table: key=endpoints.{name}.extra")));
        };
        let urls = Urls {
            chat: wire.address("chat/completions")?,
            completions: wire.address("completions")?,
            embeddings: wire.address("embeddings")?,
            translate: wire.address("translate")?,
        };
        Ok(Self {
            identity: identity(settings, &extra),
            wire,
            model: settings.model.clone(),
            temperature: settings.temperature,
            schema_mode: settings.schema_mode,
            token_limit: settings.token_limit,
            extra,
            urls,
            counter: settings.counter(&format!("endpoints.{name}"))?,
            api: settings.api,
            answers_as: settings.answers_as.clone(),
            pairs: settings.lang_pairs(),
        })
    }

    /// The reply is of the model that was asked, as far as the server says.
    ///
    /// # Errors
    /// [`Refusal::Transient`] with [`Reason::WrongModel`].
    pub(super) fn same_model(&self, said: Option<&str>) -> Result<(), Refusal> {
        let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(()) };
        if is_form_of(&self.model, said) || self.answers_as.iter().any(|name| name == "*" || name == said) {
            return Ok(());
        }
        Err(Refusal::Transient(
            Reason::WrongModel,
            format!(
                "another model replied: model={:?}, wanted={:?}, remedy=if it is the same one, add the name to answers_as",
                super::status::spoken(said),
                self.model
            ),
        ))
    }
}

/// Whether two names may be of one model: without folders and ending, and with a date, a tag or a quantisation behind
/// it or not.
fn is_form_of(asked: &str, said: &str) -> bool {
    let core = |name: &str| {
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
        name.strip_suffix(".gguf").map(str::to_owned).unwrap_or(name)
    };
    let (asked, said) = (core(asked), core(said));
    let begins = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    begins(&said, &asked) || begins(&asked, &said)
}

/// Kind, model and what else of the settings can change an answer. Not the address: a model may move.
fn identity(settings: &EndpointSettings, extra: &Map<String, Value>) -> String {
    let mut parts = vec![match settings.api {
        Api::Chat => "http".to_owned(),
        Api::Completions => "completions".to_owned(),
        Api::Libretranslate => "libretranslate".to_owned(),
        Api::Apertium => "apertium".to_owned(),
    }];
    parts.push(settings.model.clone());
    parts.extend(settings.temperature.map(|t| format!("temperature={t}")));
    parts.extend(match settings.schema_mode {
        SchemaMode::None => None,
        // Named before there were others: a key that moves makes every user pay again.
        SchemaMode::JsonSchema => Some("schema".to_owned()),
        other => Some(format!("schema={}", other.name())),
    });
    // A JSON map is sorted by its keys.
    parts.extend((!extra.is_empty()).then(|| Value::Object(extra.clone()).to_string()));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

impl Endpoint for HttpEndpoint {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn offers(&self) -> Offers {
        let translate = self.api.translates();
        let (chat, complete) = (self.api == Api::Chat, self.api == Api::Completions);
        Offers { translate, chat, complete, embed: !translate }
    }

    fn translates(&self, from: Lang, to: Lang) -> bool {
        let known = match self.api {
            Api::Libretranslate => !from.short().is_empty() && !to.short().is_empty(),
            Api::Apertium => from != Lang::UND && to != Lang::UND,
            Api::Chat | Api::Completions => false,
        };
        known && (self.pairs.is_empty() || self.pairs.contains(&(from, to)))
    }

    fn counter(&self) -> Counter {
        self.counter.clone()
    }

    fn ask<'a>(&'a self, ask: &'a Ask) -> Pending<'a, Result<Reply, Refusal>> {
        Box::pin(async move {
            match ask {
                Ask::Chat { .. } if self.api == Api::Chat => chat::ask(self, ask).await,
                Ask::Complete { .. } | Ask::LogProb { .. } if self.api == Api::Completions => {
                    completions::ask(self, ask).await
                }
                Ask::Embed { text } if !self.api.translates() => embeddings::ask(self, text).await,
                Ask::Translate { from, to, text } if self.api == Api::Libretranslate => {
                    translate::ask(self, *from, *to, text).await
                }
                Ask::Translate { from, to, text } if self.api == Api::Apertium => {
                    translate::ask_apertium(self, *from, *to, text).await
                }
                _ => Err(Refusal::Fatal(Error::bug(format!(
                    "endpoint asked what it does not offer: model={}",
                    self.identity
                )))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::endpoints::Kind;

    #[test]
    fn names_of_one_model_are_told_from_names_of_two() {
        for (asked, said) in [
            ("gpt-4o", "gpt-4o-2024-08-06"),
            ("llama3", "llama3:latest"),
            ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b-instruct"),
            ("SmolLM2", "/models/SmolLM2-Q4_1.gguf"),
            ("org/m@v2", "m"),
        ] {
            assert!(is_form_of(asked, said), "{asked} {said}");
        }
        for (asked, said) in
            [("gpt-4o", "gpt-3.5-turbo"), ("gpt-4", "gpt-4o"), ("m", "n"), ("llama3", "llama31")]
        {
            assert!(!is_form_of(asked, said), "{asked} {said}");
        }
    }

    #[test]
    fn the_identity_has_what_can_change_an_answer_and_nothing_else() {
        let settings = |set: &dyn Fn(&mut EndpointSettings)| {
            let mut settings = EndpointSettings {
                kind: Kind::Http,
                url: "http://127.0.0.1:9/v1".into(),
                model: "m".into(),
                ..EndpointSettings::default()
            };
            set(&mut settings);
            HttpEndpoint::open("gpt", &settings).expect("opens").identity().to_owned()
        };
        let plain = settings(&|_| {});
        assert_eq!(plain, "http m");
        assert_eq!(settings(&|s| s.url = "http://127.0.0.2/api/".into()), plain);
        assert_eq!(settings(&|s| s.in_flight = 3), plain);
        for changed in [
            settings(&|s| s.model = "n".into()),
            settings(&|s| s.temperature = Some(0.5)),
            settings(&|s| s.schema_mode = SchemaMode::JsonSchema),
            settings(&|s| s.schema_mode = SchemaMode::GuidedJson),
            settings(&|s| drop(s.extra.insert("top_p".into(), toml::Value::Float(0.9)))),
        ] {
            assert_ne!(changed, plain);
        }
    }
}
