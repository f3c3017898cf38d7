//! Names of snapshot files: numbered ones beside the file of `-o`, and those that nobody has named.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::report::timestamp;

/// What memtrace's snapshot files end with.
const SUFFIX: &str = ".pb.gz";

/// Names like `name-000001.pb.gz`, in order, for a file `name.pb.gz`.
#[derive(Debug)]
pub struct Numbered {
    directory: PathBuf,
    stem: String,
    suffix: String,
    next: u64,
    keep: Option<usize>,
    /// Files that were written and may be removed, the oldest first.
    written: VecDeque<PathBuf>,
}

impl Numbered {
    /// Names beside `file`. The first number is above all that are there, so that no file of an earlier run is replaced.
    #[must_use]
    pub fn beside(file: &Path, keep: Option<usize>) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (stem, suffix) = split(&name);
        let (stem, suffix) = (stem.to_owned(), suffix.to_owned());
        let directory = file.parent().map(Path::to_owned).unwrap_or_default();
        let taken = fs::read_dir(directory_of(file)).into_iter().flatten().filter_map(|entry| {
            let name = entry.ok()?.file_name();
            number_in(name.to_str()?, &stem, &suffix)
        });
        let next = taken.max().unwrap_or(0).saturating_add(1);
        Self { directory, stem, suffix, next, keep, written: VecDeque::new() }
    }

    /// The next name.
    pub fn next(&mut self) -> PathBuf {
        let name = format!("{}-{:06}{}", self.stem, self.next, self.suffix);
        self.next += 1;
        self.directory.join(name)
    }

    /// A file has been written: removes the oldest that are too many.
    pub fn written(&mut self, file: PathBuf) {
        let Some(keep) = self.keep else { return };
        self.written.push_back(file);
        while self.written.len() > keep {
            let Some(oldest) = self.written.pop_front() else { return };
            match fs::remove_file(&oldest) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::warn!("{} is not removed: {error}", oldest.display());
                }
                _ => {}
            }
        }
    }
}

/// The directory that a file is to be in.
#[must_use]
pub fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A name that says what is in it, for a file in the current directory: `memtrace-4711-20261122-141842.pb.gz`.
#[must_use]
pub fn default_name(pid: u32, now: SystemTime) -> PathBuf {
    let digits: String = timestamp::utc(now).chars().filter(char::is_ascii_digit).collect();
    let (date, time) = digits.split_at(digits.len().min(8));
    let name = |count: u32| match count {
        0 => OsString::from(format!("memtrace-{pid}-{date}-{time}{SUFFIX}")),
        _ => OsString::from(format!("memtrace-{pid}-{date}-{time}-{}{SUFFIX}", count + 1)),
    };
    (0..1000).map(|count| PathBuf::from(name(count))).find(|path| !path.exists()).unwrap_or_else(|| name(0).into())
}

/// A name before and behind the place of a number.
fn split(name: &str) -> (&str, &str) {
    let at = if name.len() > SUFFIX.len() && name.ends_with(SUFFIX) {
        name.len() - SUFFIX.len()
    } else {
        name.rfind('.').filter(|at| *at > 0).unwrap_or(name.len())
    };
    name.split_at(at)
}

fn number_in(name: &str, stem: &str, suffix: &str) -> Option<u64> {
    let number = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(suffix)?;
    (number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Numbers stand before the ending, and go on behind what is there.
    #[test]
    fn numbers_stand_before_the_ending() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = |file: &str| {
            let path = Numbered::beside(&directory.path().join(file), None).next();
            path.file_name().expect("a name").to_str().expect("UTF-8").to_owned()
        };
        assert_eq!(first("heap.pb.gz"), "heap-000001.pb.gz");
        assert_eq!(first("heap.prof"), "heap-000001.prof");
        assert_eq!(first(".hidden"), ".hidden-000001");
        for name in ["heap-000007.pb.gz", "heap-000009.prof", "heap-00008.pb.gz", "other-000099.pb.gz"] {
            fs::write(directory.path().join(name), "").expect("a file");
        }
        assert_eq!(first("heap.pb.gz"), "heap-000008.pb.gz");
    }

    /// Of the files that were written the newest are kept; others are left alone.
    #[test]
    fn the_newest_are_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let foreign = directory.path().join("heap-000001.pb.gz");
        fs::write(&foreign, "").expect("a file");
        let mut numbered = Numbered::beside(&directory.path().join("heap.pb.gz"), Some(2));
        let written: Vec<PathBuf> = (0..4).map(|_| numbered.next()).collect();
        for path in &written {
            fs::write(path, "").expect("a file");
            numbered.written(path.clone());
        }
        assert_eq!(written.iter().map(|path| path.exists()).collect::<Vec<_>>(), [false, false, true, true]);
        assert!(foreign.exists());
    }

    /// A file without a name is named by process and time.
    #[test]
    fn default_names_tell_process_and_time() {
        let time = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        assert_eq!(default_name(7, time), Path::new("memtrace-7-20260921-141320.pb.gz"));
    }
}
