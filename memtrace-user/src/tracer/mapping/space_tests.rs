//! Ranges against an array of pages in which each call does what it does.

use proptest::prelude::*;

use super::*;

const PAGE: u64 = 0x1000;
const PAGES: u64 = 48;
/// Ranges lie here, above page 0, which nothing can be mapped at.
const BASE: u64 = 0x10_0000;
const SLOT: u32 = 5;

fn event(kind: u32, start: u64, pages: u64) -> MappingEvent {
    MappingEvent { kind, slot: SLOT, start: BASE + start * PAGE, length: pages * PAGE, ..MappingEvent::default() }
}

fn map(site: u32, start: u64, pages: u64) -> MappingEvent {
    MappingEvent { site, flags: MAP_ANONYMOUS, protection: 3, ..event(kind::MAP, start, pages) }
}

/// Live bytes in pages by site and domain, those without any left out.
fn live(counters: &Counters) -> Vec<(u32, Domain, u64, u64)> {
    let stats = counters
        .of_slot(SLOT)
        .map(|stats| (stats.site, stats.domain, stats.stats.live_blocks(), stats.stats.live_bytes() / PAGE));
    let mut live: Vec<_> = stats.filter(|(_, _, blocks, pages)| (*blocks, *pages) != (0, 0)).collect();
    live.sort_unstable();
    live
}

fn apply(events: &[MappingEvent]) -> (Space, Counters) {
    let (mut space, mut counters) = (Space::default(), Counters::new(2));
    for event in events {
        assert!(space.apply(event, &mut counters));
    }
    (space, counters)
}

/// A mapping of which the middle is given back is one block still, and none when its last page has gone.
#[test]
fn a_mapping_goes_in_parts() {
    let all = [map(7, 0, 10), event(kind::UNMAP, 3, 2), event(kind::UNMAP, 0, 4), event(kind::UNMAP, 5, 10)];
    assert_eq!(live(&apply(&all[..2]).1), [(7, Domain::Mmap, 1, 8)]);
    assert_eq!(live(&apply(&all[..3]).1), [(7, Domain::Mmap, 1, 5)]);
    let (_, counters) = apply(&all);
    assert_eq!(live(&counters), []);
    let stats = counters.of_slot(SLOT).next().expect("the site").stats;
    assert_eq!((stats.allocated_blocks, stats.freed_blocks, stats.short_lived_blocks), (1, 1, 1));
    assert_eq!((stats.allocated_bytes, stats.freed_bytes), (10 * PAGE, 10 * PAGE));
}

/// What is mapped over another mapping takes its place; a file's mapping takes it and counts for nothing.
#[test]
fn a_mapping_covers_others() {
    let file = MappingEvent { flags: 0, ..map(9, 8, 2) };
    let (_, counters) = apply(&[map(7, 0, 10), map(8, 2, 3), file]);
    assert_eq!(live(&counters), [(7, Domain::Mmap, 1, 5), (8, Domain::Mmap, 1, 3)]);
}

/// mremap(2) gives the whole range to its own call; where it fails, or leaves the old range, nothing is taken.
#[test]
fn a_moved_mapping_belongs_to_the_move() {
    let moved = MappingEvent { site: 8, result: BASE, ..event(kind::REMAPPED, 20, 6) };
    let begun = [map(7, 0, 4), event(kind::REMAP, 0, 4)];
    let with = |last| live(&apply(&[&begun[..], &[last]].concat()).1);
    assert_eq!(with(moved), [(8, Domain::Mmap, 1, 6)]);
    let failed = MappingEvent { start: 0, ..moved };
    assert_eq!(with(failed), [(7, Domain::Mmap, 1, 4)]);
    let kept = MappingEvent { flags: DONT_UNMAP, ..moved };
    assert_eq!(with(kept), [(7, Domain::Mmap, 1, 4), (8, Domain::Mmap, 1, 6)]);
    let of_file = [event(kind::REMAP, 0, 4), moved];
    assert_eq!(live(&apply(&of_file).1), []);
}

/// munmap(2) that fails has taken nothing.
#[test]
fn a_failed_unmapping_is_put_back() {
    let failed = MappingEvent { kind: kind::UNMAP_FAILED, ..MappingEvent::default() };
    let (space, counters) = apply(&[map(7, 0, 4), event(kind::UNMAP, 1, 2), failed]);
    assert_eq!(live(&counters), [(7, Domain::Mmap, 1, 4)]);
    assert_eq!(space.ranges().count(), 1);
    let (_, counters) = apply(&[map(7, 0, 4), event(kind::UNMAP, 0, 4), failed]);
    assert_eq!(live(&counters), [(7, Domain::Mmap, 1, 4)]);
}

