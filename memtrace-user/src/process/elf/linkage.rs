//! How the code of a file hangs together: what its own jumps through the global offset table lead to, and where its
//! functions begin.

use std::collections::{BTreeSet, HashMap};

use object::LittleEndian as LE;
use object::elf;

use super::{ElfFile, ElfProblem};

/// Relocations of one table. Browsers have some hundred thousand relative ones, which come first and are passed over.
const MAX_RELOCATIONS: usize = 1 << 21;
/// Functions in `.eh_frame_hdr`.
const MAX_FUNCTIONS: usize = 1 << 21;

/// See [`ElfFile::linkage`].
#[derive(Debug, Default)]
pub struct Linkage {
    /// Addresses of functions by the address of the slot that the linker fills with them.
    slots: HashMap<u64, u64>,
    /// Addresses at which functions begin, as the table for unwinding tells.
    starts: BTreeSet<u64>,
}

impl Linkage {
    pub(super) fn of(file: &ElfFile) -> Result<Self, ElfProblem> {
        let mut linkage = Self::default();
        let dynamic = file.dynamic()?;
        let value = |tag| dynamic.iter().find(|entry| entry.d_tag.get(LE) == tag).map(|entry| entry.d_val.get(LE));
        let symbols = value(elf::DT_SYMTAB).and_then(|address| file.offset_of(address));
        let tables = [(elf::DT_JMPREL, elf::DT_PLTRELSZ), (elf::DT_RELA, elf::DT_RELASZ)];
        if let Some((symbols, _)) = symbols {
            for (table, size) in tables.map(|(table, size)| (value(table), value(size))) {
                let place = table.and_then(|address| file.offset_of(address));
                if let (Some((offset, _)), Some(size)) = (place, size) {
                    linkage.add_slots(file, symbols, offset, size)?;
                }
            }
        }
        linkage.add_starts(file)?;
        Ok(linkage)
    }

    /// The function whose address the linker puts into a slot, if the file defines it itself. (Another file may define
    /// it, too, and come first; that one is looked at for itself.)
    #[must_use]
    pub fn function_behind(&self, slot: u64) -> Option<u64> {
        self.slots.get(&slot).copied()
    }

    /// Whether a function, or a part of one that lies apart, begins at an address.
    #[must_use]
    pub fn begins_function(&self, address: u64) -> bool {
        self.starts.contains(&address)
    }

    fn add_slots(&mut self, file: &ElfFile, symbols: u64, offset: u64, size: u64) -> Result<(), ElfProblem> {
        const PART: &str = "relocations";
        let count = usize::try_from(size).unwrap_or(usize::MAX) / size_of::<elf::Rela64<LE>>();
        let relocations: Vec<elf::Rela64<LE>> = file.reader.many(offset, count, MAX_RELOCATIONS, PART)?;
        for relocation in relocations.iter().filter(|relocation| fills_slot(relocation.r_type(LE, false))) {
            let index = u64::from(relocation.r_sym(LE, false));
            let Some(at) = symbols.checked_add(index * size_of::<elf::Sym64<LE>>() as u64) else { continue };
            let symbol: elf::Sym64<LE> = file.reader.one(at, PART)?;
            if symbol.st_shndx.get(LE) != elf::SHN_UNDEF && symbol.st_info & 0xf == elf::STT_FUNC {
                self.slots.insert(relocation.r_offset.get(LE), symbol.st_value.get(LE));
            }
        }
        Ok(())
    }

    /// Reads the sorted table of `.eh_frame_hdr` where it has its usual form: addresses of 32 bits, relative to it.
    fn add_starts(&mut self, file: &ElfFile) -> Result<(), ElfProblem> {
        const PART: &str = ".eh_frame_hdr";
        const USUAL: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
        let Some(header) = file.headers_of(elf::PT_GNU_EH_FRAME).next() else { return Ok(()) };
        let (offset, address) = (header.p_offset.get(LE), header.p_vaddr.get(LE));
        let start = file.reader.up_to(offset, 12)?;
        let Some((form, rest)) = start.split_first_chunk::<4>() else { return Ok(()) };
        let Some(count) = rest.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)) else { return Ok(()) };
        if *form != USUAL || start.len() != 12 {
            return Ok(());
        }
        let entries: Vec<object::I32<LE>> =
            file.reader.many(offset + 12, count as usize * 2, MAX_FUNCTIONS * 2, PART)?;
        let starts = entries.iter().step_by(2).filter_map(|start| address.checked_add_signed(i64::from(start.get(LE))));
        self.starts.extend(starts);
        Ok(())
    }
}

/// `R_X86_64_JUMP_SLOT`, `R_X86_64_GLOB_DAT` and their likes of aarch64, whose numbers the other machine does not use.
fn fills_slot(kind: u32) -> bool {
    const KINDS: [u32; 4] =
        [elf::R_X86_64_JUMP_SLOT, elf::R_X86_64_GLOB_DAT, elf::R_AARCH64_JUMP_SLOT, elf::R_AARCH64_GLOB_DAT];
    KINDS.contains(&kind)
}
