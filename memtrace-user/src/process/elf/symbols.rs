//! Finding a few functions in the symbol tables of a file.
//!
//! Tables are streamed twice over: the strings for the wanted names, then the symbols for those that point at one of
//! them. A name is found wherever it stands, also as the tail of another (`malloc` in `__libc_malloc`), since linkers
//! share tails.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use object::LittleEndian as LE;
use object::elf;

use super::{ElfFile, ElfProblem, Segment};

/// Section headers read at most; linkers write some ten thousand at worst (one a function).
const MAX_SECTIONS: usize = 1 << 20;
/// Bytes of a symbol table or its strings. The largest seen, of browsers with debug information, have 300 MB.
const MAX_TABLE: u64 = 1 << 30;
/// Places in the strings where a wanted name stands, as the tail of others too: a program with all its symbols has some
/// thousand that end in `free`.
const MAX_PLACES: usize = 1 << 18;
/// Symbols of a wanted name. Real files have a handful.
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
    /// Index of the section with the sections' names.
    names: u16,
}

impl SectionTable {
    pub(super) fn of(header: &elf::FileHeader64<LE>) -> Self {
        Self {
            offset: header.e_shoff.get(LE),
            count: header.e_shnum.get(LE),
            entry_size: header.e_shentsize.get(LE),
            names: header.e_shstrndx.get(LE),
        }
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

/// Exported functions; those of `.symtab` where `.dynsym` has none and the file is a static executable.
pub(super) fn functions(file: &ElfFile, wanted: &[&str], is_static: bool) -> Result<Functions, ElfProblem> {
    let sections = file.sections.read(file)?;
    let exported = in_table(file, &sections, elf::SHT_DYNSYM, wanted)?;
    if exported.is_empty() && is_static {
        return collect(file, wanted, in_table(file, &sections, elf::SHT_SYMTAB, wanted)?);
    }
    collect(file, wanted, exported)
}

/// Functions of `.symtab`, those that are private to the file too; none in a stripped file.
pub(super) fn private_functions(file: &ElfFile, wanted: &[&str]) -> Result<Functions, ElfProblem> {
    let sections = file.sections.read(file)?;
    collect(file, wanted, in_table(file, &sections, elf::SHT_SYMTAB, wanted)?)
}

/// Addresses of exported data.
pub(super) fn data_addresses<const N: usize>(
    file: &ElfFile,
    wanted: [&str; N],
) -> Result<[Option<u64>; N], ElfProblem> {
    let sections = file.sections.read(file)?;
    let found = in_table_where(file, &sections, elf::SHT_DYNSYM, &wanted, is_data)?;
    let address = |name: usize| found.iter().find(|found| found.name == name).map(|f| f.symbol.st_value.get(LE));
    Ok(std::array::from_fn(address))
}

/// Places and sizes of the relocation tables that apply on loading.
pub(super) fn relocations(file: &ElfFile) -> Result<Vec<(u64, u64)>, ElfProblem> {
    let applies = |section: &&elf::SectionHeader64<LE>| {
        section.sh_type.get(LE) == elf::SHT_RELA && section.sh_flags.get(LE) & u64::from(elf::SHF_ALLOC) != 0
    };
    let sections = file.sections.read(file)?;
    Ok(sections.iter().filter(applies).map(|section| (section.sh_offset.get(LE), section.sh_size.get(LE))).collect())
}

/// Whether the file has a symbol table besides that for dynamic linking.
pub(super) fn has_symtab(file: &ElfFile) -> Result<bool, ElfProblem> {
    Ok(file.sections.read(file)?.iter().any(|section| section.sh_type.get(LE) == elf::SHT_SYMTAB))
}

fn in_table(
    file: &ElfFile,
    sections: &[elf::SectionHeader64<LE>],
    kind: u32,
    wanted: &[&str],
) -> Result<Vec<Match>, ElfProblem> {
    in_table_where(file, sections, kind, wanted, |symbol| is_function(symbol, kind == elf::SHT_SYMTAB))
}

fn in_table_where(
    file: &ElfFile,
    sections: &[elf::SectionHeader64<LE>],
    kind: u32,
    wanted: &[&str],
    matches: impl Fn(&elf::Sym64<LE>) -> bool,
) -> Result<Vec<Match>, ElfProblem> {
    let Some(table) = sections.iter().find(|section| section.sh_type.get(LE) == kind) else {
        return Ok(Vec::new());
    };
    let strings = usize::try_from(table.sh_link.get(LE)).ok().and_then(|link| sections.get(link));
    let strings = strings.ok_or(ElfProblem::Malformed("link from symbols to their strings"))?;
    let names = find_names(file, strings, wanted)?;
    find_symbols(file, table, &names, matches)
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
    // Most strings are ruled out by their last two bytes.
    let mut by_tail: HashMap<[u8; 2], Vec<usize>> = HashMap::new();
    for (index, name) in wanted.iter().enumerate() {
        let tail = name.as_bytes().last_chunk::<2>().ok_or(ElfProblem::Malformed(PART))?;
        by_tail.entry(*tail).or_default().push(index);
    }
    let mut is_tail = vec![false; 1 << 16];
    for tail in by_tail.keys() {
        is_tail[usize::from(u16::from_le_bytes(*tail))] = true;
    }
    let (start, size) = extent(strings, PART)?;
    let mut places = BTreeMap::new();
    let mut done = 0;
    while done < size {
        // Each chunk reaches into the next by the longest name, so that none is missed at a seam.
        let length = usize::try_from(size - done).unwrap_or(usize::MAX).min(CHUNK + overlap);
        let chunk = file.reader.bytes(start + done, length, length, PART)?;
        for zero in (2..chunk.len()).filter(|at| chunk[*at] == 0) {
            let tail = [chunk[zero - 2], chunk[zero - 1]];
            if !is_tail[usize::from(u16::from_le_bytes(tail))] {
                continue;
            }
            let string = &chunk[..=zero];
            for index in by_tail[&tail].iter().filter(|index| string.ends_with(&needles[**index])) {
                let place = done + (zero + 1 - needles[*index].len()) as u64;
                places.insert(u32::try_from(place).map_err(|_| ElfProblem::Malformed(PART))?, *index);
            }
        }
        if places.len() > MAX_PLACES {
            return Err(ElfProblem::TooLarge { part: PART, size: places.len() as u64, limit: MAX_PLACES as u64 });
        }
        done += CHUNK as u64;
    }
    Ok(places)
}

fn find_symbols(
    file: &ElfFile,
    table: &elf::SectionHeader64<LE>,
    names: &BTreeMap<u32, usize>,
    is_wanted: impl Fn(&elf::Sym64<LE>) -> bool,
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
            .filter(|symbol| is_wanted(symbol))
            .filter_map(|symbol| names.get(&symbol.st_name.get(LE)).map(|name| Match { name: *name, symbol }));
        matches.extend(found);
        if matches.len() > MAX_MATCHES {
            return Err(ElfProblem::TooLarge { part: PART, size: matches.len() as u64, limit: MAX_MATCHES as u64 });
        }
        done += count as u64 * ENTRY;
    }
    Ok(matches)
}

/// Defined here and code; global or weak, unless private ones are asked for. An undefined symbol may have an address,
/// too: that of its PLT entry.
fn is_function(symbol: &elf::Sym64<LE>, with_private: bool) -> bool {
    let kind = symbol.st_info & 0xf;
    let binding = symbol.st_info >> 4;
    symbol.st_shndx.get(LE) != elf::SHN_UNDEF
        && (matches!(binding, elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE)
            || with_private && binding == elf::STB_LOCAL)
        && matches!(kind, elf::STT_FUNC | elf::STT_GNU_IFUNC)
}

/// Defined here, exported, and data.
fn is_data(symbol: &elf::Sym64<LE>) -> bool {
    symbol.st_shndx.get(LE) != elf::SHN_UNDEF
        && matches!(symbol.st_info >> 4, elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE)
        && symbol.st_info & 0xf == elf::STT_OBJECT
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

/// The code that the Go compiler made lies between two symbols of its runtime; without them (stripped) all code counts
/// as such. A Go program is known by the section that its stack unwinder reads.
pub(super) fn go_text(file: &ElfFile) -> Result<Option<Range<u64>>, ElfProblem> {
    let sections = file.sections.read(file)?;
    let names = sections.get(usize::from(file.sections.names));
    let Some(names) = names else { return Ok(None) };
    let named = |section: &elf::SectionHeader64<LE>| -> bool {
        const NAME: &[u8] = b".gopclntab\0";
        let at = names.sh_offset.get(LE).checked_add(u64::from(section.sh_name.get(LE)));
        at.and_then(|at| file.reader.up_to(at, NAME.len()).ok()).is_some_and(|bytes| bytes == NAME)
    };
    if !sections.iter().any(named) {
        return Ok(None);
    }
    let wanted = ["runtime.text", "runtime.etext"];
    let found = in_table(file, &sections, elf::SHT_SYMTAB, &wanted)?;
    let address = |index: usize| found.iter().find(|found| found.name == index).map(|f| f.symbol.st_value.get(LE));
    Ok(Some(address(0).unwrap_or(0)..address(1).unwrap_or(u64::MAX)))
}

/// The function at an address before relocation; its size is not known.
pub(super) fn function_at(file: &ElfFile, address: u64, name: &str) -> Result<Option<Function>, ElfProblem> {
    let place = file.segments().filter(|segment| segment.executable).find_map(|segment| segment.place(address));
    let Some((offset, left)) = place else { return Ok(None) };
    let code = file.reader.up_to(offset, usize::try_from(left.min(UNSIZED_CODE)).unwrap_or(0))?;
    Ok(Some(Function { names: vec![name.to_owned()], address, offset, size: 0, code }))
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
