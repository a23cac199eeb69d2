//! The chain over durable state: one dataflow for what was not read yet, one for what changes.
//!
//! ```text
//! row groups without a piece ─► the front ─► pieces ─► artefacts
//! artefacts that differ ─► dedup ─► sample ─► ask ─► the models ─► selection ─► parts of touched shards ─► one snapshot
//!                            │        │        │         │            │
//!                            └────────┴────────┴─ tables ┴────────────┘
//! ```
//! **Why two**: what is read is written down as it is read, so a run that is killed goes on where it was; and everything
//! behind takes differences alone.

use super::change::{Change, Restart, needed};
use super::front::read_pieces;
use super::handout::{FrontReport, Handout, PassReport};
use super::job::Job;
use super::models::{credits, english, rewrite};
use super::outcome::{Outcome, Work, costs_of};
use super::run::{KEEP, manifest_from, standing};
use super::wire::{Share, counted, finished, tally_of};
use crate::cluster::{self, Giving, Lead, Leader};
use crate::error::Result;
use crate::model::{Epoch, FragmentRow, Note, Scored, Stage};
use crate::points::reached;
use crate::sink::audit::{AuditContext, Audited, Before, audit};
use crate::sink::card::card;
use crate::sink::manifest::{AuditFile, Part};
use crate::sink::parts::PartContext;
use crate::sink::snapshot::AUDIT;
use crate::source::list::Shard;
use crate::source::tasks::TaskQueue;
use crate::stage::differing;
use crate::stage::durable::DurableStages;
use crate::stage::gather::{feed, gathered};
use crate::stage::ledger::{Ask, AskIn, AskOut, Keeping, LedgerContext, Recording};
use crate::stage::pieces::PieceContext;
use crate::stage::reparts::{self, Repart, Reparts, RepartsContext};
use crate::stage::reread::{Rereading, Route, Wanted, reread};
use crate::stage::settle::{Settled, settle};
use crate::stage::sign::{SignSettings, Signer};
use crate::state::artefact::Artefact;
use crate::state::codec::Shape;
use crate::state::damage::damaged;
use crate::state::manifest::StateManifest;
use crate::state::shards::{Differing, folders, of_state};
use crate::state::store::{Store, Team};
use crate::state::table::View;
use crate::stop::Stop;
use crate::telemetry::{Stopwatch, Tally};
use crate::workers;
use differential_dataflow::{AsCollection, VecCollection};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use timely::dataflow::Scope;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate, Inspect};
use timely::worker::Worker;
use tokio::runtime::Handle;

