//! Dedup of fragments, behind the trait that a durable form of its state will implement, too.

use super::cluster::{Clustered, cluster};
use super::clusters::{Membership, Resembling};
use super::durable::{Durable, Stored, durable_cluster, standing_members, standing_pairs};
use super::settings::DedupSettings;
use super::sketch::Node;
use crate::error::Result;
use crate::model::{Epoch, FragmentRow, Lang, Note, Place, Reason, Signature, Signed, Stage, Verdict};
use crate::stage::by_key::consolidate;
use crate::stage::verdicts::Verdicts;
use crate::state::codec::{self, Codec, PLACE};
use crate::workers::side_by_side;
use differential_dataflow::VecCollection;
use serde::{Deserialize, Serialize};

/// Judges fragments against all fragments it knows.
pub trait DedupState {
    /// Wires dedup into the dataflow of `rows`: one survivor per cluster at every epoch.
    fn judge<'s>(&self, rows: VecCollection<'s, Epoch, Signed>) -> Verdicts<'s>;
}

/// Keeps all state in memory, for the length of one run.
#[derive(Debug, Clone, Default)]
pub struct MemoryDedup {
    pub(super) settings: DedupSettings,
}

impl MemoryDedup {
    /// With these settings, which the caller has checked.
    pub fn new(settings: DedupSettings) -> Self {
        Self { settings }
    }
}

/// Keeps the least place of every cluster; the contract is on the page of the module.
pub fn dedup<'s>(rows: VecCollection<'s, Epoch, Signed>, settings: &DedupSettings) -> Verdicts<'s> {
    MemoryDedup::new(settings.clone()).judge(rows)
}

/// What the arrangements hold of a fragment beside its content. Ordered by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Member {
    place: Place,
    lang: Lang,
    tick: u64,
}

impl Stored for Member {
    const WIDTH: usize = PLACE + 2 + 8;

    fn put(&self, codec: &Codec, out: &mut Vec<u8>) {
        codec.put_place(self.place, out);
        codec::put_lang(self.lang, out);
        out.extend_from_slice(&self.tick.to_be_bytes());
    }

    fn take(codec: &Codec, mut bytes: &[u8]) -> Self {
        let place = codec.place(&mut bytes);
        let lang = codec::lang(&mut bytes);
        Self { place, lang, tick: u64::from_be_bytes(codec::take(&mut bytes)) }
    }
}

/// Keeps its state on disk: see [`durable`](super::durable).
pub(crate) struct DurableDedup(pub(crate) Durable);

impl DurableDedup {
    /// The clusters that stand once all rows that [`judge`](DedupState::judge) was given are through: the rows of those of two
    /// rows or more, and the verified pairs, once each.
    ///
    /// # Errors
    /// As [`standing_members`].
    pub(crate) fn clusters(&self) -> Result<(Vec<Membership>, Vec<Resembling>)> {
        let pairs = || {
            let mut pairs = Vec::new();
            standing_pairs(&self.0, |(one, other, resemblance)| {
                pairs.push(Resembling { one, other, resemblance });
            })?;
            Ok(pairs)
        };
        let members = || {
            let mut members = Vec::new();
            standing_members(&self.0, |cluster, content, Member { place, .. }: Member| {
                members.push(Membership { cluster, content, place });
            })?;
            Ok(members)
        };
        let (pairs, members) = side_by_side("pairs", pairs, members)?;
        Ok((members, pairs))
    }
}

impl DedupState for DurableDedup {
    fn judge<'s>(&self, rows: VecCollection<'s, Epoch, Signed>) -> Verdicts<'s> {
        verdicts_of(durable_cluster(&self.0, members_of(rows)))
    }
}

impl DedupState for MemoryDedup {
    fn judge<'s>(&self, rows: VecCollection<'s, Epoch, Signed>) -> Verdicts<'s> {
        verdicts_of(cluster("dedup", members_of(rows), &self.settings))
    }
}

fn members_of(rows: VecCollection<'_, Epoch, Signed>) -> VecCollection<'_, Epoch, (Node, Signature, Member)> {
    rows.map(|Signed { row, signature }| {
        let FragmentRow { place, lang, content, tick } = row;
        (content, signature, Member { place, lang, tick })
    })
}

fn verdicts_of(clustered: Clustered<'_, Member>) -> Verdicts<'_> {
    let Clustered { survivors, exact, near } = clustered;
    let kept =
        survivors.map(|(content, Member { place, lang, tick })| FragmentRow { place, lang, content, tick });
    let exact = exact.map(|(_, row)| note(row, Reason::ExactDuplicate));
    let near = near.map(|(_, row)| note(row, Reason::NearDuplicate));
    Verdicts { kept: consolidate("dedup/kept", kept), dropped: exact.concat(near) }
}

fn note(Member { place, lang, .. }: Member, reason: Reason) -> Note {
    Note { place, lang, verdict: Verdict::dropped(Stage::Dedup, reason, 0.0) }
}
