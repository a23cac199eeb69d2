//! Several processes that work on one run, on one machine or on several that share its folders.
//!
//! ```text
//! leader (process 0)                                  members (processes 1, 2, ...)
//!   locks the output, plans, waits   ◄── proof ──       join
//!                                    ── handout ─►      everything that a member needs to know
//!   gives row groups out             ◄── take ──        read them, write their pieces
//!                                    ── go ─►
//!   └─────── one timely dataflow over the workers of all processes ───────┘
//!   asks the models, writes parts    ◄── report ──      what they wrote into the state
//!   commits, publishes               ── done ─►
//! ```
//! **Why one leader**: limits of endpoints, budget and journal are those of one process, so what is paid cannot depend on
//! how many there are. Reading, signing, dedup, sampling and selection are spread over all.
//!
//! **Fail-stop**: who loses a process ends, at once when its connection closes, after [`SILENCE`] when it falls silent. What
//! was read and paid is kept, and the next run, of any number of processes, goes on from there.
//!
//! **Trust**: a member proves that it knows the token, which is never sent; nothing else is encrypted or checked. Private
//! networks only.

mod conn;
mod leader;
mod link;
mod member;

pub(crate) use leader::{Giving, Leader};
pub use leader::{Lead, Waiting};
pub(crate) use link::Link;
pub use member::Join;
pub(crate) use member::Member;

use crate::error::{Error, Result};
use crate::sink::names::hex_of;
use crate::workers::Peers;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::time::Duration;

/// The variable that holds the token where processes are started by hand.
pub const TOKEN: &str = "ISOGLOSS_CLUSTER_TOKEN";

/// How often each side lets the other hear of it.
const BEAT_MS: u64 = 1000;
/// Silence after which a process counts as lost, in milliseconds.
pub const SILENCE: u64 = 30_000;
/// How long a new connection may take for what it has to say.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What both sides must share to understand each other.
fn version() -> String {
    format!("{} {}", env!("CARGO_PKG_VERSION"), crate::state::manifest::FORMAT)
}

/// What proves that the token is known.
fn proof(token: &str, nonce: &str) -> String {
    hex_of(&Sha256::new().chain_update(token).chain_update([0]).chain_update(nonce).finalize())
}

/// A row group with its number, as `(number, shard, row group)`.
type Numbered = (u64, u32, u32);

/// What members say.
#[derive(Debug, Serialize, Deserialize)]
enum FromMember {
    Hello {
        version: String,
        proof: String,
        port: u16,
    },
    Beat,
    /// Wants a row group; has read so many rows since it last said so.
    Take {
        rows: u64,
    },
    /// Is through with the step that both are in.
    Report(String),
    Failed {
        what: String,
    },
}

/// What the leader says.
#[derive(Debug, Serialize, Deserialize)]
enum FromLeader {
    Challenge { version: String, nonce: String },
    Refused { why: String },
    Welcome(Box<Welcome>),
    Beat,
    Task(Option<Numbered>),
    Go,
    Done,
    Stop { what: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Welcome {
    /// The number of the member, from 1.
    process: usize,
    /// Names this run among others.
    session: String,
    /// Where members 1, 2, ... listen.
    addresses: Vec<SocketAddr>,
    /// What is to be done, for the dataflow.
    handout: String,
}

/// Text of a message's payload.
pub(crate) fn written<T: Serialize>(payload: &T) -> Result<String> {
    serde_json::to_string(payload).map_err(|cause| Error::bug("message not encoded").because(cause))
}

/// A payload from its text.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|cause| Error::unavailable("message of another process not understood").because(cause))
}

/// The workers of all processes, connected.
fn connected(
    process: usize,
    addresses: &[SocketAddr],
    listener: &std::net::TcpListener,
    session: &str,
    stop: &crate::stop::Stop,
) -> Result<Peers> {
    Ok(Peers { process, links: link::mesh(process, addresses, listener, session, stop)? })
}

#[cfg(test)]
mod tests;
