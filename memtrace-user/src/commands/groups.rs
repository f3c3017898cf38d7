//! What `report` and `diff` have in common: reading files, what the arguments mean, and writing the result.

use std::{io, path::Path};

use thiserror::Error;

use super::stream::{Stream, print};
use crate::{
    cli::{FilterArg, FormatArg, GroupArgs},
    profile::{
        Filter, Filters, GroupBy, GroupOptions, Lack, SiteNamer, Snapshot, SortBy, keep_python_frames, main_domain,
    },
    report::groups_text::GroupText,
    snapshot::{self, SnapshotError},
};

/// Groups that are written as text unless `--top` says otherwise.
const TEXT_TOP: usize = 10;

/// What cannot be shown, or must not pass.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum GroupError {
    /// Cumulative counting of what is no property of frames.
    #[error("--cumulative does not go with --group-by {}", .0.word())]
    NotCumulative(GroupBy),
    /// A tree of what is no property of frames.
    #[error("--tree does not go with --group-by {}", .0.word())]
    NoTree(GroupBy),
    /// Live memory has grown by more than it may.
    #[error("live memory has grown by {grown} bytes, more than --fail-above {limit} bytes")]
    Grown {
        /// Bytes.
        grown: i128,
        /// Bytes.
        limit: u64,
    },
}

impl GroupError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotCumulative(_) => {
                "it counts a sample under each of its frames: group by line, function, file or module"
            }
            Self::NoTree(_) => "its places are frames: group by line, function, file or module",
            Self::Grown { .. } => "the list has the groups that changed most first",
        }
    }

    /// Exit status: 2 for arguments that make no sense together.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if matches!(self, Self::Grown { .. }) { 1 } else { 2 }
    }
}

/// A file that was read.
pub struct Input {
    /// As the user wrote it.
    pub name: String,
    /// Its content.
    pub snapshot: Snapshot,
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read, or is no profile.
pub fn read(path: &Path, arguments: &GroupArgs) -> Result<Input, SnapshotError> {
    let mut snapshot = snapshot::read_file(path)?;
    if arguments.python_only {
        keep_python_frames(&mut snapshot);
    }
    Ok(Input { name: path.display().to_string(), snapshot })
}

/// What the arguments ask for; `default` is grouped by when they do not say.
///
/// # Errors
/// When they contradict each other.
pub fn options(arguments: &GroupArgs, default: GroupBy) -> Result<GroupOptions, GroupError> {
    let by = arguments.group_by.unwrap_or(default);
    if arguments.cumulative && !by.is_of_frames() {
        return Err(GroupError::NotCumulative(by));
    }
    let filters = |arguments: &[FilterArg]| arguments.iter().map(filter).collect();
    let filters = Filters {
        include: filters(&arguments.include),
        exclude: filters(&arguments.exclude),
        all_frames: arguments.all_frames,
        domain: None,
    };
    Ok(GroupOptions {
        by,
        site: arguments.site.into(),
        cumulative: arguments.cumulative,
        filters,
        namer: SiteNamer::default(),
    })
}

/// Looks at the main domain alone, unless domains are what is asked for.
pub fn choose_domain<'a>(options: &mut GroupOptions, inputs: impl Iterator<Item = &'a Input>) {
    if options.by != GroupBy::Domain && !options.filters.look_at_domains() {
        options.filters.domain = Some(main_domain(inputs.flat_map(|input| &input.snapshot.samples)));
    }
}

fn filter(argument: &FilterArg) -> Filter {
    let matcher = argument.pattern.compile_matcher();
    Filter::new(argument.kind, move |name| matcher.is_match(name))
}

/// The number to rank by: what was asked for, else what the first file wants.
#[must_use]
pub fn sort(arguments: &GroupArgs, first: &Snapshot) -> SortBy {
    arguments.sort.unwrap_or(first.about.default_sort)
}

/// How many groups to write.
#[must_use]
pub fn top(arguments: &GroupArgs) -> usize {
    let default = if arguments.format == FormatArg::Text { TEXT_TOP } else { usize::MAX };
    arguments.top.unwrap_or(default)
}

/// How text is laid out.
#[must_use]
pub fn layout<'a>(options: &GroupOptions, mut inputs: impl Iterator<Item = &'a Input>) -> GroupText {
    GroupText {
        by: options.by,
        cumulative: options.cumulative,
        ends_known: inputs.all(|input| !input.snapshot.about.lacks.contains(&Lack::StackEnds)),
        width: Stream::Output.width(),
    }
}

/// The lines as one text.
#[must_use]
pub fn text(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

/// Writes to standard output. Whoever closes the pipe has read enough.
///
/// # Errors
/// When writing fails otherwise.
pub fn write(text: &str) -> io::Result<()> {
    print(text.as_bytes())
}
