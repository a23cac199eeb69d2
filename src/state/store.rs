//! The tables of an output: what the last commit left, and what this run adds.
//!
//! ```text
//! DIR/state/epochs/<snapshot>.json   which runs and artefacts belong to a snapshot
//! DIR/state/runs/*.run               sorted immutable runs; several small ones in a file
//! DIR/state/artefacts/               what the front made of each shard
//! DIR/state/tmp/                     what is being sorted; emptied at the start
//! ```
//! **Why**: a run only ever adds files. They count once the manifest of the state names them, and that counts once the
//! snapshot that it is named after is published; so a kill at any moment leaves the state that goes with what readers see.

use super::manifest::{EPOCHS, FORMAT, StateManifest};
use super::merge::Merge;
use super::run::{COUNT, Carried, Run, RunMeta, RunWriter};
use super::sorter::Scratch;
use super::syncer::Syncer;
use super::table::View;
use crate::error::{Error, Result};
use crate::points::reached;
use crate::sink::file::{away, sync_file, sync_folder};
use crate::sink::names::hex;
use crate::workers::joined;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

const RUNS: &str = "runs";
/// The folder of artefacts.
pub(crate) const ARTEFACTS: &str = "artefacts";
const WORK: &str = "tmp";

/// Runs of about one size, within this factor, are merged once there are as many of them.
const TIER: u64 = 8;

/// A run that this process made: its file is there already unless it is small.
type Made = (Arc<Run>, Option<RunMeta>);
/// Runs that became one: their places in the table, and the one.
type Merged = Vec<(String, BTreeSet<usize>, RunMeta)>;

/// A file that comes and goes.
const PROBE: &str = ".probe";

/// Runs by table.
pub(crate) type Metas = BTreeMap<String, Vec<RunMeta>>;

/// The processes that work on a state, this one among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Team {
    /// This one, from 0.
    pub(crate) process: usize,
    /// How many.
    pub(crate) processes: usize,
    /// Workers of each.
    pub(crate) workers: usize,
}

impl Team {
    /// One process.
    pub(crate) fn alone(workers: usize) -> Self {
        Self { process: 0, processes: 1, workers }
    }

    /// The first worker of every other process.
    pub(crate) fn others(self) -> impl Iterator<Item = u64> {
        (0..self.processes)
            .filter(move |process| *process != self.process)
            .map(move |process| (process * self.workers) as u64)
    }
}

/// State, open for one run.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    base: StateManifest,
    runs: BTreeMap<String, Vec<Arc<Run>>>,
    made: Mutex<BTreeMap<String, Vec<Made>>>,
    /// What other processes add and this one must see.
    seen: Mutex<BTreeMap<String, Vec<Arc<Run>>>>,
    /// What other processes added.
    handed: Mutex<Metas>,
    scratch: Scratch,
    files: Scratch,
    merging: Mutex<Option<JoinHandle<Result<Merged>>>>,
    syncer: Syncer,
}

impl Store {
    /// Opens the state of a snapshot, by the hash of its manifest; without one, an empty state.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder cannot be written, or a run is damaged.
    pub(crate) fn open(folder: &Path, snapshot: Option<u128>) -> Result<Self> {
        let work = folder.join(WORK);
        if work.is_dir() {
            fs::remove_dir_all(&work).map_err(|cause| away("folder not emptied", &work, cause))?;
        }
        for made in [EPOCHS, RUNS, ARTEFACTS, WORK].map(|name| folder.join(name)) {
            fs::create_dir_all(&made).map_err(|cause| away("folder not made", &made, cause))?;
            // A folder that takes no file is told before models are paid, not after.
            let probe = made.join(PROBE);
            let probed = fs::write(&probe, PROBE).and_then(|()| fs::remove_file(&probe));
            probed.map_err(|cause| away("folder takes no file", &made, cause))?;
        }
        Self::load(folder, snapshot, "")
    }

