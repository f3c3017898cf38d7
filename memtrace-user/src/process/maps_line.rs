//! Reads lines of `/proc/PID/maps` (`proc_pid_maps(5)`).
//!
//! Bytes, not text: a mapped file may have any name. The kernel writes a newline in a name as `\012` and leaves a
//! backslash as it is, so a name that holds `\012` literally cannot be told apart; the inode is checked when the file
//! is opened, so the worst case is a file that cannot be opened.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
};

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapsLine {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Offset in the file of the first address, in bytes.
    pub offset: u64,
    /// Device of the file.
    pub device: libc::dev_t,
    /// Inode number on that device; 0 when no file is mapped.
    pub inode: u64,
    /// Path or pseudo name as `[vdso]`; empty for anonymous memory.
    pub name: OsString,
}

/// What the kernel appends to the name of a file that has been unlinked.
const DELETED: &[u8] = b" (deleted)";

impl MapsLine {
    /// Whether a line is of code. Most are not, and need no parsing.
    pub fn is_executable(line: &[u8]) -> bool {
        let permissions = line.iter().position(|byte| *byte == b' ').map(|at| at + 1);
        permissions.is_some_and(|at| line.get(at + 2) == Some(&b'x'))
    }

    /// Parses one line without its newline; `None` when it is not of the documented form.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let (start, end) = split_hex(fields.next()?, b'-')?;
        fields.next()?;
        let offset = hex(fields.next()?)?;
        let (major, minor) = split_hex(fields.next()?, b':')?;
        let inode = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        // Names are aligned in a column by spaces and begin with `/` or `[`.
        let name = fields.next().unwrap_or_default();
        let name = &name[name.iter().position(|byte| *byte != b' ').unwrap_or(name.len())..];
        Some(Self {
            start,
            end,
            offset,
            device: libc::makedev(u32::try_from(major).ok()?, u32::try_from(minor).ok()?),
            inode,
            name: unescape(name),
        })
    }
}

/// The name without the kernel's mark for an unlinked file, and whether it was there.
pub fn without_deleted_mark(name: &OsStr) -> (&OsStr, bool) {
    name.as_bytes().strip_suffix(DELETED).map_or((name, false), |stripped| (OsStr::from_bytes(stripped), true))
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

fn split_hex(text: &[u8], separator: u8) -> Option<(u64, u64)> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((hex(&text[..at])?, hex(&text[at + 1..])?))
}

fn unescape(mut name: &[u8]) -> OsString {
    const NEWLINE: &[u8] = b"\\012";
    let mut plain = Vec::with_capacity(name.len());
    while let Some((first, rest)) = name.split_first() {
        let (byte, rest) = name.strip_prefix(NEWLINE).map_or((*first, rest), |rest| (b'\n', rest));
        plain.push(byte);
        name = rest;
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Option<MapsLine> {
        MapsLine::parse(line.as_bytes())
    }

    /// Spaces, an escaped newline and the mark of an unlinked file are part of the name.
    #[test]
    fn odd_names_survive() {
        let line = "7f1b2000-7f1b4000 r-xp 00001000 fd:02 123456                     /tmp/a\\012b  c.so (deleted)";
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.name, "/tmp/a\nb  c.so (deleted)");
        assert_eq!(without_deleted_mark(&parsed.name), (OsStr::new("/tmp/a\nb  c.so"), true));
        assert_eq!(
            (parsed.start, parsed.end, parsed.offset, parsed.inode),
            (0x7f1b_2000, 0x7f1b_4000, 0x1000, 123_456)
        );
        assert_eq!(parsed.device, libc::makedev(0xfd, 2));
        assert!(MapsLine::is_executable(line.as_bytes()));
    }

    /// A System V segment with a short name has made other parsers panic.
    #[test]
    fn pseudo_and_short_names_are_plain_names() {
        for name in ["/SYSV", "[vdso]", "[anon: JIT]", "[", ""] {
            let line = format!("1000-2000 rw-s 00000000 00:01 0 {name}");
            assert_eq!(parse(&line).unwrap().name, name);
        }
        assert_eq!(parse("1000-2000 rw-p 00000000 00:00 0").unwrap().name, "");
    }

    proptest! {
        /// Whatever stands in the file, parsing ends without a panic.
        #[test]
        fn arbitrary_lines_do_not_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = MapsLine::parse(&line);
        }
    }

    /// Every line of this process's own map is understood.
    #[test]
    fn own_map_is_understood() {
        let maps = std::fs::read("/proc/self/maps").unwrap();
        for line in maps.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            assert!(MapsLine::parse(line).is_some(), "{}", String::from_utf8_lossy(line));
        }
    }
}