/// The heap segment's growth belongs to the calls that have moved its end; asking for the end changes nothing.
#[test]
fn the_break_grows_and_shrinks() {
    let to = |site, page: u64, less| MappingEvent {
        site,
        start: BASE + page * PAGE - less,
        in_allocator: u32::from(site == 8),
        ..event(kind::BREAK, 0, 0)
    };
    let (space, counters) = apply(&[to(0, 4, 5), to(7, 10, 0), to(0, 10, 0), to(8, 12, 9), to(0, 9, 0)]);
    assert_eq!(live(&counters), [(7, Domain::Mmap, 1, 5)]);
    assert_eq!(space.ranges().map(|range| (range.end - range.start) / PAGE).sum::<u64>(), 5);
}

/// Pages without access are reserved until they get it, under the call that has mapped them.
#[test]
fn reserved_memory_becomes_accessible() {
    let reserved = MappingEvent { protection: 0, in_allocator: 1, ..map(7, 0, 16) };
    let protect = |start, pages, protection| MappingEvent { protection, ..event(kind::PROTECT, start, pages) };
    let (space, counters) = apply(&[reserved, protect(0, 4, 3), protect(4, 2, 3)]);
    assert_eq!(live(&counters), [(7, Domain::Allocator, 1, 6), (7, Domain::Reserved, 1, 10)]);
    assert_eq!(space.ranges().count(), 2, "neighbours are one piece");
    let (_, counters) = apply(&[reserved, protect(0, 16, 1), protect(0, 16, 5)]);
    assert_eq!(live(&counters), [(7, Domain::Allocator, 1, 16)]);
    let (_, counters) = apply(&[reserved, protect(0, 16, 3), protect(2, 2, 0)]);
    assert_eq!(live(&counters), [(7, Domain::Allocator, 1, 14), (7, Domain::Reserved, 1, 2)]);
}

/// What was there before counts for nothing, also when it moves away; what a forgotten slot has mapped is as such.
#[test]
fn memory_from_before_is_not_counted() {
    let range = |start: u64, pages: u64| AnonymousRange {
        start: BASE + start * PAGE,
        end: BASE + (start + pages) * PAGE,
        accessible: true,
        heap: false,
    };
    let (mut space, mut counters) = (Space::default(), Counters::new(2));
    space.begin(&[range(0, 4), range(10, 4)]);
    space.apply(&event(kind::UNMAP, 1, 2), &mut counters);
    assert_eq!(counters.of_slot(SLOT).count(), 0);
    space.apply(&map(7, 20, 3), &mut counters);
    space.forget(SLOT);
    space.apply(&event(kind::UNMAP, 20, 1), &mut counters);
    assert_eq!(live(&counters), [(7, Domain::Mmap, 1, 3)], "an old slot's counters stay as they were");
    assert!(space.ranges().all(|range| range.domain.is_none()));
}

/// After lost events the ranges are those that the kernel tells.
#[test]
fn ranges_are_set_right() {
    let (mut space, mut counters) = apply(&[map(7, 0, 10), map(8, 20, 4)]);
    let range = |start: u64, pages: u64| AnonymousRange {
        start: BASE + start * PAGE,
        end: BASE + (start + pages) * PAGE,
        accessible: true,
        heap: false,
    };
    space.correct(&[range(2, 3), range(22, 6)], SLOT, 0, &mut counters);
    assert_eq!(live(&counters), [(SLOT, Domain::Mmap, 1, 4), (7, Domain::Mmap, 1, 3), (8, Domain::Mmap, 1, 2)]);
}

/// Where a change of protection was lost, ranges are set right as well: what cannot be accessed is reserved.
#[test]
fn lost_protections_are_made_good() {
    let (mut space, mut counters) = apply(&[map(7, 0, 8)]);
    let range = |start: u64, pages: u64, accessible| AnonymousRange {
        start: BASE + start * PAGE,
        end: BASE + (start + pages) * PAGE,
        accessible,
        heap: false,
    };
    space.correct(&[range(0, 3, true), range(3, 2, false), range(5, 3, true)], SLOT, 0, &mut counters);
    assert_eq!(live(&counters), [(7, Domain::Mmap, 1, 6), (7, Domain::Reserved, 1, 2)]);
}

/// A failure whose beginning was lost puts back nothing that lies where something else is.
#[test]
fn a_failure_of_unknown_beginning_covers_nothing() {
    let events = [map(7, 0, 8), event(kind::UNMAP, 0, 8), map(8, 2, 3), event(kind::UNMAP_FAILED, 0, 0)];
    let (space, counters) = apply(&events);
    let ranges: Vec<_> = space.ranges().map(|range| (range.start, range.end)).collect();
    assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:x?}");
    assert_eq!(live(&counters), [(7, Domain::Mmap, 1, 5), (8, Domain::Mmap, 1, 3)]);
}

