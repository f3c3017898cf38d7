//! Targets in namespaces of their own, with a root of their own, traced from outside.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    binary::{Attached, eventually, memtrace},
    support::{compiled, program},
    target::Target,
};

/// A root directory with a program for musl and its loader; nothing of the host's C library.
fn root_with(program: &Path) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let place = |from: &Path, to: &str| {
        let to = root.path().join(to);
        fs::create_dir_all(to.parent().expect("a directory")).expect("made");
        fs::copy(from, &to).expect("copied");
    };
    place(program, "srv/leak");
    place(Path::new("/lib/ld-musl-x86_64.so.1"), "lib/ld-musl-x86_64.so.1");
    fs::create_dir(root.path().join("proc")).expect("made");
    // The user of the namespace is nobody here.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("set");
    root
}

fn leak_for_musl() -> PathBuf {
    compiled("musl-gcc", "leak", "leak-musl", &[])
}

/// Starts `/srv/leak` in a container: user, pid, mount and other namespaces of its own, and over the root an overlay, in
/// which its files have other inodes than the host sees.
fn start_in_container(root: &Path) -> Target {
    let script = r#"mount -t tmpfs none "$0/proc" && mkdir "$0/proc/upper" "$0/proc/work" "$0/proc/merged" &&
        mount -t overlay -o "lowerdir=$0/srv/..,upperdir=$0/proc/upper,workdir=$0/proc/work" none "$0/proc/merged" &&
        exec unshare --user --map-root-user --pid --fork --ipc --net --uts --root="$0/proc/merged" /srv/leak"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "/bin/sh", "-c", script]).arg(root);
    Target::start_command(&mut command)
}

/// The process of a container: the last of the line of children.
fn innermost(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().next().and_then(|child| child.parse().ok()).map_or(pid, innermost)
}

/// A leak in a container is found from the host, with function and line, by the symbols of the container's own files.
#[test]
fn a_leak_in_a_container_is_found_from_the_host() {
    let root = root_with(&leak_for_musl());
    let mut target = start_in_container(root.path());
    let inner = innermost(target.pid());
    let status = fs::read_to_string(format!("/proc/{inner}/status")).expect("it lives");
    let ids = status.lines().find(|line| line.starts_with("NSpid:")).expect("its ids");
    assert_eq!(ids.split_whitespace().last(), Some("1"), "not the first process of a container: {ids}");
    let mut memtrace = Attached::to(inner);
    for _ in 0..3 {
        assert_eq!(target.ask("leak"), "done");
    }
    memtrace.wait_for_allocations();
    let ended = memtrace.interrupt();
    let report = ended.last_report();
    assert!(report.contains("Traced      musl (") && report.contains("/lib/ld-musl-x86_64.so.1)"), "{report}");
    assert_eq!(ended.allocated_blocks(), 30, "{report}");
    assert!(report.contains("leak_here (leak.c:7) [leak]"), "{report}");
    assert!(report.contains("main (") && report.contains("leak.c:13"), "{report}");
    target.say("quit");
}

/// A program whose file and libraries have been deleted since it was started is traced by what it has mapped.
#[test]
fn deleted_files_are_traced() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leak");
    fs::copy(compiled("cc", "leak", "leak-static", &["-static"]), &file).expect("copied");
    let mut target = Target::start(&file);
    fs::remove_file(&file).expect("removed");
    let mut memtrace = Attached::to(target.pid());
    assert_eq!(target.ask("leak"), "done");
    memtrace.wait_for_allocations();
    let ended = memtrace.interrupt();
    assert_eq!(ended.allocated_blocks(), 10);
    assert!(ended.last_report().contains("leak_here (leak.c:7)"), "{}", ended.last_report());
    target.say("quit");
}

/// memtrace works in a container that has the host's pid namespace.
#[test]
fn memtrace_in_a_container_with_the_pids_of_the_host() {
    let mut target = Target::start(program("leak"));
    let own = memtrace(&["attach", "--pid", &target.pid().to_string(), "--interval", "50ms"]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--ipc", "--uts", "--net", "--cgroup"]).arg(own.get_program()).args(own.get_args());
    let output = tempfile::NamedTempFile::new().expect("a file");
    command.stdin(Stdio::null()).stdout(output.reopen().expect("a descriptor"));
    let running = crate::support::Running(command.spawn().expect("unshare runs"));
    let text = || fs::read_to_string(output.path()).expect("UTF-8");
    eventually("a report", || !text().is_empty());
    assert_eq!(target.ask("leak"), "done");
    eventually("the leak is reported", || text().contains("leak_here (leak.c:7)"));
    drop(running);
    target.say("quit");
}
