//! Identity of the traced process.

use std::{
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    path::Path,
    time::{Duration, SystemTime},
};

use nix::{
    fcntl::OFlag,
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};
use object::{Endianness, elf, read::elf::FileHeader};

use super::{TargetError, check_pid_namespace, pidfd::PidFd, proc_dir::ProcDir};

/// `PF_KTHREAD` in include/linux/sched.h: a kernel thread.
const PF_KTHREAD: u64 = 0x0020_0000;

#[cfg(target_arch = "x86_64")]
const OWN_MACHINE: u16 = elf::EM_X86_64;
#[cfg(target_arch = "aarch64")]
const OWN_MACHINE: u16 = elf::EM_AARCH64;

/// A process that can be traced. Holding it neither stops the process nor changes anything about it.
///
/// Its [`AsFd`] becomes readable when the process has exited, for tokio's `AsyncFd`.
#[derive(Debug)]
pub struct TargetProcess {
    pid: u32,
    start_time: u64,
    command: String,
    directory: ProcDir,
    pidfd: PidFd,
}

impl TargetProcess {
    /// Opens a process by its id in the pid namespace of the caller.
    ///
    /// # Errors
    /// When it cannot be traced, with the reason: see [`TargetError`].
    pub fn open(pid: u32) -> Result<Self, TargetError> {
        check_pid_namespace()?;
        if pid == std::process::id() {
            return Err(TargetError::Ourselves(pid));
        }
        let pidfd = open_pidfd(pid)?;
        let directory = ProcDir::open(pid).map_err(|error| match error.kind() {
            // Mounted with hidepid=2, /proc does not even show other users' processes.
            io::ErrorKind::NotFound if !pidfd.has_exited() => TargetError::NotPermitted { pid, file: "stat" },
            _ => TargetError::from_io(pid, "", error),
        })?;
        // The id cannot have been reused before the exit shows here, so the directory is that of the same process.
        let stat = directory.stat().map_err(|error| TargetError::from_io(pid, "stat", error))?;
        match stat.state {
            b'Z' if stat.threads > 1 && !pidfd.has_exited() => return Err(TargetError::MainThreadExited(pid)),
            b'Z' => return Err(TargetError::Zombie(pid)),
            b'X' | b'x' => return Err(TargetError::Exited(pid)),
            _ if stat.flags & PF_KTHREAD != 0 => return Err(TargetError::KernelThread(pid)),
            _ => {}
        }
        check_architecture(pid, &directory)?;
        directory
            .open_file(Path::new("maps"), OFlag::O_RDONLY)
            .map_err(|error| TargetError::from_io(pid, "maps", error))?;
        let command = directory.command_line().map_err(|error| TargetError::from_io(pid, "cmdline", error))?;
        if pidfd.has_exited() {
            return Err(TargetError::Exited(pid));
        }
        Ok(Self { pid, start_time: stat.start_time, command, directory, pidfd })
    }

    /// The id in the caller's pid namespace.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The id as BPF helpers report it. [`Self::open`] accepts processes only where memtrace itself runs in the
    /// initial pid namespace, so it is the same as [`Self::pid`].
    #[must_use]
    pub const fn host_tgid(&self) -> u32 {
        self.pid
    }

    /// Start in clock ticks since boot. Together with the id it names the process even after the id is reused.
    #[must_use]
    pub const fn start_time(&self) -> u64 {
        self.start_time
    }

    /// When it was started, by the wall clock as it is set now; `None` where the machine does not tell.
    #[must_use]
    pub fn started_at(&self) -> Option<SystemTime> {
        let ticks_a_second = sysconf(SysconfVar::CLK_TCK).ok()?.and_then(|ticks| u32::try_from(ticks).ok())?;
        let since_boot = Duration::try_from_secs_f64(clock_ticks(self.start_time) / f64::from(ticks_a_second)).ok()?;
        let uptime = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
        SystemTime::now().checked_sub(uptime.checked_sub(since_boot)?)
    }

