//! Settings: one strict TOML file, `--set` on top, every part checked before any work or spending.
//!
//! **Why**: a typo must cost a second, not a night. Each stage owns its settings and their ranges; this
//! file only composes them and says which of them can change a row ([`Settings::fingerprint`]).

use crate::error::{Error, Result};
use crate::llm::Role;
use crate::source::settings::SourceSettings;
use crate::stage::dedup::DedupSettings;
use crate::stage::embed::EmbedSettings;
use crate::stage::identify::IdentifySettings;
use crate::stage::instruct::InstructSettings;
use crate::stage::localize::LocalizeSettings;
use crate::stage::quality::QualitySettings;
use crate::stage::sample::SampleSettings;
use crate::stage::score::ScoreSettings;
use crate::stage::segment::SegmentSettings;
use crate::stage::select::SelectSettings;
use crate::stage::sign::SignSettings;
use crate::stage::translate::TranslateSettings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use xxhash_rust::xxh3::xxh3_128;

pub mod budget;
pub mod bundles;
pub mod endpoints;
pub mod parts;
pub mod state;

pub use budget::BudgetSettings;
pub use bundles::BundleSettings;
pub use endpoints::{Api, EndpointSettings, Kind, Names, Roles};
pub use parts::PartSettings;
pub use state::{Mode, StateSettings};

/// Which ends of fragments the audit keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audit {
    /// Faults only.
    #[default]
    Faults,
    /// Every fragment, kept ones too.
    All,
}

/// Everything a run can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Shards, folders or globs.
    pub input: Vec<String>,
    /// Where rows, state and journal go.
    pub output: PathBuf,
    /// Dataflow workers, `1..=256`. Rows do not depend on it.
    pub workers: usize,
    /// Orders samples and ties.
    pub seed: u64,
    /// Which ends of fragments the audit keeps.
    pub audit: Audit,
    /// Folder of prompts that replace the built-in ones of the same name.
    pub prompts: Option<PathBuf>,
    /// Folder of model files; the default is `.cache/isogloss/models` in the home folder.
    pub model_cache: Option<PathBuf>,
    /// Endpoints by name; `embedded` is always there.
    pub endpoints: BTreeMap<String, EndpointSettings>,
    /// Which endpoints each role asks: a name or a list of names.
    pub roles: Roles,
    /// How shards are read.
    pub source: SourceSettings,
    /// How documents are cut into fragments.
    pub segment: SegmentSettings,
    /// Which langs are wanted.
    pub identify: IdentifySettings,
    /// Heuristics of quality, per lang.
    pub quality: QualitySettings,
    /// Signatures of fragments.
    pub sign: SignSettings,
    /// Exact and near duplicates.
    pub dedup: DedupSettings,
    /// The budget: how many fragments of each lang the models see.
    pub sample: SampleSettings,
    /// How much of what runs leave behind is used.
    pub state: StateSettings,
    /// The form of the parts of the output.
    pub parts: PartSettings,
    /// The most that a run may spend.
    pub budget: BudgetSettings,
    /// What a model stage has in flight.
    pub bundles: BundleSettings,
    /// Native response to English.
    pub translate: TranslateSettings,
    /// English instructions.
    pub instruct: InstructSettings,
    /// Scores of English pairs.
    pub score: ScoreSettings,
    /// Vectors and cells.
    pub embed: EmbedSettings,
    /// Which scored exchanges go on.
    pub select: SelectSettings,
    /// Instructions to the native language.
    pub localize: LocalizeSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            input: Vec::new(),
            output: PathBuf::from("out"),
            workers: 2,
            seed: 0,
            audit: Audit::Faults,
            prompts: None,
            model_cache: None,
            endpoints: BTreeMap::new(),
            roles: Roles::default(),
            source: SourceSettings::default(),
            segment: SegmentSettings::default(),
            identify: IdentifySettings::default(),
            quality: QualitySettings::default(),
            sign: SignSettings::default(),
            dedup: DedupSettings::default(),
            sample: SampleSettings::default(),
            state: StateSettings::default(),
            parts: PartSettings::default(),
            budget: BudgetSettings::default(),
            bundles: BundleSettings::default(),
            translate: TranslateSettings::default(),
            instruct: InstructSettings::default(),
            score: ScoreSettings::default(),
            embed: EmbedSettings::default(),
            select: SelectSettings::default(),
            localize: LocalizeSettings::default(),
        }
    }
}

