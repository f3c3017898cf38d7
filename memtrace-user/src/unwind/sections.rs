//! Finds the sections that hold call frame information.

use std::borrow::Cow;

use gimli::{BaseAddresses, EhFrameHdr};
use object::LittleEndian as LE;
use object::elf;

use super::error::UnwindProblem;
use super::image::Image;

/// Bytes of the names of sections; executables have some hundreds.
const MAX_SECTION_NAMES: u64 = 1 << 20;
/// Bytes of call frame information in one file. libLLVM (200 MB) has 6.5 MB, a browser about 15.
const MAX_BYTES: u64 = 20 << 20;
/// Bytes of `.eh_frame_hdr` before its table: four, a pointer and a count.
const MAX_EH_FRAME_HDR: u64 = 20;
/// `SHT_X86_64_UNWIND`, which some linkers give `.eh_frame` instead of `SHT_PROGBITS`.
const UNWIND_SECTION: u32 = 0x7000_0001;

/// A section of call frame information.
#[derive(Debug)]
pub(super) struct CfiSection<'a> {
    /// Its address before relocation; 0 for one that is not mapped.
    pub(super) address: u64,
    pub(super) bytes: Cow<'a, [u8]>,
    pub(super) kind: CfiKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CfiKind {
    EhFrame,
    DebugFrame,
}

/// The call frame information of one kind, and what its pointers may be relative to.
#[derive(Debug, Default)]
pub(super) struct Cfi<'a> {
    pub(super) sections: Vec<CfiSection<'a>>,
    /// Address of `.text`; 0 where that is not known.
    pub(super) text: u64,
}

/// The `.eh_frame` sections (a file rewritten by BOLT has two), or what `PT_GNU_EH_FRAME` leads to where the section
/// headers are stripped or broken.
pub(super) fn eh_frame<'a>(image: &Image<'a>) -> Result<Cfi<'a>, UnwindProblem> {
    let found = match named(image, b".eh_frame", CfiKind::EhFrame) {
        Err(UnwindProblem::Malformed(_)) => Cfi::default(),
        other => other?,
    };
    if !found.sections.is_empty() {
        return Ok(found);
    }
    Ok(Cfi { sections: by_program_header(image)?.into_iter().collect(), text: found.text })
}

/// The `.debug_frame` sections. Compressed ones (Go's linker writes them) are left out.
pub(super) fn debug_frame<'a>(image: &Image<'a>) -> Result<Cfi<'a>, UnwindProblem> {
    match named(image, b".debug_frame", CfiKind::DebugFrame) {
        Err(UnwindProblem::Malformed(_)) => Ok(Cfi::default()),
        other => other,
    }
}

fn named<'a>(image: &Image<'a>, wanted: &[u8], kind: CfiKind) -> Result<Cfi<'a>, UnwindProblem> {
    let header = &image.header;
    let count = usize::from(header.e_shnum.get(LE));
    if count == 0 || usize::from(header.e_shentsize.get(LE)) != size_of::<elf::SectionHeader64<LE>>() {
        return Ok(Cfi::default());
    }
    let headers: Vec<elf::SectionHeader64<LE>> = image.many(header.e_shoff.get(LE), count, "section headers")?;
    let Some(names) = headers.get(usize::from(header.e_shstrndx.get(LE))) else { return Ok(Cfi::default()) };
    let length = usize::try_from(names.sh_size.get(LE).min(MAX_SECTION_NAMES)).unwrap_or_default();
    let names = image.read(names.sh_offset.get(LE), length, "names of sections")?;

    let mut found = Cfi::default();
    let mut total = 0;
    for section in &headers {
        let name = names.get(section.sh_name.get(LE) as usize..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        if name == Some(b".text") {
            found.text = section.sh_addr.get(LE);
        }
        let contents = matches!(section.sh_type.get(LE), elf::SHT_PROGBITS | UNWIND_SECTION);
        let compressed = section.sh_flags.get(LE) & u64::from(elf::SHF_COMPRESSED) != 0;
        if name != Some(wanted) || !contents || compressed {
            continue;
        }
        let size = section.sh_size.get(LE);
        total = bounded(total, size)?;
        let length = usize::try_from(size).map_err(|_| UnwindProblem::Malformed("unwind section"))?;
        let bytes = image.read(section.sh_offset.get(LE), length, "unwind section")?;
        found.sections.push(CfiSection { address: section.sh_addr.get(LE), bytes, kind });
    }
    Ok(found)
}

/// `.eh_frame` by the pointer at the start of `.eh_frame_hdr`. Its length is nowhere: it ends at its end mark, and at
/// the latest with its segment.
fn by_program_header<'a>(image: &Image<'a>) -> Result<Option<CfiSection<'a>>, UnwindProblem> {
    let Some(header) = image.programs_of(elf::PT_GNU_EH_FRAME).next() else { return Ok(None) };
    let length = usize::try_from(header.p_filesz.get(LE).min(MAX_EH_FRAME_HDR)).unwrap_or_default();
    let start = image.read(header.p_offset.get(LE), length, ".eh_frame_hdr")?;
    let bases = BaseAddresses::default().set_eh_frame_hdr(header.p_vaddr.get(LE));
    let parsed = EhFrameHdr::new(&start, gimli::LittleEndian).parse(&bases, 8);
    let malformed = UnwindProblem::Malformed(".eh_frame_hdr");
    let Some(address) = parsed.ok().and_then(|hdr| hdr.eh_frame_ptr().direct().ok()) else { return Err(malformed) };
    let Some((offset, left)) = image.place_of(address) else { return Err(malformed) };
    let length = usize::try_from(left.min(MAX_BYTES)).unwrap_or_default();
    let bytes = image.read(offset, length, ".eh_frame")?;
    Ok(Some(CfiSection { address, bytes, kind: CfiKind::EhFrame }))
}

/// The sum of sizes while it is within bounds.
fn bounded(total: u64, size: u64) -> Result<u64, UnwindProblem> {
    let size = total.saturating_add(size);
    if size > MAX_BYTES {
        return Err(UnwindProblem::TooLarge { part: "bytes of call frame information", size, limit: MAX_BYTES });
    }
    Ok(size)
}
