//! How much memory memtrace may still take: of the machine, and of the control groups that it runs in, which it may share
//! with the process that it traces.

use std::{fs, path::Path};

use procfs::{Current as _, Meminfo, process::Process};

/// What memtrace takes itself, to begin with, in bytes (docs/overhead.md).
pub const OWN_MEMORY: u64 = 150 << 20;

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// What a hierarchy has of each group.
struct Hierarchy {
    /// Where it is mounted, below [`MOUNT`].
    directory: &'static str,
    /// File of the most bytes that the group may take; no number where there is no bound.
    limit: &'static str,
    /// File of the bytes that it takes, of files in memory, too.
    usage: &'static str,
    /// The line of `memory.stat` that counts what is given back for the asking.
    reclaimable: &'static str,
}

/// <https://docs.kernel.org/admin-guide/cgroup-v2.html>
const VERSION_2: Hierarchy =
    Hierarchy { directory: "", limit: "memory.max", usage: "memory.current", reclaimable: "inactive_file" };

/// <https://docs.kernel.org/admin-guide/cgroup-v1/memory.html>
const VERSION_1: Hierarchy = Hierarchy {
    directory: "memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

/// Bytes that can be had without another having to give some up: what the kernel takes to be available, or less where a
/// control group allows less. `None` when nobody says.
#[must_use]
pub fn available_memory() -> Option<u64> {
    let of_machine = Meminfo::current().ok().and_then(|memory| memory.mem_available);
    of_machine.into_iter().chain(rooms_of_groups()).min()
}

/// What is left in the control groups of this process that have a bound.
fn rooms_of_groups() -> Vec<u64> {
    let groups = Process::myself().and_then(|process| process.cgroups()).map(|groups| groups.0).unwrap_or_default();
    let rooms = groups.iter().flat_map(|group| {
        let hierarchy = match group.hierarchy {
            0 => &VERSION_2,
            _ if group.controllers.iter().any(|controller| controller == "memory") => &VERSION_1,
            _ => return Vec::new(),
        };
        hierarchy.rooms(&Path::new(MOUNT).join(hierarchy.directory), &group.pathname)
    });
    rooms.collect()
}

impl Hierarchy {
    /// What is left in a group, and in those above it.
    fn rooms(&self, mount: &Path, group: &str) -> Vec<u64> {
        let groups = Path::new(group.trim_start_matches('/')).ancestors();
        groups.filter_map(|group| self.room(&mount.join(group))).collect()
    }

    fn room(&self, group: &Path) -> Option<u64> {
        let read = |file: &str| fs::read_to_string(group.join(file)).ok();
        let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
        let used = number(self.usage)?;
        let statistics = read("memory.stat").unwrap_or_default();
        let mut lines = statistics.lines().filter_map(|line| line.split_once(' '));
        let reclaimable = lines.find(|(name, _)| *name == self.reclaimable).and_then(|(_, bytes)| bytes.parse().ok());
        Some(number(self.limit)?.saturating_sub(used.saturating_sub(reclaimable.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This machine has some memory.
    #[test]
    fn memory_is_available() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    /// What a group has left is its bound less what it takes, but for files; one without a bound does not count, those
    /// above it do.
    #[test]
    fn groups_bound_what_is_available() {
        let mount = tempfile::tempdir().expect("a directory");
        let group = mount.path().join("pod/container");
        fs::create_dir_all(&group).expect("directories");
        let write = |path: &Path, [limit, usage, files]: [&str; 3]| {
            fs::write(path.join("memory.max"), limit).expect("written");
            fs::write(path.join("memory.current"), usage).expect("written");
            fs::write(path.join("memory.stat"), format!("anon 5\ninactive_file {files}\n")).expect("written");
        };
        let rooms = || VERSION_2.rooms(mount.path(), "/pod/container");
        assert!(rooms().is_empty());
        write(&group, ["max\n", "900\n", "100"]);
        assert!(rooms().is_empty());
        write(&group.join(".."), ["1000\n", "900\n", "100"]);
        assert_eq!(rooms(), [200]);
        write(&group, ["500\n", "900\n", "0"]);
        assert_eq!(rooms(), [0, 200]);
        assert!(VERSION_1.rooms(mount.path(), "/pod/container").is_empty());
    }
}
