//! ELF files: this process's own, small ones made by hand, and broken ones.

#![expect(unsafe_code, reason = "a file in memory")]

use std::io::Write;
use std::os::fd::FromRawFd;

use proptest::prelude::*;

use super::*;

/// A file in memory, so that tests leave nothing behind.
fn file(bytes: &[u8]) -> File {
    // SAFETY: the name is a C string; the descriptor is new and owned by nobody else.
    let mut file = unsafe { File::from_raw_fd(libc::memfd_create(c"elf".as_ptr(), libc::MFD_CLOEXEC)) };
    file.write_all(bytes).expect("memory");
    file
}

fn open(bytes: &[u8]) -> Result<ElfFile, ElfError> {
    ElfFile::new(file(bytes), "/made/by\nhand")
}

/// A part of a file made by hand.
fn put(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    bytes.resize(bytes.len().max(at + part.len()), 0);
    bytes[at..at + part.len()].copy_from_slice(part);
}

fn put_words(bytes: &mut Vec<u8>, at: usize, words: &[u64]) {
    let part: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    put(bytes, at, &part);
}

const CODE: u64 = 0x1000;
const ADDRESS: u64 = 0x40_0000;
const STRINGS: &[u8] = b"\0__libc_malloc\0free\0other\0";
const MALLOC: u64 = 8; // the tail of __libc_malloc
const LIBC_MALLOC: u64 = 1;
const FREE: u64 = 15;
const OTHER: u64 = 20;

/// A symbol as three words: name, info and section; address; size.
fn symbol(name: u64, info: u64, section: u64, address: u64, size: u64) -> [u64; 3] {
    [name | info << 32 | section << 48, address, size]
}

/// A file with one executable segment and one symbol table of kind `table`.
fn elf_with(table: u32, symbols: &[[u64; 3]]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    put_words(&mut bytes, 16, &[3 | 62 << 16 | 1 << 32, 0, 64, 0x200, 56 << 48 | 64 << 32 >> 32]);
    put(&mut bytes, 52, &[64, 0, 56, 0, 1, 0, 64, 0, 3, 0, 0, 0]);
    put_words(&mut bytes, 64, &[1 | 5 << 32, CODE, ADDRESS, ADDRESS, 0x100, 0x200, 0x1000]);
    let symbols: Vec<u64> = symbols.iter().flatten().copied().collect();
    let size = symbols.len() as u64 * 8;
    put_words(&mut bytes, 0x240, &[u64::from(table) << 32, 0, 0, 0x400, size, 2, 0, 24]);
    put_words(&mut bytes, 0x280, &[3 << 32, 0, 0, 0x300, STRINGS.len() as u64, 0, 0, 0]);
    put(&mut bytes, 0x300, STRINGS);
    put_words(&mut bytes, 0x400, &symbols);
    put(&mut bytes, usize::try_from(CODE).expect("small"), &[0x90; 0x100]);
    bytes
}

fn found(bytes: &[u8]) -> Functions {
    open(bytes).and_then(|elf| elf.functions(["malloc", "__libc_malloc", "free"])).expect("a good file")
}

/// The program of this test: kind, interpreter, build id, and no allocator of its own.
#[test]
fn own_program() {
    let elf = ElfFile::open(Path::new("/proc/self/exe")).expect("an ELF file");
    assert!(elf.segments().any(|segment| segment.executable));
    if let Some(interpreter) = elf.interpreter().expect("readable") {
        assert!(interpreter.is_absolute(), "{interpreter:?}");
        assert!(!elf.functions(["malloc"]).expect("readable").defines("malloc"));
    }
    assert_eq!(elf.soname().expect("readable"), None);
}

/// The object that a name is in is told by its soname, and its build id can be read.
#[test]
fn own_libraries() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let library = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("libc.so"));
    let Some(library) = library else { return eprintln!("skipping: this test does not run on a shared libc") };
    let elf = ElfFile::open(Path::new(library)).expect("an ELF file");
    assert!(elf.soname().expect("readable").is_some_and(|name| name.starts_with("libc.")));
    assert!(elf.build_id().expect("readable").is_some_and(|id| id.len() >= 8));
}

