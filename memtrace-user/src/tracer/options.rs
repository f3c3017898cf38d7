//! How a process is traced.

use std::sync::Arc;

use memtrace_common::unwind::mode;

use super::features;
use crate::allocators::UserFunctions;

/// How to trace.
#[derive(Debug, Clone)]
pub struct TracerOptions {
    /// Most frames of a stack, 1 to 127.
    pub max_frames: u32,
    /// Blocks of fewer bytes are not recorded.
    pub min_size: u64,
    /// How stacks are followed.
    pub unwind: UnwindMode,
    /// Tell threads apart: each has call stacks of its own.
    pub per_thread: bool,
    /// The process is started for tracing, so that all its mappings will be new.
    pub from_start: bool,
    /// Use perf-event links even where uprobe-multi links would do.
    pub without_multi: bool,
    /// See the ends of calls at the functions' exits even where return probes would do.
    pub without_return_probes: bool,
    /// Functions to trace besides those of allocators.
    pub functions: Arc<UserFunctions>,
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
    pub(super) fn for_kernel(self) -> u32 {
        let wanted = match self {
            Self::FramePointer => return mode::FRAME_POINTER,
            Self::Auto => mode::AUTO,
            Self::Tables => mode::TABLES,
        };
        if cfg!(not(target_arch = "x86_64")) {
            log::info!("the walker by unwind tables reads x86_64 rules only: stacks are followed by frame pointers");
            return mode::FRAME_POINTER;
        }
        if features::has_bpf_loop() {
            return wanted;
        }
        log::warn!("this kernel lacks bpf_loop (5.17): stacks are followed by frame pointers alone");
        mode::FRAME_POINTER
    }
}
