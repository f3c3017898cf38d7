//! How the code of a file hangs together: what its own jumps through the global offset table lead to, and where its
//! functions begin.

use std::collections::{BTreeSet, HashMap};

use object::LittleEndian as LE;
use object::elf;

use super::{ElfFile, ElfProblem, symbols};

/// Relocations of one table. Browsers have some hundred thousand relative ones, which come first and are passed over.
const MAX_RELOCATIONS: usize = 1 << 21;
/// Functions in `.eh_frame_hdr`.
const MAX_FUNCTIONS: usize = 1 << 21;

/// See [`ElfFile::linkage`].
#[derive(Debug, Default)]
pub struct Linkage {
    /// What is known of functions, by the address of the slot that the linker fills with their addresses.
    slots: HashMap<u64, Linked>,
    /// Addresses at which functions begin, as the table for unwinding tells.
    starts: BTreeSet<u64>,
}

/// A function that is reached through a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// The file has it itself, at this address. (Another file may define it, too, and come first; that one is looked at
    /// for itself.)
    Own(u64),
    /// It returns its first argument: memset, memcpy, memmove, which calloc and realloc may end with. Functions that
    /// choose their code on loading (`IRELATIVE`) count as such: in C libraries those are what an allocator ends with.
    ReturnsFirstArgument,
    /// It is another function of the C library that neither allocates nor frees.
    AllocatesNothing,
    /// It is any other function of another file: nothing is known of what it calls.
    Foreign,
}

/// Functions of other files that return their first argument.
const RETURN_FIRST: [&str; 3] = ["memset", "memcpy", "memmove"];

/// Functions of other files that allocate nothing, among those that allocators call. (Not `__tls_get_addr`, which may.)
const ALLOCATE_NOTHING: [&str; 15] = [
    "__errno_location",
    "__stack_chk_fail",
    "abort",
    "getpid",
    "madvise",
    "memcmp",
    "mmap",
    "mremap",
    "munmap",
    "pthread_mutex_lock",
    "pthread_mutex_trylock",
    "pthread_mutex_unlock",
    "pthread_self",
    "sched_yield",
    "strlen",
];

/// Bytes of the longest of these names, with the zero behind it.
const LONGEST_NAME: usize = 22;

impl Linkage {
    pub(super) fn of(file: &ElfFile) -> Result<Self, ElfProblem> {
        let mut linkage = Self::default();
        let dynamic = file.dynamic()?;
        let value = |tag| dynamic.iter().find(|entry| entry.d_tag.get(LE) == tag).map(|entry| entry.d_val.get(LE));
        let place = |tag| value(tag).and_then(|address| file.offset_of(address)).map(|(offset, _)| offset);
        let names = place(elf::DT_SYMTAB).zip(place(elf::DT_STRTAB));
        for (offset, size) in symbols::relocations(file)? {
            linkage.add_slots(file, names, offset, size)?;
        }
        linkage.add_starts(file)?;
        Ok(linkage)
    }

    /// The function whose address the linker puts into a slot, if something is known of it.
    #[must_use]
    pub fn function_behind(&self, slot: u64) -> Option<Linked> {
        self.slots.get(&slot).copied()
    }

    /// Whether a function, or a part of one that lies apart, begins at an address.
    #[must_use]
    pub fn begins_function(&self, address: u64) -> bool {
        self.starts.contains(&address)
    }

    /// `names` are the places of the dynamic symbols and of their strings.
    fn add_slots(
        &mut self,
        file: &ElfFile,
        names: Option<(u64, u64)>,
        offset: u64,
        size: u64,
    ) -> Result<(), ElfProblem> {
        const PART: &str = "relocations";
        let count = usize::try_from(size).unwrap_or(usize::MAX) / size_of::<elf::Rela64<LE>>();
        let relocations: Vec<elf::Rela64<LE>> = file.reader.many(offset, count, MAX_RELOCATIONS, PART)?;
        for relocation in relocations {
            let linked = match relocation.r_type(LE, false) {
                elf::R_X86_64_IRELATIVE | elf::R_AARCH64_IRELATIVE => Some(Linked::ReturnsFirstArgument),
                kind if fills_slot(kind) => linked(file, names, relocation.r_sym(LE, false))?,
                _ => None,
            };
            self.slots.extend(linked.map(|linked| (relocation.r_offset.get(LE), linked)));
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

fn linked(file: &ElfFile, names: Option<(u64, u64)>, index: u32) -> Result<Option<Linked>, ElfProblem> {
    let Some((symbols, strings)) = names else { return Ok(None) };
    let Some(at) = symbols.checked_add(u64::from(index) * size_of::<elf::Sym64<LE>>() as u64) else { return Ok(None) };
    let symbol: elf::Sym64<LE> = file.reader.one(at, "symbols")?;
    if symbol.st_shndx.get(LE) != elf::SHN_UNDEF {
        let is_function = symbol.st_info & 0xf == elf::STT_FUNC;
        return Ok(is_function.then(|| Linked::Own(symbol.st_value.get(LE))));
    }
    let Some(at) = strings.checked_add(u64::from(symbol.st_name.get(LE))) else { return Ok(None) };
    let bytes = file.reader.up_to(at, LONGEST_NAME)?;
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let is_of = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
    Ok(Some(if is_of(&RETURN_FIRST) {
        Linked::ReturnsFirstArgument
    } else if is_of(&ALLOCATE_NOTHING) {
        Linked::AllocatesNothing
    } else {
        Linked::Foreign
    }))
}

/// `R_X86_64_JUMP_SLOT`, `R_X86_64_GLOB_DAT` and their likes of aarch64, whose numbers the other machine does not use.
fn fills_slot(kind: u32) -> bool {
    const KINDS: [u32; 4] =
        [elf::R_X86_64_JUMP_SLOT, elf::R_X86_64_GLOB_DAT, elf::R_AARCH64_JUMP_SLOT, elf::R_AARCH64_GLOB_DAT];
    KINDS.contains(&kind)
}
