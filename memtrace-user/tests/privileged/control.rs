//! The control socket: who may use it, what it does, and what a client can do to the memtrace behind it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _},
        net::UnixStream,
    },
    path::PathBuf,
    process::Output,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    binary::{Attached, eventually, memtrace},
    support::program,
    target::Target,
};

fn socket(target: u32, tracer: u32) -> PathBuf {
    PathBuf::from(format!("/run/memtrace/{target}-{tracer}.sock"))
}

/// Asks the memtrace of a process; what it prints.
fn ctl(target: u32, words: &[&str]) -> Result<String, String> {
    said(memtrace(&["ctl", "--pid", &target.to_string()]).args(words).output().expect("memtrace runs"))
}

fn find(target: u32, address: &str) -> Result<String, String> {
    said(memtrace(&["where", "--pid", &target.to_string(), address]).output().expect("memtrace runs"))
}

fn said(output: Output) -> Result<String, String> {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn steer() -> Target {
    Target::start(program("steer"))
}

/// Root alone can see and use the socket; it goes with its memtrace, and one that was left is removed by the next.
#[test]
fn sockets_are_private_and_do_not_stay() {
    let target = steer();
    let first = Attached::to(target.pid());
    let path = socket(target.pid(), first.pid());
    let of_socket = fs::metadata(&path).expect("a socket");
    let of_directory = fs::metadata("/run/memtrace").expect("a directory");
    assert!(of_socket.file_type().is_socket());
    assert_eq!((of_socket.uid(), of_socket.mode() & 0o777), (0, 0o600));
    assert_eq!((of_directory.uid(), of_directory.mode() & 0o777), (0, 0o700));
    // A descriptor of a process of another user does not help: its id is asked for.
    first.signal(Signal::SIGKILL);
    assert!(!first.end().status.success());
    assert!(path.exists(), "nobody could remove it");
    assert!(ctl(target.pid(), &["status"]).is_err_and(|text| text.contains("no memtrace of this user traces")));
    let second = Attached::to(target.pid());
    assert!(!path.exists(), "the next one removes it");
    let path = socket(target.pid(), second.pid());
    assert!(path.exists());
    second.interrupt();
    assert!(!path.exists());
}

/// Every command does what it says, on the numbers of the target.
#[test]
fn commands_are_carried_out() {
    let mut target = steer();
    let pid = target.pid();
    let attached = Attached::to(pid);
    target.ask("k");
    target.ask("p");
    let status = ctl(pid, &["status"]).expect("an answer");
    assert!(status.contains("Live       1000 B in 1 block, peak 49.8 KiB"), "{status}");
    assert!(status.contains("Losses     0"), "{status}");
    assert_eq!(ctl(pid, &["reset-peak"]), Ok(String::new()));
    let status = ctl(pid, &["status"]).expect("an answer");
    assert!(status.contains("Live       1000 B in 1 block, peak 1000 B"), "{status}");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("asked.pb.gz");
    let written = ctl(pid, &["snapshot", "-o", file.to_str().expect("UTF-8")]).expect("an answer");
    assert_eq!(written.trim_end(), file.to_str().expect("UTF-8"));
    let snapshot = memtrace::snapshot::read_file(&file).expect("a snapshot");
    assert_eq!((snapshot.total().allocated_bytes, snapshot.total().live_bytes()), (51_000, 1000));
    let refused = ctl(pid, &["snapshot", "-o", "/no/such/directory/x.pb.gz"]).expect_err("it cannot be written");
    assert!(refused.contains("/no/such/directory/x.pb.gz"), "{refused}");
    assert_eq!(ctl(pid, &["clear"]), Ok(String::new()));
    let status = ctl(pid, &["status"]).expect("an answer");
    assert!(status.contains("Live       0 B in 0 blocks, peak 0 B"), "{status}");
    target.ask("k");
    assert_eq!(ctl(pid, &["stop"]), Ok(String::new()));
    let ended = attached.end();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(ended.allocated_blocks(), 1, "{ended:#?}");
}

/// A block is found by its first address and by any in it, and by no other; the stack has lines, and the age is right.
#[test]
fn blocks_are_found() {
    let mut target = steer();
    let pid = target.pid();
    let _attached = Attached::to(pid);
    let before = Instant::now();
    let text = target.ask("k");
    let start = u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("an address");
    let empty = target.ask("z");
    for offset in [0, 1, 999] {
        let found = find(pid, &format!("{:#x}", start + offset)).expect("it is found");
        let oldest = before.elapsed();
        assert!(found.starts_with(&format!("Block  {start:#x}")), "{found}");
        assert_eq!(found.contains(&format!("(the address is {offset} bytes into it)")), offset != 0, "{found}");
        assert!(found.contains("Size   1000 bytes\n"), "{found}");
        assert!(found.contains("  keep (") && found.contains("/steer.c:") && found.contains("  main ("), "{found}");
        let age = found.lines().find_map(|line| line.strip_prefix("Age    ")?.strip_suffix(" s")).expect("an age");
        let age = Duration::from_secs_f64(age.parse().expect("a number"));
        // The clock ticks every 10 ms at the slowest, and is read in units of 10 ms.
        assert!(age <= oldest + Duration::from_millis(30), "{age:?}, {oldest:?}");
    }
    assert!(find(pid, &empty).is_ok_and(|found| found.contains("Size   0 bytes")));
    let is_none =
        |address: u64| find(pid, &format!("{address:#x}")).is_err_and(|text| text.contains("no live block of process"));
    assert!(is_none(start - 1) && is_none(start + 1000), "beside the block");
    assert!(is_none(pid.into()) && is_none(u64::MAX), "nobody's memory");
    target.ask("f");
    let freed = target.ask("f");
    assert_eq!(freed, text);
    assert!(is_none(start), "a block that was freed");
    let wrong = memtrace(&["where", "--pid", &pid.to_string(), "main"]).output().expect("memtrace runs");
    assert_eq!(wrong.status.code(), Some(2));
}

/// The age is that of the block: one that was kept for a known time is that old, to a few ticks.
#[test]
fn ages_are_right() {
    let mut target = steer();
    let _attached = Attached::to(target.pid());
    let asked = Instant::now();
    let address = target.ask("k");
    let kept = Instant::now();
    // Time is what is measured here: there is nothing to wait for but it.
    eventually("the block grows old", || kept.elapsed() > Duration::from_millis(1200));
    let youngest = kept.elapsed();
    let found = find(target.pid(), &address).expect("it is found");
    let oldest = asked.elapsed();
    let age = found.lines().find_map(|line| line.strip_prefix("Age    ")?.strip_suffix(" s")).expect("an age");
    let age: f64 = age.parse().expect("a number");
    let slack = 0.03;
    assert!(
        age >= youngest.as_secs_f64() - slack && age <= oldest.as_secs_f64() + slack,
        "{age}, {youngest:?}, {oldest:?}"
    );
}

/// Without another memtrace, `where` traces for a while itself, and says what it can find.
#[test]
fn blocks_are_found_by_a_short_attach() {
    let mut target = steer();
    let address = target.ask("k");
    let output = memtrace(&["where", "--pid", &target.pid().to_string(), "--duration", "100ms", &address]).output();
    let output = output.expect("memtrace runs");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(errors.contains("only blocks that are allocated in this time can be found"), "{errors}");
    assert!(errors.contains("no live block"), "{errors}");
}

/// Two memtraces on one process have a socket each; who asks must say which is meant.
#[test]
fn two_on_one_process_are_told_apart() {
    let mut target = steer();
    let pid = target.pid();
    let first = Attached::to(pid);
    target.ask("k");
    let second = Attached::to(pid);
    target.ask("k");
    let refused = ctl(pid, &["status"]).expect_err("which one?");
    assert!(refused.contains("2 memtraces trace process") && refused.contains("--tracer"), "{refused}");
    for (tracer, blocks) in [(&first, "in 2 blocks"), (&second, "in 1 block,")] {
        let status = ctl(pid, &["--tracer", &tracer.pid().to_string(), "status"]).expect("an answer");
        assert!(status.contains(blocks), "{status}");
    }
    ctl(pid, &["--tracer", &second.pid().to_string(), "stop"]).expect("it stops");
    assert!(second.end().status.success());
    assert!(ctl(pid, &["status"]).is_ok());
    assert!(first.interrupt().status.success());
}

/// Clients that say nothing, talk nonsense or without end, or do not listen, get no more than an error; tracing and other
/// clients go on.
#[test]
fn bad_clients_do_not_disturb() {
    let mut target = steer();
    let pid = target.pid();
    let attached = Attached::to(pid);
    let path = socket(pid, attached.pid());
    let connect = || UnixStream::connect(&path).expect("it listens");
    let silent: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    for nonsense in ["\n", "clear\n", "{\"command\":\"fly\"}\n", "[[[[[[[[\n", "\u{1b}[2J\u{0}\n"] {
        let mut stream = connect();
        stream.write_all(nonsense.as_bytes()).expect("it listens");
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).expect("a reply");
        assert!(reply.starts_with("{\"failed\":{\"message\":"), "{reply}");
        assert!(!reply.contains('\u{1b}'), "{reply}");
    }
    let mut endless = connect();
    // It takes no more than its limit, and closes: then the pipe is broken.
    let _broken = endless.write_all(&vec![b' '; 1 << 20]);
    let mut deaf = connect();
    deaf.write_all(b"{\"command\":\"status\"}\n").expect("it listens");
    target.ask("k");
    let status = ctl(pid, &["status"]).expect("an answer");
    assert!(status.contains("Live       1000 B in 1 block"), "{status}");
    drop((silent, deaf, endless));
    let ended = attached.interrupt();
    assert!(ended.status.success(), "{ended:#?}");
}

/// A user who is not root finds no socket, and is told so.
#[test]
fn other_users_are_kept_out() {
    let target = steer();
    let attached = Attached::to(target.pid());
    let path = socket(target.pid(), attached.pid());
    let script = "socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un($ARGV[0])) or die \"$!\\n\"";
    let nobody = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/perl", "-MSocket", "-e", script])
        .arg(&path)
        .output()
        .expect("setpriv runs");
    let errors = String::from_utf8_lossy(&nobody.stderr);
    assert!(!nobody.status.success() && errors.contains("Permission denied"), "{errors}");
}
