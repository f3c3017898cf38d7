//! Whether the running process, which has just executed a program, is to be traced; see `memtrace_common::selection`.

use aya_ebpf::helpers::{
    bpf_get_current_uid_gid,
    generated::{bpf_get_current_cgroup_id, bpf_get_current_comm},
};
use memtrace_common::selection::{NAME_BYTES, by, verdict};

use crate::maps::{GROUP_VERDICTS, SELECTED_NAMES, SELECTED_USERS, SELECTION};

/// By all that is asked for. Cheapest first.
#[inline(always)]
pub fn is_wanted() -> bool {
    // SAFETY: a map value that user space writes; volatile for that.
    let rules = SELECTION.get_ptr(0).map_or(0, |word| unsafe { core::ptr::read_volatile(word) });
    rules & by::BEGUN != 0
        && (rules & by::USER == 0 || has_user())
        && (rules & by::NAME == 0 || has_name())
        && (rules & by::GROUP == 0 || may_be_of_group())
}

#[inline(always)]
fn has_user() -> bool {
    SELECTED_USERS.get_ptr(bpf_get_current_uid_gid() as u32).is_some()
}

#[inline(always)]
fn has_name() -> bool {
    let mut name = [0_u8; NAME_BYTES];
    // SAFETY: the helper writes no more than these bytes, and zeroes behind the name.
    unsafe { bpf_get_current_comm(name.as_mut_ptr().cast(), NAME_BYTES as u32) };
    SELECTED_NAMES.get_ptr(name).is_some()
}

/// Of a group that user space has not looked at, a process is traced until it has.
#[inline(always)]
fn may_be_of_group() -> bool {
    // SAFETY: the helper (4.18) reads the task's group in the one hierarchy of version 2.
    let group = unsafe { bpf_get_current_cgroup_id() };
    // SAFETY: the value is copied out at once.
    unsafe { GROUP_VERDICTS.get(group) }.is_none_or(|known| *known == verdict::SELECTED)
}
