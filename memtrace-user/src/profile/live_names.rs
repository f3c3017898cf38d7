//! Numbers for the names of places, kept as long as a session: a location's names are compared once, when it is first met,
//! and again when its lines have been looked up. Whatever a view asks later (another grouping, a tree) compares numbers.

use std::sync::Arc;

use super::{
    Frame, GroupBy, Location, ModuleId, Modules, NumberedStack, PYTHON_MODULE, Place, ProcessIndex, ProcessInfo,
    ProcessName, SiteNamer, SymbolTable, TracedProcess, TracedThread,
};
use crate::number_hash::NumberMap;

/// Stands for a name that is not known or left out.
const NONE: u32 = u32::MAX;

/// What names refer to.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Names of locations.
    pub symbols: &'a SymbolTable,
    /// Files of locations.
    pub modules: &'a Modules,
    /// The process that tracing is named by.
    pub process: &'a ProcessInfo,
    /// The others: see [`super::Profile::others`].
    pub others: &'a [TracedProcess],
    /// The threads that are told apart.
    pub threads: &'a [TracedThread],
    /// Knows which of the functions inlined at a location names it.
    pub namer: &'a SiteNamer,
}

impl Names<'_> {
    pub(super) fn process_of(&self, index: ProcessIndex) -> ProcessName {
        let other = (index.0 as usize).checked_sub(1).and_then(|index| self.others.get(index));
        let info = other.map_or(self.process, |process| &process.info);
        ProcessName { pid: info.pid, command: Arc::from(&*info.command), started_at: None }
    }
}

/// A frame by the numbers of its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameNumbers {
    function: u32,
    file: u32,
    line: u32,
    module: u32,
    /// In the module, in bytes.
    offset: u64,
    is_python: bool,
}

/// What places that are one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PlaceKey {
    function: u32,
    file: u32,
    line: u32,
    module: u32,
    offset: u64,
}

impl PlaceKey {
    /// Of a stack without frames, and of groupings that do not look at code.
    pub(super) const NOWHERE: Self = Self { function: NONE, file: NONE, line: 0, module: NONE, offset: u64::MAX };
}

impl FrameNumbers {
    /// What [`LiveNames::place`] of the same frame is recognised by.
    pub(super) fn key(self, by: GroupBy) -> PlaceKey {
        let Self { function, file, line, module, offset, is_python } = self;
        match by {
            GroupBy::File if file != NONE => PlaceKey { file, ..PlaceKey::NOWHERE },
            GroupBy::Module | GroupBy::File => PlaceKey { module, ..PlaceKey::NOWHERE },
            GroupBy::Function => PlaceKey {
                function,
                file: if is_python { file } else { NONE },
                module,
                offset: if function == NONE { offset } else { u64::MAX },
                line: 0,
            },
            // Of Python, a line is its file and number, as with tracemalloc.
            _ => PlaceKey {
                function: if is_python && line > 0 { NONE } else { function },
                file,
                line,
                module,
                offset: if line == 0 { offset } else { u64::MAX },
            },
        }
    }

    /// A function as the tree of calls tells them apart: code without a name is one with the rest of its file.
    pub(super) fn function(self) -> PlaceKey {
        PlaceKey { offset: u64::MAX, ..self.key(GroupBy::Function) }
    }
}

/// The names met so far.
#[derive(Debug, Default)]
pub struct LiveNames {
    numbers: NumberMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    modules: NumberMap<ModuleId, (u32, bool)>,
    /// The frame that names each stack, by the stack's number: in one row, as all of them are asked for at once.
    sites: Vec<Option<FrameNumbers>>,
}

impl LiveNames {
    /// The frame that names the stack of a number; `None` without frames.
    pub(super) fn site(&mut self, number: u32, stack: &NumberedStack, names: &Names<'_>) -> Option<FrameNumbers> {
        if let Some(Some(known)) = self.sites.get(number as usize) {
            return Some(*known);
        }
        let site = stack.site?;
        let numbers = self.frame(site, names.namer.frame(site, names.symbols), names.modules);
        if self.sites.len() <= number as usize {
            self.sites.resize(number as usize + 1, None);
        }
        self.sites[number as usize] = Some(numbers);
        Some(numbers)
    }

    /// A frame of a location; `None` is that of a location without names.
    pub(super) fn frame(&mut self, at: Location, frame: Option<&Frame>, modules: &Modules) -> FrameNumbers {
        let known = self.modules.get(&at.module).copied();
        let (module, is_python) = known.unwrap_or_else(|| {
            let path = modules.path(at.module);
            let known = (self.number(path), **path == *PYTHON_MODULE);
            self.modules.insert(at.module, known);
            known
        });
        let source = frame.and_then(|frame| frame.source.as_ref());
        FrameNumbers {
            function: frame.and_then(|frame| frame.function.as_ref()).map_or(NONE, |name| self.number(name)),
            file: source.map_or(NONE, |source| self.number(&source.file)),
            line: source.map_or(0, |source| source.line),
            module,
            offset: at.offset,
            is_python,
        }
    }

    /// The part of a frame that the grouping looks at: paths are whole, as those of one process are what they are.
    pub(super) fn place(&self, by: GroupBy, frame: FrameNumbers) -> Place {
        let text = |number: u32| self.texts.get(number as usize).cloned();
        let FrameNumbers { function, file, line, module, offset, is_python } = frame;
        match by {
            GroupBy::File if file != NONE => Place { file: text(file), ..Place::default() },
            GroupBy::Module | GroupBy::File => Place { module: text(module), ..Place::default() },
            GroupBy::Function => Place {
                function: text(function),
                file: text(file).filter(|_| is_python),
                offset: (function == NONE).then_some(offset),
                module: text(module),
                line: 0,
            },
            // Without a line, places in one function are not known to be one.
            _ => Place {
                function: text(function),
                file: text(file),
                line,
                offset: (line == 0).then_some(offset),
                module: text(module),
            },
        }
    }

    /// These stacks may be called otherwise from here on.
    pub fn forget(&mut self, stacks: &[u32]) {
        for stack in stacks {
            if let Some(site) = self.sites.get_mut(*stack as usize) {
                *site = None;
            }
        }
    }

    fn number(&mut self, text: &Arc<str>) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("fewer than 2^32 names");
        self.numbers.insert(Arc::clone(text), number);
        self.texts.push(Arc::clone(text));
        number
    }
}
