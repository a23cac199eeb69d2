//! Keys, from the environment alone.
//!
//! **Why**: a key in a file ends up in a repository, a key in an address in a log. The settings name a variable, this
//! file alone reads it, and the type around it cannot be shown.

use crate::error::{Error, Result};
use reqwest::header::HeaderValue;
use std::fmt;

/// A key. Its value leaves only by [`bearer`](Self::bearer) and, within the crate, by `reveal`.
#[derive(Clone)]
pub struct Key {
    secret: String,
}

impl Key {
    /// Reads the variable `name`; `setting` is where the settings name it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), with the variable's name and never its value, if it is unset,
    /// empty, or cannot stand in a header.
    pub fn from_env(setting: &str, name: &str) -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads keys")]
        let value = std::env::var(name);
        let why = match value {
            Ok(value) if value.trim().is_empty() => "empty",
            Ok(value) => match Self::of(&value) {
                Some(key) => return Ok(key),
                None => "not plain ASCII",
            },
            Err(std::env::VarError::NotPresent) => "not set",
            Err(std::env::VarError::NotUnicode(_)) => "not plain ASCII",
        };
        Err(Error::config(format!(
            "variable of a key is {why}: variable={name}, key={setting}, remedy=export {name}=..."
        )))
    }

    /// A key from its value; `None` if it cannot stand in a header. White space around it is dropped.
    pub fn of(value: &str) -> Option<Self> {
        let secret = value.trim();
        let plain = !secret.is_empty() && secret.bytes().all(|b| b.is_ascii_graphic());
        plain.then(|| Self { secret: secret.to_owned() })
    }

    /// The value of the `Authorization` header, marked so that it is never shown.
    pub fn bearer(&self) -> HeaderValue {
        // Only graphic ASCII stands in a key, so this never falls back.
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.secret))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// The value itself, for APIs that take it in the body.
    pub(crate) fn reveal(&self) -> &str {
        &self.secret
    }

    /// `text` without the key, for what a server says.
    pub fn redact(&self, text: &str) -> String {
        text.replace(&self.secret, "***")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::of(" sk-Secret99\n").expect("plain");
        let shown =
            format!("{key:?} {:?} {}", key.bearer(), key.redact("wrong key: sk-Secret99, sk-Secret99"));
        assert!(!shown.contains("Secret99"), "{shown}");
        assert_eq!(key.bearer().to_str().expect("ascii"), "Bearer sk-Secret99");
    }

    #[test]
    fn an_unset_variable_is_named() {
        let told =
            Key::from_env("endpoints.gpt.key_env", "ISOGLOSS_NO_SUCH_KEY").expect_err("unset").to_string();
        assert!(told.contains("not set") && told.contains("ISOGLOSS_NO_SUCH_KEY"), "{told}");
        assert!(Key::of("a\nb").is_none() && Key::of("clé").is_none() && Key::of("  ").is_none());
    }
}
