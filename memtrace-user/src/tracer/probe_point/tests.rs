//! Probe points of real functions, of small ones made for a rule each, and of arbitrary bytes.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::allocators::{self, AllocatorFunction};
use crate::process::elf::ElfFile;

fn functions() -> Vec<AllocatorFunction> {
    allocators::ALL.iter().find(|allocator| allocator.name == "glibc").expect("glibc is known").functions().collect()
}

fn call_of(name: &str) -> Call {
    functions().iter().find(|function| function.name == name).expect("a listed function").call
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal"))
        .collect()
}

/// A line for each function of a file in testdata/.
fn points(testdata: &str, machine: Machine) -> String {
    let lines = testdata.lines().filter(|line| !line.starts_with('#'));
    let described = lines.map(|line| {
        let (name, hex) = line.split_once(' ').expect("name and bytes");
        let code = bytes(hex);
        let point = choose(Code { bytes: &code, whole: true }, machine, &call_of(name).into()).expect("a probe point");
        format!("{name}+{} {} ({}): {}", point.offset_in_function, point.instruction, point.price, point.reason)
    });
    described.collect::<Vec<_>>().join("\n")
}

fn choose_x86(hex: &str, call: Call) -> Result<ProbePoint, ProbePointError> {
    choose(Code { bytes: &bytes(hex), whole: true }, Machine::X86_64, &call.into())
}

fn choose_arm(words: &[u32], call: Call) -> Result<ProbePoint, ProbePointError> {
    let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    choose(Code { bytes: &code, whole: true }, Machine::Aarch64, &call.into())
}

fn place(point: Result<ProbePoint, ProbePointError>) -> (u64, Price, Reason) {
    let point = point.expect("a probe point");
    (point.offset_in_function, point.price, point.reason)
}

/// On Debian 12 every function of glibc has an emulated place, and free's lies behind its check for NULL.
#[test]
fn debian_12_x86_64() {
    insta::assert_snapshot!(points(include_str!("testdata/debian-12-x86_64.txt"), Machine::X86_64));
}

/// On Debian 13 likewise; its `aligned_alloc` is a function of its own.
#[test]
fn debian_13_x86_64() {
    insta::assert_snapshot!(points(include_str!("testdata/debian-13-x86_64.txt"), Machine::X86_64));
}

/// Functions that begin with endbr64, which the kernel never emulates, are probed behind it.
#[test]
fn endbr64_is_skipped() {
    insta::assert_snapshot!(points(include_str!("testdata/endbr64-x86_64.txt"), Machine::X86_64));
}

/// On aarch64 without pointer authentication most functions save x30 at once and are probed there.
#[test]
fn debian_12_aarch64() {
    insta::assert_snapshot!(points(include_str!("testdata/debian-12-aarch64.txt"), Machine::Aarch64));
}

/// With it no probe comes behind paciasp, and bti is skipped.
#[test]
fn debian_13_aarch64() {
    insta::assert_snapshot!(points(include_str!("testdata/debian-13-aarch64.txt"), Machine::Aarch64));
}

/// An instruction that a branch of the function leads to would count some calls twice.
#[test]
fn branch_targets_are_avoided() {
    // 0: mov %rdi,%rax  3: push %rbx  4: dec %rax  7: jne 3  9: pop %rbx  a: ret
    let looped = place(choose_x86("4889f8 53 48ffc8 75fa 5b c3", Call::allocate(0)));
    assert_eq!(looped, (0, Price::Stepped, Reason::NothingEmulated));
    // The same with the loop behind the push: jne 4.
    let behind = place(choose_x86("4889f8 53 48ffc8 75fb 5b c3", Call::allocate(0)));
    assert_eq!(behind, (3, Price::Emulated, Reason::FirstEmulated));
}

/// A branch back to the entry is a new call of the function, and no reason against a place behind it.
#[test]
fn a_branch_to_the_entry_is_a_call() {
    // 0: mov %rdi,%rax  3: push %rbx  4: pop %rbx  5: jmp 0
    assert_eq!(place(choose_x86("4889f8 53 5b ebf9", Call::allocate(0))).0, 3);
}

