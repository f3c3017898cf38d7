//! Names of code that a process compiled at run time, from the map that it writes for perf: `/tmp/perf-PID.map`, a line
//! a function, `START SIZE NAME` with numbers in hexadecimal (tools/perf/Documentation/jit-interface.txt in Linux). Node
//! writes it with `--perf-basic-prof`, Python 3.12 with `-X perf`, Java 17 by `jcmd PID Compiler.perfmap`.
//!
//! The file lies where the process sees `/tmp`, under the id that it has in its own namespace. It is untrusted: it must be
//! a regular file that belongs to the process's user or to root and was written since the process began; what is read of
//! it is bounded.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::fcntl::OFlag;

use super::{code_names::CodeNames, proc_dir::ProcDir};

/// Bytes read at once.
const AT_ONCE: usize = 4 << 20;
/// Bytes read of all.
const MAX_BYTES: u64 = 128 << 20;
/// Bytes of a line; longer ones are passed over.
const MAX_LINE: usize = 4096;
/// A file may have been written so long before its process began: clocks of file systems are coarse.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// The map of one process, read on as it grows.
#[derive(Debug)]
pub struct PerfMap {
    directory: ProcDir,
    name: PathBuf,
    /// User of the process.
    user: u32,
    not_before: SystemTime,
    file: Option<File>,
    /// Bytes of the file that have been read.
    read: u64,
    /// Bytes read of all files.
    total: u64,
    /// The beginning of a line whose end has not been written yet.
    rest: Vec<u8>,
    names: CodeNames,
}

impl PerfMap {
    /// The map of a process; there may never be one. Only one written after `not_before` counts.
    pub(super) fn new(directory: ProcDir, pid: u32, not_before: SystemTime) -> Self {
        let last = |key| directory.status_numbers(key).ok().flatten().and_then(|ids| ids.last().copied());
        let own_pid = last("NSpid").unwrap_or(pid);
        let user = last("Uid").unwrap_or(0);
        let name = PathBuf::from(format!("tmp/perf-{own_pid}.map"));
        let (names, rest) = Default::default();
        Self { directory, name, user, not_before, file: None, read: 0, total: 0, rest, names }
    }

    /// Reads what has been written since the last time; returns whether there is more to know.
    pub fn update(&mut self) -> bool {
        self.reopen();
        let Some(file) = &self.file else { return false };
        let Ok(length) = file.metadata().map(|metadata| metadata.len()) else { return false };
        if length < self.read {
            // Written anew.
            self.read = 0;
            self.rest.clear();
        }
        let wanted = (length - self.read).min(MAX_BYTES.saturating_sub(self.total)).min(AT_ONCE as u64);
        let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(0)];
        let Ok(count) = file.read_at(&mut bytes, self.read) else { return false };
        self.read += count as u64;
        self.total += count as u64;
        self.take_in(&bytes[..count])
    }

    /// Names by address.
    #[must_use]
    pub const fn names(&self) -> &CodeNames {
        &self.names
    }

    /// Looks whether there is a file, and whether it is another than before. When the process has ended, the file that was
    /// open stays.
    fn reopen(&mut self) {
        let Ok(file) = self.open() else { return };
        let id = |file: &File| file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if self.file.as_ref().is_none_or(|old| id(old) != id(&file)) {
            self.read = 0;
            self.rest.clear();
            self.file = Some(file);
        }
    }

    /// Below the process's root directory, or memtrace's own when the process has ended.
    fn open(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY;
        let below_root = PathBuf::from("root").join(&self.name);
        let theirs = self.directory.open_file(&below_root, flags);
        let file = theirs.or_else(|error| {
            let lives = self.directory.read("maps").is_ok_and(|maps| !maps.is_empty());
            if lives { Err(error) } else { ProcDir::open(std::process::id())?.open_file(&below_root, flags) }
        })?;
        if self.is_acceptable(&file.metadata()?) { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn is_acceptable(&self, metadata: &Metadata) -> bool {
        let written = u64::try_from(metadata.mtime()).ok().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let is_fresh = written.is_some_and(|written| written + CLOCK_TOLERANCE >= self.not_before);
        metadata.is_file() && [0, self.user].contains(&metadata.uid()) && is_fresh
    }

    /// Takes in complete lines.
    fn take_in(&mut self, bytes: &[u8]) -> bool {
        let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            if self.rest.len() < MAX_LINE {
                self.rest.extend_from_slice(bytes);
            }
            return false;
        };
        let lines = [std::mem::take(&mut self.rest).as_slice(), &bytes[..last]].concat();
        self.rest = bytes[last + 1..].to_vec();
        let mut has_new = false;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| line.len() <= MAX_LINE) {
            if let Some((start, size, name)) = parse(line) {
                has_new |= self.names.add(start, size, &name);
            }
        }
        has_new
    }
}

