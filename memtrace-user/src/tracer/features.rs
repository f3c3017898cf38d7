//! What this kernel and these permissions allow. Features are tried, never inferred from a version number:
//! distributions back-port.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
};

use aya::programs::ProgramType;
use aya_obj::generated::bpf_func_id;

use super::{
    error::TracerError,
    syscall::{LinkKind, MultiLink, link_multi, load_empty_multi_program},
};

/// A capability: its bit in `CapEff`, and its name (include/uapi/linux/capability.h).
pub type Capability = (u32, &'static str);

/// Stands for every other one that matters here.
pub const SYS_ADMIN: Capability = (21, "CAP_SYS_ADMIN");
/// To attach programs to probes.
pub const PERFMON: Capability = (38, "CAP_PERFMON");
/// To load programs.
pub const BPF: Capability = (39, "CAP_BPF");

/// Checks what can be checked before anything is loaded.
///
/// # Errors
/// [`TracerError::NotPermitted`] with the missing capabilities, [`TracerError::NoBtf`], [`TracerError::KernelTooOld`].
pub fn check_requirements() -> Result<(), TracerError> {
    let missing = missing_capabilities(effective_capabilities());
    if !missing.is_empty() {
        return Err(TracerError::NotPermitted { missing });
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(TracerError::NoBtf { release: kernel_release() });
    }
    if !has_cookies() {
        return Err(TracerError::KernelTooOld { release: kernel_release() });
    }
    Ok(())
}

/// Whether uprobes have cookies (5.15): the youngest feature that nothing can stand in for.
#[must_use]
pub fn has_cookies() -> bool {
    // Where it cannot be found out, loading the programs will tell.
    has_helper(bpf_func_id::BPF_FUNC_get_attach_cookie).unwrap_or(true)
}

/// Whether programs may keep state with a thread (5.13).
#[must_use]
pub fn has_task_storage() -> bool {
    has_helper(bpf_func_id::BPF_FUNC_task_storage_get).unwrap_or(false)
}

/// `None` when it cannot be found out.
fn has_helper(helper: bpf_func_id) -> Option<bool> {
    let supported = aya::sys::is_helper_supported(ProgramType::KProbe, helper);
    supported.inspect_err(|error| log::info!("{helper:?}: {error}")).ok()
}

/// `CAP_BPF` and `CAP_PERFMON` exist since 5.8; `CAP_SYS_ADMIN` stands for both.
fn missing_capabilities(effective: u64) -> Vec<&'static str> {
    let has = |(number, _): &(u32, &str)| effective >> number & 1 == 1;
    if has(&SYS_ADMIN) {
        return Vec::new();
    }
    [BPF, PERFMON].iter().filter(|capability| !has(capability)).map(|(_, name)| *name).collect()
}

/// The capabilities that memtrace has: a set of bits.
#[must_use]
pub fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|value| u64::from_str_radix(value.trim(), 16).ok()).unwrap_or(0)
}

/// The running kernel's release, as `6.1.0-18-amd64`.
#[must_use]
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// Whether the release is certainly below 5.15, the floor. Used only to explain a refusal that has happened.
#[must_use]
pub fn below_floor(release: &str) -> bool {
    version(release).is_some_and(|version| version < (5, 15))
}

/// Whether return probes keep shadow stacks right (6.11, commit 1713b63a07a2). That cannot be tried out without such a
/// stack; an older release with the change is taken for one without, at the price of slower probes. On aarch64 they always
/// do: `CONFIG_ARM64_GCS` depended on `!UPROBES` until uprobes had learnt it.
#[must_use]
pub fn return_probes_keep_shadow_stacks() -> bool {
    cfg!(target_arch = "aarch64") || version(&kernel_release()).is_some_and(|version| version >= (6, 11))
}

/// Whether the kernel may be one on which return probes kill processes confined by seccomp: `x86_64`, 6.11 to 6.13. Says
/// no more than that it is worth trying out.
#[must_use]
pub fn return_probes_may_kill_confined() -> bool {
    cfg!(target_arch = "x86_64")
        && version(&kernel_release()).is_none_or(|version| ((6, 11)..(6, 14)).contains(&version))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// What uprobe-multi links a kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiLinks {
    /// Links that filter by process.
    Usable,
    /// None, or links that filter by thread.
    Unusable,
}

