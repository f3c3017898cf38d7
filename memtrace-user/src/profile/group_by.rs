//! What samples are grouped by.

/// What the samples of one group have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// Module, function, file and line. Code without a function name: module and offset.
    #[default]
    Line,
    /// Module and function.
    Function,
    /// Source file; the module where no source file is known.
    File,
    /// Executable or library.
    Module,
    /// Process.
    Process,
    /// Thread.
    Thread,
    /// Layer of memory.
    Domain,
    /// The whole call stack, every frame by its line.
    Stack,
}

/// One line a grouping: its word on the command line and in files, the title of its column, the word for several, and
/// what it means.
type Line = (GroupBy, &'static str, &'static str, &'static str, &'static str);
const GROUPINGS: [Line; 8] = [
    (GroupBy::Line, "line", "Line", "lines", "Module, function, file and line"),
    (GroupBy::Function, "function", "Function", "functions", "Module and function"),
    (GroupBy::File, "file", "File", "files", "Source file"),
    (GroupBy::Module, "module", "Module", "modules", "Executable or library"),
    (GroupBy::Process, "process", "Process", "processes", "Process"),
    (GroupBy::Thread, "thread", "Thread", "threads", "Thread"),
    (GroupBy::Domain, "domain", "Domain", "domains", "Layer of memory, as malloc"),
    (GroupBy::Stack, "stack", "Stack", "stacks", "The whole call stack"),
];

impl GroupBy {
    /// Every grouping.
    pub fn all() -> impl Iterator<Item = Self> {
        GROUPINGS.iter().map(|(by, ..)| *by)
    }

    /// Its word: `line`.
    #[must_use]
    pub fn word(self) -> &'static str {
        GROUPINGS[self as usize].1
    }

    /// Title of a column of such groups: `Line`.
    #[must_use]
    pub fn title(self) -> &'static str {
        GROUPINGS[self as usize].2
    }

    /// The word for so many groups: `line` for one, else `lines`.
    #[must_use]
    pub fn noun(self, count: usize) -> &'static str {
        if count == 1 { self.word() } else { GROUPINGS[self as usize].3 }
    }

    /// What its groups have in common, for the help.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        GROUPINGS[self as usize].4
    }

    /// Whether a group is a property of whose a sample is, whatever its stack.
    #[must_use]
    pub fn is_of_owners(self) -> bool {
        matches!(self, Self::Process | Self::Thread | Self::Domain)
    }

    /// Whether a group is a property of a frame, so that one stack can be in several: what cumulative counting and
    /// call trees need.
    #[must_use]
    pub fn is_of_frames(self) -> bool {
        matches!(self, Self::Line | Self::Function | Self::File | Self::Module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is indexed by the grouping, so its lines must be in the order of the enum.
    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, by) in GroupBy::all().enumerate() {
            assert_eq!(by as usize, index);
        }
        assert_eq!((GroupBy::Process.noun(1), GroupBy::Process.noun(2)), ("process", "processes"));
    }
}
