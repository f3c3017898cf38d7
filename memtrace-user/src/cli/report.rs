//! Arguments of the commands that look at files: what is grouped, what is left out, and how it is written.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, builder::TypedValueParser};
use globset::{Glob, GlobBuilder};

use super::{parse_size, sort_parser, words::word_parser};
use crate::profile::{Direction, FilterKind, GroupBy, SiteRule, SortBy};

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Snapshot files, or any pprof heap profiles; several are added up. `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What is grouped, and how it is written.
    #[command(flatten)]
    pub groups: GroupArgs,
    /// Show a tree of calls instead of a list: from each site out to its callers, or from where threads start in to the
    /// sites. Groups by function unless --group-by says otherwise.
    #[arg(long, value_enum, value_name = "WAY", conflicts_with = "cumulative")]
    pub tree: Option<TreeArg>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The earlier profile.
    pub before: PathBuf,
    /// The later profile.
    pub after: PathBuf,
    /// What is grouped, and how it is written.
    #[command(flatten)]
    pub groups: GroupArgs,
    /// Exit with status 1 when live bytes have grown by more than this, as 1MiB: the sum after less the sum before, over
    /// everything that the filters let through, shown or not.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub fail_above: Option<u64>,
}

/// What is grouped, and how it is written.
#[derive(Debug, Clone, Args)]
pub struct GroupArgs {
    /// What the samples of one line of output have in common [default: line].
    #[arg(short, long, value_name = "WHAT", value_parser = group_by_parser())]
    pub group_by: Option<GroupBy>,
    /// Count a sample for every group on its call stack, once each, not only where it was allocated.
    #[arg(short, long)]
    pub cumulative: bool,
    /// Which frame of a stack its memory belongs to: the innermost outside allocation wrappers and runtime libraries
    /// (code), or the innermost of all (leaf), as pprof has it.
    #[arg(long, value_enum, value_name = "FRAME", default_value_t)]
    pub site: SiteArg,
    /// Number to rank by [default: that of the file, mostly live-bytes].
    #[arg(short, long, value_name = "BY", value_parser = sort_parser())]
    pub sort: Option<SortBy>,
    /// Most groups to write [default: 10 as text, all as json and csv].
    #[arg(short, long, value_name = "N")]
    pub top: Option<usize>,
    /// Look only at samples that this, or another --include, matches: function:PATTERN, file:, module:, process:, thread:
    /// or domain:. The pattern is for the whole name; * stands for any text, ? for a character, `[ab]` for one of them.
    #[arg(long, value_name = "KIND:PATTERN")]
    pub include: Vec<FilterArg>,
    /// Leave out samples that this matches, even if an --include does.
    #[arg(long, value_name = "KIND:PATTERN")]
    pub exclude: Vec<FilterArg>,
    /// Filters by function, file and module look at all frames of a stack, not only at the one that its memory belongs
    /// to.
    #[arg(long)]
    pub all_frames: bool,
    /// Of stacks that have Python frames, look at these alone.
    #[arg(long)]
    pub python_only: bool,
    /// How it is written.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: FormatArg,
}

fn group_by_parser() -> impl TypedValueParser<Value = GroupBy> {
    word_parser(GroupBy::all().map(|by| (by, by.word(), by.meaning())))
}

/// [`SiteRule`] as it is written on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SiteArg {
    /// The innermost outside allocation wrappers and runtime libraries.
    #[default]
    Code,
    /// The innermost of all.
    Leaf,
}

impl From<SiteArg> for SiteRule {
    fn from(site: SiteArg) -> Self {
        match site {
            SiteArg::Code => Self::Code,
            SiteArg::Leaf => Self::Leaf,
        }
    }
}

/// [`Direction`] as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TreeArg {
    /// Sites first, each with what called it.
    Callers,
    /// Where threads start first, each with what it called.
    Callees,
}

impl From<TreeArg> for Direction {
    fn from(tree: TreeArg) -> Self {
        match tree {
            TreeArg::Callers => Self::Callers,
            TreeArg::Callees => Self::Callees,
        }
    }
}

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FormatArg {
    /// For reading.
    #[default]
    Text,
    /// For programs, with everything that is known.
    Json,
    /// For spreadsheets: a record a group.
    Csv,
}

/// A kind of names and a pattern for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterArg {
    /// What it looks at.
    pub kind: FilterKind,
    /// For the whole name.
    pub pattern: Glob,
}

impl FromStr for FilterArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = || FilterKind::all().map(FilterKind::word).collect::<Vec<_>>().join(", ");
        let (word, pattern) = text
            .split_once(':')
            .filter(|(_, pattern)| !pattern.is_empty())
            .ok_or_else(|| format!("write it as KIND:PATTERN, as module:libssl.so*; kinds are {}", kinds()))?;
        let kind = FilterKind::all()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| format!("`{word}` is no kind of filter; kinds are {}", kinds()))?;
        // As in fnmatch, which tracemalloc uses: braces, which names of functions have, stand for themselves.
        let plain: String =
            pattern.chars().map(|c| if "{}".contains(c) { format!("[{c}]") } else { c.into() }).collect();
        let glob = GlobBuilder::new(&plain).backslash_escape(false).build();
        let pattern = glob.map_err(|error| format!("`{pattern}` is no pattern: {}", error.kind()))?;
        Ok(Self { kind, pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Patterns are tracemalloc's: a star crosses directories and colons, and braces and backslashes are text.
    #[test]
    fn patterns_are_those_of_fnmatch() {
        for (filter, name, expected) in [
            ("function:ns::*", "ns::a::b", true),
            ("function:ns::*", "xns::a", false),
            ("file:/src/*.c", "/src/deep/down/a.c", true),
            ("function:main::{{closure}}", "main::{{closure}}", true),
            ("function:*{{closure}}*", "closure", false),
            ("function:operator new[[]]", "operator new[]", true),
            ("function:[!a]bc", "xbc", true),
            ("module:?at", "cat", true),
            ("module:a\\*", "a\\b", true),
            ("function:f,g", "f", false),
        ] {
            let filter: FilterArg = filter.parse().expect("a filter");
            assert_eq!(filter.pattern.compile_matcher().is_match(name), expected, "{} {name}", filter.pattern);
        }
    }

    /// What is wrong with a filter is said with what would be right.
    #[test]
    fn bad_filters_are_explained() {
        for bad in ["", "function", "function:", "fnction:x", "function:[a"] {
            assert!(bad.parse::<FilterArg>().is_err(), "{bad}");
        }
        let error = "fnction:x".parse::<FilterArg>().expect_err("an unknown kind");
        assert_eq!(error, "`fnction` is no kind of filter; kinds are function, file, module, process, thread, domain");
    }
}
