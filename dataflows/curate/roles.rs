//! Endpoints, desks and clerks: who answers what, opened before anything is asked.

use crate::config::{EndpointSettings, Kind, Settings};
use crate::error::{Error, Result};
use crate::llm::budget::Budget;
use crate::llm::desk::{Backend, Meter, Peek};
use crate::llm::embedded::Embedded;
use crate::llm::http::{BatchEndpoint, HttpEndpoint};
use crate::llm::journal::Journal;
use crate::llm::limiter::Limiter;
use crate::llm::models::Cache;
use crate::llm::prompt::Prompts;
use crate::llm::{Ask, Desk, Endpoint, Offers, Pending, Role};
use crate::model::{Exchange, Lang, Stage};
use crate::sink::columns::Versions;
use crate::sink::snapshot;
use crate::stage::codebook::Codebook;
use crate::stage::identify::Identifier;
use crate::stage::{Clerk, embed, instruct, localize, score, translate};
use crate::stop::Stop;
use crate::telemetry::SystemClock;
use crate::workers::cores;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Endpoints by the name that the settings give them.
pub type Endpoints = BTreeMap<String, Arc<dyn Endpoint>>;

/// Opens the endpoints that all roles name: loads models, reads keys, asks nothing.
///
/// # Errors
/// Those of the endpoints: a missing model file or key, a setting out of range.
pub fn open(settings: &Settings, cache: &Cache) -> Result<Endpoints> {
    open_for(settings, cache, &Role::ALL)
}

/// As [`open`], for some roles.
///
/// # Errors
/// As [`open`].
pub fn open_for(settings: &Settings, cache: &Cache, roles: &[Role]) -> Result<Endpoints> {
    let mut by_name: BTreeMap<String, (EndpointSettings, Vec<Role>)> = BTreeMap::new();
    for role in roles {
        for (name, endpoint) in settings.endpoints_of(*role)? {
            by_name.entry(name.to_owned()).or_insert_with(|| (endpoint, Vec::new())).1.push(*role);
        }
    }
    let mut opened: Endpoints = BTreeMap::new();
    for (name, (endpoint, roles)) in by_name {
        let endpoint: Arc<dyn Endpoint> = match endpoint.kind {
            Kind::Embedded => {
                let threads = endpoint.threads.map_or_else(cores, |threads| threads as usize);
                Embedded::open(cache, &roles, &endpoint.folders, threads)?
            }
            Kind::Http => Arc::new(HttpEndpoint::open(&name, &endpoint)?),
            Kind::Batch => {
                Arc::new(BatchEndpoint::open(&name, &endpoint, &settings.output.join(snapshot::STATE))?)
            }
        };
        opened.insert(name, endpoint);
    }
    Ok(opened)
}

/// The clerks of a run, and what names them.
pub struct Roles {
    /// Native response to English.
    pub translate: Arc<dyn Clerk>,
    /// English instruction.
    pub instruct: Arc<dyn Clerk>,
    /// Score of the English pair.
    pub score: Arc<dyn Clerk>,
    /// Vector and cell of the English pair.
    pub embed: Arc<dyn Clerk>,
    /// Instruction to the native language.
    pub localize: Arc<dyn Clerk>,
    /// Counts calls by role.
    pub meter: Arc<Meter>,
}

/// What a process seats that asks nobody.
struct Absent(Stage);

impl Clerk for Absent {
    fn stage(&self) -> Stage {
        self.0
    }

    fn treat<'a>(&'a self, exchange: &'a mut Exchange) -> Pending<'a, Result<(), Error>> {
        let told = format!("a row came to a process that asks nobody: place={:?}", exchange.place);
        Box::pin(async move { Err(Error::bug(told)) })
    }
}

impl Roles {
    /// For a process that asks nobody: rows are sent to the one that does.
    pub(super) fn absent() -> Self {
        let seat = |stage| -> Arc<dyn Clerk> { Arc::new(Absent(stage)) };
        Self {
            translate: seat(Stage::Translate),
            instruct: seat(Stage::Instruct),
            score: seat(Stage::Score),
            embed: seat(Stage::Embed),
            localize: seat(Stage::Localize),
            meter: Arc::default(),
        }
    }
}

