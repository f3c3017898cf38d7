//! `top`: all processes of the machine.

use std::time::Duration;

use clap::{Args, ValueEnum, builder::TypedValueParser};

use super::{RecordingArgs, parse_duration, parse_sample_bytes, words::word_parser};
use crate::{allocators::UserFunction, profile::ProcessOrder};

/// Arguments of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Only processes of this name, as `ps -o comm` has it; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub comm: Vec<String>,
    /// Only processes of this user, by name or number; may be repeated.
    #[arg(long, value_name = "USER", value_parser = parse_user)]
    pub user: Vec<u32>,
    /// Only processes in this control group and those below it, as /system.slice/nginx.service; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<String>,
    /// Only processes in the container whose id or name begins like this, as its control group tells; may be repeated.
    #[arg(long, value_name = "PREFIX", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub container: Vec<String>,
    /// Stop tracing after this time, as 90s, 5m, 500ms.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Time between two refreshes of the table, or two reports [default: 1s on a terminal, else 5s].
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration)]
    pub interval: Option<Duration>,
    /// How reports are written where there is no live view: as text, or as a line of JSON each.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<TopFormat>,
    /// Number to rank processes by.
    #[arg(short, long, value_name = "BY", default_value = ProcessOrder::default().word(), value_parser = order_parser())]
    pub sort: ProcessOrder,
    /// Most processes to report [default: 10].
    #[arg(short, long, value_name = "N", default_value_t = 10, hide_default_value = true)]
    pub top: usize,
    /// Most call sites to report of each process [default: 3].
    #[arg(long, value_name = "N", default_value_t = 3, hide_default_value = true)]
    pub sites: usize,
    /// Look only at blocks on which one byte in so many falls, on average: all numbers are estimates. 1KiB to 256MiB.
    #[arg(long, value_name = "SIZE", default_value = "512KiB", value_parser = parse_sample_bytes)]
    pub sample_bytes: u64,
    /// Record every block, at five times the cost and more to the processes that are traced.
    #[arg(long, conflicts_with = "sample_bytes")]
    pub exact: bool,
    /// What is recorded, of one process as of all.
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Also trace a function that hands out memory; see `memtrace attach --help`.
    #[arg(long, value_name = "FUNCTION", value_parser = UserFunction::allocating)]
    pub alloc: Vec<UserFunction>,
    /// The function that takes it back. May be repeated.
    #[arg(long, value_name = "FUNCTION", value_parser = UserFunction::freeing)]
    pub free: Vec<UserFunction>,
    /// Live blocks that are recorded of one process, to try what happens beyond.
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub most_blocks: Option<u64>,
    /// Call stacks that are kept of one process, likewise.
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub most_stacks: Option<u64>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TopFormat {
    /// For people.
    #[default]
    Text,
    /// A document on a line.
    Json,
}

fn order_parser() -> impl TypedValueParser<Value = ProcessOrder> {
    word_parser(ProcessOrder::all().map(|order| (order, order.word(), order.meaning())))
}

fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("the name is empty".into()) } else { Ok(text.to_owned()) }
}

/// Reads a user's name, or a number whether somebody has it or not.
fn parse_user(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match nix::unistd::User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("nobody is called `{text}`")),
        Err(error) => Err(format!("cannot look up `{text}`: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users are known by name or number; a name that nobody has is refused.
    #[test]
    fn users_are_read() {
        assert_eq!((parse_user("root"), parse_user("4711")), (Ok(0), Ok(4711)));
        assert!(parse_user("no such user here").is_err() && parse_user("").is_err());
        assert!(parse_name("").is_err());
    }
}
