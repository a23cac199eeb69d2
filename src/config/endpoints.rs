//! Endpoints by name, and which one each role asks.
//!
//! ```
//! let toml = "roles.translate = 'gpt'\n\
//!             [endpoints.gpt]\nkind = 'http'\nurl = 'https://api.example.com/v1'\nmodel = 'm'\nkey_env = 'MY_KEY'\n";
//! let settings = isogloss::config::Settings::parse(toml, &[])?;
//! assert_eq!(settings.endpoints["gpt"].in_flight, 64);
//! # Ok::<(), isogloss::Error>(())
//! ```

use crate::error::{Error, Result};
use crate::llm::desk::Retry;
use crate::llm::limiter::Limits;
use crate::llm::money::Prices;
use crate::llm::tokens::Counter;
use crate::model::Lang;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

mod batch;
mod kinds;
mod roles;
#[cfg(test)]
mod tests;

pub use batch::BatchSettings;
pub use kinds::{Api, Kind, SchemaMode, TokenLimit};
pub use roles::{Names, Roles};

/// The name of the endpoint that is always there.
pub const EMBEDDED: &str = "embedded";

/// One endpoint. Only `kind = "http"` and `"batch"` take an address; only `kind = "embedded"` takes folders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointSettings {
    /// Where its models run.
    pub kind: Kind,
    /// http: the address without `/chat/completions`, as in `https://api.example.com/v1`. It carries no key.
    pub url: String,
    /// http: the model, as the server names it.
    pub model: String,
    /// http: the *name* of the environment variable that holds the key, as in `MY_KEY`; empty for none.
    pub key_env: String,
    /// http: what the address speaks.
    pub api: Api,
    /// Its share of a role's asks next to others of the same priority, `1..=100`. Which one an ask goes to is a function
    /// of the ask; the next one takes over where the first is away, paused or refuses.
    pub weight: u32,
    /// Endpoints of a higher number are asked only where all of a lower one cannot answer, and translate where a
    /// translation of those does not pass its checks; `0..=100`.
    pub priority: u32,
    /// http: most requests in flight, `1..=16384`. Fewer for a while after 429 and 503.
    pub in_flight: u32,
    /// http: most requests in a minute, `1..=10000000`; no limit if absent.
    pub requests_per_minute: Option<u32>,
    /// http: most tokens in a minute, read and written together, from 100; no limit if absent.
    pub tokens_per_minute: Option<u64>,
    /// http: most tokens read in a minute, from 100; no limit if absent.
    pub input_tokens_per_minute: Option<u64>,
    /// http: most tokens written in a minute, from 100; no limit if absent.
    pub output_tokens_per_minute: Option<u64>,
    /// http: seconds for one whole request, `0.01..=86400`.
    pub timeout_seconds: f64,
    /// http: seconds to the first byte of a reply and between two reads of it, `0.01..=86400`; only the whole request
    /// is timed if absent. Most servers send nothing before a reply is complete.
    pub first_byte_timeout_seconds: Option<f64>,
    /// http: seconds to reach the server, `0.01..=3600`.
    pub connect_timeout_seconds: f64,
    /// http: tries of one ask before its row is faulted, `1..=100`. Waiting for a busy or absent server is none.
    pub tries: u32,
    /// http: seconds without any answer after which the run stops, to be resumed, `0.01..=604800`.
    pub give_up_after_seconds: f64,
    /// http: asks given up one after the other, with no answer between, after which the run stops, from 1.
    pub most_faults_in_a_row: u32,
    /// http: largest reply, in bytes after decompression, `1024..=1073741824`. Times `in_flight`, it bounds memory.
    pub most_reply_bytes: u64,
    /// http: the proxy, as in `http://proxy.example.com:3128`, or `none` for none; the variables of the environment
    /// (`HTTPS_PROXY`, `NO_PROXY`) if empty. Its password belongs into those variables.
    pub proxy: String,
    /// http: file of PEM certificates that alone are trusted to vouch for the server; those of the system if absent.
    pub ca_file: Option<PathBuf>,
    /// http: replaces the temperature of every prompt, `0.0..=2.0`; for models that take only one.
    pub temperature: Option<f64>,
    /// http: whether and how the server forces replies into a JSON schema; `true` is `json_schema`.
    pub schema_mode: SchemaMode,
    /// http: how the server names the limit on reply tokens.
    pub token_limit: TokenLimit,
    /// http: other names of the model that the server may give in its replies; `*` for any. A reply of yet another
    /// model is refused.
    pub answers_as: Vec<String>,
    /// http: the pairs that a translator has, as in `["spa_Latn-eng_Latn"]`; every pair if empty.
    pub pairs: Vec<String>,
    /// http: further fields of each request's body, as in `extra = { top_p = 0.9 }`. Part of the journal key.
    pub extra: toml::Table,
    /// Price of a million tokens read, in the account's currency, `0.0..=1e9`; nothing if absent. Prices cannot change a
    /// row, and are no part of any key.
    pub price_input: Option<f64>,
    /// Price of a million tokens written, `0.0..=1e9`.
    pub price_output: Option<f64>,
    /// Price of a million characters sent, `0.0..=1e9`: for translators that bill by character.
    pub price_characters: Option<f64>,
    /// Price of a request that is answered, `0.0..=1e9`.
    pub price_request: Option<f64>,
    /// http: the `tokenizer.json` of the model. It counts the tokens of asks for limits, budgets and plans, and of replies
    /// where the server counts none; a rule of thumb if absent. It cannot change a row, and is no part of any key.
    pub tokenizer: Option<PathBuf>,
    /// batch: how asks are gathered; the rest is as with http. Limits per minute and `in_flight` are refused there.
    pub batch: BatchSettings,
    /// embedded: folders of Bergamot (Firefox) models, one pair of languages each.
    pub folders: Vec<PathBuf>,
    /// embedded: threads, `1..=1024`; as many as cores if absent.
    pub threads: Option<u32>,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        Self {
            kind: Kind::Embedded,
            url: String::new(),
            model: String::new(),
            key_env: String::new(),
            api: Api::Chat,
            weight: 1,
            priority: 0,
            in_flight: 64,
            requests_per_minute: None,
            tokens_per_minute: None,
            input_tokens_per_minute: None,
            output_tokens_per_minute: None,
            timeout_seconds: 120.0,
            first_byte_timeout_seconds: None,
            connect_timeout_seconds: 10.0,
            tries: 6,
            give_up_after_seconds: 600.0,
            most_faults_in_a_row: 64,
            most_reply_bytes: 4 << 20,
            proxy: String::new(),
            ca_file: None,
            temperature: None,
            schema_mode: SchemaMode::None,
            token_limit: TokenLimit::MaxTokens,
            answers_as: Vec::new(),
            pairs: Vec::new(),
            extra: toml::Table::new(),
            price_input: None,
            price_output: None,
            price_characters: None,
            price_request: None,
            tokenizer: None,
            batch: BatchSettings::default(),
            folders: Vec::new(),
            threads: None,
        }
    }
}