/// Tries uprobe-multi links with a program that does nothing.
///
/// # Errors
/// When the kernel does not even take that program.
pub fn multi_links() -> io::Result<MultiLinks> {
    let program = load_empty_multi_program(LinkKind::Entry)?;
    let usable = multi_links_filter_by_process(program.as_fd());
    Ok(if usable { MultiLinks::Usable } else { MultiLinks::Unusable })
}

/// Whether uprobe-multi links exist (6.6) and filter by process, not by thread (6.10, and later 6.6 and 6.9 kernels;
/// commit 46ba0e49b642).
///
/// The fixed kernels check the process id first and so answer `EINVAL` to an impossible one; the others look at the
/// path first (libbpf's `probe_uprobe_multi_link`).
fn multi_links_filter_by_process(program: BorrowedFd<'_>) -> bool {
    let probe = |pid: u32| {
        let link = MultiLink { path: Path::new("/"), offsets: &[0], cookies: &[0], pid, kind: LinkKind::Entry };
        link_multi(program.as_fd(), &link).err().and_then(|error| error.raw_os_error())
    };
    probe(0) == Some(libc::EBADF) && probe(u32::MAX) == Some(libc::EINVAL)
}

/// Whether session probes exist (6.13), where the entry decides whether the return is trapped.
#[must_use]
pub fn has_session_links() -> bool {
    // Programs for them are taken by older kernels, too. Those that have no such links say so before they look at the path.
    let Ok(program) = load_empty_multi_program(LinkKind::Session) else { return false };
    let link = MultiLink { path: Path::new("/"), offsets: &[0], cookies: &[0], pid: 0, kind: LinkKind::Session };
    link_multi(program.as_fd(), &link).err().and_then(|error| error.raw_os_error()) == Some(libc::EBADF)
}

/// Whether programs may call `bpf_loop` (5.17).
#[must_use]
pub fn has_bpf_loop() -> bool {
    has_helper(bpf_func_id::BPF_FUNC_loop).unwrap_or(false)
}

/// Whether programs may ask what is mapped at an address (5.17).
#[must_use]
pub fn has_find_vma() -> bool {
    has_helper(bpf_func_id::BPF_FUNC_find_vma).unwrap_or(false)
}

/// How lines of the verifier's log begin that are about its work.
const VERIFIERS_WORK: [&str; 3] = ["processed ", "stack depth ", "verification time "];

/// Turns the kernel's refusal to load into what to do about it.
#[must_use]
pub fn explain_refusal(program: &str, error: io::Error, log: &str) -> TracerError {
    let release = kernel_release();
    if below_floor(&release) {
        return TracerError::KernelTooOld { release };
    }
    // The reason stands before what the verifier says of its own work.
    let is_reason = |line: &&str| !VERIFIERS_WORK.iter().any(|start| line.starts_with(start));
    let log = log.lines().rev().filter(is_reason).take(3).collect::<Vec<_>>().join(" | ");
    TracerError::Refused { program: program.to_owned(), source: error, log }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root's capabilities suffice, and of an unprivileged user's both missing ones are named.
    #[test]
    fn missing_capabilities_are_named() {
        assert!(missing_capabilities(u64::MAX).is_empty());
        assert!(missing_capabilities(1 << 21).is_empty());
        assert!(missing_capabilities(1 << 38 | 1 << 39).is_empty());
        assert_eq!(missing_capabilities(1 << 38), ["CAP_BPF"]);
        assert_eq!(missing_capabilities(0), ["CAP_BPF", "CAP_PERFMON"]);
    }

    /// Only a release that is certainly older than 5.15 explains a refusal by its age.
    #[test]
    fn floor_is_read_from_the_release() {
        assert!(below_floor("5.10.0-32-cloud-amd64"));
        assert!(below_floor("4.18.0-553.el8.x86_64"));
        assert!(!below_floor("5.15.0-1-generic"));
        assert!(!below_floor("6.1.0"));
        assert!(!below_floor("mystery"));
    }
}
