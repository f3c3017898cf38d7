//! The text of a line of source, when the file is at hand: as `tracemalloc` shows it below a line.
//!
//! Paths come from untrusted files. So only regular files are read, up to a bound, and, where memtrace runs as root, none
//! that other users may not read: a profile must not make a report show what is secret.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

use super::escape::escape;
use crate::profile::Place;

/// Most bytes of a file that are read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Most characters of a line that are shown.
const MAX_LINE_CHARS: usize = 200;

/// Most lines that are remembered of a file that many places are in.
const MAX_READS: usize = 1_000;

/// Reads lines and remembers them.
#[derive(Debug, Default)]
pub struct SourceTexts {
    known: HashMap<(Arc<str>, u32), Option<String>>,
}

impl SourceTexts {
    /// The line's text without its indentation, escaped; `None` when there is no such line at hand, or it is empty.
    pub fn of(&mut self, place: &Place) -> Option<String> {
        let file = place.file.as_ref().filter(|_| place.line > 0)?;
        let key = (Arc::clone(file), place.line);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        if self.known.len() >= MAX_READS {
            return None;
        }
        let text = read_line(Path::new(&**file), place.line);
        self.known.insert(key, text.clone());
        text
    }
}

fn read_line(path: &Path, line: u32) -> Option<String> {
    let file = open(path)?;
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let bytes = BufReader::new(file.take(MAX_FILE_BYTES)).split(b'\n').nth(index)?.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    let shown: String = text.chars().take(MAX_LINE_CHARS).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    (!shown.is_empty()).then(|| format!("{}{more}", escape(&shown)))
}

/// Never waits: opening a pipe or a device does not.
fn open(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let is_secret = metadata.mode() & 0o004 == 0 && nix::unistd::geteuid().is_root();
    (metadata.is_file() && !is_secret).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn at(path: &Path, line: u32) -> Place {
        Place { file: Some(path.to_string_lossy().into()), line, ..Place::default() }
    }

    /// A line comes without its indentation and harmless, a missing one not at all.
    #[test]
    fn lines_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.c");
        std::fs::write(&path, "int main() {\n    f(\u{1b}[2J);\n\n}\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("made readable");
        let mut texts = SourceTexts::default();
        assert_eq!(texts.of(&at(&path, 2)).as_deref(), Some(r"f(\x1b[2J);"));
        for line in [0, 3, 5, u32::MAX] {
            assert_eq!(texts.of(&at(&path, line)), None);
        }
        assert_eq!(texts.of(&at(directory.path(), 1)), None);
    }

    /// Pipes and devices are not read, nor waited for.
    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for path in [&*pipe, Path::new("/dev/zero"), Path::new("/none")] {
            assert_eq!(SourceTexts::default().of(&at(path, 1)), None);
        }
    }

    /// A file that only root may read is not shown to whoever reads root's report.
    #[test]
    fn secrets_are_not_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        std::fs::write(&path, "root:x\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("made secret");
        let shown = SourceTexts::default().of(&at(&path, 1));
        assert_eq!(shown.is_some(), !nix::unistd::geteuid().is_root());
    }
}
