//! The selecting stages with their state on disk, for one delta.
//!
//! **Why**: each stage in memory is a function of all rows; here it is the change of that function, read off tables that
//! the runs before left. Both are wired from the same settings, and a property test compares them.

use super::cut::CutContext;
use super::dedup::durable::{Check, Durable};
use super::dedup::{DedupSettings, DedupState, DurableDedup, Membership, Resembling};
use super::near_instruction::{NearInstructionSettings, near_instruction_durable};
use super::quota::{QuotaSettings, quota_durable};
use super::sample::{SampleSettings, sample_durable};
use super::select::SelectSettings;
use super::sign::SignSettings;
use super::threshold::{ThresholdSettings, threshold_durable};
use super::verdicts::Verdicts;
use crate::error::Result;
use crate::model::{Epoch, FragmentRow, Scored, Signature, Signed};
use crate::state::codec::{Codec, Labels, Shape};
use crate::state::store::{Store, Team};
use crate::state::tables::Tables;
use crate::stop::Stop;
use differential_dataflow::VecCollection;
use std::path::Path;
use std::sync::Arc;

/// Stages over one state.
#[derive(Clone)]
pub struct DurableStages {
    tables: Tables,
    signatures: Shape,
    instructions: Shape,
    stop: Stop,
    checks: [Arc<Check>; 2],
}

impl Shape {
    /// The shape that these settings give.
    pub(crate) fn of(settings: &SignSettings) -> Self {
        Self { bands: settings.bands, sketch: settings.sketch_lanes / 2 }
    }
}

impl DurableStages {
    /// Stages over an open state.
    pub(crate) fn new(tables: Tables, sign: &SignSettings, stop: &Stop) -> Self {
        Self {
            tables,
            signatures: Shape::of(sign),
            instructions: Shape::of(&SignSettings::instructions()),
            stop: stop.clone(),
            checks: Default::default(),
        }
    }

    /// Stages of their own over the state in a folder, as `commit` left it under the number `epoch`; 0 for an empty one.
    /// Signatures have `bands` keys and a sketch of `sketch` bytes, those of instructions too; shards are
    /// `0..shards`. For tests and benches.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the folder cannot be used or is damaged.
    pub fn open(
        folder: &Path,
        epoch: u64,
        shards: u32,
        (bands, sketch): (usize, usize),
        sort_bytes: usize,
    ) -> Result<Self> {
        let store = Store::open(folder, (epoch > 0).then_some(u128::from(epoch)))?;
        store.start_merging()?;
        let shape = Shape { bands, sketch };
        Ok(Self {
            tables: Tables {
                store: Arc::new(store),
                codec: Codec::new(Labels::plain(shards)),
                sort_bytes,
                team: Team::alone(1),
            },
            signatures: shape,
            instructions: shape,
            stop: Stop::default(),
            checks: Default::default(),
        })
    }

    /// Raised when a disk fails.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Makes durable what the stages changed, as the state under the number `epoch`, and removes what that does not need.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk does not take it, or tables contradict
    /// each other; the reason why a stage stopped.
    pub fn commit(&self, folder: &Path, epoch: u64) -> Result<()> {
        if let Some(error) = self.stop.take() {
            return Err(error);
        }
        self.checked()?;
        self.tables.store.commit(u128::from(epoch), self.tables.store.base().clone())?;
        Store::collect(folder, u128::from(epoch))?;
        Ok(())
    }

    /// Whether what was computed for the state before is what its tables say.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) with the remedy if not.
    pub(crate) fn checked(&self) -> Result<()> {
        let folder = self.tables.store.folder();
        self.checks[0].agrees("dedup", folder)?;
        self.checks[1].agrees("near_instruction", folder)
    }

    /// What this process computed and read of the labels, for the process that compares.
    pub(crate) fn sums(&self) -> [[u64; 2]; 2] {
        [self.checks[0].sums(), self.checks[1].sums()]
    }

    /// Takes over what another process computed and read.
    pub(crate) fn add_sums(&self, sums: [[u64; 2]; 2]) {
        self.checks.iter().zip(sums).for_each(|(check, sums)| check.add(sums));
    }

    /// What [`dedup`](Self::dedup) has found once its dataflow is complete: see
    /// [`DurableDedup::clusters`].
    ///
    /// # Errors
    /// Damage, or a disk that fails.
    pub(crate) fn clusters(&self, settings: &DedupSettings) -> Result<(Vec<Membership>, Vec<Resembling>)> {
        self.dedup_state(settings).clusters()
    }

    fn cluster(&self, stage: &'static str, shape: Shape, settings: DedupSettings, check: usize) -> Durable {
        Durable {
            stage,
            tables: self.tables.clone(),
            shape,
            settings,
            stop: self.stop.clone(),
            check: Arc::clone(&self.checks[check]),
        }
    }

    pub(crate) fn cut(&self, stage: &'static str, shape: Shape) -> CutContext {
        CutContext { stage, tables: self.tables.clone(), shape, stop: self.stop.clone() }
    }

    /// As [`dedup`](super::dedup::dedup): the changes of a delta.
    pub fn dedup<'s>(
        &self,
        rows: VecCollection<'s, Epoch, Signed>,
        settings: &DedupSettings,
    ) -> Verdicts<'s> {
        self.dedup_state(settings).judge(rows)
    }

    fn dedup_state(&self, settings: &DedupSettings) -> DurableDedup {
        DurableDedup(self.cluster("dedup", self.signatures, settings.clone(), 0))
    }

    /// As [`sample`](super::sample::sample): the changes of a delta.
    pub fn sample<'s>(
        &self,
        rows: VecCollection<'s, Epoch, FragmentRow>,
        settings: &SampleSettings,
    ) -> Verdicts<'s> {
        sample_durable(rows, settings, &self.cut("sample", Shape::default()))
    }

    /// As [`threshold`](super::threshold::threshold): the changes of a delta.
    pub fn threshold<'s>(
        &self,
        rows: VecCollection<'s, Epoch, Scored>,
        settings: &ThresholdSettings,
    ) -> Verdicts<'s, Scored> {
        threshold_durable(rows, settings, &self.cut("threshold", self.instructions))
    }

    /// As [`near_instruction`](super::near_instruction::near_instruction): the changes of a delta.
    pub fn near_instruction<'s>(
        &self,
        rows: VecCollection<'s, Epoch, Scored>,
        settings: &NearInstructionSettings,
    ) -> Verdicts<'s, Scored> {
        near_instruction_durable(
            rows,
            &self.cluster("near_instruction", self.instructions, settings.dedup(), 1),
        )
    }

    /// As [`quota`](super::quota::quota): the changes of a delta. Rows have no signature any more.
    pub fn quota<'s>(
        &self,
        rows: VecCollection<'s, Epoch, Scored>,
        settings: &QuotaSettings,
    ) -> Verdicts<'s, Scored> {
        let rows = rows.map(|mut scored| {
            scored.asked_signature = Signature::default();
            scored
        });
        quota_durable(rows, settings, &self.cut("quota", Shape::default()))
    }

    /// As [`select`](super::select::select): the changes of a delta.
    pub fn select<'s>(
        &self,
        rows: VecCollection<'s, Epoch, Scored>,
        settings: &SelectSettings,
    ) -> Verdicts<'s, Scored> {
        let enough = self.threshold(rows, &settings.threshold);
        let distinct = self.near_instruction(enough.kept, &settings.near_instruction);
        let selected = self.quota(distinct.kept, &settings.quota);
        Verdicts {
            kept: selected.kept,
            dropped: enough.dropped.concatenate([distinct.dropped, selected.dropped]),
        }
    }
}