/// Settings that cannot change a row: left out of the fingerprint. The audit stands beside the rows, and what it
/// holds is checked apart.
const FREE: [&str; 14] = [
    "budget",
    "state",
    "input",
    "output",
    "workers",
    "model_cache",
    "bundles",
    "source.batch_rows",
    "source.batch_bytes",
    "source.in_flight_rows",
    "source.in_flight_bytes",
    // Named by the identities of the endpoints and by the roles' versions.
    "endpoints",
    "roles",
    "audit",
];

impl Settings {
    /// Reads a file and puts `sets` (`KEY=VALUE`, KEY dotted, VALUE in TOML or a bare word) on top.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the file is away, is not TOML, has an unknown key or a
    /// value of another type; ranges are the business of [`check`](Self::check).
    pub fn load(path: &Path, sets: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Error::config(format!("settings unreadable: path={}", path.display())).because(cause)
        })?;
        Self::parse(&text, sets)
            .map_err(|error| Error::config(format!("{error}: settings={}", path.display())))
    }

    /// As [`load`](Self::load), from text.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, sets: &[String]) -> Result<Self> {
        // Once as it stands, so that a mistake is told with its line.
        let plain: Self =
            toml::from_str(text).map_err(|cause| Error::config(cause.to_string().trim_end()))?;
        if sets.is_empty() {
            return Ok(plain);
        }
        let mut table: Table =
            toml::from_str(text).map_err(|cause| Error::config(cause.to_string().trim_end()))?;
        for set in sets {
            put(&mut table, set)?;
        }
        typed(table, sets)
    }

    /// Checks every range, and that each role has its endpoints.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) that names key, value, range and remedy.
    pub fn check(&self) -> Result<()> {
        check_workers(self.workers)?;
        if self.input.is_empty() {
            return Err(Error::config(
                "setting missing: key=input, remedy=name shards in the settings or with --input GLOB",
            ));
        }
        for (name, endpoint) in &self.endpoints {
            endpoint.check(&format!("endpoints.{name}"))?;
        }
        self.check_batches()?;
        for role in Role::ALL {
            self.endpoints_of(role)?;
        }
        let embed = self.endpoints_of(Role::Embed)?;
        let embed = embed.iter().find(|(_, endpoint)| endpoint.kind == Kind::Http).map(|(name, _)| name);
        if let Some(embed) = embed.filter(|_| self.select.codebook == crate::stage::codebook::SHIPPED) {
            return Err(Error::config(format!(
                "codebook of other vectors: key=select.codebook, value={:?}, range=a file or \"none\" where \
                 roles.embed={embed:?}, remedy=build one with `isogloss codebook data/codebooks/topics-1.tsv FILE \
                 --settings THIS`, or set select.codebook=\"none\" (one cell)",
                self.select.codebook
            )));
        }
        self.source.check("source")?;
        self.segment.check("segment")?;
        self.identify.check("identify")?;
        self.quality.check("quality")?;
        self.sign.check("sign")?;
        self.dedup.check("dedup")?;
        self.sample.check("sample")?;
        self.state.check("state")?;
        self.parts.check("parts")?;
        self.budget.check("budget")?;
        self.check_prices()?;
        self.bundles.check("bundles")?;
        self.translate.check("translate")?;
        self.instruct.check("instruct")?;
        self.score.check("score")?;
        self.embed.check("embed")?;
        self.select.check("select")?;
        self.localize.check("localize")
    }

    /// Two endpoints of one address and model would each take the other's open batches for left behind.
    fn check_batches(&self) -> Result<()> {
        let mut seen: BTreeMap<(&str, &str, bool), &String> = BTreeMap::new();
        for (name, endpoint) in self.endpoints.iter().filter(|(_, endpoint)| endpoint.kind == Kind::Batch) {
            let of = (endpoint.url.trim_end_matches('/'), endpoint.model.as_str(), endpoint.batch.embeds());
            if let Some(other) = seen.insert(of, name) {
                return Err(Error::config(format!(
                    "two endpoints for the batches of one model: key=endpoints.{name}, value={:?}, because=endpoints.{other} has \
                     its url and model, remedy=remove one of them and name the other in both roles",
                    endpoint.model
                )));
            }
        }
        Ok(())
    }

    /// A budget of money needs a price, or it would never end a run.
    fn check_prices(&self) -> Result<()> {
        let Some(money) = self.budget.money else { return Ok(()) };
        for role in Role::ALL {
            if self.endpoints_of(role)?.values().any(|endpoint| !endpoint.prices().is_free()) {
                return Ok(());
            }
        }
        Err(Error::config(format!(
            "budget without a price: key=budget.money, value={money}, because=no endpoint of a role has one, remedy=set \
             price_input and price_output of [endpoints.NAME], or budget.tokens"
        )))
    }

    /// The endpoints of a role, by name and in the order of their names.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the role names none, one twice, or one that is none of the
    /// endpoints.
    pub fn endpoints_of(&self, role: Role) -> Result<BTreeMap<&str, EndpointSettings>> {
        let mut found = BTreeMap::new();
        let wrong = |what: &str, value: &str, remedy: String| {
            Error::config(format!(
                "{what}: key=roles.{}, value={value:?}, range={:?}, remedy={remedy}",
                role.name(),
                self.endpoints.keys().map(String::as_str).chain([endpoints::EMBEDDED]).collect::<Vec<_>>()
            ))
        };
        for name in self.roles.of(role) {
            let endpoint = match self.endpoints.get(name) {
                Some(endpoint) => endpoint.clone(),
                None if name == endpoints::EMBEDDED => EndpointSettings::default(),
                None => return Err(wrong("endpoint unknown", name, format!("add [endpoints.{name}]"))),
            };
            if found.insert(name.as_str(), endpoint).is_some() {
                return Err(wrong("endpoint named twice", name, "give it a weight instead".to_owned()));
            }
        }
        if found.is_empty() {
            return Err(wrong("role without endpoint", "", "name at least one".to_owned()));
        }
        Ok(found)
    }

    /// 128-bit xxh3 of every setting that can change a row, in canonical order. Endpoint identities, prompt and
    /// codebook versions are added by the dataflow.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`](crate::ErrorKind::Bug) if settings cannot be written as TOML.
    pub fn fingerprint(&self) -> Result<u128> {
        Ok(xxh3_128(canonical(self, &FREE)?.to_string().as_bytes()))
    }

    /// As [`fingerprint`](Self::fingerprint), of the settings under these keys (dotted) alone.
    pub(crate) fn fingerprint_of(&self, keys: &[&str]) -> Result<u128> {
        fingerprint_of(self, &FREE, keys)
    }
}