    /// Opens the state of a snapshot that another process opened already and holds. Files have `mark` in their names, which
    /// no other process has.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn join(folder: &Path, snapshot: Option<u128>, mark: &str) -> Result<Self> {
        Self::load(folder, snapshot, &format!("-{mark}"))
    }

    fn load(folder: &Path, snapshot: Option<u128>, mark: &str) -> Result<Self> {
        let base = match snapshot {
            Some(snapshot) => StateManifest::load(folder, snapshot)?.unwrap_or_default(),
            None => StateManifest::default(),
        };
        let serial = base.serial + 1;
        let mut store = Self {
            folder: folder.to_owned(),
            scratch: Scratch::new(&folder.join(WORK), &format!("sort{mark}")),
            files: Scratch::new(&folder.join(RUNS), &format!("{serial:08}{mark}")),
            base: StateManifest { serial, format: FORMAT, ..StateManifest::default() },
            runs: BTreeMap::new(),
            made: Mutex::default(),
            seen: Mutex::default(),
            handed: Mutex::default(),
            merging: Mutex::default(),
            syncer: Syncer::default(),
        };
        for (table, metas) in &base.tables {
            let open = |meta: &RunMeta| Ok(Arc::new(Run::open(&folder.join(RUNS), meta)?));
            store.runs.insert(table.clone(), metas.iter().map(open).collect::<Result<_>>()?);
        }
        store.base = StateManifest { serial, format: FORMAT, ..base };
        Ok(store)
    }

    /// What the last commit left.
    pub(crate) fn base(&self) -> &StateManifest {
        &self.base
    }

    /// The folder of all of it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of artefacts.
    pub(crate) fn artefacts(&self) -> PathBuf {
        self.folder.join(ARTEFACTS)
    }

    /// Empties every table whose name `dropped` says yes to: its stage starts anew.
    pub(crate) fn restart(&mut self, dropped: impl Fn(&str) -> bool) {
        self.runs.retain(|table, _| !dropped(table));
        self.base.tables.retain(|table, _| !dropped(table));
    }

    /// A table as the last commit left it.
    pub(crate) fn table(&self, name: &str) -> View {
        View::new(self.runs.get(name).cloned().unwrap_or_default())
    }

    /// What this run has added to a table so far.
    pub(crate) fn added(&self, name: &str) -> View {
        let made = self.made();
        let runs = made.get(name).map(Vec::as_slice).unwrap_or_default();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.get(name).map(Vec::as_slice).unwrap_or_default();
        View::new(runs.iter().map(|(run, _)| run).chain(seen).map(Arc::clone).collect())
    }

    /// Lets [`added`](Self::added) see what another process added. Only that process hands it to the commit.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub(crate) fn see(&self, name: &str, carried: Carried) -> Result<()> {
        let run = Run::arrived(&self.folder.join(RUNS), carried)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(name.to_owned()).or_default().push(Arc::new(run));
        Ok(())
    }

    /// Names for what is being sorted.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Starts a run that will belong to the state.
    pub(crate) fn writer(&self, key: usize) -> RunWriter {
        RunWriter::new(key, self.files.path("run"))
    }

    /// The path of a run that will belong to the state.
    pub(crate) fn path(&self) -> PathBuf {
        self.files.path("run")
    }

    /// Adds a run to a table. The disk has it when a commit is through.
    pub(crate) fn add(&self, name: &str, (run, meta): (Run, Option<RunMeta>)) {
        self.add_shared(name, Arc::new(run), meta);
    }

    /// As [`add`](Self::add), of a run that is being read.
    pub(crate) fn add_shared(&self, name: &str, run: Arc<Run>, meta: Option<RunMeta>) {
        if run.rows() > 0 {
            if meta.is_some() {
                let path = run.path().to_owned();
                self.syncer.later(move || sync_file(&path));
            }
            self.made().entry(name.to_owned()).or_default().push((run, meta));
        }
    }

    /// For work on files of the state that a commit waits for.
    pub(crate) fn syncer(&self) -> &Syncer {
        &self.syncer
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Made>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Merges, on a thread of its own, what the last commits left in many runs; the next commit takes it up.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the system has no thread left.
    pub(crate) fn start_merging(&self) -> Result<()> {
        let work = self.runs.iter().flat_map(|(table, runs)| {
            let files = self.files.clone();
            let rows: Vec<u64> = runs.iter().map(|run| run.rows()).collect();
            tiers(&rows).into_iter().map(move |tier| {
                let inputs = tier.iter().map(|at| Arc::clone(&runs[*at])).collect::<Vec<_>>();
                (table.clone(), tier, inputs, files.path("merged"))
            })
        });
        let work: Vec<_> = work.collect();
        if work.is_empty() {
            return Ok(());
        }
        let body = move || {
            work.into_iter()
                .map(|(table, tier, inputs, path)| Ok((table, tier, merged(&inputs, path)?)))
                .collect()
        };
        let started = std::thread::Builder::new().name("merge".to_owned()).spawn(body);
        let handle =
            started.map_err(|cause| Error::unavailable("thread not started: name=merge").because(cause))?;
        *self.merging.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        Ok(())
    }

    /// Makes what was added durable, for the snapshot whose manifest has this hash. `next` carries what is not a run.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it: the state before stands.
    pub(crate) fn commit(&self, snapshot: u128, mut next: StateManifest) -> Result<StateManifest> {
        next.format = FORMAT;
        next.serial = self.base.serial;
        next.tables.clone_from(&self.base.tables);
        let merging = self.merging.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(merging) = merging {
            let merged = joined("merge", merging.join())??;
            let mut gone: BTreeMap<String, (BTreeSet<usize>, Vec<RunMeta>)> = BTreeMap::new();
            for (table, inputs, one) in merged {
                let (all, ones) = gone.entry(table).or_default();
                all.extend(inputs);
                ones.push(one);
            }
            for (table, (inputs, ones)) in gone {
                replace(next.tables.entry(table).or_default(), &inputs, ones);
            }
        }
        let handed = std::mem::take(&mut *self.handed.lock().unwrap_or_else(PoisonError::into_inner));
        for (table, metas) in self.pack()?.into_iter().chain(handed) {
            next.tables.entry(table).or_default().extend(metas);
        }
        next.tables.retain(|_, runs| !runs.is_empty());
        self.syncer.finish()?;
        sync_folder(&self.folder.join(RUNS))?;
        reached("runs written");
        next.write(&self.folder, snapshot)?;
        reached("state written");
        Ok(next)
    }

    /// Brings what was added to the disk already, while the run does other things: a commit has little left to do then.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(crate) fn settle(&self) -> Result<()> {
        let metas = self.hand()?;
        self.take_over(metas);
        Ok(())
    }

    /// Takes over what another process [`hand`](Self::hand)s over.
    pub(crate) fn take_over(&self, metas: Metas) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, metas) in metas {
            handed.entry(table).or_default().extend(metas);
        }
    }

    /// Hands over what this process added, for another one to commit.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub(crate) fn hand(&self) -> Result<Metas> {
        let metas = self.pack()?;
        self.syncer.finish()?;
        sync_folder(&self.folder.join(RUNS))?;
        Ok(metas)
    }

    /// Brings everything that was added to disk.
    fn pack(&self) -> Result<Metas> {
        let made = std::mem::take(&mut *self.made());
        let pack = self.files.path("pack");
        let name = pack.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let (mut packed, mut tables) = (Vec::new(), Metas::new());
        for (table, runs) in made {
            let metas = tables.entry(table).or_default();
            for (run, meta) in runs {
                if let Some((bytes, check)) = run.packed() {
                    let (offset, rows, width) = (packed.len() as u64, run.rows(), run.width());
                    packed.extend_from_slice(&bytes);
                    metas.push(RunMeta { file: name.clone(), offset, rows, width, check });
                } else {
                    metas.extend(meta);
                }
            }
        }
        if !packed.is_empty() {
            write_durably(&pack, &packed)?;
        }
        Ok(tables)
    }

    /// Removes what the state of a snapshot does not need; gives back how many files went.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder cannot be read or changed.
    pub(crate) fn collect(folder: &Path, snapshot: u128) -> Result<usize> {
        let Some(held) = StateManifest::load(folder, snapshot)? else { return Ok(0) };
        let runs = held.tables.values().flatten().map(|run| run.file.clone()).collect();
        let artefacts = held.shards.iter().map(|shard| shard.artefact.clone()).collect();
        let epochs = BTreeSet::from([format!("{}.json", hex(snapshot))]);
        let mut gone = 0;
        for (name, held) in [(RUNS, runs), (ARTEFACTS, artefacts), (EPOCHS, epochs), (WORK, BTreeSet::new())]
        {
            gone += keep_only(&folder.join(name), &held)?;
        }
        Ok(gone)
    }

    /// Reads every run of the state of a snapshot and checks it; gives back rows and bytes by table.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) that names what is damaged.
    pub(crate) fn verify(folder: &Path, snapshot: u128) -> Result<BTreeMap<String, (u64, u64)>> {
        let held = StateManifest::load(folder, snapshot)?.unwrap_or_default();
        let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (table, metas) in &held.tables {
            for meta in metas {
                Arc::new(Run::open(&folder.join(RUNS), meta)?).verify()?;
                let (rows, bytes) = sums.entry(table.clone()).or_default();
                (*rows, *bytes) = (*rows + meta.rows, *bytes + meta.bytes());
            }
        }
        Ok(sums)
    }

    /// Makes one run of each table, without rows that cancel; gives back the bytes before and after.
    ///
    /// # Errors
    /// Damage, or a disk that fails or is full: the state before stands.
    pub(crate) fn compact(folder: &Path, snapshot: u128) -> Result<(u64, u64)> {
        let store = Self::open(folder, Some(snapshot))?;
        let bytes = |manifest: &StateManifest| manifest.tables.values().flatten().map(RunMeta::bytes).sum();
        let mut next = store.base.clone();
        let before = bytes(&next);
        for (table, runs) in &store.runs {
            if runs.len() > 1 {
                next.tables.insert(table.clone(), vec![merged(runs, store.path())?]);
            }
        }
        next.tables.retain(|_, runs| runs.iter().any(|run| run.rows > 0));
        sync_folder(&folder.join(RUNS))?;
        next.write(folder, snapshot)?;
        Self::collect(folder, snapshot)?;
        Ok((before, bytes(&next)))
    }
}

