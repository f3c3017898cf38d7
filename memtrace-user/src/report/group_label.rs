//! How a group of samples is called, on one line and in parts.

use super::{
    escape::escape,
    frames::{NO_STACK, SiteName},
    stack::{self, Part},
};
use crate::profile::{GroupBy, GroupName, Place, ProcessName};

/// How much of paths is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// Source files without their directories: a terminal is narrow.
    Short,
    /// As they were recorded: for a pipe or a file.
    Full,
}

/// The name on one line; escaped.
#[must_use]
pub fn label(name: &GroupName, by: GroupBy, paths: Paths) -> SiteName {
    let bare = |function: String| SiteName { function, ..SiteName::default() };
    match name {
        GroupName::Place(place) => of_place(place, by, paths),
        GroupName::Stack { frames, .. } => {
            frames.first().map_or_else(|| bare(NO_STACK.into()), |at| of_place(at, by, paths))
        }
        GroupName::Process(process) => bare(process_label(process.as_ref())),
        GroupName::Thread { process, thread } => bare(thread_label(process.as_ref(), thread.as_ref())),
        GroupName::Domain(domain) => bare(domain.name().into()),
        GroupName::NoStack => bare(NO_STACK.into()),
    }
}

/// The name on one line, whole.
#[must_use]
pub fn full(name: &GroupName, by: GroupBy) -> String {
    label(name, by, Paths::Full).fit(usize::MAX)
}

/// The lines of a group that is a whole stack below its innermost frame: its callers, recursion folded, and how it ends.
#[must_use]
pub fn callers(name: &GroupName, paths: Paths, ends_known: bool) -> Vec<String> {
    let GroupName::Stack { frames, end } = name else { return Vec::new() };
    let mut lines: Vec<String> = stack::fold(frames)
        .into_iter()
        .map(|part| match part {
            Part::Frame(place) => of_place(&place, GroupBy::Line, paths).fit(usize::MAX),
            Part::Again { frames, times } => stack::again(frames, times),
        })
        .skip(1)
        .collect();
    lines.extend(stack::end(*end).filter(|_| ends_known).map(str::to_owned));
    lines
}

fn of_place(place: &Place, by: GroupBy, paths: Paths) -> SiteName {
    let module = place.module.as_deref().map(|path| (escape(base_name(path)), escape(path)));
    let source = place.file.as_deref().map(|file| source_place(file, place.line, paths));
    match (place.function.as_deref(), source, module) {
        (Some(function), source, module) => SiteName {
            function: escape(function).into_owned(),
            place: source.map(|source| format!(" ({source})")).unwrap_or_default(),
            module: module.map(|(name, _)| in_brackets(&name)).unwrap_or_default(),
        },
        // A source file alone: all of its path, as that is the name.
        (None, Some(_), None) => {
            let file = place.file.as_deref().unwrap_or_default();
            SiteName { function: source_place(file, place.line, Paths::Full), ..SiteName::default() }
        }
        (None, _, Some((name, path))) => {
            let unnamed =
                |what: &str| SiteName { function: what.to_owned(), module: in_brackets(&name), ..SiteName::default() };
            match (place.offset, by) {
                (Some(offset), _) => SiteName {
                    function: format!("{}+{offset:#x}", name.trim_matches(['[', ']'])),
                    ..SiteName::default()
                },
                (None, GroupBy::Module) => SiteName { function: path.into_owned(), ..SiteName::default() },
                (None, GroupBy::File) => unnamed("[no source file]"),
                (None, _) => unnamed("[no function name]"),
            }
        }
        (None, ..) => SiteName { function: "[unknown]".into(), ..SiteName::default() },
    }
}

/// Pseudo files as `[vdso]` bring their own brackets.
fn in_brackets(name: &str) -> String {
    if name.starts_with('[') { format!(" {name}") } else { format!(" [{name}]") }
}

fn source_place(file: &str, line: u32, paths: Paths) -> String {
    let file = escape(if paths == Paths::Short { base_name(file) } else { file });
    if line == 0 { file.into_owned() } else { format!("{file}:{line}") }
}

fn process_label(process: Option<&ProcessName>) -> String {
    process.map_or_else(|| "[unknown process]".into(), |process| process_text(process.pid, &process.command))
}

/// Id and command line, as far as they are known: no process has the id 0.
pub(super) fn process_text(pid: u32, command: &str) -> String {
    if pid == 0 { escape(command).into_owned() } else { format!("{pid}  {}", escape(command)) }
}

fn thread_label(process: Option<&ProcessName>, thread: Option<&(std::sync::Arc<str>, u32)>) -> String {
    let thread = match thread {
        Some((name, 0)) => escape(name).into_owned(),
        Some((name, tid)) => format!("{} ({tid})", escape(name)),
        None => "[threads not told apart]".into(),
    };
    process.map_or_else(|| thread.clone(), |process| format!("{thread} of {}", process_label(Some(process))))
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}
