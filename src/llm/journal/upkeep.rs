//! Looking through a journal as a whole, and taking answers out of it: for people, never for a run.

use super::entry::Entry;
use super::store::{ABOUT, Journal, REPLIES, SECRET, told};
use crate::error::Result;
use crate::llm::Role;
use redb::{ReadableDatabase, ReadableTable};

/// Which answers are meant; those that meet every condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Asked for this role.
    pub role: Option<Role>,
    /// Answered by a model whose identity holds this.
    pub model: Option<String>,
    /// Answered before this moment, in milliseconds since 1970.
    pub before_unix_ms: Option<u64>,
}

impl Wanted {
    /// Whether an answer meets every condition.
    pub fn holds(&self, entry: &Entry) -> bool {
        self.role.is_none_or(|role| role == entry.role)
            && self.model.as_ref().is_none_or(|model| entry.identity.contains(model.as_str()))
            && self.before_unix_ms.is_none_or(|before| entry.unix_ms < before)
    }
}

impl Journal {
    /// Shows every answer in the order of its key; `None` stands for one that cannot be read back.
    ///
    /// # Errors
    /// As [`get`](Self::get), and those of `see`.
    pub fn each(&self, mut see: impl FnMut(u128, Option<Entry>) -> Result<()>) -> Result<()> {
        self.sync()?;
        let failed = |error: redb::Error| told(self.place(), error);
        let replies = self.database().begin_read().map_err(|cause| failed(cause.into()))?;
        let replies = replies.open_table(REPLIES).map_err(|cause| failed(cause.into()))?;
        for row in replies.iter().map_err(|cause| failed(cause.into()))? {
            let (key, value) = row.map_err(|cause| failed(cause.into()))?;
            see(key.value(), Entry::from_bytes(value.value()))?;
        }
        Ok(())
    }

    /// The keys of the wanted answers, in order: 16 bytes each.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn keys_of(&self, wanted: &Wanted) -> Result<Vec<u128>> {
        let mut keys = Vec::new();
        self.each(|key, entry| {
            keys.extend(entry.is_some_and(|entry| wanted.holds(&entry)).then_some(key));
            Ok(())
        })?;
        Ok(keys)
    }

    /// Takes out the wanted answers, all or none of them, and says how many.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn prune(&self, wanted: &Wanted) -> Result<u64> {
        let keys = self.keys_of(wanted)?;
        let remove = || -> Result<(), redb::Error> {
            let mut write = self.database().begin_write()?;
            write.set_quick_repair(true);
            {
                let mut replies = write.open_table(REPLIES)?;
                for key in &keys {
                    replies.remove(key)?;
                }
            }
            Ok(write.commit()?)
        };
        remove().map_err(|error| told(self.place(), error))?;
        Ok(keys.len() as u64)
    }

    /// Takes over the secret of another journal, if this one has no answers of its own that it would part from their
    /// prompts; whether the two have the same secret now.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn adopt(&self, secret: u64) -> Result<bool> {
        if !self.is_empty()? {
            return Ok(self.secret()? == secret);
        }
        let keep = || -> Result<(), redb::Error> {
            let write = self.database().begin_write()?;
            write.open_table(ABOUT)?.insert(SECRET, secret)?;
            Ok(write.commit()?)
        };
        keep().map_err(|error| told(self.place(), error))?;
        Ok(true)
    }
}
