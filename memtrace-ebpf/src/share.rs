//! What each process has taken of the tables that all share; see `memtrace_common::share`.
//!
//! Counted by atomic additions beside the tables themselves: a limit may be passed by as many blocks as there are CPUs.
//! Functions of their own: whatever way they went, the verifier goes on with one state.

use memtrace_common::{live::ADDRESS_BITS, loss, share::ShareRecord};

use crate::{
    atomic,
    loss::count,
    maps::{MOST_BLOCKS, MOST_SITES, SHARES},
};

#[inline(always)]
fn share(slot: u32) -> Option<&'static mut ShareRecord> {
    // SAFETY: a map value; other CPUs write it too, so it is read volatile and changed by atomics.
    SHARES.get_ptr_mut(slot).map(|share| unsafe { &mut *share })
}

/// Whether another block of a process may be recorded; counted when not.
#[inline(never)]
pub fn has_room_for_block(slot: u32) -> bool {
    if MOST_BLOCKS.load() == 0 {
        return true;
    }
    let Some(share) = share(slot) else { return true };
    // SAFETY: see `share`.
    if unsafe { core::ptr::read_volatile(&raw const share.blocks) } < MOST_BLOCKS.load() {
        return true;
    }
    atomic::add(&raw mut share.refused_blocks, 1);
    count(loss::SHARE_OF_BLOCKS);
    false
}

/// A block is in the table.
#[inline(never)]
pub fn block_entered(key: u64) {
    if MOST_BLOCKS.load() != 0
        && let Some(share) = share((key >> ADDRESS_BITS) as u32)
    {
        atomic::add(&raw mut share.blocks, 1);
    }
}

/// A block is in the table no more.
#[inline(never)]
pub fn block_left(key: u64) {
    if MOST_BLOCKS.load() != 0
        && let Some(share) = share((key >> ADDRESS_BITS) as u32)
    {
        atomic::add(&raw mut share.blocks, u64::MAX);
    }
}

/// Whether a process may have another call stack, which then counts. One that has its share may have as many again of the
/// innermost frames alone; beyond that it is a loss.
#[inline(never)]
pub fn takes_site(slot: u32, is_short: bool) -> bool {
    let most = MOST_SITES.load();
    if most == 0 {
        return true;
    }
    let Some(share) = share(slot) else { return true };
    // SAFETY: see `share`.
    let taken = unsafe { core::ptr::read_volatile(&raw const share.sites) };
    if taken < most || is_short && taken < 2 * most {
        atomic::add(&raw mut share.sites, 1);
        return true;
    }
    if is_short {
        atomic::add(&raw mut share.refused_sites, 1);
        count(loss::SHARE_OF_SITES);
    }
    false
}

/// A call stack that counts has found no room.
#[inline(never)]
pub fn site_left(slot: u32) {
    if MOST_SITES.load() != 0
        && let Some(share) = share(slot)
    {
        atomic::add(&raw mut share.sites, u64::MAX);
    }
}
