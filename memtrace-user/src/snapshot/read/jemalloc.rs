//! Reads the heap profiles that jemalloc writes itself (`heap_v2`, with `prof:true`): text, addresses, mapped files.
//!
//! No tool converts them to pprof's format. They are samples of one allocation in so many bytes; numbers are scaled to what
//! they stand for, by the mean size at each stack, as jeprof does (`AdjustSamples`, with the Poisson formula).

use std::{
    collections::HashMap,
    io::{BufRead, Read as _},
    os::unix::ffi::OsStrExt as _,
};

use crate::{
    process::MapsLine,
    profile::{
        AllocStats, Domain, Lack, Location, ModuleId, Modules, ProcessIndex, Snapshot, StackEnd, StackSample,
        TracedProcess,
    },
    snapshot::{
        SnapshotProblem,
        limits::{Budget, MAX_STACK},
    },
};

/// How such a file begins; the mean distance of samples in bytes follows.
pub const MAGIC: &[u8] = b"heap_v2/";

/// Longest line, in bytes: a path, or the addresses of a stack.
const MAX_LINE: u64 = 1 << 20;

/// What is known of a stack, of all threads together.
struct Entry {
    addresses: Vec<u64>,
    counts: Option<[u64; 4]>,
}

/// Reads a profile.
///
/// # Errors
/// When it is damaged, or would take too much memory.
pub fn read(mut input: impl BufRead, mut budget: Budget) -> Result<Snapshot, SnapshotProblem> {
    let mut line = Vec::new();
    next_line(&mut input, &mut line)?;
    let rate = line.strip_prefix(MAGIC).and_then(number).ok_or_else(|| damaged("its first line is not complete"))?;
    let mut entries: Vec<Entry> = Vec::new();
    while next_line(&mut input, &mut line)? && line != b"MAPPED_LIBRARIES:" {
        budget.memory(2 * line.len() + size_of::<StackSample>())?;
        if let Some(stack) = line.strip_prefix(b"@") {
            entries.push(Entry { addresses: addresses(stack)?, counts: None });
        } else if let (Some(counts), Some(entry)) = (line.trim_ascii().strip_prefix(b"t*:"), entries.last_mut()) {
            entry.counts = Some(four_numbers(counts).ok_or_else(|| damaged("a line of counts is not complete"))?);
        }
    }
    let mut map = Map::default();
    while next_line(&mut input, &mut line)? {
        budget.memory(2 * line.len() + size_of::<MapsLine>())?;
        map.take(&line);
    }
    snapshot(entries, rate, map)
}

fn damaged(what: &str) -> SnapshotProblem {
    SnapshotProblem::damaged(what)
}

/// The next line without its newline; `false` at the end.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool, SnapshotProblem> {
    line.clear();
    let read = input.by_ref().take(MAX_LINE).read_until(b'\n', line).map_err(SnapshotProblem::Read)?;
    if read as u64 == MAX_LINE {
        return Err(SnapshotProblem::TooLarge(format!("a line has more than {MAX_LINE} bytes")));
    }
    line.truncate(line.trim_ascii_end().len());
    Ok(read > 0)
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.trim().parse().ok()
}

fn addresses(stack: &[u8]) -> Result<Vec<u64>, SnapshotProblem> {
    let hex = |word: &[u8]| u64::from_str_radix(str::from_utf8(word.strip_prefix(b"0x")?).ok()?, 16).ok();
    let words = stack.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let stack: Option<Vec<u64>> = words.take(MAX_STACK).map(hex).collect();
    stack.ok_or_else(|| damaged("a stack has something that is no address"))
}

/// Live objects and bytes, then those ever allocated, as ` 1: 81920 [0: 0]`.
fn four_numbers(counts: &[u8]) -> Option<[u64; 4]> {
    let mut numbers = counts.split(|byte| b": []".contains(byte)).filter(|part| !part.is_empty()).map(number);
    let four = [numbers.next()??, numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(four)
}

/// What so many sampled objects and bytes stand for: an object of the mean size is sampled with probability
/// 1 − e^(−size/rate).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "estimates, above 0; a conversion to an integer saturates"
)]
fn scaled(objects: u64, bytes: u64, rate: u64) -> (u64, u64) {
    if objects == 0 || rate <= 1 {
        return (objects, bytes);
    }
    let mean = bytes as f64 / objects as f64;
    let scale = 1.0 / -(-mean / rate as f64).exp_m1();
    if scale.is_finite() {
        ((objects as f64 * scale).round() as u64, (bytes as f64 * scale).round() as u64)
    } else {
        (objects, bytes)
    }
}

/// The mapped files, in the order of their addresses, as the kernel lists them.
#[derive(Default)]
struct Map {
    lines: Vec<(MapsLine, ModuleId)>,
    modules: Modules,
    by_name: HashMap<Vec<u8>, ModuleId>,
}

impl Map {
    fn take(&mut self, line: &[u8]) {
        let Some(line) = MapsLine::parse(line).filter(|line| !line.name.is_empty()) else { return };
        let modules = &mut self.modules;
        let name = line.name.as_bytes().to_vec();
        let module = *self.by_name.entry(name).or_insert_with(|| modules.add(&line.name.to_string_lossy()));
        self.lines.push((line, module));
    }

    fn location(&self, address: u64) -> Location {
        // Return addresses: the one behind a file's last instruction is still of that file.
        let call = address.saturating_sub(1);
        let after = self.lines.partition_point(|(line, _)| line.start <= call);
        match after.checked_sub(1).and_then(|index| self.lines.get(index)) {
            Some((line, module)) if call < line.end => {
                Location { module: *module, offset: (address - line.start).saturating_add(line.offset) }
            }
            _ => Location { module: ModuleId::UNKNOWN, offset: address },
        }
    }
}