/// Carries out a run over durable state.
pub(super) fn execute(
    job: &Arc<Job>,
    lead: Option<Lead>,
    runtime: &Handle,
    stop: &Stop,
    watch: &Stopwatch,
) -> Result<Outcome> {
    let change = needed(job.change.as_ref())?;
    let processes = lead.as_ref().map_or(1, |lead| lead.processes);
    let mut leader = lead.map(|lead| Leader::wait(lead, stop)).transpose()?;
    change.store.start_merging()?;
    let tasks = Arc::new(TaskQueue::new(change.missing.iter().copied()));
    if let Some(leader) = &mut leader {
        let (progress, tasks) = (Arc::clone(&job.progress), Arc::clone(&tasks));
        let told = Arc::new(move |rows| progress.done(Stage::Read, rows));
        let handout = Handout::of(job, change, processes)?;
        leader.welcome(&cluster::written(&handout)?, &Giving { tasks, told })?;
    }
    let mut first = read_missing(job, change, &tasks, stop)?;
    for report in leader.as_ref().map(Leader::reports).transpose()?.unwrap_or_default() {
        let report: FrontReport = cluster::read(&report)?;
        job.progress.done(Stage::Read, report.rows);
        first += report.peak_bytes;
    }
    change.seal(job)?;
    reached("front done");
    let team = Team { process: 0, processes, workers: job.settings.workers };
    let pass = Arc::new(Pass::new(job, change, team, stop)?);
    let peers = leader.as_ref().map(Leader::go).transpose()?;
    let mut shares = {
        let (pass, runtime, flag) = (Arc::clone(&pass), runtime.clone(), stop.clone());
        workers::run_among(team.workers, peers, stop, move |worker| {
            Ok(build(worker, &pass, &runtime, &flag))
        })?
    };
    for report in leader.as_ref().map(Leader::reports).transpose()?.unwrap_or_default() {
        shares.push(pass.take_over(change, cluster::read(&report)?));
    }
    pass.stages.checked()?;
    let tally = pass.tally(&shares);
    tally.conserved()?;
    reached("rows decided");
    let manifest = manifest_from(job, pass.parts(&shares), pass.audit(&shares), &tally);
    let reused = standing(job, &manifest);
    // What rows were made of must not be lost before them.
    job.sync_journal()?;
    reached("journal synced");
    let state = job.output.state();
    let name = manifest.state_name()?;
    let next = StateManifest {
        made_with: change.prints.clone(),
        shards: of_state(&change.members),
        tally: tally.state_lines(),
        ..StateManifest::default()
    };
    change.store.commit(name, next)?;
    job.output.publish(&manifest, &card(&manifest), KEEP)?;
    if let Some(leader) = &leader {
        leader.done();
    }
    Store::collect(&state, name)?;
    let mut in_flight = [first, 0, 0];
    for share in &shares {
        in_flight.iter_mut().zip(share.peaks).for_each(|(sum, peak)| *sum += peak);
    }
    Ok(Outcome {
        manifest,
        delta: job.delta(),
        tally,
        work: Work::of(&job.roles),
        costs: costs_of(&job.roles),
        ran: true,
        starts_anew: change.restart().map(Restart::name),
        row_groups_read: change.unread(),
        reused,
        row_groups_copied: pass.parts.splices.copied(),
        in_flight,
        seconds: watch.seconds(),
    })
}

/// Reads what has no piece yet; gives back the most bytes of text that were in flight.
pub(super) fn read_missing(
    job: &Arc<Job>,
    change: &Change,
    tasks: &Arc<TaskQueue>,
    stop: &Stop,
) -> Result<u64> {
    if change.missing.is_empty() {
        return Ok(0);
    }
    let folders = folders(&change.store.artefacts(), &change.members, job.entries.len());
    let into = PieceContext { tasks: change.missing.clone(), folders, shape: change.shape };
    read_pieces(job.front(Arc::new(job.reading.of(Arc::clone(tasks)))), into, stop)
}

/// What the second dataflow works on.
pub(super) struct Pass {
    job: Arc<Job>,
    restart: Option<Restart>,
    pub(super) stages: DurableStages,
    differing: Arc<[Differing]>,
    /// Of signatures.
    shape: Shape,
    parts: Arc<PartContext>,
    rereading: Arc<Rereading>,
    wanted: Arc<[bool]>,
    audit: Arc<AuditContext>,
    touched: Arc<Mutex<BTreeSet<u32>>>,
    ledger: LedgerContext,
    before: Tally,
}

