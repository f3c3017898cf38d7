//! How a process is traced.

use std::sync::Arc;

use memtrace_common::{process::follow, site::MAX_FRAMES, unwind::mode};

use super::{everyone::Shares, features};
use crate::allocators::UserFunctions;

/// How to trace.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct TracerOptions {
    /// Most frames of a stack, 1 to 127.
    pub max_frames: u32,
    /// Blocks of fewer bytes are not recorded.
    pub min_size: u64,
    /// Blocks are sampled, by one byte in so many on average; 0: every block is recorded.
    pub sample_bytes: u64,
    /// Most that tracing may cost, as a share of the process's CPU time: memtrace begins to sample, or samples less, to stay
    /// below it. `sample_bytes` is then where it begins.
    pub max_overhead: Option<f64>,
    /// What happens where that cannot be kept.
    pub over_budget: OverBudget,
    /// How stacks are followed.
    pub unwind: UnwindMode,
    /// Tell threads apart: each has call stacks of its own.
    pub per_thread: bool,
    /// The process is started for tracing, so that all its mappings will be new.
    pub from_start: bool,
    /// Which processes are traced besides the one that is named.
    pub follow: Follow,
    /// What is recorded.
    pub recorded: Recorded,
    /// Accelerators that are left alone even where they are to be had.
    pub without: Vec<Accelerator>,
    /// Functions to trace besides those of allocators.
    pub functions: Arc<UserFunctions>,
    /// Python frames are not looked for.
    pub native_only: bool,
    /// A command that is started keeps Python's own allocator, which hides small objects.
    pub keep_pymalloc: bool,
    /// Recording goes on while a Python interpreter takes itself apart at its end, which gives back all that its program holds.
    pub through_exit: bool,
    /// What each process may take of the tables, where all are traced.
    pub shares: Shares,
}

/// What happens when the traps alone cost more than tracing may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverBudget {
    /// Tracing ends; the process goes on.
    Stop,
    /// It goes on, and says so.
    Warn,
}

/// Which processes are traced besides those that are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Follow {
    /// None: no other process gets a breakpoint.
    #[default]
    Nobody,
    /// What the named ones start, and what that starts. All processes that map a probed file get its breakpoints.
    Children,
    /// Every process of the machine that is selected, those that begin later as well.
    Everyone,
}

impl Follow {
    /// The constant of `memtrace_common::process::follow`.
    pub(super) const fn constant(self) -> u32 {
        match self {
            Self::Nobody => follow::NONE,
            Self::Children => follow::CHILDREN,
            Self::Everyone => follow::EVERYONE,
        }
    }
}

/// What is recorded of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recorded {
    /// Blocks of allocators.
    #[default]
    Blocks,
    /// Memory that the process maps. Whether an allocator does is not known.
    Mappings,
    /// Both.
    Both,
}

impl Recorded {
    /// Whether allocators are probed.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Blocks | Self::Both)
    }

    /// Whether system calls that map memory are followed.
    #[must_use]
    pub const fn mappings(self) -> bool {
        matches!(self, Self::Mappings | Self::Both)
    }
}

/// A kernel feature that is used where it is there, and done without where it is not. The numbers are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// uprobe-multi links that filter by process; without, a perf-event link for each probe.
    Multi,
    /// Session probes; without, entries and returns of functions have probes of their own.
    Session,
    /// `bpf_loop`; without, stacks are followed by frame pointers alone.
    BpfLoop,
    /// Return probes; without, the ends of calls are seen at the functions' exits.
    ReturnProbes,
    /// BPF trampolines; without, what processes map is followed by tracepoints, at some cost to every system call.
    Trampolines,
}

impl Accelerator {
    /// Every accelerator, its word on the command line, and what it stands for.
    pub const WORDS: [(Self, &str, &str); 5] = [
        (Self::Multi, "multi", "uprobe-multi links"),
        (Self::Session, "session", "session probes"),
        (Self::BpfLoop, "bpf-loop", "bpf_loop"),
        (Self::ReturnProbes, "return-probes", "return probes"),
        (Self::Trampolines, "trampolines", "BPF trampolines"),
    ];
}

impl Default for TracerOptions {
    fn default() -> Self {
        Self {
            max_frames: MAX_FRAMES,
            min_size: 0,
            sample_bytes: 0,
            max_overhead: None,
            over_budget: OverBudget::Stop,
            unwind: UnwindMode::Auto,
            per_thread: false,
            from_start: false,
            follow: Follow::Nobody,
            recorded: Recorded::default(),
            without: Vec::new(),
            functions: Arc::default(),
            native_only: false,
            keep_pymalloc: false,
            through_exit: false,
            shares: Shares::default(),
        }
    }
}

impl TracerOptions {
    /// Whether an accelerator may be used.
    #[must_use]
    pub fn allows(&self, accelerator: Accelerator) -> bool {
        !self.without.contains(&accelerator)
    }

    /// Whether the BPF programs may use `bpf_loop`, as for Python's frames.
    pub(super) fn may_loop(&self) -> bool {
        self.allows(Accelerator::BpfLoop) && features::has_bpf_loop()
    }

    /// How stacks are followed on this kernel: a constant of `memtrace_common::unwind::mode`.
    pub(super) fn unwind_mode(&self) -> u32 {
        self.unwind.for_kernel(self.allows(Accelerator::BpfLoop))
    }
}

/// How stacks are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnwindMode {
    /// By unwind tables, and by frame pointer in code without one; by frame pointers alone where the kernel lacks
    /// `bpf_loop` (5.17).
    #[default]
    Auto,
    /// By frame pointers alone.
    FramePointer,
    /// By unwind tables alone.
    Tables,
}

impl UnwindMode {
    /// As the command line has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::FramePointer => "fp",
            Self::Tables => "dwarf",
        }
    }

    /// The constant of `memtrace_common::unwind::mode`, for this kernel.
    fn for_kernel(self, may_loop: bool) -> u32 {
        let wanted = match self {
            Self::FramePointer => return mode::FRAME_POINTER,
            Self::Auto => mode::AUTO,
            Self::Tables => mode::TABLES,
        };
        if !may_loop {
            return mode::FRAME_POINTER;
        }
        if features::has_bpf_loop() {
            return wanted;
        }
        log::warn!("this kernel lacks bpf_loop (5.17): stacks are followed by frame pointers alone");
        mode::FRAME_POINTER
    }
}