fn snapshot(entries: Vec<Entry>, rate: u64, mut map: Map) -> Result<Snapshot, SnapshotProblem> {
    map.lines.sort_by_key(|(line, _)| line.start);
    // Without prof_accum, what has been freed is forgotten.
    let tells_allocated =
        entries.iter().any(|entry| entry.counts.is_some_and(|[.., objects, bytes]| objects + bytes > 0));
    let mut total = AllocStats::default();
    let mut samples = Vec::with_capacity(entries.len());
    for Entry { addresses, counts } in entries {
        let Some([objects, bytes, all_objects, all_bytes]) = counts else { continue };
        let live = scaled(objects, bytes, rate);
        let all = scaled(all_objects, all_bytes, rate);
        // What is live has been allocated, although the two are scaled by different means.
        let all = if tells_allocated { (all.0.max(live.0), all.1.max(live.1)) } else { live };
        let stats = AllocStats {
            allocated_blocks: all.0,
            allocated_bytes: all.1,
            freed_blocks: all.0 - live.0,
            freed_bytes: all.1 - live.1,
            short_lived_blocks: 0,
            ..AllocStats::default()
        };
        total += stats;
        samples.push(StackSample {
            stack: addresses.iter().map(|address| map.location(*address)).collect(),
            end: StackEnd::Whole,
            domain: Domain::Malloc,
            process: ProcessIndex(0),
            thread: None,
            stats,
        });
    }
    if i64::try_from(total.allocated_blocks.max(total.allocated_bytes)).is_err() {
        return Err(damaged("its numbers add up to more than 2^63"));
    }
    let mut snapshot = Snapshot { samples, modules: map.modules, ..Snapshot::default() };
    let mut process = TracedProcess::default();
    process.info.command =
        snapshot.modules.iter().nth(1).map(|(_, module)| module.path.to_string()).unwrap_or_default();
    snapshot.processes.push(process);
    snapshot.about.options.sample_bytes = (rate > 1).then_some(rate);
    snapshot.about.lacks = (!tells_allocated)
        .then_some(Lack::Allocated)
        .into_iter()
        .chain([Lack::Process, Lack::StackEnds, Lack::Functions, Lack::Lines])
        .collect();
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "heap_v2/524288
  t*: 3: 1064960 [0: 0]
  t0: 3: 1064960 [0: 0]
@ 0x401010 0x7f0000002000
  t*: 2: 16384 [0: 0]
  t0: 2: 16384 [0: 0]
@ 0x401020 0x99
  t*: 1: 1048576 [0: 0]

MAPPED_LIBRARIES:
00400000-00402000 r-xp 00001000 fd:00 12 /usr/bin/app
7f0000001000-7f0000002000 r-xp 00000000 fd:00 13 /usr/lib/libc.so.6
7f0000002000-7f0000003000 rw-p 00000000 00:00 0
";

    fn read_text(text: &str) -> Result<Snapshot, SnapshotProblem> {
        read(text.as_bytes(), Budget::default())
    }

    /// Stacks lead to offsets in the mapped files, and numbers are scaled as jeprof scales them.
    #[test]
    fn samples_are_scaled_and_placed() {
        let snapshot = read_text(FILE).expect("a sound profile");
        let places = |index: usize| -> Vec<(String, u64)> {
            let place = |at: &Location| (snapshot.modules.path(at.module).to_string(), at.offset);
            snapshot.samples[index].stack.iter().map(place).collect()
        };
        assert_eq!(places(0), [("/usr/bin/app".into(), 0x2010), ("/usr/lib/libc.so.6".into(), 0x1000)]);
        assert_eq!(places(1), [("/usr/bin/app".into(), 0x2020), ("[unknown]".into(), 0x99)]);
        // 2 / (1 - e^(-8192 / 524288)), and 1 / (1 - e^-2).
        let stats = &snapshot.samples[0].stats;
        assert_eq!((stats.live_blocks(), stats.live_bytes()), (129, 1_056_789));
        assert_eq!(snapshot.samples[1].stats.live_bytes(), 1_212_697);
        assert_eq!(snapshot.about.options.sample_bytes, Some(524_288));
        assert!(snapshot.about.lacks.contains(&Lack::Allocated));
        assert_eq!(snapshot.processes[0].info.command, "/usr/bin/app");
    }

    /// With `prof_accum`, what was freed is told.
    #[test]
    fn accumulated_numbers_are_allocated_ones() {
        let snapshot = read_text("heap_v2/1\n@ 0x10\n  t*: 1: 10 [5: 70]\n").expect("a sound profile");
        let stats = snapshot.total();
        assert_eq!((stats.allocated_blocks, stats.allocated_bytes, stats.freed_bytes), (5, 70, 60));
        assert!(!snapshot.about.lacks.contains(&Lack::Allocated));
    }

    /// Damage is refused with a word on it.
    #[test]
    fn damage_is_refused() {
        for (text, part) in [
            ("heap_v2/\n", "first line"),
            ("heap_v2/1\n@ 0x10 zz\n", "no address"),
            ("heap_v2/1\n@ 0x10\n t*: 1: 2 [3\n", "counts"),
            ("heap_v2/1\n@ 0x1\n t*: 9223372036854775808: 2 [3: 4]\n", "2^63"),
        ] {
            let problem = read_text(text).expect_err(text).to_string();
            assert!(problem.contains(part), "{problem}");
        }
        let long = format!("heap_v2/1\n@ {}\n", "0x1 ".repeat(1 << 19));
        assert!(matches!(read_text(&long), Err(SnapshotProblem::TooLarge(_))));
        let small = read(FILE.as_bytes(), Budget::of_memory(300));
        assert!(matches!(small, Err(SnapshotProblem::TooLarge(_))));
    }
}
