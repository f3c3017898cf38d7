//! Of this program's own code, and of the C library's.

use std::path::Path;

use super::*;
use crate::{allocators, process::AddressSpace};

/// Returns itself, or in its stead [`other`] does, to which it jumps.
#[unsafe(naked)]
extern "C" fn jumping() {
    core::arch::naked_asm!("test rdi, rdi", "je 2f", "jmp {}", "2: ret", sym other)
}

#[unsafe(naked)]
extern "C" fn other() {
    core::arch::naked_asm!("nop", "ret")
}

#[unsafe(naked)]
extern "C" fn computed() {
    core::arch::naked_asm!("jmp rdi")
}

fn own_file() -> ElfFile {
    ElfFile::open(Path::new("/proc/self/exe")).expect("an ELF file")
}

/// The address before relocation of a function of this program.
fn address_of(file: &ElfFile, function: extern "C" fn()) -> u64 {
    let mut space = AddressSpace::of_pid(std::process::id()).expect("this process lives");
    space.refresh().expect("its mappings are readable");
    let offset = space.locate(function as *const () as u64 + 1).expect("mapped").offset - 1;
    let holds = |s: &crate::process::elf::Segment| s.offset <= offset && offset - s.offset < s.file_size;
    let segment = file.segments().find(holds).expect("a segment");
    offset - segment.offset + segment.address
}

/// Returns of the function itself and of the one that it jumps to are found, to the byte.
#[test]
fn exits_of_a_jump_are_found() {
    let file = own_file();
    let [jumping, other] = [jumping as extern "C" fn(), other].map(|function| address_of(&file, function));
    let exits = CodeWalk::new(&file).exits(jumping).expect("exits");
    let bytes = file.bytes_at(jumping, 16).expect("readable");
    let own = jumping + bytes.iter().position(|byte| *byte == 0xc3).expect("a return") as u64;
    let mut expected = [own, other + 1].map(|at| Exit { at, result_in_argument: false });
    expected.sort_unstable();
    assert_eq!(exits, expected);
}

/// The hot functions of the C library call none of its others; what calls through a pointer may call anything.
#[test]
fn what_may_be_called_is_seen() {
    let file = own_file();
    let [jumping, other, calling] =
        [jumping as extern "C" fn(), other, calling].map(|function| address_of(&file, function));
    let mut walk = CodeWalk::new(&file);
    assert!(walk.may_call(jumping, &[other], true) && !walk.may_call(jumping, &[calling], true));
    assert!(walk.may_call(calling, &[], true) && !walk.may_call(calling, &[], false));
    assert!(!walk.may_call(other, &[jumping, calling], true));
}

/// What a function calls in other files may come back to it, but for what is known to allocate nothing.
#[test]
fn other_files_may_call_anything() {
    let file = own_file();
    let mut walk = CodeWalk::new(&file);
    // Also where pointers are known to lead to none of them: the linker's slots are no such pointers.
    for by_pointer in [true, false] {
        let mut may_call = |function| walk.may_call(address_of(&file, function), &[], by_pointer);
        assert!(!may_call(harmless));
        assert!(may_call(by_table) && may_call(by_slot) && may_call(tail));
    }
}

#[unsafe(naked)]
extern "C" fn harmless() {
    core::arch::naked_asm!(
        "call [rip + __errno_location@GOTPCREL]",
        "call [rip + memset@GOTPCREL]",
        "call __errno_location@PLT",
        "ret"
    )
}

#[unsafe(naked)]
extern "C" fn by_table() {
    core::arch::naked_asm!("call getenv@PLT", "ret")
}

#[unsafe(naked)]
extern "C" fn by_slot() {
    core::arch::naked_asm!("call [rip + getenv@GOTPCREL]", "ret")
}

#[unsafe(naked)]
extern "C" fn tail() {
    core::arch::naked_asm!("jmp [rip + getenv@GOTPCREL]")
}

#[unsafe(naked)]
extern "C" fn calling() {
    core::arch::naked_asm!("call rdi", "ret")
}

/// A function that only jumps to where it is told has no exit that can be seen.
#[test]
fn computed_jumps_are_no_exits() {
    let file = own_file();
    let computed = address_of(&file, computed);
    assert_eq!(CodeWalk::new(&file).exits(computed), Err(ExitsError::None));
}

/// Every allocating function of the C library that this test runs on has exits, and each returns or jumps.
#[test]
fn exits_of_the_own_libc() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps of this process");
    let libc = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libc.so.6"));
    let Some(libc) = libc else { return eprintln!("skipping: this test does not run on a shared glibc") };
    let file = ElfFile::open(Path::new(libc)).expect("an ELF file");
    let mut walk = CodeWalk::new(&file);
    for function in file.functions(allocators::symbols_of_interest()).expect("symbols").found {
        let exits = walk.exits(function.address).unwrap_or_else(|error| panic!("{:?}: {error}", function.names));
        for exit in exits {
            let byte = file.bytes_at(exit.at, 1).expect("readable")[0];
            let returns = if exit.result_in_argument { byte == 0xff || byte == 0xf2 } else { byte == 0xc3 };
            assert!(returns, "{:?}: {byte:#x} at {:#x}", function.names, exit.at);
        }
    }
}