/// Names that share an address are one function; a name may be the tail of another.
#[test]
fn aliases_are_one_function() {
    let symbols = [
        symbol(0, 0, 0, 0, 0),
        symbol(LIBC_MALLOC, 0x12, 1, ADDRESS + 0x10, 8),
        symbol(MALLOC, 0x12, 1, ADDRESS + 0x10, 8),
        symbol(MALLOC, 0x22, 1, ADDRESS + 0x10, 8),
        symbol(FREE, 0x12, 1, ADDRESS + 0x20, 4),
        symbol(OTHER, 0x12, 1, ADDRESS + 0x30, 4),
    ];
    let functions = found(&elf_with(elf::SHT_DYNSYM, &symbols));
    let summary: Vec<_> = functions.found.iter().map(|f| (f.names.join(" "), f.offset, f.code.len())).collect();
    assert_eq!(summary, [("malloc __libc_malloc".to_owned(), CODE + 0x10, 8), ("free".to_owned(), CODE + 0x20, 4)]);
    assert!(functions.found.iter().all(Function::is_whole) && functions.rejected.is_empty());
}

/// Undefined and local symbols and data are not functions of the file; indirect ones are named as left out.
#[test]
fn other_symbols_are_left_out() {
    let symbols = [
        symbol(MALLOC, 0x12, 0, ADDRESS + 0x10, 8), // undefined, with the address of its PLT entry
        symbol(MALLOC, 0x02, 1, ADDRESS + 0x10, 8), // local
        symbol(MALLOC, 0x11, 1, ADDRESS + 0x10, 8), // data
        symbol(FREE, 0x1a, 1, ADDRESS + 0x10, 8),   // indirect
        symbol(LIBC_MALLOC, 0x12, 1, ADDRESS + 0x8000, 8),
    ];
    let functions = found(&elf_with(elf::SHT_DYNSYM, &symbols));
    assert_eq!(functions.found, []);
    let reasons: Vec<_> = functions.rejected.iter().map(|r| (r.name.as_str(), r.reason)).collect();
    assert_eq!(reasons, [("__libc_malloc", Rejection::NotInFile), ("free", Rejection::Indirect)]);
}

/// A static executable has its names in .symtab alone.
#[test]
fn static_executables_are_read_from_symtab() {
    let functions = found(&elf_with(elf::SHT_SYMTAB, &[symbol(FREE, 0x12, 1, ADDRESS, 4)]));
    assert!(functions.defines("free") && !functions.defines("malloc"));
}

/// A program with an interpreter is not asked for .symtab, where its private functions are.
#[test]
fn dynamic_executables_are_not_read_from_symtab() {
    let mut bytes = elf_with(elf::SHT_SYMTAB, &[symbol(FREE, 0x12, 1, ADDRESS, 4)]);
    put(&mut bytes, 56, &[2, 0]);
    put_words(&mut bytes, 120, &[3 | 4 << 32, 0x301, 0, 0, 8, 8, 1]);
    assert_eq!(open(&bytes).and_then(|elf| elf.interpreter()).expect("good"), Some(PathBuf::from("__libc_m")));
    assert_eq!(found(&bytes).found, []);
}

/// Nor is a library that needs others.
#[test]
fn libraries_are_not_read_from_symtab() {
    let mut bytes = elf_with(elf::SHT_SYMTAB, &[symbol(FREE, 0x12, 1, ADDRESS, 4)]);
    put(&mut bytes, 56, &[2, 0]);
    put_words(&mut bytes, 120, &[2 | 4 << 32, 0x340, 0, 0, 32, 32, 8]);
    put_words(&mut bytes, 0x340, &[1, 0, 0, 0]);
    assert_eq!(found(&bytes).found, []);
    // The same behind the end of the section's entries means nothing.
    put_words(&mut bytes, 0x340, &[0, 0, 1, 0]);
    assert!(found(&bytes).defines("free"));
}

