//! A process: whether it can be traced, and what would be lost.

use std::{fs, io};

use super::{
    files::unseen,
    finding::{Finding, Level, Section},
    modules, probes,
};
use crate::process::{AddressSpace, TargetProcess};

/// What is to be said of a process.
pub fn sections(pid: u32) -> Vec<Section> {
    let title = format!("Process {pid}");
    let target = match TargetProcess::open(pid) {
        Ok(target) => target,
        Err(error) => {
            let advice = error.hint().unwrap_or_else(|| "-v prints more".to_owned());
            return vec![Section::new(title, vec![Finding::other("access", Level::Failed, error.to_string(), advice)])];
        }
    };
    let mut findings = vec![Finding::ok("access", target.command())];
    findings.extend(CHECKS.iter().map(|check| check(pid)));
    let space = AddressSpace::new(&target).and_then(|mut space| space.refresh().map(|()| space));
    let space = match space {
        Ok(space) => space,
        Err(error) => {
            findings.push(Finding::other("mappings", Level::Failed, error.to_string(), "-v prints more"));
            return vec![Section::new(title, findings)];
        }
    };
    let plans = probes::plans(&space);
    findings.push(probes::allocators(&plans));
    let probes = plans.iter().map(|plan| Section::new(format!("Probe points in {}", plan.0), probes::points(&plan.1)));
    std::iter::once(Section::new(title, findings))
        .chain(probes)
        .chain([Section::new("Mapped files", modules::findings(&space))])
        .collect()
}

/// One line a check.
const CHECKS: [fn(u32) -> Finding; 2] = [seccomp, shadow_stack];

/// Return probes of some kernels use a system call of their own, which a filter may take for the program's.
fn seccomp(pid: u32) -> Finding {
    const CHECK: &str = "seccomp";
    match status(pid, "Seccomp") {
        Ok(None) => Finding::ok(CHECK, "not known to this kernel"),
        Ok(Some(mode)) if mode == "0" => Finding::ok(CHECK, "none"),
        Ok(Some(mode)) if cfg!(target_arch = "x86_64") => {
            let advice = "kernels 6.11 to 6.13 without the fix of cf6cb56ef244 let a filter end the process at a return \
                          probe; others do not";
            Finding::other(CHECK, Level::Degraded, format!("mode {mode}"), advice)
        }
        Ok(Some(mode)) => Finding::ok(CHECK, format!("mode {mode}")),
        Err(error) => unseen(CHECK, &error),
    }
}

/// A return probe changes the return address on the stack.
fn shadow_stack(pid: u32) -> Finding {
    const CHECK: &str = "shadow stack";
    match status(pid, "x86_Thread_features") {
        Ok(Some(features)) if features.split_whitespace().any(|feature| feature == "shstk") => {
            let advice = "kernels before 6.11 do not keep it right at a return probe, which ends the process";
            Finding::other(CHECK, Level::Degraded, "in use", advice)
        }
        Ok(_) => Finding::ok(CHECK, "none"),
        Err(error) => unseen(CHECK, &error),
    }
}

/// A line of `/proc/PID/status`; `None` where there is no such line.
fn status(pid: u32, key: &str) -> io::Result<Option<String>> {
    let status = fs::read(format!("/proc/{pid}/status"))?;
    // The name of the process is on the first line, with newlines written as `\n`: it cannot pose as a line.
    let status = String::from_utf8_lossy(&status);
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    Ok(value.map(|value| value.trim().to_owned()))
}
