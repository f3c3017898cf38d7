//! Broken and hostile unwind information: no panic, bounded work, and a table that is in order.

use memtrace_common::unwind::{CHUNK_BITS, kind, rule};
use object::{Object, ObjectSection};
use proptest::prelude::*;

use super::made_up::{BASE, COMMON, File, row_offsets, section};
use crate::unwind::UnwindTable;

/// The start of this program's `.eh_frame`, in a small file at the address where it belongs.
fn real() -> File {
    let bytes = std::fs::read("/proc/self/exe").expect("readable");
    let file = object::File::parse(bytes.as_slice()).expect("ELF");
    let frames = file.section_by_name(".eh_frame").expect("section");
    let text = file.section_by_name(".text").expect("section");
    let contents = frames.data().expect("contents")[..16_384].to_vec();
    let mut made = File::new(Vec::new());
    made.code = text.address() & !0xfff..text.address() + text.size();
    made.section = (contents, frames.address());
    made
}

/// Whether rows and index agree with each other; every rule is found by the search.
fn is_in_order(table: &UnwindTable) -> Result<(), TestCaseError> {
    let rows = row_offsets(table);
    prop_assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each place once");
    prop_assert_eq!(rows.len(), table.summary.rows as usize);
    prop_assert_eq!(rows.first(), Some(&0));
    for pair in rows.windows(2) {
        prop_assert_eq!(table.rule_at(pair[0]), table.rule_at(pair[1] - 1), "up to the next row");
        prop_assert!(rule::kind(table.rule_at(pair[0])) <= kind::CHAIN);
    }
    let last = *rows.last().expect("at least one");
    prop_assert_eq!(table.chunks, (last >> CHUNK_BITS) + 1);
    prop_assert_eq!(rule::kind(table.rule_at(u32::MAX)), kind::NONE);
    Ok(())
}

fn check(image: &[u8]) -> Result<(), TestCaseError> {
    // An error or no table is fine, a panic is not.
    if let Ok(Some(table)) = UnwindTable::of_image(image) {
        is_in_order(&table)?;
    }
    Ok(())
}

/// The undamaged sample has functions; otherwise the properties below would hold of nothing.
#[test]
fn sample_is_whole() {
    let table = UnwindTable::of_image(&real().bytes()).expect("ELF").expect("has a table");
    assert!(table.summary.fdes > 50, "{:?}", table.summary);
    assert!(table.summary.malformed <= 1, "only the entry that was cut off: {:?}", table.summary);
    is_in_order(&table).expect("in order");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Bytes changed anywhere in real unwind information, which may end anywhere.
    #[test]
    fn changed_bytes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..30),
        length in 0..16_384_usize,
    ) {
        let mut file = real();
        for (at, value) in changes {
            let at = at.index(file.section.0.len());
            file.section.0[at] = value;
        }
        check(&file.bytes())?;
        file.section.0.truncate(length);
        check(&file.bytes())?;
    }

    /// Bytes changed in the headers of the file.
    #[test]
    fn changed_headers(changes in prop::collection::vec((0..0x400_usize, any::<u8>()), 1..20)) {
        let mut image = File::new(section(COMMON, &[(0x1000, 0x100, &[0x41, 0x0e, 16])])).bytes();
        for (at, value) in changes {
            image[at] = value;
        }
        check(&image)?;
    }

    /// Any instructions, in a CIE and in functions that lie anywhere.
    #[test]
    fn any_instructions(
        common in prop::collection::vec(any::<u8>(), 0..40),
        functions in prop::collection::vec((0..0x2000_u64, any::<u16>(), prop::collection::vec(any::<u8>(), 0..60)), 0..8),
    ) {
        let functions: Vec<(u64, u64, &[u8])> =
            functions.iter().map(|(start, length, code)| (*start, u64::from(*length), code.as_slice())).collect();
        check(&File::new(section(&[COMMON, common.as_slice()].concat(), &functions)).bytes())?;
        check(&File::new(section(COMMON, &functions)).bytes())?;
    }
}

/// One function that cannot be read does not take the others with it; from its bad instruction on it has no rule.
#[test]
fn bad_function_alone() {
    let bad: &[u8] = &[0x41, 0x0e, 16, 0x41, 0x3f, 0x0e, 32];
    let table = File::new(section(COMMON, &[(0x1000, 0x100, &[]), (0x2000, 0x100, bad), (0x3000, 0x100, &[])]));
    let table = UnwindTable::of_image(&table.bytes()).expect("ELF").expect("has a table");
    let kinds = [0x1000, 0x2001, 0x2002, 0x20ff, 0x2100, 0x3000].map(|at| rule::kind(table.rule_at(at)));
    let (known, bad) = (kind::STACK_POINTER, kind::UNSUPPORTED);
    assert_eq!(kinds, [known, known, bad, bad, kind::NONE, known]);
    assert_eq!(table.summary.malformed, 1);
}

/// A CIE whose instructions would be carried out at length for every function is refused.
#[test]
fn long_cie_is_refused() {
    let long = [COMMON, &[0x0a, 0x0b].repeat(500)].concat();
    assert_eq!(UnwindTable::of_image(&File::new(section(&long, &[(0x1000, 0x100, &[])])).bytes()).expect("ELF"), None);
}

/// A function that advances by nothing but small steps over a wide range ends with its code.
#[test]
fn rows_beyond_the_end_are_dropped() {
    let steps: Vec<u8> = (0..2_000_u32).flat_map(|step| [0x41, 0x0e, if step % 2 == 0 { 16 } else { 32 }]).collect();
    let image = File::new(section(COMMON, &[(0x1000, 0x10, &steps)])).bytes();
    let table = UnwindTable::of_image(&image).expect("ELF").expect("has a table");
    assert_eq!(table.summary.rows, 1 + 16 + 1);
    assert_eq!(rule::kind(table.rule_at(0x1010)), kind::NONE);
    assert_eq!(table.base, BASE);
}
