//! The endpoint: which of its APIs answers an ask.

use super::{chat, embeddings, translate, wire::Wire};
use crate::config::EndpointSettings;
use crate::config::endpoints::{Api, TokenLimit};
use crate::error::{Error, Result};
use crate::llm::{Ask, Endpoint, Offers, Pending, Refusal, Reply};
use crate::model::Lang;
use reqwest::Url;
use serde_json::{Map, Value};

/// A model behind an address.
#[derive(Debug)]
pub struct HttpEndpoint {
    pub(super) wire: Wire,
    pub(super) model: String,
    pub(super) temperature: Option<f64>,
    pub(super) schema_mode: bool,
    pub(super) token_limit: TokenLimit,
    pub(super) extra: Map<String, Value>,
    pub(super) urls: Urls,
    api: Api,
    identity: String,
}

#[derive(Debug)]
pub(super) struct Urls {
    pub(super) chat: Url,
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
        let wire = Wire::open(name, settings, settings.api == Api::Chat)?;
        let Ok(Value::Object(extra)) = serde_json::to_value(&settings.extra) else {
            return Err(Error::config(format!("setting is no table: key=endpoints.{name}.extra")));
        };
        let urls = Urls {
            chat: wire.address("chat/completions")?,
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
            api: settings.api,
        })
    }
}

/// Kind, model and what else of the settings can change an answer. Not the address: a model may move.
fn identity(settings: &EndpointSettings, extra: &Map<String, Value>) -> String {
    let mut parts = vec![match settings.api {
        Api::Chat => "http".to_owned(),
        Api::Libretranslate => "libretranslate".to_owned(),
    }];
    parts.push(settings.model.clone());
    parts.extend(settings.temperature.map(|t| format!("temperature={t}")));
    parts.extend(settings.schema_mode.then(|| "schema".to_owned()));
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
        let chat = self.api == Api::Chat;
        Offers { translate: !chat, chat, complete: false, embed: chat }
    }

    fn translates(&self, from: Lang, to: Lang) -> bool {
        self.api == Api::Libretranslate && !from.short().is_empty() && !to.short().is_empty()
    }

    fn ask<'a>(&'a self, ask: &'a Ask) -> Pending<'a, Result<Reply, Refusal>> {
        Box::pin(async move {
            match ask {
                Ask::Chat { .. } if self.api == Api::Chat => chat::ask(self, ask).await,
                Ask::Embed { text } if self.api == Api::Chat => embeddings::ask(self, text).await,
                Ask::Translate { from, to, text } if self.api == Api::Libretranslate => {
                    translate::ask(self, *from, *to, text).await
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
            settings(&|s| s.schema_mode = true),
            settings(&|s| drop(s.extra.insert("top_p".into(), toml::Value::Float(0.9)))),
        ] {
            assert_ne!(changed, plain);
        }
    }
}
