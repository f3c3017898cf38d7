//! What rules mean on `x86_64`; see memtrace-ebpf/src/stack/x86_64.rs.

use memtrace_common::{
    site::end,
    unwind::{kind, rule},
};

use super::{End, Registers, StackCopy};

/// Places in `struct rt_sigframe`.
const SIGNAL_FRAME_POINTER: u64 = 120;
const SIGNAL_STACK_POINTER: u64 = 160;
const SIGNAL_INSTRUCTION_POINTER: u64 = 168;

/// The caller's registers.
pub fn caller(copy: &StackCopy, at: &Registers, found: u64) -> Result<Registers, End> {
    let offset = rule::offset(found).cast_unsigned();
    let (saved, extra) = (rule::saved(found), rule::extra(found));
    match rule::kind(found) {
        kind::STACK_POINTER => above(copy, at, at.stack.wrapping_add(offset), saved, at.frame),
        kind::FRAME_POINTER => above(copy, at, at.frame.wrapping_add(offset), saved, at.frame),
        kind::CHAIN => above(copy, at, at.frame.wrapping_add(16), 2, at.frame),
        kind::PLT => {
            let pushed = at.instruction.wrapping_sub(at.behind_call) & 15 >= extra;
            above(copy, at, at.stack.wrapping_add(if pushed { 16 } else { 8 }), 0, at.frame)
        }
        kind::STORED => {
            let caller_frame = copy.need(at.frame.wrapping_add(offset))?;
            let frame = copy.need(at.frame)?;
            above(copy, at, caller_frame, 0, frame)
        }
        kind::STACK_INDIRECT => {
            let stored = copy.need(at.stack.wrapping_add(offset))?;
            above(copy, at, stored.wrapping_add(extra), saved, at.frame)
        }
        kind::FRAME_INDIRECT => {
            let stored = copy.need(at.frame.wrapping_add(offset))?;
            above(copy, at, stored.wrapping_add(extra), saved, at.frame)
        }
        kind::SIGNAL => Ok(Registers {
            instruction: copy.need(at.stack.wrapping_add(SIGNAL_INSTRUCTION_POINTER))?,
            stack: copy.need(at.stack.wrapping_add(SIGNAL_STACK_POINTER))?,
            frame: copy.need(at.stack.wrapping_add(SIGNAL_FRAME_POINTER))?,
            behind_call: 0,
            link: 0,
        }),
        _ => Err(end::UNSUPPORTED),
    }
}

/// The caller's registers, from where its frame begins: the return address is just below.
fn above(copy: &StackCopy, at: &Registers, caller_frame: u64, saved: u64, frame: u64) -> Result<Registers, End> {
    if caller_frame <= at.stack {
        return Err(end::UNREADABLE);
    }
    let instruction = copy.need(caller_frame.wrapping_sub(8))?;
    let frame = if saved == 0 { frame } else { copy.need(caller_frame.wrapping_sub(saved << 3))? };
    Ok(Registers { instruction, stack: caller_frame, frame, behind_call: 1, link: 0 })
}
