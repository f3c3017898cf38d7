//! Which processes are traced: what forks, executes and exits do to `TARGETS` and to slots.
//!
//! A process has a slot for each image. Children that share their parent's memory (vfork, `posix_spawn`) share its slot
//! until they execute, so a slot counts its users; when it has none, its counters are final and user space is told.

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated::bpf_ktime_get_ns};
use memtrace_common::{
    event, loss,
    process::{Era, NO_SLOT, ProcessRecord, Target, follow},
    unwind::mode,
};

use crate::{
    atomic, command,
    event::send,
    loss::count,
    mapping,
    maps::{
        FOLLOW, FREE_SLOTS, OWN_TGID, SIGNAL_LIVE, TARGETS, TASK_RUNTIME, TASK_SIGNAL, TASK_TGID, UNWIND_MODE,
        WITH_MAPPINGS,
    },
    process::{self, current_tgid},
    python,
    registers::user_stack_pointer,
    selection, thread,
};

/// `CLONE_VM` of include/uapi/linux/sched.h: parent and child share their memory.
const CLONE_VM: u64 = 0x100;
/// `CLONE_THREAD`: the child is a thread of its parent's process.
const CLONE_THREAD: u64 = 0x1_0000;

/// Takes a slot for a process; [`NO_SLOT`], and counted, when all are in use.
#[inline(always)]
fn begin(tgid: u32) -> u32 {
    let slot = match FREE_SLOTS.pop() {
        Ok(Some(slot)) => slot,
        _ => NO_SLOT,
    };
    let Some(record) = process::record(slot).filter(|_| slot != NO_SLOT) else {
        count(loss::NO_SLOT);
        return NO_SLOT;
    };
    record.tgid = tgid;
    // SAFETY: the helper reads a clock.
    record.started = unsafe { bpf_ktime_get_ns() };
    record.users = 1;
    record.copies = 0;
    record.python = 0;
    // Last of all, as it opens the slot.
    record.era = Era::first(slot).0;
    slot
}

/// A process counts in this slot no more. Returns whether it was the last.
#[inline(always)]
fn leave(slot: u32) -> bool {
    slot != NO_SLOT
        && process::record(slot).is_some_and(|record| atomic::fetch_add(&raw mut record.users, u64::MAX) == 1)
}

/// Gives a traced process that replaced its image a new slot: other counters, other stacks, other blocks.
///
/// `caller` is the id of the thread that called exec; it has become the process's first thread.
#[inline(always)]
pub fn exec(caller: u32) {
    let tgid = current_tgid();
    let everyone = FOLLOW.load() == follow::EVERYONE;
    let is_wanted = !everyone || tgid != OWN_TGID.load() && selection::is_wanted();
    let old = match TARGETS.get_ptr(tgid) {
        // SAFETY: a map value; the fields are read once.
        Some(target) => unsafe { (*target).slot },
        None if everyone && is_wanted => NO_SLOT,
        None => return,
    };
    // Without a slot the new image is not recorded.
    let slot = if is_wanted { begin(tgid) } else { NO_SLOT };
    let told = if is_wanted { TARGETS.insert(tgid, Target { slot, from_exec: 0 }, 0) } else { TARGETS.remove(tgid) };
    if told.is_err() {
        count(loss::NO_SLOT);
    }
    if let Some(thread) = thread::existing() {
        thread.slot = u64::from(slot);
        thread.pending.stack_pointer = 0;
        thread.suspended.stack_pointer = 0;
    }
    if slot != NO_SLOT {
        command::keep(slot);
        if UNWIND_MODE.load() != mode::FRAME_POINTER
            && let Some(thread) = thread::current()
        {
            // The new image's first stack pointer: above it are arguments and environment, and no frame.
            thread.stack_top = user_stack_pointer();
        }
    }
    let by_thread = caller != tgid;
    if by_thread && FOLLOW.load() == follow::NONE {
        count(loss::LATE_PROBES);
    }
    leave(old);
    if WITH_MAPPINGS.load() != 0 {
        mapping::exec(slot);
    }
    send(if by_thread { event::EXEC_BY_THREAD } else { event::EXEC }, tgid, slot, old);
}

