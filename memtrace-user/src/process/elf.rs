//! What memtrace wants to know of an ELF file: its kind, its names, and the code of a few functions.
//!
//! Files come from processes that are traced, so nothing in them is trusted. They are read with `pread`, not mapped:
//! a file that is cut short while it is mapped kills its reader with SIGBUS, and a prelude of 150 MB would be paged
//! in. Each read is checked against the file's length and against a limit of its own; symbol tables are streamed
//! (`symbols`), so memory does not follow the size of the file.

pub mod error;
mod linkage;
mod reader;
mod symbols;

use std::fs::File;
use std::path::{Path, PathBuf};

use object::LittleEndian as LE;
use object::elf;

pub use error::{ElfError, ElfProblem};
pub use linkage::{Linkage, Linked};
use reader::Reader;
pub use symbols::{Function, Functions, Rejected, Rejection};

/// Program headers read at most: the kernel itself loads no file whose table exceeds 64 KiB.
const MAX_PROGRAM_HEADERS: usize = 65_536 / size_of::<elf::ProgramHeader64<LE>>();
/// Names (of the object, of its interpreter) are at most a path long.
const MAX_NAME: usize = 4096;
/// Bytes of one note segment.
const MAX_NOTES: usize = 64 * 1024;
/// Bytes of the dynamic section.
const MAX_DYNAMIC: usize = 64 * 1024;
/// Bytes of a build id; linkers write 8 to 32.
const MAX_BUILD_ID: usize = 64;

/// Instruction set of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// `EM_X86_64`.
    X86_64,
    /// `EM_AARCH64`, little endian.
    Aarch64,
}

/// A part of the file that is mapped on loading (`PT_LOAD`). Bytes, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Address before relocation.
    pub address: u64,
    /// Place in the file.
    pub offset: u64,
    /// Length in the file; what memory has beyond it is zero.
    pub file_size: u64,
    /// Whether it is mapped executable.
    pub executable: bool,
}

/// An open ELF file of 64 bits.
#[derive(Debug)]
pub struct ElfFile {
    reader: Reader,
    machine: Machine,
    /// `ET_EXEC`, or `ET_DYN` with an entry point.
    is_program: bool,
    headers: Vec<elf::ProgramHeader64<LE>>,
    sections: symbols::SectionTable,
}

