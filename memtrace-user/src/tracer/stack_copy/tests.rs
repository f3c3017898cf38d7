//! Stacks made by hand.

use memtrace_common::unwind::return_address;

use super::*;

/// A stack at 0x7000 with these words, the frame pointer at 0x7008, code at 0x1000.
fn stack(words: &[u64]) -> StackCopy {
    let header = CopyHeader { instruction: 0x1000, stack: 0x7000, frame: 0x7008, ..CopyHeader::default() };
    StackCopy { header, bytes: words.iter().flat_map(|word| word.to_ne_bytes()).collect() }
}

fn packed(kind: u64, offset: i64, saved: u64, extra: u64) -> u64 {
    rule::pack(kind, offset, saved, extra).expect("fits")
}

/// A frame by stack pointer, then one by frame pointer, then the outermost: each address once, and a whole stack.
#[test]
fn rules_are_followed_to_the_outermost_frame() {
    // 0x7000: local, 0x7008: saved frame pointer, 0x7010: return to 0x2000; 0x7018: next, 0x7020: return to 0x3000.
    let copy = stack(&[0, 0x7018, 0x2000, 0, 0x3000]);
    let found = copy.follow(Machine::X86_64, 127, |address| match address {
        0xfff => packed(kind::STACK_POINTER, 24, 2, 0),
        0x1fff => kind::CHAIN,
        _ => kind::OUTERMOST,
    });
    assert_eq!(found, (vec![0x1000, 0x2000, 0x3000], end::WHOLE));
}

/// A frame whose end is stored on the stack, at the stack pointer or at the frame pointer, is found.
#[test]
fn stored_ends_are_followed() {
    let copy = stack(&[0x7018, 0x7028, 0, 0x2000, 0, 0x3000]);
    let found = copy.follow(Machine::X86_64, 127, |address| match address {
        0xfff => packed(kind::STACK_INDIRECT, 0, 0, 8),
        0x1fff => packed(kind::FRAME_INDIRECT, 0, 0, 8),
        _ => kind::OUTERMOST,
    });
    assert_eq!(found, (vec![0x1000, 0x2000, 0x3000], end::WHOLE));
}

/// A stack that is longer than its copy, or meets unknown code, is incomplete for that reason; one above the limit is cut.
#[test]
fn ends_are_told_apart() {
    let copy = stack(&[0, 0x7018, 0x2000, 0, 0x3000]);
    let deep = packed(kind::STACK_POINTER, 4096, 0, 0);
    assert_eq!(copy.follow(Machine::X86_64, 127, |_| deep).1, end::UNREADABLE);
    assert_eq!(copy.follow(Machine::X86_64, 127, |_| rule::ended(end::NO_MAPPING)), (vec![0x1000], end::NO_MAPPING));
    assert_eq!(copy.follow(Machine::X86_64, 127, |_| kind::NONE).1, end::NO_RULE);
    let frame = packed(kind::STACK_POINTER, 24, 0, 0);
    assert_eq!(copy.follow(Machine::X86_64, 1, |_| frame), (vec![0x1000], end::TRUNCATED));
}

/// aarch64: a frame record far above the stack pointer, a return address saved alone, and a signature that is taken off.
#[test]
fn aarch64_frames_are_followed() {
    let signed = 0x2000 | 0x5a << 48;
    // 0x7010: frame record (0x7018, signed); the frame ends at 0x7020. Then the return address alone at 0x7028.
    let copy = stack(&[0, 0, 0x7018, signed, 0, 0x3000]);
    let found = copy.follow(Machine::Aarch64, 127, |address| match address {
        0xfff => packed(kind::STACK_POINTER, 0x20, 2, return_address::BESIDE_FRAME_POINTER),
        0x1fff => packed(kind::STACK_POINTER, 0x10, 0, 1),
        _ => kind::OUTERMOST,
    });
    assert_eq!(found, (vec![0x1000, 0x2000, 0x3000], end::WHOLE));
}

/// aarch64: a leaf function that a signal interrupted returns by x30; in any other frame that register is long lost.
#[test]
fn aarch64_link_register_after_a_signal() {
    let mut words = vec![0; 80];
    let registers = 312 / 8;
    words[registers + 29] = 0x7300;
    words[registers + 30] = 0x3000;
    words[registers + 31] = 0x7270;
    words[registers + 32] = 0x2000;
    let copy = stack(&words);
    let leaf = packed(kind::STACK_POINTER, 0, 0, return_address::IN_REGISTER);
    let found = copy.follow(Machine::Aarch64, 127, |address| match address {
        0xfff => kind::SIGNAL,
        0x2000 => leaf,
        _ => kind::OUTERMOST,
    });
    assert_eq!(found, (vec![0x1000, 0x2001, 0x3000], end::WHOLE), "an interrupted address is kept one further");
    assert_eq!(copy.follow(Machine::Aarch64, 127, |_| leaf).1, end::UNREADABLE);
}

/// aarch64: the C library's function for a system call may return by x30, which is known where the call is recorded.
#[test]
fn aarch64_link_register_at_a_system_call() {
    let mut copy = stack(&[0, 0, 0, 0]);
    copy.header.link = 0x2000;
    let leaf = packed(kind::STACK_POINTER, 0, 0, return_address::IN_REGISTER);
    let found = copy.follow(Machine::Aarch64, 127, |address| if address == 0xfff { leaf } else { kind::OUTERMOST });
    assert_eq!(found, (vec![0x1000, 0x2000], end::WHOLE));
}
