//! Finding a few functions in the symbol tables of a file.
//!
//! Tables are streamed twice over: the strings for the wanted names, then the symbols for those that point at one of
//! them. A name is found wherever it stands, also as the tail of another (`malloc` in `__libc_malloc`), since linkers
//! share tails.

use std::collections::BTreeMap;

use object::LittleEndian as LE;
use object::elf;

use super::{ElfFile, ElfProblem, Segment};

/// Section headers read at most; linkers write some ten thousand at worst (one a function).
const MAX_SECTIONS: usize = 1 << 20;
/// Bytes of a symbol table or its strings. The largest seen, of browsers with debug information, have 300 MB.
const MAX_TABLE: u64 = 1 << 30;
/// Places in the strings where a wanted name stands. Real files have a handful.
const MAX_MATCHES: usize = 4096;
/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
/// Code kept of a function. Allocator functions are far smaller.
const MAX_CODE: u64 = 64 * 1024;
/// Code kept where the symbol tells no size: one instruction of any kind.
const UNSIZED_CODE: u64 = 16;

/// A function, under all wanted names that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its wanted names, in the order they were asked for. Never empty.
    pub names: Vec<String>,
    /// Address before relocation.
    pub address: u64,
    /// Place in the file, which is what a uprobe is keyed by.
    pub offset: u64,
    /// Bytes of code as the symbol tells; zero where it does not.
    pub size: u64,
    /// The code from its start, up to 64 KiB.
    pub code: Vec<u8>,
}

impl Function {
    /// Whether [`Function::code`] is all of the function.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.size > 0 && self.size == self.code.len() as u64
    }
}

/// A symbol of a wanted name that no probe can stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The wanted name.
    pub name: String,
    /// Why.
    pub reason: Rejection,
}

/// Why a defined symbol is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Its address is that of a resolver, which runs once on loading; the function itself has no name.
    #[error("an indirect function (STT_GNU_IFUNC): its symbol is its resolver's")]
    Indirect,
    /// It lies outside every executable part of the file.
    #[error("its address is in no executable segment of the file")]
    NotInFile,
}

/// What a file defines of the wanted names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Functions {
    /// Each piece of code once, however many names and versions it has, by place in the file.
    pub found: Vec<Function>,
    /// Symbols left out.
    pub rejected: Vec<Rejected>,
}

impl Functions {
    /// Whether a function of that name was found.
    #[must_use]
    pub fn defines(&self, name: &str) -> bool {
        self.found.iter().any(|function| function.names.iter().any(|known| known == name))
    }
}

/// Where the section headers lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct SectionTable {
    offset: u64,
    count: u16,
    entry_size: u16,
}

impl SectionTable {
    pub(super) fn of(header: &elf::FileHeader64<LE>) -> Self {
        Self { offset: header.e_shoff.get(LE), count: header.e_shnum.get(LE), entry_size: header.e_shentsize.get(LE) }
    }

    fn read(self, file: &ElfFile) -> Result<Vec<elf::SectionHeader64<LE>>, ElfProblem> {
        const PART: &str = "section headers";
        if self.offset == 0 {
            return Ok(Vec::new());
        }
        if usize::from(self.entry_size) != size_of::<elf::SectionHeader64<LE>>() {
            return Err(ElfProblem::Malformed("size of section headers"));
        }
        // Above 65,279 sections the header says zero, and the first section tells the number.
        let count = if self.count == 0 {
            let first: elf::SectionHeader64<LE> = file.reader.one(self.offset, PART)?;
            usize::try_from(first.sh_size.get(LE)).unwrap_or(usize::MAX)
        } else {
            usize::from(self.count)
        };
        file.reader.many(self.offset, count, MAX_SECTIONS, PART)
    }
}

/// A symbol that bears a wanted name.
struct Match {
    name: usize,
    symbol: elf::Sym64<LE>,
}

pub(super) fn functions(file: &ElfFile, wanted: &[&str], is_static: bool) -> Result<Functions, ElfProblem> {
    let sections = file.sections.read(file)?;
    let exported = in_table(file, &sections, elf::SHT_DYNSYM, wanted)?;
    if exported.is_empty() && is_static {
        return collect(file, wanted, in_table(file, &sections, elf::SHT_SYMTAB, wanted)?);
    }
    collect(file, wanted, exported)
}

fn in_table(
    file: &ElfFile,
    sections: &[elf::SectionHeader64<LE>],
    kind: u32,
    wanted: &[&str],
) -> Result<Vec<Match>, ElfProblem> {
    let Some(table) = sections.iter().find(|section| section.sh_type.get(LE) == kind) else {
        return Ok(Vec::new());
    };
    let strings = usize::try_from(table.sh_link.get(LE)).ok().and_then(|link| sections.get(link));
    let strings = strings.ok_or(ElfProblem::Malformed("link from symbols to their strings"))?;
    let names = find_names(file, strings, wanted)?;
    find_symbols(file, table, &names)
}

