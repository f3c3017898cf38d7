//! The real binary, attached to a process.

use std::{
    io::{Read, Seek as _},
    os::unix::fs::FileExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{Running, without};

/// Looks at something that announces itself by no event, files of /proc or objects of the kernel, until it is so.
pub struct Patience {
    since: Instant,
    looks: u32,
}

impl Patience {
    /// How long anything may take on a machine that is busy with other tests.
    const TIME: Duration = Duration::from_secs(30);
    /// A virtual machine may stand still for longer than that, and its clock goes on.
    const LOOKS: u32 = 1000;
    /// The pause between two looks, not a time that anything is expected to take.
    const PAUSE: Duration = Duration::from_millis(5);

    pub fn new() -> Self {
        Self { since: Instant::now(), looks: 0 }
    }

    /// Waits for a moment. Returns whether another look is worth it.
    pub fn pause(&mut self) -> bool {
        std::thread::sleep(Self::PAUSE);
        self.looks += 1;
        self.looks < Self::LOOKS || self.since.elapsed() < Self::TIME
    }
}

/// Looks until something is so.
///
/// # Panics
/// When it does not become so in half a minute.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut patience = Patience::new();
    while !is_so() {
        assert!(patience.pause(), "{what}: not within {:?}", Patience::TIME);
    }
}

/// A command line of memtrace.
pub fn memtrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memtrace"));
    let (first, rest) = arguments.split_at(arguments.len().min(1));
    command.args(first);
    if matches!(first, ["attach" | "run" | "top"]) {
        command.args(without().into_iter().flat_map(|feature| ["--without", feature.name]));
    }
    command.args(rest);
    command
}

/// What became of a memtrace.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub output: String,
    pub errors: String,
}

impl Ended {
    /// The last report.
    pub fn last_report(&self) -> &str {
        self.output.rsplit("\n----\n").next().unwrap_or_default()
    }

    /// Blocks allocated, of the last report.
    pub fn allocated_blocks(&self) -> u64 {
        self.blocks("Allocated")
    }

    /// Blocks freed, of the last report.
    pub fn freed_blocks(&self) -> u64 {
        self.blocks("Freed")
    }

    /// The number of a line as `Freed       391.2 MiB in 101,503 blocks, now …`.
    fn blocks(&self, label: &str) -> u64 {
        let line = self.last_report().lines().find(|line| line.starts_with(label));
        let line = line.unwrap_or_else(|| panic!("no line {label} in {self:#?}"));
        let number = line.split(" in ").nth(1).and_then(|rest| rest.split(' ').next());
        number.and_then(|number| number.replace(',', "").parse().ok()).unwrap_or_else(|| panic!("no number in {line}"))
    }
}

/// An attached memtrace that reports every 50 ms. Killed and reaped at the end of the test.
pub struct Attached {
    child: Running,
    output: std::fs::File,
    errors: std::fs::File,
}

impl Attached {
    /// Attaches and waits for the first report: probes are in place and blocks are recorded.
    pub fn to(pid: u32) -> Self {
        Self::with(pid, &[])
    }

    /// The same with more arguments.
    pub fn with(pid: u32, arguments: &[&str]) -> Self {
        let mut attached = Self::begin(pid, arguments);
        eventually("memtrace reports", || attached.has_reported() || attached.has_ended());
        assert!(!attached.has_ended(), "memtrace has ended: {:#?}", attached.end());
        attached
    }

    /// Starts to attach and waits for nothing.
    pub fn begin(pid: u32, arguments: &[&str]) -> Self {
        Self::start(memtrace(&["attach", "--pid", &pid.to_string(), "--interval", "50ms"]).args(arguments))
    }

    /// Traces all processes that are selected, reports in JSON, and waits for the first report.
    pub fn to_all(arguments: &[&str]) -> Self {
        let mut tracing = Self::start(memtrace(&["top", "--format", "json", "--interval", "50ms"]).args(arguments));
        eventually("memtrace reports", || tracing.has_reported() || tracing.has_ended());
        assert!(!tracing.has_ended(), "memtrace has ended: {:#?}", tracing.end());
        tracing
    }

    fn start(command: &mut Command) -> Self {
        let file = || tempfile::tempfile().expect("a temporary file");
        let (output, errors) = (file(), file());
        let to = |file: &std::fs::File| Stdio::from(file.try_clone().expect("a descriptor"));
        let child =
            command.stdin(Stdio::null()).stdout(to(&output)).stderr(to(&errors)).spawn().expect("memtrace starts");
        Self { child: Running(child), output, errors }
    }

    fn has_reported(&self) -> bool {
        self.output.metadata().expect("a file has a size").len() > 0
    }

    fn has_ended(&mut self) -> bool {
        self.child().try_wait().expect("memtrace is waited for").is_some()
    }

    fn child(&mut self) -> &mut Child {
        &mut self.child.0
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits until a report has something allocated.
    pub fn wait_for_allocations(&mut self) {
        eventually("allocations", || {
            self.output().lines().any(|line| line.starts_with("Allocated ") && !line.contains(" in 0 blocks"))
        });
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        let size = self.output.metadata().expect("a file has a size").len();
        let mut bytes = vec![0; usize::try_from(size).expect("reports fit in memory")];
        self.output.read_exact_at(&mut bytes, 0).expect("the reports are readable");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed());
        kill(pid, signal).expect("memtrace takes signals");
    }

    /// Detaches as Ctrl-C does.
    pub fn interrupt(self) -> Ended {
        self.signal(Signal::SIGINT);
        self.end()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let mut status = None;
        eventually("memtrace ends", || {
            status = self.child().try_wait().expect("memtrace is waited for");
            status.is_some()
        });
        let text = |file: &mut std::fs::File| {
            let mut text = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("reports are UTF-8");
            text
        };
        let (output, errors) = (text(&mut self.output), text(&mut self.errors));
        Ended { status: status.expect("it has ended"), output, errors }
    }
}
