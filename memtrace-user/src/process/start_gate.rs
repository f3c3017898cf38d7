//! Holds a child between fork and exec: it tells its id through one pipe and waits on another.

#![expect(unsafe_code, reason = "code between fork and exec")]

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
};

/// The parent's ends.
#[derive(Debug)]
pub struct GateKeeper {
    report: File,
    go: File,
}

/// The child's ends, and what it must close.
#[derive(Debug)]
pub struct Gate {
    report: OwnedFd,
    go: OwnedFd,
    /// The number of the parent's end of `go`. The child has a copy of it after the fork and must close it: otherwise
    /// it would wait for itself when memtrace is killed.
    parents_go: libc::c_int,
}

/// Makes both sides; all descriptors close on exec.
pub fn start_gate() -> io::Result<(GateKeeper, Gate)> {
    let (report, child_report) = io::pipe()?;
    let (child_go, go) = io::pipe()?;
    let keeper = GateKeeper { report: OwnedFd::from(report).into(), go: OwnedFd::from(go).into() };
    let parents_go = keeper.go.as_raw_fd();
    Ok((keeper, Gate { report: child_report.into(), go: child_go.into(), parents_go }))
}

impl GateKeeper {
    /// Waits for the child's id; `None` when it has not come so far.
    pub fn child_pid(&mut self) -> Option<u32> {
        let mut pid = [0; 4];
        self.report.read_exact(&mut pid).ok()?;
        Some(u32::from_ne_bytes(pid))
    }

    /// Lets the child go on. Dropping the keeper instead makes it give up.
    pub fn open(mut self) -> io::Result<()> {
        self.go.write_all(&[1])
    }
}

impl Gate {
    /// Called in the child: tells its id and waits until the gate opens. Makes system calls only, so it may be called
    /// between fork and exec.
    ///
    /// # Errors
    /// `ECANCELED` when the parent has gone or given up.
    pub fn pass(&self) -> io::Result<()> {
        // SAFETY: system calls on descriptors of this process (the child's copy of the parent's end included, which
        // nothing in the child uses) and on local buffers of the lengths given.
        unsafe {
            libc::close(self.parents_go);
            let pid = libc::getpid().to_ne_bytes();
            if libc::write(self.report.as_raw_fd(), pid.as_ptr().cast(), pid.len()) != 4 {
                return Err(io::Error::from_raw_os_error(libc::ECANCELED));
            }
            let mut byte = 0_u8;
            loop {
                match libc::read(self.go.as_raw_fd(), (&raw mut byte).cast(), 1) {
                    1 => return Ok(()),
                    -1 if *libc::__errno_location() == libc::EINTR => {}
                    _ => return Err(io::Error::from_raw_os_error(libc::ECANCELED)),
                }
            }
        }
    }
}
