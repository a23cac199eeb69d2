//! Asks into batches and back: gathered, submitted, waited for, collected.

use super::calls::{Batch, Urls};
use super::ledger::{Key, Ledger, Note};
use super::lines::{self, Spot};
use crate::config::EndpointSettings;
use crate::config::endpoints::BatchSettings;
use crate::error::{Error, ErrorKind, Result};
use crate::llm::http::HttpEndpoint;
use crate::llm::journal::drawn;
use crate::llm::{Endpoint, Refusal};
use crate::model::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often a batch must be absent from the provider's list, beyond once, until it counts as not submitted.
const LOOKS: u32 = 4;

/// What becomes of the asks of one endpoint.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) http: HttpEndpoint,
    name: String,
    /// Whether its batches are of embeddings.
    pub(super) embeds: bool,
    /// Address, model and what is asked.
    of: String,
    urls: Urls,
    ledger: Ledger,
    settings: BatchSettings,
    give_up_after: Duration,
    state: Mutex<State>,
    started: OnceCell<()>,
    /// What goes on beside the asks.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<u128, Vec<oneshot::Sender<Result<(), Why>>>>,
    gathered: Vec<(u128, Vec<u8>)>,
    gathered_bytes: u64,
    /// Whether somebody waits to submit what is gathered.
    gathering: bool,
    /// Keys of batches that are submitted, or may be.
    out: BTreeSet<u128>,
    /// Where collected answers lie that nobody took yet.
    found: BTreeMap<u128, (Arc<str>, Spot)>,
}

/// Why a batch has no answer for an ask.
#[derive(Debug, Clone)]
enum Why {
    /// It was never submitted: ask again.
    Again,
    Row(Reason, String),
    Away(String),
    Busy(String),
    Fatal(ErrorKind, String),
}

impl Flow {
    pub(super) fn new(
        name: &str,
        http: HttpEndpoint,
        settings: &EndpointSettings,
        state: &Path,
    ) -> Result<Self> {
        let whose = format!("{} {}", settings.url.trim_end_matches('/'), http.identity());
        Ok(Self {
            name: name.to_owned(),
            embeds: settings.batch.embeds(),
            of: if settings.batch.embeds() { format!("{whose} embeddings") } else { whose },
            urls: Urls::of(&http.wire)?,
            ledger: Ledger::of(state),
            settings: settings.batch.clone(),
            give_up_after: Duration::from_secs_f64(settings.give_up_after_seconds),
            state: Mutex::default(),
            started: OnceCell::new(),
            tasks: Mutex::default(),
            http,
        })
    }