/// Nonsense from a program that makes calls fail does not matter.
#[test]
fn nonsense_is_refused() {
    let all = [
        MappingEvent { start: u64::MAX - 5, length: u64::MAX, ..event(kind::UNMAP, 0, 0) },
        MappingEvent { start: 123, length: 4096, ..event(kind::UNMAP, 0, 0) },
        MappingEvent { start: u64::MAX, ..event(kind::BREAK, 0, 0) },
        MappingEvent { length: u64::MAX, protection: 3, ..event(kind::PROTECT, 0, 0) },
        MappingEvent { flags: MAP_ANONYMOUS | MAP_HUGETLB | 63 << HUGE_SHIFT, length: u64::MAX - PAGE, ..map(7, 0, 1) },
        event(99, 0, 1),
    ];
    assert_eq!(live(&apply(&all).1), []);
}

fn any_event() -> impl Strategy<Value = (u32, u32, u64, u64, u64, bool, bool)> {
    let kinds = prop_oneof![3 => Just(kind::MAP), 2 => Just(kind::UNMAP), 1 => Just(kind::UNMAP_FAILED),
        2 => Just(kind::REMAPPED), 1 => Just(kind::PROTECT), 1 => Just(0)];
    (kinds, 1000..1004_u32, 0..PAGES - 9, 1..9_u64, 0..PAGES - 9, any::<bool>(), any::<bool>())
}

proptest! {
    /// Counters and ranges are those of an array of pages, whatever happens in whatever order.
    #[test]
    fn agrees_with_an_array(events in prop::collection::vec(any_event(), 0..60)) {
        let (mut space, mut counters) = (Space::default(), Counters::new(2));
        let mut pages: Vec<Option<(u32, Domain)>> = vec![None; PAGES as usize];
        for (what, site, start, count, to, accessible, fails) in events {
            let domain = if accessible { Domain::Mmap } else { Domain::Reserved };
            let range = start as usize..(start + count) as usize;
            let protection = if accessible { 3 } else { 0 };
            match what {
                kind::MAP => {
                    space.apply(&MappingEvent { protection, ..map(site, start, count) }, &mut counters);
                    pages[range].fill(Some((site, domain)));
                }
                kind::UNMAP | kind::UNMAP_FAILED => {
                    space.apply(&event(kind::UNMAP, start, count), &mut counters);
                    if what == kind::UNMAP {
                        pages[range].fill(None);
                    } else {
                        space.apply(&event(kind::UNMAP_FAILED, 0, 0), &mut counters);
                    }
                }
                kind::REMAPPED => {
                    space.apply(&event(kind::REMAP, start, count), &mut counters);
                    let place = if fails { MappingEvent::default() } else { event(what, to, 5) };
                    let old = BASE + start * PAGE;
                    let ended = MappingEvent { kind: what, site, result: old, slot: SLOT, ..place };
                    space.apply(&ended, &mut counters);
                    if !fails {
                        let first = pages[range.clone()].iter().flatten().next().copied();
                        pages[range].fill(None);
                        let moved = first.map(|(_, domain)| (site, domain));
                        pages[to as usize..to as usize + 5].fill(moved);
                    }
                }
                kind::PROTECT => {
                    space.apply(&MappingEvent { protection, ..event(what, start, count) }, &mut counters);
                    pages[range].iter_mut().flatten().for_each(|page| page.1 = domain);
                }
                _ => {
                    let file = MappingEvent { flags: 0, ..map(site, start, count) };
                    space.apply(&file, &mut counters);
                    pages[range].fill(None);
                }
            }
        }
        let mut sums = BTreeMap::new();
        for page in pages.iter().flatten() {
            *sums.entry(*page).or_insert(0_u64) += 1;
        }
        let counted: Vec<_> = live(&counters).iter().map(|(site, domain, _, pages)| ((*site, *domain), *pages)).collect();
        prop_assert_eq!(counted, sums.into_iter().collect::<Vec<_>>());
        let mut ranges = vec![false; PAGES as usize];
        for range in space.ranges() {
            let index = |address: u64| ((address - BASE) / PAGE) as usize;
            ranges[index(range.start)..index(range.end)].fill(true);
        }
        prop_assert_eq!(ranges, pages.iter().map(Option::is_some).collect::<Vec<_>>());
        prop_assert_eq!(space.mappings.values().filter(|mapping| mapping.bytes == [0; 2]).count(), 0);
    }
}
