//! The table of call stacks; see `memtrace_common::site`.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, generated::bpf_get_current_comm};
use memtrace_common::{
    live::LiveEntry,
    loss,
    sampling::Weight,
    site::{
        FIRST_SHORT, FIRST_SITE, FRAME_WORDS, NO_SITE, PROBES, RELEASED, SHORT_BESIDE_PYTHON, SHORT_FRAMES,
        SHORT_PLACES, SHORT_PYTHON, SHORT_SITES, SHORT_WORDS, SITES as COUNT, THREAD_WORDS, end, header,
    },
};

use crate::{
    atomic, live,
    loss::count,
    maps::{CURSORS, FRAMES, FRAMES_READ, NEXT_FRAME_WORD, PER_THREAD, SHORT_LIFE_TICKS, SITES},
    python, sampling, share,
    stack::{finish_hash, mix},
    thread::{self, FRAME_PLACES, Thread},
};

const _: () = assert!(COUNT.is_power_of_two() && FRAME_WORDS.is_power_of_two());

/// Adds an allocated block to a site.
#[inline(always)]
pub fn count_allocated(site: u32, weight: Weight) {
    if let Some(record) = SITES.get_ptr_mut(site) {
        // SAFETY: a map value; only places in it are computed.
        let (blocks, bytes) = unsafe { (&raw mut (*record).allocated_blocks, &raw mut (*record).allocated_bytes) };
        atomic::add(blocks, weight.blocks);
        atomic::add(bytes, weight.bytes);
        if sampling::is_on() {
            // SAFETY: as above.
            atomic::add(unsafe { &raw mut (*record).allocated_variance }, weight.variance);
        }
    }
}

/// Adds a freed block to the site that had allocated it.
#[inline(always)]
pub fn count_freed(site: u32, weight: Weight) {
    if let Some(record) = SITES.get_ptr_mut(site) {
        // SAFETY: a map value; only places in it are computed.
        let (blocks, bytes) = unsafe { (&raw mut (*record).freed_blocks, &raw mut (*record).freed_bytes) };
        atomic::add(blocks, weight.blocks);
        atomic::add(bytes, weight.bytes);
        if sampling::is_on() {
            // SAFETY: as above.
            atomic::add(unsafe { &raw mut (*record).freed_variance }, weight.variance);
        }
    }
}

/// Adds a block that is freed at this moment. Returns the bytes that it stands for.
#[inline(always)]
pub fn count_freed_now(block: &LiveEntry) -> u64 {
    let weight = sampling::weight(block.size);
    count_freed(block.site, weight);
    if live::now().wrapping_sub(block.ticks) > SHORT_LIFE_TICKS.load() {
        return weight.bytes;
    }
    // After the freed blocks, of which these are a part: user space reads them in the opposite order.
    if let Some(record) = SITES.get_ptr_mut(block.site) {
        // SAFETY: a map value; only a place in it is computed.
        atomic::add(unsafe { &raw mut (*record).short_lived }, weight.blocks);
    }
    weight.bytes
}

/// The index of the site with this hash; a new one gets the thread's frames. When there is no room, an index below
/// [`FIRST_SITE`].
#[inline(always)]
pub fn find_or_add(hash: u64, slot: u32, end: u64) -> u32 {
    let index = first(hash);
    if hash_at(index) == Some(hash) {
        return index;
    }
    memtrace_find_or_add_site(hash, u64::from(index), u64::from(slot), end) as u32
}

/// The same for the innermost frames alone. When there is no room for them either, that is counted as a loss.
#[inline(always)]
pub fn find_or_add_short(seed: u64, slot: u32) -> u32 {
    memtrace_find_or_add_short_site(seed, u64::from(slot)) as u32
}

