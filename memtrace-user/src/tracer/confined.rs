//! Whether return probes kill processes that are confined by seccomp, found out by experiment.
//!
//! On `x86_64` since 6.11 a return probe ends in a system call of its own, `uretprobe`. Until cf6cb56ef244 (6.14, and in
//! stable kernels) seccomp filters saw it like any other, and killed a process for a call that it had never made. A
//! release number does not tell whether a distribution has the fix, so a child of memtrace's own confines itself and
//! runs into a return probe.

#![expect(unsafe_code, reason = "code after fork, in a child that makes system calls only")]

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
};

use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

use super::{
    cost::{place_of_target, target},
    object::{FLOOR_RETURN, MultiPrograms},
    syscall::{LinkKind, MultiLink, link_multi},
};

/// Whether a confined process survives a return probe. `None` when that cannot be tried out.
#[must_use]
pub fn survives_return_probes(programs: &MultiPrograms) -> Option<bool> {
    if cfg!(not(target_arch = "x86_64")) {
        return Some(true);
    }
    let tried = try_out(programs).inspect_err(|error| log::warn!("return probes under seccomp: {error}")).ok();
    log::debug!("a process confined by seccomp survives return probes: {tried:?}");
    tried
}

fn try_out(programs: &MultiPrograms) -> io::Result<bool> {
    let (path, offset) = place_of_target().ok_or_else(|| io::Error::other("memtrace's own program is not found"))?;
    let program = programs.get(FLOOR_RETURN).ok_or_else(|| io::Error::other("no program"))?;
    let (gate, go) = io::pipe()?;
    // SAFETY: the child makes system calls only, and ends by one.
    let child = match unsafe { fork() }? {
        ForkResult::Child => in_child(gate.as_raw_fd(), go.as_raw_fd()),
        ForkResult::Parent { child } => child,
    };
    let pid = child.as_raw().cast_unsigned();
    let link = MultiLink { path: &path, offsets: &[offset], cookies: &[0], pid, kind: LinkKind::Return };
    let placed = link_multi(program.as_fd(), &link);
    let opened = placed.and_then(|link| File::from(std::os::fd::OwnedFd::from(go)).write_all(&[1]).map(|()| link));
    // Without the byte the child ends when it sees the pipe closed.
    let status = waitpid(child, None)?;
    drop(opened?);
    match status {
        WaitStatus::Exited(_, 0) => Ok(true),
        WaitStatus::Signaled(..) => Ok(false),
        other => Err(io::Error::other(format!("the child ended with {other:?}"))),
    }
}

/// `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_RET | BPF_K`.
const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const fn filter(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Waits for a byte, allows itself nothing but to end, calls the probed function and ends.
fn in_child(gate: libc::c_int, go: libc::c_int) -> ! {
    #[expect(clippy::cast_possible_truncation, reason = "the number of a system call")]
    const EXIT: u32 = libc::SYS_exit_group as u32;
    // The number of the call is the first word of `struct seccomp_data`.
    let mut program = [
        filter(LOAD, 0, 0, 0),
        filter(JUMP_IF_EQUAL, 0, 1, EXIT),
        filter(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        filter(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let rules = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: system calls on descriptors of this process and on local memory of the lengths given; `target` returns at
    // once.
    unsafe {
        libc::close(go);
        let mut byte = 0_u8;
        let ready = libc::read(gate, (&raw mut byte).cast(), 1) == 1
            // No core is dumped of this.
            && libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const rules, 0, 0) == 0;
        if ready {
            target();
        }
        libc::syscall(libc::SYS_exit_group, libc::c_int::from(!ready));
        libc::_exit(1)
    }
}
