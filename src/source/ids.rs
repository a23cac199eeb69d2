//! The ids of a shard's rows, without its text.

use super::cells::Cells;
use super::columns::ColumnSettings;
use super::decode::{Decode, Selected, Step};
use super::list::Shard;
use super::open::Open;
use super::shard::{Opened, Survey};
use crate::error::Result;
use std::sync::Arc;

/// Rows that are decoded at a time.
const ROWS: usize = 4096;

/// Calls `see` with every row of a shard and the id that the row gives itself, in order; with an empty one where the
/// shard has no ids, the row's is null, or it does not decode (which is logged).
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the store fails; those of `see`.
pub fn for_each_id(
    shard: &Shard,
    survey: &Survey,
    open: &dyn Open,
    columns: &ColumnSettings,
    see: &mut dyn FnMut(u32, &str) -> Result<()>,
) -> Result<()> {
    let Some(leaf) = survey.columns.id else {
        return (0..survey.rows).try_for_each(|row| see(row, ""));
    };
    let opened = Arc::new(Opened::new(shard, open, columns)?);
    for (group, rows) in survey.row_groups.iter().enumerate() {
        let mut decode = Decode::new(&opened, group, vec![leaf], Selected::First(*rows), ROWS);
        while let Some(step) = decode.next()? {
            match step {
                Step::Batch(from, batch) => {
                    let cells = Cells::of(&batch, opened.meta.parquet_schema(), leaf);
                    for at in 0..batch.num_rows() {
                        let id = cells.as_ref().map(|cells| cells.text(at)).unwrap_or_default();
                        see(decode.row(from + at), &id)?;
                    }
                }
                Step::Lost(from, cause) => {
                    tracing::warn!(shard = shard.key, row = decode.row(from), %cause, "ids do not decode");
                    (from..decode.len()).try_for_each(|at| see(decode.row(at), ""))?;
                }
            }
        }
    }
    Ok(())
}