impl Pass {
    pub(super) fn new(job: &Arc<Job>, change: &Change, team: Team, stop: &Stop) -> Result<Self> {
        let members = &change.members;
        let digest = |at: usize| members[at].new.as_ref().map_or(0, |(_, digest, _)| *digest);
        let shards = (0..members.len()).map(|at| (members[at].key.clone(), digest(at))).collect();
        let parts = PartContext { shards, ..(*job.parts).clone() };
        let listed = |at: usize| job.rereading.shards.get(at).cloned();
        let gone = |key: &String| Shard {
            key: key.clone(),
            path: std::path::PathBuf::new(),
            bytes: 0,
            modified_ns: 0,
        };
        let shards: Vec<Shard> = members
            .iter()
            .map(|member| {
                member.new.as_ref().and_then(|(at, ..)| listed(*at)).unwrap_or_else(|| gone(&member.key))
            })
            .collect();
        let rereading = Rereading {
            shards: shards.into(),
            open: Arc::clone(&job.rereading.open),
            settings: job.rereading.settings.clone(),
            segmenter: Arc::clone(&job.rereading.segmenter),
            bundle_rows: job.rereading.bundle_rows,
            bundle_bytes: job.rereading.bundle_bytes,
            readers: team.workers,
        };
        let below = change.restart.map(Restart::stage);
        let base = change.store.base();
        let mut before = if change.restart == Some(Restart::Dedup) { Tally::default() } else { base.tally() };
        if let Some(below) = below {
            before.forget_from(below);
        }
        let mut files = BTreeMap::new();
        if change.restart != Some(Restart::Dedup) {
            let known = job.known.as_deref().map(|known| known.audit.as_slice()).unwrap_or_default();
            for file in known {
                let at = members.binary_search_by(|member| member.key.cmp(&file.shard));
                let path = job.output.find(AUDIT, &file.name);
                let at = at.ok().and_then(|at| u32::try_from(at).ok());
                let (Some(at), Some(path)) = (at, path) else {
                    return Err(damaged(&job.output.state(), &format!("audit missing: name={}", file.name)));
                };
                files.insert(at, path);
            }
        }
        let audit = AuditContext {
            shards: members.iter().map(|member| member.key.clone()).collect(),
            mode: job.settings.audit,
            fingerprint: job.parts.fingerprint,
            store: job.output.store(),
            before: Before { files, below },
        };
        let tables = change.tables(&job.settings, team);
        let stages = DurableStages::new(tables.clone(), &job.settings.sign, stop);
        let ledger = LedgerContext { tables, shape: Shape::of(&SignSettings::instructions()) };
        Ok(Self {
            job: Arc::clone(job),
            restart: change.restart,
            stages,
            differing: change.differing()?.into(),
            shape: change.shape,
            parts: Arc::new(parts),
            rereading: Arc::new(rereading),
            wanted: members.iter().map(|member| member.new.is_some()).collect(),
            audit: Arc::new(audit),
            touched: Arc::default(),
            ledger,
            before,
        })
    }

    /// What another process made.
    fn take_over(&self, change: &Change, report: PassReport) -> Share {
        let PassReport { tally, audit, touched, peaks, tables, sums } = report;
        change.store.take_over(tables);
        self.stages.add_sums(sums);
        let audited = Audited { tally: Tally::of_lines(&tally), files: audit, touched };
        Share { audited: vec![audited], peaks, ..Share::default() }
    }

    /// Everything that ended, and what stages were handed.
    fn tally(&self, shares: &[Share]) -> Tally {
        let mut tally = tally_of(shares);
        tally.merge(&self.before);
        for (_, old, new) in self.differing.iter() {
            for (artefact, sign) in [(old, -1), (new, 1)] {
                let read = artefact.as_ref().map(Artefact::read).unwrap_or_default();
                read.into_iter().for_each(|(lang, count)| tally.hand(Stage::Read, lang, sign * count));
            }
        }
        tally
    }

    /// Whether a shard of the snapshot before is wanted still, and was not looked at.
    fn stands(&self, key: &str, touched: &BTreeSet<u32>) -> bool {
        let at = self.parts.shards.binary_search_by(|(shard, _)| shard.as_str().cmp(key)).ok();
        at.is_some_and(|at| {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            self.wanted.get(at).copied().unwrap_or_default() && !touched.contains(&number)
        })
    }

