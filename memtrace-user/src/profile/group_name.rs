//! What a group of samples is called.

use std::{sync::Arc, time::SystemTime};

use super::{Domain, StackEnd};

/// A place in the code, by names. What the grouping leaves out, or nobody knows, is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Demangled name of the function.
    pub function: Option<Arc<str>>,
    /// Path of the source file as the compiler recorded it.
    pub file: Option<Arc<str>>,
    /// Line in the file, from 1; 0 when it is not known or left out.
    pub line: u32,
    /// Path of the executable or library.
    pub module: Option<Arc<str>>,
    /// Offset in the module, in bytes, where the code has no function name and lines are told apart.
    pub offset: Option<u64>,
}

/// What the samples of a group have in common. The order is that of names, what has none last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupName {
    /// A line, a function, a source file or a module.
    Place(Arc<Place>),
    /// A whole call stack.
    Stack {
        /// Its frames, innermost first, inlined ones too.
        frames: Arc<[Arc<Place>]>,
        /// Whether they reach the start of the thread.
        end: StackEnd,
    },
    /// A process; `None` when nothing is known of it.
    Process(Option<ProcessName>),
    /// A thread; `None` for samples in which threads are not told apart.
    Thread {
        /// Whose thread it is.
        process: Option<ProcessName>,
        /// The thread's name (`comm`) and id.
        thread: Option<(Arc<str>, u32)>,
    },
    /// A layer of memory.
    Domain(Domain),
    /// What was recorded without a call stack.
    NoStack,
}

/// How a process is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessName {
    /// Command line. Not escaped.
    pub command: Arc<str>,
    /// Process id.
    pub pid: u32,
    /// When it was started, if that is known.
    pub started_at: Option<SystemTime>,
}
