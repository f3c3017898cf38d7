//! The command line: clap types, no behaviour.

mod documents;
mod export;
mod report;
mod symbolize;
mod taking;
mod top;
mod tracing;
mod words;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, builder::TypedValueParser};

pub use self::documents::{CompletionsArgs, ManualArgs};
pub use self::export::ExportArgs;
pub use self::report::{DiffArgs, FilterArg, FormatArg, GroupArgs, ReportArgs, SiteArg, TreeArg};
pub use self::symbolize::SymbolizeArgs;
pub use self::taking::{CtlArgs, CtlCommand, OutputArgs, SnapshotArgs, WhereArgs};
pub use self::top::{TopArgs, TopFormat};
pub use self::tracing::{OverBudgetArg, RecordedArg, RecordingArgs, TracingArgs, UnwindArg};
use self::words::word_parser;
use memtrace_common::sampling::{GREATEST_MEAN, LEAST_MEAN};

use crate::profile::SortBy;

/// Which call sites of a running process hold how many bytes in how many blocks.
#[derive(Debug, Parser)]
#[command(name = "memtrace", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log what memtrace does to standard error; to a file while the live table is up. Twice for more.
    // Otherwise their place in each command's help would depend on how many commands there are.
    #[arg(short, long, global = true, display_order = 900, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Where to log, instead.
    #[arg(long, global = true, display_order = 901, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace a process that is already running.
    ///
    /// On a terminal, shows a live table of call sites; otherwise prints a report every --interval. The process goes
    /// on undisturbed when memtrace ends, in whatever way.
    Attach(AttachArgs),
    /// Run a command and trace it from its first allocation.
    ///
    /// The command keeps the terminal, its exit status is passed on, and the report is printed to standard error when
    /// it has ended. Under sudo it runs as the user who called sudo.
    Run(RunArgs),
    /// Trace every process of the machine, or those that are selected.
    ///
    /// On a terminal, shows a live table of processes; otherwise prints a report every --interval. Processes that begin
    /// later are picked up at once. Every process that maps a traced allocator pays for a breakpoint at each call: what
    /// that comes to on this machine is said at the start. Blocks are sampled unless --exact is given.
    Top(TopArgs),
    /// Rank what is in snapshot files.
    ///
    /// Reads memtrace's snapshots and heap profiles of other programs in pprof's format, adds them up, and lists what
    /// holds how many bytes in how many blocks.
    Report(ReportArgs),
    /// Compare two snapshot files.
    ///
    /// Lists what has changed, the greatest change first. Code is matched by module, function and line, never by
    /// address, so the files may be of two runs, of two builds, or of two machines.
    Diff(DiffArgs),
    /// Write a snapshot in the format of another tool: flame graph, page, viewer, spreadsheet, script.
    ///
    /// Reads any heap profile in pprof's format, memtrace's own or another program's.
    Export(ExportArgs),
    /// Trace a process for a while and write a snapshot.
    ///
    /// The file holds every call stack with its numbers, functions and lines; it is a pprof profile. To take one from a
    /// memtrace that is tracing already, use `ctl`.
    Snapshot(SnapshotArgs),
    /// Ask a memtrace that traces a process for a snapshot, to forget, to begin a new peak, or to stop.
    Ctl(CtlArgs),
    /// Find the live block that holds an address, also one in its midst: its size, its age, its call stack.
    ///
    /// Asks the memtrace that traces the process. Without one, it traces the process for --duration; then only blocks
    /// that are allocated in this time can be found.
    Where(WhereArgs),
    /// Name the code in a snapshot that was taken without symbols.
    ///
    /// Looks up functions, lines and inlined functions in the programs and libraries on this machine, and in their debug
    /// files. A file is used only if it has the build id that the snapshot states.
    Symbolize(SymbolizeArgs),
    /// Say what this kernel, these permissions and a process allow, and what to do about the rest.
    ///
    /// Works without root, and says what it could not see then. Exits with 1 when something is in the way of tracing.
    Doctor(DoctorArgs),
    /// Place probes that do nothing where `attach` would place its own, until standard input closes: the floor that
    /// `cargo xtask bench` compares with.
    #[command(hide = true)]
    Floor(FloorArgs),
    /// Print what makes a shell complete memtrace's commands and options.
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Manual(ManualArgs),
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Look at this process, too.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
    /// How to say it.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: DoctorFormat,
}

/// How `doctor` says what it found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DoctorFormat {
    /// Tables for people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Arguments of `floor`.
#[derive(Debug, Args)]
pub struct FloorArgs {
    /// The process.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// No probes at returns.
    #[arg(long)]
    pub entries_only: bool,
}

