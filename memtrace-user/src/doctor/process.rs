//! A process: whether it can be traced, and what would be lost.

use super::{
    files::unseen,
    finding::{Finding, Level, Section},
    modules, probes,
};
use crate::{
    process::{AddressSpace, TargetProcess},
    tracer::{return_probes_keep_shadow_stacks, return_probes_may_kill_confined},
};

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
    findings.extend(CHECKS.iter().map(|check| check(&target)));
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
const CHECKS: [fn(&TargetProcess) -> Finding; 2] = [seccomp, shadow_stack];

/// Return probes of some kernels use a system call of their own, which a filter may take for the program's.
fn seccomp(target: &TargetProcess) -> Finding {
    const CHECK: &str = "seccomp";
    const LOST: &str = "kernels like this one may end it at a return probe, which is tried out before it is attached to: \
                        the ends of calls are then seen at the functions' exits, at four times the cost";
    match target.confinement() {
        Ok(confinement) if !confinement.seccomp => Finding::ok(CHECK, "not confined"),
        Ok(_) if return_probes_may_kill_confined() => Finding::other(CHECK, Level::Degraded, "confined", LOST),
        Ok(_) => Finding::ok(CHECK, "confined; this kernel's return probes do no harm"),
        Err(error) => unseen(CHECK, &error),
    }
}

/// A return probe changes the return address on the stack.
fn shadow_stack(target: &TargetProcess) -> Finding {
    const CHECK: &str = "shadow stack";
    const LOST: &str = "this kernel's return probes would break it (before 6.11): the ends of calls are seen at the \
                        functions' exits, at four times the cost";
    match target.confinement() {
        Ok(confinement) if !confinement.shadow_stack => Finding::ok(CHECK, "none"),
        Ok(_) if return_probes_keep_shadow_stacks() => Finding::ok(CHECK, "in use; return probes keep it right"),
        Ok(_) => Finding::other(CHECK, Level::Degraded, "in use", LOST),
        Err(error) => unseen(CHECK, &error),
    }
}
