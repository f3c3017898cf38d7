//! Small files made by hand: one thing each that real files have.

use std::ops::Range;

use memtrace_common::unwind::{CHUNK_BITS, index_words, kind, return_address, row, rule};

use crate::unwind::{UnwindProblem, UnwindTable};

/// Address of the files' first byte.
pub(super) const BASE: u64 = 0x40_0000;
/// Place of the unwind section in the file.
const SECTION: usize = 0x400;
/// Length of the code, from [`BASE`] on.
const CODE: u64 = 0x1_0000;

const X86_64: u16 = 62;
const AARCH64: u16 = 183;

/// A file to be made.
pub(super) struct File {
    pub(super) machine: u16,
    /// Name of the unwind section; none for a file without section headers.
    pub(super) name: Option<&'static [u8]>,
    /// Section contents and address.
    pub(super) section: (Vec<u8>, u64),
    pub(super) code: Range<u64>,
    pub(super) entry: u64,
}

impl File {
    pub(super) fn new(section: Vec<u8>) -> Self {
        let address = BASE + SECTION as u64;
        Self {
            machine: X86_64,
            name: Some(b".eh_frame"),
            section: (section, address),
            code: BASE..BASE + CODE,
            entry: 0,
        }
    }

    /// ELF header, two program headers, `.eh_frame_hdr`, names, section headers, unwind section.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (contents, address) = &self.section;
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(SECTION, 0);
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        let sections: u8 = if self.name.is_some() { 3 } else { 0 };
        put(16, &[3, 0]);
        put(18, &self.machine.to_le_bytes());
        put(24, &self.entry.to_le_bytes());
        put(32, &words(&[64, 0x200]));
        put(52, &[64, 0, 56, 0, 2, 0, 64, 0, sections, 0, 1, 0]);
        let length = self.code.end - self.code.start;
        let mapped = (SECTION + contents.len()) as u64;
        put(64, &words(&[1 | 5 << 32, 0, self.code.start, 0, mapped, length, 0x1000]));
        put(120, &words(&[0x6474_e550 | 4 << 32, 0x180, self.code.start + 0x180, 0, 12, 12, 4]));
        // The pointer to .eh_frame is absolute.
        put(0x180, &[1, 4, 0xff, 0xff]);
        put(0x184, &address.to_le_bytes());
        put(0x1a1, self.name.unwrap_or_default());
        put(0x240, &words(&[3 << 32, 0, 0, 0x1a0, 0x20, 0, 0, 0]));
        put(0x280, &words(&[1 | 1 << 32, 0, *address, SECTION as u64, contents.len() as u64, 0, 0, 0]));
        bytes.extend_from_slice(contents);
        bytes
    }

    fn table(&self) -> UnwindTable {
        UnwindTable::of_image(&self.bytes()).expect("ELF").expect("has a table")
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An entry: length, then contents filled with nops to a multiple of 8.
fn entry(contents: &[u8]) -> Vec<u8> {
    let length = contents.len().next_multiple_of(8);
    let mut bytes = u32::try_from(length).expect("small").to_le_bytes().to_vec();
    bytes.extend_from_slice(contents);
    bytes.resize(4 + length, 0);
    bytes
}

/// A section of one CIE and functions (offset from [`BASE`], length, instructions).
pub(super) fn section(common: &[u8], functions: &[(u64, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = entry(common);
    for (start, length, instructions) in functions {
        let back = u32::try_from(bytes.len() + 4).expect("small");
        let range = words(&[BASE.wrapping_add(*start), *length]);
        bytes.extend_from_slice(&entry(&[&back.to_le_bytes(), range.as_slice(), &[0], instructions].concat()));
    }
    bytes
}

/// CIE of `x86_64` with absolute addresses: frame at rsp + 8, return address just below it.
pub(super) const COMMON: &[u8] = b"\0\0\0\0\x01zR\0\x01\x78\x10\x01\x04\x0c\x07\x08\x90\x01";
const SIGNAL_COMMON: &[u8] = b"\0\0\0\0\x01zRS\0\x01\x78\x10\x01\x04\x0c\x07\x08\x90\x01";
/// CIE of aarch64: frame at sp.
const AARCH64_COMMON: &[u8] = b"\0\0\0\0\x01zR\0\x04\x78\x1e\x01\x04\x0c\x1f\x00";

/// Offsets of a table's rows.
pub(super) fn row_offsets(table: &UnwindTable) -> Vec<u32> {
    let value = |number: u64| (table.words[(number / 2) as usize] >> (number % 2 * 32)) & 0xffff_ffff;
    let first = index_words(u64::from(table.chunks)) * 2;
    let in_chunk = |chunk: u64| value(chunk)..value(chunk + 1);
    let place = |chunk: u64, number: u64| (chunk << CHUNK_BITS) + row::place(value(first + number));
    let all = (0..u64::from(table.chunks)).flat_map(|chunk| in_chunk(chunk).map(move |number| (chunk, number)));
    all.map(|(chunk, number)| u32::try_from(place(chunk, number)).expect("32 bits")).collect()
}

fn x86_64(functions: &[(u64, u64, &[u8])]) -> UnwindTable {
    File::new(section(COMMON, functions)).table()
}

/// Kind, offset, saved.
fn parts(table: &UnwindTable, offset: u32) -> (u64, i64, u64) {
    let found = table.rule_at(offset);
    (rule::kind(found), rule::offset(found), rule::saved(found))
}

const AT_ENTRY: (u64, i64, u64) = (kind::STACK_POINTER, 8, 0);
/// `push %rbp; mov %rsp,%rbp` as call frame instructions.
const FRAMED: &[u8] = &[0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6];

/// A function that keeps a frame pointer: each row is in force from its first byte of code to the next row.
#[test]
fn rows_of_a_function() {
    let table = x86_64(&[(0x1000, 0x100, FRAMED)]);
    assert_eq!(table.base, BASE);
    assert_eq!(parts(&table, 0xfff), (kind::NONE, 0, 0));
    assert_eq!(parts(&table, 0x1000), AT_ENTRY);
    assert_eq!(parts(&table, 0x1001), (kind::STACK_POINTER, 16, 2));
    assert_eq!(parts(&table, 0x1003), (kind::STACK_POINTER, 16, 2));
    assert_eq!(parts(&table, 0x1004), (kind::FRAME_POINTER, 16, 2));
    assert_eq!(parts(&table, 0x10ff), (kind::FRAME_POINTER, 16, 2));
    assert_eq!(parts(&table, 0x1100), (kind::NONE, 0, 0));
    assert_eq!(parts(&table, u32::MAX), (kind::NONE, 0, 0));
    assert_eq!((table.summary.fdes, table.summary.rows), (1, 5));
}

/// Any gap between functions belongs to none of them; equal rules of neighbours are one row.
#[test]
fn gaps_and_neighbours() {
    let table = x86_64(&[(0x100, 0x10, &[]), (0x110, 0x10, &[]), (0x130, 0x10, &[]), (0x160, 0x10, &[])]);
    assert_eq!(parts(&table, 0x125).0, kind::NONE, "padding");
    assert_eq!(parts(&table, 0x150).0, kind::NONE);
    assert_eq!(row_offsets(&table), [0, 0x100, 0x120, 0x130, 0x140, 0x160, 0x170]);
}

/// Of functions that overlap, the one with the greatest start counts, whatever their order; after its end nobody does.
#[test]
fn overlapping_functions() {
    let outer: (u64, u64, &[u8]) = (0x1000, 0x1000, &[0x0e, 32]);
    let inner: (u64, u64, &[u8]) = (0x1100, 0x80, &[0x0e, 48]);
    let again: (u64, u64, &[u8]) = (0x1100, 0x70, &[0x0e, 64]);
    for functions in [[outer, inner, again], [inner, outer, again], [inner, again, outer]] {
        let table = x86_64(&functions);
        assert_eq!(parts(&table, 0x10ff).1, 32);
        assert_eq!(parts(&table, 0x1100).1, 48, "the first of two at the same place");
        assert_eq!(parts(&table, 0x117f).1, 48);
        assert_eq!(parts(&table, 0x1180).0, kind::NONE);
    }
}

/// A PLT's expression is understood, with the byte of the stub from which a word is pushed; a similar one is not.
#[test]
fn plt_expression() {
    let plt = |last: u8| [0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, last];
    let table = x86_64(&[(0x1000, 0x100, &plt(0x22)), (0x2000, 0x100, &plt(0x1c))]);
    assert_eq!(parts(&table, 0x1050), (kind::PLT, 0, 0));
    assert_eq!(rule::extra(table.rule_at(0x1050)), 11);
    assert_eq!(parts(&table, 0x2050).0, kind::UNSUPPORTED);
    assert_eq!(table.summary.unsupported, 1);
}

/// A function that aligns its stack stores the address of its caller's frame; the frame pointer must be where the
/// walker expects it.
#[test]
fn stored_frame_address() {
    let stored: &[u8] = &[0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0];
    let elsewhere: &[u8] = &[0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 8];
    let table = x86_64(&[(0x1000, 0x100, stored), (0x2000, 0x100, elsewhere)]);
    assert_eq!(parts(&table, 0x1050), (kind::STORED, -8, 0));
    assert_eq!(parts(&table, 0x2050).0, kind::UNSUPPORTED);
}

/// OpenSSL's assembly stores the caller's stack pointer at the stack pointer plus an offset; other registers, and words
/// of other sizes, have no form.
#[test]
fn stored_stack_pointer() {
    let stored: &[u8] = &[0x0f, 6, 0x77, 0x98, 0x01, 0x06, 0x23, 8, 0x86, 2];
    let by_r9: &[u8] = &[0x0f, 5, 0x79, 0x10, 0x06, 0x23, 8];
    let by_frame: &[u8] = &[0x0f, 6, 0x76, 0xd8, 0x00, 0x06, 0x23, 8, 0x86, 2];
    let table = x86_64(&[(0x1000, 0x100, stored), (0x2000, 0x100, by_r9), (0x3000, 0x100, by_frame)]);
    assert_eq!(parts(&table, 0x1050), (kind::STACK_INDIRECT, 152, 2));
    assert_eq!(rule::extra(table.rule_at(0x1050)), 8);
    assert_eq!(parts(&table, 0x2050).0, kind::UNSUPPORTED);
    assert_eq!(parts(&table, 0x3050), (kind::FRAME_INDIRECT, 88, 2));
}

/// A long stretch of code that no function describes is followed by frame pointer, a short one is not.
#[test]
fn long_stretches_are_followed_by_frame_pointer() {
    let functions: &[(u64, u64, &[u8])] = &[(0x100, 0x100, &[]), (0x1_0100, 0x100, &[]), (0x3_0000, 0x100, &[])];
    let table = File { code: BASE..BASE + 0x10_0000, ..File::new(section(COMMON, functions)) }.table();
    let kinds = [0x50, 0x200, 0x1_0000, 0x1_0200, 0x2_ffff, 0x3_0100, 0xf_ffff].map(|at| parts(&table, at).0);
    let (none, chain) = (kind::NONE, kind::CHAIN);
    assert_eq!(kinds, [none, none, none, chain, chain, chain, chain]);
}

/// The return from a signal handler is known by its bytes where nothing describes it, from one byte before it on.
#[test]
fn signal_return_by_its_bytes() {
    let file = File::new(section(COMMON, &[(0x200, 0x40, &[])]));
    let mut image = file.bytes();
    let at = image.len() + 16;
    image.resize(at, 0x90);
    image.extend_from_slice(&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]);
    let length = image.len() as u64;
    image[64 + 32..64 + 40].copy_from_slice(&length.to_le_bytes());
    let table = UnwindTable::of_image(&image).expect("ELF").expect("has a table");
    let at = u32::try_from(at).expect("small");
    let kinds = [at - 2, at - 1, at, at + 8, at + 9].map(|at| parts(&table, at).0);
    assert_eq!(kinds, [kind::NONE, kind::SIGNAL, kind::SIGNAL, kind::SIGNAL, kind::NONE]);
}

/// A signal handler's return that describes the kernel's frame by expressions is a signal frame.
#[test]
fn signal_frame() {
    let frame: &[u8] = &[0x0f, 4, 0x77, 0xa0, 0x01, 0x06, 0x16, 16, 2, 0x77, 0];
    let table = File::new(section(SIGNAL_COMMON, &[(0x1000, 0x10, frame), (0x2000, 0x10, &[])])).table();
    assert_eq!(parts(&table, 0x1008), (kind::SIGNAL, 0, 0));
    assert_eq!(parts(&table, 0x2008), AT_ENTRY, "plain rules are used as they are");
}

/// A function whose return address is undefined is the outermost; one whose return address is elsewhere has no form.
#[test]
fn return_address() {
    let table = x86_64(&[(0x1000, 0x10, &[0x07, 16]), (0x2000, 0x10, &[0x90, 3]), (0x3000, 0x10, &[0x0c, 10, 0])]);
    assert_eq!(parts(&table, 0x1008), (kind::OUTERMOST, 0, 0));
    assert_eq!(parts(&table, 0x2008).0, kind::UNSUPPORTED);
    assert_eq!(parts(&table, 0x3008).0, kind::UNSUPPORTED, "a frame that begins at r10");
}

/// A function without a caller counts from one byte before it, as its first byte may be what is returned to.
#[test]
fn first_byte_of_an_outermost_function() {
    let table = x86_64(&[(0x1000, 0x10, &[]), (0x1020, 0x10, &[0x07, 16]), (0x1030, 0x10, &[])]);
    let kinds = [0x100f, 0x101e, 0x101f, 0x102f, 0x1030].map(|at| parts(&table, at).0);
    let (known, outermost) = (kind::STACK_POINTER, kind::OUTERMOST);
    assert_eq!(kinds, [known, kind::NONE, outermost, outermost, known]);
}

/// The entry point is the outermost frame where nothing describes it, and only there.
#[test]
fn entry_point() {
    let functions: &[(u64, u64, &[u8])] = &[(0x1000, 0x100, &[]), (0x1110, 0x100, &[])];
    let with_entry = |entry| File { entry: BASE + entry, ..File::new(section(COMMON, functions)) }.table();
    let table = with_entry(0x1100);
    assert_eq!(parts(&table, 0x10ff), AT_ENTRY);
    assert_eq!(parts(&table, 0x1100).0, kind::OUTERMOST, "although the gap is as small as padding");
    assert_eq!(parts(&table, 0x1110), AT_ENTRY);
    assert_eq!(parts(&with_entry(0x1080), 0x1080), AT_ENTRY);
    let table = with_entry(0x2000);
    assert_eq!((parts(&table, 0x20ff).0, parts(&table, 0x2100).0), (kind::OUTERMOST, kind::NONE));
}

/// aarch64: where frame pointer and return address are saved; signing of return addresses changes nothing.
#[test]
fn aarch64_rows() {
    // paciasp; stp x29,x30,[sp,#-32]!; mov x29,sp
    let framed: &[u8] = &[0x41, 0x2d, 0x41, 0x0e, 32, 0x9d, 4, 0x9e, 3, 0x41, 0x0d, 29];
    let alone: &[u8] = &[0x0e, 32, 0x9d, 4, 0x9e, 2];
    let far: &[u8] = &[0x0e, 32, 0x9e, 0xff, 1];
    let mut file =
        File::new(section(AARCH64_COMMON, &[(0x1000, 0x40, framed), (0x2000, 0x40, alone), (0x3000, 0x40, far)]));
    file.machine = AARCH64;
    let table = file.table();
    let back = |offset: u32| rule::extra(table.rule_at(offset));
    assert_eq!(parts(&table, 0x1004), (kind::STACK_POINTER, 0, 0));
    assert_eq!(back(0x1004), return_address::IN_REGISTER, "a leaf's return address is in x30");
    assert_eq!(parts(&table, 0x1008), (kind::STACK_POINTER, 32, 4));
    assert_eq!(parts(&table, 0x100c), (kind::FRAME_POINTER, 32, 4));
    assert_eq!([0x1008, 0x100c].map(back), [return_address::BESIDE_FRAME_POINTER; 2]);
    assert_eq!((parts(&table, 0x2000), back(0x2000)), ((kind::STACK_POINTER, 32, 4), 2));
    assert_eq!(parts(&table, 0x3000).0, kind::UNSUPPORTED, "saved alone, too far for its eight bits");
    assert_eq!(table.summary.malformed, 0);
}

/// Without section headers `.eh_frame` is found through its program header.
#[test]
fn stripped_section_headers() {
    let file = File { name: None, ..File::new(section(COMMON, &[(0x1000, 0x100, FRAMED)])) };
    assert_eq!(file.table(), x86_64(&[(0x1000, 0x100, FRAMED)]));
}

/// `.debug_frame` serves where there is no `.eh_frame`; what linkers dropped is at address 0 there.
#[test]
fn debug_frame() {
    let mut common = b"\xff\xff\xff\xff\x01\0\x01\x78\x10\x0c\x07\x08\x90\x01".to_vec();
    common.resize(20, 0);
    let mut bytes = entry(&common);
    for start in [BASE + 0x1000, 0] {
        bytes.extend_from_slice(&entry(&[&[0; 4], words(&[start, 0x100]).as_slice(), FRAMED].concat()));
    }
    let mut file = File { name: Some(b".debug_frame"), ..File::new(bytes) };
    file.section.1 = BASE + CODE; // nothing is there for .eh_frame_hdr to lead to
    let mut image = file.bytes();
    image[120..124].fill(0); // no PT_GNU_EH_FRAME either
    let table = UnwindTable::of_image(&image).expect("ELF").expect("has a table");
    assert_eq!(parts(&table, 0x1004), (kind::FRAME_POINTER, 16, 2));
    assert_eq!((table.summary.fdes, table.summary.outside), (1, 1));
}

/// Functions outside the file's code, or too far from its base for 32 bits, are left out and counted.
#[test]
fn functions_elsewhere() {
    let near: (u64, u64, &[u8]) = (0x1000, 0x100, &[]);
    let functions = [near, (CODE, 0x100, &[]), (5 << 32, 0x100, &[]), (u64::MAX - BASE, 0x100, &[])];
    let table = File::new(section(COMMON, &functions)).table();
    assert_eq!((table.summary.fdes, table.summary.outside), (1, 3));
    let wide = File { code: BASE..BASE + (8 << 32), ..File::new(section(COMMON, &functions[..3])) };
    let far = File { code: BASE..BASE + (8 << 32), ..File::new(section(COMMON, &[near, (0xffff_0000, 0x100, &[])])) };
    let error = UnwindTable::of_image(&far.bytes()).expect_err("an index of 64 MiB");
    assert!(matches!(error.problem(), UnwindProblem::TooLarge { .. }), "{error}");
    assert_eq!((wide.table().summary.fdes, wide.table().summary.outside), (2, 1));
}

/// A file without unwind information has no table, and what is no ELF file is an error.
#[test]
fn nothing_there() {
    assert_eq!(UnwindTable::of_image(&File::new(Vec::new()).bytes()).expect("ELF"), None);
    let error = UnwindTable::of_image(b"#!/bin/sh\n").expect_err("a script");
    assert!(matches!(error.problem(), UnwindProblem::NotElf), "{error}");
}
