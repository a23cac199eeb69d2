//! One survivor of every cluster of equal or nearly equal fragments.
//!
//! **Why**: later stages pay per fragment, so a cluster must cost as much as one. We keep the least place,
//! never the first to arrive: arrival order differs between runs, places do not.
//! **In** one row per fragment with its signature; may retract. **Out** [`Verdicts`](super::verdicts::Verdicts).
//! **State** resident memory grew by 1.1 KB per fragment with 1 worker and 1.3 KB with 2, at 20 bands and a sketch of
//! 128 bytes, three fragments in ten duplicates (`cargo bench --bench dedup`).
//! **Faults** none.
//!
//! A node is a content (rows with equal content stand on one node), an edge joins two nodes that share a band
//! and resemble each other, and a cluster is a connected component:
//!
//! ```text
//! rows ─ nodes ─┬─ dedup/rows ──────────────┬───── dedup/exact ──► exact duplicates
//!               ├─ dedup/sketches ─┐        └─┐
//!               └─ bands ─┬ pairs ─┤ verify   ├ dedup/members ─ dedup/near ──► near duplicates
//!                         └ crowds ┴ leaders ─┴─ dedup/cluster_of
//! ```
//!
//! Millions of band keys have one content each and never meet anything. They stay in a compact table
//! (`table`), outside of the arrangements: the two operators in front (`nodes`, `bands`) are incremental by
//! hand, and everything that they let through is plain differential dataflow.

mod bands;
mod cluster;
mod clusters;
mod components;
mod crowds;
pub(crate) mod durable;
mod edges;
mod groups;
mod interner;
mod nodes;
mod segment;
mod settings;
mod sketch;
mod state;
mod table;
mod turns;

pub(crate) use cluster::{Clustered, cluster};
pub use clusters::{ClusterState, Clusters, Membership, Resembling};
pub use settings::DedupSettings;
pub(crate) use state::DurableDedup;
pub use state::{DedupState, MemoryDedup, dedup};