/// [`NO_SITE`] when all entries that are tried are taken, and the slot when there is no room for another reason.
///
/// A global function of plain words, that is, one with a name for the linker: the verifier takes it apart once, and not
/// once for each way that leads to it. With this search in line, it was most of what is verified at an attach.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn memtrace_find_or_add_site(hash: u64, index: u64, slot: u64, end: u64) -> u64 {
    let (mut index, slot) = (index as u32, slot as u32);
    let mut free = NO_SITE;
    for _ in 0..PROBES {
        let Some(found) = hash_at(index) else { return u64::from(slot) };
        if found == hash {
            return u64::from(index);
        }
        if found == 0 || found == RELEASED {
            // The entry may still lie behind those of processes that are gone.
            free = if free == NO_SITE { index } else { free };
            if found == 0 {
                break;
            }
        }
        index = next(index);
    }
    if free == NO_SITE {
        return u64::from(NO_SITE);
    }
    if !share::takes_site(slot, index >= FIRST_SHORT) {
        return u64::from(slot);
    }
    // Here, and not where they are stored: to 6.1, the stacks of programs that call each other may hold 512 bytes in all.
    if index < FIRST_SHORT {
        python::name_frames(FRAME_PLACES as u64);
    }
    memtrace_add_site(hash, u64::from(free), u64::from(slot), end)
}

/// See [`find_or_add_short`]; global as [`memtrace_find_or_add_site`] is.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn memtrace_find_or_add_short_site(seed: u64, slot: u64) -> u64 {
    let Some(thread) = thread::existing() else { return slot };
    let has_python = thread.python_frames != 0;
    let most = if has_python { SHORT_BESIDE_PYTHON } else { SHORT_FRAMES };
    if thread.frame_count > most {
        thread.frame_count = most;
    }
    let mut hash = seed;
    for index in 0..SHORT_FRAMES {
        if index >= thread.frame_count {
            break;
        }
        hash = mix(hash, thread.frames[index as usize]);
    }
    if has_python {
        python::name_frames(SHORT_PYTHON);
        let words = python::words_to_line(thread.python_frames);
        for index in 0..words {
            hash = mix(hash, python::word(index));
        }
        thread.python_frames = words;
    }
    let hash = finish_hash(hash);
    let mut place = hash;
    for _ in 0..SHORT_PLACES {
        let index = FIRST_SHORT + (((place >> 32) * u64::from(SHORT_SITES)) >> 32) as u32;
        let site = memtrace_find_or_add_site(hash, u64::from(index), slot, end::NO_ROOM);
        if site != u64::from(NO_SITE) {
            return site;
        }
        place = finish_hash(place);
    }
    count(loss::SITES_FULL);
    slot
}

/// The hash of an entry. Volatile, as other CPUs write it.
#[inline(always)]
fn hash_at(index: u32) -> Option<u64> {
    // SAFETY: a map value.
    SITES.get_ptr_mut(index).map(|record| unsafe { core::ptr::read_volatile(&raw const (*record).hash) })
}

/// Spread evenly over all entries but the reserved ones: a stretch that takes twice its share would soon be full.
#[inline(always)]
fn first(hash: u64) -> u32 {
    FIRST_SITE + (((hash >> 32) * u64::from(FIRST_SHORT - FIRST_SITE)) >> 32) as u32
}

/// The next entry of the same part.
#[inline(always)]
fn next(index: u32) -> u32 {
    match index + 1 {
        FIRST_SHORT => FIRST_SITE,
        next if next >= COUNT => FIRST_SHORT,
        next => next,
    }
}

/// Stores the frames, then claims an entry at `index` or after it. A stack that another thread adds at the same time
/// is stored twice and counted once. Global as [`memtrace_find_or_add_site`] is.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn memtrace_add_site(hash: u64, start: u64, slot: u64, end: u64) -> u64 {
    let (start, slot) = (start as u32, slot as u32);
    let is_short = start >= FIRST_SHORT;
    let Some(thread) = thread::existing() else { return u64::from(slot) };
    let Some(word) = store_frames(thread, is_short) else {
        share::site_left(slot);
        if is_short {
            count(loss::FRAMES_FULL);
        }
        return u64::from(slot);
    };
    let index = claim(hash, start, slot);
    if let Some(place) = FRAMES.get_ptr_mut(word) {
        let frames = thread.frame_count + thread_words();
        atomic::publish(place, header::pack(index, slot, end, frames, thread.python_frames));
    }
    u64::from(index)
}

