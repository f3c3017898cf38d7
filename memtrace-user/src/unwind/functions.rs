//! The functions that call frame information describes, each with its rows.

use std::collections::HashMap;
use std::ops::Range;

use gimli::{
    BaseAddresses, CommonInformationEntry, DebugFrame, EhFrame, FrameDescriptionEntry, LittleEndian, Register,
    RegisterRule, UnwindContext, UnwindContextStorage, UnwindOffset, UnwindSection, UnwindTableRow, Vendor,
};

use super::Summary;
use super::budget::{Budget, count_copies};
use super::dictionary::Dictionary;
use super::entries::{Entries, Entry};
use super::error::UnwindProblem;
use super::image::{Image, Machine};
use super::rules::{Rules, Slice, UNSUPPORTED};
use super::sections::{Cfi, CfiKind, CfiSection};

/// Bytes of a CIE. Compilers write 16 to 32.
const MAX_COMMON_LENGTH: usize = 128;

/// A row: the offset of its first byte of code and the number of its rule in the [`Dictionary`].
pub(super) type Row = (u32, u32);

/// A function's code, as offsets from the table's base, and which rows are its.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) code: Range<u32>,
    pub(super) rows: Range<u32>,
}

/// All functions of a file, in the order of its sections.
#[derive(Debug, Default)]
pub(super) struct Functions {
    pub(super) list: Vec<Function>,
    pub(super) rows: Vec<Row>,
    pub(super) rules: Dictionary,
    pub(super) summary: Summary,
}

/// Room for the rows that one function's instructions work on: as many registers as either machine has columns for
/// (aarch64: 31, their vectors' lower halves, and the state of signing), and states that are remembered. gimli's own has
/// three times as much, which it copies for every function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room;

impl UnwindContextStorage<usize> for Room {
    type Rules = [(Register, RegisterRule<usize>); 64];
    type Stack = Box<[UnwindTableRow<usize, Self>; 8]>;
}

type CommonEntries<'a> = HashMap<usize, CommonInformationEntry<Slice<'a>>>;

/// What stays the same while the functions of a file are read.
struct Reader {
    machine: Machine,
    base: u64,
    code: Vec<Range<u64>>,
    context: UnwindContext<usize, Room>,
    budget: Budget,
    /// Instructions in a CIE that copy rows, by the CIE's offset.
    copies: HashMap<usize, u64>,
    found: Functions,
}

impl Functions {
    /// Reads the functions of `cfi`. One that is malformed or lies outside the file's code is left out and counted.
    pub(super) fn of(image: &Image<'_>, base: u64, cfi: &Cfi<'_>) -> Result<Self, UnwindProblem> {
        let found = Self::default();
        let mut reader = Reader {
            machine: image.machine,
            base,
            code: image.code(),
            context: UnwindContext::new_in(),
            budget: Budget::default(),
            copies: HashMap::new(),
            found,
        };
        let vendor = match image.machine {
            Machine::X86_64 => Vendor::Default,
            Machine::Aarch64 => Vendor::AArch64,
        };
        for section in &cfi.sections {
            let bases = BaseAddresses::default().set_eh_frame(section.address).set_text(cfi.text);
            match section.kind {
                CfiKind::EhFrame => {
                    let mut frames = EhFrame::new(&section.bytes, LittleEndian);
                    frames.set_vendor(vendor);
                    reader.section(&frames, section, &bases)?;
                }
                CfiKind::DebugFrame => {
                    let mut frames = DebugFrame::new(&section.bytes, LittleEndian);
                    frames.set_vendor(vendor);
                    reader.section(&frames, section, &bases)?;
                }
            }
        }
        Ok(reader.found)
    }
}

impl Reader {
    fn section<'a, S: UnwindSection<Slice<'a>>>(
        &mut self,
        frames: &S,
        section: &'a CfiSection<'_>,
        bases: &BaseAddresses,
    ) -> Result<(), UnwindProblem> {
        self.budget.section(&section.bytes)?;
        let entries = || Entries::new(&section.bytes, section.kind);
        let common = common_entries(entries(), frames, bases);
        self.copies = common
            .iter()
            .map(|(at, entry)| (*at, count_copies(section.bytes.get(*at..at + entry.entry_len()).unwrap_or_default())))
            .filter(|(_, copies)| *copies > 0)
            .collect();
        // Neighbours mostly share their CIE.
        let mut latest = None;
        for entry in entries() {
            match entry {
                Entry::Common(_) => {}
                Entry::CutShort => self.found.summary.malformed += 1,
                Entry::Function(at) => {
                    // A CIE is one of the section's entries: an FDE that points into the middle of something is made up.
                    let of = |_: &S, _: &BaseAddresses, at: S::Offset| {
                        let entry = match latest {
                            Some((latest_at, entry)) if latest_at == at => entry,
                            _ => common.get(&UnwindOffset::into(at)).ok_or(gimli::Error::NotCieId(0))?,
                        };
                        latest = Some((at, entry));
                        Ok(CommonInformationEntry::clone(entry))
                    };
                    match frames.fde_from_offset(bases, at.into(), of) {
                        Ok(function) => self.function(&function, frames, bases)?,
                        Err(_) => self.found.summary.malformed += 1,
                    }
                }
            }
        }
        Ok(())
    }

