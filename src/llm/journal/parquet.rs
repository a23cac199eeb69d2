//! A journal as a Parquet file: to look into, to keep, to carry to another machine.
//!
//! **Why**: answers cost money, so they must not be bound to one folder. One row per answer: `key` (hexadecimal), `role`,
//! `model`, `asked_at` (UTC), `input_tokens`, `output_tokens`, `paid_nano` (billionths of the
//! currency, null without a price), `answer` (JSON). The secret of the state stands in the
//! file's metadata, as prompts with fences are found again only under the secret that they were asked with: whoever gets
//! the file can read it.

use super::{Entry, Journal};
use crate::error::{Error, Result};
use crate::llm::{Answer, Reply, Role, Usage};
use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::datatypes::{TimestampMillisecondType, UInt64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

const SECRET: &str = "isogloss.secret";
const ROWS_PER_BATCH: usize = 4096;

/// What an export or an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Answers that were written.
    pub answers: u64,
    /// Answers left out: on the way out those that cannot be read back, on the way in those that were there.
    pub left: u64,
    /// Whether prompts with fences are found again: both sides have the same secret.
    pub same_secret: bool,
}

/// Writes every answer into a new file, which appears when it is whole.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if the file is there already,
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the disk fails; as [`Journal::get`].
pub fn export(journal: &Journal, path: &Path) -> Result<Moved> {
    if path.exists() {
        return Err(Error::config(format!(
            "file is there already: path={}, remedy=choose another name or move it away",
            path.display()
        )));
    }
    let temporary = path.with_added_extension("tmp");
    let away = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::unavailable(format!("file not written: path={}", temporary.display())).because(cause)
    };
    let file = File::create(&temporary).map_err(|cause| away(cause.into()))?;
    let level = ZstdLevel::try_new(3).map_err(|cause| Error::bug("no such level").because(cause))?;
    let secret = KeyValue::new(SECRET.to_owned(), format!("{:016x}", journal.secret()?));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_key_value_metadata(Some(vec![secret]))
        .build();
    let schema = batch_of(&[])?.schema();
    let mut writer =
        ArrowWriter::try_new(file, schema, Some(properties)).map_err(|cause| away(cause.into()))?;
    let mut moved = Moved { same_secret: true, ..Moved::default() };
    let mut rows = Vec::new();
    journal.each(|key, entry| {
        match entry {
            Some(entry) => rows.push((key, entry)),
            None => moved.left += 1,
        }
        if rows.len() == ROWS_PER_BATCH {
            moved.answers += rows.len() as u64;
            writer.write(&batch_of(&std::mem::take(&mut rows))?).map_err(|cause| away(cause.into()))?;
        }
        Ok(())
    })?;
    moved.answers += rows.len() as u64;
    writer.write(&batch_of(&rows)?).map_err(|cause| away(cause.into()))?;
    let file = writer.into_inner().map_err(|cause| away(cause.into()))?;
    file.sync_all().and_then(|()| fs::rename(&temporary, path)).map_err(|cause| away(cause.into()))?;
    Ok(moved)
}

/// Puts every answer of a file into a journal; one that is there already stays as it is. The whole file is read once
/// before the first answer is put, so a broken one changes nothing.
///
/// # Errors
/// [`ErrorKind::Corpus`](crate::ErrorKind::Corpus) with the row if the file is no export; as [`Journal::put`].
pub fn import(journal: &Journal, path: &Path) -> Result<Moved> {
    let secret = read(path, |_, _| Ok(()))?;
    let mut moved = Moved { same_secret: journal.adopt(secret)?, ..Moved::default() };
    read(path, |key, entry| {
        if journal.get(key)?.is_some() {
            moved.left += 1;
        } else {
            journal.put(key, &entry)?;
            moved.answers += 1;
        }
        Ok(())
    })?;
    journal.sync()?;
    Ok(moved)
}