impl ElfFile {
    /// Opens `path` and reads the headers.
    ///
    /// # Errors
    /// As [`ElfFile::new`], and when the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        let file = File::open(path).map_err(|source| ElfError::new(path, ElfProblem::Io(source)))?;
        Self::new(file, path)
    }

    /// Reads the headers of an open file; `path` is for messages only.
    ///
    /// # Errors
    /// [`ElfProblem::ThirtyTwoBit`] for a 32-bit file, and others for what is no ELF file of a known machine.
    pub fn new(file: File, path: impl Into<PathBuf>) -> Result<Self, ElfError> {
        let path = path.into();
        Self::read(file).map_err(|problem| ElfError::new(&path, problem)).map(|mut elf| {
            elf.reader.path = path;
            elf
        })
    }

    fn read(file: File) -> Result<Self, ElfProblem> {
        let reader = Reader::new(file)?;
        let machine = identify(&reader)?;
        let header: elf::FileHeader64<LE> = reader.one(0, "header")?;
        let count = usize::from(header.e_phnum.get(LE));
        if usize::from(header.e_phentsize.get(LE)) != size_of::<elf::ProgramHeader64<LE>>() && count > 0 {
            return Err(ElfProblem::Malformed("size of program headers"));
        }
        let headers = reader.many(header.e_phoff.get(LE), count, MAX_PROGRAM_HEADERS, "program headers")?;
        let is_program = header.e_entry.get(LE) != 0;
        Ok(Self { reader, machine, is_program, headers, sections: symbols::SectionTable::of(&header) })
    }

    /// Instruction set.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The parts that are mapped on loading, in file order.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        self.headers_of(elf::PT_LOAD).map(|header| Segment {
            address: header.p_vaddr.get(LE),
            offset: header.p_offset.get(LE),
            file_size: header.p_filesz.get(LE),
            executable: header.p_flags.get(LE) & elf::PF_X != 0,
        })
    }

    /// Place in the file of an address before relocation, with the number of bytes that follow it in its segment.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> Option<(u64, u64)> {
        self.segments().find_map(|segment| segment.place(address))
    }

    /// The program that loads this one (`PT_INTERP`); none in a static executable and in most libraries.
    ///
    /// # Errors
    /// When the file is malformed or cannot be read.
    pub fn interpreter(&self) -> Result<Option<PathBuf>, ElfError> {
        let Some(header) = self.headers_of(elf::PT_INTERP).next() else { return Ok(None) };
        let length = usize::try_from(header.p_filesz.get(LE)).unwrap_or(usize::MAX);
        let bytes = self.named(self.reader.bytes(header.p_offset.get(LE), length, MAX_NAME, "interpreter"))?;
        Ok(Some(reader::path(&bytes)))
    }

    /// The name by which other objects ask for this one (`DT_SONAME`), as its bytes read as UTF-8.
    ///
    /// # Errors
    /// When the file is malformed or cannot be read.
    pub fn soname(&self) -> Result<Option<String>, ElfError> {
        let entries = self.named(self.dynamic())?;
        let value = |tag| entries.iter().find(|entry| entry.d_tag.get(LE) == tag).map(|entry| entry.d_val.get(LE));
        let (Some(strings), Some(name)) = (value(elf::DT_STRTAB), value(elf::DT_SONAME)) else {
            return Ok(None);
        };
        let Some((offset, _)) = strings.checked_add(name).and_then(|address| self.offset_of(address)) else {
            return Err(ElfError::new(&self.reader.path, ElfProblem::Malformed("place of the object's name")));
        };
        let bytes = self.named(self.reader.up_to(offset, MAX_NAME))?;
        Ok(Some(reader::path(&bytes).to_string_lossy().into_owned()))
    }

    /// The build id (`NT_GNU_BUILD_ID`) that debug files are found by.
    ///
    /// # Errors
    /// When the file cannot be read. Malformed notes count as none.
    pub fn build_id(&self) -> Result<Option<Vec<u8>>, ElfError> {
        for header in self.headers_of(elf::PT_NOTE) {
            let length = usize::try_from(header.p_filesz.get(LE)).unwrap_or(usize::MAX).min(MAX_NOTES);
            let notes = self.named(self.reader.up_to(header.p_offset.get(LE), length))?;
            if let Some(id) = reader::build_id(&notes, header.p_align.get(LE)) {
                return Ok((id.len() <= MAX_BUILD_ID).then(|| id.to_vec()));
            }
        }
        Ok(None)
    }

    /// The functions of the names `wanted` that this file defines, each piece of code once.
    ///
    /// `.dynsym` is asked first. Only a file that has neither interpreter nor needed libraries, and of which `.dynsym`
    /// defines none of them, is asked for `.symtab`: that is a static executable. Elsewhere a function that is not
    /// exported serves nobody but its own file, and the table may have hundreds of megabytes.
    ///
    /// # Errors
    /// When the file is malformed or cannot be read.
    pub fn functions<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Result<Functions, ElfError> {
        let wanted: Vec<&str> = wanted.into_iter().collect();
        let needs = self.named(self.dynamic())?.iter().any(|entry| entry.d_tag.get(LE) == elf::DT_NEEDED);
        let is_static = !needs && self.headers_of(elf::PT_INTERP).next().is_none();
        self.named(symbols::functions(self, &wanted, is_static))
    }

    /// The functions of the names `wanted` in `.symtab`, with those that the file keeps for itself. None in a stripped
    /// file.
    ///
    /// # Errors
    /// When the file is malformed or cannot be read.
    pub fn private_functions<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Result<Functions, ElfError> {
        let wanted: Vec<&str> = wanted.into_iter().collect();
        self.named(symbols::private_functions(self, &wanted))
    }

    /// Addresses before relocation of data that this file exports, by name.
    ///
    /// # Errors
    /// When the file is malformed or cannot be read.
    pub fn data_addresses<const N: usize>(&self, wanted: [&str; N]) -> Result<[Option<u64>; N], ElfError> {
        self.named(symbols::data_addresses(self, wanted))
    }

    /// The function at an address before relocation, of unknown size, under a name of the caller's; `None` where the
    /// file has no code there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn function_at(&self, address: u64, name: &str) -> Result<Option<Function>, ElfError> {
        self.named(symbols::function_at(self, address, name))
    }

    /// Addresses of the code that the Go compiler made; `None` of a file that has none.
    ///
    /// # Errors
    /// When the file is malformed or cannot be read.
    pub fn go_text(&self) -> Result<Option<std::ops::Range<u64>>, ElfError> {
        self.named(symbols::go_text(self))
    }

    /// Whether this is a program that loads no library and has no symbol table: nothing says where its functions are.
    #[must_use]
    pub fn is_static_and_stripped(&self) -> bool {
        let no_names = || symbols::has_symtab(self).is_ok_and(|has| !has);
        let needs = || self.dynamic().is_ok_and(|entries| entries.iter().any(|e| e.d_tag.get(LE) == elf::DT_NEEDED));
        self.is_program && self.headers_of(elf::PT_INTERP).next().is_none() && !needs() && no_names()
    }

    /// Bytes at an address before relocation, at most `length` and no more than the file has there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bytes_at(&self, address: u64, length: usize) -> Result<Vec<u8>, ElfError> {
        let Some((offset, left)) = self.offset_of(address) else { return Ok(Vec::new()) };
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        self.named(self.reader.up_to(offset, length))
    }

    /// Where the file's own functions are that it calls through the global offset table.
    ///
    /// # Errors
    /// When the file is malformed or cannot be read.
    pub fn linkage(&self) -> Result<Linkage, ElfError> {
        self.named(Linkage::of(self))
    }

    /// The dynamic section up to its end mark; empty where there is none.
    fn dynamic(&self) -> Result<Vec<elf::Dyn64<LE>>, ElfProblem> {
        let Some(header) = self.headers_of(elf::PT_DYNAMIC).next() else { return Ok(Vec::new()) };
        let count = usize::try_from(header.p_filesz.get(LE)).unwrap_or(usize::MAX) / size_of::<elf::Dyn64<LE>>();
        let limit = MAX_DYNAMIC / size_of::<elf::Dyn64<LE>>();
        let mut entries: Vec<elf::Dyn64<LE>> =
            self.reader.many(header.p_offset.get(LE), count, limit, "dynamic section")?;
        let end = entries.iter().position(|entry| entry.d_tag.get(LE) == elf::DT_NULL);
        entries.truncate(end.unwrap_or(entries.len()));
        Ok(entries)
    }

    fn headers_of(&self, kind: u32) -> impl Iterator<Item = &elf::ProgramHeader64<LE>> {
        self.headers.iter().filter(move |header| header.p_type.get(LE) == kind)
    }

    fn named<T>(&self, result: Result<T, ElfProblem>) -> Result<T, ElfError> {
        result.map_err(|problem| ElfError::new(&self.reader.path, problem))
    }
}

