//! Control groups of processes, and the containers that engines name them after.

/// Where the hierarchy of version 2 is mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Directories of version 1 whose groups are named after containers.
const ENGINES: [&str; 4] = ["docker", "lxc", "lxc.payload", "libpod_parent"];

/// What units and groups of engines are called before a container's id or name; systemd's own come last.
const PREFIXES: [&str; 9] = [
    "docker-",
    "libpod-",
    "cri-containerd-",
    "crio-",
    "containerd-",
    "nerdctl-",
    "lxc.payload.",
    "systemd-nspawn@",
    "machine-",
];

/// The groups of a process: `/proc/PID/cgroup`, a line `number:controllers:path` for each hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlGroups {
    paths: Vec<String>,
    /// There is no hierarchy but that of version 2.
    unified: bool,
}

impl ControlGroups {
    /// Reads the lines.
    #[must_use]
    pub fn parse(lines: &[u8]) -> Self {
        let text = String::from_utf8_lossy(lines);
        let parsed: Vec<_> =
            text.lines().filter_map(|line| line.splitn(3, ':').collect::<Vec<_>>().try_into().ok()).collect();
        let unified = parsed.iter().all(|[number, _, _]: &[&str; 3]| *number == "0") && !parsed.is_empty();
        let mut paths: Vec<String> = parsed.iter().map(|[_, _, path]| (*path).to_owned()).collect();
        paths.sort_unstable();
        paths.dedup();
        Self { paths, unified }
    }

    /// Whether it is in this group or in one below it. The path may begin at the root of the hierarchy or at its mount.
    #[must_use]
    pub fn is_below(&self, group: &str) -> bool {
        let group = group.strip_prefix(MOUNT).unwrap_or(group).trim_matches('/');
        let is_below = |path: &String| {
            let path = path.trim_start_matches('/');
            group.is_empty() || path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.paths.iter().any(is_below)
    }

    /// Id or name of the container that it runs in, as far as the path of a group tells; the innermost one.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        self.paths.iter().filter_map(|path| container_of(path)).next_back()
    }

    /// What the kernel's programs know its group by: the number of its directory. `None` where there are hierarchies of
    /// version 1 besides, whose groups they do not tell.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.paths.first().filter(|_| self.unified)?;
        std::fs::metadata(format!("{MOUNT}{path}")).ok().map(|directory| directory.ino())
    }
}

fn container_of(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.iter().enumerate().rev().find_map(|(index, part)| {
        let name = part.strip_suffix(".scope").or_else(|| part.strip_suffix(".service")).unwrap_or(part);
        let by_prefix = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).filter(|rest| !rest.is_empty());
        let by_parent = index.checked_sub(1).and_then(|above| ENGINES.contains(&parts[above]).then_some(name));
        // Kubernetes names groups by the bare id.
        let is_id = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        by_prefix.or(by_parent).or(is_id.then_some(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> ControlGroups {
        ControlGroups::parse(lines.as_bytes())
    }

    /// Engines name groups in their own ways; what is no container's has no name.
    #[test]
    fn containers_are_found() {
        let id = "4f5e9c0d1b2a39485766758493a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f504";
        for (path, container) in [
            (format!("/system.slice/docker-{id}.scope"), Some(id)),
            (format!("/docker/{id}"), Some(id)),
            (format!("/docker/{id}/init.scope"), Some(id)),
            (format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"), Some(id)),
            (format!("/kubepods/burstable/pod1234/{id}"), Some(id)),
            (format!("/machine.slice/libpod-{id}.scope/container"), Some(id)),
            ("/lxc.payload.web/system.slice/nginx.service".to_owned(), Some("web")),
            ("/lxc/web".to_owned(), Some("web")),
            ("/machine.slice/systemd-nspawn@web.service/payload".to_owned(), Some("web")),
            ("/system.slice/nginx.service".to_owned(), None),
            ("/".to_owned(), None),
        ] {
            assert_eq!(of(&format!("0::{path}\n")).container(), container, "{path}");
        }
    }

    /// A group holds those below it, not those whose name only begins like its own.
    #[test]
    fn groups_hold_those_below() {
        let groups = of("0::/system.slice/nginx.service/worker\n");
        for group in ["/system.slice", "system.slice/nginx.service/", "/sys/fs/cgroup/system.slice", "/"] {
            assert!(groups.is_below(group), "{group}");
        }
        for group in ["/system", "/system.slice/nginx", "/user.slice"] {
            assert!(!groups.is_below(group), "{group}");
        }
    }

    /// With hierarchies of version 1, each may have the process elsewhere, and no id is told.
    #[test]
    fn hierarchies_of_version_1_are_read() {
        let groups = of("12:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/system.slice\nnonsense\n");
        assert_eq!((groups.container(), groups.id()), (Some("abc"), None));
        assert!(groups.is_below("/docker") && groups.is_below("/system.slice"));
        assert_eq!(of("").id(), None);
    }
}