    fn function<'a, S: UnwindSection<Slice<'a>>>(
        &mut self,
        function: &FrameDescriptionEntry<Slice<'a>>,
        frames: &S,
        bases: &BaseAddresses,
    ) -> Result<(), UnwindProblem> {
        let length = function.len();
        let Some(code) = self.offsets(function.initial_address(), length) else {
            // Linkers leave entries of length 0, and in `.debug_frame` entries at address 0, for code that they dropped.
            self.found.summary.outside += u32::from(length != 0);
            return Ok(());
        };
        let common = function.cie();
        let copies = self.copies.get(&common.offset()).copied().unwrap_or(0);
        self.budget.function(common.entry_len(), copies)?;
        let first = self.found.rows.len();
        self.rows(function, &code, frames, bases)?;
        let rows = narrow(first)..narrow(self.found.rows.len());
        self.found.list.push(Function { code, rows });
        self.found.summary.fdes += 1;
        Ok(())
    }

    /// A function's code as offsets from the base; none when it does not begin in the file's code, or too far from its
    /// base for 32 bits.
    fn offsets(&self, start: u64, length: u64) -> Option<Range<u32>> {
        let after = self.code.partition_point(|range| range.start <= start);
        let within = self.code.get(after.checked_sub(1)?)?;
        let end = start.checked_add(length)?.min(within.end);
        if start >= end {
            return None;
        }
        let offset = |address: u64| u32::try_from(address.checked_sub(self.base)?).ok();
        Some(offset(start)?..offset(end)?)
    }

    /// Appends a function's rows, those of one rule merged.
    fn rows<'a, S: UnwindSection<Slice<'a>>>(
        &mut self,
        function: &FrameDescriptionEntry<Slice<'a>>,
        code: &Range<u32>,
        frames: &S,
        bases: &BaseAddresses,
    ) -> Result<(), UnwindProblem> {
        let encoding = function.cie().encoding();
        let rules = Rules { machine: self.machine, section: frames, encoding, signal: function.is_signal_trampoline() };
        let Functions { rows, rules: dictionary, summary, .. } = &mut self.found;
        let first = rows.len();
        let start = function.initial_address();
        // Where the code begins that no row has been seen for.
        let mut reached = start;
        let mut table = function.rows(frames, bases, &mut self.context);
        loop {
            let row = match &mut table {
                Ok(table) => table.next_row(),
                Err(error) => Err(*error),
            };
            let (at, rule, is_last) = match row {
                Ok(None) => return Ok(()),
                Ok(Some(row)) => {
                    reached = row.end_address();
                    (row.start_address(), rules.of(row), false)
                }
                Err(_) => {
                    summary.malformed += 1;
                    (reached, UNSUPPORTED, true)
                }
            };
            self.budget.row()?;
            let offset = at.checked_sub(start).and_then(|at| code.start.checked_add(u32::try_from(at).ok()?));
            let Some(offset) = offset.filter(|offset| *offset < code.end) else { return Ok(()) };
            push(rows, first, (offset, dictionary.number(rule)));
            if is_last {
                return Ok(());
            }
        }
    }
}

/// Appends a row to those from `first` on, so that addresses grow and rules change from row to row.
pub(super) fn push(rows: &mut Vec<Row>, first: usize, row: Row) {
    if rows.len() > first && rows.last().is_some_and(|last| last.0 == row.0) {
        rows.pop();
    }
    if rows.len() > first && rows.last().is_some_and(|last| last.1 == row.1) {
        return;
    }
    rows.push(row);
}

/// The CIEs of a section by offset. One that cannot be used is left out, and with it the functions that are based on it.
fn common_entries<'a, S: UnwindSection<Slice<'a>>>(
    entries: Entries<'_>,
    frames: &S,
    bases: &BaseAddresses,
) -> CommonEntries<'a> {
    let offsets = entries.filter_map(|entry| if let Entry::Common(at) = entry { Some(at) } else { None });
    offsets
        .filter_map(|at| Some((at, frames.cie_from_offset(bases, at.into()).ok()?)))
        .filter(|(_, common)| common.entry_len() <= MAX_COMMON_LENGTH)
        .collect()
}

/// A number of rows; there are fewer than 2^32, see [`Budget`].
fn narrow(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