impl Segment {
    /// Whether an address before relocation lies in what the file has of it.
    #[must_use]
    pub fn holds(&self, address: u64) -> bool {
        self.place(address).is_some()
    }

    fn place(&self, address: u64) -> Option<(u64, u64)> {
        let into = address.checked_sub(self.address)?;
        let left = self.file_size.checked_sub(into).filter(|left| *left > 0)?;
        Some((self.offset.checked_add(into)?, left))
    }
}

fn identify(reader: &Reader) -> Result<Machine, ElfProblem> {
    // Class and byte order lie in the part of the header that all classes share.
    let start = reader.up_to(0, 20)?;
    let &[0x7f, b'E', b'L', b'F', class, order, ..] = start.as_slice() else { return Err(ElfProblem::NotElf) };
    if class == elf::ELFCLASS32 {
        return Err(ElfProblem::ThirtyTwoBit);
    }
    if class != elf::ELFCLASS64 || order != elf::ELFDATA2LSB {
        return Err(ElfProblem::Unsupported { class, order });
    }
    let number = start.get(18..20).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    match number {
        elf::EM_X86_64 => Ok(Machine::X86_64),
        elf::EM_AARCH64 => Ok(Machine::Aarch64),
        other => Err(ElfProblem::Machine(other)),
    }
}

#[cfg(test)]
mod tests;