/// Claims an entry for the hash, or finds the one that another thread has claimed.
#[inline(always)]
fn claim(hash: u64, start: u32, slot: u32) -> u32 {
    let mut index = start;
    for _ in 0..PROBES {
        let Some(record) = SITES.get_ptr_mut(index) else { return slot };
        // SAFETY: a map value; only a place in it is computed.
        let place = unsafe { &raw mut (*record).hash };
        if atomic::replace_if(place, 0, hash) || atomic::replace_if(place, RELEASED, hash) {
            return index;
        }
        // SAFETY: as above. Volatile, as other CPUs write it.
        if unsafe { core::ptr::read_volatile(place) } == hash {
            return index;
        }
        index = next(index);
    }
    if start >= FIRST_SHORT {
        count(loss::SITES_FULL);
    }
    slot
}

/// Words that follow the frames. Constant in the loaded program.
#[inline(always)]
fn thread_words() -> u64 {
    if PER_THREAD.load() == 0 { 0 } else { u64::from(THREAD_WORDS) }
}

/// Writes what names the running thread to `FRAMES`.
#[inline(always)]
fn store_thread(thread: &mut Thread, start: u64) -> Option<()> {
    const NAME_BYTES: u32 = 16;
    let mut words = [thread::number(thread) << 32 | bpf_get_current_pid_tgid() & 0xffff_ffff, 0, 0];
    // SAFETY: the helper writes the name into the last two words.
    unsafe { bpf_get_current_comm((&raw mut words[1]).cast(), NAME_BYTES) };
    for (index, value) in (start..).zip(words) {
        let word = FRAMES.get_ptr_mut(place(index))?;
        // SAFETY: a map value in the range that the caller has reserved; nobody else writes it.
        unsafe { *word = value };
    }
    Some(())
}

/// Writes the thread's Python frames to `FRAMES`.
#[inline(always)]
fn store_python(count: u64, start: u64) -> Option<()> {
    for index in 0..FRAME_PLACES as u64 {
        if index >= count {
            break;
        }
        let word = FRAMES.get_ptr_mut(place(start + index))?;
        // SAFETY: a map value in the range that the caller has reserved; nobody else writes it.
        unsafe { *word = python::word(index) };
    }
    Some(())
}

/// Appends the thread's frames, its name where threads are told apart, and its Python frames to `FRAMES`, behind a word left
/// for the header, whose index is returned.
#[inline(always)]
fn store_frames(thread: &mut Thread, is_short: bool) -> Option<u32> {
    let frames = thread.frame_count;
    let python = thread.python_frames;
    let start = reserve(frames + thread_words() + python + 1, is_short)?;
    for index in 0..FRAME_PLACES as u64 {
        if index >= frames {
            break;
        }
        let word = FRAMES.get_ptr_mut(place(start + 1 + index))?;
        // SAFETY: a map value in the range that this call has reserved; nobody else writes it.
        unsafe { *word = thread.frames[index as usize] };
    }
    if PER_THREAD.load() != 0 {
        store_thread(thread, start + 1 + frames)?;
    }
    store_python(python, start + 1 + frames + thread_words())?;
    Some(place(start))
}

/// Reserves words that user space has read, or that were never used.
#[inline(always)]
fn reserve(words: u64, is_short: bool) -> Option<u64> {
    let room = u64::from(if is_short { FRAME_WORDS } else { FRAME_WORDS - SHORT_WORDS });
    let cursor = CURSORS.get_ptr_mut(NEXT_FRAME_WORD)?;
    let read = CURSORS.get_ptr(FRAMES_READ)?;
    // The verifier wants a bound. A try fails only when another CPU has reserved words in between.
    for _ in 0..16 {
        // SAFETY: map values. Volatile, as others write them.
        let (start, read) = unsafe { (core::ptr::read_volatile(cursor), core::ptr::read_volatile(read)) };
        if start + words - read > room {
            return None;
        }
        if atomic::replace_if(cursor, start, start + words) {
            return Some(start);
        }
    }
    None
}

/// Where a word lies of those that were ever appended.
#[inline(always)]
fn place(word: u64) -> u32 {
    word as u32 & (FRAME_WORDS - 1)
}