/// What names the models and prompts of a run, for rows and fingerprints: all models of a role, each once.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if a role has no endpoint.
pub fn versions(
    settings: &Settings,
    endpoints: &Endpoints,
    prompts: &Prompts,
    codebook: &Codebook,
) -> Result<Versions> {
    let of = |role| -> Result<String> {
        let mut names = BTreeSet::new();
        for name in settings.endpoints_of(role)?.into_keys() {
            let endpoint = opened(endpoints, name)?;
            names.insert(if translates(role, endpoint.offers()) {
                translators(settings, endpoint.as_ref(), role)
            } else {
                endpoint.identity_of(&example(role, endpoint.offers())).to_owned()
            });
        }
        Ok(Vec::from_iter(names).join(" | "))
    };
    let prompts: Vec<String> = prompts.versions().into_values().collect();
    Ok(Versions {
        translate: of(Role::Translate)?,
        instruct: of(Role::Instruct)?,
        score: of(Role::Score)?,
        embed: format!("{}; codebook {}", of(Role::Embed)?, codebook.version),
        localize: of(Role::Localize)?,
        prompts: prompts.join(" "),
        schema: crate::sink::columns::SCHEMA.to_owned(),
    })
}

fn opened<'a>(endpoints: &'a Endpoints, name: &str) -> Result<&'a Arc<dyn Endpoint>> {
    endpoints.get(name).ok_or_else(|| Error::bug(format!("endpoint not opened: name={name}")))
}

/// Whether an endpoint is asked for translations, rather than told in a prompt to translate.
fn translates(role: Role, offers: Offers) -> bool {
    matches!(role, Role::Translate | Role::Localize) && offers.translate
}

/// The translators of the wanted langs, each once, in order.
fn translators(settings: &Settings, endpoint: &dyn Endpoint, role: Role) -> String {
    let english = Lang::from_tag("eng_Latn").unwrap_or(Lang::UND);
    let wanted: Vec<Lang> = settings.identify.wanted.iter().filter_map(|tag| Lang::from_tag(tag)).collect();
    let langs = if wanted.is_empty() { Lang::all().collect() } else { wanted };
    let mut names = BTreeSet::new();
    for lang in langs.into_iter().filter(|lang| *lang != english) {
        let (from, to) = if role == Role::Translate { (lang, english) } else { (english, lang) };
        if endpoint.translates(from, to) {
            names.insert(endpoint.identity_of(&Ask::Translate { from, to, text: String::new() }).to_owned());
        }
    }
    if names.is_empty() { endpoint.identity().to_owned() } else { Vec::from_iter(names).join(" ") }
}

/// An ask as a role would ask it: endpoints with several models name the one that answers it.
fn example(role: Role, offers: Offers) -> Ask {
    let text = String::new;
    match role {
        Role::Embed => Ask::Embed { text: text() },
        Role::Score if offers.complete => Ask::LogProb { contexts: Vec::new(), text: text(), most_tokens: 1 },
        Role::Instruct if offers.complete => {
            Ask::Complete { prefix: text(), prompt: text(), openers: Vec::new(), max_tokens: 1 }
        }
        _ => Ask::Chat {
            role,
            prompt: text(),
            system: text(),
            user: text(),
            max_tokens: 1,
            temperature_milli: 0,
            schema: None,
            logprobs: false,
        },
    }
}

/// The shared things that clerks are made of.
pub(super) struct Shared<'a> {
    pub(super) settings: &'a Settings,
    pub(super) endpoints: &'a Endpoints,
    pub(super) journal: &'a Arc<Journal>,
    pub(super) prompts: &'a Arc<Prompts>,
    pub(super) codebook: &'a Arc<Codebook>,
    pub(super) identifier: Option<&'a Arc<dyn Identifier>>,
    pub(super) stop: &'a Stop,
    /// For a plan: nobody is asked, what the journal lacks is counted here.
    pub(super) peek: Option<&'a Arc<Peek>>,
}

/// What a run asks with, kept for its plan.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) endpoints: Endpoints,
    pub(super) journal: Arc<Journal>,
    pub(super) prompts: Arc<Prompts>,
    pub(super) codebook: Arc<Codebook>,
}

impl Asking {
    /// The clerks of the run, who look into the journal and ask nobody.
    ///
    /// # Errors
    /// As [`seat`].
    pub(super) fn peeking(
        &self,
        settings: &Settings,
        identifier: &Arc<dyn Identifier>,
        peek: &Arc<Peek>,
        stop: &Stop,
    ) -> Result<Roles> {
        seat(&self.shared(settings, identifier, stop, Some(peek)))
    }

    pub(super) fn shared<'a>(
        &'a self,
        settings: &'a Settings,
        identifier: &'a Arc<dyn Identifier>,
        stop: &'a Stop,
        peek: Option<&'a Arc<Peek>>,
    ) -> Shared<'a> {
        let Self { endpoints, journal, prompts, codebook } = self;
        Shared { settings, endpoints, journal, prompts, codebook, identifier: Some(identifier), stop, peek }
    }
}

