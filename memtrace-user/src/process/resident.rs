//! The processes of this machine, and what they can be selected by.

use std::{collections::HashSet, fs, hash::BuildHasher};

use super::{
    control_group::ControlGroups,
    maps_line::MapsLine,
    proc_dir::{ProcDir, StatLine},
    target::page_size,
};

/// `PF_KTHREAD` in include/linux/sched.h: a kernel thread, which has no memory of its own.
const PF_KTHREAD: u64 = 0x0020_0000;

/// What is known of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name that the kernel has for it (`comm`), at most 15 bytes. Not escaped for a terminal.
    pub name: String,
    /// Its real user.
    pub user: u32,
    /// Its control groups.
    pub groups: ControlGroups,
}

impl Identity {
    /// Of a process by its id; `None` when it is gone, or about to go, or has no memory of its own.
    #[must_use]
    pub fn of_pid(pid: u32) -> Option<Self> {
        let directory = ProcDir::open(pid).ok()?;
        if !runs(&directory) {
            return None;
        }
        let user = *directory.status_numbers("Uid").ok()??.first()?;
        let name = directory.read("comm").ok()?;
        let name = String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned();
        let groups = ControlGroups::parse(&directory.read("cgroup").unwrap_or_default());
        Some(Self { name, user, groups })
    }
}

/// Whether a process runs, and has memory of its own.
#[must_use]
pub fn is_running(pid: u32) -> bool {
    ProcDir::open(pid).is_ok_and(|directory| runs(&directory))
}

fn runs(directory: &ProcDir) -> bool {
    let is_dead = |stat: &StatLine| matches!(stat.state, b'Z' | b'X' | b'x') && stat.threads <= 1;
    directory.stat().is_ok_and(|stat| stat.flags & PF_KTHREAD == 0 && !is_dead(&stat))
}

/// The command line of a process, its arguments joined by spaces; `None` when it has none, or is gone.
#[must_use]
pub fn command_of(pid: u32) -> Option<String> {
    ProcDir::open(pid).ok()?.arguments().ok()?
}

/// Resident memory of a process in bytes; `None` when it is gone.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    ProcDir::open(pid).ok()?.resident_pages().ok().map(|pages| pages * page_size())
}

/// The name of a user, or the number where nobody has it.
#[must_use]
pub fn user_name(user: u32) -> String {
    let found = nix::unistd::User::from_uid(user.into()).ok().flatten();
    found.map_or_else(|| user.to_string(), |found| found.name)
}

/// Ids of all processes, kernel threads among them.
#[must_use]
pub fn all_processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process maps code of one of these files, by device and inode as `/proc/PID/maps` states them.
#[must_use]
pub fn maps_any(pid: u32, files: &HashSet<(u64, u64), impl BuildHasher>) -> bool {
    let maps = ProcDir::open(pid).and_then(|directory| directory.read("maps")).unwrap_or_default();
    let mut lines = maps.split(|byte| *byte == b'\n').filter(|line| MapsLine::is_executable(line));
    lines.any(|line| MapsLine::parse(line).is_some_and(|line| files.contains(&(line.device, line.inode))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This process is found among all, with its name, user and files; kernel threads and nobody have no identity.
    #[test]
    fn this_process_is_found() {
        let own = std::process::id();
        assert!(all_processes().contains(&own));
        let identity = Identity::of_pid(own).expect("this process runs");
        let name = fs::read_to_string("/proc/self/comm").expect("a name");
        assert_eq!((identity.name, identity.user), (name.trim_end().to_owned(), nix::unistd::getuid().as_raw()));
        let first = fs::read("/proc/self/maps").expect("its own mappings");
        let line = first.split(|byte| *byte == b'\n').find(|line| MapsLine::is_executable(line)).expect("code");
        let line = MapsLine::parse(line).expect("a line");
        assert!(maps_any(own, &HashSet::from([(line.device, line.inode)])));
        assert!(!maps_any(own, &HashSet::from([(1, 1)])));
        assert!(is_running(own) && !is_running(u32::MAX));
        assert_eq!(Identity::of_pid(u32::MAX), None);
    }
}
