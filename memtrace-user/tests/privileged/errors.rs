//! What cannot be traced is refused with its own reason, what to do about it, and an exit status.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    binary::{Attached, eventually, memtrace},
    support::{Running, compiled, program, program_with},
    target::Target,
};

/// An exit status, and what memtrace said.
fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().expect("memtrace starts");
    (output.status.code(), String::from_utf8(output.stderr).expect("messages are UTF-8"))
}

/// The two lines of an error, and the exit status.
fn failure(code: i32, message: &str, hint: &str) -> (Option<i32>, String) {
    (Some(code), format!("memtrace: error: {message}\nhint: {hint}\n"))
}

fn attach(pid: u32) -> Command {
    memtrace(&["attach", "--pid", &pid.to_string(), "--duration", "1s"])
}

fn run(words: &[&str]) -> Command {
    let mut command = memtrace(&["run", "--"]);
    command.args(words);
    command
}

pub fn without_libc(output: &str, flags: &[&str]) -> PathBuf {
    let flags = [&["-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector"], flags];
    program_with("no_libc", output, &flags.concat())
}

/// An id that nothing has.
#[test]
fn no_such_process() {
    let hint = "list processes with `ps -e`, or find one by name with `pgrep NAME`";
    // Above the kernel's limit of ids (PID_MAX_LIMIT).
    assert_eq!(outcome(&mut attach(4_194_305)), failure(1, "no process 4194305", hint));
}

/// A process that has exited and is not waited for.
#[test]
fn zombie() {
    let child = Running(Command::new("true").spawn().expect("true starts"));
    let stat = format!("/proc/{}/stat", child.pid());
    eventually("a zombie", || fs::read_to_string(&stat).expect("it is not reaped").contains(") Z "));
    let message =
        format!("process {} is a zombie: it has exited, and its parent has not collected its status", child.pid());
    let hint = "its memory has been released; look for its parent with `ps -o ppid= -p PID`";
    assert_eq!(outcome(&mut attach(child.pid())), failure(1, &message, hint));
}

/// Process 2 of the initial pid namespace is `kthreadd`.
#[test]
fn kernel_thread() {
    let hint = "choose a process of a program; `ps` shows kernel threads in [brackets]";
    let message = "process 2 is a kernel thread, which has no user memory";
    assert_eq!(outcome(&mut attach(2)), failure(1, message, hint));
}

/// memtrace itself, by a shell that becomes it and so knows its id.
#[test]
fn itself() {
    let binary = env!("CARGO_BIN_EXE_memtrace");
    let script = format!("echo $$ >&2; exec '{binary}' attach --pid $$");
    let (code, text) = outcome(Command::new("sh").args(["-c", &script]));
    let (pid, text) = text.split_once('\n').expect("two lines");
    let expected = failure(1, &format!("process {pid} is memtrace itself"), "choose another process");
    assert_eq!((code, text.to_owned()), expected);
}

/// The id of a thread leads to that of its process.
#[test]
fn thread_id() {
    let target = Target::start(program("hammer"));
    let threads = fs::read_dir(format!("/proc/{}/task", target.pid())).expect("it lives");
    let ids = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let thread = ids.filter(|id| *id != target.pid()).max().expect("a second thread");
    let message = format!("{thread} is a thread of process {}", target.pid());
    let hint = format!("trace the whole process: --pid {}", target.pid());
    assert_eq!(outcome(&mut attach(thread)), failure(1, &message, &hint));
}

/// A program without any allocator: what was looked at is named, whether it runs or is to be run.
#[test]
fn no_allocator() {
    let file = without_libc("no_libc", &[]);
    let target = Target::start(&file);
    let message = format!("no known allocator in process {} (looked at {})", target.pid(), file.display());
    let hint = "no mapped file exports malloc and free; -v tells of each why it was passed over. A process that has just \
                been started may not have loaded its libraries yet";
    assert_eq!(outcome(&mut attach(target.pid())), failure(1, &message, hint));

    let mut relative = run(&["./no_libc"]);
    relative.current_dir(file.parent().expect("a directory"));
    let message = "no known allocator in ./no_libc (looked at ./no_libc)";
    let hint = "neither the program nor its libraries export malloc and free; -v tells more";
    assert_eq!(outcome(&mut relative), failure(1, message, hint));
}

/// A static program without symbols: nothing says where its allocator is, but the user may.
#[test]
fn static_and_stripped() {
    let stripped = compiled("cc", "leak", "leak-stripped", &["-static", "-s"]);
    let hint = "run a build that keeps its symbols (without -s or strip), or name the functions by their addresses: \
                --alloc 'exe:0x401a20(size=arg0)' --free 'exe:0x401c40(ptr=arg0)'";
    let message = format!(
        "{} is linked statically and stripped of its symbols: nothing says where its malloc is",
        stripped.display()
    );
    let mut target = Target::start(&stripped);
    assert_eq!(outcome(&mut attach(target.pid())), failure(1, &message, hint));
    assert_eq!(outcome(&mut run(&[stripped.to_str().expect("UTF-8")])), failure(1, &message, hint));
    // The same program with symbols has the same addresses.
    let with_symbols = compiled("cc", "leak", "leak-static", &["-static"]);
    let names = Command::new("nm").arg(&with_symbols).output().expect("nm runs").stdout;
    let names = String::from_utf8(names).expect("UTF-8");
    let address = names.lines().find_map(|line| line.strip_suffix(" T malloc")).expect("it has malloc");
    let mut memtrace = Attached::with(target.pid(), &["--alloc", &format!("exe:0x{address}(size=arg0)")]);
    assert_eq!(target.ask("leak"), "done");
    memtrace.wait_for_allocations();
    assert_eq!(memtrace.interrupt().allocated_blocks(), 10);
    target.say("quit");
}