/// The desks of a role. Endpoints that are asked alike share one; translate and localize may have two, translators and
/// models that chat, in the order of the best priority.
fn desks(
    shared: &Shared<'_>,
    limiters: &BTreeMap<&str, Arc<Limiter>>,
    meter: &Arc<Meter>,
    role: Role,
) -> Result<Vec<Desk>> {
    let mut by_kind: Vec<(bool, Vec<Backend>)> = Vec::new();
    let mut kinds: BTreeSet<[bool; 2]> = BTreeSet::new();
    let mut identities: BTreeSet<&str> = BTreeSet::new();
    let mut settings: Vec<_> = shared.settings.endpoints_of(role)?.into_iter().collect();
    settings.sort_by_key(|(_, endpoint)| endpoint.priority);
    for (name, settings) in settings {
        let endpoint = opened(shared.endpoints, name)?;
        let limiter = limiters.get(name).ok_or_else(|| Error::bug(format!("no limiter: name={name}")))?;
        let backend = Backend::new(name, Arc::clone(endpoint), Arc::clone(limiter), settings.retry())
            .ranked(settings.weight, settings.priority)
            .priced(settings.prices());
        let offers = endpoint.offers();
        kinds.insert([offers.chat, offers.complete]);
        identities.insert(endpoint.identity_of(&example(role, offers)));
        let translates = translates(role, offers);
        match by_kind.iter_mut().find(|(kind, _)| *kind == translates) {
            Some((_, backends)) => backends.push(backend),
            None => by_kind.push((translates, vec![backend])),
        }
    }
    let mixed = |why: &str| {
        Err(Error::config(format!(
            "endpoints of a role differ: key=roles.{}, value={:?}, because={why}, remedy=name endpoints of one kind",
            role.name(),
            shared.settings.roles.of(role)
        )))
    };
    if role == Role::Embed && identities.len() > 1 {
        return mixed("vectors of two models cannot be compared");
    }
    if matches!(role, Role::Instruct | Role::Score) && kinds.len() > 1 {
        return mixed("one chats and another completes");
    }
    let desks = by_kind.into_iter().map(|(_, backends)| {
        let (journal, stop) = (Arc::clone(shared.journal), shared.stop.clone());
        match shared.peek {
            Some(peek) => Desk::peeking(role, backends, journal, stop, Arc::clone(peek)),
            None => Desk::new(role, backends, Some(journal), stop, Arc::clone(meter)),
        }
    });
    Ok(desks.collect())
}

/// Seats a clerk at a desk for each role.
pub(super) fn seat(shared: &Shared<'_>) -> Result<Roles> {
    let budget = Budget::new(shared.settings.budget.most(), Arc::new(SystemClock));
    let meter = Arc::new(Meter::within(budget));
    let mut limiters: BTreeMap<&str, Arc<Limiter>> = BTreeMap::new();
    for name in shared.endpoints.keys() {
        let settings = shared.settings.endpoints.get(name).cloned().unwrap_or_default();
        limiters.insert(name, Limiter::new(settings.limits()));
    }
    let all = |role: Role| -> Result<(Desk, Vec<Desk>)> {
        let mut desks = desks(shared, &limiters, &meter, role)?.into_iter();
        let first = desks.next().ok_or_else(|| Error::bug(format!("no desk: role={}", role.name())))?;
        Ok((first, desks.collect()))
    };
    let desk = |role: Role| all(role).map(|(first, _)| first);
    let (translate, mut translate_next) = all(Role::Translate)?;
    if translate_next.is_empty() {
        translate_next.extend(translate.below());
    }
    let (localize, localize_next) = all(Role::Localize)?;
    let settings = shared.settings;
    let identifier = || shared.identifier.cloned();
    let prompts = || Arc::clone(shared.prompts);
    Ok(Roles {
        translate: Arc::new(translate_next.into_iter().fold(
            translate::Translate::new(translate, prompts(), identifier(), settings.translate.clone())?,
            translate::Translate::or_ask,
        )),
        instruct: Arc::new(instruct::Instruct::new(
            desk(Role::Instruct)?,
            prompts(),
            settings.seed,
            settings.instruct.clone(),
        )?),
        score: Arc::new(score::Score::new(
            desk(Role::Score)?,
            Some(desk(Role::Embed)?),
            prompts(),
            settings.score.clone(),
        )?),
        embed: Arc::new(embed::Embed::new(
            desk(Role::Embed)?,
            Arc::clone(shared.codebook),
            settings.embed.clone(),
        )?),
        localize: Arc::new(localize_next.into_iter().fold(
            localize::Localize::new(localize, prompts(), identifier(), settings.localize.clone())?,
            localize::Localize::or_ask,
        )),
        meter,
    })
}