/// Places in a string table, with the index of the wanted name that stands there.
fn find_names(
    file: &ElfFile,
    strings: &elf::SectionHeader64<LE>,
    wanted: &[&str],
) -> Result<BTreeMap<u32, usize>, ElfProblem> {
    const PART: &str = "symbol names";
    let needles: Vec<Vec<u8>> = wanted.iter().map(|name| [name.as_bytes(), b"\0"].concat()).collect();
    let overlap = needles.iter().map(Vec::len).max().unwrap_or(1);
    let mut last = [false; 256];
    wanted.iter().filter_map(|name| name.bytes().last()).for_each(|byte| last[usize::from(byte)] = true);
    let (start, size) = extent(strings, PART)?;
    let mut places = BTreeMap::new();
    let mut done = 0;
    while done < size {
        // Each chunk reaches into the next by the longest name, so that none is missed at a seam.
        let length = usize::try_from(size - done).unwrap_or(usize::MAX).min(CHUNK + overlap);
        let chunk = file.reader.bytes(start + done, length, length, PART)?;
        let ends = (1..chunk.len()).filter(|at| chunk[*at] == 0 && last[usize::from(chunk[at - 1])]);
        for zero in ends.map(|at| at + 1) {
            for (index, _) in needles.iter().enumerate().filter(|(_, needle)| chunk[..zero].ends_with(needle)) {
                let place = done + (zero - needles[index].len()) as u64;
                places.insert(u32::try_from(place).map_err(|_| ElfProblem::Malformed(PART))?, index);
            }
        }
        if places.len() > MAX_MATCHES {
            return Err(ElfProblem::TooLarge { part: PART, size: places.len() as u64, limit: MAX_MATCHES as u64 });
        }
        done += CHUNK as u64;
    }
    Ok(places)
}

fn find_symbols(
    file: &ElfFile,
    table: &elf::SectionHeader64<LE>,
    names: &BTreeMap<u32, usize>,
) -> Result<Vec<Match>, ElfProblem> {
    const PART: &str = "symbols";
    const ENTRY: u64 = size_of::<elf::Sym64<LE>>() as u64;
    let (start, size) = extent(table, PART)?;
    let mut matches = Vec::new();
    let mut done = 0;
    while !names.is_empty() && size - done >= ENTRY {
        let count =
            usize::try_from((size - done) / ENTRY).unwrap_or(usize::MAX).min(CHUNK / size_of::<elf::Sym64<LE>>());
        let symbols: Vec<elf::Sym64<LE>> = file.reader.many(start + done, count, count, PART)?;
        let found = symbols
            .into_iter()
            .filter(is_function)
            .filter_map(|symbol| names.get(&symbol.st_name.get(LE)).map(|name| Match { name: *name, symbol }));
        matches.extend(found);
        if matches.len() > MAX_MATCHES {
            return Err(ElfProblem::TooLarge { part: PART, size: matches.len() as u64, limit: MAX_MATCHES as u64 });
        }
        done += count as u64 * ENTRY;
    }
    Ok(matches)
}

/// Defined here, global or weak, and code. An undefined symbol may have an address, too: that of its PLT entry.
fn is_function(symbol: &elf::Sym64<LE>) -> bool {
    let kind = symbol.st_info & 0xf;
    let binding = symbol.st_info >> 4;
    symbol.st_shndx.get(LE) != elf::SHN_UNDEF
        && matches!(binding, elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE)
        && matches!(kind, elf::STT_FUNC | elf::STT_GNU_IFUNC)
}

fn extent(section: &elf::SectionHeader64<LE>, part: &'static str) -> Result<(u64, u64), ElfProblem> {
    let (start, size) = (section.sh_offset.get(LE), section.sh_size.get(LE));
    if size > MAX_TABLE {
        return Err(ElfProblem::TooLarge { part, size, limit: MAX_TABLE });
    }
    if start.checked_add(size).is_none() {
        return Err(ElfProblem::Malformed(part));
    }
    Ok((start, size))
}

fn collect(file: &ElfFile, wanted: &[&str], mut matches: Vec<Match>) -> Result<Functions, ElfProblem> {
    matches.sort_by_key(|found| found.name);
    let mut functions = Functions::default();
    let mut by_offset: BTreeMap<u64, Function> = BTreeMap::new();
    for Match { name, symbol } in matches {
        let name = wanted[name].to_owned();
        let address = symbol.st_value.get(LE);
        if symbol.st_info & 0xf == elf::STT_GNU_IFUNC {
            functions.rejected.push(Rejected { name, reason: Rejection::Indirect });
            continue;
        }
        let place = file.segments().filter(|segment| segment.executable).find_map(|s: Segment| s.place(address));
        let Some((offset, left)) = place else {
            functions.rejected.push(Rejected { name, reason: Rejection::NotInFile });
            continue;
        };
        if let Some(known) = by_offset.get_mut(&offset) {
            if !known.names.contains(&name) {
                known.names.push(name);
            }
            continue;
        }
        let size = symbol.st_size.get(LE);
        let length = if size == 0 { UNSIZED_CODE } else { size }.min(left).min(MAX_CODE);
        let code = file.reader.up_to(offset, usize::try_from(length).unwrap_or(0))?;
        by_offset.insert(offset, Function { names: vec![name], address, offset, size, code });
    }
    functions.found = by_offset.into_values().collect();
    Ok(functions)
}
