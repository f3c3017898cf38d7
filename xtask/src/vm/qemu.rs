//! Boots a virtual machine, and reads from its console how its tests ended.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::kernels::Kernel;

/// How a virtual machine ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The tests ended with this status.
    Exit(i32),
    /// It stopped before they had begun: the kernel has panicked, or the emulator does not start.
    NotUp,
    /// It stopped before they had ended: the kernel has panicked.
    Died,
    /// The same, and the processor had flags that no processor has: the emulator's fault. qemu before 8 computes those of
    /// `cmpxchg8b` and `cmpxchg16b` from what happens to lie in a register.
    BadFlags,
    /// It was stopped, as it took too long.
    TimedOut,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(0) => f.write_str("ok"),
            Self::Exit(status) => write!(f, "FAILED ({status})"),
            Self::NotUp => f.write_str("DID NOT START"),
            Self::Died => f.write_str("DIED"),
            Self::BadFlags => f.write_str("BADLY EMULATED"),
            Self::TimedOut => f.write_str("TIMED OUT"),
        }
    }
}

/// Boots a kernel with a first file system; everything that its console says goes to `log`.
///
/// # Errors
/// When the emulator cannot be started.
pub fn boot(kernel: &Kernel, kvm: bool, image: &Path, archive: &Path, log: &Path, patience: Duration) -> Result<End> {
    let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let (mut qemu, console) = kernel.machine.emulate(kvm, kernel.needs_wide_exchange());
    qemu.args(["-m", "2G", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    qemu.args(["-serial", "stdio", "-kernel"]).arg(image).arg("-initrd").arg(archive);
    // A busy machine is slow to give interrupts of the timer, for which the kernel would take it to be broken.
    qemu.args(["-append", &format!("console={console} panic=-1 quiet no_timer_check")]);
    let errors = file.try_clone()?;
    wait(qemu.stdin(Stdio::null()).stdout(file).stderr(errors), patience)?
        .map_or(Ok(End::TimedOut), |()| Ok(end(&fs::read(log)?)))
}

/// Waits for a command; `None` when it took too long and was killed.
fn wait(command: &mut Command, patience: Duration) -> Result<Option<()>> {
    let program = command.get_program().display().to_string();
    let mut child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(Some(()))
}

/// What the last word of `init.sh` says. The emulator's own status says nothing of the machine inside.
fn end(console: &[u8]) -> End {
    let text = String::from_utf8_lossy(console);
    let status = text.lines().rev().find_map(|line| line.trim().strip_prefix("VM-EXIT:")?.parse().ok());
    match status {
        Some(status) => End::Exit(status),
        None if has_bad_flags(&text) => End::BadFlags,
        None if text.contains("VM-UP") => End::Died,
        None => End::NotUp,
    }
}

/// Whether the flags of an `x86_64` processor, as the kernel prints them when it panics, have one that is reserved: bit 22
/// and those above it are always 0 (Intel SDM, volume 1, 3.4.3).
fn has_bad_flags(console: &str) -> bool {
    let flags = console.split("EFLAGS: ").skip(1).filter_map(|rest| u64::from_str_radix(rest.get(..8)?, 16).ok());
    flags.into_iter().any(|flags| flags >> 22 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that does not say how its tests ended has failed, whatever else it said.
    #[test]
    fn the_last_word_counts() {
        assert_eq!(end(b"VM-UP\r\nVM-EXIT:0\r\n[ 2.0] reboot: Power down\r\n"), End::Exit(0));
        assert_eq!(end(b"VM-EXIT:101\r\n"), End::Exit(101));
        assert_eq!(end(b"VM-UP\r\nKernel panic - not syncing\r\n"), End::Died);
        assert_eq!(end(b"Kernel panic - not syncing\r\n"), End::NotUp);
    }

    /// Flags that no processor has are the emulator's fault; others are not.
    #[test]
    fn impossible_flags_are_found() {
        assert_eq!(end(b"VM-UP\r\nRSP: 0018:ff6c7ba6405ffcf0 EFLAGS: bdffe242\r\n"), End::BadFlags);
        assert_eq!(end(b"VM-UP\r\nRSP: 0018:ff6c7ba6405ffcf0 EFLAGS: 00010246\r\n"), End::Died);
        assert_eq!(end(b"VM-UP\r\nEFLAGS: bdffe242\r\nVM-EXIT:0\r\n"), End::Exit(0));
    }
}
