//! What endpoints are and how their addresses are spoken to.

use serde::{Deserialize, Deserializer, Serialize};

/// Where the models of an endpoint run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// In this process, from pinned model files.
    #[default]
    Embedded,
    /// Behind an address.
    Http,
    /// Behind an address, by the batch API of providers: answers within a day.
    Batch,
}

/// What an address speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI-compatible: `/chat/completions` and `/embeddings` under the address.
    #[default]
    Chat,
    /// OpenAI-compatible, for base models: `/completions` and `/embeddings` under the address. Scores by gain need a server
    /// that echoes log-probabilities of the prompt (vLLM, `SGLang`).
    Completions,
    /// `LibreTranslate`: `/translate` under the address.
    Libretranslate,
    /// apertium-apy: `/translate` under the address.
    Apertium,
}

impl Api {
    /// Whether it takes a text and two langs.
    pub fn translates(self) -> bool {
        matches!(self, Self::Libretranslate | Self::Apertium)
    }
}

/// How a chat endpoint wants the limit on reply tokens named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimit {
    /// `max_tokens`: almost every server.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: reasoning models of some providers.
    MaxCompletionTokens,
}

/// How a chat endpoint is told the JSON schema of a reply. Replies are parsed strictly in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaMode {
    /// Not at all: the prompt asks for it in words.
    #[default]
    None,
    /// `response_format = { type = "json_schema", ... }`: `OpenAI`, vLLM, `SGLang`, llama.cpp, Ollama.
    JsonSchema,
    /// `response_format = { type = "json_object" }`, without the schema: providers that only promise JSON.
    JsonObject,
    /// `response_format = { type = "json_object", schema = ... }`: llama.cpp and its bindings, older versions.
    JsonObjectSchema,
    /// `response_format = { type = "json", value = ... }`: TGI.
    Json,
    /// `guided_json = ...`: vLLM, older versions.
    GuidedJson,
    /// `structured_outputs = { json = ... }`: vLLM, newer versions.
    StructuredOutputs,
}

impl SchemaMode {
    /// Every mode.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::JsonSchema,
        Self::JsonObject,
        Self::JsonObjectSchema,
        Self::Json,
        Self::GuidedJson,
        Self::StructuredOutputs,
    ];

    /// Its name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::JsonSchema => "json_schema",
            Self::JsonObject => "json_object",
            Self::JsonObjectSchema => "json_object_schema",
            Self::Json => "json",
            Self::GuidedJson => "guided_json",
            Self::StructuredOutputs => "structured_outputs",
        }
    }
}

impl<'de> Deserialize<'de> for SchemaMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "true, false or the name of a schema mode")]
        enum Written {
            Switch(bool),
            Name(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Switch(on) => Ok(if on { Self::JsonSchema } else { Self::None }),
            Written::Name(name) => Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
                let names = Self::ALL.map(Self::name).join(", ");
                serde::de::Error::custom(format!("unknown schema mode {name:?}, expected one of {names}"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_mode_is_a_name_or_a_switch() {
        #[derive(Serialize, Deserialize)]
        struct Has {
            mode: SchemaMode,
        }
        let of = |text: &str| toml::from_str::<Has>(text).map(|has| has.mode);
        assert_eq!(of("mode = true").expect("a switch"), SchemaMode::JsonSchema);
        assert_eq!(of("mode = false").expect("a switch"), SchemaMode::None);
        for mode in SchemaMode::ALL {
            let written = toml::to_string(&Has { mode }).expect("written");
            assert_eq!(of(&written).expect("a name"), mode, "{written}");
        }
        assert!(of("mode = 'jsn'").expect_err("no name").to_string().contains("guided_json"));
    }
}
