//! Tracepoints of system calls, where the kernel's list of them need not be mounted: containers and small systems have
//! no `/sys/kernel/tracing`.

#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::{
    ffi::CStr,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::Path,
};

use nix::{
    fcntl::{OFlag, open, openat},
    sys::stat::Mode,
};

/// Where systems mount the list.
const MOUNTED: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// `FSCONFIG_CMD_CREATE` of include/uapi/linux/mount.h.
const FSCONFIG_CREATE: libc::c_long = 6;

/// The tracing directory: the mounted one, or one that this process alone sees (5.2).
///
/// # Errors
/// When the kernel has none.
pub fn directory() -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mounted = MOUNTED.iter().filter(|path| Path::new(path).join("events").exists());
    for path in mounted {
        if let Ok(directory) = open(*path, flags, Mode::empty()) {
            return Ok(directory);
        }
    }
    own_mount(c"tracefs")
}

fn own_mount(kind: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: a string and flags; returns a descriptor or -1.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1) })?;
    let none = std::ptr::null::<u8>();
    // SAFETY: a descriptor, a command without key and value.
    let made = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CREATE, none, none, 0) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor and flags (FSMOUNT_CLOEXEC); returns a descriptor or -1.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) })
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(result) {
        // SAFETY: just returned by the kernel to this process, and owned by nobody else.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs a program at a tracepoint of system calls, as `sys_exit_mmap`, until the descriptor is closed.
///
/// # Errors
/// When there is no such tracepoint, or what the kernel says.
pub fn attach(directory: &impl AsFd, tracepoint: &str, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("events/syscalls/{tracepoint}/id");
    let mut text = String::new();
    let file = openat(directory, path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    File::from(file).read_to_string(&mut text)?;
    let id = text.trim().parse().map_err(io::Error::other)?;
    let event = open_event(id)?;
    // SAFETY: an ioctl that takes a descriptor.
    let set = unsafe { libc::ioctl(event.as_raw_fd(), SET_BPF, program.as_raw_fd()) };
    // SAFETY: an ioctl without an argument.
    if set < 0 || unsafe { libc::ioctl(event.as_raw_fd(), ENABLE, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(event)
}

/// `PERF_EVENT_IOC_SET_BPF` and `PERF_EVENT_IOC_ENABLE`.
const SET_BPF: libc::Ioctl = 0x4004_2408;
const ENABLE: libc::Ioctl = 0x2400;

/// The event of a tracepoint. Its programs run for every process on every CPU, whatever the event is of.
fn open_event(id: u64) -> io::Result<OwnedFd> {
    use aya_obj::generated::{perf_event_attr, perf_type_id};
    // SAFETY: plain integers, for which zero is valid and means "not set".
    let mut attributes: perf_event_attr = unsafe { std::mem::zeroed() };
    attributes.type_ = perf_type_id::PERF_TYPE_TRACEPOINT as u32;
    attributes.size = u32::try_from(size_of::<perf_event_attr>()).map_err(io::Error::other)?;
    attributes.config = id;
    let (every_process, first_cpu, no_group, close_on_exec) = (-1, 0, -1, 8);
    // SAFETY: the attributes are valid for the call; returns a descriptor or -1.
    owned(unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            every_process,
            first_cpu,
            no_group,
            close_on_exec,
        )
    })
}
