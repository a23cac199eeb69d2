//! Which endpoints each role asks.

use super::EMBEDDED;
use crate::llm::Role;
use serde::{Deserialize, Serialize};

/// One name of an endpoint, or a list of them. The order of a list means nothing: weights and priorities do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "the name of an endpoint, or a list of names")]
pub enum Names {
    /// As in `translate = "gpt"`.
    One(String),
    /// As in `translate = ["here", "there"]`.
    Many(Vec<String>),
}

impl Names {
    /// The names, as they stand.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

/// The endpoints of each role: one name or a list of names. Those of a list share the role's asks by their `weight` and
/// `priority`, and take over from each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roles {
    /// Native response to English.
    pub translate: Names,
    /// English instructions.
    pub instruct: Names,
    /// Scores.
    pub score: Names,
    /// Vectors: servers of one model, since vectors of two cannot be compared.
    pub embed: Names,
    /// Instructions back.
    pub localize: Names,
}

impl Default for Roles {
    fn default() -> Self {
        let name = || Names::One(EMBEDDED.to_owned());
        Self { translate: name(), instruct: name(), score: name(), embed: name(), localize: name() }
    }
}

impl Roles {
    /// The endpoints of a role.
    pub fn of(&self, role: Role) -> &[String] {
        match role {
            Role::Translate => self.translate.all(),
            Role::Instruct => self.instruct.all(),
            Role::Score => self.score.all(),
            Role::Embed => self.embed.all(),
            Role::Localize => self.localize.all(),
        }
    }
}
