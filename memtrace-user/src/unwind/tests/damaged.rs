//! Broken and hostile unwind information: no panic, bounded work, and a table that is in order.

use std::time::Duration;

use memtrace_common::unwind::{CHUNK_BITS, kind, rule};
use nix::time::{ClockId, clock_gettime};
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

/// CPU time that the table of an invented file takes, and whether it has one.
fn cost(file: &File) -> (Duration, bool) {
    let image = file.bytes();
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock"));
    let start = now();
    let table = UnwindTable::of_image(&image);
    (now().saturating_sub(start), table.is_ok())
}

/// The largest section that is read, of functions of `length` bytes whose instructions are `code` again and again, on a
/// CIE with `common`.
fn invented(common: &[u8], code: &[u8], length: usize) -> File {
    let common = [COMMON, common].concat();
    let instructions: Vec<u8> = code.iter().copied().cycle().take(length).collect();
    let one = section(&common, &[(0x1000, 1 << 20, &instructions)]);
    let head = section(&common, &[]).len();
    let mut bytes = one[..head].to_vec();
    while bytes.len() + one.len() - head < 20 << 20 {
        // Each function's entry points back to the CIE at the section's start.
        let mut next = one[head..].to_vec();
        let back = u32::try_from(bytes.len() + 4).expect("small");
        next[4..8].copy_from_slice(&back.to_le_bytes());
        bytes.extend_from_slice(&next);
    }
    File { code: BASE..BASE + (1 << 32), ..File::new(bytes) }
}

/// The costliest files that one could think of take no more time than a few of the largest libraries: states saved and
/// restored, many registers, nothing but rows, tiny functions on a long CIE.
#[test]
fn invented_files_take_bounded_time() {
    let copies: &[u8] = &[0x0a, 0x0b];
    let registers: Vec<u8> = (0..60_u8).flat_map(|register| [0x80 | register, 1]).collect();
    let rows: &[u8] = &[0x41, 0x0e, 8, 0x41, 0x0e, 16];
    let cases: [(&str, &[u8], &[u8], usize); 6] = [
        ("states", &[], copies, 4000),
        ("registers", &[], &registers, 4000),
        ("rows", &[], rows, 4000),
        ("advances", &[], &[0x41], 4000),
        ("common states", &copies.repeat(50), &[], 0),
        ("common registers", &registers[..100], &[], 0),
    ];
    for (name, common, code, length) in cases {
        let (time, has_table) = cost(&invented(common, code, length));
        println!("{name}: {time:?}, has a table: {has_table}");
        // A quarter of a second with full optimisation; the machine may be slow.
        assert!(time < Duration::from_secs(2), "{name}: {time:?}");
    }
}

/// Where the fuzzer's inputs are.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/eh_frame");

/// Every input that the fuzzer starts from, and what it has found, gives a table in order, or none.
#[test]
fn corpus_is_harmless() {
    let mut count = 0;
    for entry in std::fs::read_dir(CORPUS).expect("the corpus") {
        let image = std::fs::read(entry.expect("readable").path()).expect("readable");
        check(&image).expect("a table in order");
        count += 1;
    }
    assert!(count >= 10, "{count} inputs");
}

/// Writes inputs for the fuzzer to start from: one thing each that files have.
#[test]
#[ignore = "writes into the source tree"]
fn write_corpus() {
    let framed: &[u8] = &[0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6];
    let plt: &[u8] = &[0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
    let stored: &[u8] = &[0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0];
    let indirect: &[u8] = &[0x0f, 6, 0x77, 0x98, 0x01, 0x06, 0x23, 8, 0x86, 2];
    let states: &[u8] = &[0x0a, 0x41, 0x0e, 32, 0x0b, 0x0a, 0x0b];
    let file = |functions: &[(u64, u64, &[u8])]| File::new(section(COMMON, functions));
    let mut truncated = real();
    truncated.section.0.truncate(1500);
    let mut sample = real();
    sample.section.0.truncate(4096);
    let mut aarch64 = file(&[(0x1000, 0x40, &[0x41, 0x2d, 0x41, 0x0e, 32, 0x9d, 4, 0x9e, 3])]);
    aarch64.machine = 183;
    let files = [
        ("real", sample),
        ("truncated", truncated),
        ("framed", file(&[(0x1000, 0x100, framed)])),
        ("plt", file(&[(0x1000, 0x100, plt)])),
        ("stored", file(&[(0x1000, 0x100, stored), (0x2000, 0x100, indirect)])),
        ("states", file(&[(0x1000, 0x100, states)])),
        ("overlapping", file(&[(0x1000, 0x1000, framed), (0x1100, 0x80, &[]), (0x1100, 0x70, &[])])),
        ("far", file(&[(0x1000, 0x100, &[]), (u64::MAX - BASE, 0x100, &[]), (0xffff_0000, u64::MAX, &[])])),
        ("no-headers", File { name: None, ..file(&[(0x1000, 0x100, framed)]) }),
        ("debug-frame", File { name: Some(b".debug_frame"), ..file(&[(0x1000, 0x100, framed)]) }),
        ("aarch64", aarch64),
        ("empty", File::new(Vec::new())),
    ];
    std::fs::create_dir_all(CORPUS).expect("a directory");
    for (name, file) in files {
        std::fs::write(std::path::Path::new(CORPUS).join(name), file.bytes()).expect("written");
    }
}
