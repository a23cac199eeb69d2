//! Endpoints by name, and which one each role asks.

use crate::error::Result;
use crate::llm::Role;
use serde::{Deserialize, Serialize};

/// The name of the endpoint that is always there.
pub const EMBEDDED: &str = "embedded";

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointSettings {}

impl EndpointSettings {
    /// Checks ranges; `key` is where it stands in the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config).
    pub fn check(&self, _key: &str) -> Result<()> {
        Ok(())
    }
}

/// The endpoint's name for each role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Native response to English.
    pub translate: String,
    /// English instructions.
    pub instruct: String,
    /// Scores.
    pub score: String,
    /// Vectors.
    pub embed: String,
    /// Instructions back.
    pub localize: String,
}

impl Default for Roles {
    fn default() -> Self {
        let name = || EMBEDDED.to_owned();
        Self { translate: name(), instruct: name(), score: name(), embed: name(), localize: name() }
    }
}

impl Roles {
    /// The endpoint of a role.
    pub fn of(&self, role: Role) -> &str {
        match role {
            Role::Translate => &self.translate,
            Role::Instruct => &self.instruct,
            Role::Score => &self.score,
            Role::Embed => &self.embed,
            Role::Localize => &self.localize,
        }
    }
}