/// An argument that the program reads must be as at entry; others may change.
#[test]
fn arguments_are_kept() {
    // 0: mov %rsi,%rdi  3: push %rbx  4: ret
    assert_eq!(place(choose_x86("4889f7 53 c3", Call::allocate(0))).0, 0);
    assert_eq!(place(choose_x86("4889f7 53 c3", Call::allocate(1))).0, 3);
    // The lower half of an argument is part of it: xor %edi,%edi
    assert_eq!(place(choose_x86("31ff 53 c3", Call::allocate(0))).0, 0);
}

/// Nothing is passed over that moves the stack pointer: the return address would not be found.
#[test]
fn the_stack_pointer_is_kept() {
    // 0: sub $0x18,%rsp  4: jmp 6  6: ret
    assert_eq!(place(choose_x86("4883ec18 eb00 c3", Call::allocate(0))), (0, Price::Stepped, Reason::NothingEmulated));
}

/// Nothing is passed over that stores: a block that is being freed could be handed out before the probe.
#[test]
fn stores_end_the_walk() {
    // 0: mov %rax,(%rdi)  3: push %rbx  4: ret
    assert_eq!(place(choose_x86("488907 53 c3", Call::release(0))).0, 0);
}

/// A call is emulated, but not used: the shadow stack does not see its return address.
#[test]
fn calls_are_not_used() {
    // 0: call +0  5: push %rbx  6: ret
    assert_eq!(place(choose_x86("e800000000 53 c3", Call::release(0))), (0, Price::Stepped, Reason::NothingEmulated));
}

/// A nop of several bytes is passed over, one of a single byte is used.
#[test]
fn nops() {
    assert_eq!(place(choose_x86("0f1f440000 53 c3", Call::allocate(0))).0, 5);
    assert_eq!(place(choose_x86("f390 c3", Call::allocate(0))), (0, Price::Stepped, Reason::NothingEmulated));
    assert_eq!(place(choose_x86("4889f8 90 c3", Call::allocate(0))), (3, Price::Emulated, Reason::FirstEmulated));
    // xchg %r8,%rax ends in 90 and is no nop.
    assert_eq!(place(choose_x86("4990 53 c3", Call::allocate(0))), (0, Price::Stepped, Reason::NothingEmulated));
}

/// The check for NULL is known in its other form, and with instructions in between that keep the flags.
#[test]
fn null_checks() {
    // cmp $0,%rdi; je; push
    let compared = place(choose_x86("4883ff00 7402 53 5b c3", Call::release(0)));
    assert_eq!(compared, (6, Price::Emulated, Reason::AfterNullCheck));
    // test %rdi,%rdi; mov %rdi,%rax; je; push
    let apart = place(choose_x86("4885ff 4889f8 7402 53 5b c3", Call::release(0)));
    assert_eq!(apart, (8, Price::Emulated, Reason::AfterNullCheck));
}

/// A branch that calls with a block may take, too, is the last place before they part.
#[test]
fn other_checks_are_not_passed() {
    let first = (3, Price::Emulated, Reason::FirstEmulated);
    // test %rdi,%rdi; jne: it is the blocks that leave.
    assert_eq!(place(choose_x86("4885ff 7502 53 5b c3", Call::release(0))), first);
    // test %rsi,%rsi; je: not the block.
    assert_eq!(place(choose_x86("4885f6 7402 53 5b c3", Call::release(0))), first);
    // malloc(0) is an allocation.
    assert_eq!(place(choose_x86("4885ff 7402 53 5b c3", Call::allocate(0))), first);
    // test %edi,%edi; je: a block may have zeros in its lower half.
    assert_eq!(place(choose_x86("85ff 7402 53 5b c3", Call::release(0))).0, 2);
    // test %rdi,%rdi; add $1,%rax; je: the flags are the addition's.
    assert_eq!(place(choose_x86("4885ff 4883c001 7402 53 5b c3", Call::release(0))).0, 7);
}