/// Arguments of `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// The process.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// Stop after this time, as 90s, 5m, 500ms.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Time between two refreshes of the table, or two reports [default: 1s on a terminal, else 5s].
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    pub interval: Option<Duration>,
    /// What is written.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What is recorded.
    #[command(flatten)]
    pub tracing: TracingArgs,
    /// What is shown.
    #[command(flatten)]
    pub ranking: RankingArgs,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Also print a report at this interval while the command runs.
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    pub interval: Option<Duration>,
    /// Stop tracing after this time and print the report; the command goes on.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Run the command as root even under sudo.
    #[arg(long)]
    pub as_root: bool,
    /// Let Python keep its own allocator, which hands out objects of up to 512 bytes from large pieces of memory, unseen.
    /// Otherwise PYTHONMALLOC=malloc is set for a Python program, so that each object is seen.
    #[arg(long)]
    pub keep_pymalloc: bool,
    /// What is written.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What is recorded.
    #[command(flatten)]
    pub tracing: TracingArgs,
    /// What is shown.
    #[command(flatten)]
    pub ranking: RankingArgs,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD",
        value_hint = clap::ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// What is shown.
#[derive(Debug, Clone, Copy, Args)]
pub struct RankingArgs {
    /// Number to rank by.
    #[arg(short, long, value_name = "BY", default_value = SortBy::default().word(), value_parser = sort_parser())]
    pub sort: SortBy,
    /// Most call sites to print [default: 10].
    #[arg(short, long, value_name = "N", default_value_t = 10, hide_default_value = true)]
    pub top: usize,
}

fn sort_parser() -> impl TypedValueParser<Value = SortBy> {
    word_parser(SortBy::all().map(|sort| (sort, sort.word(), sort.meaning())))
}

/// What is longer than this may lie beyond the clock.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

/// Reads a time with a unit: `500ms`, `2s`, `1.5m`, `1h`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let problem = || format!("`{text}` is no time: write it as 500ms, 30s, 5m or 1h");
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| problem())?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(problem()),
    };
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| problem())?;
    if duration.is_zero() {
        return Err("the time must be greater than zero".into());
    }
    if duration > LONGEST { Err("the time must be at most 100 years".into()) } else { Ok(duration) }
}

/// Reads a number of bytes: `4096`, `4KiB`, `4k`, `1M`. Units are powers of 1024, as everywhere in memtrace's output.
fn parse_size(text: &str) -> Result<u64, String> {
    let problem = || format!("`{text}` is no size: write it as 4096, 4KiB or 1MiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| problem())?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(problem()),
    };
    number.checked_mul(1 << shift).ok_or_else(problem)
}

/// Reads a share, as `5%`; without the sign it is of a hundred, too.
fn parse_share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let percent = number.parse::<f64>().ok().filter(|percent| *percent > 0.0 && *percent < 100.0);
    percent.map(|percent| percent / 100.0).ok_or_else(|| format!("`{text}` is no share: write it as 5% or 0.5%"))
}

/// Reads a mean distance of samples, within its limits.
fn parse_sample_bytes(text: &str) -> Result<u64, String> {
    let mean = parse_size(text)?;
    if (LEAST_MEAN..=GREATEST_MEAN).contains(&mean) { Ok(mean) } else { Err("it must be from 1KiB to 256MiB".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times carry units, bare numbers are seconds, and nonsense is refused with a word on how to write it.
    #[test]
    fn times_are_read() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "s", "-1s", "1d", "0s", "1e9s", "1.2.3s", "10000000000000000000s", "999999999999999999999999h"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    /// Sizes are in powers of 1024; what does not fit in 64 bits is refused.
    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("4KiB"), Ok(4096));
        assert_eq!(parse_size("1M"), Ok(1 << 20));
        for bad in ["", "k", "-1", "1T", "99999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    /// Shares are percentages between 0 and 100.
    #[test]
    fn shares_are_read() {
        assert_eq!((parse_share("5%"), parse_share("0.5")), (Ok(0.05), Ok(0.005)));
        for bad in ["", "%", "0%", "100%", "-1%", "nan", "5%%"] {
            assert!(parse_share(bad).is_err(), "{bad}");
        }
    }

    /// The definition holds together.
    #[test]
    fn definition_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    /// Everything after `--` belongs to the command.
    #[test]
    fn arguments_of_the_command_are_left_alone() {
        let cli = Cli::parse_from(["memtrace", "run", "--top", "3", "--", "ls", "--top", "-v"]);
        let Command::Run(run) = cli.command else { panic!("not run") };
        assert_eq!(run.command, ["ls", "--top", "-v"]);
        assert_eq!((run.ranking.top, cli.verbose), (3, 0));
    }
}