fn batch_of(rows: &[(u128, Entry)]) -> Result<RecordBatch> {
    let answers = rows.iter().map(|(_, entry)| serde_json::to_string(&entry.reply.answer));
    let answers = answers.collect::<Result<Vec<_>, _>>();
    let answers = answers.map_err(|cause| Error::bug("answer not written as JSON").because(cause))?;
    let of = |number: &dyn Fn(&Entry) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(|(_, entry)| number(entry))))
    };
    let times = rows.iter().map(|(_, entry)| i64::try_from(entry.unix_ms).unwrap_or(i64::MAX));
    let paid: UInt64Array = rows.iter().map(|(_, entry)| entry.paid_nano).collect();
    let columns: [(&str, ArrayRef); 7] = [
        ("key", Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| format!("{key:032x}"))))),
        ("role", Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, entry)| entry.role.name())))),
        ("model", Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, entry)| &entry.identity)))),
        ("asked_at", Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("input_tokens", of(&|entry| entry.reply.usage.input_tokens)),
        ("output_tokens", of(&|entry| entry.reply.usage.output_tokens)),
        ("answer", Arc::new(StringArray::from_iter_values(answers))),
    ];
    let columns = columns.map(|(name, column)| (name, column, false)).into_iter();
    let columns = columns.chain([("paid_nano", Arc::new(paid) as ArrayRef, true)]);
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|cause| Error::bug("columns differ").because(cause))
}

/// A reader of the file and its secret.
fn opened(path: &Path) -> Result<(ParquetRecordBatchReader, u64)> {
    let told = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::unavailable(format!("file not read: path={}", path.display())).because(cause)
    };
    let file = File::open(path).map_err(|cause| told(cause.into()))?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|cause| foreign(path, &cause.to_string()))?;
    let about = builder.metadata().file_metadata().key_value_metadata();
    let secret = about.and_then(|about| about.iter().find(|pair| pair.key == SECRET));
    let secret = secret.and_then(|pair| u64::from_str_radix(pair.value.as_deref()?, 16).ok());
    let secret = secret.ok_or_else(|| foreign(path, "its metadata has no secret"))?;
    let reader = builder.with_batch_size(ROWS_PER_BATCH).build().map_err(|cause| told(cause.into()))?;
    Ok((reader, secret))
}

/// Shows every answer of the file; its secret.
fn read(path: &Path, mut see: impl FnMut(u128, Entry) -> Result<()>) -> Result<u64> {
    let (reader, secret) = opened(path)?;
    let mut row = 0_u64;
    for batch in reader {
        let batch = batch.map_err(|cause| foreign(path, &cause.to_string()))?;
        for at in 0..batch.num_rows() {
            let (key, entry) =
                entry_of(&batch, at).ok_or_else(|| foreign(path, &format!("row {row} is no answer")))?;
            see(key, entry)?;
            row += 1;
        }
    }
    Ok(secret)
}

/// One row; `None` if it is no answer.
fn entry_of(batch: &RecordBatch, at: usize) -> Option<(u128, Entry)> {
    let text = |name: &str| -> Option<&str> {
        let column = batch.column_by_name(name)?.as_string_opt::<i32>()?;
        column.is_valid(at).then(|| column.value(at))
    };
    let number = |name: &str| -> Option<u64> {
        let column = batch.column_by_name(name)?.as_primitive_opt::<UInt64Type>()?;
        column.is_valid(at).then(|| column.value(at))
    };
    let asked_at = batch.column_by_name("asked_at")?.as_primitive_opt::<TimestampMillisecondType>()?;
    let answer: Answer = serde_json::from_str(text("answer")?).ok()?;
    let usage = Usage { input_tokens: number("input_tokens")?, output_tokens: number("output_tokens")? };
    let entry = Entry {
        reply: Reply { answer, usage },
        role: Role::from_name(text("role")?)?,
        identity: text("model")?.to_owned(),
        unix_ms: u64::try_from(asked_at.value(at)).ok()?,
        // Exports of before there were prices lack it.
        paid_nano: number("paid_nano"),
    };
    Some((u128::from_str_radix(text("key")?, 16).ok()?, entry))
}