/// A process or a thread is made, by the running one.
#[inline(always)]
pub fn new_task(task: u64, clone_flags: u64) {
    if clone_flags & CLONE_THREAD != 0 {
        return;
    }
    let parent = current_tgid();
    let Some(target) = TARGETS.get_ptr(parent) else { return };
    // SAFETY: a map value; the field is read once.
    let slot = unsafe { (*target).slot };
    if FOLLOW.load() == follow::NONE {
        if clone_flags & CLONE_VM == 0 {
            // With a memory of its own it has breakpoints of its own: user space takes them out.
            send(event::FORK, parent, NO_SLOT, slot);
        }
        return;
    }
    if slot == NO_SLOT {
        return;
    }
    let child = field(task, TASK_TGID.load());
    if clone_flags & CLONE_VM != 0 {
        if let Some(record) = process::record(slot) {
            atomic::add(&raw mut record.users, 1);
            if TARGETS.insert(child, Target { slot, from_exec: 0 }, 0).is_err() {
                leave(slot);
                count(loss::NO_SLOT);
            }
        }
        return;
    }
    fork(child, slot);
}

/// A child with a copy of its parent's memory, before it runs: it has no blocks of its own yet, and the same mappings.
#[inline(always)]
fn fork(child: u32, parent: u32) {
    if !process::record(parent).is_some_and(process::is_open) {
        return;
    }
    let slot = begin(child);
    if slot == NO_SLOT {
        return;
    }
    if let Some(record) = process::record(slot)
        && let Some(home) = process::record(parent)
        && let Some(counted) = process::record(Era(home.era).slot())
    {
        inherit(record, counted);
        python::inherit(record, slot, counted);
    }
    if TARGETS.insert(child, Target { slot, from_exec: 0 }, 0).is_err() {
        count(loss::NO_SLOT);
        leave(slot);
        return;
    }
    if WITH_MAPPINGS.load() != 0 {
        mapping::fork(child, slot);
    }
    send(event::FORK, child, slot, parent);
}

/// Until user space publishes the child's own list, its stacks are followed by its parent's. A list that is replaced
/// meanwhile stays where it is as long as a record names it.
#[inline(always)]
fn inherit(child: &mut ProcessRecord, parent: &ProcessRecord) {
    // SAFETY: map values; volatile, as user space writes them. First the list: a number that is newer is noticed by
    // nobody, an older one by the rules in the cache.
    unsafe {
        let list = core::ptr::read_volatile(&raw const parent.mapping_list);
        let generation = core::ptr::read_volatile(&raw const parent.generation);
        core::ptr::write_volatile(&raw mut child.generation, generation);
        core::ptr::write_volatile(&raw mut child.mapping_list, list);
    }
}

/// A thread ends. When it is the last of a traced process, so does the process.
#[inline(always)]
pub fn thread_exit(task: u64) {
    let tgid = current_tgid();
    let Some(target) = TARGETS.get_ptr(tgid) else { return };
    count_runtime(task, target);
    // Threads that exit at once may all see that none is left; the entry is removed by one of them.
    if threads_left(task) != 0 {
        return;
    }
    // SAFETY: a map value; the field is read once, and stays what it is as no thread is left to execute a program.
    let slot = unsafe { (*target).slot };
    if TARGETS.remove(tgid).is_ok() && leave(slot) {
        send(event::EXIT, tgid, slot, NO_SLOT);
    }
}

/// The thread's CPU time counts for its process: when that is gone, nobody can be asked.
#[inline(always)]
fn count_runtime(task: u64, target: *const Target) {
    // SAFETY: reads kernel memory; the helper checks the address.
    let runtime = unsafe { bpf_probe_read_kernel(task.wrapping_add(u64::from(TASK_RUNTIME.load())) as *const u64) };
    // SAFETY: a map value; the field is read once.
    let slot = unsafe { (*target).slot };
    if let Some(record) = process::record(slot).filter(|_| slot != NO_SLOT) {
        atomic::add(&raw mut record.ended_nanos, runtime.unwrap_or(0));
    }
}

/// Threads of a task's process that have not begun to exit. The first thread may be gone long before the others.
#[inline(always)]
fn threads_left(task: u64) -> u32 {
    // SAFETY: reads kernel memory; the helper checks the address.
    let signal = unsafe { bpf_probe_read_kernel(task.wrapping_add(u64::from(TASK_SIGNAL.load())) as *const u64) };
    signal.map_or(1, |signal| field(signal, SIGNAL_LIVE.load()))
}

/// A 32-bit field of a structure of the kernel's.
#[inline(always)]
fn field(structure: u64, offset: u32) -> u32 {
    // SAFETY: reads kernel memory; the helper checks the address.
    unsafe { bpf_probe_read_kernel(structure.wrapping_add(u64::from(offset)) as *const u32) }.unwrap_or(0)
}