impl EndpointSettings {
    /// Checks ranges; `key` is where it stands in the settings. No value that may hold a key is ever told.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self, key: &str) -> Result<()> {
        within(key, "threads", f64::from(self.threads.unwrap_or(1)), 1.0..=1024.0, "leave it out")?;
        within(key, "weight", f64::from(self.weight), 1.0..=100.0, "1")?;
        within(key, "priority", f64::from(self.priority), 0.0..=100.0, "0")?;
        for (name, price) in [
            ("price_input", self.price_input),
            ("price_output", self.price_output),
            ("price_characters", self.price_characters),
            ("price_request", self.price_request),
        ] {
            within(key, name, price.unwrap_or(0.0), 0.0..=1e9, "leave it out")?;
        }
        match self.kind {
            Kind::Embedded => self.check_embedded(key),
            Kind::Http => self.check_http(key),
            Kind::Batch => self.check_http(key).and_then(|()| self.check_batch(key)),
        }
    }

    fn check_embedded(&self, key: &str) -> Result<()> {
        let tokenizer = self.tokenizer.as_ref().map_or_else(String::new, |path| path.display().to_string());
        for (name, value) in [
            ("url", &self.url),
            ("model", &self.model),
            ("key_env", &self.key_env),
            ("tokenizer", &tokenizer),
        ] {
            if !value.is_empty() {
                return Err(Error::config(format!(
                    "setting without use: key={key}.{name}, because={key}.kind is \"embedded\", \
                     remedy=kind = \"http\""
                )));
            }
        }
        Ok(())
    }

    fn check_http(&self, key: &str) -> Result<()> {
        self.check_url(key)?;
        if self.model.is_empty() && !self.api.translates() {
            return Err(Error::config(format!(
                "setting missing: key={key}.model, remedy=the model as the server names it"
            )));
        }
        if !self.folders.is_empty() {
            return Err(Error::config(format!(
                "setting without use: key={key}.folders, because={key}.kind is \"http\", \
                 remedy=kind = \"embedded\""
            )));
        }
        if !self.key_env.is_empty() && !is_variable(&self.key_env) {
            // The value is not told: it may be the key itself, put here by mistake.
            return Err(Error::config(format!(
                "setting is no name of a variable: key={key}.key_env, range=[A-Z_][A-Z0-9_]*, \
                 remedy=export the key and name its variable, as in key_env = \"MY_KEY\""
            )));
        }
        self.check_proxy(key)?;
        self.check_pairs(key)?;
        let tokens = |limit: Option<u64>| limit.unwrap_or(100) as f64;
        let first_byte = self.first_byte_timeout_seconds.unwrap_or(1.0);
        let checks = [
            ("in_flight", f64::from(self.in_flight), 1.0..=16384.0, "64"),
            (
                "requests_per_minute",
                f64::from(self.requests_per_minute.unwrap_or(1)),
                1.0..=1e7,
                "leave it out",
            ),
            ("tokens_per_minute", tokens(self.tokens_per_minute), 100.0..=1e15, "leave it out"),
            ("input_tokens_per_minute", tokens(self.input_tokens_per_minute), 100.0..=1e15, "leave it out"),
            ("output_tokens_per_minute", tokens(self.output_tokens_per_minute), 100.0..=1e15, "leave it out"),
            ("first_byte_timeout_seconds", first_byte, 0.01..=86_400.0, "leave it out"),
            ("timeout_seconds", self.timeout_seconds, 0.01..=86_400.0, "120"),
            ("connect_timeout_seconds", self.connect_timeout_seconds, 0.01..=3600.0, "10"),
            ("tries", f64::from(self.tries), 1.0..=100.0, "6"),
            ("give_up_after_seconds", self.give_up_after_seconds, 0.01..=604_800.0, "600"),
            ("most_faults_in_a_row", f64::from(self.most_faults_in_a_row), 1.0..=1e9, "64"),
            ("most_reply_bytes", self.most_reply_bytes as f64, 1024.0..=1_073_741_824.0, "4194304"),
            ("temperature", self.temperature.unwrap_or(0.0), 0.0..=2.0, "leave it out"),
        ];
        checks
            .into_iter()
            .try_for_each(|(name, value, range, remedy)| within(key, name, value, range, remedy))
    }

    fn check_batch(&self, key: &str) -> Result<()> {
        let of_no_use = |name: &str, remedy: &str| {
            Error::config(format!(
                "setting without use: key={key}.{name}, because={key}.kind is \"batch\", remedy={remedy}"
            ))
        };
        if self.api != Api::Chat {
            return Err(of_no_use("api", "leave it out: batches chat"));
        }
        for (name, limit) in [
            ("requests_per_minute", self.requests_per_minute.map(u64::from)),
            ("tokens_per_minute", self.tokens_per_minute),
            ("input_tokens_per_minute", self.input_tokens_per_minute),
            ("output_tokens_per_minute", self.output_tokens_per_minute),
        ] {
            if limit.is_some() {
                return Err(of_no_use(name, "leave it out, and bound batch.rows"));
            }
        }
        if self.in_flight != Self::default().in_flight {
            return Err(of_no_use("in_flight", "leave it out: source.in_flight_rows bounds what waits"));
        }
        self.batch.check(&format!("{key}.batch"))
    }

    fn check_url(&self, key: &str) -> Result<()> {
        let told = |why: &str| {
            Error::config(format!(
                "{why}: key={key}.url, range=http(s)://host[:port][/path], remedy=as in \
                 url = \"https://api.example.com/v1\""
            ))
        };
        if self.url.is_empty() {
            return Err(told("setting missing"));
        }
        let url = reqwest::Url::parse(&self.url).map_err(|cause| told("no address").because(cause))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(told("no address of http"));
        }
        // A key in an address would reach logs and proxies; the value is not told.
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(told("address with a user, a password or a query (keys go into key_env)"));
        }
        Ok(())
    }

    fn check_proxy(&self, key: &str) -> Result<()> {
        if matches!(self.proxy.as_str(), "" | "none") {
            return Ok(());
        }
        let proxy = reqwest::Url::parse(&self.proxy).ok().filter(|proxy| {
            matches!(proxy.scheme(), "http" | "https")
                && proxy.host_str().is_some()
                && proxy.username().is_empty()
        });
        if proxy.is_some_and(|proxy| proxy.password().is_none()) {
            return Ok(());
        }
        // The value is not told: it may hold a password.
        Err(Error::config(format!(
            "no address of a proxy, or one with a user: key={key}.proxy, range=http(s)://host[:port] or \"none\", \
             remedy=leave it out and export HTTPS_PROXY, which may hold a user and a password"
        )))
    }

    fn check_pairs(&self, key: &str) -> Result<()> {
        if let Some(pair) = self.pairs.iter().find(|pair| pair_of(pair).is_none()) {
            return Err(Error::config(format!(
                "no pair of langs: key={key}.pairs, value={pair:?}, range=two tags of data/langs.tsv, remedy=as in \
                 pairs = [\"spa_Latn-eng_Latn\"]"
            )));
        }
        Ok(())
    }

    /// The pairs that a translator has; empty for every pair.
    pub fn lang_pairs(&self) -> Vec<(Lang, Lang)> {
        self.pairs.iter().filter_map(|pair| pair_of(pair)).collect()
    }

    /// How its asks are retried.
    pub fn retry(&self) -> Retry {
        Retry {
            tries: self.tries,
            give_up_after: Duration::from_secs_f64(self.give_up_after_seconds),
            most_faults_in_a_row: self.most_faults_in_a_row,
            ..Retry::default()
        }
    }

    /// What it takes.
    pub fn prices(&self) -> Prices {
        let or_none = |price: Option<f64>| price.unwrap_or(0.0);
        Prices::of(
            or_none(self.price_input),
            or_none(self.price_output),
            or_none(self.price_characters),
            or_none(self.price_request),
        )
    }

    /// What counts its tokens; `key` is where it stands in the settings. Embedded models count for themselves.
    ///
    /// # Errors
    /// As [`Counter::open`].
    pub fn counter(&self, key: &str) -> Result<Counter> {
        let open = |path: &PathBuf| Counter::open(&format!("{key}.tokenizer"), path);
        self.tokenizer.as_ref().map(open).transpose().map(Option::unwrap_or_default)
    }

    /// What may be in flight. Embedded models pace themselves.
    pub fn limits(&self) -> Limits {
        match self.kind {
            Kind::Embedded => Limits::default(),
            // Rows in flight bound a batch.
            Kind::Batch => Limits { in_flight: u32::MAX, ..Limits::default() },
            Kind::Http => Limits {
                in_flight: self.in_flight,
                requests_per_minute: self.requests_per_minute,
                tokens_per_minute: self.tokens_per_minute,
                input_tokens_per_minute: self.input_tokens_per_minute,
                output_tokens_per_minute: self.output_tokens_per_minute,
            },
        }
    }
}

pub(super) fn within(
    key: &str,
    name: &str,
    value: f64,
    range: RangeInclusive<f64>,
    remedy: &str,
) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::config(format!(
        "setting out of range: key={key}.{name}, value={value}, range={}..={}, remedy={remedy}",
        range.start(),
        range.end()
    )))
}

fn pair_of(pair: &str) -> Option<(Lang, Lang)> {
    let (from, to) = pair.split_once('-')?;
    Some((Lang::from_tag(from)?, Lang::from_tag(to)?))
}

/// Whether it names an environment variable, and is not a key put in its place: those have small letters.
fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_uppercase() || first == b'_')
        && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && name.len() <= 64
}
