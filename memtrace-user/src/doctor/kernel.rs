//! What the kernel has, and how it is set.

use std::{io, path::Path, time::Instant};

use super::{
    files::{line, unseen},
    finding::{Finding, Level},
};
use crate::{
    process::{OWN_MEMORY, available_memory},
    tracer::{
        MultiLinks, Recorded, Tracer, TracerOptions, check_requirements, has_bpf_loop, has_cookies, has_task_storage,
        kernel_release, multi_links,
    },
};

/// One line a check.
pub const CHECKS: [fn() -> Finding; 16] = [
    release,
    page_size,
    memory,
    type_information,
    cookies,
    task_storage,
    bpf_loop,
    multi,
    perf_probes,
    compiler,
    lockdown,
    perf_paranoid,
    unprivileged_bpf,
    programs,
    mappings,
    hits,
];

fn release() -> Finding {
    Finding::ok("release", kernel_release())
}

fn memory() -> Finding {
    const CHECK: &str = "memory";
    let own = OWN_MEMORY >> 20;
    let Some(available) = available_memory() else {
        return Finding::other(CHECK, Level::Unseen, "not told", format!("memtrace itself takes some {own} MiB"));
    };
    let found = format!("{} MiB available", available >> 20);
    // As much is to be left to others.
    if available >= 2 * OWN_MEMORY {
        return Finding::ok(CHECK, found);
    }
    Finding::other(
        CHECK,
        Level::Degraded,
        found,
        format!("memtrace itself takes some {own} MiB: free some memory first"),
    )
}

fn page_size() -> Finding {
    Finding::ok("page size", format!("{} bytes", crate::process::page_size()))
}

fn type_information() -> Finding {
    const FILE: &str = "/sys/kernel/btf/vmlinux";
    if Path::new(FILE).exists() {
        return Finding::ok("BTF type information", FILE);
    }
    let advice = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; if /sys is not mounted, mount it";
    Finding::other("BTF type information", Level::Failed, format!("no {FILE}"), advice)
}

/// What cannot be tried without the permission to load programs.
fn tried(check: &str, finding: impl FnOnce() -> Finding) -> Finding {
    match check_requirements() {
        Err(error @ crate::tracer::TracerError::NotPermitted { .. }) => {
            Finding::other(check, Level::Unseen, error.to_string(), "run memtrace doctor as root to see it")
        }
        _ => finding(),
    }
}

/// What memtrace cannot do without.
fn required(check: &str, is_there: fn() -> bool) -> Finding {
    tried(check, || {
        if is_there() {
            return Finding::ok(check, "there");
        }
        Finding::other(check, Level::Failed, "not there", "memtrace needs kernel 5.15 or newer: boot one")
    })
}

fn cookies() -> Finding {
    required("cookies of uprobes (5.15)", has_cookies)
}

fn task_storage() -> Finding {
    required("task storage (5.13)", has_task_storage)
}

fn bpf_loop() -> Finding {
    const CHECK: &str = "bpf_loop (5.17)";
    tried(CHECK, || {
        if has_bpf_loop() {
            return Finding::ok(CHECK, "there: stacks are followed by unwind tables");
        }
        let lost = "stacks are followed by frame pointers alone, which most distributions' libraries lack";
        Finding::other(CHECK, Level::Degraded, "not there", lost)
    })
}

fn multi() -> Finding {
    const CHECK: &str = "uprobe-multi links (6.6, by process 6.10)";
    const LOST: &str = "perf-event links are used: attaching and detaching take up to 0.1 s a probe, and the cost of a hit \
                        is not measured";
    tried(CHECK, || match multi_links() {
        Ok(MultiLinks::Usable) => Finding::ok(CHECK, "there, and they filter by process"),
        Ok(MultiLinks::Unusable) => Finding::other(CHECK, Level::Degraded, "not there, or they filter by thread", LOST),
        Err(error) => Finding::other(CHECK, Level::Degraded, error.to_string(), LOST),
    })
}

fn perf_probes() -> Finding {
    const CHECK: &str = "perf-event uprobes";
    match line("/sys/bus/event_source/devices/uprobe/type") {
        Ok(kind) => Finding::ok(CHECK, format!("there (event source {kind})")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let advice = "needed where uprobe-multi links are not to be had: use a kernel with CONFIG_UPROBE_EVENTS=y";
            Finding::other(CHECK, Level::Degraded, "not there", advice)
        }
        Err(error) => unseen(CHECK, &error),
    }
}

fn compiler() -> Finding {
    const CHECK: &str = "BPF compiler (net.core.bpf_jit_enable)";
    match line("/proc/sys/net/core/bpf_jit_enable") {
        Ok(value) if value == "0" => {
            let advice = "programs are interpreted, many times slower, or refused: sysctl net.core.bpf_jit_enable=1";
            Finding::other(CHECK, Level::Degraded, "0", advice)
        }
        Ok(value) => Finding::ok(CHECK, value),
        // A kernel that always compiles need not have the setting.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::ok(CHECK, "always"),
        Err(error) => unseen(CHECK, &error),
    }
}

