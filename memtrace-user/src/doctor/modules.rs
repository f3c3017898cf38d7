//! The files of which code is mapped: what they have for names, lines and stacks.

use std::{fs::File, io};

use memtrace_common::unwind::{CHUNK_BITS, kind, rule};
use object::{Object as _, ObjectSection as _, ReadCache, read::elf::ElfFile64};

use super::finding::{Finding, Level};
use crate::{
    process::{AddressSpace, MappedFile, elf::ElfFile},
    symbolize::debug_file,
    unwind::UnwindTable,
};

/// A finding for each file.
pub fn findings(space: &AddressSpace) -> Vec<Finding> {
    space.files().iter().filter(|mapped| mapped.path.starts_with('/')).map(finding).collect()
}

fn finding(mapped: &MappedFile) -> Finding {
    let path = mapped.path.to_string();
    let Some(file) = &mapped.file else {
        let lost = "functions in it have no names, and stacks end there: run as root, or it is gone";
        return Finding::other(path, Level::Degraded, "cannot be read", lost);
    };
    let (names, lines) = (names(file), lines(file, &path));
    let stacks = stacks(file, &path);
    let found = format!("{}; {}; {}", names.0, lines.0, stacks.0);
    let lost: Vec<&str> = [names.1, lines.1, stacks.1].into_iter().flatten().collect();
    // Lines are missing almost everywhere: alone, that is no fault.
    if names.1.is_none() && stacks.1.is_none() {
        return Finding { advice: (!lost.is_empty()).then(|| lost.join("; ")), ..Finding::ok(path, found) };
    }
    Finding::other(path, Level::Degraded, found, lost.join("; "))
}

/// What was found, and what is lost.
type Part = (String, Option<&'static str>);

fn sections(file: &File) -> io::Result<Vec<String>> {
    let cache = ReadCache::new(file.try_clone()?);
    let elf = ElfFile64::<object::LittleEndian, _>::parse(&cache).map_err(io::Error::other)?;
    Ok(elf.sections().filter_map(|section| section.name().ok().map(str::to_owned)).collect())
}

fn names(file: &File) -> Part {
    let sections = sections(file).unwrap_or_default();
    let has = |name: &str| sections.iter().any(|section| section == name);
    match (has(".symtab"), has(".dynsym")) {
        (true, _) => ("all symbols".to_owned(), None),
        (false, true) => ("exported symbols".to_owned(), None),
        (false, false) => ("no symbols".to_owned(), Some("functions in it have no names")),
    }
}

fn lines(file: &File, path: &str) -> Part {
    let sections = sections(file).unwrap_or_default();
    if sections.iter().any(|section| section == ".debug_info" || section == ".zdebug_info") {
        return ("debug information".to_owned(), None);
    }
    let build_id = file.try_clone().ok().and_then(|own| ElfFile::new(own, path).ok()?.build_id().ok()?);
    let separate = build_id.is_some_and(|id| debug_file(&id).exists());
    if separate {
        return ("debug information in a file of its own".to_owned(), None);
    }
    ("no debug information".to_owned(), Some("source lines: install its debug package"))
}

fn stacks(file: &File, path: &str) -> Part {
    match UnwindTable::of(file, path) {
        Ok(Some(table)) => {
            let rows = crate::report::units::counted(u64::from(table.summary.rows), "unwind row");
            (format!("{rows}, frame pointers in {}", crate::report::units::percent(frame_pointers(&table))), None)
        }
        Ok(None) => ("no unwind rows".to_owned(), Some("stacks are followed by frame pointers in it, if it has any")),
        Err(error) => {
            (format!("unwind rows cannot be read: {error}"), Some("stacks are followed by frame pointers in it"))
        }
    }
}

/// The part of the code, looked at in so many places, in which the table finds the caller by the frame pointer: near 1
/// where the file was compiled with frame pointers, near 0 where it was not.
fn frame_pointers(table: &UnwindTable) -> f64 {
    let code = table.chunks.saturating_mul(1 << CHUNK_BITS);
    let apart = (code / PLACES).max(16) as usize;
    let (mut all, mut by_frame_pointer) = (0u64, 0u64);
    for offset in (0..code).step_by(apart) {
        match rule::kind(table.rule_at(offset)) {
            kind::NONE | kind::CHAIN => {}
            kind::FRAME_POINTER | kind::STORED | kind::FRAME_INDIRECT => {
                (all, by_frame_pointer) = (all + 1, by_frame_pointer + 1);
            }
            _ => all += 1,
        }
    }
    share(by_frame_pointer, all)
}

/// Places of a file's code that are looked at, at most.
const PLACES: u32 = 1 << 18;

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}
