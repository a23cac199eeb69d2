//! Where text comes from: shards, their columns, two ways of reading them, and credits that bound both.

mod cells;
pub mod columns;
pub mod credits;
mod decode;
pub mod ids;
pub mod list;
pub mod open;
pub mod pack;
pub mod pages;
pub(crate) mod prefetch;
pub mod reread;
pub mod rows;
pub mod settings;
pub mod shard;
pub mod tasks;
pub mod whole;

pub use columns::ColumnSettings;
pub use credits::Credits;
pub use list::Shard;
pub use open::{Files, Open};
pub use settings::SourceSettings;
