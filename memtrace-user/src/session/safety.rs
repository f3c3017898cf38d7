//! How the ends of calls may be seen in a process without doing it harm, and what is said about it.

use crate::{
    process::{Confinement, OWN_MEMORY, available_memory},
    tracer::{
        ProbedFile, Refusal, Returns, Tracer, TrapCost, return_probes_keep_shadow_stacks,
        return_probes_may_kill_confined,
    },
};

/// When a process is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It runs, and is what it is.
    Running,
    /// It is about to begin, and may confine itself later.
    Starting,
}

/// What may confine a process that nothing is known of: probes for all processes must do none of them harm.
pub const ANYBODY: Confinement = Confinement { seccomp: true, shadow_stack: true };

/// Chooses how the ends of calls are seen; a sentence for the user where it is not the ordinary way.
pub fn choose_returns(tracer: &mut Tracer, confinement: Confinement, moment: Moment) -> Option<String> {
    let reason = if confinement.shadow_stack && !return_probes_keep_shadow_stacks() {
        "this kernel's return probes would break the process's shadow stack"
    } else if endangered_by_seccomp(tracer, confinement, moment) {
        "this kernel kills processes confined by seccomp at return probes"
    } else {
        return None;
    };
    tracer.set_returns(Returns::Exits);
    Some(format!(
        "{reason}: the ends of calls are seen at the functions' own exits instead, at about four times the cost of a call"
    ))
}

fn endangered_by_seccomp(tracer: &Tracer, confinement: Confinement, moment: Moment) -> bool {
    let confined = confinement.seccomp || moment == Moment::Starting;
    // Trying it out takes a moment, so that it is left out where the kernel is known.
    let doubtful = confinement.seccomp || return_probes_may_kill_confined();
    confined && doubtful && tracer.return_probes_spare_confined() != Some(true)
}

/// A sentence about what following mappings costs other processes.
pub fn cost_to_others(tracer: &Tracer) -> Option<String> {
    tracer.slows_all_calls().then(|| {
        "this kernel has no BPF trampolines: while mappings are followed, each system call of every process on the machine \
         takes a slower path through the kernel (docs/metrics.md)"
            .to_owned()
    })
}

/// A sentence about memory that is short, once memtrace has taken most of its own: less is left than that.
pub fn scarce_memory() -> Option<String> {
    let available = available_memory().filter(|bytes| *bytes < OWN_MEMORY)? >> 20;
    Some(format!(
        "memory is short: {available} MiB are available, and memtrace takes some {} MiB itself",
        OWN_MEMORY >> 20
    ))
}

/// A sentence about a table of live blocks that fills and cannot grow.
pub fn live_table_refused(refusal: Refusal) -> String {
    let (wanted, available) = (refusal.wanted_bytes >> 20, refusal.available_bytes >> 20);
    format!(
        "the table of live blocks does not grow: {wanted} MiB more would be over a quarter of the {available} MiB of memory \
         that are available. Blocks that find no room are not recorded (live table full); sampling needs less of it \
         (--sample-bytes)"
    )
}

/// A sentence about what it costs others that the processes which this one starts are traced, too.
pub fn cost_of_following(trap: Option<TrapCost>) -> String {
    let nanos = |time: std::time::Duration| time.as_nanos();
    let measured = trap.map(|trap| {
        let (allocation, free) = (nanos(trap.entry_and_return), nanos(trap.entry));
        format!(" (at least {allocation} ns an allocation and {free} ns a free, as measured here)")
    });
    format!(
        "what the process starts is traced as well: until tracing ends, every process on this machine that maps a traced file \
         pays for a breakpoint at each call{}; --no-follow traces this process alone",
        measured.unwrap_or_default()
    )
}

/// A sentence about the functions of a file that are not probed.
pub fn skipped(file: &ProbedFile, returns: Returns) -> Option<String> {
    let skipped = file.skipped(returns);
    let (_, reason) = skipped.first()?;
    let names: Vec<&str> = skipped.iter().map(|(name, _)| name.as_str()).collect();
    Some(format!(
        "{} of {} not traced, as a return probe would do harm and another way is not known ({reason}): {}",
        names.len(),
        file.name,
        names.join(", ")
    ))
}
