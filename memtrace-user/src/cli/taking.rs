//! Snapshots while tracing, and what is asked of a memtrace that traces: `-o` and its kin, `snapshot`, `ctl`, `where`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{TracingArgs, parse_duration};

/// Snapshot files that are written while tracing.
#[derive(Debug, Clone, Default, Args)]
pub struct OutputArgs {
    /// Write a snapshot when tracing ends; SIGUSR1 writes one at once, into a numbered file beside it.
    #[arg(short, long, value_name = "FILE", value_parser = parse_output)]
    pub output: Option<PathBuf>,
    /// Also write one at this interval, into numbered files: FILE-000001.pb.gz for FILE.pb.gz.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "output")]
    pub every: Option<Duration>,
    /// Keep so many of the files of --every, and remove older ones of this run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), requires = "every")]
    pub keep: Option<u64>,
    /// Write addresses and build ids instead of functions and lines, which can be looked up later.
    #[arg(long)]
    pub no_symbols: bool,
}

/// Arguments of `snapshot`.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// The process.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// Trace for this time, as 90s, 5m, 500ms; less when the process ends or on Ctrl-C.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub duration: Duration,
    /// The file; - is standard output [default: memtrace-PID-TIME.pb.gz].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write addresses and build ids instead of functions and lines, which can be looked up later.
    #[arg(long)]
    pub no_symbols: bool,
    /// What is recorded.
    #[command(flatten)]
    pub tracing: TracingArgs,
}

/// Arguments of `ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The traced process.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// The memtrace that is meant, by its process id, where several trace the process.
    #[arg(long, value_name = "PID")]
    pub tracer: Option<u32>,
    /// What to ask for.
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CtlCommand {
    /// Write a snapshot; prints the file's name.
    Snapshot {
        /// The file [default: memtrace-PID-TIME.pb.gz].
        #[arg(short, long, value_name = "FILE", value_parser = parse_output)]
        output: Option<PathBuf>,
    },
    /// Forget what was recorded: only what is allocated from then on counts.
    Clear,
    /// Make the peak that of what is live from then on.
    ResetPeak,
    /// Say what is traced.
    Status,
    /// End tracing as Ctrl-C does.
    Stop,
}

/// Arguments of `where`.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// The process.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: u32,
    /// The address: hexadecimal as 0x7f30c8000b70, or decimal.
    #[arg(value_parser = parse_address)]
    pub address: u64,
    /// Without another memtrace: trace for this time before the address is looked for.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub duration: Duration,
    /// The memtrace that is meant, by its process id, where several trace the process.
    #[arg(long, value_name = "PID")]
    pub tracer: Option<u32>,
    /// What is recorded without another memtrace.
    #[command(flatten)]
    pub tracing: TracingArgs,
}

/// Reads the name of a file to be written while something else has standard output.
fn parse_output(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("the name is empty".into()),
        "-" => Err("standard output is taken: name a file, or use `memtrace snapshot -o -`".into()),
        _ => Ok(text.into()),
    }
}

/// Reads an address: `0x` and hexadecimal digits, or decimal.
fn parse_address(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // A sign is no digit, though `from_str_radix` takes it for one.
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16),
        Some(_) => return Err(format!("`{text}` is no address")),
        None => text.parse(),
    };
    number.map_err(|_| format!("`{text}` is no address: write it as 0x7f30c8000b70"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses are hexadecimal with 0x, else decimal; all 64 bits may be set.
    #[test]
    fn addresses_are_read() {
        assert_eq!(parse_address("0x7F00"), Ok(0x7f00));
        assert_eq!(parse_address("4096"), Ok(4096));
        assert_eq!(parse_address("0xffffffffffffffff"), Ok(u64::MAX));
        for bad in ["", "0x", "7f00", "-1", "0x+1", "0x10000000000000000", "main"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    /// Standard output is taken while a report or a command has it.
    #[test]
    fn standard_output_is_refused() {
        assert_eq!(parse_output("heap.pb.gz"), Ok(PathBuf::from("heap.pb.gz")));
        assert!(parse_output("-").is_err() && parse_output("").is_err());
    }
}
