//! `isogloss models`: which file each role uses, where it is from, its licence; fetches and verifies them.

use super::terminal;
use crate::cli;
use crate::config::{Kind, Settings};
use crate::error::{Error, Result};
use crate::llm::Role;
use crate::llm::models::{ALL, Cache, Model};

/// Lists, fetches or verifies the pinned model files.
///
/// # Errors
/// A package that cannot be had; a file that is missing or not the pinned one, with `--verify`.
pub fn models(flags: &cli::Models) -> Result<()> {
    let settings = flags.settings.as_deref().map(|path| Settings::load(path, &[])).transpose()?;
    let cache = Cache::at(settings.as_ref().and_then(|settings| settings.model_cache.clone()))?;
    if let Some(settings) = &settings {
        for role in Role::ALL {
            for (name, endpoint) in settings.endpoints_of(role)? {
                let what = match endpoint.kind {
                    Kind::Http => format!("{} at {}", endpoint.model, endpoint.url),
                    Kind::Batch => format!("{} at {}, in batches", endpoint.model, endpoint.url),
                    Kind::Embedded => names(ALL.iter().filter(|model| model.roles.contains(&role))),
                };
                terminal::say(format_args!("{:<10} {name}: {what}", role.name()));
            }
        }
        terminal::say("");
    }
    if flags.fetch {
        cache.fetch(ALL, |package| tracing::info!("fetching {package}"))?;
    }
    let mut wrong = Vec::new();
    for model in ALL {
        let state = match (cache.find(model), flags.verify) {
            (None, _) => "missing",
            (Some(_), false) => "present",
            (Some(_), true) => match cache.verify(model) {
                Ok(()) => "verified",
                Err(error) => {
                    wrong.push(error);
                    "WRONG"
                }
            },
        };
        let roles: Vec<&str> = model.roles.iter().map(|role| role.name()).collect();
        terminal::say(format_args!(
            "{state:<8}  {:<34}  {:>6.1} MB  {}\n          roles: {}; package: {}; licence: {}\n          sha256: {}\n          {}",
            model.what,
            model.bytes as f64 / 1e6,
            model.name(),
            if roles.is_empty() { "language identification".to_owned() } else { roles.join(", ") },
            model.package,
            model.licence,
            model.sha256,
            cache.place_of(model).display()
        ));
    }
    if flags.verify
        && let Some(missing) = ALL.iter().find(|model| cache.find(model).is_none())
    {
        cache.path_of(missing)?;
    }
    wrong.into_iter().next().map_or(Ok(()), Err::<(), Error>)
}

fn names<'a>(models: impl Iterator<Item = &'a Model>) -> String {
    models.map(|model| model.what).collect::<Vec<_>>().join(", ")
}
