//! Files of this machine against gimli's own search, which goes by `.eh_frame_hdr`.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, LittleEndian, RegisterRule, UnwindContext, UnwindSection,
    UnwindTableRow,
};
use memtrace_common::unwind::{kind, rule};
use nix::time::{ClockId, clock_gettime};
use object::{Object, ObjectSection};

use super::made_up::row_offsets;
use crate::unwind::UnwindTable;

/// A row in words, for comparison.
fn row_in_words(row: &UnwindTableRow<usize>) -> String {
    if row.register(gimli::X86_64::RA) == Some(RegisterRule::Undefined) {
        return "outermost".into();
    }
    let mut words = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => format!("r{}{offset:+}", register.0),
        CfaRule::Expression(_) => return "expression".into(),
    };
    if let Some(RegisterRule::Offset(offset)) = row.register(gimli::X86_64::RBP) {
        write!(words, " saved {offset:+}").expect("a string");
    }
    words
}

fn rule_in_words(found: u64) -> String {
    let register = match rule::kind(found) {
        kind::OUTERMOST => return "outermost".into(),
        kind::PLT | kind::STORED | kind::SIGNAL | kind::STACK_INDIRECT | kind::FRAME_INDIRECT => {
            return "expression".into();
        }
        kind::STACK_POINTER => "r7",
        kind::FRAME_POINTER => "r6",
        other => return format!("kind {other}"),
    };
    let saved = rule::saved(found);
    let saved = if saved == 0 { String::new() } else { format!(" saved -{}", saved * 8) };
    format!("{register}{:+}{saved}", rule::offset(found))
}

/// Compares the table with gimli at `count` places in the file's code; returns how many had a rule.
fn compare(path: &str, count: u64) -> u64 {
    let bytes = fs::read(path).expect("readable");
    let table = UnwindTable::of(&fs::File::open(path).expect("readable"), path).expect("ELF").expect("has a table");
    let file = object::File::parse(bytes.as_slice()).expect("ELF");
    let section = |name: &str| {
        let section = file.section_by_name(name).expect("section");
        (section.address(), section.data().expect("contents"), section.size())
    };
    let (hdr_address, hdr, _) = section(".eh_frame_hdr");
    let (address, frames, _) = section(".eh_frame");
    let (text, _, size) = section(".text");
    let bases = BaseAddresses::default().set_eh_frame_hdr(hdr_address).set_eh_frame(address).set_text(text);
    let hdr = EhFrameHdr::new(hdr, LittleEndian).parse(&bases, 8).expect("header");
    let search = hdr.table().expect("table");
    let frames = EhFrame::new(frames, LittleEndian);
    let mut context = UnwindContext::new();
    let mut random = 42_u64;
    let mut with_rule = 0;
    for _ in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = text + (random >> 20) % size;
        let found = table.rule_at(u32::try_from(at - table.base).expect("near"));
        let row = search.unwind_info_for_address(&frames, &bases, &mut context, at, EhFrame::cie_from_offset);
        // Between functions the last rule may stay in force.
        let Ok(row) = row else { continue };
        with_rule += 1;
        if rule::kind(found) == kind::UNSUPPORTED {
            let plain =
                matches!(row.cfa(), CfaRule::RegisterAndOffset { register, .. } if [6, 7].contains(&register.0));
            assert!(!plain || row.register(gimli::X86_64::RA) != Some(RegisterRule::Offset(-8)), "{path} {at:#x}");
        } else {
            assert_eq!(rule_in_words(found), row_in_words(row), "{path} {at:#x}");
        }
    }
    with_rule
}

/// The C library that this process uses.
fn libc_path() -> String {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let mut paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.find(|path| path.contains("libc.so") || path.contains("libc-")).expect("dynamically linked").to_owned()
}

/// A table says what gimli's search says, for libc and for this program.
#[cfg(target_arch = "x86_64")]
#[test]
fn agrees_with_gimli() {
    assert!(compare(&libc_path(), 20_000) > 19_000);
    assert!(compare("/proc/self/exe", 5_000) > 4_500);
}

/// libc's table has a rule for nearly all functions, among them those that only expressions describe.
#[cfg(target_arch = "x86_64")]
#[test]
fn libc_is_covered() {
    let path = libc_path();
    let table = UnwindTable::of(&fs::File::open(&path).expect("readable"), &path).expect("ELF").expect("has a table");
    assert!(table.summary.fdes > 2_000 && table.summary.rows > 10_000, "{:?}", table.summary);
    assert!(table.summary.unsupported < 50 && table.summary.malformed == 0, "{:?}", table.summary);
    let rules = &table.words[table.rules as usize..];
    let has = |wanted| rules.iter().any(|found| rule::kind(*found) == wanted);
    assert!(has(kind::SIGNAL), "the return from a signal handler");
    assert!(has(kind::OUTERMOST), "the start of a thread");
}

/// The vDSO's functions have rules.
#[test]
fn vdso_has_a_table() {
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let Some((start, end)) = maps.lines().find(|line| line.ends_with("[vdso]")).and_then(|line| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
    }) else {
        println!("skipped: the kernel maps no vDSO");
        return;
    };
    let mut image = vec![0; usize::try_from(end - start).expect("small")];
    fs::File::open("/proc/self/mem").expect("readable").read_exact_at(&mut image, start).expect("readable");
    let table = UnwindTable::of_image(&image).expect("ELF").expect("has a table");
    assert!(table.summary.fdes >= 4 && table.summary.malformed == 0, "{:?}", table.summary);
}

/// A device is refused, not read.
#[test]
fn device_is_refused() {
    let error = UnwindTable::of(&fs::File::open("/dev/zero").expect("device"), "/dev/zero").expect_err("no file");
    assert_eq!(error.to_string(), "\"/dev/zero\": not a little-endian 64-bit ELF file");
}

/// Prints how long the tables of the files in `MEMTRACE_UNWIND_FILES` (separated by spaces) take, and dumps one of them
/// with `MEMTRACE_UNWIND_DUMP`, for comparison with readelf's output.
#[test]
#[ignore = "takes files by hand"]
fn timing() {
    for path in std::env::var("MEMTRACE_UNWIND_FILES").expect("files").split(' ') {
        let mut best = f64::MAX;
        let mut table = None;
        for _ in 0..5 {
            let cpu_time = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).expect("a clock");
            let start = cpu_time();
            table = UnwindTable::of(&fs::File::open(path).expect("readable"), path).expect("ELF");
            best = best.min(cpu_time().saturating_sub(start).as_secs_f64() * 1e3);
        }
        let Some(table) = table else {
            println!("{path}: no unwind information");
            continue;
        };
        println!("{path}: {best:.1} ms of CPU time, {} KiB, {:?}", table.words.len() / 128, table.summary);
        if let Ok(dump) = std::env::var("MEMTRACE_UNWIND_DUMP") {
            let line = |at: u32| format!("{:x} {}\n", table.base + u64::from(at), rule_in_words(table.rule_at(at)));
            fs::write(dump, row_offsets(&table).into_iter().map(line).collect::<String>()).expect("written");
        }
    }
}
