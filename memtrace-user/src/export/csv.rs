//! Comma-separated values for spreadsheets and data frames: a line a call stack of a process, all numbers on it.
//!
//! As RFC 4180 says, with a heading. A text that a spreadsheet would take for a formula has a `'` before it.

use std::{borrow::Cow, io::Write};

use super::{
    Export, ExportError, Exporter, caption, folded,
    frames::{FrameTable, Namer, Naming},
    groups::{self, Group},
    tree::NO_STACK,
};
use crate::{
    profile::{Frame, Interval, Location, SiteNamer, SiteReader, Snapshot},
    report::escape::escape,
};

/// The format.
#[derive(Debug)]
pub(super) struct Csv;

const HEADING: [&str; 19] = [
    "process",
    "pid",
    "domain",
    "live_bytes",
    "live_blocks",
    "allocated_bytes",
    "allocated_blocks",
    "freed_bytes",
    "freed_blocks",
    "stack_end",
    "site_function",
    "site_file",
    "site_line",
    "site_module",
    "stack",
    "live_bytes_low",
    "live_bytes_high",
    "allocated_bytes_low",
    "allocated_bytes_high",
];

impl Exporter for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn purpose(&self) -> &'static str {
        "one line a stack with all numbers, the greatest --value first"
    }

    fn tells_domains(&self) -> bool {
        true
    }

    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let snapshot = export.snapshot;
        let mut groups = groups::groups(snapshot, false);
        groups.sort_by_key(|group| std::cmp::Reverse(export.value.value(&group.stats)));
        let namer = SiteNamer::default();
        let mut rows = Rows {
            snapshot,
            site_reader: namer.reader(&snapshot.symbols, &snapshot.modules),
            site_namer: &namer,
            namer: Namer::new(snapshot, Naming { lines: export.lines, places: false }),
            table: FrameTable::default(),
        };
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(HEADING).map_err(write_error)?;
        for group in &groups {
            rows.write(group, &mut writer).map_err(write_error)?;
        }
        writer.flush()?;
        Ok(())
    }
}

fn write_error(error: csv::Error) -> ExportError {
    ExportError::Write(error.into())
}

/// What a line is made from.
struct Rows<'a> {
    snapshot: &'a Snapshot,
    site_namer: &'a SiteNamer,
    site_reader: SiteReader<'a>,
    namer: Namer<'a>,
    table: FrameTable,
}

impl Rows<'_> {
    fn write(&mut self, group: &Group<'_>, writer: &mut csv::Writer<&mut dyn Write>) -> csv::Result<()> {
        let (key, stats) = (group.key, group.stats);
        let process = self.snapshot.processes.get(key.process.0 as usize);
        let pid = process.map_or(0, |process| process.info.pid);
        for field in [&*text(&caption::command(self.snapshot, key.process)), &pid.to_string(), key.domain.name()] {
            writer.write_field(field)?;
        }
        let numbers = [
            stats.live_bytes(),
            stats.live_blocks(),
            stats.allocated_bytes,
            stats.allocated_blocks,
            stats.freed_bytes,
            stats.freed_blocks,
        ];
        for number in numbers {
            writer.write_field(number.to_string())?;
        }
        writer.write_field(key.end.name())?;
        for field in self.site(key.stack) {
            writer.write_field(&*text(&field))?;
        }
        writer.write_field(&*text(&self.stack(key.stack)))?;
        for interval in [stats.live_interval(), stats.allocated_interval()] {
            let (low, high) = interval.map(Interval::ends).unzip();
            for bound in [low, high] {
                // Empty where the numbers are exact.
                writer.write_field(bound.map_or_else(String::new, |bound| bound.to_string()))?;
            }
        }
        writer.write_record(None::<&[u8]>)
    }

    /// Function, file, line and module of the call site; empty what is not known.
    fn site(&mut self, stack: &[Location]) -> [String; 4] {
        let Some(index) = self.site_reader.site(stack) else {
            return [NO_STACK.into(), String::new(), String::new(), String::new()];
        };
        let location = stack[index];
        let frame: Option<&Frame> = self.site_namer.frame(location, &self.snapshot.symbols);
        let source = frame.and_then(|frame| frame.source.as_ref());
        let function = frame.and_then(|frame| frame.function.as_deref()).map(str::to_owned);
        let line = source.map_or(0, |source| source.line);
        [
            function.unwrap_or_else(|| self.namer.bare(location).name.to_string()),
            source.map_or_else(String::new, |source| source.file.to_string()),
            if line == 0 { String::new() } else { line.to_string() },
            self.snapshot.modules.path(location.module).to_string(),
        ]
    }

    /// The frames as a folded stack has them.
    fn stack(&mut self, stack: &[Location]) -> String {
        let mut folded = String::new();
        for location in stack.iter().rev() {
            for frame in &*self.namer.location(*location, &mut self.table) {
                if !folded.is_empty() {
                    folded.push(';');
                }
                folded.push_str(&folded::label(&self.table.get(*frame).name));
            }
        }
        if folded.is_empty() { NO_STACK.into() } else { folded }
    }
}

/// A text that is nothing but text, to a terminal and to a spreadsheet.
fn text(text: &str) -> Cow<'_, str> {
    let escaped = escape(text);
    if escaped.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        return format!("'{escaped}").into();
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name is no formula, however it begins, and no escape sequence.
    #[test]
    fn names_are_no_formulas() {
        for (name, expected) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+1", "'+1"),
            ("-[NSString length]", "'-[NSString length]"),
            ("@SUM(A1)", "'@SUM(A1)"),
            (" =1", "' =1"),
            ("a=b", "a=b"),
            ("\u{1b}[31m", "\\x1b[31m"),
        ] {
            assert_eq!(text(name), expected);
        }
    }
}
