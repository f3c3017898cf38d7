//! Memory of a process that no file stands behind, as `/proc/PID/maps` tells it.

use std::{io, os::unix::ffi::OsStrExt as _};

use super::{maps_line::MapsLine, proc_dir::ProcDir};

/// A range of anonymous memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnonymousRange {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// It may be read, written or executed; otherwise the addresses are only reserved.
    pub accessible: bool,
    /// It is the heap segment, which brk(2) moves the end of.
    pub heap: bool,
}

/// The anonymous memory of the process with this id, by address.
///
/// # Errors
/// When the process has ended or may not be read.
pub fn anonymous_memory(pid: u32) -> io::Result<Vec<AnonymousRange>> {
    anonymous_ranges(&ProcDir::open(pid)?)
}

/// What the process has of it, by address: private memory, and memory that it shares with its children. The main thread's
/// stack, which grows by itself, and what the kernel maps for itself are not among it.
///
/// # Errors
/// When the process has ended or may not be read.
pub fn anonymous_ranges(directory: &ProcDir) -> io::Result<Vec<AnonymousRange>> {
    let maps = directory.read("maps")?;
    Ok(maps.split(|byte| *byte == b'\n').filter_map(range_of).collect())
}

fn range_of(line: &[u8]) -> Option<AnonymousRange> {
    let parsed = MapsLine::parse(line)?;
    let name = parsed.name.as_bytes();
    let is_anonymous = match name {
        b"" | b"[heap]" => parsed.inode == 0,
        // Names that a program gives by prctl(2).
        _ if name.starts_with(b"[anon") => true,
        // MAP_SHARED and MAP_HUGETLB.
        b"/dev/zero (deleted)" | b"/anon_hugepage (deleted)" => true,
        _ => false,
    };
    let permissions = line.split(|byte| *byte == b' ').nth(1)?;
    is_anonymous.then(|| AnonymousRange {
        start: parsed.start,
        end: parsed.end,
        accessible: permissions.iter().take(3).any(|letter| *letter != b'-'),
        heap: name == b"[heap]",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory without a file is told from files, from the stack and from what the kernel maps.
    #[test]
    fn anonymous_memory_is_known() {
        let range = |line: &str| range_of(line.as_bytes()).map(|range| (range.accessible, range.heap));
        assert_eq!(range("1000-2000 rw-p 00000000 00:00 0 "), Some((true, false)));
        assert_eq!(range("1000-2000 ---p 00000000 00:00 0 "), Some((false, false)));
        assert_eq!(range("1000-2000 rw-p 00000000 00:00 0                          [heap]"), Some((true, true)));
        assert_eq!(range("1000-2000 rw-p 00000000 00:00 0   [anon: glibc: pthread stack: 7]"), Some((true, false)));
        assert_eq!(range("1000-2000 rw-s 00000000 00:01 6   /dev/zero (deleted)"), Some((true, false)));
        for other in ["[stack]", "[vdso]", "[uprobes]", "/dev/zero", "/usr/lib/libc.so.6"] {
            assert_eq!(range(&format!("1000-2000 rw-p 00000000 00:00 9   {other}")), None, "{other}");
        }
        assert_eq!(range(""), None);
    }
}
