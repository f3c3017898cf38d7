//! `memtrace diff BEFORE AFTER`: what has changed between two files.

use std::process::ExitCode;

use super::{
    groups::{self, GroupError, Input},
    stream::Stream,
};
use crate::{
    cli::{DiffArgs, FormatArg},
    profile::{GroupBy, GroupOptions, ProfileDiff},
    report::{csv, groups_text, json, snapshot_header, source_text::SourceTexts},
};

/// Reads, compares and writes.
///
/// # Errors
/// When a file cannot be read, the arguments contradict each other, or live memory has grown by more than it may.
pub fn execute(arguments: &DiffArgs) -> anyhow::Result<ExitCode> {
    let mut options = groups::options(&arguments.groups, GroupBy::Line)?;
    let (before, after) =
        (groups::read(&arguments.before, &arguments.groups)?, groups::read(&arguments.after, &arguments.groups)?);
    groups::choose_domain(&mut options, [&before, &after].into_iter());
    let sort = groups::sort(&arguments.groups, &after.snapshot);
    let diff = ProfileDiff::of(&[(&before.snapshot).into()], &[(&after.snapshot).into()], &options, sort);
    let grown = diff.live_growth();
    let diff = diff.top(groups::top(&arguments.groups));
    let files = [(&*before.name, &before.snapshot), (&*after.name, &after.snapshot)];
    groups::write(&match arguments.groups.format {
        FormatArg::Json => json::compared(&files, &options, &diff),
        FormatArg::Csv => csv::compared(options.by, &diff),
        FormatArg::Text => text([&before, &after], &options, diff),
    })?;
    match arguments.fail_above {
        Some(limit) if grown > i128::from(limit) => Err(GroupError::Grown { grown, limit }.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn text([before, after]: [&Input; 2], options: &GroupOptions, diff: ProfileDiff) -> String {
    let width = Stream::Output.width();
    let mut lines = Vec::new();
    for (label, input) in [("Before", before), ("After", after)] {
        lines.extend(snapshot_header::lines(label, &input.name, &input.snapshot, width));
        lines.push(String::new());
    }
    lines.extend(groups_text::totals(&diff).into_iter().map(|(label, text)| format!("{label:11} {text}")));
    lines.push(String::new());
    let layout = groups::layout(options, [before, after].into_iter());
    lines.extend(layout.compared(&diff.without_empty(), &mut SourceTexts::default()));
    groups::text(&lines)
}
