//! blazesym, and how much of it is kept in memory.
//!
//! Files are read through `/proc/self/fd/N`, so a file that was deleted, or lies in a container, is read as well.
//! blazesym tells files apart by inode and time behind that name. It keeps tables of every file it has read until it
//! is dropped, debug files it found itself included; so it is dropped once it has read more than a budget.
//!
//! It reads files through memory maps. A file that is cut short while it is read ends memtrace by SIGBUS, as it ends
//! the programs that have it mapped: no package manager writes into files in use, it replaces them.

use std::{collections::HashMap, fs::File, os::fd::AsRawFd, path::PathBuf, sync::Arc};

use blazesym::symbolize::{
    CodeInfo, Input, Sym, Symbolizer,
    source::{Elf, Source},
};
use object::{
    Endianness, elf,
    read::{
        ReadCache,
        elf::{FileHeader, SectionHeader},
    },
};

use super::{Detail, FileId, demangle::demangle, interner::Interner};
use crate::profile::{Frame, Location, SourceLine};

/// Bytes of files read for names before the tables are dropped; the tables are some 3 % of them.
const NAMES_BUDGET: u64 = 2 << 30;

/// The same for debug information, whose tables are about half as large as the files.
const LINES_BUDGET: u64 = 128 << 20;

/// A symbolizer and what it has read.
struct Bounded {
    symbolizer: Symbolizer,
    read: HashMap<FileId, u64>,
}

/// Frames of each asked offset; `None` where there is no symbol.
type Found = Vec<Option<Arc<[Frame]>>>;

/// The symbolizers: one that finds names only, and one for lines, as blazesym has this as a property of the whole.
#[derive(Default)]
pub struct Engine {
    names: Option<Bounded>,
    lines: Option<Bounded>,
    interner: Interner,
    debug_dirs: Vec<PathBuf>,
}

impl Engine {
    /// With the directories that separate debug files are looked for in; none for blazesym's own list.
    pub fn new(debug_dirs: Vec<PathBuf>) -> Self {
        Self { debug_dirs, ..Self::default() }
    }

    /// Frames of locations of one file, in their order.
    pub fn symbolize(&mut self, id: FileId, file: &File, locations: &[Location], detail: Detail) -> Vec<Arc<[Frame]>> {
        // A return address lies behind the call, maybe in the next function already.
        let offsets: Vec<u64> = locations.iter().map(|location| location.offset.saturating_sub(1)).collect();
        let mut found = vec![None; offsets.len()];
        if detail == Detail::Lines {
            fill(&mut found, &offsets, |offsets| self.find(detail, id, file, true, offsets));
        }
        fill(&mut found, &offsets, |offsets| self.find(Detail::Names, id, file, false, offsets));
        // A stripped file names only its exported functions; the others are in its separate debug file, if there is one.
        if found.iter().any(Option::is_none) && is_stripped(file) {
            fill(&mut found, &offsets, |offsets| self.find(Detail::Names, id, file, true, offsets));
        }
        self.keep_budget();
        found.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Lets go of debug information.
    pub fn forget_lines(&mut self) {
        self.lines = None;
    }

    /// `None` when the file cannot be read as ELF, or its debug information makes no sense.
    fn find(&mut self, detail: Detail, id: FileId, file: &File, debug_syms: bool, offsets: &[u64]) -> Option<Found> {
        let bounded = match detail {
            Detail::Names => self.names.get_or_insert_with(|| Bounded::new(detail, &self.debug_dirs)),
            Detail::Lines => self.lines.get_or_insert_with(|| Bounded::new(detail, &self.debug_dirs)),
        };
        bounded.read.insert(id, file.metadata().map_or(0, |metadata| metadata.len()));
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let source = Source::Elf(Elf { debug_syms, ..Elf::new(path) });
        let symbols = bounded.symbolizer.symbolize(&source, Input::FileOffset(offsets));
        let symbols = symbols.inspect_err(|error| log::debug!("no symbols: {error:#}")).ok()?;
        let mut frames = |symbol: &Sym<'_>| frames_of(symbol, &mut self.interner);
        Some(symbols.iter().map(|symbol| symbol.as_sym().map(&mut frames)).collect())
    }

    fn keep_budget(&mut self) {
        for (bounded, budget) in [(&mut self.names, NAMES_BUDGET), (&mut self.lines, LINES_BUDGET)] {
            let read: u64 = bounded.iter().flat_map(|bounded| bounded.read.values()).sum();
            if read > budget {
                *bounded = None;
            }
        }
    }
}

impl Bounded {
    fn new(detail: Detail, debug_dirs: &[PathBuf]) -> Self {
        let lines = detail == Detail::Lines;
        let builder = Symbolizer::builder().enable_code_info(lines).enable_inlined_fns(lines).enable_demangling(false);
        let builder = if debug_dirs.is_empty() { builder } else { builder.set_debug_dirs(Some(debug_dirs)) };
        Self { symbolizer: builder.build(), read: HashMap::new() }
    }
}

/// Asks for what has not been found so far.
fn fill(found: &mut Found, offsets: &[u64], ask: impl FnOnce(&[u64]) -> Option<Found>) {
    let missing: Vec<usize> = (0..offsets.len()).filter(|index| found[*index].is_none()).collect();
    if missing.is_empty() {
        return;
    }
    let missing_offsets: Vec<u64> = missing.iter().map(|index| offsets[*index]).collect();
    for (index, frames) in missing.into_iter().zip(ask(&missing_offsets).unwrap_or_default()) {
        found[index] = frames;
    }
}

/// blazesym has the physical function first and the innermost inlined one last.
fn frames_of(symbol: &Sym<'_>, interner: &mut Interner) -> Arc<[Frame]> {
    let inlined = symbol.inlined.iter().rev().map(|function| (&function.name, function.code_info.as_ref(), true));
    let physical = (&symbol.name, symbol.code_info.as_deref(), false);
    inlined
        .chain([physical])
        .map(|(name, code, inlined)| Frame {
            function: (!name.is_empty()).then(|| interner.intern(&demangle(name))),
            source: code.map(|code| source_line(code, interner)),
            inlined,
        })
        .collect()
}

fn source_line(code: &CodeInfo<'_>, interner: &mut Interner) -> SourceLine {
    SourceLine { file: interner.intern(&code.to_path().to_string_lossy()), line: code.line.unwrap_or(0) }
}

/// Whether a file has no table of all its functions.
fn is_stripped(file: &File) -> bool {
    let Ok(data) = file.try_clone().map(ReadCache::new) else { return true };
    let has_table = |data: &ReadCache<File>| -> object::Result<bool> {
        let header = elf::FileHeader64::<Endianness>::parse(data)?;
        let endian = header.endian()?;
        Ok(header.section_headers(endian, data)?.iter().any(|section| section.sh_type(endian) == elf::SHT_SYMTAB))
    };
    !has_table(&data).unwrap_or(false)
}