fn foreign(path: &Path, why: &str) -> Error {
    Error::corpus(format!(
        "file is no exported journal: path={}, remedy=give one that `isogloss journal export` wrote",
        path.display()
    ))
    .because(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::journal::upkeep::Wanted;
    use crate::telemetry::SystemClock;

    fn entry(role: Role, model: &str, unix_ms: u64) -> Entry {
        let usage = Usage { input_tokens: unix_ms, output_tokens: 2 };
        let answer = Answer::Text(format!("resposta \"{unix_ms}\"\n"));
        Entry {
            reply: Reply { answer, usage },
            role,
            identity: model.to_owned(),
            unix_ms,
            paid_nano: unix_ms.is_multiple_of(3).then_some(unix_ms),
        }
    }

    fn filled(answers: u64) -> Journal {
        let journal = Journal::in_memory(Arc::new(SystemClock)).expect("made");
        for (at, role) in (0..answers).zip(Role::ALL.into_iter().cycle()) {
            let model = if at % 2 == 0 { "one" } else { "two" };
            journal.put(u128::from(at) << 90 | 7, &entry(role, model, at)).expect("kept");
        }
        journal
    }

    fn all(journal: &Journal) -> Vec<(u128, Option<Entry>)> {
        let mut rows = Vec::new();
        let mut see = |key, entry| {
            rows.push((key, entry));
            Ok(())
        };
        journal.each(&mut see).expect("reads");
        rows
    }

    #[test]
    fn what_is_exported_is_imported_whole_and_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("answers.parquet");
        let ours = filled(9_000);
        let moved = export(&ours, &path).expect("written");
        assert_eq!(moved, Moved { answers: 9_000, left: 0, same_secret: true });
        assert!(export(&ours, &path).expect_err("there").to_string().contains("remedy="));

        let theirs = filled(0);
        let moved = import(&theirs, &path).expect("read");
        assert_eq!(moved, Moved { answers: 9_000, left: 0, same_secret: true });
        assert_eq!(all(&theirs), all(&ours));
        assert_eq!(theirs.secret().expect("kept"), ours.secret().expect("kept"));
        assert_eq!(import(&theirs, &path).expect("read").left, 9_000);

        // One that has answers keeps its secret.
        let third = filled(3);
        let own = third.secret().expect("drawn");
        assert_eq!(
            import(&third, &path).expect("read"),
            Moved { answers: 8_997, left: 3, same_secret: false }
        );
        assert_eq!(third.secret().expect("kept"), own);
    }

    #[test]
    fn a_broken_file_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("answers.parquet");
        export(&filled(6_000), &path).expect("written");
        let mut bytes = fs::read(&path).expect("read");
        let end = bytes.len() * 2 / 3;
        bytes[end / 2..end].fill(0);
        let broken = folder.path().join("broken.parquet");
        fs::write(&broken, bytes).expect("written");
        let journal = filled(1);
        assert!(import(&journal, &broken).is_err());
        fs::write(&broken, b"no parquet").expect("written");
        assert!(import(&journal, &broken).expect_err("refused").to_string().contains("no exported journal"));
        assert_eq!(all(&journal), all(&filled(1)));
    }

    #[test]
    fn only_wanted_answers_are_pruned() {
        let journal = filled(100);
        let wanted = Wanted { role: Some(Role::Embed), model: Some("w".into()), before_unix_ms: Some(50) };
        let (gone, kept): (Vec<_>, Vec<_>) = all(&journal)
            .into_iter()
            .partition(|(_, entry)| entry.as_ref().is_some_and(|entry| wanted.holds(entry)));
        assert_eq!(gone.len(), 5, "3, 13, 23, 33 and 43");
        assert_eq!(journal.prune(&wanted).expect("pruned"), 5);
        assert_eq!(all(&journal), kept);
    }
}