/// Start, size and name of a line.
fn parse(line: &[u8]) -> Option<(u64, u64, String)> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.trim_end().splitn(3, ' ');
    let mut hex = || {
        let field = fields.next()?;
        u64::from_str_radix(field.strip_prefix("0x").unwrap_or(field), 16).ok()
    };
    let (start, size) = (hex()?, hex()?);
    let name = fields.next()?.trim();
    (size > 0 && !name.is_empty()).then(|| (start, size, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    /// The map of this process in a directory that stands for its root.
    fn map(root: &std::path::Path) -> PerfMap {
        let own = ProcDir::open(std::process::id()).expect("own directory");
        let mut map = PerfMap::new(own, std::process::id(), UNIX_EPOCH);
        // Joined to `root`, which is the machine's: an absolute path would replace it, a relative one goes on from it.
        map.name = root.strip_prefix("/").expect("absolute").join("perf.map");
        map
    }

    fn found(map: &PerfMap, address: u64) -> Option<String> {
        map.names().find(address).map(|(_, name)| name.to_string())
    }

    /// Lines are taken in as they are written, those that make no sense are passed over, and half a line waits for its end.
    #[test]
    fn lines_are_read_as_they_come() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut map = map(directory.path());
        assert!(!map.update(), "no file");
        let mut file = File::create(directory.path().join("perf.map")).expect("a file");
        file.write_all(b"1000 20 LazyCompile:*f /a b.js:1:2\nnonsense\n0x2000 0x10 py::g:/m.py\n3000 1")
            .expect("written");
        assert!(map.update());
        assert_eq!(found(&map, 0x101f).as_deref(), Some("LazyCompile:*f /a b.js:1:2"));
        assert_eq!(found(&map, 0x2000).as_deref(), Some("py::g:/m.py"));
        assert_eq!((found(&map, 0x1020), found(&map, 0x3000)), (None, None));
        assert!(!map.update(), "nothing has been written");
        file.write_all(b"0 h\n").expect("written");
        assert!(map.update());
        assert_eq!(found(&map, 0x300f).as_deref(), Some("h"));
    }

    /// A file that is written anew, under its name or in its place, is read from its beginning; older names stay.
    #[test]
    fn rewritten_files_are_read_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut map = map(directory.path());
        let path = directory.path().join("perf.map");
        fs::write(&path, "1000 10 first\n2000 10 stays\n").expect("written");
        assert!(map.update());
        fs::write(&path, "1000 10 second\n").expect("written");
        assert!(map.update());
        assert_eq!(found(&map, 0x1000).as_deref(), Some("second"));
        fs::write(directory.path().join("next"), "1000 10 third\n").expect("written");
        fs::rename(directory.path().join("next"), &path).expect("renamed");
        assert!(map.update());
        assert_eq!(found(&map, 0x1000).as_deref(), Some("third"));
        assert_eq!(found(&map, 0x2000).as_deref(), Some("stays"));
    }

    /// A symbolic link, a fifo and a file from before the process began are not read.
    #[test]
    fn other_files_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("perf.map");
        let mut map = map(directory.path());
        fs::write(directory.path().join("other"), "1000 10 f\n").expect("written");
        std::os::unix::fs::symlink("other", &path).expect("a link");
        assert!(!map.update());
        fs::remove_file(&path).expect("removed");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).expect("a fifo");
        assert!(!map.update());
        fs::remove_file(&path).expect("removed");
        fs::rename(directory.path().join("other"), &path).expect("renamed");
        map.not_before = SystemTime::now() + Duration::from_hours(1);
        assert!(!map.update());
        map.not_before = UNIX_EPOCH;
        assert!(map.update());
    }

    /// A line that never ends takes no memory without bound.
    #[test]
    fn long_lines_are_passed_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut map = map(directory.path());
        let mut content = vec![b'x'; 3 * AT_ONCE];
        content.extend_from_slice(b"\n1000 10 f\n");
        fs::write(directory.path().join("perf.map"), content).expect("written");
        for _ in 0..4 {
            map.update();
            assert!(map.rest.len() <= AT_ONCE + MAX_LINE);
        }
        assert_eq!(found(&map, 0x1000).as_deref(), Some("f"));
    }
}