    fn parts(&self, shares: &[Share]) -> Vec<Part> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.job.known.as_deref().map(|known| known.parts.as_slice()).unwrap_or_default();
        // Where selection starts anew, a shard that nobody looked at has no row any more.
        let restarted = self.restart.is_some();
        let standing = known.iter().filter(|part| !restarted && self.stands(&part.shard, &touched));
        standing.chain(shares.iter().flat_map(|share| &share.parts)).cloned().collect()
    }

    fn audit(&self, shares: &[Share]) -> Vec<AuditFile> {
        let audited = || shares.iter().flat_map(|share| &share.audited);
        let touched: BTreeSet<u32> = audited().flat_map(|audited| audited.touched.iter().copied()).collect();
        let known = self.job.known.as_deref().map(|known| known.audit.as_slice()).unwrap_or_default();
        let restarted = self.restart == Some(Restart::Dedup);
        let standing = known.iter().filter(|file| !restarted && self.stands(&file.shard, &touched));
        standing.chain(audited().flat_map(|audited| &audited.files)).cloned().collect()
    }
}

/// Gives the rows of a table of fragments, one worker's share of them.
fn again<'s>(
    scope: Scope<'s, Epoch>,
    name: &str,
    pass: &Arc<Pass>,
    table: Option<&str>,
    stop: &Stop,
) -> VecCollection<'s, Epoch, FragmentRow> {
    let view = table.map(|table| pass.ledger.tables.store.table(table)).unwrap_or_default();
    let (pass, index, peers) = (Arc::clone(pass), scope.index(), scope.peers());
    feed(scope, name, stop, move |out| {
        each(&view, index, peers, |key| out.now(pass.ledger.tables.codec.by_tick(&mut { key }), 1))
    })
}

fn each(view: &View, index: usize, peers: usize, mut give: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut rows = view.scan(&[])?;
    let mut at = 0;
    while rows.next()? {
        if at % peers == index {
            give(rows.key())?;
        }
        at += 1;
    }
    Ok(())
}

