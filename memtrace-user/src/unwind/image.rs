//! The parts of an ELF file that unwinding needs, read within bounds: the headers, and bytes at a place.
//!
//! Files are read with `pread` and never mapped: one that is cut short while it is mapped kills its reader with SIGBUS.

use std::borrow::Cow;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use object::LittleEndian as LE;
use object::elf;
use object::pod::{self, Pod};

use super::error::UnwindProblem;
use crate::process::elf::ElfFile;

/// Program headers read at most: the kernel itself loads no file whose table exceeds 64 KiB.
const MAX_PROGRAM_HEADERS: usize = 65_536 / size_of::<elf::ProgramHeader64<LE>>();

/// Where an image's bytes are.
#[derive(Debug)]
pub(super) enum Bytes<'a> {
    /// In a file of that length.
    File(&'a File, u64),
    /// In memory.
    Memory(&'a [u8]),
}

/// The instruction set, which decides what the numbers of registers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    Aarch64,
}

/// An ELF file of 64 bits with its program headers.
#[derive(Debug)]
pub(super) struct Image<'a> {
    bytes: Bytes<'a>,
    pub(super) machine: Machine,
    pub(super) header: elf::FileHeader64<LE>,
    programs: Vec<elf::ProgramHeader64<LE>>,
}

impl<'a> Image<'a> {
    pub(super) fn of_file(file: &'a File) -> Result<Self, UnwindProblem> {
        let metadata = file.metadata().map_err(UnwindProblem::Io)?;
        // Reading a device or a pipe could wait for ever.
        if !metadata.is_file() {
            return Err(UnwindProblem::NotElf);
        }
        Self::new(Bytes::File(file, metadata.len()))
    }

    pub(super) fn new(bytes: Bytes<'a>) -> Result<Self, UnwindProblem> {
        let header = bytes.many::<elf::FileHeader64<LE>>(0, 1, "header").map_err(|problem| match problem {
            UnwindProblem::Io(error) => UnwindProblem::Io(error),
            _ => UnwindProblem::NotElf,
        })?[0];
        let ident = header.e_ident;
        if ident.magic != elf::ELFMAG || ident.class != elf::ELFCLASS64 || ident.data != elf::ELFDATA2LSB {
            return Err(UnwindProblem::NotElf);
        }
        let machine = match header.e_machine.get(LE) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            other => return Err(UnwindProblem::Machine(other)),
        };
        let count = usize::from(header.e_phnum.get(LE));
        let entry = usize::from(header.e_phentsize.get(LE));
        if count > MAX_PROGRAM_HEADERS || (count > 0 && entry != size_of::<elf::ProgramHeader64<LE>>()) {
            return Err(UnwindProblem::Malformed("program headers"));
        }
        let programs = bytes.many(header.e_phoff.get(LE), count, "program headers")?;
        Ok(Self { bytes, machine, header, programs })
    }

    /// Program headers of one kind.
    pub(super) fn programs_of(&self, kind: u32) -> impl Iterator<Item = &elf::ProgramHeader64<LE>> {
        self.programs.iter().filter(move |program| program.p_type.get(LE) == kind)
    }

    /// Addresses of the functions with these names, as far as they can be found out. Not asked of an image in memory.
    pub(super) fn functions(&self, wanted: [&str; 2]) -> Vec<u64> {
        let Bytes::File(file, _) = self.bytes else { return Vec::new() };
        let found = file.try_clone().ok().and_then(|file| ElfFile::new(file, "").ok()?.functions(wanted).ok());
        found.map_or_else(Vec::new, |found| found.found.into_iter().map(|function| function.address).collect())
    }

    /// The lowest mapped address.
    pub(super) fn base(&self) -> Option<u64> {
        self.programs_of(elf::PT_LOAD).map(|load| load.p_vaddr.get(LE)).min()
    }

    /// The addresses that are mapped executable: sorted, apart from one another.
    pub(super) fn code(&self) -> Vec<Range<u64>> {
        let executable = self.programs_of(elf::PT_LOAD).filter(|load| load.p_flags.get(LE) & elf::PF_X != 0);
        let range = |load: &elf::ProgramHeader64<LE>| {
            load.p_vaddr.get(LE)..load.p_vaddr.get(LE).saturating_add(load.p_memsz.get(LE))
        };
        let mut ranges: Vec<Range<u64>> = executable.map(range).filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| range.start);
        ranges.dedup_by(|next, range| {
            let touches = next.start <= range.end;
            if touches {
                range.end = range.end.max(next.end);
            }
            touches
        });
        ranges
    }

    /// Place in the file of an address, with the number of bytes that follow it in its segment.
    pub(super) fn place_of(&self, address: u64) -> Option<(u64, u64)> {
        self.programs_of(elf::PT_LOAD).find_map(|load| {
            let into = address.checked_sub(load.p_vaddr.get(LE))?;
            let left = load.p_filesz.get(LE).checked_sub(into).filter(|left| *left > 0)?;
            Some((load.p_offset.get(LE).checked_add(into)?, left))
        })
    }

    /// Exactly `length` bytes at `offset`; the caller has bounded the length.
    pub(super) fn read(&self, offset: u64, length: usize, part: &'static str) -> Result<Cow<'a, [u8]>, UnwindProblem> {
        self.bytes.read(offset, length, part)
    }

    /// `count` structures, one after the other, at `offset`; the caller has bounded the count.
    pub(super) fn many<T: Pod>(&self, offset: u64, count: usize, part: &'static str) -> Result<Vec<T>, UnwindProblem> {
        self.bytes.many(offset, count, part)
    }
}

impl<'a> Bytes<'a> {
    fn len(&self) -> u64 {
        match self {
            Self::File(_, length) => *length,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Refuses what lies outside, before memory is taken for it.
    fn read(&self, offset: u64, length: usize, part: &'static str) -> Result<Cow<'a, [u8]>, UnwindProblem> {
        let malformed = || UnwindProblem::Malformed(part);
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.len()).ok_or_else(malformed)?;
        match self {
            Self::Memory(bytes) => {
                let range = usize::try_from(offset).and_then(|start| Ok(start..usize::try_from(end)?));
                Ok(Cow::Borrowed(range.ok().and_then(|range| bytes.get(range)).ok_or_else(malformed)?))
            }
            Self::File(file, _) => {
                let mut read = vec![0; length];
                file.read_exact_at(&mut read, offset).map_err(|error| match error.kind() {
                    // The file was cut short after its length was taken.
                    ErrorKind::UnexpectedEof => malformed(),
                    _ => UnwindProblem::Io(error),
                })?;
                Ok(Cow::Owned(read))
            }
        }
    }

    fn many<T: Pod>(&self, offset: u64, count: usize, part: &'static str) -> Result<Vec<T>, UnwindProblem> {
        let length = count.checked_mul(size_of::<T>()).ok_or(UnwindProblem::Malformed(part))?;
        let bytes = self.read(offset, length, part)?;
        // Words, because the structures need their alignment and bytes would not promise it.
        let mut words = vec![0u64; length.div_ceil(size_of::<u64>())];
        let aligned = pod::bytes_of_slice_mut(&mut words);
        aligned[..length].copy_from_slice(&bytes);
        let (structures, _) = pod::slice_from_bytes(aligned, count).map_err(|()| UnwindProblem::Malformed(part))?;
        Ok(structures.to_vec())
    }
}