    /// The command line, or `[name]` when it has none, as last read. Not escaped for a terminal.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The command line as it is now: an exec has changed it. `None` while there is none: the kernel puts the new one in
    /// place a moment after the exec's event, and takes it away when the process begins to exit.
    #[must_use]
    pub fn current_command(&self) -> Option<String> {
        self.directory.arguments().ok().flatten()
    }

    /// Resident set size in bytes; `None` when the process has exited.
    #[must_use]
    pub fn rss_bytes(&self) -> Option<u64> {
        if self.has_exited() {
            return None;
        }
        self.directory.resident_pages().ok().map(|pages| pages * page_size())
    }

    /// Resident memory that is no file's, in bytes; `None` when the process has exited.
    #[must_use]
    pub fn anonymous_bytes(&self) -> Option<u64> {
        let status = self.directory.status().ok()?;
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"RssAnon:"))?;
        let kibibytes = str::from_utf8(line).ok()?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
        Some(kibibytes * 1024)
    }

    /// Number of threads; `None` when the process has exited.
    #[must_use]
    pub fn threads(&self) -> Option<u64> {
        let stat = self.directory.stat().ok()?;
        (stat.state != b'Z' || stat.threads > 1).then_some(stat.threads)
    }

    /// Whether all its threads have exited.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        self.pidfd.has_exited()
    }

    pub(super) const fn directory(&self) -> &ProcDir {
        &self.directory
    }
}

impl AsFd for TargetProcess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl AsRawFd for TargetProcess {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_fd().as_raw_fd()
    }
}

#[expect(clippy::cast_precision_loss, reason = "hundredths of a second are exact for millions of years")]
const fn clock_ticks(count: u64) -> f64 {
    count as f64
}

fn open_pidfd(pid: u32) -> Result<PidFd, TargetError> {
    let signed = libc::pid_t::try_from(pid).map_err(|_| TargetError::NoSuchProcess(pid))?;
    if pid == 0 {
        return Err(TargetError::NoSuchProcess(pid));
    }
    PidFd::open(signed).map_err(|error| match (error.raw_os_error(), thread_group(pid)) {
        (Some(libc::EINVAL | libc::ENOENT), Some(tgid)) if tgid != pid => TargetError::Thread { pid, tgid },
        (Some(libc::ESRCH | libc::EINVAL | libc::ENOENT), _) => TargetError::NoSuchProcess(pid),
        _ => TargetError::Io { pid, file: "", source: error },
    })
}

fn thread_group(tid: u32) -> Option<u32> {
    ProcDir::open(tid).ok()?.status_numbers("Tgid").ok()??.first().copied()
}

fn check_architecture(pid: u32, directory: &ProcDir) -> Result<(), TargetError> {
    let executable = directory.open_file(Path::new("exe"), OFlag::O_RDONLY);
    let mut header = Vec::new();
    executable
        .and_then(|file| file.take(64).read_to_end(&mut header))
        .map_err(|error: io::Error| TargetError::from_io(pid, "exe", error))?;
    check_header(pid, &header)
}

fn check_header(pid: u32, header: &[u8]) -> Result<(), TargetError> {
    // The class is the fifth byte of every ELF file, whatever its byte order.
    if header.get(4) == Some(&elf::ELFCLASS32) && header.starts_with(&elf::ELFMAG) {
        return Err(TargetError::ThirtyTwoBit(pid));
    }
    let machine =
        elf::FileHeader64::<Endianness>::parse(header).ok().and_then(|file| Some(file.e_machine(file.endian().ok()?)));
    if machine == Some(OWN_MACHINE) { Ok(()) } else { Err(TargetError::ForeignArchitecture(pid)) }
}

