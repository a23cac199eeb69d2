//! The command line: flags to one command to an exit code.

use clap::{Parser, Subcommand};
use isogloss::source::pack;
use std::error::Error as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turns native-language web corpora into multilingual instruction-finetuning datasets.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build Parquet shards (FineWeb-2 columns) from readable page sources.
    ///
    /// Example: isogloss pack data/corpora/sources data/corpora
    Pack {
        /// Folder with one folder of sources per lang.
        from: PathBuf,
        /// Folder that gets one folder of shards per lang.
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let Command::Pack { from, out } = Cli::parse().command;
    match pack::pack(&from, &out) {
        Ok(shards) => {
            let mut stdout = std::io::stdout().lock();
            for (shard, rows) in shards {
                // A closed pipe is the reader's choice, not a failure.
                let _ = writeln!(stdout, "{} rows={rows}", shard.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "isogloss: {error}");
            if let Some(cause) = error.source() {
                let _ = writeln!(stderr, "  because: {cause}");
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}