    /// Lets go of all batches: nothing is sent or noted from here on. They stay with the provider and in the state, for the
    /// next run.
    pub(super) fn close(&self) {
        self.ledger.close();
        self.tasks().abort_all();
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line that answers an ask. Waits for its batch.
    pub(super) async fn answer(self: &Arc<Self>, key: u128, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.started.get_or_try_init(|| async { self.resume() }).await.map_err(Refusal::Fatal)?;
        loop {
            let taken = self.state().found.remove(&key);
            if let Some((tag, spot)) = taken {
                let most = self.http.wire.most_reply_bytes().saturating_add(1 << 20);
                return self.ledger.line(&tag, spot, most).map_err(Refusal::Fatal);
            }
            match self.line_up(key, body).await {
                Ok(Ok(()) | Err(Why::Again)) => {}
                Ok(Err(Why::Row(reason, why))) => return Err(Refusal::Transient(reason, why)),
                Ok(Err(Why::Away(why))) => return Err(Refusal::Away(why)),
                Ok(Err(Why::Busy(why))) => {
                    tracing::warn!(endpoint = self.name, why, "batch not taken yet");
                    return Err(Refusal::Busy { after: Some(self.poll()) });
                }
                Ok(Err(Why::Fatal(kind, why))) => return Err(Refusal::Fatal(Error::new(kind, why))),
                Err(_) => {
                    return Err(Refusal::Transient(Reason::GaveUp, "the batch was let go".to_owned()));
                }
            }
        }
    }

    fn poll(&self) -> Duration {
        Duration::from_secs_f64(self.settings.poll_seconds)
    }

    /// Waits with all who wait for this key; gathers the ask if no batch has it.
    fn line_up(self: &Arc<Self>, key: u128, body: &[u8]) -> oneshot::Receiver<Result<(), Why>> {
        let (tell, hear) = oneshot::channel();
        let mut state = self.state();
        let first = !state.waiting.get(&key).is_some_and(|all| all.iter().any(|one| !one.is_closed()));
        state.waiting.entry(key).or_default().push(tell);
        if !first || state.out.contains(&key) || state.gathered.iter().any(|(one, _)| *one == key) {
            return hear;
        }
        state.gathered_bytes += body.len() as u64;
        state.gathered.push((key, body.to_vec()));
        let full = state.gathered.len() >= self.settings.rows as usize
            || state.gathered_bytes >= self.settings.bytes;
        if full {
            self.submit(&mut state);
        } else if !state.gathering {
            state.gathering = true;
            let flow = Arc::clone(self);
            self.spawn(async move {
                tokio::time::sleep(Duration::from_secs_f64(flow.settings.gather_seconds)).await;
                let mut state = flow.state();
                state.gathering = false;
                flow.submit(&mut state);
            });
        }
        hear
    }

    /// Sends what is gathered on its way, but what nobody waits for any more.
    fn submit(self: &Arc<Self>, state: &mut State) {
        state.gathered_bytes = 0;
        let State { gathered, waiting, out, .. } = state;
        let awaited = |key: &u128| waiting.get(key).is_some_and(|all| all.iter().any(|one| !one.is_closed()));
        let batch: Vec<(u128, Vec<u8>)> =
            std::mem::take(gathered).into_iter().filter(|(key, _)| awaited(key)).collect();
        if batch.is_empty() {
            return;
        }
        out.extend(batch.iter().map(|(key, _)| *key));
        let flow = Arc::clone(self);
        self.spawn(async move { flow.carry(batch).await });
    }

    /// Goes on with the batches of earlier runs.
    fn resume(self: &Arc<Self>) -> Result<()> {
        for note in self.ledger.all()?.into_iter().filter(|note| note.of == self.of) {
            if note.collected {
                self.index(&note)?;
                continue;
            }
            self.state().out.extend(note.keys.iter().map(|key| key.0));
            tracing::info!(
                endpoint = self.name,
                rows = note.keys.len(),
                "waiting for a batch of an earlier run"
            );
            let flow = Arc::clone(self);
            self.spawn(async move { flow.follow(note, None).await });
        }
        Ok(())
    }

    fn index(&self, note: &Note) -> Result<()> {
        let spots = self.ledger.spots(note, self.http.wire.most_reply_bytes())?;
        let tag: Arc<str> = note.tag.as_str().into();
        self.state().found.extend(spots.into_iter().map(|(key, spot)| (key, (Arc::clone(&tag), spot))));
        Ok(())
    }

    /// Notes, uploads and submits a batch, and waits for it.
    async fn carry(self: Arc<Self>, batch: Vec<(u128, Vec<u8>)>) {
        let keys: Vec<Key> = batch.iter().map(|(key, _)| Key(*key)).collect();
        let note = Note::new(format!("{:016x}{:016x}", drawn(), drawn()), &self.of, keys);
        let mut text = Vec::new();
        let written = batch
            .iter()
            .try_for_each(|(key, body)| lines::write(*key, &self.settings.endpoint, body, &mut text));
        drop(batch);
        if let Err(error) = written {
            return self.end(&note, &Why::of(&error));
        }
        let file = match self.urls.upload(&self.http.wire, &note.tag, text).await {
            Ok(file) => file,
            // Nothing is submitted, nothing is paid.
            Err(refusal) => return self.end(&note, &Why::from(refusal)),
        };
        if let Err(error) = self.ledger.put(&note) {
            return self.end(&note, &Why::of(&error));
        }
        self.follow(note, Some(file)).await;
    }

    /// Submits a noted batch if it has a file and is not submitted, waits for it and collects it.
    async fn follow(self: Arc<Self>, mut note: Note, file: Option<String>) {
        let id = match self.submitted(&note, file).await {
            Ok(id) => id,
            Err(why) => {
                if let Err(error) = self.ledger.remove(&note.tag) {
                    return self.end(&note, &Why::of(&error));
                }
                return self.end(&note, &why);
            }
        };
        if note.id.as_ref() != Some(&id) {
            note.id = Some(id.clone());
            if let Err(error) = self.ledger.put(&note) {
                // It stays noted by its tag.
                return self.tell(&note, &Why::of(&error));
            }
        }
        let mut trouble = None;
        let batch = loop {
            let refusal = match self.urls.look(&self.http.wire, &id).await {
                Ok(batch) if batch.is_over() => match self.collect(&mut note, &batch).await {
                    Ok(()) => break batch,
                    Err(refusal) => refusal,
                },
                Ok(_) => {
                    trouble = None;
                    tokio::time::sleep(self.poll()).await;
                    continue;
                }
                Err(refusal) => refusal,
            };
            self.endure(&note, &mut trouble, refusal).await;
        };
        if let Err(error) = self.index(&note) {
            return self.tell(&note, &Why::of(&error));
        }
        tracing::info!(
            endpoint = self.name,
            rows = note.keys.len(),
            status = batch.status,
            "batch collected"
        );
        self.end(&note, &self.left_out(&batch));
    }

    /// The name of a batch at the provider. Whether it was submitted may be unknown, after a crash or a lost reply: then it
    /// is looked for, for as long as it takes, before it is submitted again.
    async fn submitted(&self, note: &Note, file: Option<String>) -> Result<String, Why> {
        if let Some(id) = &note.id {
            return Ok(id.clone());
        }
        let (wire, mut trouble) = (&self.http.wire, None);
        let (mut unknown, mut absent) = (file.is_none(), 0);
        loop {
            let refusal = if unknown {
                match self.urls.find(wire, &note.tag).await {
                    Ok(Some(batch)) => return Ok(batch.id),
                    // A list may be late.
                    Ok(None) if absent < LOOKS => {
                        absent += 1;
                        tokio::time::sleep(self.poll()).await;
                        continue;
                    }
                    Ok(None) if file.is_none() => return Err(Why::Again),
                    Ok(None) => {
                        (unknown, absent) = (false, 0);
                        continue;
                    }
                    Err(refusal) => refusal,
                }
            } else {
                let (file, settings) = (file.as_deref().unwrap_or_default(), &self.settings);
                let how = (settings.endpoint.as_str(), settings.window.as_str());
                match self.urls.create(wire, (&note.tag, file), how).await {
                    Ok(batch) => return Ok(batch.id),
                    // It may have come through.
                    Err(refusal @ (Refusal::Transient(..) | Refusal::Away(_))) => {
                        unknown = true;
                        refusal
                    }
                    Err(refusal) => return Err(Why::from(refusal)),
                }
            };
            self.endure(note, &mut trouble, refusal).await;
        }
    }

    /// Waits for the provider to come back; who waits for the batch is told once it was away for too long, or refuses.
    async fn endure(&self, note: &Note, since: &mut Option<Instant>, refusal: Refusal) {
        let from = *since.get_or_insert_with(Instant::now);
        let why = Why::from(refusal);
        if matches!(why, Why::Fatal(..)) || from.elapsed() > self.give_up_after {
            let why = match why {
                Why::Row(_, why) | Why::Busy(why) => Why::Away(why),
                Why::Fatal(kind, why) => Why::Fatal(
                    kind,
                    format!(
                        "a submitted batch cannot be followed: endpoint={}, note={}, because={why}, remedy=see the provider; \
                         if it has the batch no more, delete the note: what it was submitted for is then paid again",
                        self.name,
                        self.ledger.note(&note.tag).display()
                    ),
                ),
                why => why,
            };
            self.tell(note, &why);
        }
        tokio::time::sleep(self.poll()).await;
    }

    /// Brings what a batch answered into the state.
    async fn collect(&self, note: &mut Note, batch: &Batch) -> Result<(), Refusal> {
        let to = self.ledger.begin(&note.tag).map_err(Refusal::Fatal)?;
        let lines = note.keys.len() as u64 + 1;
        let most = lines.saturating_mul(self.http.wire.most_reply_bytes().saturating_add(1 << 20));
        for id in [&batch.output_file_id, &batch.error_file_id].into_iter().flatten() {
            self.urls.download(&self.http.wire, id, &to, most).await?;
        }
        self.ledger.finish(note, &to).map_err(Refusal::Fatal)
    }

    /// What is said to those whose ask a collected batch does not answer.
    fn left_out(&self, batch: &Batch) -> Why {
        match batch.status.as_str() {
            "failed" => {
                let said = batch.trouble(&self.http.wire);
                if batch.is_limited() {
                    return Why::Busy(said);
                }
                Why::Fatal(
                    ErrorKind::Unavailable,
                    format!(
                        "batch refused: endpoint={}, said={said:?}, remedy=see endpoints.{} and what the provider says of it",
                        self.name, self.name
                    ),
                )
            }
            "expired" => Why::Row(Reason::TimedOut, "the batch expired before this ask".to_owned()),
            "cancelled" => Why::Row(Reason::GaveUp, "the batch was cancelled".to_owned()),
            _ => Why::Row(Reason::Garbled, "the batch has no line for this ask".to_owned()),
        }
    }

    /// A batch is over: those whose answer is there take it, the others are told why not.
    fn end(&self, note: &Note, why: &Why) {
        let mut state = self.state();
        for Key(key) in &note.keys {
            state.out.remove(key);
            let told = if state.found.contains_key(key) { Ok(()) } else { Err(why.clone()) };
            for waiting in state.waiting.remove(key).unwrap_or_default() {
                let _ = waiting.send(told.clone());
            }
        }
    }

    /// Tells those who wait for a batch that is still out.
    fn tell(&self, note: &Note, why: &Why) {
        let mut state = self.state();
        for Key(key) in &note.keys {
            for waiting in state.waiting.remove(key).unwrap_or_default() {
                let _ = waiting.send(Err(why.clone()));
            }
        }
    }
}

impl Why {
    fn of(error: &Error) -> Self {
        Self::Fatal(error.kind(), error.to_string())
    }
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        match refusal.unpaid().0 {
            Refusal::Busy { .. } => Self::Busy("too many requests".to_owned()),
            Refusal::Away(why) => Self::Away(why),
            Refusal::Transient(reason, why) => Self::Row(reason, why),
            // What is refused is the batch, not a row of it.
            Refusal::Rejected(_, why) => Self::Fatal(
                ErrorKind::Unavailable,
                format!("batch refused: {why}, remedy=see what the provider says of it"),
            ),
            Refusal::Fatal(error) => Self::of(&error),
            Refusal::Paid(..) => Self::Row(Reason::GaveUp, "a bill within a bill".to_owned()),
        }
    }
}