/// 128-bit xxh3 of the settings under these keys, less those that are free.
pub(crate) fn fingerprint_of<T: Serialize>(settings: &T, free: &[&str], keys: &[&str]) -> Result<u128> {
    let table = Value::Table(canonical(settings, free)?);
    let mut text = String::new();
    for key in keys {
        let value = key.split('.').try_fold(&table, |value, part| value.get(part));
        text.push_str(&format!("{key}={}\n", value.map(Value::to_string).unwrap_or_default()));
    }
    Ok(xxh3_128(text.as_bytes()))
}

/// The number of workers is in its range.
pub(crate) fn check_workers(workers: usize) -> Result<()> {
    if (1..=256).contains(&workers) {
        return Ok(());
    }
    Err(Error::config(format!(
        "setting out of range: key=workers, value={workers}, range=1..=256, remedy=as many as cores"
    )))
}

/// Settings of a table that `sets` were put into.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(table: Table, sets: &[String]) -> Result<T> {
    Value::Table(table)
        .try_into()
        .map_err(|cause| Error::config(format!("{}, with {}", cause.to_string().trim_end(), sets.join(" "))))
}

/// Settings as a table without the `free` keys. A toml table is a sorted map, so its text is canonical.
pub(crate) fn canonical<T: Serialize>(settings: &T, free: &[&str]) -> Result<Table> {
    let mut table =
        Table::try_from(settings).map_err(|cause| Error::bug("settings not written").because(cause))?;
    for key in free {
        forget(&mut table, key);
    }
    Ok(table)
}

/// Removes a dotted key.
fn forget(table: &mut Table, key: &str) {
    match key.split_once('.') {
        None => {
            table.remove(key);
        }
        Some((outer, inner)) => {
            if let Some(table) = table.get_mut(outer).and_then(Value::as_table_mut) {
                forget(table, inner);
            }
        }
    }
}

