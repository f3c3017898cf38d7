//! What the numbers of an export are of, in words: title, circumstances, names of processes and threads.

use crate::{
    profile::{ProcessIndex, Snapshot, SortBy, StackEnd, ThreadIndex},
    report::{timestamp, units},
};

/// A title, as `live bytes of 763 /tmp/leak`. Not escaped.
pub(super) fn title(snapshot: &Snapshot, value: SortBy) -> String {
    format!("{} of {}", value.label(), subject(snapshot))
}

/// What was traced, as `763 /tmp/leak` or `3 processes`. Not escaped.
pub(super) fn subject(snapshot: &Snapshot) -> String {
    match snapshot.processes.len() {
        0 | 1 => process(snapshot, ProcessIndex(0)),
        several => format!("{several} processes"),
    }
}

/// What one should know of the numbers, a name and a text each. Not escaped.
pub(super) fn facts(snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let about = &snapshot.about;
    let mut facts = Vec::new();
    facts.extend(about.taken_at.map(|time| ("Taken", timestamp::utc(time))));
    facts.extend(about.elapsed.map(|time| ("Traced for", units::duration(time))));
    facts.extend(about.host.clone().map(|host| ("Host", host)));
    facts.extend(about.tool.clone().map(|tool| ("By", tool)));
    let losses: Vec<String> =
        about.losses.iter().map(|(reason, count)| format!("{} {}", units::count(count), reason.name())).collect();
    facts.push(("Losses", if losses.is_empty() { "none".into() } else { losses.join(", ") }));
    facts.extend(
        about.options.sample_bytes.map(|every| ("Estimated", format!("by one byte in {}", units::count(every)))),
    );
    let lacks: Vec<&str> = about.lacks.iter().map(|lack| lack.meaning()).collect();
    if !lacks.is_empty() {
        facts.push(("Unknown", lacks.join("; ")));
    }
    facts
}

/// A number with its unit: `1.2 MiB`, `1,204 blocks`.
pub(super) fn amount(value: SortBy, number: u64) -> String {
    if value.is_bytes() { units::bytes(number) } else { units::counted(number, "block") }
}

/// The word for the value on the command line and in files: `live-bytes`.
pub(super) fn word(value: SortBy) -> &'static str {
    match value {
        SortBy::LiveBytes => "live-bytes",
        SortBy::LiveBlocks => "live-blocks",
        SortBy::AllocatedBytes => "alloc-bytes",
        SortBy::AllocatedBlocks => "alloc-blocks",
        SortBy::FreedBytes => "freed-bytes",
    }
}

/// A process, as `763 /tmp/leak`. Not escaped.
pub(super) fn process(snapshot: &Snapshot, index: ProcessIndex) -> String {
    let Some(process) = snapshot.processes.get(index.0 as usize) else { return "[unknown process]".into() };
    match (process.info.pid, process.info.command.trim()) {
        (0, "") => "[unknown process]".into(),
        (0, command) => command.to_owned(),
        (pid, "") => format!("[process {pid}]"),
        (pid, command) => format!("{pid} {command}"),
    }
}

/// A process by its command alone. Not escaped.
pub(super) fn command(snapshot: &Snapshot, index: ProcessIndex) -> String {
    let command = snapshot.processes.get(index.0 as usize).map_or("", |process| process.info.command.trim());
    if command.is_empty() { "[unknown process]".into() } else { command.to_owned() }
}

/// A thread, as `worker (9)`. Not escaped.
pub(super) fn thread(snapshot: &Snapshot, index: ThreadIndex) -> String {
    let Some(thread) = snapshot.threads.get(index.0 as usize) else { return "[unknown thread]".into() };
    match (thread.tid, &*thread.name) {
        (0, "") => "[unknown thread]".into(),
        (0, name) => name.to_owned(),
        (tid, "") => format!("[thread {tid}]"),
        (tid, name) => format!("{name} ({tid})"),
    }
}

/// How a stack ended, as a frame.
pub(super) fn end(end: StackEnd) -> &'static str {
    match end {
        StackEnd::Whole => "[whole]",
        StackEnd::Truncated => "[cut at the frame limit]",
        StackEnd::Incomplete => "[incomplete stack]",
    }
}
