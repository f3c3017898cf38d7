//! One process's directory in `/proc`, held open: what is read through it belongs to that process or fails with
//! `ESRCH`, even when its id has been given to another process since.
//!
//! The parsers work on bytes. Names of threads and files are whatever a program chose, cut at 15 bytes in the middle
//! of a character if need be, so text that must be UTF-8 would make a process unreadable.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};

/// An open `/proc/PID`; `None` of a process that was gone before it could be opened, where every file is missing.
#[derive(Debug)]
pub struct ProcDir(Option<OwnedFd>);

/// The fields of `/proc/PID/stat` that are used here (`proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatLine {
    /// One letter; `Z` is a zombie, `X` is dead.
    pub state: u8,
    /// The kernel's `PF_*` flags of the task.
    pub flags: u64,
    /// Threads in the process.
    pub threads: u64,
    /// Start in clock ticks since boot; with the pid it names a process for as long as the machine runs.
    pub start_time: u64,
}

/// Longest file that is read at once, in bytes.
const READ_AT_ONCE: usize = 8192;

impl ProcDir {
    /// Opens `/proc/PID`, where PID may be a thread's id too.
    pub fn open(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}");
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(Some(open(path.as_str(), flags, Mode::empty())?)))
    }

    /// The same, of a process that may be gone.
    pub fn open_or_gone(pid: u32) -> Self {
        Self::open(pid).unwrap_or(Self(None))
    }

    /// Opens a file below the directory.
    pub fn open_file(&self, path: &Path, flags: OFlag) -> io::Result<File> {
        let directory = self.0.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
        Ok(openat(directory, path, flags | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    /// Reads a whole file below the directory: at once if it is short, as that of a process which ends would break off.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut content = Vec::with_capacity(READ_AT_ONCE);
        self.open_file(Path::new(name), OFlag::O_RDONLY)?.read_to_end(&mut content)?;
        Ok(content)
    }

    /// Reads `stat`.
    pub fn stat(&self) -> io::Result<StatLine> {
        parse_stat(&self.read("stat")?).ok_or_else(|| malformed("stat"))
    }

    /// Reads `status`.
    pub fn status(&self) -> io::Result<Vec<u8>> {
        self.read("status")
    }

    /// The numbers after a key of `status`, as `Tgid` or `NSpid`; `None` where the kernel has no such key.
    pub fn status_numbers(&self, key: &str) -> io::Result<Option<Vec<u32>>> {
        Ok(parse_status_numbers(&self.read("status")?, key))
    }

    /// Resident set size in pages, from `statm`.
    pub fn resident_pages(&self) -> io::Result<u64> {
        let statm = self.read("statm")?;
        numbers(&statm).nth(1).flatten().ok_or_else(|| malformed("statm"))
    }

    /// The command line with its arguments joined by spaces, or `[name]` where there is none.
    pub fn command_line(&self) -> io::Result<String> {
        if let Some(arguments) = self.arguments()? {
            return Ok(arguments);
        }
        let name = self.read("comm")?;
        Ok(format!("[{}]", String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name))))
    }

    /// The arguments, joined by spaces; `None` when there are none any more (the process is about to exit) or yet.
    pub fn arguments(&self) -> io::Result<Option<String>> {
        let cmdline = self.read("cmdline")?;
        let arguments = cmdline.strip_suffix(&[0]).unwrap_or(&cmdline);
        if arguments.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let joined: Vec<u8> = arguments.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
        Ok(Some(String::from_utf8_lossy(&joined).trim_end().to_owned()))
    }

    /// A second handle on the same directory.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.as_ref().map(OwnedFd::try_clone).transpose().map(Self)
    }

    /// Its descriptor.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}

/// Appends an absolute path to a directory, as `root` + `/usr/lib/x` = `root/usr/lib/x`; [`Path::join`] would
/// replace the directory.
pub fn below(directory: &str, absolute: &OsStr) -> PathBuf {
    let mut path = directory.as_bytes().to_vec();
    path.extend_from_slice(absolute.as_bytes());
    PathBuf::from(OsStr::from_bytes(&path))
}

fn malformed(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected content of /proc/PID/{name}"))
}

fn numbers(text: &[u8]) -> impl Iterator<Item = Option<u64>> + '_ {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| str::from_utf8(word).ok()?.parse().ok())
}

/// The name stands in parentheses and may itself hold parentheses and spaces, so fields are counted from the last one.
pub fn parse_stat(stat: &[u8]) -> Option<StatLine> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields: Vec<&[u8]> = stat.get(name_end + 2..)?.split(u8::is_ascii_whitespace).collect();
    // The field after the name is number 3 in proc_pid_stat(5).
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |index: usize| str::from_utf8(field(index)?).ok()?.parse().ok();
    Some(StatLine { state: *field(3)?.first()?, flags: number(9)?, threads: number(20)?, start_time: number(22)? })
}

/// The name in a `stat`.
pub fn parse_name(stat: &[u8]) -> Option<&[u8]> {
    let start = stat.iter().position(|byte| *byte == b'(')? + 1;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    stat.get(start..end)
}

fn parse_status_numbers(status: &[u8], key: &str) -> Option<Vec<u32>> {
    let line =
        status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
    numbers(line).map(|number| u32::try_from(number?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process may name itself so that its name looks like the rest of the line.
    #[test]
    fn stat_is_read_after_the_last_parenthesis() {
        let stat = b"7 (a) Z 1 (b \xe4) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 3 0 5432 0 0\n";
        let expected = StatLine { state: b'S', flags: 4_194_560, threads: 3, start_time: 5432 };
        assert_eq!(parse_stat(stat), Some(expected));
        assert_eq!(parse_name(stat), Some(&b"a) Z 1 (b \xe4"[..]));
        assert_eq!((parse_name(b")("), parse_name(b"7 (a")), (None, None));
    }

    /// A line that is cut short is an error and no panic.
    #[test]
    fn short_stat_is_refused() {
        for stat in ["", "7", "7 (a)", "7 (a) ", "7 (a) S 1 2"] {
            assert_eq!(parse_stat(stat.as_bytes()), None, "{stat:?}");
        }
    }

    /// Keys match whole, so that `Pid` is not read from `PPid` and a hostile name cannot pose as a key.
    #[test]
    fn status_key_is_matched_whole() {
        let status = b"Name:\t\xe4\\nTgid:\t1\nTgid:\t42\nPid:\t43\nNSpid:\t43\t7\n";
        assert_eq!(parse_status_numbers(status, "Tgid"), Some(vec![42]));
        assert_eq!(parse_status_numbers(status, "Pid"), Some(vec![43]));
        assert_eq!(parse_status_numbers(status, "NSpid"), Some(vec![43, 7]));
        assert_eq!(parse_status_numbers(status, "NSt"), None);
    }

    /// Arguments are joined by spaces; this test's own process has some.
    #[test]
    fn command_line_of_this_process_is_found() {
        let directory = ProcDir::open(std::process::id()).unwrap();
        let first = std::env::args().next().unwrap();
        assert!(directory.command_line().unwrap().starts_with(&first));
    }
}