fn lockdown() -> Finding {
    const CHECK: &str = "kernel lockdown";
    match line("/sys/kernel/security/lockdown") {
        Ok(modes) if modes.contains("[confidentiality]") => {
            let advice = "perf events are refused: without uprobe-multi links nothing can be probed, and a command that \
                          ends soon has functions without names. Boot with lockdown=integrity";
            Finding::other(CHECK, Level::Degraded, "confidentiality", advice)
        }
        Ok(modes) => {
            let chosen = modes.split(['[', ']']).nth(1).unwrap_or("none").to_owned();
            Finding::ok(CHECK, chosen)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Finding::ok(CHECK, "none"),
        Err(error) => unseen(CHECK, &error),
    }
}

fn perf_paranoid() -> Finding {
    const CHECK: &str = "kernel.perf_event_paranoid";
    match line("/proc/sys/kernel/perf_event_paranoid") {
        // Beyond 2, distributions' own patches ask for CAP_SYS_ADMIN.
        Ok(value) if value.parse::<i32>().is_ok_and(|value| value > 2) && !super::permissions::has_sys_admin() => {
            let advice = "perf events need CAP_SYS_ADMIN here: run as root, or sysctl kernel.perf_event_paranoid=2";
            Finding::other(CHECK, Level::Degraded, value, advice)
        }
        Ok(value) => Finding::ok(CHECK, value),
        Err(error) => unseen(CHECK, &error),
    }
}

/// Of no account for memtrace, which needs capabilities in any case; people ask about it.
fn unprivileged_bpf() -> Finding {
    const CHECK: &str = "kernel.unprivileged_bpf_disabled";
    match line("/proc/sys/kernel/unprivileged_bpf_disabled") {
        Ok(value) => Finding::ok(CHECK, format!("{value} (memtrace needs CAP_BPF whatever it is)")),
        Err(error) => unseen(CHECK, &error),
    }
}

/// What a hit costs here, and whether sampling spares the traps of returns.
fn hits() -> Finding {
    const CHECK: &str = "cost of a probe hit";
    tried(CHECK, || {
        let Ok(tracer) = Tracer::load(&TracerOptions::default()) else {
            return Finding::other(CHECK, Level::Unseen, "not measured", "the programs must be loaded for that");
        };
        let Some(cost) = tracer.cost_measurement().and_then(|measurement| measurement.run()) else {
            let lost =
                "what tracing costs is not stated, and --max-overhead is refused: it takes uprobe-multi links (6.10)";
            return Finding::other(CHECK, Level::Degraded, "not measured", lost);
        };
        let [entry, both] = [cost.entry, cost.entry_and_return].map(|time| time.as_nanos());
        let found = format!("{entry} ns at an entry, {both} ns with the return");
        if tracer.uses_session_probes() {
            return Finding::ok(CHECK, format!("{found}; session probes (6.13): a sample alone pays for its return"));
        }
        let lost = "without session probes (6.13) every return is trapped, so --sample-bytes saves less";
        Finding::other(CHECK, Level::Degraded, found, lost)
    })
}

/// The proof: everything is loaded as for tracing, and nothing is probed.
fn programs() -> Finding {
    const CHECK: &str = "memtrace's BPF programs";
    tried(CHECK, || {
        let start = Instant::now();
        match Tracer::load(&TracerOptions::default()) {
            Ok(tracer) => {
                let bytes = crate::report::units::bytes(tracer.bpf_memory(0));
                let time = crate::report::units::duration(start.elapsed());
                Finding::ok(CHECK, format!("loaded in {time}, {bytes} of maps"))
            }
            Err(error) => {
                let advice = error.hint().unwrap_or("-v prints more").to_owned();
                Finding::other(CHECK, Level::Failed, error.to_string(), advice)
            }
        }
    })
}

/// How `--domain mmap` would be followed.
fn mappings() -> Finding {
    const CHECK: &str = "mapped memory (--domain mmap)";
    let options = TracerOptions { recorded: Recorded::Mappings, ..TracerOptions::default() };
    tried(CHECK, || match Tracer::load(&options) {
        Ok(tracer) if tracer.slows_all_calls() => {
            let lost = "this kernel has no BPF trampolines (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS): while mapped memory is \
                        recorded, every system call of every process is a little slower";
            Finding::other(CHECK, Level::Degraded, "by tracepoints of system calls", lost)
        }
        Ok(_) => Finding::ok(CHECK, "there, by BPF trampolines"),
        Err(error) => {
            let advice = error.hint().unwrap_or("-v prints more").to_owned();
            Finding::other(CHECK, Level::Degraded, error.to_string(), advice)
        }
    })
}