/// Merges runs into one of a file of its own.
fn merged(inputs: &[Arc<Run>], path: PathBuf) -> Result<RunMeta> {
    let width = inputs.first().map_or(COUNT + 1, |run| run.width());
    let (run, meta) = Merge::new(inputs, &[], 64)?.write(width - COUNT, path.clone())?;
    if let Some(meta) = meta {
        sync_file(&path)?;
        return Ok(meta);
    }
    let (bytes, check) = run.packed().unwrap_or_default();
    write_durably(&path, &bytes)?;
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    Ok(RunMeta { file, offset: 0, rows: run.rows(), width, check })
}

/// Which runs to merge, by their rows: those of a size, where there are many.
fn tiers(rows: &[u64]) -> Vec<BTreeSet<usize>> {
    let mut tiers: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
    for (at, rows) in rows.iter().enumerate() {
        tiers.entry(rows.max(&1).ilog(TIER)).or_default().insert(at);
    }
    tiers.into_values().filter(|tier| tier.len() as u64 >= TIER).collect()
}

fn replace(metas: &mut Vec<RunMeta>, inputs: &BTreeSet<usize>, ones: Vec<RunMeta>) {
    let mut at = 0;
    metas.retain(|_| {
        at += 1;
        !inputs.contains(&(at - 1))
    });
    metas.extend(ones.into_iter().filter(|one| one.rows > 0));
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|cause| away("run not written", path, cause))
}

fn keep_only(folder: &Path, held: &BTreeSet<String>) -> Result<usize> {
    let unreadable = |cause| away("folder unreadable", folder, cause);
    let mut gone = 0;
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name().to_str().is_some_and(|name| held.contains(name)) {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|cause| away("file not removed", &path, cause))?;
        gone += 1;
    }
    Ok(gone)
}
