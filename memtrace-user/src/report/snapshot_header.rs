//! What a profile's file says about itself: of whom it is, when it was taken, and how far its numbers can be trusted.

use super::{escape::escape, group_label::process_text, header, timestamp, units};
use crate::profile::{Coverage, Lack, Snapshot, TraceOptions, TracedProcess};

/// Most processes that are named one by one.
const MAX_PROCESSES: usize = 8;

/// The lines on one file; `label` says which of several it is.
#[must_use]
pub fn lines(label: &'static str, path: &str, snapshot: &Snapshot, width: Option<usize>) -> Vec<String> {
    let mut rows = vec![(label, file(path, snapshot))];
    let named = |process: &&TracedProcess| process.info.pid > 0 || !process.info.command.is_empty();
    let processes = snapshot.processes.iter().filter(named).take(MAX_PROCESSES);
    rows.extend(processes.map(|process| ("Process", process_line(process))));
    if snapshot.processes.len() > MAX_PROCESSES {
        let more = snapshot.processes.len() - MAX_PROCESSES;
        rows.push(("", format!("and {} more; see --group-by process", units::count(more as u64))));
    }
    rows.extend(time(snapshot).map(|text| ("Time", text)));
    rows.push(("Live", live(snapshot)));
    let total = snapshot.total();
    if !snapshot.about.lacks.contains(&Lack::Allocated) && !snapshot.about.lacks.contains(&Lack::Live) {
        let sum = |bytes, blocks| format!("{} in {}", units::bytes(bytes), units::counted(blocks, "block"));
        rows.push(("Allocated", sum(total.allocated_bytes, total.allocated_blocks)));
        rows.push(("Freed", sum(total.freed_bytes, total.freed_blocks)));
    }
    rows.extend(header::beside(&snapshot.samples));
    if !snapshot.about.lacks.contains(&Lack::StackEnds) && total.allocated_blocks > 0 {
        rows.push(("Stacks", header::coverage(Coverage::of(&snapshot.samples))));
    }
    rows.extend(recorded(&snapshot.about.options).map(|text| ("Recorded", text)));
    rows.extend(snapshot.about.lacks.iter().map(|known| ("Lacks", known.meaning().to_owned())));
    let notes = snapshot.processes.iter().take(MAX_PROCESSES).flat_map(|process| &process.info.notes);
    rows.extend(notes.map(|note| ("NOTE", escape(note).into_owned())));
    if snapshot.about.lacks.is_empty() {
        rows.extend(header::losses(&snapshot.about.losses));
    }
    rows.into_iter().flat_map(|(label, text)| header::row(label, &text, width)).collect()
}

fn file(path: &str, snapshot: &Snapshot) -> String {
    let mut text = escape(path).into_owned();
    for (word, value) in
        [(", by ", &snapshot.about.tool), (", on ", &snapshot.about.host), (", ", &snapshot.about.kernel)]
    {
        text.extend(value.iter().flat_map(|value| [word.to_owned(), escape(value).into_owned()]));
    }
    text
}

fn process_line(process: &TracedProcess) -> String {
    let mut text = process_text(process.info.pid, &process.info.command);
    let mut facts: Vec<String> = Vec::new();
    if process.info.exited {
        facts.push("has ended".into());
    }
    if let Some(totals) = &process.totals {
        facts.push(format!("current {}", units::bytes(totals.current_bytes)));
        facts.push(format!("peak {}", units::bytes(totals.peak_bytes)));
    }
    facts.extend(process.info.rss_bytes.map(|rss| format!("RSS {}", units::bytes(rss))));
    if !facts.is_empty() {
        text = format!("{text} ({})", facts.join(", "));
    }
    text
}

fn time(snapshot: &Snapshot) -> Option<String> {
    let taken_at = snapshot.about.taken_at.map(timestamp::utc);
    let elapsed = snapshot.about.elapsed.map(|elapsed| format!("after {} of tracing", units::duration(elapsed)));
    let parts: Vec<String> = taken_at.into_iter().chain(elapsed).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What makes the numbers other than the program's own sums.
fn recorded(options: &TraceOptions) -> Option<String> {
    let sampled = options.sample_bytes.map(header::sampled);
    let min_size = options.min_size.filter(|size| *size > 0);
    let parts =
        sampled.into_iter().chain(min_size.map(|size| format!("only blocks of {} and more", units::bytes(size))));
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn live(snapshot: &Snapshot) -> String {
    let total = snapshot.total();
    format!("{} in {}", units::bytes(total.live_bytes()), units::counted(total.live_blocks(), "block"))
}
