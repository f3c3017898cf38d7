//! `memtrace report FILE...`: ranks what is in files.

use std::process::ExitCode;

use super::{
    groups::{self, GroupError, Input},
    stream::Stream,
};
use crate::{
    cli::{FormatArg, ReportArgs},
    profile::{CallTree, Direction, GroupBy, GroupOptions, Groups, Samples, SortBy, TreeLimits},
    report::{csv, groups_text::GroupText, json, snapshot_header, source_text::SourceTexts, tree_text},
};

/// Reads, groups and writes.
///
/// # Errors
/// When a file cannot be read, or the arguments contradict each other.
pub fn execute(arguments: &ReportArgs) -> anyhow::Result<ExitCode> {
    let default = if arguments.tree.is_some() { GroupBy::Function } else { GroupBy::Line };
    let mut options = groups::options(&arguments.groups, default)?;
    if arguments.tree.is_some() && !options.by.is_of_frames() {
        return Err(GroupError::NoTree(options.by).into());
    }
    let inputs =
        arguments.files.iter().map(|path| groups::read(path, &arguments.groups)).collect::<Result<Vec<_>, _>>()?;
    groups::choose_domain(&mut options, inputs.iter());
    let sort = inputs.first().map_or_else(SortBy::default, |first| groups::sort(&arguments.groups, &first.snapshot));
    let report = Report { arguments, options, inputs, sort };
    groups::write(&match arguments.tree {
        None => report.list(),
        Some(way) => report.tree(way.into()),
    })?;
    Ok(ExitCode::SUCCESS)
}

struct Report<'a> {
    arguments: &'a ReportArgs,
    options: GroupOptions,
    inputs: Vec<Input>,
    sort: SortBy,
}

impl Report<'_> {
    fn list(&self) -> String {
        let groups = Groups::of(&self.samples(), &self.options, self.sort).top(groups::top(&self.arguments.groups));
        match self.arguments.groups.format {
            FormatArg::Json => json::ranked(&self.files(), &self.options, &groups),
            FormatArg::Csv => csv::ranked(self.options.by, &groups),
            FormatArg::Text => {
                let lines = self.text().ranked(&groups.without_empty(), &mut SourceTexts::default());
                self.with_head(lines)
            }
        }
    }

    fn tree(&self, direction: Direction) -> String {
        let limits = TreeLimits { top: groups::top(&self.arguments.groups), ..TreeLimits::default() };
        let tree = CallTree::of(&self.samples(), &self.options, self.sort, direction, limits);
        match self.arguments.groups.format {
            FormatArg::Json => json::tree(&self.files(), &self.options, &tree, direction),
            FormatArg::Csv => csv::tree(self.options.by, &tree),
            FormatArg::Text => self.with_head(tree_text::lines(&tree, direction, self.text())),
        }
    }

    fn with_head(&self, mut lines: Vec<String>) -> String {
        let mut all = Vec::new();
        for (name, snapshot) in self.files() {
            all.extend(snapshot_header::lines("File", name, snapshot, Stream::Output.width()));
            all.push(String::new());
        }
        all.append(&mut lines);
        groups::text(&all)
    }

    fn text(&self) -> GroupText {
        groups::layout(&self.options, self.inputs.iter())
    }

    fn samples(&self) -> Vec<Samples<'_>> {
        self.inputs.iter().map(|input| Samples::from(&input.snapshot)).collect()
    }

    fn files(&self) -> Vec<json::NamedSnapshot<'_>> {
        self.inputs.iter().map(|input| (&*input.name, &input.snapshot)).collect()
    }
}