pub(super) fn build(
    worker: &mut Worker,
    pass: &Arc<Pass>,
    runtime: &Handle,
    stop: &Stop,
) -> impl FnOnce() -> Result<Share> + use<> {
    let share = Rc::new(RefCell::new(Share::default()));
    let collect = Rc::clone(&share);
    let passes = [credits(&pass.job), credits(&pass.job)];
    let [first, second] = passes.clone();
    let (pass, runtime, stop) = (Arc::clone(pass), runtime.clone(), stop.clone());
    worker.dataflow::<Epoch, _, _>(move |scope| {
        let (job, stages) = (&pass.job, &pass.stages);
        let index = scope.index();
        let from = |restart: Restart| pass.restart == Some(restart);
        let signed = differing::signed(scope, Arc::clone(&pass.differing), pass.shape, &stop);
        let front_notes = differing::notes(scope, Arc::clone(&pass.differing), &stop);
        let signed = counted(signed.inner, Stage::Dedup, &collect, |row| row.row.lang).as_collection();
        let dedup = stages.dedup(signed, &job.settings.dedup);
        gathered("kept", dedup.kept.clone(), by_tick, &stop, Keeping::new(&pass.ledger, "kept"));

        let survivors = from(Restart::Sample).then_some("kept");
        let survivors = dedup.kept.concat(again(scope, "survivors", &pass, survivors, &stop));
        let sampled = stages.sample(survivors, &job.settings.sample);
        let anew = match pass.restart {
            Some(Restart::Models) => Some("admitted"),
            None | Some(Restart::Select) => Some("again"),
            _ => None,
        };
        let anew = again(scope, "asked_again", &pass, anew, &stop).map(AskIn::Again);
        let asked = sampled.kept.map(AskIn::Delta).concat(anew);
        let asked = gathered("ask", asked, |row| by_tick(fragment_of(row)), &stop, Ask::new(&pass.ledger));
        let asked = counted(asked.inner, Stage::Translate, &collect, |row| match row {
            AskOut::Wanted(row) => row.lang,
            AskOut::Scored(scored) => scored.row.lang,
            AskOut::Note(note) => note.lang,
        })
        .as_collection();
        let wanted = asked.clone().inner.flat_map(|(row, _, _)| match row {
            AskOut::Wanted(FragmentRow { place, lang, content, .. }) => {
                Some(Wanted { place, lang, content, cell: 0 })
            }
            _ => None,
        });
        let bundles = reread(wanted, Route::Block, &pass.rereading, &first, &stop);
        let settled = settle(
            english(bundles, &job.roles, &runtime, &stop, Some(&job.progress)),
            Signer::new(&SignSettings::instructions()),
            job.settings.seed,
            first,
        )
        .as_collection();
        let route = |settled: &Settled| match settled {
            Settled::Scored(scored) => by_tick(&scored.row),
            Settled::Ended(row, _) => by_tick(row),
        };
        gathered("record", settled.clone(), route, &stop, Recording::new(&pass.ledger));
        let model_notes =
            settled.clone().flat_map(Settled::note).concat(asked.clone().flat_map(|out| match out {
                AskOut::Note(note) => Some(note),
                _ => None,
            }));
        let scored = settled.flat_map(Settled::scored).concat(asked.flat_map(|out| match out {
            AskOut::Scored(scored) => Some(scored),
            _ => None,
        }));
        let scored = scored.concat(scored_again(scope, &pass, from(Restart::Select), &stop));
        let chosen = stages.select(scored, &job.settings.select);
        let kept = counted(chosen.kept.inner, Stage::Localize, &collect, |row| row.row.lang).as_collection();
        let ctx = RepartsContext {
            tables: pass.ledger.tables.clone(),
            parts: Arc::clone(&pass.parts),
            known: job.known.clone(),
            wanted: Arc::clone(&pass.wanted),
            restarted: pass.restart.is_some(),
            touched: Arc::clone(&pass.touched),
        };
        // As in the reading again: parts are written by the process that asks.
        let readers = pass.rereading.readers;
        let route = move |scored: &Scored| reparts::route(scored) % readers.max(1) as u64;
        let reparted = gathered("reparts", kept, route, &stop, Reparts::new(&ctx, index, readers));
        let rewritten = reparted.clone().inner.flat_map(|(out, _, _)| match out {
            Repart::Wanted(wanted) => Some(wanted),
            _ => None,
        });
        let (written, ended) = rewrite(rewritten, job, &pass.rereading, &pass.parts, second, &runtime, &stop);
        let standing = reparted.clone().inner.flat_map(|(out, _, _)| match out {
            Repart::Standing(part) => Some(*part),
            _ => None,
        });
        let kept = Rc::clone(&collect);
        written.concat(standing).inspect(move |part| kept.borrow_mut().parts.push(part.clone()));

        let ended = ended.map(|note: Note| (note, crate::stage::gather::NOW, 1)).as_collection();
        let taken_back = reparted.flat_map(|out| match out {
            Repart::Note(note) => Some(note),
            _ => None,
        });
        let notes =
            [front_notes, dedup.dropped, sampled.dropped, model_notes, chosen.dropped, ended, taken_back];
        let notes = scope.concatenate(notes.map(|notes| notes.inner));
        audit(notes, Arc::clone(&pass.audit), stop)
            .inspect(move |audited| collect.borrow_mut().audited.push(audited.clone()));
    });
    move || finished(share, 0, &passes)
}

/// All scored exchanges, where selection starts anew.
fn scored_again<'s>(
    scope: Scope<'s, Epoch>,
    pass: &Arc<Pass>,
    wanted: bool,
    stop: &Stop,
) -> VecCollection<'s, Epoch, Scored> {
    let view = if wanted { pass.ledger.tables.store.table("scored") } else { View::default() };
    let (pass, index, peers) = (Arc::clone(pass), scope.index(), scope.peers());
    feed(scope, "scored_again", stop, move |out| {
        each(&view, index, peers, |key| match pass.ledger.settled(key)?.scored() {
            Some(scored) => out.now(scored, 1),
            None => Ok(()),
        })
    })
}

fn fragment_of(row: &AskIn) -> &FragmentRow {
    match row {
        AskIn::Delta(row) | AskIn::Again(row) => row,
    }
}

fn by_tick(row: &FragmentRow) -> u64 {
    row.tick.rotate_left(32) ^ row.tick
}
