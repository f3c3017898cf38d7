//! What is recorded.

use clap::Args;

use super::{parse_sample_bytes, parse_share, parse_size, words::word_parser};
use crate::{allocators::UserFunction, tracer::Accelerator};

/// What is recorded, of one process as of all.
#[derive(Debug, Clone, Args)]
pub struct RecordingArgs {
    /// Most frames to record of each call stack.
    #[arg(long, value_name = "N", default_value_t = 127, value_parser = clap::value_parser!(u32).range(1..=127))]
    pub max_frames: u32,
    /// How call stacks are followed: by unwind tables and, where there are none, frame pointers (auto); by frame pointers
    /// alone (fp); by unwind tables alone (dwarf).
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub unwind: UnwindArg,
    /// Record only blocks of at least this size, as 4096, 4KiB, 1M.
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub min_size: u64,
    /// Switch off an accelerator, to try the fall-back.
    #[arg(long, value_name = "FEATURE", hide = true, value_parser = word_parser(Accelerator::WORDS.into_iter()))]
    pub without: Vec<Accelerator>,
}

/// What is recorded.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct TracingArgs {
    /// What is recorded, of one process as of all.
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Look only at blocks on which one byte in so many falls, on average, as 512KiB: much cheaper, and all numbers are
    /// estimates, shown with the interval that holds the truth in 95 of 100 cases. 1KiB to 256MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_sample_bytes)]
    pub sample_bytes: Option<u64>,
    /// Most that tracing may take of the process's CPU time, as 5%. Every block is recorded as long as that costs no more;
    /// then blocks are sampled, as finely as is affordable, and memtrace says so. With --sample-bytes, from there on.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub max_overhead: Option<f64>,
    /// What happens where calls alone, without anything being recorded, cost more than --max-overhead: tracing ends and the
    /// process goes on (stop), or it goes on, and says so (warn).
    #[arg(long, value_enum, value_name = "WHAT", default_value_t, requires = "max_overhead")]
    pub over_budget: OverBudgetArg,
    /// Record native stacks alone, without the frames of Python.
    #[arg(long)]
    pub native_only: bool,
    /// Go on recording when a Python interpreter takes itself apart at its end. Otherwise what a Python program holds when it
    /// ends is shown, as tracemalloc would at its last line.
    #[arg(long)]
    pub through_exit: bool,
    /// Tell threads apart: a call stack of each thread is counted by itself, under the thread's name.
    #[arg(long)]
    pub per_thread: bool,
    /// Also trace a function that hands out memory, of a pool or an arena: `FILE:NAME(size=argN)`, where FILE is `exe` or a
    /// pattern of a library's name, and argN the argument with the bytes asked for. Further: count=argN, ptr=argN (given
    /// back in exchange), result=*argN (stored there), ok=zero. May be repeated; see docs/allocators.md.
    #[arg(long, value_name = "FUNCTION", value_parser = UserFunction::allocating)]
    pub alloc: Vec<UserFunction>,
    /// The function that takes it back: `FILE:NAME(ptr=argN)`. May be repeated.
    #[arg(long, value_name = "FUNCTION", value_parser = UserFunction::freeing)]
    pub free: Vec<UserFunction>,
    /// Also trace the processes that it starts, and what they start; `run` does so unless told otherwise. For that, every
    /// process of the machine that maps a file with a traced allocator pays for a breakpoint at each call.
    #[arg(long, overrides_with = "no_follow")]
    pub follow: bool,
    /// Trace this process alone, as `attach` does unless told otherwise; no other process gets a breakpoint.
    #[arg(long, overrides_with = "follow")]
    pub no_follow: bool,
    /// What to record: blocks that allocators hand out (malloc), memory that the process maps by itself (mmap), or both,
    /// with a comma. They are never added up: blocks lie in what their allocator maps. See docs/metrics.md.
    #[arg(long, value_enum, value_name = "DOMAIN", value_delimiter = ',', default_value = "malloc")]
    pub domain: Vec<RecordedArg>,
}

/// [`crate::tracer::OverBudget`] as it is written on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OverBudgetArg {
    /// Tracing ends; the process goes on.
    #[default]
    Stop,
    /// Tracing goes on, and says so.
    Warn,
}

/// What to record, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RecordedArg {
    /// Blocks that allocators hand out.
    Malloc,
    /// Memory that the process maps by itself.
    Mmap,
}

/// [`crate::tracer::UnwindMode`] as it is written on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum UnwindArg {
    /// By unwind tables, and by frame pointer in code without one.
    #[default]
    Auto,
    /// By frame pointers alone.
    Fp,
    /// By unwind tables alone.
    Dwarf,
}
