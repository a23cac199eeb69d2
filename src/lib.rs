//! Turns native-language web corpora into multilingual instruction-finetuning datasets.
//!
//! So far the package holds what every later stage stands on: the row types, ids and verdicts
//! ([`model`]), the errors that end a run ([`error`]), and the reader of the corpora's readable
//! sources ([`source::pages`]).
//!
//! ```
//! use isogloss::model::{Lang, Span, response_of};
//!
//! let text = "Início | Contato\nA maré sobe duas vezes por dia.";
//! let spans = [Span { start: 18, end: 50 }];
//! assert_eq!(response_of(text, &spans).as_deref(), Some("A maré sobe duas vezes por dia."));
//! assert_eq!(Lang::from_lid("pt").map(Lang::tag), Some("por_Latn"));
//! ```

pub mod cli;
pub mod cluster;
pub mod command;
pub mod config;
#[path = "../dataflows/curate/mod.rs"]
pub mod curate;
#[path = "../dataflows/dedup/mod.rs"]
pub mod dedup;
pub mod error;
pub mod llm;
pub mod model;
pub mod points;
pub mod sink;
pub mod source;
pub mod stage;
pub mod state;
pub mod stop;
pub mod telemetry;
pub mod workers;

pub use error::{Error, ErrorKind, Result};
