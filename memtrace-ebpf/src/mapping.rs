//! The mmap domain: what system calls change in the memory that a process has mapped; see `memtrace_common::mapping`.
//!
//! The programs hang on the kernel functions of these few system calls, so nothing else that any process does is slowed
//! down. Of a process that is not traced they do no more than look it up.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_ringbuf_output, bpf_ringbuf_query},
};
use memtrace_common::{
    loss,
    mapping::{MappingEvent, RING_BYTES, kind},
    process::Era,
    site::domain,
};

use crate::{
    live,
    loss::count,
    maps::MAPPING_EVENTS,
    process, record,
    registers::{Caller, SystemCall},
    stack,
    thread::Thread,
};

/// `MAP_ANONYMOUS` of include/uapi/asm-generic/mman-common.h, the same on both machines.
const MAP_ANONYMOUS: u64 = 0x20;

/// Results from here on are error numbers.
const FIRST_ERROR: u64 = (-4095_i64).cast_unsigned();

/// The running thread, if its process is traced, and where its calls are counted.
#[inline(always)]
fn traced<'a>() -> Option<(&'a mut Thread, Era)> {
    let thread = process::traced_thread()?;
    let era = process::era(thread)?;
    Some((thread, era))
}

/// An event of the running thread, without what is particular to its kind.
#[inline(always)]
fn event(kind: u32, era: Era) -> MappingEvent {
    let ids = bpf_get_current_pid_tgid();
    MappingEvent {
        kind,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
        slot: era.slot(),
        ticks: live::now(),
        ..MappingEvent::default()
    }
}

/// Adds where the call came from.
#[inline(always)]
fn add_site(event: &mut MappingEvent, thread: &mut Thread, era: Era) {
    let caller = Caller::of_system_call();
    event.in_allocator = u32::from(record::is_in_allocator(thread, caller.stack_pointer()));
    if let Some(process) = process::record(era.slot()) {
        event.site = stack::walk(thread, era.slot(), process, caller, domain::MAPPINGS);
    }
}

/// Without waking user space, which looks at each reading, unless the ring fills.
#[inline(always)]
fn send(event: &MappingEvent) {
    const AVAILABLE: u64 = 0;
    const NO_WAKEUP: u64 = 1;
    const FORCE_WAKEUP: u64 = 2;
    let ring = (&raw const MAPPING_EVENTS).cast_mut().cast::<c_void>();
    // SAFETY: asks for a number.
    let waiting = unsafe { bpf_ringbuf_query(ring, AVAILABLE) };
    let flags = if waiting > u64::from(RING_BYTES) / 4 { FORCE_WAKEUP } else { NO_WAKEUP };
    let bytes = core::ptr::from_ref(event).cast_mut().cast::<c_void>();
    // SAFETY: so many bytes of the event are read.
    if unsafe { bpf_ringbuf_output(ring, bytes, size_of::<MappingEvent>() as u64, flags) } != 0 {
        count(loss::MAPPING_DROPPED);
    }
}

/// mmap(2) has returned.
#[inline(always)]
pub fn mapped(result: u64) {
    let Some((thread, era)) = traced() else { return };
    if result >= FIRST_ERROR {
        return;
    }
    let call = SystemCall::current();
    let mut event = event(kind::MAP, era);
    event.start = result;
    event.length = call.argument(1);
    event.protection = call.argument(2) as u32;
    event.flags = call.argument(3) as u32;
    // A file's mapping is not counted; it may take the place of what is.
    if u64::from(event.flags) & MAP_ANONYMOUS != 0 {
        add_site(&mut event, thread, era);
    }
    send(&event);
}

/// munmap(2) is called, or mremap(2): `kind` says which.
#[inline(always)]
pub fn takes_away(kind: u32) {
    let Some((_, era)) = traced() else { return };
    let call = SystemCall::current();
    let mut event = event(kind, era);
    event.start = call.argument(0);
    event.length = call.argument(1);
    send(&event);
}

/// munmap(2) has returned.
#[inline(always)]
pub fn unmapped(result: u64) {
    let Some((_, era)) = traced() else { return };
    if result != 0 {
        send(&event(kind::UNMAP_FAILED, era));
    }
}

/// mremap(2) has returned.
#[inline(always)]
pub fn remapped(result: u64) {
    let Some((thread, era)) = traced() else { return };
    let call = SystemCall::current();
    let mut event = event(kind::REMAPPED, era);
    if result < FIRST_ERROR {
        event.start = result;
        event.length = call.argument(2);
        event.flags = call.argument(3) as u32;
        event.result = call.argument(0);
        add_site(&mut event, thread, era);
    }
    send(&event);
}

/// brk(2) has returned the end of the heap segment.
#[inline(always)]
pub fn broke(result: u64) {
    let Some((thread, era)) = traced() else { return };
    let wanted = SystemCall::current().argument(0);
    let mut event = event(kind::BREAK, era);
    event.start = result;
    if wanted != 0 && wanted == result {
        add_site(&mut event, thread, era);
    }
    send(&event);
}

/// `mprotect(2)` or `pkey_mprotect(2)` has returned.
#[inline(always)]
pub fn protected(result: u64) {
    let Some((_, era)) = traced() else { return };
    if result != 0 {
        return;
    }
    let call = SystemCall::current();
    let mut event = event(kind::PROTECT, era);
    event.start = call.argument(0);
    event.length = call.argument(1);
    event.protection = call.argument(2) as u32;
    send(&event);
}

/// The running process has replaced its image.
#[inline(always)]
pub fn exec(slot: u32) {
    send(&event(kind::EXEC, Era::first(slot)));
}

/// The running process is about to have a child with a copy of its memory, whose calls are counted in a slot of its own.
#[inline(always)]
pub fn fork(child: u32, slot: u32) {
    let mut event = event(kind::FORK, Era::first(slot));
    event.start = u64::from(event.tgid);
    event.tgid = child;
    event.tid = child;
    send(&event);
}
