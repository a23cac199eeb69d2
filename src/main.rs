//! The command line: flags to one command to an exit code.

use clap::Parser;
use isogloss::cli::{Cli, Command};
use isogloss::command::{
    bench, check, codebook, dedup, join, journal, models, plan, quickstart, run, settings, show, state,
    terminal, verify,
};
use isogloss::source::pack;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    isogloss::telemetry::memory::small_pages();
    let command = Cli::parse().command;
    terminal::log(false);
    let done = match &command {
        Command::Quickstart(flags) => quickstart::quickstart(flags),
        Command::Run(flags) => run::run(flags),
        Command::Join(flags) => join::join(flags),
        Command::Check(flags) => check::check(flags),
        Command::Models(flags) => models::models(flags),
        Command::Settings(flags) => settings::settings(flags),
        Command::Plan(flags) => plan::plan(flags),
        Command::State(flags) => state::state(flags),
        Command::Show(flags) => show::show(flags),
        Command::Verify(flags) => verify::verify(flags),
        Command::Journal(flags) => journal::journal(flags),
        Command::Dedup(flags) => dedup::dedup(flags),
        Command::Bench(flags) => bench::bench(flags),
        Command::Codebook(flags) => codebook::codebook(flags),
        Command::Pack { from, out } => pack::pack(from, out).map(|shards| {
            for (shard, rows) in shards {
                terminal::say(format_args!("{} rows={rows}", shard.display()));
            }
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::tell(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