/// Puts one `KEY=VALUE` into the table.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if it has no key or no `=`, or a part of the key is no table.
pub(crate) fn put(table: &mut Table, set: &str) -> Result<()> {
    let (key, value) = set
        .split_once('=')
        .ok_or_else(|| Error::config(format!("flag without `=`: --set {set}, remedy=--set KEY=VALUE")))?;
    let value = toml::from_str::<Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("v"))
        .unwrap_or_else(|| Value::String(value.to_owned()));
    let mut path: Vec<&str> = key.trim().split('.').collect();
    let last = path.pop().filter(|last| !last.is_empty());
    let last = last.ok_or_else(|| Error::config(format!("flag without a key: --set {set}")))?;
    let mut place = table;
    for part in path {
        let next = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        place = next.as_table_mut().ok_or_else(|| {
            Error::config(format!(
                "setting is no table: key={part}, in=--set {set}, remedy=see `isogloss check`"
            ))
        })?;
    }
    place.insert(last.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_replaces_one_setting_and_types_are_kept() {
        let settings =
            Settings::parse("workers = 3\n", &["audit=all".into(), "seed=7".into(), "output=a b".into()])
                .expect("valid");
        assert_eq!((settings.workers, settings.seed, settings.audit), (3, 7, Audit::All));
        assert_eq!(settings.output, PathBuf::from("a b"));
    }

    #[test]
    fn a_mistake_is_named() {
        let fails = |text: &str, sets: &[String]| Settings::parse(text, sets).expect_err("wrong").to_string();
        assert!(fails("wrokers = 3", &[]).contains("wrokers"));
        assert!(fails("", &["wrokers=3".into()]).contains("wrokers"));
        assert!(fails("", &["workers".into()]).contains("KEY=VALUE"));
        let settings = Settings::parse("workers = 0\ninput = ['a']", &[]).expect("valid");
        assert!(settings.check().expect_err("range").to_string().contains("key=workers, value=0"));
    }

    #[test]
    fn a_role_without_endpoint_is_named() {
        let settings = Settings::parse("input = ['a']\nroles.score = 'gpt'", &[]).expect("valid");
        let told = settings.check().expect_err("no endpoint").to_string();
        assert!(told.contains("roles.score") && told.contains("[endpoints.gpt]"), "{told}");
    }

    #[test]
    fn a_role_takes_a_name_or_a_list_of_names() {
        let text = |names: &str| {
            let endpoint = "kind = 'http'\nurl = 'http://h/v1'\nmodel = 'm'\n";
            format!(
                "input = ['a']\nroles.score = {names}\n[endpoints.b]\n{endpoint}weight = 3\n[endpoints.a]\n{endpoint}"
            )
        };
        let of = |names: &str| Settings::parse(&text(names), &[]).expect("valid");
        let two = of("['b', 'a']");
        two.check().expect("two endpoints");
        let found = two.endpoints_of(Role::Score).expect("known");
        assert_eq!(found.iter().map(|(name, e)| (*name, e.weight)).collect::<Vec<_>>(), [("a", 1), ("b", 3)]);
        assert_eq!(of("'b'").endpoints_of(Role::Score).expect("known").len(), 1);
        let told = |names: &str| of(names).check().expect_err("wrong").to_string();
        assert!(told("[]").contains("role without endpoint: key=roles.score"));
        assert!(told("['a', 'b', 'a']").contains("named twice: key=roles.score, value=\"a\""));
        assert!(
            Settings::parse("roles.score = 7", &[])
                .expect_err("no name")
                .to_string()
                .contains("list of names")
        );
        let printed = toml::to_string(&two).expect("written");
        assert_eq!(Settings::parse(&printed, &[]).expect("valid"), two);
    }

    #[test]
    fn vectors_of_another_model_need_a_codebook_of_their_own() {
        let text = "input = ['a']\nroles.embed = 'gpt'\n[endpoints.gpt]\nkind = 'http'\nurl = 'http://h/v1'\nmodel = 'm'";
        let of = |sets: &[String]| Settings::parse(text, sets).expect("valid").check();
        let told = of(&[]).expect_err("another model's cells").to_string();
        assert!(told.contains("select.codebook") && told.contains("isogloss codebook"), "{told}");
        of(&["select.codebook=none".into()]).expect("one cell");
    }

    #[test]
    fn the_fingerprint_ignores_what_cannot_change_a_row() {
        let of = |text: &str| Settings::parse(text, &[]).expect("valid").fingerprint().expect("canonical");
        assert_eq!(of("workers = 1\noutput = 'a'"), of("workers = 9\ninput = ['x']"));
        assert_ne!(of("seed = 1"), of("seed = 2"));
        let priced =
            "[budget]\nmoney = 3.5\ncalls = 9\n[endpoints.a]\nprice_input = 2.0\nprice_request = 0.1";
        assert_eq!(of(""), of(priced));
    }

    #[test]
    fn a_budget_of_money_needs_a_price() {
        let text = "input = ['a']\nroles.score = 'gpt'\nbudget.money = 2.0\n\
                    [endpoints.gpt]\nkind = 'http'\nurl = 'http://h/v1'\nmodel = 'm'\n";
        let of = |sets: &[String]| Settings::parse(text, sets).expect("valid").check();
        let told = of(&[]).expect_err("no price").to_string();
        assert!(told.contains("key=budget.money, value=2") && told.contains("price_input"), "{told}");
        of(&["endpoints.gpt.price_output=0.5".into()]).expect("a price");
    }
}