/// Where nothing qualifies behind the check for NULL, the check is the place.
#[test]
fn null_check_itself() {
    // test %rdi,%rdi; je; sub $8,%rsp; ret; ret
    let point = place(choose_x86("4885ff 7405 4883ec08 c3 c3", Call::release(0)));
    assert_eq!(point, (3, Price::Emulated, Reason::NullCheck));
    // test %rdi,%rdi; je to the push: calls with NULL come by there, too, and the others would count with them.
    let point = place(choose_x86("4885ff 7400 53 5b c3", Call::release(0)));
    assert_eq!(point, (3, Price::Emulated, Reason::NullCheck));
    // cbz x0; sub sp, sp, #16; ret
    let point = place(choose_arm(&[0xb400_0060, 0xd100_43ff, 0xd65f_03c0], Call::release(0)));
    assert_eq!(point, (0, Price::Emulated, Reason::NullCheck));
}

/// On aarch64 an emulated instruction behind the check for NULL is used, if x30 and x0 are as at entry.
#[test]
fn aarch64_after_null_check() {
    // cbz x0; adrp x1; ret
    let point = place(choose_arm(&[0xb400_0040, 0x9000_0001, 0xd65f_03c0], Call::release(0)));
    assert_eq!(point, (4, Price::Emulated, Reason::AfterNullCheck));
    // cbz w0 looks at half of the block.
    let point = place(choose_arm(&[0x3400_0040, 0x9000_0001, 0xd65f_03c0], Call::release(0)));
    assert_eq!(point, (0, Price::Emulated, Reason::FirstEmulated));
    // mov x0, x1 and mov x30, x1 in between.
    for changed in [0xaa01_03e0, 0xaa01_03fe] {
        let point = place(choose_arm(&[changed, 0x9000_0001, 0xd65f_03c0], Call::allocate(0)));
        assert_eq!(point, (0, Price::Stepped, Reason::NothingEmulated));
    }
}

/// On aarch64, too, a branch back keeps the places behind its target free.
#[test]
fn aarch64_branch_targets() {
    // cmp x0, #0; adrp x3; sub x3, x3, #1; cbnz x3, -8 (the adrp); ret
    let words = [0xf100_001f, 0x9000_0003, 0xd100_0463, 0xb5ff_ffc3, 0xd65f_03c0];
    assert_eq!(place(choose_arm(&words, Call::allocate(0))), (0, Price::Stepped, Reason::NothingEmulated));
    // The same leading to the sub.
    let words = [0xf100_001f, 0x9000_0003, 0xd100_0463, 0xb5ff_ffe3, 0xd65f_03c0];
    assert_eq!(place(choose_arm(&words, Call::allocate(0))), (4, Price::Emulated, Reason::FirstEmulated));
}

/// Entries on which the kernel takes no probe are errors, not probes that never fire.
#[test]
fn refused_entries() {
    // cs nopw; lock; ds (notrack) jmp; mov %eax,%ss; hlt
    for code in ["662e0f1f840000000000 c3", "f0 480fc107 c3", "3e ffe0", "8ed0 c3", "f4 c3"] {
        assert!(matches!(choose_x86(code, Call::allocate(0)), Err(ProbePointError::Refused(_))), "{code}");
    }
    // brk; ldr x1, literal; ldxr; retaa; autiasp
    for word in [0xd420_0000, 0x5800_0041, 0xc85f_7c01, 0xd65f_0bff, 0xd503_23bf] {
        assert!(matches!(choose_arm(&[word], Call::allocate(0)), Err(ProbePointError::Refused(_))), "{word:#x}");
    }
}

/// What is no code at all is an error that shows the bytes.
#[test]
fn no_code() {
    assert_eq!(choose_x86("", Call::allocate(0)), Err(ProbePointError::NotCode(Vec::new())));
    let error = choose_x86("06", Call::allocate(0)).expect_err("06 is no instruction in 64-bit mode");
    assert_eq!(error.to_string(), "the function's first bytes are no instruction: 06");
}