/// Bytes of a page.
pub(crate) fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| size.try_into().ok()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A process that waits for its standard input to close, killed at the end of the test.
    struct Waiting(Child);

    impl Waiting {
        fn start() -> Self {
            let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            // Its answer shows that the exec is done with: spawn returns before the new command line is in place.
            child.stdin.as_mut().unwrap().write_all(b"!").unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            Self(child)
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn permitted() -> bool {
        let checked = check_pid_namespace();
        if let Err(error) = &checked {
            eprintln!("skipped: {error}");
        }
        checked.is_ok()
    }

    /// A live process has a name, a size and threads; once it has exited its size is gone and its exit shows.
    #[test]
    fn live_process_is_opened_and_its_exit_is_seen() {
        if !permitted() {
            return;
        }
        let mut waiting = Waiting::start();
        let target = TargetProcess::open(waiting.0.id()).unwrap();
        assert_eq!(target.command(), "cat");
        assert_eq!(target.host_tgid(), waiting.0.id());
        assert!(target.rss_bytes().unwrap() > 100_000);
        assert_eq!(target.threads(), Some(1));
        assert!(!target.has_exited());
        waiting.0.kill().unwrap();
        waiting.0.wait().unwrap();
        assert!(target.has_exited());
        assert_eq!(target.rss_bytes(), None);
        assert_eq!(target.threads(), None);
    }

    /// A child that has exited and is not waited for is reported as a zombie.
    #[expect(unsafe_code, reason = "waiting for a descriptor")]
    #[test]
    fn zombie_is_named() {
        if !permitted() {
            return;
        }
        let mut waiting = Waiting::start();
        let pidfd = PidFd::open(i32::try_from(waiting.0.id()).unwrap()).unwrap();
        waiting.0.kill().unwrap();
        let mut poll = [libc::pollfd { fd: pidfd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }];
        // SAFETY: one valid pollfd; it returns when the process has exited.
        assert_eq!(unsafe { libc::poll(poll.as_mut_ptr(), 1, 10_000) }, 1);
        assert!(matches!(TargetProcess::open(waiting.0.id()), Err(TargetError::Zombie(_))));
    }

    /// A thread's id leads to the id of its process.
    #[test]
    fn thread_id_leads_to_its_process() {
        if !permitted() {
            return;
        }
        let of_own_thread = || TargetProcess::open(nix::unistd::gettid().as_raw().cast_unsigned()).unwrap_err();
        let error = std::thread::spawn(of_own_thread).join().unwrap();
        assert!(matches!(error, TargetError::Thread { tgid, .. } if tgid == std::process::id()));
        assert_eq!(error.hint(), Some(format!("trace the whole process: --pid {}", std::process::id())));
    }

    /// The executable tells a 32-bit program (x32 included) and one that an emulator runs.
    #[test]
    fn foreign_programs_are_told_by_their_header() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap()[..64].to_vec();
        assert!(check_header(1, &own).is_ok());
        let changed = |at: usize, byte: u8| {
            let mut header = own.clone();
            header[at] = byte;
            check_header(1, &header).unwrap_err()
        };
        assert!(matches!(changed(4, elf::ELFCLASS32), TargetError::ThirtyTwoBit(1)));
        assert!(matches!(changed(18, 0xf3), TargetError::ForeignArchitecture(1)));
        assert!(matches!(check_header(1, b"\x7fELF"), Err(TargetError::ForeignArchitecture(1))));
    }

    /// What cannot be traced is refused with its own reason.
    #[test]
    fn untraceable_ids_are_refused() {
        if !permitted() {
            return;
        }
        assert!(matches!(TargetProcess::open(std::process::id()), Err(TargetError::Ourselves(_))));
        for nobody in [0, 1 << 22 | 1, u32::MAX] {
            assert!(matches!(TargetProcess::open(nobody), Err(TargetError::NoSuchProcess(_))), "{nobody}");
        }
        // Process 2 of the initial namespace is kthreadd.
        assert!(matches!(TargetProcess::open(2), Err(TargetError::KernelThread(2))));
    }
}