/// A symbol without size yields its first bytes, and says that they are not all.
#[test]
fn unsized_functions() {
    let functions = found(&elf_with(elf::SHT_DYNSYM, &[symbol(FREE, 0x12, 1, ADDRESS, 0)]));
    assert_eq!(functions.found[0].code.len(), 16);
    assert!(!functions.found[0].is_whole());
}

/// 32-bit programs are told from files that are broken, and the message is safe to print.
#[test]
fn kinds_of_files() {
    let error = open(b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").expect_err("32 bits");
    assert!(matches!(error.problem(), ElfProblem::ThirtyTwoBit));
    assert_eq!(error.to_string(), r#""/made/by\nhand": a 32-bit ELF file"#);
    assert_eq!(error.hint(), Some("memtrace traces 64-bit processes only"));
    assert!(matches!(open(b"#!/bin/sh\n").expect_err("a script").problem(), ElfProblem::NotElf));
    assert!(matches!(open(b"").expect_err("empty").problem(), ElfProblem::NotElf));
    assert!(matches!(ElfFile::open(Path::new("/dev/null")).expect_err("device").problem(), ElfProblem::NotElf));
    let mut other = elf_with(elf::SHT_DYNSYM, &[]);
    other[18] = 8;
    assert!(matches!(open(&other).expect_err("MIPS").problem(), ElfProblem::Machine(8)));
}

/// Tables that claim more than the file has, or more than is sensible, take no memory.
#[test]
fn lying_headers() {
    let good = elf_with(elf::SHT_DYNSYM, &[symbol(FREE, 0x12, 1, ADDRESS, 4)]);
    for (at, word) in [(0x260, 1 << 29), (0x260, u64::MAX), (0x298, u64::MAX - 3), (0x2a0, 1 << 40), (40, 1 << 20)] {
        let mut bytes = good.clone();
        put_words(&mut bytes, at, &[word]);
        let error = open(&bytes).and_then(|elf| elf.functions(["free"])).expect_err("a lie");
        assert!(matches!(error.problem(), ElfProblem::Malformed(_) | ElfProblem::TooLarge { .. }), "{at:#x}: {error}");
    }
}

proptest! {
    /// Whatever is changed in a good file, it is read or refused; nothing panics.
    #[test]
    fn changed_files(
        changes in proptest::collection::vec((prop_oneof![0..0x500_usize, 0..0x80_usize], any::<u8>()), 0..12),
        length in prop_oneof![Just(usize::MAX), 0..0x1200_usize],
    ) {
        let mut bytes = elf_with(elf::SHT_DYNSYM, &[symbol(MALLOC, 0x12, 1, ADDRESS, 4), symbol(FREE, 0x12, 1, ADDRESS, 4)]);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(length);
        if let Ok(elf) = open(&bytes) {
            let _ = (elf.soname(), elf.interpreter(), elf.build_id());
            if let Ok(functions) = elf.functions(["malloc", "free"]) {
                prop_assert!(functions.found.iter().all(|function| function.code.len() <= bytes.len()));
            }
        }
    }

    /// Notes are read to their end and not beyond it.
    #[test]
    fn arbitrary_notes(notes in proptest::collection::vec(any::<u8>(), 0..64), align in 0..9_u64) {
        if let Some(id) = reader::build_id(&notes, align) {
            prop_assert!(id.len() <= notes.len());
        }
    }
}

/// A build id is found behind other notes.
#[test]
fn build_id_behind_another_note() {
    let mut notes = Vec::new();
    for part in [&4_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), &1_u32.to_le_bytes(), b"GNU\0", b"abcd"] {
        notes.extend_from_slice(part);
    }
    for part in [&4_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), &3_u32.to_le_bytes(), b"GNU\0", b"\x01\x02\x03\0"] {
        notes.extend_from_slice(part);
    }
    assert_eq!(reader::build_id(&notes, 4), Some(&[1, 2, 3][..]));
}