/// Without the whole function its branches are not known, so only the entry may be probed.
#[test]
fn unknown_code_is_probed_at_its_entry() {
    let code = bytes("4889f8 53 c3");
    let point = choose(Code { bytes: &code, whole: false }, Machine::X86_64, &Call::allocate(0).into());
    assert_eq!(place(point), (0, Price::Stepped, Reason::CodeUnknown));
    assert_eq!(place(choose_x86("4889f8 53 c3 06", Call::allocate(0))).2, Reason::CodeUndecodable);
}

/// Every listed function of the libc that this test runs on resolves and gets a point.
#[test]
fn own_libc() {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps of this process");
    let libc = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libc.so.6"));
    let Some(libc) = libc else { return eprintln!("skipping: this test does not run on a shared glibc") };
    let elf = ElfFile::open(Path::new(libc)).expect("an ELF file");
    let symbols = elf.functions(allocators::symbols_of_interest()).expect("symbols");
    let allocator = allocators::detect(|name| symbols.defines(name)).expect("glibc is recognised");
    let c23 = ["cfree", "free_sized", "free_aligned_sized"];
    for listed in allocator.functions().filter(|listed| !c23.contains(&&*listed.name)) {
        let function = symbols.found.iter().find(|f| f.names.iter().any(|name| *name == listed.name));
        let function = function.unwrap_or_else(|| panic!("{} is defined", listed.name));
        let point = choose(function.into(), elf.machine(), &listed.call.into()).expect("a probe point");
        assert!(function.is_whole() && point.offset_in_function < function.size, "{}: {point:?}", listed.name);
        eprintln!("{}+{} at {:#x}: {point:?}", listed.name, point.offset_in_function, function.offset);
    }
}

fn any_call() -> impl Strategy<Value = Call> {
    proptest::sample::select(vec![
        Call::allocate(0),
        Call::allocate(1),
        Call::allocate(1).times(0),
        Call::reallocate(0, 1),
        Call::allocate(2).stored_at(0),
        Call::release(0),
    ])
}

/// Bytes that often look like a prologue.
fn any_code() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..8),
        proptest::sample::select(vec!["f30f1efa", "4885ff", "4889f8", "7402", "75f0", "53", "4154", "0f84f0ffffff"])
            .prop_map(bytes),
        proptest::sample::select(vec![0xd503_245f_u32, 0xb400_0040, 0xb5ff_ffc3, 0x9000_0003, 0xf100_001f])
            .prop_map(|word| word.to_le_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever the bytes, the point lies in the function and on a boundary of instructions, and nothing panics.
    #[test]
    fn arbitrary_x86_64(code in any_code(), whole: bool, call in any_call()) {
        if let Ok(point) = choose(Code { bytes: &code, whole }, Machine::X86_64, &call.into()) {
            let offset = usize::try_from(point.offset_in_function).unwrap();
            let decoder = yaxpeax_x86::long_mode::InstDecoder::default();
            let mut at = 0;
            while at < offset {
                let instruction = decoder.decode_slice(&code[at..]).unwrap();
                at += usize::try_from(yaxpeax_arch::LengthedInstruction::len(&instruction).to_const()).unwrap();
            }
            prop_assert_eq!(at, offset);
            prop_assert!(decoder.decode_slice(&code[offset..]).is_ok());
            prop_assert!(offset == 0 || (whole && point.price == Price::Emulated));
        }
    }

    /// Likewise on aarch64.
    #[test]
    fn arbitrary_aarch64(code in any_code(), whole: bool, call in any_call()) {
        if let Ok(point) = choose(Code { bytes: &code, whole }, Machine::Aarch64, &call.into()) {
            prop_assert_eq!(point.offset_in_function % 4, 0);
            prop_assert!(point.offset_in_function + 4 <= code.len() as u64);
            prop_assert!(point.offset_in_function == 0 || (whole && point.price == Price::Emulated));
        }
    }
}