/// A 32-bit program.
#[cfg(target_arch = "x86_64")]
#[test]
fn thirty_two_bit_program() {
    let file = without_libc("no_libc_32", &["-m32"]);
    let target = Target::start(&file);
    let hint = "memtrace reads 64-bit programs only";
    let message = format!("process {} is a 32-bit program", target.pid());
    assert_eq!(outcome(&mut attach(target.pid())), failure(1, &message, hint));
    let message = format!("{} is a 32-bit program", file.display());
    assert_eq!(outcome(&mut run(&[file.to_str().expect("UTF-8")])), failure(1, &message, hint));
}

/// An unprivileged user is told which capabilities are missing, before anything else.
#[test]
fn not_permitted() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    // The build directory may not be open to others.
    let binary = directory.path().join("memtrace");
    fs::copy(env!("CARGO_BIN_EXE_memtrace"), &binary).expect("a copy");
    let hint = "run it as root (sudo memtrace …), or grant CAP_BPF and CAP_PERFMON";
    let message = "not permitted to load BPF programs: CAP_BPF and CAP_PERFMON missing";
    for words in [["attach", "--pid", "1"], ["run", "--", "true"]] {
        let mut command = Command::new(&binary);
        command.args(words).uid(NOBODY).gid(NOBODY);
        assert_eq!(outcome(&mut command), failure(1, message, hint), "{words:?}");
    }
}

/// `nobody` of Debian; any unprivileged id would do.
const NOBODY: u32 = 65534;

/// A command that cannot be run ends as a shell would have it: 127 when it is not there, 126 when it is no program.
#[test]
fn commands_that_cannot_be_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let write = |name: &str, text: &str, mode: u32| {
        fs::write(path(name), text).expect("written");
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).expect("permissions");
        path(name)
    };
    let hint = "give the path of the program, or add its directory to PATH";
    let mut missing = run(&["no-such-command"]);
    missing.env_remove("SUDO_UID");
    assert_eq!(outcome(&mut missing), failure(127, "no-such-command: command not found", hint));

    let missing = path("missing");
    let message = format!("{missing}: command not found");
    assert_eq!(outcome(&mut run(&[&missing])), failure(127, &message, "check the path"));

    let plain = write("plain", "text", 0o644);
    let (message, hint) = (format!("{plain}: not executable"), format!("make it executable: chmod +x {plain}"));
    assert_eq!(outcome(&mut run(&[&plain])), failure(126, &message, &hint));

    let script = write("script", "#!/no/such/interpreter\n", 0o755);
    let hint = "the command names it as its interpreter: see `head -1` of a script, `readelf -l` of a program";
    let message = "cannot read /no/such/interpreter: No such file or directory (os error 2)";
    assert_eq!(outcome(&mut run(&[&script])), failure(127, message, hint));

    let garbage = write("garbage", "no program", 0o755);
    let message = format!("{garbage} is neither a 64-bit ELF program nor a script");
    let hint = "a script needs a first line such as `#!/bin/sh`; or run it as `sh FILE`";
    assert_eq!(outcome(&mut run(&[&garbage])), failure(126, &message, hint));
}

/// A reader that closes the pipe early is no failure, and nothing is printed about it.
#[test]
fn closed_pipe() {
    let target = Target::start(program("on_request"));
    let script = "trap '' PIPE; \"$@\" | head -n 1; exit ${PIPESTATUS[0]}";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_memtrace"), "attach", "--interval", "20ms", "--pid"]);
    let output = command.arg(target.pid().to_string()).output().expect("bash runs");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert!(output.stdout.starts_with(b"Process "));
}

/// A limit of open files that is too low for memtrace's own maps is raised as far as that is allowed.
#[test]
fn low_limit_of_open_files() {
    let target = Target::start(program("on_request"));
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -Sn 32; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_memtrace"), "attach", "--pid"]);
    command.args([&target.pid().to_string(), "--duration", "100ms"]);
    let (code, messages) = outcome(&mut command);
    assert_eq!(code, Some(0), "{messages}");
}

/// Reports that go to a full disk neither end the command nor its tracing: the snapshot is written, and the command's exit
/// status is passed on, or tells of the reports where it is none of failure.
#[test]
fn full_disk_behind_reports() {
    let directory = tempfile::tempdir().expect("a directory");
    for (script, code) in [("sleep 0.1; exit 3", 3), ("sleep 0.1", 1)] {
        let snapshot = directory.path().join(format!("{code}.pb.gz"));
        let words = ["run", "--interval", "20ms", "-o", snapshot.to_str().expect("UTF-8"), "--", "sh", "-c", script];
        let full = fs::File::options().write(true).open("/dev/full").expect("a device");
        let status = memtrace(&words).stdin(Stdio::null()).stderr(full).status().expect("memtrace starts");
        assert_eq!(status.code(), Some(code), "{script}");
        assert!(snapshot.exists(), "{script}");
    }
}

/// The log file that was asked for cannot be written: the reason is said once.
#[test]
fn unwritable_log_file() {
    let (code, text) =
        outcome(memtrace(&["--log-file", "/no/such/file", "attach", "--pid", "1"]).env_remove("RUST_LOG"));
    let message = "cannot open the log file /no/such/file: No such file or directory (os error 2)";
    assert_eq!((code, text), (Some(1), format!("memtrace: error: {message}\n")));
    assert!(!Path::new("/no").exists());
}
