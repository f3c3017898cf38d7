//! The head of a report: who is traced, the process's totals, and how far the numbers can be trusted.

use super::{elide, escape::escape, processes, timestamp, units};
use crate::profile::{Coverage, Domain, Losses, Profile, StackSample, other_domains};

/// Columns of the labels.
const LABEL: usize = 11;

/// The lines of the head, for a width in columns.
pub(super) fn lines(profile: &Profile, width: Option<usize>) -> Vec<String> {
    let mut rows = vec![("Process", process(profile))];
    rows.extend(processes::others(profile).map(|others| ("", others)));
    rows.extend(profile.process.allocators.iter().map(|name| ("Traced", escape(name).into_owned())));
    rows.push(("Time", time(profile)));
    rows.extend(profile.sample_bytes.map(|mean| ("SAMPLED", sampled(mean))));
    rows.extend(memory(profile));
    let nothing_yet = profile.totals.stats.allocated_blocks == 0;
    rows.extend(beside(&profile.samples));
    rows.push(("Stacks", if nothing_yet { "none yet".into() } else { coverage(profile.coverage()) }));
    rows.extend(unfollowed(profile).map(|reason| ("", reason)));
    rows.extend(uncounted(profile));
    rows.extend(losses(&profile.losses));
    rows.extend(profile.process.notes.iter().map(|note| ("NOTE", escape(note).into_owned())));
    rows.push(("Overhead", overhead(profile)));
    rows.into_iter().flat_map(|(label, text)| row(label, &text, width)).collect()
}

/// A label and its text, wrapped under itself.
pub(super) fn row(label: &str, text: &str, width: Option<usize>) -> Vec<String> {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(LABEL + 1));
    let lines = elide::wrap(text, room).into_iter().enumerate();
    lines.map(|(index, line)| format!("{:LABEL$} {line}", if index == 0 { label } else { "" })).collect()
}

fn process(profile: &Profile) -> String {
    let ended = if profile.process.exited { " (has ended)" } else { "" };
    format!("{}{ended}  {}", profile.process.pid, escape(&profile.process.command))
}

fn time(profile: &Profile) -> String {
    format!("{}, after {} of tracing", timestamp::utc(profile.taken_at), units::duration(profile.elapsed))
}

/// What the numbers of a sampled profile are.
pub(super) fn sampled(mean: u64) -> String {
    format!("estimates, by one byte in {}; intervals hold the truth in 95 of 100 cases", units::bytes(mean))
}

fn rss(profile: &Profile) -> String {
    let of = if profile.others.is_empty() { String::new() } else { format!(" of process {}", profile.process.pid) };
    profile.process.rss_bytes.map_or_else(String::new, |rss| format!(", RSS {}{of}", units::bytes(rss)))
}

fn memory(profile: &Profile) -> [(&'static str, String); 3] {
    let (totals, rates) = (&profile.totals, &profile.rates);
    let is_family = !profile.others.is_empty();
    let live = format!(
        "{} in {}{}, peak {}{}{}",
        units::bytes(totals.current_bytes),
        units::counted(totals.stats.live_blocks(), "block"),
        if is_family && !profile.some_run() { " at the end of each process" } else { "" },
        if is_family { "at least " } else { "" },
        units::bytes(totals.peak_bytes),
        rss(profile),
    );
    let flow = |bytes, blocks, block_rate, byte_rate| {
        let sum = format!("{} in {}", units::bytes(bytes), units::counted(blocks, "block"));
        if profile.process.exited {
            return sum;
        }
        format!("{sum}, now {}, {}", units::rate(block_rate), units::byte_rate(byte_rate))
    };
    let stats = &totals.stats;
    [
        ("Live", live),
        (
            "Allocated",
            flow(stats.allocated_bytes, stats.allocated_blocks, rates.allocated_blocks, rates.allocated_bytes),
        ),
        ("Freed", flow(stats.freed_bytes, stats.freed_blocks, rates.freed_blocks, rates.freed_bytes)),
    ]
}

/// What other layers of memory hold. Never added to the blocks, which lie in it.
pub(crate) fn beside(samples: &[StackSample]) -> Option<(&'static str, String)> {
    let sums = other_domains(samples).into_iter().map(|(domain, stats)| {
        let whose = match domain {
            Domain::Malloc | Domain::Python => "in blocks",
            Domain::Mmap => "by the program",
            Domain::Allocator => "by allocators",
            Domain::Reserved => "reserved",
        };
        format!("{} {whose}", units::bytes(stats.live_bytes()))
    });
    let sums: Vec<String> = sums.collect();
    (!sums.is_empty()).then(|| ("Mapped", sums.join(", ")))
}

/// How much of what was allocated has whole stacks.
pub(super) fn coverage(coverage: Coverage) -> String {
    let mut parts = vec![format!("{} whole", units::percent(coverage.whole))];
    for (share, what) in [(coverage.truncated, "cut at --max-frames"), (coverage.incomplete, "incomplete")] {
        if share > 0.0 {
            parts.push(format!("{} {what}", units::percent(share)));
        }
    }
    format!("{} (by bytes)", parts.join(", "))
}

/// Why incomplete stacks are, as shares of what was allocated.
#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn unfollowed(profile: &Profile) -> impl Iterator<Item = String> {
    let total = profile.totals.stats.allocated_bytes.max(1);
    let share = move |bytes: u64| units::percent(bytes as f64 / total as f64);
    profile.unfollowed.ranked().into_iter().map(move |(reason, bytes)| format!("{} {}", share(bytes), reason.meaning()))
}

/// What is no loss, but explains why numbers differ from another tool's.
fn uncounted(profile: &Profile) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if profile.totals.unknown_frees > 0 {
        let frees = units::counted(profile.totals.unknown_frees, "free");
        let inherited = if profile.others.is_empty() { "" } else { ", or of a parent's" };
        rows.push(("Not traced", format!("{frees} of blocks from before tracing or below --min-size{inherited}")));
    }
    if profile.totals.failed_calls > 0 {
        let calls = units::counted(profile.totals.failed_calls, "call");
        rows.push(("Failed", format!("{calls} that returned no memory")));
    }
    rows
}

/// What could not be recorded.
pub(super) fn losses(losses: &Losses) -> Vec<(&'static str, String)> {
    if losses.total() == 0 {
        return vec![("Losses", "none".into())];
    }
    let counts: Vec<_> = losses.iter().map(|(reason, number)| (reason, units::count(number))).collect();
    let width = counts.iter().map(|(_, number)| number.len()).max().unwrap_or(0);
    let mut rows =
        vec![("LOSSES", format!("{} in all: the numbers below are not exact", units::count(losses.total())))];
    for (reason, number) in counts {
        rows.push(("", format!("{number:>width$} {}: {}", reason.name(), reason.meaning())));
    }
    rows
}

fn overhead(profile: &Profile) -> String {
    let overhead = &profile.overhead;
    let share = |share: Option<f64>, what: &str| share.map(|share| format!("{} of {what}, ", units::percent(share)));
    let of_cpu = share(overhead.cpu_share, "the CPU time").unwrap_or_default();
    let of_core = share(overhead.core_share, "one core").unwrap_or_default();
    format!(
        "{of_cpu}{of_core}{}; own memory {}, {} in BPF maps",
        units::counted(profile.totals.entry_hits + profile.totals.release_hits, "probe hit"),
        units::bytes(overhead.own_memory_bytes),
        units::bytes(overhead.bpf_memory_bytes)
    )
}
