//! What rules mean on aarch64; see memtrace-ebpf/src/stack/aarch64.rs.

use memtrace_common::{
    site::end,
    unwind::{kind, return_address, rule},
};

use super::{End, Registers, StackCopy};

/// x0 in `struct rt_sigframe`; x1 to x30, sp and pc follow.
const SIGNAL_REGISTERS: u64 = 312;
/// Bits of a return address that are no signature.
const CODE_ADDRESS: u64 = (1 << 48) - 1;

/// The caller's registers.
pub fn caller(copy: &StackCopy, at: &Registers, found: u64) -> Result<Registers, End> {
    let offset = rule::offset(found).cast_unsigned();
    match rule::kind(found) {
        kind::STACK_POINTER => above(copy, at, at.stack.wrapping_add(offset), found),
        kind::FRAME_POINTER => above(copy, at, at.frame.wrapping_add(offset), found),
        kind::CHAIN if at.frame >= at.stack => Ok(Registers {
            instruction: copy.need(at.frame.wrapping_add(8))? & CODE_ADDRESS,
            stack: at.frame.wrapping_add(16),
            frame: copy.need(at.frame)?,
            behind_call: 1,
            link: 0,
        }),
        kind::SIGNAL => {
            let register = |number: u64| copy.need(at.stack.wrapping_add(SIGNAL_REGISTERS + 8 * number));
            Ok(Registers {
                frame: register(29)?,
                link: register(30)?,
                stack: register(31)?,
                instruction: register(32)?,
                behind_call: 0,
            })
        }
        kind::CHAIN => Err(end::UNREADABLE),
        _ => Err(end::UNSUPPORTED),
    }
}

/// The caller's registers, from where its frame begins.
fn above(copy: &StackCopy, at: &Registers, caller_frame: u64, found: u64) -> Result<Registers, End> {
    let (saved, back) = (rule::saved(found), rule::extra(found));
    let in_register = back == return_address::IN_REGISTER;
    let goes_up = if in_register { caller_frame >= at.stack && at.link != 0 } else { caller_frame > at.stack };
    if !goes_up {
        return Err(end::UNREADABLE);
    }
    let frame_at = caller_frame.wrapping_sub(saved << 3);
    let frame = if saved == 0 { at.frame } else { copy.need(frame_at)? };
    let address = match back {
        return_address::IN_REGISTER => at.link,
        return_address::BESIDE_FRAME_POINTER => copy.need(frame_at.wrapping_add(8))?,
        words => copy.need(caller_frame.wrapping_sub(words << 3))?,
    };
    Ok(Registers { instruction: address & CODE_ADDRESS, stack: caller_frame, frame, behind_call: 1, link: 0 })
}
