//! Empty probes at the places where a session would place its own.

use std::sync::Arc;

use super::{AttachError, attach::allocators_of};
use crate::{
    process::TargetProcess,
    tracer::{Recorded, Tracer, TracerOptions, UnwindMode, check_requirements},
};

/// Probes a process with programs that do nothing, with `entries_only` at entries alone; dropping the tracer removes them.
///
/// # Errors
/// As [`super::attach()`], and where the kernel has no uprobe-multi links.
pub fn place_floor(pid: u32, entries_only: bool) -> Result<Tracer, AttachError> {
    check_requirements()?;
    let target = TargetProcess::open(pid)?;
    let (_, allocators) = allocators_of(&target, &Arc::default(), Recorded::Blocks)?;
    let mut tracer =
        Tracer::load(&TracerOptions { max_frames: 1, unwind: UnwindMode::FramePointer, ..TracerOptions::default() })?;
    for allocator in &allocators {
        tracer.place_floor_probes(&allocator.probes, pid, entries_only)?;
    }
    Ok(tracer)
}
